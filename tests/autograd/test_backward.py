"""backward() and grad(): what they compute, keep, free and refuse."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
import torch

import rushlight

LIBRARIES = (torch, rushlight)


def both(fn):
    """fn(T) for PyTorch and rushlight, as nested lists of numbers."""
    return fn(torch), fn(rushlight)


def raises_like_torch(fn):
    """fn raises in both libraries: the same type, the same first line."""
    with pytest.raises(Exception) as want:  # noqa: PT011, B017 - the oracle says which
        fn(torch)
    with pytest.raises(want.type) as got:
        fn(rushlight)
    assert str(got.value).splitlines()[0] == str(want.value).splitlines()[0]


def test_gradients_accumulate_over_calls():
    """A second backward adds to .grad."""

    def run(T):
        x = T.tensor([1.0, 2.0], requires_grad=True)
        for _ in range(2):
            (x * x).sum().backward()
        return x.grad.tolist()

    want, got = both(run)
    assert got == want == [4.0, 8.0]


def test_n30_jacobian_product():
    """N30: backward with a vector gives diag 4 / rest 2; again 8 / 4; after zero_ 4 / 2."""

    def run(T):
        inp = T.eye(5, requires_grad=True)
        out = (inp + 1).pow(2)
        seen = []
        out.backward(T.ones_like(inp), retain_graph=True)
        seen.append(inp.grad.tolist())
        out.backward(T.ones_like(inp), retain_graph=True)
        seen.append(inp.grad.tolist())
        inp.grad.zero_()
        out.backward(T.ones_like(inp), retain_graph=True)
        return [*seen, inp.grad.tolist()]

    want, got = both(run)
    assert got == want
    assert got[0][0][:2] == [4.0, 2.0]
    assert got[1][0][:2] == [8.0, 4.0]


def test_n29_requires_grad_and_no_grad():
    """N29: a result requires grad, and inside no_grad does not."""
    for T in LIBRARIES:
        x, w, b = T.ones(5), T.randn(5, 3, requires_grad=True), T.randn(3, requires_grad=True)
        assert (T.matmul(x, w) + b).requires_grad
        with T.no_grad():
            assert not (T.matmul(x, w) + b).requires_grad


def test_leaf_used_many_times():
    """Every use of a leaf contributes, in whatever order the graph was built."""

    def run(T):
        x = T.tensor([2.0], requires_grad=True)
        y = x * 3
        z = y * x + x.exp() * y
        (z + y + x).sum().backward()
        return x.grad.tolist()

    want, got = both(run)
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_inputs_argument_touches_nothing_else():
    """backward(inputs=[a]) leaves b.grad alone."""
    for T in LIBRARIES:
        a, b = T.ones(2, requires_grad=True), T.ones(2, requires_grad=True)
        (a * b).sum().backward(inputs=[a])
        assert a.grad.tolist() == [1.0, 1.0]
        assert b.grad is None


def test_grad_of_intermediate():
    """grad() with respect to a non-leaf, keeping .grad of leaves untouched."""

    def run(T):
        x = T.tensor([1.0, 2.0], requires_grad=True)
        y = x * 2
        z = (y * y).sum()
        gy, gx = T.autograd.grad(z, [y, x])
        assert x.grad is None
        return gy.tolist(), gx.tolist()

    want, got = both(run)
    assert got == want


def test_unused_input():
    """An input the output does not depend on: an error, None, or zeros."""
    raises_like_torch(lambda T: T.autograd.grad(T.ones(1, requires_grad=True).sum(), T.ones(1, requires_grad=True)))
    for T in LIBRARIES:
        x, y = T.ones(1, requires_grad=True), T.ones(2, requires_grad=True)
        assert T.autograd.grad(x.sum(), y, allow_unused=True) == (None,)
        assert T.autograd.grad(x.sum(), y, materialize_grads=True)[0].tolist() == [0.0, 0.0]


def test_third_derivative():
    """create_graph can be stacked: d3(x^4) = 24 x."""
    for T in LIBRARIES:
        x = T.tensor(2.0, dtype=T.float64, requires_grad=True)
        y = x**4
        for _ in range(3):
            (y,) = T.autograd.grad(y, x, create_graph=True)
        assert y.item() == 48.0


@pytest.mark.parametrize(
    "fn",
    [
        lambda T: (T.ones(3, requires_grad=True) * 2).backward(),
        lambda T: T.ones(3).sum().backward(),
        lambda T: (T.ones(5, 4, requires_grad=True) * 2).backward(T.ones(3)),
        lambda T: T.ones(3, requires_grad=True).add_(1),
        lambda T: T.ones(3, requires_grad=True).numpy(),
        lambda T: T.ones(3, dtype=T.int64, requires_grad=True),
        lambda T: T.tensor([1, 2]).requires_grad_(),
        lambda T: (T.ones(3, requires_grad=True) * 2).requires_grad_(False),
        lambda T: T.ones(3).retain_grad(),
        lambda T: T.ones(3).register_hook(print),
        lambda T: T.ones(3, requires_grad=True).view(3)[0].fill_(1),
        lambda T: T.autograd.grad(T.ones(1, requires_grad=True).sum(), T.ones(1)),
    ],
    ids=["non-scalar", "no-graph", "shape", "leaf", "numpy", "int-leaf", "int", "non-leaf", "retain", "hook", "view-of-leaf",
         "input-without-grad"],
)  # fmt: skip
def test_refusals(fn):
    """PyTorch's exceptions, word for word in the first line."""
    raises_like_torch(fn)


