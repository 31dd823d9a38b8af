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
    Threads,
    check_columns,
    label_names,
    share,
)
from edgeadapt.errors import ModelError, UsageError
from edgeadapt.recipe import (
    EngineName,
    Exporter,
    GraphPass,
    Objective,
    Platform,
    Recipe,
    Scheme,
    check_joined,
)

if TYPE_CHECKING:
    from edgeadapt.bundle import Bundle
    from edgeadapt.cli.console import Terminal

__all__ = ["export"]

_OF_BUNDLES = frozenset(
    {
        "run", "quantize", "engine", "scheme", "objective", "target", "max_drop", "no_evaluation",
        "threads", "output", "force", "json",
    }
)  # fmt: skip
"""What export takes with a bundle; all else changes the graph, which takes the run."""


@takes(
    *("data.dataset", "data.name", "data.revision"),
    *("data.text_column", "data.text_pair_column", "data.label_column", "data.multi_label"),
    *("model.revision", "model.max_length"),
    help={
        "data.dataset": "Of a checkpoint: labelled examples, to measure accuracy and to quantize.",
        "model.revision": "Of a checkpoint on the hub: commit, tag or branch.",
        "model.max_length": "Of a checkpoint: longest input in tokens; its own, 128 at most, if "
        "left out.",
    },
)
def export(
    given: Given,
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|CHECKPOINT|BUNDLE]",
            help="Run to export; the latest if left out. Or a finished classifier: a folder or a "
            "hub id. Or a bundle, to quantize it again for this machine, without torch: a path "
            "such as artifacts/bundles/NAME, or a name that is no run's.",
        ),
    ] = None,
    quantize: Annotated[bool, typer.Option("--quantize", help="Add a quantized variant.")] = False,
    engine: Annotated[
        EngineName,
        typer.Option(
            metavar="NAME",
            help="What runs the quantized model: onnxruntime, or openvino, an extra of its own.",
        ),
    ] = EngineName.ONNXRUNTIME,
    scheme: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[+NAME]",
            help=f"Ways to quantize, of which the best is kept: {', '.join(Scheme)}, or auto for "
            "all that the engine runs; dynamic-int8, on openvino static-int8, if left out.",
        ),
    ] = None,
    objective: Annotated[
        Objective,
        typer.Option(metavar="NAME", help=f"What it is best at: {', '.join(Objective)}."),
    ] = Objective.LATENCY,
    target: Annotated[
        Platform,
        typer.Option(
            metavar="NAME",
            help=f"Where it will run: {', '.join(Platform)}. Auto is a machine like this one, "
            "portable is right on every CPU.",
        ),
    ] = Platform.AUTO,
    max_drop: Annotated[
        float,
        typer.Option(
            parser=share("--max-drop", most=1.0),
            metavar="SHARE",
            help="Largest accuracy drop on held-out text that trimming and quantizing may cost "
            "together: 1%, or 0.01, is one point.",
        ),
    ] = 0.01,
    trim_vocab: Annotated[
        str | None,
        typer.Option(
            metavar="N|auto",
            help="Keep embeddings of N word pieces, those that training text needs most; auto "
            "keeps as few as --max-drop allows.",
        ),
    ] = None,
    with_torch: Annotated[
        bool,
        typer.Option("--with-torch", help="Add the merged checkpoint, for bench's torch row."),
    ] = False,
    no_evaluation: Annotated[
        bool,
        typer.Option(
            "--no-evaluation",
            help="Leave test text out of the bundle; the device cannot measure accuracy then.",
        ),
    ] = False,
    exporter: Annotated[
        Exporter,
        typer.Option(
            metavar="NAME",
            help="optimum or torch; auto is optimum where it is installed.",
        ),
    ] = Exporter.AUTO,
    passes: Annotated[
        str,
        typer.Option(
            metavar="NAME[+NAME]",
            help=f"Exact rewritings of the graph: {', '.join(GraphPass)}, all or none.",
        ),
    ] = "all",
    threads: Threads = None,
    labels: LabelNames = None,
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Merge, export to ONNX and quantize a run, a classifier or a bundle; writes a bundle."""
    from edgeadapt.cli.console import Terminal
    from edgeadapt.cli.imports import train_tier
    from edgeadapt.pipeline import places
    from edgeadapt.run import Run

    terminal = Terminal()
    if run and (found := _bundle_named(run)):
        _check_of_bundles(ctx, found)
        bundle = _quantize_again(
            found,
            scheme=scheme,
            objective=objective,
            target=target,
            threads=threads,
            engine=engine,
            max_drop=max_drop if _is_given(ctx, "max_drop") else None,
            evaluation=not no_evaluation,
            output=output,
            force=force,
            terminal=terminal,
        )
        _show(bundle, json=json, terminal=terminal)
        return
    check_columns(given)
    others = [*given.flags, *(["--labels"] if labels is not None else [])]
    checkpoint = _checkpoint(run, is_asked=bool(others)) if run else None
    if checkpoint is None:
        source = Run.open(places.resolve(run, places.runs())) if run else Run.latest(places.runs())
        if others:
            raise UsageError(
                f"{', '.join(others)}: expected with a checkpoint only, found the run "
                f"{source.name}, which has its own.",
                hint="Leave them out, or name a checkpoint: its folder or hub id.",
            )
    names = label_names(labels)
    unnamed = {"model": {"id": checkpoint or ""}, "data": {"dataset": ""}}
    checked = (
        Recipe().updated(unnamed, origin="none").updated(given.tables(), origin="command line")
    )
    with train_tier("edgeadapt export"):
        from edgeadapt.pipeline.checkpoint import export_checkpoint
        from edgeadapt.pipeline.export import SCHEMES, ExportOptions, Quantization, Trimming
        from edgeadapt.pipeline.export import export as run_export

    schemes = _schemes(scheme, every=SCHEMES.get(engine, ()))
    asked = Quantization(schemes, objective, target, threads, engine)
    options = ExportOptions(
        quantize=asked if quantize else None,
        trim=None if trim_vocab is None else Trimming(_pieces(trim_vocab)),
        max_drop=max_drop,
        with_torch=with_torch,
        exporter=exporter,
        passes=_passes(passes),
        evaluation=not no_evaluation,
    )
    to = places.target(output, places.bundles()) if output else None
    if checkpoint is None:
        bundle = run_export(source, options=options, output=to, force=force, progress=terminal)
    else:
        bundle = export_checkpoint(
            checked.model,
            max_length=given.values.get("model.max_length"),
            data=checked.data if checked.data.dataset else None,
            labels=names,
            options=options,
            output=to,
            force=force,
            progress=terminal,
        )
    _show(bundle, json=json, terminal=terminal)


def _bundle_named(name: str) -> Path | None:
    """The bundle that ``name`` means; ``None`` where it is a run's, or nothing's."""
    from edgeadapt.pipeline import places

    path = places.resolve(name, places.runs())
    if not path.exists():
        path = places.resolve(name, places.bundles())
    return path if (path / "manifest.json").is_file() else None


def _is_given(ctx: typer.Context, name: str) -> bool:
    source = ctx.get_parameter_source(name)
    return source is not None and source.name not in ("DEFAULT", "DEFAULT_MAP")


def _check_of_bundles(ctx: typer.Context, bundle: Path) -> None:
    """Refuses what cannot be asked of a bundle.

    Raises:
        UsageError: An option needs the run, or ``--quantize`` is missing.
    """
    others = [
        each.opts[0]
        for each in ctx.command.params
        if each.name not in _OF_BUNDLES and _is_given(ctx, str(each.name))
    ]
    if others:
        raise UsageError(
            f"{', '.join(others)}: expected with a run, found the bundle {bundle}: its graph is "
            "finished, and quantized as it is.",
            hint="Leave them out, or export the run that the bundle was made from.",
        )
    if not _is_given(ctx, "quantize"):
        raise UsageError(
            f"{bundle} is a bundle: expected a run, or --quantize.",
            hint=f"Quantize it again for this machine with: edgeadapt export {bundle} --quantize",
        )


def _quantize_again(
    path: Path,
    *,
    scheme: str | None,
    objective: Objective,
    target: Platform,
    threads: int | None,
    engine: EngineName,
    max_drop: float | None,
    evaluation: bool,
    output: str | None,
    force: bool,
    terminal: "Terminal",
) -> "Bundle":
    from edgeadapt.bundle import Bundle
    from edgeadapt.cli.imports import onnx_tier
    from edgeadapt.pipeline import places

    bundle = Bundle.open(path)
    with onnx_tier("edgeadapt export BUNDLE --quantize"):
        from edgeadapt.pipeline.requantize import requantize
        from edgeadapt.quantize.options import SCHEMES, Quantization

    schemes = _schemes(scheme, every=SCHEMES.get(engine, ()))
    return requantize(
        bundle,
        asked=Quantization(schemes, objective, target, threads, engine),
        max_drop=max_drop,
        evaluation=evaluation,
        output=places.target(output, places.bundles()) if output else None,
        force=force,
        progress=terminal,
    )


def _show(bundle: "Bundle", *, json: bool, terminal: "Terminal") -> None:
    """Prints what was written."""
    from edgeadapt.cli.console import print_json, print_line, show

    manifest = bundle.manifest
    if json:
        files = {name: info.bytes for name, info in manifest.files.items()}
        print_json(
            {
                "bundle": str(bundle.path),
                "parity": dict(manifest.parity),
                "quantization": manifest.quantization,
                "files": files,
            }
        )
        return
    from edgeadapt.cli.tables import gates_table, ladder_table, sensitivity_table

    show(gates_table(manifest))
    if manifest.quantization:
        show(ladder_table(manifest.quantization))
        if manifest.quantization["sensitivity"]:
            show(sensitivity_table(manifest.quantization["sensitivity"]))
    print_line(f"bundle: {bundle.path}")
    terminal.say(f"next: edgeadapt bench {bundle.name}")


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def _checkpoint(name: str, *, is_asked: bool) -> str | None:
    """Returns the checkpoint that ``name`` means, a folder or a hub id; ``None`` if it is a run.

    Args:
        name: A path, a name under ``artifacts/``, or a hub id.
        is_asked: Whether options were given that only a checkpoint has.

    Raises:
        ModelError: It is the folder of an adapter.
    """
    from edgeadapt.pipeline import places

    path = places.resolve(name, places.runs())
    if any((path / file).is_file() for file in ("run.json", "manifest.json")):
        return None
    for folder in (path, places.target(name, places.checkpoints())):
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{folder} holds an adapter: expected a run, or a checkpoint with all its weights.",
                hint=f"Import it first: edgeadapt import {folder} --dataset DATA",
            )
        if (folder / "config.json").is_file():
            return str(folder)
    if path.exists():
        return None
    # Below a folder that exists it is a path that was mistyped, not a hub id.
    is_hub_id = _HUB_ID.fullmatch(name) is not None and not Path(name).parent.is_dir()
    return name if is_hub_id or (is_asked and "/" not in name) else None


def _schemes(names: str | None, *, every: tuple[Scheme, ...]) -> tuple[Scheme, ...]:
    if names is None:
        return ()
    if names == "auto":
        return every
    check_joined(names, Scheme, "--scheme", word="scheme")
    return tuple(Scheme(name) for name in names.split("+"))


def _pieces(count: str) -> int | None:
    """A number of word pieces; none for ``auto``."""
    if count == "auto":
        return None
    if not count.isdecimal() or not int(count):
        raise UsageError(f"--trim-vocab: expected a number above 0 or auto, found {count!r}.")
    return int(count)


def _passes(names: str) -> tuple[GraphPass, ...]:
    if names in ("all", "none"):
        return tuple(GraphPass) if names == "all" else ()
    check_joined(names, GraphPass, "--passes", word="pass")
    return tuple(GraphPass(name) for name in names.split("+"))
