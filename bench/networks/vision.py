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


def swin(T, compiled=False):
    """Swin: windows of 4 x 4, shifted in every second of four blocks, width 48 and 96, on 3 x 32 x 32, batch 8, AdamW."""
    T.manual_seed(0)
    nn = T.nn

    def windows(x, w):
        b, height, width, c = x.shape
        return x.view(b, height // w, w, width // w, w, c).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, w * w, c)

    def whole(x, w, size):
        n = size // w
        return x.view(-1, n, n, w, w, x.shape[-1]).permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, x.shape[-1])

    class Attention(nn.Module):
        def __init__(self, d, heads, w):
            super().__init__()
            self.heads, self.scale, self.biases = heads, (d // heads) ** -0.5, nn.Parameter(T.zeros((2 * w - 1) ** 2, heads))
            self.qkv, self.out = nn.Linear(d, 3 * d), nn.Linear(d, d)
            nn.init.trunc_normal_(self.biases, std=0.02)
            places = T.stack(T.meshgrid(T.arange(w), T.arange(w), indexing="ij")).flatten(1)
            down, right = (places[:, :, None] - places[:, None] + w - 1).unbind(0)
            self.register_buffer("distance", down * (2 * w - 1) + right)

        def forward(self, x, mask):
            b, t, d = x.shape
            q, k, v = self.qkv(x).reshape(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
            scores = (q * self.scale) @ k.transpose(-2, -1)
            scores = scores + self.biases[self.distance.view(-1)].view(t, t, -1).permute(2, 0, 1).contiguous().unsqueeze(0)
            if mask is not None:
                n = mask.shape[0]
                scores = (scores.view(b // n, n, self.heads, t, t) + mask.unsqueeze(1).unsqueeze(0)).view(-1, self.heads, t, t)
            return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, d))

    class Block(nn.Module):
        def __init__(self, d, heads, size, shift, w=4):
            super().__init__()
            self.size, self.w, self.shift = size, w, shift
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(d), Attention(d, heads, w), nn.LayerNorm(d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))
            self.register_buffer("mask", self.between_regions() if shift else None)

        def between_regions(self):
            """What the roll has brought together from opposite edges does not attend to each other."""
            edges = slice(0, -self.w), slice(-self.w, -self.shift), slice(-self.shift, None)
            regions = T.zeros(1, self.size, self.size, 1)
            for i, rows in enumerate(edges):
                for j, columns in enumerate(edges):
                    regions[:, rows, columns] = 3 * i + j
            regions = windows(regions, self.w).squeeze(-1)
            apart = regions.unsqueeze(1) != regions.unsqueeze(2)
            return T.zeros(apart.shape).masked_fill(apart, -100.0)

        def forward(self, x):
            b, t, d = x.shape
            y = self.norm1(x).view(b, self.size, self.size, d)
            if self.shift:
                y = T.roll(y, (-self.shift, -self.shift), (1, 2))
            y = whole(self.attention(windows(y, self.w), self.mask), self.w, self.size)
            if self.shift:
                y = T.roll(y, (self.shift, self.shift), (1, 2))
            x = x + y.view(b, t, d)
            return x + self.mlp(self.norm2(x))

    class Merge(nn.Module):
        def __init__(self, d, size):
            super().__init__()
            self.size, self.norm, self.reduce = size, nn.LayerNorm(4 * d), nn.Linear(4 * d, 2 * d, bias=False)

        def forward(self, x):
            b, _, d = x.shape
            x = x.view(b, self.size, self.size, d)
            x = T.cat([x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], -1).view(b, -1, 4 * d)
            return self.reduce(self.norm(x))

    class Swin(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 48, 2, 2)
            blocks = Block(48, 3, 16, 0), Block(48, 3, 16, 2), Merge(48, 16), Block(96, 6, 8, 0), Block(96, 6, 8, 2)
            self.blocks, self.norm, self.head = nn.Sequential(*blocks), nn.LayerNorm(96), nn.Linear(96, 10)

        def forward(self, x):
            return self.head(self.norm(self.blocks(self.patches(x).flatten(2).transpose(1, 2))).mean(1))

    model = Swin()
    x, y = T.randn(8, 3, 32, 32), T.randint(0, 10, (8,))
    optimizer = T.optim.AdamW(model.parameters())
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss(label_smoothing=0.1))


