"""Max pooling over windows whose places are drawn at random, to sizes that need not divide the input's."""

from __future__ import annotations

from .. import _dtypes
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .pool import _places_rule
from .random import rand

__all__ = [
    "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d", "fractional_max_pool3d_with_indices",
]  # fmt: skip


def _make_op(rank):
    @op(name=f"fractional_max_pool{rank}d", grad_name=f"FractionalMaxPool{rank}DBackward0")
    def _fractional(x, samples, /, *, size, kernel):
        return K.fractional_max_pool(contig(x), contig(samples), len(size), size, kernel)

    _fractional.vjp(lambda g, x_shape, out_1, *, size, needs: (_places_rule(g, x_shape, out_1, size=size), None))
    return _fractional


_FRACTIONAL = {rank: _make_op(rank) for rank in (2, 3)}


def _numbers(name, rank, what, value):
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        count = "" if rank == 2 else " three"
        raise RuntimeError(f"fractional_max_pool{rank}d: {what} must either be a single Int or tuple of{count} Ints")
    return tuple(int(v) for v in value)


def _check(rank, x, size, kernel, samples):
    name = "fractional_max_pool2d()" if rank == 2 else "fractional_max_pool3d_out()"
    if x.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"{name}: Expected {rank + 1}D or {rank + 2}D tensor, but got: {list(x.shape)}")
    for d in range(x.ndim - rank - 1, x.ndim):
        if x.shape[d] == 0:
            raise RuntimeError(f"{name}: Expected input to have non-zero size for non-batch dimensions, but got{list(x.shape)} with "
                               f"dimension {d} being empty.")  # fmt: skip
    if any(k < 1 for k in kernel):
        raise RuntimeError(f"{name}: kernel_size must be greater than 0, but got {list(kernel)}")
    if any(o < 0 for o in size):
        shape = [*x.shape[:-rank], *size]
        raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {shape}")
    for label, o, k, n in zip(("time", "height", "width")[3 - rank :], size, kernel, x.shape[-rank:], strict=True):
        if o + k - 1 >= n + (rank == 2):  # PyTorch's three-dimensional pooling wants one element more
            raise RuntimeError(f"{name}: pool {label} {k} too large relative to input {label} {n}")
    if samples.dtype is not x.dtype:
        raise RuntimeError("Expect _random_samples to have the same dtype as input")
    if samples.ndim != 3:
        raise RuntimeError(f"Expect _random_samples to have 3 dimensions, got {samples.ndim}")
    if samples.shape[0] < (x.shape[0] if x.ndim == rank + 2 else 1):
        raise RuntimeError("Expect _random_samples.size(0) no less then input batch size.")
    if samples.shape[1] != x.shape[-rank - 1]:
        raise RuntimeError("Expect _random_samples.size(1) equals to input channel size.")
    if samples.shape[2] != rank:
        raise RuntimeError(f"Expect _random_samples.size(2) equals to {rank}; got {samples.shape[2]}.")


def _pool(rank, input, kernel_size, output_size, output_ratio, samples):
    name = f"fractional_max_pool{rank}d"
    if output_size is None and output_ratio is None:
        raise ValueError(f"{name} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratios = (output_ratio,) * rank if isinstance(output_ratio, (int, float)) else output_ratio
        if rank == 2 and len(ratios) > 2:
            raise ValueError("fractional_max_pool2d requires output_ratio to either be a single Int or tuple of Ints.")
        output_size = [int(input.size(d - rank) * ratios[d]) for d in range(rank)]
    if samples is None:
        if not input._a.dtype.is_floating_point:
            raise NotImplementedError(f"\"check_uniform_bounds\" not implemented for '{input._a.dtype.scalar_name}'")
        batch = 1 if input.dim() == rank + 1 else input.size(0)
        samples = rand(batch, input.size(-rank - 1), rank, dtype=input.dtype)
    kernel, size = _numbers(name, rank, "kernel_size", kernel_size), _numbers(name, rank, "output_size", output_size)
    _check(rank, input._a, size, kernel, samples._a)
    y, where = _FRACTIONAL[rank](input, samples, size=size, kernel=kernel)
    return y, where.to(_dtypes.int64)


def _make_public(rank):
    name = f"fractional_max_pool{rank}d"

    def with_indices(input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        return _pool(rank, input, kernel_size, output_size, output_ratio, _random_samples)

    def fractional(input: Tensor, kernel_size, output_size=None, output_ratio=None, return_indices=False, _random_samples=None):
        y, where = _pool(rank, input, kernel_size, output_size, output_ratio, _random_samples)
        return (y, where) if return_indices else y

    fractional.__name__ = fractional.__qualname__ = name
    fractional.__doc__ = f"""Maxima over windows of the last {rank} dimensions, whose distances are drawn at random.

    Args: `output_size`, or `output_ratio`, that of the output's sizes to the input's; `return_indices`: also the flat positions
    in the plane (int64); `_random_samples` (batch, channels, {rank}), between 0 and 1, instead of drawn ones.
    Shape: (N, C, ...) or (C, ...); the last {rank} sizes become `output_size`.
    Raises: ValueError without a size, RuntimeError if output size + kernel size exceeds the input's{" + 1" if rank == 2 else ""}.
    Reference: Graham, "Fractional Max-Pooling", 2014; https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{name}.html
    """
    with_indices.__name__ = with_indices.__qualname__ = name + "_with_indices"
    with_indices.__doc__ = f"`{name}` with `return_indices=True`."
    return fractional, with_indices


fractional_max_pool2d, fractional_max_pool2d_with_indices = _make_public(2)
fractional_max_pool3d, fractional_max_pool3d_with_indices = _make_public(3)
