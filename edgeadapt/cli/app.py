"""The ``edgeadapt`` command.

Commands import heavy modules only when they run, so that ``--help`` is fast and ``predict`` never
imports torch.
"""

import io
import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn

import typer

from edgeadapt import __version__, escape
from edgeadapt.cli.bench import bench
from edgeadapt.cli.compare import compare
from edgeadapt.cli.convert import convert
from edgeadapt.cli.export import export
from edgeadapt.cli.importing import import_
from edgeadapt.cli.inspect import inspect
from edgeadapt.cli.merge import merge
from edgeadapt.cli.predict import predict
from edgeadapt.cli.pretrain import pretrain
from edgeadapt.cli.report import report
from edgeadapt.cli.train import train
from edgeadapt.errors import EdgeAdaptError

__all__ = ["app", "main", "run"]

app = typer.Typer(
    name="edgeadapt",
    help="Train adapters on a frozen encoder, export a small int8 model, and measure it on the "
    "device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    train, export, bench, report, compare, predict, inspect, merge, import_, convert, pretrain,
):  # fmt: skip
    app.command(command.__name__.rstrip("_"))(command)


def _show_version(value: bool) -> None:
    if value:
        print(f"edgeadapt {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Runs a command and exits with its exit code.

    0 done, 1 an expected failure, 2 wrong usage, 130 interrupted, 143 terminated.
    """
    signal.signal(signal.SIGTERM, _terminate)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Characters that the encoding lacks are escaped instead of raising.
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except EdgeAdaptError as error:
        _fail(error.message, error.hint)
    except BrokenPipeError:
        # The reader of our output has closed the pipe, as `| head` does.
        sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        _fail(
            f"{error.strerror or error}: {error.filename or 'no file named'}",
            "Check the path and its permissions.",
        )


def run() -> NoReturn:
    """Runs ``main`` and ends the process at once.

    All files are closed by then. Skipping the teardown of ONNX Runtime saves 50 ms of a
    ``predict``, and more where torch is loaded.
    """
    code: object = None
    try:
        main()
    except SystemExit as end:
        code = end.code
    os._exit(code if isinstance(code, int) else int(code is not None))


def _fail(message: str, hint: str) -> NoReturn:
    print(f"error: {escape.message(message)}", file=sys.stderr)
    print(f"hint: {escape.message(hint)}", file=sys.stderr)
    raise SystemExit(1)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    # As an exception, so that half-written files are removed while it propagates.
    raise SystemExit(128 + signum)
