"""Names of the outputs of a classification head, and how two lists of names correspond.

A head has one output per label. config.json of a checkpoint, and the configuration of an adapter,
name them in ``id2label``, in ``label2id``, or in both.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from edgeadapt.errors import ModelError
from edgeadapt.recipe import Task

__all__ = [
    "Match",
    "Outputs",
    "Rows",
    "are_placeholders",
    "as_indices",
    "declared_names",
    "differing",
    "folded",
    "folded_names",
    "listed",
    "match_labels",
    "match_names",
    "match_numbers",
    "placeholders",
    "real_names",
    "regression",
    "rows_for",
]

_REGRESSION = "regression"
_DEFAULT_COUNT = 2
"""Number of outputs of a Hugging Face classifier whose config.json does not give it."""
_MOST = 1_000_000
"""Most outputs of a head. The limit bounds memory: missing names are generated for all of them."""
_MOST_SHOWN = 10


@dataclass(frozen=True)
class Outputs:
    """The settings in a checkpoint's config.json that describe the outputs of its head."""

    names: tuple[str, ...]
    """One per output, in order; placeholders where config.json gives no names."""
    task: Task | None
    """Single-label or multi-label; ``None`` where config.json does not say."""
    is_regression: bool
    """Whether the head is for regression: it predicts numbers, not labels."""

    @classmethod
    def of(cls, config: Mapping[str, object], *, where: str) -> Self:
        """Reads the settings of a checkpoint.

        Args:
            config: Content of config.json.
            where: Its path, for messages.

        Raises:
            ModelError: ``id2label`` or ``label2id`` is malformed, they contradict each other or
                ``num_labels``, or ``problem_type`` is unknown.
        """
        names = declared_names(config, where=where)
        count = _count(config, where)
        problems = {task.problem_type: task for task in Task}
        problem = config.get("problem_type")
        if problem not in (None, _REGRESSION, *problems):
            raise ModelError(
                f"{where}: problem_type: expected one of {', '.join([*problems, _REGRESSION])} or "
                f"null, found {problem!r}.",
                hint="Correct problem_type in that file.",
            )
        if names and config.get("num_labels") is not None and count != len(names):
            raise ModelError(
                f"{where}: num_labels is {count}, and id2label or label2id names {len(names)} "
                f"outputs ({listed(names)}): expected the same number.",
                hint="Correct the one that is wrong, or remove num_labels: the names are enough.",
            )
        names = names or placeholders(count)
        return cls(
            names=names,
            task=problems.get(str(problem)),
            is_regression=problem == _REGRESSION or len(names) == 1,
        )

    @property
    def real(self) -> tuple[str, ...] | None:
        """The names; ``None`` where they are placeholders."""
        return real_names(self.names)

    def check_labels(self, *, where: str) -> None:
        """Checks that the outputs are labels whose names can be used in data files.

        Raises:
            ModelError: The head is for regression, or a name is empty or has leading or trailing
                spaces, which data files do not keep.
        """
        if self.is_regression:
            raise regression(where, outputs=len(self.names))
        for name in self.names:
            if not name or name != name.strip():
                raise ModelError(
                    f"{where}: expected label names without spaces around them, found {name!r}.",
                    hint="Correct id2label and label2id in that file.",
                )


@dataclass(frozen=True)
class Match:
    """How two lists of names for the same labels correspond."""

    order: tuple[int, ...]
    """For each wanted name, the index of the output that has it."""
    note: str = ""
    """The names that are not identical, as a phrase for messages; empty where all are."""

    @property
    def is_identity(self) -> bool:
        """Whether both lists have the same order."""
        return self.order == tuple(range(len(self.order)))


@dataclass(frozen=True)
class Rows:
    """Which outputs of an existing head belong to the labels of the data."""

    order: tuple[int, ...] | None
    """For each label, the index of the head's output; ``None`` where a new head is needed."""
    note: str = ""
    """A sentence that says why the outputs are reordered or replaced; empty where they are not."""

    @classmethod
    def as_they_are(cls, count: int) -> Self:
        """Returns the rows of a head whose outputs already have the order of the labels."""
        return cls(tuple(range(count)))


