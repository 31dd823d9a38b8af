"""Options that several commands share."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.given import Given
from edgeadapt.errors import UsageError

__all__ = [
    "Force",
    "Json",
    "LabelNames",
    "Output",
    "Resume",
    "Threads",
    "check_alone",
    "check_columns",
    "label_names",
    "pieces",
    "share",
]


def share(option: str, *, most: float | None = None) -> Callable[[str | float], float]:
    """Returns the parser of an option that takes a share, written ``5%`` or ``0.05``.

    A number above 1 without ``%`` is rejected, because 5 more likely means 5 % than 500 %. The
    parser raises ``UsageError`` for anything but a finite number from 0 to the largest share.

    Args:
        option: Name of the option, for messages.
        most: The largest share; none by default, since a time can grow by more than 100 %.
    """

    def parse(value: str | float) -> float:
        number = str(value).strip()
        percent = number.endswith("%")
        try:
            found = float(number.removesuffix("%")) / (100 if percent else 1)
        except ValueError:
            found = math.nan
        allowed = 0 <= found < math.inf and (percent or found <= 1)
        if not allowed or (most is not None and found > most):
            limit = "" if most is None else f", from 0 to {most:g}"
            raise UsageError(
                f"{option}: expected a share such as 5% or 0.05{limit}, found {value!r}.",
                hint=_share_hint(option, number),
            )
        return found

    return parse


def _share_hint(option: str, given: str) -> str:
    """Hint on the spelling of a share that cannot be parsed."""
    if "," in given and given.count(",") == 1:
        return f"Use a decimal point: {option} {given.replace(',', '.')}"
    if given.isdecimal():
        return f"For {given} percent, write {option} {given}%"
    return f"Write it in percent, as in {option} 5%, or as a fraction, as in {option} 0.05."


def pieces(count: str) -> int | str:
    """Parses ``--trim-vocab``: a number of word pieces, ``auto`` or ``none``.

    Raises:
        UsageError: It is none of them.
    """
    if count in ("auto", "none"):
        return count
    if not (_COUNT.fullmatch(count) and int(count)):
        raise UsageError(f"--trim-vocab: expected a number above 0, auto or none, found {count!r}.")
    return int(count)


_COUNT = re.compile(r"\d{1,18}", re.ASCII)  # Python refuses to convert very long numbers

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Output = Annotated[
    str | None,
    typer.Option("--output", "-o", metavar="NAME|PATH", help="Output (default: an unused name)."),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads (default: all cores).")
]
LabelNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAME,NAME|FILE",
        help="Labels in the order of the outputs, where the files have no names; or a .json file "
        "with a list of them.",
    ),
]


Resume = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Resume an interrupted training with its recorded options; only --json can be "
        "given in addition.",
    ),
]


def label_names(given: str | None) -> tuple[str, ...] | None:
    """Returns the labels of ``--labels``: names separated by commas, or a JSON file.

    Raises:
        DataError: The file cannot be read, or is not a list of at least two different names.
        UsageError: There are not at least two different names.
    """
    if given is None:
        return None
    if given.endswith(".json"):
        path = Path(given).expanduser()
        if not path.is_file():
            raise UsageError(
                f"--labels: {path} does not exist.",
                hint='Write a JSON list such as ["negative", "positive"], or NAME,NAME.',
            )
        from edgeadapt.data import read_labels  # imports numpy, which would slow down --help

        names = read_labels(path)
    else:
        names = tuple(name.strip() for name in given.split(","))
    clean = all(name and name == name.strip() for name in names)
    if len(names) < 2 or len(set(names)) < len(names) or not clean:
        raise UsageError(
            "--labels: expected at least two different names, without spaces around them, found "
            f"{given!r}: {', '.join(map(repr, names))}.",
            hint="Separate names by commas; put names that contain commas into a .json file.",
        )
    return names


def check_columns(given: Given) -> None:
    """Rejects options for reading data without --dataset.

    Raises:
        UsageError: There are some.
    """
    columns = given.of("data").without("data.dataset")
    if columns.values and "data.dataset" not in given.values:
        raise UsageError(
            f"{', '.join(columns.flags)}: expected with --dataset only, found none.",
            hint="Name the examples with --dataset.",
        )


def check_alone(given: Given, **others: object) -> None:
    """Rejects other options together with ``--resume``, which uses the recorded ones.

    Args:
        given: The recipe's options that were given.
        others: Name of each other option -> its value, false where it was not given.

    Raises:
        UsageError: There are some.
    """
    flags = [*given.flags, *(f"--{name}" for name, value in others.items() if value)]
    if flags:
        raise UsageError(
            "--resume uses the recorded options of the training: expected no other option, found "
            f"{', '.join(flags)}.",
            hint="Leave them out, or start a new training without --resume.",
        )
