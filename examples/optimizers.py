"""All optimizers on one task, y = x^2 + noise with a network 1-20-1: python examples/optimizers.py picture.png"""

import sys

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

STEPS = 100
OPTIMIZERS = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1),
    "SGD momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8),
    "ASGD": lambda p: torch.optim.ASGD(p, lr=0.1),
    "Adadelta": lambda p: torch.optim.Adadelta(p, lr=1.0),
    "Adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.02),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.02),
    "Adamax": lambda p: torch.optim.Adamax(p, lr=0.02),
    "NAdam": lambda p: torch.optim.NAdam(p, lr=0.02),
    "RAdam": lambda p: torch.optim.RAdam(p, lr=0.02),
    "RMSprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
    "Rprop": lambda p: torch.optim.Rprop(p, lr=0.01),
    "LBFGS": lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"),
}  # SparseAdam takes sparse gradients only, which this network has none of.


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(1, 20)
        self.predict = nn.Linear(20, 1)

    def forward(self, x):
        return self.predict(F.relu(self.hidden(x)))


def run(make, x, y):
    """The losses of the steps; every optimizer starts with the same weights."""
    torch.manual_seed(1)
    net = Net()
    optimizer = make(net.parameters())
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(net(x), y)
        loss.backward()
        return loss

    for _ in range(STEPS):
        losses.append(optimizer.step(closure).item())
    return losses


def main(picture=None):
    torch.manual_seed(0)
    x = torch.unsqueeze(torch.linspace(-1, 1, 1000), dim=1)
    y = x.pow(2) + 0.1 * torch.normal(torch.zeros(x.size()))
    results = {name: run(make, x, y) for name, make in OPTIMIZERS.items()}
    for name, losses in results.items():
        print(f"{name:14} {losses[0]:.4f} -> {losses[-1]:.4f}")
    if picture is not None:
        draw(results, picture)


def draw(results, picture):
    """The losses by step, named in the order in which they end."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    shades = matplotlib.colormaps["tab20"].colors
    colours = shades[::2] + shades[1::2]
    for colour, (name, losses) in zip(colours, sorted(results.items(), key=lambda item: -item[1][-1]), strict=False):
        twin = name in ("ASGD", "AdamW")  # lie on SGD and Adam here: dashes over their lines
        axes.plot(losses, "--" if twin else "-", color=colour, linewidth=1.6, zorder=3 if twin else 2,
                  label=f"{name}  {losses[-1]:.4f}")  # fmt: skip
    axes.set(yscale="log", xlabel="step", ylabel="mean squared error", xlim=(0, STEPS - 1), title="y = x² + noise, a network 1-20-1")
    axes.grid(alpha=0.25, which="both")
    figure.legend(loc="outside right upper", frameon=False, title="after 100 steps")
    figure.savefig(picture, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:2])
