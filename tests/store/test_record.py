"""A record on disk: writing, opening, rejecting."""

import json
import shutil
from dataclasses import MISSING, fields, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeadapt.errors import FormatVersionError, LayoutError, MissingError
from edgeadapt.metrics import Score
from edgeadapt.store.bundle import Bundle
from edgeadapt.store.conditions import Conditions, Moment
from edgeadapt.store.evaluation import EvaluationInfo
from edgeadapt.store.machine import Machine
from edgeadapt.store.origin import Origin
from edgeadapt.store.plan import Plan
from edgeadapt.store.provenance import Backbone, Provenance
from edgeadapt.store.record import Record
from edgeadapt.store.sample import Memory, Pass, Sample, Start
from tests.store.handmade import make_compression, make_search, make_shrunk
from tests.store.manifests import change_json, edit_json

SAMPLE = Sample(
    bundle="tiny",
    variant="int8",
    engine="onnxruntime 1.32.0, 2 threads",
    method="parallel",
    bytes=1234,
    sha256="ab" * 32,
    latency_ns={"16": [[5, 6], [7, 8]], "text": [[9], [10]]},
    load_ns=[1, 2],
    first_label_ns=[3, 4],
    peak_bytes=[100, None],
    import_bytes=[50, None],
    logits=[[0.1, -0.2], [1e-30, 3.0]],
)
RECORD = Record(
    created="2026-01-02T03:04:05+00:00",
    edgeadapt="0.0.0",
    machine=Machine("a small one", cores=4),
    threads=2,
    plan=Plan(rounds=2),
    evaluation=EvaluationInfo(origin="by hand", texts=2, labels=[0, 1]),
    baseline="tiny:fp32",
    samples=(SAMPLE, replace(SAMPLE, variant="fp32")),
)

SCHEMA = json.loads(files("edgeadapt.store").joinpath("record.schema.json").read_text())
NANOSECONDS = st.lists(st.integers(0, 2**63 - 1), max_size=4)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def test_an_opened_record_is_equal_to_the_written_one(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "deep" / "r.json")

    assert Record.open(tmp_path / "deep" / "r.json") == RECORD


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.text(),
    latency=st.dictionaries(st.text(), st.lists(NANOSECONDS, max_size=3), max_size=3),
    memory=st.lists(st.none() | st.integers(0, 2**50), max_size=3),
    logits=st.lists(st.lists(NUMBERS, max_size=3), max_size=3),
)
def test_no_sample_loses_a_digit_on_disk(
    tmp_path: Path,
    name: str,
    latency: dict[str, list[list[int]]],
    memory: list[int | None],
    logits: list[list[float]],
) -> None:
    sample = replace(SAMPLE, bundle=name, latency_ns=latency, peak_bytes=memory, logits=logits)
    record = replace(RECORD, samples=(sample,))
    record.write(tmp_path / "r.json")

    assert Record.open(tmp_path / "r.json") == record


FULL = replace(
    RECORD,
    samples=(
        replace(
            SAMPLE,
            memory={"loaded": [Memory(rss=3, pss=2, peak=4), Memory(rss=3, pss=None, peak=4)]},
            starts=[Start(imported_ns=1, loaded_ns=2)],
            throughput={"8": [[Pass(texts=4, ns=100, joules=None), Pass(4, 90, 0.5)]]},
            leak=[[(10, 5), (20, None)]],
        ),
    ),
    conditions=Conditions(
        before=Moment(governor="performance", frequency_mhz=2000.0),
        after=Moment(temperature_c=61.5, throttled="0x50005", load_average=0.5),
        others=0.25,
    ),
    bundles={
        "tiny": Origin(
            created="2026-01-02T03:04:05+00:00",
            edgeadapt="0.0.0",
            provenance=Provenance(
                run="a-run",
                recipe={"training": {"seed": 0, "targets": None, "learn_scaling": False}},
                backbone=Backbone("some/encoder", commit="abc"),
                test=Score(texts=8, accuracy=0.5, macro_f1=0.25, precision=(), recall=()),
                passes=("attention", "positions"),
            ),
            schemes={"fp32": None, "int8": "dynamic-int8"},
            structure=make_compression(make_search(), shrunk=make_shrunk()),
        )
    },
)


def test_everything_that_a_record_can_say_is_read_again(tmp_path: Path) -> None:
    FULL.write(tmp_path / "r.json")

    assert Record.open(tmp_path / "r.json") == FULL


def test_what_is_not_known_of_a_model_is_left_out(tmp_path: Path) -> None:
    FULL.write(tmp_path / "r.json")

    (origin,) = json.loads((tmp_path / "r.json").read_text())["bundles"].values()
    assert set(origin["provenance"]) == {
        *("run", "recipe", "backbone", "validation", "test", "passes", "versions"),
    }
    assert origin["provenance"]["validation"] == {}


