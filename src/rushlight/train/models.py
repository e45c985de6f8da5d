"""Bundled networks. Each is told what it gets (`shape`: channels, height, width) and how many outputs it has."""

from __future__ import annotations

import math

from .. import nn
from ..nn import functional as F
from ..ops import flatten, zeros

__all__ = ["LeNet", "AlexNet", "MLP", "BUNDLED"]


class LeNet(nn.Module):
    """Two convolutions and three linear layers: LeNet-5 with ReLU and max pooling.

    Args: `shape`: of one image, at least 12×12; `classes`: number of outputs.
    Shape: (N, C, H, W) -> (N, classes). With (1, 32, 32) and 10 classes: 61,706 parameters.
    Reference: LeCun et al., Gradient-based learning applied to document recognition, 1998
    """

    def __init__(self, shape=(1, 32, 32), classes: int = 10):
        super().__init__()
        channels, height, width = shape
        rows, columns = (((n - 4) // 2 - 4) // 2 for n in (height, width))
        if rows < 1 or columns < 1:
            raise ValueError(f"LeNet needs images of at least 16×16, got {height}×{width}: set image_size")
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * rows * columns, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = flatten(x, 1)
        x = F.relu(self.fc1(x))
        return self.fc3(F.relu(self.fc2(x)))


class AlexNet(nn.Module):
    """Five convolutions and three linear layers, for large images.

    Args: `shape`: of one image, at least 63×63 (224×224 in the paper); `classes`: number of outputs; `dropout`.
    Shape: (N, C, H, W) -> (N, classes).
    Reference: Krizhevsky et al., ImageNet classification with deep convolutional neural networks, 2012
    """

    def __init__(self, shape=(1, 224, 224), classes: int = 10, dropout: float = 0.5):
        super().__init__()
        channels, height, width = shape
        self.features = nn.Sequential(
            nn.Conv2d(channels, 96, 11, stride=4), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        sizes = [((((n - 11) // 4 + 1) - 3) // 2 + 1 - 3) // 2 + 1 for n in (height, width)]
        rows, columns = ((n - 3) // 2 + 1 for n in sizes)
        if rows < 1 or columns < 1:
            raise ValueError(f"AlexNet needs images of at least 63×63, got {height}×{width}: set image_size")
        self.classifier = nn.Sequential(
            nn.Linear(256 * rows * columns, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4096, classes),
        )  # fmt: skip

    def forward(self, x):
        return self.classifier(flatten(self.features(x), 1))


class MLP(nn.Module):
    """Linear layers with ReLU between them, on flattened input.

    Args: `shape`: of one example; `classes`: number of outputs; `hidden`: widths; `dropout`: after each hidden layer.
    Shape: (N, ...) -> (N, classes).
    """

    def __init__(self, shape=(1, 28, 28), classes: int = 10, hidden=(128,), dropout: float = 0.0):
        super().__init__()
        layers, width = [nn.Flatten()], math.prod(shape)
        for size in hidden:
            layers += [nn.Linear(width, size), nn.ReLU()] + ([nn.Dropout(dropout)] if dropout else [])
            width = size
        self.layers = nn.Sequential(*layers, nn.Linear(width, classes))

    def forward(self, x):
        return self.layers(x)


BUNDLED = {"lenet": LeNet, "alexnet": AlexNet, "mlp": MLP}


def try_shape(model, shape):
    """The shape of the model's output for one example, found by running it."""
    was_training = model.training
    model.eval()
    try:
        return tuple(model(zeros(1, *shape)).shape)
    finally:
        model.train(was_training)
