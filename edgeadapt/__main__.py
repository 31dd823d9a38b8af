"""``python -m edgeadapt``."""

import os

__all__ = ["run"]


def run() -> None:
    """Runs the command; who interrupts it before it has begun sees no traceback either."""
    try:
        from edgeadapt.cli.app import run as begin
    except KeyboardInterrupt:
        os._exit(130)
    begin()


if __name__ == "__main__":
    run()
