"""``edgeadapt export``: export a run as a bundle, and check every step on real texts."""

import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar, cast

from edgeadapt import __version__
from edgeadapt.compress.budget import MAX_DROP, Budget, Reference
from edgeadapt.compress.texts import CompressionTexts
from edgeadapt.data import write_csv
from edgeadapt.documents.model_card import model_card
from edgeadapt.errors import UsageError
from edgeadapt.measure.machine import versions
from edgeadapt.metrics import Logits, Parity
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.parity import MERGE_LIMIT, ParityGate, parity_gate
from edgeadapt.models.text_model import TextModel
from edgeadapt.pipeline.export_chain import FP32_FILE, Chain, Made
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.options import Quantization
from edgeadapt.recipe import EngineName, ExportConfig, Exporter, GraphPass, Scheme
from edgeadapt.recipe.reduction import Reduction
from edgeadapt.runtime import ENGINES
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import EVALUATION_FILE, Bundle, Manifest, Variant
from edgeadapt.store.folders import staged_folder
from edgeadapt.store.gates import Gates
from edgeadapt.store.provenance import Provenance
from edgeadapt.store.run import VALIDATION_FILE, VOCABULARY_FILE, Run

__all__ = ["ExportOptions", "Quantization", "Trimming", "export"]

EVALUATION_EXAMPLES = 2_000
"""Most test examples in a bundle."""

_Any = TypeVar("_Any")