def test_backward_twice():
    """The graph is freed by the first backward, and the error says what to do."""

    def run(T):
        x = T.ones(3, requires_grad=True)
        y = (x * x).sum()
        y.backward()
        y.backward()

    raises_like_torch(run)


def test_saved_tensor_overwritten():
    """An in-place write to a saved tensor is noticed, with the tensor, its maker and both versions named."""

    def run(T):
        x = T.ones(3, requires_grad=True)
        y = x.exp()
        y.add_(1)
        y.sum().backward()

    raises_like_torch(run)


NOT_SAVED = {
    "max_pool2d": lambda T, x: T.nn.functional.max_pool2d(x, 2),
    "max_pool2d with borders": lambda T, x: T.nn.functional.max_pool2d(x, 3, 2, 1),
    "max_pool3d": lambda T, x: T.nn.functional.max_pool3d(x.view(1, 1, 4, 4, 4), 2),
    "adaptive_max_pool2d": lambda T, x: T.nn.functional.adaptive_max_pool2d(x, 2),
    "max": lambda T, x: x.max(-1).values,
    "min": lambda T, x: x.min(1).values,
    "cummax": lambda T, x: x.cummax(-1).values,
    "sort": lambda T, x: x.sort(-1).values,
    "topk": lambda T, x: x.topk(2).values,
    "median": lambda T, x: x.median(-1).values,
    "kthvalue": lambda T, x: x.kthvalue(2).values,
    "mode": lambda T, x: x.mode(-1).values,
    "embedding_bag": lambda T, x: T.nn.functional.embedding_bag(T.tensor([[0, 1], [3, 2]]), x.view(16, 4), mode="max"),
    "cross_entropy": lambda T, x: T.nn.functional.cross_entropy(x.view(16, 4), T.arange(16) % 4, reduction="none"),
    "batch_norm": lambda T, x: T.nn.functional.batch_norm(x, None, None, training=True),
    "layer_norm": lambda T, x: T.nn.functional.layer_norm(x, (4,)),
}


@pytest.mark.parametrize("fn", NOT_SAVED.values(), ids=NOT_SAVED)
def test_results_that_may_be_overwritten(fn):
    """What backward does not need may be written: `nn.ReLU(inplace=True)` after a pooling layer."""
    values = np.random.default_rng(0).permutation(64).reshape(1, 4, 4, 4) / 8.0 - 4.0

    def run(T):
        x = T.from_numpy(values.copy()).requires_grad_()
        fn(T, x).relu_().square().sum().backward()
        return x.grad.numpy()

    want, got = both(run)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_grad_of_non_leaf_warns():
    """.grad of a non-leaf is None with PyTorch's warning; retain_grad keeps it."""
    for T in LIBRARIES:
        x = T.ones(2, requires_grad=True)
        y = x * 2
        with pytest.warns(UserWarning, match="The .grad attribute of a Tensor that is not a leaf"):
            assert y.grad is None
        y.retain_grad()
        y.sum().backward()
        assert y.grad.tolist() == [1.0, 1.0]


