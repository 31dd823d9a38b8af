"""Training a pruned model on: it comes closer to its teacher, in the same shape."""

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from edgeadapt.adapters.parts import Part
from edgeadapt.backbones import BACKBONES, backbone_spec
from edgeadapt.data import Examples
from edgeadapt.errors import ModelError
from edgeadapt.metrics import Logits, probabilities, score
from edgeadapt.models.merge import Merged, merge
from edgeadapt.models.sources import ModelSource
from edgeadapt.models.text_model import TextModel
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.progress import SILENT
from edgeadapt.recipe import AdapterConfig, Device, Task, TrainingConfig
from edgeadapt.runtime.resized import KeptWidths, keep_layers, resize, structure_of
from edgeadapt.text import Text, TextEncoder
from edgeadapt.training import recovery
from edgeadapt.training.recovery import recover
from tests.conftest import GOOD
from tests.models.tiny import adapt, make_model
from tests.training.test_loop import TRAIN, words

pytestmark = pytest.mark.transformers5

SINGLE, MULTI = Task.SINGLE_LABEL, Task.MULTI_LABEL
TEXTS = TRAIN.texts[:32]
RECIPE = TrainingConfig(batch_size=8, device=Device.CPU, threads=1)
PRUNED = (KeptWidths((1,), range(8)), KeptWidths(neurons=range(5)))
DROPPED = (KeptWidths((), range(8)), KeptWidths(neurons=()))


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate for few steps."""
    monkeypatch.setattr(recovery, "RATE", 1e-2)


def of(model: PreTrainedModel, encoder: TextEncoder) -> TextModel:
    return TextModel(Merged(model, model, (), 0), encoder)


def pruned(
    encoder: TextEncoder, kept: tuple[KeptWidths, ...] = PRUNED, *, model_type: str = "bert"
) -> TextModel:
    model, spec = make_model(model_type), backbone_spec(model_type)
    if spec.attention is None:
        kept = tuple(replace(widths, heads=None) for widths in kept)
    resize(model, spec, kept)
    return of(model, encoder)


def taught(texts: Sequence[Text]) -> Logits:
    """The logits of a teacher that looks for good words."""
    good = np.asarray([any(word in str(text) for word in GOOD) for text in texts])
    return np.where(np.stack([~good, good], 1), 1.5, -1.5).astype(np.float32)


def examples(texts: Sequence[Text], task: Task = SINGLE) -> Examples:
    """The texts with the teacher's labels."""
    logits = taught(texts)
    labels = logits.argmax(1) if task is SINGLE else (logits > 0).astype(np.int64)
    return Examples(tuple(texts), labels)


def recovered(
    model: TextModel,
    texts: Sequence[Text] = TEXTS,
    *,
    task: Task = SINGLE,
    weight_bits: int | None = None,
    training: TrainingConfig = RECIPE,
) -> TextModel:
    """Trains on texts, which judge it too."""
    return recover(
        model,
        teacher=taught(texts),
        train=examples(texts, task),
        validation=examples(texts, task),
        task=task,
        training=training,
        epochs=16,
        weight_bits=weight_bits,
    )


def distance(model: TextModel, texts: Sequence[Text] = TEXTS, task: Task = SINGLE) -> float:
    """Mean difference of the model's probabilities from the teacher's."""
    given, wanted = (probabilities(z, task) for z in (model.logits(texts), taught(texts)))
    return float(np.abs(given - wanted).mean())


def accuracy(model: TextModel) -> float:
    labels = examples(TEXTS).known_labels()
    return score(model.logits(TEXTS), labels, task=SINGLE).accuracy


def weights(model: TextModel) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.merged.model.state_dict().items()}


def changed(before: TextModel, after: TextModel) -> set[str]:
    """Names of the tensors that differ."""
    others = weights(after)
    return {name for name, tensor in weights(before).items() if not others[name].equal(tensor)}


class Told:
    """A progress that keeps its messages."""

    bar = SILENT.bar

    def __init__(self) -> None:
        self.messages: list[str] = []

    def say(self, message: str) -> None:
        self.messages.append(message)

    warn = say


