"""The head of a fine-tuned classifier, matched with other labels."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from edgeadapt.backbones import STOCK_HEADS
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.sources import find_model
from edgeadapt.outputs import Rows
from edgeadapt.recipe import AdapterConfig, ModelConfig, Task
from tests.conftest import TINY_CONFIGS
from tests.lively import finished_checkpoint
from tests.models.tiny import logits

NAMES = ("good", "bad", "so-so")


def build(
    folder: Path, labels: tuple[str, ...], *, task: Task = Task.SINGLE_LABEL, **options: object
) -> AdaptedClassifier:
    torch.manual_seed(0)
    return AdaptedClassifier.build(
        find_model(ModelConfig(id=str(folder))),
        labels,
        AdapterConfig(method="head"),
        task=task,
        **options,  # type: ignore[arg-type]
    )


def stock_logits(folder: Path) -> torch.Tensor:
    return logits(AutoModelForSequenceClassification.from_pretrained(folder).eval())


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_the_outputs_follow_their_names(model_type: str, tmp_path: Path) -> None:
    folder = finished_checkpoint(tmp_path / "model", NAMES, model_type)
    expected = stock_logits(folder)

    classifier = build(folder, ("bad", "so-so", "good"))

    assert classifier.new_head == frozenset()
    assert torch.equal(logits(classifier.model), expected[:, [1, 2, 0]])
    assert classifier.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    assert "order bad, so-so, good" in classifier.checkpoint_head.note
    frozen = build(folder, NAMES).frozen_sha256()
    assert classifier.frozen_sha256() == frozen


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_for_other_labels_the_output_layer_alone_is_drawn_anew(
    model_type: str, tmp_path: Path
) -> None:
    folder = finished_checkpoint(tmp_path / "model", NAMES, model_type)
    out = STOCK_HEADS[model_type].out

    own, other, again = build(folder, NAMES), *(build(folder, ("x", "y", "z")) for _ in range(2))

    assert other.new_head == {f"{out}.weight", f"{out}.bias"}
    assert "other labels, good, bad, so-so" in other.checkpoint_head.note
    for name, parameter in own.backbone.head.items():
        is_kept = not name.startswith(f"{out}.")
        assert torch.equal(other.backbone.head[name], parameter) == is_kept, name
        assert torch.equal(other.backbone.head[name], again.backbone.head[name])
    weight = other.backbone.head[f"{out}.weight"]
    assert 0.1 < float(weight.std()) / other.model.config.initializer_range < 3


def test_labels_of_another_number_get_a_new_head_and_it_is_said(tmp_path: Path) -> None:
    folder = finished_checkpoint(tmp_path / "model", NAMES)

    classifier = build(folder, ("good", "bad"))

    assert classifier.new_head == {"classifier.weight", "classifier.bias"}
    assert "other labels, good, bad, so-so" in classifier.checkpoint_head.note


def test_an_encoder_alone_has_no_head_to_speak_of(checkpoint: Path) -> None:
    head = build(checkpoint, ("x", "y")).checkpoint_head

    assert (head.found, head.note) == (False, "")


def test_a_head_for_sets_of_labels_is_not_used_for_one_label(tmp_path: Path) -> None:
    folder = finished_checkpoint(
        tmp_path / "model", NAMES, problem_type="multi_label_classification"
    )

    same = build(folder, NAMES, task=Task.MULTI_LABEL)
    other = build(folder, NAMES, task=Task.SINGLE_LABEL)

    assert same.new_head == frozenset()
    assert other.new_head == {"classifier.weight", "classifier.bias"}
    assert "multi-label" in other.checkpoint_head.note


def test_a_head_with_other_outputs_than_config_json_says_is_drawn_anew_and_it_is_said(
    tmp_path: Path,
) -> None:
    two = {"id2label": {"0": "good", "1": "bad"}, "label2id": {"good": 0, "bad": 1}}
    folder = finished_checkpoint(tmp_path / "model", NAMES, **two)

    classifier = build(folder, ("good", "bad"))

    assert classifier.new_head == {"classifier.weight", "classifier.bias"}
    assert "config.json" in classifier.checkpoint_head.note


def test_which_output_is_which_may_be_given_in_place_of_the_names(tmp_path: Path) -> None:
    folder = finished_checkpoint(tmp_path / "model", NAMES)

    classifier = build(folder, ("x", "y", "z"), rows=Rows((2, 1, 0)))

    assert torch.equal(logits(classifier.model), stock_logits(folder)[:, [2, 1, 0]])
