"""Every optimizer, with its options, follows PyTorch's over 20 steps."""

import numpy as np
import pytest
import torch

import rushlight as rl

CASES = [
    ("SGD", {}),
    ("SGD", dict(lr=0.1, momentum=0.9)),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5)),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.01, weight_decay=0.1, maximize=True)),
    ("Adam", {}),
    ("Adam", dict(lr=0.05, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.1)),
    ("Adam", dict(lr=0.05, betas=(0.3, 0.9), amsgrad=True)),
    ("Adam", dict(lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("AdamW", dict(lr=0.05)),
    ("AdamW", dict(lr=0.05, weight_decay=0.3, amsgrad=True)),
    ("NAdam", dict(lr=0.05)),
    ("NAdam", dict(lr=0.05, weight_decay=0.1, momentum_decay=0.01)),
    ("NAdam", dict(lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, maximize=True)),
    ("RAdam", dict(lr=0.05)),
    ("RAdam", dict(lr=0.05, weight_decay=0.1, betas=(0.8, 0.9))),
    ("RAdam", dict(lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)),
    ("Adamax", dict(lr=0.05)),
    ("Adamax", dict(lr=0.05, weight_decay=0.1, maximize=True)),
    ("Adagrad", dict(lr=0.1)),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.2)),
    ("Adadelta", {}),
    ("Adadelta", dict(lr=0.5, rho=0.8, weight_decay=0.1)),
    ("RMSprop", dict(lr=0.02)),
    ("RMSprop", dict(lr=0.02, momentum=0.8, weight_decay=0.1)),
    ("RMSprop", dict(lr=0.02, centered=True, eps=1e-3)),
    ("RMSprop", dict(lr=0.02, centered=True, momentum=0.8, eps=1e-3)),
    ("Rprop", dict(lr=0.02)),
    ("Rprop", dict(lr=0.02, etas=(0.3, 1.5), step_sizes=(1e-3, 0.1), maximize=True)),
    ("ASGD", dict(lr=0.05)),
    ("ASGD", dict(lr=0.05, t0=5, lambd=0.01, weight_decay=0.1)),
    ("Adafactor", {}),
    ("Adafactor", dict(lr=0.5, weight_decay=0.1, d=1.5, beta2_decay=-0.5)),
    ("Adafactor", dict(lr=0.05, eps=(1e-3, 1e-2), maximize=True)),
]
# Together more than one chunk of the kernels, each below where PyTorch starts threads.
SHAPES = ((3, 4), (7,), (), (2, 3, 5), (100, 200), (150, 140))


def start(T, dtype, seed=0):
    rng = np.random.default_rng(seed)
    return [T.tensor(rng.standard_normal(s).astype(dtype)).requires_grad_() for s in SHAPES]


def gradients(step, dtype):
    rng = np.random.default_rng(100 + step)
    return [rng.standard_normal(s).astype(dtype) for s in SHAPES]


def run(T, name, options, dtype, steps=20, layout=None):
    params = start(T, dtype)
    optimizer = getattr(T.optim, name)([{"params": params[:2]}, {"params": params[2:]}], **options)
    for k in range(steps):
        for i, (p, g) in enumerate(zip(params, gradients(k, dtype), strict=True)):
            g = T.from_numpy(np.asarray(g).copy()).reshape(p.shape)
            if layout == "permuted" and g.dim() == 2:
                g = T.from_numpy(g.numpy().T.copy()).t()
            p.grad = None if k % 3 == 1 and i == 1 else g  # sometimes without a gradient
        optimizer.step()
    return params, optimizer


def assert_close(got, want, dtype):
    rtol, atol = (2e-6, 5e-6) if dtype == "float32" else (1e-12, 1e-12)
    np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=rtol, atol=atol)


def name_of(case):
    return "-".join([case[0], *map(str, case[1])]) if isinstance(case, tuple) else None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_twenty_steps(case, dtype):
    """Parameters and states agree to rounding, the state's keys and their order exactly."""
    name, options = case
    want, t_opt = run(torch, name, options, dtype)
    got, r_opt = run(rl, name, options, dtype)
    for g, w in zip(got, want, strict=True):
        assert_close(g, w, dtype)
    t_state, r_state = t_opt.state_dict(), r_opt.state_dict()
    assert r_state["param_groups"] == t_state["param_groups"]
    assert [list(g) for g in r_state["param_groups"]] == [list(g) for g in t_state["param_groups"]]
    assert list(r_state["state"]) == list(t_state["state"])
    for key, w in t_state["state"].items():
        g = r_state["state"][key]
        assert list(g) == list(w)
        for k, v in w.items():
            assert str(g[k].dtype) == str(v.dtype)
            assert_close(g[k], v, "float32")
    assert repr(r_opt) == repr(t_opt)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adafactor"])
def test_layouts(name):
    """Gradients in another memory layout than their parameters."""
    options = dict(lr=0.01, momentum=0.9) if name in ("SGD", "RMSprop") else {}
    want, _ = run(torch, name, options, "float32", steps=5, layout="permuted")
    got, _ = run(rl, name, options, "float32", steps=5, layout="permuted")
    for g, w in zip(got, want, strict=True):
        assert_close(g, w, "float32")


@pytest.mark.parametrize("case", [c for c in CASES if c[1]], ids=name_of)
def test_state_moves_between_libraries(case):
    """10 steps in one library, its state_dict, 10 more steps in the other: as 20 steps in one."""
    name, options = case
    params, t_opt = run(torch, name, options, "float32", steps=10)
    ours = [rl.tensor(p.detach().numpy().copy()).requires_grad_() for p in params]
    r_opt = getattr(rl.optim, name)([{"params": ours[:2]}, {"params": ours[2:]}], **options)
    r_opt.load_state_dict(t_opt.state_dict())
    for k in range(3):
        for p, o, g in zip(params, ours, gradients(50 + k, "float32"), strict=True):
            p.grad = torch.from_numpy(np.asarray(g).copy()).reshape(p.shape)
            o.grad = rl.from_numpy(np.asarray(g).copy()).reshape(o.shape)
        t_opt.step()
        r_opt.step()
    for o, p in zip(ours, params, strict=True):
        assert_close(o, p, "float32")


def test_half_parameters():
    """bfloat16 parameters are updated in float32 and rounded once."""
    p = rl.ones(20, dtype=rl.bfloat16, requires_grad=True)
    optimizer = rl.optim.Adam([p], lr=0.1)
    p.grad = rl.ones(20, dtype=rl.bfloat16)
    optimizer.step()
    assert p.dtype is rl.bfloat16
    np.testing.assert_allclose(p.detach().to(rl.float32).numpy(), 0.9, rtol=1e-2)
