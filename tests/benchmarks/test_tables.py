"""The README shows what was recorded and nothing else."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = [sys.executable, str(ROOT / "benchmarks" / "tables.py"), "--check"]


def test_the_readme_shows_the_recorded_results() -> None:
    done = subprocess.run(CHECK, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
