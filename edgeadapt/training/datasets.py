"""Finding the examples a recipe names: embedded, a file, a folder of files, or from the hub."""

from collections.abc import Mapping
from dataclasses import replace
from importlib.resources import as_file, files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edgeadapt.config import DataConfig, Task
from edgeadapt.data import (
    Dataset,
    Examples,
    Rows,
    check_label_names,
    hold_out,
    infer_labels,
    read_labels,
    read_rows,
    split_folds,
    to_examples,
)
from edgeadapt.errors import DataError
from edgeadapt.models import hub

__all__ = ["check_there", "load_dataset"]

_EMBEDDED = "demo"
_SPLIT_NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev"),
    "test": ("test",),
}
_KINDS = {Task.SINGLE_LABEL: "label", Task.MULTI_LABEL: "label set"}
_SUFFIXES = (".csv", ".jsonl", ".parquet")
_HUB_FILES = ("*.parquet", "*.csv", "*.jsonl", "*.json", "README.md")


def load_dataset(config: DataConfig, *, seed: int) -> Dataset:
    """Returns train, validation and test examples.

    Splits that the data does not have are held out of train: stratified, seeded, duplicates kept
    together. For a fold of a cross-validation, train and validation are one pool; a part of it is
    tested on, another held out of the rest, and the data's own test examples are left alone.

    Raises:
        DataError: The data cannot be read, or not trained on.
        HubError: A hub id cannot be fetched.
    """
    rows, names, where = _find(config)
    if "train" not in rows:
        raise DataError(
            f"{where}: no training examples: expected a split called train, found "
            f"{', '.join(rows) or 'none'}."
        )
    has_label_order = names is not None
    if names is None:
        names = infer_labels(
            rows["train"],
            column=config.label_column,
            where=f"{where}, train",
            task=config.task,
        )
    if config.task is Task.MULTI_LABEL:
        check_label_names(names, where=where)
    splits = {
        split: to_examples(
            found,
            text_column=config.text_column,
            text_pair_column=config.text_pair_column,
            label_column=config.label_column,
            label_names=names,
            task=config.task,
            where=f"{where}, {split}",
        )
        for split, found in rows.items()
    }
    if len(np.unique(splits["train"].known_labels(), axis=0)) < 2:
        kind = _KINDS[config.task]
        raise DataError(
            f"{where}: train has examples of one {kind} only: expected at least two {kind}s.",
            hint="A classifier needs examples of each label.",
        )
    return replace(_complete(splits, names, config, seed), has_label_order=has_label_order)


def check_there(config: DataConfig) -> None:
    """Checks that there is data where the recipe names a file or folder, not a hub id.

    Raises:
        DataError: There is none.
    """
    path = Path(config.dataset).expanduser()
    is_path = path.suffix in _SUFFIXES or config.dataset.startswith((".", "/", "~"))
    if is_path and not path.exists():
        raise DataError(
            f"{path} does not exist.",
            hint="--dataset takes a CSV, JSONL or parquet file, a folder with train, validation "
            "and test files, or a hub id.",
        )


def _complete(
    splits: dict[str, Examples], names: tuple[str, ...], config: DataConfig, seed: int
) -> Dataset:
    train = splits["train"]
    if config.fold is not None:
        pool = train.with_more(splits["validation"]) if "validation" in splits else train
        number, count = config.fold_of
        parts = split_folds(pool, count, seed=seed)
        test = pool.take(parts.pop(number - 1))
        kept, validation = hold_out(
            pool.take(sorted(chain(*parts))), config.validation_fraction, seed=seed
        )
        return Dataset(kept, validation, test, names)
    if "test" not in splits:
        train, splits["test"] = hold_out(train, config.test_fraction, seed=seed)
    if "validation" not in splits:
        train, splits["validation"] = hold_out(train, config.validation_fraction, seed=seed)
    return Dataset(train, splits["validation"], splits["test"], names)


def _find(config: DataConfig) -> tuple[dict[str, Rows], tuple[str, ...] | None, str]:
    """Returns rows per split, label names where the data says them, and a name for messages."""
    if config.dataset == _EMBEDDED:
        with as_file(files("edgeadapt") / "demo") as folder:
            return *_read_folder(folder), "the embedded reviews"
    path = Path(config.dataset).expanduser()
    if path.is_dir():
        return *_read_folder(path), str(path)
    if path.is_file():
        return {"train": _read(path)}, _names_beside(path.parent), str(path)
    check_there(config)
    snapshot = hub.fetch(
        config.dataset, kind="dataset", revision=config.revision, patterns=_HUB_FILES
    )
    return *_read_with_datasets(snapshot.folder, config), config.dataset


def _read_folder(folder: Path) -> tuple[dict[str, Rows], tuple[str, ...] | None]:
    found = {}
    for split, stems in _SPLIT_NAMES.items():
        candidates = [folder / f"{stem}{suffix}" for stem in stems for suffix in _SUFFIXES]
        existing = [path for path in candidates if path.is_file()]
        if len(existing) > 1:
            raise DataError(
                f"{folder}: expected one file for {split}, found "
                f"{', '.join(path.name for path in existing)}."
            )
        if existing:
            found[split] = _read(existing[0])
    if not found:
        raise DataError(
            f"{folder} holds no examples: expected train.csv, train.jsonl or train.parquet.",
            hint="validation and test files beside it are used too; labels.json names the labels.",
        )
    return found, _names_beside(folder)


def _names_beside(folder: Path) -> tuple[str, ...] | None:
    file = folder / "labels.json"
    return read_labels(file) if file.is_file() else None


def _read(path: Path) -> Rows:
    if path.suffix not in _SUFFIXES:
        raise DataError(
            f"{path}: expected a {', '.join(_SUFFIXES)} file, found "
            f"{path.suffix or 'no extension'!r}."
        )
    if path.suffix != ".parquet":
        return read_rows(path)
    from pyarrow import parquet

    try:
        rows: Rows = parquet.read_table(path).to_pylist()
    except Exception as error:  # noqa: BLE001 - pyarrow raises many kinds
        raise DataError(f"{path} cannot be read as parquet: {error}") from None
    if not rows:
        raise DataError(f"{path} holds no examples: expected at least one row, found none.")
    return rows


def _read_with_datasets(
    folder: Path, config: DataConfig
) -> tuple[dict[str, Rows], tuple[str, ...] | None]:
    """Reads a hub snapshot with Hugging Face datasets: it knows the card's split tables."""
    import datasets

    try:
        found: Any = datasets.load_dataset(str(folder), config.name)
    except Exception as error:  # noqa: BLE001 - datasets raises many kinds
        raise DataError(
            f"{config.dataset} cannot be read: {error}",
            hint="A data set with several configurations needs --dataset-name; one that is made "
            "by a script is not supported.",
        ) from None
    by_name = {alias: split for split, aliases in _SPLIT_NAMES.items() for alias in aliases}
    splits = {by_name[name]: found[name] for name in found if name in by_name}
    feature = splits["train"].features.get(config.label_column) if "train" in splits else None
    if config.task is Task.MULTI_LABEL:
        feature = getattr(feature, "feature", feature)  # of a sequence's elements
    names = tuple(feature.names) if isinstance(feature, datasets.ClassLabel) else None
    return {split: _rows(table) for split, table in splits.items()}, names


def _rows(table: Any) -> Rows:
    return list(table.to_list())
