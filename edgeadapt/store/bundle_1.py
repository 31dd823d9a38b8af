"""Convert manifests of bundles of version 1 to version 2."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import NotRequired, TypedDict, cast

from edgeadapt.errors import LayoutError
from edgeadapt.metrics import Drift, Parity, Score
from edgeadapt.recipe import EngineName, Objective, Platform
from edgeadapt.store.compression import Baseline, Compression, Setting, StepReport, TrialReport
from edgeadapt.store.gates import Gates, Leftover, MergeGate
from edgeadapt.store.provenance import Backbone, Provenance
from edgeadapt.typed import Count, from_json

__all__ = ["upgraded_bundle"]

_DECIDING_TEXTS, _SLACK = 1_000, 0.01
"""Defaults for settings of the gates that most bundles of version 1 do not record."""


class _Parity(TypedDict):
    """A parity gate; other keys are ignored."""

    gate: str
    max_difference: float
    limit: float
    texts: Count
    label_agreement: float


class _Merge(_Parity):
    leftover: NotRequired[Leftover]
    unshared_bytes: NotRequired[Count]


class _Drift(TypedDict):
    texts: Count
    accuracy_before: float
    accuracy_after: float
    accuracy_drop: float
    drop_interval: tuple[float, float]
    label_agreement: float
    largest_shift: float
    rms_shift: NotRequired[float]


class _Int8(_Drift):
    scheme: str
    max_drop: float


class _Vocabulary(_Drift):
    """The other keys are the settings of the step."""

    max_drop: float
    embeddings: Count
    pieces_before: Count
    others: str


class _Gates(TypedDict):
    merge: _Merge
    onnx: _Parity
    int8: NotRequired[_Int8 | None]
    vocabulary: NotRequired[_Vocabulary | None]


class _Trial(TypedDict):
    name: str
    candidate: Mapping[str, Setting]
    drift: _Drift
    bytes: Count
    allowed: bool
    latency_ms: NotRequired[float | None]
    peak_bytes: NotRequired[Count | None]


class _Quantization(TypedDict):
    objective: Objective
    platform: Platform
    engine: NotRequired[EngineName]
    trials: tuple[_Trial, ...]
    chosen: str
    fp32_ms: float
    noise: NotRequired[float]
    sensitivity: Mapping[str, float]


class _Provenance(TypedDict, total=False):
    """The keys that are checked here. Scores that were not measured are empty objects."""

    validation: Mapping[str, object]  # a score, or empty
    test: Mapping[str, object]
    backbone: Mapping[str, object]  # may contain keys that no longer exist


class _Size(TypedDict):
    bytes: Count


class _Variant(TypedDict):
    file: str
    scheme: str | None


class _Manifest(TypedDict):
    variants: Mapping[str, _Variant]
    provenance: _Provenance
    parity: _Gates
    quantization: NotRequired[_Quantization | None]
    files: Mapping[str, _Size]


def upgraded_bundle(value: Mapping[str, object], path: Path) -> dict[str, object]:
    """Returns the content of a manifest of version 1 in the form of version 2.

    Args:
        value: The content of ``manifest.json``.
        path: Its path, for messages.

    Raises:
        LayoutError: It is not the manifest of a bundle.
    """
    where = f"{path} is not a bundle's"
    old = from_json(_Manifest, dict(value), where=where)
    kept = {key: each for key, each in value.items() if key not in ("parity", "quantization")}
    try:
        compression = _compression(old)
    except ValueError as error:
        raise LayoutError(f"{where}: {error}.") from None
    return kept | {
        "provenance": _provenance(old["provenance"]),
        "gates": asdict(_gates(old["parity"])),
        "compression": None if compression is None else asdict(compression),
    }


def _provenance(old: _Provenance) -> dict[str, object]:
    kept = _known(Provenance, old)
    validation, test, backbone = old.get("validation"), old.get("test"), old.get("backbone")
    return kept | {
        "validation": _known(Score, validation) if validation else None,
        "test": _known(Score, test) if test else None,
        "backbone": _known(Backbone, backbone) if backbone else None,
    }


def _known(kind: type, value: Mapping[str, object]) -> dict[str, object]:
    """The keys of an older object for which the dataclass has a field."""
    names = [field.name for field in fields(kind)]
    return {name: value[name] for name in names if name in value}


def _gates(old: _Gates) -> Gates:
    merge = old["merge"]
    left = merge.get("leftover", Leftover(0, 0))
    gate = MergeGate(_parity(merge), left, merge.get("unshared_bytes", 0))
    return Gates(gate, _parity(old["onnx"]))


def _parity(old: _Parity) -> Parity:
    return from_json(Parity, _known(Parity, old), where="parity")


def _drift(old: _Drift) -> Drift:
    return from_json(Drift, _known(Drift, old), where="drift")


def _compression(old: _Manifest) -> Compression | None:
    int8, vocabulary = old["parity"].get("int8"), old["parity"].get("vocabulary")
    last = int8 or vocabulary
    if last is None:
        return None
    steps = [_vocabulary(vocabulary)] if vocabulary else []
    quantization = old.get("quantization")
    if int8:
        steps.append(_quantized(quantization, int8) if quantization else _int8(int8, old))
    return Compression(
        max_drop=last["max_drop"],
        texts=last["texts"],
        deciding_texts=_DECIDING_TEXTS,
        slack=_SLACK,
        steps=tuple(steps),
        spent=_drift(last),
        objective=quantization["objective"] if quantization else None,
        platform=quantization["platform"] if quantization else None,
        engine=quantization.get("engine", EngineName.ONNXRUNTIME) if quantization else None,
    )


def _vocabulary(old: _Vocabulary) -> StepReport:
    """Version 1 recorded only the chosen vocabulary, without its size in bytes."""
    name = f"{old['embeddings']:,} embeddings, other pieces {old['others']}"
    own_keys = {"max_drop", *(field.name for field in fields(Drift))}
    # Their types are checked with the manifest that they become part of.
    settings = cast("dict[str, Setting]", {k: v for k, v in old.items() if k not in own_keys})
    return StepReport(
        name="vocabulary",
        candidates="vocabularies",
        title=f"{old['embeddings']:,} embeddings of {old['pieces_before']:,}, other pieces "
        f"{old['others']}",
        trials=(TrialReport(name, settings, _drift(old), bytes=None, allowed=True),),
        chosen=name,
    )


def _quantized(old: _Quantization, gate: _Int8) -> StepReport:
    return _quantize_step(
        gate["scheme"],
        (
            TrialReport(
                name=trial["name"],
                settings=trial["candidate"],
                drift=_drift(trial["drift"]),
                bytes=trial["bytes"],
                allowed=trial["allowed"],
                latency_ms=trial.get("latency_ms"),
                peak_bytes=trial.get("peak_bytes"),
            )
            for trial in old["trials"]
        ),
        chosen=old["chosen"],
        baseline=Baseline(None, old["fp32_ms"], old.get("noise"), old["sensitivity"]),
    )


def _int8(gate: _Int8, old: _Manifest) -> StepReport:
    """The first bundles recorded only the chosen scheme."""
    scheme = gate["scheme"]
    files = [variant["file"] for variant in old["variants"].values() if variant["scheme"] == scheme]
    size = next((old["files"][file]["bytes"] for file in files if file in old["files"]), None)
    trial = TrialReport(scheme, {"scheme": scheme}, _drift(gate), size, allowed=True)
    return _quantize_step(scheme, (trial,), chosen=scheme, baseline=Baseline())


def _quantize_step(
    scheme: str, trials: Iterable[TrialReport], *, chosen: str, baseline: Baseline
) -> StepReport:
    return StepReport(
        "quantize",
        "quantized models",
        f"quantized ({scheme}) against fp32",
        tuple(trials),
        chosen,
        baseline,
    )
