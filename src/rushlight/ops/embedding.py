"""Embedding tables: rows by index, and sums of rows over bags."""

from __future__ import annotations

import warnings

from .. import _native, _recording
from .._dtypes import int64
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .creation import zeros
from .pointwise import _where
from .scatter import _scatter_add
from .sparse import SparseTensor
from .subscript import _index

__all__ = ["embedding", "embedding_bag", "one_hot"]


@op
def _embedding(w, index, /, *, padding, by_frequency, sparse):
    return K.embedding(contig(w), contig(index))


@op
def _embedding_backward(g, index, /, *, rows, padding, by_frequency):
    return K.embedding_backward(contig(g), contig(index), None, None, None, rows, padding, by_frequency)


@_embedding.vjp
def _(g, w_shape, index, padding, by_frequency, sparse):
    if sparse:
        return _sparse_rows(g, index, w_shape, padding, by_frequency), None
    return _embedding_backward(g, index, rows=w_shape[0], padding=padding, by_frequency=by_frequency), None


def _sparse_rows(g, index, shape, padding, by_frequency):
    """The gradient of a table as the rows that were used, one entry per use."""
    if by_frequency:
        raise RuntimeError("embedding_backward: scale_grad_by_freq not supported with sparse gradients")
    at, rows = index.reshape(-1), g.reshape(-1, shape[1])
    if padding >= 0:
        used = at != padding
        at, rows = at[used], rows[used]
    return SparseTensor(at.unsqueeze(0), rows, shape)


@_embedding_backward.vjp
def _(v, index, *, rows, padding, by_frequency, needs):
    if by_frequency:
        raise RuntimeError("the derivative of embedding's gradient is not implemented for scale_grad_by_freq=True")
    out = _embedding(v, index, padding=padding, by_frequency=False, sparse=False)
    if padding >= 0:
        out = out * (index != padding).unsqueeze(-1)
    return out, None


def _indices(input, function="embedding"):
    kind = input._a.dtype.scalar_name
    if kind == "Int":
        return input.long()
    if kind != "Long":
        raise RuntimeError(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got "
            f"{input.type()} instead (while checking arguments for {function})"
        )
    return input


def _padding(padding_idx, weight):
    if padding_idx is None:
        return -1
    rows = weight.size(0)
    if not -rows <= padding_idx < rows:
        raise AssertionError("Padding_idx must be within num_embeddings")
    return padding_idx % rows


def _renormalise(weight, index, max_norm, norm_type):
    """Rows in use whose norm is above max_norm are scaled down to it, in place."""
    _recording.note(weight, index)
    K.embedding_renorm_into(weight._a, contig(index._a), float(max_norm), float(norm_type))


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None, max_norm: float | None = None,
              norm_type: float = 2.0, scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:  # fmt: skip
    """weight[input].

    Args: `padding_idx`, a row that gets no gradient; `max_norm`, rows in use are first scaled down to this norm, in place;
    `scale_grad_by_freq`, gradients are divided by how often their row is used; `sparse`, the gradient of `weight` is a sparse
    tensor of the rows in use.
    Raises: IndexError for an index out of range; RuntimeError from `backward` for both of the last two.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.embedding.html
    """
    padding = _padding(padding_idx, weight)
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    input = _indices(input)
    if max_norm is not None:
        _renormalise(weight, input, max_norm, norm_type)
    return _embedding(weight, input, padding=padding, by_frequency=bool(scale_grad_by_freq), sparse=bool(sparse))


# -- bags --------------------------------------------------------------------------------------------------------------------

_MODES = ("sum", "mean", "max")  # the kernel's numbers of them
_SUM, _MEAN, _MAX = range(3)


@op(name="embedding_bag", grad_name="EmbeddingBagBackward0")
def _embedding_bag(w, index, offsets, weights, /, *, mode, bags, length, padding, by_frequency, sparse):
    offsets, weights = (None if a is None else contig(a) for a in (offsets, weights))
    return K.embedding_bag(contig(w), contig(index), offsets, weights, mode, bags, length, padding)  # see there


@op(differentiable=False)
def _bag_of(index, offsets, /, *, bags, length):
    return K.bag_of(contig(index), None if offsets is None else contig(offsets), bags, length)


@op(differentiable=False)
def _embedding_bag_backward(g, index, bag_of, weights, counts, /, *, rows, padding, by_frequency):
    weights = None if weights is None else contig(weights)
    return K.embedding_backward(contig(g), contig(index), bag_of, weights, counts, rows, padding, by_frequency)


@op(differentiable=False)
def _embedding_bag_max_backward(g, chosen, /, *, rows):
    return K.embedding_bag_max_backward(contig(g), chosen, rows)


@op(differentiable=False)
def _embedding_bag_weights_backward(g, w, index, bag_of, /, *, padding):
    return K.embedding_bag_weights_backward(contig(g), contig(w), contig(index), bag_of, padding)


def _bags_of(g, bag_of):
    """For each entry the row of its bag, zeros for an entry without one."""
    return _where((bag_of >= 0).unsqueeze(1), _index(g, bag_of.clamp_min(0), before=0, order=None), 0.0)


