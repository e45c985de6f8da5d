"""Random tensors. For a seed every function draws the numbers that PyTorch draws on a CPU, in the same order."""

from __future__ import annotations

import operator

from .. import _check as check
from .. import _dtypes, _native, _recording
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig, method, underivable, write_out
from ._values import DEVIATIONS, SUMS, WEIGHTS, check_floats
from .creation import _like, _new
from .random_fill import DIGITS, _bernoulli_, _normal_, _number, _random_, _state
from .shape import broadcast_tensors

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
    "binomial",
]

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
    return 2 ** DIGITS[dtype.name] + 1 if dtype.is_floating_point else _dtypes.iinfo(dtype).max


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


def rand_like(input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """`rand` with the shape, dtype and memory layout of `input`."""
    t = _like(input, dtype, device, None, False, memory_format)
    K.random_uniform_into(t._a, _state(generator), 0.0, 1.0)
    return t.requires_grad_() if requires_grad else t


def randn_like(input, *, generator=None, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
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


@op(name="binomial", broadcasts=True)
def _binomial(count, prob, /, *, state):
    out = _native.empty(count.shape, count.dtype.code)
    K.random_binomial_into(out, state, contig(count), contig(prob))
    return out


_binomial.vjp(count=underivable("binomial: count"), prob=underivable("binomial: prob"))


def binomial(count: Tensor, prob: Tensor, generator=None) -> Tensor:
    """How many of `count` trials succeed, each with probability `prob`, as floating-point numbers.

    Raises: ValueError for integer counts, RuntimeError for two dtypes.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.binomial.html
    """
    for what, x in (("count", count), ("prob", prob)):
        if not x.is_floating_point():
            raise ValueError(f"binomial only supports floating-point dtypes for {what}, got: {x._a.dtype.scalar_name}")
    if count._a.dtype is not prob._a.dtype:
        raise RuntimeError(f"Found dtype {prob._a.dtype.scalar_name} but expected {count._a.dtype.scalar_name}")
    return _binomial(*broadcast_tensors(count, prob), state=_state(generator))


_gamma_grad = op(K.gamma_grad, name="standard_gamma_backward")
_gamma_grad.vjp(a=underivable("_standard_gamma_grad"), b=underivable("_standard_gamma_grad"))
_dirichlet_grad = op(K.dirichlet_grad, name="sample_dirichlet_backward")
_dirichlet_grad.vjp(**dict.fromkeys("abc", underivable("_dirichlet_grad: x")))


def _drawn(kernel, x, state):
    out = _native.empty(x.shape, x.dtype.code)
    kernel(out, state, contig(x))
    return out


@op(name="standard_gamma")
def _standard_gamma(concentration, /, *, state):
    return _drawn(K.random_gamma_into, concentration, state)


_standard_gamma.vjp(concentration=lambda g, concentration, out: g * _gamma_grad(concentration.contiguous(), out))


def standard_gamma(concentration: Tensor, generator=None) -> Tensor:
    """Gamma-distributed numbers of rate one. The gradient is that of a draw at a fixed quantile."""
    return _standard_gamma(concentration, state=_state(generator))


@op(name="sample_dirichlet")
def _sample_dirichlet(concentration, /, *, state):
    return _drawn(K.random_dirichlet_into, concentration, state)


@_sample_dirichlet.vjp
def _(g, concentration, out):
    total = concentration.sum(-1, True).expand(concentration._a.shape)
    slope = _dirichlet_grad(out, concentration.contiguous(), total.contiguous())
    return slope * (g - (out * g).sum(-1, True))


def sample_dirichlet(concentration: Tensor, generator=None) -> Tensor:
    """Rows of positive numbers with sum one, Dirichlet-distributed. The gradient is that of a draw at fixed quantiles."""
    return _sample_dirichlet(concentration, state=_state(generator))


def _normal_op(name, grad_name, inputs):
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

    call = op(forward, name=name, grad_name=grad_name, broadcasts=True)
    call.vjp(**dict.fromkeys(inputs, _zeros_like))
    return call


_normal_mean = _normal_op("normal_mean", "NormalBackward1", ("mean",))
_normal_std = _normal_op("normal_std", "NormalBackward2", ("std",))
_normal_both = _normal_op("normal_both", "NormalBackward3", ("mean", "std"))


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
        if std._a.dtype.is_floating_point:  # of others the kernel says that it does not take them
            check_floats(std, DEVIATIONS)
        t = _normal_both(mean, std, state=state) if isinstance(mean, Tensor) else _normal_std(float(mean), std, state=state)
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
    _recording.note(input)
    x = input.detach()
    state = _state(generator)
    if replacement and num_samples > 1:
        result = _native.empty((*a.shape[:-1], num_samples), _dtypes.int64.code)
        K.random_multinomial_into(result, state, a if a.contiguous else K.copy(x.contiguous()._a))
        return _deliver(_native.wrap(result), out, False)
    check_floats(x, WEIGHTS)
    check_floats(x.sum(-1), SUMS)
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
