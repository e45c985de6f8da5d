"""nn.init: for a seed PyTorch's numbers; its errors, warnings and deprecated names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight
from rushlight.nn import init

CASES = {
    "uniform_": [((3, 5), {}), ((3, 5), dict(a=-2, b=3))],
    "normal_": [((3, 5), {}), ((7, 9), dict(mean=1, std=0.1))],
    "trunc_normal_": [((30, 5), {}), ((30, 5), dict(mean=1, std=2, a=-1, b=3)), ((30, 5), dict(mean=0, std=1, a=2, b=3))],
    "constant_": [((3, 5), dict(val=0.3))],
    "ones_": [((3, 5), {})],
    "zeros_": [((3, 5), {})],
    "eye_": [((3, 5), {})],
    "dirac_": [((4, 2, 3), {}), ((4, 2, 3, 3), dict(groups=2)), ((3, 3, 3, 3, 3), {})],
    "xavier_uniform_": [((4, 5), {}), ((4, 5, 3, 3), dict(gain=2))],
    "xavier_normal_": [((4, 5), {}), ((4, 5, 3, 3), dict(gain=2))],
    "kaiming_uniform_": [((4, 5), {}), ((4, 5, 3), dict(a=0.1, mode="fan_out", nonlinearity="relu"))],
    "kaiming_normal_": [((4, 5), {}), ((4, 5, 3), dict(mode="FAN_OUT", nonlinearity="tanh"))],
    "orthogonal_": [((4, 5), {}), ((5, 4), dict(gain=2)), ((4, 3, 3), {})],
    "sparse_": [((10, 5), dict(sparsity=0.3))],
}


@pytest.mark.parametrize(("name", "shape", "kw"), [(n, s, k) for n, cases in CASES.items() for s, k in cases])
def test_values(name, shape, kw):
    """The same numbers for a seed; the tensor itself is returned and its history stays empty."""
    values = []
    for T in (torch, rushlight):
        T.manual_seed(5)
        t = T.nn.Parameter(T.empty(*shape))
        assert getattr(T.nn.init, name)(t, **kw) is t
        assert t.requires_grad and t.is_leaf
        values.append(t.detach().numpy())
    np.testing.assert_allclose(values[1], values[0], rtol=2e-5, atol=1e-6)


ERRORS = {
    "mode": lambda T: T.nn.init.kaiming_uniform_(T.empty(2, 2), mode="fan__in"),
    "nonlinearity": lambda T: T.nn.init.calculate_gain("leakyrelu"),
    "slope": lambda T: T.nn.init.calculate_gain("leaky_relu", "a"),
    "bool slope": lambda T: T.nn.init.calculate_gain("leaky_relu", True),
    "fan": lambda T: T.nn.init.xavier_uniform_(T.empty(3)),
    "eye": lambda T: T.nn.init.eye_(T.empty(3)),
    "dirac": lambda T: T.nn.init.dirac_(T.empty(3, 3)),
    "dirac groups": lambda T: T.nn.init.dirac_(T.empty(3, 3, 3), groups=2),
    "orthogonal": lambda T: T.nn.init.orthogonal_(T.empty(3)),
    "sparse": lambda T: T.nn.init.sparse_(T.empty(3), 0.1),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """ValueError with PyTorch's sentence."""
    with pytest.raises(ValueError) as want:
        ERRORS[name](torch)
    with pytest.raises(ValueError) as got:
        ERRORS[name](rushlight)
    assert str(got.value) == str(want.value)


@pytest.mark.parametrize("name", ["uniform", "normal", "constant", "eye", "dirac", "xavier_uniform", "xavier_normal",
                                  "kaiming_uniform", "kaiming_normal", "orthogonal", "sparse"])  # fmt: skip
def test_deprecated_names(name):
    """Names without the underscore work with a FutureWarning; ones and zeros have none."""
    args = {"constant": (0.5,), "sparse": (0.5,)}.get(name, ())
    t = rushlight.empty(3, 3, 3) if name == "dirac" else rushlight.empty(3, 3)
    with pytest.warns(FutureWarning, match=f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`."):
        assert getattr(init, name)(t, *args) is t
    assert not hasattr(init, "ones") and not hasattr(init, "zeros")


def test_empty_warns():
    """Nothing to fill is said, not done."""
    with pytest.warns(UserWarning, match="Initializing zero-element tensors is a no-op"):
        init.kaiming_uniform_(rushlight.empty(0, 3))


def test_truncation_warns():
    """Bounds far from the mean are reported."""
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        init.trunc_normal_(rushlight.empty(3), mean=5, a=-1, b=1)
