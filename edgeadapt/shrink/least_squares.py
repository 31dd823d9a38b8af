"""Fit dense layers by weighted least squares, with the regularization that held-out rows choose."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["HELD_OUT", "Fitted", "NormalEquations", "fit_dense"]

STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Strengths of the regularization that are tried, relative to the mean variance of the inputs."""
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
    """The same after fitting to the other texts; never larger."""
    strength: float | None
    """The chosen strength; 0 where only the bias was fitted, as the inputs are constant; ``None``
    where no fit was better than none."""


class _Sums:
    """Weighted sums over rows: all that least squares need to know of them.

    Args:
        inputs: Number of inputs; behind them, a constant 1 stands for the bias.
        outputs: Number of outputs.
        bias: Whether there is a bias to fit.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool) -> None:
        self.gram = torch.zeros(inputs + 1, inputs + 1, dtype=torch.double)
        self.product = torch.zeros(inputs + 1, outputs, dtype=torch.double)
        self._bias, self.squares, self.size, self.weight = bias, 0.0, 0.0, 0.0
        self.power = 0.0

    def add(
        self, inputs: Tensor, origin: Tensor, rest: Tensor, targets: Tensor, weights: Tensor
    ) -> None:
        """Adds rows.

        Args:
            inputs: ``(rows, in_features)``.
            origin: What is subtracted from them, ``(in_features,)``.
            rest: What the layer leaves to explain of the targets.
            targets: ``(rows, out_features)``.
            weights: ``(rows,)``.
        """
        extended = torch.cat([inputs - origin, inputs.new_ones(len(inputs), 1)], 1)
        weighted = extended * weights[:, None]
        self.gram += weighted.T @ extended
        self.product += weighted.T @ rest
        self.squares += float((rest.square().sum(1) * weights).double().sum())
        self.size += float((targets.square().sum(1) * weights).double().sum())
        self.weight += float(weights.double().sum())
        self.power += float((inputs.square().mean(1) * weights).double().sum())

    def include(self, other: "_Sums") -> None:
        """Adds the rows of other sums."""
        self.gram += other.gram
        self.product += other.product
        self.squares += other.squares
        self.size += other.size
        self.weight += other.weight
        self.power += other.power

    def is_rounding(self) -> bool:
        """Returns whether what is left to explain is nothing but rounding, or there are no rows."""
        return self.squares <= _ROUNDING * self.size

    def error(self, change: Tensor | None = None) -> float:
        """Returns the mean squared error of an output after a change of the weights.

        Args:
            change: ``(in_features + 1, out_features)``; ``None`` for none.
        """
        total = self.squares
        if change is not None:
            total += float((change * (self.gram @ change - 2 * self.product)).sum())
        return max(total, 0.0) / (self.weight * self.product.shape[1]) if self.weight else 0.0

    def variance(self) -> float:
        """Returns the mean variance of an input, times the weight of the rows; 0 if constant."""
        found = float(self._centred()[0].diagonal().mean())
        return found if found > _CONSTANT * self.power else 0.0

    def change(self, regularization: float) -> Tensor | None:
        """Returns the best change of the weights; ``None`` where rounding makes it useless.

        Args:
            regularization: Of the squared change, not of the bias; 0 to change the bias alone.
        """
        gram, product = self._centred()
        change = torch.zeros_like(product)
        if regularization:
            ridge = gram + regularization * torch.eye(len(gram), dtype=torch.double)
            factor, failed = torch.linalg.cholesky_ex(ridge)
            if failed:
                return None
            change = torch.cholesky_solve(product, factor)
        bias = torch.zeros_like(product[:1])
        if self._bias:
            bias = (self.product[-1] - self.gram[-1, :-1] @ change)[None] / self.weight
        return torch.cat([change, bias])

    def _centred(self) -> tuple[Tensor, Tensor]:
        """Returns the sums of products of the inputs as they are after the best bias."""
        gram, product = self.gram[:-1, :-1], self.product[:-1]
        if not self._bias or not self.weight:
            return gram, product
        mean = self.gram[-1, :-1] / self.weight
        rest = self.product[-1]
        return gram - torch.outer(mean, self.gram[-1, :-1]), product - torch.outer(mean, rest)


class NormalEquations:
    """Weighted least squares of a dense layer, from rows that arrive in batches.

    ``min_D Σ wᵢ |xᵢ (W + D)ᵀ + b - yᵢ|² + λ |D|²``. The held-out rows choose ``λ``, and whether to
    fit at all; then they are added to the others. With the same ``λ``, that can only lower the
    error on them.

    Args:
        dense: The layer; ``W`` and ``b`` are its weights when the rows are added.
    """

    def __init__(self, dense: nn.Linear) -> None:
        self._dense = dense
        self._origin: Tensor | None = None
        """Subtracted from all inputs: what is large and constant in them would hide the rest behind
        its rounding. Not where there is no bias, which makes up for it."""
        shape, bias = (dense.in_features, dense.out_features), dense.bias is not None
        self._fitted, self._held_out = _Sums(*shape, bias=bias), _Sums(*shape, bias=bias)

    def add(self, inputs: Tensor, targets: Tensor, weights: Tensor, held_out: Tensor) -> None:
        """Adds rows.

        Args:
            inputs: ``(rows, in_features)``.
            targets: ``(rows, out_features)``.
            weights: Not negative, ``(rows,)``.
            held_out: Which rows decide about ``λ``, bool of shape ``(rows,)``.
        """
        rest = targets - self._dense(inputs)
        if self._origin is None:
            mean = inputs.mean(0)
            self._origin = torch.zeros_like(mean) if self._dense.bias is None else mean
        for sums, chosen in (
            (self._fitted, ~held_out & (weights > 0)),
            (self._held_out, held_out & (weights > 0)),
        ):
            if chosen.any():
                rows = inputs[chosen], self._origin, rest[chosen], targets[chosen], weights[chosen]
                sums.add(*rows)

    def solve(self, name: str) -> Fitted:
        """Fits the layer in place; it stays as it is where no ``λ`` lowers the error.

        Args:
            name: Its name, for the report.
        """
        before = best = self._held_out.error()
        if self._held_out.is_rounding() or not self._fitted.weight:
            return Fitted(name, before, before, None)
        chosen, kept, variance = None, None, self._fitted.variance()
        for strength in STRENGTHS if variance else (0.0,):
            change = self._fitted.change(strength * variance)
            if change is not None and (error := self._held_out.error(change)) < best:
                best, chosen, kept = error, strength, change
        if chosen is not None and kept is not None:
            self._fitted.include(self._held_out)
            # Rounding can make the sums of all rows singular where those of some are not.
            of_all = self._fitted.change(chosen * variance)
            self._apply(kept if of_all is None else of_all)
        return Fitted(name, before, best, chosen)

    @torch.no_grad()
    def _apply(self, change: Tensor) -> None:
        self._dense.weight.add_(change[:-1].T)
        if self._dense.bias is not None:
            assert self._origin is not None, "there were rows"
            self._dense.bias.add_(change[-1] - self._origin.double() @ change[:-1])


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
