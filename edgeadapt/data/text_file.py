"""Read unlabelled texts from a file."""

from dataclasses import dataclass
from pathlib import Path

from edgeadapt.data.columns import with_columns
from edgeadapt.data.examples import empty_rows, is_blank, say_skipped, to_examples
from edgeadapt.data.files import is_table, parse_lines, read_rows
from edgeadapt.data.raw import read_bytes
from edgeadapt.errors import DataError
from edgeadapt.progress import SILENT, Progress

__all__ = ["TextFile"]


@dataclass(frozen=True)
class TextFile:
    """Unlabelled texts: one per line, or a column of a CSV or JSONL file."""

    path: Path
    column: str = "text"
    skip_empty: bool = False
    """Whether to skip table rows with an empty text; blank lines are always skipped."""

    def read(self, progress: Progress = SILENT) -> tuple[str, ...]:
        """Returns the texts, and reports how many rows were left out.

        Raises:
            DataError: The file cannot be read, or holds fewer than two different texts.
        """
        if not self.path.is_file():
            raise DataError(
                f"{self.path} does not exist, or is no file.",
                hint="--text takes a file with a text a line, or a CSV or JSONL file.",
            )
        texts = self._rows(progress) if is_table(self.path) else self._lines()
        if len(set(texts)) < 2:
            raise DataError(
                f"{self.path}: expected at least two different texts, found {len(set(texts))}.",
                hint="A text a line, or a CSV or JSONL file with a column of texts "
                "(--text-column).",
            )
        return texts

    def _rows(self, progress: Progress) -> tuple[str, ...]:
        where = str(self.path)
        rows = with_columns(read_rows(self.path), [self.column], where, progress=progress)
        skip = empty_rows(rows, [self.column]) if self.skip_empty else ()
        say_skipped(len(skip), where, progress)
        examples = to_examples(
            rows,
            text_column=self.column,
            label_column=None,
            label_names=(),
            where=where,
            skip=skip,
        )
        return tuple(str(text) for text in examples.texts)

    def _lines(self) -> tuple[str, ...]:
        lines = parse_lines(read_bytes(self.path), where=str(self.path))
        return tuple(line for line in lines if not is_blank(line))
