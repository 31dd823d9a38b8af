"""``edgeadapt pretrain``: adapt an encoder to the user's text by masked language modelling."""

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
import torch
from transformers import AutoModelForMaskedLM, PreTrainedModel

from edgeadapt import __version__
from edgeadapt.data.report import report_coverage
from edgeadapt.data.text_file import TextFile
from edgeadapt.errors import (
    EdgeAdaptError,
    ExportError,
    GateError,
    LayoutError,
    ModelError,
    UsageError,
)
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import merge
from edgeadapt.models.sources import ModelSource, find_model, pinned_model
from edgeadapt.models.tokenizer import load_tokenizer, stock_tokenizer
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import Recipe
from edgeadapt.runtime.torch_engine import quiet_transformers
from edgeadapt.store import artifacts
from edgeadapt.store.manifests import write_manifest
from edgeadapt.text import Text, TextEncoder
from edgeadapt.training.checkpoints import Begun
from edgeadapt.training.loop import choose_device, fit
from edgeadapt.training.masked_language import MaskedLanguage, WordPieces
from edgeadapt.training.objectives import Compute
from edgeadapt.training.outcome import Outcome
from edgeadapt.training.resumable import Resumable
from edgeadapt.training.team import Team

__all__ = ["Pretrained", "pretrain", "resume_pretraining"]

_COMMAND = "edgeadapt pretrain"

