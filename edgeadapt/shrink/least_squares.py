"""Fit dense layers by weighted least squares, with the regularization that held-out rows choose."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["HELD_OUT", "Fitted", "NormalEquations", "fit_dense"]

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the regularization that are tried, relative to the mean square of the inputs."""
HELD_OUT = 0.2
"""Share of the texts that decide about the strength."""
_CONSTANT = 1e-6
"""Inputs whose variance is below this share of their mean square are constant."""
_ROUNDING = 1e-10
"""An error below this share of the outputs' mean square is rounding, and nothing to fit."""


@dataclass(frozen=True)
class Fitted:
    """The result of fitting one dense layer."""

    name: str
    """Dotted name of the dense layer."""
    error_before: float
    """Mean squared error against the original model on held-out text, without fitting."""
    error: float
    """The same after fitting; never larger."""
    strength: float | None
    """The chosen strength; 0 where only the bias was fitted, as the inputs are constant; ``None``
    where no fit was better than none."""


class _Sums:
    """Sums over rows: all that least squares need to know of them."""

    def __init__(self) -> None:
        self._gram: Tensor | float = 0.0
        self._product: Tensor | float = 0.0
        self._squares = self._weight = self._size = 0.0

    def add(self, inputs: Tensor, rest: Tensor, targets: Tensor, weights: Tensor) -> None:
        """Adds rows."""
        ones = torch.cat([inputs, inputs.new_ones(len(inputs), 1)], 1)
        weighted = ones * weights[:, None]
        self._gram = self._gram + (weighted.T @ ones).double()
        self._product = self._product + (weighted.T @ rest).double()
        self._squares += float((rest.square().sum(1) * weights).double().sum())
        self._size += float((targets.square().sum(1) * weights).double().sum())
        self._weight += float(weights.double().sum())

    @property
    def rounding(self) -> float:
        """An error that is nothing but rounding."""
        return _ROUNDING * self._size / self._weight

    def moments(self) -> tuple[Tensor, Tensor, float] | None:
        """Returns weighted means of products; ``None`` without rows.

        Of the inputs, extended by 1, with themselves, and with what the layer leaves to explain;
        and the squared norm of that.
        """
        if not isinstance(self._gram, Tensor) or not isinstance(self._product, Tensor):
            return None
        if self._weight <= 0:
            return None
        return (
            self._gram / self._weight,
            self._product / self._weight,
            self._squares / self._weight,
        )


class NormalEquations:
    """Weighted least squares of a dense layer, from rows that arrive in batches.

    ``min_D Σ wᵢ |xᵢ (W + D)ᵀ + b - yᵢ|² + λ |D|²``, with ``λ`` as is best on the held-out rows.

    Args:
        dense: The layer; ``W`` and ``b`` are its weights when the rows are added.
    """

    def __init__(self, dense: nn.Linear) -> None:
        self._dense = dense
        self._fitted, self._held_out = _Sums(), _Sums()

    def add(self, inputs: Tensor, targets: Tensor, weights: Tensor, held_out: Tensor) -> None:
        """Adds rows.

        Args:
            inputs: ``(rows, in_features)``.
            targets: ``(rows, out_features)``.
            weights: Not negative, ``(rows,)``.
            held_out: Which rows decide about ``λ``, bool of shape ``(rows,)``.
        """
        rest = targets - self._dense(inputs)
        for sums, chosen in (
            (self._fitted, ~held_out & (weights > 0)),
            (self._held_out, held_out & (weights > 0)),
        ):
            if chosen.any():
                sums.add(inputs[chosen], rest[chosen], targets[chosen], weights[chosen])

    def solve(self, name: str) -> Fitted:
        """Fits the layer in place; it stays as it is where no ``λ`` lowers the error.

        Args:
            name: Its name, for the report.
        """
        fitted, held_out = self._fitted.moments(), self._held_out.moments()
        if held_out is None:
            return Fitted(name, 0.0, 0.0, None)
        gram, product, before = held_out
        if fitted is None or before <= self._held_out.rounding:
            return Fitted(name, _mean(before, product), _mean(before, product), None)
        best, chosen, strength = before, None, None
        for candidate, change in _solutions(fitted[0], fitted[1], self._dense.bias is not None):
            found = before + float((change * (gram @ change - 2 * product)).sum())
            if found < best:
                best, chosen, strength = found, change, candidate
        if chosen is not None:
            with torch.no_grad():
                self._dense.weight.add_(chosen[:-1].T)
                if self._dense.bias is not None:
                    self._dense.bias.add_(chosen[-1])
        return Fitted(name, _mean(before, product), _mean(max(best, 0.0), product), strength)


def _solutions(gram: Tensor, product: Tensor, bias: bool) -> list[tuple[float, Tensor]]:
    """Returns the change of the weights, and of the bias in the last row, for each strength."""
    mean_x, mean_y = gram[-1, :-1], product[-1]
    if not bias:
        mean_x, mean_y = torch.zeros_like(mean_x), torch.zeros_like(mean_y)
    centred = gram[:-1, :-1] - torch.outer(mean_x, mean_x)
    wanted = product[:-1] - torch.outer(mean_x, mean_y)
    scale = float(centred.diagonal().mean())
    if scale <= _CONSTANT * float(gram.diagonal()[:-1].mean()):
        return [(0.0, torch.cat([torch.zeros_like(wanted), mean_y[None]]))]
    found = []
    for strength in STRENGTHS:
        ridge = centred + strength * scale * torch.eye(len(centred), dtype=torch.double)
        factor, failed = torch.linalg.cholesky_ex(ridge)
        if failed:  # rounding of the sums exceeds the regularization
            continue
        change = torch.cholesky_solve(wanted, factor)
        found.append((strength, torch.cat([change, (mean_y - mean_x @ change)[None]])))
    return found


def _mean(error: float, product: Tensor) -> float:
    """The error of one output."""
    return error / product.shape[1]


def fit_dense(
    dense: nn.Linear, inputs: Tensor, targets: Tensor, held_out: Tensor, *, name: str
) -> Fitted:
    """Fits a dense layer in place, all rows with the same weight; see ``NormalEquations``.

    Args:
        dense: The layer.
        inputs: ``(rows, in_features)``.
        targets: ``(rows, out_features)``.
        held_out: Which rows decide about the regularization, bool of shape ``(rows,)``.
        name: Its name, for the report.
    """
    equations = NormalEquations(dense)
    with torch.no_grad():
        equations.add(inputs, targets, torch.ones(len(inputs)), held_out)
    return equations.solve(name)
