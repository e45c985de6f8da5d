"""Groups, freezing and the table by name pattern: what PyTorch has not."""

from __future__ import annotations

import pytest
import torch as oracle

import rushlight as torch
from rushlight import nn, optim


def model():
    torch.manual_seed(0)
    return nn.ModuleDict({"encoder": nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3)), "fc": nn.Linear(3, 1)})


def test_groups_by_pattern():
    """A group per pattern with its options, and one for the rest; the optimizer fills in its defaults."""
    net = model()
    groups = optim.param_groups(net, {"*.bias": dict(weight_decay=0), "fc.weight": dict(lr=1e-2)})
    sgd = optim.SGD(groups, lr=1e-3, weight_decay=0.1)
    assert [len(g["params"]) for g in sgd.param_groups] == [3, 1, 2]
    assert [g["lr"] for g in sgd.param_groups] == [1e-3, 1e-2, 1e-3]
    assert [g["weight_decay"] for g in sgd.param_groups] == [0, 0.1, 0.1]
    assert sgd.param_groups[1]["params"][0] is net["fc"].weight


def test_pattern_without_a_match():
    """The nearest names are shown."""
    with pytest.raises(ValueError, match=r"no parameter matches 'fc\.wieght'; the nearest names are fc\.weight"):
        optim.param_groups(model(), {"fc.wieght": {}})
    with pytest.raises(ValueError, match="no parameter matches 'decoder"):
        optim.freeze(model(), "decoder.*")


def test_overlapping_patterns():
    """A parameter can be in one group only."""
    with pytest.raises(ValueError, match=r"parameter 'fc\.bias' matches both '\*\.bias' and 'fc\.\*'"):
        optim.param_groups(model(), {"*.bias": {}, "fc.*": {}})


def test_frozen_parameters_never_move():
    """Neither a stale gradient nor momentum and weight decay move a frozen parameter; in PyTorch they do."""

    def run(T):
        w = T.ones(1, requires_grad=True)
        sgd = T.optim.SGD([w], lr=0.1, momentum=0.9, weight_decay=0.1)
        w.grad = T.ones(1)
        sgd.step()
        before = w.item()
        w.requires_grad_(False)
        sgd.step()
        return w.item() - before

    assert run(oracle) < -0.1
    assert run(torch) == 0.0


def test_freeze_and_unfreeze():
    """Names are returned, gradients of frozen parameters dropped, training goes on for the others."""
    net = model()
    net["fc"](net["encoder"](torch.ones(1, 2))).sum().backward()
    frozen = optim.freeze(net, "encoder.*")
    assert frozen == ["encoder.0.weight", "encoder.0.bias", "encoder.1.weight", "encoder.1.bias"]
    assert net["encoder"][0].weight.grad is None and net["fc"].weight.grad is not None
    assert not net["encoder"][0].weight.requires_grad
    assert optim.unfreeze(net, "encoder.1.*") == ["encoder.1.weight", "encoder.1.bias"]
    assert net["encoder"][1].weight.requires_grad


def test_table():
    """Every parameter with its group, rate and decay; frozen ones and those in no group are called so."""
    net = model()
    optim.freeze(net, "encoder.0.*")
    adam = optim.AdamW(optim.param_groups(net["encoder"], {"*.bias": dict(weight_decay=0.0)}), lr=1e-3)
    assert adam.table(net) == (
        "parameter         shape  group     lr  weight decay\n"
        "encoder.0.bias    3          0  0.001             0  frozen\n"
        "encoder.1.bias    3          0  0.001             0\n"
        "encoder.0.weight  3×2        1  0.001          0.01  frozen\n"
        "encoder.1.weight  3×3        1  0.001          0.01\n"
        "fc.weight         1×3        -      -             -  in no group: never trained\n"
        "fc.bias           1          -      -             -  in no group: never trained"
    )
    assert "0.bias" in adam.table()
