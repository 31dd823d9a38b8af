"""The ways to a smaller model that ``compression_peers.py`` compares, and their environments."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contenders import Contender

__all__ = ["COMPRESSORS", "STATIC", "Peer"]

STATIC = "model2vec_text"
"""The script of the peer that has no ONNX file."""
REMOVED = (0.35, 0.5, 0.65)
"""Shares of heads and neurons to remove."""
CALIBRATION = (64, 1_024)
"""Numbers of training texts."""


@dataclass(frozen=True)
class Peer:
    """One way to a smaller model, with one group of settings."""

    name: str
    script: str
    """Name of its script in ``peers/``; empty for a training by edgeadapt itself."""
    settings: Mapping[str, Any]
    needs: tuple[str, ...] = ()
    """Requirements of its own environment; empty if it runs in the current one."""

    @property
    def setting(self) -> str:
        """The settings in words."""
        return ", ".join(f"{name} {value}" for name, value in self.settings.items())

    @property
    def folder(self) -> str:
        """Name of the folder of its files."""
        words = [self.name, *(str(value) for value in self.settings.values())]
        return "-".join(words).replace(" ", "-")

    def contender(self) -> Contender:
        """Returns its script and environment."""
        return Contender(self.name, self.script, self.folder, self.needs, ENVIRONMENT)


ENVIRONMENT = {"HF_HUB_OFFLINE": "1", "CI": "true"}
ONNXSIM = ("onnxsim==0.8.1", "onnx", "onnxruntime==1.32.0")
TORCH = ("torch==2.13.0", "transformers==4.57.6", "safetensors")
TEXTPRUNER = (*TORCH, "textpruner==1.1.post2")
SLIM = (
    *TORCH, "neural-compressor==3.7.1", "setuptools<81", "six", "requests", "prettytable", "pandas",
    "scikit-learn",
)  # fmt: skip
"""Its wheel does not name all that it imports."""
MODEL2VEC = ("model2vec[distill,train]==0.10.0", "torch==2.13.0", "scikit-learn")
COMPRESSORS = (
    *(
        Peer("onnxsim", "onnxsim_pruning", {"removed": removed, "texts": texts}, ONNXSIM)
        for texts in CALIBRATION
        for removed in REMOVED
    ),
    *(
        Peer(
            "TextPruner",
            "textpruner_pruning",
            {"removed": removed, "texts": CALIBRATION[-1]},
            TEXTPRUNER,
        )
        for removed in REMOVED
    ),
    *(
        Peer("neural-compressor", "neural_compressor_slim", {"removed": removed, "epochs": 4}, SLIM)
        for removed in REMOVED
    ),
    *(Peer("fewer layers, fine-tuned", "", {"layers": layers}) for layers in (3, 4)),
    *(Peer("distilled", "distilled", {"layers": layers}) for layers in (3, 4)),
    *(Peer("model2vec", STATIC, {"of": of}, MODEL2VEC) for of in ("encoder", "checkpoint")),
)
