"""The shapes of losses: SmoothL1 beside L1, MSE and Huber, and losses of a margin: python examples/loss_curves.py picture.png"""

import sys

import rushlight as torch
from rushlight import nn


def regression(x):
    """{name: loss of the prediction x for the target 0}"""
    losses = {
        "L1": nn.L1Loss(reduction="none"), "SmoothL1": nn.SmoothL1Loss(reduction="none"),
        "SmoothL1, beta 3": nn.SmoothL1Loss(reduction="none", beta=3.0), "Huber, delta 2": nn.HuberLoss(reduction="none", delta=2.0),
        "MSE": nn.MSELoss(reduction="none"),
    }  # fmt: skip
    return {name: loss(x, torch.zeros_like(x)) for name, loss in losses.items()}


def classification(x):
    """{name: loss of the score x for the positive class}"""
    one = torch.ones_like(x)
    margin = nn.MarginRankingLoss(margin=1.0, reduction="none")
    return {
        "BCEWithLogits": nn.BCEWithLogitsLoss(reduction="none")(x, one),
        "SoftMargin": nn.SoftMarginLoss(reduction="none")(x, one),
        "MarginRanking, margin 1 (hinge)": margin(x, torch.zeros_like(x), one),
        "CrossEntropy of (x, 0)": nn.CrossEntropyLoss(reduction="none")(torch.stack([x, 0 * x], 1), torch.zeros(len(x)).long()),
    }


def slopes(curves, x):
    """{name: derivative of each loss}"""
    return {name: torch.autograd.grad(y.sum(), x, retain_graph=True)[0] for name, y in curves.items()}


def main(picture=None):
    x = torch.linspace(-10, 10, steps=5000, requires_grad=True)
    curves = regression(x)
    for name, y in curves.items():
        print(f"{name:18} at -10: {y[0].item():8.4f}   at 0.5: {y[2625].item():.4f}")
    near = torch.linspace(-4, 4, steps=1601, requires_grad=True)
    scores = classification(near)
    if picture is not None:
        draw(picture, x, curves, near, scores)


def draw(picture, x, curves, near, scores):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (wide, middle, slope, right) = plt.subplots(1, 4, figsize=(15, 4), layout="constrained")
    styles = dict(zip(curves, ("-", "-", "--", "-.", ":"), strict=True))
    derivatives = slopes(curves, x)
    for name, y in curves.items():
        for axes, values in ((wide, y), (middle, y), (slope, derivatives[name])):
            axes.plot(x.detach().numpy(), values.detach().numpy(), styles[name], label=name)
    wide.set(title="SmoothL1 and L1", xlabel="prediction - target", ylabel="loss", ylim=(0, 10), xlim=(-10, 10))
    middle.set(title="near 0", xlabel="prediction - target", ylim=(0, 1.5), xlim=(-2, 2))
    slope.set(title="derivatives", xlabel="prediction - target", ylim=(-3, 3), xlim=(-4, 4))
    for (name, y), style in zip(scores.items(), ("-", "--", "-", ":"), strict=True):
        right.plot(near.detach().numpy(), y.detach().numpy(), style, label=name)
    right.set(title="losses of a score", xlabel="score of the right class", ylim=(0, 5), xlim=(-4, 4))
    wide.legend(fontsize="small", loc="upper center", framealpha=0.95)
    right.legend(fontsize="small", frameon=False)
    for axes in (wide, middle, slope, right):
        axes.grid(alpha=0.25)
    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main(*sys.argv[1:2])
