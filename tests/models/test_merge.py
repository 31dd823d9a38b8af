"""Folding adapters: exact, to a stock model, and rejected where it is not exact."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from edgeadapt.adapters import Kept, Reads
from edgeadapt.adapters.parts import Part
from edgeadapt.backbones import BackboneSpec, backbone_spec
from edgeadapt.errors import ExportError
from edgeadapt.metrics import Parity
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.merge import merge
from edgeadapt.models.sources import find_model
from edgeadapt.models.unshare import unshare
from edgeadapt.recipe import AdapterConfig, AdapterKind, LoraTarget, ModelConfig, Placement
from edgeadapt.runtime.resized import KeptWidths, keep_layers, resize
from edgeadapt.store.gates import Leftover
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import (
    HIDDEN,
    INTERMEDIATE,
    LABELS,
    LAYERS,
    adapt,
    batch,
    logits,
    make_model,
    randomize,
    randomized,
)

pytestmark = pytest.mark.transformers5

FOLDS = ("parallel", "lora", "ia3", "bitfit", "layernorm", "head", "full")
STAYS = ("sequential", "houlsby", "compacter")
COMBINED = (
    "parallel+lora+ia3+bitfit",
    "lora+layernorm",
    "ia3+parallel+layernorm",
    "houlsby+layernorm",
    "sequential+parallel+lora+ia3",
)
PARITY = Parity("merge", 1e-7, 1e-5, 64, 1.0)
METHODS = (*FOLDS, *STAYS, *COMBINED)
FUNCTIONS = {"gelu": F.gelu, "relu": F.relu, "tanh": torch.tanh}
every_backbone = pytest.mark.parametrize("model_type", TINY_CONFIGS)


def config(method: str, **values: object) -> AdapterConfig:
    return AdapterConfig(**{"method": method, "dimension": 4, "rank": 3, **values})  # type: ignore[arg-type]


def adapted(model_type: str, method: str = "parallel", **values: object) -> AdaptedClassifier:
    """A classifier whose adapters hold random values, the up-projections too."""
    classifier = adapt(make_model(model_type), config(method, **values))
    randomize(classifier)
    return classifier


def stock_of(model_type: str, method: str) -> PreTrainedModel:
    """The backbone without adapters; ALBERT's layers are told apart where the method has to."""
    model, spec = make_model(model_type), backbone_spec(model_type)
    in_place = {"bitfit", "layernorm", "head", "full"}
    return model if spec.groups_key is None or {method} <= in_place else unshare(model, spec)


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    return list(model.get_submodule(backbone_spec(model.config.model_type).layers).children())


def macs(model: PreTrainedModel) -> int:
    """Multiply-accumulates of a pass through the model, counted by torch."""
    with FlopCounterMode(display=False) as counted:
        logits(model)
    return counted.get_total_flops() // 2


def in_plain_transformers(folder: Path) -> PreTrainedModel:
    """Loads a checkpoint with nothing of ours and asserts that each key fits."""
    model, report = AutoModelForSequenceClassification.from_pretrained(
        folder, output_loading_info=True
    )
    assert not any(report.values()), report
    return model.eval()


@st.composite
def configs(draw: st.DrawFn, model_type: str) -> AdapterConfig:
    """Any method that can be trained, in any shape."""
    kinds: list[str] = draw(st.lists(st.sampled_from(AdapterKind), min_size=1, unique=True))
    assume(len(set(kinds) & set(STAYS)) < 2)
    return AdapterConfig(
        method="+".join(kinds),
        dimension=draw(st.integers(1, 3)) * 4,
        reduction_factor=draw(st.sampled_from([None, 4.0, 2.0, 1.0])),
        activation=draw(st.sampled_from([None, *FUNCTIONS])),
        scaling=draw(st.floats(-4, 4)),
        learn_scaling=draw(st.booleans()),
        placement=draw(st.sampled_from([None, *Placement])),
        layers=draw(st.sampled_from([None, "0", "1", "0-1"])),
        dropout=draw(st.sampled_from([0.0, 0.5])),
        rank=draw(st.integers(1, 20)),
        targets="+".join(draw(st.lists(st.sampled_from(LoraTarget), min_size=1, unique=True))),
        original_ln_before=model_type != "modernbert" and draw(st.booleans()),
    )


