"""The same bits for any number of threads."""

import numpy as np
import pytest

import rushlight as rl
from rushlight import _native


def run(threads, work):
    before = _native.get_num_threads()
    _native.set_num_threads(threads)
    try:
        rl.manual_seed(3)
        return work()
    finally:
        _native.set_num_threads(before)


def steps(name, options):
    shapes = ((300, 400), (5,), (70, 2000), (40000,), (64, 32, 3, 3))
    params = [rl.randn(*s).requires_grad_() for s in (shapes[::2][:2] if name == "Muon" else shapes)]
    optimizer = getattr(rl.optim, name)(params, **options)
    for _ in range(3):
        for p in params:
            p.grad = rl.randn(*p.shape)
        norm = rl.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
    return [norm.numpy(), *(p.detach().numpy() for p in params)]


@pytest.mark.parametrize(
    ("name", "options"),
    [("SGD", dict(lr=0.1, momentum=0.9)), ("Adam", {}), ("RMSprop", {}), ("Rprop", {}), ("ASGD", {}), ("Adafactor", {}), ("Muon", {})],
)
def test_threads(name, options):
    """Normal numbers, clipping and updates with one, two, three, four and eight threads."""
    one, *others = (run(n, lambda: steps(name, options)) for n in (1, 2, 3, 4, 8))
    for other in others:
        for a, b in zip(one, other, strict=True):
            assert np.array_equal(a, b)
