"""SparseAdam: Adam for the rows that a sparse gradient names."""

from __future__ import annotations

from ..autograd.grad_mode import enable_grad, no_grad
from ..autograd.tensor import Tensor
from ..ops.creation import zeros_like
from ._listed import READS_ENTRIES, check_betas
from .optimizer import Optimizer

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam in which only the entries that a gradient names are touched: their moments, and the parameter there.

    Args: `params`, dense; `lr` (default 1e-3), `betas` (0.9, 0.999), `eps` (1e-8), `maximize` (False).
    Raises: ValueError for options out of range and sparse parameters; RuntimeError from `step` for dense gradients.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html
    """

    unrepeatable = READS_ENTRIES

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})
        sparse = [[i, k] for i, group in enumerate(self.param_groups) for k, p in enumerate(group["params"]) if p.is_sparse]
        if sparse:
            raise ValueError(f"Sparse params at indices {sparse}: SparseAdam requires dense parameter tensors")

    def required_state(self, group):
        return ("step", "exp_avg", "exp_avg_sq")

    @no_grad()
    def step(self, closure=None):
        """One update of every parameter that has a gradient. Returns what `closure` returns, if it is given."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        todo = [(group, p) for group in self.param_groups for p in group["params"] if p._grad is not None and p._requires_grad]
        if not all(p._grad.is_sparse for _, p in todo):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        for group, p in todo:
            self.update(group, p, p._grad)
        if todo:
            self._started = True
        elif closure is None:
            self._nothing_to_do()
        return loss

    def update(self, group, p, g):
        state = self.state[p]
        if not state:
            state["step"] = 0
            state["exp_avg"], state["exp_avg_sq"] = zeros_like(p), zeros_like(p)
        state["step"] += 1
        t, (beta1, beta2) = float(state["step"]), map(float, group["betas"])
        g = (-g if group["maximize"] else g).coalesce()  # the update is not linear: one entry per position
        if not g._nnz():
            return
        at, v = tuple(g._indices()), g._values()
        m, s = state["exp_avg"], state["exp_avg_sq"]
        old_m, old_s = m[at], s[at]
        # m + (1 - beta1) (g - m), in PyTorch's order of additions.
        dm, ds = (v - old_m) * (1 - beta1), (v * v - old_s) * (1 - beta2)
        m[at], s[at] = old_m + dm, old_s + ds
        rate = float(group["lr"]) * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        p.index_put_(at, (dm + old_m) / ((ds + old_s).sqrt() + group["eps"]) * -rate, accumulate=True)
