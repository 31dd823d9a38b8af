"""``edgeadapt convert``: a run's adapter, written for another library."""

from pathlib import Path

from edgeadapt.interop import FORMATS
from edgeadapt.interop.adapters import adapter_of, settings_of
from edgeadapt.models.sources import find_model
from edgeadapt.recipe import Format
from edgeadapt.store.run import Run

__all__ = ["convert"]


def convert(run: Run, folder: Path, *, to: Format, force: bool = False) -> None:
    """Writes adapter and head of a run so that the format's own library loads them.

    Beside the format's files, ``edgeadapt.json`` says which labels, tokenizer and backbone they
    belong to.

    Args:
        run: A finished run.
        folder: To be made.
        to: Whose format.
        force: Replace an existing folder.

    Raises:
        ModelError: The format cannot hold it.
        OutputExistsError: The folder exists and ``force`` is not given.
        LayoutError: The run is damaged, or its backbone is another one now.
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
