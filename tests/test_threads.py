"""Whole training steps give the same bits with one, two, three, four and eight threads."""

from __future__ import annotations

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

THREADS = (1, 2, 3, 4, 8)


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.table, self.rnn, self.head = nn.Embedding(500, 64), getattr(nn, kind)(64, 96, 2, bidirectional=True), nn.Linear(192, 5)

    def forward(self, x):
        return self.head(self.rnn(self.table(x))[0][-1])


class Encoder(nn.Module):
    def __init__(self, half=False):
        super().__init__()
        self.half, self.table, self.head = half, nn.Embedding(500, 64), nn.Linear(64, 5)
        self.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 256, 0.1, "gelu", batch_first=True), 2)

    def forward(self, x):
        with torch.autocast("cpu", enabled=self.half):
            return self.head(self.layers(self.table(x)).mean(1))


class Bags(nn.Module):
    """A classifier of bags of words of three kinds, a row of the table used many times."""

    def __init__(self):
        super().__init__()
        self.tables = nn.ModuleList([nn.EmbeddingBag(500, 48, mode=m, padding_idx=3) for m in ("sum", "mean", "max")])
        self.head = nn.Linear(144, 5)

    def forward(self, x):
        starts = torch.arange(0, x.numel(), 37)
        weights = self.tables[0].weight.detach()[:, 0].repeat(x.numel() // 500 + 1)[: x.numel()]
        bags = [t(x.view(-1), starts, weights if t.mode == "sum" else None) for t in self.tables]
        return self.head(torch.cat(bags, 1))[: x.shape[0]]


def images(*layers):
    return lambda: (nn.Sequential(*(make() for make in layers), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LazyLinear(5)),
                    torch.randn(24, 3, 32, 32))  # fmt: skip


def tokens(make):
    return lambda: (make(), torch.randint(0, 500, (32, 40)))


NETWORKS = {
    "linear, batch norm, dropout": lambda: (
        nn.Sequential(nn.Linear(300, 700), nn.BatchNorm1d(700), nn.ReLU(), nn.Dropout(0.3), nn.Linear(700, 5)), torch.randn(400, 300)),
    "3 x 3 and 5 x 5": images(lambda: nn.Conv2d(3, 16, 5, padding=2), nn.ReLU, lambda: nn.Conv2d(16, 32, 3, padding=1),
                              lambda: nn.BatchNorm2d(32), nn.ReLU, lambda: nn.MaxPool2d(2), lambda: nn.Conv2d(32, 48, 3, padding=1)),
    "strided, transposed, grouped": images(lambda: nn.Conv2d(3, 24, 4, 2, 1), lambda: nn.LeakyReLU(0.2),
                                           lambda: nn.Conv2d(24, 24, 3, 2, 1, groups=4),
                                           lambda: nn.GroupNorm(4, 24), nn.SiLU, lambda: nn.ConvTranspose2d(24, 12, 4, 2, 1), nn.Tanh),
    "depthwise and 1 x 1": images(lambda: nn.Conv2d(3, 32, 1), nn.ReLU6, lambda: nn.Conv2d(32, 32, 3, 1, 1, groups=32), nn.Hardswish,
                                  lambda: nn.Conv2d(32, 32, 7, 2, 3, groups=32), lambda: nn.Conv2d(32, 64, 1), nn.GELU),
    "LSTM": tokens(lambda: Recurrent("LSTM")),
    "GRU": tokens(lambda: Recurrent("GRU")),
    "bags": lambda: (Bags(), torch.randint(0, 500, (300, 100))),
    "transformer": tokens(Encoder),
    "transformer in bfloat16": tokens(lambda: Encoder(half=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_same_bits(name):
    before, results = torch.get_num_threads(), []
    try:
        for threads in THREADS:
            torch.set_num_threads(threads)
            torch.manual_seed(0)
            model, x = NETWORKS[name]()
            model(x[:2])
            y = torch.randint(0, 5, (x.shape[1 if isinstance(model, Recurrent) else 0],))
            optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
            losses = []
            for _ in range(2):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x), y)
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
                optimizer.step()
                losses.append(loss.item())
            results.append((losses, [t.detach().numpy().copy() for p in model.parameters() for t in (p, p.grad)]))
    finally:
        torch.set_num_threads(before)
    for losses, tensors in results[1:]:
        assert losses == results[0][0]
        assert all(np.array_equal(a, b) for a, b in zip(results[0][1], tensors, strict=True))
