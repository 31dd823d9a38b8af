"""``edgeadapt export``: a run becomes a bundle, and every step is proven on real texts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self, TypeVar, cast

import onnx

from edgeadapt import __version__
from edgeadapt.compress.budget import MAX_DROP, Budget, Reference
from edgeadapt.compress.climb import climb
from edgeadapt.compress.report import compression_of
from edgeadapt.compress.step import Proposal, Step, Trial
from edgeadapt.compress.texts import CompressionTexts
from edgeadapt.data import text_columns, write_csv
from edgeadapt.documents.model_card import model_card
from edgeadapt.errors import UsageError
from edgeadapt.exporters.lowering import lower
from edgeadapt.graph.attention import count_attention
from edgeadapt.measure.machine import versions
from edgeadapt.metrics import Logits, Parity
from edgeadapt.models.merge import Merged, merge
from edgeadapt.pipeline.gates import MERGE_LIMIT, ONNX_LIMIT, ParityGate, parity_gate
from edgeadapt.pipeline.restore import (
    kept_examples,
    recipe_of,
    restore,
    text_encoder,
    write_tokenizer,
)
from edgeadapt.pipeline.run_files import CALIBRATION_FILE, VOCABULARY_FILE, named_labels
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.options import Quantization
from edgeadapt.quantize.outcome import Quantized
from edgeadapt.quantize.step import Graphs, Quantize, answers_of
from edgeadapt.recipe import EngineName, ExportConfig, Exporter, GraphPass, Scheme
from edgeadapt.runtime import ENGINES
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.shrink.vocabulary import Shrunk, TrimVocabulary
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import EVALUATION_FILE, VALIDATION_FILE, Bundle, Manifest, Variant
from edgeadapt.store.compression import Baseline, Compression
from edgeadapt.store.files import read_json
from edgeadapt.store.folders import staged_folder
from edgeadapt.store.gates import Gates
from edgeadapt.store.provenance import Provenance
from edgeadapt.store.run import Run
from edgeadapt.text import Text, TextEncoder, Tokens

__all__ = ["ExportOptions", "Quantization", "Trimming", "export"]

EVALUATION_EXAMPLES = 2_000
"""Test examples that a bundle carries at most."""

_FP32 = "onnx/model.onnx"
_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Trimming:
    """How small the vocabulary may be asked to be."""

    most: int | None = None
    """Number of embeddings; as few as accuracy allows where none is given."""

    @classmethod
    def of(cls, config: ExportConfig) -> Self | None:
        """Returns what a recipe asks for; ``None`` where it keeps the vocabulary."""
        if config.trim_vocab == "none":
            return None
        return cls(config.trim_vocab if isinstance(config.trim_vocab, int) else None)


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be asked for."""

    quantize: Quantization | None = None
    """Add a quantized variant."""
    trim: Trimming | None = None
    """Leave out the word pieces that the task does not need."""
    max_drop: float = MAX_DROP
    """Largest accuracy drop on validation text that all compression together may cost, 0 to 1."""
    with_torch: bool = False
    """Add the merged checkpoint, so that bench can run torch eager."""
    exporter: Exporter = Exporter.AUTO
    passes: tuple[GraphPass, ...] = tuple(GraphPass)
    """Exact rewritings of the graph."""
    evaluation: bool = True
    """Put test text into the bundle."""

    def __post_init__(self) -> None:
        Budget(self.max_drop)  # which refuses what is no share

    @classmethod
    def of(cls, config: ExportConfig) -> Self:
        """Returns what a recipe asks for."""
        return cls(
            quantize=Quantization.of(config) if config.quantize else None,
            trim=Trimming.of(config),
            max_drop=config.max_drop,
            with_torch=config.with_torch,
            exporter=config.exporter,
            passes=config.graph_passes,
            evaluation=config.evaluation,
        )

    def config(self) -> ExportConfig:
        """Returns the recipe's table that asks for this: what a bundle's provenance carries."""
        asked = self.quantize or Quantization()
        every = set(self.passes) == set(GraphPass)
        return ExportConfig(
            quantize=self.quantize is not None,
            engine=asked.engine,
            scheme="+".join(asked.schemes) or None,
            objective=asked.objective,
            target=asked.platform,
            max_drop=self.max_drop,
            trim_vocab="none" if self.trim is None else self.trim.most or "auto",
            with_torch=self.with_torch,
            evaluation=self.evaluation,
            exporter=self.exporter,
            passes="all" if every else "+".join(self.passes) or "none",
            threads=asked.threads,
        )

    @property
    def compresses(self) -> bool:
        """Whether anything is asked for that may cost accuracy."""
        return bool(self.quantize or self.trim)

    def check(self, run: Run) -> None:
        """Checks that a run holds what is needed, and that the engine is there.

        Raises:
            UsageError: It does not.
            MissingExtraError: It is not.
        """
        if self.quantize:
            _check_quantization(self.quantize, run)
        if self.trim:
            for name, what in (
                (VOCABULARY_FILE, "count of word pieces"),
                (VALIDATION_FILE, "text"),
            ):
                if name not in run.info.files:
                    raise UsageError(
                        f"--trim-vocab: {run.path} holds no {what} to decide by ({name}).",
                        hint="It was trained by an earlier version, or imported without data.",
                    )


