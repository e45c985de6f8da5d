"""`utils.checkpoint`: the gradients of the function itself, with less kept; errors and warnings are PyTorch's."""

from __future__ import annotations

import gc
import warnings
import weakref

import numpy as np
import pytest
import torch

import rushlight
from rushlight import nn
from rushlight.nn import functional as F
from rushlight.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential, set_checkpoint_early_stop

BOTH = pytest.mark.parametrize("reentrant", [False, True], ids=["graph", "reentrant"])


class Double(rushlight.autograd.Function):
    """x * x * 2, which saves an input and an output."""

    @staticmethod
    def forward(ctx, x):
        y = x * x
        ctx.save_for_backward(x, y)
        return y * 2

    @staticmethod
    def backward(ctx, g):
        x, y = ctx.saved_tensors
        return 4 * x * g + 0 * y


def inplace(x):
    y = x * 2
    y[0] = x[1].exp()
    y.relu_()
    return y.sin() * y


def views(x):
    a, b = x.chunk(2, -1)
    return (a.transpose(0, 1).contiguous().exp().t() * b.sigmoid()).cumsum(0)


def make_conv():
    net = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 6))
    return net, lambda x: net(rushlight.stack([x, x * 2]).reshape(2, 2, 4, 6)), (4, 12)


def make_block():
    block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True)
    return block, lambda x: block(x.reshape(2, 3, 8)), (6, 8)


def make_rnn():
    rnn = nn.LSTM(6, 5, 2, dropout=0.5, batch_first=True)
    return rnn, lambda x: rnn(x.reshape(2, 4, 6))[0], (8, 6)


def make_mlp():
    net = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(0.5), nn.LayerNorm(16), nn.Linear(16, 6), nn.Softmax(-1))
    return net, net, (5, 6)


def make_plain(fn):
    return lambda: (nn.Identity(), fn, (4, 6))


def make_closure():
    """A function that uses a parameter without being given it."""
    holder = nn.Linear(6, 1)
    return holder, lambda x: (x * holder.weight).tanh() * holder.weight, (4, 6)


CASES = {
    "mlp": make_mlp, "conv": make_conv, "block": make_block, "rnn": make_rnn, "inplace": make_plain(inplace), "views": make_plain(views),
    "function": make_plain(lambda x: Double.apply(x).sin()), "cat": make_plain(lambda x: rushlight.cat([x, x.exp(), x * x]).softmax(0)),
    "indexing": make_plain(lambda x: x[[0, 2]].exp().sum() * x[1:, ::2].prod()),
    "closure": make_closure,
    "einsum": make_plain(lambda x: rushlight.einsum("ij,kj->ik", x, x.exp()).relu()),
    "gumbel": make_plain(lambda x: F.gumbel_softmax(x, dim=-1) * x),
}  # fmt: skip


def gradients(case, wrap):
    """Results and gradients of two calls one after the other, and the generator's state."""
    rushlight.manual_seed(1)
    module, fn, shape = CASES[case]()
    x = rushlight.from_numpy(np.random.default_rng(3).standard_normal(shape).astype(np.float32)).requires_grad_()
    h = wrap(fn, x * 1.5)
    out = wrap(lambda h: (h * h).exp().sum(), h.tanh())
    rushlight.manual_seed(5)  # what has been drawn since does not matter
    out.backward()
    grads = [x.grad, *(p.grad for p in module.parameters())]
    return [h, out, *grads], rushlight.get_rng_state()


@BOTH
@pytest.mark.parametrize("case", CASES)
def test_same_gradients(case, reentrant):
    """Bit for bit what the function's own graph gives, random numbers included."""
    want, state = gradients(case, lambda f, x: f(x))
    got, after = gradients(case, lambda f, x: checkpoint(f, x, use_reentrant=reentrant))
    for g, w in zip(got, want, strict=True):
        assert (g is None) == (w is None)
        if w is not None:
            np.testing.assert_array_equal(g.detach().numpy(), w.detach().numpy())
    np.testing.assert_array_equal(after.numpy(), state.numpy())


