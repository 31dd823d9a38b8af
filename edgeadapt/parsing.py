"""Read untrusted JSON and TOML files with limits on size and depth.

A file may come from anyone, and Python's parsers have no limits: they read a device that never
ends, overflow the stack on a hundred thousand nested brackets, and silently keep the last of two
equal keys. Every JSON and TOML file is therefore read through this module, and every rejection
names the file and the reason.
"""

import codecs
import json
import math
import re
import stat
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from edgeadapt.errors import EdgeAdaptError, IntegrityError, LayoutError, MissingError

__all__ = [
    "CONFIG_BYTES",
    "MANIFEST_BYTES",
    "RECIPE_BYTES",
    "RECORD_BYTES",
    "TOKENIZER_BYTES",
    "Refusal",
    "check_downloaded",
    "check_fetched",
    "check_unmarked",
    "parse_json",
    "parse_toml",
    "read_bounded",
]

_MIB = 2**20

RECIPE_BYTES = _MIB
"""Largest recipe in bytes; a usual one is a page of text."""
MANIFEST_BYTES = 16 * _MIB
"""Largest run.json, manifest.json and the like in bytes; edgeadapt writes some kilobytes."""
CONFIG_BYTES = 16 * _MIB
"""Largest config.json of a checkpoint, adapter or tokenizer in bytes; more labels take more."""
TOKENIZER_BYTES = 64 * _MIB
"""Largest tokenizer.json, and counts of its pieces: 17 MB for XLM-R, 33 MB for Gemma."""
RECORD_BYTES = 128 * _MIB
"""Largest record in bytes: up to 2,000 texts per variant, about 20 bytes per logit."""
# A parsed file takes up to 25 times its size in memory; the worst case is ``[[],[],…]``.

_DEPTH = 64
"""Deepest nesting of objects and arrays; edgeadapt's own files need fewer than ten levels."""
_DIGITS = sys.int_info.default_max_str_digits  # Python refuses to convert longer ones
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark is a prefix of this one
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order mark -> its encoding."""
_ERROR_BYTES = 2_000
"""Largest file, in bytes, that is checked for the error text of a failed download."""
_ERROR_PAGES = {b"<!doctype html": "an HTML page", b"<html": "an HTML page",
                b"<?xml": "an XML document", b"<error": "an XML document"}  # fmt: skip
"""Start of a file, in lower case -> kind of file."""
_ERROR_TEXT = re.compile(
    r"(http/[\d.]+ )?[45]\d\d\b|(\w+ )?not found|error\b|access (to|denied)|forbidden|"
    r"(un|not )authorized|invalid (username|credentials)|bad (gateway|request)|"
    r"too many requests|internal server error|service unavailable",
    re.IGNORECASE,
)
_ERROR_KEYS = frozenset({
    "code", "detail", "documentation_url", "error", "errors", "message", "msg", "path", "status",
    "statusCode", "success", "timestamp", "title", "type", "url",
})  # fmt: skip
_REASONS = ("error", "message", "detail")
"""Keys of a server's JSON error message; it has one of them, with a string."""

Refusal = Callable[[str], EdgeAdaptError]
"""Builds an error from a message, such as a subclass of ``EdgeAdaptError``."""


def check_fetched(path: Path) -> None:
    """Checks that a file is not a git-lfs pointer.

    Raises:
        IntegrityError: It is a git-lfs pointer. A missing or irregular file raises nothing.
    """
    try:
        if not path.is_file():  # reading a pipe here would consume it
            return
        with path.open("rb") as file:
            beginning = file.read(len(_LFS_POINTER))
    except (OSError, ValueError):  # whoever reads it says so
        return
    _check_fetched(path, beginning)


def check_downloaded(path: Path) -> None:
    """Checks that a file is not the remains of a failed download.

    Only for files whose format is known: a user's text file may well contain HTML.

    Raises:
        IntegrityError: It is a git-lfs pointer, an HTML or XML page, or a server's error message.
            A missing or irregular file raises nothing.
    """
    check_fetched(path)
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            beginning = file.read(_ERROR_BYTES + 1)
    except (OSError, ValueError):  # whoever reads it says so
        return
    remains = _in_its_place(beginning)
    if remains:
        raise _failed_download(f"{path} is {remains}: expected the file itself.")


