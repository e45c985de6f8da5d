"""Models: parameter counts as published, keys and shapes as torchvision has them."""

import pytest

import rushlight as torch
from rushlight import nn
from rushlight.vision import models

PUBLISHED = {
    "alexnet": 61100840, "vgg11": 132863336, "vgg11_bn": 132868840, "vgg13": 133047848, "vgg13_bn": 133053736,
    "vgg16": 138357544, "vgg16_bn": 138365992, "vgg19": 143667240, "vgg19_bn": 143678248,
    "resnet18": 11689512, "resnet34": 21797672, "resnet50": 25557032, "resnet101": 44549160, "resnet152": 60192808,
    "resnext50_32x4d": 25028904, "resnext101_32x8d": 88791336, "wide_resnet50_2": 68883240, "wide_resnet101_2": 126886696,
    "mobilenet_v2": 3504872, "squeezenet1_0": 1248424, "squeezenet1_1": 1235496,
    "densenet121": 7978856, "densenet161": 28681000, "densenet169": 14149480, "densenet201": 20013928, "lenet": 61706,
}  # fmt: skip


@pytest.fixture
def no_draws(monkeypatch):
    """Counting needs no random numbers, which are most of a big model's making."""
    for name in ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_", "constant_", "zeros_", "ones_"):
        monkeypatch.setattr(nn.init, name, lambda tensor, *a, **k: tensor)


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts(name, no_draws):
    """As many parameters as published."""
    assert sum(p.numel() for p in getattr(models, name)().parameters()) == PUBLISHED[name]


KEYS = {
    "alexnet": (16, ["features.0.weight", "features.10.bias", "classifier.1.weight", "classifier.6.bias"]),
    "vgg11_bn": (62, ["features.0.weight", "features.1.running_mean", "features.26.num_batches_tracked"]),
    "resnet18": (122, ["conv1.weight", "bn1.num_batches_tracked", "layer2.0.downsample.1.running_var", "fc.bias"]),
    "resnet50": (320, ["layer1.0.conv3.weight", "layer4.2.bn3.bias", "layer1.0.downsample.0.weight"]),
    "mobilenet_v2": (314, ["features.0.0.weight", "features.1.conv.0.0.weight", "features.1.conv.1.weight",
                           "features.2.conv.2.weight", "features.18.1.running_mean", "classifier.1.weight"]),
    "squeezenet1_1": (52, ["features.0.weight", "features.3.squeeze.weight", "features.12.expand3x3.bias",
                           "classifier.1.bias"]),
    "densenet121": (727, ["features.conv0.weight", "features.denseblock1.denselayer1.norm1.weight",
                          "features.denseblock4.denselayer16.conv2.weight", "features.transition3.conv.weight",
                          "features.norm5.running_var", "classifier.bias"]),
}  # fmt: skip


@pytest.mark.parametrize("name", KEYS)
def test_state_dict_keys(name, no_draws):
    """As many entries as torchvision's files have, under their names."""
    count, names = KEYS[name]
    keys = list(getattr(models, name)().state_dict())
    assert len(keys) == count
    assert set(names) <= set(keys)


@pytest.mark.parametrize(("name", "size"), [("lenet", 32), ("resnet18", 64), ("mobilenet_v2", 64), ("squeezenet1_0", 64),
                                            ("squeezenet1_1", 64), ("densenet121", 32)])  # fmt: skip
def test_forward_and_backward(name, size):
    """[2, C, H, W] -> [2, 7], and every parameter gets a gradient."""
    torch.manual_seed(0)
    model = getattr(models, name)(num_classes=7)
    x = torch.randn(2, 1 if name == "lenet" else 3, size, size)
    out = model(x)
    assert out.shape == (2, 7)
    out.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_initialisation():
    """ResNet: He's normal by fan out; zero_init_residual makes the last normalisation of a block 0."""
    torch.manual_seed(0)
    model = models.resnet18(num_classes=3, zero_init_residual=True)
    weight = model.layer4[1].conv2.weight
    assert abs(weight.std().item() - (2 / (512 * 9)) ** 0.5) < 1e-4
    assert model.layer1[0].bn2.weight.abs().sum() == 0
    assert model.layer1[0].bn1.weight.sum() == 64


@pytest.mark.parametrize("asked", [{"weights": "DEFAULT"}, {"pretrained": True}])
def test_weights_are_not_downloaded(asked):
    """The error names what to do instead."""
    with pytest.raises(ValueError, match="load_state_dict"):
        models.resnet18(**asked)


def test_groups_for_layers():
    """The guide's per-layer learning rates on resnet18."""
    net = models.resnet18()
    optimizer = torch.optim.SGD(
        [{"params": net.fc.parameters()}, {"params": net.layer4[0].conv1.parameters(), "lr": 1e-2}], lr=1e-5
    )
    assert [(g["lr"], sum(p.numel() for p in g["params"])) for g in optimizer.param_groups] == [
        (1e-5, 513000), (1e-2, 256 * 512 * 9)]  # fmt: skip
