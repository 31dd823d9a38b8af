"""The replacements of dropout, attention and casts in torch on a CPU."""

import gc
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.autograd import gradcheck
from torch.nn import functional as F

from edgeadapt.models.classifier import AdaptedClassifier
from edgeadapt.models.seeds import seeded
from edgeadapt.models.sources import find_model
from edgeadapt.models.tokenizer import load_tokenizer
from edgeadapt.recipe import AdapterConfig, Dropout, ModelConfig, Precision, Task, TrainingConfig
from edgeadapt.training.cpu_kernels import CpuKernels
from edgeadapt.training.frozen import FrozenLayers
from edgeadapt.training.objectives import Classification, Compute
from tests.conftest import TINY_CONFIGS
from tests.lively import lively_checkpoint
from tests.training.test_loop import LABELS, TRAIN, VALIDATION

pytestmark = pytest.mark.transformers5

CPU = torch.device("cpu")
BF16 = torch.bfloat16


def dropped(values: Tensor, p: float, *, seed: int = 0) -> Tensor:
    torch.manual_seed(seed)
    with CpuKernels():
        return F.dropout(values, p)


@pytest.mark.parametrize("dtype", [torch.float32, BF16, torch.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(p: float, dtype: torch.dtype) -> None:
    ones = torch.ones(401, 499, dtype=dtype)
    found = dropped(ones, p)
    share = (found == 0).double().mean().item()
    five_deviations = 5 * (p * (1 - p) / ones.numel()) ** 0.5
    assert share == pytest.approx(p, abs=five_deviations)
    kept = found[found != 0]
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=0.005 if dtype is BF16 else 1e-4)


def test_dropout_is_no_pattern_of_rows_columns_or_neighbours() -> None:
    zeros = dropped(torch.ones(600, 600), 0.5) == 0
    for line in (0, 1):
        shares = zeros.double().mean(line)
        assert shares.std().item() == pytest.approx((0.25 / 600) ** 0.5, rel=0.2)
    for step in (1, 2, 3, 4, 8, 600):
        flat = zeros.flatten()
        same = (flat[step:] == flat[:-step]).double().mean().item()
        assert same == pytest.approx(0.5, abs=5 * 0.5 / 600)


def test_the_same_seed_drops_the_same_and_another_one_others() -> None:
    values = torch.randn(7, 11, 13)
    assert torch.equal(dropped(values, 0.3), dropped(values, 0.3))
    assert not torch.equal(dropped(values, 0.3), dropped(values, 0.3, seed=1))


def test_a_second_call_drops_others() -> None:
    torch.manual_seed(0)
    with CpuKernels():
        one, other = F.dropout(torch.ones(100), 0.5), F.dropout(torch.ones(100), 0.5)
    assert not torch.equal(one, other)


def test_dropout_has_the_gradient_of_what_it_kept() -> None:
    values = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda x: dropped(x, 0.4), (values,))
    assert gradcheck(lambda x: dropped(x.mT, 0.4), (values,))


@pytest.mark.parametrize("p", [0.0, 1e-7, 1.0])
def test_where_nothing_or_all_is_dropped_it_is_torchs(p: float) -> None:
    values = torch.randn(9, 9)
    found = dropped(values, p)
    torch.manual_seed(0)
    assert torch.equal(found, F.dropout(values, p))


def test_an_infinite_value_that_drops_is_zero() -> None:
    found = dropped(torch.full((1000,), float("inf")), 0.5)
    assert set(found.tolist()) == {0.0, float("inf")}


def test_evaluation_and_dropout_in_place_are_torchs() -> None:
    values = torch.ones(1000)
    with CpuKernels():
        assert F.dropout(values, 0.5, training=False) is values
        assert F.dropout(values, 0.5, inplace=True) is values
    assert (values == 0).any()


