"""The vectorised elementary functions: float32 results within 2 units in the last place of float64's."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import rushlight


@pytest.fixture(autouse=True)
def _with_denormals():
    rushlight.set_flush_denormal(False)
    yield
    rushlight.set_flush_denormal(True)


SPECIAL = np.array(
    [0.0, -0.0, math.inf, -math.inf, math.nan, 1e-45, -1e-45, 1e-40, -1e-40, 1.1754944e-38, 3.4e38, -3.4e38, 1.0, -1.0],
    dtype=np.float32,
)


def every_exponent(low, high):
    """Floats spread evenly over their bit patterns between two bounds of one sign: all magnitudes, denormals included."""
    a, b = (int(np.float32(v).view(np.uint32)) for v in (low, high))
    return np.linspace(a, b, 400_001).astype(np.uint32).view(np.float32)


def erf(x):
    return np.array([math.erf(v) for v in x])


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1.0) / (1 + e)


POSITIVE = every_exponent(1e-45, 3.4e38)
BOTH = np.concatenate([POSITIVE, -POSITIVE, np.linspace(-110, 110, 400_001, dtype=np.float32), SPECIAL])
UNIT = np.concatenate([every_exponent(1e-45, 1), -every_exponent(1e-45, 1), np.linspace(-1, 1, 400_001, dtype=np.float32), SPECIAL])
TURNS = (np.arange(-300_000, 300_000) * (math.pi / 2)).astype(np.float32)
ROUND = np.concatenate([BOTH, TURNS, np.nextafter(TURNS, np.float32(math.inf)), np.array([1e6, 1000000.06, -1e6], dtype=np.float32)])
CASES = {
    "exp": (np.exp, BOTH),
    "log": (np.log, np.concatenate([POSITIVE, np.linspace(0.5, 2, 200_001, dtype=np.float32), SPECIAL])),
    "tanh": (np.tanh, np.concatenate([BOTH, np.linspace(-10, 10, 400_001, dtype=np.float32)])),
    "sigmoid": (logistic, np.concatenate([BOTH, np.linspace(-20, 5, 2_000_001, dtype=np.float32)])),
    "expm1": (np.expm1, BOTH),
    "exp2": (np.exp2, BOTH),
    "log2": (np.log2, np.concatenate([POSITIVE, np.linspace(0.5, 2, 200_001, dtype=np.float32), SPECIAL])),
    "log1p": (np.log1p, np.concatenate([BOTH, np.linspace(-1, 1, 200_001, dtype=np.float32)])),
    "log10": (np.log10, POSITIVE),
    "sin": (np.sin, ROUND),
    "cos": (np.cos, ROUND),
    "tan": (np.tan, ROUND),
    "asin": (np.arcsin, UNIT),
    "acos": (np.arccos, UNIT),
    "atan": (np.arctan, BOTH),
    "sinh": (np.sinh, BOTH),
    "cosh": (np.cosh, BOTH),
    "asinh": (np.arcsinh, BOTH),
    "acosh": (np.arccosh, BOTH),
    "atanh": (np.arctanh, UNIT),
    "erf": (erf, np.concatenate([BOTH[::8], np.linspace(-5, 5, 100_001, dtype=np.float32), SPECIAL])),
}


def ulps(got, exact):
    """The error in units of the last place of the exact result, in float32."""
    with np.errstate(all="ignore"):
        rounded = exact.astype(np.float32)
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        error = np.abs(got.astype(np.float64) - exact) / unit
    same = (got == rounded) | (np.isnan(got) & np.isnan(rounded))
    return np.where(same, 0, error)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_float32(name):
    """At most 2 ulp over all magnitudes, denormals, infinities and NaN included."""
    reference, x = CASES[name]
    with np.errstate(all="ignore"):
        exact = reference(x.astype(np.float64))
    got = getattr(rushlight, name)(rushlight.from_numpy(x.copy())).numpy()
    error = ulps(got, exact)
    worst = int(np.nanargmax(np.where(np.isnan(error), math.inf, error)))
    assert error[worst] <= 2, f"{name}({x[worst]!r}) = {got[worst]!r} instead of {exact[worst]!r}: {error[worst]} ulp"


@pytest.mark.parametrize("name", CASES)
def test_any_length_gives_the_same(name):
    """An element's value does not depend on where in the array it lies, or on how long that is."""
    low, high = (0.1, 4) if name.startswith("log") else (-0.9, 0.9) if name in ("asin", "acos", "atanh") else (-4, 4)
    x = np.linspace(low, high, 67, dtype=np.float32)
    whole = getattr(rushlight, name)(rushlight.from_numpy(x)).numpy()
    for n in (1, 3, 8, 15, 16, 17, 33):
        part = getattr(rushlight, name)(rushlight.from_numpy(x[:n].copy())).numpy()
        np.testing.assert_array_equal(part, whole[:n])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_float64(name):
    """Within 4 ulp of NumPy's in float64."""
    reference, x = CASES[name]
    x = x[::16].astype(np.float64)
    x = x[np.abs(x) < 1e15] if name in ("sin", "cos", "tan") else x
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            getattr(rushlight, name)(rushlight.from_numpy(x.copy())).numpy(), reference(x), rtol=1e-15, atol=5e-324
        )


