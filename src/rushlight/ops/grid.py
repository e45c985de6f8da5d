"""Sampling images at given places."""

from __future__ import annotations

import itertools
import math
import warnings

from .. import _native
from .._dtypes import int64
from .._kernels import K
from ..autograd.autocast import full_precision
from ..autograd.backward import grad
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .creation import linspace, ones, zeros
from .matmul import matmul
from .pointwise import where
from .scatter import gather
from .shape import stack

__all__ = ["grid_sample", "affine_grid"]

_DEFAULT = (
    "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please specify "
    "align_corners=True if the old behavior is desired. See the documentation of grid_sample for details."
)


# -- as expressions ------------------------------------------------------------------------------------------------------------


def _to_pixels(x, size, align_corners):
    """From [-1, 1] to positions between pixels."""
    return (x + 1) / 2 * (size - 1) if align_corners else ((x + 1) * size - 1) / 2


def _reflect(x, low, high):
    """Positions outside [low, high] mirrored until they are inside; low and high are twice the bounds."""
    if low == high:
        return x * 0
    start, span = low / 2, (high - low) / 2
    x = (x - start).abs()
    flips = (x / span).detach().floor()
    rest = x - flips * span
    return where(flips.remainder(2) == 0, rest + start, span - rest + start)


def _inside(x, size, padding_mode, align_corners):
    """Positions brought into the image, for every mode but zeros."""
    if padding_mode == "zeros":
        return x
    if padding_mode == "reflection":
        x = _reflect(x, 0, 2 * (size - 1)) if align_corners else _reflect(x, -1, 2 * size - 1)
    return x.clamp(0, size - 1)


def _pick(input, places, sizes):
    """Values at integer places (one tensor per dimension, each (N, *)), 0 outside."""
    n, c = input.size(0), input.size(1)
    valid, flat = None, None
    for p, size in zip(places, sizes, strict=True):
        ok = (p >= 0) & (p <= size - 1)
        valid = ok if valid is None else valid & ok
        p = where(ok, p, 0.0).to(int64)
        flat = p if flat is None else flat * size + p
    values = gather(input.reshape(n, c, -1), 2, flat.reshape(n, 1, -1).expand(-1, c, -1)).reshape(n, c, *flat.shape[1:])
    return where(valid.unsqueeze(1), values, 0.0)


def _bilinear(input, positions, sizes):
    lows = [p.detach().floor() for p in positions]
    parts = [p - low for p, low in zip(positions, lows, strict=True)]
    total = None
    for corner in itertools.product((0, 1), repeat=len(sizes)):
        weight = None
        for bit, t in zip(corner, parts, strict=True):
            w = t if bit else 1 - t
            weight = w if weight is None else weight * w
        value = _pick(input, [low + bit for low, bit in zip(lows, corner, strict=True)], sizes) * weight.unsqueeze(1)
        total = value if total is None else total + value
    return total


def _cubic_weights(t, a=-0.75):
    def near(x):
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x):
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return far(t + 1), near(t), near(1 - t), far(2 - t)


def _bicubic(input, positions, sizes, padding_mode, align_corners):
    lows = [p.detach().floor() for p in positions]
    weights = [_cubic_weights(p - low) for p, low in zip(positions, lows, strict=True)]
    total = None
    for i, j in itertools.product(range(4), repeat=2):
        places = [_inside(low + k - 1, size, padding_mode, align_corners)
                  for low, k, size in zip(lows, (i, j), sizes, strict=True)]  # fmt: skip
        value = _pick(input, places, sizes) * (weights[0][i] * weights[1][j]).unsqueeze(1)
        total = value if total is None else total + value
    return total


def _expression(input, grid, mode, padding_mode, align_corners):
    sizes = input._a.shape[2:]
    positions = [_to_pixels(p, size, align_corners) for p, size in zip(reversed(grid.unbind(-1)), sizes, strict=True)]
    if mode == "bicubic":
        return _bicubic(input, positions, sizes, padding_mode, align_corners)
    positions = [_inside(p, size, padding_mode, align_corners) for p, size in zip(positions, sizes, strict=True)]
    if mode == "nearest":
        return _pick(input, [p.detach().round() for p in positions], sizes)
    return _bilinear(input, positions, sizes)


# -- the same in one kernel ----------------------------------------------------------------------------------------------------
#
# While a graph of the gradient is recorded, the rule differentiates the expressions above instead.

_MODES, _PADDINGS = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def _differentiate(g, inputs, how, needs):
    """The gradients of the expressions, as expressions."""
    x, grid = (t.view(t.shape) if need else t for t, need in zip(inputs, needs, strict=True))
    wanted = [t for t, need in zip((x, grid), needs, strict=True) if need]
    out = _expression(x, grid, *how)
    found = (None,) * len(wanted) if not out.requires_grad else grad(out, wanted, g, create_graph=True, allow_unused=True)
    found = iter(t.new_zeros(t.shape) if f is None else f for t, f in zip(wanted, found, strict=True))
    return tuple(next(found) if need else None for need in needs)


