"""Reading JSON and TOML that others wrote, within bounds.

A file is data from anyone, and a parser trusts what it is given: it reads a device that never
ends, follows a hundred thousand brackets into its own stack, and lets the second of two equal keys
replace the first in silence. Every JSON and TOML file on disk is therefore read here, and what is
refused is refused by name.
"""

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
    "check_fetched",
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
        content: The text; bytes are UTF-8.
        where: Where it stands, for the message.
        refusal: Kind of the error.

    Raises:
        EdgeAdaptError: It is refused.
    """
    try:
        text = content if isinstance(content, str) else content.decode("utf-8")
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_number, parse_float=_finite
        )
        if _SURROGATE.search(text):
            _check_encodable(value)
    except (UnicodeDecodeError, json.JSONDecodeError, _RefusedError) as error:
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
