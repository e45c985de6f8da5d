"""Compiled steps in float16 and bfloat16 give the bits of eager ones: chains round where the calls one by one would."""

import numpy as np
import pytest

import rushlight as rl

F = rl.nn.functional


def bits(t):
    return t.contiguous().view(rl.int16 if t.dtype.itemsize == 2 else rl.int32).numpy()


def grad_of_sum(value, x):
    return rl.autograd.grad(value.sum(), x)


STEPS = {
    "chain": lambda x, y: (x * 1.7 + y).tanh() * y - x / 3,
    "in_place": lambda x, y: (x * y).add_(1.25).mul_(x).relu_() + y,
    "casts": lambda x, y: ((x.float() * 0.3).to(x.dtype) + y).float() * 1.1,
    "mixed": lambda x, y: (x + y.float() * 1.01, (x > y * 1.5).to(x.dtype) * x, rl.where(x > 0, x * 3, y)),
    "row": lambda x, y: (x + y[0] * 1.3) * y[:, :1] + 0.1,
    "gradient": lambda x, y: rl.autograd.grad((F.gelu(x.requires_grad_() * 1.3 + y) * y).sum(), x),
    "norm": lambda x, y: rl.autograd.grad((F.relu(F.batch_norm(x.requires_grad_(), None, None, training=True) * 1e-4) * y).sum(), x),
    "norm_relu": lambda x, y: grad_of_sum(F.relu(F.batch_norm(x.requires_grad_(), None, None, y[0] / 1e6, training=True)) * y, x),
}


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", STEPS)
def test_bits(dtype, name):
    half, r = getattr(rl, dtype), np.random.default_rng(0)

    def step(x, y):
        out = STEPS[name](x.detach() * 1, y)
        return out if isinstance(out, tuple) else (out,)

    compiled = rl.compile(step, fullgraph=True)
    for _ in range(5):
        x, y = (rl.from_numpy(r.standard_normal((13, 77)).astype(np.float32)).to(half) for _ in range(2))
        x[0, :6] = rl.tensor([0.0, -0.0, float("inf"), float("nan"), 1e-7, -70000.0]) if name in ("chain", "casts", "mixed") else 0.5
        for ours, theirs in zip(compiled(x, y), step(x, y), strict=True):
            assert ours.dtype is theirs.dtype and (bits(ours) == bits(theirs)).all()