def heads(dtype: torch.dtype = torch.float64, tokens: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    query, key, value = torch.randn(3, 2, 3, tokens, 4, dtype=dtype)
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


MASKS = {
    "none": None,
    "padding": torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]]).bool()[:, None, None, :],
    "added": torch.tensor([0.0, -1.0, 0.0, float("-inf"), 2.0]).expand(2, 1, 5, 5).double(),
}


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_attention_without_dropout_is_torchs_in_bfloat16_precision(mask: Tensor | None) -> None:
    inputs = heads(torch.float32)
    given = mask if mask is None or mask.dtype is torch.bool else mask.float()
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=given)
    with CpuKernels(BF16):
        found = F.scaled_dot_product_attention(*inputs, attn_mask=given)
    assert found.dtype is BF16
    torch.testing.assert_close(found.float(), expected, atol=0.03, rtol=0.03)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("scale", [None, 0.7])
def test_attention_with_dropout_has_the_gradient_of_what_it_kept(
    mask: Tensor | None, scale: float | None
) -> None:
    def attended(*inputs: Tensor) -> Tensor:
        torch.manual_seed(3)
        with CpuKernels():
            return F.scaled_dot_product_attention(
                *inputs, attn_mask=mask, dropout_p=0.4, scale=scale
            )

    assert gradcheck(attended, heads())


def test_attention_with_dropout_has_torchs_mean() -> None:
    inputs = heads()
    expected = F.scaled_dot_product_attention(*inputs, attn_mask=MASKS["padding"])
    repeats = [each.detach().repeat(4_000, 1, 1, 1) for each in inputs]
    mask = MASKS["padding"].repeat(4_000, 1, 1, 1)
    torch.manual_seed(0)
    with CpuKernels():
        found = F.scaled_dot_product_attention(*repeats, attn_mask=mask, dropout_p=0.3)
    mean = found.unflatten(0, (4_000, 2)).mean(0)
    torch.testing.assert_close(mean, expected.detach(), atol=0.08, rtol=0)


def test_a_query_that_may_see_no_key_gives_numbers() -> None:
    nothing = torch.full((2, 1, 5, 5), float("-inf"))
    with CpuKernels(BF16):
        found = F.scaled_dot_product_attention(*heads(torch.float32), attn_mask=nothing)
    found.sum().backward()
    assert found.isfinite().all()


@pytest.mark.parametrize("options", [{"is_causal": True}, {}], ids=["causal", "float32"])
def test_what_torch_does_as_fast_is_left_to_it(options: dict[str, bool]) -> None:
    inputs = heads(torch.float32)
    with CpuKernels():
        found = F.scaled_dot_product_attention(*inputs, **options)
    assert torch.equal(found, F.scaled_dot_product_attention(*inputs, **options))


