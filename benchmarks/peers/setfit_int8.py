"""SetFit's ONNX export of encoder and head in one graph, quantized by ONNX Runtime's own flags.

The head is SetFit's: a logistic regression on the encoder's mean, trained on the same text.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from harness import Answer, Ids, arrays, main

PLAIN, QUANTIZED = "model.onnx", "model_quantized.onnx"


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from sentence_transformers import SentenceTransformer
    from setfit.exporters.onnx import export_onnx
    from sklearn.linear_model import LogisticRegression

    body = SentenceTransformer(str(source), device="cpu").eval()
    train = json.loads((source / "train.json").read_text())
    head = LogisticRegression(max_iter=1_000).fit(
        np.stack([_mean(body, ids) for ids in train["ids"]]), train["labels"]
    )
    export_onnx(body, head, opset=15, output_path=str(target / PLAIN))
    graph = onnx.load(target / PLAIN)
    versions = {each.domain: each.version for each in graph.opset_import}
    del graph.opset_import[:]  # the export names a domain twice, which the quantizer refuses
    graph.opset_import.extend(map(onnx.helper.make_opsetid, versions, versions.values()))
    quantize_dynamic(graph, target / QUANTIZED, weight_type=QuantType.QInt8)
    (target / PLAIN).unlink()


def load(folder: Path, threads: int) -> Answer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(folder / QUANTIZED, options)
    taken = {each.name for each in session.get_inputs()}

    def answer(ids: Ids) -> object:
        given = {name: each for name, each in arrays(ids).items() if name in taken}
        _, probabilities = session.run(None, given)
        return probabilities

    return answer


def _mean(body: object, ids: Ids) -> np.ndarray:
    features = {name: torch.from_numpy(each) for name, each in arrays(ids).items()}
    with torch.inference_mode():
        return body(features)["sentence_embedding"][0].numpy()


if __name__ == "__main__":
    main(load=load, prepare=prepare)
