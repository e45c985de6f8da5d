"""Convolution layers and their transposes, in one to three dimensions."""

from __future__ import annotations

import math

from ...ops import conv as ops
from ...ops.creation import empty
from ...ops.pad import pad
from .. import init
from ..parameter import Parameter, UninitializedParameter
from ._sizes import repeat
from .lazy import LazyModuleMixin
from .module import Module

__all__ = [
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d", "LazyConv1d", "LazyConv2d",
    "LazyConv3d", "LazyConvTranspose1d", "LazyConvTranspose2d", "LazyConvTranspose3d",
]  # fmt: skip

_MODES = ("zeros", "reflect", "replicate", "circular")


class _ConvNd(Module):
    """What all convolutions share: the checks, the attributes and the start of the parameters."""

    rank = 0
    transposed = False

    def _setup(self, in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias,
               padding_mode, device, dtype):  # fmt: skip
        Module.__init__(self)
        n = self.rank
        stride, dilation = repeat(stride, n), repeat(dilation, n)
        padding = padding if isinstance(padding, str) else repeat(padding, n)
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups:
            raise ValueError("out_channels must be divisible by groups")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of {{'same', 'valid'}}")
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in _MODES:
            raise ValueError(f"padding_mode must be one of {set(_MODES)}, but got padding_mode='{padding_mode}'")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding, self.dilation = repeat(kernel_size, n), stride, padding, dilation
        self.output_padding, self.groups, self.padding_mode = repeat(output_padding, n), groups, padding_mode
        self.weight = Parameter(empty(self._weight_shape(), device=device, dtype=dtype))
        if bias:
            self.bias = Parameter(empty(out_channels, device=device, dtype=dtype))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def _weight_shape(self):
        if self.transposed:
            return (self.in_channels, self.out_channels // self.groups, *self.kernel_size)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    def reset_parameters(self):
        """Weight and bias uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)]."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            if fan_in != 0:
                bound = 1 / math.sqrt(fan_in)
                init.uniform_(self.bias, -bound, bound)

    def extra_repr(self):
        s = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0,) * len(self.padding):
            s += f", padding={self.padding}"
        if self.dilation != (1,) * len(self.dilation):
            s += f", dilation={self.dilation}"
        if self.output_padding != (0,) * len(self.output_padding):
            s += f", output_padding={self.output_padding}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self.bias is None:
            s += ", bias=False"
        if self.padding_mode != "zeros":
            s += f", padding_mode={self.padding_mode}"
        return s


class _Conv(_ConvNd):
    function = None

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0, dilation=1, groups: int = 1,
                 bias: bool = True, padding_mode: str = "zeros", device=None, dtype=None):  # fmt: skip
        self._setup(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups, bias, padding_mode, device,
                    dtype)  # fmt: skip

    def _pads(self):
        """(before, after) of every spatial dimension, last dimension first."""
        if self.padding == "valid":
            pairs = [(0, 0)] * self.rank
        elif self.padding == "same":
            totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            pairs = [(t // 2, t - t // 2) for t in totals]
        else:
            pairs = [(p, p) for p in self.padding]
        return [n for pair in reversed(pairs) for n in pair]

    def _conv_forward(self, input, weight, bias):
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = pad(input, self._pads(), mode=self.padding_mode), 0
        return type(self).function(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input):
        return self._conv_forward(input, self.weight, self.bias)


_DOC = """Cross-correlation of {shape} with learned kernels, plus a bias per output channel.

    Shape: weight (out_channels, in_channels / groups, *kernel_size), bias (out_channels). Each spatial size becomes
    (size + 2 * padding - dilation * (kernel_size - 1) - 1) // stride + 1.
    Weight and bias start uniform on [-1/sqrt(fan_in), 1/sqrt(fan_in)], fan_in = in_channels / groups * kernel elements.
    Args: `padding` may be "same" or "valid"; `padding_mode` is "zeros", "reflect", "replicate" or "circular".
    Raises: ValueError if groups do not divide the channels.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.{name}.html
    """


class Conv1d(_Conv):
    __doc__ = _DOC.format(shape="(N, C, L)", name="Conv1d")
    rank = 1
    function = staticmethod(ops.conv1d)


class Conv2d(_Conv):
    __doc__ = _DOC.format(shape="(N, C, H, W)", name="Conv2d")
    rank = 2
    function = staticmethod(ops.conv2d)


class Conv3d(_Conv):
    __doc__ = _DOC.format(shape="(N, C, D, H, W)", name="Conv3d")
    rank = 3
    function = staticmethod(ops.conv3d)


class _ConvTranspose(_ConvNd):
    transposed = True
    function = None

    def __init__(self, in_channels: int, out_channels: int, kernel_size, stride=1, padding=0, output_padding=0, groups: int = 1,
                 bias: bool = True, dilation=1, padding_mode: str = "zeros", device=None, dtype=None):  # fmt: skip
        if padding_mode != "zeros":
            raise ValueError(f'Only "zeros" padding mode is supported for {type(self).__name__}')
        self._setup(in_channels, out_channels, kernel_size, stride, padding, dilation, output_padding, groups, bias, padding_mode,
                    device, dtype)  # fmt: skip

    def _output_padding(self, input, output_size):
        """The extra size on one side that gives `output_size`."""
        if output_size is None:
            return self.output_padding
        n = self.rank
        lead = 2 if input.ndim == n + 2 else 1
        size = list(output_size)
        size = size[lead:] if len(size) == lead + n else size
        if len(size) != n:
            raise ValueError(f"ConvTranspose{n}D: for {input.ndim}D input, output_size must have {n} or {lead + n} elements "
                             f"(got {len(size)})")  # fmt: skip
        low = [(i - 1) * s - 2 * p + d * (k - 1) + 1 for i, s, p, d, k in
               zip(input.shape[lead:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True)]  # fmt: skip
        high = [m + s - 1 for m, s in zip(low, self.stride, strict=True)]
        if any(not a <= s <= b for a, s, b in zip(low, size, high, strict=True)):
            raise ValueError(f"requested an output size of {output_size}, but valid sizes range from {low} to {high} (for an "
                             f"input of {input.shape[2:]})")  # fmt: skip
        return tuple(s - a for s, a in zip(size, low, strict=True))

    def forward(self, input, output_size=None):
        padding = self._output_padding(input, output_size)
        return type(self).function(input, self.weight, self.bias, self.stride, self.padding, padding, self.groups, self.dilation)


_TRANSPOSED_DOC = """The transpose of `Conv{rank}d` in its input, with a bias per output channel.

    Shape: weight (in_channels, out_channels / groups, *kernel_size), bias (out_channels). Each spatial size becomes
    (size - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.ConvTranspose{rank}d.html
    """


class ConvTranspose1d(_ConvTranspose):
    __doc__ = _TRANSPOSED_DOC.format(rank=1)
    rank = 1
    function = staticmethod(ops.conv_transpose1d)


class ConvTranspose2d(_ConvTranspose):
    __doc__ = _TRANSPOSED_DOC.format(rank=2)
    rank = 2
    function = staticmethod(ops.conv_transpose2d)


class ConvTranspose3d(_ConvTranspose):
    __doc__ = _TRANSPOSED_DOC.format(rank=3)
    rank = 3
    function = staticmethod(ops.conv_transpose3d)


class _LazyConv(LazyModuleMixin):
    """Takes `in_channels` from the first input's channel dimension."""

    def __init__(self, out_channels, *args, bias: bool = True, device=None, dtype=None, **kwargs):
        super().__init__(0, 0, *args, bias=False, device=device, dtype=dtype, **kwargs)
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()

    def initialize_parameters(self, input, *args, **kwargs):
        if not self.has_uninitialized_params():
            return
        if input.ndim not in (self.rank + 1, self.rank + 2):
            raise RuntimeError(f"Expected {self.rank + 1}D (unbatched) or {self.rank + 2}D (batched) input to "
                               f"{type(self).__name__}, but got input of size: {input.shape}")  # fmt: skip
        self.in_channels = input.shape[-self.rank - 1]
        if self.in_channels % self.groups:
            raise ValueError("in_channels must be divisible by groups")
        with init.no_grad():
            self.weight.materialize(self._weight_shape())
            if self.bias is not None:
                self.bias.materialize((self.out_channels,))
            self.reset_parameters()


class LazyConv1d(_LazyConv, Conv1d):
    """`Conv1d` that takes `in_channels` from its first input."""

    cls_to_become = Conv1d


class LazyConv2d(_LazyConv, Conv2d):
    """`Conv2d` that takes `in_channels` from its first input."""

    cls_to_become = Conv2d


class LazyConv3d(_LazyConv, Conv3d):
    """`Conv3d` that takes `in_channels` from its first input."""

    cls_to_become = Conv3d


class LazyConvTranspose1d(_LazyConv, ConvTranspose1d):
    """`ConvTranspose1d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, ConvTranspose2d):
    """`ConvTranspose2d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, ConvTranspose3d):
    """`ConvTranspose3d` that takes `in_channels` from its first input."""

    cls_to_become = ConvTranspose3d