def test_nested():
    """Checkpoints in checkpoints, three deep."""

    def deep(x, n):
        if n == 0:
            return (x.sin() * x).exp()
        y = checkpoint(deep, x * 1.1, n - 1, use_reentrant=False)
        return y.tanh() + x.cos()

    results = []
    for n, call in ((3, checkpoint), (3, None)):
        x = rushlight.linspace(0, 1, 7).requires_grad_()

        def plain(x, n):
            return (x.sin() * x).exp() if n == 0 else plain(x * 1.1, n - 1).tanh() + x.cos()

        y = checkpoint(deep, x, n, use_reentrant=False) if call else plain(x, n)
        (g,) = rushlight.autograd.grad(y.sum(), x, create_graph=True)
        (gg,) = rushlight.autograd.grad((g * g).sum(), x)
        results.append([v.detach().numpy() for v in (y, g, gg)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def test_second_derivatives_and_parts():
    """create_graph, retain_graph, gradients of inner tensors and of given inputs only."""
    results = []
    for use in (True, False):
        x = rushlight.linspace(-1, 1, 5).requires_grad_()
        w = rushlight.full((5,), 0.7).requires_grad_()
        fn = lambda x: (x.exp() * w).sin() * x  # noqa: B023, E731
        y = checkpoint(fn, x * 2, use_reentrant=False) if use else fn(x * 2)
        (gx,) = rushlight.autograd.grad(y.sum(), x, retain_graph=True)
        (gw,) = rushlight.autograd.grad(y.sum(), w, create_graph=True)
        (gwx,) = rushlight.autograd.grad(gw.sum(), x, retain_graph=True)
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.sum().backward()
        results.append([v.detach().numpy() for v in (gx, gw, gwx, x.grad, w.grad)])
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@BOTH
def test_memory(reentrant):
    """Nothing that the function makes is alive after the forward pass, or after the backward pass."""
    seen = []

    def fn(x):
        for _ in range(4):
            x = x.exp().sin()
            seen.append(weakref.ref(x))
        return x * 1.0

    x = rushlight.ones(3).requires_grad_()
    y = checkpoint(fn, x, use_reentrant=reentrant)
    assert [r() for r in seen] == [None] * 4
    y.sum().backward()
    assert len(seen) in (7, 8) and not any(r() is not None for r in seen)  # without the garbage collector


def test_outputs_and_arguments():
    """Tuples, dicts, other values; keyword arguments; several tensors, with and without gradient."""

    def fn(a, n, b=None):
        return {"sum": (a.exp() + b).sin(), "more": [a * b.cos(), n], "none": None}

    results = []
    for use in (True, False):
        a, b = rushlight.ones(3).requires_grad_(), rushlight.linspace(0, 1, 3).requires_grad_()
        out = checkpoint(fn, a, 3, b=b, use_reentrant=False) if use else fn(a, 3, b=b)
        assert out["more"][1] == 3 and out["none"] is None
        (out["sum"] * out["more"][0]).sum().backward()
        results.append((a.grad.numpy(), b.grad.numpy()))
    for g, w in zip(*results, strict=True):
        np.testing.assert_array_equal(g, w)


@BOTH
def test_sequential(reentrant):
    """Parts of a Sequential, or of a list of functions."""
    rushlight.manual_seed(0)
    net = nn.Sequential(*(layer for _ in range(5) for layer in (nn.Linear(4, 4), nn.Tanh())))
    x = rushlight.rand(3, 4).requires_grad_()
    want = rushlight.autograd.grad(net(x).sum(), [x, *net.parameters()])
    for functions in (net, list(net)):
        net.zero_grad()
        x.grad = None
        checkpoint_sequential(functions, 3, x, use_reentrant=reentrant).sum().backward()
        for g, w in zip([x.grad, *(p.grad for p in net.parameters())], want, strict=True):
            np.testing.assert_array_equal(g.numpy(), w.numpy())


@BOTH
def test_autocast(reentrant):
    """The second call computes in the types of the first, outside of the context."""
    rushlight.manual_seed(0)
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    grads = []
    for use in (True, False):
        x = rushlight.linspace(0, 1, 16).reshape(2, 8).requires_grad_()
        net.zero_grad()
        with rushlight.autocast("cpu", dtype=rushlight.bfloat16):
            y = checkpoint(net, x, use_reentrant=reentrant) if use else net(x)
            assert y.dtype is rushlight.bfloat16
        y.float().sum().backward()
        grads.append([x.grad.numpy(), *(p.grad.numpy() for p in net.parameters())])
    for g, w in zip(*grads, strict=True):
        np.testing.assert_array_equal(g, w)


def test_random_numbers_not_preserved():
    """Without the first call's state the second one draws others."""
    x = rushlight.ones(1000).requires_grad_()
    y = checkpoint(lambda x: F.dropout(x.exp(), 0.5), x, use_reentrant=False, preserve_rng_state=False)
    y.sum().backward()
    assert ((x.grad != 0) != (y != 0)).any()


def test_contexts():
    """`context_fn` surrounds the first call and the second."""
    calls = []

    class Noted:
        def __init__(self, name):
            self.name = name

        def __enter__(self):
            calls.append(f"enter {self.name}")

        def __exit__(self, *exc):
            calls.append(f"exit {self.name}")

    x = rushlight.ones(2).requires_grad_()
    y = checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False, context_fn=lambda: (Noted("first"), Noted("second")))
    assert calls == ["enter first", "exit first"]
    y.sum().backward()
    assert calls[2:] == ["enter second", "exit second"]


def outcome(T, fn):
    """What a call returns or raises, and warns, in one of the libraries."""
    C = __import__(f"{T.__name__}.utils.checkpoint", fromlist=["checkpoint"])
    T.manual_seed(0)
    x = T.ones(2, 3).requires_grad_()
    count = [0]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        try:
            result = fn(T, C, x, T.nn.Linear(3, 3), count)
            result = result.detach().numpy().tolist() if isinstance(result, T.Tensor) else result
        except Exception as e:  # noqa: BLE001
            result = type(e).__name__, str(e).replace("rushlight", "torch").split("\n\nTip:")[0].strip()
    gc.collect()
    return result, [(w.category.__name__, str(w.message)) for w in seen]


def second_time(then, now):
    """A function that does something else when it is called again."""

    def run(T, C, x, lin, count, **options):
        def fn(x):
            count[0] += 1
            return then(x) if count[0] == 1 else now(x)

        C.checkpoint(fn, x, use_reentrant=False, **options).sum().backward()
        return x.grad

    return run


def with_options(run, **options):
    return lambda *args: run(*args, **options)


SHORTER = second_time(lambda x: x.exp().sin().cos(), lambda x: x.sin().cos())
LONGER = second_time(lambda x: x.exp().sin(), lambda x: x.exp().sin().cos())
OTHER_SHAPE = second_time(lambda x: x.exp().sin(), lambda x: x[:1].exp().sin())
OTHER_TYPE = second_time(lambda x: x.exp().sin(), lambda x: x.double().exp().sin())
OUTCOMES = {
    "no choice": lambda T, C, x, lin, n: C.checkpoint(lin, x),
    "no gradient, reentrant": lambda T, C, x, lin, n: C.checkpoint(lin, x.detach(), use_reentrant=True),
    "no gradient": lambda T, C, x, lin, n: C.checkpoint(lin, x.detach(), use_reentrant=False).requires_grad,
    "keyword": lambda T, C, x, lin, n: C.checkpoint(lin, x, use_reentrant=True, foo=3),
    "context": lambda T, C, x, lin, n: C.checkpoint(lin, x, use_reentrant=True, context_fn=lambda: 1),
    "debug": lambda T, C, x, lin, n: C.checkpoint(lin, x, use_reentrant=True, debug=True),
    "determinism": lambda T, C, x, lin, n: C.checkpoint(lin, x, use_reentrant=False, determinism_check="foo"),
    "grad": lambda T, C, x, lin, n: T.autograd.grad(C.checkpoint(lin, x, use_reentrant=True).sum(), x),
    "detached": lambda T, C, x, lin, n: C.checkpoint(lambda x: x.exp().detach(), x, use_reentrant=True).sum().backward(),
    "shorter": SHORTER, "longer": LONGER, "longer, all of it": with_options(LONGER, early_stop=False), "shape": OTHER_SHAPE,
    "type": OTHER_TYPE, "shape unchecked": with_options(OTHER_TYPE, determinism_check="none"),
    "sequential": lambda T, C, x, lin, n: C.checkpoint_sequential(T.nn.Sequential(lin, T.nn.Tanh()), 2, x).sum(),
    "sequential keyword": lambda T, C, x, lin, n: C.checkpoint_sequential([lin, lin], 2, x, use_reentrant=True, foo=3),
    "calls": lambda *args: calls(*args),
    "overwritten": lambda T, C, x, lin, n: overwritten(T, C, x),
    "name": lambda T, C, x, lin, n: (C.checkpoint(lin, x, use_reentrant=True).grad_fn.name(),
                                     C.checkpoint(lambda x: x.exp().sin(), x, use_reentrant=False).grad_fn.name()),
}  # fmt: skip


def calls(T, C, x, lin, n):
    """How far a function gets, each time it is called."""
    seen = []

    def step(name, value):
        seen.append(name)
        return value

    def inner(y):
        return step("mul", step("tanh", y.tanh()) * y)

    ends = {
        "input": lambda x: step("sin", step("exp", x.exp()).sin()),
        "output": lambda x: step("exp", step("sin", x.sin()).exp()),
        "nothing": lambda x: step("add", step("sin", step("exp", x.exp()).sin()) + 1),
        "linear": lambda x: step("linear", lin(step("exp", x.exp()))),
        "function": lambda x: step("add", step("square", Square(T).apply(step("exp", x.exp()))) + 1),
        "nested": lambda x: step("sin", C.checkpoint(inner, step("exp", x.exp()), use_reentrant=False).sin()),
    }
    for name, fn in ends.items():
        for early in (True, False):
            seen.append(f"{name} {early}")
            y = C.checkpoint(fn, x, use_reentrant=False, early_stop=early)
            seen.append("backward")
            y.sum().backward()
    return seen


def Square(T):
    class Square(T.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            return 2 * ctx.saved_tensors[0] * g

    return Square


def overwritten(T, C, x):
    h = x * 2
    y = C.checkpoint(lambda h: h.exp().sin(), h, use_reentrant=False)
    h.add_(1)
    try:
        y.sum().backward()
    except RuntimeError as e:
        return str(e).split(":")[0]


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes(name):
    """Results, errors and warnings are PyTorch's."""
    theirs, ours = (outcome(T, OUTCOMES[name]) for T in (torch, rushlight))
    assert ours[1] == theirs[1]
    if isinstance(theirs[0], float) or isinstance(theirs[0], list) and not isinstance(theirs[0][0], str):
        np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5)
    else:
        assert ours[0] == theirs[0]


def test_early_stop_setting():
    """The context decides over the argument."""
    x = rushlight.ones(2).requires_grad_()
    count = [0]

    def fn(x):
        count[0] += 1
        y = x.exp().sin()
        return y if count[0] == 1 else y.cos()

    with set_checkpoint_early_stop(False):
        y = checkpoint(fn, x, use_reentrant=False)
    with pytest.raises(CheckpointError, match="trying to save more tensors"):
        y.sum().backward()


@BOTH
def test_compiled(reentrant):
    """A recorded step with checkpoints gives eager mode's numbers bit for bit."""
    results = []
    for compiled in (False, True):
        rushlight.manual_seed(0)
        blocks = nn.ModuleList(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True) for _ in range(2))
        head = nn.Linear(8, 3)
        optimizer = rushlight.optim.AdamW([*blocks.parameters(), *head.parameters()], lr=1e-3)

        def step(x, target, blocks=blocks, head=head, optimizer=optimizer):
            optimizer.zero_grad()
            h = x.detach().requires_grad_()
            for block in blocks:
                h = checkpoint(block, h, use_reentrant=reentrant)
            loss = F.cross_entropy(head(h).reshape(-1, 3), target)
            loss.backward()
            optimizer.step()
            return loss.detach()

        run = rushlight.compile(step, fullgraph=True) if compiled else step
        rng = np.random.default_rng(0)
        losses = []
        for _ in range(6):
            x = rushlight.from_numpy(rng.standard_normal((2, 4, 8)).astype(np.float32))
            losses.append(run(x, rushlight.from_numpy(rng.integers(0, 3, 8))).item())
        results.append((losses, [p.detach().numpy().copy() for p in blocks.parameters()], rushlight.get_rng_state().numpy().copy()))
    assert results[0][0] == results[1][0]
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(results[0][2], results[1][2])


@BOTH
def test_compiled_module(reentrant):
    """A compiled module whose forward uses checkpoints, with its backward pass outside."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 4)

        def forward(self, x):
            return checkpoint(lambda x: self.b(self.a(x).exp().sin()), x, use_reentrant=reentrant)

    rushlight.manual_seed(0)
    net = Net()
    compiled = rushlight.compile(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what cannot be recorded runs as it is
        for _ in range(5):
            x = rushlight.rand(3, 4).requires_grad_()
            grads = []
            for f in (net, compiled):
                net.zero_grad()
                x.grad = None
                f(x).sum().backward()
                grads.append([x.grad.numpy().copy(), *(p.grad.numpy().copy() for p in net.parameters())])
            for g, w in zip(*grads, strict=True):
                np.testing.assert_array_equal(g, w)
