"""The README of a bundle."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.bundle import Bundle, Manifest, Variant
from edgeadapt.documents.model_card import ladder_note, merge_note, model_card
from edgeadapt.escape import python_string


def make_manifest(**changes: Any) -> Manifest:
    """A manifest whose figures are all different."""
    values: dict[str, Any] = {
        "labels": ("negative", "positive"),
        "max_length": 256,
        "pad_id": 0,
        "variants": {
            "fp32": Variant("onnx/model.onnx", "onnxruntime"),
            "int8": Variant("onnx/model_quantized.onnx", "onnxruntime", "dynamic-int8"),
        },
        "provenance": {
            "method": "lora+bitfit",
            "backbone": {"id": "some/encoder"},
            "trainable_parameters": 12_345,
            "total_parameters": 1_234_500,
            "test": {"accuracy": 0.9123, "macro_f1": 0.8976, "texts": 1_999},
        },
        "parity": {
            "merge": {
                "max_difference": 3.2e-7,
                "limit": 1e-5,
                "texts": 64,
                "leftover": {"parameters": 0, "macs_per_token": 0, "bottlenecks": 0},
                "unshared_bytes": 0,
            },
            "onnx": {"max_difference": 4.5e-6, "limit": 1e-4, "texts": 65},
            "int8": {
                "scheme": "dynamic-int8",
                "accuracy_before": 0.9234,
                "accuracy_after": 0.9187,
                "label_agreement": 0.9876,
                "texts": 1_777,
                "max_drop": 0.015,
            },
        },
        "created": "2025-01-01T00:00:00+00:00",
        "edgeadapt": "9.8.7",
        **changes,
    }
    return Manifest(**values)


def without_int8() -> Manifest:
    manifest = make_manifest()
    return replace(
        manifest,
        variants={"fp32": manifest.variants["fp32"]},
        parity={**manifest.parity, "int8": None},
    )


def line_of(card: str, start: str) -> str:
    (found,) = (line for line in card.splitlines() if line.startswith(start))
    return found


def test_the_card_says_what_the_model_is() -> None:
    card = model_card("reviews", make_manifest())

    assert "# reviews\n" in card
    assert "2 labels (negative, positive), made by edgeadapt 9.8.7" in card
    assert line_of(card, "| backbone") == "| backbone | some/encoder |"
    assert line_of(card, "| trained") == (
        "| trained | lora+bitfit, 12,345 of 1,234,500 parameters (1.00%) |"
    )
    assert line_of(card, "| longest input") == "| longest input | 256 tokens |"
    assert line_of(card, "| test, before export").endswith(
        "| accuracy 91.23%, macro-F1 89.76%, 1,999 texts |"
    )


def test_the_card_holds_every_gates_figures_and_limit() -> None:
    card = model_card("reviews", make_manifest())

    merge = line_of(card, "| merged model against adapters")
    onnx = line_of(card, "| ONNX fp32 against torch")
    int8 = line_of(card, "| int8 (dynamic-int8) against fp32")
    assert re.search(r"3\.2e-07 over 64 texts \| 1e-05 \|$", merge)
    assert re.search(r"4\.5e-06 over 65 texts \| 1e-04 \|$", onnx)
    assert "accuracy 92.34% -> 91.87%, 98.76% of 1,777 labels the same" in int8
    assert int8.endswith("| drop at most 1.5 points |")


def test_every_line_of_a_table_has_as_many_cells_as_its_header() -> None:
    lines = model_card("reviews", make_manifest()).splitlines()

    gates = lines[lines.index("## Proof") + 2 : lines.index("## Use") - 3]
    assert [line.count("|") for line in gates] == [4] * 5


def test_a_bundle_without_int8_has_no_line_about_it() -> None:
    card = model_card("reviews", without_int8())

    assert "| int8" not in card
    assert line_of(card, "| merged model against adapters")


def test_the_card_names_no_file_that_the_bundle_lacks() -> None:
    named = set(re.findall(r"model\w*\.onnx", model_card("reviews", without_int8())))

    assert named == {"model.onnx"}


def test_the_card_of_a_quantized_bundle_names_both_files() -> None:
    named = set(re.findall(r"model\w*\.onnx", model_card("reviews", make_manifest())))

    assert named == {"model.onnx", "model_quantized.onnx"}


def test_many_labels_are_counted_and_the_first_eight_shown() -> None:
    card = model_card("topics", make_manifest(labels=tuple(f"topic-{n}" for n in range(20))))

    assert "20 labels (topic-0, topic-1," in card
    assert "topic-7 …)" in card
    assert "topic-8" not in card


def test_eight_labels_are_all_shown() -> None:
    card = model_card("topics", make_manifest(labels=tuple(f"topic-{n}" for n in range(8))))

    assert "topic-7)" in card
    assert "…" not in card


def test_braces_in_a_label_are_left_alone() -> None:
    assert "({x}, {name})" in model_card("odd", make_manifest(labels=("{x}", "{name}")))


def test_the_card_begins_with_the_hubs_metadata() -> None:
    card = model_card("reviews", make_manifest())

    front = card.split("---\n")[1]
    assert card.startswith("---\n")
    assert "pipeline_tag: text-classification\n" in front
    assert "library_name: onnxruntime\n" in front


def test_a_bundle_carries_its_card(tiny_bundle: Bundle) -> None:
    card = (tiny_bundle.path / "README.md").read_text(encoding="utf-8")

    assert card == model_card("tiny", tiny_bundle.manifest)


def test_the_example_on_the_card_runs(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = (tiny_bundle.path / "README.md").read_text(encoding="utf-8")
    example = card.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(tiny_bundle.path.parent)

    exec(example, {})

    assert "Prediction(label=" in capsys.readouterr().out


def test_every_file_that_the_card_names_is_in_the_bundle(tiny_bundle: Bundle) -> None:
    card = (tiny_bundle.path / "README.md").read_text(encoding="utf-8")

    named = set(re.findall(r"[\w/]+\.onnx", card))
    assert named
    assert {Path(name).name for name in named} <= {
        Path(name).name for name in tiny_bundle.manifest.files
    }


def test_the_card_says_that_everything_folded() -> None:
    assert "folded wholly" in model_card("name", make_manifest())


def with_merge(**changes: Any) -> Manifest:
    parity = make_manifest().parity
    return make_manifest(parity={**parity, "merge": {**parity["merge"], **changes}})


def test_the_card_says_what_stays_and_what_it_costs() -> None:
    leftover = {"parameters": 76_543, "macs_per_token": 65_432, "bottlenecks": 12}

    card = model_card("name", with_merge(leftover=leftover))

    assert "12 bottlenecks stay" in card
    assert "76,543 parameters, 65,432 multiply-accumulates per token" in card


def test_the_card_says_what_telling_shared_layers_apart_cost() -> None:
    assert "1.5 MB" in model_card("name", with_merge(unshared_bytes=1_500_000))


def test_a_bundle_written_before_these_were_counted_still_has_its_note() -> None:
    old = {"merge": {"leftover": {"parameters": 5, "macs_per_token": 4}}}

    assert merge_note(old).startswith("Some bottlenecks stay")


def trial_of(name: str, **changes: Any) -> dict[str, Any]:
    drift = {
        "texts": 500,
        "accuracy_drop": 0.0025,
        "drop_interval": [-0.011, 0.017],
        "label_agreement": 0.9812,
        "rms_shift": 0.07,
    }
    values = {"name": name, "bytes": 23_400_000, "allowed": True, "latency_ms": 1.25}
    return {**values, "drift": {**drift, **changes.pop("drift", {})}, **changes}


def quantization_of(*trials: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "objective": "latency",
        "platform": "arm64",
        "max_drop": 0.01,
        "deciding_texts": 1_000,
        "texts_to_decide": 980,
        "trials": list(trials),
        "chosen": trials[0]["name"],
        "fp32_ms": 3.5,
        "sensitivity": {},
        **changes,
    }


def test_the_card_lists_every_quantized_model_that_was_tried() -> None:
    refused = trial_of("second", allowed=False, latency_ms=None, drift={"accuracy_drop": 0.03})
    card = model_card("x", make_manifest(quantization=quantization_of(trial_of("first"), refused)))

    assert "| first | 0.25 | 98.12% | 23.4 | 1.25 | **chosen** |" in card
    assert "| second | 3.00 | 98.12% | 23.4 |  | not allowed |" in card


def test_of_few_texts_the_note_gives_the_interval_and_how_many_would_decide() -> None:
    few, many = (trial_of("first", drift={"texts": count}) for count in (999, 1_000))

    note = ladder_note(quantization_of(few))

    assert "Chosen for latency on arm64 among those that cost at most 1.0 points on 999" in note
    assert "between -1.10 and 1.70 points (95 % interval): some 980 texts would tell" in note
    assert "interval" not in ladder_note(quantization_of(many))


def test_a_model_that_is_slower_than_fp32_is_said_to_be() -> None:
    found = quantization_of(trial_of("first"))

    assert "slower" not in ladder_note(found)
    assert "It is slower than fp32 on the machine" in ladder_note({**found, "fp32_ms": 1.2})


def test_a_smaller_vocabulary_has_a_line_of_its_own() -> None:
    manifest = make_manifest()
    report = {**manifest.parity["int8"], "embeddings": 8_000, "pieces_before": 30_522}
    report["others"] = "shared"
    card = model_card("x", replace(manifest, parity={**manifest.parity, "vocabulary": report}))

    line = line_of(card, "| 8,000 embeddings of 30,522, others shared")
    assert line.endswith("98.76% of 1,777 labels the same | drop at most 1.5 points |")


def test_names_and_labels_are_text_in_the_card() -> None:
    hostile = "a|b`c`<script>x</script>[y](z)\n# owned\n\x1b[31m\u202e"
    manifest = make_manifest()
    provenance = {**manifest.provenance, "backbone": {"id": hostile}, "method": hostile}
    changed = replace(manifest, labels=(hostile, "good"), provenance=provenance)

    card = model_card(hostile, changed)

    assert not {"\x1b", "\u202e"} & set(card)
    outside_code = re.sub(r"(?s)\n```.*?\n```|``.*?``", "", card)
    assert "script" in outside_code
    assert not re.search(r"(?<!\\)<", outside_code)
    assert "\n# owned" not in card
    assert line_of(card, "| backbone").replace("\\|", "").count("|") == 3
    assert (
        line_of(card, "classifier = ") == f"classifier = edgeadapt.load({python_string(hostile)})"
    )
    assert card.count("\n```") == model_card("reviews", manifest).count("\n```")
