"""Random tensors. For a seed every function draws the numbers that PyTorch draws on a CPU, in the same order."""

from __future__ import annotations

import math
import operator
import warnings

from .. import _check as check
from .. import _dtypes, _native
from .._kernels import K
from .._random import Generator, default_generator
from ..autograd.inplace import apply_inplace, check_inplace
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import method, tensor_method, write_out
from .creation import _like, _new

__all__ = [
    "rand",
    "randn",
    "randint",
    "randperm",
    "rand_like",
    "randn_like",
    "randint_like",
    "normal",
    "bernoulli",
    "multinomial",
    "poisson",
    "bernoulli_mask",
]

_DIGITS = {"float32": 24, "float64": 53, "float16": 11, "bfloat16": 8}
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
        return default_generator._state
    if not isinstance(generator, Generator):
        raise TypeError(f"argument 'generator' must be Generator, not {type(generator).__name__}")
    return generator._state


def _number(x):
    """A number as PyTorch prints it in a message: 2, not 2.0."""
    return f"{x:g}"


# -- filling a tensor in place ---------------------------------------------------------------------------------------


def _filler(name, grad_name, zero_draw=None):
    """An op that replaces all values of its input; the gradient of what was there is zero."""

    @op(name=name, grad_name=grad_name)
    def redraw(x, /):
        raise RuntimeError(f"{name} exists in place only")

    redraw.vjp(x=lambda g: g.new_zeros(g._a.shape))

    def fill(self, kernel, generator, *args):
        state = _state(generator)
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
        digits = _DIGITS[dtype.name]
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
    digits = _DIGITS[dtype.name]
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
        last = (
            2 ** _DIGITS[dtype.name]
            if dtype.is_floating_point
            else 1
            if dtype is _dtypes.bool_
            else _dtypes.iinfo(dtype).max
        )
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


# -- new tensors -----------------------------------------------------------------------------------------------------


def _size(args, size):
    if size is not None:
        args = (size,)
    shape = check.shape_args(args)
    if any(n < 0 for n in shape):
        wrong = next(n for n in shape if n < 0)
        raise RuntimeError(f"Trying to create tensor with negative dimension {wrong}: {list(shape)}")
    return shape


def _deliver(t, out, requires_grad):
    if out is not None:
        return write_out(out, t)
    return t.requires_grad_() if requires_grad else t


def rand(
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
) -> Tensor:
    """Uniform numbers in [0, 1): 24 random bits in float32, 53 in float64.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.rand.html
    """
    if not args and size is None:
        raise TypeError("rand() received an invalid combination of arguments - got (), but expected a size")
    if out is not None and dtype is None:
        dtype = out._a.dtype
    a = _new(_size(args, size), dtype, device, False, layout)
    K.random_uniform_into(a, _state(generator), 0.0, 1.0)
    return _deliver(_native.wrap(a), out, requires_grad)


def randn(
    *args,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
) -> Tensor:
    """Standard normal numbers, by Box and Muller's method.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.randn.html
    """
    if not args and size is None:
        raise TypeError("randn() received an invalid combination of arguments - got (), but expected a size")
    if out is not None and dtype is None:
        dtype = out._a.dtype
    a = _new(_size(args, size), dtype, device, False, layout)
    K.random_normal_into(a, _state(generator), 0.0, 1.0)
    return _deliver(_native.wrap(a), out, requires_grad)


def _low_high_size(args, low, high, size):
    """The arguments of randint: (high, size) or (low, high, size), any of them by name."""
    args = list(args)
    if args and isinstance(args[-1], (tuple, list)) and size is None:
        size = args.pop()
    if len(args) == 2 and low is None and high is None:
        low, high = args
    elif len(args) == 1 and high is None:
        (high,) = args
    elif len(args) == 1 and low is None:
        (low,) = args
    elif args:
        if size is None:
            raise TypeError(f"randint(): argument 'size' (position {len(args)}) must be tuple of ints, not int")
        raise TypeError("randint() received an invalid combination of arguments")
    if high is None:
        raise TypeError("randint() received an invalid combination of arguments - got no 'high'")
    if size is None:
        if low is not None:
            raise TypeError("randint(): argument 'size' (position 2) must be tuple of ints, not int")
        raise TypeError("randint() received an invalid combination of arguments - got (int), but expected a size")
    for v in (low, high):
        if v is not None and operator.index(v) >= 2**63:
            raise ValueError("Overflow when unpacking long long")
    return 0 if low is None else operator.index(low), operator.index(high), size