def _make(dims):
    def numbers(how):
        mode, padding_mode, align_corners = how
        return _MODES.index(mode), _PADDINGS.index(padding_mode), align_corners

    @op(name=f"grid_sampler_{dims}d", grad_name=f"GridSampler{dims}DBackward0")
    def sample(x, grid, /, *, how):
        return K.grid_sample(contig(x), contig(grid), *numbers(how))

    @op(name=f"grid_sampler_{dims}d_input_backward", differentiable=False)
    def input_backward(g, x, grid, /, *, how):
        return K.grid_sample_input_backward(contig(g), contig(x), contig(grid), *numbers(how))

    @op(name=f"grid_sampler_{dims}d_grid_backward", differentiable=False)
    def grid_backward(g, x, grid, /, *, how):
        return K.grid_sample_grid_backward(contig(g), contig(x), contig(grid), *numbers(how))

    @sample.vjp
    def _(g, x, grid, *, how, needs):
        if _native.is_grad_enabled():
            return _differentiate(g, (x, grid), how, needs)
        return (input_backward(g, x, grid, how=how) if needs[0] else None,
                grid_backward(g, x, grid, how=how) if needs[1] else None)  # fmt: skip

    return sample


_SAMPLERS = {4: _make(2), 5: _make(3)}


@full_precision
def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:  # fmt: skip
    """The input's values at the places that `grid` names, -1 to 1 being the image from edge to edge.

    Shape: input (N, C, H, W), grid (N, Ho, Wo, 2) with x before y; or (N, C, D, H, W) and (N, Do, Ho, Wo, 3).
    Args: `mode`: "bilinear", "nearest" or (4-D) "bicubic"; `padding_mode` outside: "zeros", "border" or "reflection".
    """
    if mode not in _MODES:
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: '{mode}'"
        )
    if padding_mode not in _PADDINGS:
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
                         f"'{padding_mode}'")  # fmt: skip
    if align_corners is None:
        warnings.warn(_DEFAULT, stacklevel=2)
    shapes = f"but got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}"
    if input.size(0) != grid.size(0):
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, {shapes}")
    if grid.size(-1) != input.ndim - 2:
        raise RuntimeError(
            f"grid_sampler(): expected grid to have size {input.ndim - 2} in last dimension, but got grid with sizes "
            f"{list(grid.shape)}"
        )
    for d in range(2, input.ndim):
        if input.size(d) == 0:
            raise RuntimeError("grid_sampler(): expected input to have non-empty spatial dimensions, but input has sizes "
                               f"{list(input.shape)} with dimension {d} being empty")  # fmt: skip
    if input.ndim not in _SAMPLERS or grid.ndim != input.ndim:
        dims = 4 if input.ndim == 4 else 5
        raise RuntimeError(f"grid_sampler(): expected {dims}D input and grid with same number of dimensions, {shapes}")
    if input.dtype is not grid.dtype:
        raise RuntimeError(f"expected scalar type {input._a.dtype.scalar_name} but found {grid._a.dtype.scalar_name}")
    if mode == "bicubic" and input.ndim != 4:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return _SAMPLERS[input.ndim](input, grid, how=(mode, padding_mode, bool(align_corners)))


def affine_grid(theta: Tensor, size, align_corners: bool | None = None) -> Tensor:
    """The places that affine maps `theta` (N, 2, 3) or (N, 3, 4) give to an output of `size`, for `grid_sample`."""
    if align_corners is None:
        warnings.warn(_DEFAULT, stacklevel=2)
    if not theta.is_floating_point():
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = tuple(size)
    if len(size) not in (4, 5):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. Got "
                                  f"size {size}.")  # fmt: skip
    n = len(size) - 2
    if theta.dim() != 3 or tuple(theta.shape[-2:]) != (n, n + 1):
        raise ValueError(
            f"Expected a batch of {n}D affine matrices of shape Nx{n}x{n + 1} for size {size}. Got {theta.shape}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    spatial = size[2:]
    axes = []
    for k, s in enumerate(spatial):
        line = linspace(-1, 1, s, dtype=theta.dtype) if s > 1 else zeros(1, dtype=theta.dtype)
        line = line if align_corners else line * (s - 1) / s  # rounded as in PyTorch: a place between two pixels is either one
        axes.append(line.reshape([-1 if d == k else 1 for d in range(n)]).expand(spatial))
    base = stack([*reversed(axes), ones(spatial, dtype=theta.dtype)], -1).reshape(1, math.prod(spatial), n + 1)
    out = matmul(base.expand(size[0], -1, -1), theta.transpose(1, 2))
    return out.reshape(size[0], *spatial, n)
