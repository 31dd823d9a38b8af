"""``edgeadapt inspect``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.options import Json

if TYPE_CHECKING:
    from edgeadapt.store.compression import Shrunk

__all__ = ["inspect"]

_OF_LAYERS = (
    *("heads_by_layer", "neurons_by_layer", "removed"),
    *("speedup_tokens", "speedup_predicted", "speedup_measured"),
)
"""Facts that the table of layers shows too."""


def inspect(
    name: Annotated[
        str,
        typer.Argument(
            metavar="RUN|BUNDLE|RECORD|CHECKPOINT", help="Path, or a name under artifacts/."
        ),
    ],
    json: Json = False,
) -> None:
    """Describe a run, bundle, record or checkpoint, and verify the hashes of its files."""
    from edgeadapt.cli.console import print_json, show
    from edgeadapt.pipeline.inspect import inspect as look

    description = look(name)
    if json:
        print_json(description)
        return
    from edgeadapt.cli.tables import facts_table, layers_table

    shrunk = _shrunk(description)
    in_table = _OF_LAYERS if shrunk else ()
    show(facts_table({name: value for name, value in description.items() if name not in in_table}))
    if shrunk:
        show(layers_table(shrunk))


def _shrunk(description: Mapping[str, object]) -> "Shrunk | None":
    """What was removed from the layers of a described bundle; ``None`` if nothing."""
    from edgeadapt.store.bundle import Bundle

    if description["kind"] != "bundle":
        return None
    compression = Bundle.open(Path(str(description["path"]))).manifest.compression
    return compression.shrunk if compression else None
