"""Rotation of tensor images by grid sampling."""

from __future__ import annotations

import math

from ... import _dtypes, ops
from ...autograd.tensor import Tensor

__all__ = ["rotate_tensor"]


def _inverse_matrix(angle, center):
    """The 2 x 3 matrix that takes places of the result to places of the image, angle in degrees."""
    turn = math.radians(angle)
    c, s = math.cos(turn), math.sin(turn)
    x, y = center
    return [c, s, x - c * x - s * y, -s, c, y + s * x - c * y]


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
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")
    height, width = img.shape[-2:]
    middle = (0.0, 0.0) if center is None else (center[0] - width * 0.5, center[1] - height * 0.5)
    matrix = _inverse_matrix(-angle, middle)
    out_width, out_height = _expanded(matrix, width, height) if expand else (width, height)

    dtype = img.dtype if img.is_floating_point() else _dtypes.float32
    x = ops.linspace(-out_width * 0.5 + 0.5, out_width * 0.5 - 0.5, out_width, dtype=dtype).expand(out_height, out_width)
    y = ops.linspace(-out_height * 0.5 + 0.5, out_height * 0.5 - 0.5, out_height, dtype=dtype).unsqueeze(-1).expand_as(x)
    base = ops.stack([x, y, ops.ones_like(x)], dim=-1).view(1, out_height * out_width, 3)
    theta = ops.tensor(matrix, dtype=dtype).reshape(1, 2, 3).transpose(1, 2)
    theta = theta / ops.tensor([0.5 * width, 0.5 * height], dtype=dtype)
    grid = ops.bmm(base, theta).view(1, out_height, out_width, 2)

    batch = img.reshape(-1, *(img.shape[-3:] if img.ndim > 2 else (1, *img.shape))).to(dtype)
    grid = grid.expand(batch.shape[0], -1, -1, -1)
    result = ops.grid_sample(batch, grid, mode=mode, padding_mode="zeros", align_corners=False)
    if fill is not None:
        inside = ops.grid_sample(ops.ones_like(batch[:, :1]), grid, mode=mode, padding_mode="zeros", align_corners=False)
        colour = ops.tensor(fill if isinstance(fill, (list, tuple)) else [float(fill)], dtype=dtype).view(1, -1, 1, 1)
        if mode == "nearest":
            result = ops.where(inside < 0.5, colour, result)
        else:
            result = result * inside + (1.0 - inside) * colour
    result = result if img.is_floating_point() else result.round().to(img.dtype)
    return result.reshape(*img.shape[:-2], out_height, out_width)
