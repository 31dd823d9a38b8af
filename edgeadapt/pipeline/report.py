"""``edgeadapt report``: write an HTML page about records."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np

from edgeadapt.benchmark.noise import disturbances, typical_ns
from edgeadapt.benchmark.rows import Row, answers, known_labels, rows, task_of
from edgeadapt.documents.cells import accuracy
from edgeadapt.documents.page import ClassScores, Curve, Measured, render
from edgeadapt.documents.structure_page import Pruned
from edgeadapt.errors import UsageError
from edgeadapt.metrics import score
from edgeadapt.parsing import RECORD_BYTES, parse_json, read_bounded
from edgeadapt.progress import SILENT, Progress
from edgeadapt.store import artifacts
from edgeadapt.store.files import write_text
from edgeadapt.store.folders import check_file_free, held
from edgeadapt.store.provenance import Provenance
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Sample
from edgeadapt.typed import from_json

__all__ = ["report"]

_HASH = 16
"""Number of digits of a hash that are shown."""


def report(
    records: Sequence[Path],
    *,
    output: Path | None = None,
    title: str = "edgeadapt benchmark",
    force: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Writes a page that compares records of one or several machines.

    Learning curves are shown for models whose runs are still under ``artifacts/runs``.

    Args:
        records: Files of records.
        output: File of the page; by default an unused name under ``artifacts/records``.
        title: Heading of the page.
        force: Replace an existing page.
        progress: Where to report.

    Returns:
        The path of the page.

    Raises:
        UsageError: There is no record.
        LayoutError: A record cannot be read.
        OutputExistsError: The page exists and ``force`` is not given.
        MissingExtraError: The chart library is not installed.
    """
    if not records:
        raise UsageError("report: expected at least one record.", hint="edgeadapt report RECORD…")
    path = output or artifacts.new_name(artifacts.records(), "report", suffix=".html")
    check_file_free(path, force=force)
    if any(path.resolve() == file.resolve() for file in records):
        raise UsageError(
            f"--output: {path} is one of the records: expected the name of another file.",
            hint="Name the page, as in --output ./report.html",
        )
    opened = [(file.stem, Record.open(file)) for file in records]
    page = render(
        title,
        _summary([record for _, record in opened]),
        [_measured(name, record) for name, record in opened],
    )
    with held(path):
        check_file_free(path, force=force)  # it may have been created meanwhile
        write_text(path, page)
    progress.say(f"{path.stat().st_size / 1e6:.1f} MB, works offline")
    return path


def _summary(records: Sequence[Record]) -> str:
    models = {str(sample) for record in records for sample in record.samples}
    texts = max(record.evaluation.texts for record in records)
    return (
        f"{len(models)} variants in {len(records)} record{'s' * (len(records) > 1)}, up to "
        f"{texts:,} texts; all figures are from fresh, interleaved processes."
    )


def _measured(name: str, record: Record) -> Measured:
    found = rows(record)
    return Measured(
        name=name,
        baseline=record.baseline,
        machine=_facts(record),
        notes=disturbances(record),
        rows=found,
        quantiles=list(map(_quantiles, record.samples)),
        origins={name: _origin(name, record) for name in record.bundles},
        classes=_classes(record, found),
        curves=_curves(record),
        pruned=_pruned(record),
    )


def _facts(record: Record) -> dict[str, str]:
    machine = record.machine
    said: dict[str, object] = {
        "CPU": machine.cpu,
        "cores": machine.cores,
        "can do": machine.flags,
        "virtual machine": machine.virtualized,
        "container": machine.container,
        "emulation": machine.emulation,
        "system": machine.system,
        "Python": machine.python,
    }
    facts = {title: _words(value) for title, value in said.items() if value}
    if machine.memory_bytes:
        facts["memory"] = f"{machine.memory_bytes / 1e9:.1f} GB"
    for when, moment in (
        ("before", record.conditions.before),
        ("after", record.conditions.after),
    ):
        if known := {k: v for k, v in vars(moment).items() if v is not None}:
            facts[when] = ", ".join(f"{k.replace('_', ' ')} {_words(v)}" for k, v in known.items())
    if ns := typical_ns(record, "pace_ns"):
        facts["fixed computation"] = f"{ns / 1e6:.2f} ms"
    if ns := typical_ns(record, "signal_ns"):
        facts["signal between cores"] = f"{ns:.0f} ns"
    gauges = {sample.gauge for sample in record.samples}
    return facts | {
        "threads": str(record.threads),
        "texts": f"{record.evaluation.texts:,}, {record.evaluation.origin}",
        "energy": ", ".join(sorted(filter(None, gauges))) or "unavailable",
        "libraries": ", ".join(f"{k} {v}" for k, v in machine.versions.items()),
        "edgeadapt": record.edgeadapt,
        "measured": record.created,
    }


