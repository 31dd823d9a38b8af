"""``edgeadapt convert``: write the adapter of a run in the format of another library."""

from pathlib import Path

from edgeadapt.interop import FORMATS
from edgeadapt.interop.adapters import adapter_of, settings_of
from edgeadapt.models.sources import find_model
from edgeadapt.recipe import Format
from edgeadapt.store.run import Run

__all__ = ["convert"]


def convert(run: Run, folder: Path, *, to: Format, force: bool = False) -> None:
    """Writes the adapter and head of a run in the format of another library.

    An additional file ``edgeadapt.json`` identifies the labels, tokenizer and backbone.

    Args:
        run: A finished run.
        folder: The folder to create.
        to: The format.
        force: Replace an existing folder.

    Raises:
        ModelError: The format cannot represent the adapter.
        OutputExistsError: The folder exists and ``force`` is not given.
        LayoutError: The run is damaged, or its backbone has changed.
    """
    model = run.info.recipe.model
    source = find_model(model)
    FORMATS[to].write(
        folder,
        adapter_of(run),
        spec=source.spec,
        config=settings_of(source, model.layers),
        force=force,
    )
