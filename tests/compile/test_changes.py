"""Whatever a function reaches may be changed between its calls: each has the effect that it has without compile."""

from __future__ import annotations

import argparse
import collections
import gc
import threading
import types
import warnings
import weakref

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

from .training import Training


class ByClass:
    scale = 2.0


class Slots:
    __slots__ = ("scale",)

    def __init__(self):
        self.scale = 2.0


class Property:
    def __init__(self):
        self.hidden = 2.0

    @property
    def scale(self):
        return self.hidden + 1


class Methods:
    def __init__(self):
        self.settings = {"scale": 2.0}

    def inner(self, x):
        return x * self.settings["scale"]

    def outer(self, x):
        return self.inner(x)


class Holder(nn.Module):
    """A module with settings that are no numbers, used in a method of its own."""

    def __init__(self):
        super().__init__()
        self.act, self.scales, self.config = F.relu, [2.0], types.SimpleNamespace(shift=1.0)

    def helper(self, x):
        return x * self.scales[0] + self.config.shift

    def forward(self, x):
        return self.act(self.helper(x))


def _table():
    """Name -> (function of x, change)."""
    table = {}

    def row(name, fn, change):
        table[name] = (fn, change)

    def dictionary():
        d = {"scale": 2.0}
        row("value in a dict", lambda x: x * d["scale"], lambda: d.update(scale=3.0))

    def nested():
        d = {"a": [{"scale": 2.0}]}
        row("value deep in containers", lambda x: x * d["a"][0]["scale"], lambda: d["a"][0].update(scale=3.0))

    def tensor_list():
        held = [torch.ones(3)]
        row("tensor in a list", lambda x: x * held[0], lambda: held.__setitem__(0, torch.full((3,), 3.0)))

    def deque():
        d = collections.deque([2.0])
        row("value in a deque", lambda x: x * d[0], lambda: d.__setitem__(0, 3.0))

    def namespace():
        n = argparse.Namespace(scale=2.0)
        row("argparse's result", lambda x: x * n.scale, lambda: setattr(n, "scale", 3.0))

    def objects():
        a, s, p, m = ByClass(), Slots(), Property(), Methods()
        row("attribute of the class, then of the object", lambda x: x * a.scale, lambda: setattr(a, "scale", 3.0))
        row("slot", lambda x: x * s.scale, lambda: setattr(s, "scale", 3.0))
        row("property", lambda x: x * p.scale, lambda: setattr(p, "hidden", 3.0))
        row("what a method of a method reads", m.outer, lambda: m.settings.update(scale=3.0))

    def two_functions():
        n = types.SimpleNamespace(a=2.0, b=2.0)

        def helper(x):
            return x * n.b

        row("one object in two functions", lambda x: helper(x) * n.a, lambda: setattr(n, "b", 3.0))

    def modules():
        one, two, three, four = (Holder() for _ in range(4))
        row("function that a module holds", lambda x: one(x), lambda: setattr(one, "act", torch.tanh))
        row("list that a module holds", lambda x: two(x), lambda: two.scales.__setitem__(0, 3.0))
        row("object that a module holds", lambda x: three(x), lambda: setattr(three.config, "shift", 3.0))
        row("forward of one module", lambda x: four(x), lambda: setattr(four, "forward", lambda x: x * 7))

    def arrays():
        a, b = np.full(3, 2.0, np.float32), np.full(3, 2.0, np.float32)
        row("elements of a NumPy array, copied", lambda x: x * torch.tensor(a), lambda: a.fill(3.0))
        row("elements of a NumPy array, as numbers", lambda x: x * float(b[0]), lambda: b.fill(3.0))

    def default():
        d = {"scale": 2.0}

        def fn(x, *, settings=d):
            return x * settings["scale"]

        row("default value of a parameter", fn, lambda: d.update(scale=3.0))

    def sign():
        d = {"scale": 0.0}
        row("the sign of zero", lambda x: 1 / (x * d["scale"]), lambda: d.update(scale=-0.0))

    for make in (dictionary, nested, tensor_list, deque, namespace, objects, two_functions, modules, arrays, default, sign):
        make()
    return table


@pytest.mark.parametrize("name", _table())
def test_changes_are_noticed_at_once(name):
    """The first call after a change already has it, and the function is still compiled."""
    fn, change = _table()[name]
    compiled, x = torch.compile(fn, fullgraph=True), torch.tensor([1.0, 2.0, 3.0])
    before = fn(x).tolist()
    for _ in range(6):
        assert compiled(x).tolist() == before
    change()
    after = fn(x).tolist()
    assert after != before
    for _ in range(6):
        assert compiled(x).tolist() == after
    assert len(compiled._steps) == 2, compiled.explain()


def test_gradients_made_outside():
    """A step that only reads `.grad`, of parameters that belong to no module: another gradient is noticed."""
    w = nn.Parameter(torch.ones(3))
    parameters = [w]

    @torch.compile(fullgraph=True)
    def halve():
        with torch.no_grad():
            for p in parameters:
                p.grad.mul_(0.5)

    kept = []
    (w * 8).sum().backward()
    for _ in range(3):
        halve()
    assert w.grad.tolist() == [1.0] * 3
    for i in range(6):
        kept.append(w.grad)
        w.grad = None
        (w * float(i)).sum().backward()
        halve()
        assert w.grad.tolist() == [i / 2] * 3


