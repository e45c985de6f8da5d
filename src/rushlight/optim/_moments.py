"""What NAdam, RAdam and Adamax share."""

from __future__ import annotations

from ._listed import ListOptimizer, check_betas, check_lr, nonnegative

__all__ = ["MomentOptimizer", "check_moments"]


def check_moments(lr, betas, eps, weight_decay):
    check_lr(lr)
    nonnegative("epsilon value", eps)
    check_betas(betas)
    nonnegative("weight_decay value", weight_decay)


class MomentOptimizer(ListOptimizer):
    """States, options and checks that NAdam, RAdam and Adamax share with Adam."""

    def slots(self, group):
        return ("exp_avg", "exp_avg_sq")

    def hyper(self, group):
        beta1, beta2 = group["betas"]
        return float(group["lr"]), group["weight_decay"], beta1, beta2, group["eps"]

    def flags(self, group):
        return group["maximize"], group.get("decoupled_weight_decay", False)
