"""What a table row is, and how one is checked against PyTorch.

A row names an expression on tensors that both libraries understand, and makes inputs for it:

    Row("add", lambda T, a, b: T.add(a, b), lambda r: (r(3, 4), r(4)))

`r(*shape)` draws floats from a normal distribution, `r.positive`, `r.unit` (0 to 1), `r.integers(low, high, *shape)` and
`r.bools` draw others; inputs that are not tensors are passed on. Every row is run as it is and with all inputs laid out
in another order in memory; forward values, dtype and shape must agree, and so must gradients (for rows with
`grad=True`) of the first and, with `second=True`, the second order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

import rushlight

FLOATS = ("float32", "float64")
INTS = ("int64", "int32", "uint8")
HALFS = ("bfloat16", "float16")

# torch.testing's defaults; float32 sums of many terms need a little more.
TOLERANCE = {
    "float64": dict(rtol=1e-7, atol=1e-7),
    "float32": dict(rtol=1.3e-5, atol=1e-5),
    "float16": dict(rtol=2e-3, atol=2e-3),
    "bfloat16": dict(rtol=1.6e-2, atol=1.6e-2),
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One case. `op` names the op it belongs to (every op must have a row); `label` tells cases of one op apart."""

    op: str
    fn: Callable
    inputs: Callable
    label: str = ""
    dtypes: tuple[str, ...] = FLOATS
    grad: bool = True
    second: bool = True
    rtol: float | None = None
    atol: float | None = None
    layouts: bool = True  # also run with non-contiguous inputs
    seed: int = 0
    inplace: str | None = None  # the method that does the same in place to the first input
    out: str | None = None  # the function that does the same into `out=`

    @property
    def id(self):
        return f"{self.op}-{self.label}" if self.label else self.op


@dataclasses.dataclass(frozen=True)
class ErrorRow:
    """A call that must raise what PyTorch raises: the same type, and the same first line unless `match` says otherwise."""

    op: str
    fn: Callable
    label: str = ""
    match: str | None = None
    error: type[Exception] | None = None

    @property
    def id(self):
        return f"{self.op}-{self.label}" if self.label else self.op


class Draw:
    """Makes inputs as NumPy arrays of one dtype, the same for both libraries."""

    def __init__(self, dtype, seed):
        self.dtype = dtype
        self.rng = np.random.default_rng(seed)

    def _cast(self, x):
        return Typed(np.asarray(x), self.dtype)

    def __call__(self, *shape):
        if self.dtype in FLOATS + HALFS:
            return self._cast(self.rng.standard_normal(shape))
        if self.dtype == "bool":
            return self._cast(self.rng.integers(0, 2, shape))
        return self._cast(self.rng.integers(0 if self.dtype == "uint8" else -5, 9, shape))

    def positive(self, *shape):
        return self._cast(self.rng.uniform(0.1, 3.0, shape) if "float" in self.dtype else self.rng.integers(1, 9, shape))

    def unit(self, *shape):
        return self._cast(self.rng.uniform(0.01, 0.99, shape))

    def uniform(self, low, high, *shape):
        return self._cast(self.rng.uniform(low, high, shape))

    def distinct(self, *shape):
        """Values no two of which are equal, so that orderings have one answer."""
        n = int(np.prod(shape))
        return self._cast(self.rng.permutation(n).reshape(shape) / max(1, n) * 4 - 2 if "float" in self.dtype
                          else self.rng.permutation(n).reshape(shape) % 200)  # fmt: skip

    def integers(self, low, high, *shape):
        return Typed(self.rng.integers(low, high, shape), "int64", grad=False)

    def bools(self, *shape):
        return Typed(self.rng.integers(0, 2, shape), "bool", grad=False)

    def zeros(self, *shape):
        return self._cast(np.zeros(shape))

    def values(self, data):
        return self._cast(np.asarray(data, dtype=float))

    def fixed(self, data, dtype="int64"):
        return Typed(np.asarray(data), dtype, grad=False)


@dataclasses.dataclass(frozen=True)
class Typed:
    array: np.ndarray
    dtype: str
    grad: bool = True