def _check_quantization(asked: Quantization, run: Run) -> None:
    ENGINES[asked.engine]()
    if VALIDATION_FILE not in run.info.files:
        raise UsageError(
            f"--quantize: {run.path} holds no labelled text to judge int8 by: it was imported "
            "without data.",
            hint="Import it again with --dataset, or export without --quantize.",
        )
    if Scheme.STATIC_INT8 in asked.wanted and CALIBRATION_FILE not in run.info.files:
        option = "--scheme static-int8" if asked.schemes else f"--engine {asked.engine}"
        raise UsageError(
            f"{option}: {run.path} holds no training text to calibrate with.",
            hint="It was trained by an earlier version: train it again, or leave this out.",
        )


def export(
    run: Run,
    *,
    options: ExportOptions | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Merges, compresses and exports a run; a failed gate leaves no bundle.

    Args:
        run: A finished run.
        options: What to put into the bundle.
        output: Folder of the bundle; the run's name under ``artifacts/bundles`` where none is
            given.
        force: Replace an existing bundle.
        progress: Where to report.

    Raises:
        GateError: Merging or exporting changed the answers beyond its limit, or compression costs
            more accuracy than allowed.
        LayoutError: The run is damaged, or its backbone is not the one it was trained on.
        ExportError: The model cannot be expressed as asked.
    """
    options = options or ExportOptions()
    run.verify()
    options.check(run)
    target = output or artifacts.bundles() / run.name
    with staged_folder(target, force=force) as folder, progress.task("export", 4) as task:
        task.advance(note="backbone")
        classifier = restore(run)
        encoder = text_encoder(run)
        gate = parity_gate(run, encoder)
        before = gate.of_model(classifier.model)

        task.advance(note="merge")
        merged = merge(classifier)
        merge_parity = _prove_merge(merged, folder / "torch", gate, before, options)

        task.advance(note="compression" if options.compresses else "ONNX")
        model = Shrunk(merged, encoder)
        judging = _judging(run, model, options)
        made = _compressed(run, model, folder, gate, judging, options, progress)

        task.advance(note="bundle")
        shrunk = made.shrunk
        if options.with_torch and shrunk.merged is not merged:
            shrunk.merged.save(folder / "torch")
        write_tokenizer(folder, run, shrunk.encoder if shrunk.merged is not merged else None)
        config = shrunk.merged.stock.config
        config.name_or_path = ""  # a folder on the machine that trained
        config.to_json_file(folder / "config.json", use_diff=False)
        if options.evaluation and "predictions.csv" in run.info.files:
            _write_evaluation(folder / EVALUATION_FILE, run)
        if options.evaluation and judging:
            judging.write(folder, run.info.labels)
        manifest = Manifest(
            labels=run.info.labels,
            max_length=encoder.max_length,
            pad_id=shrunk.encoder.pad_id,
            variants=_variants(options, made),
            provenance=_provenance(run, made, options),
            gates=Gates(merged.gate(merge_parity), made.onnx_parity),
            compression=made.compression,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgeadapt=__version__,
            task=run.info.task,
            pairs=run.info.pairs,
        )
        (folder / "README.md").write_text(model_card(target.name, manifest), encoding="utf-8")
        Bundle.write(folder, manifest)
    return Bundle.open(target)


@dataclass(frozen=True)
class _Compressed:
    """What the chain of steps made, and how."""

    shrunk: Shrunk
    """The torch model behind the ONNX files."""
    exporter: Exporter
    passes: tuple[GraphPass, ...]
    onnx_parity: Parity
    quantized: Quantized | None = None
    compression: Compression | None = None


def _judging(run: Run, model: Shrunk, options: ExportOptions) -> CompressionTexts | None:
    """What judges compression, now and on the device; nothing where nobody asks for it."""
    if VALIDATION_FILE not in run.info.files or not (options.compresses or options.evaluation):
        return None
    kept = kept_examples(run, VALIDATION_FILE)
    logits = model.logits(kept.texts)
    calibration: tuple[Text, ...] = ()
    if CALIBRATION_FILE in run.info.files:
        calibration = kept_examples(run, CALIBRATION_FILE).texts
    reference = Reference(kept.texts, kept.known_labels(), run.info.task, logits)
    return CompressionTexts(reference, calibration)


def _compressed(
    run: Run,
    model: Shrunk,
    folder: Path,
    gate: ParityGate,
    judging: CompressionTexts | None,
    options: ExportOptions,
    progress: Progress,
) -> _Compressed:
    """Takes the steps that are asked for and writes the ONNX files into ``folder``."""
    with TemporaryDirectory(dir=folder) as scratch:
        lowering = _Lowering(run, gate, options)
        budget, asked = Budget(options.max_drop), options.quantize
        if not options.compresses:
            graphs = lowering.lowered(model, Path(scratch))
            _move(graphs.fused, folder / _FP32)
            return lowering.outcome(model)
        assert judging is not None  # the options were checked against the run
        reference = judging.reference
        count = len(reference.texts)
        progress.say(f"Validation text: {count:,} texts judge what compression costs.")
        lowering.judging = judging
        quantize = None
        if asked:
            simulated = recipe_of(run).training.quant_aware
            quantize = asked.step(Path(scratch) / "tried", simulated=simulated, progress=progress)
        steps: list[Step | None] = [_trimming(run, options, reference), lowering, quantize]
        chain = climb(
            model,
            [step for step in steps if step],
            budget=budget,
            reference=reference,
            folder=Path(scratch) / "chain",
            progress=progress,
        )
        by_name = {taken.step: taken for taken in chain}
        trimmed, graphs = by_name.get(TrimVocabulary.name), by_name[lowering.name].model
        _move(graphs.fused, folder / _FP32)
        quantized = None
        if asked and quantize:
            taken, texts = by_name[Quantize.name], graphs.texts
            quantized = Quantized.placed(
                asked, quantize, taken, folder=folder, reference=reference, texts=texts
            )
            spent = quantized.cost
        else:
            spent = reference.cost_of(answers_of(folder / _FP32, graphs.texts))
        budget.check(spent)
        return replace(
            lowering.outcome(trimmed.model if trimmed else model),
            quantized=quantized,
            compression=compression_of(
                chain,
                budget=budget,
                spent=spent,
                objective=asked.objective if asked else None,
                platform=asked.made_for if asked else None,
                engine=asked.engine if asked else None,
            ),
        )


def _trimming(run: Run, options: ExportOptions, reference: Reference) -> TrimVocabulary | None:
    if options.trim is None:
        return None
    counts = {name: int(count) for name, count in _piece_counts(run).items()}
    return TrimVocabulary(options.trim.most, counts=counts, texts=reference.texts)


class _Lowering:
    """From torch to ONNX: an exact step of the chain, proven by a parity gate."""

    name = "onnx"
    candidates = "graphs"
    remedy = ""

    def __init__(self, run: Run, gate: ParityGate, options: ExportOptions) -> None:
        self.run, self.gate, self.options = run, gate, options
        self.judging: CompressionTexts | None = None
        self.exporter = options.exporter
        self.parity: Parity | None = None

    def rounds(self, model: Shrunk) -> Iterator[Sequence[Proposal]]:
        """Yields the one graph there is."""
        yield [Proposal("ONNX fp32", lambda folder: self.lowered(model, folder))]

    def fallbacks(self, model: Shrunk) -> Sequence[Sequence[Proposal]]:
        """Returns nothing."""
        return ()

    def ordered(self, model: Shrunk, allowed: Sequence[Trial]) -> Sequence[Trial]:
        """Returns the one there is."""
        return allowed

    def baseline(self, model: Shrunk) -> Baseline:
        """Returns nothing: what is exact is not compared."""
        return Baseline()

    def passes_for(self, model: Shrunk) -> tuple[GraphPass, ...]:
        """Returns the graph passes: rows that are shared are held once, whatever was asked for."""
        shared = [GraphPass.SHARED_ROWS] if model.shares_rows else []
        return tuple(dict.fromkeys([*self.options.passes, *shared]))

    def lowered(self, model: Shrunk, folder: Path) -> Graphs:
        """Writes the graph, with attention as products too where quantization wants that."""
        passes, pairs = self.passes_for(model), self.run.info.pairs
        fused = folder / "model.onnx"
        gate = replace(self.gate, encoder=model.encoder)
        before = gate.of_model(model.merged.model)  # nothing that exports it can change it now
        self.exporter = lower(
            model.merged, fused, exporter=self.options.exporter, passes=passes, pairs=pairs
        )
        self.parity = gate.compare(
            "ONNX fp32 against torch",
            before,
            gate.of_engine(OnnxRuntimeEngine(fused)),
            limit=ONNX_LIMIT,
        )
        self.parity.check()
        products, asked = fused, self.options.quantize
        if asked and count_attention(onnx.load(fused)):
            products = folder / "products.onnx"
            others = tuple(each for each in passes if each is not GraphPass.ATTENTION)
            lower(model.merged, products, exporter=self.exporter, passes=others, pairs=pairs)
        texts, calibration = self._tokens(model.encoder)
        return Graphs(fused, products, texts, calibration)

    def _tokens(self, encoder: TextEncoder) -> tuple[Sequence[Tokens], Sequence[Tokens]]:
        """The texts to judge by and to calibrate with, where anything is compressed."""
        if self.judging is None:
            return (), ()
        asked = self.options.quantize
        fixed = asked and Scheme.STATIC_INT8 in asked.wanted
        calibration = encoder.encode(self.judging.calibration) if fixed else ()
        return encoder.encode(self.judging.reference.texts), calibration

    def outcome(self, model: Shrunk) -> _Compressed:
        """Returns what was made of a model."""
        assert self.parity is not None
        return _Compressed(model, self.exporter, self.passes_for(model), self.parity)


def _move(file: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    file.replace(target)


def _piece_counts(run: Run) -> Mapping[str, int]:
    return read_json(run.path / VOCABULARY_FILE)


def _prove_merge(
    merged: Merged,
    checkpoint: Path,
    gate: ParityGate,
    reference: dict[int, Logits],
    options: ExportOptions,
) -> Parity:
    """Compares the model after folding, a stock one as plain transformers reloads it."""
    model = merged.model
    if merged.is_stock or options.with_torch:
        model = merged.save(checkpoint)
        if not options.with_torch:
            for file in checkpoint.iterdir():
                file.unlink()
            checkpoint.rmdir()
    parity = gate.compare(
        "Merged model against adapters", reference, gate.of_model(model), limit=MERGE_LIMIT
    )
    parity.check()
    return parity


def _variants(options: ExportOptions, made: _Compressed) -> dict[str, Variant]:
    variants = {"fp32": Variant(_FP32, EngineName.ONNXRUNTIME)}
    if made.quantized:
        name, variant = made.quantized.variant
        variants[name] = variant
    if options.with_torch:
        variants["torch"] = Variant("torch/model.safetensors", EngineName.TORCH)
    return variants


def _provenance(run: Run, made: _Compressed, options: ExportOptions) -> Provenance:
    info = run.info
    return Provenance(
        run=run.name,
        method=info.method,
        recipe={
            name: {key: _last_part(value) for key, value in table.items()}
            for name, table in {**info.recipe, "export": asdict(options.config())}.items()
        },
        backbone=replace(info.backbone, id=_last_part(info.backbone.id)),
        frozen_sha256=info.frozen_sha256.after,
        data_fingerprint=info.data.fingerprint,
        trainable_parameters=info.trainable_parameters,
        total_parameters=info.total_parameters,
        validation=info.validation,
        test=info.test,
        exporter=made.exporter,
        passes=made.passes,
        versions=versions(),
    )


def _last_part(value: _Any) -> _Any:
    """Absolute paths cut to their last part: a bundle travels and tells nothing of its maker."""
    if isinstance(value, str) and Path(value).is_absolute():
        return cast("_Any", Path(value).name)
    return value


def _write_evaluation(path: Path, run: Run) -> None:
    examples = kept_examples(run, "predictions.csv").first(EVALUATION_EXAMPLES)
    labels = named_labels(examples, run.info.labels)
    write_csv(path, {**text_columns(examples.texts), "label": labels})
