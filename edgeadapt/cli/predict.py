"""``edgeadapt predict``."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import Json, Threads
from edgeadapt.escape import terminal
from edgeadapt.progress import SILENT, Progress

if TYPE_CHECKING:
    from edgeadapt.runtime.classifier import Prediction
    from edgeadapt.text import Text

__all__ = ["predict"]

_SHOWN_CHARACTERS = 60


_Bundle = Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder or name of the bundle.")]
_Texts = Annotated[
    list[str] | None,
    typer.Argument(metavar="[TEXT]...", help="Texts (default: from --file or stdin)."),
]
_TextPair = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="Second text, for models that take pairs."),
]
_File = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="One text a line, or CSV / JSONL with a text column; pairs are CSV or JSONL.",
    ),
]
_TextColumn = Annotated[str, typer.Option(metavar="NAME", help="Column of a CSV or JSONL file.")]
_TextPairColumn = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Column of the second text (default: text_pair)."),
]
_Variant = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="int8 or fp32 (default: int8 if it exists)."),
]


@takes("data.skip_empty")
def predict(
    given: Given,
    bundle: _Bundle,
    texts: _Texts = None,
    text_pair: _TextPair = None,
    file: _File = None,
    text_column: _TextColumn = "text",
    text_pair_column: _TextPairColumn = None,
    variant: _Variant = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Classify texts with a bundle."""
    from edgeadapt.errors import UsageError
    from edgeadapt.pipeline.predict import predict as classify
    from edgeadapt.pipeline.predict import read_pairs, read_texts
    from edgeadapt.runtime.texts import check_pair_column
    from edgeadapt.store import artifacts
    from edgeadapt.store.bundle import Bundle

    if texts and file:
        raise UsageError("Give texts or --file, not both.", hint="Leave one of them out.")
    if text_pair is not None and (not texts or len(texts) > 1):
        raise UsageError(
            f"--text-pair: expected one TEXT beside it, found {len(texts or ())}.",
            hint="For several pairs, use --file with a CSV or JSONL file.",
        )
    path = artifacts.resolve(bundle, artifacts.bundles())
    manifest = Bundle.open(path).manifest
    check_pair_column(text_pair_column, manifest)
    progress: Progress = SILENT
    skip_empty = bool(given.values.get("data.skip_empty"))
    if skip_empty:
        from edgeadapt.cli.console import Terminal

        progress = Terminal()
    asked: list[Text]
    if texts:
        asked = [*texts] if text_pair is None else [(texts[0], text_pair)]
    elif manifest.pairs:
        asked = read_pairs(
            file,
            text_column=text_column,
            text_pair_column=text_pair_column or "text_pair",
            skip_empty=skip_empty,
            progress=progress,
        )
    else:
        asked = read_texts(file, text_column=text_column, skip_empty=skip_empty, progress=progress)
    predictions = classify(path, asked, variant=variant, threads=threads)
    if json:
        from json import dumps

        answers = [_answer(*answered) for answered in zip(asked, predictions, strict=True)]
        print(dumps({"predictions": answers}))
        return
    _show(asked, predictions)


def _answer(text: "Text", prediction: "Prediction") -> dict[str, object]:
    from edgeadapt.data import text_columns

    return {
        **{name: column[0] for name, column in text_columns([text]).items()},
        "label": prediction.label,
        "score": prediction.score,
        "scores": dict(prediction.scores),
        "labels": list(prediction.labels),
    }


def _show(texts: Sequence["Text"], predictions: Sequence["Prediction"]) -> None:
    """Prints plain lines, because importing rich would double the time to the first prediction."""
    from edgeadapt.text import parts_of

    given = [_given(prediction) for prediction in predictions]
    width = max(map(len, given))
    for text, prediction, labels in zip(texts, predictions, given, strict=True):
        others = [item for item in prediction.scores.items() if item[0] not in prediction.labels]
        rest = "  ".join(f"{terminal(label)} {score:.1%}" for label, score in others[:4])
        shown = " | ".join(terminal(_shortened(part)) for part in parts_of(text))
        sys.stdout.write(f"{labels:{width}}  {shown}{f'  ({rest})' if rest else ''}\n")


def _given(prediction: "Prediction") -> str:
    """The predicted labels of a text, with their probabilities."""
    shown = [f"{terminal(label)}  {prediction.scores[label]:6.1%}" for label in prediction.labels]
    return ", ".join(shown) or "no label"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
