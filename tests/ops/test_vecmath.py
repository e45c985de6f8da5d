"""The vectorised elementary functions: float32 results within 2 units in the last place of float64's."""

from __future__ import annotations

import math

import numpy as np
import pytest

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
CASES = {
    "exp": (np.exp, BOTH),
    "log": (np.log, np.concatenate([POSITIVE, np.linspace(0.5, 2, 200_001, dtype=np.float32), SPECIAL])),
    "tanh": (np.tanh, np.concatenate([BOTH, np.linspace(-10, 10, 400_001, dtype=np.float32)])),
    "sigmoid": (logistic, np.concatenate([BOTH, np.linspace(-20, 5, 2_000_001, dtype=np.float32)])),
    "expm1": (np.expm1, BOTH),
    "exp2": (np.exp2, BOTH),
    "log2": (np.log2, np.concatenate([POSITIVE, np.linspace(0.5, 2, 200_001, dtype=np.float32), SPECIAL])),
    "log1p": (np.log1p, np.concatenate([BOTH, np.linspace(-1, 1, 200_001, dtype=np.float32)])),
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
    x = np.linspace(-4, 4, 67, dtype=np.float32) if not name.startswith("log") else np.linspace(0.1, 4, 67, dtype=np.float32)
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
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(
            getattr(rushlight, name)(rushlight.from_numpy(x.copy())).numpy(), reference(x), rtol=1e-15, atol=5e-324
        )
