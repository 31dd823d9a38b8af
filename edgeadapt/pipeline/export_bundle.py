"""``edgeadapt export BUNDLE --quantize``: choose the scheme again, on the device, without torch.

The speed and accuracy of a scheme depend on the CPU, so it is best chosen on the target machine.
The bundle contains what this needs: the fp32 graph, and validation text with the logits of the
uncompressed model. The budget is that of the whole chain: the cost of trimming is included.
"""

import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from edgeadapt import __version__
from edgeadapt.compress.budget import MAX_DROP, Budget
from edgeadapt.compress.climb import climb
from edgeadapt.compress.report import compression_of
from edgeadapt.compress.texts import CompressionTexts
from edgeadapt.documents.model_card import model_card
from edgeadapt.errors import UsageError
from edgeadapt.graph.attention import count_attention
from edgeadapt.graph.lowered import Graphs
from edgeadapt.graph.unfuse import unfuse_attention
from edgeadapt.measure.machine import describe_machine
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.options import Quantization
from edgeadapt.quantize.outcome import Quantized
from edgeadapt.recipe import Scheme
from edgeadapt.runtime import ENGINES, load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store import artifacts
from edgeadapt.store.bundle import TEXT_FILES, Bundle, Manifest
from edgeadapt.store.files import sha256
from edgeadapt.store.folders import free_name, staged_folder
from edgeadapt.store.provenance import Requantized

__all__ = ["export_bundle"]

_CARD = "README.md"


def export_bundle(
    bundle: Bundle,
    *,
    asked: Quantization,
    max_drop: float | None = None,
    evaluation: bool = True,
    output: Path | None = None,
    force: bool = False,
    progress: Progress = SILENT,
) -> Bundle:
    """Quantizes a bundle's fp32 graph for this machine, and writes a new bundle.

    Everything else in the bundle is copied, except its quantized variants.

    Args:
        bundle: The bundle with the graph and the validation text.
        asked: The schemes to try, and the criterion.
        max_drop: Largest accuracy drop against the uncompressed fp32 model, 0 to 1, including
            the cost of earlier steps; by default the budget of the bundle.
        evaluation: Copy the texts too.
        output: Folder of the new bundle; by default an unused name under ``artifacts/bundles``
            that ends in the platform.
        force: Replace an existing folder at ``output``, also the bundle itself.
        progress: Where to report.

    Raises:
        UsageError: The bundle lacks the required files.
        MissingExtraError: The engine is not installed.
        GateError: No scheme is accurate enough.
        LayoutError: The bundle is damaged.
    """
    bundle.verify()
    budget = Budget(_max_drop(bundle.manifest) if max_drop is None else max_drop)
    ENGINES[asked.engine]()
    texts = CompressionTexts.of(bundle)
    _check_graph(bundle, texts)
    _check_calibration(bundle, texts, asked)
    target = output or _free_name(bundle, asked)
    with (
        staged_folder(target, force=force, known_by=Bundle.MANIFEST) as folder,
        progress.bar("export", 3) as bar,
    ):
        bar.advance(note="copy")
        _copy(bundle, folder, evaluation=evaluation)

        bar.advance(note="compression")
        quantized = _quantized(bundle, folder, texts, budget, asked, progress)

        bar.advance(note="bundle")
        manifest = _manifest(bundle, quantized, budget)
        (folder / _CARD).write_text(model_card(target.name, manifest), encoding="utf-8")
        Bundle.write(folder, manifest)
    return Bundle.open(target)


def _check_graph(bundle: Bundle, texts: CompressionTexts) -> None:
    """Answers a text, so that what is no classifier of this bundle is refused by name.

    What reads the graph to change it knows only ONNX, and says so in its own words or not at all.
    """
    text_logits(load_engine(bundle, "fp32"), bundle.text_encoder(), texts.reference.texts[:1])


def _check_calibration(bundle: Bundle, texts: CompressionTexts, asked: Quantization) -> None:
    if Scheme.STATIC_INT8 in asked.wanted and not texts.calibration:
        option = "--scheme static-int8" if asked.schemes else f"--engine {asked.engine}"
        raise UsageError(
            f"{option}: {bundle.path} carries no training text to calibrate with.",
            hint="Its run was trained by an earlier version. Choose another --scheme.",
        )


