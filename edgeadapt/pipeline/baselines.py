"""``edgeadapt train --baselines``: the same data and seed with head-only and full fine-tuning."""

from dataclasses import replace

from edgeadapt.config import AdapterConfig, AdapterKind
from edgeadapt.pipeline.restore import recipe_of
from edgeadapt.pipeline.train import complete
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run

__all__ = ["BASELINES", "train_baselines"]

BASELINES = (AdapterKind.HEAD, AdapterKind.FULL)


def train_baselines(
    run: Run, *, epochs: int | None = None, force: bool = False, progress: Progress = SILENT
) -> list[Run]:
    """Trains what a run is to be compared with: on its data and backbone, with its seed.

    Each at the learning rate that was tuned for it, all else as in the run, and beside it, under
    its name and the kind's. One that is there already is not trained again, and one that was
    stopped is gone on with.

    Args:
        run: A finished one.
        epochs: Passes over the data; as many as each was tuned for where none are given.
        force: Replace existing baselines.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Whatever ``train`` raises.
    """
    recipe = recipe_of(run)
    runs = []
    for kind in BASELINES:
        other = replace(
            recipe,
            adapter=AdapterConfig(method=kind),
            training=replace(recipe.training, learning_rate=None, head_rate=1.0, epochs=epochs),
        ).resolved()
        progress.say(f"Baseline: {kind}")
        target = run.path.with_name(f"{run.path.name}-{kind}")
        runs.append(complete(other, target, force=force, progress=progress))
    return runs
