"""The README of a bundle: what is in it, where it comes from, how to use it."""

from collections.abc import Mapping
from typing import Any

from edgeadapt.bundle import Manifest
from edgeadapt.config import Task

__all__ = ["merge_note", "model_card"]

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

## Proof

| gate | result | limit |
|---|---|---|
{gates}

{merge}

## Use

```python
import edgeadapt                      # pip install edgeadapt

classifier = edgeadapt.load("{name}")
print(classifier.predict([{example}]))
```

The folder also opens unmodified in plain ONNX Runtime ({files}), in optimum
(`ORTModelForSequenceClassification.from_pretrained(folder, subfolder="onnx",
file_name="{file_name}")`) and in transformers.js.
`edgeadapt inspect {name}` checks the hash of every file; `edgeadapt bench {name}` measures it on
your device.
"""

_MEASURES = {
    Task.SINGLE_LABEL: "accuracy",
    Task.MULTI_LABEL: "accuracy (all labels of a text right)",
}


def model_card(name: str, manifest: Manifest) -> str:
    """Returns the card as Markdown."""
    origin = manifest.provenance
    shown = ", ".join(manifest.labels[:8]) + (" …" if len(manifest.labels) > 8 else "")
    file = manifest.variants["int8" if "int8" in manifest.variants else "fp32"].file
    return _CARD.format(
        name=name,
        task=manifest.task,
        inputs="pairs of texts" if manifest.pairs else "texts",
        example='("A text.", "Another one.")' if manifest.pairs else '"A text to classify."',
        count=len(manifest.labels),
        labels=shown,
        version=manifest.edgeadapt,
        backbone=origin["backbone"]["id"],
        method=origin["method"],
        trainable=origin["trainable_parameters"],
        total=origin["total_parameters"],
        share=origin["trainable_parameters"] / origin["total_parameters"],
        max_length=manifest.max_length,
        test=_test(origin["test"], manifest.task),
        files=", ".join(f"`{v.file}`" for v in manifest.variants.values() if ".onnx" in v.file),
        file_name=file.rpartition("/")[2],
        gates="\n".join(_gates(manifest.parity)),
        merge=merge_note(manifest.parity),
    )


def _test(scores: Mapping[str, Any], task: Task) -> str:
    if not scores:
        return "not measured: the adapter was imported without data"
    return (
        f"{_MEASURES[task]} {scores['accuracy']:.2%}, macro-F1 {scores['macro_f1']:.2%}, "
        f"{scores['texts']:,} texts"
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


def _gates(parity: Any) -> list[str]:
    rows = [
        f"| {title} | largest logit difference {parity[key]['max_difference']:.1e} over "
        f"{parity[key]['texts']} texts | {parity[key]['limit']:.0e} |"
        for key, title in (
            ("merge", "merged model against adapters"),
            ("onnx", "ONNX fp32 against torch"),
        )
    ]
    if parity["int8"]:
        int8 = parity["int8"]
        rows.append(
            f"| int8 ({int8['scheme']}) against fp32, validation text | accuracy "
            f"{int8['accuracy_before']:.2%} -> {int8['accuracy_after']:.2%}, "
            f"{int8['label_agreement']:.2%} of {int8['texts']:,} labels the same | "
            f"drop at most {100 * int8['max_drop']:.1f} points |"
        )
    return rows
