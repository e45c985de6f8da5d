"""Training steps to time. Each is written once and runs on any library with PyTorch's API.

A workload makes a `step()`: zero_grad, forward, loss, backward, clip_grad_norm_, optimizer step, loss read back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Workload:
    """One training step.

    `quick`: part of `make bench-quick`. `bound`: "operations" or "bandwidth", its floor. `group`: "steps" (`make bench`) or
    "others" (`make bench-others`). `draws`: the compiled part draws random numbers, and torch.compile has its own.
    """

    name: str
    build: Callable  # (T, compiled) -> step
    quick: bool = True
    bound: str = "operations"
    group: str = "steps"
    draws: bool = False


def compiled_part(T, compiled, objective):
    """Forward and loss as PyTorch's users compile them; clipping and the optimizer have their own fused kernels."""
    return T.compile(objective) if compiled and T.__name__ == "torch" else objective


def compiled_step(T, compiled, step):
    """The whole step as rushlight's users compile it."""
    return T.compile(step, fullgraph=True) if compiled and T.__name__ == "rushlight" else step


def adam(T, model):
    return T.optim.Adam(model.parameters())


def sgd(T, model):
    return T.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)


def descent(T, compiled, model, objective, batch, optimizer):
    """step() -> loss, a tensor. `objective(*batch)` is the loss of `model`."""
    parameters = list(model.parameters())
    objective = compiled_part(T, compiled, objective)

    def step(*batch):
        optimizer.zero_grad()
        value = objective(*batch)
        value.backward()
        T.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return value.detach()

    step = compiled_step(T, compiled, step)
    return lambda: step(*batch)


def training_step(T, compiled, model, inputs, targets, optimizer, loss):
    """step() -> loss, a tensor."""
    return descent(T, compiled, model, lambda x, y: loss(model(x), y), (inputs, targets), optimizer)


def mlp(T, compiled=False):
    """MLP 784-256-10, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))
    x, y = T.randn(64, 784), T.randint(0, 10, (64,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def tiny(T, compiled=False):
    """8-64-64-4, batch 32, Adam: all overhead."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    x, y = T.randn(32, 8), T.randint(0, 4, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def lenet(T, compiled=False):
    """LeNet on 1 x 32 x 32, batch 128, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    F = nn.functional

    class LeNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
            self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = F.max_pool2d(F.relu(self.conv1(x)), 2)
            x = F.max_pool2d(F.relu(self.conv2(x)), 2)
            x = x.view(-1, 400)
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    model = LeNet()
    return training_step(T, compiled, model, T.randn(128, 1, 32, 32), T.randint(0, 10, (128,)), sgd(T, model), nn.CrossEntropyLoss())


def autoencoder(T, compiled=False):
    """Convolutional autoencoder on 1 x 28 x 28, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
        nn.ConvTranspose2d(16, 1, 3, stride=2, padding=1, output_padding=1), nn.Sigmoid(),
    )  # fmt: skip
    x = T.rand(64, 1, 28, 28)
    return training_step(T, compiled, model, x, x, adam(T, model), nn.MSELoss())


def vgg(T, compiled=False):
    """Small VGG with batch norm on 3 x 32 x 32, batch 64, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    def block(a, b):
        return [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]

    model = nn.Sequential(*block(3, 32), *block(32, 32), nn.MaxPool2d(2), *block(32, 64), *block(64, 64), nn.MaxPool2d(2),
                          *block(64, 128), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2048, 128), nn.ReLU(), nn.Linear(128, 10))  # fmt: skip
    return training_step(T, compiled, model, T.randn(64, 3, 32, 32), T.randint(0, 10, (64,)), sgd(T, model), nn.CrossEntropyLoss())


def resnet18(T, compiled=False):
    """ResNet-18 for 3 x 32 x 32, batch 32, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.conv1, self.bn1 = nn.Conv2d(a, b, 3, stride, 1, bias=False), nn.BatchNorm2d(b)
            self.conv2, self.bn2 = nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b)
            self.down = None
            if stride != 1 or a != b:
                self.down = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + (x if self.down is None else self.down(x)))

    layers = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    width = 64
    for b, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(width, b, stride), Block(b, b, 1)]
        width = b
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return training_step(T, compiled, model, T.randn(32, 3, 32, 32), T.randint(0, 10, (32,)), sgd(T, model), nn.CrossEntropyLoss())