@pytest.mark.parametrize(
    "model_type", [name for name, spec in BACKBONES.items() if spec.groups_key is None]
)
@pytest.mark.parametrize("kept", [PRUNED, DROPPED], ids=["pruned", "dropped"])
def test_predictions_move_towards_the_teachers_and_the_shape_stays(
    encoder: TextEncoder, model_type: str, kept: tuple[KeptWidths, ...]
) -> None:
    model, spec = pruned(encoder, kept, model_type=model_type), backbone_spec(model_type)

    after = recovered(model)

    assert structure_of(after.merged.model, spec) == structure_of(model.merged.model, spec)
    shapes = {name: tensor.shape for name, tensor in weights(model).items()}
    assert {name: tensor.shape for name, tensor in weights(after).items()} == shapes
    assert not [m for m in after.merged.model.modules() if isinstance(m, Part)]
    assert after.merged.model is after.merged.stock
    assert distance(after) < distance(model)


@pytest.mark.parametrize("model_type", ["albert", "bert"])
def test_a_model_of_fewer_layers_recovers(encoder: TextEncoder, model_type: str) -> None:
    model, spec = of(make_model(model_type), encoder), backbone_spec(model_type)
    keep_layers(model.merged.model, spec, range(1))

    after = recovered(model)

    assert structure_of(after.merged.model, spec).depth == 1
    assert weights(after).keys() == weights(model).keys()
    assert distance(after) < distance(model)


def test_the_given_model_does_not_change(encoder: TextEncoder) -> None:
    model = pruned(encoder)
    before = of(copy.deepcopy(model.merged.model), encoder)

    after = recovered(model)

    assert changed(model, after)
    assert not changed(before, model)
    assert all(parameter.requires_grad for parameter in model.merged.model.parameters())


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before(
    encoder: TextEncoder,
) -> None:
    model = pruned(encoder)

    first = recovered(model)
    torch.rand(7)
    second = recovered(model)
    other = recovered(model, training=replace(RECIPE, seed=1))

    assert not changed(first, second)
    assert changed(first, other)


def test_everything_but_the_embeddings_is_trained_and_dropped_sublayers_by_their_bias(
    encoder: TextEncoder,
) -> None:
    model = pruned(encoder, DROPPED)

    same = weights(model).keys() - changed(model, recovered(model))

    # Softmax cancels the key's bias.
    assert {name for name in same if not name.endswith("key.bias")} == {
        f"bert.embeddings.{kind}_embeddings.weight" for kind in ("word", "position", "token_type")
    }


def test_accuracy_before_and_after_is_reported(encoder: TextEncoder) -> None:
    model, told = pruned(encoder), Told()
    before = accuracy(model)

    after = recover(
        model,
        teacher=taught(TEXTS),
        train=examples(TEXTS),
        validation=examples(TEXTS),
        task=SINGLE,
        training=RECIPE,
        epochs=3,
        progress=told,
    )

    assert len(told.messages) == 1
    assert f"{before:.1%} before, {accuracy(after):.1%} after" in told.messages[0]


def test_label_sets_are_distilled(encoder: TextEncoder) -> None:
    model, texts = pruned(encoder), words(0, 32).texts

    after = recovered(model, texts, task=MULTI)

    assert distance(after, texts, MULTI) < 0.95 * distance(model, texts, MULTI)


def test_pairs_are_distilled(source: ModelSource) -> None:
    encoder = load_tokenizer(source, max_length=32, pairs=True).encoder
    model, texts = pruned(encoder, DROPPED), [(str(text), str(text)) for text in TEXTS]

    after = recovered(model, texts, weight_bits=8)

    assert distance(after, texts) < 0.95 * distance(model, texts)


@pytest.mark.parametrize("model_type", ["bert", "distilbert", "modernbert"])
def test_int8_is_simulated_where_asked(encoder: TextEncoder, model_type: str) -> None:
    model = pruned(encoder, DROPPED, model_type=model_type)

    plain, bits7, bits8 = (recovered(model, weight_bits=bits) for bits in (None, 7, 8))

    assert changed(plain, bits8)
    assert changed(bits7, bits8)
    assert distance(bits8) < 0.95 * distance(model)


def test_bottlenecks_beside_the_layers_are_refused(encoder: TextEncoder) -> None:
    merged = merge(adapt(make_model("bert"), AdapterConfig(method="sequential", dimension=4)))

    with pytest.raises(ModelError, match="expected a model whose adapters are all merged, found 2"):
        recovered(TextModel(merged, encoder))
