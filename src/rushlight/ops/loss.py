"""Losses that compare an input with a target element by element, and those built from distances.

Common arguments: `reduction`, "mean" (default), "sum" or "none"; `size_average` and `reduce`, its deprecated form.
"""

from __future__ import annotations

import math
import warnings

from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.grad_mode import no_grad
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._advice import negative_counts, other_size
from ._declare import contig
from ._reduction import reduced, resolve
from ._values import VARIANCES, check_floats
from .creation import ones_like, result_type
from .pointwise import abs as _abs
from .pointwise import minimum, where
from .shape import broadcast_shapes, broadcast_tensors
from .similarity import pairwise_distance

__all__ = [
    "l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits",
    "soft_margin_loss", "kl_div", "poisson_nll_loss", "gaussian_nll_loss", "margin_ranking_loss", "hinge_embedding_loss",
    "cosine_embedding_loss", "triplet_margin_loss", "triplet_margin_with_distance_loss", "multilabel_soft_margin_loss",
]  # fmt: skip


# -- fused: one kernel for values and reduction, one for the gradient ---------------------------------------------------


def _factor(n, reduction):
    return 1.0 if reduction != "mean" else 1.0 / n if n else math.nan


def _fused(name, label, second, grad_name=None):
    """An op loss(x, y, *, reduction, p). `second(d, *p)`: the second derivative, from d = x - y."""
    kernel, backward_kernel = getattr(K, name), getattr(K, name + "_backward")

    def forward(x, y, /, *, reduction, p):
        if not x.dtype.is_floating_point:
            raise NotImplementedError(f"\"{label}\" not implemented for '{x.dtype.scalar_name}'")
        return kernel(contig(x), contig(y), _factor(x.numel, reduction), reduction != "none", *p)

    def backward(g, x, y, /, *, factor, p):
        return backward_kernel(g, x, y, factor, *p)

    call = op(name=name, grad_name=grad_name)(forward)
    back = op(name=name + "_backward")(backward)

    @call.vjp
    def _(g, x, y, *, reduction, p, needs):
        dx = back(g, x, y, factor=_factor(x._a.numel, reduction), p=p)
        return dx, (-dx if needs[1] else None)

    @back.vjp
    def _(v, g, x, y, *, factor, p, needs):
        dg = (v * back(ones_like(g), x, y, factor=factor, p=p)).sum_to_size(g._a.shape) if needs[0] else None
        if not (needs[1] or needs[2]):
            return dg, None, None
        dx = v * g * (second(x - y, *p) * factor)
        return dg, dx, -dx

    return call


def _huber_second(d, delta):
    return where(_abs(d) < delta, 1.0, d * 0)


_mse_loss = _fused("mse_loss", "mse_cpu", lambda d: 2.0)
_smooth_l1_loss = _fused("smooth_l1_loss", "smooth_l1_cpu", lambda d, beta: where(_abs(d) < beta, 1.0 / beta, d * 0),
                         "SmoothL1LossBackward0")  # fmt: skip
_huber_loss = _fused("huber_loss", "huber_cpu", _huber_second)


def _same_dtype(input, target):
    if input._a.dtype is target._a.dtype:
        return input, target
    dtype = result_type(input, target)
    return input.to(dtype), target.to(dtype)


def _warn_sizes(input, target):
    if target._a.shape != input._a.shape:
        warnings.warn(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}). This will likely "
            "lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )
        return broadcast_tensors(input, target)
    return input, target


def _weighted(losses, weight, input, reduction, over_weights):
    if weight._a.shape != input._a.shape:
        raise ValueError("Weights and input must have the same size.")
    losses = losses * weight
    if reduction == "mean" and over_weights:
        return losses.sum() / weight.sum()
    return reduced(losses, reduction)


