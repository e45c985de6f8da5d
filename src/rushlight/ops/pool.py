"""Pooling: maxima, means and power means over windows, regular or adaptive, and the inverse of max pooling."""

from __future__ import annotations

import math

from .. import _dtypes
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._pool_checks import check_adaptive, check_max1d, output_sizes, tuples, unpool_size
from .conv import contig
from .shape import squeeze, unsqueeze

__all__ = [
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices",
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d",
    "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "adaptive_max_pool1d_with_indices",
    "adaptive_max_pool2d_with_indices", "adaptive_max_pool3d_with_indices", "lp_pool1d", "lp_pool2d", "lp_pool3d",
    "max_unpool1d", "max_unpool2d", "max_unpool3d",
]  # fmt: skip


# -- back and forth between planes and places --------------------------------------------------------------------------


@op(name="plane_scatter_backward", grad_name="MaxPoolBackwardBackward0")
def _scatter(g, where, /, *, size, window=()):
    return K.plane_scatter(contig(g), contig(where), len(size), size, False, window)


@op(name="plane_gather_backward", grad_name="MaxPoolBackwardBackward0")
def _gather(x, where, /, *, rank):
    return K.plane_gather(contig(x), contig(where), rank)


_scatter.vjp(g=lambda v, where, size, window: _gather(v, where, rank=len(size)))
_gather.vjp(x=lambda v, x_shape, where, rank: _scatter(v, where, size=x_shape[-rank:]))


def _max_rule(g, x_shape, out_1, *, size, kernel, stride, padding, dilation):
    return _scatter(g[0], out_1, size=x_shape[-len(size) :], window=(*kernel, *stride, *padding, *dilation))


def _places_rule(g, x_shape, out_1, *, size):
    return _scatter(g[0], out_1, size=x_shape[-len(size) :])


def _make_max(rank):
    @op(name=f"max_pool{rank}d", grad_name=f"MaxPool{rank}DWithIndicesBackward0")
    def _max(x, /, *, size, kernel, stride, padding, dilation):
        return K.max_pool(contig(x), len(size), size, kernel, stride, padding, dilation)

    @op(name=f"adaptive_max_pool{rank}d", grad_name=f"AdaptiveMaxPool{rank}DBackward0")
    def _adaptive(x, /, *, size):
        return K.adaptive_max_pool(contig(x), len(size), size)

    _max.vjp(_max_rule)
    _adaptive.vjp(_places_rule)
    return _max, _adaptive


_MAX = {rank: _make_max(rank) for rank in (2, 3)}


# -- means: linear, so the rules of forward and backward are each other ------------------------------------------------


def _make_mean(rank):
    @op(name=f"avg_pool{rank}d", grad_name=f"AvgPool{rank}DBackward0")
    def _mean(x, /, *, size, window):
        return K.mean_pool(contig(x), len(size), size, window)

    @op(name=f"adaptive_avg_pool{rank}d", grad_name=f"AdaptiveAvgPool{rank}DBackward0")
    def _adaptive(x, /, *, size, window):
        return K.mean_pool(contig(x), len(size), size, window)

    @op(name=f"avg_pool{rank}d_backward", grad_name=f"AvgPool{rank}DBackwardBackward0")
    def _backward(g, /, *, size, window, wide):
        return K.mean_pool_backward(contig(g), len(size), size, window, wide)

    def rule(g, x_shape, *, size, window):
        return _backward(g, size=size, window=window, wide=x_shape[-rank:])

    _mean.vjp(x=rule)
    _adaptive.vjp(x=rule)
    _backward.vjp(g=lambda v, size, window: _mean(v, size=size, window=window))
    return _mean, _adaptive


_MEAN = {rank: _make_mean(rank) for rank in (2, 3)}


def _floats(x):
    """Integers are pooled as float64, which is exact up to 2**53."""
    dtype = x._a.dtype
    return x if dtype.is_floating_point or dtype is _dtypes.bool else x.to(_dtypes.float64)


# -- max pooling -------------------------------------------------------------------------------------------------------


