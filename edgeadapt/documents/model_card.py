"""The README of a bundle: what is in it, where it comes from, how to use it."""

from edgeadapt.escape import markdown, markdown_code, python_string
from edgeadapt.metrics import Score
from edgeadapt.recipe import EngineName, Task
from edgeadapt.store.bundle import Manifest
from edgeadapt.store.compression import Compression, StepReport
from edgeadapt.store.gates import Gates, MergeGate
from edgeadapt.store.provenance import Provenance, Requantized

__all__ = ["merge_note", "model_card", "step_note"]

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

| gate | result | limit |
|---|---|---|
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
        gates="\n".join(_gates(manifest.gates, manifest.compression)),
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
    return (
        f"{_MEASURES[task]} {scores.accuracy:.2%}, macro-F1 {scores.macro_f1:.2%}, "
        f"{scores.texts:,} texts"
    )


def _again(origin: Requantized) -> str:
    """Where the scheme was chosen again, by ``edgeadapt export BUNDLE --quantize``."""
    return f"| quantized again | from {markdown(origin.bundle)}, on {markdown(origin.cpu)} |\n"


def merge_note(gate: MergeGate) -> str:
    """Says what of the adapters stays at run time, and what unsharing layers cost."""
    leftover = gate.leftover
    if leftover.parameters:
        count = "Some" if leftover.bottlenecks is None else leftover.bottlenecks
        note = (
            f"{count} bottlenecks stay beside the dense layers: {leftover.parameters:,} "
            f"parameters, {leftover.macs_per_token:,} multiply-accumulates per token."
        )
    else:
        note = "All that was trained folded wholly: the graph is that of a stock model."
    if gate.unshared_bytes:
        size = gate.unshared_bytes / 1e6
        note += f" Layers that shared weights were told apart: {size:.1f} MB in fp32."
    return note


def step_note(compression: Compression, step: StepReport) -> str:
    """Says how the trial of a step was chosen, and what the reader should know of it.

    Args:
        compression: The report that the step is part of.
        step: The step.
    """
    taken, before = step.taken, step.baseline.latency_ms
    drift = taken.drift
    among = (
        f"among those that cost at most {100 * compression.max_drop:.1f} points on "
        f"{drift.texts:,} validation texts"
    )
    if before is None or taken.latency_ms is None:
        note = f"Chosen {among}."
    else:
        note = (
            f"Chosen for {compression.objective} on {compression.platform} {among}; fp32 takes "
            f"{before:.2f} ms. Of those that are alike in that, the closest to fp32."
        )
    low, high = drift.drop_interval
    if drift.texts < compression.deciding_texts:
        note += (
            f" The drop lies between {100 * low:.2f} and {100 * high:.2f} points (95 % interval): "
            f"some {drift.texts_for(compression.slack):,} texts would tell one point."
        )
    if before is not None and taken.latency_ms is not None and taken.latency_ms > before:
        note += " It is slower than fp32 on the machine that exported."
    return note


def _tried(compression: Compression | None) -> str:
    if compression is None:
        return ""
    return "\n".join(line for step in compression.steps for line in _step(compression, step))


def _step(compression: Compression, step: StepReport) -> list[str]:
    rows = [
        "",
        f"## {markdown(step.candidates.capitalize())} that were tried",
        "",
        "| | accuracy drop, points | labels the same | MB | ms | |",
        "|---|---|---|---|---|---|",
    ]
    for trial in step.trials:
        state = "**chosen**" if trial.name == step.chosen else ""
        latency = "" if trial.latency_ms is None else f"{trial.latency_ms:.2f}"
        size = "" if trial.bytes is None else f"{trial.bytes / 1e6:.1f}"
        rows.append(
            f"| {markdown(trial.name)} | {100 * trial.drift.accuracy_drop:.2f} | "
            f"{trial.drift.label_agreement:.2%} | {size} | {latency} | "
            f"{state if trial.allowed else 'not allowed'} |"
        )
    return [*rows, "", step_note(compression, step), ""]


def _gates(gates: Gates, compression: Compression | None) -> list[str]:
    rows = [
        f"| {title} | largest logit difference {parity.max_difference:.1e} over "
        f"{parity.texts} texts | {parity.limit:.0e} |"
        for title, parity in (
            ("merged model against adapters", gates.merge.parity),
            ("ONNX fp32 against torch", gates.onnx),
        )
    ]
    if compression is None:
        return rows
    return rows + [
        f"| {markdown(step.title)}, validation text | accuracy {cost.accuracy_before:.2%} -> "
        f"{cost.accuracy_after:.2%}, {cost.label_agreement:.2%} of {cost.texts:,} labels the same "
        f"| drop at most {100 * compression.max_drop:.1f} points |"
        for step, cost in compression.costs
    ]