def test_an_argument_that_is_also_reached_otherwise():
    """The same buffer as argument and variable is another kind of call than two tensors."""
    buffer = torch.ones(3)

    @torch.compile(fullgraph=True)
    def fn(x):
        y = x * 2
        buffer.add_(1)
        return y + x

    for i in range(18):
        buffer.fill_(1.0)
        same = i % 3 == 2
        assert fn(buffer if same else torch.full((3,), float(i))).tolist() == [4.0 if same else 3.0 * i] * 3
        assert buffer.tolist() == [2.0] * 3


def test_written_arguments_count_as_written():
    """A graph outside that has saved an argument notices that the step wrote it."""
    w = torch.ones(3, requires_grad=True)
    fn = torch.compile(lambda x: x.add_(1) * 2, fullgraph=True)
    for _ in range(6):
        x = torch.ones(3)
        loss = (w * x).sum()
        fn(x)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_results_that_are_no_tensors():
    """Numbers that differ at every call, and objects, are not repeated."""
    count = iter(range(1000))
    ticking = torch.compile(lambda x: (x * 2, next(count)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert [ticking(torch.ones(1))[1] for _ in range(40)] == list(range(40))
    assert "it returns 25, and returned 24 before" in ticking.explain()
    boxed = torch.compile(lambda x: {3, int(x.shape[0])})
    boxed(torch.ones(2))
    with pytest.warns(UserWarning, match="it returns a set, which cannot be made anew"):
        boxed(torch.ones(2))


def test_options_changed_inside_a_step():
    """A learning rate that the step itself changes is Python's: the step runs as it is."""
    t = Training("mlp", "sgd")

    def step(x, y):
        t.optimizer.zero_grad()
        F.cross_entropy(t.model(x), y).backward()
        for group in t.optimizer.param_groups:
            group["lr"] *= 0.5
        t.optimizer.step()

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="it changes the option 'lr' of SGD"):
        for x, y in t.batches[:8]:
            compiled(x, y)
    assert t.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**8


def test_gradients_after_an_error():
    """A repetition that raises leaves cleared gradients, as the step does."""
    t = Training("mlp", "sgd")
    step = torch.compile(t.make_step(), fullgraph=True)
    for x, y in t.batches[:6]:
        step(x, y)
    with pytest.raises(IndexError, match="out of bounds"):
        step(t.batches[6][0], torch.full_like(t.batches[6][1], 9))
    assert all(p.grad is None for p in t.model.parameters())
    step(*t.batches[7])
    assert all(p.grad is not None for p in t.model.parameters())


class Owner:
    """Holds its own compiled method, which refers back to it."""

    def __init__(self):
        self.model = nn.Linear(3, 3)
        self.step = torch.compile(self.run, fullgraph=True)

    def run(self, x):
        return self.model(x).detach()


def test_recordings_are_collected():
    """A cycle through a recording is garbage like any other."""
    owner = Owner()
    for _ in range(6):
        owner.step(torch.ones(2, 3))
    assert owner.step._steps
    model = weakref.ref(owner.model)
    del owner
    gc.collect()
    assert model() is None


def test_recordings_of_many_shapes_are_limited():
    """Old shapes are forgotten with their memory."""
    fn = torch.compile(lambda x: (x.exp() + 1).sum(), fullgraph=True)
    for n in range(1, 25):
        for _ in range(16):
            assert fn(torch.zeros(n)).item() == 2 * n
    assert len(fn._steps) == 16
    assert sum(s is not None for s in fn._pending.values()) <= 16


def test_calls_from_several_threads():
    """One function called from many threads at once: each gets its own result."""
    torch.manual_seed(0)
    model, wrong = nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)), []

    @torch.compile(fullgraph=True)
    def infer(x):
        with torch.no_grad():
            return model(x)

    def work(k):
        try:
            x = torch.full((16, 32), float(k))
            with torch.no_grad():
                want = model(x)
            wrong.extend(1 for _ in range(100) if not torch.equal(infer(x), want))
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_globals_that_attributes_are_called_like(tmp_path):
    """`loss = step(x)` in a script whose step calls `model.loss`: the step does not use the global."""
    script = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 1)

    def loss(self, x):
        return self.layer(x).square().mean()

net = Net()

def step(x):
    net.zero_grad()
    out = net.loss(x)
    out.backward()
    return out.detach()

compiled = torch.compile(step, fullgraph=True)
for _ in range(40):
    loss = compiled(torch.randn(4, 3))
"""
    names = {"torch": torch, "nn": nn, "__name__": "script"}
    exec(compile(script, str(tmp_path / "script.py"), "exec"), names)  # noqa: S102 - globals are a script's
    assert "repetitions" in names["compiled"].explain()
