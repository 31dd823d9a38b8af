"""The bottleneck, and the common behaviour of kinds that insert it after a sublayer."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from edgeadapt.adapters import Reads
from edgeadapt.adapters.bottleneck import Bottleneck
from edgeadapt.adapters.parts import innermost
from edgeadapt.backbones import backbone_spec
from edgeadapt.errors import ModelError
from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.recipe import AdapterConfig, Placement
from tests.adapters.formulas import bottleneck, plain, random, values_of
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import (
    HIDDEN,
    INTERMEDIATE,
    adapt,
    batch,
    logits,
    make_model,
    place,
    randomized,
)

pytestmark = pytest.mark.transformers5

KINDS = ("sequential", "houlsby", "compacter")
FUNCTIONS = {"relu": F.relu, "gelu": F.gelu, "silu": F.silu, "tanh": torch.tanh}
POST_NORM = sorted(set(TINY_CONFIGS) - {"modernbert"})


def config(method: str, **values: object) -> AdapterConfig:
    return AdapterConfig(**{"method": method, "dimension": 4, **values})  # type: ignore[arg-type]


def randomly(module: nn.Module) -> dict[str, Tensor]:
    """Gives a module random values in float64; returns its parameters."""
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


@given(
    hidden=st.integers(1, 24),
    width=st.integers(1, 24),
    activation=st.sampled_from(sorted(FUNCTIONS)),
    scaling=st.floats(-8, 8),
    learned=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_it_computes_the_papers_formula(
    hidden: int, width: int, activation: str, scaling: float, learned: bool
) -> None:
    module = Bottleneck(
        hidden,
        AdapterConfig(dimension=width, scaling=scaling, learn_scaling=learned),
        activation,
    ).eval()
    values = randomly(module)
    factor = values["scaling"].item() if learned else scaling
    given_in = random(2, 3, hidden)

    expected = bottleneck(given_in, values, scaling=factor, f=FUNCTIONS[activation])

    torch.testing.assert_close(module(given_in), expected, rtol=1e-12, atol=1e-10)


@given(scaling=st.floats(-8, 8), learned=st.booleans(), seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_settling_changes_no_answer_once_or_twice(scaling: float, learned: bool, seed: int) -> None:
    torch.manual_seed(seed)
    values = AdapterConfig(dimension=3, scaling=scaling, learn_scaling=learned)
    module = Bottleneck(5, values, "relu").eval()
    randomly(module)
    hidden = random(4, 5)
    expected = module(hidden)

    down, up = module.settle()
    by_hand = F.relu(hidden @ down.weight.T + down.bias) @ up.weight.T + up.bias
    module.settle()

    torch.testing.assert_close(by_hand, expected, rtol=0, atol=1e-11)
    torch.testing.assert_close(module(hidden), expected, rtol=0, atol=1e-11)


@given(hidden=st.integers(1, 400), factor=st.floats(0.25, 400))
@settings(max_examples=50, deadline=None)
def test_a_reduction_factor_gives_the_whole_part_of_the_quotient(
    hidden: int, factor: float
) -> None:
    values = AdapterConfig(dimension=7, reduction_factor=factor)
    if factor > hidden:
        with pytest.raises(ModelError, match=f"leaves no neuron of {hidden}"):
            Bottleneck(hidden, values, "relu")
        return

    module = Bottleneck(hidden, values, "relu")

    width = int(hidden // factor)
    assert module.down.weight.shape == (width, hidden)
    assert module.up.weight.shape == (hidden, width)


@pytest.mark.parametrize(("factor", "width"), [(2.0, 8), (3.0, 5), (5.5, 2), (16.0, 1), (0.5, 32)])
def test_the_reduction_factor_takes_the_place_of_the_dimension(factor: float, width: int) -> None:
    classifier = adapt(make_model("bert"), config("houlsby", reduction_factor=factor))

    down = classifier.adapter_parameters()["houlsby.layers.0.attention.down.weight"]

    assert down.shape == (width, HIDDEN)


def test_a_reduction_factor_that_is_too_large_is_refused_with_the_largest() -> None:
    with pytest.raises(ModelError, match="expected at most 16") as caught:
        adapt(make_model("bert"), config("sequential", reduction_factor=16.5))

    assert "--reduction-factor" in caught.value.hint


def test_up_starts_at_zero_and_down_uniform_after_kaiming() -> None:
    module = Bottleneck(64, AdapterConfig(dimension=256), "relu")

    assert not module.up.weight.any()
    assert not module.up.bias.any()
    assert not module.down.bias.any()
    # Uniform between plus and minus 1 / sqrt(64).
    assert 0.12 < module.down.weight.abs().max().item() <= 0.125
    assert module.down.weight.std().item() == pytest.approx(0.125 / 3**0.5, rel=0.05)


@pytest.mark.parametrize("scaling", [1.0, -2.5])
def test_a_learned_scaling_is_one_number_that_starts_where_it_is_told(scaling: float) -> None:
    values = config("houlsby", scaling=scaling, learn_scaling=True)

    parameters = adapt(make_model("bert"), values).adapter_parameters()

    learned = {name: p.item() for name, p in parameters.items() if name.endswith(".scaling")}
    assert learned == {
        f"houlsby.layers.{layer}.{sublayer}.scaling": scaling
        for layer in (0, 1)
        for sublayer in ("attention", "ffn")
    }


@pytest.mark.parametrize("kind", ["parallel", *KINDS])
def test_a_fixed_scaling_is_not_listed(kind: str) -> None:
    listed = adapt(make_model("bert"), config(kind, scaling=2.0)).adapter_parameters()

    assert not [name for name in listed if name.endswith("scaling")]


@pytest.mark.parametrize("kind", ["parallel", *KINDS])
def test_an_unknown_activation_is_refused_by_name(kind: str) -> None:
    with pytest.raises(ModelError, match=r"'wiggle': expected one of .*gelu.*relu"):
        adapt(make_model("bert"), config(kind, activation="wiggle"))


def test_dropout_drops_what_is_added_and_only_in_training() -> None:
    module = Bottleneck(64, AdapterConfig(dimension=4, dropout=0.75, scaling=2.0), "relu").eval()
    randomly(module)
    hidden = random(8, 64)

    answered = module(hidden)
    dropped = module.train()(hidden)

    kept = dropped != 0
    assert (answered != 0).all()
    assert 0.15 < kept.double().mean() < 0.35
    torch.testing.assert_close(dropped[kept], 4 * answered[kept])


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("sublayer", ["attention", "ffn"])
def test_the_dense_layers_output_is_what_the_bottleneck_reads_and_adds_to(
    model_type: str, sublayer: str
) -> None:
    classifier = randomized(model_type, config("houlsby", activation="tanh", scaling=1.5))
    values = values_of(classifier.adapter_parameters(), f"houlsby.layers.1.{sublayer}")
    spec = classifier.backbone.spec
    name = spec.attention_output if sublayer == "attention" else spec.ffn_out
    inner = random(2, 3, HIDDEN if sublayer == "attention" else INTERMEDIATE)

    dense = plain(model_type, name, 1)(inner)

    expected = dense + bottleneck(dense, values, scaling=1.5, f=torch.tanh)
    torch.testing.assert_close(place(classifier, name, 1)(inner), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize(("asked", "taken"), [(None, "silu"), ("gelu", "gelu")])
def test_without_an_activation_the_backbones_is_taken(
    model_type: str, asked: str | None, taken: str
) -> None:
    key = backbone_spec(model_type).activation_key
    classifier = adapt(make_model(model_type, **{key: "silu"}), config("houlsby", activation=asked))

    kept = classifier.adapters["houlsby"].fold()

    assert {each.activation for each in kept} == {taken}


@pytest.mark.parametrize("kind", ["parallel", *KINDS])
@pytest.mark.parametrize("placement", Placement)
@pytest.mark.parametrize("layers", [None, "1"])
def test_bottlenecks_are_where_placement_and_layers_say(
    kind: str, placement: Placement, layers: str | None
) -> None:
    classifier = adapt(make_model("bert"), config(kind, placement=placement, layers=layers))

    sites = {".".join(name.split(".")[1:4]) for name in classifier.adapter_parameters()}

    numbers = [0, 1] if layers is None else [1]
    sublayers = ["attention", "ffn"] if placement == "both" else [str(placement)]
    assert sites - {"shared"} == {f"layers.{n}.{sub}" for n in numbers for sub in sublayers}


@pytest.mark.parametrize("kind", ["parallel", *KINDS, "lora", "ia3"])
def test_layers_that_do_not_exist_are_refused_with_those_that_do(kind: str) -> None:
    with pytest.raises(ModelError, match="expected numbers from 0 to 1"):
        adapt(make_model("bert"), config(kind, layers="1-2"))


@contextmanager
def recorded(classifier: AdaptedClassifier, names: dict[str, str]) -> Iterator[dict[str, Tensor]]:
    """Holds the latest input (``in``) or output (``out``) of modules of layer 0."""
    seen: dict[str, Tensor] = {}
    hooks = []
    for name, which in names.items():
        module = place(classifier, name)
        module = module if isinstance(module, nn.LayerNorm) else innermost(module)

        def keep(_: object, given_in: tuple[Tensor], out: Tensor, key: str = name + which) -> None:
            seen[key] = given_in[0] if key.endswith("in") else out

        hooks.append(module.register_forward_hook(keep))
    yield seen
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("model_type", POST_NORM)
@pytest.mark.parametrize("sublayer", ["attention", "ffn"])
@pytest.mark.parametrize("kind", ["houlsby", "sequential"])
def test_original_ln_before_reads_the_layer_norm_of_the_residual_sum(
    model_type: str, sublayer: str, kind: str
) -> None:
    """``LN(s · (U f(D LN(h + x) + d) + u) + h + x)``, as AdapterHub's ``seq_bn`` has it."""
    values = config(
        kind,
        original_ln_before=True,
        scaling=1.5,
        activation="relu",
        placement=Placement(sublayer),
    )
    classifier = randomized(model_type, values)
    own = values_of(classifier.adapter_parameters(), f"{kind}.layers.0.{sublayer}")
    spec = classifier.backbone.spec
    first, last, norm = (
        (spec.value.dense, spec.attention_output, spec.attention_norm)
        if sublayer == "attention"
        else (spec.ffn_in, spec.ffn_out, spec.ffn_norm)
    )
    assert norm is not None

    with recorded(classifier, {first: "in", last: "out", norm: "out"}) as seen:
        logits(classifier.model)

    x, h = seen[first + "in"], seen[last + "out"]
    layer_norm = place(classifier, norm)
    expected = layer_norm(
        bottleneck(layer_norm(h + x), own, scaling=1.5, f=F.relu) + h + x,
    )
    torch.testing.assert_close(seen[norm + "out"], expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_original_ln_before_is_refused_where_norms_come_before(kind: str) -> None:
    with pytest.raises(ModelError, match="modernbert has no LayerNorm after its sublayers"):
        adapt(make_model("modernbert"), config(kind, original_ln_before=True))


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
@pytest.mark.parametrize("kind", KINDS)
def test_folding_keeps_every_bottleneck_and_says_where_it_is(model_type: str, kind: str) -> None:
    classifier = randomized(model_type, config(kind, activation="tanh", layers="1", scaling=3.0))

    kept = classifier.adapters[kind].fold()

    path = f"{classifier.backbone.spec.layers}.1"
    sublayers = ["ffn"] if kind == "sequential" else ["attention", "ffn"]
    assert [(each.layer, each.sublayer) for each in kept] == [(path, sub) for sub in sublayers]
    for each in kept:
        assert each.reads is Reads.OUTPUT
        assert each.activation == "tanh"
        assert each.norm is None
        assert type(each.down) is type(each.up) is nn.Linear
        assert each.down.weight.shape == (4, HIDDEN)
        assert each.up.weight.shape == (HIDDEN, 4)


@pytest.mark.parametrize("sublayer", ["attention", "ffn"])
def test_scaling_and_up_bias_are_folded_away(sublayer: str) -> None:
    """With ``h' = h + s u``: ``h + s (U f(D h + d) + u) = h' + sU f(D h' + d - D s u)``."""
    classifier = randomized("bert", config("houlsby", scaling=-2.0))
    own = values_of(classifier.adapter_parameters(), f"houlsby.layers.0.{sublayer}")
    spec = classifier.backbone.spec
    name = spec.attention_output if sublayer == "attention" else spec.ffn_out

    kept = classifier.adapters["houlsby"].fold()[0 if sublayer == "attention" else 1]

    u = -2.0 * own["up.bias"]
    for found, expected in (
        (kept.up.weight, -2.0 * own["up.weight"]),
        (kept.up.bias, torch.zeros_like(u)),
        (kept.down.weight, own["down.weight"]),
        (kept.down.bias, own["down.bias"] - own["down.weight"] @ u),
        (innermost(place(classifier, name)).bias, plain("bert", name).bias + u),
    ):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    assert kept.parameters == 2 * HIDDEN * 4 + 4


def test_the_up_bias_stays_where_what_is_read_is_normalized() -> None:
    classifier = randomized("bert", config("sequential", original_ln_before=True, scaling=2.0))
    name = "sequential.layers.0.ffn.up.bias"
    bias = 2.0 * classifier.adapter_parameters()[name].detach().clone()

    kept = classifier.adapters["sequential"].fold()[0]

    assert kept.reads is Reads.NORMED
    assert kept.norm is place(classifier, "output.LayerNorm")
    torch.testing.assert_close(kept.up.bias, bias)
    assert kept.parameters == 2 * HIDDEN * 4 + 4 + HIDDEN


def test_the_up_bias_stays_where_the_dense_layer_has_none() -> None:
    classifier = randomized("modernbert", config("sequential"))
    bias = classifier.adapter_parameters()["sequential.layers.0.ffn.up.bias"].detach().clone()

    kept = classifier.adapters["sequential"].fold()[0]

    torch.testing.assert_close(kept.up.bias, bias)
    assert kept.parameters == 2 * HIDDEN * 4 + 4 + HIDDEN


@pytest.mark.parametrize("kind", KINDS)
def test_folding_twice_changes_no_logit_and_keeps_the_same(kind: str) -> None:
    classifier = randomized("bert", config(kind, scaling=2.0, learn_scaling=True))
    expected = logits(classifier.model)

    first = classifier.adapters[kind].fold()
    second = classifier.adapters[kind].fold()

    torch.testing.assert_close(logits(classifier.model), expected, rtol=0, atol=1e-10)
    assert [each.parameters for each in second] == [each.parameters for each in first]


def test_gradients_reach_a_bottleneck_that_reads_a_tapped_input() -> None:
    classifier = randomized("bert", config("houlsby", original_ln_before=True))

    classifier.model(**batch()).logits.square().sum().backward()

    for name, parameter in classifier.adapter_parameters().items():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
