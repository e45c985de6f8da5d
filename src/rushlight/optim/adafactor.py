"""Adafactor: the second moments of a matrix kept as a row and a column."""

from __future__ import annotations

from .. import _dtypes
from ..autograd.grad_mode import enable_grad, no_grad
from ..autograd.tensor import Tensor
from ..ops.creation import zeros_like
from ._listed import scalar
from .optimizer import Optimizer, tensor_step

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """v = row mean x column mean of g² (all of g² for vectors);  p = p - max(eps2, rms(p)) rho u / max(1, rms(u) / d),
    u = g / sqrt(v), rho = min(lr, 1 / sqrt(t)).

    Args: `params`; `lr` (default 1e-2), `beta2_decay` (-0.8), `eps` ((None, 1e-3): the first defaults to the dtype's
    epsilon), `d` (1.0), `weight_decay` (0), `maximize` (False).
    Raises: ValueError for options out of range.
    Reference: Shazeer and Stern, https://arxiv.org/abs/1804.04235;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.Adafactor.html
    """

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
                 maximize=False):  # fmt: skip
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 <= lr:
            raise ValueError(f"Learning rate should be >= 0 but is: {lr}")
        if not 0.0 >= beta2_decay:
            raise ValueError(f"beta2_decay should be <= 0 but is: {beta2_decay}")
        if eps[0] is not None and not 0.0 <= eps[0]:
            raise ValueError(f"epsilon1 should be >= 0 but is: {eps[0]}")
        if not 0.0 <= eps[1]:
            raise ValueError(f"epsilon2 should be >= 0 but is: {eps[1]}")
        if not 1.0 <= d:
            raise ValueError(f"Clipping threshold d should be >= 1 but is: {d}")
        if not 0.0 <= weight_decay:
            raise ValueError(f"weight_decay should be >= 0 but is: {weight_decay}")
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay, "foreach": foreach,
            "maximize": maximize,
        })  # fmt: skip

    def __setstate__(self, state):
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
        for own in self.state.values():
            if "step" in own:
                own["step"] = tensor_step(own["step"])

    @no_grad()
    def step(self, closure=None):
        """One update of every parameter that has a gradient. Returns what `closure` returns, if it is given."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        todo = [(group, p) for group in self.param_groups for p in group["params"] if p._grad is not None and p._requires_grad]
        if any(p._grad.is_sparse for _, p in todo):
            raise RuntimeError("Adafactor does not support sparse gradients")
        for group, p in todo:
            self.update(p, -p._grad if group["maximize"] else p._grad, group)
        if todo:
            self._started = True
        elif closure is None:
            self._nothing_to_do()
        return loss

    def required_state(self, group):
        return ("step",)

    def update(self, p, g, group):
        state, lr = self.state[p], float(group["lr"])
        matrix = g.ndim > 1
        if not state:
            state["step"] = scalar(0.0)
            if matrix:
                state["row_var"] = g.new_zeros((*g.shape[:-1], 1))
                state["col_var"] = g.new_zeros((*g.shape[:-2], 1, g.shape[-1]))
            else:
                state["variance"] = zeros_like(g)
        eps1, eps2 = group["eps"]
        if eps1 is None:
            eps1 = _dtypes.finfo(p.dtype).eps
        state["step"] += 1
        t = state["step"].item()
        fresh = t ** group["beta2_decay"]  # the weight of the new squares
        rate = max(eps2, p.norm(2).item() / p.numel() ** 0.5) * min(lr, 1 / t**0.5)
        if group["weight_decay"] != 0:
            p.mul_(1 - lr * group["weight_decay"])
        if matrix:
            rows, cols = state["row_var"], state["col_var"]
            rows.lerp_(g.norm(dim=-1, keepdim=True).square() / g.shape[-1], fresh)
            cols.lerp_(g.norm(dim=-2, keepdim=True).square() / g.shape[-2], fresh)
            v = rows @ cols / rows.mean(dim=-2, keepdim=True).clamp(min=eps1)
        else:
            v = state["variance"].lerp_(g * g, fresh)
        u = v.clamp(min=eps1 * eps1).rsqrt() * g
        p.add_(u, alpha=-rate / max(1.0, u.norm(2).item() / (u.numel() ** 0.5 * group["d"])))
