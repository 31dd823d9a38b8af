"""``edgeadapt export``."""

from typing import Annotated

import typer

from edgeadapt.cli.options import Force, Json, Output, Threads, share
from edgeadapt.config import (
    EngineName,
    Exporter,
    GraphPass,
    Objective,
    Platform,
    Scheme,
    check_joined,
)
from edgeadapt.errors import UsageError

__all__ = ["export"]


def export(
    run: Annotated[
        str | None, typer.Argument(metavar="[RUN]", help="Run to export; the latest if left out.")
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
            help="Largest accuracy drop on held-out text: 1%, or 0.01, is one point.",
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
    output: Output = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Merge, export to ONNX and quantize a run; writes a bundle under artifacts/bundles."""
    from edgeadapt.cli.console import Terminal, print_json, print_line, show
    from edgeadapt.cli.imports import train_tier
    from edgeadapt.pipeline import places
    from edgeadapt.run import Run

    source = Run.open(places.resolve(run, places.runs())) if run else Run.latest(places.runs())
    with train_tier("edgeadapt export"):
        from edgeadapt.pipeline.export import SCHEMES, ExportOptions, Quantization, Trimming
        from edgeadapt.pipeline.export import export as run_export

    schemes = _schemes(scheme, every=SCHEMES.get(engine, ()))
    asked = Quantization(schemes, objective, target, max_drop, threads, engine)
    terminal = Terminal()
    bundle = run_export(
        source,
        options=ExportOptions(
            quantize=asked if quantize else None,
            trim=None if trim_vocab is None else Trimming(_pieces(trim_vocab), max_drop),
            with_torch=with_torch,
            exporter=exporter,
            passes=_passes(passes),
            evaluation=not no_evaluation,
        ),
        output=places.target(output, places.bundles()) if output else None,
        force=force,
        progress=terminal,
    )
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
