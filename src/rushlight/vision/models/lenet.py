"""LeNet-5 with ReLU and max pooling, for 32 x 32 images.

Reference: LeCun et al., Gradient-based learning applied to document recognition, 1998.
"""

from __future__ import annotations

from ... import nn
from ...nn import functional as F
from ._builder import no_weights

__all__ = ["LeNet", "lenet"]


class LeNet(nn.Module):
    """[N, in_channels, 32, 32] -> [N, num_classes]. torchvision has no LeNet; names are those of PyTorch's tutorial."""

    def __init__(self, num_classes: int = 10, in_channels: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


def lenet(*, weights=None, progress: bool = True, **kwargs) -> LeNet:
    """LeNet-5: 61,706 parameters."""
    return LeNet(**no_weights(weights, kwargs))
