"""What is compared with torchvision's models: names and shapes of all entries, and for some the weights and outputs of a seed."""

from __future__ import annotations

import hashlib

import numpy as np

NAMES = [
    "alexnet", "vgg11", "vgg11_bn", "vgg13", "vgg13_bn", "vgg16", "vgg16_bn", "vgg19", "vgg19_bn", "resnet18", "resnet34",
    "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2",
    "mobilenet_v2", "squeezenet1_0", "squeezenet1_1", "densenet121", "densenet161", "densenet169", "densenet201",
]  # fmt: skip

# With their weights drawn from a seed.
DRAWN = ["resnet18", "resnet50", "mobilenet_v2", "squeezenet1_0", "squeezenet1_1", "densenet121"]


def entries(model) -> str:
    """A hash of the names, shapes and dtypes of all entries, and of the printed form."""
    lines = [f"{name} {tuple(t.shape)} {t.dtype}" for name, t in model.state_dict().items()]
    return hashlib.sha256("\n".join([*lines, repr(model)]).encode()).hexdigest()[:16]


def weights(model) -> dict:
    """{entry: [sum of magnitudes, first, last element]} of every seventh floating-point entry."""
    floats = {name: t.numpy() for name, t in model.state_dict().items() if t.dtype.is_floating_point}
    return {
        name: [float(np.abs(a.astype(np.float64)).sum()), float(a.flat[0]), float(a.flat[-1])] for name, a in list(floats.items())[::7]
    }


def outputs(model, torch) -> list:
    """Scores of two images in eval mode."""
    n = np.arange(2 * 3 * 64 * 64)
    x = np.sin(n * 0.7 + (n % 31)).astype(np.float32).reshape(2, 3, 64, 64)
    model.eval()
    with torch.no_grad():
        return model(torch.from_numpy(x)).numpy()[:, ::100].tolist()
