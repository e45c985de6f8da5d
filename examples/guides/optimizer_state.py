"""Guide 001, 3.9.3: what an optimizer holds, one step, 50 more, saved and loaded.

In the guide zero_grad() filled gradients with 0, so that 50 further steps moved by momentum alone; now it sets them to
None and the steps do nothing, unless set_to_none=False asks for the old way.
"""

import tempfile
from pathlib import Path

import rushlight as torch

weight = torch.tensor([[1.9347, -0.0059], [2.1897, -0.0895]], requires_grad=True)
weight.grad = torch.ones((2, 2))
optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
optimizer.step()
print(f"The data of weight after step:\n{weight.data}")
optimizer.zero_grad(set_to_none=False)
print(f"The grad of weight after optimizer.zero_grad():\n{weight.grad}")
print("same object:", id(optimizer.param_groups[0]["params"][0]) == id(weight))

weight2 = torch.randn((3, 3), requires_grad=True)
optimizer.add_param_group({"params": weight2, "lr": 0.0001, "nesterov": True})
print([list(group)[:3] for group in optimizer.param_groups])
print("buffer before", optimizer.state_dict()["state"][0]["momentum_buffer"])
for _ in range(50):
    optimizer.step()
print("buffer after", optimizer.state_dict()["state"][0]["momentum_buffer"])
print(weight.data)

with tempfile.TemporaryDirectory() as folder:  # the guide: a folder of its author's, which nobody else has
    path = Path(folder) / "optimizer_state_dict.pkl"
    torch.save(optimizer.state_dict(), path)
    optimizer.load_state_dict(torch.load(path))
print("load state_dict successfully", [group["lr"] for group in optimizer.param_groups])
print({k: optimizer.defaults[k] for k in ("lr", "momentum", "dampening", "weight_decay", "nesterov")})
