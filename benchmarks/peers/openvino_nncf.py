"""OpenVINO with edgeadapt's graph, or with NNCF's static int8 as documented for transformers."""

from collections.abc import Sequence
from pathlib import Path

import openvino
from harness import Answer, Ids, arrays, main


def prepare(source: Path, target: Path, texts: Sequence[Ids]) -> None:
    import nncf

    model = openvino.Core().read_model(source / "stock.onnx")
    names = [value.any_name for value in model.inputs]
    dataset = nncf.Dataset(texts, lambda ids: {name: arrays(ids)[name] for name in names})
    quantized = nncf.quantize(
        model, dataset, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(texts)
    )
    openvino.save_model(quantized, target / "model.xml")


def load(folder: Path, threads: int) -> Answer:
    how = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    ours = folder / "model.onnx"
    model = ours if ours.is_file() else folder / "model.xml"
    if ours.is_file():
        how["INFERENCE_PRECISION_HINT"] = "f32"  # as in edgeadapt's engine
    compiled = openvino.Core().compile_model(model, "CPU", how)
    names = [value.any_name for value in compiled.inputs]
    request = compiled.create_infer_request()

    def answer(ids: Ids) -> object:
        given = arrays(ids)
        return request.infer({name: given[name] for name in names})[0]

    return answer


if __name__ == "__main__":
    main(load=load, prepare=prepare)