@full_precision
def mse_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None) -> Tensor:
    """(input - target)^2; with `weight`, the weighted mean.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.mse_loss.html
    """
    x, y = _warn_sizes(input, target)
    reduction = resolve(size_average, reduce, reduction)
    if weight is not None:
        return _weighted((x - y) ** 2, weight, input, reduction, True)
    return _mse_loss(*_same_dtype(x, y), reduction=reduction, p=())


@full_precision
def l1_loss(input, target, size_average=None, reduce=None, reduction="mean", weight=None) -> Tensor:
    """|input - target|; with `weight`, the weighted mean."""
    x, y = _warn_sizes(input, target)
    reduction = resolve(size_average, reduce, reduction)
    if weight is not None:
        return _weighted(_abs(x - y), weight, input, reduction, True)
    return reduced(_abs(x - y), reduction)


@full_precision
def smooth_l1_loss(input, target, size_average=None, reduce=None, reduction="mean", beta=1.0) -> Tensor:
    """d^2 / (2 beta) for d = |input - target| below beta, d - beta / 2 above."""
    x, y = _warn_sizes(input, target)
    reduction = resolve(size_average, reduce, reduction)
    if beta < 0:
        raise RuntimeError("smooth_l1_loss does not support negative values for beta.")
    if beta == 0:
        return reduced(_abs(x - y), reduction)
    return _smooth_l1_loss(*_same_dtype(x, y), reduction=reduction, p=(float(beta),))


@full_precision
def huber_loss(input, target, reduction="mean", delta=1.0, weight=None) -> Tensor:
    """d^2 / 2 for d = |input - target| up to delta, delta (d - delta / 2) above."""
    x, y = _warn_sizes(input, target)
    if delta <= 0:
        raise RuntimeError("huber_loss does not support non-positive values for delta.")
    reduction = resolve(None, None, reduction)
    if weight is not None:
        losses = _huber_loss(*_same_dtype(x, y), reduction="none", p=(float(delta),))
        return _weighted(losses, weight, input, reduction, False)
    return _huber_loss(*_same_dtype(x, y), reduction=reduction, p=(float(delta),))


# -- binary ---------------------------------------------------------------------------------------------------------------


@op(name="binary_cross_entropy_backward")
def _bce_backward(g, x, y, /, *, factor):
    return K.binary_cross_entropy_backward(g, x, y, factor)


def _bce_slope(x, y):
    return (x - y) / ((1 - x) * x).clamp_min(1e-12)


@_bce_backward.vjp
def _(v, g, x, y, *, factor, needs):
    dg = (v * _bce_slope(x, y) * factor).sum_to_size(g._a.shape)
    s = (x * (1 - x)).clamp_min(1e-12)
    return dg, v * g * factor * (x * x - 2 * x * y + y) / (s * s), -v * g * factor / s


@op
def _binary_cross_entropy(x, y, /, *, reduction):
    return K.binary_cross_entropy(contig(x), contig(y), _factor(x.numel, reduction), reduction != "none")


@_binary_cross_entropy.vjp
def _(g, x, y, *, reduction, needs):
    factor = _factor(x._a.numel, reduction)
    dx = _bce_backward(g, x, y, factor=factor) if needs[0] else None
    return dx, (g * factor * ((1 - x).log() - x.log()) if needs[1] else None)


