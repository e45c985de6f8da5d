"""A tensor's repr is PyTorch's, byte for byte."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import rushlight
from rushlight.autograd import printing

INF, NAN = math.inf, math.nan
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")


@pytest.fixture(autouse=True)
def _default_options():
    yield
    printing.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def same(make, *, options=None):
    """Both libraries print `make(library)` alike."""
    if options is not None:
        printing.set_printoptions(**options)
        torch.set_printoptions(**options)
    assert repr(make(rushlight)) == repr(make(torch))


VALUES = [
    1, 1.0, -1, 0, 0.0, -0.0, 0.5, INF, -INF, NAN, True, 1e-5, 1e8, 1e9, 123456789, 1e-45, 1e308, 16777217,
    [], [[]], [[], []], [1], [1.0], [1.5], [0.0], [-0.0], [0.0, -0.0], [1.0, -0.0], [1.5, -0.0],
    [1, 2, 3], [-1, 20, 300], [True, False], [[True], [False]],
    [1.0, INF], [1.0, NAN], [INF], [NAN, -INF], [1.5, INF, -INF], [1e10, INF, NAN, -0.0], [123456.0, -INF],
    [1.0, 1000.0], [1.0, 1001.0], [1.0, 1000.5], [0.0001, 0.1], [0.00009, 0.01], [0.1, 99999.0], [1e8],
    [1.1e8], [-1e8, 3.0],
    [1e-310, 1e308], [0.1, 0.25, 100.0], [0.12345678, 1.0], [[1.0, 2.5], [3.25, -1e-3]], [[[1]], [[2]]],
    [[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.5]]], list(range(40)), [x / 7 for x in range(60)],
    [[x * y for x in range(30)] for y in range(3)], [127], [-128, 5], [0, 0, 0], [0.1] * 9, [65504.0, 1e-4],
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda v: str(v)[:40])
def test_value(value):
    """Numbers and nested lists print alike, in the dtype that `tensor` infers."""
    same(lambda T: T.tensor(value))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [3, [], [[]], [1, 0, 5], [[1, 100], [20, 3]], list(range(70))], ids=str)
def test_dtype(value, dtype):
    """Every dtype prints alike, with `dtype=` where PyTorch writes it."""
    same(lambda T: T.tensor(value, dtype=getattr(T, dtype)))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("value", [[0.1, 0.2], [1.0, INF, NAN], [6e4, 1e-3], [0.333, 2.0]], ids=str)
def test_half(value, dtype):
    """Half types print the values they hold, not the ones they were made from."""
    same(lambda T: T.tensor(value, dtype=getattr(T, dtype)))


SHAPES = [(0,), (0, 3), (3, 0), (2, 0, 4), (1,), (1, 1), (1, 1, 1), (1001,), (1000,), (7, 200), (200, 7), (2, 3, 400),
          (8, 8, 20), (7, 7, 7, 7), (1200, 1), (1, 1200), (6, 200)]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "int64", "bool"])
def test_shape(shape, dtype):
    """Shapes break lines and are summarised alike."""
    values = np.arange(math.prod(shape)).reshape(shape)
    values = values / 8 if dtype == "float32" else values
    same(lambda T: T.tensor(values.tolist(), dtype=getattr(T, dtype)).reshape(shape))


def test_layouts():
    """Transposed, expanded and sliced views print their elements in their own order."""
    same(lambda T: T.arange(12.0).reshape(3, 4).t())
    same(lambda T: T.arange(12.0).as_strided((3, 2), (4, 2), 1))
    same(lambda T: T.tensor([1.5]).expand(4))
    same(lambda T: T.arange(2000.0).reshape(50, 40).t())


def test_history():
    """A leaf says `requires_grad=True`, a result names its node."""
    leaf = lambda T: T.tensor([1.0, 2.0], requires_grad=True)  # noqa: E731
    same(leaf)
    same(lambda T: leaf(T) + 1)
    same(lambda T: (leaf(T) * 2).sum())
    same(lambda T: leaf(T).exp().detach())
    same(lambda T: T.tensor([], requires_grad=True) + 1)
    same(lambda T: T.tensor([x / 3 for x in range(24)], requires_grad=True) * 1.0)
    same(lambda T: T.tensor([x / 3 for x in range(24)], dtype=T.float64, requires_grad=True) * 1.0)


@pytest.mark.parametrize("n", range(1, 30))
def test_line_end(n):
    """Suffixes go to a new line at the same column as in PyTorch."""
    same(lambda T: T.tensor([x / 3 for x in range(n)], dtype=T.float64, requires_grad=True))


OPTIONS = [
    dict(precision=2), dict(precision=0), dict(precision=10), dict(threshold=3), dict(threshold=3, edgeitems=1),
    dict(threshold=3, edgeitems=0), dict(linewidth=20), dict(linewidth=1), dict(sci_mode=True), dict(sci_mode=False),
    dict(profile="short"), dict(profile="full"), dict(profile="short", precision=6),
]  # fmt: skip


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    """`set_printoptions` has PyTorch's effect on vectors, matrices, numbers and empty tensors."""
    for value in (1.5, 100000.0, [], [x / 7 for x in range(20)], [float(x) for x in range(20)], list(range(20)),
                  [[x + y / 9 for x in range(9)] for y in range(9)], [[[1, 2], [3, 4]]] * 4, [1e-9, 1.0]):  # fmt: skip
        same(lambda T, value=value: T.tensor(value), options=options)
    assert printing.get_printoptions() == torch._tensor_str.get_printoptions()


