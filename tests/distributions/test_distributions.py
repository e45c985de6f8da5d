"""Every distribution of the table against PyTorch: draws from a seed, densities, gradients, moments, errors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

from .table import CASES, build

LIBRARIES = (torch, rushlight)
ALL = [pytest.param(c, d, id=f"{c.label}-{d}") for c in CASES for d in c.dtypes]
pytestmark = pytest.mark.filterwarnings("ignore")


def to_numpy(x):
    return x.detach().to((rushlight if isinstance(x, rushlight.Tensor) else torch).float64).numpy()


def same(got, want, rtol, what=""):
    if not isinstance(want, torch.Tensor):
        assert got == want, what
        return
    if want.dtype is torch.float32:  # of a case whose parameters are numbers
        rtol = max(rtol, 2e-5)
    assert str(got.dtype) == str(want.dtype), what
    assert tuple(got.shape) == tuple(want.shape), what
    np.testing.assert_allclose(to_numpy(got), to_numpy(want), rtol=rtol, atol=rtol, err_msg=what)


def tolerance(case, dtype):
    return case.rtol if dtype == "float32" else max(1e-7, case.rtol * 1e-5)


def both(case, dtype, fn):
    """What fn(library, distribution) gives in both, and the gradients of its sum; an exception as its type and first line."""
    results = []
    for T in LIBRARIES:
        d, parameters = build(T, case, dtype)
        try:
            out = fn(T, d)
        except (NotImplementedError, ValueError, RuntimeError) as e:
            results.append(((type(e), str(e).splitlines()[:1]), None))
            continue
        leaves = [p for p in parameters if isinstance(p, T.Tensor)]
        grads = [None] * len(leaves)
        if isinstance(out, T.Tensor) and out.requires_grad:
            weights = T.from_numpy(np.cos(np.arange(float(out.numel()))).reshape(tuple(out.shape))).to(out.dtype)
            try:
                grads = T.autograd.grad((out * weights).sum(), leaves, allow_unused=True)
            except RuntimeError:  # Wishart's, in PyTorch
                grads = ["none"] * len(leaves)
        results.append((out, grads))
    return results


def compare(case, dtype, fn, what, loose=1.0):
    (want, want_grads), (got, got_grads) = both(case, dtype, fn)
    rtol = tolerance(case, dtype) * loose
    if want_grads is None:
        assert got_grads is None, f"{what}: {got} instead of {want}"
        assert got[0] is want[0] or issubclass(got[0], want[0]), f"{what}: {got} instead of {want}"
        return
    assert got_grads is not None, f"{what}: raises {got}"
    same(got, want, rtol, what)
    for g, w in zip(got_grads, want_grads, strict=True):
        if isinstance(w, str):
            continue
        assert not isinstance(g, str), f"gradient of {what}"
        if w is None or not w.any():
            assert g is None or not g.any(), f"gradient of {what}"
        else:
            same(g, w, 10 * rtol, f"gradient of {what}")


@pytest.mark.parametrize(("case", "dtype"), ALL)
def test_samples(case, dtype):
    """The same seed gives the same numbers, and leaves the generator in the same state."""
    for name in ("sample", "rsample"):
        for shape in ((), (3,), (2, 5)):
            for T in LIBRARIES:
                T.manual_seed(3)

            def draw(T, d, name=name, shape=shape):
                T.manual_seed(3)
                return getattr(d, name)(shape)

            compare(case, dtype, draw, f"{name}({shape})")
        assert bytes(torch.get_rng_state().numpy()) == bytes(rushlight.get_rng_state().numpy())


def values_of(case, dtype):
    if case.values is not None:
        return np.array(case.values)
    torch.manual_seed(8)
    return build(torch, case, dtype, grad=False)[0].sample((4,)).numpy()


def tensor_of(T, values, dtype):
    return T.from_numpy(values.copy()).to(getattr(T, dtype))


@pytest.mark.parametrize(("case", "dtype"), ALL)
def test_densities(case, dtype):
    """log_prob, cdf and icdf, their gradients for the parameters and for the value."""
    values = values_of(case, dtype)
    for name in ("log_prob", "cdf"):
        compare(case, dtype, lambda T, d, name=name: getattr(d, name)(tensor_of(T, values, dtype)), name)
    levels = np.array([0.1, 0.5, 0.9]).reshape(3, *([1] * len(build(torch, case, dtype)[0].batch_shape)))
    compare(case, dtype, lambda T, d: d.icdf(tensor_of(T, levels, dtype)), "icdf")
    slopes = []
    for T in LIBRARIES:
        d, _ = build(T, case, dtype, grad=False)
        x = tensor_of(T, values, dtype).requires_grad_()
        out = d.log_prob(x)
        slopes.append(T.autograd.grad(out.sum(), x)[0] if out.requires_grad else out)
    same(slopes[1], slopes[0], 10 * tolerance(case, dtype), "gradient for the value")


@pytest.mark.parametrize(("case", "dtype"), ALL)
def test_moments(case, dtype):
    """mean, mode, variance, stddev, entropy, perplexity, with gradients; the support of discrete ones."""
    for name in ("mean", "mode", "variance", "stddev"):
        compare(case, dtype, lambda T, d, name=name: getattr(d, name), name)
    for name in ("entropy", "perplexity"):
        compare(case, dtype, lambda T, d, name=name: getattr(d, name)(), name)
    for expand in (True, False):
        compare(case, dtype, lambda T, d, expand=expand: d.enumerate_support(expand), "enumerate_support")
    for name in ("probs", "logits", "scale_tril", "covariance_matrix", "precision_matrix", "temperature"):
        d, _ = build(torch, case, dtype)
        if hasattr(d, name):
            compare(case, dtype, lambda T, d, name=name: getattr(d, name), name)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.label)
def test_shapes(case):
    """Shapes, text, support, expand: what PyTorch says."""
    want, got = (build(T, case, "float32", grad=False)[0] for T in LIBRARIES)
    shown = lambda d: repr(d).replace("rushlight", "torch")  # noqa: E731
    assert shown(got) == shown(want)
    for name in ("batch_shape", "event_shape"):
        assert tuple(getattr(got, name)) == tuple(getattr(want, name))
    assert (got.has_rsample, got.has_enumerate_support) == (want.has_rsample, want.has_enumerate_support)
    assert repr(got.support) == repr(want.support) or "tensor" in repr(want.support)
    assert {k: repr(v) for k, v in got.arg_constraints.items()} == {k: repr(v) for k, v in want.arg_constraints.items()} or (
        "tensor" in repr(want.arg_constraints)
    )
    wide = (2, 3, *want.batch_shape)
    results = []
    for T, d in zip(LIBRARIES, (want, got), strict=True):
        e = d.expand(wide)
        T.manual_seed(1)
        x = e.sample()
        results.append((repr(e), tuple(e.batch_shape), x, e.log_prob(x), e.expand((4, *wide)).log_prob(x)))
    assert results[1][:2] == results[0][:2]
    for g, w in zip(results[1][2:], results[0][2:], strict=True):
        same(g, w, case.rtol * 2)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.label)
def test_wrong_values(case):
    """A value outside of the support, or of a wrong shape, is the same ValueError."""
    for values in (np.full((1,), np.nan), np.full((7, 9), 0.5), 3):
        texts = []
        for T in LIBRARIES:
            d, _ = build(T, case, "float32", grad=False)
            value = values if isinstance(values, int) else tensor_of(T, values, "float32")
            if not isinstance(values, int) and values.shape == (1,):
                value = value[0].expand(tuple(d.batch_shape) + tuple(d.event_shape))
            try:
                d.log_prob(value)
                texts.append(None)
            except Exception as e:  # noqa: BLE001
                texts.append((type(e).__name__, str(e).replace("rushlight", "torch").splitlines()[0]))
        assert texts[0] == texts[1]
