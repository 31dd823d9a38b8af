"""Edit JSON files in tests and update the hash of manifests, so that only the edit is wrong."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

_ZEROS = "0" * 64


def edit_json(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Changes a JSON file in place, as whoever can write files can."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    if "sha256" not in value:
        path.write_text(json.dumps(value), encoding="utf-8")
        return
    blank = json.dumps(value | {"sha256": _ZEROS})
    digest = hashlib.sha256(blank.encode()).hexdigest()
    # The first zeros are the manifest's own: its hash is written before all else.
    path.write_text(blank.replace(_ZEROS, digest, 1), encoding="utf-8")


def change_json(path: Path, **values: object) -> None:
    """Replaces top-level values of a JSON file."""
    edit_json(path, lambda value: value.update(values))
