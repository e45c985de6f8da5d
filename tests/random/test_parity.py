"""The same seed gives PyTorch's numbers, bit for bit, and leaves the generator in PyTorch's state."""

import numpy as np
import pytest
import torch

import rushlight as rl

SIZES = (0, 1, 2, 15, 16, 17, 31, 100, 1000, 100003)
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTS = ("int64", "int32", "int16", "int8", "uint8")
BOTH = (torch, rl)


def bits(t):
    """The tensor's bytes, whatever its dtype and layout."""
    t = t.detach().contiguous()
    if "bfloat16" in str(t.dtype):
        t = t.to(torch.float32 if isinstance(t, torch.Tensor) else rl.float32)
    return t.numpy()


def assert_equal(got, want):
    g, w = bits(got), bits(want)
    assert str(got.dtype) == str(want.dtype)
    assert g.shape == w.shape
    if not np.array_equal(g, w, equal_nan=True):
        at = np.flatnonzero(g.ravel() != w.ravel())
        raise AssertionError(
            f"{at.size} of {g.size} differ, first at {at[0]}: {g.ravel()[at[:3]]} and {w.ravel()[at[:3]]}"
        )


def check(fn, seed=1234):
    """fn(T) on both libraries from one seed: same results and same state after."""
    results = []
    for T in BOTH:
        T.manual_seed(seed)
        results.append(fn(T))
    want, got = results
    for g, w in zip(
        got if isinstance(got, (list, tuple)) else [got],
        want if isinstance(want, (list, tuple)) else [want],
        strict=True,
    ):
        assert_equal(g, w)
    assert np.array_equal(rl.get_rng_state().numpy(), torch.get_rng_state().numpy()), "the generators' states differ"


def uses_vendor_streams():
    """True where this PyTorch draws bernoulli_ and exponential_ from MKL (Intel CPUs) and not from its generator."""
    torch.manual_seed(0)
    torch.empty(100).bernoulli_(0.5)
    after = torch.get_rng_state().clone()
    torch.manual_seed(0)
    torch.empty(100, dtype=torch.float64).uniform_()
    return not torch.equal(after, torch.get_rng_state())


vendor = pytest.mark.skipif(
    uses_vendor_streams(), reason="PyTorch takes these numbers from MKL's own stream on Intel CPUs"
)


@pytest.mark.parametrize("seed", [0, 1, 42, 2**31, 2**40 + 5, 2**63 - 1, -1, -(2**63)])
def test_seeding(seed):
    """manual_seed accepts what PyTorch's accepts; initial_seed and the whole state agree."""
    torch.manual_seed(seed)
    rl.manual_seed(seed)
    assert rl.initial_seed() == torch.initial_seed()
    assert np.array_equal(rl.get_rng_state().numpy(), torch.get_rng_state().numpy())


def test_default_seed():
    """A generator nobody seeded starts from PyTorch's default seed."""
    assert rl.Generator().initial_seed() == torch.Generator().initial_seed()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("fn", ["rand", "randn"])
def test_rand_randn(fn, dtype, n):
    """rand and randn agree for sizes on both sides of every special case."""
    check(lambda T: getattr(T, fn)(n, dtype=getattr(T, dtype)))


@pytest.mark.parametrize("n", [1, 15, 100, 1000])
@pytest.mark.parametrize("dtype", FLOATS)
def test_uniform_and_normal_parameters(dtype, n):
    """from/to and mean/std enter the arithmetic as in PyTorch."""
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).uniform_(-0.3, 1.7))
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).uniform_(1e-3, 1.1e-3))
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).normal_(0.37, 1.93))
    check(lambda T: T.normal(-1.5, 0.02, (n,), dtype=getattr(T, dtype)))


@pytest.mark.parametrize("n", [1, 100, 10007])
@pytest.mark.parametrize("dtype", INTS + FLOATS)
def test_random_integers(dtype, n):
    """random_ with no, one and two bounds."""
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).random_())
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).random_(100))
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).random_(3, 100))


@pytest.mark.parametrize("span", [2**20, 2**28 - 1, 2**28, 2**31, 2**32, 2**40, 2**62])
def test_wide_ranges(span):
    """Ranges that take 64 random bits do so from the same width on."""
    check(lambda T: T.randint(span, (50,)))
    check(lambda T: T.randint(-5, span, (50,)))
    if span <= 2**31:
        check(lambda T: T.empty(50, dtype=T.int32).random_(0, span))
        check(lambda T: T.randint(-(2**31), span - 2**31, (50,), dtype=T.int32))


