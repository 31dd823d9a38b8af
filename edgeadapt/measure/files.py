"""Read system files, such as those in /proc and /sys, which may be missing."""

from pathlib import Path

__all__ = ["number_in", "text_in"]


def text_in(path: Path) -> str:
    """Returns the stripped text of a file; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number_in(path: Path) -> float | None:
    """Returns the number in a file; ``None`` where it cannot be read or is not a number."""
    try:
        return float(text_in(path))
    except ValueError:
        return None
