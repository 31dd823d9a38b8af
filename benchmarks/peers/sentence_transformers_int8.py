"""sentence-transformers' ONNX backend with its own int8 export; an encoder, without a head."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import onnxruntime
import torch
from harness import Answer, Ids, arrays, main
from sentence_transformers import SentenceTransformer, export_dynamic_quantized_onnx_model


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    SentenceTransformer(str(source), backend="torch").save_pretrained(str(target / "plain"))
    model = SentenceTransformer(
        str(target / "plain"), backend="onnx", model_kwargs={"export": True}
    )
    model.save_pretrained(str(target / "model"))
    export_dynamic_quantized_onnx_model(model, "avx512_vnni", str(target / "model"))
    shutil.rmtree(target / "plain")
    (target / "model" / "onnx" / "model.onnx").unlink()


def load(folder: Path, threads: int) -> Answer:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    model = SentenceTransformer(
        str(folder / "model"),
        backend="onnx",
        model_kwargs={
            "file_name": "onnx/model_qint8_avx512_vnni.onnx",
            "session_options": options,
        },
    )

    def answer(ids: Ids) -> object:
        features = {name: torch.from_numpy(each) for name, each in arrays(ids).items()}
        return model(features)["sentence_embedding"]

    return answer


if __name__ == "__main__":
    main(load=load, prepare=prepare)
