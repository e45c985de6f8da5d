"""RMSprop: gradients divided by their running root mean square."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import zeros_like
from ._listed import ListOptimizer, check_lr, nonnegative, scalar

__all__ = ["RMSprop"]


class RMSprop(ListOptimizer):
    """v = running mean of g²;  p = p - lr g / (sqrt(v) + eps), with momentum on the quotient.

    Args: `params`; `lr` (default 1e-2), `alpha` (0.99, v's weight), `eps` (1e-8), `weight_decay` (0), `momentum` (0),
    `centered` (False: divides by the standard deviation if True), `maximize` (False).
    Raises: ValueError for negative options.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.RMSprop.html
    """

    kernel = K.rmsprop_into

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False,
                 capturable=False, foreach=None, maximize=False, differentiable=False):  # fmt: skip
        check_lr(lr)
        nonnegative("epsilon value", eps)
        nonnegative("momentum value", momentum)
        nonnegative("weight_decay value", weight_decay)
        nonnegative("alpha value", alpha)
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "capturable": capturable, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable,
        })  # fmt: skip

    def slots(self, group):
        return (
            "square_avg",
            *(("grad_avg",) if group["centered"] else ()),
            *(("momentum_buffer",) if group["momentum"] > 0 else ()),
        )

    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        state["square_avg"] = zeros_like(p)
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = zeros_like(p)

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["alpha"], group["eps"], group["momentum"]

    def flags(self, group):
        return group["maximize"], group["centered"]
