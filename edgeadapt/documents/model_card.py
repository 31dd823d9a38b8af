"""The README of a bundle: content, origin and usage."""

from edgeadapt.documents.cells import Column, accuracy, share, text
from edgeadapt.documents.compression import (
    GATES,
    Gate,
    gates_of,
    merge_note,
    shown_trials,
    step_note,
    trial,
    trial_columns,
)
from edgeadapt.documents.markdown import table
from edgeadapt.documents.structure import LAYER, LAYERS, layers_of, removed_note, speed_note
from edgeadapt.escape import markdown, markdown_code, python_string
from edgeadapt.metrics import Score
from edgeadapt.recipe import EngineName, Task
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.compression import Compression, Shrunk, StepReport
from edgeadapt.store.provenance import Provenance, Requantized

__all__ = ["model_card"]

_GATE = Column[Gate].of("gate", "", text, lambda gate: gate.title)

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
| trained | {method}{trained} |
| longest input | {max_length} tokens |
| test, before export | {test} |
{again}
## Proof

{gates}

{merge}
{tried}
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
        backbone=markdown(origin.backbone.id if origin.backbone else "unknown"),
        method=markdown(origin.method or "unknown"),
        trained=_trained(origin),
        max_length=manifest.max_length,
        test=_test(origin.test, manifest.task),
        again="".join(map(_again, origin.quantized_again)),
        files=", ".join(
            markdown_code(v.file) for v in manifest.variants.values() if ".onnx" in v.file
        ),
        file_name=file.rpartition("/")[2],
        gates=table(_GATE, GATES, gates_of(manifest)),
        merge=merge_note(manifest.gates.merge),
        tried=_tried(manifest.compression),
    )


def _trained(origin: Provenance) -> str:
    trainable, total = origin.trainable_parameters, origin.total_parameters
    if not trainable or not total:
        return ""
    return f", {trainable:,} of {total:,} parameters ({trainable / total:.2%})"


def _test(scores: Score | None, task: Task) -> str:
    if scores is None:
        return "not measured: imported without data"
    right = accuracy(scores.accuracy, scores.texts)
    return (
        f"{_MEASURES[task]} {right.text}, macro-F1 {share(scores.macro_f1).text}, "
        f"{scores.texts:,} texts"
    )


def _again(origin: Requantized) -> str:
    """Table row for each ``edgeadapt export BUNDLE --quantize``."""
    return f"| quantized again | from {markdown(origin.bundle)}, on {markdown(origin.cpu)} |\n"


def _tried(compression: Compression | None) -> str:
    if compression is None:
        return ""
    removed = [_removed(compression.shrunk)] if compression.shrunk else []
    return "\n".join([*removed, *(_step(compression, step) for step in compression.steps)])


def _removed(shrunk: Shrunk) -> str:
    return (
        f"\n## What was removed\n\n{removed_note(shrunk)} {speed_note(shrunk)}\n\n"
        f"{table(LAYER, LAYERS, layers_of(shrunk))}\n"
    )


def _step(compression: Compression, step: StepReport) -> str:
    trials = table(trial(step), trial_columns(step), shown_trials(step))
    return (
        f"\n## {markdown(step.candidates.capitalize())} that were tried\n\n"
        f"{trials}\n\n{step_note(compression, step)}\n"
    )
