"""Losses of class scores: cross entropy, negative log likelihood, margins over classes."""

from __future__ import annotations

import math

from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._advice import no_distribution, nothing_counts, softmax_as_logs, softmax_as_scores
from ._declare import contig
from ._reduction import resolve
from .activation import log_softmax
from .creation import ones_like
from .pointwise import where

__all__ = ["cross_entropy", "nll_loss", "multi_margin_loss", "multilabel_margin_loss"]

_CODE = {"none": 0, "mean": 1, "sum": 2}


# -- cross entropy ------------------------------------------------------------------------------------------------------------


def _forward(x, t, w, /, *, p):
    loss, lse, total = K.cross_entropy(contig(x), contig(t), None if w is None else contig(w), *p)
    return loss, lse, total


def _coefficients(x, t, w, total, p):
    """For each position: what multiplies softmax - target there, and the target's weight."""
    reduction, ignore, smoothing, _ = p
    counted = t != ignore
    safe = where(counted, t, 0)
    own = ones_like(total).expand(t.shape) if w is None else w[safe]
    every = x.shape[1 if x.ndim > 1 else 0] if w is None else w.sum()
    weight = own * (1 - smoothing) + every * (smoothing / x.shape[1 if x.ndim > 1 else 0])
    weight = where(counted, weight, 0.0)
    return weight / total if reduction == 1 else weight


def _make(name, grad_name):
    call = op(name=name, grad_name=grad_name)(_forward_of(name))
    back = op(name=name + "_backward")(_backward_of(name))

    @call.vjp
    def _(g, x, t, w, out_1, out_2, *, p, needs):
        if needs[2]:
            raise RuntimeError("the derivative for 'weight' is not implemented.")
        return back(g[0], x, t, w, out_1.detach(), out_2.detach(), p=p), None, None

    @back.vjp
    def _(v, g, x, t, w, lse, total, *, p, needs):
        one = ones_like(g)
        dg = v * back(one, x, t, w, lse, total, p=p)
        dim = 1 if x.ndim > 1 else 0
        dg = dg.sum(dim) if g.ndim == t.ndim and t.ndim else dg.sum()
        if p[3] or not needs[1]:
            return dg, None, None, None, None, None
        soft = log_softmax(x, dim).exp()
        inner = v - (v * soft).sum(dim, keepdim=True)
        scale = _coefficients(x, t, w, total, p) * g
        scale = scale.unsqueeze(dim) if x.ndim > 1 else scale
        return dg, scale * soft * inner, None, None, None, None

    return call


def _forward_of(name):
    def forward(x, t, w, /, *, p):
        return _forward(x, t, w, p=p)

    forward.__name__ = name
    return forward


def _backward_of(name):
    def backward(g, x, t, w, lse, total, /, *, p):
        w = None if w is None else contig(w)
        return K.cross_entropy_backward(contig(g), contig(x), contig(t), w, contig(lse), total, *p)

    backward.__name__ = name
    return backward


# Two names for one kernel: PyTorch's nodes are called differently for images.
_cross_entropy = _make("cross_entropy", "NllLossBackward0")
_cross_entropy_2d = _make("cross_entropy_2d", "NllLoss2DBackward0")


def _check_weight(weight, x, classes):
    if weight is None:
        return
    if weight._a.shape != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: "
            f"{list(weight._a.shape)}"
        )
    if weight._a.dtype is not x.dtype:
        raise RuntimeError(f"expected scalar type {x.dtype.scalar_name} but found {weight._a.dtype.scalar_name}")


