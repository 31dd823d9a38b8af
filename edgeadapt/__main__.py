"""``python -m edgeadapt``."""

from edgeadapt.cli.app import run

run()
