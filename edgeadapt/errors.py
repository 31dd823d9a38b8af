"""Every error edgeadapt raises on purpose.

    EdgeAdaptError
    ├── UsageError               a value given by the user is out of range
    ├── RecipeError              a recipe that cannot be read
    ├── DataError                examples that cannot be read or trained on
    ├── ModelError               a backbone that cannot be used
    ├── HubError                 a hub id that cannot be fetched
    ├── MissingExtraError        an optional dependency that is not installed
    ├── LayoutError              a run, bundle or record on disk
    │   ├── MissingError         … is not there
    │   ├── UnfinishedError      … was never finished
    │   ├── FormatVersionError   … was written by a newer edgeadapt
    │   └── IntegrityError       … is not what was written
    ├── OutputExistsError        the name to write is taken
    ├── TrainingError            a frozen weight changed or the loss is not finite
    ├── ExportError              the model cannot be expressed as asked
    ├── GateError                a parity or accuracy gate did not pass
    └── MeasurementError         a measuring child process failed

All of them are expected failures: the command line prints message and hint and exits 1.
Anything else is a bug and keeps its traceback.
"""

from typing import ClassVar

__all__ = [
    "DataError",
    "EdgeAdaptError",
    "ExportError",
    "FormatVersionError",
    "GateError",
    "HubError",
    "IntegrityError",
    "LayoutError",
    "MeasurementError",
    "MissingError",
    "MissingExtraError",
    "ModelError",
    "OutputExistsError",
    "RecipeError",
    "TrainingError",
    "UnfinishedError",
    "UsageError",
]


class EdgeAdaptError(Exception):
    """An expected failure.

    Args:
        message: What went wrong, where, what was expected and what was found.
        hint: What to do about it; the default of the error class where none is given.
    """

    default_hint: ClassVar[str] = "See: edgeadapt COMMAND --help"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}"

    def __reduce__(self) -> tuple[object, ...]:
        """Makes the error picklable, so that a worker process can send it to its parent."""
        return _again, (type(self), self.message, self.hint)


def _again(kind: type[EdgeAdaptError], message: str, hint: str) -> EdgeAdaptError:
    """Returns a copy of a pickled error without calling the ``__init__`` of its class."""
    error = kind.__new__(kind, message)
    EdgeAdaptError.__init__(error, message, hint=hint)
    return error


class UsageError(EdgeAdaptError):
    """A value given by the user is out of range."""


class RecipeError(EdgeAdaptError):
    """A recipe that cannot be read."""

    default_hint = (
        "`edgeadapt train --help` has the options; the recipe that it prints has their keys."
    )


class DataError(EdgeAdaptError):
    """Examples that cannot be read or trained on."""

    default_hint = (
        "A data file has a column of texts and one of labels; see --text-column, --label-column."
    )


class ModelError(EdgeAdaptError):
    """A backbone that cannot be used."""

    default_hint = "--model takes a folder with a Hugging Face checkpoint, or a hub id."


class HubError(EdgeAdaptError):
    """A hub id that cannot be fetched."""

    default_hint = "Check the id and the connection."


class MissingExtraError(EdgeAdaptError):
    """An optional dependency that is not installed.

    Args:
        what: What needs the dependency, such as ``"edgeadapt train"``.
        extra: The extra that installs it, such as ``"train"``.
        missing: The module that could not be imported.
    """

    def __init__(self, what: str, *, extra: str, missing: str | None) -> None:
        reason = f": the module {missing!r} is not installed" if missing else ""
        super().__init__(
            f"{what} needs the extra [{extra}]{reason}.",
            hint=f'Install it with: pip install "edgeadapt[{extra}]"',
        )


class LayoutError(EdgeAdaptError):
    """A run, bundle or record on disk that cannot be used."""

    default_hint = "Write it again with edgeadapt, or name another one."


class MissingError(LayoutError):
    """There is no run, bundle or record of that name."""


class UnfinishedError(LayoutError):
    """The folder is there, but it was never finished."""


class FormatVersionError(LayoutError):
    """The file has a format version that only a newer edgeadapt reads."""


class IntegrityError(LayoutError):
    """The content of a file does not match its recorded hash or format."""


class OutputExistsError(EdgeAdaptError):
    """The output exists already and may not be overwritten."""


class TrainingError(EdgeAdaptError):
    """A frozen weight changed, or the loss is not finite."""

    default_hint = "Try a smaller --learning-rate or another --seed."


class ExportError(EdgeAdaptError):
    """The model cannot be exported with the given settings."""

    default_hint = "Try the other --exporter, or another --method."


class GateError(EdgeAdaptError):
    """A parity or accuracy gate did not pass."""

    default_hint = "Nothing was written. Train longer or relax the limit."


class MeasurementError(EdgeAdaptError):
    """A measuring child process failed."""

    default_hint = "Check the bundle with: edgeadapt inspect BUNDLE"
