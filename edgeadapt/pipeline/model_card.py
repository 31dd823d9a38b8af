"""The README of a bundle: what is in it, where it comes from, how to use it."""

from collections.abc import Mapping
from typing import Any

from edgeadapt.bundle import Manifest
from edgeadapt.escape import markdown, markdown_code, python_string
from edgeadapt.recipe import EngineName, Task

__all__ = ["ladder_note", "merge_note", "model_card"]

_CARD = """\
---
library_name: onnxruntime
pipeline_tag: text-classification
tags: [edgeadapt, onnx]
---

# {name}

A {task} classifier of {inputs} with {count} labels ({labels}), made by edgeadapt {version}.

| | |
|---|---|
| backbone | {backbone} |
| trained | {method}, {trainable:,} of {total:,} parameters ({share:.2%}) |
| longest input | {max_length} tokens |
| test, before export | {test} |
{again}
## Proof

| gate | result | limit |
|---|---|---|
{gates}

{merge}
{ladder}
## Use

```python
import edgeadapt                      # pip install {package}

classifier = edgeadapt.load({load})
print(classifier.predict([{example}]))
```

The folder also opens unmodified in plain ONNX Runtime ({files}), in optimum
(`ORTModelForSequenceClassification.from_pretrained(folder, subfolder="onnx",
file_name="{file_name}")`) and in transformers.js.
{inspect} checks the hash of every file; {bench} measures it on
your device.
"""

_MEASURES = {
    Task.SINGLE_LABEL: "accuracy",
    Task.MULTI_LABEL: "accuracy (all labels of a text right)",
}


def model_card(name: str, manifest: Manifest) -> str:
    """Returns the card as Markdown."""
    origin = manifest.provenance
    shown = ", ".join(map(markdown, manifest.labels[:8])) + (
        " …" if len(manifest.labels) > 8 else ""
    )
    file = manifest.variants["int8" if "int8" in manifest.variants else "fp32"].file
    needs_openvino = any(v.engine == EngineName.OPENVINO for v in manifest.variants.values())
    return _CARD.format(
        name=markdown(name),
        load=python_string(name),
        inspect=markdown_code(f"edgeadapt inspect {name}"),
        bench=markdown_code(f"edgeadapt bench {name}"),
        package='"edgeadapt[openvino]"' if needs_openvino else "edgeadapt",
        task=manifest.task,
        inputs="pairs of texts" if manifest.pairs else "texts",
        example='("A text.", "Another one.")' if manifest.pairs else '"A text to classify."',
        count=len(manifest.labels),
        labels=shown,
        version=markdown(manifest.edgeadapt),
        backbone=markdown(origin["backbone"]["id"]),
        method=markdown(origin["method"]),
        trainable=origin["trainable_parameters"],
        total=origin["total_parameters"],
        share=origin["trainable_parameters"] / origin["total_parameters"],
        max_length=manifest.max_length,
        test=_test(origin["test"], manifest.task),
        again="".join(map(_again, origin.get("quantized_again", ()))),
        files=", ".join(
            markdown_code(v.file) for v in manifest.variants.values() if ".onnx" in v.file
        ),
        file_name=file.rpartition("/")[2],
        gates="\n".join(_gates(manifest.parity)),
        merge=merge_note(manifest.parity),
        ladder=_ladder(manifest.quantization),
    )


def _test(scores: Mapping[str, Any], task: Task) -> str:
    if not scores:
        return "not measured: imported without data"
    return (
        f"{_MEASURES[task]} {scores['accuracy']:.2%}, macro-F1 {scores['macro_f1']:.2%}, "
        f"{scores['texts']:,} texts"
    )


def _again(origin: Mapping[str, Any]) -> str:
    """Where the scheme was chosen again, by ``edgeadapt export BUNDLE --quantize``."""
    return (
        f"| quantized again | from {markdown(origin['bundle'])}, on {markdown(origin['cpu'])} |\n"
    )


def merge_note(parity: Mapping[str, Any]) -> str:
    """Says what of the adapters stays at run time, and what unsharing layers cost.

    Args:
        parity: The manifest's reports.
    """
    leftover, unshared = parity["merge"]["leftover"], parity["merge"].get("unshared_bytes", 0)
    if leftover["parameters"]:
        note = (
            f"{leftover.get('bottlenecks', 'Some')} bottlenecks stay beside the dense layers: "
            f"{leftover['parameters']:,} parameters, {leftover['macs_per_token']:,} "
            "multiply-accumulates per token."
        )
    else:
        note = "All that was trained folded wholly: the graph is that of a stock model."
    if unshared:
        note += f" Layers that shared weights were told apart: {unshared / 1e6:.1f} MB in fp32."
    return note


def ladder_note(quantization: Mapping[str, Any]) -> str:
    """Says how the quantized model was chosen, and what the reader should know of it.

    Args:
        quantization: The manifest's report.
    """
    (chosen,) = (t for t in quantization["trials"] if t["name"] == quantization["chosen"])
    drift, fp32 = chosen["drift"], quantization["fp32_ms"]
    note = (
        f"Chosen for {quantization['objective']} on {quantization['platform']} among those that "
        f"cost at most {100 * quantization['max_drop']:.1f} points on {drift['texts']:,} "
        f"validation texts; fp32 takes {fp32:.2f} ms. Of those that are alike in that, the closest "
        "to fp32."
    )
    low, high = drift["drop_interval"]
    if drift["texts"] < quantization["deciding_texts"]:
        note += (
            f" The drop lies between {100 * low:.2f} and {100 * high:.2f} points (95 % interval): "
            f"some {quantization['texts_to_decide']:,} texts would tell one point."
        )
    if chosen["latency_ms"] > fp32:
        note += " It is slower than fp32 on the machine that exported."
    return note


def _ladder(quantization: Mapping[str, Any] | None) -> str:
    if quantization is None:
        return ""
    rows = [
        "",
        "## Quantized models that were tried",
        "",
        "| | accuracy drop, points | labels the same | MB | ms | |",
        "|---|---|---|---|---|---|",
    ]
    for trial in quantization["trials"]:
        drift = trial["drift"]
        state = "**chosen**" if trial["name"] == quantization["chosen"] else ""
        latency = "" if trial["latency_ms"] is None else f"{trial['latency_ms']:.2f}"
        rows.append(
            f"| {markdown(trial['name'])} | {100 * drift['accuracy_drop']:.2f} | "
            f"{drift['label_agreement']:.2%} | {trial['bytes'] / 1e6:.1f} | {latency} | "
            f"{state if trial['allowed'] else 'not allowed'} |"
        )
    return "\n".join([*rows, "", ladder_note(quantization), ""])


def _gates(parity: Any) -> list[str]:
    rows = [
        f"| {title} | largest logit difference {parity[key]['max_difference']:.1e} over "
        f"{parity[key]['texts']} texts | {parity[key]['limit']:.0e} |"
        for key, title in (
            ("merge", "merged model against adapters"),
            ("onnx", "ONNX fp32 against torch"),
        )
    ]
    for key, title in (
        (
            "vocabulary",
            "{embeddings:,} embeddings of {pieces_before:,}, others {others}; validation text",
        ),
        ("int8", "int8 ({scheme}) against fp32, validation text"),
    ):
        if lossy := parity.get(key):
            rows.append(
                f"| {markdown(title.format_map(lossy))} | accuracy "
                f"{lossy['accuracy_before']:.2%} -> {lossy['accuracy_after']:.2%}, "
                f"{lossy['label_agreement']:.2%} of {lossy['texts']:,} labels the same | "
                f"drop at most {100 * lossy['max_drop']:.1f} points |"
            )
    return rows
