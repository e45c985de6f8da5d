"""GradScaler does what PyTorch's does, step by step, with and without infinite gradients."""

from __future__ import annotations

import pytest
import torch as oracle

import rushlight as torch


def _history(T, **options):
    p = T.tensor([1.0, 2.0], requires_grad=True)
    optimizer = T.optim.SGD([p], 0.1)
    scaler = T.amp.GradScaler("cpu", init_scale=8.0, growth_interval=2, **options)
    out = []
    for factor in (1.0, 1.0, float("inf"), 1.0, float("nan"), 1.0, 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((p * factor).sum()).backward()
        if factor == 1.0:
            scaler.unscale_(optimizer)
            T.nn.utils.clip_grad_norm_([p], 1.0)
        scaler.step(optimizer)
        scaler.update()
        out.append((p.detach().tolist(), scaler.get_scale(), scaler.state_dict()))
    return out


@pytest.mark.parametrize("options", [{}, {"growth_factor": 4.0, "backoff_factor": 0.25}])
def test_history(options):
    for ours, theirs in zip(_history(torch, **options), _history(oracle, **options), strict=True):
        assert ours[0] == pytest.approx(theirs[0]) and ours[1:] == theirs[1:]


def test_state_goes_on():
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    state = scaler.state_dict()
    other = torch.amp.GradScaler("cpu")
    other.scale(torch.ones(()))
    other.load_state_dict(state)
    assert other.get_scale() == 4.0 and other.state_dict() == state
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        other.load_state_dict({})


def test_disabled_does_nothing():
    p = torch.ones(1, requires_grad=True)
    optimizer = torch.optim.SGD([p], 0.5)
    with pytest.warns(UserWarning, match="CUDA is not available"):
        scaler = torch.amp.GradScaler("cuda")
    assert not scaler.is_enabled() and scaler.get_scale() == 1.0
    scaler.scale(p.sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert p.item() == 0.5


def test_order_of_calls():
    p = torch.ones(1, requires_grad=True)
    optimizer, scaler = torch.optim.SGD([p], 0.1), torch.amp.GradScaler("cpu")
    with pytest.raises(AssertionError, match="Attempted step but _scale is None"):
        scaler.step(optimizer)
    scaler.scale(p.sum()).backward()
    scaler.unscale_(optimizer)
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        scaler.unscale_(optimizer)
    scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="already been called since the last update"):
        scaler.step(optimizer)
    with pytest.raises(RuntimeError, match="being called after step"):
        scaler.unscale_(optimizer)
    with pytest.raises(ValueError, match="iterable of Tensors"):
        scaler.scale(3)
    with pytest.raises(AssertionError, match="growth factor"):
        torch.amp.GradScaler("cpu", growth_factor=1.0)
    half = torch.ones(1, dtype=torch.float16, requires_grad=True)
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(half.float().sum()).backward()
    with pytest.raises(ValueError, match="FP16 gradients"):
        scaler.unscale_(torch.optim.SGD([half], 0.1))
