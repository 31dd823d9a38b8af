"""``edgeadapt bench``: bundles become a record and a table."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from edgeadapt.bench.compare import Row, rows
from edgeadapt.bench.plan import Plan
from edgeadapt.bench.runner import Evaluation, Subject, measure
from edgeadapt.bundle import Bundle, Manifest
from edgeadapt.config import EngineName
from edgeadapt.data import TEXT_COLUMNS, read_rows, to_examples
from edgeadapt.errors import MissingError, UsageError
from edgeadapt.measure.machine import usable_cores
from edgeadapt.pipeline import places
from edgeadapt.pipeline.predict import check_pair_column
from edgeadapt.progress import SILENT, Progress
from edgeadapt.record import Record
from edgeadapt.storage import check_free, sha256

__all__ = ["bench", "rows_of"]

_EVALUATION = "evaluation.csv"
_FULL = "full"
_MODULES: Mapping[str, Sequence[str]] = MappingProxyType(
    {EngineName.TORCH: ("torch", "transformers"), EngineName.OPENVINO: ("openvino",)}
)
"""What an engine needs beyond the base install."""


def bench(
    bundles: Sequence[Bundle],
    *,
    plan: Plan,
    data: Path | None = None,
    text_column: str = "text",
    text_pair_column: str | None = None,
    label_column: str = "label",
    baseline: str | None = None,
    threads: int | None = None,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> tuple[Record, Path]:
    """Measures every variant of every bundle in fresh processes.

    Args:
        bundles: What to measure.
        plan: How often.
        data: CSV or JSONL to evaluate on instead of the bundles' own test text; without a label
            column everything but accuracy is measured.
        text_column: Column of ``data``.
        text_pair_column: Column of ``data``, where the bundles take pairs; ``text_pair`` where
            none is given.
        label_column: Column of ``data``.
        baseline: ``BUNDLE`` (its fp32) or ``BUNDLE:VARIANT``; the full fine-tune's fp32 where
            there is one, else the first bundle's.
        threads: CPU threads for every engine; all cores where none is given.
        output: File of the record; a free name under ``artifacts/records`` where none is given.
        force: Replace an existing record.
        progress: Where to report.

    Returns:
        The record and its path.

    Raises:
        UsageError: A name, a thread count or a mix of evaluation sets is wrong.
        LayoutError: A bundle is damaged.
    """
    if not bundles:
        raise MissingError(
            f"There is no bundle under {places.bundles()}.",
            hint="Write one with `edgeadapt export --quantize`, or name the bundle to measure.",
        )
    if threads is not None and threads < 1:
        raise UsageError(
            f"--threads: expected at least 1, found {threads}.",
            hint="Leave it out for all cores.",
        )
    names = [bundle.name for bundle in bundles]
    if len(set(names)) < len(names):
        raise UsageError(
            f"Two bundles have the same name: found {', '.join(names)}.",
            hint="The table tells rows apart by name: rename one of the folders.",
        )
    path = output or places.new_name(places.records(), "bench", suffix=".json")
    check_free(path, force=force)
    for bundle in bundles:
        bundle.verify()
    subjects = _subjects(bundles, progress)
    evaluation = _evaluation(bundles, data, text_column, text_pair_column, label_column)
    record = measure(
        subjects,
        plan=plan,
        threads=threads or usable_cores(),
        evaluation=evaluation,
        baseline=_baseline(subjects, baseline),
        progress=progress,
    )
    record.write(path)
    return record, path


def rows_of(record: Record) -> list[Row]:
    """Returns the table of a record."""
    return rows(record)


def _subjects(bundles: Sequence[Bundle], progress: Progress) -> list[Subject]:
    """Every variant that can run here."""
    subjects = []
    for bundle in bundles:
        for name, variant in sorted(bundle.manifest.variants.items()):
            needs = _MODULES.get(variant.engine, ())
            if missing := [module for module in needs if not find_spec(module)]:
                progress.say(f"{bundle.name}:{name} is left out: {missing[0]} is not installed.")
                continue
            subjects.append(Subject(bundle, name))
    return subjects


def _baseline(subjects: Sequence[Subject], wanted: str | None) -> Subject:
    if wanted is None:
        full = [s for s in subjects if s.bundle.manifest.provenance.get("method") == _FULL]
        return next((s for s in (full or subjects) if s.variant == "fp32"), subjects[0])
    name, _, variant = wanted.partition(":")
    name = Path(name).name
    for subject in subjects:
        if (subject.bundle.name, subject.variant) == (name, variant or "fp32"):
            return subject
    raise UsageError(
        f"--baseline: no row {wanted!r}: expected one of {', '.join(map(str, subjects))}.",
        hint="A bundle's name alone means its fp32.",
    )


def _evaluation(
    bundles: Sequence[Bundle],
    data: Path | None,
    text_column: str,
    text_pair_column: str | None,
    label_column: str,
) -> Evaluation:
    if data is not None:
        manifest = _same_task(bundles)
        check_pair_column(text_pair_column, manifest)
        columns = (text_column, text_pair_column or TEXT_COLUMNS[1], label_column)
        return _read(data, manifest, columns, origin=str(data))
    carried = {
        bundle.name: bundle.manifest.files[_EVALUATION].sha256
        for bundle in bundles
        if _EVALUATION in bundle.manifest.files
    }
    if not carried:
        return Evaluation(origin="none", sha256=None)
    if len(set(carried.values())) > 1 or len(carried) < len(bundles):
        listed = ", ".join(f"{b.name} ({carried.get(b.name, 'none')[:8]})" for b in bundles)
        raise UsageError(
            f"These bundles carry different evaluation sets: {listed}.",
            hint="Their accuracies cannot be compared. Name bundles of one data set, or give one "
            "file for all with --data.",
        )
    columns = (*TEXT_COLUMNS, "label")
    path = bundles[0].file(_EVALUATION)
    return _read(path, _same_task(bundles), columns, origin=f"{_EVALUATION} of the bundles")


def _read(
    path: Path, manifest: Manifest, columns: tuple[str, str, str], *, origin: str
) -> Evaluation:
    """Reads texts as the manifest's model takes them; ``columns`` are text, text pair, label."""
    found = read_rows(path)
    text, text_pair, label = columns
    examples = to_examples(
        found,
        text_column=text,
        text_pair_column=text_pair if manifest.pairs else None,
        label_column=label if label in found[0] else None,
        label_names=manifest.labels,
        task=manifest.task,
        where=str(path),
    )
    return Evaluation(origin, sha256(path), examples.texts, examples.labels, manifest.task)


def _same_task(bundles: Sequence[Bundle]) -> Manifest:
    """The first bundle's manifest, after checking that the others do the same job."""
    manifests = [bundle.manifest for bundle in bundles]
    if len({manifest.labels for manifest in manifests}) > 1:
        raise UsageError(
            "These bundles have different labels: found "
            + "; ".join(f"{b.name}: {', '.join(b.manifest.labels[:5])}" for b in bundles)
            + ".",
            hint="Name bundles of one task.",
        )
    if len({(manifest.task, manifest.pairs) for manifest in manifests}) > 1:
        raise UsageError(
            "These bundles have different tasks: found "
            + "; ".join(
                f"{b.name}: {b.manifest.task}, {'pairs' if b.manifest.pairs else 'single texts'}"
                for b in bundles
            )
            + ".",
            hint="Name bundles of one task.",
        )
    return manifests[0]
