"""Adagrad: rates that fall with the squares a parameter has seen."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import full_like
from ..ops.sparse import SparseTensor
from ._listed import ListOptimizer, check_lr, nonnegative, scalar

__all__ = ["Adagrad"]


class Adagrad(ListOptimizer):
    """s = s + g²;  p = p - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps).

    Args: `params`; `lr` (default 1e-2), `lr_decay` (0), `weight_decay` (0), `initial_accumulator_value` (0), `eps`
    (1e-10), `maximize` (False).
    Raises: ValueError for negative options.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adagrad.html
    """

    kernel = K.adagrad_into

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None,
                 *, maximize=False, differentiable=False, fused=None):  # fmt: skip
        check_lr(lr)
        nonnegative("lr_decay value", lr_decay)
        nonnegative("weight_decay value", weight_decay)
        nonnegative("initial_accumulator_value value", initial_accumulator_value)
        nonnegative("epsilon value", eps)
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "fused": fused,
        })  # fmt: skip
        for group in self.param_groups:  # as PyTorch, already here
            for p in group["params"]:
                self.init(p, self.state[p], group)

    def init(self, p, state, group):
        state["step"] = scalar(0.0)
        state["sum"] = full_like(p, group["initial_accumulator_value"]).detach()

    def sparse_update(self, group, p, g):
        if group["fused"]:
            raise RuntimeError("`fused` does not support sparse grad or complex param")
        if group["weight_decay"] != 0:
            raise RuntimeError("weight_decay option is not compatible with sparse gradients")
        state = self.state[p]
        state["step"] += 1
        rate = float(group["lr"]) / (1 + (state["step"].item() - 1) * group["lr_decay"])
        g = (-g if group["maximize"] else g).coalesce()
        state["sum"].add_(g.pow(2))
        root = state["sum"].sparse_mask(g)._values().sqrt() + group["eps"]
        p.add_(SparseTensor(g.indices(), g.values() / root, g.shape, True), alpha=-rate)

    def share_memory(self):
        """Nothing to do: states are never shared between processes."""

    def slots(self, group):
        return ("sum",)

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["lr_decay"], group["eps"]
