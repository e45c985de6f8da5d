"""Convolution and its transpose, in one to three spatial dimensions.

Three kernels are one trilinear form T(x, w, g) seen from its three sides: `conv` is its derivative in g, `conv_input` in x,
`conv_weight` in w. So every derivative of every order is one of the three again.
"""

from __future__ import annotations

import operator

from .. import _dtypes, _native
from .._kernels import K
from ..autograd.autocast import lower_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor

__all__ = ["conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "conv_tbc"]


def contig(x):
    """The array itself, or a row-major copy of it."""
    if x is None or x.contiguous:
        return x
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, x)
    return out


# -- the three kernels -------------------------------------------------------------------------------------------------


@op(grad_name="ConvolutionBackward0")
def _conv(x, w, b, /, *, stride, padding, dilation, groups, size):
    return K.conv(contig(x), contig(w), contig(b), stride, padding, dilation, groups, size)


@op(grad_name="ConvolutionBackward0")
def _conv_input(g, w, b, /, *, stride, padding, dilation, groups, size):
    return K.conv_input(contig(g), contig(w), contig(b), stride, padding, dilation, groups, size)


@op(name="conv_weight_backward", grad_name="ConvolutionBackwardBackward0")
def _conv_weight(x, g, /, *, stride, padding, dilation, groups, size):
    return K.conv_weight(contig(x), contig(g), stride, padding, dilation, groups, size)


@op(name="channel_sum_backward", grad_name="SumBackward1")
def _channel_sum(g, /):
    return K.channel_sum(contig(g))


_channel_sum.vjp(g=lambda v, g_shape: v.reshape((1, -1) + (1,) * (len(g_shape) - 2)).expand(g_shape))


def _geometry(stride, padding, dilation, groups):
    return dict(stride=stride, padding=padding, dilation=dilation, groups=groups)


def _in_x(g, x_shape, w, *, stride, padding, dilation, groups):
    return _conv_input(g, w, None, **_geometry(stride, padding, dilation, groups), size=x_shape[2:])


def _in_w(g, x, w_shape, *, stride, padding, dilation, groups):
    return _conv_weight(x, g, **_geometry(stride, padding, dilation, groups), size=w_shape[2:])


_conv.vjp(x=_in_x, w=_in_w, b=lambda g: _channel_sum(g))


def _transposed_in_g(v, g_shape, w, *, stride, padding, dilation, groups):
    return _conv(v, w, None, **_geometry(stride, padding, dilation, groups), size=g_shape[2:])


def _transposed_in_w(v, g, w_shape, *, stride, padding, dilation, groups):
    return _conv_weight(v, g, **_geometry(stride, padding, dilation, groups), size=w_shape[2:])


_conv_input.vjp(g=_transposed_in_g, w=_transposed_in_w, b=lambda v: _channel_sum(v))
_conv_weight.vjp(
    x=lambda v, x_shape, g, *, stride, padding, dilation, groups: _conv_input(
        g, v, None, **_geometry(stride, padding, dilation, groups), size=x_shape[2:]),
    g=lambda v, x, g_shape, *, stride, padding, dilation, groups: _conv(
        x, v, None, **_geometry(stride, padding, dilation, groups), size=g_shape[2:]),
)  # fmt: skip


# -- checks ------------------------------------------------------------------------------------------------------------


def _numbers(value, name, rank):
    """An int or a list of ints, one per spatial dimension."""
    if type(value) is int:
        return (value,) * rank
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    try:
        values = tuple(operator.index(v) for v in values)
    except TypeError:
        raise TypeError(f"conv{rank}d(): argument '{name}' must be tuple of ints, not {type(value).__name__}") from None
    if len(values) == 1:
        return values * rank
    if len(values) != rank:
        raise RuntimeError(
            f"expected {name} to be a single integer value or a list of {rank} values to match the convolution dimensions, "
            f"but got {name}={list(values)}"
        )
    return values


def _check_operands(name, rank, input, weight, bias):
    for label, t in (("input", input), ("weight", weight), ("bias", bias)):
        if not isinstance(t, Tensor) and not (t is None and label == "bias"):
            raise TypeError(f"{name}(): argument '{label}' must be Tensor, not {type(t).__name__}")
    a, w = input._a, weight._a
    if a.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(
            f"Expected {rank + 1}D (unbatched) or {rank + 2}D (batched) input to {name}, but got input of size: {list(a.shape)}"
        )
    if a.dtype is not w.dtype:
        raise RuntimeError(f"expected scalar type {a.dtype.scalar_name} but found {w.dtype.scalar_name}")
    if bias is not None and bias._a.dtype is not a.dtype:
        raise RuntimeError(f"Input type ({_cpp(a)}) and bias type ({_cpp(bias._a)}) should be the same")


def _cpp(a):
    from .matmul import _cpp as name

    return name(a.dtype)


