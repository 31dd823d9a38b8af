"""``edgeadapt train --baselines``: train head-only and full fine-tuning for comparison."""

from dataclasses import replace

from edgeadapt.pipeline.train import complete
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import AdapterConfig, AdapterKind
from edgeadapt.store.run import Run

__all__ = ["BASELINES", "train_baselines"]

BASELINES = (AdapterKind.HEAD, AdapterKind.FULL)


def train_baselines(run: Run, *, force: bool = False, progress: Progress = SILENT) -> list[Run]:
    """Trains the baselines of a run: on the same data and backbone, with the same seed.

    Each baseline uses the learning rate and epochs tuned for its kind; epochs that were set
    explicitly for the run also apply to the baselines. Everything else is as in the run. Their
    folders are beside that of the run, with the kind appended to its name. A finished baseline is
    not trained again, and an interrupted one is resumed.

    Args:
        run: A finished run.
        force: Replace existing baselines.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Any error of ``train``.
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