class _Last:
    """A recurrent layer and a classifier of its last step, made with the library's own Module."""

    @staticmethod
    def make(T, layer, hidden, classes):
        class Net(T.nn.Module):
            def __init__(self):
                super().__init__()
                self.rnn, self.fc = layer, T.nn.Linear(hidden, classes)

            def forward(self, x):
                return self.fc(self.rnn(x)[0][-1])

        return Net()


def alexnet(T, compiled=False):
    """AlexNet on 1 x 224 x 224, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(1, 96, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(96, 256, 5, 1, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(256, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 384, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(),
        nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(0.5), nn.Linear(4096, 10),
    )  # fmt: skip
    x, y = T.randn(16, 1, 224, 224), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def gpt(T, compiled=False):
    """A GPT: width 128, 4 layers, 4 heads, 128 tokens of 65, batch 12, AdamW."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, d, heads):
            super().__init__()
            self.heads = heads
            self.ln1, self.ln2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = (u.view(b, t, self.heads, d // self.heads).transpose(1, 2) for u in self.qkv(self.ln1(x)).chunk(3, -1))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.proj(y.transpose(1, 2).reshape(b, t, d))
            return x + self.mlp(self.ln2(x))

    class GPT(nn.Module):
        def __init__(self, vocabulary=65, d=128, layers=4, heads=4, length=128):
            super().__init__()
            self.tokens, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(length, d)
            self.blocks = nn.Sequential(*(Block(d, heads) for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary)

        def forward(self, i):
            x = self.tokens(i) + self.positions(T.arange(i.shape[1]))
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    model = GPT()
    optimizer = T.optim.AdamW(model.parameters())
    x, y = T.randint(0, 65, (12, 128)), T.randint(0, 65, (12 * 128,))
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss())


def lstm(T, compiled=False):
    """LSTM 200 x 2 layers, 35 steps, batch 20, Adam."""
    T.manual_seed(0)
    model = _Last.make(T, T.nn.LSTM(200, 200, 2), 200, 50)
    x, y = T.randn(35, 20, 200), T.randint(0, 50, (20,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def gru(T, compiled=False):
    """GRU 256 x 2 layers, 50 steps, batch 32, Adam."""
    T.manual_seed(0)
    model = _Last.make(T, T.nn.GRU(128, 256, 2), 256, 10)
    x, y = T.randn(50, 32, 128), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def transformer(T, compiled=False):
    """Transformer encoder, d 128, 4 heads, 2 layers, 64 tokens, batch 16, AdamW."""
    T.manual_seed(0)
    nn = T.nn
    layer = nn.TransformerEncoderLayer(128, 4, 512, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 2), nn.Linear(128, 32), nn.Flatten(0, 1))
    optimizer = T.optim.AdamW(model.parameters())
    return training_step(T, compiled, model, T.randn(16, 64, 128), T.randint(0, 32, (1024,)), optimizer, nn.CrossEntropyLoss())


def adam25m(T, compiled=False):
    """Clipping and Adam over 25 million parameters: memory bandwidth and nothing else."""
    T.manual_seed(0)
    parameters = [T.zeros(1000, 1000, requires_grad=True) for _ in range(25)]
    optimizer = T.optim.Adam(parameters)
    for p in parameters:
        p.grad = T.full((1000, 1000), 1e-3)

    def step():
        norm = T.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return norm

    return T.compile(step) if compiled else step


# What a step over 25 million parameters has to move, in bytes: the norm reads the gradients, Adam reads them and reads and
# writes parameters and two averages. (After the first steps the norm is 1 and nothing is left to scale.)
ADAM_READ, ADAM_UPDATED = 25e6 * 4 * 2, 25e6 * 4 * 6

STEPS = [
    Workload("mlp-784-256-10", mlp),
    Workload("mlp-8-64-64-4", tiny),
    Workload("lenet", lenet),
    Workload("alexnet", alexnet, quick=False, draws=True),
    Workload("resnet18-cifar", resnet18, quick=False),
    Workload("small-vgg", vgg, quick=False),
    Workload("conv-autoencoder", autoencoder),
    Workload("gpt", gpt, quick=False),
    Workload("transformer", transformer, quick=False),
    Workload("lstm", lstm),
    Workload("gru", gru, quick=False),
    Workload("adam-25m", adam25m, quick=False, bound="bandwidth"),
]
