"""Where PyTorch is no oracle: values and derivatives that are right by themselves."""

from __future__ import annotations

import numpy as np

import rushlight as rl
from rushlight.autograd import gradgradcheck
from rushlight.ops import norms


def test_second_derivative_of_weight_norm():
    """PyTorch's leaves out how |v| depends on v; ours agrees with differences."""
    rl.manual_seed(0)
    for shape, dim, kept in (((3, 4), 0, (3, 1)), ((2, 3, 4), 2, (1, 1, 4))):
        v, g = (rl.randn(s, dtype=rl.float64).requires_grad_() for s in (shape, kept))
        assert gradgradcheck(lambda v, g, d=dim: norms._weight_norm(v, g, d), (v, g))


def test_exponential_of_half_precision():
    """Computed in more precision and rounded once, where PyTorch gives noise."""
    x = rl.tensor([[0.1, -0.4], [0.7, 0.2]])
    for dtype in (rl.bfloat16, rl.float16):
        got = rl.matrix_exp(x.to(dtype))
        assert got.dtype is dtype
        np.testing.assert_allclose(got.float().numpy(), rl.matrix_exp(x.to(dtype).float()).numpy(), rtol=1e-2)


def test_exponential_of_what_is_not_finite():
    """Infinity and NaN give NaN and no error."""
    assert rl.matrix_exp(rl.full((2, 2), float("inf"))).isnan().all()
    batch = rl.matrix_exp(rl.stack([rl.full((2, 2), float("nan")), rl.zeros(2, 2), rl.full((2, 2), 1e4)]))
    assert batch[0].isnan().all() and (batch[1] == rl.eye(2)).all() and batch[2].isinf().all()