NEAR = np.concatenate([np.linspace(v - 1e-3, v + 1e-3, 20_001) for v in (1, 2, 3, 1.4616321)]).astype(np.float32)
GAMMA = np.concatenate([every_exponent(1e-45, 1e30), np.linspace(0, 20, 200_001, dtype=np.float32)[1:], NEAR])
TORCH = {
    "erfc": (torch.erfc, np.concatenate([BOTH, np.linspace(-6, 11, 400_001, dtype=np.float32)])),
    "erfinv": (torch.erfinv, np.concatenate([UNIT, 1 - every_exponent(6e-8, 0.1)])),
    "lgamma": (torch.lgamma, GAMMA),
    "digamma": (torch.digamma, GAMMA),
    "trigamma": (lambda x: torch.polygamma(1, x), GAMMA),
}


@pytest.mark.parametrize("name", TORCH)
def test_special(name):
    """At most 2 ulp; digamma's absolute error near its root is that of a number around 1."""
    reference, x = TORCH[name]
    exact = reference(torch.from_numpy(x.astype(np.float64))).numpy()
    function = getattr(rushlight, name, lambda t: rushlight.polygamma(1, t))
    got = function(rushlight.from_numpy(x.copy())).numpy()
    error = ulps(got, exact)
    close = np.abs(got - exact) < 6e-8 if name == "digamma" else np.zeros(len(x), bool)
    worst = int(np.nanargmax(np.where(close, 0, np.where(np.isnan(error), math.inf, error))))
    assert error[worst] <= 2 or close[worst], f"{name}({x[worst]!r}) = {got[worst]!r} instead of {exact[worst]!r}"
    for n in (1, 3, 16, 17):
        np.testing.assert_array_equal(function(rushlight.from_numpy(x[-n:].copy())).numpy(), got[-n:])


@pytest.mark.parametrize("name", ["atan2", "hypot"])
def test_of_two(name):
    """At most 2 ulp over all magnitudes and quadrants, and for every pair of special values."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(200_000) * 10.0 ** rng.uniform(-30, 30, 200_000) for _ in range(2))
    x = np.concatenate([x, np.repeat(SPECIAL, len(SPECIAL))]).astype(np.float32)
    y = np.concatenate([y, np.tile(SPECIAL, len(SPECIAL))]).astype(np.float32)
    with np.errstate(all="ignore"):
        exact = {"atan2": np.arctan2, "hypot": np.hypot}[name](x.astype(np.float64), y.astype(np.float64))
        got = getattr(rushlight, name)(rushlight.from_numpy(x), rushlight.from_numpy(y)).numpy()
        assert ulps(got, exact).max() <= 2


@pytest.mark.parametrize("name", ["fmod", "remainder", "floor_divide"])
def test_remainders_are_exact(name):
    """As NumPy's, which reduces step by step, where quotients are whole, nearly whole, large, and where operands are special."""
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(100_000) * 10.0 ** rng.uniform(-5, 5, 100_000)).astype(np.float32)
    y = np.concatenate([x[:50_000] / rng.integers(1, 50, 50_000), rng.standard_normal(50_000) + 1e-3]).astype(np.float32)
    x, y = np.append(x, np.repeat(SPECIAL, len(SPECIAL))), np.append(y, np.tile(SPECIAL, len(SPECIAL)))
    with np.errstate(all="ignore"):
        r = np.fmod(x, y)
        wanted = r if name == "fmod" else np.where((r != 0) & ((r < 0) != (y < 0)), r + y, r)
    got = getattr(rushlight, name)(rushlight.from_numpy(x), rushlight.from_numpy(y)).numpy()
    if name == "floor_divide":
        usual = (np.abs(x) < 1e30) & (np.abs(y) > 1e-30) & (np.abs(y) < 1e30)
        x, y, r = (v[usual].astype(np.float64) for v in (x, y, wanted))
        np.testing.assert_allclose(got[usual], np.rint((x - r) / y), rtol=1e-6)
        return
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(np.signbit(got[got == 0]), np.signbit(wanted[got == 0]))


def test_in_place_keeps_odd_operands():
    """Operands that need the C library are read before anything is written over them."""
    x = np.tile(np.array([0.0, math.inf, math.nan, 2.0, 1e7, -3.0], dtype=np.float32), 200)
    y = np.tile(np.array([0.0, -1.0, 0.0, 3.0, 0.5, 2.0], dtype=np.float32), 200)
    for name, other in (("pow", (y,)), ("fmod", (y,)), ("sin", ())):
        args = [rushlight.from_numpy(v) for v in other]
        t = rushlight.from_numpy(x)
        np.testing.assert_array_equal(getattr(t.clone(), name + "_")(*args).numpy(), getattr(t, name)(*args).numpy())
