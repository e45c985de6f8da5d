"""Other names, and in-place forms, of operations that are defined elsewhere; small functions made of others."""

from __future__ import annotations

import math

from .. import _native
from ..autograd.tensor import Tensor
from . import matmul, special  # noqa: F401 - methods that get other names below
from ._declare import method, tensor_method, unary
from .creation import arange, triu_indices
from .norms import vector_norm_of
from .pointwise import acosh, asinh, atan2, atanh, exp2, log2, maximum, where
from .shape import cat, split, tensor_split, vstack

__all__ = [
    "arccosh", "arcsinh", "arctanh", "arctan2", "hsplit", "vsplit", "dsplit", "split_with_sizes", "column_stack", "row_stack",
    "narrow_copy", "unravel_index", "logaddexp2", "erfinv", "detach", "fill", "pdist", "hann_window", "hamming_window",
    "blackman_window", "bartlett_window",
]  # fmt: skip

# -- functions ------------------------------------------------------------------------------------------------------------

erfinv = unary(
    "erfinv", lambda g, out: g * (math.sqrt(math.pi) / 2) * (out * out).exp(), "The inverse of the error function."
)


@method(out=True)
def logaddexp2(input: Tensor, other: Tensor) -> Tensor:
    """log2(2 ** input + 2 ** other), without overflow."""
    high = maximum(input, other).detach()
    high = where(high.isfinite(), high, 0.0)
    return high + log2(exp2(input - high) + exp2(other - high))


def detach(input: Tensor) -> Tensor:
    """The same values and memory, without history."""
    return input.detach()


def fill(input: Tensor, value) -> Tensor:
    """A tensor of the same shape and dtype, filled with one number or 0-d tensor."""
    return input.clone().fill_(value)


@method
def split_with_sizes(input: Tensor, split_sizes, dim: int = 0) -> tuple[Tensor, ...]:
    """`split` with a list of sizes."""
    return split(input, list(split_sizes), dim)


def _splitter(name, least, dim_of, doc):
    def function(input, indices_or_sections):
        if input._a.ndim < least:
            raise RuntimeError(
                f"torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {input._a.ndim} "
                "dimensions!"
            )
        d = dim_of(input._a.ndim)
        n, size = indices_or_sections, input._a.shape[d]
        if isinstance(n, int) and (n == 0 or size % n):
            raise RuntimeError(
                f"torch.{name} attempted to split along dimension {d}, but the size of the dimension {size} is not divisible by "
                f"the split_size {n}!"
            )
        return tensor_split(input, n, d)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return method(function)


hsplit = _splitter(
    "hsplit", 1, lambda n: 0 if n == 1 else 1, "Parts side by side: along the second dimension, or the only one."
)
vsplit = _splitter("vsplit", 2, lambda n: 0, "Parts on top of each other: along the first dimension.")
dsplit = _splitter("dsplit", 3, lambda n: 2, "Parts in depth: along the third dimension.")


def column_stack(tensors) -> Tensor:
    """Vectors as columns, and matrices, joined side by side."""
    return cat([x.reshape(-1, 1) if x._a.ndim <= 1 else x for x in tensors], 1)


