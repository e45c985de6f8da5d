"""Optimizers on sparse gradients, against PyTorch."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch as oracle

import rushlight as torch

oracle.sparse.check_sparse_tensor_invariants.enable()  # said explicitly, it does not warn about its default

BATCHES = [[1, 3, 1], [3], [], [0, 3, 4, 4], [1]]

ROWS = {
    "SparseAdam": ("SparseAdam", dict(lr=0.1)),
    "SparseAdam options": ("SparseAdam", dict(lr=0.05, betas=(0.8, 0.95), eps=1e-3, maximize=True)),
    "SGD": ("SGD", dict(lr=0.1)),
    "SGD momentum": ("SGD", dict(lr=0.1, momentum=0.9)),
    "SGD dampening": ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5, maximize=True)),
    "SGD nesterov": ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    "Adagrad": ("Adagrad", dict(lr=0.1)),
    "Adagrad options": ("Adagrad", dict(lr=0.1, lr_decay=0.1, initial_accumulator_value=0.5, eps=1e-3, maximize=True)),
}


def model(T, dtype):
    table = T.nn.Embedding(6, 3, sparse=True).to(getattr(T, dtype))
    with T.no_grad():
        table.weight.copy_(T.arange(18.0).reshape(6, 3) / 7 - 1)
    return table


def train(T, name, options, dtype="float64", batches=BATCHES, table=None, optimizer=None):
    table = table or model(T, dtype)
    optimizer = optimizer or getattr(T.optim, name)(table.parameters(), **options)
    for batch in batches:
        optimizer.zero_grad()
        for _ in range(2):  # gradients add up
            (table(T.tensor(batch, dtype=T.int64)) ** 2).sum().backward()
        optimizer.step()
    return table, optimizer


def numbers(state):
    out = {}
    for key, own in state["state"].items():
        for name, value in own.items():
            value = value.to_dense() if hasattr(value, "to_dense") else value
            out[key, name] = np.asarray(value.numpy() if hasattr(value, "numpy") else value)
    return out


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("row", ROWS)
def test_same_steps(row, dtype):
    """Parameters and states after steps with repeated, new, and no rows."""
    name, options = ROWS[row]
    theirs, their_optimizer = train(oracle, name, options, dtype)
    ours, optimizer = train(torch, name, options, dtype)
    rtol = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(ours.weight.detach().numpy(), theirs.weight.detach().numpy(), rtol=rtol, atol=rtol)
    expected, got = numbers(their_optimizer.state_dict()), numbers(optimizer.state_dict())
    assert got.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(got[key], expected[key], rtol=rtol, atol=rtol, err_msg=str(key))


@pytest.mark.parametrize("row", ROWS)
def test_saved_states_go_on(row):
    """A state saved by PyTorch half way goes on here to PyTorch's end, and the other way round."""
    name, options = ROWS[row]
    for first, second in ((oracle, torch), (torch, oracle)):
        table, optimizer = train(first, name, options, batches=BATCHES[:3])
        buffer = io.BytesIO()
        first.save({"table": table.state_dict(), "optimizer": optimizer.state_dict()}, buffer)
        buffer.seek(0)
        saved = second.load(buffer)
        table = model(second, "float64")
        table.load_state_dict(saved["table"])
        optimizer = getattr(second.optim, name)(table.parameters(), **options)
        optimizer.load_state_dict(saved["optimizer"])
        table, _ = train(second, name, options, batches=BATCHES[3:], table=table, optimizer=optimizer)
        expected, _ = train(oracle, name, options)
        np.testing.assert_allclose(table.weight.detach().numpy(), expected.weight.detach().numpy(), rtol=1e-12)


def test_sparse_adam_touches_only_its_rows():
    """The specification's number: one step of lr 0.1 from 1 on rows 1 and 3 gives 0.9 there and leaves the rest alone."""
    table = torch.nn.Embedding(5, 2, sparse=True)
    with torch.no_grad():
        table.weight.fill_(1.0)
    optimizer = torch.optim.SparseAdam(table.parameters(), lr=0.1)
    table(torch.tensor([1, 3])).sum().backward()
    optimizer.step()
    np.testing.assert_allclose(table.weight.detach()[:, 0].numpy(), [1, 0.9, 1, 0.9, 1], rtol=1e-6)
    state = optimizer.state[table.weight]
    assert state["step"] == 1 and list(state) == ["step", "exp_avg", "exp_avg_sq"]
    assert state["exp_avg"][:, 0].count_nonzero() == 2


