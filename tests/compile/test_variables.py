"""Variables that a compiled function assigns tensors to hold after each call what they hold without `compile`."""

from __future__ import annotations

import warnings

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

CALLS = 24  # past the third recording


class Model(nn.Module):
    """A layer whose forward leaves something in the module; `kept()` is what."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.prepare()

    def prepare(self):
        pass


class Divergence(Model):
    def prepare(self):
        self.kl = None

    def forward(self, x):
        h = self.layer(x)
        self.kl = (h**2).mean()
        return h

    def kept(self):
        return self.kl


class Attention(Model):
    """Weights with a graph, which the result needs too."""

    def prepare(self):
        self.attention = None

    def forward(self, x):
        self.attention = F.softmax(self.layer(x) @ x.T, -1)
        return self.attention @ x

    def kept(self):
        return self.attention


class MovingMean(Model):
    """What the call before has left is read."""

    def prepare(self):
        self.mean = torch.zeros(4)

    def forward(self, x):
        h = self.layer(x)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)
        return h - self.mean

    def kept(self):
        return self.mean


class MovingBuffer(MovingMean):
    def prepare(self):
        self.register_buffer("mean", torch.zeros(4))


class Recurrent(Model):
    """A tuple of tensors, as of an LSTM that goes on where it was."""

    def prepare(self):
        self.cell, self.state = nn.LSTMCell(4, 4), (torch.zeros(5, 4), torch.zeros(5, 4))

    def forward(self, x):
        h, c = self.cell(self.layer(x), self.state)
        self.state = (h.detach(), c.detach())
        return h

    def kept(self):
        return self.state


class Several(Model):
    """One tensor under two names, a view, an element of a list and a value of a dict."""

    def prepare(self):
        self.first = self.second = self.view = None
        self.elements, self.values = [None, 1.0], {"norm": None}

    def forward(self, x):
        h = self.layer(x)
        self.first = self.second = h.detach() + 1
        self.view = self.first[1:, ::2]
        self.elements[0], self.values["norm"] = h.detach().abs(), h.detach().norm()
        return h

    def kept(self):
        return self.first, self.second, self.view, self.elements[0], self.values["norm"]


class Returned(Model):
    """What is kept is what is returned."""

    def prepare(self):
        self.out = None

    def forward(self, x):
        self.out = self.layer(x)
        return self.out

    def kept(self):
        return self.out


MODELS = [Divergence, Attention, MovingMean, MovingBuffer, Recurrent, Several, Returned]


def flat(kept):
    return kept if isinstance(kept, tuple) else (kept,)


def values(kept):
    return [t.tolist() for t in flat(kept)]


def inside(model, optimizer):
    """The whole step is compiled."""

    def step(x):
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


def train(cls, way, wrap, between=lambda model, k: None):
    """Losses and kept values of each call, and the parameters at the end."""
    torch.manual_seed(0)
    model = cls()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    if way == "step":
        call = wrap(inside(model, optimizer))
    else:
        called = wrap(model)

        def call(x):
            optimizer.zero_grad()
            loss = called(x).sum()
            if way == "module and what it keeps":
                loss = loss + sum(t.sum() for t in flat(model.kept()))
            loss.backward()
            optimizer.step()
            return loss.detach()

    seen = []
    for k in range(CALLS):
        between(model, k)
        seen.append((call(torch.randn(5, 4)).item(), values(model.kept())))
    return seen, [p.tolist() for p in model.parameters()], call if way == "step" else called


@pytest.mark.parametrize("way", ["step", "module", "module and what it keeps"])
@pytest.mark.parametrize("cls", MODELS)
def test_attributes(cls, way):
    want = train(cls, way, lambda f: f)
    got = train(cls, way, lambda f: torch.compile(f, fullgraph=True))
    assert got[0] == want[0]
    assert got[1] == want[1]
    assert "repetitions" in got[2].explain()


CHANGES = {
    "reset to a number": lambda m: setattr(m, "mean", 0.0),
    "another tensor": lambda m: setattr(m, "mean", torch.ones(4)),
    "another shape": lambda m: setattr(m, "mean", torch.ones(1, 4)),
    "another dtype": lambda m: setattr(m, "mean", torch.ones(4, dtype=torch.float64)),
    "written in place": lambda m: m.mean.mul_(0.5),
    "the memory of a parameter": lambda m: setattr(m, "mean", m.layer.bias.detach()),
    "not used for a while": lambda m: m.train(not m.training),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.filterwarnings("ignore:.*is not compiled and runs as it is")  # a parameter's memory must not be an argument's
def test_changed_between_calls(change):
    """By the caller: the next call sees it."""

    def between(model, k):
        if k in (7, 11, 20):
            CHANGES[change](model)

    want = train(MovingMean, "step", lambda f: f, between)
    got = train(MovingMean, "step", lambda f: torch.compile(f), between)
    assert got[:2] == want[:2]


def test_names_and_variables_of_functions():
    """A global name, and a variable of a function around."""

    def build():
        hidden = torch.zeros(3)

        def step(x):
            nonlocal hidden
            global LAST
            hidden = torch.tanh(hidden + x)
            LAST = hidden * 2
            return x + 1

        return step, lambda: (hidden, LAST)

    seen = []
    for wrap in (lambda f: f, lambda f: torch.compile(f, fullgraph=True)):
        step, kept = build()
        run = wrap(step)
        torch.manual_seed(0)
        seen.append([(run(torch.randn(3)).tolist(), values(kept())) for _ in range(CALLS)])
    assert seen[0] == seen[1]
    assert "repetitions" in run.explain()


LAST = torch.zeros(3)


def test_gradients_of_what_is_kept():
    """Parameters that it does not depend on get none, as without compile."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.encode, self.decode, self.code = nn.Linear(3, 2), nn.Linear(2, 3), None

        def forward(self, x):
            self.code = torch.tanh(self.encode(x))
            return self.decode(self.code)

    torch.manual_seed(0)
    net, x = Net(), torch.randn(4, 3)
    compiled = torch.compile(net, fullgraph=True)
    for _ in range(6):
        grads = []
        for call in (net, compiled):
            net.zero_grad()
            call(x)
            net.code.sum().backward()
            grads.append([None if p.grad is None else p.grad.tolist() for p in net.parameters()])
        assert grads[0] == grads[1]
        assert grads[0][2] is None
    assert "repetitions" in compiled.explain()


