"""Adadelta: Adagrad with running means and a rate from the updates themselves."""

from __future__ import annotations

from .._kernels import K
from ._listed import ListOptimizer, check_lr, nonnegative

__all__ = ["Adadelta"]


class Adadelta(ListOptimizer):
    """v, a = running means of g² and of the squared updates;  p = p - lr sqrt(a + eps) / sqrt(v + eps) g.

    Args: `params`; `lr` (default 1.0), `rho` (0.9), `eps` (1e-6), `weight_decay` (0), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adadelta.html
    """

    kernel = K.adadelta_into

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False,
                 maximize=False, differentiable=False):  # fmt: skip
        check_lr(lr)
        if not 0.0 <= rho <= 1.0:
            raise ValueError(f"Invalid rho value: {rho}")
        nonnegative("epsilon value", eps)
        nonnegative("weight_decay value", weight_decay)
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
            "capturable": capturable, "foreach": foreach, "differentiable": differentiable,
        })  # fmt: skip

    def slots(self, group):
        return ("square_avg", "acc_delta")

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["rho"], group["eps"]
