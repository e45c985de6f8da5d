"""swap_in_optimizer_params_and_state, against PyTorch."""

from __future__ import annotations

import copy

import pytest
import torch as oracle

import rushlight as torch


def trained(T, name="Adam"):
    p = [T.ones(2, requires_grad=True), T.ones(3, requires_grad=True)]
    optimizer = getattr(T.optim, name)([{"params": [p[0]]}, {"params": [p[1]], "lr": 0.5}], lr=0.1)
    for q in p:
        q.grad = T.ones(q.shape)
    optimizer.step()
    return p, optimizer


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adagrad"])
def test_a_step_on_other_tensors(name):
    """The step changes the given parameters and the given state's tensors; the optimizer is untouched afterwards."""
    ends = []
    for T in (oracle, torch):
        p, optimizer = trained(T, name)
        lists = [g["params"] for g in optimizer.param_groups]
        before = copy.deepcopy(optimizer.state_dict())
        state = copy.deepcopy(optimizer.state_dict())
        state["param_groups"][0]["lr"] = 0.7
        other = {n: T.zeros(q.shape, requires_grad=True) for n, q in zip("ab", p, strict=True)}
        for q in other.values():
            q.grad = T.full(q.shape, 2.0)
        with T.optim.swap_in_optimizer_params_and_state(optimizer, other, state):
            assert optimizer.param_groups[0]["lr"] == 0.7
            optimizer.step()
        assert all(a is g["params"] for a, g in zip(lists, optimizer.param_groups, strict=True))
        assert str(optimizer.state_dict()) == str(before)
        ends.append([[q.tolist() for q in other.values()], str(state), [q.tolist() for q in p]])
    assert ends[0][0] == [pytest.approx(x, rel=1e-6) for x in ends[1][0]]
    assert ends[0][2] == [pytest.approx(x, rel=1e-6) for x in ends[1][2]]
    assert "tensor(2.)" in ends[1][1]  # the given state counted the step


def test_restored_after_an_error():
    """Also when the body fails."""
    p, optimizer = trained(torch)
    state = optimizer.state_dict()
    with pytest.raises(KeyError), torch.optim.swap_in_optimizer_params_and_state(optimizer, dict(enumerate(p)), state):
        raise KeyError
    assert optimizer.param_groups[1]["params"][0] is p[1]


def change(T, path, value):
    p, optimizer = trained(T)
    state = copy.deepcopy(optimizer.state_dict())
    *keys, last = path
    place = state
    for key in keys:
        place = place[key]
    if value == "delete":
        del place[last]
    else:
        place[last] = value
    return optimizer, dict(enumerate(p)), state


BROKEN = {
    "state": lambda T: change(T, ["state"], 3),
    "tensor key": lambda T: (lambda o, p, s: (o, p, {**s, "state": {p[0]: {}}}))(*change(T, ["state", 0], {})),
    "state entry": lambda T: change(T, ["state", 0], 3),
    "extra state": lambda T: change(T, ["state", 7], {}),
    "groups": lambda T: change(T, ["param_groups"], {}),
    "number of groups": lambda T: change(T, ["param_groups"], []),
    "a group": lambda T: change(T, ["param_groups", 0], 3),
    "params": lambda T: change(T, ["param_groups", 0, "params"], ["a"]),
    "number of params": lambda T: change(T, ["param_groups", 0, "params"], [0, 5]),
    "another option": lambda T: change(T, ["param_groups", 1, "x"], 1),
    "an option missing": lambda T: change(T, ["param_groups", 1, "lr"], "delete"),
    "few parameters": lambda T: (lambda o, p, s: (o, {0: p[0]}, s))(*change(T, ["state", 0], {})),
    "no state dict": lambda T: (lambda o, p, s: (o, p, None))(*change(T, ["state", 0], {})),
    "no state": lambda T: (T.optim.Adam([T.ones(1)]), {}, {}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_errors(name):
    """PyTorch's sentences."""
    messages = []
    for T in (oracle, torch):
        optimizer, params, state = BROKEN[name](T)
        with pytest.raises(RuntimeError) as error, T.optim.swap_in_optimizer_params_and_state(optimizer, params, state):
            pass
        messages.append(str(error.value))
    assert messages[0] == messages[1]
