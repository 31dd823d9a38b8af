"""Label names of an imported head: choose their source, and reorder the data's labels to match."""

from dataclasses import dataclass, replace

import numpy as np

from edgeadapt.data import TEXT_COLUMNS, Dataset, Examples
from edgeadapt.errors import DataError, UsageError
from edgeadapt.outputs import are_placeholders, listed, match_labels, match_numbers, placeholders
from edgeadapt.progress import Progress
from edgeadapt.recipe import DataConfig, Task

__all__ = ["Head", "labelled", "no_data"]

_NO_DATA = "none"
"""Name of the data set in a recipe without one."""
_NAME_THEM = "Name the head's outputs, in their order: --labels NAME,NAME"


@dataclass(frozen=True)
class Head:
    """The outputs of a finished head, and possible sources of their names."""

    where: str
    """Origin of the head, for messages."""
    outputs: int | None
    """Number of outputs; ``None`` if there is no head."""
    own: tuple[str, ...] | None
    """Names that are stored with the head."""
    base: tuple[str, ...] | None = None
    """Names in the backbone's config.json, if their number matches and the head stores none. They
    may be wrong: the head may have been trained for other labels later."""

    def names(
        self, asked: tuple[str, ...] | None, dataset: Dataset | None, *, progress: Progress
    ) -> tuple[str, ...]:
        """Returns the names of the outputs, in order; placeholders if there is no source of names.

        Sources by precedence: the head's own names, ``--labels``, the backbone's names, and the
        data's, if the data defines an order of its labels.

        Args:
            asked: The names given with ``--labels``.
            dataset: The examples, if there are any.
            progress: Receives a note on the source of the names if the head has none.

        Raises:
            UsageError: ``--labels`` contradicts the head.
            DataError: The numbers of names and outputs differ, or the order of the data's labels is
                unknown.
        """
        own = None if self.own is None or are_placeholders(self.own) else self.own
        if asked is not None and own is not None and asked != own:
            raise UsageError(
                f"--labels: the outputs of {self.where} have names of their own: expected "
                f"{listed(own)}, found {listed(asked)}.",
                hint="Leave --labels out; if its own names are wrong, correct them in its files.",
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
                f"The outputs of {self.where} have no names: those of {whose} are used, in "
                f"their order: {listed(names)}."
            )
        return names

    def _of_data(self, dataset: Dataset | None) -> tuple[str, ...]:
        if dataset is None:
            return placeholders(self.outputs or 2)
        names = dataset.label_names
        if self.outputs is not None and len(names) != self.outputs:
            return names  # the caller raises the error about their number
        numbers = match_numbers(placeholders(len(names)), names)
        if not dataset.has_label_order and not numbers:
            raise DataError(
                f"{self.where}: the outputs of the head have no names, and the data does not say "
                f"the order of its labels, {listed(names)}: which output is which is unknown.",
                hint=f"{_NAME_THEM}; or put a labels.json beside the data.",
            )
        return names


def no_data(*, task: Task | None, pairs: bool | None = None) -> DataConfig:
    """Returns the data settings of a recipe for a classifier that was imported without data.

    Args:
        task: How many labels a text has; ``None`` if unknown, which counts as a single label.
        pairs: Whether the classifier's input is pairs of texts.
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
        dataset: The examples, with the data's own order of labels.
        labels: Names of the outputs.
        where: Origin of the head, for messages.
        progress: Receives a note if names match only approximately, as in upper and lower case.

    Raises:
        DataError: The data has other labels.
    """
    names = dataset.label_names
    # Names collected from the examples may be incomplete: a label need not occur in the data.
    match = match_labels(labels, names, some=not dataset.has_label_order)
    if match is None:
        raise DataError(
            f"The data has other labels than {where}: expected {listed(labels)}, found "
            f"{listed(names)}.",
            hint=_NAME_THEM
            if are_placeholders(labels)
            else f"labels.json beside the data, a JSON list, names all labels. {_NAME_THEM}",
        )
    if match.note:
        progress.say(f"{where}: {match.note}.")
    return _moved(dataset, np.array(match.order), labels)


def _moved(dataset: Dataset, places: np.ndarray, labels: tuple[str, ...]) -> Dataset:
    """Returns the examples with label index ``i`` replaced by ``places[i]``."""

    def moved(examples: Examples) -> Examples:
        indices = examples.known_labels()
        if indices.ndim == 1:
            return Examples(examples.texts, places[indices])
        columns = np.zeros((len(indices), len(labels)), dtype=indices.dtype)
        columns[:, places] = indices
        return Examples(examples.texts, columns)

    return replace(
        dataset,
        train=moved(dataset.train),
        validation=moved(dataset.validation),
        test=moved(dataset.test),
        label_names=labels,
    )
