"""autograd.Function, autograd.functional and gradcheck against PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight

LIBRARIES = (torch, rushlight)


def make_exp(T):
    class Exp(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    return Exp


def test_custom_function():
    """forward, backward, double backward and the node's name."""

    def run(T):
        x = T.tensor([0.5, 1.0], dtype=T.float64, requires_grad=True)
        y = make_exp(T).apply(x)
        assert type(y.grad_fn).__name__ == "ExpBackward"
        (g,) = T.autograd.grad(y.sum(), x, create_graph=True)
        (gg,) = T.autograd.grad(g.sum(), x)
        return y.tolist(), g.tolist(), gg.tolist()

    np.testing.assert_allclose(run(rushlight), run(torch), rtol=1e-12)


def test_several_inputs_and_outputs():
    """needs_input_grad, None for non-tensors, non-differentiable outputs, materialised zeros."""

    def run(T):
        class Both(T.autograd.Function):
            @staticmethod
            def forward(ctx, a, b, k):
                ctx.save_for_backward(a, b)
                ctx.k = k
                order = a > b
                ctx.mark_non_differentiable(order)
                return a * b * k, a + b, order

            @staticmethod
            def backward(ctx, g1, g2, _):
                a, b = ctx.saved_tensors
                assert ctx.needs_input_grad == (True, True, False)
                return g1 * b * ctx.k + g2, g1 * a * ctx.k + g2, None

        a = T.tensor([1.0, 2.0], requires_grad=True)
        b = T.tensor([3.0, 1.0], requires_grad=True)
        p, s, order = Both.apply(a, b, 2.0)
        assert not order.requires_grad
        p.sum().backward()
        return a.grad.tolist(), b.grad.tolist()

    assert run(rushlight) == run(torch)


def test_setup_context():
    """The form with a separate setup_context."""

    def run(T):
        class Square(T.autograd.Function):
            @staticmethod
            def forward(x):
                return x * x

            @staticmethod
            def setup_context(ctx, inputs, output):
                ctx.save_for_backward(*inputs)

            @staticmethod
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        x = T.tensor([3.0], requires_grad=True)
        Square.apply(x).backward()
        return x.grad.tolist()

    assert run(rushlight) == run(torch) == [6.0]


def test_mark_dirty():
    """An input changed in place gets the function as its history."""

    def run(T):
        class Double(T.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                x.mul_(2)
                ctx.mark_dirty(x)
                return x

            @staticmethod
            def backward(ctx, g):
                return g * 2

        x = T.ones(2, requires_grad=True)
        y = x * 1
        z = Double.apply(y)
        assert z is y
        z.sum().backward()
        return x.grad.tolist()

    assert run(rushlight) == run(torch) == [2.0, 2.0]


def test_wrong_number_of_gradients():
    """backward must return one gradient per argument."""
    for T in LIBRARIES:

        class Bad(T.autograd.Function):
            @staticmethod
            def forward(ctx, a, b):
                return a + b

            @staticmethod
            def backward(ctx, g):
                return g

        a = T.ones(1, requires_grad=True)
        with pytest.raises(RuntimeError, match=r"function BadBackward returned an incorrect number of gradients \(expected 2, got 1\)"):
            Bad.apply(a, a).backward()


def test_once_differentiable():
    """A backward marked so refuses to be differentiated."""
    for T in LIBRARIES:

        class Once(T.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * x

            @staticmethod
            @T.autograd.function.once_differentiable
            def backward(ctx, g):
                (x,) = ctx.saved_tensors
                return 2 * x * g

        x = T.ones(1, requires_grad=True)
        v = T.ones(1, requires_grad=True)
        (g,) = T.autograd.grad(Once.apply(x), x, v, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            g.backward()


FUNCTIONAL = {
    "vjp": lambda T, x, v: T.autograd.functional.vjp(lambda a: a.exp().sum(1), x, v[:, 0]),
    "jvp": lambda T, x, v: T.autograd.functional.jvp(lambda a: a.exp().sum(1), x, v),
    "jacobian": lambda T, x, v: T.autograd.functional.jacobian(lambda a: (a * a).sum(1), x),
    "jacobian-two": lambda T, x, v: T.autograd.functional.jacobian(lambda a, b: (a * b, a + 1), (x, v)),
    "hessian": lambda T, x, v: T.autograd.functional.hessian(lambda a: (a**3).sum() * a.sum(), x),
    "hessian-two": lambda T, x, v: T.autograd.functional.hessian(lambda a, b: (a * a * b).sum(), (x, v)),
    "hvp": lambda T, x, v: T.autograd.functional.hvp(lambda a: (a**3).sum(), x, v),
    "vhp": lambda T, x, v: T.autograd.functional.vhp(lambda a: (a**3).sum(), x, v),
}


def flat(x):
    return [y for v in x for y in flat(v)] if isinstance(x, tuple) else [x.detach().numpy()]


@pytest.mark.parametrize("name", FUNCTIONAL)
def test_functional(name):
    """Jacobians, Hessians and products are PyTorch's, nesting included."""
    rng = np.random.default_rng(0)
    x, v = rng.standard_normal((3, 2)), rng.standard_normal((3, 2))
    want = flat(FUNCTIONAL[name](torch, torch.from_numpy(x), torch.from_numpy(v)))
    got = flat(FUNCTIONAL[name](rushlight, rushlight.from_numpy(x), rushlight.from_numpy(v)))
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-10)


def test_gradcheck_finds_a_wrong_gradient():
    """A right rule passes, a wrong one is an error or False."""
    x = rushlight.tensor([0.3, 0.7], dtype=rushlight.float64, requires_grad=True)
    assert rushlight.autograd.gradcheck(lambda a: a.exp() * a, x)
    assert rushlight.autograd.gradgradcheck(lambda a: a.exp() * a, x)

    class Wrong(rushlight.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a * 2

        @staticmethod
        def backward(ctx, g):
            return g * 3

    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        rushlight.autograd.gradcheck(Wrong.apply, x)
    assert not rushlight.autograd.gradcheck(Wrong.apply, x, raise_exception=False)
