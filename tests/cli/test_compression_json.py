"""Gates and compression in the output of ``export --json``."""

import json
from dataclasses import asdict, replace

from edgeadapt.cli.compression_json import compression_json
from tests.store.handmade import DRIFT, make_compression, make_step, make_trial
from tests.store.test_bundle import MANIFEST

COST = json.loads(json.dumps(asdict(DRIFT)))
EARLIER = replace(DRIFT, accuracy_drop=0.001)


def test_the_keys_that_scripts_read_have_the_values_of_the_one_report() -> None:
    trimmed = make_step(
        make_trial("fewer", settings={"embeddings": 8_000, "others": "shared"}, drift=EARLIER),
        name="vocabulary",
    )
    refused = make_trial("other", allowed=False, latency_ms=None)
    quantize = make_step(make_trial("chosen one", peak_bytes=77), refused)
    manifest = replace(MANIFEST, compression=make_compression(trimmed, quantize))

    found = json.loads(json.dumps(compression_json(manifest)))

    parity, quantization = found["parity"], found["quantization"]
    assert parity.keys() == {"merge", "onnx", "int8", "vocabulary"}
    assert parity["int8"] == {"scheme": "dynamic-int8", "max_drop": 0.015, **COST}
    assert parity["vocabulary"] == {
        "embeddings": 8_000,
        "others": "shared",
        "max_drop": 0.015,
        **COST,
        "accuracy_drop": 0.001,
    }
    assert (parity["merge"]["max_difference"], parity["merge"]["texts"]) == (3.2e-7, 64)
    assert parity["merge"]["leftover"]["bottlenecks"] == 0
    assert parity["merge"]["unshared_bytes"] == 0
    assert parity["onnx"]["limit"] == 1e-4
    assert [trial["name"] for trial in quantization["trials"]] == ["chosen one", "other"]
    assert quantization["trials"][0] == {
        "name": "chosen one",
        "candidate": {"scheme": "dynamic-int8"},
        "drift": COST,
        "bytes": 23_400_000,
        "allowed": True,
        "latency_ms": 1.25,
        "peak_bytes": 77,
    }
    del quantization["trials"]
    assert quantization == {
        "objective": "latency",
        "platform": "arm64",
        "engine": "onnxruntime",
        "max_drop": 0.015,
        "deciding_texts": 1_000,
        "texts_to_decide": DRIFT.texts_for(0.01),
        "chosen": "chosen one",
        "fp32_ms": 3.5,
        "noise": 0.02,
        "sensitivity": {},
    }


def test_without_compression_nothing_is_said_of_it() -> None:
    found = compression_json(replace(MANIFEST, compression=None))

    assert (found["parity"]["int8"], found["quantization"], found["compression"]) == (None,) * 3
    assert "vocabulary" not in found["parity"]


def test_a_step_that_nobody_has_heard_of_is_told_by_its_name() -> None:
    depth = make_step(make_trial("4 layers", settings={"layers": 4}), name="depth")
    found = compression_json(replace(MANIFEST, compression=make_compression(depth)))

    assert found["parity"]["depth"]["layers"] == 4
    assert found["quantization"] is None
    assert found["compression"]["steps"][0]["name"] == "depth"
