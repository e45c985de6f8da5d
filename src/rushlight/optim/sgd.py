"""Stochastic gradient descent with momentum."""

from __future__ import annotations

import numpy as np

from .. import _dtypes, _native
from .._kernels import K
from ..autograd.tensor import Tensor
from ..ops.creation import zeros_like
from ._listed import ListOptimizer

__all__ = ["SGD"]


class SGD(ListOptimizer):
    """b = momentum b + (1 - dampening) g;  p = p - lr b, with g + momentum b instead of b for Nesterov's form.

    Args: `params`; `lr` (default 1e-3), `momentum` (0), `dampening` (0), `weight_decay` (0, added to g as
    weight_decay p), `nesterov` (False), `maximize` (False).
    Raises: ValueError for negative options, and for Nesterov momentum without momentum or with dampening.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
    """

    kernel = K.sgd_into
    scalars = ()

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *, maximize=False,
                 foreach=None, differentiable=False, fused=None):  # fmt: skip
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if lr < 0.0:
            raise ValueError(f"Invalid learning rate: {lr}")
        if momentum < 0.0:
            raise ValueError(f"Invalid momentum value: {momentum}")
        if weight_decay < 0.0:
            raise ValueError(f"Invalid weight_decay value: {weight_decay}")
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay, "nesterov": nesterov,
            "maximize": maximize, "foreach": foreach, "differentiable": differentiable, "fused": fused,
        })  # fmt: skip

    def slots(self, group):
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def hyper(self, group):
        return float(group["lr"]), float(group["weight_decay"]), group["momentum"], group["dampening"]

    def flags(self, group):
        return group["maximize"], group["nesterov"]

    def required_state(self, group):
        return ()

    def sparse_update(self, group, p, g):
        if group["fused"]:
            raise RuntimeError("`_fused_sgd` does not support sparse gradients")
        lr, decay, momentum, dampening = self.hyper(group)
        g = -g if group["maximize"] else g
        if decay:
            g = g.add(p, alpha=decay)
        if momentum:
            state = self.state[p]
            buffer = state.get("momentum_buffer")
            if buffer is None:
                buffer = state["momentum_buffer"] = g.clone()
            else:
                buffer.mul_(momentum).add_(g, alpha=1 - dampening)
            g = g.add(buffer, alpha=momentum) if group["nesterov"] else buffer
        p.add_(g, alpha=-lr)

    def update(self, group, params):
        if group["momentum"] == 0:
            self.run(group, params, (), (), self._hyper_array(group))
            return
        state = self.state
        states = [state[p] for p in params]
        fresh = [i for i, s in enumerate(states) if s.get("momentum_buffer") is None]
        for i in fresh:
            states[i]["momentum_buffer"] = zeros_like(params[i])
        if fresh and group["dampening"] != 0:
            # The first buffer is the gradient, undampened: b = momentum 0 + g.
            lr, decay, momentum, _ = self.hyper(group)
            hyper = _native.empty((4,), _dtypes.float64.code)
            np.asarray(hyper)[:] = lr, decay, momentum, 0.0
            self.run(group, [params[i] for i in fresh], [states[i] for i in fresh], self.slots(group), hyper)
            rest = [i for i in range(len(params)) if i not in set(fresh)]
            params, states = [params[i] for i in rest], [states[i] for i in rest]
        if params:
            self.run(group, params, states, self.slots(group), self._hyper_array(group))