def _table_gradient(g, w_shape, index, offsets, weights, out_1, mode, bags, length, padding, by_frequency, sparse):
    g, kept = g[0], out_1
    if mode == _MAX:
        if not _native.is_grad_enabled():
            return _embedding_bag_max_backward(g, kept, rows=w_shape[0])
        return _scatter_add(g.new_zeros(w_shape), _where(kept >= 0, g, 0.0), kept.clamp_min(0), dim=0)
    bag_of = _bag_of(index, offsets, bags=bags, length=length)
    if not sparse and not _native.is_grad_enabled():
        counts = kept if mode == _MEAN else None
        return _embedding_bag_backward(g, index, bag_of, weights, counts, rows=w_shape[0], padding=padding,
                                       by_frequency=by_frequency)  # fmt: skip
    if mode == _MEAN:
        g = g / kept.unsqueeze(1)
    rows = _bags_of(g, bag_of)
    if weights is not None:
        rows = rows * weights.unsqueeze(1)
    if sparse:
        return _sparse_rows(rows, index, w_shape, padding, by_frequency)
    return _embedding_backward(rows, index, rows=w_shape[0], padding=padding, by_frequency=by_frequency)


def _weights_gradient(g, w, index, offsets, bags, length, padding):
    g, bag_of = g[0], _bag_of(index, offsets, bags=bags, length=length)
    if not _native.is_grad_enabled():
        return _embedding_bag_weights_backward(g, w, index, bag_of, padding=padding)
    rows = _embedding(w, index, padding=padding, by_frequency=False, sparse=False)
    return _where(index == padding, 0.0, (_bags_of(g, bag_of) * rows).sum(1))


_embedding_bag.vjp(w=_table_gradient, weights=_weights_gradient)


def _check_bags(input, offsets, per_sample_weights, mode, scale_grad_by_freq, sparse):
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ValueError(
            f"embedding_bag: If per_sample_weights ({per_sample_weights.shape}) is not None, then it must have the same shape "
            f"as the input ({input.shape})"
        )
    if input.ndim == 2:
        if offsets is not None:
            raise ValueError(
                "if input is 2D, then offsets has to be None, as input is treated is a mini-batch of fixed length sequences. "
                f"However, found offsets of type {str(type(offsets)).replace('rushlight.autograd.tensor', 'torch')}"
            )
    elif input.ndim == 1:
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        if offsets.ndim != 1:
            raise ValueError("offsets has to be a 1D Tensor")
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.ndim}")
    if mode not in _MODES:
        raise ValueError("mode has to be one of sum, mean or max")
    if mode == "max" and scale_grad_by_freq:
        raise ValueError("max mode does not support scaling the gradient by the frequency")
    if mode == "max" and sparse:
        raise ValueError("max mode does not support sparse weights")
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(
            "embedding_bag: per_sample_weights was not None. per_sample_weights is only supported for mode='sum' (got "
            f"mode='{mode}'). Please open a feature request on GitHub."
        )


def embedding_bag(input: Tensor, weight: Tensor, offsets: Tensor | None = None, max_norm: float | None = None,
                  norm_type: float = 2, scale_grad_by_freq: bool = False, mode: str = "mean", sparse: bool = False,
                  per_sample_weights: Tensor | None = None, include_last_offset: bool = False,
                  padding_idx: int | None = None) -> Tensor:  # fmt: skip
    """Sums, means or maxima of rows over bags: the rows of a 2-D input, or the stretches of a 1-D one that begin at `offsets`.

    Rows of `padding_idx` count for nothing; an empty bag gives 0.
    """
    if weight._a.dtype is int64:
        warnings.warn("Argument order of nn.functional.embedding_bag was changed. Usage `embedding_bag(weight, input, ...)` is "
                      "deprecated, and should now be `embedding_bag(input, weight, ...)`.", stacklevel=2)  # fmt: skip
        weight, input = input, weight
    _check_bags(input, offsets, per_sample_weights, mode, scale_grad_by_freq, sparse)
    index = _indices(input, "embedding_bag")
    if input.ndim == 2:
        bags, length = input.shape
        index = index.reshape(-1)
        per_sample_weights = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    else:
        offsets = _indices(offsets, "embedding_bag")
        bags, length = offsets.numel() - bool(include_last_offset), 0
        if bags < 0:
            raise RuntimeError("include_last_offset: number of offset should be at least 1")
    padding = _padding(padding_idx, weight)
    if max_norm is not None:
        _renormalise(weight, index, max_norm, norm_type)
    return _embedding_bag(weight, index, offsets, per_sample_weights, mode=_MODES.index(mode), bags=bags, length=length,
                          padding=padding, by_frequency=bool(scale_grad_by_freq), sparse=bool(sparse))[0]  # fmt: skip


@op(differentiable=False)
def _one_hot(x, /, *, classes):
    return K.one_hot(contig(x), classes)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A last dimension of `num_classes` with 1 at each class number and 0 elsewhere; -1: as many as needed."""
    a = tensor._a
    if a.dtype is not int64:
        raise RuntimeError("one_hot is only applicable to index tensor of type LongTensor.")
    if a.numel == 0:
        if num_classes <= 0:
            raise RuntimeError("Can not infer total number of classes from empty tensor.")
        return zeros((*a.shape, num_classes), dtype=int64)
    if num_classes == -1:
        num_classes = max(int(tensor.max()), -1) + 1
    elif num_classes < 1:
        if int(tensor.min()) < 0:
            raise RuntimeError("Class values must be non-negative.")
        raise RuntimeError("num_classes should be positive")
    return _one_hot(tensor, classes=num_classes)
