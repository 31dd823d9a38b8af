"""Quantization-aware training computes the same as the exported graph."""

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load_file

from edgeadapt.backbones import BACKBONES, backbone_spec
from edgeadapt.data import read_rows
from edgeadapt.errors import RecipeError
from edgeadapt.exporters.lowering import lower
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.int8 import int8_simulated
from edgeadapt.models.merge import Merged, merge
from edgeadapt.pipeline.export import ExportOptions, Quantization, export
from edgeadapt.pipeline.train import train
from edgeadapt.platforms import Platform, this_platform
from edgeadapt.quantize.candidate import Candidate, write
from edgeadapt.recipe import AdapterConfig, Exporter, Recipe, Scheme
from edgeadapt.runtime import load_engine
from edgeadapt.runtime.base import text_logits
from edgeadapt.runtime.onnxruntime_engine import OnnxRuntimeEngine
from edgeadapt.runtime.resized import KeptWidths, resize
from tests.lively import lively_recipe
from tests.models.tiny import adapt, batch, logits, make_model, randomize
from tests.store.handmade import compression_of, step_of
from tests.tokens import token_batch

EXACT = ("deberta-v2", *(name for name, spec in BACKBONES.items() if spec.plain_attention))
METHODS = ("parallel+bitfit", "parallel+lora+ia3", "full", "head")


def classifier_of(model_type: str, method: str) -> AdaptedClassifier:
    classifier = adapt(make_model(model_type), AdapterConfig(method=method, dimension=4, rank=3))
    randomize(classifier)
    return classifier


def int8_graph(merged: Merged, folder: Path, *, reduce_range: bool = False) -> OnnxRuntimeEngine:
    lower(merged, folder / "model.onnx", exporter=Exporter.TORCH)
    candidate = Candidate(Scheme.DYNAMIC_INT8, reduce_range=reduce_range)
    write(candidate, onnx.load(folder / "model.onnx"), folder / "int8.onnx", texts=())
    return OnnxRuntimeEngine(folder / "int8.onnx")


def one_by_one(engine: OnnxRuntimeEngine) -> np.ndarray:
    """Logits of the batch's texts, each alone and without padding."""
    whole = batch()
    texts = [ids[mask.bool()] for ids, mask in zip(*whole.values(), strict=True)]
    return np.concatenate([engine.run(token_batch(text[None])) for text in texts])


@pytest.mark.skipif(
    this_platform() is Platform.X86_AVX2, reason="8-bit products overflow on this CPU"
)
@pytest.mark.parametrize("model_type", EXACT)
@pytest.mark.parametrize("method", METHODS)
def test_a_padded_batch_has_the_logits_of_the_int8_graph_one_text_at_a_time(
    tmp_path: Path, model_type: str, method: str
) -> None:
    classifier = classifier_of(model_type, method)
    plain = logits(classifier.model).numpy()
    with int8_simulated(classifier.backbone):
        simulated = logits(classifier.model).numpy()

    found = one_by_one(int8_graph(merge(classifier), tmp_path))

    np.testing.assert_allclose(simulated, found, rtol=0, atol=1e-5)
    assert np.abs(plain - found).max() > 1e-3


@pytest.mark.skipif(
    this_platform() is Platform.X86_AVX2, reason="8-bit products overflow on this CPU"
)
@pytest.mark.parametrize(
    "kept",
    [
        (KeptWidths((0,), range(8)), KeptWidths((1,), range(16))),
        (KeptWidths(None, ()), KeptWidths((), range(16))),
        (KeptWidths((), ()), KeptWidths((1,), ())),
    ],
)
def test_a_pruned_model_has_the_logits_of_its_int8_graph(
    tmp_path: Path, kept: tuple[KeptWidths, ...]
) -> None:
    model, spec = make_model("bert"), backbone_spec("bert")
    resize(model, spec, kept)
    classifier = AdaptedClassifier.around(model, spec, AdapterConfig(method="lora+bitfit"))
    randomize(classifier)
    plain = logits(classifier.model).numpy()
    with int8_simulated(classifier.backbone):
        simulated = logits(classifier.model).numpy()
    for adapter in classifier.adapters.values():
        adapter.fold()

    found = one_by_one(int8_graph(Merged(model, model, (), 0), tmp_path))

    np.testing.assert_allclose(simulated, found, rtol=0, atol=1e-5)
    assert np.abs(plain - found).max() > 1e-3


@pytest.mark.parametrize("model_type", ["distilbert", "mpnet", "modernbert"])
def test_some_backbones_are_only_closer_to_their_int8_graph_than_in_float32(
    tmp_path: Path, model_type: str
) -> None:
    classifier = classifier_of(model_type, "parallel+bitfit")
    plain = logits(classifier.model).numpy()
    with int8_simulated(classifier.backbone):
        simulated = logits(classifier.model).numpy()

    found = one_by_one(int8_graph(merge(classifier), tmp_path))

    assert np.square(simulated - found).mean() < np.square(plain - found).mean()


@pytest.mark.parametrize("method", ["houlsby", "sequential"])
def test_bottlenecks_that_stay_are_rounded_too(method: str) -> None:
    classifier = classifier_of("bert", method)
    (stays,) = classifier.adapters.values()
    plain = logits(classifier.model)
    with int8_simulated(classifier.backbone):
        simulated = logits(classifier.model)
        for weight in (p for p in stays.parameters().values() if p.ndim > 1):
            step = weight.detach().abs().amax(-1, keepdim=True) / 127
            weight.data = (weight / step).round() * step  # the values that they have anyway
        torch.testing.assert_close(logits(classifier.model), simulated, rtol=0, atol=1e-5)

    assert (logits(classifier.model) - plain).abs().max() > 1e-4


