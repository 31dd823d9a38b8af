"""One accuracy budget for all compression: it is spent once over the whole chain."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from edgeadapt.errors import GateError
from edgeadapt.metrics import Logits
from edgeadapt.models.inference import torch_logits
from edgeadapt.models.opened import OpenedRun
from edgeadapt.pipeline.export import Quantization, Trimming, export
from edgeadapt.shrink.vocabulary import vocabularies
from edgeadapt.store.run import Run
from edgeadapt.text import TextEncoder
from tests.pipeline.exporting import PLAIN, nothing_is_at
from tests.store.handmade import compression_of, step_of

pytestmark = pytest.mark.usefixtures("steady")

VOCABULARIES = "edgeadapt.shrink.vocabulary.vocabularies"
WRITE = "edgeadapt.quantize.step.write"


@dataclass(frozen=True)
class Loss:
    """Two compressions that cost one answer each, and not the same one."""

    texts: int
    rows: torch.Tensor
    """A vocabulary in which one word has the embedding of another."""
    bias: Logits
    """What the quantized logits are off by."""

    @property
    def one_answer(self) -> float:
        return 1 / self.texts


@pytest.fixture(scope="module")
def loss(accurate_run: Run) -> Loss:
    model, encoder = OpenedRun(accurate_run).classifier().model, OpenedRun(accurate_run).encoder
    kept = OpenedRun(accurate_run).validation
    labels = kept.known_labels()

    def wrong(logits: Logits) -> set[int]:
        return set(np.flatnonzero(logits.argmax(axis=1) != labels))

    def asked() -> Logits:
        return torch_logits(model, encoder, kept.texts, batch_size=1)

    whole = asked()
    for rows in swapped_rows(encoder):
        table = model.get_input_embeddings()
        handle = table.register_forward_pre_hook(lambda _, ids, rows=rows: (rows[ids[0]],))
        trimmed = asked()
        handle.remove()
        lost = wrong(trimmed) - wrong(whole)
        if len(lost) != 1 or not wrong(whole) <= wrong(trimmed):
            continue
        for bias in biases(whole):
            both = wrong(trimmed + bias)
            if len(wrong(whole + bias) - wrong(whole)) == 1 and len(both - wrong(whole)) == 2:
                return Loss(len(labels), rows, bias)
    pytest.fail("no two compressions found that cost one answer each")


def swapped_rows(encoder: TextEncoder) -> Iterator[torch.Tensor]:
    """Rows of the embeddings with one of them in another's place."""
    ids = encoder.tokenizer.get_vocab()
    for word in ("film", "good", "bad", "great", "awful", "warm", "cold", "bright", "dull", "room"):
        for other in ("soup", "awful", "great", "meal", "was"):
            rows = torch.arange(encoder.tokenizer.get_vocab_size())
            rows[ids[word]] = ids[other]
            yield rows


def biases(logits: Logits) -> Iterator[Logits]:
    """Shifts that turn one answer, the least certain of a label."""
    margins = logits[:, 1] - logits[:, 0]
    for sign in (1, -1):
        first, second, *_ = sorted(sign * margin for margin in margins if sign * margin > 0)
        yield np.asarray([sign * (first + second) / 2, 0], dtype=np.float32)


def biased(by: Logits) -> Callable[..., None]:
    """A quantization that adds to the logits."""

    def write(candidate: object, source: onnx.ModelProto, target: Path, **texts: object) -> None:
        model = onnx.ModelProto()
        model.CopyFrom(source)
        for node in model.graph.node:
            node.output[:] = ["right" if name == "logits" else name for name in node.output]
        model.graph.initializer.append(numpy_helper.from_array(by, "bias"))
        model.graph.node.append(helper.make_node("Add", ["right", "bias"], ["logits"]))
        onnx.save(model, target)

    return write


def swapping(rows: torch.Tensor, *, among: int = 1) -> Callable[..., list[Any]]:
    """Vocabularies of which the smallest has these rows, and the others their own."""
    every = vocabularies

    def some(*arguments: Any) -> list[Any]:
        found = [each for each in every(*arguments) if each.way == "shared"][-among:]
        return [replace(found[0], find_rows=lambda: rows), *found[1:]]

    return some


def test_two_steps_each_within_the_budget_are_refused_where_together_they_are_not(
    accurate_run: Run, loss: Loss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = 1.5 * loss.one_answer
    monkeypatch.setattr(VOCABULARIES, swapping(loss.rows))
    size = OpenedRun(accurate_run).encoder.tokenizer.get_vocab_size()
    trim = Trimming(size - 1)
    alone = export(
        accurate_run,
        options=replace(PLAIN, trim=trim, max_drop=allowed),
        output=tmp_path / "trimmed",
    )
    assert compression_of(alone).spent.accuracy_drop == pytest.approx(loss.one_answer)

    monkeypatch.setattr(WRITE, biased(loss.bias))
    alone = export(
        accurate_run,
        options=replace(PLAIN, quantize=Quantization(), max_drop=allowed),
        output=tmp_path / "quantized",
    )
    assert compression_of(alone).spent.accuracy_drop == pytest.approx(loss.one_answer)

    with pytest.raises(GateError, match=f"a drop of {200 * loss.one_answer:.2f} points"):
        export(
            accurate_run,
            options=replace(PLAIN, trim=trim, quantize=Quantization(), max_drop=allowed),
            output=tmp_path / "b" / "x",
        )
    assert nothing_is_at(tmp_path / "b")


def test_a_vocabulary_that_leaves_nothing_for_the_numbers_makes_way_for_a_larger_one(
    accurate_run: Run, loss: Loss, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = OpenedRun(accurate_run).encoder.tokenizer.get_vocab_size()
    monkeypatch.setattr("edgeadapt.shrink.vocabulary.SIZES", (size - 2, size - 1))
    monkeypatch.setattr(VOCABULARIES, swapping(loss.rows, among=2))
    monkeypatch.setattr(WRITE, biased(loss.bias))
    options = replace(PLAIN, trim=Trimming(), quantize=Quantization())

    roomy = export(
        accurate_run,
        options=replace(options, max_drop=2.5 * loss.one_answer),
        output=tmp_path / "roomy",
    )
    tight = export(
        accurate_run,
        options=replace(options, max_drop=1.5 * loss.one_answer),
        output=tmp_path / "tight",
    )

    found = {
        bundle.name: (
            step_of(bundle, "vocabulary").taken.settings["embeddings"],
            round(compression_of(bundle).spent.accuracy_drop / loss.one_answer),
        )
        for bundle in (roomy, tight)
    }
    # The cost of the finished file is that of both steps, from the uncompressed model on.
    assert found == {"roomy": (size - 2, 2), "tight": (size - 1, 1)}
