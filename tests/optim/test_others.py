"""Adafactor, Muon and LBFGS against PyTorch, beyond what test_parity.py has of them all."""

import numpy as np
import pytest
import torch

import rushlight as rl

MATRICES = {
    "more columns than a tile": (70, 2500),
    "more rows than a tile": (5000, 7),
    "one row": (1, 3000),
    "one column": (3000, 1),
    "filters": (40, 30, 3, 3),
    "a batch of large matrices": (2, 300, 300),
    "a long vector": (70000,),
    "a number": (),
    "one element": (1, 1),
}


@pytest.mark.parametrize("layout", ["contiguous", "transposed", "parameter and gradient differ", "every second"])
@pytest.mark.parametrize("shape", MATRICES)
def test_adafactor_shapes(shape, layout):
    """Whatever a parameter's size and layout: 5 steps, with a row of zeros in the gradient, in float64."""
    shape = MATRICES[shape]

    def laid_out(T, a, how):
        if how == "transposed" and a.ndim > 1:
            return T.tensor(np.swapaxes(a, -1, -2).copy()).transpose(-1, -2)
        if how == "every second" and a.ndim:
            return T.tensor(np.repeat(a, 2, axis=-1).copy())[..., ::2]
        return T.tensor(a.copy())

    results = []
    for T in (torch, rl):
        rng = np.random.default_rng(2)
        p = laid_out(T, rng.standard_normal(shape), layout).detach().requires_grad_()
        optimizer = T.optim.Adafactor([p], lr=0.05, weight_decay=0.1)
        for _ in range(5):
            g = rng.standard_normal(shape)
            if len(shape) > 1:
                g[..., 0, :] = 0
            p.grad = laid_out(T, g, "transposed" if layout.startswith("parameter") else layout)
            optimizer.step()
        results.append([p.detach(), *optimizer.state_dict()["state"][0].values()])
    for w, g in zip(*results, strict=True):
        assert tuple(g.shape) == tuple(w.shape)
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-10, atol=1e-12)


def test_adafactor_without_elements():
    """A parameter without elements counts its steps, and does not disturb the others."""
    params = [rl.ones(s, requires_grad=True) for s in ((0, 4), (3, 0), (0,), (2, 2))]
    optimizer = rl.optim.Adafactor(params)
    for p in params:
        p.grad = rl.ones_like(p)
    optimizer.step()
    assert [optimizer.state[p]["step"].item() for p in params] == [1.0] * 4
    np.testing.assert_allclose(params[3].detach().numpy(), 0.99, rtol=1e-6)


def test_adafactor_in_half_precision():
    """bfloat16 parameters are updated in float32 and rounded once; states have the parameter's dtype."""
    p = rl.ones(4, 6, dtype=rl.bfloat16, requires_grad=True)
    optimizer = rl.optim.Adafactor([p], lr=0.1)
    p.grad = rl.ones(4, 6, dtype=rl.bfloat16)
    optimizer.step()
    assert [str(v.dtype) for v in optimizer.state[p].values()] == ["torch.float32", "torch.bfloat16", "torch.bfloat16"]
    np.testing.assert_allclose(p.detach().to(rl.float32).numpy(), 0.9, rtol=1e-2)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_a_parameter_twice(name):
    """Updated twice in one step, with one state."""
    rng = np.random.default_rng(5)
    start, grad = rng.standard_normal((6, 4)), rng.standard_normal((6, 4))
    results = []
    for T in (torch, rl):
        p = T.tensor(start).requires_grad_()
        with pytest.warns(UserWarning, match="duplicate parameters"):
            optimizer = getattr(T.optim, name)([p, p], lr=0.01)
        for _ in range(3):
            p.grad = T.tensor(grad)
            optimizer.step()
        results.append(p.detach().numpy())
    np.testing.assert_allclose(results[1], results[0], rtol=1e-9 if name == "Adafactor" else 5e-3, atol=2e-3 if name == "Muon" else 0)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_foreign_state_is_an_error(name):
    """States of another shape, or a type that the parameter no longer has: an error, not other memory."""
    p = rl.ones(3, 4, requires_grad=True)
    optimizer = getattr(rl.optim, name)([p])
    p.grad = rl.ones(3, 4)
    optimizer.step()
    key = "row_var" if name == "Adafactor" else "momentum_buffer"
    for wrong in (rl.zeros(2, 1), rl.zeros(optimizer.state[p][key].shape, dtype=rl.float64)):
        optimizer.state[p][key] = wrong
        with pytest.raises(RuntimeError, match="must agree in shape and dtype"):
            optimizer.step()


@pytest.mark.parametrize("options", [{}, dict(nesterov=False, weight_decay=0.0), dict(adjust_lr_fn="match_rms_adamw")],
                         ids=str)  # fmt: skip
def test_muon(options):
    """10 steps on a wide and a tall matrix; the direction is computed in bfloat16."""
    results = []
    for T in (torch, rl):
        params = [T.tensor(np.ones(s, np.float32)).requires_grad_() for s in ((4, 7), (9, 3))]
        optimizer = T.optim.Muon(params, lr=0.01, **options)
        rng = np.random.default_rng(1)
        for _ in range(10):
            for p in params:
                p.grad = T.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32))
            optimizer.step()
        results.append(params)
    for w, g in zip(*results, strict=True):
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("problem", ["quadratic", "rosenbrock", "logistic"])
def test_lbfgs(problem, search):
    """The same path as PyTorch's, in float64."""
    rng = np.random.default_rng(3)
    features, labels = rng.standard_normal((40, 5)), (rng.random(40) > 0.5).astype(float)
    results = []
    for T in (torch, rl):
        a = T.tensor([-1.2, 1.0], dtype=T.float64).requires_grad_()
        b = T.tensor(np.linspace(-1, 1, 3)).requires_grad_()
        x, y = T.tensor(features), T.tensor(labels)
        options = dict(lr=1.0 if search else 0.1, max_iter=6, history_size=4, line_search_fn=search)
        optimizer = T.optim.LBFGS([a, b], **options)

        def closure(T=T, a=a, b=b, x=x, y=y, optimizer=optimizer):
            optimizer.zero_grad()
            if problem == "quadratic":
                loss = (a * a).sum() * 3 + ((b - 2) ** 2).sum()
            elif problem == "rosenbrock":
                loss = ((1 - a[0]) ** 2 + 10 * (a[1] - a[0] ** 2) ** 2) + (b**4).sum()
            else:
                z = x @ T.cat([a, b])
                loss = (T.log(1 + T.exp(z)) - y * z).mean()
            loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(5)]
        state = optimizer.state_dict()["state"][0]
        results.append((losses, a.tolist() + b.tolist(), state["func_evals"], state["n_iter"]))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-6, atol=1e-10)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-6, atol=1e-8)
    assert results[1][2:] == results[0][2:]


def test_lbfgs_search_name():
    """Another line search is refused."""
    p = rl.ones(1, requires_grad=True)
    optimizer = rl.optim.LBFGS([p], line_search_fn="armijo")

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        optimizer.step(closure)
