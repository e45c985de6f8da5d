"""A recorded training step, replayed: the same kernels on the same storages, and the same bits as eager mode.

This is the promise that compiled steps build on: a kernel call is a record, and whatever must be read anew (the learning
rate, the step count, the generator's state) is an input array of it.
"""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight import _native, nn

STEPS = 6


def linear_relu_sgd():
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    return net, torch.optim.SGD(net.parameters(), lr=0.1), None


def momentum_and_clipping():
    net = nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 4))
    return net, torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3), 0.5


def dropout_and_adam():
    net = nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Dropout(0.4), nn.Linear(16, 4))
    return net, torch.optim.Adam(net.parameters(), lr=0.02), 1.0


def convolution_and_batch_norm():
    net = nn.Sequential(nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Flatten(), nn.Linear(8, 4))  # fmt: skip
    return net, torch.optim.AdamW(net.parameters(), lr=0.02), None


class First(nn.Module):
    """The first result of a layer that returns several."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


def recurrent_layers():
    net = nn.Sequential(nn.Unflatten(1, (3, 4)), First(nn.LSTM(4, 5, 2, batch_first=True)), First(nn.GRU(5, 3, bidirectional=True)),
                        nn.Flatten(), nn.Linear(18, 4))  # fmt: skip
    return net, torch.optim.Adam(net.parameters(), lr=0.02), 1.0


def attention():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    net = nn.Sequential(nn.Unflatten(1, (3, 4)), layer, nn.Flatten(), nn.Linear(12, 4))
    return net, torch.optim.AdamW(net.parameters(), lr=0.02), None


def make(build):
    torch.manual_seed(5)
    net, optimizer, max_norm = build()
    x, y = torch.randn(8, 12), torch.randint(0, 4, (8,))

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), y)
        loss.backward()
        if max_norm is not None:
            nn.utils.clip_grad_norm_(net.parameters(), max_norm)
        optimizer.step()
        return loss

    return net, optimizer, step


@pytest.mark.parametrize("build", [linear_relu_sgd, momentum_and_clipping, dropout_and_adam, convolution_and_batch_norm,
                                   recurrent_layers, attention],
                         ids=lambda f: f.__name__)  # fmt: skip
def test_replay_has_the_bits_of_eager_mode(build):
    """One recorded step and five replays leave what six eager steps leave: parameters, buffers, loss, generator."""
    net, _, step = make(build)
    for _ in range(STEPS):
        loss = step()
    want = {k: v.numpy().copy() for k, v in net.state_dict().items()}
    want_loss, want_state = loss.item(), torch.get_rng_state().tolist()

    net, _, step = make(build)
    step()  # makes the optimizer's state, which a record then updates
    recorder = _native.Recorder()
    recorder.start()
    try:
        loss = step()
    finally:
        recorder.stop()
    for _ in range(STEPS - 2):
        recorder.replay()
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), want[name], err_msg=name)
    assert loss.item() == want_loss
    assert torch.get_rng_state().tolist() == want_state


def test_records_say_what_they_are():
    """A record names its kernel, its outputs and inputs, and its numbers."""
    a, b = torch.ones(3), torch.full((3,), 2.0)
    recorder = _native.Recorder()
    recorder.start()
    c = a * b
    recorder.stop()
    a + b  # not recorded
    ((name, outputs, arrays, numbers),) = recorder.describe()
    assert (name, outputs, len(arrays), numbers) == ("mul", 1, 3, ())
    a.fill_(5.0)
    recorder.replay()
    assert c.tolist() == [10.0, 10.0, 10.0]


def test_learning_rate_is_read_anew():
    """A schedule changes the hyperparameter array that the recorded kernel reads."""
    net, optimizer, step = make(linear_relu_sgd)
    step()
    recorder = _native.Recorder()
    recorder.start()
    step()
    recorder.stop()
    hyper = next(arrays for name, _, arrays, _ in recorder.describe() if name == "sgd")[-1]
    assert np.asarray(hyper)[0] == 0.1
    np.asarray(hyper)[0] = 0.0
    before = net[0].weight.tolist()
    recorder.replay()
    assert net[0].weight.tolist() == before