def test_full_range():
    """random_ over all int64 values and from a lower bound up."""
    check(lambda T: T.empty(20, dtype=T.int64).random_(-(2**63), None))
    check(lambda T: T.empty(20, dtype=T.int64).random_(5, None))
    check(lambda T: T.empty(20, dtype=T.int64).random_(-(2**63), 2**63 - 1))
    check(lambda T: T.empty(20, dtype=T.uint8).random_(250, None))
    check(lambda T: T.empty(20).random_(5, None))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "float32"])
def test_random_bool_and_randint_dtypes(dtype):
    """bool takes one bit; randint takes a dtype."""
    check(lambda T: T.empty(100, dtype=getattr(T, dtype)).random_())
    check(lambda T: T.randint(0, 2, (100,), dtype=getattr(T, dtype)))


@pytest.mark.parametrize("n", [0, 1, 2, 10, 1000, 100003])
def test_randperm(n):
    """randperm is the same shuffle in every dtype that can hold it."""
    check(lambda T: T.randperm(n))
    check(lambda T: T.randperm(n, dtype=T.int32))
    if n < 2000:
        check(lambda T: T.randperm(n, dtype=T.float32))
        check(lambda T: T.randperm(n, dtype=T.float16))
    if n < 200:
        check(lambda T: T.randperm(n, dtype=T.uint8))


@vendor
@pytest.mark.parametrize("n", [1, 17, 1000, 10007])
@pytest.mark.parametrize("dtype", FLOATS + INTS + ("bool",))
def test_bernoulli_number(dtype, n):
    """bernoulli_ with one probability."""
    for p in (0.0, 0.25, 0.5, 1 / 3, 0.9, 1.0):
        check(lambda T, p=p: T.empty(n, dtype=getattr(T, dtype)).bernoulli_(p))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("out", ["float32", "float64", "int64", "bool"])
def test_bernoulli_tensor(out, dtype):
    """bernoulli_ with a tensor of probabilities, broadcast; torch.bernoulli of probabilities."""
    p = torch.linspace(0, 1, 101).to(torch.float64)

    def probabilities(T):
        return (p if T is torch else rl.from_numpy(p.numpy().copy())).to(getattr(T, dtype))

    if dtype in ("float32", "float64"):
        check(lambda T: T.empty(5, 101, dtype=getattr(T, out)).bernoulli_(probabilities(T)))
    check(lambda T: T.bernoulli(probabilities(T)))


@vendor
@pytest.mark.parametrize("n", [1, 100, 10007])
@pytest.mark.parametrize("dtype", FLOATS)
def test_exponential(dtype, n):
    """exponential_ with its default rate and another."""
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).exponential_())
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).exponential_(0.37))


@pytest.mark.parametrize("n", [1, 100, 10007])
@pytest.mark.parametrize("dtype", FLOATS)
def test_other_distributions(dtype, n):
    """cauchy_, log_normal_, geometric_ and poisson."""
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).cauchy_())
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).cauchy_(0.3, 1.7))
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).log_normal_())
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).log_normal_(0.1, 0.7))
    check(lambda T: T.empty(n, dtype=getattr(T, dtype)).geometric_(0.3))
    for rate in (0.0, 0.5, 9.5, 10.0, 123.4):
        check(lambda T, rate=rate: T.poisson(T.full((n,), rate, dtype=getattr(T, dtype))))


def test_geometric_integers():
    """geometric_ fills integer tensors too."""
    check(lambda T: T.empty(100, dtype=T.int64).geometric_(0.1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7,), (4, 50)])
def test_multinomial_with_replacement(shape, dtype):
    """Rows of weights that need not sum to one."""
    weights = np.random.default_rng(0).uniform(0, 3, shape).astype(dtype)
    weights[..., 2] = 0
    check(lambda T: T.multinomial(T.from_numpy(weights), 200, replacement=True))


@vendor
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(7,), (4, 50)])
def test_multinomial_without_replacement(shape, dtype):
    """One sample, some, and (nearly) all of the categories."""
    weights = np.random.default_rng(0).uniform(0.1, 3, shape).astype(dtype)
    for k in (1, 3, shape[-1]):
        check(lambda T, k=k: T.multinomial(T.from_numpy(weights), k))
    check(lambda T: T.multinomial(T.from_numpy(weights), 1, replacement=True))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("method", ["uniform_", "normal_", "random_", "log_normal_", "bernoulli_"])
def test_strided_outputs(method, dtype):
    """Outputs that are not contiguous are filled in PyTorch's order: along memory."""
    if method == "bernoulli_" and uses_vendor_streams():
        pytest.skip("PyTorch takes these numbers from MKL's own stream on Intel CPUs")
    shapes = [
        lambda T, d: T.zeros(6, 8, dtype=d).t(),
        lambda T, d: T.zeros(3, 4, 5, dtype=d).permute(2, 0, 1),
        lambda T, d: T.zeros(20, 30, dtype=d).as_strided((10, 10), (60, 2), 1),
        lambda T, d: T.zeros(20, 30, dtype=d).as_strided((10, 10), (2, 60), 3),
        lambda T, d: T.zeros(3, 2, 4, 4, dtype=d).permute(0, 2, 3, 1),
    ]
    for make in shapes:
        check(lambda T, make=make: getattr(make(T, getattr(T, dtype)), method)())


