"""Load the examples of a recipe: embedded, from a file, a folder of files, or the hub."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from edgeadapt.data import (
    READ,
    Dataset,
    Examples,
    LabelReader,
    check_column,
    check_label_names,
    check_rows,
    empty_rows,
    fingerprint,
    hold_out,
    infer_labels,
    is_multi_hot,
    is_word_for_missing,
    label_fields,
    listed_content,
    missing_word,
    other_kind,
    other_splits,
    read_labels,
    read_rows,
    say_skipped,
    split_files,
    split_folds,
    split_of,
    to_examples,
    unlabelled_rows,
    with_columns,
)
from edgeadapt.errors import DataError, EdgeAdaptError, IntegrityError, UsageError
from edgeadapt.models import hub
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import DataConfig, Task
from edgeadapt.store.run import RunInfo
from edgeadapt.training.tables import Table, dataset_table, read_parquet

__all__ = ["check_there", "load_dataset", "pinned_data"]

_EMBEDDED = "demo"
_KINDS = {Task.SINGLE_LABEL: "label", Task.MULTI_LABEL: "label set"}
_HUB_FILES = ("*.parquet", "*.csv", "*.jsonl", "*.json", "README.md")


@dataclass(frozen=True)
class _Found:
    """The tables that were read, before their labels are parsed."""

    tables: dict[str, Table]
    """Split -> its rows."""
    where: str
    """A name for messages."""
    names: tuple[str, ...] | None = None
    """Label names of ``labels.json``; ``None`` if there is no such file."""
    unread: tuple[str, ...] = ()
    """Files, or splits of a hub data set, that are not used."""


@dataclass(frozen=True)
class _Labelled:
    """The tables that are used, the names of their labels, and the rows to skip."""

    tables: dict[str, Table]
    names: tuple[str, ...]
    skip: dict[str, frozenset[int]]
    """Split -> numbers of the rows to skip, counted from 1."""


def load_dataset(config: DataConfig, *, progress: Progress = SILENT) -> Dataset:
    """Returns train, validation and test examples.

    Splits that the data does not have are held out of train: stratified, seeded by
    ``config.split_seed``, duplicates kept together. For a fold of a cross-validation, train and
    validation form one pool: the fold is its test split, and validation is held out of the other
    folds. The data's own test split is not used.

    Args:
        config: The data set and how to read it.
        progress: Receives notes on skipped rows and warnings about files that are not read.

    Raises:
        DataError: The data cannot be read, or does not suffice for training.
        HubError: A hub id cannot be fetched.
    """
    found = _find(config, progress)
    if "train" not in found.tables:
        raise DataError(
            f"{found.where}: no training examples: expected a split called train, found "
            f"{', '.join(found.tables) or 'none'}."
        )
    labelled = _label(found, config, progress)
    if config.task is Task.MULTI_LABEL:
        check_label_names(labelled.names, where=found.where)
    splits = _examples(labelled, config, found.where, progress)
    if len(np.unique(splits["train"].known_labels(), axis=0)) < 2:
        kind = _KINDS[config.task]
        raise DataError(
            f"{found.where}: train has examples of one {kind} only: expected at least two {kind}s.",
            hint="A classifier needs examples of each label.",
        )
    _warn_of_unread(found, splits, progress)
    has_order = bool(found.names or found.tables["train"].classes)
    return replace(_complete(splits, labelled.names, config), has_label_order=has_order)


def check_there(config: DataConfig) -> None:
    """Checks that a file or folder named by the recipe exists; a hub id is not checked.

    Raises:
        DataError: It does not exist.
    """
    path = Path(config.dataset).expanduser()
    is_path = path.suffix.lower() in READ or config.dataset.startswith((".", "/", "~"))
    if is_path and not path.exists():
        raise DataError(
            f"{path} does not exist.",
            hint="--dataset takes a CSV, JSONL or parquet file, a folder with train, validation "
            "and test files, or a hub id.",
        )


def pinned_data(data: DataConfig) -> DataConfig:
    """Returns the configuration with the absolute path of local data.

    The run may later be used from another working directory.
    """
    local = Path(data.dataset).expanduser()
    if data.dataset == DataConfig.dataset or not local.exists():
        return data
    return replace(data, dataset=str(local.resolve()))


def _label(found: _Found, config: DataConfig, progress: Progress) -> _Labelled:
    """Determines the names of the labels and the rows to skip."""
    train = found.tables["train"]
    names = found.names or train.classes or None
    # labels.json may rename the classes: then labels stay indices instead of class names.
    renamed = found.names is not None and set(found.names) != set(train.classes)
    tables = {
        split: table if renamed else table.named(config.label_column)
        for split, table in found.tables.items()
    }
    skip: dict[str, frozenset[int]] = {}
    for split in sorted(tables, key=lambda split: split != "train"):
        where = f"{found.where}, {split}"
        skip[split] = _rows_to_skip(tables[split], split, where, config, names, progress)
        if split == "train" and len(skip[split]) == len(tables[split].rows):
            raise DataError(f"{where}: every row was left out: expected texts with labels.")
        if names is None:  # only for train, which is first
            names = infer_labels(
                tables[split].rows,
                column=config.label_column,
                where=where,
                task=config.task,
                skip=skip[split],
                progress=progress,
            )
    assert names is not None
    used = {split: table for split, table in tables.items() if len(skip[split]) < len(table.rows)}
    for split in tables.keys() - used.keys():
        progress.warn(f"{found.where}: the {split} split is left out: no row of it can be used.")
    return _Labelled(used, names, skip)


def _rows_to_skip(
    table: Table,
    split: str,
    where: str,
    config: DataConfig,
    names: tuple[str, ...] | None,
    progress: Progress,
) -> frozenset[int]:
    """Returns the numbers of rows without a text or label, if the recipe allows skipping them.

    Raises:
        DataError: A row has no label, and ``skip_unlabelled`` is not set.
    """
    rows, column = table.rows, config.label_column
    empty = empty_rows(rows, _text_columns(config)) if config.skip_empty else frozenset()
    missing = unlabelled_rows(rows, column, config.task, names=names) - empty
    if config.skip_unlabelled:
        say_skipped(len(missing), where, progress, what="no label")
    else:
        if split != "train" and not any(column in row for row in rows):
            raise DataError(
                f"{where}: no column {column!r}: found {', '.join(map(str, rows[0])) or 'none'}.",
                hint="Name the column with --label-column, or leave this split out with "
                "--skip-unlabelled.",
            )
        missing = frozenset(number for number in missing if column in rows[number - 1])
        _refuse_unlabelled(missing, len(rows) - len(empty), table, split, where, column)
    say_skipped(len(empty), where, progress)
    return empty | missing


def _refuse_unlabelled(
    missing: frozenset[int], count: int, table: Table, split: str, where: str, column: str
) -> None:
    if not missing:
        return
    first = min(missing)
    field = table.rows[first - 1][column]
    if len(missing) == count and split != "train":
        raise DataError(
            f"{where}: the {split} split is unlabelled: no row has a label in {column!r}, found "
            f"{field!r}.",
            hint=f"--skip-unlabelled leaves it out; {split} texts are then held out of train.",
        )
    if isinstance(field, str) and is_word_for_missing(field):
        raise missing_word(field, f"{where}, row {first}", column)
    raise DataError(
        f"{where}, row {first}: the label in {column!r} is empty: expected a name or a number, "
        f"found {field!r}.",
        hint="Remove the row or fill it in; --skip-unlabelled leaves such rows out.",
    )


def _examples(
    labelled: _Labelled, config: DataConfig, where: str, progress: Progress
) -> dict[str, Examples]:
    """Reads the texts and labels of every split."""
    for split, table in labelled.tables.items():
        check_column(table.rows, config.label_column, f"{where}, {split}", option="--label-column")
    column, names = config.label_column, labelled.names
    fields = {
        split: list(label_fields(table.rows, column, f"{where}, {split}", labelled.skip[split]))
        for split, table in labelled.tables.items()
    }
    # Decided over all splits together: the lists of a small split may be ambiguous.
    multi_hot = config.task is Task.MULTI_LABEL and is_multi_hot(
        chain.from_iterable(fields.values()), count=len(names)
    )
    if multi_hot:
        progress.say(f"{where}: label lists are read as a 0 or 1 for each label.")
    notes: dict[str, list[str]] = {}
    for split, given in fields.items():
        reader = LabelReader.of(given, names, config.task, column, multi_hot=multi_hot)
        notes.setdefault(reader.note(), []).append(split)
    for note, splits in notes.items():
        if note:
            progress.say(f"{where}, {' and '.join(splits)}: {note}.")
    return {
        split: to_examples(
            table.rows,
            text_column=config.text_column,
            text_pair_column=config.text_pair_column,
            label_column=config.label_column,
            label_names=labelled.names,
            task=config.task,
            where=f"{where}, {split}",
            multi_hot=multi_hot,
            skip=labelled.skip[split],
        )
        for split, table in labelled.tables.items()
    }


def _warn_of_unread(found: _Found, splits: dict[str, Examples], progress: Progress) -> None:
    if not found.unread:
        return
    held_out = [split for split in ("validation", "test") if split not in splits]
    instead = f" {' and '.join(held_out)} texts are held out of train." if held_out else ""
    progress.warn(
        f"{found.where}: not read: {', '.join(found.unread)}. Splits are called train, validation "
        f"and test.{instead}"
    )


def _complete(splits: dict[str, Examples], names: tuple[str, ...], config: DataConfig) -> Dataset:
    train, seed = splits["train"], config.split_seed
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


def _find(config: DataConfig, progress: Progress) -> _Found:
    """Reads the tables of the recipe's data set."""
    if config.dataset == _EMBEDDED:
        with as_file(files("edgeadapt") / "demo") as folder:
            return _read_folder(folder, config, SILENT, where="the embedded reviews")
    path = Path(config.dataset).expanduser()
    if path.is_dir():
        return _read_folder(path, config, progress, where=str(path))
    if path.exists():
        return _Found(
            {"train": _read(path, config, progress)},
            str(path),
            _names_beside(path),
            other_splits(path),
        )
    check_there(config)
    return _read_hub(config, progress)