def _max_drop(manifest: Manifest) -> float:
    """The accuracy budget of a bundle."""
    return manifest.compression.max_drop if manifest.compression else MAX_DROP


def _free_name(bundle: Bundle, asked: Quantization) -> Path:
    ending = f"-{asked.made_for}"
    return free_name(artifacts.bundles(), f"{bundle.name.removesuffix(ending)}{ending}")


def _copy(bundle: Bundle, folder: Path, *, evaluation: bool) -> None:
    """Copies all files except the model card and quantized variants."""
    left_out = {each.file for each in bundle.manifest.variants.values() if each.scheme}
    left_out |= {_CARD, *(() if evaluation else TEXT_FILES)}
    for name in bundle.manifest.files:
        if name not in left_out:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(bundle.file(name), folder / name)


def _quantized(
    bundle: Bundle,
    folder: Path,
    texts: CompressionTexts,
    budget: Budget,
    asked: Quantization,
    progress: Progress,
) -> Quantized:
    """Runs the quantization step and writes the quantized graph into ``folder``."""
    reference = texts.reference
    progress.say(
        f"Validation text: {len(reference.texts):,} texts judge what compression costs; allowed "
        f"are {100 * budget.max_drop:.2f} points."
    )
    encoder = bundle.text_encoder()
    with TemporaryDirectory(dir=folder) as scratch:
        fused = folder / bundle.variant("fp32").file
        graphs = Graphs(
            fused,
            _as_products(fused, Path(scratch)),
            encoder.encode(reference.texts),
            encoder.encode(texts.calibration),
        )
        step = asked.step(Path(scratch) / "tried", simulated=_simulated(bundle), progress=progress)
        (taken,) = climb(
            graphs,
            [step],
            budget=budget,
            reference=reference,
            folder=Path(scratch) / "chain",
            progress=progress,
        )
        quantized = Quantized.placed(
            asked, step, taken, folder=folder, reference=reference, texts=graphs.texts
        )
    budget.check(quantized.cost)
    return quantized


def _as_products(fused: Path, folder: Path) -> Path:
    """The graph with fused attention nodes replaced by matrix products; unchanged without any."""
    model = onnx.load(fused)
    if not count_attention(model):
        return fused
    products = folder / "products.onnx"
    onnx.save(unfuse_attention(model), products)
    return products


def _simulated(bundle: Bundle) -> bool:
    """Whether training simulated int8 (``train --quant-aware``)."""
    return bool(bundle.manifest.provenance.recipe.get("training", {}).get("quant_aware"))


def _manifest(bundle: Bundle, quantized: Quantized, budget: Budget) -> Manifest:
    before = bundle.manifest
    earlier = before.compression
    shrunk = earlier.shrunk if earlier else None
    name, variant = quantized.variant
    kept = {name: each for name, each in before.variants.items() if not each.scheme}
    return replace(
        before,
        variants={"fp32": kept.pop("fp32"), name: variant, **kept},
        provenance=replace(
            before.provenance,
            quantized_again=(
                *before.provenance.quantized_again,
                _origin(bundle, quantized.step.threads),
            ),
        ),
        compression=compression_of(
            [quantized.taken],
            budget=budget,
            spent=quantized.cost,
            earlier=earlier.steps if earlier else (),
            shrunk=replace(shrunk, measured=None) if shrunk else None,
            objective=quantized.asked.objective,
            platform=quantized.asked.made_for,
            engine=quantized.asked.engine,
        ),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        edgeadapt=__version__,
    )


def _origin(bundle: Bundle, threads: int) -> Requantized:
    """The source bundle and the machine on which the scheme was chosen."""
    machine = describe_machine()
    return Requantized(
        bundle=bundle.name,
        manifest_sha256=sha256(bundle.path / "manifest.json"),
        created=bundle.manifest.created,
        edgeadapt=bundle.manifest.edgeadapt,
        cpu=machine.cpu,
        architecture=machine.architecture or "",
        cores=machine.cores or 0,
        versions=machine.versions,
        threads=threads,
    )