def build(T, value, *, permuted=False, grad=False):
    """A library's tensor for one drawn input."""
    if isinstance(value, (list, tuple)):
        return type(value)(build(T, v, permuted=permuted, grad=grad) for v in value)
    if not isinstance(value, Typed):
        return value
    array = np.array(value.array, dtype=np.float64 if "float" in value.dtype else value.array.dtype)
    t = T.from_numpy(array.copy()).to(getattr(T, value.dtype))
    if permuted and t.dim() >= 1:
        # The same values, reversed order of dimensions in memory, every second element used.
        dims = list(range(t.dim()))[::-1]
        wide = T.zeros([2 * t.shape[d] for d in dims], dtype=t.dtype)
        target = wide[tuple(slice(None, None, 2) for _ in dims)].permute(dims)
        target.copy_(t)
        t = target
    if grad and value.grad and "float" in value.dtype:
        t = t.detach()
        t.requires_grad_()
    return t


def flat(x):
    if isinstance(x, (list, tuple)):
        return [y for v in x for y in flat(v)]
    return [x]


def to_numpy(x):
    if isinstance(x, torch.Tensor):
        x = x.detach()
        return x.to(torch.float32).numpy() if x.dtype == torch.bfloat16 else x.numpy()
    x = x.detach()
    return x.to(rushlight.float32).numpy() if x.dtype is rushlight.bfloat16 else x.numpy()


def assert_same(got, want, tolerance, what):
    """Compares one result of rushlight with one of PyTorch: kind, dtype, shape, values."""
    if not isinstance(want, torch.Tensor):
        if isinstance(want, float):
            np.testing.assert_allclose(got, want, err_msg=what, **tolerance)
        else:
            assert str(got).replace("rushlight", "torch") == str(want), f"{what}: {got} != {want}"
        return
    assert isinstance(got, rushlight.Tensor), f"{what}: {type(got)} instead of a Tensor"
    assert str(got.dtype) == str(want.dtype), f"{what}: dtype {got.dtype} instead of {want.dtype}"
    assert tuple(got.shape) == tuple(want.shape), f"{what}: shape {tuple(got.shape)} instead of {tuple(want.shape)}"
    if not tolerance["rtol"] and want.is_floating_point():  # floats made of integers
        tolerance = TOLERANCE[str(want.dtype).split(".")[1]]
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), err_msg=what, equal_nan=True, **tolerance)


def cotangents(results, seed):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(tuple(r.shape)) for r in results]


def run_row(row: Row, dtype: str, *, permuted: bool):
    """Checks one row for one dtype and memory layout."""
    tolerance = dict(TOLERANCE.get(dtype, dict(rtol=0, atol=0)))
    if row.rtol is not None:
        tolerance["rtol"] = max(row.rtol, tolerance["rtol"])
    if row.atol is not None:
        tolerance["atol"] = max(row.atol, tolerance["atol"])
    drawn = row.inputs(Draw(dtype, row.seed))
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    with_grad = row.grad and dtype in FLOATS
    sides = {}
    for T in (torch, rushlight):
        inputs = [build(T, v, permuted=permuted, grad=with_grad) for v in drawn]
        sides[T] = inputs, flat(row.fn(T, *inputs))
    (t_in, t_out), (r_in, r_out) = sides[torch], sides[rushlight]
    assert len(r_out) == len(t_out), f"{len(r_out)} results instead of {len(t_out)}"
    for i, (got, want) in enumerate(zip(r_out, t_out, strict=True)):
        assert_same(got, want, tolerance, f"result {i}")
    if not with_grad:
        return
    t_leaves = [x for x in flat(t_in) if isinstance(x, torch.Tensor) and x.requires_grad]
    r_leaves = [x for x in flat(r_in) if isinstance(x, rushlight.Tensor) and x.requires_grad]
    keep = [i for i, x in enumerate(t_out) if isinstance(x, torch.Tensor) and x.requires_grad]
    for i in keep:
        assert r_out[i].requires_grad, f"result {i} does not require grad"
    if not keep or not t_leaves:
        return
    t_out, r_out = [t_out[i] for i in keep], [r_out[i] for i in keep]
    vectors = cotangents(t_out, row.seed + 1)
    second = row.second and dtype == "float64"
    t_grads = torch.autograd.grad(t_out, t_leaves, [torch.from_numpy(v).to(o.dtype) for v, o in zip(vectors, t_out, strict=True)],
                                  create_graph=second, allow_unused=True)  # fmt: skip
    r_grads = rushlight.autograd.grad(r_out, r_leaves,
                                      [rushlight.from_numpy(v).to(o.dtype) for v, o in zip(vectors, r_out, strict=True)],
                                      create_graph=second, allow_unused=True)  # fmt: skip
    compare_grads(r_grads, t_grads, tolerance, "gradient of input")
    if not second:
        return
    pairs = [(r, t) for r, t in zip(r_grads, t_grads, strict=True) if t is not None and t.requires_grad]
    if not pairs:
        return
    vectors = cotangents([t for _, t in pairs], row.seed + 2)
    t_second = torch.autograd.grad([t for _, t in pairs], t_leaves, [torch.from_numpy(v) for v in vectors], allow_unused=True)
    r_live = [(r, v) for (r, _), v in zip(pairs, vectors, strict=True) if r.requires_grad]
    r_second = [None] * len(r_leaves)
    if r_live:
        r_second = rushlight.autograd.grad([r for r, _ in r_live], r_leaves, [rushlight.from_numpy(v) for _, v in r_live],
                                           allow_unused=True)  # fmt: skip
    loose = dict(rtol=max(1e-6, tolerance["rtol"]), atol=max(1e-6, tolerance["atol"]))
    compare_grads(r_second, t_second, loose, "second gradient of input")


