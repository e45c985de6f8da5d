"""Resizing of signals, images and volumes.

Every mode but "area" is linear and separable: along each dimension an output is a weighted sum of a few inputs, whose
positions and weights are tables.
"""

from __future__ import annotations

import warnings

import numpy as np

from .._kernels import K
from ..autograd.interop import from_numpy
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .pool import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

__all__ = ["interpolate", "upsample", "upsample_nearest", "upsample_bilinear"]


def _resampling(name, camel):
    """`tables`: per spatial dimension (positions, weights); `sizes`: the input's spatial sizes."""

    def forward(x, /, *, tables, sizes):
        x = contig(x)
        for k, (position, weight) in enumerate(tables):
            x = K.resample(x, position._a, weight._a, k + 2)
        return x

    def backward(g, /, *, tables, sizes):
        g = contig(g)
        for k, (position, weight) in reversed(list(enumerate(tables))):
            g = K.resample_backward(g, position._a, weight._a, k + 2, sizes[k])
        return g

    call = op(name=f"upsample_{name}", grad_name=f"Upsample{camel}Backward0")(forward)
    back = op(name=f"upsample_{name}_backward")(backward)
    call.vjp(x=lambda g, tables, sizes: back(g, tables=tables, sizes=sizes))
    back.vjp(g=lambda v, tables, sizes: call(v, tables=tables, sizes=sizes))
    return call


_OPS = {("nearest", n): _resampling(f"nearest{n}d", f"Nearest{n}D") for n in (1, 2, 3)}
_OPS |= {("nearest-exact", n): _resampling(f"nearest_exact{n}d", f"NearestExact{n}D") for n in (1, 2, 3)}
_OPS |= {
    ("linear", 1): _resampling("linear1d", "Linear1D"),
    ("bilinear", 2): _resampling("bilinear2d", "Bilinear2D"),
    ("trilinear", 3): _resampling("trilinear3d", "Trilinear3D"),
    ("bicubic", 2): _resampling("bicubic2d", "Bicubic2D"),
    ("bilinear-aa", 2): _resampling("bilinear2d_aa", "Bilinear2DAa"),
    ("bicubic-aa", 2): _resampling("bicubic2d_aa", "Bicubic2DAa"),
}


# -- positions and weights -------------------------------------------------------------------------------------------------


def _scale(size, out, given, align_corners):
    """Input steps per output step."""
    if align_corners:
        return (size - 1) / (out - 1) if out > 1 else 0.0
    return 1.0 / given if given else size / out


def _nearest(size, out, given, exact):
    i = np.arange(out, dtype=np.float32)
    scale = np.float32(1.0 / given if given else size / out)
    at = np.floor((i + np.float32(0.5)) * scale if exact else i * scale).astype(np.int64)
    return np.minimum(at, size - 1)[:, None], np.ones((out, 1))


def _centres(size, out, given, align_corners):
    i, scale = np.arange(out), _scale(size, out, given, align_corners)
    return i * scale if align_corners else (i + 0.5) * scale - 0.5


def _linear(size, out, given, align_corners):
    real = np.maximum(_centres(size, out, given, align_corners), 0)
    low = np.minimum(np.floor(real).astype(np.int64), size - 1)
    t = np.clip(real - low, 0, 1)
    return np.stack([low, np.minimum(low + 1, size - 1)], 1), np.stack([1 - t, t], 1)


def _cubic_weight(x, a):
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def _cubic(size, out, given, align_corners):
    real = _centres(size, out, given, align_corners)
    low = np.floor(real).astype(np.int64)
    offsets = np.arange(-1, 3)
    return np.clip(low[:, None] + offsets, 0, size - 1), _cubic_weight((real - low)[:, None] - offsets, -0.75)


def _antialiased(size, out, given, align_corners, cubic):
    """When shrinking, the filter is stretched over all inputs that an output covers."""
    scale = _scale(size, out, given, align_corners)
    stretch = max(scale, 1.0)
    support = (2 if cubic else 1) * stretch
    positions, weights = [], []
    for i in range(out):
        centre = scale * (i + 0.5)
        low = max(int(centre - support + 0.5), 0)
        high = min(int(centre + support + 0.5), size)
        at = np.arange(low, high)
        x = (at - centre + 0.5) / stretch
        w = _cubic_weight(x, -0.5) if cubic else np.maximum(0, 1 - np.abs(x))
        positions.append(at)
        weights.append(w / w.sum())
    taps = max(map(len, positions))
    position, weight = np.zeros((out, taps), np.int64), np.zeros((out, taps))
    for i, (at, w) in enumerate(zip(positions, weights, strict=True)):
        position[i, : len(at)], weight[i, : len(at)] = at, w
    return position, weight


