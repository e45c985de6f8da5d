"""Pixels to channels and back, and sliding blocks as columns."""

from __future__ import annotations

from .. import _native
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig
from .pad import pad

__all__ = ["pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "native_channel_shuffle", "unfold", "fold"]


# -- shuffles ---------------------------------------------------------------------------------------------------------------


def _permuted(x, split, order, shape):
    """An array seen with the sizes `split`, permuted, in row-major order again."""
    view = contig(x).view(tuple(split))
    return contig(view.permute(tuple(order))).view(tuple(shape))


@op
def _pixel_shuffle(x, /, *, r):
    *lead, c, h, w = x.shape
    n = len(lead)
    order = [*range(n), n, n + 3, n + 1, n + 4, n + 2]
    return _permuted(x, [*lead, c // (r * r), r, r, h, w], order, [*lead, c // (r * r), h * r, w * r])


@op
def _pixel_unshuffle(x, /, *, r):
    *lead, c, h, w = x.shape
    n = len(lead)
    order = [*range(n), n, n + 2, n + 4, n + 1, n + 3]
    return _permuted(x, [*lead, c, h // r, r, w // r, r], order, [*lead, c * r * r, h // r, w // r])


_pixel_shuffle.vjp(x=lambda g, r: _pixel_unshuffle(g, r=r))
_pixel_unshuffle.vjp(x=lambda g, r: _pixel_shuffle(g, r=r))


def _need_image(input, name, factor, factor_name):
    if input.ndim < 3:
        raise RuntimeError(f"{name} expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)")
    if factor <= 0:
        raise RuntimeError(f"{name} expects a positive {factor_name}, but got {factor}")


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(*, C r^2, H, W) as (*, C, H r, W r).

    Reference: Shi et al., Real-time single image and video super-resolution, 2016.
    """
    _need_image(input, "pixel_shuffle", upscale_factor, "upscale_factor")
    if input.size(-3) % upscale_factor**2:
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but "
            f"input.size(-3)={input.size(-3)} is not divisible by {upscale_factor**2}"
        )
    return _pixel_shuffle(input, r=int(upscale_factor))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(*, C, H r, W r) as (*, C r^2, H, W): the inverse of `pixel_shuffle`."""
    _need_image(input, "pixel_unshuffle", downscale_factor, "downscale_factor")
    for name, d in (("height", -2), ("width", -1)):
        if input.size(d) % downscale_factor:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({d})={input.size(d)} is "
                f"not divisible by {downscale_factor}"
            )
    return _pixel_unshuffle(input, r=int(downscale_factor))


@op
def _channel_shuffle(x, /, *, groups):
    n, c, *rest = x.shape
    order = [0, 2, 1, *range(3, 3 + len(rest))]
    return _permuted(x, [n, groups, c // groups, *rest], order, x.shape)


_channel_shuffle.vjp(x=lambda g, x_shape, groups: _channel_shuffle(g, groups=x_shape[1] // groups))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """The channels of (N, C, *), seen as (groups, C / groups), transposed."""
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    if groups <= 0:
        raise RuntimeError(f"Number of groups to divide channels in must be positive. Value of groups:{groups}")
    if input.size(1) % groups:
        raise RuntimeError(
            f"Number of channels must be divisible by groups. Got {input.size(1)} channels and {groups} groups."
        )
    return _channel_shuffle(input, groups=int(groups))


def native_channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """`channel_shuffle`."""
    return channel_shuffle(input, groups)


# -- sliding blocks ----------------------------------------------------------------------------------------------------------


def _blocks(size, kernel, dilation, stride):
    return (size - dilation * (kernel - 1) - 1) // stride + 1


def _window(a, i, j, rows, cols, dilation, stride):
    """What the kernel's element (i, j) sees of an image: one pixel per block."""
    n, c, h, w = a.shape
    sn, sc, sh, sw = a.strides
    offset = a.offset + i * dilation[0] * sh + j * dilation[1] * sw
    return a.as_strided((n, c, rows, cols), (sn, sc, sh * stride[0], sw * stride[1]), offset)


@op(grad_name="Im2ColBackward0")
def _im2col(x, /, *, kernel, dilation, stride):
    n, c, h, w = x.shape
    rows, cols = _blocks(h, kernel[0], dilation[0], stride[0]), _blocks(w, kernel[1], dilation[1], stride[1])
    out = _native.empty((n, c, kernel[0], kernel[1], rows, cols), x.dtype.code)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            K.copy_into(out.select(2, i).select(2, j), _window(x, i, j, rows, cols, dilation, stride))
    return out.view((n, c * kernel[0] * kernel[1], rows * cols))


@op(grad_name="Col2ImBackward0")
def _col2im(x, /, *, size, kernel, dilation, stride):
    h, w = size
    rows, cols = _blocks(h, kernel[0], dilation[0], stride[0]), _blocks(w, kernel[1], dilation[1], stride[1])
    n, c = x.shape[0], x.shape[1] // (kernel[0] * kernel[1])
    blocks = contig(x).view((n, c, kernel[0], kernel[1], rows, cols))
    out = _native.empty((n, c, h, w), x.dtype.code)
    K.fill_into(out, 0)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            target = _window(out, i, j, rows, cols, dilation, stride)
            K.add_into(target, target, blocks.select(2, i).select(2, j))
    return out


_im2col.vjp(x=lambda g, x_shape, kernel, dilation, stride: _col2im(g, size=x_shape[2:], kernel=kernel, dilation=dilation,
                                                                   stride=stride))  # fmt: skip
_col2im.vjp(x=lambda g, kernel, dilation, stride: _im2col(g, kernel=kernel, dilation=dilation, stride=stride))


def _two(value, name):
    pair = (value, value) if isinstance(value, int) else tuple(value)
    if len(pair) != 2:
        raise AssertionError(f"expected {name} to be an int or a pair")
    return pair


def _check_blocks(kernel, dilation, padding, stride):
    for name, pair, low in (("kernel", kernel, 1), ("dilation", dilation, 1), ("stride", stride, 1)):
        if min(pair) < low:
            label = {"kernel": "kernel size", "dilation": "dilation", "stride": "stride"}[name]
            raise RuntimeError(f"{label} should be greater than zero, but got {name}_height: {pair[0]} {name}_width: {pair[1]}")
    if min(padding) < 0:
        raise RuntimeError(
            f"padding should be non-negative, but got padding_height: {padding[0]} padding_width: {padding[1]}"
        )


def unfold(input: Tensor, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Sliding blocks of (N, C, H, W) as columns: (N, C * kernel elements, blocks).

    Raises: RuntimeError if no block fits.
    """
    kernel, dilation = _two(kernel_size, "kernel_size"), _two(dilation, "dilation")
    padding, stride = _two(padding, "padding"), _two(stride, "stride")
    _check_blocks(kernel, dilation, padding, stride)
    if input.ndim not in (3, 4):
        raise RuntimeError(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: "
            f"{list(input.shape)}"
        )
    if not input._a.dtype.is_floating_point:
        raise NotImplementedError(f"\"im2col_out_cpu\" not implemented for '{input._a.dtype.scalar_name}'")
    h, w = input._a.shape[-2:]
    rows = _blocks(h + 2 * padding[0], kernel[0], dilation[0], stride[0])
    cols = _blocks(w + 2 * padding[1], kernel[1], dilation[1], stride[1])
    if rows < 1 or cols < 1:
        raise RuntimeError(
            f"Given input with spatial size ({h}, {w}), kernel_size={kernel}, dilation={dilation}, padding={padding}, "
            f"calculated shape of the array of sliding blocks as ({rows}, {cols}), but its components must be at least one."
        )
    x = input if input.ndim == 4 else input.unsqueeze(0)
    if padding != (0, 0):
        x = pad(x, (padding[1], padding[1], padding[0], padding[0]))
    out = _im2col(x, kernel=kernel, dilation=dilation, stride=stride)
    return out if input.ndim == 4 else out.squeeze(0)


def fold(input: Tensor, output_size, kernel_size, dilation=1, padding=0, stride=1) -> Tensor:
    """Columns (N, C * kernel elements, blocks) summed into an image (N, C, H, W): the transpose of `unfold`."""
    size, kernel = _two(output_size, "output_size"), _two(kernel_size, "kernel_size")
    dilation, padding, stride = _two(dilation, "dilation"), _two(padding, "padding"), _two(stride, "stride")
    _check_blocks(kernel, dilation, padding, stride)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but "
            f"got: {list(input.shape)}"
        )
    elements = kernel[0] * kernel[1]
    if input.size(-2) % elements:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)="
            f"{input.size(-2)} and kernel_size={kernel}."
        )
    padded = (size[0] + 2 * padding[0], size[1] + 2 * padding[1])
    rows, cols = (_blocks(padded[d], kernel[d], dilation[d], stride[d]) for d in (0, 1))
    if input.size(-1) != rows * cols:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={kernel}, dilation={dilation}, padding={padding}, stride={stride}, expected "
            f"size of input's dimension 2 to match the calculated number of sliding blocks {rows} * {cols} = {rows * cols}, but "
            f"got input.size(2)={input.size(-1)}."
        )
    x = input if input.ndim == 3 else input.unsqueeze(0)
    out = _col2im(x, size=padded, kernel=kernel, dilation=dilation, stride=stride)
    if padding != (0, 0):
        out = pad(out, (-padding[1], -padding[1], -padding[0], -padding[0]))
    return out if input.ndim == 3 else out.squeeze(0)