def check_unmarked(path: Path, *, refusal: Refusal = LayoutError) -> None:
    """Checks that a text file for other libraries has no byte order mark (BOM).

    transformers and tokenizers read the mark as text: JSON is then invalid, and the first word
    piece of a vocabulary is wrong.

    Args:
        path: The file.
        refusal: Kind of the error.

    Raises:
        EdgeAdaptError: It begins with a BOM. A missing or irregular file raises nothing.
    """
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            encoding = _marked(file.read(4))
    except (OSError, ValueError):  # whoever reads it says so
        return
    if encoding:
        raise refusal(
            f"{path} begins with a byte order mark (BOM) of {encoding}: expected UTF-8 without "
            "one, which is what transformers and tokenizers read. Save it again in that encoding."
        )


def _marked(content: bytes) -> str:
    """The encoding of the byte order mark; empty where there is none."""
    return next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")


def _in_its_place(content: bytes) -> str:
    """What a failed download left instead of the file, in words; empty for any other content."""
    content = content.removeprefix(codecs.BOM_UTF8).strip()
    lowered = content[:20].lower()
    for beginning, kind in _ERROR_PAGES.items():
        if lowered.startswith(beginning):
            return kind
    if not content or len(content) > _ERROR_BYTES:
        return ""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        return ""
    if "\n" not in text and _ERROR_TEXT.match(text):
        return f"the text {text[:100]!r}"
    return f"a server's answer, {text[:100]}" if _is_refusal(text) else ""


def _is_refusal(text: str) -> bool:
    """Whether a text is a server's JSON error message."""
    try:
        value = json.loads(text) if text.startswith("{") else None
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict) or not set(value) <= _ERROR_KEYS:
        return False
    return any(isinstance(value.get(key), str) for key in _REASONS)


def _failed_download(message: str) -> IntegrityError:
    return IntegrityError(
        f"{message} Its download failed.",
        hint="Fetch the file again, from the address of the file and not of the page about it; "
        "a private repository needs a token.",
    )


def _check_fetched(path: Path, content: bytes) -> None:
    if content.startswith(_LFS_POINTER):
        raise IntegrityError(
            f"{path} is a git-lfs pointer of {path.stat().st_size} bytes: expected the file that "
            "it stands for.",
            hint="Fetch the file: install git-lfs and run `git lfs pull` in the folder, or "
            "download the file itself.",
        )


def read_bounded(path: Path, *, limit: int, refusal: Refusal = LayoutError) -> bytes:
    """Reads a regular file of a bounded size.

    Args:
        path: The file; links are followed.
        limit: Largest size in bytes.
        refusal: Class of the error where the file is not readable as such.

    Raises:
        MissingError: There is no such file.
        IntegrityError: It is a git-lfs pointer.
        EdgeAdaptError: It is no regular file, is larger than ``limit``, or cannot be read.
    """
    try:
        status = path.stat()  # before opening: opening a named pipe blocks until it has a writer
        if not stat.S_ISREG(status.st_mode):
            raise refusal(f"{path}: expected a regular file, found {_kind(status.st_mode)}.")
        if status.st_size > limit:
            raise refusal(_too_large(path, status.st_size, limit))
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise refusal(f"{path} cannot be read: {error}.") from None
    if len(content) > limit:  # it grew, or reports size 0, as files in /proc do
        raise refusal(_too_large(path, len(content), limit))
    _check_fetched(path, content)
    return content


