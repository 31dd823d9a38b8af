"""Fit a head behind every layer of a merged classifier but the last, for ``early_exit.py``."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgeadapt.backbones import STOCK_HEADS, backbone_spec
from edgeadapt.metrics import Labels, Logits
from edgeadapt.models.inference import EVALUATION_BATCH, to_inputs
from edgeadapt.models.text_model import TextModel
from edgeadapt.shrink.least_squares import fit_dense
from edgeadapt.text import Text

__all__ = ["Behind", "MiddleHead", "behind_layers", "fit_head"]

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2)
"""Weight decays that logistic regression tries; the held-out training texts decide."""
HELD_OUT = 5
"""Every fifth training text is held out from fitting."""
STEPS = 60
"""Steps of L-BFGS."""


@dataclass(frozen=True)
class Behind:
    """What the layers of a model give for some texts."""

    features: Tensor
    """First position behind each layer, ``(layers, texts, hidden)``."""
    logits: Logits
    """Of the complete model."""


@dataclass(frozen=True)
class MiddleHead:
    """A head behind one layer."""

    kind: str
    """``refitted`` or ``logistic regression``."""
    held_out: float
    """Accuracy on the held-out training texts, 0 to 1."""
    module: nn.Module

    @torch.no_grad()
    def logits(self, features: Tensor) -> Logits:
        """Returns logits of features of shape ``(texts, hidden)``."""
        return self.module(features).float().numpy()


@torch.inference_mode()
def behind_layers(model: TextModel, texts: Sequence[Text]) -> Behind:
    """Returns what each layer gives for the first position, and the logits, in one pass."""
    torch_model = model.merged.model
    spec = backbone_spec(torch_model.config.model_type)
    outputs: list[Tensor] = []

    def record(_: nn.Module, __: object, output: Tensor | tuple[Tensor, ...]) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        outputs.append(hidden[:, 0].clone())

    layers = list(torch_model.get_submodule(spec.layers).children())
    handles = [layer.register_forward_hook(record) for layer in layers]
    features = torch.empty(len(layers), len(texts), torch_model.config.hidden_size)
    logits = torch.empty(len(texts), torch_model.config.num_labels)
    try:
        for rows, batch in model.encoder.batches(texts, EVALUATION_BATCH):
            outputs.clear()
            numbers = torch.as_tensor(rows)
            logits[numbers] = torch_model(**to_inputs(batch, torch_model)).logits
            features[:, numbers] = torch.stack(outputs)
    finally:
        for handle in handles:
            handle.remove()
    return Behind(features.clone(), logits.numpy())


def fit_head(model: TextModel, train: Behind, layer: int, labels: Labels) -> MiddleHead:
    """Fits two heads to a layer, and returns the one that is better on held-out training text.

    The first is the model's own, its inner dense layer refitted as for a model with fewer layers
    (``shrink/refit.py``). The second is logistic regression.
    """
    held_out = torch.arange(train.features.shape[1]) % HELD_OUT == 0
    features, known = train.features[layer], torch.from_numpy(labels)
    refitted = _refitted(model, train.features, layer, held_out)
    regression = _regression(features, known, held_out)
    heads = [
        MiddleHead(kind, _accuracy(module, features[held_out], known[held_out]), module)
        for kind, module in (("refitted", refitted), ("logistic regression", regression))
    ]
    return max(heads, key=lambda head: head.held_out)


def _refitted(model: TextModel, features: Tensor, layer: int, held_out: Tensor) -> nn.Module:
    torch_model = model.merged.model
    head = STOCK_HEADS[torch_model.config.model_type]
    assert head.activation_in(torch_model.config.to_dict()) == "tanh"
    assert head.norm is None
    own, out = torch_model.get_submodule(head.dense), torch_model.get_submodule(head.out)
    dense = deepcopy(own)
    assert isinstance(dense, nn.Linear)
    with torch.no_grad():
        targets = own(features[-1])
    fit_dense(dense, features[layer], targets, held_out, name=head.dense)
    return nn.Sequential(dense, nn.Tanh(), out).eval()


def _regression(features: Tensor, labels: Tensor, held_out: Tensor) -> nn.Module:
    """Returns logistic regression on scaled features; L2 is what the held-out texts choose."""
    fitted = features[~held_out]
    scale = nn.BatchNorm1d(features.shape[1], eps=1e-8, affine=False).eval()
    scale.running_mean, scale.running_var = fitted.mean(0), fitted.var(0)
    x, y = scale(fitted), labels[~held_out]
    found = []
    for strength in STRENGTHS:
        linear = _minimized(x, y, int(labels.max()) + 1, strength)
        accuracy = _accuracy(linear, scale(features[held_out]), labels[held_out])
        found.append((accuracy, strength, linear))
    return nn.Sequential(scale, max(found, key=lambda each: each[:2])[2]).eval()


def _minimized(x: Tensor, y: Tensor, labels: int, strength: float) -> nn.Linear:
    linear = nn.Linear(x.shape[1], labels)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    search = torch.optim.LBFGS(
        linear.parameters(), max_iter=STEPS, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        search.zero_grad()
        value = functional.cross_entropy(linear(x), y) + strength * linear.weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return linear


@torch.no_grad()
def _accuracy(module: nn.Module, features: Tensor, labels: Tensor) -> float:
    return float((module(features).argmax(1) == labels).double().mean())
