"""``[export]``: compression and content of the bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.fields import Choice, Joined, Range, at_least, between, option
from edgeadapt.recipe.kinds import EngineName, Exporter, GraphPass, Objective, Platform, Scheme
from edgeadapt.recipe.reduction import COMPRESS_WORDS, Reduction, is_reduction

__all__ = ["SCHEMES", "ExportConfig"]

SCHEMES: Mapping[EngineName, tuple[Scheme, ...]] = MappingProxyType(
    {
        EngineName.ONNXRUNTIME: tuple(Scheme),
        # The other schemes use operators that only ONNX Runtime implements.
        EngineName.OPENVINO: (Scheme.STATIC_INT8,),
    }
)
"""Engine -> the schemes that it runs, its default first."""

_COMPRESSION = "Compression"


@dataclass(frozen=True)
class ExportConfig:
    """Compression and content of the bundle."""

    quantize: bool = option(
        False, "Add a quantized variant.", flag="--quantize/--no-quantize", panel=_COMPRESSION
    )
    engine: EngineName = option(
        EngineName.ONNXRUNTIME,
        "Engine of the quantized model: onnxruntime, the default, or openvino, which needs the "
        "extra openvino.",
        rule=Choice(tuple(SCHEMES)),
        metavar="NAME",
        panel=_COMPRESSION,
    )
    scheme: str | None = option(
        None,
        f"Quantization schemes to try, of which the best is kept: {', '.join(Scheme)}, or auto for "
        "all that the engine runs (default: dynamic-int8, for openvino static-int8).",
        rule=Joined(Scheme, "scheme", also=("auto",)),
        metavar="NAME[+NAME]",
        panel=_COMPRESSION,
    )
    objective: Objective = option(
        Objective.LATENCY,
        f"Criterion for the best scheme: {', '.join(Objective)} (default: {{default}}).",
        metavar="NAME",
        panel=_COMPRESSION,
    )
    target: Platform = option(
        Platform.AUTO,
        f"Platform to quantize for: {', '.join(Platform)}. auto, the default, is this machine; "
        "portable computes correctly on every CPU.",
        metavar="NAME",
        panel=_COMPRESSION,
    )
    max_drop: float = option(
        0.01,
        "Largest accuracy drop on held-out text from all compression together: 1%, or 0.01, is "
        "one percentage point, and the default.",
        details="In recipes it is a fraction.",
        rule=between(0, 1),
        metavar="SHARE",
        panel=_COMPRESSION,
    )
    trim_vocab: int | str = option(
        "none",
        "Keep the embeddings of the N word pieces that are most frequent in training text; auto "
        "keeps as few as --max-drop allows; none, the default, keeps all.",
        rule=Range(
            "a number above 0, auto or none",
            lambda value: value in ("auto", "none") or (isinstance(value, int) and value > 0),
        ),
        metavar="N|auto|none",
        panel=_COMPRESSION,
    )
    compress: str = option(
        "none",
        "Remove layers, attention heads and FFN neurons: auto removes as many as --max-drop "
        "allows; depth=N keeps N layers, prune=SHARE removes that share of their heads "
        "and neurons, as in depth=4,prune=0.5; none, the default, keeps all.",
        details="Needs the training text. The share is one of weights: a head has more than a "
        "neuron.",
        rule=Range(COMPRESS_WORDS, is_reduction),
        metavar="auto|none|PARTS",
        panel=_COMPRESSION,
    )
    speedup: float | None = option(
        None,
        "Remove layers, heads and neurons until the model is predicted to be this many times as "
        "fast at 64 tokens; of such models, keep the most accurate.",
        rule=at_least(1),
        metavar="TIMES",
        panel=_COMPRESSION,
    )
    recover: int = option(
        0,
        "After --compress, train adapters in the smaller model for this many epochs to give the "
        "original's answers; they are folded (default: {default}).",
        rule=at_least(0),
        metavar="EPOCHS",
        panel=_COMPRESSION,
    )
    with_torch: bool = option(
        False,
        "Add the merged checkpoint, so that bench can measure torch too.",
        flag="--with-torch/--without-torch",
    )
    evaluation: bool = option(
        True,
        "Leave test text out of the bundle; accuracy cannot be measured on the device then.",
        details="Put test text into the bundle, to measure accuracy on the device.",
        flag="--no-evaluation/--evaluation",
        turns_off=True,
    )
    exporter: Exporter = option(
        Exporter.AUTO,
        "optimum or torch; auto, the default, is optimum if it is installed, else torch.",
        metavar="NAME",
    )
    passes: str = option(
        "all",
        f"Exact graph optimizations: {', '.join(GraphPass)}, all or none (default: {{default}}).",
        rule=Joined(GraphPass, "pass", also=("all", "none")),
        metavar="NAME[+NAME]",
    )
    threads: int | None = option(
        None,
        "CPU threads for timing candidates (default: all cores).",
        rule=at_least(1),
        metavar="N",
    )

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes in ``scheme``, in order; empty where it is not given."""
        if self.scheme is None:
            return ()
        if self.scheme == "auto":
            return SCHEMES[self.engine]
        return tuple(Scheme(name) for name in self.scheme.split("+"))

    @property
    def graph_passes(self) -> tuple[GraphPass, ...]:
        """The graph passes in ``passes``."""
        if self.passes in ("all", "none"):
            return tuple(GraphPass) if self.passes == "all" else ()
        return tuple(GraphPass(name) for name in self.passes.split("+"))

    @property
    def reduction(self) -> Reduction | None:
        """What ``compress`` or ``speedup`` removes; ``None`` if nothing."""
        return Reduction.parsed(self.compress) or (Reduction() if self.speedup else None)

    def check_engine(self, origin: str) -> None:
        """Checks that the engine runs the schemes.

        Args:
            origin: Source of the recipe, for messages.

        Raises:
            RecipeError: The engine does not run one of them.
        """
        runs = SCHEMES[self.engine]
        if wrong := [scheme for scheme in self.schemes if scheme not in runs]:
            raise RecipeError(
                f"{origin}: export.scheme: {self.engine} runs {', '.join(runs)}, found "
                f"{', '.join(wrong)}.",
                hint="Leave scheme out, or engine.",
            )
