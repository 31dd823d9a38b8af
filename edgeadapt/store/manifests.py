"""Manifests: JSON files with a format version and a hash of themselves.

    {
      "format_version": 2,
      "sha256": "…",
      …
    }

``sha256`` is the hash of the file's bytes with the 64 digits of the hash replaced by zeros. It is
computed from the bytes and not from a canonical form of the content, so that every changed byte is
detected before the content is used, the order of keys is covered (the first quantized variant of a
bundle is its default), and programs in other languages need no rules for formatting floats.

The hash detects damaged or edited files. It does not authenticate them: someone who edits the file
can also update the hash.
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
"""Converts the content of an older manifest to the next version; takes its path for messages."""

_NO_UPGRADES: Mapping[int, Upgrade] = MappingProxyType({})


def read_manifest(
    path: Path,
    *,
    supported: int,
    hashed_from: int,
    limit: int = MANIFEST_BYTES,
    upgrades: Mapping[int, Upgrade] = _NO_UPGRADES,
) -> dict[str, object]:
    """Reads a manifest, checks its hash, and returns the content without version and hash.

    Args:
        path: The file.
        supported: Newest format version that can be read.
        hashed_from: First format version with a hash; older ones have none.
        limit: Largest size in bytes.
        upgrades: Format version -> function that converts its content to the next version.

    Raises:
        MissingError: There is no such file.
        FormatVersionError: It is newer than ``supported``.
        IntegrityError: The hash does not match.
        LayoutError: It is too large, is not a JSON object, or has no format version.
    """
    content = read_bounded(path, limit=limit)
    value = parse_json(content, where=str(path))
    if not isinstance(value, dict):
        raise LayoutError(f"{path}: expected a JSON object, found a {type(value).__name__}.")
    version = value.pop("format_version", None)
    check_format_version(version, supported=supported, path=path)
    # A hash is checked in any version, so that an edited version number cannot disable the check.
    if version >= hashed_from or _HASH in value:
        _check(content, value.pop(_HASH, None), path)
    for older in range(version, supported):
        if older in upgrades:
            value = upgrades[older](value, path)
    return dict(value)


def write_manifest(
    path: Path, value: dict[str, object], *, version: int, limit: int = MANIFEST_BYTES
) -> None:
    """Writes a manifest atomically: a crash leaves either the old or the new file.

    Args:
        path: The file.
        value: Content without version and hash.
        version: Format version.
        limit: Largest size in bytes that can be read again.

    Raises:
        LayoutError: It would be larger than ``limit``.
        ValueError: A number is not finite, or ``value`` has a key with the name of the hash.
    """
    if _HASH in value:
        raise ValueError(f"{_HASH!r} is the manifest's own hash: expected another key")
    text = to_json({"format_version": version, _HASH: _BLANK.decode(), **value})
    content = text.encode("utf-8")
    if len(content) > limit:
        raise LayoutError(
            f"{path} would take {len(content):,} bytes: expected at most {limit:,}.",
            hint="Reduce its content: fewer labels, or fewer variants in one record.",
        )
    digest = hashlib.sha256(content).hexdigest()
    write_text(path, text.replace(_BLANK.decode(), digest, 1))


def _check(content: bytes, expected: object, path: Path) -> None:
    if not isinstance(expected, str) or not _DIGITS.fullmatch(expected):
        raise IntegrityError(
            f"{path} has no valid hash of itself: expected sha256 with 64 hexadecimal digits, "
            f"found {str(expected)[:80]!r}.",
            hint="It was changed or damaged. Copy or write it again.",
        )
    actual = hashlib.sha256(content.replace(expected.encode(), _BLANK, 1)).hexdigest()
    if actual != expected:
        raise IntegrityError(
            f"{path} is not the file that was written: expected sha256 {expected}, found {actual}.",
            hint="It was changed or damaged. Copy or write it again.",
        )