def _read_folder(folder: Path, config: DataConfig, progress: Progress, *, where: str) -> _Found:
    found = split_files(folder)
    if not found.files:
        raise DataError(
            f"{folder} holds no examples: expected train.csv, train.jsonl or train.parquet, found "
            f"{listed_content(found.folder)}.",
            hint="Files called train, validation and test are read, in the folder or in data/ in "
            "it; a single file is named itself: --dataset FILE. labels.json names the labels.",
        )
    if found.folder != folder:
        progress.say(f"{folder}: the files in {found.folder.name}/ are read.")
    tables = {}
    for split, paths in found.files.items():
        if len(paths) > 1:
            progress.say(f"{found.folder}: {len(paths)} shards are read as {split}, in order.")
        elif paths[0].stem != split:
            progress.say(f"{paths[0]}: read as {split}.")
        shards = [_read(path, config, progress) for path in paths]
        tables[split] = _joined(shards, f"{where}, {split}")
    names = _names_beside(found.folder / "train") or _names_beside(folder / "train")
    return _Found(tables, where, names, found.unread)


def _joined(shards: Sequence[Table], where: str) -> Table:
    """Concatenates the shards of a split; row numbers in messages count through all of them."""
    if len({shard.classes for shard in shards}) > 1:
        raise DataError(f"{where}: expected the same class names in all shards, found others.")
    check_rows(sum(len(shard.rows) for shard in shards), where)
    return Table([row for shard in shards for row in shard.rows], shards[0].classes)