def test_results_outlive_the_next_call():
    """What a variable held is not written again."""
    torch.manual_seed(0)
    net = Divergence()
    step = torch.compile(lambda x: net(x).detach(), fullgraph=True)
    history, want = [], []
    for _ in range(8):
        x = torch.randn(5, 4)
        step(x)
        history.append(net.kl)
        want.append((net.layer(x) ** 2).mean())
    assert values(tuple(history)) == values(tuple(want))


def test_the_same_memory_by_another_name():
    """A tensor that is read under a second name, which nobody assigns to: run as it is, with right results."""
    state, other = {"h": torch.zeros(3)}, {}
    other["h"] = state["h"]

    def step(x):
        state["h"] = state["h"] + x + other["h"]
        return x + 1

    compiled = torch.compile(step)
    want = torch.zeros(3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k in range(30):
            other["h"] = state["h"]
            compiled(torch.full((3,), 0.25))
            want = want + 0.25 + want
            assert state["h"].tolist() == want.tolist(), k


def test_a_graph_that_goes_on():
    """A hidden state that is not detached: the error of the second backward pass."""
    hidden = {"h": torch.zeros(3)}
    weight = torch.ones(3, requires_grad=True)

    def step(x):
        hidden["h"] = torch.tanh(hidden["h"] * weight + x)
        hidden["h"].sum().backward()
        return x + 1

    compiled = torch.compile(step)
    compiled(torch.ones(3))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        for _ in range(4):
            compiled(torch.ones(3))