def inplace_row(row: Row):
    """The same row, done in place to a copy of its first input."""
    return dataclasses.replace(row, fn=lambda T, x, *rest: getattr(x.clone(), row.inplace)(*rest), inplace=None)


def run_inplace(row: Row, dtype: str):
    """The in-place form gives PyTorch's values and gradients, or PyTorch's error, and returns the tensor itself."""
    new = inplace_row(row)
    drawn = row.inputs(Draw(dtype, row.seed))
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    try:
        new.fn(torch, *[build(torch, v) for v in drawn])
    except Exception as want:  # noqa: BLE001 - a result that does not fit into the first input
        try:
            new.fn(rushlight, *[build(rushlight, v) for v in drawn])
        except type(want) as got:
            assert str(want).splitlines()[0] in str(got), f"{got} instead of {want}"
            return
        raise AssertionError(f"nothing raised instead of {want!r}") from None
    x, *rest = [build(rushlight, v) for v in drawn]
    assert getattr(x, row.inplace)(*rest) is x
    for permuted in (False, True):
        run_row(new, dtype, permuted=permuted)


def run_out(row: Row, dtype: str):
    """`out=` receives the values and is returned: one of the right shape, and an empty one, which grows."""
    drawn = row.inputs(Draw(dtype, row.seed))
    drawn = drawn if isinstance(drawn, tuple) else (drawn,)
    want = row.fn(torch, *[build(torch, v) for v in drawn])
    inputs = [build(rushlight, v) for v in drawn]
    for shape in (tuple(want.shape), (0,)):
        out = rushlight.empty(shape, dtype=getattr(rushlight, str(want.dtype).split(".")[1]))
        assert getattr(rushlight, row.out)(*inputs, out=out) is out
        assert_same(out, want, {**TOLERANCE.get(dtype, dict(rtol=0, atol=0))}, "out")


def compare_grads(got, want, tolerance, what):
    for i, (g, w) in enumerate(zip(got, want, strict=True)):
        if w is None or not w.any():  # PyTorch says None where we say zeros, and the other way round
            assert g is None or not to_numpy(g).any(), f"{what} {i}: {g} instead of {w}"
            continue
        assert g is not None, f"{what} {i}: none"
        assert_same(g, w, tolerance, f"{what} {i}")


def run_error(row: ErrorRow):
    """The same exception type and the same first line as PyTorch, or as the row says."""
    try:
        row.fn(torch)
    except Exception as e:  # noqa: BLE001 - whatever PyTorch raises is the specification
        want = e
    else:
        want = None
    try:
        row.fn(rushlight)
    except Exception as e:  # noqa: BLE001
        got = e
    else:
        raise AssertionError(f"nothing raised; PyTorch: {want!r}")
    expected = row.error or type(want)
    assert isinstance(got, expected), f"{type(got).__name__}: {got} instead of {expected.__name__}: {want}"
    text = row.match or str(want).splitlines()[0].rstrip()
    assert text in str(got), f"{got} instead of {text}"
