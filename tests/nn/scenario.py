"""Scenarios: a function of the library, run with PyTorch and with rushlight; what it returns must be the same.

A scenario may return tensors, numbers, strings and lists, tuples or dicts of them. What it raises is compared too: the type
and the whole message; and so are its warnings: category and text.
"""

from __future__ import annotations

import warnings

import numpy as np
import torch

import rushlight
from tests.ops.harness import to_numpy

TOLERANCE = dict(rtol=2e-5, atol=2e-5)


def _run(T, scenario, args):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        T.manual_seed(3)
        try:
            outcome = scenario(T, *args)
        except Exception as error:  # noqa: BLE001 - whatever PyTorch raises is the specification
            outcome = {"raised": type(error).__name__.lstrip("_"), "message": str(error)}
    return outcome, [f"{w.category.__name__}: {w.message}" for w in caught]


def plain(text):
    """Text without what must differ, the package's name."""
    return text.replace("rushlight", "torch").replace("torch.nn.parameter.Parameter", "torch.nn.Parameter")


def compare(got, want, where="result", tolerance=TOLERANCE):
    """Asserts that two outcomes are the same."""
    if isinstance(want, torch.Tensor):
        assert isinstance(got, rushlight.Tensor), f"{where}: {got!r} instead of a tensor"
        assert (str(got.dtype), tuple(got.shape)) == (str(want.dtype), tuple(want.shape)), where
        assert got.requires_grad == want.requires_grad, f"{where}: requires_grad is {got.requires_grad}"
        np.testing.assert_allclose(to_numpy(got), to_numpy(want), err_msg=where, equal_nan=True, **tolerance)
    elif isinstance(want, dict):
        assert list(got) == list(want), f"{where}: keys {list(got)} instead of {list(want)} ({got!r})"
        for key in want:
            compare(got[key], want[key], f"{where}[{key!r}]", tolerance)
    elif isinstance(want, (list, tuple)):
        assert len(got) == len(want), f"{where}: {got!r} instead of {want!r}"
        for i, (g, w) in enumerate(zip(got, want, strict=True)):
            compare(g, w, f"{where}[{i}]", tolerance)
    elif isinstance(want, float):
        np.testing.assert_allclose(got, want, err_msg=where, equal_nan=True, **tolerance)
    elif isinstance(want, str):
        assert plain(got) == plain(want), f"{where}: {got!r} instead of {want!r}"
    else:
        assert type(got) is type(want) and got == want, f"{where}: {got!r} instead of {want!r}"


def same(scenario, *args, tolerance=TOLERANCE):
    """Runs a scenario with both libraries and compares."""
    want, their_warnings = _run(torch, scenario, args)
    got, our_warnings = _run(rushlight, scenario, args)
    compare(got, want, tolerance=tolerance)
    assert list(map(plain, our_warnings)) == list(map(plain, their_warnings))


def table():
    """A dict of scenarios by name, and the decorator that adds to it."""
    found = {}

    def scenario(fn):
        assert fn.__name__ not in found, fn.__name__
        found[fn.__name__] = fn
        return fn

    return found, scenario


def state(module):
    """A module's state: keys, values, versions."""
    out = module.state_dict()
    return {**out, "versions": [str(v) for v in out._metadata.items()]}


def train(T, module, *inputs, steps=3, lr=0.02):
    """Losses of a few steps of SGD, and the gradients of the last one."""
    optimizer, losses = T.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=lr, momentum=0.9), []
    for _ in range(steps):
        loss = (module(*inputs) ** 2).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses, {n: p.grad for n, p in module.named_parameters()}
