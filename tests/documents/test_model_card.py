"""The README of a bundle."""

import re
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest

from edgeadapt.documents.compression import merge_note, step_note
from edgeadapt.documents.model_card import model_card
from edgeadapt.escape import python_string
from edgeadapt.store.bundle import Bundle, Manifest, Variant
from edgeadapt.store.compression import Baseline, TrialReport
from edgeadapt.store.gates import Leftover
from edgeadapt.store.provenance import Backbone, Provenance
from tests.store.handmade import (
    DRIFT,
    make_compression,
    make_gates,
    make_score,
    make_search,
    make_shrunk,
    make_step,
    make_trial,
)


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
        "provenance": Provenance(
            method="lora+bitfit",
            backbone=Backbone("some/encoder"),
            trainable_parameters=12_345,
            total_parameters=1_234_500,
            test=make_score(),
        ),
        "gates": make_gates(),
        "compression": make_compression(),
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
        compression=None,
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
        "| accuracy 91.2% ±1.2, macro-F1 89.8%, 1,999 texts |"
    )


def test_the_card_holds_every_gates_figures_and_limit() -> None:
    card = model_card("reviews", make_manifest())

    merge = line_of(card, "| merged model = adapters")
    onnx = line_of(card, "| ONNX fp32 = torch")
    int8 = line_of(card, "| quantized (dynamic-int8) against fp32, validation text")
    assert "| logits differ by 3.2e-07 | 1e-05 | 64 |" in merge
    assert "| logits differ by 4.5e-06 | 1e-04 | 65 |" in onnx
    assert int8.endswith("| accuracy 92.3% → 91.9% | drop ≤ 1.5 points | 1,777 | 98.8% |")


def test_every_line_of_a_table_has_as_many_cells_as_its_header() -> None:
    lines = model_card("reviews", make_manifest()).splitlines()

    gates = list(takewhile(lambda line: line.startswith("|"), lines[lines.index("## Proof") + 2 :]))
    assert [line.count("|") for line in gates] == [6] * 5


def test_a_bundle_without_int8_has_no_line_about_it() -> None:
    card = model_card("reviews", without_int8())

    assert "| int8" not in card
    assert line_of(card, "| merged model = adapters")


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
    assert "All adapters were folded" in model_card("name", make_manifest())


def with_merge(**changes: Any) -> Manifest:
    return make_manifest(gates=make_gates(**changes))


def test_the_card_says_what_stays_and_what_it_costs() -> None:
    card = model_card("name", with_merge(leftover=Leftover(76_543, 65_432, 12)))

    assert "12 bottlenecks could not" in card
    assert "76,543 parameters, 65,432 multiply-accumulates per token" in card


def test_the_card_says_what_telling_shared_layers_apart_cost() -> None:
    assert "1.5 MB" in model_card("name", with_merge(unshared_bytes=1_500_000))


def test_a_bundle_written_before_these_were_counted_still_has_its_note() -> None:
    old = make_gates(leftover=Leftover(parameters=5, macs_per_token=4))

    assert merge_note(old.merge).startswith("Some bottlenecks could")


def tried(name: str, *, texts: int = 500, drop: float = 0.0025, **changes: Any) -> TrialReport:
    drift = replace(
        DRIFT,
        texts=texts,
        accuracy_drop=drop,
        drop_interval=(-0.011, 0.017),
        label_agreement=0.9812,
    )
    return make_trial(name, drift=drift, **changes)


def note_of(*trials: TrialReport, **step: Any) -> str:
    compression = make_compression(make_step(*trials, **step), max_drop=0.01)
    return step_note(compression, compression.steps[0])


def test_the_card_lists_every_quantized_model_that_was_tried() -> None:
    refused = tried("second", drop=0.03, allowed=False, latency_ms=None)
    step = make_step(tried("first"), refused)
    card = model_card("x", make_manifest(compression=make_compression(step)))

    assert "## Quantized models that were tried" in card
    first, second = line_of(card, "| first ←"), line_of(card, "| second")
    assert re.fullmatch(r"\| first ← \| 0\.25 ±1\.40 \| 98\.1% \| \S+ \| 23\.4 \| 1\.25 \|", first)
    assert re.fullmatch(r"\| second \| 3\.00 .* \| 23\.4 \| not allowed \|", second)


def test_of_few_texts_the_note_gives_the_interval_and_how_many_would_decide() -> None:
    note = note_of(tried("first", texts=999))

    assert "Chosen for latency on arm64 among those that cost at most 1.0 points on 999" in note
    assert "between -1.10 and 1.70 points (95 % interval): about 1,959 texts would" in note
    assert "interval" not in note_of(tried("first", texts=1_000))


