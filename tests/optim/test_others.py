"""Adafactor, Muon and LBFGS against PyTorch."""

import numpy as np
import pytest
import torch

import rushlight as rl


def data(dtype="float32"):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(s).astype(dtype) for s in ((6, 4), (5,), (2, 3, 4))]


@pytest.mark.parametrize("options", [{}, dict(lr=0.05, weight_decay=0.1, d=1.5), dict(eps=(1e-3, 1e-2), maximize=True)],
                         ids=str)  # fmt: skip
def test_adafactor(options):
    """20 steps on parameters of one, two and three dimensions."""
    results, keys = [], []
    for T in (torch, rl):
        params = [T.tensor(a.copy()).requires_grad_() for a in data()]
        optimizer = T.optim.Adafactor(params, **options)
        rng = np.random.default_rng(1)
        for _ in range(20):
            for p in params:
                p.grad = T.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32))
            optimizer.step()
        results.append(params)
        keys.append([list(s) for s in optimizer.state_dict()["state"].values()])
    assert keys[0] == keys[1]
    for w, g in zip(*results, strict=True):
        np.testing.assert_allclose(g.detach().numpy(), w.detach().numpy(), rtol=1e-5, atol=1e-5)


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
