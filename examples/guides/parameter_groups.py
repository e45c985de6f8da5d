"""Guide 004: parameters in groups, by name and by id, and frozen layers.

Slips in the guide: Adam has no momentum (betas); ('conv' or 'fc' in name and ...) is always true; the filter in the
place of the groups and the groups in the place of lr is an error about lr; and leaving frozen parameters in the
optimizer has been no error since 2018, but they still move if a gradient is left over: momentum and weight decay do that.
"""

import rushlight as torch
from rushlight import nn

torch.manual_seed(0)
lr, weight_decay = 0.1, 1e-4


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.fc1, self.seg = nn.Conv2d(1, 2, 3), nn.Linear(8, 4), nn.Linear(4, 2)
        self.lamb = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.seg(torch.relu(self.fc1(torch.relu(self.conv1(x)).flatten(1)))) * self.lamb


net = Net()
quant = [p for name, p in net.named_parameters() if any(name.endswith(k) for k in ("cw", "dw", "cx", "dx", "lamb"))]
weights = [p for name, p in net.named_parameters() if ("conv" in name or "fc" in name) and "weight" in name]
chosen = set(map(id, quant + weights))
other = [p for p in net.parameters() if id(p) not in chosen]
optimizer = torch.optim.SGD([
    {"params": other},
    {"params": quant, "lr": 0.1 * lr},
    {"params": weights, "weight_decay": weight_decay},
], lr=lr, momentum=0.9)  # fmt: skip
print(len(optimizer.param_groups), len(optimizer.param_groups[0]))
print([(len(g["params"]), round(g["lr"], 4), g["weight_decay"]) for g in optimizer.param_groups])

for _ in range(5):
    out = net(torch.randn(3, 1, 4, 4))
    loss = nn.MSELoss()(out, torch.zeros(3, 2))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss is finite: {bool(torch.isfinite(loss))}")

# Freezing together with groups: filter while making the groups.
for name, p in net.named_parameters():
    p.requires_grad = "seg" not in name
base = set(map(id, net.conv1.parameters()))
new_params = [p for p in net.parameters() if id(p) not in base and p.requires_grad]
optimizer = torch.optim.SGD([
    {"params": net.conv1.parameters(), "lr": 1e-4},
    {"params": new_params},
], lr=lr, momentum=0.9, weight_decay=0.0005)  # fmt: skip
print([len(g["params"]) for g in optimizer.param_groups])

for call in (
    lambda: torch.optim.Adam(net.parameters(), lr=0.01, momentum=0.9),
    lambda: torch.optim.SGD(filter(lambda p: p.requires_grad, net.parameters()), [{"params": new_params}], lr=lr),
):
    try:
        call()
    except TypeError as error:
        print(str(error).splitlines()[0])

frozen = nn.Parameter(torch.ones(1))
frozen.grad = torch.ones(1)
frozen.requires_grad = False
torch.optim.SGD([frozen], lr=0.1, momentum=0.9, weight_decay=0.8).step()
print(f"a frozen parameter with a stale gradient moves by {frozen.item() - 1:.2f} (in PyTorch by -0.18)")