def test_like_functions():
    """rand_like, randn_like and randint_like keep the layout and fill along memory."""
    for make in (
        lambda T: T.zeros(40, 3),
        lambda T: T.zeros(5, 7, 3).permute(2, 0, 1),
        lambda T: T.zeros(4, 4, dtype=T.float64),
    ):
        check(lambda T, make=make: T.rand_like(make(T)))
        check(lambda T, make=make: T.randn_like(make(T)))
        check(lambda T, make=make: T.randint_like(make(T), 3, 17))


def test_normal_of_tensors():
    """torch.normal with a tensor mean, a tensor std, or both, broadcast."""
    check(lambda T: T.normal(T.arange(20).to(T.float32), 0.5))
    check(lambda T: T.normal(0.5, T.arange(20).to(T.float32)))
    check(lambda T: T.normal(T.arange(20).to(T.float32).reshape(20, 1), T.ones(3)))
    check(lambda T: T.normal(mean=T.arange(1.0, 11.0), std=T.arange(1.0, 0.0, -0.1)))


@vendor
def test_sequences():
    """A long mixture of calls never falls out of step."""

    def run(T):
        out = []
        for k in range(40):
            out += [
                T.randn(k % 19),
                T.rand(k * 3 + 1),
                T.randperm(k),
                T.randn(3, dtype=T.float64),
                T.randint(0, 10, (k,)),
                T.empty(k + 1).bernoulli_(0.3),
                T.randn(1),
                T.empty(7).exponential_(),
                T.randn(33, k),
            ]
        return out

    check(run)


def test_state_to_torch_and_back():
    """A state moves between the libraries mid-stream, with half a normal pair waiting in it."""
    rl.manual_seed(7)
    rl.randn(3), rl.rand(701)
    torch.set_rng_state(torch.from_numpy(rl.get_rng_state().numpy().copy()))
    assert_equal(rl.randn(5), torch.randn(5))
    torch.rand(100), torch.randn(1)
    rl.set_rng_state(rl.from_numpy(torch.get_rng_state().numpy().copy()))
    assert_equal(rl.randn(3), torch.randn(3))
    assert_equal(rl.rand(1000), torch.rand(1000))


def test_generator_argument():
    """generator= draws from that generator and leaves the default one alone."""
    rl.manual_seed(0)
    before = rl.get_rng_state().numpy().copy()
    g, t = rl.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    assert_equal(rl.rand(3, generator=g), torch.rand(3, generator=t))
    assert_equal(rl.randn(40, generator=g), torch.randn(40, generator=t))
    assert_equal(rl.randperm(9, generator=g), torch.randperm(9, generator=t))
    assert_equal(rl.randint(5, (4,), generator=g), torch.randint(5, (4,), generator=t))
    assert_equal(rl.empty(3).normal_(generator=g), torch.empty(3).normal_(generator=t))
    assert_equal(
        rl.multinomial(rl.ones(4), 3, True, generator=g), torch.multinomial(torch.ones(4), 3, True, generator=t)
    )
    assert np.array_equal(before, rl.get_rng_state().numpy())


@vendor
def test_bernoulli_mask():
    """Dropout's mask is noise.bernoulli_(p).div_(p)."""
    from rushlight.ops.random import bernoulli_mask

    for dtype in FLOATS:
        for p in (0.5, 0.9, 0.3):
            torch.manual_seed(3)
            rl.manual_seed(3)
            want = torch.empty(1001, dtype=getattr(torch, dtype)).bernoulli_(p).div_(p)
            got = rl._native.wrap(bernoulli_mask((1001,), getattr(rl, dtype), p))
            assert_equal(got, want)


def test_replay_reads_the_state_anew():
    """A recorded draw goes on from the state of the moment when it is replayed."""
    from rushlight import _native

    rl.manual_seed(1)
    a = rl.empty(20)
    recorder = _native.Recorder()
    recorder.start()
    try:
        a.normal_()
    finally:
        recorder.stop()
    torch.manual_seed(1)
    assert_equal(a, torch.empty(20).normal_())
    recorder.replay()
    assert_equal(a, torch.empty(20).normal_())
    rl.manual_seed(9)
    torch.manual_seed(9)
    recorder.replay()
    assert_equal(a, torch.empty(20).normal_())
