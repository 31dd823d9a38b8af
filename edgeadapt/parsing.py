"""Reading JSON and TOML that others wrote, within bounds.

A file is data from anyone, and a parser trusts what it is given: it reads a device that never
ends, follows a hundred thousand brackets into its own stack, and lets the second of two equal keys
replace the first in silence. Every JSON and TOML file on disk is therefore read here, and what is
refused is refused by name.
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
"""Largest recipe: a recipe is a page of text."""
MANIFEST_BYTES = 16 * _MIB
"""Largest run.json, manifest.json and the like: kilobytes as edgeadapt writes them."""
CONFIG_BYTES = 16 * _MIB
"""Largest config.json of a checkpoint, adapter or tokenizer: kilobytes, more with many labels."""
TOKENIZER_BYTES = 64 * _MIB
"""Largest tokenizer.json, and counts of its pieces: 17 MB for XLM-R, 33 MB for Gemma."""
RECORD_BYTES = 128 * _MIB
"""Largest record: it holds every logit of up to 2,000 texts a variant, some 20 bytes each."""
# Parsed, a byte of a file takes up to 25 of memory: that of ``[[],[],…]``.

_DEPTH = 64
"""Most objects and arrays inside each other; nothing here needs ten."""
_DIGITS = sys.int_info.default_max_str_digits  # longer ones Python does not convert
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MARKS = {
    codecs.BOM_UTF8: "UTF-8",
    codecs.BOM_UTF32_LE: "UTF-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte order mark -> the encoding that it is of."""
_ERROR_BYTES = 2_000
"""Largest file that may be the few words with which a server refuses a download."""
_ERROR_PAGES = {b"<!doctype html": "an HTML page", b"<html": "an HTML page",
                b"<?xml": "an XML document", b"<error": "an XML document"}  # fmt: skip
"""How a file begins, in lower case -> what it is."""
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
"""Keys of which a server's JSON refusal has one, with a text."""

Refusal = Callable[[str], EdgeAdaptError]
"""Makes the error of the message; a kind of ``EdgeAdaptError`` is one."""


def check_fetched(path: Path) -> None:
    """Checks that a file is itself, not what git leaves in its place without git-lfs.

    Raises:
        IntegrityError: It is a git-lfs pointer. What is no file raises nothing.
    """
    try:
        if not path.is_file():  # what is read from a pipe is gone
            return
        with path.open("rb") as file:
            beginning = file.read(len(_LFS_POINTER))
    except (OSError, ValueError):  # whoever reads it says so
        return
    _check_fetched(path, beginning)


def check_downloaded(path: Path) -> None:
    """Checks that a file is itself, not what came in its place when it was to be downloaded.

    For files whose format is known: a text of the user's may well be a page.

    Raises:
        IntegrityError: It is a git-lfs pointer, an HTML or XML page, or a server's refusal. What
            is no file raises nothing.
    """
    check_fetched(path)
    try:
        if not path.is_file():
            return
        with path.open("rb") as file:
            beginning = file.read(_ERROR_BYTES + 1)
    except (OSError, ValueError):  # whoever reads it says so
        return
    found = _in_its_place(beginning)
    if found:
        raise _failed_download(f"{path} is {found}: expected the file itself.")


def check_unmarked(path: Path, *, refusal: Refusal = LayoutError) -> None:
    """Checks that a text file which other libraries read has no byte order mark.

    transformers and tokenizers take the mark for a part of the text: JSON is then damaged, and the
    first word piece of a vocabulary another one.

    Args:
        path: The file.
        refusal: Kind of the error.

    Raises:
        EdgeAdaptError: It begins with one. What is no file raises nothing.
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
    """The encoding that a byte order mark names; empty where there is none."""
    return next((name for mark, name in _MARKS.items() if content.startswith(mark)), "")


def _in_its_place(content: bytes) -> str:
    """What a download that failed left in place of a file; empty where it is none of these."""
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
    """Whether a text is a JSON object that says why there is no file."""
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
        refusal: Kind of the error where the file is not one to read.

    Raises:
        MissingError: There is no such file.
        IntegrityError: It is a git-lfs pointer.
        EdgeAdaptError: It is no regular file, is larger than ``limit``, or cannot be read.
    """
    try:
        found = path.stat()  # before it is opened: opening a named pipe waits for its writer
        if not stat.S_ISREG(found.st_mode):
            raise refusal(f"{path}: expected a regular file, found {_kind(found.st_mode)}.")
        if found.st_size > limit:
            raise refusal(_too_large(path, found.st_size, limit))
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise MissingError(f"{path} does not exist.") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise refusal(f"{path} cannot be read: {error}.") from None
    if len(content) > limit:  # it grew, or says nothing of its size, as files of /proc do
        raise refusal(_too_large(path, len(content), limit))
    _check_fetched(path, content)
    return content


def parse_json(content: bytes | str, *, where: str, refusal: Refusal = LayoutError) -> Any:
    """Returns the value of a JSON text.

    Stricter than Python's reader: besides what is no JSON, it refuses ``NaN`` and ``Infinity``,
    numbers too large for a float, duplicate keys, lone surrogates, whole numbers of more digits
    than Python converts, and more than 64 levels.

    Args:
        content: The text; bytes are UTF-8, with or without a byte order mark.
        where: Where it stands, for the message.
        refusal: Kind of the error.

    Raises:
        IntegrityError: It is a page or a server's refusal, which came in place of a file.
        EdgeAdaptError: It is refused.
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
        if found := _in_its_place(beginning):
            raise _failed_download(f"{where} is not valid JSON: it is {found}.") from None
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
        EdgeAdaptError: It is no TOML, has more than 64 levels, or holds a whole number of more
            digits than Python converts.
    """
    import tomllib  # here, because predict and bench, which read no TOML, import this module

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
    """Valid for Python's reader, but not here."""


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
    """Refuses half of a surrogate pair, which is no character and cannot be written anywhere."""
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        found = error.object[error.start : error.end]
        raise _RefusedError(f"found the lone surrogate {found!r} in a string") from None


def _deeper_than(limit: int, value: object) -> bool:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(limit):
        children = (v.values() if isinstance(v, dict) else v for v in level)
        level = [each for within in children for each in within if isinstance(each, dict | list)]
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
