"""NAdam: Adam with Nesterov momentum."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import zeros_like
from ._listed import nonnegative, scalar
from ._moments import MomentOptimizer, check_moments

__all__ = ["NAdam"]


class NAdam(MomentOptimizer):
    """Adam with Nesterov's momentum, whose weight grows with the steps.

    Args: `params`; `lr` (default 2e-3), `betas` (0.9, 0.999), `eps` (1e-8), `weight_decay` (0), `momentum_decay` (4e-3),
    `decoupled_weight_decay` (False), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.NAdam.html
    """

    kernel = K.nadam_into
    scalars = ("step", "mu_product")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False):  # fmt: skip
        check_moments(lr, betas, eps, weight_decay)
        nonnegative("momentum_decay value", momentum_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "differentiable": differentiable,
        })  # fmt: skip

    def hyper(self, group):
        return (*super().hyper(group), group["momentum_decay"])

    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        state["mu_product"] = scalar(1.0)
        for name in self.slots(group):
            state[name] = zeros_like(p)
