"""Weight averaging against PyTorch's."""

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight.optim import swa_utils as rs

ts = torch.optim.swa_utils


@pytest.mark.parametrize("kind", ["swa", "swa-fn", "swa-multi", "ema", "ema-multi", "buffers"])
def test_averaged_model(kind):
    """Five updates of a small model's average."""
    results = []
    for T, s in ((torch, ts), (rl, rs)):
        options = {
            "swa": {}, "swa-fn": dict(avg_fn=s.get_swa_avg_fn()), "swa-multi": dict(multi_avg_fn=s.get_swa_multi_avg_fn()),
            "ema": dict(avg_fn=s.get_ema_avg_fn(0.9)), "ema-multi": dict(multi_avg_fn=s.get_ema_multi_avg_fn(0.9)),
            "buffers": dict(use_buffers=True),
        }[kind]  # fmt: skip
        model = T.nn.Linear(3, 2)
        model.register_buffer("seen", T.zeros(2))
        averaged = s.AveragedModel(model, **options)
        rng = np.random.default_rng(0)
        for k in range(5):
            for p in model.parameters():
                p.data.copy_(T.tensor(rng.standard_normal(tuple(p.shape)).astype(np.float32)))
            model.seen.fill_(float(k))
            averaged.update_parameters(model)
        results.append([p.detach().numpy() for p in [*averaged.parameters(), averaged.module.seen]]
                       + [averaged.n_averaged.item()])  # fmt: skip
    for w, g in zip(*results, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-6, atol=1e-6)


def test_swalr():
    """The rate on its way to swa_lr."""
    for strategy, epochs in (("cos", 5), ("linear", 3), ("cos", 0)):
        runs = []
        for T, s in ((torch, ts), (rl, rs)):
            optimizer = T.optim.SGD([T.zeros(1, requires_grad=True)], lr=0.5)
            scheduler = s.SWALR(optimizer, 0.05, epochs, strategy)
            seen = []
            for _ in range(8):
                optimizer.step()
                scheduler.step()
                seen.append(scheduler.get_last_lr()[0])
            runs.append((seen, scheduler.state_dict()))
        assert runs[0] == runs[1]


def test_errors():
    """The same refusals."""
    for T, s in ((torch, ts), (rl, rs)):
        optimizer = T.optim.SGD([T.zeros(1)], lr=0.5)
        with pytest.raises(ValueError, match="Invalid decay value 2 provided. Please provide a value in"):
            s.get_ema_avg_fn(2)
        with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0, got -1"):
            s.SWALR(optimizer, 0.1, -1)
        with pytest.raises(ValueError, match="anneal_strategy must be one of 'cos' or 'linear', instead got no"):
            s.SWALR(optimizer, 0.1, 1, "no")
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn should be provided"):
            s.AveragedModel(T.nn.Linear(1, 1), avg_fn=s.get_swa_avg_fn(), multi_avg_fn=s.get_swa_multi_avg_fn())


def test_update_bn():
    """Running statistics from one pass."""
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((8, 3)).astype(np.float32) for _ in range(4)]
    results = []
    for T, s in ((torch, ts), (rl, rs)):
        model = T.nn.Sequential(T.nn.BatchNorm1d(3))
        s.update_bn([(T.tensor(b), 0) for b in batches], model)
        results.append((model[0].running_mean.numpy(), model[0].running_var.numpy(), model[0].momentum))
    np.testing.assert_allclose(results[1][0], results[0][0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(results[1][1], results[0][1], rtol=1e-5)
    assert results[1][2] == results[0][2]
