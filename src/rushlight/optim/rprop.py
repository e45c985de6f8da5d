"""Rprop: only the signs of gradients count."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import full_like, zeros_like
from ._listed import ListOptimizer, check_lr, scalar

__all__ = ["Rprop"]


class Rprop(ListOptimizer):
    """Every element has its own step: longer while its gradient keeps its sign, shorter when that changes.

    Args: `params`; `lr` (default 1e-2, the first step), `etas` (0.5, 1.2: factors for shorter and longer),
    `step_sizes` (1e-6, 50: smallest and largest step), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.Rprop.html
    """

    kernel = K.rprop_into

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
                 maximize=False, differentiable=False):  # fmt: skip
        check_lr(lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise ValueError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        super().__init__(params, {
            "lr": lr, "etas": etas, "step_sizes": step_sizes, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def slots(self, group):
        return ("prev", "step_size")

    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        state["prev"] = zeros_like(p)
        state["step_size"] = full_like(p, float(group["lr"])).detach()

    def hyper(self, group):
        return (float(group["lr"]), 0.0, *group["etas"], *group["step_sizes"])
