"""``[export]``: what is made of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgeadapt.errors import RecipeError
from edgeadapt.recipe.fields import Choice, Joined, Range, at_least, between, option
from edgeadapt.recipe.kinds import EngineName, Exporter, GraphPass, Objective, Platform, Scheme

__all__ = ["SCHEMES", "ExportConfig"]

SCHEMES: Mapping[EngineName, tuple[Scheme, ...]] = MappingProxyType(
    {
        EngineName.ONNXRUNTIME: tuple(Scheme),
        # The others are written with operators that ONNX Runtime alone has.
        EngineName.OPENVINO: (Scheme.STATIC_INT8,),
    }
)
"""What an engine runs, its usual way first."""

_COMPRESSION = "Compression"


@dataclass(frozen=True)
class ExportConfig:
    """What is made of a run."""

    quantize: bool = option(
        False, "Add a quantized variant.", flag="--quantize/--no-quantize", panel=_COMPRESSION
    )
    engine: EngineName = option(
        EngineName.ONNXRUNTIME,
        "What runs the quantized model: onnxruntime, the default, or openvino, an extra of its "
        "own.",
        rule=Choice(tuple(SCHEMES)),
        metavar="NAME",
        panel=_COMPRESSION,
    )
    scheme: str | None = option(
        None,
        f"Ways to quantize, of which the best is kept: {', '.join(Scheme)}, or auto for all that "
        "the engine runs; dynamic-int8, on openvino static-int8, if left out.",
        rule=Joined(Scheme, "scheme", also=("auto",)),
        metavar="NAME[+NAME]",
        panel=_COMPRESSION,
    )
    objective: Objective = option(
        Objective.LATENCY,
        f"What it is best at: {', '.join(Objective)}; {{default}} if left out.",
        metavar="NAME",
        panel=_COMPRESSION,
    )
    target: Platform = option(
        Platform.AUTO,
        f"Where it will run: {', '.join(Platform)}. Auto, the default, is a machine like this "
        "one, portable is right on every CPU.",
        metavar="NAME",
        panel=_COMPRESSION,
    )
    max_drop: float = option(
        0.01,
        "Largest accuracy drop on held-out text that trimming and quantizing may cost together: "
        "1%, or 0.01, is one point, and the default.",
        details="Recipes take the fraction.",
        rule=between(0, 1),
        metavar="SHARE",
        panel=_COMPRESSION,
    )
    trim_vocab: int | str = option(
        "none",
        "Keep embeddings of N word pieces, those that training text needs most; auto keeps as few "
        "as --max-drop allows, none, the default, keeps all.",
        rule=Range(
            "a number above 0, auto or none",
            lambda value: value in ("auto", "none") or (isinstance(value, int) and value > 0),
        ),
        metavar="N|auto|none",
        panel=_COMPRESSION,
    )
    with_torch: bool = option(
        False,
        "Add the merged checkpoint, for bench's torch row.",
        flag="--with-torch/--without-torch",
    )
    evaluation: bool = option(
        True,
        "Leave test text out of the bundle; the device cannot measure accuracy then.",
        details="Put test text into the bundle; the device cannot measure accuracy without it.",
        flag="--no-evaluation/--evaluation",
        turns_off=True,
    )
    exporter: Exporter = option(
        Exporter.AUTO,
        "optimum or torch; auto, the default, is optimum where it is installed.",
        metavar="NAME",
    )
    passes: str = option(
        "all",
        f"Exact rewritings of the graph: {', '.join(GraphPass)}, all or none; {{default}} if left "
        "out.",
        rule=Joined(GraphPass, "pass", also=("all", "none")),
        metavar="NAME[+NAME]",
    )
    threads: int | None = option(
        None,
        "CPU threads while candidates are timed; all cores if left out.",
        rule=at_least(1),
        metavar="N",
    )

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """The schemes that ``scheme`` names, in its order; none where it names none."""
        if self.scheme is None:
            return ()
        if self.scheme == "auto":
            return SCHEMES[self.engine]
        return tuple(Scheme(name) for name in self.scheme.split("+"))

    @property
    def graph_passes(self) -> tuple[GraphPass, ...]:
        """The passes that ``passes`` names."""
        if self.passes in ("all", "none"):
            return tuple(GraphPass) if self.passes == "all" else ()
        return tuple(GraphPass(name) for name in self.passes.split("+"))

    def check_engine(self, origin: str) -> None:
        """Checks that the engine runs the schemes.

        Args:
            origin: Where they are from, for messages.

        Raises:
            RecipeError: It does not.
        """
        runs = SCHEMES[self.engine]
        if wrong := [scheme for scheme in self.schemes if scheme not in runs]:
            raise RecipeError(
                f"{origin}: export.scheme: {self.engine} runs {', '.join(runs)}, found "
                f"{', '.join(wrong)}.",
                hint="Leave scheme out, or engine.",
            )
