"""The README of a bundle: what is in it, where it comes from, how to use it."""

from typing import Any

from edgeadapt.bundle import Manifest

__all__ = ["model_card"]

_CARD = """\
---
library_name: onnxruntime
pipeline_tag: text-classification
tags: [edgeadapt, onnx]
---

# {name}

A text classifier with {count} labels ({labels}), made by edgeadapt {version}.

| | |
|---|---|
| backbone | {backbone} |
| trained | {method}, {trainable:,} of {total:,} parameters ({share:.2%}) |
| longest input | {max_length} tokens |
| test, before export | accuracy {accuracy:.2%}, macro-F1 {macro_f1:.2%}, {texts:,} texts |

## Proof

| gate | result | limit |
|---|---|---|
{gates}

## Use

```python
import edgeadapt                      # pip install edgeadapt

classifier = edgeadapt.load("{name}")
print(classifier.predict(["A text to classify."]))
```

The folder also opens unmodified in plain ONNX Runtime ({files}), in optimum
(`ORTModelForSequenceClassification.from_pretrained(folder, subfolder="onnx",
file_name="{file_name}")`) and in transformers.js.
`edgeadapt inspect {name}` checks the hash of every file; `edgeadapt bench {name}` measures it on
your device.
"""


def model_card(name: str, manifest: Manifest) -> str:
    """Returns the card as Markdown."""
    origin = manifest.provenance
    shown = ", ".join(manifest.labels[:8]) + (" …" if len(manifest.labels) > 8 else "")
    file = manifest.variants["int8" if "int8" in manifest.variants else "fp32"].file
    return _CARD.format(
        name=name,
        count=len(manifest.labels),
        labels=shown,
        version=manifest.edgeadapt,
        backbone=origin["backbone"]["id"],
        method=origin["method"],
        trainable=origin["trainable_parameters"],
        total=origin["total_parameters"],
        share=origin["trainable_parameters"] / origin["total_parameters"],
        max_length=manifest.max_length,
        accuracy=origin["test"]["accuracy"],
        macro_f1=origin["test"]["macro_f1"],
        texts=origin["test"]["texts"],
        files=", ".join(f"`{v.file}`" for v in manifest.variants.values() if ".onnx" in v.file),
        file_name=file.rpartition("/")[2],
        gates="\n".join(_gates(manifest.parity)),
    )


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
