"""The texts in a bundle with which it can be compressed again on the target machine.

Test text (``evaluation.csv``) is not among them: it must not influence any choice.
"""

from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError  # numpy parses headers of old files with tokenize
from typing import Self

import numpy as np

from edgeadapt.compress.budget import Reference
from edgeadapt.data import (
    TEXT_COLUMNS,
    Examples,
    read_rows,
    text_columns,
    to_examples,
    write_csv,
)
from edgeadapt.errors import LayoutError, UsageError
from edgeadapt.metrics import Logits
from edgeadapt.store.bundle import CALIBRATION_FILE, LOGITS_FILE, VALIDATION_FILE, Bundle
from edgeadapt.text import Text

__all__ = ["CompressionTexts"]

# What numpy raises for an invalid header.
_UNREADABLE = (ArithmeticError, EOFError, OSError, SyntaxError, TokenError, TypeError, ValueError)


@dataclass(frozen=True)
class CompressionTexts:
    """The validation texts with their reference logits, and the calibration set.

    On disk: ``validation.csv`` (text, label), ``validation_logits.npy`` (logits of the uncompressed
    fp32 model, float32 of shape ``(texts, labels)``) and ``calibration.csv`` (text).
    """

    reference: Reference
    calibration: tuple[Text, ...] = ()
    """The calibration set of static quantization: training texts; may be empty."""

    def write(self, folder: Path, names: tuple[str, ...]) -> None:
        """Writes the files into the folder of a bundle.

        Args:
            folder: The folder of an unfinished bundle.
            names: Label names in the order of their indices.
        """
        reference = self.reference
        kept = Examples(tuple(reference.texts), reference.labels)
        write_csv(folder / VALIDATION_FILE, kept.columns(names))
        np.save(folder / LOGITS_FILE, reference.logits.astype(np.float32), allow_pickle=False)
        if self.calibration:
            write_csv(folder / CALIBRATION_FILE, text_columns(self.calibration))

    @classmethod
    def of(cls, bundle: Bundle) -> Self:
        """Reads and verifies the texts of a bundle.

        Raises:
            UsageError: The bundle holds no validation text.
            IntegrityError: A file is missing or changed.
            LayoutError: The logits do not match the texts.
            DataError: A CSV file cannot be read.
        """
        files = bundle.manifest.files
        if missing := [name for name in (VALIDATION_FILE, LOGITS_FILE) if name not in files]:
            raise UsageError(
                f"--quantize: {bundle.path} holds no validation text to judge by: expected "
                f"{' and '.join(missing)}.",
                hint="It was exported with --no-evaluation, without data, or by an earlier "
                "version. Export its run again.",
            )
        kept = _examples(bundle, VALIDATION_FILE, label_column="label")
        logits = _logits(bundle, len(kept))
        calibration: tuple[Text, ...] = ()
        if CALIBRATION_FILE in files:
            calibration = _examples(bundle, CALIBRATION_FILE, label_column=None).texts
        reference = Reference(kept.texts, kept.known_labels(), bundle.manifest.task, logits)
        return cls(reference, calibration)


def _examples(bundle: Bundle, name: str, *, label_column: str | None) -> Examples:
    file = bundle.file(name)
    return to_examples(
        read_rows(file),
        text_column=TEXT_COLUMNS[0],
        text_pair_column=TEXT_COLUMNS[1] if bundle.manifest.pairs else None,
        label_column=label_column,
        label_names=bundle.manifest.labels,
        task=bundle.manifest.task,
        where=str(file),
    )


def _logits(bundle: Bundle, texts: int) -> Logits:
    file, expected = bundle.file(LOGITS_FILE), (texts, len(bundle.manifest.labels))
    try:
        # Memory-mapped, so that no memory is allocated for a header that declares terabytes.
        stored = np.lib.format.open_memmap(file, mode="r")
    except _UNREADABLE as error:
        raise LayoutError(f"{file} holds no array of logits: {error}.") from None
    if stored.dtype != np.float32 or stored.shape != expected:
        raise LayoutError(
            f"{file}: expected float32 logits of shape {expected}, one row for each text of "
            f"{VALIDATION_FILE}, found {stored.dtype} of shape {stored.shape}."
        )
    logits = np.array(stored)
    if not np.isfinite(logits).all():
        raise LayoutError(f"{file}: expected finite logits, found NaN or infinite ones.")
    return logits
