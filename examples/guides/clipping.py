"""Guides 000 and 002: clip_grad_norm_, which scales by max_norm / (total_norm + 1e-6) where that is below 1.

Slips in guide 002: "all gradients shrink by one time" is by ten times; norm_type 3 is printed in Python's float64 where
the real function gives float32. Guide 000 names clip_grad_norm, which is deprecated. The observation that a larger
norm_type gives a smaller norm is a theorem.
"""

import rushlight as torch
from rushlight import nn

c = torch.tensor([[1, 2, 3], [-1, 1, 4]], dtype=torch.float)
print(torch.norm(c, dim=0))


def clip(gradient, max_norm, norm_type=2):
    p = nn.Parameter(torch.zeros(len(gradient)))
    p.grad = torch.Tensor(gradient)
    total = nn.utils.clip_grad_norm_(p, max_norm, norm_type)
    print(f"max_norm={max_norm}, norm_type={norm_type}, total_norm={total.item()}, first={p.grad[0].item():.6f}")


for norm_type in (1, 2, 3, 4, float("inf")):
    clip([125, 75, 45, 15, 5], 1, norm_type)
for i in range(2, 5):
    clip([125 * i, 75, 45, 15, 5], 1)
for i in range(2, 5):
    clip([125, 75, 45, 15, 5], i)


class TestModel(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [m for _ in range(4) for m in (nn.Linear(1, 1, bias=False), nn.Sigmoid())]
        self.model = nn.Sequential(*layers)

    def forward(self, x):
        return self.model(x)


model = TestModel()
for param in model.parameters():
    param.data = torch.Tensor([[0.5]])
criterion = nn.MSELoss()
optimizer = torch.optim.SGD(model.parameters(), lr=1)
loss = criterion(model(torch.Tensor([0.1])), torch.Tensor([1]))
model.zero_grad()
loss.backward()


def show():
    for param in model.parameters():
        print(f"param={param.data.item()}, grad={param.grad.item()}")


show()
print(nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.01208, norm_type=2))
show()
optimizer.step()
show()