REFUSED = ["Adam", "AdamW", "NAdam", "RAdam", "Adamax", "Adadelta", "RMSprop", "Rprop", "ASGD", "Adafactor", "Muon"]


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    """The other algorithms say so in PyTorch's words, and have changed nothing."""
    messages = []
    for T in (oracle, torch):
        w, other = T.ones(3, 2, requires_grad=True), T.ones(2, 2, requires_grad=True)
        optimizer = getattr(T.optim, name)([w, other])
        T.nn.functional.embedding(T.tensor([1]), w, sparse=True).sum().backward()
        other.grad = T.ones(2, 2)
        with pytest.raises(RuntimeError, match="does not support sparse gradients") as error:
            optimizer.step()
        messages.append(str(error.value))
        assert w.tolist() == [[1.0, 1.0]] * 3
    assert messages[0] == messages[1]
    assert other.tolist() == [[1.0, 1.0]] * 2 and not any(optimizer.state.values())


ERRORS = {
    "dense": (lambda T, w: T.optim.SparseAdam([w]), True),
    "sgd decay": (lambda T, w: T.optim.SGD([w], lr=0.1, weight_decay=0.1), False),
    "sgd fused": (lambda T, w: T.optim.SGD([w], lr=0.1, fused=True), False),
    "adagrad decay": (lambda T, w: T.optim.Adagrad([w], weight_decay=0.1), False),
    "adagrad fused": (lambda T, w: T.optim.Adagrad([w], fused=True), False),
    "sparse parameter": (lambda T, w: T.optim.SparseAdam([w, T.sparse_coo_tensor([[0]], [1.0], (2,))]), False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """Options and gradients that do not go together."""
    make, dense = ERRORS[name]
    messages = []
    for T in (oracle, torch):
        w = T.ones(3, 2, requires_grad=True)
        with pytest.raises((RuntimeError, ValueError)) as error:
            optimizer = make(T, w)
            T.nn.functional.embedding(T.tensor([1]), w, sparse=not dense).sum().backward()
            optimizer.step()
        messages.append((type(error.value), str(error.value).splitlines()[0]))
    assert messages[0] == messages[1]


def test_mixed_groups():
    """One optimizer steps sparse and dense parameters; the dense ones as if they were alone."""
    for name in ("SGD", "Adagrad"):
        ends = []
        for T in (oracle, torch):
            w, v = T.ones(3, 2, requires_grad=True), T.ones(2, requires_grad=True)
            optimizer = getattr(T.optim, name)([{"params": [w, v]}], lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                (T.nn.functional.embedding(T.tensor([1]), w, sparse=True) * v).sum().backward()
                optimizer.step()
            ends.append([w.tolist(), v.tolist()])
        np.testing.assert_allclose(np.hstack([np.ravel(x) for x in ends[0]]), np.hstack([np.ravel(x) for x in ends[1]]), rtol=1e-6)


def test_lbfgs():
    """LBFGS takes them as dense ones."""
    ends = []
    for T in (oracle, torch):
        w = T.arange(6.0).reshape(3, 2).requires_grad_()
        optimizer = T.optim.LBFGS([w], lr=0.5, max_iter=5)

        def closure(T=T, w=w, optimizer=optimizer):
            optimizer.zero_grad()
            loss = (T.nn.functional.embedding(T.tensor([1, 2]), w, sparse=True) - 1).square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        ends.append(w.detach().numpy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=1e-5)


def test_copies():
    """A model with sparse gradients can be copied and cast."""
    table, optimizer = train(torch, "SGD", dict(lr=0.1, momentum=0.9))
    twin = copy.deepcopy(table)
    assert twin.weight.tolist() == table.weight.tolist()
    assert copy.deepcopy(optimizer).state_dict()["state"][0]["momentum_buffer"].is_sparse
    assert table.float().weight.grad.dtype is torch.float32