def mobilenet_v3(T, compiled=False):
    """MobileNet V3: hardswish, squeeze and excitation, windows of 5, 16 to 48 channels, on 3 x 64 x 64, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Excitation(nn.Module):
        def __init__(self, c):
            super().__init__()
            self.squeeze, self.expand = nn.Conv2d(c, c // 4, 1), nn.Conv2d(c // 4, c, 1)

        def forward(self, x):
            return x * F.hardsigmoid(self.expand(F.relu(self.squeeze(F.adaptive_avg_pool2d(x, 1)))))

    class Residual(nn.Module):
        def __init__(self, a, m, b, kernel, stride, excited, act):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv2d(a, m, 1, bias=False), nn.BatchNorm2d(m), act(),
                nn.Conv2d(m, m, kernel, stride, kernel // 2, groups=m, bias=False), nn.BatchNorm2d(m),
                Excitation(m) if excited else nn.Identity(), act(), nn.Conv2d(m, b, 1, bias=False), nn.BatchNorm2d(b),
            )  # fmt: skip
            self.add = a == b and stride == 1

        def forward(self, x):
            return x + self.layers(x) if self.add else self.layers(x)

    blocks = (
        (16, 16, 16, 3, 2, True, nn.ReLU), (16, 72, 24, 3, 2, False, nn.ReLU), (24, 88, 24, 3, 1, False, nn.ReLU),
        (24, 96, 40, 5, 2, True, nn.Hardswish), (40, 240, 40, 5, 1, True, nn.Hardswish), (40, 120, 48, 5, 1, True, nn.Hardswish),
    )  # fmt: skip
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.Hardswish(), *(Residual(*b) for b in blocks),
        nn.Conv2d(48, 288, 1), nn.Hardswish(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(288, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 64, 64), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def srgan(T, compiled=False):
    """SRGAN's generator: six residual blocks of 32 channels, PReLU, two sub-pixel layers, from 3 x 24 x 24, batch 4, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Residual(nn.Module):
        def __init__(self, *layers):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, x):
            return x + self.layers(x)

    def normed(c):
        return nn.Conv2d(c, c, 3, 1, 1), nn.BatchNorm2d(c)

    def widened(c):
        return nn.Conv2d(c, 4 * c, 3, 1, 1), nn.PixelShuffle(2), nn.PReLU()

    blocks = (Residual(*normed(32), nn.PReLU(), *normed(32)) for _ in range(6))
    model = nn.Sequential(
        nn.Conv2d(3, 32, 9, 1, 4),
        nn.PReLU(),
        Residual(*blocks, *normed(32)),
        *widened(32),
        *widened(32),
        nn.Conv2d(32, 3, 9, 1, 4),
        nn.Tanh(),
    )
    x, y = T.rand(4, 3, 24, 24), T.rand(4, 3, 96, 96)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.L1Loss())


