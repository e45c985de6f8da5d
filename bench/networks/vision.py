"""More networks of images. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, descent, sgd, training_step


def efficientnet(T, compiled=False):
    """Inverted residuals with squeeze and excitation, SiLU, 16 to 80 channels, on 3 x 64 x 64, batch 16, RMSprop."""
    T.manual_seed(0)
    nn = T.nn

    class Excitation(nn.Module):
        def __init__(self, c, inner):
            super().__init__()
            self.layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, inner, 1), nn.SiLU(), nn.Conv2d(inner, c, 1), nn.Sigmoid())

        def forward(self, x):
            return x * self.layers(x)

    class Residual(nn.Module):
        def __init__(self, a, b, expand, kernel, stride):
            super().__init__()
            m = a * expand
            layers = [] if expand == 1 else [nn.Conv2d(a, m, 1, bias=False), nn.BatchNorm2d(m), nn.SiLU()]
            layers += [nn.Conv2d(m, m, kernel, stride, kernel // 2, groups=m, bias=False), nn.BatchNorm2d(m), nn.SiLU()]
            self.layers = nn.Sequential(*layers, Excitation(m, a // 4), nn.Conv2d(m, b, 1, bias=False), nn.BatchNorm2d(b))
            self.add = a == b and stride == 1

        def forward(self, x):
            return x + self.layers(x) if self.add else self.layers(x)

    blocks = (32, 16, 1, 3, 1), (16, 24, 6, 3, 2), (24, 24, 6, 3, 1), (24, 40, 6, 5, 2), (40, 40, 6, 5, 1), (40, 80, 6, 3, 2)
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.SiLU(), *(Residual(*b) for b in blocks),
        nn.Conv2d(80, 320, 1, bias=False), nn.BatchNorm2d(320), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(320, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 64, 64), T.randint(0, 10, (16,))
    optimizer = T.optim.RMSprop(model.parameters(), 1e-3, momentum=0.9)
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss(label_smoothing=0.1))


def resnext(T, compiled=False):
    """Three bottlenecks of 16 groups with squeeze and excitation, 128 channels, on 3 x 32 x 32, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, c=128, m=64):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(c, m, 1, bias=False), nn.BatchNorm2d(m), nn.ReLU(True),
                nn.Conv2d(m, m, 3, 1, 1, groups=16, bias=False), nn.BatchNorm2d(m), nn.ReLU(True),
                nn.Conv2d(m, c, 1, bias=False), nn.BatchNorm2d(c),
            )  # fmt: skip
            self.weights = nn.Sequential(nn.Linear(c, c // 8), nn.ReLU(), nn.Linear(c // 8, c), nn.Sigmoid())

        def forward(self, x):
            y = self.layers(x)
            return F.relu(x + y * self.weights(y.mean((2, 3)))[:, :, None, None])

    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)
    model = nn.Sequential(nn.Conv2d(3, 128, 3, 1, 1), Block(), Block(), nn.AvgPool2d(2), Block(), *head)
    x, y = T.randn(16, 3, 32, 32), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def diffusion(T, compiled=False):
    """A diffusion model's U-Net, 32 and 64 channels, times, group norm, SiLU, attention, on 1 x 32 x 32, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Residual(nn.Module):
        def __init__(self, a, b, times):
            super().__init__()
            self.norm1, self.conv1, self.times = nn.GroupNorm(8, a), nn.Conv2d(a, b, 3, padding=1), nn.Linear(times, b)
            self.norm2, self.conv2 = nn.GroupNorm(8, b), nn.Conv2d(b, b, 3, padding=1)
            self.skip = nn.Conv2d(a, b, 1) if a != b else nn.Identity()

        def forward(self, x, t):
            h = self.conv1(F.silu(self.norm1(x))) + self.times(F.silu(t))[:, :, None, None]
            return self.skip(x) + self.conv2(F.silu(self.norm2(h)))

    class Attention(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.norm, self.qkv, self.out = nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

        def forward(self, x):
            b, c, h, w = x.shape
            q, k, v = self.qkv(self.norm(x)).reshape(b, 3, c, h * w).unbind(1)
            weights = T.softmax(T.einsum("bci,bcj->bij", q, k) * c**-0.5, -1)
            return x + self.out(T.einsum("bij,bcj->bci", weights, v).reshape(b, c, h, w))

    class UNet(nn.Module):
        def __init__(self, c=32, times=128):
            super().__init__()
            self.c, self.times = c, nn.Sequential(nn.Linear(c, times), nn.SiLU(), nn.Linear(times, times))
            self.first, self.out, self.norm = nn.Conv2d(1, c, 3, padding=1), nn.Conv2d(c, 1, 3, padding=1), nn.GroupNorm(8, c)
            self.down1, self.down2 = nn.Conv2d(c, c, 3, 2, 1), nn.Conv2d(2 * c, 2 * c, 3, 2, 1)
            self.left1, self.left2, self.right2, self.right1 = (
                Residual(a, b, times) for a, b in ((c, c), (c, 2 * c), (4 * c, c), (2 * c, c))
            )
            self.middle1, self.attention, self.middle2 = Residual(2 * c, 2 * c, times), Attention(2 * c), Residual(2 * c, 2 * c, times)

        def forward(self, x, t):
            angles = t[:, None].float() * T.exp(-T.arange(self.c // 2) * (9.21 / (self.c // 2)))
            t = self.times(T.cat([angles.sin(), angles.cos()], -1))
            wide = self.left1(self.first(x), t)
            half = self.left2(self.down1(wide), t)
            x = self.middle2(self.attention(self.middle1(self.down2(half), t)), t)
            x = self.right2(T.cat([F.interpolate(x, scale_factor=2.0), half], 1), t)
            x = self.right1(T.cat([F.interpolate(x, scale_factor=2.0), wide], 1), t)
            return self.out(F.silu(self.norm(x)))

    model, kept = UNet(), T.cumprod(1 - T.linspace(1e-4, 0.02, 200), 0)

    def objective(x, t, noise):
        a = kept[t][:, None, None, None]
        return F.mse_loss(model(a.sqrt() * x + (1 - a).sqrt() * noise, t), noise)

    batch = T.randn(16, 1, 32, 32), T.randint(0, 200, (16,)), T.randn(16, 1, 32, 32)
    return descent(T, compiled, model, objective, batch, adam(T, model))


def vq_vae(T, compiled=False):
    """VQ-VAE with 128 codes of 32, on 3 x 32 x 32, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Quantized(nn.Module):
        def __init__(self, d=32):
            super().__init__()
            self.codes = nn.Embedding(128, d)
            self.encoder = nn.Sequential(nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(), nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(), nn.Conv2d(64, d, 1))
            self.decoder = nn.Sequential(
                nn.Conv2d(d, 64, 3, padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(64, 32, 4, 2, 1),
                nn.ReLU(),
                nn.ConvTranspose2d(32, 3, 4, 2, 1),
            )

        def forward(self, x):
            z = self.encoder(x).permute(0, 2, 3, 1)
            flat, codes = z.reshape(-1, z.shape[-1]), self.codes.weight
            distance = flat.pow(2).sum(1, keepdim=True) - 2 * flat @ codes.t() + codes.pow(2).sum(1)
            q = self.codes(distance.argmin(1)).view(z.shape)
            loss = F.mse_loss(q, z.detach()) + 0.25 * F.mse_loss(z, q.detach())
            return F.mse_loss(self.decoder((z + (q - z).detach()).permute(0, 3, 1, 2)), x) + loss

    model = Quantized()
    return descent(T, compiled, model, model, (T.randn(16, 3, 32, 32),), adam(T, model))


def spatial_transformer(T, compiled=False):
    """A spatial transformer before a small CNN, on 1 x 28 x 28, batch 64, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2, self.fc1, self.fc2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5), nn.Linear(320, 50), nn.Linear(50, 10)
            self.find = nn.Sequential(
                nn.Conv2d(1, 8, 7), nn.MaxPool2d(2, 2), nn.ReLU(True), nn.Conv2d(8, 10, 5), nn.MaxPool2d(2, 2), nn.ReLU(True)
            )
            self.place = nn.Sequential(nn.Linear(90, 32), nn.ReLU(True), nn.Linear(32, 6))
            self.place[2].weight.data.zero_()
            self.place[2].bias.data.copy_(T.tensor([1, 0, 0, 0, 1, 0], dtype=T.float))

        def forward(self, x):
            theta = self.place(self.find(x).view(-1, 90)).view(-1, 2, 3)
            x = F.grid_sample(x, F.affine_grid(theta, x.size(), align_corners=False), align_corners=False)
            x = F.relu(F.max_pool2d(self.conv2(F.relu(F.max_pool2d(self.conv1(x), 2))), 2))
            return F.log_softmax(self.fc2(F.relu(self.fc1(x.view(-1, 320)))), 1)

    model = Net()
    return training_step(T, compiled, model, T.randn(64, 1, 28, 28), T.randint(0, 10, (64,)), sgd(T, model), nn.NLLLoss())


def text_reader(T, compiled=False):
    """Convolutions and a bidirectional LSTM read lines of 1 x 32 x 100 by CTC, 8 letters of 27, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d((2, 1)),
            )  # fmt: skip
            self.rnn, self.head = nn.LSTM(256, 64, bidirectional=True), nn.Linear(128, 27)

        def forward(self, x):
            return F.log_softmax(self.head(self.rnn(self.conv(x).permute(3, 0, 1, 2).flatten(2))[0]), 2)

    model, loss = Reader(), nn.CTCLoss()
    batch = T.randn(16, 1, 32, 100), T.randint(1, 27, (16, 8)), T.full((16,), 25), T.full((16,), 8)
    return descent(T, compiled, model, lambda x, *targets: loss(model(x), *targets), batch, adam(T, model))


def pixel_cnn(T, compiled=False):
    """Masked 7 x 7 convolutions of 32 channels, 16 levels, on 1 x 28 x 28, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Masked(nn.Conv2d):
        def __init__(self, itself, a, b):
            super().__init__(a, b, 7, 1, 3)
            self.register_buffer("mask", T.ones_like(self.weight))
            self.mask[:, :, 3, 3 + itself :] = 0
            self.mask[:, :, 4:] = 0

        def forward(self, x):
            self.weight.data *= self.mask
            return super().forward(x)

    layers = [layer for i, a in enumerate((1, 32, 32)) for layer in (Masked(min(i, 1), a, 32), nn.BatchNorm2d(32), nn.ReLU(True))]
    model = nn.Sequential(*layers, nn.Conv2d(32, 16, 1))
    x, y = T.rand(16, 1, 28, 28), T.randint(0, 16, (16, 28, 28))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def capsules(T, compiled=False):
    """288 capsules of 8 vote for ten of 16 in three rounds, on 1 x 28 x 28, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def squash(s):
        n = (s**2).sum(-1, keepdim=True)
        return n / (1 + n) * s / T.sqrt(n + 1e-8)

    class Capsules(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 64, 9), nn.Conv2d(64, 64, 9, 2)
            self.weight = nn.Parameter(0.01 * T.randn(1, 288, 10, 16, 8))

        def forward(self, x):
            n = x.shape[0]
            u = squash(self.conv2(F.relu(self.conv1(x))).view(n, 8, 8, 36).permute(0, 1, 3, 2).reshape(n, 288, 8))
            votes, logits = (self.weight @ u[:, :, None, :, None]).squeeze(-1), T.zeros(n, 288, 10)
            for i in range(3):
                v = squash((F.softmax(logits, 2).unsqueeze(-1) * votes).sum(1))
                if i < 2:
                    logits = logits + (votes * v.unsqueeze(1)).sum(-1)
            return v.norm(dim=-1)

    model = Capsules()

    def objective(x, y):
        v = model(x)
        return (y * F.relu(0.9 - v) ** 2 + 0.5 * (1 - y) * F.relu(v - 0.1) ** 2).sum(1).mean()

    y = F.one_hot(T.randint(0, 10, (16,)), 10).float()
    return descent(T, compiled, model, objective, (T.rand(16, 1, 28, 28), y), adam(T, model))


NETWORKS = [efficientnet, resnext, diffusion, vq_vae, spatial_transformer, text_reader, pixel_cnn, capsules]
DRAWS = []