def test_of_a_models_scores_a_record_has_no_figures_per_label(tmp_path: Path) -> None:
    made = Provenance(test=Score(8, 0.5, 0.25, (0.5, 0.5), (1.0, 0.0), 0.1, ((4, 0), (4, 0))))
    origin = replace(FULL.bundles["tiny"], provenance=made)
    replace(FULL, bundles={"tiny": origin}).write(tmp_path / "r.json")

    (written,) = json.loads((tmp_path / "r.json").read_text())["bundles"].values()

    assert written["provenance"]["test"] == {
        "texts": 8,
        "accuracy": 0.5,
        "macro_f1": 0.25,
        "calibration_error": 0.1,
    }
    read = Record.open(tmp_path / "r.json").bundles["tiny"].provenance.test
    assert read == Score(8, 0.5, 0.25, (), (), 0.1)


def test_what_a_plan_does_not_name_was_not_measured(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")
    change_json(tmp_path / "r.json", plan={"rounds": 2})

    plan = Record.open(tmp_path / "r.json").plan

    assert (plan.rounds, plan.bulks, plan.batches) == (2, 0, ())


@pytest.mark.parametrize("name", ["machine", "plan", "evaluation", "conditions"])
def test_an_unknown_key_is_refused_where_it_stands(tmp_path: Path, name: str) -> None:
    RECORD.write(tmp_path / "r.json")
    value = json.loads((tmp_path / "r.json").read_text())[name]
    change_json(tmp_path / "r.json", **{name: {**value, "surprise": 1}})

    with pytest.raises(LayoutError, match=rf"not a benchmark record: {name}: unknown key 'surpri"):
        Record.open(tmp_path / "r.json")


def test_a_record_carries_the_format_version(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")

    assert json.loads((tmp_path / "r.json").read_text())["format_version"] == 4


def test_a_number_that_json_cannot_hold_leaves_the_old_record_as_it_was(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")
    broken = replace(RECORD, samples=(replace(SAMPLE, logits=[[float("nan")]]),))

    with pytest.raises(ValueError, match="JSON"):
        broken.write(tmp_path / "r.json")
    assert Record.open(tmp_path / "r.json") == RECORD
    assert [file.name for file in tmp_path.iterdir()] == ["r.json"]


def test_a_missing_record_is_named_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(MissingError, match=r"no record at .*nowhere\.json") as caught:
        Record.open(tmp_path / "nowhere.json")

    assert "edgeadapt bench" in caught.value.hint


def test_a_newer_record_is_refused_with_both_versions(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")
    change_json(tmp_path / "r.json", format_version=5)

    with pytest.raises(FormatVersionError, match=r"r\.json has format version 5.*up to 4"):
        Record.open(tmp_path / "r.json")


@pytest.mark.parametrize("version", [None, 0, "1"])
def test_an_unusable_format_version_is_refused_and_shown(tmp_path: Path, version: object) -> None:
    RECORD.write(tmp_path / "r.json")
    change_json(tmp_path / "r.json", format_version=version)

    with pytest.raises(LayoutError, match="no usable format version") as caught:
        Record.open(tmp_path / "r.json")
    assert repr(version) in caught.value.message


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_file_without_a_json_object_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "r.json").write_text(text)

    with pytest.raises(LayoutError, match=r"r\.json"):
        Record.open(tmp_path / "r.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("samples", None),
        ("samples", 3),
        ("samples", ["int8"]),
        ("samples", [{"bundle": "tiny"}]),
        ("surprise", 1),
    ],
)
def test_a_record_with_a_malformed_field_is_refused(
    tmp_path: Path, name: str, value: object
) -> None:
    RECORD.write(tmp_path / "r.json")
    change_json(tmp_path / "r.json", **{name: value})

    with pytest.raises(LayoutError, match=r"r\.json is not a benchmark record"):
        Record.open(tmp_path / "r.json")


def test_a_record_without_a_field_is_refused_naming_it(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")
    edit_json(tmp_path / "r.json", lambda value: value.pop("threads"))

    with pytest.raises(LayoutError, match=r"r\.json is not a benchmark record.*threads"):
        Record.open(tmp_path / "r.json")


def test_a_bundles_manifest_is_not_a_record(tmp_path: Path, tiny_bundle: Bundle) -> None:
    shutil.copy(tiny_bundle.path / "manifest.json", tmp_path / "r.json")

    with pytest.raises(LayoutError, match=r"r\.json is not a benchmark record"):
        Record.open(tmp_path / "r.json")


def test_a_record_of_version_1_is_still_read(tmp_path: Path) -> None:
    RECORD.write(tmp_path / "r.json")
    value = json.loads((tmp_path / "r.json").read_text())
    newer = {"conditions", "bundles", "sha256"}
    newer_of_samples = {
        "tokenizer_bytes", "bundle_bytes", "runtime_bytes", "memory", "starts", "pace_ns",
        "signal_ns", "throughput", "bulk_memory", "gauge", "leak", "threads_ns",
    }  # fmt: skip
    old = {name: item for name, item in value.items() if name not in newer} | {"format_version": 1}
    old["samples"] = [
        {name: item for name, item in sample.items() if name not in newer_of_samples}
        for sample in value["samples"]
    ]
    (tmp_path / "old.json").write_text(json.dumps(old))

    assert Record.open(tmp_path / "old.json") == RECORD


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("machine", {"cpu": 3}, "machine.cpu must be string"),
        ("machine", {"cpu": "x", "versions": ["numpy"]}, "machine.versions must be object"),
        ("machine", {"cpu": "x", "memory_bytes": "8 GB"}, "machine.memory_bytes must be integer"),
        ("plan", {"batches": 8}, "plan.batches must be array"),
        ("conditions", {"before": {"frequency_mhz": "fast"}}, "frequency_mhz must be number"),
        ("conditions", {"after": []}, "conditions.after must be object"),
        ("bundles", {"tiny": {"backbone": "bert"}}, "backbone must be object"),
        ("bundles", {"tiny": {"test": {"accuracy": 0.5}}}, "the key 'texts' is missing"),
        ("bundles", {"tiny": {"recipe": {"data": 3}}}, "recipe.data must be object"),
        ("bundles", {"tiny": {"run": 3}}, "run must be string"),
        ("bundles", {"tiny": {"test": {"accuracy": "high"}}}, "accuracy must be number"),
        ("bundles", {"tiny": {"total_parameters": "many"}}, "total_parameters must be integer"),
    ],
)
def test_what_is_said_around_the_samples_is_checked_too(
    tmp_path: Path, name: str, value: dict[str, Any], expected: str
) -> None:
    RECORD.write(tmp_path / "r.json")
    if name == "bundles":
        (provenance,) = value.values()
        made = {"created": "", "edgeadapt": "", "schemes": {"fp32": None}}
        value = {"tiny": {**made, "provenance": provenance}}
    change_json(tmp_path / "r.json", **{name: value})

    with pytest.raises(LayoutError, match=r"r\.json is not a benchmark record") as caught:
        Record.open(tmp_path / "r.json")
    assert expected in caught.value.message


def test_the_record_of_the_results_is_still_one() -> None:
    record = Record.open(Path(__file__).parents[2] / "benchmarks" / "results" / "bench.json")

    assert record.bundles
    assert record.baseline in map(str, record.samples)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("properties.machine", Machine),
        ("properties.plan", Plan),
        ("properties.evaluation", EvaluationInfo),
        ("properties.conditions", Conditions),
        ("properties.bundles.additionalProperties", Origin),
        ("definitions.moment", Moment),
        ("definitions.provenance", Provenance),
        ("definitions.provenance.properties.backbone", Backbone),
    ],
)
def test_the_schema_knows_every_field_of_what_stands_around_the_samples(
    path: str, kind: Any
) -> None:
    described = SCHEMA
    for name in path.split("."):
        described = described[name]

    assert set(described["properties"]) == {field.name for field in fields(kind)}


