"""Options that several commands share, so that they read the same everywhere."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edgeadapt.errors import UsageError
from edgeadapt.recipe import Device, Precision

__all__ = [
    "ADAPTER",
    "DATA",
    "MODEL",
    "TRAINING",
    "BackboneLayers",
    "BatchSize",
    "CheckpointSteps",
    "ChosenDevice",
    "ChosenPrecision",
    "Dimension",
    "Epochs",
    "Force",
    "Json",
    "LabelColumn",
    "LabelNames",
    "LearningRate",
    "MaxLength",
    "Output",
    "Resume",
    "Revision",
    "Seed",
    "SkipEmpty",
    "SkipUnlabelled",
    "SplitSeed",
    "TextColumn",
    "TextPairColumn",
    "Threads",
    "check_alone",
    "columns_of",
    "label_names",
    "only_given",
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


MODEL, DATA, ADAPTER, TRAINING = "Model", "Data", "Adapter", "Training"
"""Headings of the help."""

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
TextColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the text; text if left out.")
]
TextPairColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the second text, for pairs of texts.")
]
LabelColumn = Annotated[
    str | None, typer.Option(metavar="NAME", help="Column of the label; label if left out.")
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

SkipEmpty = Annotated[
    bool, typer.Option("--skip-empty", help="Leave out rows with an empty text, and say how many.")
]

SkipUnlabelled = Annotated[
    bool,
    typer.Option(
        "--skip-unlabelled",
        help="Leave out rows without a label, and a split that has no label at all.",
    ),
]
Revision = Annotated[
    str | None,
    typer.Option(metavar="REV", help="Commit, tag or branch of the model.", rich_help_panel=MODEL),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Longest input in tokens, 128; the rest is cut.", rich_help_panel=MODEL
    ),
]
BackboneLayers = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Keep only the backbone's first N layers; all if left out.",
        rich_help_panel=MODEL,
    ),
]
Dimension = Annotated[
    int | None,
    typer.Option(metavar="N", help="Bottleneck width in neurons; 64.", rich_help_panel=ADAPTER),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Passes over the data; 4, or 8 where everything is trained.",
        rich_help_panel=TRAINING,
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(metavar="N", help="Examples per step; 32.", rich_help_panel=TRAINING)
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        metavar="X", help="Peak rate; the method's own if left out.", rich_help_panel=TRAINING
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Seeds initialization, shuffling and dropout; 0.",
        rich_help_panel=TRAINING,
    ),
]
SplitSeed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Seeds which texts are held out and the folds, whatever --seed is; 0.",
        rich_help_panel=DATA,
    ),
]
ChosenDevice = Annotated[
    Device | None,
    typer.Option(help="Where to train; auto if left out.", rich_help_panel=TRAINING),
]
ChosenPrecision = Annotated[
    Precision | None,
    typer.Option(
        help="Numbers to compute in: auto is bf16 where the device is made for it, else fp32.",
        rich_help_panel=TRAINING,
    ),
]
CheckpointSteps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Steps between states saved for --resume, 200, beside those after each epoch.",
        rich_help_panel=TRAINING,
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


def only_given(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Returns a recipe's tables without the options that were left out."""
    given: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
    }
    return {name: table for name, table in given.items() if table}


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


def columns_of(dataset: str | None, **options: object) -> dict[str, object]:
    """Returns those options that say how data is read which were given.

    Args:
        dataset: What ``--dataset`` names.
        options: A field of the recipe's table ``data`` -> its value, ``None`` or false where it
            was not given.

    Raises:
        UsageError: There are some, and no data.
    """
    given = {name: value for name, value in options.items() if value not in (None, False)}
    if given and dataset is None:
        raise UsageError(
            f"{', '.join(given)}: expected with --dataset only, found none.",
            hint="Name the examples with --dataset.",
        )
    return given


def check_alone(tables: Mapping[str, Mapping[str, Any]], **others: object) -> None:
    """Refuses options beside ``--resume``: training goes on as it was begun.

    Args:
        tables: A recipe's tables of the options that were given.
        others: Name of each other option -> its value, false where it was not given.

    Raises:
        UsageError: There are some.
    """
    given = [key for table in tables.values() for key in table]
    given += [name for name, value in others.items() if value]
    if given:
        raise UsageError(
            "--resume goes on as the training was begun: expected no other option, found "
            f"{', '.join('--' + key.replace('_', '-') for key in given)}.",
            hint="Leave them out, or begin a new training without --resume.",
        )
