"""Cross entropy of a linear layer's output, at once or by chunks of rows that never hold all logits."""

from __future__ import annotations

import math
import warnings

from .. import _dtypes, _native
from .._kernels import K
from ..autograd.function import Function
from ..autograd.tensor import Tensor
from ._advice import nothing_counts
from ._declare import contig
from .classification import _check_weight, cross_entropy
from .creation import ones, zeros
from .matmul import linear, matmul
from .shape import cat

__all__ = ["linear_cross_entropy"]

_SUM, _NONE = 2, 0


class _Chunks:
    """One call's tensors, and what a chunk of rows contributes to the loss and to the gradients."""

    def __init__(self, kind, x, w, b, t, weight, ignore, rows, acc):
        self.kind, self.x, self.t, self.rows, self.acc, self.ignore = kind, x, t, rows, acc, ignore
        self.w, self.b = w.to(acc), None if b is None else b.to(acc)
        self.weight = None if weight is None else contig(weight.to(acc)._a)

    def each(self):
        """(slice, inputs, logits, arrays of loss, lse and total) of one chunk after the other."""
        for start in range(0, self.x.shape[0], self.rows):
            part = slice(start, start + self.rows)
            x = self.x[part].to(self.acc)
            logits = contig(linear(x, self.w, self.b)._a)
            yield part, x, logits, K.cross_entropy(logits, contig(self.t[part]._a), self.weight, self.kind, self.ignore, 0.0, 0)

    def slope(self, part, logits, lse, total, g):
        """The gradient of the logits; g is that of the chunk's loss(es)."""
        return _native.wrap(K.cross_entropy_backward(contig(g._a), logits, contig(self.t[part]._a), self.weight, lse, total,
                                                     self.kind, self.ignore, 0.0, 0))  # fmt: skip

    def gradients(self, needs, g=None):
        """(losses, total weight, gradients of input, weight and bias) with g for the losses, or for their sum."""
        gx, gw, gb, losses, weights = [], None, None, [], 0.0
        if needs[1]:
            gw = zeros(self.w.shape, dtype=self.acc)
        if needs[2]:
            gb = zeros(self.b.shape, dtype=self.acc)
        one = ones((), dtype=self.acc)
        for part, x, logits, (loss, lse, total) in self.each():
            losses.append(_native.wrap(loss))
            weights = weights + _native.wrap(total)
            if not any(needs):
                continue
            d = self.slope(part, logits, lse, total, one if g is None else g[part].to(self.acc))
            if needs[0]:
                gx.append(matmul(d, self.w))
            if needs[1]:
                gw.add_(matmul(d.t(), x))
            if needs[2]:
                gb.add_(d.sum(0))
        return losses, weights, (cat(gx) if gx else None, gw, gb)


class _Reduced(Function):
    """The sum or the mean; its gradients are computed in the forward, chunk by chunk."""

    @staticmethod
    def forward(ctx, x, w, b, t, weight, ignore, rows, acc, mean, retain, record):
        chunks = _Chunks(_SUM, x, w, b, t, weight, ignore, rows, acc)
        losses, weights, grads = chunks.gradients(ctx.needs_input_grad[:3] if record else (False,) * 3)
        ctx.grads, ctx.keep = grads, retain
        loss = sum(losses, zeros((), dtype=acc))
        if mean:
            loss = loss / weights if losses else loss / 0.0
            if losses:
                nothing_counts("linear_cross_entropy", weights._a, t, weight, ignore)
            ctx.grads = tuple(None if d is None else d / weights for d in grads)
        return loss.to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        if ctx.grads is None:
            raise RuntimeError("linear_cross_entropy chunked backward called twice; retain_graph=True / double backward are not "
                               "supported.")  # fmt: skip
        grads = ctx.grads
        if not ctx.keep:
            ctx.grads = None
        return *(None if d is None else d * g.detach() for d in grads), *[None] * 8


class _Unreduced(Function):
    """One loss per row; the chunks are computed again in the backward."""

    @staticmethod
    def forward(ctx, x, w, b, t, weight, ignore, rows, acc):
        ctx.save_for_backward(x, w, b, t, weight)
        ctx.numbers = ignore, rows, acc
        chunks = _Chunks(_NONE, x, w, b, t, weight, ignore, rows, acc)
        losses = chunks.gradients((False,) * 3)[0]
        return (cat(losses) if losses else zeros(0, dtype=acc)).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        chunks = _Chunks(_NONE, *[None if v is None else v.detach() for v in ctx.saved_tensors], *ctx.numbers)
        return *chunks.gradients(ctx.needs_input_grad[:3], g.detach())[2], *[None] * 5


