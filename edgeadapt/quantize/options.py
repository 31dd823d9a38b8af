"""What a quantized model may be asked to be."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from edgeadapt.errors import UsageError
from edgeadapt.measure.machine import usable_cores
from edgeadapt.platforms import this_platform
from edgeadapt.progress import SILENT, Progress
from edgeadapt.quantize.candidate import Candidate
from edgeadapt.quantize.per_platform import candidates
from edgeadapt.quantize.step import Quantize
from edgeadapt.recipe import SCHEMES, EngineName, ExportConfig, Objective, Platform, Scheme
from edgeadapt.store.bundle import Variant

__all__ = ["SCHEMES", "Quantization"]


@dataclass(frozen=True)
class Quantization:
    """What a quantized model may be asked to be."""

    schemes: tuple[Scheme, ...] = ()
    """Ways to quantize, of which the best is kept; the engine's usual one where none is given."""
    objective: Objective = Objective.LATENCY
    """What the best is best at."""
    platform: Platform = Platform.AUTO
    """What it is made for."""
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

    @classmethod
    def of(cls, config: ExportConfig) -> Self:
        """Returns what a recipe asks for, whether ``quantize`` is set or not."""
        return cls(
            schemes=config.schemes,
            objective=config.objective,
            platform=config.target,
            threads=config.threads,
            engine=config.engine,
        )

    @property
    def wanted(self) -> tuple[Scheme, ...]:
        """The schemes to try."""
        return self.schemes or SCHEMES[self.engine][:1]

    @property
    def is_usual(self) -> bool:
        """Whether it is what ``train --quant-aware`` makes up for."""
        return (self.wanted, self.objective) == ((Scheme.DYNAMIC_INT8,), Objective.LATENCY)

    @property
    def made_for(self) -> Platform:
        """The platform, never ``auto``."""
        return this_platform() if self.platform is Platform.AUTO else self.platform

    def ways(self, *, simulated: bool = False) -> Sequence[Candidate]:
        """Returns what to try.

        Args:
            simulated: Whether training simulated the usual way: nothing else is tried then.
        """
        tried = candidates(self.wanted, self.made_for, self.objective)
        if simulated and self.is_usual:
            tried = tried[:1]
        if self.engine is not EngineName.ONNXRUNTIME:  # whose own operator 4 bits take
            tried = [way for way in tried if way.embedding_bits != 4]
        return list(dict.fromkeys(tried))

    def step(
        self, folder: Path, *, simulated: bool = False, progress: Progress = SILENT
    ) -> Quantize:
        """Returns the step that tries this.

        Args:
            folder: For files that are tried; to be made.
            simulated: As ``ways`` takes it.
            progress: Where to report.
        """
        folder.mkdir()
        return Quantize(
            self.ways(simulated=simulated),
            folder=folder,
            objective=self.objective,
            threads=self.threads or usable_cores(),
            engine=self.engine,
            progress=progress,
        )

    def variant(self, scheme: Scheme) -> tuple[str, Variant]:
        """Returns name and variant for the manifest; transformers.js looks for such file names."""
        name, file = "int8", "onnx/model_quantized.onnx"
        if scheme is Scheme.INT4_WEIGHTS:
            name, file = "int4", "onnx/model_q4.onnx"
        return name, Variant(file, self.engine, scheme, self.made_for)