def _check_indices(input, target):
    """PyTorch's checks of a target of class numbers; returns it as int64."""
    x, t = input._a, target._a
    if x.ndim == 0:
        raise ValueError("Expected 1 or more dimensions (got 0)")
    if x.ndim > 1 and (t.ndim == 0 or x.shape[0] != t.shape[0]):
        got = t.shape[0] if t.ndim else 0
        raise ValueError(f"Expected input batch_size ({x.shape[0]}) to match target batch_size ({got}).")
    if x.ndim == 1 and t.ndim == 1 and t.shape[0] != 1:
        raise ValueError(f"For 1D input, 1D target must have size 1, but got target size: {t.shape[0]}")
    if x.ndim <= 2 and t.ndim > 1:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if x.ndim == 4 and t.ndim != 3:
        raise RuntimeError(
            f"only batches of spatial targets supported (3D tensors) but got targets of dimension: {t.ndim}"
        )
    if x.ndim > 2 and t.shape != (x.shape[0], *x.shape[2:]):
        if x.ndim == 4:
            raise RuntimeError(f"size mismatch (got input: {list(x.shape)} , target: {list(t.shape)}")
        raise RuntimeError(f"Expected target size {[x.shape[0], *x.shape[2:]]}, got {list(t.shape)}")
    if t.dtype.scalar_name == "Byte":
        return target.long()
    if t.dtype.scalar_name != "Long":
        raise RuntimeError(f"expected target dtype to be Long or Byte, but got {t.dtype.scalar_name}")
    return target


def _classes(input, target, weight, reduction, ignore_index, smoothing, is_log):
    x = input._a
    if not x.dtype.is_floating_point and not is_log:
        kind = "log_softmax_lastdim_kernel_impl" if x.ndim <= 2 else "log_softmax_kernel_impl"
        raise NotImplementedError(f"\"{kind}\" not implemented for '{x.dtype.scalar_name}'")
    target = _check_indices(input, target)
    _check_weight(weight, x, x.shape[1 if x.ndim > 1 else 0])
    if x.ndim == 1 and target._a.ndim == 1:  # one sample without a batch dimension
        target = target.reshape(())
    call = _cross_entropy_2d if x.ndim > 2 else _cross_entropy
    loss, _, total = call(input, target, weight, p=(_CODE[reduction], int(ignore_index), float(smoothing), int(is_log)))
    if reduction == "mean":
        nothing_counts("nll_loss" if is_log else "cross_entropy", total._a, target, weight, ignore_index)
    return loss


