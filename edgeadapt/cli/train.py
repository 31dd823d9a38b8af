"""``edgeadapt train``."""

import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import Force, Json, Output, check_alone
from edgeadapt.errors import UsageError
from edgeadapt.progress import SILENT, Progress
from edgeadapt.recipe import ModelConfig, Recipe

if TYPE_CHECKING:
    from edgeadapt.interop import ForeignAdapter
    from edgeadapt.pipeline.train_folds import CrossValidation
    from edgeadapt.store.run import Run

__all__ = ["train"]

_COMPARISON = "Comparison"


_RecipeName = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE",
        help="demo, imdb, sst2, a TOML file, or a run.json (default without --dataset: demo).",
    ),
]
_Resumed = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|PATH",
        help="Resume an interrupted training or cross-validation with its recorded options; only "
        "--baselines and --json can be given in addition.",
    ),
]
_Baselines = Annotated[
    bool,
    typer.Option(
        "--baselines",
        help="Also train head-only and full fine-tuning, with the same data and seed.",
        rich_help_panel=_COMPARISON,
    ),
]
_Folds = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Cross-validation: train K times, each time tested on another part of train and "
        "validation.",
        rich_help_panel=_COMPARISON,
    ),
]


@takes("adapter", "model", "data", "training")
def train(
    given: Given,
    recipe: _RecipeName = None,
    resume: _Resumed = None,
    baselines: _Baselines = False,
    folds: _Folds = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train adapters and a head on a frozen encoder; writes a run under artifacts/runs."""
    from edgeadapt.store import artifacts

    if resume is not None:
        check_alone(given, recipe=recipe, output=output, force=force, folds=folds)
    if baselines and folds is not None:
        raise UsageError(
            "--baselines and --folds: expected one of them, found both.",
            hint="Cross-validate each method with a separate command.",
        )

    from edgeadapt.cli.console import Terminal
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.training.preflight import preflight

    progress: Progress = Terminal() if _leads() else SILENT
    if resume is not None:
        return _go_on(
            artifacts.destination(resume, artifacts.runs()),
            baselines=baselines,
            json=json,
            progress=progress,
        )
    effective, start = _effective(recipe, given)
    target = artifacts.destination(output, artifacts.runs()) if output else None
    # With several processes, the leading one may start to write before the others check.
    written = target if _leads() and not folds else None
    preflight(effective.data, written, force=force)
    if not json:
        for line in effective.to_toml().split("\n"):
            progress.say(line)
    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.train import train as run_training
        from edgeadapt.pipeline.train_baselines import train_baselines
        from edgeadapt.pipeline.train_folds import cross_validate
    if folds is not None:
        validated = cross_validate(
            effective, folds=folds, output=target, force=force, progress=progress
        )
        return _show_folds(validated, json=json)
    run = run_training(effective, start=start, output=target, force=force, progress=progress)
    others = []
    if baselines:
        others = train_baselines(run, force=force, progress=progress)
    return _show(run, others, json=json)


def _effective(recipe: str | None, given: Given) -> tuple[Recipe, "ForeignAdapter | None"]:
    """The recipe updated by the options, and the adapter that training starts from."""
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.store import artifacts

    named = "model.id" in given.values
    given = given.mapped("model.id", artifacts.model_id)
    given = given.mapped(
        "adapter.start", lambda name: str(artifacts.resolve(name, artifacts.runs()))
    )
    usual = Recipe() if "data.dataset" in given.values else Recipe.load("demo")
    asked = (Recipe.load(recipe) if recipe else usual).updated(
        given.without("training").tables(), origin="command line"
    )
    start = None
    if asked.adapter.start is not None:
        with train_tier("edgeadapt train"):
            from edgeadapt.interop.adapters import started
        found, start = started(asked, model_named=named or asked.model.id != ModelConfig.id)
        # A learning rate in the recipe that belongs to another method is reset.
        asked = asked.updated({"adapter": {"method": found.adapter.method}}, origin="--adapter")
        asked = replace(asked, model=found.model, adapter=found.adapter)
    asked = asked.updated(given.of("training").tables(), origin="command line")
    return asked.resolved(), start


def _go_on(target: Path, *, baselines: bool, json: bool, progress: Progress) -> None:
    """Resumes a training, with or without baselines, or a cross-validation."""
    from edgeadapt.cli.tiers import train_tier

    with train_tier("edgeadapt train"):
        from edgeadapt.pipeline.train import resume
        from edgeadapt.pipeline.train_baselines import train_baselines
        from edgeadapt.pipeline.train_folds import begun_folds, resume_folds
        from edgeadapt.store.run import Run
    if begun_folds(target) and not target.exists():
        return _show_folds(resume_folds(target, progress=progress), json=json)
    if not baselines:
        return _show(resume(target, progress=progress), [], json=json)
    finished = (target / "run.json").is_file()
    run = Run.open(target) if finished else resume(target, progress=progress)
    return _show(run, train_baselines(run, progress=progress), json=json)


def _show(run: "Run", baselines: Sequence["Run"], *, json: bool) -> None:
    from edgeadapt.cli.console import Terminal, print_json, print_line, show

    if not _leads():
        return
    if json:
        others = {"baselines": [_values(other) for other in baselines]} if baselines else {}
        print_json({**_values(run), **others})
        return
    from edgeadapt.cli.tables import comparison_table, labels_table, scores_table

    show(scores_table(run.info))
    show(labels_table(run.info))
    if baselines:
        show(comparison_table([run.info, *(other.info for other in baselines)]))
    for trained in (run, *baselines):
        print_line(f"run: {trained.path}")
    Terminal().say(f"next: edgeadapt export {run.name} --quantize")


def _show_folds(found: "CrossValidation", *, json: bool) -> None:
    from edgeadapt.cli.console import print_json, print_line, show

    if not _leads():
        return
    if json:
        print_json(found.to_dict())
        return
    from edgeadapt.cli.tables import folds_table

    show(folds_table(found))
    for run in found.runs:
        print_line(f"run: {run.path}")
    print_line(f"summary: {found.path}")


def _leads() -> bool:
    """Whether this is the leading process, which reports, of those of ``accelerate launch``."""
    return os.environ.get("RANK", "0") == "0"


def _values(run: "Run") -> dict[str, object]:
    info = run.info
    return {
        "run": str(run.path),
        "method": info.method,
        "task": info.task,
        "trainable_parameters": info.trainable_parameters,
        "total_parameters": info.total_parameters,
        "best_epoch": info.best_epoch,
        "validation": asdict(info.validation) if info.validation else {},
        "test": asdict(info.test) if info.test else {},
        "seconds": info.seconds,
        "examples_per_second": info.examples_per_second,
    }