@pytest.fixture
def casts(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """Every float32 tensor that was cast to bfloat16, by ``to``."""
    made: list[Tensor] = []
    to = Tensor.to

    def counted(self: Tensor, *arguments: object, **options: object) -> Tensor:
        if arguments == (BF16,):
            made.append(self)
        return to(self, *arguments, **options)

    monkeypatch.setattr(Tensor, "to", counted)
    return made


def test_a_frozen_weight_is_cast_once_until_it_is_written_to(casts: list[Tensor]) -> None:
    dense = nn.Linear(4, 3).requires_grad_(False)
    kernels = CpuKernels(BF16)
    values = torch.randn(2, 4)
    for _ in range(3):
        with torch.autocast("cpu", dtype=BF16), kernels:
            found = dense(values)
    assert len(casts) == 2  # weight and bias
    torch.testing.assert_close(found.float(), dense(values), atol=0.03, rtol=0.03)
    with torch.no_grad():
        dense.weight.mul_(2)
    with torch.autocast("cpu", dtype=BF16), kernels:
        found = dense(values)
    assert len(casts) == 3
    torch.testing.assert_close(found.float(), dense(values), atol=0.03, rtol=0.03)


def test_a_cast_that_was_made_while_judging_serves_training() -> None:
    frozen, trained = nn.Linear(4, 4).requires_grad_(False), nn.Linear(4, 4)
    kernels = CpuKernels(BF16)
    values = torch.randn(2, 4)
    with torch.inference_mode(), torch.autocast("cpu", dtype=BF16), kernels:
        frozen(trained(values))
    with torch.autocast("cpu", dtype=BF16), kernels:
        frozen(trained(values)).float().sum().backward()
    assert trained.weight.grad is not None


def test_a_trained_weight_learns_in_its_own_precision() -> None:
    dense = nn.Linear(4, 3)
    with torch.autocast("cpu", dtype=BF16), CpuKernels(BF16):
        dense(torch.randn(2, 4)).float().sum().backward()
    assert dense.weight.grad is not None
    assert dense.weight.grad.dtype is torch.float32
    assert dense.weight.grad.any()


def test_a_cast_lives_no_longer_than_its_weight() -> None:
    shape = (7, 13)  # no other tensor's
    dense = nn.Linear(13, 7, bias=False).requires_grad_(False)
    kernels = CpuKernels(BF16)
    with torch.autocast("cpu", dtype=BF16), kernels:
        dense(torch.randn(2, 13))
    assert [cast.dtype for cast in tensors_of(shape)] == [BF16]
    del dense
    assert not tensors_of(shape)


def tensors_of(shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Returns every tensor in this process that has the shape, parameters left out."""
    gc.collect()
    return [
        value for value in gc.get_objects() if type(value) is torch.Tensor and value.shape == shape
    ]


@pytest.mark.parametrize(
    ("options", "replaced"),
    [({}, True), ({"compile": True}, False), ({"activation_checkpointing": True}, False)],
    ids=["usual", "compiled", "computed again"],
)
@pytest.mark.parametrize("precision", [Precision.FP32, Precision.BF16])
def test_they_are_used_on_a_cpu_unless_compiled_or_computed_again(
    precision: Precision, options: dict[str, bool], replaced: bool
) -> None:
    config = TrainingConfig(learning_rate=1e-3, precision=precision, **options)
    assert (Compute.on(CPU, config).kernels is not None) is replaced
    assert Compute.on(torch.device("cuda"), config).kernels is None


def test_outside_the_block_torchs_own_are_back() -> None:
    torch.manual_seed(0)
    expected = F.dropout(torch.ones(100), 0.5)
    with CpuKernels():
        F.dropout(torch.ones(100), 0.5)
    torch.manual_seed(0)
    assert torch.equal(F.dropout(torch.ones(100), 0.5), expected)


@pytest.mark.parametrize("model_type", TINY_CONFIGS)
def test_every_backbone_learns_the_same_with_them(tmp_path: Path, model_type: str) -> None:
    source = find_model(ModelConfig(id=str(lively_checkpoint(tmp_path / "tiny", model_type))))
    encoder = load_tokenizer(source, max_length=32).encoder
    with seeded(0):
        classifier = AdaptedClassifier.build(
            source, LABELS, AdapterConfig(method="parallel+bitfit", dimension=4)
        )
    trained = classifier.trained()

    def gradient(compute: Compute, dropout: Dropout) -> Tensor:
        objective = Classification(
            classifier.model,
            encoder,
            train=TRAIN,
            validation=VALIDATION,
            task=Task.SINGLE_LABEL,
            frozen=FrozenLayers.below(classifier.backbone, trained),
            dropout=dropout,
            compute=compute,
        )
        objective.begin_training()
        torch.manual_seed(0)
        classifier.model.zero_grad()
        objective.loss(np.arange(16)).minimized.backward()  # type: ignore[no-untyped-call]
        return torch.cat([p.grad.flatten() for p in trained.values() if p.grad is not None])

    dropouts = [each for each in classifier.model.modules() if isinstance(each, nn.Dropout)]
    for each in dropouts:
        each.p = 0.0
    exact = gradient(Compute(), Dropout.NONE)
    assert torch.equal(gradient(Compute(kernels=CpuKernels()), Dropout.NONE), exact)
    rounded = gradient(Compute(Precision.BF16, kernels=CpuKernels(BF16)), Dropout.NONE)
    assert F.cosine_similarity(rounded, exact, dim=0) > 0.99
    for each in dropouts:
        each.p = 0.2
    for precision, dtype in ((Precision.FP32, None), (Precision.BF16, BF16)):
        dropping = gradient(Compute(precision, kernels=CpuKernels(dtype)), Dropout.ALL)
        assert dropping.isfinite().all()
        assert not torch.allclose(dropping, exact, rtol=0.01)
