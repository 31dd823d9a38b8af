"""``python -m edgeadapt``."""

import os

__all__ = ["run"]


def run() -> None:
    """Runs the command; Ctrl-C during the imports prints no traceback either."""
    try:
        from edgeadapt.cli.app import run as begin
    except KeyboardInterrupt:
        os._exit(130)
    begin()


if __name__ == "__main__":
    run()
