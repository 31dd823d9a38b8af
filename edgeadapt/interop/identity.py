"""What an adapter was trained on and for, stored beside its files as ``edgeadapt.json``.

Foreign formats do not say which tokenizer and which weights an adapter belongs to, and some not
even what its labels are called. On another backbone an adapter loads without complaint and answers
nonsense; this file is what such a mistake is noticed by.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from edgeadapt.errors import IntegrityError, LayoutError
from edgeadapt.recipe import Task
from edgeadapt.store.files import read_versioned, write_json

__all__ = ["IDENTITY_FILE", "Identity", "check_identity"]

IDENTITY_FILE = "edgeadapt.json"
_VERSION = 1


@dataclass(frozen=True)
class Identity:
    """Task, labels, tokenizer and backbone of an adapter; ``None`` is unknown."""

    labels: tuple[str, ...] | None = None
    """Names in the order of the head's outputs."""
    task: Task | None = None
    """How many labels a text has."""
    pairs: bool | None = None
    """Whether it reads pairs of texts."""
    tokenizer_sha256: str | None = None
    """Of tokenizer.json."""
    backbone_sha256: str | None = None
    """Of the frozen weights."""
    backbone_config_sha256: str | None = None
    """Of the settings in config.json that decide what the weights compute."""
    backbone_layers: int | None = None
    """How many of the backbone's layers were kept; ``None`` is all of them."""
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
        try:
            return cls(**{name: _parsed(name, value) for name, value in values.items()})
        except ValueError as error:
            raise LayoutError(
                f"{path}: {error}; expected {', '.join(each.name for each in fields(cls))} as "
                "edgeadapt writes them.",
                hint="Convert the run again.",
            ) from None

    def save(self, folder: Path) -> None:
        """Writes it into an adapter's folder."""
        write_json(folder / IDENTITY_FILE, {"format_version": _VERSION, **asdict(self)})


def check_identity(expected: Identity, found: Identity, *, where: str) -> None:
    """Compares an adapter's identity with what is at hand.

    What one of them does not know is not compared, and ``base_model`` never is: a folder may move.

    Args:
        expected: The adapter's.
        found: Of the task, labels, tokenizer and backbone at hand.
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


def _parsed(name: str, value: Any) -> Any:
    """Returns what a field of the file holds.

    Raises:
        ValueError: It is not what edgeadapt writes there.
    """
    match name, value:
        case _, None:
            return None
        case "labels", [*labels] if all(isinstance(label, str) for label in labels):
            return tuple(labels)
        case "task", str() if value in list(Task):
            return Task(value)
        case "backbone_layers", int() if type(value) is int and value > 0:
            return value
        case ("pairs", bool()) | (
            "tokenizer_sha256" | "backbone_sha256" | "backbone_config_sha256" | "base_model",
            str(),
        ):
            return value
    raise ValueError(f"found {name} = {value!r}")


def _shown(value: object) -> str:
    return ", ".join(value) if isinstance(value, tuple) else str(value)
