"""Tensor methods that fill a tensor with random numbers in place: `uniform_`, `normal_`, `random_` and the others."""

from __future__ import annotations

import math
import operator
import warnings

from .. import _dtypes, _native, _recording
from .._kernels import K
from .._random import Generator, default_generator
from ..autograd.inplace import apply_inplace, check_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import tensor_method

__all__ = []

DIGITS = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}
_C_NAMES = {
    "float32": "float",
    "float64": "double",
    "float16": "c10::Half",
    "bfloat16": "c10::BFloat16",
    "int8": "signed char",
    "int16": "short",
    "int32": "int",
    "int64": "long",
    "uint8": "unsigned char",
    "bool": "bool",
}
_OVERLAP = (
    "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please "
    "clone() the tensor before performing the operation."
)


def _state(generator):
    if generator is None:
        return _recording.note_array(default_generator._state)
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be Generator, not {type(generator).__name__}")
    return _recording.note_array(generator._state)


def _number(x):
    """A number as PyTorch prints it in a message: 2, not 2.0."""
    return f"{x:g}"


def _filler(name, grad_name):
    """An op that replaces all values of its input; the gradient of what was there is zero."""

    @op(name=name, grad_name=grad_name)
    def redraw(x, /):
        raise RuntimeError(f"{name} exists in place only")

    redraw.vjp(x=lambda g: g.new_zeros(g._a.shape))

    def fill(self, kernel, generator, *args):
        state = _state(generator)
        _recording.note(self)
        a = self._a
        if not a.contiguous and any(s == 0 and n > 1 for s, n in zip(a.strides, a.shape, strict=True)):
            raise RuntimeError(_OVERLAP)
        if self.requires_grad and _native.is_grad_enabled():
            return apply_inplace(redraw, self, into=lambda out, _: kernel(out, state, *args))
        check_inplace(self)
        kernel(a, state, *args)
        return self

    return fill


_fill_uniform = _filler("uniform_", "UniformBackward0")
_fill_normal = _filler("normal_", "NormalBackward0")
_fill_random = _filler("random_", "RandomBackward0")
_fill_random_to = _filler("random_to_", "RandomBackward1")
_fill_random_all = _filler("random_all_", "RandomBackward2")
_fill_bernoulli_tensor = _filler("bernoulli_tensor_", "BernoulliBackward1")
_fill_bernoulli = _filler("bernoulli_", "BernoulliBackward2")
_fill_exponential = _filler("exponential_", "ExponentialBackward0")
_fill_cauchy = _filler("cauchy_", "CauchyBackward0")
_fill_log_normal = _filler("log_normal_", "LogNormalBackward0")
_fill_geometric = _filler("geometric_", "GeometricBackward0")


def _uniform_(self, from_=0, to=1, *, generator=None, **kwargs):
    """Fills the tensor with numbers uniform in [from, to). Returns self.

    Raises: RuntimeError if from > to, NotImplementedError for integer dtypes.
    """
    low, high = float(kwargs.pop("from", from_)), float(to)
    _no_more("uniform_", kwargs)
    dtype = self._a.dtype
    if dtype.is_floating_point:
        limit = _dtypes.finfo(dtype).max
        for label, v in (("from", low), ("to", high)):
            if not -limit <= v <= limit:
                raise RuntimeError(f"{label} is out of bounds for {_C_NAMES[dtype.name]}")
        if not low <= high:
            raise RuntimeError(
                f"uniform_ expects to return a [from, to) range, but found from={_number(low)} > to={_number(high)}"
            )
        if high - low > limit:
            raise RuntimeError(
                f"uniform_ expects to-from <= std::numeric_limits<{dtype.scalar_name}>::max(), but found "
                f"to={_number(high)} and from={_number(low)} which result in to-from to exceed the limit"
            )
    return _fill_uniform(self, K.random_uniform_into, generator, low, high)


def _no_more(name, kwargs):
    if kwargs:
        raise TypeError(f"{name}() got an unexpected keyword argument '{next(iter(kwargs))}'")


def _normal_(self, mean=0, std=1, *, generator=None):
    """Fills the tensor with normally distributed numbers. Returns self.

    Raises: RuntimeError if std < 0, NotImplementedError for integer dtypes.
    """
    mean, std = float(mean), float(std)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {_number(std)}")
    return _fill_normal(self, K.random_normal_into, generator, mean, std)


def _check_bounds(low, last, dtype):
    """Raises, or warns, where a range of integers does not fit the dtype."""
    if dtype.is_floating_point:
        limit = _dtypes.finfo(dtype).max
        bounds = (-limit, limit)
    else:
        bounds = (0, 1) if dtype is _dtypes.bool_ else (_dtypes.iinfo(dtype).min, _dtypes.iinfo(dtype).max)
    for label, v in (("from", low), ("to - 1", last)):
        if not bounds[0] <= v <= bounds[1]:
            raise RuntimeError(f"{label} is out of bounds for {_C_NAMES[dtype.name]}")
    if dtype.is_floating_point:
        digits = DIGITS[dtype.name]
        for label, v in (("from", low), ("to - 1", last)):
            if not -(2**digits) <= v <= 2**digits:
                warnings.warn(
                    f"{label} is out of bounds [-(2^{digits}), 2^{digits}]. Due to precision limitations "
                    f"{_C_NAMES[dtype.name]} can support discrete uniform distribution only within this range. This "
                    "warning will become an error in version 1.7 release, please fix the code in advance",
                    UserWarning,
                    stacklevel=4,
                )