@dataclass(frozen=True)
class Trimming:
    """Settings for trimming the vocabulary."""

    most: int | None = None
    """Number of embeddings; ``None`` for as few as the accuracy budget allows."""

    @classmethod
    def of(cls, config: ExportConfig) -> Self | None:
        """Returns the settings of a recipe; ``None`` where it keeps the vocabulary."""
        if config.trim_vocab == "none":
            return None
        return cls(config.trim_vocab if isinstance(config.trim_vocab, int) else None)


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export."""

    quantize: Quantization | None = None
    """Add a quantized variant."""
    reduction: Reduction | None = None
    """Remove layers, attention heads and FFN neurons; ``None`` to keep all."""
    speedup: float | None = None
    """How many times as fast the reduced model has to be; ``None`` for as fast as the budget
    allows, or as ``reduction`` says."""
    recover: int = 0
    """Epochs to train the reduced model on."""
    trim: Trimming | None = None
    """Remove word pieces that the task does not need; ``None`` to keep all."""
    max_drop: float = MAX_DROP
    """Largest accuracy drop on validation text from all compression steps together, 0 to 1."""
    with_torch: bool = False
    """Add the merged checkpoint, so that bench can run torch eager."""
    exporter: Exporter = Exporter.AUTO
    passes: tuple[GraphPass, ...] = tuple(GraphPass)
    """Exact graph optimizations."""
    evaluation: bool = True
    """Put test text into the bundle."""

    def __post_init__(self) -> None:
        Budget(self.max_drop)  # raises an error for an invalid share
        if self.speedup is not None and not (self.reduction and self.reduction.is_search):
            raise UsageError(
                "--speedup: expected --compress auto or none beside it, found numbers.",
                hint="The numbers of --compress decide the speed: leave one of the two out.",
            )
        if self.recover and self.reduction is None:
            raise UsageError(
                "--recover: expected --compress or --speedup beside it, found none.",
                hint="There is nothing to recover from. To train a run on: edgeadapt train --start",
            )

    @classmethod
    def of(cls, config: ExportConfig) -> Self:
        """Returns the options of a recipe."""
        return cls(
            quantize=Quantization.of(config) if config.quantize else None,
            reduction=config.reduction,
            speedup=config.speedup,
            recover=config.recover,
            trim=Trimming.of(config),
            max_drop=config.max_drop,
            with_torch=config.with_torch,
            exporter=config.exporter,
            passes=config.graph_passes,
            evaluation=config.evaluation,
        )

    def config(self) -> ExportConfig:
        """Returns the recipe table for these options, for the provenance of a bundle."""
        asked = self.quantize or Quantization()
        every = set(self.passes) == set(GraphPass)
        return ExportConfig(
            quantize=self.quantize is not None,
            engine=asked.engine,
            scheme="+".join(asked.schemes) or None,
            objective=asked.objective,
            target=asked.platform,
            max_drop=self.max_drop,
            compress=str(self.reduction or "none"),
            speedup=self.speedup,
            recover=self.recover,
            trim_vocab="none" if self.trim is None else self.trim.most or "auto",
            with_torch=self.with_torch,
            evaluation=self.evaluation,
            exporter=self.exporter,
            passes="all" if every else "+".join(self.passes) or "none",
            threads=asked.threads,
        )

    @property
    def compresses(self) -> bool:
        """Whether any option may cost accuracy."""
        return bool(self.quantize or self.reduction or self.trim)

    def check(self, opened: OpenedRun) -> None:
        """Checks that a run has the required files, and that the engine is installed.

        Raises:
            UsageError: A file is missing in the run.
            MissingExtraError: The engine is not installed.
        """
        if self.quantize:
            _check_quantization(self.quantize, opened)
        if self.reduction and opened.validation is None:
            raise UsageError(
                f"--compress: {opened.run.path} holds no labelled text to judge a smaller model "
                "by: it was imported without data.",
                hint="Import it again with --dataset, or export without --compress.",
            )
        if self.trim:
            for is_there, what in (
                (opened.piece_counts, f"count of word pieces to decide by ({VOCABULARY_FILE})"),
                (opened.validation, f"text to decide by ({VALIDATION_FILE})"),
            ):
                if is_there is None:
                    raise UsageError(
                        f"--trim-vocab: {opened.run.path} holds no {what}.",
                        hint="It was trained by an earlier version, or imported without data.",
                    )


def _check_quantization(asked: Quantization, opened: OpenedRun) -> None:
    ENGINES[asked.engine]()
    if opened.validation is None:
        raise UsageError(
            f"--quantize: {opened.run.path} holds no labelled text to judge int8 by: it was "
            "imported without data.",
            hint="Import it again with --dataset, or export without --quantize.",
        )
    if Scheme.STATIC_INT8 in asked.wanted and opened.calibration is None:
        option = "--scheme static-int8" if asked.schemes else f"--engine {asked.engine}"
        raise UsageError(
            f"{option}: {opened.run.path} holds no training text to calibrate with.",
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
    """Merges, compresses and exports a run. If a gate fails, no bundle is written.

    Args:
        run: A finished run.
        options: Compression and content of the bundle.
        output: Folder of the bundle; by default the name of the run under ``artifacts/bundles``.
        force: Replace an existing bundle.
        progress: Where to report.

    Raises:
        GateError: Merging or exporting changed the logits by more than the limit, or compression
            exceeds the accuracy budget.
        LayoutError: The run is damaged, or its backbone is not the one it was trained on.
        ExportError: The model cannot be exported with these options.
    """
    options = options or ExportOptions()
    opened = OpenedRun.of(run)
    options.check(opened)
    target = output or artifacts.bundles() / run.name
    with (
        staged_folder(target, force=force, known_by=Bundle.MANIFEST) as folder,
        progress.bar("export", 4) as bar,
    ):
        bar.advance(note="backbone")
        classifier = opened.classifier()
        gate = parity_gate(opened)
        before = gate.of_model(classifier.model)

        bar.advance(note="merge")
        merged = merge(classifier)
        merge_parity = _prove_merge(merged, folder / "torch", gate, before, options)

        bar.advance(note="compression" if options.compresses else "ONNX")
        model = TextModel(merged, opened.encoder)
        judging = _judging(opened, model, options)
        made = Chain(opened, gate, judging, options, progress).made(model, folder)

        bar.advance(note="bundle")
        _write_files(folder, opened, merged, made.lowered.model, options)
        if options.evaluation and judging:
            judging.write(folder, run.info.labels)
        gates = Gates(merged.gate(merge_parity), made.lowered.parity)
        manifest = _manifest(run, made, gates, options)
        (folder / "README.md").write_text(model_card(target.name, manifest), encoding="utf-8")
        Bundle.write(folder, manifest)
    return Bundle.open(target)


def _judging(
    opened: OpenedRun, model: TextModel, options: ExportOptions
) -> CompressionTexts | None:
    """The texts and labels that judge compression; ``None`` where it is not needed."""
    kept = opened.validation
    if kept is None or not (options.compresses or options.evaluation):
        return None
    calibration = opened.calibration.texts if opened.calibration else ()
    logits = model.logits(kept.texts)
    reference = Reference(kept.texts, kept.known_labels(), opened.info.task, logits)
    return CompressionTexts(reference, calibration)


def _prove_merge(
    merged: Merged,
    checkpoint: Path,
    gate: ParityGate,
    reference: dict[int, Logits],
    options: ExportOptions,
) -> Parity:
    """Checks the parity of the merged model; a stock model is first reloaded by transformers."""
    model = merged.model
    if merged.is_stock or options.with_torch:
        model = merged.save(checkpoint)
        if not options.with_torch:
            shutil.rmtree(checkpoint)
    parity = gate.compare(
        "Merged model against adapters", reference, gate.of_model(model), limit=MERGE_LIMIT
    )
    parity.check()
    return parity


def _write_files(
    folder: Path, opened: OpenedRun, merged: Merged, model: TextModel, options: ExportOptions
) -> None:
    """Writes the files beside the graphs: checkpoint, tokenizer, settings, test text.

    Args:
        folder: Folder of the bundle; it contains the checkpoint of ``merged`` if requested.
        opened: The run.
        merged: The model before compression.
        model: The torch model that the graphs were exported from.
        options: The options of the export.
    """
    changed = model.merged is not merged
    if options.with_torch and changed:
        model.merged.save(folder / "torch")
    opened.write_tokenizer(folder, model.encoder if changed else None)
    config = model.merged.stock.config
    config.name_or_path = ""  # a folder on the machine that trained
    config.to_json_file(folder / "config.json", use_diff=False)
    if options.evaluation and opened.test:
        test = opened.test.first(EVALUATION_EXAMPLES)
        write_csv(folder / EVALUATION_FILE, test.columns(opened.info.labels))


def _manifest(run: Run, made: Made, gates: Gates, options: ExportOptions) -> Manifest:
    info, encoder = run.info, made.lowered.model.encoder
    return Manifest(
        labels=info.labels,
        max_length=encoder.max_length,
        pad_id=encoder.pad_id,
        variants=_variants(options, made),
        provenance=_provenance(run, made, options),
        gates=gates,
        compression=made.compression,
        structure=made.lowered.model.merged.structure,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
        task=info.task,
        pairs=info.pairs,
    )


def _variants(options: ExportOptions, made: Made) -> dict[str, Variant]:
    variants = {"fp32": Variant(FP32_FILE, EngineName.ONNXRUNTIME)}
    if made.quantized:
        name, variant = made.quantized.variant
        variants[name] = variant
    if options.with_torch:
        variants["torch"] = Variant("torch/model.safetensors", EngineName.TORCH)
    return variants


def _provenance(run: Run, made: Made, options: ExportOptions) -> Provenance:
    info = run.info
    return Provenance(
        run=run.name,
        method=info.method,
        recipe={
            name: {key: _last_part(value) for key, value in table.items()}
            for name, table in replace(info.recipe, export=options.config()).to_dict().items()
        },
        backbone=replace(info.backbone, id=_last_part(info.backbone.id)),
        frozen_sha256=info.frozen_sha256.after,
        data_fingerprint=info.data.fingerprint,
        trainable_parameters=info.trainable_parameters,
        total_parameters=info.total_parameters,
        validation=info.validation,
        test=info.test,
        exporter=made.lowered.exporter,
        passes=made.lowered.passes,
        versions=versions(),
    )


def _last_part(value: _Any) -> _Any:
    """Reduces absolute paths to their last component, because bundles are published."""
    if isinstance(value, str) and Path(value).is_absolute():
        return cast("_Any", Path(value).name)
    return value
