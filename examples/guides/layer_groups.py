"""Guide 001, 3.9: learning rates by layer. All parameters that are in neither group are never trained."""

from rushlight import optim
from rushlight.vision.models import resnet18

net = resnet18()
optimizer = optim.SGD([
    {"params": net.fc.parameters()},  # lr is the default, 1e-5
    {"params": net.layer4[0].conv1.parameters(), "lr": 1e-2},
], lr=1e-5)  # fmt: skip
print([group["lr"] for group in optimizer.param_groups])
trained = sum(p.numel() for group in optimizer.param_groups for p in group["params"])
print(f"trained {trained:,} of {sum(p.numel() for p in net.parameters()):,}")
