"""The numbers that the guides print, N1 to N31, where no other file of this folder has them.

N2-N13 (clipping) are in test_clip.py, N19-N25 (losses) in test_losses.py, N26-N27 (optimizers) in test_optimizers.py,
N29-N30 (autograd) in tests/autograd/test_backward.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F


def close(got, want, digits=4):
    """Equal to the digits that the guide prints."""
    np.testing.assert_allclose(np.asarray(got.detach() if isinstance(got, torch.Tensor) else got), want, atol=0.51 * 10**-digits)


def test_n1_norm():
    """N1: torch.norm over columns."""
    x = torch.tensor([[1, 2, 3], [-1, 1, 4]], dtype=torch.float)
    close(torch.norm(x, dim=0), [1.4142, 2.2361, 5.0000])


def test_n14_layer_without_parameters():
    """N14: a layer that subtracts the mean."""

    class MyLayer(nn.Module):
        def forward(self, x):
            return x - x.mean()

    assert MyLayer()(torch.tensor([1, 2, 3, 4, 5], dtype=torch.float)).tolist() == [-2.0, -1.0, 0.0, 1.0, 2.0]


def pool2d(X, pool_size, mode="max"):
    """The guide's own pooling, by index assignment."""
    X = X.float()
    p_h, p_w = pool_size
    Y = torch.zeros(X.shape[0] - p_h + 1, X.shape[1] - p_w + 1)
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            part = X[i : i + p_h, j : j + p_w]
            Y[i, j] = part.max() if mode == "max" else part.mean()
    return Y


def test_n15_pooling():
    """N15: the hand-written pooling and F.max_pool2d / F.avg_pool2d agree."""
    X = torch.arange(9).reshape(3, 3)
    assert pool2d(X, (2, 2)).tolist() == [[4.0, 5.0], [7.0, 8.0]]
    assert pool2d(X, (2, 2), "avg").tolist() == [[2.0, 3.0], [5.0, 6.0]]
    X4 = X.float().view((1, 1) + X.shape)
    assert F.max_pool2d(X4, 2, 1).tolist() == [[[[4.0, 5.0], [7.0, 8.0]]]]
    assert F.avg_pool2d(X4, 2, 1).tolist() == [[[[2.0, 3.0], [5.0, 6.0]]]]


@pytest.mark.parametrize(
    ("arguments", "shape"),
    [
        (dict(kernel_size=3, padding=1), [8, 8]),
        (dict(kernel_size=(5, 3), padding=(2, 1)), [8, 8]),
        (dict(kernel_size=(3, 5), padding=(0, 1), stride=(3, 4)), [2, 2]),
    ],
)
def test_n16_convolution_shapes(arguments, shape):
    """N16: padding and stride."""
    Y = nn.Conv2d(1, 1, **arguments)(torch.rand(8, 8).view(1, 1, 8, 8))
    assert list(Y.shape[2:]) == shape


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), (2, 2))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 400)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def test_n17_lenet():
    """N17: ten parameters, 61,706 numbers, ten scores; the guide's zero_grad and backward with a random vector."""
    net = LeNet()
    params = list(net.parameters())
    assert len(params) == 10
    assert str(params[0].size()) == "torch.Size([6, 1, 5, 5])"
    assert sum(p.numel() for p in params) == 61_706
    out = net(torch.randn(1, 1, 32, 32))
    assert list(out.shape) == [1, 10]
    net.zero_grad()
    out.backward(torch.randn(1, 10))
    assert all(p.grad is not None for p in params)
    assert repr(net) == (
        "LeNet(\n  (conv1): Conv2d(1, 6, kernel_size=(5, 5), stride=(1, 1))\n"
        "  (conv2): Conv2d(6, 16, kernel_size=(5, 5), stride=(1, 1))\n"
        "  (fc1): Linear(in_features=400, out_features=120, bias=True)\n"
        "  (fc2): Linear(in_features=120, out_features=84, bias=True)\n"
        "  (fc3): Linear(in_features=84, out_features=10, bias=True)\n)"
    )


def alexnet():
    """The guide's AlexNet for one channel."""
    return nn.Sequential(
        nn.Conv2d(1, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Flatten(),
        nn.Linear(256 * 5 * 5, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5),
        nn.Linear(4096, 10),
    )  # fmt: skip


def test_n18_alexnet():
    """N18: 46,764,746 parameters; 6400 features from a 224 x 224 image."""
    net = alexnet()
    assert sum(p.numel() for p in net.parameters()) == 46_764_746
    with torch.no_grad():
        assert net[:14](torch.randn(1, 1, 224, 224)).shape == (1, 6400)
        assert net(torch.randn(1, 1, 224, 224)).shape == (1, 10)


def test_n28_initialisation():
    """N28: constant_ on a linear layer; the guide's walk over modules; normal_(w, 0.1) is a mean, not a deviation."""
    linear = nn.Linear(5, 2)
    nn.init.constant_(linear.weight, 0.3)
    row = "[0.3000, 0.3000, 0.3000, 0.3000, 0.3000]"
    assert str(linear.weight.data) == f"tensor([{row},\n        {row}])"

    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Linear(100, 1000))
    for m in net.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.xavier_normal_(m.weight.data)
            nn.init.constant_(m.bias.data, 0.3)
        elif isinstance(m, nn.Linear):
            m.weight.data.normal_(0.1)
            m.bias.data.zero_()
        elif isinstance(m, nn.BatchNorm2d):
            m.weight.data.fill_(1)
            m.bias.data.zero_()
    close(net[0].bias, [0.3, 0.3])
    assert not net[2].bias.any()
    assert net[1].weight.tolist() == [1.0, 1.0]
    assert net[2].weight.mean().item() == pytest.approx(0.1, abs=0.02)
    assert net[2].weight.std().item() == pytest.approx(1.0, abs=0.02)


def test_n31_powers():
    """N31: W^t explodes for eigenvalues above one and vanishes below."""
    for eigenvalue, power in [(0.9, 0.00515), (1.1, 117.39)]:
        w = torch.eye(2) * eigenvalue
        product = torch.eye(2)
        for _ in range(50):
            product = product @ w
        assert product[0, 0].item() == pytest.approx(power, rel=1e-3)


def test_n32_printed_forms():
    """N32: a loss prints as tensor(x, grad_fn=<NAME>)."""
    x = torch.randn(3, 5, requires_grad=True)
    for module, target, name in [
        (nn.CrossEntropyLoss(), torch.tensor([1, 0, 4]), "NllLossBackward0"),
        (nn.MSELoss(), torch.randn(3, 5), "MseLossBackward0"),
        (nn.L1Loss(), torch.randn(3, 5), "MeanBackward0"),
        (nn.SmoothL1Loss(), torch.randn(3, 5), "SmoothL1LossBackward0"),
        (nn.HuberLoss(), torch.randn(3, 5), "HuberLossBackward0"),
        (nn.PoissonNLLLoss(), torch.rand(3, 5), "MeanBackward0"),
        (nn.BCEWithLogitsLoss(), torch.rand(3, 5), "BinaryCrossEntropyWithLogitsBackward0"),
    ]:
        assert repr(module(x, target)).endswith(f", grad_fn=<{name}>)"), module
    loss = nn.BCELoss()(torch.sigmoid(x), torch.rand(3, 5))
    assert repr(loss).endswith(", grad_fn=<BinaryCrossEntropyBackward0>)")
