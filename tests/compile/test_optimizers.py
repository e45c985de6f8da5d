"""Every optimizer's step, compiled: the same bits as without, whatever its options, schedule and parameters; or a clear no."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

CALLS = 22  # past the first verification, at the 16th repetition

RULES = {
    "SGD": dict(lr=0.1),
    "SGD with momentum": dict(lr=0.05, momentum=0.9, nesterov=True),
    "SGD with dampening": dict(lr=0.05, momentum=0.9, dampening=0.5),
    "Adam": dict(lr=0.01),
    "Adam with amsgrad": dict(lr=0.01, amsgrad=True),
    "AdamW": dict(lr=0.01),
    "NAdam": dict(lr=0.01),
    "RAdam": dict(lr=0.01, betas=(0.9, 0.8)),
    "Adamax": dict(lr=0.01),
    "Adagrad": dict(lr=0.05, lr_decay=0.1),
    "Adadelta": {},
    "RMSprop": dict(lr=0.01, momentum=0.5, centered=True),
    "Rprop": dict(lr=0.01),
    "ASGD": dict(lr=0.05, t0=5),
    "Adafactor": dict(lr=0.05),
    "Muon": dict(lr=0.05),
}


class Training:
    """A network of matrices and vectors, some frozen and some of odd layouts, and its optimizer."""

    def __init__(self, rule, odd=False, frozen=False, **options):
        torch.manual_seed(3)
        name = rule.split()[0]
        self.model = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 16), nn.Dropout(0.2), nn.Linear(16, 4))
        if odd:
            self.model[0].weight = nn.Parameter(torch.randn(12, 16).t())
            self.model[2].weight = nn.Parameter(torch.randn(16, 32)[:, ::2])
        if frozen:
            self.model[2].weight.requires_grad_(False)
            self.model[0].bias.requires_grad_(False)
        params = [p for p in self.model.parameters() if name != "Muon" or p.ndim == 2]
        self.optimizer = getattr(torch.optim, name)(params, **RULES[rule], **options)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, CALLS)
        self.batches = [(torch.randn(8, 12), torch.randint(0, 4, (8,))) for _ in range(CALLS)]

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def run(self, step, after=lambda t, i: None):
        """The losses, then all parameters and states."""
        out = []
        for i, (x, y) in enumerate(self.batches):
            out.append(step(x, y).numpy())
            after(self, i)
        out += [p.detach().numpy() for p in self.model.parameters()]
        for own in self.optimizer.state_dict()["state"].values():
            out += [v.numpy() for v in own.values()]
        return out


def compare(after=lambda t, i: None, **options):
    eager, compiled = Training(**options), Training(**options)
    torch.manual_seed(0)
    want = eager.run(eager.step, after)
    fn = torch.compile(compiled.step, fullgraph=True)
    torch.manual_seed(0)
    got = compiled.run(fn, after)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert fn._steps and fn._steps[0].native.runs > 0, fn.explain()
    return fn


def anneal(t, i):
    t.schedule.step()


@pytest.mark.parametrize("frozen", [False, True], ids=["all", "some frozen"])
@pytest.mark.parametrize("odd", [False, True], ids=["contiguous", "odd layouts"])
@pytest.mark.parametrize("rule", RULES)
def test_rules(rule, odd, frozen):
    """With a schedule between the calls; no rate needs a new recording."""
    assert compare(anneal, rule=rule, odd=odd, frozen=frozen)._recordings <= 4


@pytest.mark.parametrize(
    ("rule", "option"),
    [(r, o) for r in RULES for o in ("maximize", "weight_decay") if (r, o) not in (("Rprop", "weight_decay"), ("Muon", "maximize"))],
)
def test_options(rule, option):
    """Those that all rules have, with parameters of odd layouts."""
    compare(anneal, rule=rule, odd=True, **{option: True if option == "maximize" else 0.1})


CHANGES = [
    ("Adafactor", dict(eps=(1e-2, 1e-2))),
    ("Adafactor", dict(d=1.5, beta2_decay=-0.5)),
    ("Adafactor", dict(weight_decay=0.2, maximize=True)),
    ("Muon", dict(momentum=0.5, weight_decay=0.0)),
    ("Muon", dict(nesterov=False)),
    ("Muon", dict(ns_steps=3)),
    ("Muon", dict(ns_coefficients=(3.0, -4.0, 2.0))),
    ("Muon", dict(eps=10.0)),
    ("Muon", dict(adjust_lr_fn="match_rms_adamw")),
]


@pytest.mark.parametrize(("rule", "change"), CHANGES, ids=str)
def test_changes_between_calls(rule, change):
    """An option changed after the 10th call has its effect from the 11th on."""

    def after(t, i):
        if i == 9:
            t.optimizer.param_groups[0].update(change)

    compare(after, rule=rule)


class Own(torch.optim.Optimizer):
    """A rule of the user's own, in Python."""

    def __init__(self, params):
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            p.add_(p.grad, alpha=-self.param_groups[0]["lr"])


def lbfgs_step(optimizer, loss):
    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    return optimizer.step(closure)


def plain_step(optimizer, loss):
    optimizer.zero_grad()
    value = loss()
    value.backward()
    optimizer.step()
    return value.detach()


FAR = r"LBFGS.step\(\) reads losses and gradients to decide how far to go at .*test_optimizers.py:.*optimizer.step\("
ENTRIES = r"it makes a sparse tensor, which has as many entries as the data says at .*test_optimizers.py:.*value.backward\("
REFUSED = {
    "LBFGS": (torch.optim.LBFGS, False, lbfgs_step, FAR),
    "SparseAdam": (torch.optim.SparseAdam, True, plain_step, ENTRIES),
    "SGD with sparse gradients": (torch.optim.SGD, True, plain_step, ENTRIES),
    "Adagrad with sparse gradients": (torch.optim.Adagrad, True, plain_step, ENTRIES),
    "Own": (Own, False, plain_step, r"Own.step\(\) computes numbers in Python at .*test_optimizers.py:.*optimizer.step\("),
}


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row):
    """One warning that names the reason and the line; the numbers are right all the same."""
    make, sparse, step, why = REFUSED[row]

    def run(wrap):
        torch.manual_seed(1)
        model = nn.Embedding(6, 3, sparse=True) if sparse else nn.Linear(3, 2)
        optimizer = make(model.parameters())
        x = torch.tensor([1, 3, 1]) if sparse else torch.randn(4, 3)
        fn = wrap(lambda: step(optimizer, lambda: (model(x) ** 2).mean()))
        return [fn().item() for _ in range(6)], [p.tolist() for p in model.parameters()], fn

    want = run(lambda fn: fn)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got = run(torch.compile)
    assert got[:2] == want[:2]
    assert len(seen) == 1
    with pytest.raises(UserWarning, match=f"runs as it is: {why}"):
        raise seen[0].message
