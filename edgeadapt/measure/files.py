"""Files in which a system describes itself, some of which are missing on any given machine."""

from pathlib import Path

__all__ = ["number_in", "text_in"]


def text_in(path: Path) -> str:
    """Returns what a file says, without space around it; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def number_in(path: Path) -> float | None:
    """Returns the number in a file; ``None`` where it cannot be read or is none."""
    try:
        return float(text_in(path))
    except ValueError:
        return None