HELD_OUT, MOST_HELD_OUT = 0.05, 1_000
"""Share and largest number of held-out texts."""
_LIMIT = 1e-5
"""Largest difference of hidden states between the trained and the saved encoder."""
_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab.*",
                    "merges.txt", "*.model")  # fmt: skip


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder on disk."""

    path: Path
    """A stock checkpoint, for ``edgeadapt train --model``."""
    texts: int
    """Number of training texts, without held-out ones."""
    trainable_parameters: int
    total_parameters: int
    before: float
    """Perplexity of masked tokens in held-out text before training; the language head is that of
    the checkpoint, or random where it has none."""
    after: float
    """The same after training."""
    accuracy: float
    """Share of masked tokens that are predicted correctly, 0 to 1."""
    seconds: float


def pretrain(
    text: TextFile,
    recipe: Recipe,
    *,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Pretrained:
    """Trains an encoder to predict masked tokens, and saves it as a stock checkpoint.

    Adapters are folded into it, so that the result is a backbone: freeze it and train the adapters
    of the task.

    Source: Gururangan et al. 2020, Don't Stop Pretraining (arXiv 2004.10964).

    Args:
        text: The file of texts.
        recipe: Model, adapter and optimization; of its data table, only ``split_seed`` is used.
        output: Folder of the checkpoint; by default an unused name under
            ``artifacts/checkpoints``.
        force: Replace an existing folder.
        progress: Where to report.

    Raises:
        ModelError: The backbone has no language head in transformers.
        ExportError: The adapters do not fold into a stock model.
        UsageError: Several processes were started.
        EdgeAdaptError: Any error of training. If training had started, the folder contains a
            checkpoint for ``resume_pretraining``.
        KeyboardInterrupt, SystemExit: SIGINT or SIGTERM was received; likewise.
    """
    _check_alone()
    target = output or artifacts.new_name(artifacts.checkpoints(), "pretrained")
    folder = Resumable(_COMMAND, target)
    with folder.held():
        folder.claim(force=force)
        return _finish(_Work.prepare(text, recipe.resolved(), progress), folder, anew=True)


def resume_pretraining(target: Path, *, progress: Progress = SILENT) -> Pretrained:
    """Resumes an interrupted pretraining; the result is the same as without interruption.

    Args:
        target: Folder of the checkpoint.
        progress: Where to report.

    Raises:
        LayoutError: There is no unfinished training, or it is damaged.
        IntegrityError: The text or the backbone has changed.
        EdgeAdaptError: Any error of ``pretrain``.
    """
    _check_alone()
    folder = Resumable(_COMMAND, target)
    with folder.held():
        begun = folder.begun()
        if begun.text is None:
            raise LayoutError(f"{target}: its checkpoint does not name the file of texts.")
        work = _Work.prepare(begun.text, begun.recipe, progress)
        folder.check_same(begun, work.begun.sha256)
        return _finish(work, folder, anew=False)


def _check_alone() -> None:
    if Team.launched().size > 1:
        raise UsageError(
            "edgeadapt pretrain runs in one process: found several.",
            hint="Start it without accelerate launch or torchrun.",
        )


@dataclass(frozen=True)
class _Work:
    """The loaded inputs of pretraining."""

    recipe: Recipe
    text: TextFile
    texts: Sequence[str]
    source: ModelSource
    encoder: TextEncoder
    progress: Progress

    @classmethod
    def prepare(cls, text: TextFile, recipe: Recipe, progress: Progress) -> Self:
        text = replace(text, path=text.path.expanduser().resolve())
        texts, source = text.read(progress), find_model(recipe.model)
        recipe = replace(recipe, model=pinned_model(recipe.model, source, progress=progress))
        encoder = load_tokenizer(
            source, max_length=recipe.model.max_length, progress=progress
        ).encoder
        report_coverage({"training": texts}, encoder, progress)
        return cls(recipe, text, texts, source, encoder, progress)

    @cached_property
    def begun(self) -> Begun:
        """The inputs that must be unchanged when training is resumed; hashes all weights."""
        hashes = {
            "texts": hashlib.sha256(json.dumps(list(self.texts)).encode()).hexdigest(),
            "backbone": self.source.sha256(),
            "tokenizer": self.encoder.sha256(),
        }
        return Begun(_COMMAND, self.recipe, hashes, self.text)


def _finish(work: _Work, folder: Resumable, *, anew: bool) -> Pretrained:
    """Trains from the latest checkpoint or, with ``anew``, from the start; writes the encoder."""
    recipe, source, progress = work.recipe, work.source, work.progress
    device = choose_device(recipe.training.device)
    train, held_out = _split(work.texts, seed=recipe.data.split_seed)
    with folder.written(work.begun, anew=anew) as staging:
        assert staging is not None  # it runs alone
        classifier = AdaptedClassifier.build(
            source, ("0", "1"), recipe.adapter, depth=recipe.model.layers
        )
        objective = MaskedLanguage(
            classifier.model,
            _language_model(source),
            work.encoder,
            words=_word_pieces(source),
            train=train,
            validation=held_out,
            compute=Compute.on(device, recipe.training),
        )
        language = objective.head()
        for parameter in language.values():
            parameter.requires_grad_(True)
        trained = classifier.adapter_parameters()
        count, total = sum(p.numel() for p in trained.values()), classifier.count_parameters()[1]
        _foldable(deepcopy(classifier))  # fails before hours of training, not after them
        progress.say(f"Training {count:,} of {total:,} parameters on {len(train):,} texts.")
        objective.model.to(device)
        before = objective.judge().loss
        with folder.explained(progress):
            outcome = fit(
                objective,
                {**trained, **language},
                config=recipe.training,
                device=device,
                checkpoints=folder.state(recipe),
                progress=progress,
            )
        _save(staging, classifier, source, work.encoder, held_out)
        counts = (len(train), count, total)
        result = _result(folder.target, outcome, before=before, counts=counts)
        _describe(staging, work, result)
    return result


def _split(texts: Sequence[str], *, seed: int) -> tuple[list[str], list[str]]:
    """Holds out some of the texts; equal texts are in the same part."""
    different = list(dict.fromkeys(texts))
    count = max(1, min(MOST_HELD_OUT, round(HELD_OUT * len(different))))
    order = np.random.default_rng(seed).permutation(len(different))
    held_out = {different[at] for at in order[:count]}
    return [text for text in texts if text not in held_out], sorted(held_out)


def _language_model(source: ModelSource) -> PreTrainedModel:
    """Loads the checkpoint with its language head, which is initialized randomly if missing."""
    try:
        with quiet_transformers():
            return AutoModelForMaskedLM.from_pretrained(
                source.folder,
                config=source.stock_config(),
                trust_remote_code=False,
                dtype=torch.float32,
            )
    except EdgeAdaptError:
        raise
    except Exception as error:  # noqa: BLE001 - anything may be in the folder
        raise ModelError(
            f"{source.folder} cannot be loaded with a language head: "
            f"{type(error).__name__}: {error}"
        ) from None


def _word_pieces(source: ModelSource) -> WordPieces:
    tokenizer = stock_tokenizer(source.folder)
    if tokenizer.mask_token_id is None:
        raise ModelError(
            f"{source.folder}: the tokenizer has no mask token: pretraining needs one.",
            hint="Pretrain a backbone that was trained on masked text, such as BERT.",
        )
    return WordPieces(
        size=len(tokenizer), mask=tokenizer.mask_token_id, special=tokenizer.all_special_ids
    )


def _save(
    folder: Path,
    classifier: AdaptedClassifier,
    source: ModelSource,
    encoder: TextEncoder,
    texts: Sequence[Text],
) -> None:
    """Writes the encoder with its adapters folded in, and checks that it computes the same."""
    classifier.model.cpu().eval()
    batch = encoder.batch(list(texts)[:64])
    expected = _hidden(classifier.model.base_model, batch.input_ids, batch.attention_mask)
    base = _foldable(classifier).base_model
    base.save_pretrained(folder)
    loaded = type(base).from_pretrained(folder, trust_remote_code=False).eval()
    difference = float(
        (_hidden(loaded, batch.input_ids, batch.attention_mask) - expected).abs().max()
    )
    if not difference <= _LIMIT * max(1.0, float(expected.abs().max())):
        raise GateError(
            f"The saved encoder differs from the trained one by {difference:.1e}: expected at most "
            f"{_LIMIT:.0e}.",
            hint="This is a bug in edgeadapt. Please report it.",
        )
    for pattern in _TOKENIZER_FILES:
        for file in source.folder.glob(pattern):
            shutil.copy(file, folder)


def _foldable(classifier: AdaptedClassifier) -> PreTrainedModel:
    """Returns the model with its adapters folded in, in place: do not use the classifier again."""
    merged = merge(classifier)
    if not merged.is_stock:
        raise ExportError(
            "These adapters do not fold into a backbone: "
            f"{merged.leftover.bottlenecks} bottlenecks would remain.",
            hint="Pretrain with --method parallel, lora, bitfit or full, or several of them.",
        )
    return merged.model


@torch.inference_mode()
def _hidden(model: torch.nn.Module, ids: np.ndarray, mask: np.ndarray) -> torch.Tensor:
    """Returns the hidden states of the tokens, shape ``(tokens, width)``."""
    attention = torch.from_numpy(mask)
    states = model(input_ids=torch.from_numpy(ids), attention_mask=attention)[0]
    return torch.as_tensor(states[attention.bool()])


def _result(
    target: Path, outcome: Outcome, *, before: float, counts: tuple[int, int, int]
) -> Pretrained:
    assert outcome.best is not None
    texts, trainable, total = counts
    return Pretrained(
        path=target,
        texts=texts,
        trainable_parameters=trainable,
        total_parameters=total,
        before=math.exp(before),
        after=math.exp(outcome.best.validation_loss),
        accuracy=outcome.best.accuracy,
        seconds=outcome.seconds,
    )


def _describe(folder: Path, work: _Work, result: Pretrained) -> None:
    figures: dict[str, object] = {
        "texts": result.texts,
        "perplexity_before": result.before,
        "perplexity_after": result.after,
        "accuracy": result.accuracy,
        "seconds": result.seconds,
    }
    tables = work.recipe.to_dict()
    write_manifest(
        folder / "pretraining.json",
        {
            "backbone": asdict(work.source.describe()),
            "recipe": {name: tables[name] for name in ("model", "adapter", "training")},
            "texts_sha256": work.begun.sha256["texts"],
            **figures,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "edgeadapt": __version__,
        },
        version=2,
    )
