"""Muon: momentum whose matrices are made (nearly) orthogonal before they are applied."""

from __future__ import annotations

from .. import _dtypes
from .._kernels import K
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor
from ..ops.creation import empty_like, zeros_like
from ..ops.matmul import addmm
from ._listed import ListOptimizer

__all__ = ["Muon"]


def _orthogonal(g, coefficients, steps, eps):
    """g with its singular values brought near 1, by `steps` Newton-Schulz iterations in bfloat16."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    tall = g.shape[0] > g.shape[1]
    x = g.to(_dtypes.bfloat16)
    x = x.t() if tall else x
    x = x / x.norm().clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.t()
        x = addmm(x, addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.t() if tall else x


class Muon(ListOptimizer):
    """b = running mean of g;  p = p (1 - lr weight_decay) - lr scale orthogonal(g + momentum (b - g)).

    Args: `params` (matrices); `lr` (default 1e-3), `weight_decay` (0.1), `momentum` (0.95), `nesterov` (True),
    `ns_coefficients`, `eps`, `ns_steps` (of the iteration that makes a matrix orthogonal), `adjust_lr_fn` ("original":
    scale sqrt(max(1, rows / columns)); "match_rms_adamw": 0.2 sqrt(max(rows, columns))).
    Raises: ValueError for options out of range and parameters that are no matrices.
    Reference: https://kellerjordan.github.io/posts/muon;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Muon.html
    """

    kernel = K.muon_into
    scalars = ()

    def __init__(self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
                 ns_coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ns_steps=5, adjust_lr_fn=None):  # fmt: skip
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 <= momentum:
            raise ValueError(f"momentum should be >= 0 but is: {momentum}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight decay should be >= 0 but is: {weight_decay}")
        if adjust_lr_fn not in (None, "original", "match_rms_adamw"):
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, {
            "lr": lr, "weight_decay": weight_decay, "momentum": momentum, "nesterov": nesterov,
            "ns_coefficients": ns_coefficients, "eps": eps, "ns_steps": ns_steps, "adjust_lr_fn": adjust_lr_fn,
        })  # fmt: skip
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon only supports 2D parameters whereas we found a parameter with size: {p.size()}")

    def slots(self, group):
        return ("momentum_buffer",)

    def hyper(self, group):
        return float(group["lr"]), group["weight_decay"], group["momentum"]

    def flags(self, group):
        coefficients = tuple(group["ns_coefficients"])
        return group["nesterov"], group["adjust_lr_fn"] == "match_rms_adamw", coefficients, group["ns_steps"], group["eps"]

    def init(self, p, state, group):
        state["momentum_buffer"] = zeros_like(p)

    @no_grad()
    def run(self, group, params, states, slots, hyper):
        """Momentum for all matrices, the iterations of each, the update of all."""
        nesterov, match_rms, *iteration = self.flags(group)
        twice = len(params) > len(set(map(id, params)))
        directions = [empty_like(p) for p in params]
        arrays = [d._a for d in directions] + [s["momentum_buffer"]._a for s in states]
        K.muon_momentum_into(arrays, [p._grad._a for p in params], hyper, 2, 0, twice, nesterov)
        updates = [_orthogonal(d, *iteration).to(p.dtype)._a for d, p in zip(directions, params, strict=True)]
        self.kernel([p._a for p in params], updates, hyper, 1, 0, twice, match_rms)
