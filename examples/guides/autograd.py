"""Guide 003: what is tracked, Jacobian products, and the three steps of training. Slip: loss.backwards() is loss.backward()."""

import rushlight as torch
from rushlight import nn

torch.manual_seed(0)
x, w, b = torch.ones(5), torch.randn(5, 3, requires_grad=True), torch.randn(3, requires_grad=True)
z = torch.matmul(x, w) + b
print(z.requires_grad)
with torch.no_grad():
    z = torch.matmul(x, w) + b
print(z.requires_grad)

inp = torch.eye(5, requires_grad=True)
out = (inp + 1).pow(2)
out.backward(torch.ones_like(inp), retain_graph=True)
print("First call", inp.grad[0].tolist())
out.backward(torch.ones_like(inp), retain_graph=True)
print("Second call", inp.grad[0].tolist())
inp.grad.zero_()
out.backward(torch.ones_like(inp), retain_graph=True)
print("After zeroing", inp.grad[0].tolist())

model, criterion = nn.Linear(5, 3), nn.MSELoss()
for make in (torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop):
    optimizer = make(model.parameters(), lr=1e-2)
    before = criterion(model(x), torch.zeros(3)).item()
    for _ in range(20):
        optimizer.zero_grad()
        loss = criterion(model(x), torch.zeros(3))
        loss.backward()
        optimizer.step()
    print(make.__name__, "smaller:", loss.item() < before)