def rows_for(
    own: Sequence[str],
    labels: Sequence[str],
    *,
    whose: str,
    own_task: Task | None,
    task: Task,
) -> Rows:
    """Decides whether a head can be used for the labels of the data, and maps outputs to labels.

    The head is used where it has the same set of names and the same task. Placeholder names do
    not count, unless the labels of the data are the same placeholders.

    Args:
        own: Names of the head's outputs, in order.
        labels: Labels of the data, in order.
        whose: The head's owner, for the note.
        own_task: The task that the head was trained for; ``None`` where it is unknown.
        task: The task of the data.
    """
    if own_task not in (None, task):
        return Rows(
            None, f"The head of {whose} is {own_task}, the data {task}: a new head is drawn."
        )
    # Numbers are not matched with unnamed outputs: such a head may never have been trained.
    match = match_names(own, labels) if are_placeholders(own) else match_labels(own, labels)
    if match is None and are_placeholders(own):
        return Rows(
            None,
            f"The head of {whose} has no names for its {len(own)} outputs: a new head is drawn for "
            f"{listed(labels)}.",
        )
    if match is None:
        return Rows(
            None,
            f"The head of {whose} has other labels, {listed(own)}: a new head is drawn for "
            f"{listed(labels)}.",
        )
    notes = [match.note] if match.note else []
    if not match.is_identity:
        notes.append(f"its outputs {listed(own)} are put in the order {listed(labels)}")
    return Rows(match.order, f"The head of {whose}: {'; '.join(notes)}." if notes else "")


def placeholders(count: int) -> tuple[str, ...]:
    """Returns the names that transformers gives ``count`` outputs: ``LABEL_0`` and so on."""
    return tuple(f"LABEL_{number}" for number in range(count))


def are_placeholders(names: Sequence[str]) -> bool:
    """Returns whether the names are the ones that transformers generates."""
    return tuple(names) == placeholders(len(names))