def _tables(mode, sizes, output, scales, align_corners, antialias):
    tables = []
    for size, out, given in zip(sizes, output, scales, strict=True):
        if mode.startswith("nearest"):
            pair = _nearest(size, out, given, mode == "nearest-exact")
        elif antialias:
            pair = _antialiased(size, out, given, align_corners, mode == "bicubic")
        else:
            pair = (_cubic if mode == "bicubic" else _linear)(size, out, given, align_corners)
        tables.append(tuple(from_numpy(np.ascontiguousarray(t)) for t in pair))
    return tuple(tables)


# -- the function ----------------------------------------------------------------------------------------------------------

_FORMAT = "Please provide input tensor in (N, C, d1, d2, ...,dK) format and {} in ({}1, {}2, ...,{}K) format."
_LINEAR = ("linear", "bilinear", "trilinear")


def _per_dimension(value, input, what):
    dims = input.ndim - 2
    if not isinstance(value, (tuple, list)):
        return [value] * dims
    if len(value) != dims:
        spatial = list(input.shape[2:])
        if what == "size":
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input with spatial dimensions of "
                f"{spatial} and output size of {value}. " + _FORMAT.format("output size", "o", "o", "o")
            )
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input with spatial dimensions of "
            f"{spatial} and scale_factor of shape {value}. " + _FORMAT.format("scale_factor", "s", "s", "s")
        )
    return list(value)


def _check_mode(input, mode):
    dims = input.ndim - 2
    if mode in _LINEAR and dims in (1, 2, 3) and _LINEAR[dims - 1] != mode:
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_LINEAR.index(mode) + 3}D input")
    known = ("nearest", "nearest-exact", "area", *_LINEAR)
    if dims not in (1, 2, 3) or not (mode in known or (mode == "bicubic" and dims == 2)):
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: nearest | linear | "
            f"bilinear | bicubic | trilinear | lanczos | area | nearest-exact (got {mode})"
        )


def interpolate(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None,
                recompute_scale_factor: bool | None = None, antialias: bool = False) -> Tensor:  # fmt: skip
    """The input (N, C, …) resized to `size`, or by `scale_factor`, in its spatial dimensions.

    Args: `mode`: "nearest", "nearest-exact", "linear" (3-D input), "bilinear" and "bicubic" (4-D), "trilinear" (5-D), "area";
    `align_corners`: corner pixels keep their values; `antialias`: average over what a shrunk pixel covers.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError("align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | "
                         "trilinear")  # fmt: skip
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    sizes = list(input._a.shape[2:])
    if size is not None:
        output, scales = [int(s) for s in _per_dimension(size, input, "size")], [None] * len(sizes)
    else:
        scales = _per_dimension(scale_factor, input, "scale_factor")
        output = [int(n * s) for n, s in zip(sizes, scales, strict=True)]
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if recompute_scale_factor or mode == "area":
        scales = [None] * len(sizes)
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes and requires a 4-D tensor as "
                         "input")  # fmt: skip
    _check_mode(input, mode)
    if any(n < 1 for n in (*sizes, *output)):
        labels = "DHW"[-len(sizes) :]
        before, after = (", ".join(f"{c}: {n}" for c, n in zip(labels, s, strict=True)) for s in (sizes, output))
        raise RuntimeError(f"Input and output sizes should be greater than 0, but got input ({before}) output ({after})")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[len(sizes) - 1](input, output)
    tables = _tables(mode, sizes, output, scales, bool(align_corners), antialias)
    return _OPS[f"{mode}-aa" if antialias else mode, len(sizes)](input, tables=tables, sizes=tuple(sizes))


def upsample(input: Tensor, size=None, scale_factor=None, mode: str = "nearest", align_corners: bool | None = None) -> Tensor:
    """The deprecated name of `interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """Deprecated: `interpolate(mode="nearest")`."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size=None, scale_factor=None) -> Tensor:
    """Deprecated: `interpolate(mode="bilinear", align_corners=True)`."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)
