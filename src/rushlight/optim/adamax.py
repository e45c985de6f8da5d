"""Adamax: Adam with the largest gradient in place of the root mean square."""

from __future__ import annotations

from .._kernels import K
from ._moments import MomentOptimizer, check_moments

__all__ = ["Adamax"]


class Adamax(MomentOptimizer):
    """m = running mean of g, u = max(beta2 u, |g| + eps);  p = p - lr m̂ / u.

    Args: `params`; `lr` (default 2e-3), `betas` (0.9, 0.999), `eps` (1e-8), `weight_decay` (0), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    kernel = K.adamax_into

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
                 differentiable=False, capturable=False):  # fmt: skip
        check_moments(lr, betas, eps, weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def slots(self, group):
        return ("exp_avg", "exp_inf")
