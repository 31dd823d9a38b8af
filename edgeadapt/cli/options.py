"""Options that several commands share, so that they read the same everywhere."""

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

    A bare number above 1 is refused: 5 is more likely to mean 5 % than 500 %. The parser raises
    ``UsageError`` where the value is no finite number from 0 to the largest share.

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
    """What to write instead of a share that cannot be read."""
    if "," in given and given.count(",") == 1:
        return f"The decimal sign is a point: {option} {given.replace(',', '.')}"
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


_COUNT = re.compile(r"\d{1,18}", re.ASCII)  # longer ones no vocabulary has, nor Python converts

Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output", "-o", metavar="NAME|PATH", help="What to write; a free name if left out."
    ),
]
Threads = Annotated[
    int | None, typer.Option("--threads", metavar="N", help="CPU threads; all cores if left out.")
]
LabelNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAME,NAME|FILE",
        help="Labels in the order of the head's outputs, where its files name none; a .json file "
        "holds a list of them.",
    ),
]


Resume = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Go on with a training that was stopped, as it was begun; takes no other option "
        "but --json.",
    ),
]


def label_names(given: str | None) -> tuple[str, ...] | None:
    """Returns the labels that ``--labels`` names: separated by commas, or in a JSON file.

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
        from edgeadapt.data import read_labels  # numpy: what --help does without

        names = read_labels(path)
    else:
        names = tuple(name.strip() for name in given.split(","))
    clean = all(name and name == name.strip() for name in names)
    if len(names) < 2 or len(set(names)) < len(names) or not clean:
        raise UsageError(
            "--labels: expected at least two different names, without spaces around them, found "
            f"{given!r}: {', '.join(map(repr, names))}.",
            hint="Names stand between commas; those that hold commas go into a .json file, a list.",
        )
    return names


def check_columns(given: Given) -> None:
    """Refuses options that say how data is read where no data is named.

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
    """Refuses options beside ``--resume``: training goes on as it was begun.

    Args:
        given: The recipe's options that were given.
        others: Name of each other option -> its value, false where it was not given.

    Raises:
        UsageError: There are some.
    """
    flags = [*given.flags, *(f"--{name}" for name, value in others.items() if value)]
    if flags:
        raise UsageError(
            "--resume goes on as the training was begun: expected no other option, found "
            f"{', '.join(flags)}.",
            hint="Leave them out, or begin a new training without --resume.",
        )
