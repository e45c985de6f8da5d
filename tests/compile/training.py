"""Networks and training steps for the tests of `compile`, and how a compiled step is compared with the step itself."""

from __future__ import annotations

import numpy as np

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

CALLS = 24  # past the first verification, at the 16th repetition


def mlp(*middle):
    return nn.Sequential(nn.Linear(12, 16), *middle, nn.Linear(16, 4))


def convolutional():
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(8, 4))  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.rnn, self.head = layer, nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.rnn(x.view(-1, 4, 3))[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True), 2)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x.view(-1, 4, 3))).flatten(1))


class Swish(nn.Module):
    """An activation written out, with numbers, broadcasting and a comparison."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(16))

    def forward(self, x):
        y = x * torch.sigmoid(self.beta * x)
        return torch.where(y > 0.5, y - 0.25 * (y - 0.5), y) * 1.5 + 0.1


MODELS = {
    "mlp": lambda: mlp(nn.ReLU()),
    "dropout": lambda: mlp(nn.Tanh(), nn.Dropout(0.4)),
    "convolution and batch norm": convolutional,
    "layer norm and gelu": lambda: mlp(nn.LayerNorm(16), nn.GELU()),
    "lstm": lambda: Recurrent(nn.LSTM(3, 8, 2, batch_first=True)),
    "gru": lambda: Recurrent(nn.GRU(3, 8, batch_first=True)),
    "transformer": Attention,
    "own activation": lambda: mlp(Swish()),
    "float64": lambda: mlp(nn.ELU()).double(),
}

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05, weight_decay=1e-3),
    "muon": lambda p: torch.optim.Muon([q for q in p if q.ndim == 2], lr=0.05),
}


class Training:
    """A network with its data, and everything that a step changes."""

    def __init__(self, model="mlp", optimizer="adam", rows=8):
        torch.manual_seed(5)
        self.model = MODELS[model]()
        dtype = next(self.model.parameters()).dtype
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.batches = [(torch.randn(rows, 12, dtype=dtype), torch.randint(0, 4, (rows,))) for _ in range(CALLS)]

    def make_step(self):
        model, optimizer = self.model, self.optimizer

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            return loss

        return step

    def state(self):
        out = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        out.update({f"{k}.grad": p.grad for k, p in self.model.named_parameters() if p.grad is not None})
        for i, s in self.optimizer.state_dict()["state"].items():
            out.update({f"optimizer.{i}.{k}": v for k, v in s.items() if isinstance(v, torch.Tensor)})
        out["rng"] = torch.get_rng_state()
        return {k: v.detach().numpy().copy() for k, v in out.items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for k in a:
        np.testing.assert_array_equal(a[k], b[k], err_msg=k)


def run(training, step, between=lambda training, i: None):
    losses = []
    for i, (x, y) in enumerate(training.batches):
        between(training, i)
        losses.append(step(x, y).item())
    return losses, training.state()


def compare(make, between=lambda training, i: None, wrap=lambda t: t.make_step(), repetitions=10):
    """The step as it is and compiled: same losses and same state; returns the compiled function."""
    eager = make()
    want = run(eager, wrap(eager), between)
    compiled = make()  # the generator starts again
    fn = torch.compile(wrap(compiled), fullgraph=True)
    got = run(compiled, fn, between)
    assert got[0] == want[0]
    assert_same(got[1], want[1])
    assert sum(s.native.runs for s in fn._steps) >= repetitions, fn.explain()
    return fn
