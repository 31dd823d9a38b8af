"""The compression steps of an export, from the merged model to the files of a bundle."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from edgeadapt.backbones import backbone_spec
from edgeadapt.compress.budget import Budget, Reference
from edgeadapt.compress.climb import Taken, climb
from edgeadapt.compress.report import compression_of
from edgeadapt.compress.step import Step
from edgeadapt.compress.texts import CompressionTexts
from edgeadapt.data import Examples
from edgeadapt.errors import UsageError
from edgeadapt.exporters.step import Lower, Lowered
from edgeadapt.graph.layer_stack import EncoderShape
from edgeadapt.measure.machine import usable_cores
from edgeadapt.metrics import Drift
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.parity import ParityGate
from edgeadapt.models.text_model import TextModel
from edgeadapt.platforms import this_platform
from edgeadapt.progress import Progress
from edgeadapt.quantize.layer_costs import layer_costs
from edgeadapt.quantize.options import Quantization
from edgeadapt.quantize.outcome import Quantized
from edgeadapt.quantize.per_platform import default_weight_bits
from edgeadapt.quantize.step import Quantize, answers_of
from edgeadapt.recipe import EngineName, Scheme
from edgeadapt.runtime.resized import head_size, structure_of
from edgeadapt.shrink.step import Shrink
from edgeadapt.shrink.vocabulary import TrimVocabulary
from edgeadapt.store.compression import Compression
from edgeadapt.text import Text
from edgeadapt.training.datasets import training_examples
from edgeadapt.training.recovery import recover

if TYPE_CHECKING:
    from edgeadapt.pipeline.export import ExportOptions

__all__ = ["FP32_FILE", "Chain", "Made"]

FP32_FILE = "onnx/model.onnx"


@dataclass(frozen=True)
class Made:
    """The results of the compression steps, and their report."""

    lowered: Lowered
    """The fp32 graph, and the torch model that it was exported from."""
    quantized: Quantized | None = None
    compression: Compression | None = None


@dataclass(frozen=True)
class Chain:
    """The compression steps of an export."""

    opened: OpenedRun
    gate: ParityGate
    judging: CompressionTexts | None
    options: "ExportOptions"
    progress: Progress

    def made(self, model: TextModel, folder: Path) -> Made:
        """Runs the requested steps and writes the ONNX files into ``folder``."""
        with TemporaryDirectory(dir=folder) as scratch:
            if self.options.compresses:
                return self._compressed(model, folder, Path(scratch))
            lowered = self._lower(()).lowered(model, Path(scratch))
            _move(lowered.fused, folder / FP32_FILE)
            return Made(lowered)

    def _compressed(self, model: TextModel, folder: Path, scratch: Path) -> Made:
        assert self.judging is not None  # the options were checked against the run
        asked, budget = self.options.quantize, Budget(self.options.max_drop)
        choosing, final = self._references(self.judging.reference)
        quantize = None
        if asked:
            simulated = self.opened.recipe.training.quant_aware
            quantize = asked.step(scratch / "tried", simulated=simulated, progress=self.progress)
        shrink = self._shrink(model, choosing, budget, scratch)
        steps: list[Step | None] = [
            shrink, self._trim(choosing), self._lower(choosing.texts), quantize
        ]  # fmt: skip
        chain = climb(
            model,
            [step for step in steps if step],
            budget=budget,
            reference=choosing,
            folder=scratch / "chain",
            verdict=(lambda chain: self._cost(chain, final)) if shrink else None,
            progress=self.progress,
        )
        by_name = {taken.step: taken for taken in chain}
        lowered = by_name[Lower.name].model
        shrunk = None
        if shrink:
            whole = self._whole(model, quantize, scratch)
            engine = asked.engine if asked else EngineName.ONNXRUNTIME
            shrunk = shrink.report(by_name[Shrink.name], _file(chain), whole, engine)
        _move(lowered.fused, folder / FP32_FILE)
        quantized = None
        if asked and quantize:
            texts = lowered.model.encoder.encode(final.texts)
            quantized = Quantized.placed(
                asked,
                quantize,
                by_name[Quantize.name],
                folder=folder,
                reference=final,
                texts=texts,
            )
            spent = quantized.cost
        else:
            texts = lowered.model.encoder.encode(final.texts)
            spent = final.cost_of(answers_of(folder / FP32_FILE, texts))
        budget.check(spent)
        compression = compression_of(
            chain,
            budget=budget,
            spent=spent,
            shrunk=shrunk,
            objective=asked.objective if asked else None,
            platform=asked.made_for if asked else None,
            engine=asked.engine if asked else None,
        )
        return Made(lowered, quantized, compression)

    def _references(self, every: Reference) -> tuple[Reference, Reference]:
        """Returns what steps choose by, and what the finished model is judged by.

        The search over smaller models tries so many that some are good on the texts that chose
        them by luck alone. Other texts are not fooled.
        """
        count = len(every.texts)
        if self.options.reduction is None:
            self.progress.say(f"Validation text: {count:,} texts judge what compression costs.")
            return every, every
        choosing, final = every.halves()
        self.progress.say(
            f"Validation text: {len(choosing.texts):,} texts choose what to remove, "
            f"{len(final.texts):,} others judge the finished model."
        )
        return choosing, final

    def _cost(self, chain: Sequence[Taken], reference: Reference) -> Drift:
        """Returns the drift of a complete chain's model on some texts."""
        lowered = _lowered(chain)
        texts = lowered.model.encoder.encode(reference.texts)
        asked = self.options.quantize
        engine = asked.engine if asked else EngineName.ONNXRUNTIME
        return reference.cost_of(answers_of(_file(chain), texts, engine))

    def _shrink(
        self, model: TextModel, reference: Reference, budget: Budget, scratch: Path
    ) -> Shrink | None:
        wanted, asked = self.options.reduction, self.options.quantize
        if wanted is None:
            return None
        asked = asked or Quantization()
        # Refuses a model with parts beside its layers by name, before anything is measured.
        torch_model = model.merged.resized(model.merged.model).model
        full = structure_of(torch_model, backbone_spec(torch_model.config.model_type))
        if wanted.depth is not None and wanted.depth > full.depth:
            raise UsageError(
                f"--compress depth={wanted.depth}: expected 1 to {full.depth}, the layers of this "
                "model.",
                hint="Leave depth out to keep all layers.",
            )
        train = training_examples(self.opened.info, progress=self.progress)
        costs = layer_costs(
            asked if self.options.quantize else None,
            EncoderShape(
                hidden=torch_model.config.hidden_size,
                head_size=head_size(torch_model),
                labels=len(self.opened.info.labels),
            ),
            full,
            max_length=model.encoder.max_length,
            threads=asked.threads or usable_cores(),
            progress=self.progress,
        )
        return Shrink(
            wanted,
            speedup=self.options.speedup,
            objective=asked.objective,
            costs=costs,
            train=train,
            budget=budget,
            reference=reference,
            folder=scratch / "smaller",
            recover=self._recovery(model, train, reference) if self.options.recover else None,
            progress=self.progress,
        )

    def _recovery(
        self, model: TextModel, train: Examples, reference: Reference
    ) -> Callable[[TextModel], TextModel]:
        """Returns what trains a smaller model on, to answer as the original does."""
        recipe = self.opened.recipe
        teacher = model.logits(train.texts)
        bits = default_weight_bits(this_platform()) if recipe.training.quant_aware else None

        def recovered(smaller: TextModel) -> TextModel:
            return recover(
                smaller,
                teacher=teacher,
                train=train,
                validation=Examples(reference.texts, reference.labels),
                task=reference.task,
                training=recipe.training,
                epochs=self.options.recover,
                weight_bits=bits,
                progress=self.progress,
            )

        return recovered

    def _whole(self, model: TextModel, quantize: Quantize | None, scratch: Path) -> Path:
        """Writes the model without anything removed, in the form that the bundle will hold."""
        (scratch / "whole").mkdir()
        lowered = self._lower(()).lowered(model, scratch / "whole")
        return quantize.first(lowered) if quantize else lowered.fused

    def _trim(self, reference: Reference) -> TrimVocabulary | None:
        counts = self.opened.piece_counts
        if self.options.trim is None or counts is None:
            return None
        return TrimVocabulary(self.options.trim.most, counts=counts, texts=reference.texts)

    def _lower(self, judging: Sequence[Text]) -> Lower:
        asked = self.options.quantize
        texts = self.judging if self.options.compresses else None
        fixed = asked is not None and Scheme.STATIC_INT8 in asked.wanted
        return Lower(
            gate=self.gate,
            exporter=self.options.exporter,
            passes=self.options.passes,
            pairs=self.opened.info.pairs,
            with_products=asked is not None,
            judging=judging,
            calibration=texts.calibration if texts and fixed else (),
        )


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    file.replace(target)


def _lowered(chain: Sequence[Taken]) -> Lowered:
    lowered = next(taken.model for taken in chain if taken.step == Lower.name)
    assert isinstance(lowered, Lowered)
    return lowered


def _file(chain: Sequence[Taken]) -> Path:
    """The file that a complete chain ends in."""
    last = chain[-1].model
    return last.fused if isinstance(last, Lowered) else Path(last)
