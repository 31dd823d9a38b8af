"""``edgeadapt inspect``: verify and describe a run, bundle, record or checkpoint."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict

from edgeadapt.benchmark.noise import disturbances
from edgeadapt.documents.compression import merge_note
from edgeadapt.documents.structure import removed
from edgeadapt.errors import EdgeAdaptError, MissingError, UnfinishedError
from edgeadapt.recipe import EngineName, ModelConfig
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.checkpoint import bundled_checkpoint_config, read_checkpoint_config
from edgeadapt.store.compression import Shrunk
from edgeadapt.store.files import read_json
from edgeadapt.store.manifests import read_manifest
from edgeadapt.store.record import Record
from edgeadapt.store.run import UNFINISHED, Run, RunInfo
from edgeadapt.store.structure import Structure
from edgeadapt.typed import Count, from_json

__all__ = ["describe_run", "inspect"]


class _Backbone(TypedDict):
    id: str


class _Pretraining(TypedDict):
    """The keys of ``pretraining.json`` that are shown."""

    backbone: _Backbone
    texts: Count
    perplexity_before: float
    perplexity_after: float
    created: str


class _Config(TypedDict, total=False):
    """The keys of a checkpoint's ``config.json`` that are shown."""

    model_type: str | None
    architectures: Sequence[str] | None
    id2label: Mapping[str, str] | None


def inspect(name: str) -> dict[str, object]:
    """Opens and verifies a run, bundle or record; a checkpoint has no hashes.

    Args:
        name: A path, or a name under ``artifacts/``.

    Returns:
        ``{"kind": "run" | "bundle" | "record" | "checkpoint", "path": …}`` and a short
        description; for a checkpoint that ``train`` and ``export`` reject, ``refused`` is the
        reason.

    Raises:
        LayoutError: It is none of these, unfinished, newer or damaged.
        ModelError: A bundle's checkpoint has an unsupported model type, or names code to run.
    """
    path = _find(name)
    if path.is_file():
        return {"kind": "record", "path": str(path), **_record(Record.open(path))}
    if (path / "manifest.json").is_file():
        bundle = Bundle.open(path)
        bundle.verify()
        for key, variant in bundle.manifest.variants.items():
            if variant.engine == EngineName.TORCH:
                bundled_checkpoint_config(bundle, key)
        bundle.text_encoder()  # checks that the tokenizer matches the model
        return {"kind": "bundle", "path": str(path), **_bundle(bundle)}
    if (path / "run.json").is_file():
        run = Run.open(path)
        run.verify()
        return {"kind": "run", "path": str(path), **describe_run(run)}
    if (path / "config.json").is_file() and any(map(_is_weights, path.iterdir())):
        return {"kind": "checkpoint", "path": str(path), **_checkpoint(path)}
    hint = UnfinishedError.default_hint
    if (path / UNFINISHED).is_dir():
        begun = "pretrain" if path.parent == artifacts.checkpoints() else "train"
        hint = f"It is not finished. Resume it with: edgeadapt {begun} --resume {path}"
    raise UnfinishedError(
        f"{path} is not a finished run, bundle or checkpoint: it has neither run.json nor "
        "manifest.json nor a model's config.json and weights.",
        hint=hint,
    )


def _find(name: str) -> Path:
    candidates = [
        Path(name).expanduser(),
        artifacts.runs() / name,
        artifacts.bundles() / name,
        artifacts.checkpoints() / name,
        artifacts.records() / f"{name.removesuffix('.json')}.json",
    ]
    existing = [path for path in candidates if path.exists()]
    if not existing:
        raise MissingError(
            f"There is no run, bundle, record or checkpoint {name!r}.",
            hint=f"Give a path, or a name under {artifacts.runs().parent}.",
        )
    if len(existing) > 1 and existing[0] != candidates[0]:
        listed = ", ".join(map(str, existing))
        raise MissingError(
            f"{name!r} is more than one thing: found {listed}.",
            hint=f"Give the path, such as: edgeadapt inspect {existing[-1]}",
        )
    return existing[0]


def describe_run(run: Run) -> dict[str, object]:
    """Returns a short description of a run."""
    info = run.info
    recipe = info.recipe
    return {
        "method": recipe.adapter.method,
        "backbone": info.backbone.id,
        "dataset": recipe.data.dataset,
        "examples": dict(info.data.examples),
        "task": info.task,
        "pairs": info.pairs,
        "labels": list(info.labels),
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        **_outcome(info),
        "created": info.created,
        "files_verified": len(info.files),
    }


