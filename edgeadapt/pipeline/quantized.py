"""The quantized model of a bundle: which ways are tried, on which texts, and what is reported."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import onnx

from edgeadapt.bundle import Variant
from edgeadapt.config import EngineName, Exporter, GraphPass, Objective, Platform, Scheme
from edgeadapt.errors import UsageError
from edgeadapt.graph.attention import count_attention
from edgeadapt.measure.machine import usable_cores
from edgeadapt.models.merge import Merged
from edgeadapt.pipeline.lower import lower
from edgeadapt.pipeline.restore import kept_examples, recipe_of
from edgeadapt.pipeline.run_files import CALIBRATION_FILE
from edgeadapt.platforms import this_platform
from edgeadapt.progress import Progress
from edgeadapt.quantize.candidates import candidates
from edgeadapt.quantize.ladder import Ladder, climb
from edgeadapt.quantize.trial import DECIDING_TEXTS, SLACK, Budget, HeldOut
from edgeadapt.run import Run
from edgeadapt.runtime import ENGINES
from edgeadapt.text import TextEncoder, Tokens

__all__ = ["SCHEMES", "Quantization", "Quantized", "quantized"]


SCHEMES: Mapping[EngineName, tuple[Scheme, ...]] = MappingProxyType(
    {
        EngineName.ONNXRUNTIME: tuple(Scheme),
        # The others are written with operators that ONNX Runtime alone has.
        EngineName.OPENVINO: (Scheme.STATIC_INT8,),
    }
)
"""What an engine runs, its usual way first."""


@dataclass(frozen=True)
class Quantization:
    """What a quantized model may be asked to be."""

    schemes: tuple[Scheme, ...] = ()
    """Ways to quantize, of which the best is kept; the engine's usual one where none is given."""
    objective: Objective = Objective.LATENCY
    """What the best is best at."""
    platform: Platform = Platform.AUTO
    """What it is made for."""
    max_drop: float = 0.01
    """Largest accuracy drop on held-out text, 0 to 1."""
    threads: int | None = None
    """CPU threads while latency is measured; all cores where none is given."""
    engine: EngineName = EngineName.ONNXRUNTIME
    """What will run it."""

    def __post_init__(self) -> None:
        known = SCHEMES.get(self.engine)
        if known is None:
            raise UsageError(
                f"--engine: expected one of {', '.join(SCHEMES)}, found {self.engine}.",
                hint="--with-torch adds what bench needs for a row of torch.",
            )
        if wrong := [scheme for scheme in self.schemes if scheme not in known]:
            raise UsageError(
                f"--scheme: {self.engine} runs {', '.join(known)}, found {', '.join(wrong)}.",
                hint="Leave --scheme out, or --engine.",
            )
        if not 0 <= self.max_drop <= 1:
            raise UsageError(
                f"--max-drop: expected a share from 0 to 1, found {self.max_drop}.",
                hint="0.01 is one point of accuracy.",
            )

    @property
    def wanted(self) -> tuple[Scheme, ...]:
        """The schemes to try."""
        return self.schemes or SCHEMES[self.engine][:1]

    @property
    def is_usual(self) -> bool:
        """Whether it is what ``train --quant-aware`` makes up for."""
        return (self.wanted, self.objective) == ((Scheme.DYNAMIC_INT8,), Objective.LATENCY)

    def check(self, run: Run) -> None:
        """Checks that a run holds the texts that quantization needs, and that the engine is there.

        Raises:
            UsageError: It does not.
            MissingExtraError: It is not.
        """
        ENGINES[self.engine]()
        if "validation.csv" not in run.info.files:
            raise UsageError(
                f"--quantize: {run.path} holds no labelled text to judge int8 by: it was imported "
                "without data.",
                hint="Import it again with --dataset, or export without --quantize.",
            )
        if Scheme.STATIC_INT8 in self.wanted and CALIBRATION_FILE not in run.info.files:
            option = "--scheme static-int8" if self.schemes else f"--engine {self.engine}"
            raise UsageError(
                f"{option}: {run.path} holds no training text to calibrate with.",
                hint="It was trained by an earlier version: train it again, or leave this out.",
            )