@full_precision
def binary_cross_entropy(input, target, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """-(y log x + (1 - y) log(1 - x)), logarithms kept above -100.

    Raises: ValueError if the sizes differ, RuntimeError if an input is outside [0, 1].
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.binary_cross_entropy.html
    """
    reduction = resolve(size_average, reduce, reduction)
    if target._a.shape != input._a.shape:
        raise ValueError(
            f"Using a target size ({target.size()}) that is different to the input size ({input.size()}) is deprecated. "
            "Please ensure they have the same size."
        )
    if target._a.dtype is not input._a.dtype:
        raise RuntimeError(f"Found dtype {target._a.dtype.scalar_name} but expected {input._a.dtype.scalar_name}")
    if weight is None:
        return _binary_cross_entropy(input, target, reduction=reduction)
    weight = weight.expand(broadcast_shapes(target.size(), weight.size()))
    return reduced(_binary_cross_entropy(input, target, reduction="none") * weight, reduction)


@op(name="binary_cross_entropy_with_logits")
def _bce_logits(x, y, /, *, reduction):
    if not x.dtype.is_floating_point:
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{x.dtype.scalar_name}'")
    return K.bce_with_logits(contig(x), contig(y), _factor(x.numel, reduction), reduction != "none")


@op
def _bce_logits_backward(g, x, y, /, *, factor):
    return K.bce_with_logits_backward(g, x, y, factor)


@_bce_logits_backward.vjp
def _(v, g, x, y, *, factor, needs):
    s = x.sigmoid()
    return (v * (s - y) * factor).sum_to_size(g._a.shape), v * g * factor * s * (1 - s), -v * g * factor


@_bce_logits.vjp
def _(g, x, y, *, reduction, needs):
    factor = _factor(x._a.numel, reduction)
    dx = _bce_logits_backward(g, x, y, factor=factor) if needs[0] else None
    return dx, (-g * factor * x if needs[1] else None)


@op(name="bce_with_logits_weighted", broadcasts=True, grad_name="BinaryCrossEntropyWithLogitsBackward0")
def _bce_logits_weighted(x, y, w, pw, /, *, reduction):
    value = K.sub(0.0, K.log_sigmoid(x))
    if pw is not None:
        value = K.mul(K.add(K.mul(K.sub(pw, 1.0), y), 1.0), value)
    value = K.add(K.mul(K.sub(1.0, y), x), value)
    value = value if w is None else K.mul(value, w)
    mask = (1 << value.ndim) - 1
    return value if reduction == "none" else K.sum(value, mask, False, _factor(value.numel, reduction))


_bce_logits_weighted.definition.broadcasts = False


def _expanded(g, x, w, pw, reduction):
    shape = x._a.shape
    for t in (w, pw):
        shape = shape if t is None else tuple(broadcast_shapes(shape, t._a.shape))
    return g * _factor(math.prod(shape), reduction)


def _weighted_x(g, x, y, w, pw, *, reduction):
    g = _expanded(g, x, w, pw, reduction) * (1.0 if w is None else w)
    scale = 1.0 if pw is None else (pw - 1) * y + 1
    return (g * ((1 - y) - scale * (1 - x.sigmoid()))).sum_to_size(x._a.shape)


def _weighted_y(g, x, y, w, pw, *, reduction):
    g = _expanded(g, x, w, pw, reduction) * (1.0 if w is None else w)
    extra = 0.0 if pw is None else -(pw - 1) * _log_sigmoid(x)
    return (g * (extra - x)).sum_to_size(y._a.shape)


def _log_sigmoid(x):
    from .activation import logsigmoid

    return logsigmoid(x)


def _weighted_w(g, x, y, w, pw, *, reduction):
    losses = _bce_logits(x, y, reduction="none") if pw is None else _bce_logits_weighted(x, y, None, pw, reduction="none")
    return (_expanded(g, x, w, pw, reduction) * losses).sum_to_size(w._a.shape)


def _weighted_pw(g, x, y, w, pw, *, reduction):
    g = _expanded(g, x, w, pw, reduction) * (1.0 if w is None else w)
    return (-g * y * _log_sigmoid(x)).sum_to_size(pw._a.shape)


_bce_logits_weighted.vjp(x=_weighted_x, y=_weighted_y, w=_weighted_w, pw=_weighted_pw)


@full_precision
def binary_cross_entropy_with_logits(input, target, weight=None, size_average=None, reduce=None, reduction="mean",
                                     pos_weight=None) -> Tensor:  # fmt: skip
    """binary_cross_entropy(sigmoid(input), target) without overflow; `pos_weight` weighs the positive targets.

    Raises: ValueError if the sizes differ.
    """
    reduction = resolve(size_average, reduce, reduction)
    if target._a.shape != input._a.shape:
        raise ValueError(f"Target size ({target.size()}) must be the same as input size ({input.size()})")
    if not target._a.dtype.is_floating_point:
        raise RuntimeError(f"result type Float can't be cast to the desired output type {target._a.dtype.scalar_name}")
    if not input._a.dtype.is_floating_point:
        raise NotImplementedError(f"\"log_sigmoid_cpu\" not implemented for '{input._a.dtype.scalar_name}'")
    input, target = _same_dtype(input, target)
    if weight is None and pos_weight is None:
        return _bce_logits(input, target, reduction=reduction)
    return _bce_logits_weighted(input, target, weight, pos_weight, reduction=reduction)


@op
def _soft_margin_loss(x, y, /, *, reduction):
    return K.soft_margin_loss(contig(x), contig(y), _factor(x.numel, reduction), reduction != "none")


@op
def _soft_margin_loss_backward(g, x, y, /, *, factor):
    return K.soft_margin_loss_backward(g, x, y, factor)


@_soft_margin_loss_backward.vjp
def _(v, g, x, y, *, factor, needs):
    s = (-x * y).sigmoid()
    dg = (v * -y * s * factor).sum_to_size(g._a.shape)
    return dg, v * g * factor * y * y * s * (1 - s), v * g * factor * (x * y * s * (1 - s) - s)


@_soft_margin_loss.vjp
def _(g, x, y, *, reduction, needs):
    factor = _factor(x._a.numel, reduction)
    dx = _soft_margin_loss_backward(g, x, y, factor=factor) if needs[0] else None
    return dx, (-g * factor * x * (-x * y).sigmoid() if needs[1] else None)


@full_precision
def soft_margin_loss(input, target, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """log(1 + e^(-y x)), y being 1 or -1."""
    reduction = resolve(size_average, reduce, reduction)
    input, target = _same_dtype(input, target)
    if target._a.shape != input._a.shape:
        input, target = broadcast_tensors(input, target)
    return _soft_margin_loss(input, target, reduction=reduction)


# -- divergences and likelihoods ------------------------------------------------------------------------------------------

_KL_MEAN = (
    "reduction: 'mean' divides the total loss by both the batch size and the support size.'batchmean' divides only by the "
    "batch size, and aligns with the KL div math definition.'mean' will be changed to behave the same as 'batchmean' in the "
    "next major release."
)


@full_precision
def kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False) -> Tensor:
    """target (log(target) - input): the input is log-probabilities; with `log_target` so is the target.

    `reduction="batchmean"` divides the sum by the batch size, which is the divergence's definition.
    """
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(_KL_MEAN, stacklevel=2)
    batchmean = size_average is None and reduce is None and reduction == "batchmean"
    reduction = resolve(size_average, reduce, "sum" if batchmean else reduction)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        zero = target == 0  # 0 log 0 = 0
        losses = where(zero, 0.0, target * where(zero, 1.0, target).log()) - target * input
    out = reduced(losses, reduction)
    return out / input.size(0) if batchmean and input.ndim else out


@full_precision
def poisson_nll_loss(input, target, log_input=True, full=False, size_average=None, eps=1e-8, reduce=None,
                     reduction="mean") -> Tensor:  # fmt: skip
    """e^x - y x (`log_input`) or x - y log(x + eps); `full` adds Stirling's approximation of log(y!) for y > 1."""
    reduction = resolve(size_average, reduce, reduction)
    other_size(input, target)
    negative_counts(target)
    losses = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        losses = losses + where(target <= 1, 0.0, stirling)
    return reduced(losses, reduction)


def gaussian_nll_loss(input, target, var, full=False, eps=1e-6, reduction="mean") -> Tensor:
    """(log(var) + (input - target)^2 / var) / 2, var kept above eps.

    Raises: ValueError if a variance is negative or of the wrong size.
    """
    if isinstance(var, float):
        if var < 0:
            raise ValueError("var has negative entry/entries")
        var = ones_like(input) * var
    else:
        check_floats(var, VARIANCES)
    a, b = tuple(input.shape), tuple(var.shape)
    if a != b:
        if a[:-1] == b:
            var = var.unsqueeze(-1)
        elif not (len(a) == len(b) and sum(y for x, y in zip(a, b, strict=True) if x != y) == 1):
            raise ValueError("var is of incorrect size")
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    # The clamp does not take part in the gradient.
    var = var.clone()
    with no_grad():
        var.clamp_(min=eps)
    losses = 0.5 * (var.log() + (input - target) ** 2 / var)
    return reduced(losses + 0.5 * math.log(2 * math.pi) if full else losses, reduction)


def multilabel_soft_margin_loss(input, target, weight=None, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """The mean over classes of binary cross entropy with logits."""
    if size_average is not None or reduce is not None:
        reduction = resolve(size_average, reduce, reduction)
    losses = -(target * _log_sigmoid(input) + (1 - target) * _log_sigmoid(-input))
    if weight is not None:
        losses = losses * weight
    losses = losses.sum(-1) / input.size(-1)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not valid")
    return reduced(losses, reduction)


# -- rankings and distances -----------------------------------------------------------------------------------------------


@full_precision
def margin_ranking_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """max(0, -y (x1 - x2) + margin)."""
    reduction = resolve(size_average, reduce, reduction)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: input1: "
            f"{input1.size()}, input2: {input2.size()}, target: {target.size()} "
        )
    return reduced((-target * (input1 - input2) + margin).clamp_min(0), reduction)


@full_precision
def hinge_embedding_loss(input, target, margin=1.0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """x where y = 1, max(0, margin - x) where y = -1."""
    reduction = resolve(size_average, reduce, reduction)
    other_size(input, target)
    near = where(target != -1, input, 0.0)
    far = where(target != 1, (margin - input).clamp_min(0), 0.0)
    return reduced(near + far, reduction)


@full_precision
def cosine_embedding_loss(input1, input2, target, margin=0, size_average=None, reduce=None, reduction="mean") -> Tensor:
    """1 - cos(x1, x2) where y = 1, max(0, cos(x1, x2) - margin) where y = -1; per row of (N, D), or for vectors."""
    reduction = resolve(size_average, reduce, reduction)
    if target.ndim not in (0, 1):
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
    if input1.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    d, eps = target.ndim, 1e-12
    product = (input1 * input2).sum(d)
    squares = ((input1 * input1).sum(d) + eps) * ((input2 * input2).sum(d) + eps)
    cosine = product / squares.sqrt()
    zeros = cosine * 0
    losses = where(target == 1, 1 - cosine, zeros) + where(target == -1, (cosine - margin).clamp_min(0), zeros)
    return reduced(losses, reduction)


def _check_triplet(anchor, positive, negative):
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor "
            f"{anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )


def _triplet(anchor, positive, negative, distance, margin, swap, reduction):
    near, far = distance(anchor, positive), distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return reduced((margin + near - far).clamp_min(0), reduction)


@full_precision
def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-6, swap=False, size_average=None, reduce=None,
                        reduction="mean") -> Tensor:  # fmt: skip
    """max(0, |a - p| - |a - n| + margin); `swap` uses the negative's distance to the positive if it is smaller."""
    reduction = resolve(size_average, reduce, reduction)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    return _triplet(anchor, positive, negative, lambda a, b: pairwise_distance(a, b, p, eps), margin, swap, reduction)


def triplet_margin_with_distance_loss(anchor, positive, negative, *, distance_function=None, margin=1.0, swap=False,
                                      reduction="mean") -> Tensor:  # fmt: skip
    """triplet_margin_loss with any distance between two batches."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    _check_triplet(anchor, positive, negative)
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)
