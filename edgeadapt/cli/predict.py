"""``edgeadapt predict``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from edgeadapt.cli.options import Json, Threads

__all__ = ["predict"]

_SHOWN_CHARACTERS = 60


def predict(
    bundle: Annotated[str, typer.Argument(metavar="BUNDLE", help="Folder or name of the bundle.")],
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TEXT]...", help="Texts; from --file or stdin if left out."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="One text a line, or CSV / JSONL with a text column."),
    ] = None,
    text_column: Annotated[
        str, typer.Option(metavar="NAME", help="Column of a CSV or JSONL file.")
    ] = "text",
    variant: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="int8 or fp32; int8 where there is one if left out."),
    ] = None,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Classify texts with a bundle."""
    from edgeadapt.errors import UsageError
    from edgeadapt.pipeline import places
    from edgeadapt.pipeline.predict import predict as classify
    from edgeadapt.pipeline.predict import read_texts

    if texts and file:
        raise UsageError("Give texts or --file, not both.", hint="Leave one of them out.")
    if not texts:
        texts = read_texts(file, text_column=text_column)
    predictions = classify(
        places.resolve(bundle, places.bundles()), texts, variant=variant, threads=threads
    )
    if json:
        from json import dumps

        answers = [
            {"text": text, "label": p.label, "score": p.score, "scores": dict(p.scores)}
            for text, p in zip(texts, predictions, strict=True)
        ]
        print(dumps({"predictions": answers}))
        return
    # Plain lines: a table library would double the time to the first answer.
    width = max(len(p.label) for p in predictions)
    for text, prediction in zip(texts, predictions, strict=True):
        others = list(prediction.scores.items())[1:5]
        rest = "  ".join(f"{label} {score:.1%}" for label, score in others)
        shown = text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"
        sys.stdout.write(
            f"{prediction.label:{width}}  {prediction.score:6.1%}  {shown}  ({rest})\n"
        )
