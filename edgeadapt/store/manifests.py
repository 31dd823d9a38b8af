"""Manifests: JSON files that say their format version and their own hash.

    {
      "format_version": 2,
      "sha256": "…",
      …
    }

``sha256`` is that of the file's bytes with the hash's own 64 digits replaced by zeros. Bytes and
not a canonical form of the content, because every changed byte is noticed then, before anything is
made of the content; the order of keys counts (a bundle's first quantized variant is its default);
and a program in another language needs no rules for spelling a float.

It tells a damaged or edited file from the one that was written. It does not tell who wrote it:
whoever edits the file can write the hash, too.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from edgeadapt.errors import IntegrityError, LayoutError
from edgeadapt.parsing import MANIFEST_BYTES, parse_json, read_bounded
from edgeadapt.store.files import check_format_version, to_json, write_text

__all__ = ["Upgrade", "read_manifest", "write_manifest"]

_HASH = "sha256"
_DIGITS = re.compile(r"[0-9a-f]{64}")
_BLANK = b"0" * 64

Upgrade = Callable[[Mapping[str, object], Path], dict[str, object]]
"""Given what an older manifest says, and its path for messages, returns it as a newer one does."""

_NO_UPGRADES: Mapping[int, Upgrade] = MappingProxyType({})


def read_manifest(
    path: Path,
    *,
    supported: int,
    hashed_from: int,
    limit: int = MANIFEST_BYTES,
    upgrades: Mapping[int, Upgrade] = _NO_UPGRADES,
) -> dict[str, object]:
    """Reads a manifest, checks it against its own hash, and returns the rest of it.

    Args:
        path: The file.
        supported: Newest format version that is read.
        hashed_from: First format version that has a hash; older ones are read without.
        limit: Largest size in bytes.
        upgrades: Format version -> what makes of its content that of the next version.

    Raises:
        MissingError: There is no such file.
        FormatVersionError: It is newer than ``supported``.
        IntegrityError: It is not what was written.
        LayoutError: It is too large, is not a JSON object, or has no format version.
    """
    content = read_bounded(path, limit=limit)
    value = parse_json(content, where=str(path))
    if not isinstance(value, dict):
        raise LayoutError(f"{path}: expected a JSON object, found a {type(value).__name__}.")
    version = value.pop("format_version", None)
    check_format_version(version, supported=supported, path=path)
    # Also where the version says that there is none: a changed digit is no way around the hash.
    if version >= hashed_from or _HASH in value:
        _check(content, value.pop(_HASH, None), path)
    for older in range(version, supported):
        if older in upgrades:
            value = upgrades[older](value, path)
    return dict(value)


def write_manifest(
    path: Path, value: dict[str, object], *, version: int, limit: int = MANIFEST_BYTES
) -> None:
    """Writes a manifest atomically: the old file or the new one, never a part.

    Args:
        path: The file.
        value: What it says, without version and hash.
        version: Its format version.
        limit: Largest size in bytes that will be read again.

    Raises:
        LayoutError: It is larger.
        ValueError: A number is not finite, or ``value`` has a key of its own called like the hash.
    """
    if _HASH in value:
        raise ValueError(f"{_HASH!r} is the manifest's own hash: expected another key")
    text = to_json({"format_version": version, _HASH: _BLANK.decode(), **value})
    content = text.encode("utf-8")
    if len(content) > limit:
        raise LayoutError(
            f"{path} would take {len(content):,} bytes: expected at most {limit:,}.",
            hint="Write less into it: fewer labels, or fewer variants in one record.",
        )
    digest = hashlib.sha256(content).hexdigest()
    write_text(path, text.replace(_BLANK.decode(), digest, 1))


def _check(content: bytes, expected: object, path: Path) -> None:
    if not isinstance(expected, str) or not _DIGITS.fullmatch(expected):
        raise IntegrityError(
            f"{path} does not say its own hash: expected sha256 with 64 hexadecimal digits, "
            f"found {str(expected)[:80]!r}.",
            hint="It was changed or damaged. Copy or write it again.",
        )
    found = hashlib.sha256(content.replace(expected.encode(), _BLANK, 1)).hexdigest()
    if found != expected:
        raise IntegrityError(
            f"{path} is not the file that was written: it says sha256 {expected} of itself, found "
            f"{found}.",
            hint="It was changed or damaged. Copy or write it again.",
        )