def _chunked(x, w, t, b, weight, reduction, ignore, options):
    single = x.dim() == 1
    if single:
        x, t = x.unsqueeze(0), t.unsqueeze(0)
    classes, n = w.shape
    dtype = x._a.dtype
    half = dtype in (_dtypes.float16, _dtypes.bfloat16)
    rows, acc = options._rows(x.shape[0], n, classes, half), options._accumulate_in(dtype)
    if t.shape != x.shape[:1]:
        raise ValueError(f"Expected input batch_size ({x.shape[0]}) to match target batch_size ({t.shape[0] if t.dim() else 0}).")
    _check_weight(weight, x._a, classes)
    if reduction == "none":
        loss = _Unreduced.apply(x, w, b, t, weight, ignore, rows, acc)
    else:
        loss = _Reduced.apply(x, w, b, t, weight, ignore, rows, acc, reduction == "mean", options.allow_retain_graph,
                              _native.is_grad_enabled())  # fmt: skip
    return loss.squeeze(0) if single else loss


def _check(x, w, t, b):
    if x.dim() not in (1, 2):
        raise RuntimeError(f"expected input with dimensionality 1 or 2, got {x.dim()}")
    if w.dim() < 2:
        raise RuntimeError(f"expected linear_weight with dimensionality at least 2, got {w.dim()}")
    if x.shape[-1] != w.shape[-1]:
        raise RuntimeError("expected equal input and linear_weight last dimensions (in_features), got "
                           f"{x.shape[-1]} and {w.shape[-1]}, respectively")  # fmt: skip
    if b is not None and b.shape != w.shape[:-1]:
        raise RuntimeError(f"expected linear_bias shape {tuple(w.shape[:-1])}, got {tuple(b.shape)}")
    if w.dim() > 2 and x.dim() == 1:
        raise RuntimeError(f"K-dimensional loss defined by linear_weight shape {tuple(w.shape)} requires batched input, "
                           f"(N, {x.shape[-1]}), got unbatched input with shape {tuple(x.shape)}")  # fmt: skip


def linear_cross_entropy(input: Tensor, linear_weight: Tensor, target: Tensor, *, linear_bias: Tensor | None = None,
                         weight: Tensor | None = None, reduction: str = "mean", ignore_index: int | None = None,
                         label_smoothing: float = 0.0, options=None) -> Tensor:  # fmt: skip
    """cross_entropy(linear(input, linear_weight, linear_bias), target, ...).

    Args: `options`, a `nn.LinearCrossEntropyOptions`: by chunks of rows, so that the (N, C) logits are never held at once; then
    there is no second derivative, and `backward` runs once unless `allow_retain_graph`. Others as in `cross_entropy`;
    `ignore_index` is -100 by default.
    Shape: input (N, n) or (n); linear_weight (C, n), or (C, d1, ..., n) for a loss of shape (N, d1, ...); linear_bias
    (C, d1, ...); target (N, d1, ...) or probabilities (N, C, d1, ...).
    Raises: RuntimeError for other shapes, and for an `ignore_index` with probabilities.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.linear_cross_entropy.html
    """
    _check(input, linear_weight, target, linear_bias)
    classes, *extra, n = linear_weight.shape
    logits_shape = (*input.shape[:-1], classes, *extra)
    if target.shape == logits_shape and ignore_index is not None:
        raise RuntimeError("ignore_index cannot be specified when target contains probabilities")
    ignore_index = -100 if ignore_index is None else ignore_index
    if options is not None:
        known = reduction in ("mean", "sum", "none")
        if known and label_smoothing == 0 and target._a.dtype is _dtypes.int64 and not extra:
            return _chunked(input, linear_weight, target, linear_bias, weight, reduction, ignore_index, options)
        warnings.warn(
            "linear_cross_entropy: ``options`` ignored; chunked path needs reduction in {'mean','sum','none'}, label_smoothing == "
            f"0, target.dtype == int64, out_features == (). Got {reduction=}, {label_smoothing=}, target.dtype={target.dtype}, "
            f"out_features={tuple(extra)}, tracing=False, linear_bias.shape="
            f"{tuple(linear_bias.shape) if linear_bias is not None else None}.",
            stacklevel=2,
        )
    if extra:
        linear_weight = linear_weight.reshape(math.prod(extra, start=classes), n)
        linear_bias = None if linear_bias is None else linear_bias.reshape(-1)
    logits = linear(input, linear_weight, linear_bias).reshape(logits_shape)
    return cross_entropy(logits, target, weight, reduction=reduction, ignore_index=ignore_index, label_smoothing=label_smoothing)
