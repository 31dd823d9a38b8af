"""Read the bytes of a user's file with a size limit, and convert Unicode text to UTF-8."""

import codecs
import stat
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import BinaryIO

from edgeadapt.errors import DataError
from edgeadapt.parsing import check_fetched

__all__ = [
    "MOST_BYTES",
    "MOST_CHARACTERS",
    "MOST_ROWS",
    "as_utf8",
    "check_file",
    "read_bytes",
    "read_stream",
]

MOST_BYTES = 1 << 30
"""Largest size of a file, also after decompression. Parsed rows take several times the memory."""
MOST_ROWS = 10_000_000
"""Most rows of a file; each takes about 300 bytes of memory in addition to its text."""
MOST_CHARACTERS = 10_000_000
"""Most characters of a text, and of a line."""

_SMALLER = "Split the file, or take a sample of it."
_MARKS = (
    # The UTF-32 mark begins with that of UTF-16, so it is tested first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES: Mapping[bytes, str] = {
    b"\x1f\x8b": "gzip-compressed data",
    b"BZh91AY&SY": "bzip2-compressed data",
    b"\xfd7zXZ\x00": "xz-compressed data",
    b"\x28\xb5\x2f\xfd": "zstd-compressed data",
    b"PK\x03\x04": "a zip archive or a spreadsheet (.xlsx, .ods)",
    b"\xd0\xcf\x11\xe0": "a spreadsheet (.xls)",
    b"PAR1": "parquet data",
    b"ARROW1\x00": "Arrow data",
}
"""First bytes of binary files -> kind of file. They are checked regardless of the suffix."""
_SAMPLE_BYTES, _LEAST_SAMPLE = 4096, 16
_ZEROS: Mapping[str, Collection[int]] = {
    "utf-32le": (1, 2, 3),
    "utf-32be": (0, 1, 2),
    "utf-16le": (1, 3),
    "utf-16be": (0, 2),
}
"""Encoding -> which of every four bytes are zero in Latin text."""


def read_bytes(path: Path, *, pipes: bool = False) -> bytes:
    """Reads a whole regular file.

    Args:
        path: The file.
        pipes: Whether a pipe is accepted too, such as ``/dev/stdin`` or the shell's ``<(…)``.

    Raises:
        DataError: It is missing, no regular file, too large or not readable.
    """
    check_file(path, pipes=pipes)
    try:
        with path.open("rb") as file:
            return read_stream(file, str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}.", hint="Check the path.") from None


def check_file(path: Path, *, pipes: bool = False) -> None:
    """Checks that a path is a regular file of at most ``MOST_BYTES``.

    Args:
        path: The file.
        pipes: Whether a pipe is accepted too, whose size is unknown before it is read.

    Raises:
        DataError: It is not.
        IntegrityError: It is a git-lfs pointer.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.", hint="Check the path.") from None
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise DataError(f"{path} cannot be read: {error}.", hint="Check the path.") from None
    if pipes and stat.S_ISFIFO(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{path}: expected a file, found {_kind(status.st_mode)}.",
            hint="Name a file; save the output of a program to a file first.",
        )
    _check_size(status.st_size, str(path))
    check_fetched(path)


def read_stream(stream: BinaryIO, where: str) -> bytes:
    """Reads a stream to its end.

    Raises:
        DataError: It holds more than ``MOST_BYTES``.
    """
    raw = stream.read(MOST_BYTES + 1)
    _check_size(len(raw), where)
    return raw


def as_utf8(raw: bytes, where: str, place: Callable[[str], str]) -> bytes:
    """Returns text as UTF-8 without a byte order mark; UTF-16 and UTF-32 are detected by theirs.

    Args:
        raw: The bytes of a file.
        where: The file, for messages.
        place: Returns the row or line in which a text ends, for messages.

    Raises:
        DataError: It is in another encoding; the message names the place.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            return _recoded(raw, encoding, where)
    for signature, kind in _SIGNATURES.items():
        if raw.startswith(signature):
            raise DataError(
                f"{where}: expected text, found {kind}.",
                hint="The suffix does not match the content: convert it to CSV or JSON Lines.",
            )
    raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        # The added character stands for the rest of the row in which decoding failed.
        ends = place(raw[: error.start].decode() + "x")
        raise DataError(
            f"{where}, {ends}: expected UTF-8, found the byte 0x{raw[error.start]:02x} that is "
            "not valid there.",
            hint=_convert(_wide(raw) or ("utf-16" if 0 in raw[:_SAMPLE_BYTES] else "latin1")),
        ) from None
    if wide := _wide(raw):
        raise DataError(
            f"{where}: expected UTF-8, found zero bytes between the characters, as in {wide}.",
            hint=_convert(wide),
        )
    return raw


def _check_size(size: int, where: str) -> None:
    if size > MOST_BYTES:
        raise DataError(
            f"{where} is too large: expected at most {MOST_BYTES:,} bytes.", hint=_SMALLER
        )


def _recoded(raw: bytes, encoding: str, where: str) -> bytes:
    try:
        return raw.decode(encoding).encode()
    except UnicodeError as error:
        raise DataError(
            f"{where}: expected {encoding}, as its byte order mark says, found bytes that are not: "
            f"{error}.",
            hint="Save the file again, as UTF-8.",
        ) from None


def _wide(raw: bytes) -> str | None:
    """Returns the likely encoding of text without a byte order mark, from the places of zero bytes.

    UTF-8 may contain zero bytes too, but hardly ever as every second byte or three out of four.
    """
    sample = raw[:_SAMPLE_BYTES]
    sample = sample[: len(sample) // 4 * 4]
    if len(sample) < _LEAST_SAMPLE:
        return None
    zeros = [sample[start::4].count(0) * 4 / len(sample) for start in range(4)]
    for encoding, where in _ZEROS.items():
        others = [share for start, share in enumerate(zeros) if start not in where]
        if min(zeros[start] for start in where) > 0.4 and max(others) < 0.1:
            return encoding
    return None


def _convert(encoding: str) -> str:
    return f"Convert the file, for example with: iconv -f {encoding} -t utf-8"


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a pipe",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "none")
