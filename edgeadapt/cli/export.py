"""``edgeadapt export``."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgeadapt.cli.given import Given, takes
from edgeadapt.cli.options import (
    Force,
    Json,
    LabelNames,
    Output,
    check_columns,
    label_names,
    pieces,
    share,
)
from edgeadapt.errors import ModelError, UsageError
from edgeadapt.recipe import Recipe

if TYPE_CHECKING:
    from edgeadapt.cli.console import Terminal
    from edgeadapt.store.bundle import Bundle
    from edgeadapt.store.run import Run

__all__ = ["export"]

_OF_BUNDLES = tuple(
    f"export.{name}"
    for name in (
        *("quantize", "engine", "scheme", "objective", "target"),
        *("max_drop", "evaluation", "threads"),
    )
)
"""Fields that export accepts for a bundle; all others change the graph, which needs the run."""


@takes(
    "export",
    *("data.dataset", "data.name", "data.revision"),
    *("data.text_column", "data.text_pair_column", "data.label_column", "data.multi_label"),
    *("model.revision", "model.max_length"),
    help={
        "data.dataset": "For a checkpoint: labelled examples, to measure accuracy and to quantize.",
        "model.revision": "For a checkpoint on the hub: commit, tag or branch.",
        "model.max_length": "For a checkpoint: longest input in tokens (default: that of the "
        "checkpoint, at most 128).",
    },
    parsers={"export.max_drop": share("--max-drop", most=1.0), "export.trim_vocab": pieces},
)
def export(
    given: Given,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|CHECKPOINT|BUNDLE]",
            help="Run to export, with the options of its recipe (default: the latest). Or a "
            "fine-tuned classifier: a folder or a hub id. Or a bundle, to quantize it for this "
            "machine, without torch: a path such as artifacts/bundles/NAME, or a name that is no "
            "run's.",
        ),
    ] = None,
    labels: LabelNames = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Merge a run, export it to ONNX, and write a bundle; also takes a classifier or a bundle."""
    from edgeadapt.cli.console import Terminal
    from edgeadapt.cli.tiers import train_tier
    from edgeadapt.store import artifacts
    from edgeadapt.store.run import Run

    terminal = Terminal()
    target = artifacts.destination(output, artifacts.bundles()) if output else None
    if run and (found := _bundle_named(run)):
        _check_of_bundles(given, labels, found)
        bundle = _quantize_again(found, given, output=target, force=force, terminal=terminal)
        _show(bundle, json=json, terminal=terminal)
        return
    check_columns(given)
    source, base = _source(run, given, labels)
    names = label_names(labels)
    recipe = base.updated(given.tables(), origin="command line")
    with train_tier("edgeadapt export"):
        from edgeadapt.pipeline.export import ExportOptions
        from edgeadapt.pipeline.export import export as run_export
        from edgeadapt.pipeline.export_checkpoint import export_checkpoint

    options = ExportOptions.of(recipe.export)
    if isinstance(source, Run):
        bundle = run_export(source, options=options, output=target, force=force, progress=terminal)
    else:
        bundle = export_checkpoint(
            recipe.model,
            max_length=given.values.get("model.max_length"),
            data=recipe.data if recipe.data.dataset else None,
            labels=names,
            options=options,
            output=target,
            force=force,
            progress=terminal,
        )
    _show(bundle, json=json, terminal=terminal)


def _source(name: str | None, given: Given, labels: str | None) -> tuple["Run | str", Recipe]:
    """The run, or the name of the checkpoint, and the recipe that the options update.

    Raises:
        UsageError: It is a run, and an option for checkpoints was given.
    """
    from edgeadapt.store import artifacts
    from edgeadapt.store.run import Run

    others = [*given.without("export").flags, *(["--labels"] if labels is not None else [])]
    if name and (checkpoint := _checkpoint(name, is_asked=bool(others))):
        unnamed = {"model": {"id": checkpoint}, "data": {"dataset": ""}}
        return checkpoint, Recipe().updated(unnamed, origin="none")
    run = (
        Run.open(artifacts.resolve(name, artifacts.runs()))
        if name
        else Run.latest(artifacts.runs())
    )
    if others:
        raise UsageError(
            f"{', '.join(others)}: expected with a checkpoint only, found the run {run.name}, "
            "which has its own.",
            hint="Leave them out, or name a checkpoint: its folder or hub id.",
        )
    return run, run.info.recipe