def _check_geometry(weight, stride, padding, dilation, groups, transposed=False):
    """What does not depend on the input, in PyTorch's order."""
    w = weight._a
    if groups <= 0:
        raise RuntimeError("non-positive groups is not supported")
    if any(p < 0 for p in padding):
        raise RuntimeError("negative padding is not supported")
    if any(s <= 0 for s in stride):
        raise RuntimeError("non-positive stride is not supported")
    if any(d <= 0 for d in dilation):
        raise RuntimeError(f"dilation should be greater than zero, but got {list(dilation)}")
    if w.shape[0] < groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of "
                           f"size {list(w.shape)} instead")  # fmt: skip
    if w.shape[0] % groups:
        raise RuntimeError(f"Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight "
                           f"of size [{list(w.shape)}] instead")  # fmt: skip
    if any(k == 0 for k in w.shape[2:]):
        names = ("depth", "height", "width")[5 - w.ndim :]
        sizes = " ".join(f"kernel_{n}: {k}" for n, k in zip(names, w.shape[2:], strict=True))
        raise RuntimeError(f"kernel size should be greater than zero, but got {sizes}")


def _by(sizes):
    return " x ".join(map(str, sizes))


def _check_bias(bias, weight, channels, transposed=False):
    if bias is not None and bias._a.shape != (channels,):
        given = "Given transposed=1, weight" if transposed else "Given weight"
        raise RuntimeError(f"{given} of size {list(weight._a.shape)}, expected bias to be 1-dimensional with {channels} "
                           f"elements, but got bias of size {list(bias._a.shape)} instead")  # fmt: skip


# -- public functions --------------------------------------------------------------------------------------------------


def _same_padding(weight, stride, dilation):
    """Zeros before each dimension so that the output is as large as the input; an odd one goes after."""
    if any(s != 1 for s in stride):
        raise RuntimeError("padding='same' is not supported for strided convolutions")
    return tuple(d * (k - 1) // 2 for d, k in zip(dilation, weight._a.shape[2:], strict=True))


def _convolution(name, rank, input, weight, bias, stride, padding, dilation, groups):
    _check_operands(name, rank, input, weight, bias)
    a, w = input._a, weight._a
    kernel_rank = w.ndim - 2
    stride, dilation = _numbers(stride, "stride", kernel_rank), _numbers(dilation, "dilation", kernel_rank)
    if kernel_rank != rank:
        raise RuntimeError(
            f"expected stride to be a single integer value or a list of {kernel_rank} values to match the convolution "
            f"dimensions, but got stride={[1] * rank}"
        )
    same = padding == "same"
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise RuntimeError(f"Invalid padding string: '{padding}'")
        padding = _same_padding(weight, stride, dilation) if same else (0,) * rank
    else:
        padding = _numbers(padding, "padding", rank)
    _check_geometry(weight, stride, padding, dilation, groups)
    batched = a.ndim == rank + 2
    sizes, channels = a.shape[-rank:], a.shape[-rank - 1]
    if channels != w.shape[1] * groups:
        shown = list(a.shape) if batched else [1, *a.shape]
        raise RuntimeError(
            f"Given groups={groups}, weight of size {list(w.shape)}, expected input{shown} to have {w.shape[1] * groups} "
            f"channels, but got {channels} channels instead"
        )
    _check_bias(bias, weight, w.shape[0])
    if same:
        out = sizes
    else:
        reach = tuple(d * (k - 1) + 1 for d, k in zip(dilation, w.shape[2:], strict=True))
        padded = tuple(s + 2 * p for s, p in zip(sizes, padding, strict=True))
        if any(p < r for p, r in zip(padded, reach, strict=True)):
            raise RuntimeError(
                f"Calculated padded input size per channel: ({_by(padded)}). Kernel size: ({_by(reach)}). Kernel size can't be "
                "greater than actual input size"
            )
        out = tuple((p - r) // s + 1 for p, r, s in zip(padded, reach, stride, strict=True))
    return _run(_conv, input, weight, bias, batched, stride, padding, dilation, groups, out)


def _run(call, input, weight, bias, batched, stride, padding, dilation, groups, size):
    dtype = input._a.dtype
    if not dtype.is_floating_point:  # exact up to 2**53
        input, weight = input.to(_dtypes.float64), weight.to(_dtypes.float64)
        bias = None if bias is None else bias.to(_dtypes.float64)
    x = input if batched else input.unsqueeze(0)
    y = call(x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups, size=size)
    y = y if batched else y.squeeze(0)
    return y if dtype.is_floating_point else y.to(dtype)


def _make_conv(rank):
    name = f"conv{rank}d"

    def conv(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, dilation=1,
             groups: int = 1) -> Tensor:  # fmt: skip
        return _convolution(name, rank, input, weight, bias, stride, padding, dilation, groups)

    conv.__name__ = conv.__qualname__ = name
    sizes = ("(N, C, L)", "(N, C, H, W)", "(N, C, D, H, W)")[rank - 1]
    conv.__doc__ = f"""Cross-correlation of {sizes} with `weight` (out_channels, C / groups, *kernel), plus `bias`.

    Shape: the input may lack N. Each spatial size becomes (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1.
    Args: `padding` is an int, a tuple, "valid" (none) or "same" (output as large as the input, stride 1).
    Raises: RuntimeError if ranks, channels or dtypes do not match or the kernel is larger than the padded input.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{name}.html
    """
    return conv


conv1d, conv2d, conv3d = (lower_precision(_make_conv(rank)) for rank in (1, 2, 3))


def _check_transposed(input, weight, groups, shown):
    w = weight._a
    if shown[1] != w.shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(w.shape)}, expected input{shown} to have {w.shape[0]} channels, but got "
            f"{shown[1]} channels instead"
        )


