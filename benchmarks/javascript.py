"""Check that transformers.js computes the same tokens and labels from bundles.

    python benchmarks/quantization.py sst2:0     # the bundles
    python benchmarks/javascript.py              # needs Node.js and npm

200 texts of SST-2 go through each bundle's tokenizer and quantized model, one at a time, in Node.js
and in Python. The package is installed into ``artifacts/javascript``.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
from common import WORK, drawn_texts, save

from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.store.bundle import Bundle

PACKAGE = "@huggingface/transformers@4.3.1"
SCRIPT = Path(__file__).parent / "peers" / "transformers_js.mjs"
WAYS = ("default", "trimmed", "smallest")
TYPES = {"int8": "q8", "int4": "q4"}
"""Name of a variant -> its dtype in transformers.js."""
TEXTS = 200


def main() -> None:
    texts = drawn_texts("sst2", "test", TEXTS)
    script = installed()
    found = [compared(script, f"sst2-adapter-0-{way}", texts) for way in WAYS]
    save("javascript", {"package": PACKAGE, "texts": TEXTS, "rows": found})


def installed() -> Path:
    """Installs the package, copies the script beside it and returns the script's path."""
    folder = WORK / "javascript"
    folder.mkdir(parents=True, exist_ok=True)
    script = Path(shutil.copy(SCRIPT, folder))
    quiet = ["--no-audit", "--no-fund", "--silent"]
    subprocess.run(
        ["npm", "install", *quiet, PACKAGE],
        cwd=folder,
        env={**os.environ, "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"},
        check=True,
    )
    return script


def compared(script: Path, name: str, texts: list[str]) -> dict[str, Any]:
    bundle = Bundle.open(WORK / "bundles" / name)
    variant = bundle.default_variant()
    done = subprocess.run(
        ["node", script, bundle.path.resolve().parent, name, TYPES[variant]],
        input=json.dumps(texts),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    theirs = json.loads(done.stdout.splitlines()[-1])
    encoder = bundle.text_encoder()
    tokens = [each.ids for each in encoder.encode(texts)]
    ours = text_logits(load_engine(bundle, variant), encoder, texts)
    logits = np.asarray([answer["logits"] for answer in theirs])
    row = {
        "bundle": name,
        "variant": variant,
        "tokens_same": int(sum(a == b["ids"] for a, b in zip(tokens, theirs, strict=True))),
        "labels_same": int((logits.argmax(axis=1) == ours.argmax(axis=1)).sum()),
        "largest_difference": float(np.abs(logits - ours).max()),
    }
    print(row, flush=True)
    return row


if __name__ == "__main__":
    main()