def _origin(name: str, record: Record) -> dict[str, str]:
    """The origin of a bundle's model, from its manifest."""
    origin = record.bundles[name]
    made = origin.provenance
    training = made.recipe.get("training", {})
    facts: dict[str, object] = {
        "run": made.run,
        "backbone": made.backbone.id if made.backbone else None,
        "its commit": made.backbone.commit if made.backbone else None,
        "method": made.method,
        "trained": _trained(made),
        "data": made.recipe.get("data", {}).get("dataset"),
        "its fingerprint": (made.data_fingerprint or "")[:_HASH],
        "seed": training.get("seed"),
        "epochs": training.get("epochs"),
        "accuracy on test text": accuracy(made.test.accuracy, made.test.texts).text
        if made.test
        else None,
        "exporter": made.exporter,
        "graph passes": made.passes,
        "libraries": [f"{library} {v}" for library, v in made.versions.items()],
        "exported": f"{origin.created}, edgeadapt {origin.edgeadapt}",
    }
    for sample in record.samples:
        if sample.bundle == name:
            scheme = origin.schemes.get(sample.variant)
            facts[sample.variant] = ", ".join(filter(None, [scheme, sample.sha256[:_HASH]]))
    unknown: tuple[object, ...] = (None, "", [], ())  # a seed of 0 is known
    return {title: _words(value) for title, value in facts.items() if value not in unknown}


def _trained(made: Provenance) -> str | None:
    trained, total = made.trainable_parameters, made.total_parameters
    if not total or trained is None:
        return None
    return f"{trained:,} parameters of {total:,} ({trained / total:.2%})"


def _words(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _quantiles(sample: Sample) -> dict[str, list[float]]:
    """Scenario -> percentiles 0, 1 … 100 of its samples, in milliseconds."""
    pooled = {
        name: np.concatenate([np.asarray(child, dtype=np.float64) for child in children])
        for name, children in sample.latency_ns.items()
        if any(map(len, children))
    }
    grid = np.arange(101)
    return {name: (np.percentile(times, grid) / 1e6).tolist() for name, times in pooled.items()}


def _classes(record: Record, found: Sequence[Row]) -> dict[str, list[ClassScores]]:
    labels = known_labels(record)
    if labels is None:
        return {}
    classes = {}
    for row, sample in zip(found, record.samples, strict=True):
        if (logits := answers(sample)) is None:
            continue
        scored = score(logits, labels, task=task_of(record))
        count = logits.shape[1]
        names = record.evaluation.names or [f"label {number}" for number in range(count)]
        counts = labels.sum(axis=0) if labels.ndim == 2 else np.bincount(labels, minlength=count)
        classes[row.name] = [
            ClassScores(
                name,
                int(texts),
                precision,
                recall,
                f1=2 * precision * recall / max(precision + recall, 1e-12),
            )
            for name, texts, precision, recall in zip(
                names, counts, scored.precision, scored.recall, strict=True
            )
        ]
    return classes


def _pruned(record: Record) -> list[Pruned]:
    """The bundles from whose layers something was removed."""
    bundles = (Pruned.of(name, origin.structure) for name, origin in record.bundles.items())
    return [pruned for pruned in bundles if pruned]


def _curves(record: Record) -> dict[str, Curve]:
    """Learning curves of the bundles' runs, where these are on this machine."""
    curves = {}
    for origin in record.bundles.values():
        run = origin.provenance.run
        # A record is untrusted: only a plain name is looked up, not a path.
        if not run or Path(run).name != run or run == "..":
            continue
        if (history := artifacts.runs() / run / "history.jsonl").is_file():
            curves[run] = _curve(history)
    return curves


class _Event(TypedDict):
    """A line of ``history.jsonl``; other keys are ignored."""

    event: str


class _Step(_Event):
    step: int
    loss: float


class _Epoch(_Event):
    step: int
    accuracy: float


def _curve(history: Path) -> Curve:
    where = str(history)
    lines = read_bounded(history, limit=RECORD_BYTES).splitlines()
    events = [from_json(_Event, parse_json(line, where=where), where=where) for line in lines]
    steps = [from_json(_Step, event, where=where) for event in events if event["event"] == "step"]
    epochs = [
        from_json(_Epoch, event, where=where) for event in events if event["event"] == "epoch"
    ]
    return Curve(
        steps=[event["step"] for event in steps],
        losses=[event["loss"] for event in steps],
        epoch_steps=[event["step"] for event in epochs],
        accuracies=[event["accuracy"] for event in epochs],
    )