def _probabilities(input, target, weight, reduction, ignore_index, smoothing):
    if not target._a.dtype.is_floating_point:
        raise RuntimeError(
            f"Expected floating point type for target with class probabilities, got {target._a.dtype.scalar_name}"
        )
    if ignore_index >= 0:
        raise RuntimeError("ignore_index is not supported for floating point target")
    dim = 1 if input.ndim > 1 else 0
    classes = input.size(dim)
    _check_weight(weight, input._a, classes)
    logs = log_softmax(input, dim)
    if smoothing > 0:
        target = target * (1 - smoothing) + smoothing / classes
    if weight is not None:
        target = target * weight.reshape([classes if d == dim else 1 for d in range(input.ndim)])
    product = logs * target
    if reduction == "none":
        return -product.sum(dim)
    total = -product.sum()
    return total if reduction == "sum" else total / (input.numel() // classes)


@full_precision
def cross_entropy(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean",
                  label_smoothing=0.0) -> Tensor:  # fmt: skip
    """-log softmax(input)[target], over dimension 1 (or 0 of a vector).

    Args: `target`, class numbers of shape (N, ...) or probabilities of the input's shape; `weight`, one per class, by which
    the mean is taken; `ignore_index`, a class number that counts for nothing; `label_smoothing`, mixed into the target.
    Raises: IndexError for a class number out of range, ValueError for different batch sizes, RuntimeError for other shapes.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.cross_entropy.html
    """
    reduction = resolve(size_average, reduce, reduction)
    softmax_as_scores(input)
    if target._a.shape == input._a.shape:
        if target._a.ndim == 1 and target._a.dtype.is_floating_point:
            no_distribution(target)
        return _probabilities(input, target, weight, reduction, ignore_index, label_smoothing)
    if not 0.0 <= label_smoothing <= 1.0:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    return _classes(input, target, weight, reduction, ignore_index, label_smoothing, False)


@full_precision
def nll_loss(input, target, weight=None, size_average=None, ignore_index=-100, reduce=None, reduction="mean") -> Tensor:
    """-input[target]: the negative log likelihood of log-probabilities, over dimension 1."""
    reduction = resolve(size_average, reduce, reduction)
    if not input._a.dtype.is_floating_point:
        _check_indices(input, target)
        raise NotImplementedError(f"\"nll_loss_out_frame\" not implemented for '{input._a.dtype.scalar_name}'")
    softmax_as_logs(input)
    return _classes(input, target, weight, reduction, ignore_index, 0.0, True)


# -- margins ----------------------------------------------------------------------------------------------------------------


def _factor(n, reduction):
    return 1.0 if reduction != "mean" else 1.0 / n if n else math.nan


@op
def _multi_margin_loss(x, t, w, /, *, p, margin, reduction):
    return K.multi_margin_loss(contig(x), contig(t), w, p, margin, _factor(x.shape[0], reduction), reduction != "none")


@op(differentiable=False)
def _multi_margin_loss_backward(g, x, t, w, /, *, p, margin, reduction):
    return K.multi_margin_loss_backward(contig(g), contig(x), contig(t), w, p, margin, _factor(x.shape[0], reduction),
                                        reduction != "none")  # fmt: skip


_multi_margin_loss.vjp(
    x=lambda g, x, t, w, p, margin, reduction: _multi_margin_loss_backward(g, x, t, w, p=p, margin=margin, reduction=reduction)
)


def _check_rows(x):
    if x.ndim > 2 or (x.ndim == 1 and x.shape[0] == 0) or (x.ndim == 2 and x.shape[1] == 0):
        raise RuntimeError(f"Expected non-empty vector or matrix with optional 0-dim batch size, but got: {list(x.shape)}")


def _need_long(target):
    if target._a.dtype.scalar_name != "Long":
        raise RuntimeError(f"expected scalar type Long but found {target._a.dtype.scalar_name}")



@full_precision
def multi_margin_loss(input, target, p=1, margin=1.0, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """sum_j max(0, w (margin - x_y + x_j))^p / C over the classes j other than the target y.

    Raises: ValueError unless p is 1 or 2.
    """
    reduction = resolve(size_average, reduce, reduction)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.ndim != 1:
        raise ValueError("weight must be one-dimensional")
    x, t = input._a, target._a
    _check_rows(x)
    rows = x.shape[0] if x.ndim == 2 else 1
    if t.ndim > 1 or t.numel != rows:
        raise RuntimeError(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). "
            f"Expected target size [{rows}], but got {list(t.shape)}. Input has shape {list(x.shape)}."
        )
    if weight is not None and weight.numel() != x.shape[-1]:
        raise RuntimeError(f"inconsistent weight size, expected {x.shape[-1]} but got {list(weight.shape)}")
    _need_long(target)
    if x.ndim == 2:
        return _multi_margin_loss(input, target, weight, p=int(p), margin=float(margin), reduction=reduction)
    out = _multi_margin_loss(input.reshape(1, -1), target.reshape(1), weight, p=int(p), margin=float(margin), reduction=reduction)
    return out.reshape(()) if reduction == "none" else out


@op(grad_name="MultilabelMarginLossBackward0")
def _multilabel_margin_loss(x, t, /, *, reduction):
    return K.multilabel_margin_loss(contig(x), contig(t), _factor(x.shape[0], reduction), reduction != "none")


@op(differentiable=False)
def _multilabel_margin_loss_backward(g, x, t, /, *, reduction):
    return K.multilabel_margin_loss_backward(contig(g), contig(x), contig(t), _factor(x.shape[0], reduction),
                                             reduction != "none")  # fmt: skip


_multilabel_margin_loss.vjp(
    x=lambda g, x, t, reduction: _multilabel_margin_loss_backward(g, x, t, reduction=reduction)
)


@full_precision
def multilabel_margin_loss(input, target, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """sum over targets y and other classes j of max(0, 1 - x_y + x_j) / C; each row of targets ends with -1."""
    reduction = resolve(size_average, reduce, reduction)
    x, t = input._a, target._a
    _check_rows(x)
    if t.shape != x.shape:
        raise RuntimeError(f"inconsistent target size: {list(t.shape)} for input of size: {list(x.shape)}")
    _need_long(target)
    if x.ndim == 2:
        return _multilabel_margin_loss(input, target, reduction=reduction)
    out = _multilabel_margin_loss(input.reshape(1, -1), target.reshape(1, -1), reduction=reduction)
    return out.reshape(()) if reduction == "none" else out
