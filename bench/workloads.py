"""Training steps to time. Each is written once and runs on any library with PyTorch's API.

A workload makes a `step()`: zero_grad, forward, loss, backward, clip_grad_norm_, optimizer step, loss read back. It also
says how many floating-point operations the step must do (twice the multiply-adds of forward, times three for forward and
both backward products), which gives the floor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Workload:
    """One training step. `quick`: part of `make bench-quick`."""

    name: str
    build: Callable  # T -> step
    gflop: float  # per step
    quick: bool = True


def training_step(T, model, inputs, targets, optimizer, loss):
    parameters = list(model.parameters())

    def step():
        optimizer.zero_grad()
        value = loss(model(inputs), targets)
        value.backward()
        T.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return value.item()

    return step


def mlp(T):
    """MLP 784-256-10, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    return training_step(T, model, T.randn(64, 784), T.randint(0, 10, (64,)), T.optim.Adam(model.parameters()), nn.CrossEntropyLoss())


def tiny(T):
    """8-64-64-4, batch 32, Adam: all overhead."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    return training_step(T, model, T.randn(32, 8), T.randint(0, 4, (32,)), T.optim.Adam(model.parameters()), nn.CrossEntropyLoss())


def lenet(T):
    """LeNet on 1 x 32 x 32, batch 128, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    F = nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, 400)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    model = LeNet()
    optimizer = T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(T, model, T.randn(128, 1, 32, 32), T.randint(0, 10, (128,)), optimizer, nn.CrossEntropyLoss())


def _linear(batch, *sizes):
    return 6e-9 * batch * sum(a * b for a, b in zip(sizes[:-1], sizes[1:], strict=True))


LENET_GFLOP = 6e-9 * 128 * (6 * 25 * 784 + 16 * 150 * 100 + 400 * 120 + 120 * 84 + 84 * 10)

WORKLOADS = [
    Workload("mlp-784-256-10", mlp, _linear(64, 784, 256, 10)),
    Workload("mlp-8-64-64-4", tiny, _linear(32, 8, 64, 64, 4)),
    Workload("lenet", lenet, LENET_GFLOP),
]
