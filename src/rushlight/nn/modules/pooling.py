"""Pooling layers."""

from __future__ import annotations

from ...ops import fractional_pool, pool
from ._sizes import repeat
from .module import Module

__all__ = [
    "MaxPool1d", "MaxPool2d", "MaxPool3d", "MaxUnpool1d", "MaxUnpool2d", "MaxUnpool3d", "AvgPool1d", "AvgPool2d", "AvgPool3d",
    "LPPool1d", "LPPool2d", "LPPool3d", "AdaptiveMaxPool1d", "AdaptiveMaxPool2d", "AdaptiveMaxPool3d", "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d", "AdaptiveAvgPool3d", "FractionalMaxPool2d", "FractionalMaxPool3d",
]  # fmt: skip


class _MaxPool(Module):
    function = None

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices: bool = False, ceil_mode: bool = False):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def extra_repr(self):
        return (f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
                f"ceil_mode={self.ceil_mode}")  # fmt: skip

    def forward(self, input):
        return type(self).function(input, self.kernel_size, self.stride, self.padding, self.dilation, ceil_mode=self.ceil_mode,
                                   return_indices=self.return_indices)  # fmt: skip


class _MaxUnpool(Module):
    rank = 0
    function = None

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.kernel_size = repeat(kernel_size, self.rank)
        self.stride = repeat(kernel_size if stride is None else stride, self.rank)
        self.padding = repeat(padding, self.rank)

    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"

    def forward(self, input, indices, output_size=None):
        return type(self).function(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _AvgPool(Module):
    def extra_repr(self):
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool1d(_AvgPool):
    """Means over windows of the last dimension.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.AvgPool1d.html
    """

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True):
        super().__init__()
        self.kernel_size = repeat(kernel_size, 1)
        self.stride = repeat(kernel_size if stride is None else stride, 1)
        self.padding = repeat(padding, 1)
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, input):
        return pool.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)


class _AvgPoolNd(_AvgPool):
    function = None

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode: bool = False, count_include_pad: bool = True,
                 divisor_override: int | None = None):  # fmt: skip
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input):
        return type(self).function(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad,
                                   self.divisor_override)  # fmt: skip


class _LPPool(Module):
    function = None

    def __init__(self, norm_type: float, kernel_size, stride=None, ceil_mode: bool = False):
        super().__init__()
        self.norm_type, self.kernel_size, self.stride, self.ceil_mode = norm_type, kernel_size, stride, ceil_mode

    def extra_repr(self):
        return (f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
                f"ceil_mode={self.ceil_mode}")  # fmt: skip

    def forward(self, input):
        return type(self).function(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class _AdaptiveMaxPool(Module):
    function = None

    def __init__(self, output_size, return_indices: bool = False):
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def extra_repr(self):
        return f"output_size={self.output_size}"

    def forward(self, input):
        return type(self).function(input, self.output_size, self.return_indices)


class _AdaptiveAvgPool(Module):
    function = None

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def extra_repr(self):
        return f"output_size={self.output_size}"

    def forward(self, input):
        return type(self).function(input, self.output_size)


def _family(base, name, function, what, ranks=(1, 2, 3)):
    """The layers of one family: `base` with the function of each rank."""
    made = []
    for rank in ranks:
        title = f"{name}{rank}d"
        doc = (f"{what}, over the last {rank} dimension(s).\n\n    Reference: "
               f"https://docs.pytorch.org/docs/stable/generated/torch.nn.{title}.html\n    ")  # fmt: skip
        members = dict(__doc__=doc, __module__=__name__, __qualname__=title, rank=rank,
                       function=staticmethod(getattr(pool, f"{function}{rank}d")))  # fmt: skip
        made.append(type(title, (base,), members))
    return made


MaxPool1d, MaxPool2d, MaxPool3d = _family(_MaxPool, "MaxPool", "max_pool", "Maxima over windows")
MaxUnpool1d, MaxUnpool2d, MaxUnpool3d = _family(_MaxUnpool, "MaxUnpool", "max_unpool", "The inverse of max pooling")
AvgPool2d, AvgPool3d = _family(_AvgPoolNd, "AvgPool", "avg_pool", "Means over windows", (2, 3))
LPPool1d, LPPool2d, LPPool3d = _family(_LPPool, "LPPool", "lp_pool", "Power means over windows")
AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d = _family(
    _AdaptiveMaxPool, "AdaptiveMaxPool", "adaptive_max_pool", "Maxima over `output_size` windows that cover the input evenly")
AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d = _family(
    _AdaptiveAvgPool, "AdaptiveAvgPool", "adaptive_avg_pool", "Means over `output_size` windows that cover the input evenly")


class _FractionalMaxPool(Module):
    rank = 0
    function = None

    def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices: bool = False, _random_samples=None):
        super().__init__()
        self.kernel_size = repeat(kernel_size, self.rank)
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)
        self.output_size = None if output_size is None else repeat(output_size, self.rank)
        self.output_ratio = None if output_ratio is None else repeat(output_ratio, self.rank)
        if output_size is None and output_ratio is None:
            raise ValueError(f"FractionalMaxPool{self.rank}d requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        if self.output_ratio is not None and not all(0 < r < 1 for r in self.output_ratio[: self.rank]):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input):
        return type(self).function(input, self.kernel_size, self.output_size, self.output_ratio, self.return_indices,
                                   _random_samples=self._random_samples)  # fmt: skip


class FractionalMaxPool2d(_FractionalMaxPool):
    """Maxima over windows of the last two dimensions, whose distances are drawn at random.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool2d.html
    """

    rank = 2
    function = staticmethod(fractional_pool.fractional_max_pool2d)


class FractionalMaxPool3d(_FractionalMaxPool):
    """Maxima over windows of the last three dimensions, whose distances are drawn at random.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.FractionalMaxPool3d.html
    """

    rank = 3
    function = staticmethod(fractional_pool.fractional_max_pool3d)

    def __init__(self, kernel_size, *args, **kwargs):
        if any(k <= 0 for k in repeat(kernel_size, 3)):
            raise ValueError(f"kernel_size must be greater than 0, but got {kernel_size}")
        super().__init__(kernel_size, *args, **kwargs)
