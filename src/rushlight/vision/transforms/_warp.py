"""Rotation, affine maps, perspective and displacement of tensor images, by grid sampling."""

from __future__ import annotations

import math

import numpy as np

from ... import _dtypes, ops
from ...autograd.tensor import Tensor
from ._what import get_dimensions, require_image

__all__ = ["inverse_matrix", "rotate_tensor", "affine_tensor", "perspective_coefficients", "perspective_tensor",
           "elastic_tensor"]  # fmt: skip


def inverse_matrix(angle, center, translate=(0.0, 0.0), scale=1.0, shear=(0.0, 0.0)):
    """The 2 x 3 matrix that takes places of the result to places of the image; angles in degrees, clockwise."""
    turn, sx, sy = math.radians(angle), math.radians(shear[0]), math.radians(shear[1])
    # Rotation times shear is [[a, b], [c, d]] with determinant 1; its inverse is [[d, -b], [-c, a]].
    a, c = math.cos(turn - sy) / math.cos(sy), math.sin(turn - sy) / math.cos(sy)
    b, d = -a * math.tan(sx) - math.sin(turn), -c * math.tan(sx) + math.cos(turn)
    rows = [[d / scale, -b / scale], [-c / scale, a / scale]]
    x, y = -center[0] - translate[0], -center[1] - translate[1]
    return [v for (p, q), at in zip(rows, center, strict=True) for v in (p, q, p * x + q * y + at)]


def _dtype(img):
    return img.dtype if img.is_floating_point() else _dtypes.float32


def _places(width, height, first_x, first_y, dtype):
    """[1, height * width, 3]: (x, y, 1) of every pixel of the result."""
    x = ops.linspace(first_x, first_x + width - 1, width, dtype=dtype).expand(height, width)
    y = ops.linspace(first_y, first_y + height - 1, height, dtype=dtype).unsqueeze(-1).expand_as(x)
    return ops.stack([x, y, ops.ones_like(x)], dim=-1).view(1, height * width, 3)


def _affine_grid(matrix, width, height, out_width, out_height, dtype):
    theta = ops.tensor(matrix, dtype=dtype).reshape(1, 2, 3).transpose(1, 2)
    theta = theta / ops.tensor([0.5 * width, 0.5 * height], dtype=dtype)
    base = _places(out_width, out_height, -out_width * 0.5 + 0.5, -out_height * 0.5 + 0.5, dtype)
    return ops.bmm(base, theta).view(1, out_height, out_width, 2)


def _check(img, mode, fill):
    require_image(img)
    channels = get_dimensions(img)[0]
    if isinstance(fill, (tuple, list)) and len(fill) > 1 and len(fill) != channels:
        raise ValueError("The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
                         f"({len(fill)} != {channels})")  # fmt: skip
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")


def _sample(img, grid, mode, fill):
    """The image at the places of `grid` [1, height, width, 2]; `fill` where they lie outside."""
    batch = (img if img.ndim >= 4 else img.unsqueeze(0)).to(grid.dtype)
    grid = grid.expand(batch.shape[0], -1, -1, -1)
    result = ops.grid_sample(batch, grid, mode=mode, padding_mode="zeros", align_corners=False)
    if fill is not None:
        inside = ops.grid_sample(ops.ones_like(batch[:, :1]), grid, mode=mode, padding_mode="zeros", align_corners=False)
        colour = ops.tensor(fill if isinstance(fill, (list, tuple)) else [float(fill)], dtype=grid.dtype).view(1, -1, 1, 1)
        if mode == "nearest":
            result = ops.where(inside < 0.5, colour, result)
        else:
            result = result * inside + (1.0 - inside) * colour
    result = result if img.ndim >= 4 else result.squeeze(0)
    return result.to(img.dtype) if img.is_floating_point() or img.dtype is _dtypes.bool_ else result.round().to(img.dtype)


def _expanded(matrix, width, height):
    """(width, height) that hold all four turned corners."""
    corners = ops.tensor([[sx * width, sy * height, 1.0] for sx, sy in ((-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5))])
    turned = ops.matmul(corners, ops.tensor(matrix).reshape(2, 3).t())
    half = ops.tensor([width * 0.5, height * 0.5])
    low, high = turned.amin(dim=0) + half, turned.amax(dim=0) + half
    tolerance = 1e-4  # so that 1.0000001 is no further pixel
    high = ops.ceil((high / tolerance).trunc() * tolerance)
    low = ops.floor((low / tolerance).trunc() * tolerance)
    size = high - low
    return int(size[0]), int(size[1])


def rotate_tensor(img: Tensor, angle, mode, expand, center, fill) -> Tensor:
    """[..., C, H, W] turned counter-clockwise by `angle` degrees."""
    _check(img, mode, fill)
    height, width = img.shape[-2:]
    middle = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
    matrix = inverse_matrix(-angle, middle)
    out_width, out_height = _expanded(matrix, width, height) if expand else (width, height)
    return _sample(img, _affine_grid(matrix, width, height, out_width, out_height, _dtype(img)), mode, fill)


def affine_tensor(img: Tensor, matrix, mode, fill) -> Tensor:
    """[..., C, H, W], where a pixel of the result comes from `matrix` times its place, counted from the middle."""
    _check(img, mode, fill)
    height, width = img.shape[-2:]
    return _sample(img, _affine_grid(matrix, width, height, width, height, _dtype(img)), mode, fill)


def perspective_coefficients(startpoints, endpoints) -> list[float]:
    """a .. h of x' = (a x + b y + c) / (g x + h y + 1), y' = (d x + e y + f) / (g x + h y + 1), from end to start points."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    solution = np.linalg.lstsq(np.array(rows, np.float64), np.array(startpoints, np.float64).reshape(8), rcond=None)[0]
    return solution.astype(np.float32).tolist()


def perspective_tensor(img: Tensor, coefficients, mode, fill) -> Tensor:
    """[..., C, H, W] seen from elsewhere; `coefficients` as above."""
    _check(img, mode, fill)
    height, width = img.shape[-2:]
    dtype = _dtype(img)
    a, b, c, d, e, f, g, h = coefficients
    base = _places(width, height, 0.5, 0.5, dtype)
    above = ops.tensor([[[a, b, c], [d, e, f]]], dtype=dtype).transpose(1, 2) / ops.tensor([0.5 * width, 0.5 * height], dtype=dtype)
    below = ops.tensor([[[g, h, 1.0], [g, h, 1.0]]], dtype=dtype).transpose(1, 2)
    grid = ops.bmm(base, above) / ops.bmm(base, below) - 1.0
    return _sample(img, grid.view(1, height, width, 2), mode, fill)


def elastic_tensor(img: Tensor, displacement: Tensor, mode, fill) -> Tensor:
    """[..., C, H, W], every place moved by displacement [1, H, W, 2]."""
    _check(img, mode, fill)
    y, x = (ops.linspace((-n + 1) / n, (n - 1) / n, n) for n in img.shape[-2:])
    grid = ops.stack([x.expand(len(y), len(x)), y.unsqueeze(-1).expand(len(y), len(x))], dim=-1).unsqueeze(0)
    return _sample(img, grid + displacement, mode, fill)