def test_printoptions_context():
    """Inside the block the options hold, after it the old ones are back."""
    with printing.printoptions(precision=1):
        assert repr(rushlight.tensor([0.25])) == "tensor([0.2])"
    assert repr(rushlight.tensor([0.25])) == "tensor([0.2500])"


def test_default_dtype():
    """`dtype=` is left out for the default floating-point dtype of the moment."""
    rushlight.set_default_dtype(rushlight.float64)
    torch.set_default_dtype(torch.float64)
    try:
        same(lambda T: T.tensor([1.5]))
        same(lambda T: T.tensor([1.5], dtype=T.float32))
        same(lambda T: T.tensor([]))
    finally:
        rushlight.set_default_dtype(rushlight.float32)
        torch.set_default_dtype(torch.float32)


def test_subclass_name():
    """A subclass prints under its own name."""
    from rushlight import _native

    class Image(rushlight.Tensor):
        pass

    class TorchImage(torch.Tensor):
        pass

    TorchImage.__name__ = "Image"
    ours = _native.wrap_as(Image, rushlight.tensor([[1.5, 2.0], [3.0, 4.0]])._a)
    assert repr(ours) == repr(torch.tensor([[1.5, 2.0], [3.0, 4.0]]).as_subclass(TorchImage))


def test_parameter():
    """A Parameter prints under its own heading, alone and inside containers."""
    same(lambda T: T.nn.Parameter(T.arange(6.0).reshape(2, 3)))
    same(lambda T: T.nn.Parameter(T.arange(3), requires_grad=False))
    same(lambda T: [T.nn.Parameter(T.ones(2)), T.nn.Parameter(T.ones(2)) * 2])


def test_formatting():
    """f-strings and format() on numbers and larger tensors give PyTorch's text."""
    for T in (rushlight, torch):
        assert f"{T.tensor(1.23456):.2f} {T.tensor(3)}" == "1.23 3"
    assert f"{rushlight.tensor([1.5])}" == f"{torch.tensor([1.5])}" == str(rushlight.tensor([1.5]))
    for T in (rushlight, torch):
        with pytest.raises(TypeError, match=r"unsupported format string passed to Tensor.__format__"):
            format(T.ones(2), ".2f")


FLOATS = st.one_of(
    st.floats(width=32),
    st.integers(-10, 10).map(float),
    st.floats(-1000, 1000, width=32),
    st.sampled_from([0.0, -0.0, INF]),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_random(data):
    """Any tensor under any options prints alike."""
    shape = data.draw(st.lists(st.integers(0, 5), max_size=4))
    dtype = data.draw(st.sampled_from(DTYPES))
    element = FLOATS if "float" in dtype else st.integers(0, 1) if dtype == "bool" else st.integers(-128, 127)
    element = st.integers(0, 255) if dtype == "uint8" else element
    values = data.draw(st.lists(element, min_size=math.prod(shape), max_size=math.prod(shape)))
    options = data.draw(st.fixed_dictionaries({}, optional=dict(
        precision=st.integers(0, 8), threshold=st.integers(0, 60), edgeitems=st.integers(0, 3),
        linewidth=st.integers(10, 120), sci_mode=st.booleans())))  # fmt: skip
    printing.set_printoptions(profile="default")
    torch.set_printoptions(profile="default")
    same(lambda T: T.tensor(values, dtype=getattr(T, dtype)).reshape(shape), options=options)