def _bundle_named(name: str) -> Path | None:
    """The path of the bundle ``name``; ``None`` where there is none, or a run of that name."""
    from edgeadapt.store import artifacts

    path = artifacts.resolve(name, artifacts.runs())
    if not path.exists():
        path = artifacts.resolve(name, artifacts.bundles())
    return path if (path / "manifest.json").is_file() else None


def _check_of_bundles(given: Given, labels: str | None, bundle: Path) -> None:
    """Rejects options that do not apply to a bundle.

    Raises:
        UsageError: An option needs the run, or ``--quantize`` is missing.
    """
    others = [*given.without(*_OF_BUNDLES).flags, *(["--labels"] if labels is not None else [])]
    if others:
        raise UsageError(
            f"{', '.join(others)}: expected with a run, found the bundle {bundle}: its graph is "
            "finished, and quantized as it is.",
            hint="Leave them out, or export the run that the bundle was made from.",
        )
    if not given.values.get("export.quantize"):
        raise UsageError(
            f"{bundle} is a bundle: expected a run, or --quantize.",
            hint=f"Quantize it again for this machine with: edgeadapt export {bundle} --quantize",
        )


def _quantize_again(
    path: Path, given: Given, *, output: Path | None, force: bool, terminal: "Terminal"
) -> "Bundle":
    from edgeadapt.cli.tiers import onnx_tier
    from edgeadapt.store.bundle import Bundle

    bundle = Bundle.open(path)
    with onnx_tier("edgeadapt export BUNDLE --quantize"):
        from edgeadapt.pipeline.export_bundle import export_bundle
        from edgeadapt.quantize.options import Quantization

    asked = _recorded(bundle).updated(given.tables(), origin="command line").export
    return export_bundle(
        bundle,
        asked=Quantization.of(asked),
        max_drop=given.values.get("export.max_drop"),
        evaluation=asked.evaluation,
        output=output,
        force=force,
        progress=terminal,
    )


_FOR_ANY_MACHINE = ("engine", "scheme", "objective")
"""Fields of a bundle's [export] table that are reused when it is quantized again."""


def _recorded(bundle: "Bundle") -> Recipe:
    """The recorded options of the bundle, without those that depend on the exporting machine."""
    options = bundle.manifest.provenance.recipe.get("export", {})
    kept = {name: options[name] for name in _FOR_ANY_MACHINE if name in options}
    return Recipe().updated({"export": kept}, origin=str(bundle.path / "manifest.json"))


def _show(bundle: "Bundle", *, json: bool, terminal: "Terminal") -> None:
    """Prints the result."""
    from edgeadapt.cli.compression_json import compression_json
    from edgeadapt.cli.console import print_json, print_line, show

    manifest = bundle.manifest
    if json:
        files = {name: info.bytes for name, info in manifest.files.items()}
        print_json(
            {
                "bundle": str(bundle.path),
                **compression_json(manifest),
                "files": files,
            }
        )
        return
    from edgeadapt.cli.tables import gates_table, layers_table, sensitivity_table, step_table

    show(gates_table(manifest))
    if compression := manifest.compression:
        if compression.shrunk:
            show(layers_table(compression.shrunk))
        for step in compression.steps:
            show(step_table(compression, step))
            if step.baseline.sensitivity:
                show(sensitivity_table(step.baseline.sensitivity))
    print_line(f"bundle: {bundle.path}")
    terminal.say(f"next: edgeadapt bench {bundle.name}")


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def _checkpoint(name: str, *, is_asked: bool) -> str | None:
    """Returns the checkpoint ``name``, a folder or a hub id; ``None`` if it is a run.

    Args:
        name: A path, a name under ``artifacts/``, or a hub id.
        is_asked: Whether options for checkpoints were given.

    Raises:
        ModelError: It is the folder of an adapter.
    """
    from edgeadapt.store import artifacts

    path = artifacts.resolve(name, artifacts.runs())
    if any((path / file).is_file() for file in ("run.json", "manifest.json")):
        return None
    for folder in (path, artifacts.destination(name, artifacts.checkpoints())):
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{folder} holds an adapter: expected a run, or a checkpoint with all its weights.",
                hint=f"Import it first: edgeadapt import {folder} --dataset DATA",
            )
        if (folder / "config.json").is_file():
            return str(folder)
    if path.exists():
        return None
    # In an existing folder, it is a mistyped path and not a hub id.
    is_hub_id = _HUB_ID.fullmatch(name) is not None and not Path(name).parent.is_dir()
    return name if is_hub_id or (is_asked and "/" not in name) else None