@method
def narrow_copy(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """A copy of `narrow`."""
    return input.narrow(dim, start, length).clone()


def unravel_index(indices: Tensor, shape) -> tuple[Tensor, ...]:
    """Positions in a flattened tensor of this shape as one tensor of coordinates per dimension."""
    out = []
    for s in reversed((shape,) if isinstance(shape, int) else tuple(shape)):
        out.append(indices % s)
        indices = indices // s
    return tuple(out[::-1])


def pdist(input: Tensor, p: float = 2) -> Tensor:
    """The p-norm distances between all pairs of rows, in the order of `combinations`."""
    n = input._a.shape[0]
    first, second = triu_indices(n, n, 1)
    return vector_norm_of(input[first] - input[second], p, -1)


def _window(name, formula, doc):
    def function(window_length, periodic=True, *, dtype=None, device=None, layout=None, requires_grad=False):
        dtype = dtype or _native.default_dtype()
        n = window_length + 1 if periodic and window_length > 1 else window_length
        t = arange(window_length, dtype=dtype)
        out = t + 1 if window_length <= 1 else formula(t * (2 * math.pi / (n - 1)), t * (2.0 / (n - 1)))
        return out.requires_grad_(requires_grad)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc
    return function


hann_window = _window("hann_window", lambda a, t: 0.5 - 0.5 * a.cos(), "Hann's window, (1 - cos) / 2.")
hamming_window = _window("hamming_window", lambda a, t: 0.54 - 0.46 * a.cos(), "Hamming's window.")
blackman_window = _window(
    "blackman_window", lambda a, t: 0.42 - 0.5 * a.cos() + 0.08 * (2 * a).cos(), "Blackman's window."
)
bartlett_window = _window("bartlett_window", lambda a, t: where(t <= 1, t, 2 - t), "Bartlett's window, a triangle.")


def _fill_diagonal_(self, fill_value, wrap=False):
    """Every element with equal coordinates set to a number. In place; returns self."""
    if self._a.ndim < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self._a.ndim == 2:
        self.diagonal().fill_(fill_value)
        if wrap and self._a.shape[0] > self._a.shape[1]:
            rows, cols = self._a.shape
            for start in range(cols + 1, rows, cols + 1):
                self[start:].diagonal().fill_(fill_value)
        return self
    if len(set(self._a.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    n = self._a.shape[0]
    self.as_strided((n,), (sum(self._a.strides),), self._a.offset).fill_(fill_value)
    return self


def _apply_(self, callable):
    """Each element replaced by callable(element). In place; slow. Returns self."""
    if self.requires_grad:
        raise RuntimeError("Can't call apply_() on Variable that requires grad. Use var.detach().apply_() instead.")
    flat = [callable(v) for v in self.reshape(-1).tolist()]
    return self.copy_(self.new_tensor(flat).reshape(self._a.shape))


def _map_(self, tensor, callable):
    """Each element replaced by callable(element, element of tensor). In place; slow. Returns self."""
    pairs = zip(self.reshape(-1).tolist(), tensor.expand(self._a.shape).reshape(-1).tolist(), strict=True)
    return self.copy_(self.new_tensor([callable(a, b) for a, b in pairs]).reshape(self._a.shape))


tensor_method("fill_diagonal_", _fill_diagonal_)
tensor_method("apply_", _apply_)
tensor_method("mH", Tensor.mT)
tensor_method("map_", _map_)

# -- other names -------------------------------------------------------------------------------------------------------------

arccosh, arcsinh, arctanh, arctan2, row_stack = acosh, asinh, atanh, atan2, vstack
for _alias, _name in {
    "arccosh": "acosh", "arcsinh": "asinh", "arctanh": "atanh", "arctan2": "atan2", "ger": "outer", "positive": "__pos__",
    "absolute_": "abs_", "arccos_": "acos_", "arccosh_": "acosh_", "arcsin_": "asin_", "arcsinh_": "asinh_", "arctan_": "atan_",
    "arctan2_": "atan2_", "arctanh_": "atanh_", "fix_": "trunc_", "negative_": "neg_", "not_equal_": "ne_", "less_": "lt_",
    "less_equal_": "le_", "greater_": "gt_", "greater_equal_": "ge_", "swapaxes_": "transpose_", "swapdims_": "transpose_",
}.items():  # fmt: skip
    tensor_method(_alias, getattr(Tensor, _name))


def _inplace_of(name):
    function = getattr(Tensor, name)

    def method_(self, *args, **kwargs):
        # On a copy: the history may need the old values.
        return self.copy_(function(self.clone(), *args, **kwargs))

    method_.__name__ = method_.__qualname__ = name + "_"
    method_.__doc__ = f"`{name}`, in place; returns self."
    return method_


for _name in ("addbmm", "addmm", "addmv", "addr", "baddbmm", "deg2rad", "rad2deg", "float_power", "frac", "ldexp", "logit",
              "mvlgamma", "polygamma", "nan_to_num", "renorm"):  # fmt: skip
    tensor_method(_name + "_", _inplace_of(_name))

# PyTorch also has the in-place forms of functions of one tensor at the top level: torch.exp_(x).
for _name in ("abs acos acosh asin asinh atan atanh ceil clamp clamp_max clamp_min clip cos cosh deg2rad erf erfc erfinv exp "
              "exp2 expm1 floor frac log log10 log1p log2 logit nan_to_num neg negative rad2deg reciprocal round rsqrt sigmoid "
              "sin sinc sinh sqrt square tan tanh trunc xlogy zero fill detach gcd lcm ldexp").split():  # fmt: skip
    globals()[_name + "_"] = getattr(Tensor, _name + "_")
    __all__.append(_name + "_")
