"""Read label fields: map a field to the indices of known labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from edgeadapt.data.label_fields import (
    LABEL_SEPARATOR,
    NAME_LABELS,
    NO_SCORES,
    field_values,
)
from edgeadapt.data.label_values import (
    NotALabelError,
    is_integer,
    is_missing,
    is_number,
    key_of,
    label_name,
    plain,
    shown,
)
from edgeadapt.data.missing import FILL_IN, is_word_for_missing, missing_word
from edgeadapt.errors import DataError
from edgeadapt.outputs import as_indices, differing, folded, folded_names
from edgeadapt.outputs import listed as listed_names
from edgeadapt.recipe import Task

__all__ = ["LabelReader"]


@dataclass(frozen=True)
class LabelReader:
    """Turns label fields into indices."""

    names: tuple[str, ...]
    """In the order of their indices."""
    task: Task
    column: str
    """Column of the label, for messages."""
    multi_hot: bool = False
    """Whether lists hold a 0 or 1 per label."""
    found: Mapping[str, str] = field(default_factory=dict)
    """Label that occurs in the data -> place of its first occurrence."""

    @classmethod
    def of(
        cls,
        fields: Sequence[tuple[str, Any]],
        names: Sequence[str],
        task: Task,
        column: str,
        *,
        multi_hot: bool = False,
    ) -> Self:
        """Returns a reader for the fields of a split.

        Args:
            fields: The fields to read, with their places.
            names: In the order of their indices.
            task: How many labels a text has.
            column: Column of the label, for messages.
            multi_hot: Whether lists hold a 0 or 1 per label.
        """
        return cls(tuple(names), task, column, multi_hot).expecting(fields)

    def expecting(self, fields: Sequence[tuple[str, Any]]) -> Self:
        """Returns a reader that has recorded which labels occur in these fields."""
        return replace(self, found=self._occurring(fields))

    def read(self, field: Any, place: str) -> int | list[int]:
        """Returns a field as an index or, multi-label, as 0 or 1 per label.

        Raises:
            DataError: A label is missing or unknown; the message names ``place``.
        """
        values = self._values(field, place)
        if self.multi_hot and len(values) == len(self.names):
            return [int(float(plain(value))) for value in values]
        indices = {self._index(value, place) for value in values}
        if self.task is Task.MULTI_LABEL:
            return [int(number in indices) for number in range(len(self.names))]
        return indices.pop()

    def note(self) -> str:
        """Returns a note on labels that are not spelled exactly like the names; empty without any.

        Raises:
            DataError: Two different spellings would be the same label.
        """
        by_name: dict[int, list[str]] = {}
        numbers: set[int] = set()
        for name in self.found:
            known = self._keys_of_names.get(key_of(name), self._folded.get(folded(name)))
            if known is not None:
                by_name.setdefault(known, []).append(name)
            elif (index := self._find(name)) is not None:
                numbers.add(index)
        pairs = []
        for index, names in by_name.items():
            loose = [name for name in names if key_of(name) not in self._keys_of_names]
            if loose and len(names) > 1:
                others = [name for name in names if name != loose[0]]
                raise DataError(
                    f"{self.found[loose[0]]}: unknown label {loose[0]!r}: {self._expected}; "
                    f"{self.names[index]!r} is {others[0]!r} already.",
                    hint="Spell a label in one way: a spelling that differs in case or spaces is "
                    "accepted only where the data has no other one.",
                )
            pairs += [(name, self.names[index]) for name in loose]
        notes = [differing(pairs)] if pairs else []
        if numbers:
            notes.append(as_indices([(index, self.names[index]) for index in sorted(numbers)]))
        return "; ".join(notes)

    def knows(self, value: Any) -> bool:
        """Returns whether a value is one of the labels, by name or index."""
        try:
            return self._find(value) is not None
        except NotALabelError:
            return False

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.names)}

    @cached_property
    def _keys(self) -> dict[str, int]:
        """Spelling -> index of the label; also the index as text, where no name is a number."""
        keys = dict(self._keys_of_names)
        if not any(map(is_number, self.names)):
            keys |= {str(index): index for index in range(len(self.names))}
        return keys

    @cached_property
    def _keys_of_names(self) -> dict[str, int]:
        """Spelling -> index of the label."""
        return {key_of(name): index for index, name in reversed(list(enumerate(self.names)))}

    @cached_property
    def _folded(self) -> dict[str, int]:
        """``folded`` name -> index of the label."""
        return folded_names(self.names)

    @property
    def _wanted(self) -> str:
        indices = f", or an index from 0 to {len(self.names) - 1}"
        is_numbered = any(map(is_number, self.names))
        return f"expected one of {listed_names(self.names)}{'' if is_numbered else indices}"

    @property
    def _expected(self) -> str:
        """Expected and found labels, for messages."""
        return f"{self._wanted}, found {listed_names(tuple(self.found)) or 'others'}"

    def _occurring(self, fields: Sequence[tuple[str, Any]]) -> dict[str, str]:
        """The labels in fields, in order of occurrence; fields that cannot be read are skipped."""
        if self.multi_hot:
            return {}
        found: dict[str, str] = {}
        for place, value in fields:
            try:
                values = self._values(value, place)
            except DataError:  # ``read`` reports it
                continue
            for item in values:
                try:
                    name = label_name(item)
                except NotALabelError:
                    continue
                if name is not None:
                    found.setdefault(name, place)
        return found

    def _values(self, field: Any, place: str) -> Sequence[Any]:
        if isinstance(field, str) and field.strip() in self._exact:
            return [field]  # a name of the label list is one label, even if it looks like several
        return field_values(field, self.task, place)

    def _find(self, value: Any) -> int | None:
        """The index of a value; ``None`` for an unknown one."""
        if isinstance(value, str) and (index := self._exact.get(value.strip())) is not None:
            return index
        name = label_name(value)
        if name is None:
            return None
        keys = [key_of(name)]
        if keys[0] in ("true", "false"):
            keys.append(str(int(keys[0] == "true")))
        by_key = (self._keys[key] for key in keys if key in self._keys)
        return next(by_key, self._folded.get(folded(name)))

    def _index(self, value: Any, place: str) -> int:
        try:
            index = self._find(value)
        except NotALabelError:
            index = None
        if index is not None:
            return index
        if is_missing(value):
            raise DataError(
                f"{place}: the label in {self.column!r} is empty: {self._wanted}, found {value!r}.",
                hint=FILL_IN,
            )
        if isinstance(value, str) and is_word_for_missing(value):
            raise missing_word(value, place, self.column)
        raise DataError(
            f"{place}: unknown label {shown(value)}: {self._expected}.",
            hint=_unknown_hint(value),
        )


def _unknown_hint(value: Any) -> str:
    name = str(plain(value)).strip()
    if is_number(name) and not is_integer(name):
        return NO_SCORES
    if any(mark in name for mark in ",;/&+|\t["):
        return f"{NAME_LABELS} With --multi-label, {LABEL_SEPARATOR!r} separates labels."
    return NAME_LABELS