def put_back(model: PreTrainedModel, kept: Sequence[Kept], spec: BackboneSpec) -> None:
    """Adds bottlenecks to a stock model as their description says, without any part of ours."""
    for each in kept:
        layer = model.get_submodule(each.layer)
        first, last, norm = (
            (spec.value.dense, spec.attention_output, spec.attention_norm)
            if each.sublayer == "attention"
            else (spec.ffn_in, spec.ffn_out, spec.ffn_norm)
        )
        normalize = layer.get_submodule(norm) if norm else None
        seen: list[Tensor] = []

        def remember(_: object, given_in: tuple[Tensor], seen: list[Tensor] = seen) -> None:
            seen[:] = given_in

        def add(
            _: object,
            __: object,
            h: Tensor,
            each: Kept = each,
            seen: list[Tensor] = seen,
            norm: Any = normalize,
        ) -> Tensor:
            read = {Reads.OUTPUT: lambda: h, Reads.INPUT: lambda: seen[0]}.get(
                each.reads, lambda: norm(h + seen[0])
            )()
            inner = FUNCTIONS[each.activation](read @ each.down.weight.T + each.down.bias)
            return h + inner @ each.up.weight.T + each.up.bias

        layer.get_submodule(first).register_forward_pre_hook(remember)
        layer.get_submodule(last).register_forward_hook(add)


@every_backbone
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_in_float64_any_method_in_any_shape_folds_exactly(
    model_type: str, data: st.DataObject
) -> None:
    values = data.draw(configs(model_type))
    classifier = randomized(model_type, values, seed=data.draw(st.integers(0, 2**31)))
    expected = logits(classifier.model)

    merged = merge(classifier)

    assert next(merged.model.parameters()).dtype is torch.float64
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-10)
    assert not [module for module in merged.stock.modules() if isinstance(module, Part)]
    # The stock model and what is said of the kept bottlenecks are the whole truth.
    put_back(merged.stock, merged.kept, backbone_spec(model_type))
    torch.testing.assert_close(logits(merged.stock), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", METHODS)
@every_backbone
def test_in_float32_merging_keeps_the_logits_to_1e_5(model_type: str, method: str) -> None:
    classifier = adapted(model_type, method)
    expected = logits(classifier.model)

    merged = merge(classifier)

    assert (expected - logits(make_model(model_type))).abs().max() > 0.01 or method == "head"
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", [*FOLDS, *COMBINED[:3]])
@every_backbone
def test_what_folds_is_the_stock_class_and_loads_in_plain_transformers(
    model_type: str, method: str, tmp_path: Path
) -> None:
    stock, spec = stock_of(model_type, method), backbone_spec(model_type)
    widened = 4 if "parallel" in method else 0
    classifier = adapted(model_type, method)
    expected = logits(classifier.model)

    merged = merge(classifier)
    returned = merged.save(tmp_path)

    plain = in_plain_transformers(tmp_path)
    assert merged.is_stock
    assert merged.model is merged.stock
    assert merged.leftover == Leftover(parameters=0, macs_per_token=0, bottlenecks=0)
    for model in (merged.model, returned, plain):
        assert type(model) is type(stock)
        assert getattr(model.config, spec.intermediate_key) == INTERMEDIATE + widened
    assert [type(m) for m in merged.model.modules()] == [type(m) for m in stock.modules()]
    if not (spec.gate_bias_key and widened):
        assert merged.model.state_dict().keys() == stock.state_dict().keys()
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=1e-5)
    assert torch.equal(logits(returned), logits(merged.model))


def test_a_gated_ffn_gets_biases_only_where_it_is_widened() -> None:
    keys = set(make_model("modernbert").state_dict())

    widened, plain = (merge(adapted("modernbert", m)).model for m in ("parallel", "lora+ia3"))

    assert widened.config.mlp_bias is True
    assert plain.config.mlp_bias is False
    assert set(plain.state_dict()) == keys
    assert set(widened.state_dict()) - keys == {
        f"model.layers.{layer}.mlp.{name}.bias" for layer in range(LAYERS) for name in ("Wi", "Wo")
    }


