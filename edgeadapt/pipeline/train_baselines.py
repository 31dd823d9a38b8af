"""``edgeadapt train --baselines``: the same data and seed with head-only and full fine-tuning."""

from dataclasses import replace

from edgeadapt.pipeline.train import complete
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import AdapterConfig, AdapterKind
from edgeadapt.store.run import Run

__all__ = ["BASELINES", "train_baselines"]

BASELINES = (AdapterKind.HEAD, AdapterKind.FULL)


def train_baselines(run: Run, *, force: bool = False, progress: Progress = SILENT) -> list[Run]:
    """Trains what a run is to be compared with: on its data and backbone, with its seed.

    Each at the learning rate that was tuned for it and for as many epochs, but for the run's where
    those are not what was tuned for the run. All else is as in the run. They are beside it, under
    its name and the kind's. One that is there already is not trained again, and one that was
    stopped is gone on with.

    Args:
        run: A finished one.
        force: Replace existing baselines.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Whatever ``train`` raises.
    """
    recipe = run.info.recipe
    tuned = replace(recipe, training=replace(recipe.training, epochs=None)).resolved()
    asked = recipe.training.epochs != tuned.training.epochs
    epochs = recipe.training.epochs if asked else None
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
