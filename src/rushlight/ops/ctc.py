"""Connectionist temporal classification."""

from __future__ import annotations

import math

from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from ._reduction import checked
from .creation import tensor
from .pointwise import where

__all__ = ["ctc_loss"]


@op
def _ctc_loss(x, targets, starts, frames, labels, /, *, blank, longest, zero_infinity):
    return K.ctc_loss(contig(x), targets, starts, frames, labels, blank, longest)


@op(differentiable=False)
def _ctc_loss_backward(x, targets, starts, frames, labels, g, loss, alpha, /, *, blank, zero_infinity):
    return K.ctc_loss_backward(contig(x), targets, starts, frames, labels, contig(g), contig(loss), alpha, blank, zero_infinity)


@_ctc_loss.vjp
def _(g, x, targets, starts, frames, labels, out, *, blank, zero_infinity, needs):
    dx = _ctc_loss_backward(x, targets, starts, frames, labels, g[0], out[0], out[1], blank=blank,
                            zero_infinity=zero_infinity)  # fmt: skip
    return dx, None, None, None, None


_WHILE = " (while checking arguments for ctc_loss_allocate_outputs)"


def _lengths(values, name, n):
    """Lengths as a list of ints."""
    if isinstance(values, Tensor):
        if values._a.dtype.is_floating_point:
            raise RuntimeError(f"{name} must be integral")
        values = values.reshape(-1).tolist()
    values = [int(v) for v in values]
    if len(values) != n:
        raise RuntimeError(f"{name} must be of size batch_size")
    if any(v < 0 for v in values):
        low = next(v for v in values if v < 0)
        raise RuntimeError(f"Expected {name} to have value at least 0, but got value {low}{_WHILE}")
    return values


def _starts(targets, lengths):
    """Where each sample's target begins in the flattened targets."""
    if targets.ndim == 1:
        total = sum(lengths)
        if targets.size(0) != total:
            raise RuntimeError(
                f"Expected tensor to have size {total} at dimension 0, but got size {targets.size(0)} for argument #2 "
                f"'targets'{_WHILE}"
            )
        return [sum(lengths[:i]) for i in range(len(lengths))]
    if targets.size(1) < max(lengths, default=0):
        raise RuntimeError(
            f"Expected tensor to have size at least {max(lengths)} at dimension 1, but got size {targets.size(1)} for argument "
            f"#2 'targets'{_WHILE}"
        )
    return [i * targets.size(1) for i in range(len(lengths))]


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
    starts = _starts(targets, labels)
    if any(f > log_probs.size(0) for f in frames):
        high = next(f for f in frames if f > log_probs.size(0))
        raise RuntimeError(f"Expected input_lengths to have value at most {log_probs.size(0)}, but got value {high}{_WHILE}")
    flat = targets.long().contiguous().reshape(-1)
    losses, _ = _ctc_loss(log_probs, flat, tensor(starts), tensor(frames), tensor(labels), blank=int(blank),
                          longest=max(labels, default=0), zero_infinity=bool(zero_infinity))  # fmt: skip
    if zero_infinity:
        losses = where(losses == math.inf, 0.0, losses)
    if reduction == "mean":
        return (losses / tensor([max(1, s) for s in labels]).to(losses.dtype)).mean()
    if reduction == "sum":
        return losses.sum()
    return losses if batched else losses.squeeze(0)
