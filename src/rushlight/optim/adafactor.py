"""Adafactor: the second moments of a matrix kept as a row and a column."""

from __future__ import annotations

from .. import _dtypes
from .._kernels import K
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor
from ..ops.creation import zeros_like
from ._listed import ListOptimizer, scalar

__all__ = ["Adafactor"]


class Adafactor(ListOptimizer):
    """v = row mean x column mean of g² (all of g² for vectors);  p = p - max(eps2, rms(p)) rho u / max(1, rms(u) / d),
    u = g / sqrt(v), rho = min(lr, 1 / sqrt(t)).

    Args: `params`; `lr` (default 1e-2), `beta2_decay` (-0.8), `eps` ((None, 1e-3): the first defaults to the epsilon
    of the group's dtype), `d` (1.0), `weight_decay` (0), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: Shazeer and Stern, https://arxiv.org/abs/1804.04235;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """

    kernel = K.adafactor_into

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
                 maximize=False):  # fmt: skip
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        })  # fmt: skip

    def slots(self, group):
        return ()

    def hyper(self, group):
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = _dtypes.finfo(group["params"][0].dtype).eps if group["params"] else 0.0
        return float(group["lr"]), group["weight_decay"], group["beta2_decay"], eps1, eps2, group["d"]

    @no_grad()
    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        if p.ndim > 1:
            state["row_var"] = p.new_zeros((*p.shape[:-1], 1))
            state["col_var"] = p.new_zeros((*p.shape[:-2], 1, p.shape[-1]))
        else:
            state["variance"] = zeros_like(p)

    def run(self, group, params, states, slots, hyper):
        arrays = [p._a for p in params] + [s["step"]._a for s in states]
        for p, s in zip(params, states, strict=True):
            arrays += [s["row_var"]._a, s["col_var"]._a] if p.ndim > 1 else [s["variance"]._a]
        twice = len(params) > len(set(map(id, params)))
        self.kernel(arrays, [p._grad._a for p in params], hyper, twice, *self.flags(group))