def _outcome(info: RunInfo) -> dict[str, object]:
    """The training or import of a run, and its scores, where measured."""
    known: dict[str, object] = {}
    if info.imported:
        known["imported_from"] = f"{info.imported.folder} ({info.imported.format})"
    for name, scores in (("validation", info.validation), ("test", info.test)):
        if scores:
            known[f"{name}_accuracy"] = scores.accuracy
    if not info.imported:
        known |= {"best_epoch": info.best_epoch, "seconds": round(info.seconds, 1)}
    return known


def _bundle(bundle: Bundle) -> dict[str, object]:
    manifest = bundle.manifest
    origin, gates, compression = manifest.provenance, manifest.gates, manifest.compression
    quantized = any(variant.scheme for variant in manifest.variants.values())
    int8 = compression.spent if compression and quantized else None
    return {
        "method": origin.method,
        "backbone": origin.backbone.id if origin.backbone else None,
        "run": origin.run,
        "task": manifest.task,
        "pairs": manifest.pairs,
        "labels": list(manifest.labels),
        "max_length": manifest.max_length,
        **_structure(manifest.structure),
        **_shrunk(compression.shrunk if compression else None),
        "variants": {name: bundle.variant_bytes(name) for name in manifest.variants},
        "merge": merge_note(gates.merge),
        "merge_difference": gates.merge.parity.max_difference,
        "onnx_difference": gates.onnx.max_difference,
        "int8_agreement": int8.label_agreement if int8 else None,
        "int8_accuracy_drop": int8.accuracy_drop if int8 else None,
        "created": manifest.created,
        "files_verified": len(manifest.files),
    }


def _structure(structure: Structure | None) -> dict[str, object]:
    """The heads and neurons of each layer of a pruned model."""
    if structure is None:
        return {}
    return {
        "heads_by_layer": list(structure.heads),
        "neurons_by_layer": list(structure.neurons),
    }


def _shrunk(shrunk: Shrunk | None) -> dict[str, object]:
    """How much was removed from the layers, and how much faster that is."""
    if shrunk is None:
        return {}
    return {
        "removed": removed(shrunk),
        "speedup_tokens": shrunk.tokens,
        "speedup_predicted": shrunk.predicted,
        "speedup_measured": shrunk.measured,
    }


def _checkpoint(path: Path) -> dict[str, object]:
    file = path / "config.json"
    config = from_json(_Config, read_json(file), where=str(file))
    described: dict[str, object] = {
        "model_type": config.get("model_type"),
        "architecture": next(iter(config.get("architectures") or ()), None),
        "labels": _labels(config.get("id2label") or {}),
        "bytes": sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
    }
    if refused := _refused(path):
        described["refused"] = refused
    file = path / "pretraining.json"
    if file.is_file():
        value = read_manifest(file, supported=2, hashed_from=2)
        found = from_json(_Pretraining, value, where=str(file))
        described |= {
            "pretrained_from": found["backbone"]["id"],
            "texts": found["texts"],
            "perplexity": f"{found['perplexity_before']:.1f} → {found['perplexity_after']:.1f}",
            "created": found["created"],
        }
    return described


def _refused(path: Path) -> str | None:
    """Why ``train`` and ``export`` reject a checkpoint, from quick checks only.

    Weights are not read. Without the train tier, only config.json is checked.
    """
    try:
        if find_spec("transformers") is None or find_spec("torch") is None:
            read_checkpoint_config(path)
            return None
        # Imported here, because runs, bundles and records can be inspected without the train tier.
        from edgeadapt.models.sources import find_model
        from edgeadapt.models.tokenizer import load_tokenizer
        from edgeadapt.models.weights import check_weight_files, check_weight_names

        source = find_model(ModelConfig(id=str(path)))
        check_weight_names(check_weight_files(path), source.spec, folder=path)
        load_tokenizer(source, max_length=source.max_length())
    except EdgeAdaptError as error:
        return error.message
    return None


def _is_weights(path: Path) -> bool:
    return path.suffix == ".safetensors" or path.match("pytorch_model*.bin")


def _labels(names: Mapping[str, str]) -> list[str]:
    """Label names in the order of the logits; the keys in a checkpoint are sorted as text."""
    return [name for _, name in sorted(names.items(), key=lambda pair: (len(pair[0]), pair[0]))]


def _record(record: Record) -> dict[str, object]:
    return {
        "machine": record.machine.cpu,
        "threads": record.threads,
        "rows": [f"{sample.bundle}:{sample.variant}" for sample in record.samples],
        "baseline": record.baseline,
        "texts": record.evaluation.texts,
        "disturbed_by": disturbances(record),
        "created": record.created,
    }
