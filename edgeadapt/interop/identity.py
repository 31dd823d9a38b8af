"""The identity of an adapter: what it was trained on and for, stored as ``edgeadapt.json``.

Formats of other libraries do not record the tokenizer and weights that an adapter belongs to, and
some not even its label names. On a wrong backbone an adapter loads without an error and gives
meaningless results; this file makes it possible to detect that.
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
    """Task, labels, tokenizer and backbone of an adapter; ``None`` means unknown."""

    labels: tuple[str, ...] | None = None
    """Label names in the order of the head's outputs."""
    task: Task | None = None
    """How many labels a text has."""
    pairs: bool | None = None
    """Whether its input is pairs of texts."""
    tokenizer_sha256: str | None = None
    """Hash of tokenizer.json."""
    backbone_sha256: str | None = None
    """Hash of the frozen weights."""
    backbone_config_sha256: str | None = None
    """Hash of the settings in config.json that affect the computation."""
    backbone_layers: int | None = None
    """Number of layers kept, from the first; ``None`` for all."""
    base_model: str | None = None
    """Hub id or folder of the backbone. For people only: checks use the hashes."""

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Reads the identity in an adapter's folder; ``None`` if there is none.

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
                f"{path}: {error}; expected {', '.join(field.name for field in fields(cls))} as "
                "edgeadapt writes them.",
                hint="Convert the run again.",
            ) from None

    def save(self, folder: Path) -> None:
        """Writes the identity into an adapter's folder."""
        write_json(folder / IDENTITY_FILE, {"format_version": _VERSION, **asdict(self)})


def check_identity(expected: Identity, found: Identity, *, where: str) -> None:
    """Checks that an adapter belongs to a backbone, tokenizer and task.

    Fields that are unknown on either side are not compared, nor is ``base_model``, since a folder
    may have been moved.

    Args:
        expected: The adapter's identity.
        found: The identity of the task, labels, tokenizer and backbone it is used with.
        where: The adapter's folder, for the message.

    Raises:
        IntegrityError: A field differs.
    """
    for field in fields(Identity):
        wanted, given = getattr(expected, field.name), getattr(found, field.name)
        if field.name != "base_model" and None not in (wanted, given) and wanted != given:
            raise IntegrityError(
                f"{where} belongs to another model: {field.name}: expected {_shown(wanted)}, "
                f"found {_shown(given)}.",
                hint=f"It was trained on {expected.base_model or 'a backbone without a name'}; "
                "use that backbone with its own tokenizer and labels.",
            )


def _parsed(name: str, value: Any) -> Any:
    """Returns the value of a field, parsed from JSON.

    Raises:
        ValueError: The value is not one that edgeadapt writes in this field.
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