def _max_pool(name, rank, input, kernel_size, stride, padding, dilation, ceil_mode):
    kernel, stride, padding, dilation = tuples(name, rank, kernel_size, stride, padding, dilation)
    size = output_sizes(name, input, kernel, stride, padding, dilation, ceil_mode)
    if input._a.dtype is _dtypes.bool:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")
    y, where = _MAX[rank][0](_floats(input), size=size, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    return (y if input._a.dtype.is_floating_point else y.to(input._a.dtype)), where


def max_pool1d_with_indices(input, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Maxima over windows of the last dimension, and their positions (int64)."""
    kernel, stride, padding, dilation = check_max1d(input, kernel_size, stride, padding, dilation, ceil_mode)
    y, where = _max_pool("max_pool2d", 2, unsqueeze(input, -2), (1, kernel), (1, stride), (0, padding), (1, dilation), ceil_mode)
    return squeeze(y, -2), where.squeeze(-2).to(_dtypes.int64)


def max_pool1d(input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """Maxima over windows of the last dimension.

    Shape: (N, C, L) or (C, L) to L_out = floor((L + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1), with
    `ceil` in `ceil_mode`. `stride` defaults to `kernel_size`. With `return_indices` also the positions in the input.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_pool1d.html
    """
    y, where = max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return (y, where) if return_indices else y


def _make_max_public(rank):
    name = f"max_pool{rank}d"

    def max_pool(input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        y, where = _max_pool(name, rank, input, kernel_size, stride, padding, dilation, ceil_mode)
        return (y, where.to(_dtypes.int64)) if return_indices else y

    def with_indices(input: Tensor, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        return max_pool(input, kernel_size, stride, padding, dilation, ceil_mode, True)

    max_pool.__name__ = max_pool.__qualname__ = name
    max_pool.__doc__ = f"""Maxima over windows of the last {rank} dimensions; NaN wins.

    Shape: each size becomes floor((size + 2 * padding - dilation * (kernel_size - 1) - 1) / stride + 1), `ceil` in `ceil_mode`.
    `stride` defaults to `kernel_size`. With `return_indices` also the flat positions in the plane (int64).
    Raises: RuntimeError if the padding exceeds half the kernel or nothing would be left.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{name}.html
    """
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"`{name}` with `return_indices=True`."
    return max_pool, with_indices


max_pool2d, max_pool2d_with_indices = _make_max_public(2)
max_pool3d, max_pool3d_with_indices = map(full_precision, _make_max_public(3))


# -- average pooling ---------------------------------------------------------------------------------------------------


def _avg_pool(name, rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    kernel, stride, padding, dilation = tuples(name, rank, kernel_size, stride, padding, 1)
    if divisor_override == 0:
        raise RuntimeError("divisor must be not zero")
    size = output_sizes(name, input, kernel, stride, padding, dilation, ceil_mode)
    dtype = input._a.dtype
    if dtype is _dtypes.bool:
        raise NotImplementedError(f"\"{name if rank == 2 else 'avg_pool3d_out_frame'}\" not implemented for 'Bool'")
    window = (False, *kernel, *stride, *padding, bool(count_include_pad), divisor_override or 0)
    y = _MEAN[rank][0](_floats(input), size=size, window=window)
    return y if dtype.is_floating_point else y.to(dtype)


def avg_pool1d(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True) -> Tensor:
    """Means over windows of the last dimension; see `avg_pool2d`."""
    if input._a.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2 to 3 dimensions, but got {input._a.ndim}-dimensional tensor for argument #1 'self' "
                           "(while checking arguments for avg_pool1d)")  # fmt: skip
    values = []
    for name, v in (("kernel_size", kernel_size), ("stride", stride), ("padding", padding)):
        v = (v,) if isinstance(v, int) else () if v is None else tuple(v)
        if len(v) > 1 or (not v and name != "stride"):
            raise RuntimeError(f"avg_pool1d() argument '{name}' should contain one int (got {len(v)})")
        values.append(v)
    kernel, stride, padding = values
    stride = stride or kernel
    y = _avg_pool("avg_pool2d", 2, unsqueeze(input, -2), (1, *kernel), (1, *stride), (0, *padding), ceil_mode,
                  count_include_pad, None)  # fmt: skip
    return squeeze(y, -2)


def _make_avg(rank):
    name = f"avg_pool{rank}d"

    def avg_pool(input: Tensor, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
                 divisor_override=None) -> Tensor:  # fmt: skip
        return _avg_pool(name, rank, input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)

    avg_pool.__name__ = avg_pool.__qualname__ = name
    avg_pool.__doc__ = f"""Means over windows of the last {rank} dimensions.

    Shape: each size becomes floor((size + 2 * padding - kernel_size) / stride + 1), `ceil` in `ceil_mode`.
    Args: `count_include_pad`: the padding's zeros count; `divisor_override`: divide by this instead of the window's size.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{name}.html
    """
    return avg_pool


avg_pool2d, avg_pool3d = _make_avg(2), full_precision(_make_avg(3))


# -- adaptive pooling --------------------------------------------------------------------------------------------------


def _one_int(name, input, output_size):
    if input._a.ndim not in (2, 3):
        raise RuntimeError(f"Expected 2 to 3 dimensions, but got {input._a.ndim}-dimensional tensor for argument #1 'self' "
                           f"(while checking arguments for {name})")  # fmt: skip
    size = (output_size,) if isinstance(output_size, int) else tuple(output_size)
    if len(size) != 1:
        raise RuntimeError(f"{name}() argument 'output_size' should contain one int (got {len(size)})")
    return size


def _adaptive_size(input, output_size, rank):
    """`None` keeps the input's size; an int stands for all dimensions."""
    if isinstance(output_size, int) or output_size is None:
        output_size = (output_size,) * rank
    sizes = input._a.shape[-len(output_size) :]
    return tuple(s if o is None else o for o, s in zip(output_size, sizes, strict=False))


def _adaptive_avg(rank, input, size):
    name = f"adaptive_avg_pool{rank}d"
    check_adaptive(name, rank, input, size, maxima=False)
    if not input._a.dtype.is_floating_point:
        kernel = name if rank == 2 else name + "_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input._a.dtype.scalar_name}'")
    if set(size) == {1}:
        return input.mean(tuple(range(-rank, 0)), keepdim=True)
    return _MEAN[rank][1](input, size=size, window=(True, *(1,) * (3 * rank), False, 0))


def _adaptive_max(rank, input, size):
    name = f"adaptive_max_pool{rank}d"
    check_adaptive(name, rank, input, size, maxima=True)
    if not input._a.dtype.is_floating_point:
        kernel = name if rank == 2 else name + "_cpu"
        raise NotImplementedError(f"\"{kernel}\" not implemented for '{input._a.dtype.scalar_name}'")
    y, where = _MAX[rank][1](input, size=size)
    return y, where.to(_dtypes.int64)


def adaptive_avg_pool1d(input: Tensor, output_size) -> Tensor:
    """Means over `output_size` windows that cover the last dimension evenly."""
    size = _one_int("adaptive_avg_pool1d", input, output_size)
    return squeeze(_adaptive_avg(2, unsqueeze(input, -2), (1, *size)), -2)


def adaptive_max_pool1d_with_indices(input: Tensor, output_size, return_indices=False):
    """`adaptive_max_pool1d` with the positions."""
    size = _one_int("adaptive_max_pool1d", input, output_size)
    check_adaptive("adaptive_max_pool1d", 1, input, size, maxima=True)
    y, where = _adaptive_max(2, unsqueeze(input, -2), (1, *size))
    return squeeze(y, -2), where.squeeze(-2)


def adaptive_max_pool1d(input: Tensor, output_size, return_indices=False):
    """Maxima over `output_size` windows that cover the last dimension evenly."""
    y, where = adaptive_max_pool1d_with_indices(input, output_size)
    return (y, where) if return_indices else y


def _make_adaptive(rank):
    def adaptive_avg_pool(input: Tensor, output_size) -> Tensor:
        return _adaptive_avg(rank, input, _adaptive_size(input, output_size, rank))

    def with_indices(input: Tensor, output_size, return_indices=False):
        return _adaptive_max(rank, input, _adaptive_size(input, output_size, rank))

    def adaptive_max_pool(input: Tensor, output_size, return_indices=False):
        y, where = with_indices(input, output_size)
        return (y, where) if return_indices else y

    for f, name, what in ((adaptive_avg_pool, "avg", "Means"), (adaptive_max_pool, "max", "Maxima")):
        f.__name__ = f.__qualname__ = f"adaptive_{name}_pool{rank}d"
        f.__doc__ = f"""{what} over `output_size` windows that cover the last {rank} dimensions evenly; None keeps a size.

    Window i of n along a size s is floor(i * s / n) to ceil((i + 1) * s / n).
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{f.__name__}.html
    """
    with_indices.__name__ = with_indices.__qualname__ = f"adaptive_max_pool{rank}d_with_indices"
    with_indices.__doc__ = f"`adaptive_max_pool{rank}d` with the positions."
    return adaptive_avg_pool, adaptive_max_pool, with_indices


adaptive_avg_pool2d, adaptive_max_pool2d, adaptive_max_pool2d_with_indices = _make_adaptive(2)
adaptive_avg_pool3d, adaptive_max_pool3d, adaptive_max_pool3d_with_indices = map(full_precision, _make_adaptive(3))


# -- power means -------------------------------------------------------------------------------------------------------


def _make_lp(rank):
    max_pool, avg_pool = ((max_pool1d, avg_pool1d), (max_pool2d, avg_pool2d), (max_pool3d, avg_pool3d))[rank - 1]

    def lp_pool(input: Tensor, norm_type, kernel_size, stride=None, ceil_mode=False) -> Tensor:
        if isinstance(norm_type, (int, float)) and math.isinf(norm_type):
            if norm_type > 0:
                return max_pool(input.abs(), kernel_size, stride, 0, 1, ceil_mode)
            return -max_pool(-input.abs(), kernel_size, stride, 0, 1, ceil_mode)
        elements = math.prod(kernel_size) if isinstance(kernel_size, (tuple, list)) else kernel_size**rank
        out = avg_pool(input.pow(norm_type), kernel_size, stride, 0, ceil_mode)
        return (out.sign() * out.abs().relu()).mul(elements).pow(1.0 / norm_type)

    lp_pool.__name__ = lp_pool.__qualname__ = f"lp_pool{rank}d"
    lp_pool.__doc__ = f"""(sum of x ** norm_type over each window) ** (1 / norm_type), over the last {rank} dimension(s).

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.lp_pool{rank}d.html
    """
    return lp_pool


lp_pool1d, lp_pool2d, lp_pool3d = _make_lp(1), _make_lp(2), _make_lp(3)


# -- the inverse of max pooling ----------------------------------------------------------------------------------------


def _make_unpool(rank):
    @op(name=f"max_unpool{rank}d", grad_name=f"MaxUnpool{rank}DBackward0")
    def _unpool(x, where, /, *, size):
        return K.plane_scatter(contig(x), contig(where), len(size), size, True)

    _unpool.vjp(x=lambda g, where, size: _gather(g, where, rank=len(size)))
    return _unpool


_UNPOOL = {rank: _make_unpool(rank) for rank in (2, 3)}


def _unpool(rank, input, indices, size):
    a, where = input._a, indices._a
    if where.dtype is not _dtypes.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {where.dtype.scalar_name}")
    if a.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"Input to max_unpooling{rank}d should be a {rank + 1}d or {rank + 2}d Tensor, but got a tensor with "
                           f"{a.ndim} dimensions.")  # fmt: skip
    if a.shape != where.shape:
        raise RuntimeError(f"Expected shape of indices to be same as that of the input tensor ({list(a.shape)}) but got indices "
                           f"tensor with shape: {list(where.shape)}")  # fmt: skip
    return _UNPOOL[rank](input, indices, size=size)


def max_unpool1d(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
    """Puts maxima back at their positions, zeros elsewhere; see `max_unpool2d`."""
    size = unpool_size(input, 1, kernel_size, stride, padding, output_size)
    return squeeze(_unpool(2, unsqueeze(input, -1), indices.unsqueeze(-1), (*size, 1)), -1)


def _make_unpool_public(rank):
    def max_unpool(input: Tensor, indices: Tensor, kernel_size, stride=None, padding=0, output_size=None) -> Tensor:
        size = unpool_size(input, rank, kernel_size, stride, padding, output_size)
        return _unpool(rank, input, indices, size)

    max_unpool.__name__ = max_unpool.__qualname__ = f"max_unpool{rank}d"
    max_unpool.__doc__ = f"""Puts the maxima of `max_pool{rank}d` back at their positions, zeros elsewhere.

    Shape: each size becomes (size - 1) * stride - 2 * padding + kernel_size, or `output_size`.
    Raises: RuntimeError for a position outside the output.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.max_unpool{rank}d.html
    """
    return max_unpool


max_unpool2d, max_unpool3d = _make_unpool_public(2), _make_unpool_public(3)
