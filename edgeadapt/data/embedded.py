"""The embedded reviews: real texts that are available without a download."""

from importlib.resources import as_file, files

from edgeadapt.data.examples import TEXT_COLUMNS, to_examples
from edgeadapt.data.files import read_rows
from edgeadapt.text import Text

__all__ = ["embedded_texts"]


def embedded_texts() -> tuple[Text, ...]:
    """Returns the validation texts of the embedded reviews."""
    with as_file(files("edgeadapt") / "demo" / "validation.csv") as file:
        examples = to_examples(
            read_rows(file),
            text_column=TEXT_COLUMNS[0],
            label_column=None,
            label_names=(),
            where="the embedded reviews",
        )
    return examples.texts
