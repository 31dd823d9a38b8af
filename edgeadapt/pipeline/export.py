"""``edgeadapt export``: a run becomes a bundle, and every step is proven on real texts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgeadapt import __version__
from edgeadapt.bundle import Bundle, Manifest, Variant
from edgeadapt.config import EngineName, Exporter, GraphPass
from edgeadapt.data import text_columns, write_csv
from edgeadapt.measure.machine import versions
from edgeadapt.metrics import Logits, Parity
from edgeadapt.models.merge import Merged, merge
from edgeadapt.pipeline import places
from edgeadapt.pipeline.gates import MERGE_LIMIT, ONNX_LIMIT, ParityGate, parity_gate
from edgeadapt.pipeline.lower import lower
from edgeadapt.pipeline.model_card import model_card
from edgeadapt.pipeline.quantized import SCHEMES, Quantization, Quantized, quantized
from edgeadapt.pipeline.restore import kept_examples, restore, text_encoder, write_tokenizer
from edgeadapt.pipeline.run_files import named_labels
from edgeadapt.pipeline.trimmed import Trimming, trimmed
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.storage import staged_folder

__all__ = ["SCHEMES", "ExportOptions", "Quantization", "Trimming", "export"]

EVALUATION_EXAMPLES = 2_000
"""Test examples that a bundle carries at most."""

_FP32 = "onnx/model.onnx"


@dataclass(frozen=True)
class ExportOptions:
    """What an export may be asked for."""

    quantize: Quantization | None = None
    """Add a quantized variant."""
    trim: Trimming | None = None
    """Leave out the word pieces that the task does not need."""
    with_torch: bool = False
    """Add the merged checkpoint, so that bench can run torch eager."""
    exporter: Exporter = Exporter.AUTO
    passes: tuple[GraphPass, ...] = tuple(GraphPass)
    """Exact rewritings of the graph."""
    evaluation: bool = True
    """Put test text into the bundle."""


def export(
    run: Run,
    *,
    options: ExportOptions | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Merges, exports and quantizes a run; a failed gate leaves no bundle.

    Args:
        run: A finished run.
        options: What to put into the bundle.
        output: Folder of the bundle; the run's name under ``artifacts/bundles`` where none is
            given.
        force: Replace an existing bundle.
        progress: Where to report.

    Raises:
        GateError: Merging, exporting or quantizing changed the answers beyond its limit.
        LayoutError: The run is damaged, or its backbone is not the one it was trained on.
        ExportError: The model cannot be expressed as asked.
    """
    options = options or ExportOptions()
    run.verify()
    for lossy in (options.quantize, options.trim):
        if lossy:
            lossy.check(run)
    target = output or places.bundles() / run.name
    with staged_folder(target, force=force) as folder, progress.task("export", 5) as task:
        task.advance(note="backbone")
        classifier = restore(run)
        encoder = text_encoder(run)
        gate = parity_gate(run, encoder)
        reference = gate.of_model(classifier.model)

        task.advance(note="merge")
        merged = merge(classifier)
        merge_parity = _prove_merge(merged, folder / "torch", gate, reference, options)

        vocabulary, passes = None, options.passes
        if options.trim:
            vocabulary = trimmed(run, merged, encoder, asked=options.trim, progress=progress)
            encoder = vocabulary.encoder
            gate = replace(gate, encoder=encoder)
            reference = gate.of_model(merged.model)
            if options.with_torch:
                merged.save(folder / "torch")
            if vocabulary.is_shared:
                passes = tuple(dict.fromkeys([*passes, GraphPass.SHARED_ROWS]))

        task.advance(note="ONNX")
        exporter = lower(
            merged,
            folder / _FP32,
            exporter=options.exporter,
            passes=passes,
            pairs=run.info.pairs,
        )
        fp32 = OnnxRuntimeEngine(folder / _FP32)
        onnx_parity = gate.compare(
            "ONNX fp32 against torch", reference, gate.of_engine(fp32), limit=ONNX_LIMIT
        )
        onnx_parity.check()

        task.advance(note="quantization" if options.quantize else "")
        chosen = None
        if options.quantize:
            chosen = quantized(
                run,
                merged,
                encoder,
                folder / _FP32,
                asked=options.quantize,
                exporter=exporter,
                passes=passes,
                progress=progress,
            )

        task.advance(note="bundle")
        write_tokenizer(folder, run, encoder if vocabulary else None)
        merged.stock.config.name_or_path = ""  # a folder on the machine that trained
        merged.stock.config.to_json_file(folder / "config.json", use_diff=False)
        if options.evaluation and "predictions.csv" in run.info.files:
            _write_evaluation(folder / "evaluation.csv", run)
        manifest = Manifest(
            labels=run.info.labels,
            max_length=encoder.max_length,
            pad_id=encoder.pad_id,
            variants=_variants(options, chosen),
            provenance={**_provenance(run, exporter), "passes": list(passes)},
            parity={
                "merge": {**merge_parity.to_dict(), **merged.report()},
                "onnx": onnx_parity.to_dict(),
                "int8": chosen.parity() if chosen else None,
                **({"vocabulary": vocabulary.report()} if vocabulary else {}),
            },
            quantization=chosen.to_dict() if chosen else None,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            edgeadapt=__version__,
            task=run.info.task,
            pairs=run.info.pairs,
        )
        (folder / "README.md").write_text(model_card(target.name, manifest), encoding="utf-8")
        Bundle.write(folder, manifest)
    return Bundle.open(target)


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


def _variants(options: ExportOptions, chosen: Quantized | None) -> dict[str, Variant]:
    variants = {"fp32": Variant(_FP32, EngineName.ONNXRUNTIME)}
    if chosen:
        variants[chosen.name] = chosen.variant
    if options.with_torch:
        variants["torch"] = Variant("torch/model.safetensors", EngineName.TORCH)
    return variants


def _provenance(run: Run, exporter: Exporter) -> dict[str, Any]:
    info = run.info
    return {
        "run": run.name,
        "method": info.recipe["adapter"]["method"],
        "recipe": _without_folders(info.recipe),
        "backbone": _without_folders({"backbone": info.backbone})["backbone"],
        "frozen_sha256": info.frozen_sha256["after"],
        "data_fingerprint": info.data["fingerprint"],
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        "validation": info.validation,
        "test": info.test,
        "exporter": exporter,
        "versions": versions(),
    }


def _without_folders(tables: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Absolute paths cut to their last part: a bundle travels and tells nothing of its maker."""
    return {
        name: {key: _last_part(value) for key, value in table.items()}
        for name, table in tables.items()
    }


def _last_part(value: object) -> object:
    return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value


def _write_evaluation(path: Path, run: Run) -> None:
    examples = kept_examples(run, "predictions.csv").first(EVALUATION_EXAMPLES)
    labels = named_labels(examples, run.info.labels)
    write_csv(path, {**text_columns(examples.texts), "label": labels})