def _check_output_padding(output_padding, stride, dilation):
    if any(p < 0 for p in output_padding):
        raise RuntimeError("negative output_padding is not supported")
    if any(p >= s and p >= d for p, s, d in zip(output_padding, stride, dilation, strict=True)):
        names = ("depth", "height", "width")[-max(2, len(stride)) :]
        full = [(1,) * (len(names) - len(v)) + tuple(v) for v in (stride, dilation)]
        padding = (0,) * (len(names) - len(stride)) + tuple(output_padding)
        parts = [f"{label}_{n}: {v}" for label, vs in (("output_padding", padding), ("stride", full[0]), ("dilation", full[1]))
                 for n, v in zip(names, vs, strict=True)]  # fmt: skip
        raise RuntimeError("output padding must be smaller than either stride or dilation, but got " + " ".join(parts))


def _transposed(name, rank, input, weight, bias, stride, padding, output_padding, groups, dilation):
    _check_operands(name, rank, input, weight, bias)
    a, w = input._a, weight._a
    stride, padding, dilation, output_padding = (
        _numbers(v, n, w.ndim - 2) for v, n in
        ((stride, "stride"), (padding, "padding"), (dilation, "dilation"), (output_padding, "output_padding")))  # fmt: skip
    if w.ndim - 2 != rank:
        raise RuntimeError(
            f"expected stride to be a single integer value or a list of {w.ndim - 2} values to match the convolution "
            f"dimensions, but got stride={[1] * rank}"
        )
    _check_geometry(weight, stride, padding, dilation, groups)
    batched = a.ndim == rank + 2
    _check_transposed(input, weight, groups, list(a.shape) if batched else [1, *a.shape])
    _check_bias(bias, weight, w.shape[1] * groups, transposed=True)
    _check_output_padding(output_padding, stride, dilation)
    size = tuple(
        (i - 1) * s - 2 * p + d * (k - 1) + o + 1
        for i, s, p, d, k, o in zip(a.shape[-rank:], stride, padding, dilation, w.shape[2:], output_padding, strict=True)
    )
    if any(s < 1 for s in size):
        raise RuntimeError(
            f"Given input size per channel: ({_by(a.shape[-rank:])}). Calculated output size per channel: ({_by(size)}). Output "
            "size is too small"
        )
    return _run(_conv_input, input, weight, bias, batched, stride, padding, dilation, groups, size)


def _make_transposed(rank):
    name = f"conv_transpose{rank}d"

    def conv(input: Tensor, weight: Tensor, bias: Tensor | None = None, stride=1, padding=0, output_padding=0, groups: int = 1,
             dilation=1) -> Tensor:  # fmt: skip
        return _transposed(name, rank, input, weight, bias, stride, padding, output_padding, groups, dilation)

    conv.__name__ = conv.__qualname__ = name
    conv.__doc__ = f"""The transpose of `conv{rank}d` in its input, plus `bias`; `weight` is (C, out_channels / groups, *kernel).

    Shape: each spatial size becomes (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1.
    Raises: RuntimeError if ranks, channels or dtypes do not match.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.{name}.html
    """
    return conv


conv_transpose1d, conv_transpose2d, conv_transpose3d = (lower_precision(_make_transposed(rank)) for rank in (1, 2, 3))


def conv_tbc(input: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """A one-dimensional convolution of sequences whose time comes first.

    Shape: input (T, B, C_in), weight (width, C_in, C_out), bias (C_out); result (T + 2 * pad - width + 1, B, C_out).
    Raises: RuntimeError for other shapes.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.conv_tbc.html
    """
    if not isinstance(bias, Tensor):
        raise TypeError(f"conv_tbc(): argument 'bias' (position 3) must be Tensor, not {type(bias).__name__}")
    x, w, b = input._a, weight._a, bias._a
    if x.ndim != 3:
        raise RuntimeError("Input must have 3 dims: time, batch, in_channel")
    if w.ndim != 3:
        raise RuntimeError("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.")
    if b.ndim != 1:
        raise RuntimeError("Bias must be 1-D")
    if x.shape[2] != w.shape[1]:
        raise RuntimeError("Input dim 2 (input channels) is not == dim 1 in the weight tensor")
    if b.shape[0] != w.shape[2]:
        raise RuntimeError("Bias size must equal dim 2 in the weight tensor (output channels).")
    if w.dtype is not x.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {x.dtype.scalar_name} and {w.dtype.scalar_name}")
    steps = x.shape[0] + 2 * pad - w.shape[0] + 1
    if steps <= 0:
        return input.new_zeros((max(0, steps), x.shape[1], w.shape[2]))
    by_channel = conv1d(input.permute(1, 2, 0), weight.permute(2, 1, 0), bias, padding=pad)
    return by_channel.permute(2, 0, 1)