def real_names(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Returns the names; ``None`` where there are none or only placeholders."""
    return None if names is None or are_placeholders(names) else tuple(names)


def declared_names(
    table: Mapping[str, object], *, where: str, count: int | None = None
) -> tuple[str, ...] | None:
    """Returns the names that ``id2label`` and ``label2id`` give, in the order of the outputs.

    Where one of the two has only placeholders, as transformers writes them by default, the other
    one counts.

    Args:
        table: A configuration, of a checkpoint or an adapter.
        where: Its path, for messages.
        count: Outputs of the head, where known.

    Raises:
        ModelError: One of them is malformed, or they contradict each other.
    """
    declared = [
        _in_order(table[key], key, where, count)
        for key in ("id2label", "label2id")
        if table.get(key) not in (None, {})
    ]
    lengths = {len(names) for names in declared}
    if len(lengths) > 1 or len({*map(real_names, declared)} - {None}) > 1:
        raise ModelError(
            f"{where}: id2label and label2id contradict each other: found {listed(declared[0])} "
            f"and {listed(declared[1])}, in the order of their indices.",
            hint="Correct the one that is wrong, or remove it.",
        )
    return next(filter(real_names, declared), declared[0] if declared else None)


def match_labels(own: Sequence[str], found: Sequence[str], *, some: bool = False) -> Match | None:
    """Returns which output each label of the data corresponds to; all commands use this rule.

    Names are compared exactly, then without case and spaces, then as indices.

    Args:
        own: Names of the outputs, in order.
        found: The labels of the data.
        some: Whether the data may lack some of the labels.
    """
    return match_names(own, found, some=some) or match_numbers(own, found, some=some)


def match_names(own: Sequence[str], wanted: Sequence[str], *, some: bool = False) -> Match | None:
    """Returns the index of each wanted name among a head's names; ``None`` where the sets differ.

    Names that differ only in case and spaces match, unless two names of one list do so.

    Args:
        own: The head's names.
        wanted: The names to find.
        some: Whether these may be some of them.
    """
    if len(own) != len(wanted) and not (some and len(wanted) < len(own)):
        return None
    if set(wanted) <= set(own):
        return Match(tuple(own.index(name) for name in wanted))
    places = folded_names(own)
    order = tuple(places[key] for name in wanted if (key := folded(name)) in places)
    if len(set(order)) < len(wanted):
        return None
    return Match(
        order, differing([(name, own[at]) for name, at in zip(wanted, order, strict=True)])
    )


def match_numbers(own: Sequence[str], wanted: Sequence[str], *, some: bool = False) -> Match | None:
    """Returns the outputs of names that are indices; ``None`` where the names are not indices.

    They are indices where they are the numbers from 0 up, one for each output, and no output has
    a number as its name.

    Args:
        own: The head's names.
        wanted: The names to find.
        some: Whether these may be some of the numbers.
    """
    numbers = [str(number) for number in range(len(own))]
    if not set(wanted) <= set(numbers) or (len(wanted) != len(own) and not some):
        return None
    if any(name.lstrip("-").isdigit() for name in own):
        return None
    order = tuple(map(int, wanted))
    return Match(order, as_indices([(number, own[number]) for number in sorted(order)]))


def folded(name: str) -> str:
    """Returns a name in lower case with single spaces, as a key for comparison."""
    return " ".join(name.casefold().split())


def folded_names(names: Sequence[str]) -> dict[str, int]:
    """Returns the index of each name by its ``folded`` form; empty where two names share one."""
    indices = {folded(name): index for index, name in enumerate(names)}
    return indices if len(indices) == len(names) else {}


def differing(pairs: Iterable[tuple[str, str]]) -> str:
    """Returns a phrase that lists the matched names that are not identical; empty without any.

    Args:
        pairs: A name in the data, and the name of its output.
    """
    differ = [f"{name!r} = {own!r}" for name, own in pairs if name != own]
    return f"label names differ in case or spaces only: {listed(differ)}"


def as_indices(pairs: Iterable[tuple[int, str]]) -> str:
    """Returns a phrase that lists the label of each number."""
    meant = [f"{number} = {name}" for number, name in pairs]
    return f"labels of the data are read as indices: {listed(meant)}"


def listed(names: Sequence[str]) -> str:
    """Returns names joined by commas for a message, shortened where there are many."""
    shown = ", ".join(names[:_MOST_SHOWN])
    return shown if len(names) <= _MOST_SHOWN else f"{shown}, … ({len(names)} in all)"


def regression(where: str, *, outputs: int) -> ModelError:
    """Returns the error for a head that predicts numbers."""
    return ModelError(
        f"{where}: the head is for regression (problem_type = 'regression', or one output): "
        f"expected a classifier with 2 labels or more, found {outputs} "
        f"output{'s' if outputs > 1 else ''}.",
        hint="Regression is not supported. To train a classifier on its encoder, save that alone: "
        "AutoModel.from_pretrained(…).save_pretrained(…)",
    )


def _count(config: Mapping[str, object], where: str) -> int:
    """Number of outputs from ``num_labels`` of config.json."""
    value = config.get("num_labels", config.get("_num_labels"))
    if value is None:
        return _DEFAULT_COUNT
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST:
        raise ModelError(
            f"{where}: num_labels: expected a whole number from 1 to {_MOST:,}, found {value!r}.",
            hint="Correct num_labels in that file.",
        )
    return value


def _in_order(value: object, key: str, where: str, count: int | None) -> tuple[str, ...]:
    """The names of one of the two tables, in the order of their indices."""
    names: dict[int, str] = {}
    if isinstance(value, Mapping):
        for left, right in value.items():
            index, name = (left, right) if key == "id2label" else (right, left)
            if isinstance(name, str | int) and not isinstance(name, bool) and _is_index(index):
                names[int(index)] = str(name)
    expected = count or (len(value) if isinstance(value, Mapping) else 0)
    ordered = tuple(names[index] for index in sorted(names))
    complete = sorted(names) == list(range(expected)) and len(set(ordered)) == len(ordered)
    if not ordered or not complete or len(names) != len(value):  # type: ignore[arg-type]
        upto = f"the indices 0 to {expected - 1}" if expected else "indices from 0"
        raise ModelError(
            f"{where}: {key}: expected different names with {upto}, one for each output of the "
            f"head, found {str(value)[:200]}.",
            hint=f"Correct {key} in that file.",
        )
    return ordered


def _is_index(value: object) -> bool:
    if isinstance(value, str):
        return value.isascii() and value.isdigit() and len(value) < 10
    return isinstance(value, int) and not isinstance(value, bool)
