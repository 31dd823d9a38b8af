"""Labels of a head that was trained elsewhere: whose names count, and the data's in their order."""

from dataclasses import dataclass, replace

import numpy as np

from edgeadapt.data import TEXT_COLUMNS, Dataset, Examples
from edgeadapt.errors import DataError, UsageError
from edgeadapt.outputs import are_placeholders, listed, match_labels, match_numbers, placeholders
from edgeadapt.progress import Progress
from edgeadapt.recipe import DataConfig, Task

__all__ = ["Head", "labelled", "no_data"]

_NO_DATA = "none"
"""What the recipe names as its data set where there was none."""
_NAME_THEM = "Name the head's outputs, in their order: --labels NAME,NAME"


@dataclass(frozen=True)
class Head:
    """What is known of the outputs of a finished head."""

    where: str
    """Where it comes from, for messages."""
    outputs: int | None
    """How many; ``None`` where there is no head to count them in."""
    own: tuple[str, ...] | None
    """The names that were given to them where the head was trained."""
    base: tuple[str, ...] | None = None
    """The names that the backbone's config.json gives, where it has as many and the head itself
    gives none. The head may have been trained for other labels since."""

    def names(
        self, asked: tuple[str, ...] | None, dataset: Dataset | None, *, progress: Progress
    ) -> tuple[str, ...]:
        """Returns the names of the outputs, in their order; placeholders where nobody knows them.

        The head's own count before those that the user gives, these before the backbone's, and
        these before the data's, where the data has them in an order.

        Args:
            asked: Those of ``--labels``.
            dataset: The examples, where there are any.
            progress: Where to say whose names were taken for those of a head without names.

        Raises:
            UsageError: ``--labels`` contradicts the head.
            DataError: There are more or fewer names than outputs, or no way to tell which is
                whose.
        """
        own = None if self.own is None or are_placeholders(self.own) else self.own
        if asked is not None and own is not None and asked != own:
            raise UsageError(
                f"--labels: the outputs of {self.where} have names of their own: expected "
                f"{listed(own)}, found {listed(asked)}.",
                hint="Leave --labels out; where the names are wrong, correct them in its files.",
            )
        names = own or asked or self.base or self.own
        if names is None:
            names = self._of_data(dataset)
        if self.outputs is not None and len(names) != self.outputs:
            raise DataError(
                f"{self.where}: the head has {self.outputs} outputs: expected as many labels, "
                f"found {len(names)}: {listed(names)}.",
                hint=f"labels.json beside the data, a JSON list, names all labels. {_NAME_THEM}",
            )
        if not own and not asked and not are_placeholders(names):
            whose = "the base model" if self.base else "the data"
            progress.say(
                f"The outputs of {self.where} have no names: those of {whose} are taken, in "
                f"their order: {listed(names)}."
            )
        return names

    def _of_data(self, dataset: Dataset | None) -> tuple[str, ...]:
        if dataset is None:
            return placeholders(self.outputs or 2)
        names = dataset.label_names
        if self.outputs is not None and len(names) != self.outputs:
            return names  # whose number is refused
        numbers = match_numbers(placeholders(len(names)), names)
        if not dataset.has_label_order and not numbers:
            raise DataError(
                f"{self.where}: the outputs of the head have no names, and the data does not say "
                f"the order of its labels, {listed(names)}: which output is which is unknown.",
                hint=f"{_NAME_THEM}; or put a labels.json beside the data.",
            )
        return names


def no_data(*, task: Task | None, pairs: bool | None = None) -> DataConfig:
    """Stands for data of the classifier's own kind, where there was none.

    Args:
        task: How many labels a text has; one where it is not known.
        pairs: Whether it reads pairs of texts.
    """
    return DataConfig(
        dataset=_NO_DATA,
        text_pair_column=TEXT_COLUMNS[1] if pairs else None,
        multi_label=task is Task.MULTI_LABEL,
    )


def labelled(
    dataset: Dataset, labels: tuple[str, ...], *, where: str, progress: Progress
) -> Dataset:
    """Returns the examples with label indices in the order of the head's outputs.

    Args:
        dataset: As it was read.
        labels: Names of the outputs.
        where: The head's place, for messages.
        progress: Where to say which names are not the same to the letter.

    Raises:
        DataError: The data has other labels.
    """
    found = dataset.label_names
    # Names that are only those that occur may lack one, as in a benchmark's own file.
    match = match_labels(labels, found, some=not dataset.has_label_order)
    if match is None:
        raise DataError(
            f"The data has other labels than {where}: expected {listed(labels)}, found "
            f"{listed(found)}.",
            hint=_NAME_THEM
            if are_placeholders(labels)
            else f"labels.json beside the data, a JSON list, names all labels. {_NAME_THEM}",
        )
    if match.note:
        progress.say(f"{where}: {match.note}.")
    return _moved(dataset, np.array(match.order), labels)


def _moved(dataset: Dataset, places: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    """Puts label ``i`` of the data at ``places[i]``."""

    def moved(examples: Examples) -> Examples:
        known = examples.known_labels()
        if known.ndim == 1:
            return Examples(examples.texts, places[known])
        columns = np.zeros((len(known), len(labels)), dtype=known.dtype)
        columns[:, places] = known
        return Examples(examples.texts, columns)

    return replace(
        dataset,
        train=moved(dataset.train),
        validation=moved(dataset.validation),
        test=moved(dataset.test),
        label_names=labels,
    )
