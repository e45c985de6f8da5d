"""How losses are reduced: "none", "mean" or "sum", and PyTorch's older `size_average` and `reduce`."""

from __future__ import annotations

import warnings

__all__ = ["checked", "resolve", "legacy", "reduced"]


def checked(reduction: str) -> str:
    """The reduction itself; ValueError if it is none."""
    if reduction in ("none", "mean", "sum"):
        return reduction
    if reduction == "elementwise_mean":
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=4)
        return "mean"
    raise ValueError(f"{reduction} is not a valid value for reduction")


def legacy(size_average, reduce, stacklevel=3) -> str:
    """The reduction that `size_average` and `reduce` mean, with a warning."""
    size_average = True if size_average is None else size_average
    reduce = True if reduce is None else reduce
    reduction = "mean" if size_average and reduce else "sum" if reduce else "none"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
        stacklevel=stacklevel,
    )
    return reduction


def resolve(size_average, reduce, reduction) -> str:
    """The reduction to use, from all three arguments."""
    if size_average is not None or reduce is not None:
        return legacy(size_average, reduce, stacklevel=4)
    return checked(reduction)


def reduced(loss, reduction):
    """A tensor of losses, reduced."""
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss
