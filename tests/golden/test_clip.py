"""Gradient clipping gives the published numbers, to the last digit, and PyTorch's results otherwise."""

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight.nn.utils import (
    clip_grad_norm,
    clip_grad_norm_,
    clip_grad_value_,
    clip_grads_with_norm_,
    get_total_norm,
    parameters_to_vector,
    vector_to_parameters,
)

FIVE = [125.0, 75.0, 45.0, 15.0, 5.0]


def parameter(grad):
    p = rl.zeros(len(grad), requires_grad=True)
    p.grad = rl.tensor(grad)
    return p


@pytest.mark.parametrize(
    ("order", "total", "clipped"),
    [
        (1, 265.0, [0.4716981053, 0.2830188870, 0.1698113233, 0.0566037744, 0.0188679248]),
        (2, 153.3786163330078, [0.8149766922, 0.4889860153, 0.2933916152, 0.0977972001, 0.0325990692]),
        (3, 135.1689910888672, None),
        (4, 129.34915161132812, None),
        (float("inf"), 125.0, [1.0, 0.6, 0.36, 0.12, 0.04]),
        ("inf", 125.0, [1.0, 0.6, 0.36, 0.12, 0.04]),
    ],
)
def test_orders(order, total, clipped):
    """The norm of [125, 75, 45, 15, 5] for several orders, and the gradients clipped to norm 1."""
    p = parameter(FIVE)
    norm = clip_grad_norm_([p], 1, order)
    assert norm.item() == total
    if clipped:
        np.testing.assert_allclose(p.grad.numpy(), clipped, rtol=1e-7)
    assert get_total_norm([rl.tensor(FIVE)], order).item() == total


def test_growing_gradients():
    """The first element grows: norms and coefficients."""
    totals = (153.3786163330078, 265.3299865722656, 385.389404296875, 507.83856201171875)
    for i, total in enumerate(totals, 1):
        p = parameter([125.0 * i, *FIVE[1:]])
        assert clip_grad_norm_(p, 1).item() == total


@pytest.mark.parametrize(
    ("limit", "coefficient"),
    [(1, 0.006519813631054263), (2, 0.013039627262108526), (3, 0.01955944089316279), (4, 0.02607925452421705)],
)
def test_coefficients(limit, coefficient):
    """max_norm = 1 to 4: the factor that every gradient is multiplied by."""
    p = parameter([*FIVE])
    clip_grad_norm_([p], limit)
    np.testing.assert_array_equal(p.grad.numpy(), (np.float32(FIVE) * np.float32(coefficient)))


def test_nothing_to_clip():
    """No parameters or no gradients: zero; an exhausted generator warns."""
    assert clip_grad_norm_([], 1.0).item() == 0.0
    assert clip_grad_norm_([rl.zeros(3, requires_grad=True)], 1.0).item() == 0.0
    with pytest.warns(UserWarning, match="`parameters` is an empty generator, no gradient clipping will occur."):
        clip_grad_norm_((p for p in ()), 1.0)


def test_at_the_limit_and_below():
    """A norm equal to the limit still shrinks by 1e-6; a smaller one leaves the gradients alone."""
    p = parameter([3.0, 4.0])
    clip_grad_norm_([p], 5)
    np.testing.assert_allclose(p.grad.numpy(), [2.9999992847, 3.9999990463], rtol=1e-9)
    p = parameter([3.0, 4.0])
    clip_grad_norm_([p], 6)
    assert p.grad.tolist() == [3.0, 4.0]


def test_nonfinite():
    """A norm that is not finite: an error if asked for, NaN gradients otherwise."""
    p = parameter([float("inf"), 1.0])
    with pytest.raises(RuntimeError, match="The total norm of order 2.0 for gradients from `parameters` is non-finite, so"):
        clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert clip_grad_norm_([p], 1.0).item() == float("inf")
    assert np.isnan(p.grad.numpy()[0])


def test_value_and_deprecated_name():
    """clip_grad_value_ clips elements; clip_grad_norm warns."""
    p = parameter([-3.0, 0.5, 2.0])
    clip_grad_value_([p], 1)
    assert p.grad.tolist() == [-1.0, 0.5, 1.0]
    with pytest.warns(FutureWarning, match="`torch.nn.utils.clip_grad_norm` is now deprecated"):
        clip_grad_norm([p], 1.0)


@pytest.mark.parametrize("order", [0.5, 1, 2, 3, float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_tensors(order, dtype):
    """Tensors of many sizes and layouts, against PyTorch."""
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(s).astype(dtype) for s in ((3,), (40, 70), (1,), (200, 300), (5, 6, 7))]
    results = []
    for T, utils in ((torch, torch.nn.utils), (rl, rl.nn.utils)):
        params = [T.zeros(a.shape, dtype=getattr(T, dtype), requires_grad=True) for a in arrays]
        for p, a in zip(params, arrays, strict=True):
            p.grad = T.from_numpy(a.copy())
        params[1].grad = T.from_numpy(arrays[1].T.copy()).t()  # not contiguous
        total = utils.clip_grad_norm_(params, 0.7, order)
        results.append([total.item(), *(p.grad.numpy() for p in params)])
        utils.clip_grad_value_(params, 1e-4)
        results[-1] += [p.grad.numpy() for p in params]
    for want, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_with_norm():
    """clip_grads_with_norm_ uses the norm it is given."""
    p = parameter([3.0, 4.0])
    clip_grads_with_norm_([p], 1.0, rl.tensor(10.0))
    np.testing.assert_allclose(p.grad.numpy(), [0.3, 0.4], rtol=1e-6)


def test_vector():
    """Parameters to a vector and back."""
    ps = [rl.randn(2, 3, requires_grad=True), rl.randn(4, requires_grad=True)]
    v = parameters_to_vector(ps)
    assert tuple(v.shape) == (10,)
    vector_to_parameters(v.detach() * 2, ps)
    np.testing.assert_array_equal(parameters_to_vector(ps).detach().numpy(), (v.detach() * 2).numpy())
    with pytest.raises(TypeError, match="expected torch.Tensor, but got"):
        vector_to_parameters([1], ps)
