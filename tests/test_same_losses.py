"""The proof: the same program on both libraries, the same seed, the same loss at every step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import rushlight


def lenet(T):
    nn, F = T.nn, T.nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.flatten(1)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    return LeNet(), (1, 28, 28), dict(name="SGD", lr=0.05, momentum=0.9, weight_decay=1e-4)


def mlp_with_dropout(T):
    nn = T.nn
    net = nn.Sequential(nn.Flatten(), nn.Linear(144, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 32), nn.Tanh(), nn.Dropout(0.1),
                        nn.Linear(32, 10))  # fmt: skip
    return net, (1, 12, 12), dict(name="Adam", lr=3e-3)


def batch_norm_net(T):
    # No bias before a norm: its gradient is zero but for rounding, which AdamW would blow up to full steps.
    nn = T.nn
    net = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                        nn.Conv2d(8, 16, 3, bias=False), nn.BatchNorm2d(16), nn.LeakyReLU(0.1), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                        nn.Linear(16, 10))  # fmt: skip
    return net, (1, 12, 12), dict(name="AdamW", lr=5e-3, weight_decay=0.05)


def losses(T, build, images, labels, steps=30):
    """The guide's loop: DataLoader with shuffle, train, clip; the loss of every step."""
    T.manual_seed(3)
    net, _, options = build(T)
    options = dict(options)
    optimizer = getattr(T.optim, options.pop("name"))(net.parameters(), **options)
    data = T.utils.data.TensorDataset(T.from_numpy(images), T.from_numpy(labels))
    loader = T.utils.data.DataLoader(data, batch_size=16, shuffle=True)
    criterion = T.nn.CrossEntropyLoss()
    seen = []
    net.train()
    while len(seen) < steps:
        for x, y in loader:
            optimizer.zero_grad()
            loss = criterion(net(x), y)
            loss.backward()
            T.nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            optimizer.step()
            seen.append(loss.item())
    return seen[:steps], {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}


@pytest.mark.parametrize("build", [lenet, mlp_with_dropout, batch_norm_net], ids=lambda f: f.__name__)
def test_same_losses_at_every_step(build):
    """30 steps from one seed: weights, shuffles, dropout masks and updates agree, so losses do, to 1e-4 relative."""
    rng = np.random.default_rng(0)
    shape = build(rushlight)[1]
    images = rng.standard_normal((100, *shape)).astype(np.float32)
    labels = rng.integers(0, 10, 100)
    want, want_state = losses(torch, build, images, labels)
    got, got_state = losses(rushlight, build, images, labels)
    np.testing.assert_allclose(got, want, rtol=1e-4)
    assert list(got_state) == list(want_state)
    for name, value in want_state.items():
        np.testing.assert_allclose(got_state[name], value, rtol=2e-3, atol=2e-4, err_msg=name)
