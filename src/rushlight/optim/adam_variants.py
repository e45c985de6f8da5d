"""NAdam, RAdam and Adamax."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import zeros_like
from ._listed import ListOptimizer, check_betas, check_lr, nonnegative, scalar

__all__ = ["NAdam", "RAdam", "Adamax"]


def _check(lr, betas, eps, weight_decay):
    check_lr(lr)
    nonnegative("epsilon value", eps)
    check_betas(betas)
    nonnegative("weight_decay value", weight_decay)


class _Moments(ListOptimizer):
    """States and options that the three share with Adam."""

    def slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    def hyper(self, group):
        beta1, beta2 = group["betas"]
        return float(group["lr"]), group["weight_decay"], beta1, beta2, group["eps"]

    def flags(self, group):
        return group["maximize"], group.get("decoupled_weight_decay", False)


class NAdam(_Moments):
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
        _check(lr, betas, eps, weight_decay)
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


class RAdam(_Moments):
    """Adam that waits with the adaptive rate until the running variance of g can be trusted.

    Args: `params`; `lr` (default 1e-3), `betas` (0.9, 0.999), `eps` (1e-8), `weight_decay` (0),
    `decoupled_weight_decay` (False), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: Liu et al., https://arxiv.org/abs/1908.03265;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.RAdam.html
    """

    kernel = K.radam_into

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
                 foreach=None, maximize=False, capturable=False, differentiable=False):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip


class Adamax(_Moments):
    """m = running mean of g, u = max(beta2 u, |g| + eps);  p = p - lr m̂ / u.

    Args: `params`; `lr` (default 2e-3), `betas` (0.9, 0.999), `eps` (1e-8), `weight_decay` (0), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adamax.html
    """

    kernel = K.adamax_into

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
                 differentiable=False, capturable=False):  # fmt: skip
        _check(lr, betas, eps, weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "foreach": foreach, "maximize": maximize,
            "differentiable": differentiable, "capturable": capturable,
        })  # fmt: skip

    def slots(self, group):
        return ("exp_avg", "exp_inf")
