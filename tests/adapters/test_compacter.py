"""Compacter: Houlsby's bottlenecks with projections that are sums of Kronecker products."""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from edgeadapt.errors import ModelError
from edgeadapt.recipe import AdapterConfig
from tests.adapters.formulas import bottleneck, plain, random
from tests.conftest import TINY_CONFIGS
from tests.models.tiny import HIDDEN, INTERMEDIATE, LAYERS, adapt, make_model, place, randomized

pytestmark = pytest.mark.transformers5

SUMMANDS = 4


def config(**values: object) -> AdapterConfig:
    return AdapterConfig(**{"method": "compacter", "dimension": 8, **values})  # type: ignore[arg-type]


def kronecker_sum(parameters: Mapping[str, Tensor], prefix: str) -> Tensor:
    """``W = Σ_i A_i ⊗ (s_i t_iᵀ)``."""
    shared = parameters["compacter.shared"].detach()
    left, right = (parameters[f"{prefix}.{side}"].detach() for side in ("left", "right"))
    products = [
        torch.kron(shared[i].contiguous(), torch.outer(left[i], right[i])) for i in range(SUMMANDS)
    ]
    return torch.stack(products).sum(0)


def dense_values(parameters: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The bottleneck's projections, multiplied out."""
    return {
        f"{projection}.{kind}": value
        for projection in ("down", "up")
        for kind, value in (
            ("weight", kronecker_sum(parameters, f"{prefix}.{projection}")),
            ("bias", parameters[f"{prefix}.{projection}.bias"].detach().clone()),
        )
    }


@given(
    width=st.integers(1, 8).map(lambda n: 4 * n),
    scaling=st.floats(-4, 4),
    sublayer=st.sampled_from(["attention", "ffn"]),
    model_type=st.sampled_from(["bert", "albert", "modernbert"]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=40, deadline=None)
def test_projections_are_sums_of_kronecker_products(
    width: int, scaling: float, sublayer: str, model_type: str, seed: int
) -> None:
    values = config(dimension=width, scaling=scaling, activation="tanh")
    classifier = randomized(model_type, values, seed=seed)
    own = dense_values(classifier.adapter_parameters(), f"compacter.layers.1.{sublayer}")
    spec = classifier.backbone.spec
    name = spec.attention_output if sublayer == "attention" else spec.ffn_out
    inner = random(2, 3, HIDDEN if sublayer == "attention" else INTERMEDIATE)

    dense = plain(model_type, name, 1)(inner)

    expected = dense + bottleneck(dense, own, scaling=scaling, f=torch.tanh)
    torch.testing.assert_close(place(classifier, name, 1)(inner), expected, rtol=0, atol=1e-10)


def test_folded_the_products_are_dense_layers() -> None:
    classifier = randomized("bert", config(scaling=2.0))
    own = dense_values(classifier.adapter_parameters(), "compacter.layers.0.attention")

    kept = classifier.adapters["compacter"].fold()[0]

    torch.testing.assert_close(kept.down.weight, own["down.weight"], rtol=0, atol=1e-12)
    torch.testing.assert_close(kept.up.weight, 2 * own["up.weight"], rtol=0, atol=1e-12)
    assert kept.parameters == 2 * HIDDEN * 8 + 8


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_parameters_are_the_shared_matrices_and_every_projections_factors(model_type: str) -> None:
    parameters = adapt(make_model(model_type), config()).adapter_parameters()

    expected: dict[str, tuple[int, ...]] = {"compacter.shared": (SUMMANDS,) * 3}
    for layer in range(LAYERS):
        for sublayer in ("attention", "ffn"):
            prefix = f"compacter.layers.{layer}.{sublayer}"
            for projection, width_in, width_out in (("down", HIDDEN, 8), ("up", 8, HIDDEN)):
                expected[f"{prefix}.{projection}.left"] = (SUMMANDS, width_out // SUMMANDS)
                expected[f"{prefix}.{projection}.right"] = (SUMMANDS, width_in // SUMMANDS)
                expected[f"{prefix}.{projection}.bias"] = (width_out,)
    assert {name: tuple(parameter.shape) for name, parameter in parameters.items()} == expected


def test_all_projections_share_the_same_small_matrices() -> None:
    classifier = randomized("bert", config())
    names = ("attention.output.dense", "output.dense")
    inner = {name: random(3, plain("bert", name).in_features) for name in names}
    places = [(name, layer) for name in names for layer in range(LAYERS)]
    before = [place(classifier, name, layer)(inner[name]) for name, layer in places]

    classifier.adapter_parameters()["compacter.shared"].data += 1

    after = [place(classifier, name, layer)(inner[name]) for name, layer in places]
    assert all((new - old).abs().max() > 1e-3 for new, old in zip(after, before, strict=True))


def test_it_trains_far_fewer_weights_than_houlsby() -> None:
    def count(method: str) -> int:
        model = make_model("bert", hidden_size=64)
        listed = adapt(model, AdapterConfig(method=method, dimension=32)).adapter_parameters()
        return sum(p.numel() for name, p in listed.items() if not name.endswith("bias"))

    # Per projection the sum of its widths, against their product.
    assert count("compacter") == SUMMANDS**3 + LAYERS * 2 * 2 * (64 + 32)
    assert count("compacter") * 15 < count("houlsby")


@pytest.mark.parametrize("width", [1, 2, 5, 6, 7, 9])
def test_a_width_that_is_no_multiple_of_4_is_refused(width: int) -> None:
    with pytest.raises(ModelError, match=f"multiples of 4: found {width}"):
        adapt(make_model("bert"), config(dimension=width))


def test_a_hidden_size_that_is_no_multiple_of_4_is_refused() -> None:
    with pytest.raises(ModelError, match="multiples of 4: found 18"):
        adapt(make_model("bert", hidden_size=18), config())


def test_products_start_at_zero_above_and_vary_like_a_dense_layers_below() -> None:
    classifier = adapt(make_model("bert", hidden_size=256), config(dimension=64))
    parameters = classifier.adapter_parameters()

    downs = [
        kronecker_sum(parameters, f"compacter.layers.{layer}.{sublayer}.down")
        for layer in range(LAYERS)
        for sublayer in ("attention", "ffn")
    ]

    assert not kronecker_sum(parameters, "compacter.layers.0.ffn.up").any()
    # Kaiming: uniform within 1 / sqrt(256), whose deviation is that over sqrt(3).
    deviation = float(torch.stack(downs).std())
    assert deviation == pytest.approx((3 * 256) ** -0.5, rel=0.5)