BIASED = {"mlp_bias": True, "attention_bias": True, "norm_bias": True}


@pytest.mark.parametrize("method", ["parallel", "parallel+lora+ia3+bitfit", "houlsby"])
def test_a_gated_ffn_that_has_biases_keeps_them(method: str, tmp_path: Path) -> None:
    stock = make_model("modernbert", **BIASED)
    keys = set(stock.state_dict())
    classifier = adapt(stock, config(method))
    randomize(classifier)
    expected = logits(classifier.model)

    merged = merge(classifier)

    merged.stock.save_pretrained(tmp_path)
    plain = in_plain_transformers(tmp_path)
    assert set(plain.state_dict()) == keys
    assert plain.config.mlp_bias is plain.config.attention_bias is True
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)
    # Unlike without biases, the bottlenecks' up-biases have a place to go.
    sites = merged.leftover.bottlenecks
    assert sites == (2 * LAYERS if method == "houlsby" else 0)
    assert merged.leftover.parameters == sites * (2 * HIDDEN * 4 + 4)


@pytest.mark.parametrize("depth", [1, 2])
@every_backbone
def test_what_was_cut_to_its_first_layers_merges_and_loads_in_plain_transformers(
    model_type: str, depth: int, tmp_path: Path
) -> None:
    spec = backbone_spec(model_type)
    make_model(model_type, **{spec.depth_key: 3}).save_pretrained(tmp_path / "whole")
    source = find_model(ModelConfig(id=str(tmp_path / "whole")))
    classifier = AdaptedClassifier.build(source, LABELS, config("parallel"), depth=depth)
    randomize(classifier)
    expected = logits(classifier.model.eval())

    merge(classifier).save(tmp_path / "merged")

    plain = in_plain_transformers(tmp_path / "merged")
    assert getattr(plain.config, spec.depth_key) == len(layers_of(plain)) == depth
    torch.testing.assert_close(logits(plain), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("method", ["parallel", "lora", "houlsby", "ia3+layernorm"])
def test_alberts_layers_are_told_apart_and_the_bytes_that_costs_are_reported(method: str) -> None:
    layer = sum(p.numel() for p in layers_of(make_model("albert"))[0].parameters())

    merged = merge(adapted("albert", method))

    assert merged.stock.config.num_hidden_groups == merged.stock.config.num_hidden_layers == 2
    assert len(layers_of(merged.stock)) == 2
    assert merged.unshared_bytes == 4 * layer
    assert merged.gate(PARITY).unshared_bytes == 4 * layer


@pytest.mark.parametrize("method", ["bitfit", "layernorm", "head", "full"])
def test_alberts_layers_stay_shared_where_weights_are_trained_in_place(method: str) -> None:
    merged = merge(adapted("albert", method))

    assert merged.stock.config.num_hidden_groups == 1
    assert merged.unshared_bytes == 0


@pytest.mark.parametrize("model_type", sorted(set(TINY_CONFIGS) - {"albert"}))
def test_a_backbone_without_shared_layers_grows_by_nothing(model_type: str) -> None:
    assert merge(adapted(model_type, "houlsby")).unshared_bytes == 0


@pytest.mark.parametrize("layers", ["0", "1"])
@every_backbone
def test_layers_without_an_adapter_are_padded_with_neurons_of_weight_zero(
    model_type: str, layers: str
) -> None:
    classifier = adapted(model_type, layers=layers)
    spec, other = classifier.backbone.spec, 1 - int(layers)
    expected = logits(classifier.model)

    merged = merge(classifier)

    untouched = layers_of(stock_of(model_type, "parallel"))[other]
    padded = layers_of(merged.stock)[other]
    first, last = (padded.get_submodule(name) for name in (spec.ffn_in, spec.ffn_out))
    assert torch.equal(last.weight[:, :INTERMEDIATE], untouched.get_submodule(spec.ffn_out).weight)
    assert not last.weight[:, INTERMEDIATE:].any()
    assert not first.weight[INTERMEDIATE : INTERMEDIATE + 4].any()
    assert merged.is_stock
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)


