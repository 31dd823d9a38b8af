"""A headless Chromium for opening and inspecting pages, if it is installed."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian: chromium)")
DARK = "--blink-settings=preferredColorScheme=0"


@dataclass(frozen=True)
class Opened:
    """A page as the browser shows it."""

    dom: str
    console: list[str]
    """What the page's scripts complained about."""


def open_page(page: Path, *, width: int = 1280, options: tuple[str, ...] = ()) -> Opened:
    """Opens a page, lets its scripts run and returns what became of it."""
    done = _run(page, f"--window-size={width},1000", "--dump-dom", *options)
    return Opened(done.stdout, re.findall(r"CONSOLE[^\n]*", done.stderr))


def screenshot(
    page: Path, target: Path, *, width: int = 1280, options: tuple[str, ...] = ()
) -> Path:
    """Draws a page as a picture of 3,000 pixels' height."""
    _run(page, f"--window-size={width},3000", f"--screenshot={target}", *options)
    return target


def printed(page: Path, target: Path) -> Path:
    """Prints a page as PDF."""
    _run(page, f"--print-to-pdf={target}")
    return target


def _run(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM is not None
    return subprocess.run(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--virtual-time-budget=10000",
            # No request leaves this machine: a page that made one would fail loudly.
            "--proxy-server=http://127.0.0.1:9",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
