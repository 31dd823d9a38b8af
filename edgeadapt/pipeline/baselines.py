"""``edgeadapt train --baselines``: the same data and seed with head-only and full fine-tuning."""

from dataclasses import replace
from pathlib import Path

from edgeadapt.config import AdapterConfig, AdapterKind, Recipe
from edgeadapt.pipeline.train import train
from edgeadapt.progress import SILENT, Progress
from edgeadapt.run import Run

__all__ = ["BASELINES", "baseline_target", "train_baselines"]

BASELINES = (AdapterKind.HEAD, AdapterKind.FULL)


def baseline_target(run: Path, kind: AdapterKind) -> Path:
    """Returns the folder of a run's baseline: beside it, under its name and the kind's."""
    return run.with_name(f"{run.name}-{kind}")


def train_baselines(run: Run, *, force: bool = False, progress: Progress = SILENT) -> list[Run]:
    """Trains what a run is to be compared with: on its data and backbone, with its seed.

    Each at the learning rate that was tuned for it, all else as in the run.

    Args:
        run: A finished one.
        force: Replace existing baselines.
        progress: Where to report.

    Raises:
        EdgeAdaptError: Whatever ``train`` raises.
    """
    recipe = Recipe.from_dict(run.info.recipe, origin=str(run.path / "run.json"))
    runs = []
    for kind in BASELINES:
        other = replace(
            recipe,
            adapter=AdapterConfig(method=kind),
            training=replace(recipe.training, learning_rate=None),
        )
        progress.say(f"Baseline: {kind}")
        target = baseline_target(run.path, kind)
        runs.append(train(other, output=target, force=force, progress=progress))
    return runs
