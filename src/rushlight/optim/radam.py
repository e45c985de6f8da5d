"""RAdam: Adam with a rectified variance."""

from __future__ import annotations

from .._kernels import K
from ._moments import MomentOptimizer, check_moments

__all__ = ["RAdam"]


class RAdam(MomentOptimizer):
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
        check_moments(lr, betas, eps, weight_decay)
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize, "foreach": foreach,
            "capturable": capturable, "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        })  # fmt: skip
