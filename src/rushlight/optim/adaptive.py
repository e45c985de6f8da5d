"""Adagrad, Adadelta, RMSprop, Rprop and ASGD."""

from __future__ import annotations

from .._kernels import K
from ..ops.creation import full_like, zeros_like
from ._listed import ListOptimizer, check_lr, nonnegative, scalar

__all__ = ["Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD"]


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

    def share_memory(self):
        """Nothing to do: states are never shared between processes."""

    def slots(self, group):
        return ("sum",)

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["lr_decay"], group["eps"]


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
