"""The evaluation texts of a benchmark, from a user's file or from the bundles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgeadapt.benchmark.runner import Evaluation
from edgeadapt.data import (
    TEXT_COLUMNS,
    Rows,
    empty_rows,
    read_rows,
    say_skipped,
    to_examples,
    unlabelled_rows,
    with_columns,
)
from edgeadapt.errors import DataError, UsageError
from edgeadapt.progress import SILENT, Progress
from edgeadapt.runtime.texts import check_pair_column
from edgeadapt.store.bundle import EVALUATION_FILE, Bundle, Manifest
from edgeadapt.store.files import sha256

__all__ = ["EvaluationFile", "evaluation_of"]

_LABEL = "label"


@dataclass(frozen=True)
class EvaluationFile:
    """A file of texts to evaluate on, with or without labels."""

    path: Path
    """CSV or JSONL; without a label column, accuracy is not measured."""
    text_column: str = TEXT_COLUMNS[0]
    text_pair_column: str | None = None
    """Column of the second text, for bundles that take pairs (default: ``text_pair``)."""
    label_column: str | None = None
    """Column of the label (default: ``label`` where the file has such a column)."""
    skip_empty: bool = False
    """Whether to leave out rows with an empty text."""


def evaluation_of(
    bundles: Sequence[Bundle], file: EvaluationFile | None, *, progress: Progress = SILENT
) -> Evaluation:
    """Returns the texts of a file or, without one, the test text in the bundles.

    Raises:
        UsageError: The bundles have different tasks or labels, or contain different test text.
        DataError: The file cannot be read, or lacks a column.
    """
    if file is not None:
        manifest = _same_task(bundles)
        check_pair_column(file.text_pair_column, manifest)
        return _read(file, manifest, origin=str(file.path), progress=progress)
    carried = {
        bundle.name: bundle.manifest.files[EVALUATION_FILE].sha256
        for bundle in bundles
        if EVALUATION_FILE in bundle.manifest.files
    }
    if not carried:
        return Evaluation(origin="none", sha256=None)
    if len(set(carried.values())) > 1 or len(carried) < len(bundles):
        listed = ", ".join(f"{b.name} ({carried.get(b.name, 'none')[:8]})" for b in bundles)
        raise UsageError(
            f"These bundles contain different evaluation sets: {listed}.",
            hint="Their accuracies cannot be compared. Name bundles of one data set, or give one "
            "file for all with --data.",
        )
    own = EvaluationFile(bundles[0].file(EVALUATION_FILE))
    return _read(own, _same_task(bundles), origin=f"{EVALUATION_FILE} of the bundles")


def _read(
    file: EvaluationFile, manifest: Manifest, *, origin: str, progress: Progress = SILENT
) -> Evaluation:
    """Reads texts, or pairs, as the model of the manifest expects."""
    where = str(file.path)
    pair = [file.text_pair_column or TEXT_COLUMNS[1]] if manifest.pairs else []
    columns = [file.text_column, *pair]
    rows = with_columns(
        read_rows(file.path), [*columns, file.label_column or _LABEL], where, progress=progress
    )
    skip = empty_rows(rows, columns) if file.skip_empty else frozenset()
    say_skipped(len(skip), where, progress)
    examples = to_examples(
        rows,
        text_column=file.text_column,
        text_pair_column=pair[0] if pair else None,
        label_column=_label_column(file, rows, manifest),
        label_names=manifest.labels,
        task=manifest.task,
        where=where,
        skip=skip,
        progress=progress,
    )
    return Evaluation(
        origin,
        sha256(file.path),
        examples.texts,
        examples.labels,
        task=manifest.task,
        names=manifest.labels,
    )


def _label_column(file: EvaluationFile, rows: Rows, manifest: Manifest) -> str | None:
    """The column of labels; ``None`` where the file has none and none was requested.

    Raises:
        DataError: The column exists and is empty.
    """
    column = file.label_column or _LABEL
    if not any(column in row for row in rows):
        return file.label_column  # a requested column has to exist; reading checks that
    missing = unlabelled_rows(rows, column, manifest.task, names=manifest.labels)
    if len(missing) == len(rows):
        raise DataError(
            f"{file.path} is unlabelled: expected labels in {column!r}, found none.",
            hint="Remove the column to measure all but accuracy.",
        )
    return column


def _same_task(bundles: Sequence[Bundle]) -> Manifest:
    """The manifest of the first bundle, after checking that all have the same task and labels."""
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