Case = tuple[str, dict[str, object], int]

ALL_STAYS: list[Case] = [
    ("sequential", {}, 1),
    ("houlsby", {}, 2),
    ("compacter", {}, 2),
    ("houlsby", {"layers": "1"}, 2),
    ("houlsby", {"placement": Placement.ATTENTION}, 1),
    ("sequential", {"original_ln_before": True}, 1),
    ("parallel", {"activation": "relu"}, 1),
    ("parallel", {"placement": Placement.ATTENTION}, 1),
]
"""Method, options, bottlenecks that stay per layer that has any."""
SOME_STAYS: list[Case] = [
    ("parallel", {"placement": Placement.BOTH}, 1),
    ("sequential+parallel", {}, 1),
]


def on_every_backbone(cases: list[Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("model_type", "method", "values", "sites"),
        [
            pytest.param(model_type, *case, id=" ".join([model_type, case[0], *case[1]]))
            for model_type in TINY_CONFIGS
            for case in cases
            # ModernBERT has no LayerNorm to read.
            if not (model_type == "modernbert" and "original_ln_before" in case[1])
        ],
    )


@on_every_backbone(ALL_STAYS + SOME_STAYS)
def test_what_stays_is_told_in_numbers(
    model_type: str, method: str, values: dict[str, object], sites: int
) -> None:
    classifier = adapted(model_type, method, scaling=2.0, **values)
    expected = logits(classifier.model)
    count = sites * (1 if "layers" in values else LAYERS)
    # The up-bias stays too where a LayerNorm is read or the dense layer has no bias to add it to;
    # neurons from elsewhere bring one.
    biased = model_type != "modernbert" or method == "sequential+parallel"
    up_bias = 0 if biased and "original_ln_before" not in values else HIDDEN

    merged = merge(classifier)

    assert not merged.is_stock
    assert merged.leftover == Leftover(
        parameters=count * (2 * HIDDEN * 4 + 4 + up_bias),
        macs_per_token=count * 2 * HIDDEN * 4,
        bottlenecks=count,
    )
    tokens = batch()["input_ids"].numel()
    assert macs(merged.model) - macs(merged.stock) == tokens * merged.leftover.macs_per_token
    torch.testing.assert_close(logits(merged.model), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model_type", ["bert", "albert"])
@pytest.mark.parametrize("method", ["parallel", "houlsby"])
def test_the_gate_of_the_merge_is_plain_json(model_type: str, method: str) -> None:
    merged = merge(adapted(model_type, method))

    assert json.loads(json.dumps(asdict(merged.gate(PARITY)))) == {
        "parity": asdict(PARITY),
        "leftover": {
            "parameters": merged.leftover.parameters,
            "macs_per_token": merged.leftover.macs_per_token,
            "bottlenecks": 0 if method == "parallel" else 4,
        },
        "unshared_bytes": merged.unshared_bytes,
    }


@on_every_backbone(ALL_STAYS)
def test_bottlenecks_without_an_up_bias_leave_the_backbones_weights_as_they_were(
    model_type: str, method: str, values: dict[str, object], sites: int
) -> None:
    classifier = adapted(model_type, method, **values)
    for name, parameter in classifier.adapter_parameters().items():
        if name.endswith("up.bias"):
            parameter.data.zero_()

    found = merge(classifier).stock.state_dict()

    expected = stock_of(model_type, method).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("method", [*STAYS, "parallel"])
@every_backbone
def test_where_something_stays_the_stock_model_is_the_whole_without_it(
    model_type: str, method: str, tmp_path: Path
) -> None:
    merged = merge(adapted(model_type, method, activation="tanh"))
    whole = logits(merged.model)
    with torch.no_grad():
        for each in merged.kept:
            each.up.weight.zero_()
            each.up.bias.zero_()

    merged.stock.save_pretrained(tmp_path)

    plain = in_plain_transformers(tmp_path)
    assert type(merged.stock) is type(make_model(model_type))
    torch.testing.assert_close(logits(plain), logits(merged.model), rtol=0, atol=1e-5)
    assert (whole - logits(merged.stock)).abs().max() > 0.01


@pytest.mark.parametrize(
    ("method", "values"),
    [(m, {}) for m in STAYS]
    + [("parallel", {"activation": "relu"}), ("parallel", {"placement": Placement.ATTENTION})],
)
def test_a_model_with_bottlenecks_that_stay_refuses_to_be_saved(
    method: str, values: dict[str, object], tmp_path: Path
) -> None:
    merged = merge(adapted("bert", method, **values))
    count, parameters = merged.leftover.bottlenecks, merged.leftover.parameters

    with pytest.raises(ExportError, match="cannot be saved as a stock checkpoint") as caught:
        merged.save(tmp_path / "torch")

    assert f"{count} bottlenecks with {parameters:,} parameters stay" in str(caught.value)
    assert "--method parallel" in caught.value.hint
    assert not (tmp_path / "torch").exists()


@pytest.mark.parametrize("method", ["parallel", "houlsby"])
def test_the_merged_model_answers_without_dropout(method: str) -> None:
    classifier = adapted("bert", method, dropout=0.5)
    classifier.model.train()

    merged = merge(classifier)

    for model in (merged.model, merged.stock):
        assert not any(module.training for module in model.modules())
        assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("method", ["parallel", "sequential"])
def test_the_merged_model_knows_its_labels(method: str) -> None:
    model = make_model("bert", num_labels=3)
    model.config.id2label = {0: "bad", 1: "so-so", 2: "good"}

    merged = merge(adapt(model, config(method)))

    assert merged.stock.config.id2label == {0: "bad", 1: "so-so", 2: "good"}
    assert merged.model.config.id2label == {0: "bad", 1: "so-so", 2: "good"}


def test_ffns_of_different_widths_are_refused() -> None:
    classifier = adapted("bert")
    classifier.adapters["parallel"].fold()
    layer = classifier.backbone.layers()[1].module
    layer.set_submodule("output.dense", nn.Linear(INTERMEDIATE, HIDDEN))

    with pytest.raises(ExportError, match=r"different widths.*\[24, 28\]"):
        merge(replace(classifier, adapters={}))


UNEQUAL = [KeptWidths(neurons=range(5)), KeptWidths(neurons=())]
RESIZABLE = [name for name in TINY_CONFIGS if not backbone_spec(name).groups_key]


@pytest.mark.parametrize("model_type", RESIZABLE)
def test_layers_of_different_widths_are_saved_but_no_stock_model(
    model_type: str, tmp_path: Path
) -> None:
    merged = merge(adapted(model_type, "lora"))
    resize(merged.model, backbone_spec(model_type), UNEQUAL)

    pruned = merged.resized(merged.model)

    assert pruned.structure is not None
    assert pruned.structure.neurons == (5, 0)
    assert (merged.is_stock, pruned.is_stock) == (True, False)
    assert pruned.model is pruned.stock
    again = pruned.save(tmp_path)
    torch.testing.assert_close(logits(again), logits(pruned.model), rtol=0, atol=1e-6)


def test_layers_of_equal_widths_stay_a_stock_model(tmp_path: Path) -> None:
    merged = merge(adapted("bert", "lora"))
    resize(merged.model, backbone_spec("bert"), [KeptWidths(neurons=range(5))] * LAYERS)
    keep_layers(merged.model, backbone_spec("bert"), range(1))

    pruned = merged.resized(merged.model)

    assert pruned.is_stock
    pruned.save(tmp_path)
    plain = in_plain_transformers(tmp_path)
    torch.testing.assert_close(logits(plain), logits(pruned.model), rtol=0, atol=1e-6)


def test_a_model_with_bottlenecks_that_stay_is_not_resized() -> None:
    merged = merge(adapted("bert", "houlsby"))

    with pytest.raises(ExportError, match="cannot be resized: 4 bottlenecks stay beside"):
        merged.resized(merged.model)