def test_the_schema_knows_every_field_of_a_record() -> None:
    schema = SCHEMA
    sample = schema["definitions"]["sample"]

    assert set(schema["properties"]) == {
        "format_version",
        "sha256",
        *(f.name for f in fields(Record)),
    }
    assert set(sample["properties"]) == {field.name for field in fields(Sample)}
    required = {
        field.name
        for field in fields(Sample)
        if field.default is MISSING and field.default_factory is MISSING
    }
    assert set(sample["required"]) == required


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("bytes", "many", "samples[0].bytes must be integer"),
        ("load_ns", [1.5], "samples[0].load_ns[0] must be integer"),
        ("latency_ns", {"16": [5, 6]}, "must be array"),
        ("logits", [["high"]], "must be number"),
        ("throughput", {"8": [[{"texts": 4}]]}, "samples[0].throughput.8[0][0] must contain"),
        ("surprise", 1, "must not contain {'surprise'} properties"),
    ],
)
def test_a_figure_of_the_wrong_kind_is_refused_where_it_stands(
    tmp_path: Path, name: str, value: object, expected: str
) -> None:
    RECORD.write(tmp_path / "r.json")
    samples = json.loads((tmp_path / "r.json").read_text())["samples"]
    samples[0][name] = value
    change_json(tmp_path / "r.json", samples=samples)

    with pytest.raises(LayoutError, match=r"r\.json is not a benchmark record") as caught:
        Record.open(tmp_path / "r.json")
    assert expected in caught.value.message