@dataclass(frozen=True)
class Quantized:
    """The model that was chosen."""

    asked: Quantization
    platform: Platform
    """What it was made for, never ``auto``."""
    ladder: Ladder

    @property
    def scheme(self) -> Scheme:
        """How it was quantized."""
        return self.ladder.chosen.candidate.scheme

    @property
    def name(self) -> str:
        """What the variant is called."""
        return "int4" if self.scheme is Scheme.INT4_WEIGHTS else "int8"

    @property
    def variant(self) -> Variant:
        """The variant for the manifest; the file has the name that transformers.js looks for."""
        file = {"int4": "onnx/model_q4.onnx", "int8": "onnx/model_quantized.onnx"}[self.name]
        return Variant(file, self.asked.engine, self.scheme, self.platform)

    def parity(self) -> dict[str, Any]:
        """Returns the gate's report."""
        drift = self.ladder.chosen.drift.to_dict()
        return {"scheme": self.scheme, "max_drop": self.asked.max_drop, **drift}

    def to_dict(self) -> dict[str, Any]:
        """Returns the whole ladder for the manifest."""
        return {
            "objective": self.asked.objective,
            "platform": self.platform,
            "engine": self.asked.engine,
            "max_drop": self.asked.max_drop,
            "deciding_texts": DECIDING_TEXTS,
            "texts_to_decide": self.ladder.chosen.drift.texts_for(SLACK),
            **self.ladder.to_dict(),
        }


def quantized(
    run: Run,
    merged: Merged,
    encoder: TextEncoder,
    fp32: Path,
    *,
    asked: Quantization,
    exporter: Exporter,
    passes: Sequence[GraphPass],
    progress: Progress,
) -> Quantized:
    """Climbs the ladder and writes the chosen model beside the fp32 one.

    Args:
        run: What was exported.
        merged: Its model, for graphs of another form.
        encoder: Its tokenizer.
        fp32: Its fp32 graph, in the bundle's ``onnx`` folder.
        asked: What it should be.
        exporter: What wrote ``fp32``.
        passes: The graph passes behind ``fp32``.
        progress: Where to report.

    Raises:
        GateError: Nothing that was tried is as accurate as asked.
    """
    platform = this_platform() if asked.platform is Platform.AUTO else asked.platform
    kept = kept_examples(run, "validation.csv")
    held_out = HeldOut(encoder.encode(kept.texts), kept.known_labels(), run.info.task)
    with TemporaryDirectory(dir=fp32.parent.parent) as folder:
        products = fp32
        if count_attention(onnx.load(fp32)):
            products = Path(folder) / "products.onnx"
            others = tuple(each for each in passes if each is not GraphPass.ATTENTION)
            lower(merged, products, exporter=exporter, passes=others, pairs=run.info.pairs)
        tried = candidates(asked.wanted, platform, asked.objective)
        if recipe_of(run).training.quant_aware and asked.is_usual:
            tried = tried[:1]  # the way that was simulated
        if asked.engine is not EngineName.ONNXRUNTIME:  # whose own operator 4 bits take
            tried = [each for each in tried if each.embedding_bits != 4]
        if products == fp32:  # without attention as one node there is one form of the graph
            tried = list(dict.fromkeys(replace(each, fused=False) for each in tried))
        chosen = Path(folder) / "chosen.onnx"
        ladder = climb(
            {True: fp32, False: products},
            chosen,
            tried,
            held_out=held_out,
            calibration=_calibration(run, encoder, asked.wanted),
            budget=Budget(asked.max_drop, asked.objective),
            threads=asked.threads or usable_cores(),
            engine=asked.engine,
            progress=progress,
        )
        found = Quantized(asked, platform, ladder)
        chosen.replace(fp32.parent.parent / found.variant.file)
    return found


def _calibration(run: Run, encoder: TextEncoder, schemes: Sequence[Scheme]) -> Sequence[Tokens]:
    """Some training texts, where a scheme has a use for them."""
    if Scheme.STATIC_INT8 not in schemes:
        return ()
    return encoder.encode(kept_examples(run, CALIBRATION_FILE).texts)
