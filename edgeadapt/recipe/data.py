"""``[data]``: the labelled examples."""

import re
from dataclasses import dataclass

from edgeadapt.recipe.fields import SEEDS, Range, option, setting
from edgeadapt.recipe.kinds import Task

__all__ = ["DataConfig"]

_FOLD = re.compile(r"([1-9]\d{0,3})/([1-9]\d{0,3})", re.ASCII)
_SHARE = Range("between 0 and 1", lambda value: 0 < value < 1)


def _is_part(fold: str) -> bool:
    at = _FOLD.fullmatch(fold)
    return at is not None and int(at[1]) <= int(at[2]) >= 2


@dataclass(frozen=True)
class DataConfig:
    """The labelled examples."""

    dataset: str = option(
        "demo",
        "Hub id, CSV / JSONL / parquet file, or a folder with train, validation and test files.",
        details="`demo` is the data that ships with the package.",
        metavar="ID|DIR|FILE",
    )
    name: str | None = option(
        None, "Configuration of a hub data set.", flag="--dataset-name", metavar="NAME"
    )
    revision: str | None = option(
        None, "Commit, tag or branch of the data.", flag="--dataset-revision", metavar="REV"
    )
    text_column: str = option("text", "Column of the text (default: {default}).", metavar="NAME")
    text_pair_column: str | None = option(
        None, "Column of the second text, for pairs of texts.", metavar="NAME"
    )
    label_column: str = option("label", "Column of the label (default: {default}).", metavar="NAME")
    multi_label: bool = option(
        False,
        "Texts have any number of labels: a list, or in CSV names joined by |, such as "
        "rain|wind; an empty field means no label.",
    )
    skip_empty: bool = option(False, "Leave out rows with an empty text, and report how many.")
    skip_unlabelled: bool = option(
        False, "Leave out rows without a label, and splits without any label."
    )
    validation_fraction: float = setting(
        0.1,
        "Share of train that becomes validation where the data has none: stratified, seeded.",
        rule=_SHARE,
    )
    test_fraction: float = setting(
        0.1,
        "Share of train that becomes test where the data has none: stratified, seeded.",
        rule=_SHARE,
    )
    split_seed: int = option(
        0,
        "Seed for held-out texts and folds, independent of --seed (default: {default}).",
        details="Runs with different training seeds are tested on the same texts.",
        rule=SEEDS,
        metavar="N",
    )
    fold: str | None = setting(
        None,
        "A fold of a cross-validation, set by `--folds`: `2/5` is tested on the second of five "
        "folds.",
        rule=Range("a part such as 2/5", _is_part),
    )

    @property
    def fold_of(self) -> tuple[int, int]:
        """The number of the fold, from 1, and the number of folds."""
        assert self.fold is not None
        number, _, count = self.fold.partition("/")
        return int(number), int(count)

    @property
    def task(self) -> Task:
        """Single-label or multi-label."""
        return Task.MULTI_LABEL if self.multi_label else Task.SINGLE_LABEL

    @property
    def pairs(self) -> bool:
        """Whether the model takes pairs of texts."""
        return self.text_pair_column is not None