def _rounded(value, dtype):
    """An integer as the dtype represents it; the value itself where that is infinite (the bounds check will tell)."""
    a = _native.empty((), dtype.code)
    K.fill_into(a, float(value))
    rounded = a.item()
    return int(rounded) if math.isfinite(rounded) else value


def _inner_bounds(low, high, dtype):
    """The range [low, high), shrunk to where every value, once rounded to the dtype, lies inside it."""
    digits = DIGITS[dtype.name]
    after = _rounded(low + 1, dtype)
    if after < low:
        low = after + (1 << (abs(low + 1).bit_length() - digits))
    before = _rounded(high - 1, dtype)
    if before >= high:
        high = before - (1 << (abs(high - 1).bit_length() - digits))
    return low, high


_UNSET = object()


def _random_(self, from_=None, to=_UNSET, *, generator=None, **kwargs):
    """Fills the tensor with integers from [from, to); from 0 if one number is given, all the dtype can hold if none.

    Raises: RuntimeError for an empty range and for bounds outside the dtype.
    """
    explicit = "from" in kwargs or to is not _UNSET
    to = None if to is _UNSET else to
    low = kwargs.pop("from", from_)
    _no_more("random_", kwargs)
    dtype = self._a.dtype
    if low is None and to is None:
        return _fill_random_all(self, K.random_any_integer_into, generator)
    fill = _fill_random
    if not explicit:
        low, to, fill = 0, low, _fill_random_to
    low = operator.index(low) if low is not None else 0
    if to is None:
        if low == -(2**63):
            return fill(self, K.random_integers_into, generator, 0, 0)
        last = 2 ** DIGITS[dtype.name] if dtype.is_floating_point else 1 if dtype is _dtypes.bool_ else _dtypes.iinfo(dtype).max
        high = last + 1
    else:
        high = operator.index(to)
        if not low < high:
            raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
        if dtype.is_floating_point:
            low, high = _inner_bounds(low, high, dtype)
            if not low < high:
                raise RuntimeError(
                    "random_ expects 'from' casted to dtype to be less than 'to' casted to dtype, but got "
                    f"from={low} >= to={high}"
                )
    _check_bounds(low, high - 1, dtype)
    span = high - low
    return fill(self, K.random_integers_into, generator, low, span - 2**64 if span >= 2**63 else span)


def _bernoulli_(self, p=0.5, *, generator=None):
    """Fills the tensor with ones with probability p (a number, or a tensor of one probability per element), else zeros.

    Raises: RuntimeError for probabilities outside [0, 1].
    """
    if isinstance(p, Tensor):
        prob = p.detach().expand(self._a.shape)._a
        return _fill_bernoulli_tensor(self, _bernoulli_tensor_into, generator, prob)
    p = float(p)
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={_number(p)}")
    return _fill_bernoulli(self, K.random_bernoulli_into, generator, p, 1.0)


def _bernoulli_tensor_into(out, state, prob):
    K.random_bernoulli_tensor_into(out, state, prob)


def _exponential_(self, lambd=1, *, generator=None):
    """Fills the tensor with numbers of density lambd exp(-lambd x). Returns self."""
    lambd = float(lambd)
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={_number(lambd)}")
    if not self._a.dtype.is_floating_point:
        raise RuntimeError(
            "Exponential distribution is a continuous probability distribution. dtype must be a "
            f"floating point but you specified {self._a.dtype.scalar_name}"
        )
    return _fill_exponential(self, K.random_exponential_into, generator, lambd)


def _cauchy_(self, median=0, sigma=1, *, generator=None):
    """Fills the tensor from a Cauchy distribution. Returns self."""
    sigma = float(sigma)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={_number(sigma)}")
    if not self._a.dtype.is_floating_point:
        name = {"int64": "long int", "int16": "short int"}.get(self._a.dtype.name, _C_NAMES[self._a.dtype.name])
        raise RuntimeError(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating "
            f"point but you specified {name}"
        )
    return _fill_cauchy(self, K.random_cauchy_into, generator, float(median), sigma)


def _log_normal_(self, mean=1, std=2, *, generator=None):
    """Fills the tensor with exp of normally distributed numbers. Returns self."""
    mean, std = float(mean), float(std)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={_number(std)}")
    return _fill_log_normal(self, K.random_log_normal_into, generator, mean, std)


def _geometric_(self, p, *, generator=None):
    """Fills the tensor with the number of trials until one of probability p succeeds. Returns self."""
    p = float(p)
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={_number(p)}")
    return _fill_geometric(self, K.random_geometric_into, generator, p)


for _name, _function in (
    ("uniform_", _uniform_),
    ("normal_", _normal_),
    ("random_", _random_),
    ("bernoulli_", _bernoulli_),
    ("exponential_", _exponential_),
    ("cauchy_", _cauchy_),
    ("log_normal_", _log_normal_),
    ("geometric_", _geometric_),
):
    _function.__name__ = _function.__qualname__ = _name
    tensor_method(_name, _function)
