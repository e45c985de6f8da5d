"""SparseAdam, which waits for sparse gradients."""

from __future__ import annotations

from ..autograd.grad_mode import enable_grad
from ..autograd.tensor import Tensor
from ._listed import check_betas
from .optimizer import Optimizer

__all__ = ["SparseAdam"]


class SparseAdam(Optimizer):
    """Adam for sparse gradients: only the rows that a gradient names are touched. rushlight has dense gradients only.

    Args: `params`; `lr` (default 1e-3), `betas` (0.9, 0.999), `eps` (1e-8), `maximize` (False).
    Raises: ValueError for options out of range; RuntimeError from `step` for dense gradients.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.SparseAdam.html
    """

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        if isinstance(lr, Tensor) and lr._a.numel != 1:
            raise ValueError("Tensor lr must be 1-element")
        if not 0.0 < lr:
            raise ValueError(f"Invalid learning rate: {lr}")
        if not 0.0 < eps:
            raise ValueError(f"Invalid epsilon value: {eps}")
        check_betas(betas)
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "maximize": maximize})

    def step(self, closure=None):
        """Raises RuntimeError if any parameter has a gradient, since that is dense."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        if any(p._grad is not None for group in self.param_groups for p in group["params"]):
            raise RuntimeError("SparseAdam does not support dense gradients, please consider Adam instead")
        return loss
