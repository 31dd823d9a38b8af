"""Torch eager: a baseline for bundles that were exported ``--with-torch``.

It uses inference mode, scaled-dot-product attention (the default of transformers), fp32 and no
padding: good practice without any export.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from edgeadapt.backbones import BackboneSpec
from edgeadapt.errors import LayoutError, MissingExtraError, ModelError
from edgeadapt.metrics import Logits
from edgeadapt.outputs import Outputs, listed
from edgeadapt.runtime.base import OTHER_MODEL, checked_logits
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.checkpoint import (
    CheckpointConfig,
    bundled_checkpoint_config,
    read_checkpoint_config,
)
from edgeadapt.store.sizes import check_declared_sizes
from edgeadapt.store.structure import Structure
from edgeadapt.text import TokenBatch

try:
    import torch
    from transformers import (
        CONFIG_MAPPING,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        PretrainedConfig,
        PreTrainedModel,
    )
    from transformers.utils import logging

    from edgeadapt.runtime.resized import check_structure, shaped
except ModuleNotFoundError as error:
    raise MissingExtraError("The torch engine", extra="train", missing=error.name) from None

__all__ = ["TorchEngine", "load_checkpoint", "quiet_transformers"]

_WEIGHTS = frozenset({".safetensors", ".bin"})
"""Suffixes of weight files."""


class TorchEngine:
    """A Hugging Face classifier, stock or pruned.

    Args:
        checkpoint: Folder with config.json and model.safetensors.
        threads: Threads within an operator; by default torch decides.
        labels: Expected number of logits per text; any number by default.
        structure: Widths of the layers of a pruned classifier.

    Raises:
        ModelError: config.json is damaged, or has a model type, settings or code that stock models
            do not support.
        LayoutError: The weights are damaged, or weights, config.json and structure do not match.
    """

    def __init__(
        self,
        checkpoint: Path,
        *,
        threads: int | None = None,
        labels: int | None = None,
        structure: Structure | None = None,
    ) -> None:
        if threads is not None:
            torch.set_num_threads(threads)
        config = read_checkpoint_config(checkpoint)
        self._checkpoint, self._labels = checkpoint, labels
        self._model = load_checkpoint(config, structure)
        # RoBERTa accepts segment ids too, but was trained with segment 0 only.
        takes_segments = config.spec.token_type_ids
        self._inputs = ["input_ids", "attention_mask"] + ["token_type_ids"] * takes_segments

    @classmethod
    def load(cls, bundle: Bundle, variant: str, *, threads: int | None = None) -> Self:
        """Loads a variant of a bundle, verified."""
        config, labels = bundled_checkpoint_config(bundle, variant), bundle.manifest.labels
        _check_names(config, labels)
        structure = bundle.manifest.structure
        return cls(config.file.parent, threads=threads, labels=len(labels), structure=structure)

    def run(self, batch: TokenBatch) -> Logits:
        """Returns float32 logits of shape ``(batch, labels)``.

        Raises:
            LayoutError: The model cannot answer, as where it has no embedding for a token, or its
                answer has another shape.
        """
        arrays = batch.select(self._inputs)
        try:
            with torch.inference_mode():
                tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
                found = self._model(**tensors).logits.numpy()
        except (IndexError, RuntimeError) as error:
            raise LayoutError(
                f"{self.describe()} cannot run {self._checkpoint} on {batch.input_ids.shape[1]} "
                f"tokens of ids up to {batch.input_ids.max(initial=0)}: {error}",
                hint=OTHER_MODEL,
            ) from None
        return checked_logits(found, texts=len(batch), labels=self._labels, model=self._checkpoint)

    def describe(self) -> str:
        """Returns the library and its version."""
        return f"torch {torch.__version__} eager"


def _check_names(config: CheckpointConfig, labels: Sequence[str]) -> None:
    """Checks that the checkpoint's outputs are in the order of the bundle's labels."""
    own = Outputs.of(config.values, where=str(config.file)).real
    if own is not None and own != tuple(labels):
        raise LayoutError(
            f"{config.file}: id2label: expected the labels of the bundle, {listed(labels)}, in "
            f"their order, found {listed(own)}.",
            hint=OTHER_MODEL,
        )


def load_checkpoint(
    config: CheckpointConfig, structure: Structure | None = None
) -> PreTrainedModel:
    """Loads a classifier in evaluation mode.

    Args:
        config: The content of the checkpoint's config.json.
        structure: Widths of the layers of a pruned classifier.

    Raises:
        ModelError: config.json has settings that stock models do not support.
        LayoutError: The weights are damaged, or weights, config.json and structure do not match.
    """
    checkpoint, spec = config.file.parent, config.spec
    stock = config.stock(CONFIG_MAPPING[spec.model_type])
    if structure is not None:
        _check_structure(structure, stock, config)
        # A layer is made as wide as config.json says before it is cut.
        setattr(stock, spec.intermediate_key, max(*structure.neurons, 1))
    # Assumes fp16, which gives an upper bound of the number of values for any wider type.
    values = sum(path.stat().st_size for path in checkpoint.iterdir() if path.suffix in _WEIGHTS)
    check_declared_sizes(stock, spec, values // 2, where=str(config.file), structure=structure)
    try:
        with quiet_transformers():
            model, report = _class_of(stock, spec, structure).from_pretrained(
                checkpoint,
                config=stock,
                trust_remote_code=False,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below instead of raised
                dtype=torch.float32,
            )
    except Exception as error:  # noqa: BLE001 - its exceptions share no public base class
        raise LayoutError(f"torch {torch.__version__} cannot load {checkpoint}: {error}") from None
    # transformers initializes missing weights at random.
    wrong = sorted(f"{key} ({kind})" for kind, keys in report.items() for key in keys)
    if wrong:
        widths = "" if structure is None else " of the manifest's structure"
        raise LayoutError(
            f"{checkpoint} does not hold the weights of a {spec.model_type} classifier{widths}: "
            f"expected no missing, unexpected or mismatched ones, found {len(wrong)}: "
            f"{', '.join(wrong[:5])}.",
            hint="Export it again with: edgeadapt export RUN --with-torch",
        )
    return model.eval()


def _check_structure(
    structure: Structure, stock: PretrainedConfig, config: CheckpointConfig
) -> None:
    try:
        check_structure(structure, stock, config.spec)
    except ModelError as error:
        raise LayoutError(
            f"{config.file} does not describe the manifest's structure: {error.message}",
            hint=OTHER_MODEL,
        ) from None


def _class_of(
    config: PretrainedConfig, spec: BackboneSpec, structure: Structure | None
) -> type[PreTrainedModel]:
    """Returns the stock class, or one of the same name whose layers have the widths given.

    ``from_pretrained`` makes the model without memory for its weights, and then loads them: what it
    checks and reports of a stock model, it does of a pruned one too.
    """
    stock: type[PreTrainedModel] = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    if structure is None:
        return stock
    widths = structure

    def init(self: PreTrainedModel, config: PretrainedConfig) -> None:
        stock.__init__(self, config)
        shaped(self, spec, widths)

    # The same name, because transformers chooses the loss by it.
    return type(stock.__name__, (stock,), {"__init__": init})


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Turns off transformers' warnings and progress bars for the block.

    The conditions that the warnings are about, such as missing keys, are errors in edgeadapt.
    """
    verbosity = logging.get_verbosity()
    bars = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