@pytest.mark.parametrize(("tokens", "heads"), [(4, 4), (16, 2)])
def test_as_many_tokens_as_heads_or_as_the_model_is_wide_are_padded_rightly(
    tokens: int, heads: int
) -> None:
    model = make_model("bert", num_attention_heads=heads)
    classifier = adapt(model, AdapterConfig(method="parallel+bitfit", dimension=4))
    randomize(classifier)
    ids = torch.randint(5, 90, (24, tokens), generator=torch.Generator().manual_seed(0))
    lengths = torch.tensor([[tokens], *[[1 + number % tokens] for number in range(23)]])
    mask = (torch.arange(tokens) < lengths).long()
    with torch.no_grad(), int8_simulated(classifier.backbone):
        padded = model(input_ids=ids * mask, attention_mask=mask).logits
        alone = [
            model(input_ids=row[kept.bool()][None]).logits
            for row, kept in zip(ids, mask, strict=True)
        ]

    torch.testing.assert_close(padded, torch.cat(alone), rtol=0, atol=1e-5)


def test_seven_bits_for_cpus_whose_products_overflow(tmp_path: Path) -> None:
    classifier = classifier_of("bert", "parallel+bitfit")
    with int8_simulated(classifier.backbone, weight_bits=7):
        simulated = logits(classifier.model).numpy()

    found = one_by_one(int8_graph(merge(classifier), tmp_path, reduce_range=True))

    np.testing.assert_allclose(simulated, found, rtol=0, atol=1e-5)


def test_a_model_that_is_moved_within_the_block_takes_its_embeddings_along() -> None:
    classifier = classifier_of("bert", "parallel+bitfit")
    types = classifier.model.bert.embeddings.token_type_embeddings
    with int8_simulated(classifier.backbone):
        before = logits(classifier.model)
        types.weight.data = types.weight.data + 1  # other storage, as on another device
        moved = logits(classifier.model)

    assert not torch.equal(moved, before)


@pytest.mark.parametrize("changes", [{"compile": True}, {"precision": "bf16"}])
def test_what_would_hide_the_rounding_or_not_bear_it_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(RecipeError, match=r"training\.quant_aware: expected"):
        Recipe().updated({"training": {"quant_aware": True, **changes}}, origin="test").resolved()


def test_gradients_reach_all_that_is_trained_as_if_nothing_were_rounded() -> None:
    classifier = classifier_of("bert", "parallel+lora+ia3+bitfit")
    for parameter in classifier.trained().values():
        parameter.requires_grad_(True)
    gradients = []
    for simulated in (False, True):
        classifier.model.zero_grad()
        with int8_simulated(classifier.backbone) if simulated else nullcontext():
            classifier.model(**batch()).logits.sum().backward()
        found = [p.grad for p in classifier.trained().values() if p.grad is not None]
        gradients.append(torch.cat([gradient.flatten() for gradient in found]))

    plain, rounded = gradients
    assert plain.shape == rounded.shape
    assert torch.cosine_similarity(plain, rounded, dim=0) > 0.99
    assert not torch.equal(plain, rounded)


def test_after_the_block_everything_is_computed_as_before() -> None:
    classifier = classifier_of("bert", "parallel+bitfit")
    before = logits(classifier.model)
    with int8_simulated(classifier.backbone):
        assert not torch.equal(logits(classifier.model), before)

    assert torch.equal(logits(classifier.model), before)


def test_a_run_is_trained_and_scored_as_its_int8_model_answers(
    tmp_path: Path,
) -> None:
    recipe = lively_recipe(tmp_path, method="parallel+bitfit", quant_aware=True)
    run = train(recipe, output=tmp_path / "run")
    assert run.info.recipe.training.quant_aware is True

    options = ExportOptions(quantize=Quantization(), max_drop=1.0, exporter=Exporter.TORCH)
    bundle = export(run, options=options, output=tmp_path / "bundle")
    rows = read_rows(run.path / "predictions.csv")
    found = text_logits(
        load_engine(bundle, "int8"), bundle.text_encoder(), [row["text"] for row in rows]
    )

    assert [run.info.labels[label] for label in found.argmax(1)] == [r["prediction"] for r in rows]
    assert run.info.validation.accuracy == compression_of(bundle).spent.accuracy_after
    assert len(step_of(bundle, "quantize").trials) == 1  # no other way was simulated


def test_a_run_can_be_finished_quant_aware(tmp_path: Path) -> None:
    run = train(lively_recipe(tmp_path), output=tmp_path / "run")
    finish = Recipe.load(str(run.path)).updated(
        {
            "adapter": {"start": str(run.path)},
            "training": {"quant_aware": True, "epochs": 1, "learning_rate": 1e-6},
        },
        origin="test",
    )

    finished = train(finish, output=tmp_path / "finished")

    before, after = (
        load_file(each.path / "weights" / "adapter.safetensors") for each in (run, finished)
    )
    for name, tensor in before.items():
        torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-4)
        assert not torch.equal(after[name], tensor)
