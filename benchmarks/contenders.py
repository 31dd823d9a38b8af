"""The toolchains that ``latency.py`` compares, and their environments.

Each has a script in ``peers/``, which prepares its files from a stock checkpoint and measures one
process of the benchmark (``peers/harness.py``).
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from common import WORK

__all__ = [
    "BACKBONE",
    "CONTENDERS",
    "FP32",
    "NNCF",
    "OURS",
    "PEERS",
    "TRAINED",
    "Contender",
    "PeerError",
    "peer_python",
]

PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True)
class Contender:
    """One way to run a model on this machine."""

    title: str
    script: str
    """Name of its script in ``peers/``."""
    folder: str
    """Name of the folder of its files."""
    needs: tuple[str, ...] = ()
    """Requirements of its own environment; empty if it runs in the current one."""
    environment: Mapping[str, str] = field(default_factory=dict)
    shapes: tuple[str, ...] = ("MiniLM-L6", "BERT-base")
    """Model shapes to measure; contenders that take a minute to start use only the trained one."""

    @property
    def all_cores(self) -> bool:
        """Whether it uses all cores and ignores the number of threads."""
        return "DEFAULT_SESSION" in self.environment

    def python(self) -> str:
        """Returns the path of its interpreter, after installing what it needs."""
        if not self.needs:
            return sys.executable
        return str(peer_python(self.script, self.needs))

    def ask(self, *words: str | Path, given: object) -> str:
        """Runs its script with JSON on standard input, and returns its standard output.

        Raises:
            PeerError: It failed.
        """
        done = subprocess.run(
            [self.python(), PEERS / f"{self.script}.py", *words],
            input=json.dumps(given),
            env={**os.environ, "PYTHONWARNINGS": "ignore", **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
            if done.returncode < 0:  # its last line is what it was doing then, and no error
                last = f"stopped by signal {-done.returncode}"
            raise PeerError(f"{words[0]}: {last[:300]}")
        return done.stdout


class PeerError(Exception):
    """A contender's process failed; the message is the last line of its standard error."""


def peer_python(name: str, needs: Sequence[str]) -> Path:
    """Returns the interpreter of a peer's own environment, after installing what it needs."""
    place = WORK / "peers" / name
    python, note = place / "bin" / "python", place / "installed.json"
    if not (note.is_file() and json.loads(note.read_text()) == list(needs)):
        venv.create(place, with_pip=True, clear=True)
        index = os.environ.get("TORCH_INDEX")
        extra = ["--extra-index-url", index] if index else []
        subprocess.run([python, "-m", "pip", "install", "-q", *extra, *needs], check=True)
        note.write_text(json.dumps(needs))
    return python


TRAINED = ("MiniLM-L6",)
"""Shapes with trained weights, whose accuracy is measured."""
BACKBONE = "edgeadapt-backbone"
"""Folder of the model without an adapter."""
_session = partial(Contender, script="onnxruntime_session")
OURS, FP32, NNCF = "edgeadapt int8", "onnxruntime fp32", "OpenVINO + NNCF static int8"
_openvino = partial(
    Contender,
    script="openvino_nncf",
    needs=("openvino==2026.4.1", "nncf==3.4.0"),
    # Without this its telemetry runs in a process that keeps standard output open after the end.
    environment={"CI": "true"},
)
CONTENDERS = (
    _session(OURS, folder="edgeadapt-int8"),
    _session("… default session", folder="edgeadapt-int8", environment={"DEFAULT_SESSION": "1"}),
    _session("… without its adapter", folder=BACKBONE),
    _session("edgeadapt fp32", folder="edgeadapt-fp32"),
    _session("onnxruntime quantize_dynamic", folder="stock-int8"),
    _session(FP32, folder="stock"),
    _openvino("edgeadapt int8 on OpenVINO", folder="edgeadapt-openvino"),
    _openvino(NNCF, folder="openvino"),
    Contender(
        "CTranslate2 int8",
        "ctranslate2_int8",
        "ctranslate2",
        ("ctranslate2==4.8.5", "transformers==4.57.6", "torch==2.13.0"),
    ),
    Contender(
        "sentence-transformers int8 (encoder alone)",
        "sentence_transformers_int8",
        "sentence-transformers",
        (
            "sentence-transformers[onnx]==5.1.2",
            "transformers==4.57.6",
            "torch==2.13.0",
            "onnxruntime==1.32.0",
        ),
    ),
    Contender(
        "SetFit int8",
        "setfit_int8",
        "setfit",
        (
            "setfit==1.2.0",
            "sentence-transformers[train]==5.1.2",
            "transformers==4.57.6",
            "torch==2.13.0",
            "skl2onnx==1.20.0",
            "onnxruntime==1.32.0",
        ),
        shapes=TRAINED,
    ),
    Contender("torch eager fp32", "torch_eager", "torch"),
    Contender("torch.compile fp32", "torch_compiled", "torch-compiled", shapes=TRAINED),
    Contender(
        "torchao int8, torch.compile",
        "torchao_int8",
        "torchao",
        ("torchao==0.18.0", "transformers==4.57.6", "torch==2.13.0"),
        shapes=TRAINED,
    ),
    Contender("optimum int8 (avx512_vnni)", "optimum_int8", "optimum-int8"),
    Contender(
        "Olive int8",
        "olive_int8",
        "olive-int8",
        ("olive-ai==0.13.0", "transformers==4.57.6", "torch==2.13.0", "onnxruntime==1.32.0"),
        environment={"OLIVE_DISABLE_TELEMETRY": "1"},
    ),
    Contender(
        "model2vec static embeddings",
        "model2vec_static",
        "model2vec",
        ("model2vec[distill]==0.10.0", "torch==2.13.0", "scikit-learn"),
        shapes=TRAINED,
    ),
)
