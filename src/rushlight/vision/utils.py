"""Many images as one: make_grid and save_image."""

from __future__ import annotations

import math

from .. import _dtypes, ops
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Tensor
from ._pillow import pillow

__all__ = ["make_grid", "save_image"]


def _normalize_range(tensor, value_range, scale_each):
    if value_range is not None and not isinstance(value_range, tuple):
        raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")

    def scale(image):
        low, high = value_range if value_range is not None else (float(image.min()), float(image.max()))
        image.clamp_(min=low, max=high)
        image.sub_(low).div_(max(high - low, 1e-5))

    tensor = tensor.clone()
    for image in tensor if scale_each else [tensor]:
        scale(image)
    return tensor


@no_grad()
def make_grid(tensor, nrow: int = 8, padding: int = 2, normalize: bool = False, value_range=None,
              scale_each: bool = False, pad_value: float = 0.0) -> Tensor:  # fmt: skip
    """Images side by side, `nrow` in a row, `padding` pixels of `pad_value` between and around them.

    tensor: [N, C, H, W], a list of images of one shape, or a single image ([C, H, W] or [H, W]), which is returned as it
    is. Grey images get three channels. normalize: shift to (0, 1) by the minimum and maximum (or `value_range`) over all
    images, with `scale_each` over each of them.
    """
    if not isinstance(tensor, Tensor):
        if not isinstance(tensor, list):
            raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
        for t in tensor:
            if not isinstance(t, Tensor):
                raise TypeError(f"tensor or list of tensors expected, got a list containing {type(t)}")
        tensor = ops.stack(tensor, dim=0)
    if tensor.dim() == 2:
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 3:
        if tensor.size(0) == 1:
            tensor = ops.cat((tensor, tensor, tensor), 0)
        tensor = tensor.unsqueeze(0)
    if tensor.dim() == 4 and tensor.size(1) == 1:
        tensor = ops.cat((tensor, tensor, tensor), 1)
    if normalize:
        tensor = _normalize_range(tensor, value_range, scale_each)
    if tensor.size(0) == 1:
        return tensor.squeeze(0)
    count = tensor.size(0)
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    height, width = tensor.size(2) + padding, tensor.size(3) + padding
    grid = tensor.new_full((tensor.size(1), height * rows + padding, width * columns + padding), pad_value)
    for k in range(count):
        top, left = k // columns * height + padding, k % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = tensor[k]
    return grid


@no_grad()
def save_image(tensor, fp, format=None, **kwargs) -> None:
    """Writes images with values in [0, 1] to a file as one grid; further arguments as for make_grid."""
    grid = make_grid(tensor, **kwargs)
    array = grid.mul(255).add_(0.5).clamp_(0, 255).permute(1, 2, 0).to(dtype=_dtypes.uint8).numpy()
    pillow().fromarray(array).save(fp, format=format)
