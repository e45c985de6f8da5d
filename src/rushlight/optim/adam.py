"""Adam, with AMSGrad."""

from __future__ import annotations

from .._kernels import K
from ..autograd.tensor import Tensor
from ._listed import ListOptimizer, check_betas, check_lr, nonnegative

__all__ = ["Adam"]


class Adam(ListOptimizer):
    """m, v = running means of g and g²;  p = p - lr m̂ / (sqrt(v̂) + eps), m̂ and v̂ corrected for starting at zero.

    Args: `params`; `lr` (default 1e-3), `betas` (0.9, 0.999), `eps` (1e-8), `weight_decay` (0), `amsgrad` (False: v̂
    is never smaller than before if True), `maximize` (False), `decoupled_weight_decay` (False: p shrinks by
    1 - lr weight_decay if True, which is AdamW).
    Raises: ValueError for options out of range.
    Reference: Kingma and Ba, https://arxiv.org/abs/1412.6980;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
    """

    kernel = K.adam_into

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False, fused=None,
                 decoupled_weight_decay=False):  # fmt: skip
        if isinstance(lr, Tensor) and foreach and not capturable:
            raise ValueError("lr as a Tensor is not supported for capturable=False and foreach=True")
        check_lr(lr)
        nonnegative("epsilon value", eps)
        check_betas(betas)
        nonnegative("weight_decay value", weight_decay)
        kinds = {float if isinstance(b, float) else Tensor if isinstance(b, Tensor) else None for b in betas}
        if len(kinds) != 1 or None in kinds:
            raise ValueError("betas must be either both floats or both Tensors")
        super().__init__(params, {
            "lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "foreach": foreach, "capturable": capturable, "differentiable": differentiable,
            "fused": fused, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def slots(self, group):
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq") if group["amsgrad"] else ("exp_avg", "exp_avg_sq")

    def hyper(self, group):
        beta1, beta2 = group["betas"]
        return float(group["lr"]), group["weight_decay"], float(beta1), float(beta2), group["eps"]

    def flags(self, group):
        return group["maximize"], group["decoupled_weight_decay"], group["amsgrad"]