def pix2pix(T, compiled=False):
    """pix2pix's generator: four convolutions down and four up, 32 to 256 channels, skips, on 3 x 64 x 64, batch 4, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Generator(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList([
                nn.Conv2d(3, 32, 4, 2, 1, bias=False),
                nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64)),
                nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128)),
                nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(128, 256, 4, 2, 1, bias=False)),
            ])  # fmt: skip
            shapes = (256, 128), (256, 64), (128, 32)
            self.up = nn.ModuleList(nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b)) for a, b in shapes)
            self.last = nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(64, 3, 4, 2, 1), nn.Tanh())

        def forward(self, x):
            skipped = []
            for layer in self.down:
                x = layer(x)
                skipped.append(x)
            x = skipped.pop()
            for layer in self.up:
                x = T.cat([layer(x), skipped.pop()], 1)
            return self.last(x)

    model = Generator()
    optimizer = T.optim.Adam(model.parameters(), 2e-4, (0.5, 0.999))
    return training_step(T, compiled, model, T.randn(4, 3, 64, 64), T.randn(4, 3, 64, 64), optimizer, nn.L1Loss())


def dice_unet(T, compiled=False):
    """U-Net, 16 to 64 channels, widened bilinearly, cross entropy and the dice coefficient, on 1 x 64 x 64, batch 4, RMSprop."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def double(a, b):
        return nn.Sequential(
            nn.Conv2d(a, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
            nn.Conv2d(b, b, 3, padding=1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
        )  # fmt: skip

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList(double(a, b) for a, b in ((1, 16), (16, 32), (32, 64), (64, 64)))
            self.up = nn.ModuleList(double(a, b) for a, b in ((128, 32), (64, 16), (32, 16)))
            self.out = nn.Conv2d(16, 1, 1)

        def forward(self, x):
            skipped = []
            for i, layer in enumerate(self.down):
                x = layer(F.max_pool2d(x, 2) if i else x)
                skipped.append(x)
            x = skipped.pop()
            for layer in self.up:
                x = layer(T.cat([skipped.pop(), F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)], 1))
            return self.out(x)

    def loss(out, y):
        p = T.sigmoid(out)
        dice = (2 * (p * y).sum((1, 2, 3)) + 1) / (p.sum((1, 2, 3)) + y.sum((1, 2, 3)) + 1)
        return F.binary_cross_entropy_with_logits(out, y) + 1 - dice.mean()

    model = UNet()
    optimizer = T.optim.RMSprop(model.parameters(), 1e-4, weight_decay=1e-8, momentum=0.9)
    return training_step(T, compiled, model, T.randn(4, 1, 64, 64), (T.rand(4, 1, 64, 64) > 0.7).float(), optimizer, loss)


def detector(T, compiled=False):
    """A one-stage detector: a grid of 8 x 8 with two boxes each, three classes, overlaps, on 3 x 64 x 64, batch 8, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def block(a, b):
        return nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.1)

    model = nn.Sequential(
        *block(3, 16), nn.MaxPool2d(2), *block(16, 32), nn.MaxPool2d(2), *block(32, 64), nn.MaxPool2d(2), *block(64, 128),
        nn.Conv2d(128, 16, 1),
    )  # fmt: skip
    anchors = T.tensor([[1.0, 1.5], [2.0, 1.0]])[None, :, None, None]
    grid = T.stack(T.meshgrid(T.arange(8.0), T.arange(8.0), indexing="xy"), -1)

    def area(size):
        return size[..., 0].clamp(min=0) * size[..., 1].clamp(min=0)

    def loss(out, target):
        out = out.view(8, 2, 8, 8, 8).permute(0, 1, 3, 4, 2)
        middle, size = (T.sigmoid(out[..., :2]) + grid) / 8, T.exp(out[..., 2:4]) * anchors / 8
        low, high = middle - size / 2, middle + size / 2
        there, count = target[..., 4] > 0.9, (target[..., 4] > 0.9).sum().clamp(min=1)
        shared = area(T.min(high, target[..., 2:4]) - T.max(low, target[..., :2]))
        overlap = shared / (area(high - low) + area(target[..., 2:4] - target[..., :2]) - shared + 1e-7)
        boxes = T.where(there, 1 - overlap, T.zeros_like(overlap)).sum() / count
        objects = F.binary_cross_entropy_with_logits(out[..., 4], there.float(), reduction="none")
        classes = (target[..., 5] * 3).long().clamp(max=2)
        classes = F.cross_entropy(out[..., 5:].reshape(-1, 3), classes.reshape(-1), reduction="none") * there.reshape(-1)
        return 5 * boxes + T.where(there, objects, 0.5 * objects).mean() + classes.sum() / count

    return training_step(T, compiled, model, T.randn(8, 3, 64, 64), T.rand(8, 2, 8, 8, 6), sgd(T, model), loss)


def convlstm(T, compiled=False):
    """Convolutional LSTM of 16 channels predicts the next of 8 frames of 1 x 32 x 32, batch 8, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class ConvLSTM(nn.Module):
        def __init__(self, c=16):
            super().__init__()
            self.c, self.gates, self.out = c, nn.Conv2d(1 + c, 4 * c, 3, padding=1), nn.Conv2d(c, 1, 1)

        def forward(self, x):
            hidden = cell = T.zeros(x.shape[0], self.c, 32, 32)
            frames = []
            for t in range(x.shape[1]):
                i, f, o, g = T.split(self.gates(T.cat([x[:, t], hidden], 1)), self.c, 1)
                cell = T.sigmoid(f) * cell + T.sigmoid(i) * T.tanh(g)
                hidden = T.sigmoid(o) * T.tanh(cell)
                frames.append(self.out(hidden))
            return T.stack(frames, 1)

    model, x = ConvLSTM(), T.rand(8, 8, 1, 32, 32)
    return training_step(T, compiled, model, x, x.roll(-1, 1), adam(T, model), nn.MSELoss())


def protonet(T, compiled=False):
    """Prototypical network: four convolutions of 32 channels, distances of 25 queries to 5 means, on 50 x 1 x 28 x 28, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def block(a, b):
        return nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)

    model = nn.Sequential(*block(1, 32), *block(32, 32), *block(32, 32), *block(32, 32), nn.Flatten())

    def objective(x, y):
        z = model(x)
        prototypes = z[:25].view(5, 5, -1).mean(1)
        return F.cross_entropy(-(T.cdist(z[25:], prototypes) ** 2), y)

    return descent(T, compiled, model, objective, (T.randn(50, 1, 28, 28), T.arange(5).repeat_interleave(5)), adam(T, model))


def siamese(T, compiled=False):
    """Siamese CNN with PReLU, 2 numbers an image, contrastive loss of 32 pairs of 1 x 28 x 28, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional
    model = nn.Sequential(
        nn.Conv2d(1, 32, 5), nn.PReLU(), nn.MaxPool2d(2, 2), nn.Conv2d(32, 64, 5), nn.PReLU(), nn.MaxPool2d(2, 2), nn.Flatten(),
        nn.Linear(1024, 256), nn.PReLU(), nn.Linear(256, 256), nn.PReLU(), nn.Linear(256, 2),
    )  # fmt: skip

    def objective(a, b, same):
        distance = F.pairwise_distance(model(a), model(b))
        return (same * distance**2 + (1 - same) * F.relu(1 - distance) ** 2).mean() / 2

    batch = T.randn(32, 1, 28, 28), T.randn(32, 1, 28, 28), T.randint(0, 2, (32,)).float()
    return descent(T, compiled, model, objective, batch, adam(T, model))


NETWORKS = [
    efficientnet, resnext, diffusion, vq_vae, spatial_transformer, text_reader, pixel_cnn, capsules, swin, mobilenet_v3, srgan, pix2pix,
    dice_unet, detector, convlstm, protonet, siamese,
]  # fmt: skip
DRAWS = []