def test_hooks():
    """Tensor hooks see and may replace gradients; post-accumulate hooks run after .grad; handles remove them."""

    def run(T):
        log = []
        x = T.tensor([1.0, 2.0], requires_grad=True)
        y = x * 3
        y.register_hook(lambda g: g * 10)
        handle = x.register_hook(lambda g: log.append(("x", g.tolist())))
        x.register_post_accumulate_grad_hook(lambda p: log.append(("post", p.grad.tolist())))
        y.sum().backward()
        handle.remove()
        (x * 1).sum().backward()
        return log, x.grad.tolist()

    want, got = both(run)
    assert got == want


def test_node_hooks():
    """grad_fn.register_hook sees grad_inputs and grad_outputs; register_prehook replaces grad_outputs."""

    def run(T):
        log = []
        x = T.tensor([1.0, 2.0], requires_grad=True)
        y = x.exp()
        y.grad_fn.register_hook(lambda gi, go: log.append([g.tolist() for g in gi] + [g.tolist() for g in go]))
        y.grad_fn.register_prehook(lambda go: (go[0] * 2,))
        y.sum().backward()
        return log, x.grad.tolist()

    want, got = both(run)
    np.testing.assert_allclose(got[1], want[1], rtol=1e-6)
    np.testing.assert_allclose(got[0], want[0], rtol=1e-6)


def test_graph_names():
    """grad_fn and next_functions have PyTorch's names."""

    def run(T):
        x = T.ones(2, 2, requires_grad=True)
        y = (x.t() @ x).exp().sum()
        names, node = [], y.grad_fn
        while node is not None:
            names.append(node.name())
            node = node.next_functions[0][0] if node.next_functions else None
        return names

    want, got = both(run)
    assert got == [n.split("::")[-1] for n in want]


