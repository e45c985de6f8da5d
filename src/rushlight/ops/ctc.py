"""Connectionist temporal classification."""

from __future__ import annotations

import math

from .._dtypes import int64
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from ._reduction import checked
from .creation import tensor
from .pointwise import where

__all__ = ["ctc_loss"]


@op(name="ctc_starts", differentiable=False)
def _starts(frames, labels, /, *, frames_at_most, dims, size):
    return K.ctc_starts(frames, labels, frames_at_most, dims, size)


@op
def _ctc_loss(x, targets, starts, frames, labels, /, *, blank, zero_infinity):
    return K.ctc_loss(contig(x), targets, starts, frames, labels, blank)


@op(differentiable=False)
def _ctc_loss_backward(x, targets, starts, frames, labels, g, loss, alpha, /, *, blank, zero_infinity):
    return K.ctc_loss_backward(contig(x), targets, starts, frames, labels, contig(g), contig(loss), alpha, blank, zero_infinity)


@_ctc_loss.vjp
def _(g, x, targets, starts, frames, labels, out, *, blank, zero_infinity, needs):
    dx = _ctc_loss_backward(x, targets, starts, frames, labels, g[0], out[0], out[1], blank=blank,
                            zero_infinity=zero_infinity)  # fmt: skip
    return dx, None, None, None, None


def _lengths(values, name, n):
    """Lengths as an int64 vector; the kernel ctc_starts looks at the values."""
    if not isinstance(values, Tensor):
        values = tensor([int(v) for v in values], dtype=int64)
    elif values._a.dtype.is_floating_point:
        raise RuntimeError(f"{name} must be integral")
    values = values.reshape(-1).long().contiguous()
    if values.numel() != n:
        raise RuntimeError(f"{name} must be of size batch_size")
    return values


@full_precision
def ctc_loss(log_probs, targets, input_lengths, target_lengths, blank=0, reduction="mean", zero_infinity=False) -> Tensor:
    """-log of the probability of each target, summed over all alignments with blanks.

    Shape: log_probs (T, N, C) or (T, C); targets (N, S) padded, or all of them one after the other; lengths (N).
    `reduction="mean"` divides each loss by its target's length first; `zero_infinity` makes impossible targets count 0.
    Reference: Graves et al., Connectionist temporal classification, 2006.
    """
    reduction = checked(reduction)
    batched = log_probs.ndim == 3
    if not batched:
        log_probs = log_probs.unsqueeze(1)
        targets = targets.reshape(1, -1) if targets.ndim else targets.reshape(1, 1)
    n = log_probs.size(1)
    if not 0 <= blank < log_probs.size(2):
        raise RuntimeError("blank must be in label range")
    frames, labels = _lengths(input_lengths, "input_lengths", n), _lengths(target_lengths, "target_lengths", n)
    starts = _starts(frames, labels, frames_at_most=log_probs.size(0), dims=targets.ndim, size=targets.size(-1))
    flat = targets.long().contiguous().reshape(-1)
    losses, _ = _ctc_loss(log_probs, flat, starts, frames, labels, blank=int(blank), zero_infinity=bool(zero_infinity))
    if zero_infinity:
        losses = where(losses == math.inf, 0.0, losses)
    if reduction == "mean":
        return (losses / labels.clamp_min(1).to(losses.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses.squeeze(0)