def test_a_model_that_is_slower_than_fp32_is_said_to_be() -> None:
    assert "slower" not in note_of(tried("first"))
    note = note_of(tried("first"), baseline=Baseline(latency_ms=1.2))
    assert "It is slower than fp32 on the exporting machine" in note


def test_of_a_step_without_latencies_the_note_says_what_was_allowed_alone() -> None:
    note = note_of(tried("first", texts=1_000, latency_ms=None), baseline=Baseline(9_000))

    assert note == ("Chosen among those that cost at most 1.0 points on 1,000 validation texts.")


def test_the_card_tells_of_a_step_that_nobody_has_heard_of_as_of_any_other() -> None:
    trial = make_trial("4 layers", settings={"layers": 4}, latency_ms=None, bytes=None)
    depth = make_step(
        trial,
        name="depth",
        candidates="depths",
        title="4 layers of 6",
        baseline=Baseline(),
    )
    card = model_card("x", make_manifest(compression=make_compression(depth, make_step())))

    line = line_of(card, "| 4 layers of 6, validation text")
    assert line.endswith("| accuracy 92.3% → 91.9% | drop ≤ 1.5 points | 1,777 | 98.8% |")
    assert "## Depths that were tried" in card
    chosen = line_of(card, "| 4 layers ←")
    assert re.fullmatch(r"\| 4 layers ← \| 0\.47 .* \| 98\.8% \| \S+ \| – \| – \|", chosen)
    assert "| quantized (dynamic-int8) against fp32, validation text" in card


def test_names_and_labels_are_text_in_the_card() -> None:
    hostile = "a|b`c`<script>x</script>[y](z)\n# owned\n\x1b[31m\u202e"
    manifest = make_manifest()
    provenance = replace(manifest.provenance, backbone=Backbone(hostile), method=hostile)
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


def pruned_manifest() -> Manifest:
    compression = make_compression(make_search(), make_step(), shrunk=make_shrunk())
    return make_manifest(compression=compression)


def test_the_card_says_what_was_removed_in_a_sentence_and_by_layer() -> None:
    card = model_card("x", pruned_manifest())

    section = card.split("## What was removed\n\n")[1].split("\n## ")[0]
    sentence, _, *rows = section.strip().splitlines()
    assert sentence == (
        "Removed: 1 of 3 layers, 29 of 36 attention heads and 3,488 of 4,800 FFN neurons. At 64 "
        "tokens, it is 2.62 times as fast as the same bundle with nothing removed (measured); 2.88 "
        "times was predicted."
    )
    assert rows[2:] == [
        "| 1 | 7 of 12 | 1,088 of 1,600 | 75.0% | 40.0% |",
        "| 2 | 0 of 12 | 224 of 1,600 | 25.0% | 60.0% |",
        "| 3 | removed | removed | – | – |",
    ]


def test_smaller_models_are_listed_slowest_first_with_predicted_speed_and_refusals() -> None:
    card = model_card("x", pruned_manifest())

    section = card.split("## Smaller models that were tried\n\n")[1].split("\n## ")[0]
    assert section.splitlines()[0] == (
        "| smaller models | speed | accuracy drop, points | allowed | labels the same | size, MB |"
    )
    assert section.splitlines()[2:5] == [
        "| 2 layers, 24 heads, 3,200 neurons | 1.50× | 0.13 ±1.00 | yes | 98.8% | 40.0 |",
        "| 2 layers, 7 heads, 1,312 neurons ← | 2.88× | 0.47 ±1.00 | yes | 98.8% | 20.9 |",
        "| 2 layers, 7 heads, 312 neurons | 4.50× | 4.69 ±1.00 | no | 98.8% | 13.3 |",
    ]
    assert "Speed: predicted at 64 tokens, against nothing removed." in section
    assert "The finished model was judged by 1,777 other texts." in section
    assert line_of(card, "| pruned against fp32, validation text")


def test_once_quantized_again_the_finished_model_was_not_judged_by_other_texts() -> None:
    search = make_search()
    compression = make_compression(search, shrunk=make_shrunk(measured=None))

    assert "other texts" not in step_note(compression, search)


def test_a_card_of_a_model_with_all_its_layers_says_nothing_about_removal() -> None:
    card = model_card("x", make_manifest())

    assert "removed" not in card
    assert "| speed" not in card
    assert "Speed:" not in card
