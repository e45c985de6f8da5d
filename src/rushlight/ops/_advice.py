"""Warnings where PyTorch computes in silence what is hardly meant. They change no number and cost less than an op.

Each is a UserWarning at the caller's line, so that Python shows it once there. Checks that read values are left out while a
step is recorded, which must not read any: its first call was not recorded and has been checked.
"""

from __future__ import annotations

import math
import os
import sys
import warnings

from .. import _dtypes, _recording
from .._kernels import K

__all__ = ["advise", "softmax_as_scores", "softmax_as_logs", "nothing_counts", "no_distribution", "other_size", "negative_counts"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep

# How many values a check reads at most; of more than that, how many at the beginning.
_MOST, _GLANCE = 512, 128


def advise(message: str) -> None:
    """A UserWarning at the innermost line of code outside this package."""
    level, frame = 1, sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, UserWarning, stacklevel=level + (frame is not None))


def _is_softmax(x):
    node = x._node
    return node is not None and node.op is not None and node.op.name == "softmax"


def softmax_as_scores(x) -> None:
    """cross_entropy of the output of softmax."""
    if _is_softmax(x):
        classes = x._a.shape[1 if x._a.ndim > 1 else 0]
        floor = math.log(math.e + classes - 1) - 1
        advise("cross_entropy computes the softmax itself, but its input is the output of softmax, so that the loss cannot fall "
               f"below {floor:.4f} ({classes} classes). Leave the softmax out.")  # fmt: skip


def softmax_as_logs(x) -> None:
    """nll_loss of probabilities."""
    if _is_softmax(x):
        advise("nll_loss expects log-probabilities, but its input is the output of softmax. Use log_softmax instead, or "
               "cross_entropy on the scores.")  # fmt: skip


def nothing_counts(name, total, target, weight, ignore_index) -> None:
    """A mean over targets of which none counts; `total` is the sum of their weights."""
    if not _recording.watching() and total.item() == 0 and target._a.numel:
        why = "" if weight is None else " or has weight 0"
        advise(f"{name}: every target is ignored (ignore_index={ignore_index}){why}, and the mean over none is nan.")


def no_distribution(target) -> None:
    """cross_entropy of two vectors whose second is no distribution over classes: most likely one score per sample."""
    n = target._a.numel
    if not _recording.watching() and 0 < n <= _MOST:
        total, least = target.sum().item(), target.min().item()
        if abs(total - 1) > 1e-2 or least < 0:
            advise("cross_entropy takes two vectors as the scores and the class probabilities of one sample, but this target is no "
                   f"distribution (its sum is {total:.4g}). For one score per sample use binary_cross_entropy_with_logits; class "
                   "numbers are integers.")  # fmt: skip


def other_size(input, target) -> None:
    """A target that broadcasts; the sentence of mse_loss."""
    if target._a.shape != input._a.shape and target._a.ndim:
        advise(f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will likely "
               "lead to incorrect results due to broadcasting. Please ensure they have the same size.")  # fmt: skip


def negative_counts(target) -> None:
    """Poisson counts below zero, among the first few hundred."""
    a = target._a
    n = a.numel
    if n > _MOST and a.contiguous:
        a, n = a.as_strided((_GLANCE,), (1,), a.offset), _GLANCE
    if not _recording.watching() and 0 < n <= _MOST and a.dtype is not _dtypes.bool and K.amin(a, (1 << a.ndim) - 1, False).item() < 0:
        advise("poisson_nll_loss: the target has negative values, which are no counts.")