def _names_beside(path: Path) -> tuple[str, ...] | None:
    file = path.with_name("labels.json")
    return read_labels(file) if file.exists() else None


def _read(path: Path, config: DataConfig, progress: Progress) -> Table:
    suffix, columns = path.suffix.lower(), _columns(config)
    if suffix not in READ:
        raise other_kind(path, READ)
    if suffix != ".parquet":
        return Table(with_columns(read_rows(path), columns, str(path), progress=progress))
    table = read_parquet(path, columns, label_column=config.label_column)
    return replace(table, rows=with_columns(table.rows, columns, str(path), progress=progress))


def _read_hub(config: DataConfig, progress: Progress) -> _Found:
    """Reads a hub snapshot with Hugging Face datasets, which applies the card's list of splits."""
    import datasets

    snapshot = hub.fetch(
        config.dataset, kind="dataset", revision=config.revision, patterns=_HUB_FILES
    )
    try:
        found: Any = datasets.load_dataset(
            str(snapshot.folder), config.name, trust_remote_code=False
        )
    except Exception as error:  # noqa: BLE001 - datasets raises many kinds
        raise DataError(
            f"{config.dataset} cannot be read: {error}",
            hint="A data set with several configurations needs --dataset-name; one that is made "
            "by a script is not supported.",
        ) from None
    names: dict[str, str] = {}
    for name in sorted(found, key=lambda name: name.casefold() not in ("validation", "test")):
        if (split := split_of(name)) is not None:
            names.setdefault(split, name)
    columns, tables = _columns(config), {}
    for split, name in names.items():
        where = f"{config.dataset}, {name}"
        table = dataset_table(found[name], columns, where, label_column=config.label_column)
        rows = with_columns(table.rows, columns, where, progress=progress)
        tables[split] = replace(table, rows=rows)
    unread = tuple(name for name in found if name not in names.values())
    return _Found(tables, config.dataset, None, unread)


def _columns(config: DataConfig) -> list[str]:
    return [*_text_columns(config), config.label_column]


def _text_columns(config: DataConfig) -> list[str]:
    pair = [] if config.text_pair_column is None else [config.text_pair_column]
    return [config.text_column, *pair]


def training_examples(info: RunInfo, *, progress: Progress = SILENT) -> Examples:
    """Returns the examples that a run was trained on, read again from where its recipe says.

    Raises:
        UsageError: The run names no data, or it cannot be found.
        IntegrityError: The data has changed since training.
        DataError: It cannot be read.
    """
    data, expected = info.recipe.data, info.data.fingerprint
    option = "--compress"
    if not data.dataset or expected is None:
        raise UsageError(
            f"{option}: this run names no training text to decide by what can be removed.",
            hint="It was imported without data. Import it again with --dataset.",
        )
    try:
        dataset = load_dataset(data, progress=progress)
    except EdgeAdaptError as error:
        raise UsageError(
            f"{option} needs the text that the run was trained on, and cannot read it: "
            f"{error.message}",
            hint=f"Its recipe says dataset = {data.dataset!r}, seen from the current folder.",
        ) from None
    found = fingerprint(dataset)
    if found != expected:
        raise IntegrityError(
            f"{data.dataset} is not the data that the run was trained on: expected fingerprint "
            f"{expected[:12]}, found {found[:12]}.",
            hint="Restore the data, or train again.",
        )
    return dataset.train
