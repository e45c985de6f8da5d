"""Averaged stochastic gradient descent."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import zeros_like
from ._listed import ListOptimizer, check_lr, nonnegative, scalar

__all__ = ["ASGD"]


class ASGD(ListOptimizer):
    """SGD with a falling rate, and in the state `ax` the mean of the parameters from step t0 on.

    Args: `params`; `lr` (default 1e-2), `lambd` (1e-4, decay), `alpha` (0.75, power of the rate), `t0` (1e6),
    `weight_decay` (0), `maximize` (False).
    Raises: ValueError for negative lr or weight_decay.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.ASGD.html
    """

    kernel = K.asgd_into
    scalars = ("step", "eta", "mu")

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
                 differentiable=False, capturable=False):  # fmt: skip
        check_lr(lr)
        nonnegative("weight_decay value", weight_decay)
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize, "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def slots(self, group):
        return ("ax",)

    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        state["eta"] = scalar(float(group["lr"]))
        state["mu"] = scalar(1.0)
        state["ax"] = zeros_like(p)

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["lambd"], group["alpha"], group["t0"]
