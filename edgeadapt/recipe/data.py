"""``[data]``: the labelled examples."""

from dataclasses import dataclass

from edgeadapt.recipe.kinds import Task

__all__ = ["DataConfig"]


@dataclass(frozen=True)
class DataConfig:
    """The labelled examples."""

    dataset: str = "demo"
    """``demo``, a hub id, a CSV / JSONL / parquet file, or a folder of such files."""
    name: str | None = None
    """Configuration of a hub dataset that has several."""
    revision: str | None = None
    """Commit, tag or branch of a hub id."""
    text_column: str = "text"
    """Column that holds the text."""
    text_pair_column: str | None = None
    """Column that holds the second text, where the model takes pairs."""
    label_column: str = "label"
    """Column that holds the label."""
    multi_label: bool = False
    """Whether a text has any number of labels: a list, or in CSV names joined by ``|``."""
    skip_empty: bool = False
    """Whether rows with an empty text are left out."""
    skip_unlabelled: bool = False
    """Whether rows without a label are left out, and a split that has none."""
    validation_fraction: float = 0.1
    """Share of train that becomes validation where the data has none (stratified, seeded)."""
    test_fraction: float = 0.1
    """Share of train that becomes test where the data has none (stratified, seeded)."""
    split_seed: int = 0
    """Seeds which texts are held out and how folds are drawn, whatever ``training.seed`` is: runs
    with different training seeds are tested on the same texts."""
    fold: str | None = None
    """A part of a cross-validation, such as ``2/5``: test on the second of five parts."""

    @property
    def fold_of(self) -> tuple[int, int]:
        """The number of the part, from 1, and how many there are."""
        assert self.fold is not None
        number, _, count = self.fold.partition("/")
        return int(number), int(count)

    @property
    def task(self) -> Task:
        """How many labels a text has."""
        return Task.MULTI_LABEL if self.multi_label else Task.SINGLE_LABEL

    @property
    def pairs(self) -> bool:
        """Whether the model takes pairs of texts."""
        return self.text_pair_column is not None