def parse_json(content: bytes | str, *, where: str, refusal: Refusal = LayoutError) -> Any:
    """Returns the value of a JSON text.

    Stricter than Python's parser: besides invalid JSON, it rejects ``NaN`` and ``Infinity``,
    numbers too large for a float, duplicate keys, lone surrogates, integers with more digits than
    Python converts, and more than 64 levels of nesting.

    Args:
        content: The text; bytes are UTF-8, with or without a byte order mark.
        where: Where it stands, for the message.
        refusal: Kind of the error.

    Raises:
        IntegrityError: It is a web page or a server's error message, left by a failed download.
        EdgeAdaptError: It is rejected.
    """
    try:
        text = content if isinstance(content, str) else _decoded(content)
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
        )
        if _SURROGATE.search(text):
            _check_encodable(value)
    except (UnicodeDecodeError, json.JSONDecodeError, _RefusedError) as error:
        beginning = content[: _ERROR_BYTES + 1]
        if isinstance(beginning, str):
            beginning = beginning.encode(errors="replace")
        if remains := _in_its_place(beginning):
            raise _failed_download(f"{where} is not valid JSON: it is {remains}.") from None
        raise refusal(f"{where} is not valid JSON: {error}.") from None
    except ValueError:
        raise refusal(f"{where} is not valid JSON: {_TOO_MANY_DIGITS}.") from None
    except RecursionError:
        raise refusal(f"{where} is not valid JSON: {_TOO_DEEP}.") from None
    if _deeper_than(_DEPTH, value):
        raise refusal(f"{where} is not valid JSON: {_TOO_DEEP}.")
    return value


def parse_toml(content: bytes, *, where: str, refusal: Refusal = LayoutError) -> dict[str, object]:
    """Returns the tables of a TOML text.

    Args:
        content: The text, UTF-8.
        where: Where it stands, for the message.
        refusal: Kind of the error.

    Raises:
        EdgeAdaptError: It is not valid TOML, has more than 64 levels, or contains an integer with
            more digits than Python converts.
    """
    import tomllib  # imported here because predict and bench import this module and need no TOML

    try:
        value = tomllib.loads(content.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise refusal(f"{where} is not valid TOML: {error}.") from None
    except ValueError:
        raise refusal(f"{where} is not valid TOML: {_TOO_MANY_DIGITS}.") from None
    except RecursionError:
        raise refusal(f"{where} is not valid TOML: {_TOO_DEEP}.") from None
    if _deeper_than(_DEPTH, value):
        raise refusal(f"{where} is not valid TOML: {_TOO_DEEP}.")
    return value


class _RefusedError(ValueError):
    """Python's parser accepts the text, but ``parse_json`` does not."""


def _decoded(content: bytes) -> str:
    if not content.strip():
        raise _RefusedError("it is empty")
    encoding = _marked(content)
    if encoding not in ("", "UTF-8") or b"\0" in content[:4]:  # JSON begins with ASCII
        raise _RefusedError(
            f"it is encoded in {encoding or 'UTF-16 or UTF-32'}: expected UTF-8. Save it again in "
            "that encoding"
        )
    return content.decode("utf-8-sig")


_TOO_MANY_DIGITS = f"expected at most {_DIGITS:,} digits in a whole number, found more"
_TOO_DEEP = f"expected at most {_DEPTH} levels of objects and arrays, found more"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) != len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise _RefusedError(f"the key {twice[:80]!r} occurs twice in one object")
    return value


def _no_number(constant: str) -> NoReturn:
    raise _RefusedError(f"found {constant}, which is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _RefusedError(f"the number {digits[:40]} is too large")
    return number


def _check_encodable(value: object) -> None:
    """Rejects lone surrogates, which no encoding can write."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        surrogate = error.object[error.start : error.end]
        raise _RefusedError(f"found the lone surrogate {surrogate!r} in a string") from None


def _deeper_than(limit: int, value: object) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        children = (v.values() if isinstance(v, dict) else v for v in level)
        level = [item for within in children for item in within if isinstance(item, dict | list)]
    return bool(level)


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "a folder",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
        stat.S_IFIFO: "a named pipe",
        stat.S_IFSOCK: "a socket",
    }
    return kinds.get(stat.S_IFMT(mode), "something else")


def _too_large(path: Path, size: int, limit: int) -> str:
    return f"{path} is too large: expected at most {limit:,} bytes, found {size:,}."
