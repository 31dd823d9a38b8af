"""What an adapter was trained on and for, stored beside its files as ``edgeadapt.json``.

Foreign formats do not say which tokenizer and which weights an adapter belongs to, and some not
even what its labels are called. On another backbone an adapter loads without complaint and answers
nonsense; this file is what such a mistake is noticed by.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self

from edgeadapt.errors import IntegrityError, LayoutError
from edgeadapt.storage import read_versioned, write_json

__all__ = ["IDENTITY_FILE", "Identity", "check_identity"]

IDENTITY_FILE = "edgeadapt.json"
_VERSION = 1


@dataclass(frozen=True)
class Identity:
    """Labels, tokenizer and backbone of an adapter; ``None`` is unknown."""

    labels: tuple[str, ...] | None = None
    """Names in the order of the head's outputs."""
    tokenizer_sha256: str | None = None
    """Of tokenizer.json."""
    backbone_sha256: str | None = None
    """Of the frozen weights."""
    backbone_config_sha256: str | None = None
    """Of the settings in config.json that decide what the weights compute."""
    base_model: str | None = None
    """Hub id or folder; for people, since the hashes decide."""

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Reads it from an adapter's folder; ``None`` where there is none.

        Raises:
            LayoutError: The file is damaged or newer than this edgeadapt.
        """
        path = folder / IDENTITY_FILE
        if not path.is_file():
            return None
        values = read_versioned(path, supported=_VERSION)
        labels = values.pop("labels", None)
        names = {each.name for each in fields(cls)}
        if (
            not values.keys() <= names
            or not all(value is None or isinstance(value, str) for value in values.values())
            or not (labels is None or _are_strings(labels))
        ):
            raise LayoutError(
                f"{path}: expected strings under {', '.join(sorted(names))} and a list of labels, "
                f"found {values | {'labels': labels}}."
            )
        return cls(labels=None if labels is None else tuple(labels), **values)

    def save(self, folder: Path) -> None:
        """Writes it into an adapter's folder."""
        write_json(folder / IDENTITY_FILE, {"format_version": _VERSION, **asdict(self)})


def check_identity(expected: Identity, found: Identity, *, where: str) -> None:
    """Compares an adapter's identity with what is at hand.

    What one of them does not know is not compared, and ``base_model`` never is: a folder may move.

    Args:
        expected: The adapter's.
        found: Of the labels, tokenizer and backbone at hand.
        where: The adapter's place, for the message.

    Raises:
        IntegrityError: Something differs.
    """
    for each in fields(Identity):
        wanted, given = getattr(expected, each.name), getattr(found, each.name)
        if each.name != "base_model" and None not in (wanted, given) and wanted != given:
            raise IntegrityError(
                f"{where} belongs to another model: {each.name}: expected {_shown(wanted)}, "
                f"found {_shown(given)}.",
                hint=f"It was trained on {expected.base_model or 'a backbone without a name'}; "
                "use that backbone with its own tokenizer and labels.",
            )


def _are_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else ", ".join(value)
