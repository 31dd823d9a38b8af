"""``edgeadapt merge``: write a run as a stock checkpoint for other tools."""

from dataclasses import dataclass
from pathlib import Path

from edgeadapt.metrics import Parity
from edgeadapt.models.merge import merge
from edgeadapt.models.opened import OpenedRun
from edgeadapt.models.parity import MERGE_LIMIT, parity_gate
from edgeadapt.progress import SILENT, Progress
from edgeadapt.store import artifacts
from edgeadapt.store.folders import staged_folder
from edgeadapt.store.run import Run

__all__ = ["Checkpoint", "merge_run"]


@dataclass(frozen=True)
class Checkpoint:
    """A merged model on disk."""

    path: Path
    parity: Parity
    """Parity of the checkpoint, loaded by plain transformers, with the run."""
    parameters: int
    """Number of parameters of the merged model."""
    unshared_bytes: int
    """fp32 bytes added because layers no longer share weights."""


def merge_run(
    run: Run,
    *,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Checkpoint:
    """Folds a run's adapters into its backbone and saves a stock Hugging Face checkpoint.

    Args:
        run: A finished run.
        output: Folder of the checkpoint; by default the name of the run under
            ``artifacts/checkpoints``.
        force: Replace an existing folder.
        progress: Where to report.

    Raises:
        ExportError: A part of the adapters does not fold into a stock model.
        GateError: The logits of the checkpoint differ from those of the run.
        LayoutError: The run is damaged, or its backbone is not the one it was trained on.
    """
    opened = OpenedRun.of(run)
    target = output or artifacts.checkpoints() / run.name
    with (
        staged_folder(target, force=force, known_by="config.json") as folder,
        progress.bar("merge", 3) as bar,
    ):
        bar.advance(note="backbone")
        classifier = opened.classifier()
        gate = parity_gate(opened)
        reference = gate.of_model(classifier.model)
        bar.advance(note="fold")
        merged = merge(classifier)
        bar.advance(note="checkpoint")
        loaded = merged.save(folder)
        parity = gate.compare(
            "Merged checkpoint against adapters",
            reference,
            gate.of_model(loaded),
            limit=MERGE_LIMIT,
        )
        parity.check()
        opened.write_tokenizer(folder)
    return Checkpoint(target, parity, loaded.num_parameters(), merged.unshared_bytes)
