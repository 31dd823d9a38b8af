"""Options of quantization."""

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
    """Options of quantization."""

    schemes: tuple[Scheme, ...] = ()
    """Schemes to try, of which the best is kept; by default, the engine's first."""
    objective: Objective = Objective.LATENCY
    """What to optimize."""
    platform: Platform = Platform.AUTO
    """The CPU type that will run the model."""
    threads: int | None = None
    """CPU threads for measuring latency; ``None`` for all cores."""
    engine: EngineName = EngineName.ONNXRUNTIME
    """The engine that will run the model."""

    def __post_init__(self) -> None:
        supported = SCHEMES.get(self.engine)
        if supported is None:
            raise UsageError(
                f"--engine: expected one of {', '.join(SCHEMES)}, found {self.engine}.",
                hint="To benchmark torch as well, use --with-torch.",
            )
        if wrong := [scheme for scheme in self.schemes if scheme not in supported]:
            raise UsageError(
                f"--scheme: {self.engine} runs {', '.join(supported)}, found {', '.join(wrong)}.",
                hint="Leave --scheme out, or --engine.",
            )

    @classmethod
    def of(cls, config: ExportConfig) -> Self:
        """Returns the options of a recipe, regardless of whether ``quantize`` is set."""
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
        """Whether these are the options that ``train --quant-aware`` simulates."""
        return (self.wanted, self.objective) == ((Scheme.DYNAMIC_INT8,), Objective.LATENCY)

    @property
    def made_for(self) -> Platform:
        """The platform, with ``auto`` resolved to this machine's."""
        return this_platform() if self.platform is Platform.AUTO else self.platform

    def ways(self, *, simulated: bool = False) -> Sequence[Candidate]:
        """Returns the candidates to try.

        Args:
            simulated: Whether training simulated the default candidate; then only that is tried.
        """
        tried = candidates(self.wanted, self.made_for, self.objective)
        if simulated and self.is_usual:
            tried = tried[:1]
        # 4-bit embeddings need an operator that only ONNX Runtime has.
        if self.engine is not EngineName.ONNXRUNTIME:
            tried = [way for way in tried if way.embedding_bits != 4]
        return list(dict.fromkeys(tried))

    def step(
        self, folder: Path, *, simulated: bool = False, progress: Progress = SILENT
    ) -> Quantize:
        """Returns the compression step with these options.

        Args:
            folder: Folder for the candidates' files; must not exist.
            simulated: As in ``ways``.
            progress: Receives messages and progress bars.
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
        """Returns name and variant for the manifest; transformers.js expects these file names."""
        name, file = "int8", "onnx/model_quantized.onnx"
        if scheme is Scheme.INT4_WEIGHTS:
            name, file = "int4", "onnx/model_q4.onnx"
        return name, Variant(file, self.engine, scheme, self.made_for)