def randint(
    *args,
    low=None,
    high=None,
    size=None,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
) -> Tensor:
    """Integers in [low, high); `randint(high, size)` or `randint(low, high, size)`. int64 unless `dtype` is given.

    Raises: RuntimeError for an empty range or bounds outside the dtype.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.randint.html
    """
    low, high, size = _low_high_size(args, low, high, size)
    dtype = dtype or (out._a.dtype if out is not None else _dtypes.int64)
    t = _native.wrap(_new(_size((), size), dtype, device, False, layout))
    _random_(t, low, high, generator=generator)
    return _deliver(t, out, requires_grad)


def _max_n(dtype):
    return 2 ** _DIGITS[dtype.name] + 1 if dtype.is_floating_point else _dtypes.iinfo(dtype).max


def randperm(
    n, *, generator=None, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False
) -> Tensor:
    """A random order of 0, …, n - 1.

    Raises: RuntimeError for negative n, or more than the dtype can count.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.randperm.html
    """
    if isinstance(n, float) or not hasattr(n, "__index__"):
        raise TypeError(f"randperm(): argument 'n' (position 1) must be int, not {type(n).__name__}")
    n = operator.index(n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    dtype = dtype or (out._a.dtype if out is not None else _dtypes.int64)
    if dtype is _dtypes.bool_:
        raise NotImplementedError("\"randperm\" not implemented for 'Bool'")
    if n > _max_n(dtype):
        if dtype.is_floating_point:
            raise RuntimeError(f"n cannot be greater than {_max_n(dtype)} for {dtype.scalar_name} type.")
        raise RuntimeError(f"value cannot be converted to type {dtype.name}_t without overflow")
    a = _new((n,), dtype, device, False, layout)
    K.random_permutation_into(a, _state(generator))
    return _deliver(_native.wrap(a), out, requires_grad)


def rand_like(
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
) -> Tensor:
    """`rand` with the shape, dtype and memory layout of `input`."""
    t = _like(input, dtype, device, None, False, memory_format)
    K.random_uniform_into(t._a, _state(generator), 0.0, 1.0)
    return t.requires_grad_() if requires_grad else t


def randn_like(
    input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None
) -> Tensor:
    """`randn` with the shape, dtype and memory layout of `input`."""
    t = _like(input, dtype, device, None, False, memory_format)
    K.random_normal_into(t._a, _state(generator), 0.0, 1.0)
    return t.requires_grad_() if requires_grad else t


def randint_like(
    input,
    low=None,
    high=None,
    *,
    generator=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    memory_format=None,
) -> Tensor:
    """`randint` with the shape, dtype and memory layout of `input`."""
    if high is None:
        low, high = 0, low
    t = _like(input, dtype, device, None, False, memory_format)
    _random_(t, int(low or 0), int(high), generator=generator)
    return t.requires_grad_() if requires_grad else t


# -- distributions whose parameters are tensors ----------------------------------------------------------------------


def _zeros_like(g):
    return g.new_zeros(g._a.shape)


@op(grad_name="BernoulliBackward0")
def _bernoulli(p, /, *, state):
    out = _native.empty(p.shape, p.dtype.code)
    K.random_bernoulli_tensor_into(out, state, p)
    return out


_bernoulli.vjp(p=_zeros_like)


@method
def bernoulli(input: Tensor, p=None, *, generator=None, out=None) -> Tensor:
    """Ones with the probabilities in `input` (or with probability `p`), else zeros.

    Raises: RuntimeError for probabilities outside [0, 1].
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.bernoulli.html
    """
    if p is not None:
        t = _native.wrap(_native.empty(input._a.shape, input._a.dtype.code))
        return _deliver(_bernoulli_(t, p, generator=generator), out, False)
    return _deliver(_bernoulli(input, state=_state(generator)), out, False)


@op(name="poisson")
def _poisson(rate, /, *, state):
    out = _native.empty(rate.shape, rate.dtype.code)
    K.random_poisson_into(out, state, rate)
    return out


_poisson.vjp(rate=_zeros_like)


def poisson(input: Tensor, generator=None) -> Tensor:
    """Poisson-distributed counts with the rates in `input`.

    Raises: RuntimeError for negative rates, NotImplementedError for integer dtypes.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.poisson.html
    """
    return _poisson(input, state=_state(generator))


def _normal_op(grad_name, inputs):
    def forward(mean, std, /, *, state):
        tensors = [x for x in (mean, std) if not isinstance(x, float)]
        shape = K.add(mean, std).shape if len(tensors) == 2 else tensors[0].shape
        out = _native.empty(shape, tensors[0].dtype.code)
        if isinstance(std, float):
            K.random_normal_into(out, state, 0.0, std)
        else:
            K.random_normal_into(out, state, 0.0, 1.0)
            K.mul_into(out, out, std)
        K.add_into(out, out, mean)
        return out

    call = op(forward, name=grad_name, grad_name=grad_name, broadcasts=True)
    call.vjp(**dict.fromkeys(inputs, _zeros_like))
    return call


_normal_mean = _normal_op("NormalBackward1", ("mean",))
_normal_std = _normal_op("NormalBackward2", ("std",))
_normal_both = _normal_op("NormalBackward3", ("mean", "std"))


def normal(
    mean=0.0,
    std=1.0,
    size=None,
    *,
    generator=None,
    out=None,
    dtype=None,
    layout=None,
    device=None,
    requires_grad=False,
    pin_memory=False,
) -> Tensor:
    """Normal numbers: with one mean or std per element (tensors), or with numbers and a `size`.

    Raises: RuntimeError for a negative std.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.normal.html
    """
    if size is not None:
        a = _native.wrap(_new(_size((), size), dtype, device, False, layout))
        return _deliver(_normal_(a, mean, std, generator=generator), out, requires_grad)
    state = _state(generator)
    if isinstance(std, Tensor):
        if std._a.numel and not std._a.dtype.is_floating_point:
            pass  # the kernel says what it does not take
        elif std._a.numel and float(std.detach().min().item()) < 0:
            raise RuntimeError("normal expects all elements of std >= 0.0")
        t = (
            _normal_both(mean, std, state=state)
            if isinstance(mean, Tensor)
            else _normal_std(float(mean), std, state=state)
        )
    elif isinstance(mean, Tensor):
        if not float(std) >= 0:
            raise RuntimeError(f"normal expects std >= 0.0, but found std {_number(std)}")
        t = _normal_mean(mean, float(std), state=state)
    else:
        raise TypeError(
            "normal() received an invalid combination of arguments - got "
            f"({type(mean).__name__}, {type(std).__name__}), but expected a tensor mean, a tensor std, or a size"
        )
    return _deliver(t, out, False)


_INVALID_PROBABILITIES = "probability tensor contains either `inf`, `nan` or element < 0"


@method
def multinomial(input: Tensor, num_samples: int, replacement: bool = False, *, generator=None, out=None) -> Tensor:
    """Category numbers drawn with the weights in each row of `input`; the weights need not sum to one.

    Shape: (n,) or (m, n) to (num_samples,) or (m, num_samples), int64.
    Raises: RuntimeError for weights that are negative, not finite or all zero, and for too many samples.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.multinomial.html
    """
    a = input._a
    if not 0 < a.ndim <= 2:
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not a.dtype.is_floating_point:
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {a.dtype.scalar_name}")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > a.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")
    if a.shape[-1] > 2**24:
        raise RuntimeError("number of categories cannot exceed 2^24")
    x = input.detach()
    state = _state(generator)
    if replacement and num_samples > 1:
        result = _native.empty((*a.shape[:-1], num_samples), _dtypes.int64.code)
        K.random_multinomial_into(result, state, a if a.contiguous else K.copy(x.contiguous()._a))
        return _deliver(_native.wrap(result), out, False)
    if a.numel and not (x.max().item() < float("inf") and x.min().item() >= 0):
        raise RuntimeError(_INVALID_PROBABILITIES)
    if a.numel and bool((x.sum(-1) == 0).any().item()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    # argmax of p / q with q exponential is a draw from p, and the runners-up are draws without replacement.
    q = _like(x, None, None, None, False)
    K.random_exponential_into(q._a, state, 1.0)
    K.div_into(q._a, a, q._a)
    picks = q.argmax(-1, keepdim=True) if num_samples == 1 else q.topk(num_samples, dim=-1)[1]
    return _deliver(picks, out, False)


def bernoulli_mask(shape, dtype, p_keep: float, generator=None):
    """Dropout's mask as an array: 1 / p_keep with probability p_keep, else 0.

    The draws are those of `noise.bernoulli_(p_keep).div_(p_keep)`, in one pass over the output. `shape` may be a tensor
    whose memory layout the mask takes (the draws go in memory's order).
    """
    a = _like(shape, dtype, None, None, False)._a if isinstance(shape, Tensor) else _native.empty(shape, dtype.code)
    K.random_bernoulli_into(a, _state(generator), p_keep, p_keep)
    return a
