"""Layers below all trained ones run once, with the same result."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from edgeadapt.adapters.parts import Part
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import ModelSource, find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.recipe import AdapterConfig, Dropout, ModelConfig, Task, TrainingConfig
from edgeadapt.text import TextEncoder
from edgeadapt.training.frozen import FrozenLayers
from edgeadapt.training.loop import fit
from edgeadapt.training.objectives import Classification
from edgeadapt.training.outcome import Outcome
from tests.conftest import TINY_CONFIGS
from tests.lively import lively_checkpoint
from tests.training.test_loop import LABELS, TRAIN, VALIDATION

pytestmark = pytest.mark.transformers5

EVERYTHING = 10**9


def build(source: ModelSource, method: str, layers: str | None = None) -> AdaptedClassifier:
    config = AdapterConfig(method=method, dimension=4, layers=layers)
    with seeded(0):
        return AdaptedClassifier.build(source, LABELS, config)


def below(classifier: AdaptedClassifier) -> FrozenLayers:
    return FrozenLayers.below(classifier.backbone, classifier.trained())


def objective_of(
    classifier: AdaptedClassifier,
    encoder: TextEncoder,
    memory: int,
    *,
    dropout: Dropout = Dropout.ALL,
) -> Classification:
    return Classification(
        classifier.model,
        encoder,
        train=TRAIN,
        validation=VALIDATION,
        task=Task.SINGLE_LABEL,
        frozen=below(classifier),
        memory=memory,
        dropout=dropout,
    )


def train(classifier: AdaptedClassifier, objective: Classification) -> Outcome:
    config = TrainingConfig(epochs=3, batch_size=16, learning_rate=1e-2)
    with seeded(0):
        return fit(objective, classifier.trained(), config=config, device=torch.device("cpu"))


@pytest.mark.parametrize(
    ("method", "layers", "count"),
    [
        ("parallel", None, 0),
        ("parallel", "1", 1),
        ("lora", "0", 0),
        ("head", None, 2),
        ("full", None, 0),
        ("bitfit", None, 0),  # the LayerNorm of the embeddings
        ("parallel+lora", "1", 1),
    ],
)
def test_they_end_where_something_is_trained(
    source: ModelSource, method: str, layers: str | None, count: int
) -> None:
    assert below(build(source, method, layers)).count == count


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("method", ["parallel", "head"])
def test_training_with_what_is_remembered_is_training(
    tmp_path_factory: pytest.TempPathFactory, model_type: str, method: str
) -> None:
    folder = tmp_path_factory.mktemp(model_type)
    source = find_model(ModelConfig(id=str(lively_checkpoint(folder / "checkpoint", model_type))))
    encoder = load_tokenizer(source, max_length=32).encoder
    trained = []
    for memory in (0, EVERYTHING):
        classifier = build(source, method, "1" if method == "parallel" else None)
        objective = objective_of(classifier, encoder, memory)
        outcome = train(classifier, objective)
        shared = model_type == "albert" and method == "head"  # layers that run more than once
        assert (objective.remembered is not None) == (memory > 0 and not shared)
        trained.append((outcome, {n: p.detach() for n, p in classifier.trained().items()}))

    (plain, before), (remembered, after) = trained
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=1e-3, atol=2e-5)
    assert [e.accuracy for e in remembered.epochs] == [e.accuracy for e in plain.epochs]


def test_they_run_once_and_come_back(source: ModelSource, encoder: TextEncoder) -> None:
    classifier = build(source, "parallel", "1")
    first = classifier.backbone.layers()[0].module
    texts: list[int] = []
    first.register_forward_hook(lambda module, given, output: texts.append(len(given[0])))
    objective = objective_of(classifier, encoder, EVERYTHING)

    train(classifier, objective)

    assert sum(texts) == len(TRAIN) + 3 * len(VALIDATION)
    assert classifier.backbone.layers()[0].module is first


def test_more_than_the_bound_is_not_remembered(source: ModelSource, encoder: TextEncoder) -> None:
    classifier = build(source, "parallel", "1")
    needed = below(classifier).bytes_for(encoder.encode(TRAIN.texts))

    for memory, remembered in ((needed - 1, False), (needed, True)):
        objective = objective_of(classifier, encoder, memory)
        objective.begin_training()
        assert (objective.remembered is not None) == remembered


def test_dropout_is_off_in_them_and_on_above(
    tmp_path_factory: pytest.TempPathFactory, encoder: TextEncoder
) -> None:
    folder = lively_checkpoint(tmp_path_factory.mktemp("dropping") / "checkpoint")
    classifier = build(find_model(ModelConfig(id=str(folder))), "parallel", "1")
    objective = objective_of(classifier, encoder, 0)

    objective.begin_training()

    modes = [
        {module.training for module in layer.module.modules()}
        for layer in classifier.backbone.layers()
    ]
    assert modes == [{False}, {True}]
    assert not classifier.model.base_model.embeddings.training


def test_only_adapters_and_head_drop_out_where_the_backbone_is_not_to(
    tmp_path_factory: pytest.TempPathFactory, encoder: TextEncoder
) -> None:
    folder = lively_checkpoint(tmp_path_factory.mktemp("still") / "checkpoint")
    classifier = build(find_model(ModelConfig(id=str(folder))), "parallel")
    objective = objective_of(classifier, encoder, 0, dropout=Dropout.NONE)

    objective.begin_training()

    training = {name for name, module in classifier.model.named_modules() if module.training}
    assert "dropout" in training
    assert not {name for name in training if name.endswith(("self", "output.dropout"))}
    parts = {name for name, m in classifier.model.named_modules() if isinstance(m, Part)}
    assert parts
    assert parts <= training


@pytest.mark.parametrize(
    ("dropout", "alike"), [(Dropout.HIDDEN, True), (Dropout.ALL, False), (Dropout.NONE, True)]
)
def test_fused_attention_drops_nothing_where_hidden_states_alone_are_to(
    tmp_path: Path, encoder: TextEncoder, dropout: Dropout, alike: bool
) -> None:
    folder = lively_checkpoint(tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.5}
    (folder / "config.json").write_text(json.dumps(config | {"classifier_dropout": 0.0}))
    classifier = build(find_model(ModelConfig(id=str(folder))), "full")
    objective = objective_of(classifier, encoder, 0, dropout=dropout)
    objective.begin_training()
    rows = np.arange(4)

    trained = objective.loss(rows).minimized
    classifier.model.eval()

    assert torch.equal(trained, objective.loss(rows).minimized) == alike
