"""`compile(module)`: forward and backward pass are repeated each for itself, inside a program that is not compiled."""

from __future__ import annotations

import copy
import warnings

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

from .training import MODELS, Training, assert_same, mlp, run


@pytest.mark.parametrize("model", MODELS)
def test_modules_train_outside(model):
    """compile(module): loss, backward and optimizer are the caller's; results agree bit for bit."""

    def wrap(t):
        call = t.call

        def step(x, y):
            t.optimizer.zero_grad()
            loss = F.cross_entropy(call(x), y)
            loss.backward()
            t.optimizer.step()
            return loss

        return step

    eager = Training(model)
    eager.call = eager.model
    want = run(eager, wrap(eager))
    compiled = Training(model)
    compiled.call = torch.compile(compiled.model, fullgraph=True)
    got = run(compiled, wrap(compiled))
    assert got[0] == want[0]
    assert_same(got[1], want[1])
    assert "repetitions" in compiled.call.explain()


def test_modules_called_twice_before_backward():
    """Two calls whose results wait for one backward pass."""
    torch.manual_seed(0)
    model = mlp(nn.Tanh())
    compiled = torch.compile(model, fullgraph=True)
    for _ in range(8):
        a, b = torch.randn(3, 12), torch.randn(3, 12)
        grads = []
        for call in (model, compiled):
            model.zero_grad()
            (call(a) * call(b)).sum().backward()
            grads.append([p.grad.tolist() for p in model.parameters()])
        assert grads[0] == grads[1]


def test_modules_inside_a_graph():
    """An input with a history gets its gradient; so does a leaf; retain_graph allows a second pass."""
    torch.manual_seed(0)
    first, second = nn.Linear(12, 12), mlp(nn.Tanh())
    compiled = torch.compile(second, fullgraph=True)
    for i in range(7):
        x = torch.randn(3, 12, requires_grad=True)
        seen = []
        for call in (second, compiled):
            first.zero_grad()
            x.grad = None
            y = call(first(x)).sin().sum()
            y.backward(retain_graph=True)
            if i == 5:
                y.backward()
            seen.append((x.grad.tolist(), first.weight.grad.tolist()))
        assert seen[0] == seen[1]


def test_modules_notice_overwritten_parameters():
    """A parameter written between the call and backward() is the error that it is without compile."""
    model = mlp(nn.Tanh())
    compiled = torch.compile(model)
    for i in range(6):
        y = compiled(torch.randn(2, 12)).sum()
        if i == 5:
            with torch.no_grad():
                model[2].weight.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.backward()
        else:
            y.backward()


def test_module_wrapper():
    """State, settings and attributes are the original's; keys carry PyTorch's prefix."""
    model = mlp(nn.Dropout(0.5))
    compiled = torch.compile(model)
    names = [f"_orig_mod.{k}.{name}" for k in (0, 2) for name in ("weight", "bias")]
    assert [k for k, _ in compiled.named_parameters()] == names
    assert list(compiled.state_dict()) == names
    assert repr(compiled).startswith("OptimizedModule(\n  (_orig_mod): Sequential(")
    assert compiled.eval() is compiled and not model.training and not compiled.training
    compiled.train()
    assert model.training and model[1].training
    assert compiled._orig_mod is model and len(compiled) == 3
    twin = copy.deepcopy(compiled)
    assert twin._orig_mod[0] is not model[0] and isinstance(twin, type(compiled))


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x):
        return self.a(x), self.b(x)


class Views(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4)

    def forward(self, x):
        y = self.a(x)
        return y, y[:, :2]


def _edit(out):
    out[0].mul_(2)
    out[1].sum().backward()


SMALL = {
    "some results unused": (Pair, lambda x, out: out[0].sum().backward()),
    "the other results unused": (Pair, lambda x, out: out[1].sum().backward()),
    "one gradient for two results": (Pair, lambda x, out: (out[0] + out[1]).sum().backward()),
    "a transposed column": (lambda: nn.Linear(4, 1), lambda x, out: (out.t() * x[:, :1].t()).sum().backward()),
    "the argument as gradient": (lambda: nn.Linear(4, 4), lambda x, out: out.backward(x)),
    "a parameter as gradient": (lambda: nn.Linear(4, 4, bias=False), None),
    "a view of another result, edited": (Views, lambda x, out: _edit(out)),
    "sparse gradients": (lambda: nn.Sequential(_Indices(), nn.Embedding(9, 4, sparse=True)), lambda x, out: out.sum().backward()),
    "spectral norm by hook": (lambda: nn.utils.spectral_norm(nn.Linear(4, 4)), lambda x, out: out.sum().backward()),
    "attention with dropout": (lambda: _SelfAttention(), lambda x, out: out[0].sum().backward()),
}


class _Indices(nn.Module):
    def forward(self, x):
        return (x.abs() * 3).long().clamp(max=8)


class _SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)

    def forward(self, x):
        return self.attention(x[None], x[None], x[None])


@pytest.mark.parametrize("name", SMALL)
def test_uses_of_the_result(name):
    """Gradients are those of the module, None included, and so are buffers and the generator, refused or not."""
    make, use = SMALL[name]

    def results(wrap):
        torch.manual_seed(0)
        model = make()
        call, seen = wrap(model), []
        for _ in range(8):
            model.zero_grad()
            x = torch.randn(4, 4)
            out = call(x)
            use(x, out) if use else out.backward(model.weight.detach())
            grads = [p.grad for p in model.parameters()]
            seen.append([g if g is None else (g.to_dense() if g.is_sparse else g).tolist() for g in grads])
            seen.append([b.tolist() for b in model.buffers()] + [torch.get_rng_state().tolist()])
        return seen

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert results(torch.compile) == results(lambda model: model)


def test_an_overwritten_argument():
    """An argument written between the call and backward() is the error that it is without compile."""
    compiled = torch.compile(nn.Linear(4, 4), fullgraph=True)
    for _ in range(6):
        x = torch.randn(3, 4)
        y = compiled(x).sum()
        x.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