def test_deep_graph():
    """A chain of 20,000 ops goes backward and is freed without recursion."""
    x = rushlight.ones(1, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y + 1
    y.backward()
    assert x.grad.tolist() == [1.0]
    del y


def test_graph_needs_no_garbage_collector():
    """Saved memory is given back when the last reference goes, cycles or not."""
    gc.disable()
    try:
        x = rushlight.ones(1000, requires_grad=True)
        y = x.exp()
        z = (y * y).sum()
        ref = weakref.ref(y.grad_fn)
        z.backward()
        del y, z
        assert ref() is None
    finally:
        gc.enable()


def test_first_gradient_is_not_shared():
    """Two leaves that receive the same gradient do not share its memory."""
    a, b = rushlight.ones(2, requires_grad=True), rushlight.ones(2, requires_grad=True)
    (a + b).sum().backward()
    a.grad.zero_()
    assert b.grad.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("T", LIBRARIES)
def test_modes(T):
    """no_grad, enable_grad, set_grad_enabled and inference_mode nest, decorate and restore."""
    x = T.ones(1, requires_grad=True)

    @T.no_grad()
    def f(x):
        with T.enable_grad():
            inner = (x * 2).requires_grad
        return inner, (x * 2).requires_grad

    assert f(x) == (True, False)
    with T.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert (x * 2).requires_grad
    with T.inference_mode():
        y = x * 2
    assert y.is_inference() and not y.requires_grad

    @T.no_grad()
    def g():
        yield T.is_grad_enabled()
        yield T.is_grad_enabled()

    assert [*g()] == [False, False]
    assert T.is_grad_enabled()


def test_detach_and_data():
    """detach shares memory and counts writes; .data shares memory and does not."""
    for T in LIBRARIES:
        x = T.ones(2, requires_grad=True)
        d = x.detach()
        d.add_(1)
        assert x.tolist() == [2.0, 2.0]
        assert x._version == 1
        x.data.add_(1)
        assert x.tolist() == [3.0, 3.0]
        assert x._version == 1


def test_anomaly_mode():
    """A NaN made by backward is an error that names the function, with the forward call's traceback as a warning."""
    for T in LIBRARIES:
        x = T.tensor([-1.0], requires_grad=True)
        with T.autograd.set_detect_anomaly(True), pytest.warns(UserWarning, match="Error detected in"):
            y = x.sqrt().sum()
            with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values in its 0th output"):
                y.backward()


def test_gradients_of_parts_are_added_in_place():
    """Parts taken in a loop: their gradients are summed in one buffer, which no hook, view or retained gradient sees half done."""
    values = np.random.default_rng(0).standard_normal((3, 5, 4))

    def run(T):
        x = T.from_numpy(values.copy()).requires_grad_()
        y, seen = x * 2, []
        y.retain_grad()
        whole, parts = y.view(15, 4), [y[:, t] for t in range(5)]
        parts[1].register_hook(lambda g: seen.append(g) or g * 2)
        index = T.tensor([0, 2, 2])
        loss = sum((part**2).sum() * t for t, part in enumerate(parts)) + (y[index] * 3).sum() + (y[1:, ::2, 2] ** 3).sum()
        loss = loss + y.sum() + y[:, index].exp().sum() + y[0, 1, 2] * y[-1, -1, -1] + (whole[2:9] ** 2).sum()
        loss = loss + y.expand(2, 3, 5, 4)[1, 2].sum() + y.narrow(1, 1, 3).select(2, 0).sin().sum()
        loss.backward(retain_graph=True)
        first = x.grad.clone(), y.grad.clone(), *seen
        loss.backward()
        second = T.autograd.grad(sum((x[:, t] ** 3).sum() for t in range(5)), x, create_graph=True)[0]
        third = T.autograd.grad((second[:, 0] * second[:, 1]).sum() + second[2, 2, 2], x)[0]
        return [t.detach().numpy() for t in (*first, x.grad, y.grad, second, third)]

    for want, got in zip(*both(run), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


def test_a_part_of_what_somebody_holds():
    """The gradient that an input arrived with stays as its owner left it."""
    for T in LIBRARIES:
        x = T.arange(4.0, requires_grad=True)
        y = x * 1
        given = T.ones(4)
        T.autograd.backward([y, y[1], y[2:]], [given, T.tensor(1.0), T.ones(2)])
        assert given.tolist() == [1.0] * 4
        assert x.grad.tolist() == [1.0, 2.0, 2.0, 2.0]


# name: (the op, whether its node keeps tensors)
SHARED = {
    "stack": lambda T, a: T.stack([a, a]), "cat": lambda T, a: T.cat([a, a]), "add": lambda T, a: a + 1, "mul": lambda T, a: a * 2,
    "view": lambda T, a: a.view(1, 3), "expand": lambda T, a: a.expand(2, 3), "sum": lambda T, a: a.sum(), "to": lambda T, a: a.double(),
    "select": lambda T, a: a[0], "slice": lambda T, a: a[:2], "mean": lambda T, a: a.mean(), "sub": lambda T, a: a - a,
    "transpose": lambda T, a: a.view(1, 3).t(), "index": lambda T, a: a[[0, 2]], "exp": lambda T, a: a.exp(), "sin": lambda T, a: a.sin(),
    "clone": lambda T, a: a.clone(), "where": lambda T, a: T.where(a > 0, a, 0.0), "cumsum": lambda T, a: a.cumsum(0),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_two_sweeps_of_a_shared_part(name):
    """A node that keeps no tensors can be swept twice, as in PyTorch; one that does cannot."""
    outcomes = []
    for T in (torch, rushlight):
        a = T.ones(3).requires_grad_()
        shared = SHARED[name](T, a)
        try:
            shared.sum().backward()
            (shared * 3).sum().backward()
            outcomes.append(a.grad.tolist())
        except RuntimeError as e:
            outcomes.append(str(e))
    assert outcomes[0] == outcomes[1]
