"""Networks of images. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, compiled_part, compiled_step, sgd, training_step


def mnist_example(T, compiled=False):
    """PyTorch's example for MNIST: two convolutions, two dropouts, 1 x 28 x 28, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25), nn.Flatten(),
        nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10),
    )  # fmt: skip
    x, y = T.randn(64, 1, 28, 28), T.randint(0, 10, (64,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def lenet_sigmoid(T, compiled=False):
    """LeNet with sigmoids and average pooling on 1 x 28 x 28, batch 256, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.AvgPool2d(2, 2),
        nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
    )  # fmt: skip
    x, y = T.randn(256, 1, 28, 28), T.randint(0, 10, (256,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def cifar_cnn(T, compiled=False):
    """Three convolutions of 32, 64 and 64 channels on 3 x 32 x 32, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = T.randn(32, 3, 32, 32), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def network_in_network(T, compiled=False):
    """Network in network, 48, 96 and 10 channels, on 1 x 28 x 28, batch 32, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    def block(a, b, kernel, padding):
        return [nn.Conv2d(a, b, kernel, 1, padding), nn.ReLU(), nn.Conv2d(b, b, 1), nn.ReLU(), nn.Conv2d(b, b, 1), nn.ReLU()]

    model = nn.Sequential(
        *block(1, 48, 5, 2), nn.MaxPool2d(3, 2), *block(48, 96, 3, 1), nn.MaxPool2d(3, 2), *block(96, 10, 3, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip
    x, y = T.randn(32, 1, 28, 28), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def mobilenet_v2(T, compiled=False):
    """Inverted residuals, 16 to 64 channels, expansion 4, on 3 x 64 x 64, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, a, b, stride, expansion=4):
            super().__init__()
            width = a * expansion
            self.residual = stride == 1 and a == b
            self.layers = nn.Sequential(
                nn.Conv2d(a, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
                nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU6(),
                nn.Conv2d(width, b, 1, bias=False), nn.BatchNorm2d(b),
            )  # fmt: skip

        def forward(self, x):
            y = self.layers(x)
            return x + y if self.residual else y

    shapes = ((16, 16, 1), (16, 24, 2), (24, 24, 1), (24, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1))
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU6(), *(Block(*shape) for shape in shapes),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 64, 64), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def resnet_bottleneck(T, compiled=False):
    """ResNet of four bottlenecks, 128 and 256 channels, on 3 x 96 x 96, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, a, width, stride):
            super().__init__()
            b = 4 * width
            self.layers = nn.Sequential(
                nn.Conv2d(a, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(),
                nn.Conv2d(width, b, 1, bias=False), nn.BatchNorm2d(b),
            )  # fmt: skip
            self.down = nn.Identity()
            if stride > 1 or a != b:
                self.down = nn.Sequential(nn.Conv2d(a, b, 1, stride, bias=False), nn.BatchNorm2d(b))

        def forward(self, x):
            return F.relu(self.layers(x) + self.down(x))

    model = nn.Sequential(
        nn.Conv2d(3, 32, 7, 2, 3, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(3, 2, 1),
        Block(32, 32, 1), Block(128, 32, 1), Block(128, 64, 2), Block(256, 64, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 96, 96), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def small_resnet(T, compiled=False):
    """ResNet of three blocks, 16, 32 and 64 channels, on 1 x 28 x 28, batch 32, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, a, b, stride):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(a, b, 3, stride, 1), nn.Conv2d(b, b, 3, 1, 1)
            self.bn1, self.bn2 = nn.BatchNorm2d(b), nn.BatchNorm2d(b)
            self.down = nn.Conv2d(a, b, 1, stride) if stride > 1 or a != b else None

        def forward(self, x):
            y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
            return F.relu(y + (x if self.down is None else self.down(x)))

    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = T.randn(32, 1, 28, 28), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def inception(T, compiled=False):
    """Two inception blocks, 64 and 128 channels, on 3 x 32 x 32, batch 32, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, a, one, three, five, pooled):
            super().__init__()
            self.one = nn.Sequential(nn.Conv2d(a, one, 1), nn.ReLU())
            self.three = nn.Sequential(nn.Conv2d(a, three[0], 1), nn.ReLU(), nn.Conv2d(*three, 3, padding=1), nn.ReLU())
            self.five = nn.Sequential(nn.Conv2d(a, five[0], 1), nn.ReLU(), nn.Conv2d(*five, 5, padding=2), nn.ReLU())
            self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(a, pooled, 1), nn.ReLU())

        def forward(self, x):
            return T.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)

    model = nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        Block(32, 16, (16, 32), (4, 8), 8), Block(64, 32, (32, 64), (8, 16), 16), nn.MaxPool2d(2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10),
    )  # fmt: skip
    x, y = T.randn(32, 3, 32, 32), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def densenet(T, compiled=False):
    """DenseNet of two blocks of four layers, growth 12, on 3 x 32 x 32, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    growth = 12

    class Dense(nn.Module):
        def __init__(self, a, layers=4):
            super().__init__()
            self.layers = nn.ModuleList(
                nn.Sequential(nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, growth, 3, padding=1, bias=False))
                for b in range(a, a + layers * growth, growth)
            )

        def forward(self, x):
            for layer in self.layers:
                x = T.cat([x, layer(x)], 1)
            return x

    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1, bias=False), Dense(24),
        nn.BatchNorm2d(72), nn.ReLU(), nn.Conv2d(72, 36, 1, bias=False), nn.AvgPool2d(2), Dense(36),
        nn.BatchNorm2d(84), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(84, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 32, 32), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def shufflenet(T, compiled=False):
    """Grouped convolutions and channel shuffle, 24 to 96 channels, on 3 x 64 x 64, batch 16, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, a, b, stride, groups=3):
            super().__init__()
            self.groups, self.stride = groups, stride
            b = b - a if stride > 1 else b  # the pooled input is concatenated
            self.expand, self.bn1 = nn.Conv2d(a, a, 1, groups=groups, bias=False), nn.BatchNorm2d(a)
            self.depthwise, self.bn2 = nn.Conv2d(a, a, 3, stride, 1, groups=a, bias=False), nn.BatchNorm2d(a)
            self.project, self.bn3 = nn.Conv2d(a, b, 1, groups=groups, bias=False), nn.BatchNorm2d(b)

        def forward(self, x):
            y = F.relu(self.bn1(self.expand(x)))
            n, c, h, w = y.shape
            y = y.view(n, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(n, c, h, w)
            y = self.bn3(self.project(self.bn2(self.depthwise(y))))
            if self.stride > 1:
                return F.relu(T.cat([F.avg_pool2d(x, 3, 2, 1), y], 1))
            return F.relu(x + y)

    model = nn.Sequential(
        nn.Conv2d(3, 24, 3, 2, 1, bias=False), nn.BatchNorm2d(24), nn.ReLU(),
        Block(24, 48, 2), Block(48, 48, 1), Block(48, 96, 2), Block(96, 96, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10),
    )  # fmt: skip
    x, y = T.randn(16, 3, 64, 64), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def convnext(T, compiled=False):
    """ConvNeXt: two blocks of 48 and two of 96 channels, on 3 x 64 x 64, batch 16, AdamW."""
    T.manual_seed(0)
    nn = T.nn

    class ChannelNorm(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.norm = nn.LayerNorm(d)

        def forward(self, x):
            return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.depthwise, self.norm = nn.Conv2d(d, d, 7, padding=3, groups=d), nn.LayerNorm(d)
            self.expand, self.act, self.project = nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d)
            self.scale = nn.Parameter(T.full((d,), 0.1))

        def forward(self, x):
            y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
            return x + (self.scale * self.project(self.act(self.expand(y)))).permute(0, 3, 1, 2)

    model = nn.Sequential(
        nn.Conv2d(3, 48, 4, 4), ChannelNorm(48), Block(48), Block(48),
        ChannelNorm(48), nn.Conv2d(48, 96, 2, 2), Block(96), Block(96),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(96), nn.Linear(96, 10),
    )  # fmt: skip
    optimizer = T.optim.AdamW(model.parameters())
    x, y = T.randn(16, 3, 64, 64), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss())


def group_norm_silu(T, compiled=False):
    """Three strided convolutions of 32, 64 and 128 channels, group norm and SiLU, on 3 x 32 x 32, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    def block(a, b):
        return [nn.Conv2d(a, b, 3, 2, 1), nn.GroupNorm(8, b), nn.SiLU()]

    model = nn.Sequential(*block(3, 32), *block(32, 64), *block(64, 128), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10))
    x, y = T.randn(32, 3, 32, 32), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def conv3d(T, compiled=False):
    """Two 3-d convolutions of 8 and 16 channels on 1 x 16 x 32 x 32, batch 8, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2), nn.Conv3d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool3d(2),
        nn.Flatten(), nn.Linear(4096, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    x, y = T.randn(8, 1, 16, 32, 32), T.randint(0, 10, (8,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def unet(T, compiled=False):
    """U-Net of 16, 32 and 64 channels on 1 x 64 x 64, batch 4, Adam."""
    T.manual_seed(0)
    nn = T.nn

    def double(a, b):
        layers = (nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.Conv2d(b, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU())
        return nn.Sequential(*layers)

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2, self.bottom = double(1, 16), double(16, 32), double(32, 64)
            self.widen1, self.widen2 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
            self.up1, self.up2, self.out = double(64, 32), double(32, 16), nn.Conv2d(16, 1, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            a = self.down1(x)
            b = self.down2(self.pool(a))
            x = self.bottom(self.pool(b))
            x = self.up1(T.cat([self.widen1(x), b], 1))
            return self.out(self.up2(T.cat([self.widen2(x), a], 1)))

    model = UNet()
    x, y = T.randn(4, 1, 64, 64), T.rand(4, 1, 64, 64)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.BCEWithLogitsLoss())


def super_resolution(T, compiled=False):
    """SRCNN: convolutions of 9, 1 and 5, 64 and 32 channels, on 1 x 33 x 33, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Conv2d(1, 64, 9, padding=4), nn.ReLU(), nn.Conv2d(64, 32, 1), nn.ReLU(), nn.Conv2d(32, 1, 5, padding=2))
    x, y = T.rand(16, 1, 33, 33), T.rand(16, 1, 33, 33)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.MSELoss())


def sub_pixel(T, compiled=False):
    """Sub-pixel super-resolution by 3, 64, 64 and 32 channels, on 1 x 32 x 32, batch 8, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(1, 64, 5, padding=2), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(),
        nn.Conv2d(64, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 9, 3, padding=1), nn.PixelShuffle(3),
    )  # fmt: skip
    x, y = T.rand(8, 1, 32, 32), T.rand(8, 1, 96, 96)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.MSELoss())


def style_transfer(T, compiled=False):
    """Instance norm, PReLU, reflected padding, one residual block, 16 and 32 channels, on 3 x 64 x 64, batch 4, Adam."""
    T.manual_seed(0)
    nn = T.nn

    def conv(a, b, kernel, stride=1):
        return [nn.ReflectionPad2d(kernel // 2), nn.Conv2d(a, b, kernel, stride), nn.InstanceNorm2d(b, affine=True)]

    class Residual(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.layers = nn.Sequential(*conv(d, d, 3), nn.PReLU(), *conv(d, d, 3))

        def forward(self, x):
            return x + self.layers(x)

    model = nn.Sequential(
        *conv(3, 16, 9), nn.PReLU(), *conv(16, 32, 3, 2), nn.PReLU(), Residual(32),
        nn.Upsample(scale_factor=2), *conv(32, 16, 3), nn.PReLU(), nn.ReflectionPad2d(4), nn.Conv2d(16, 3, 9),
    )  # fmt: skip
    x, y = T.rand(4, 3, 64, 64), T.rand(4, 3, 64, 64)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.MSELoss())


def dcgan_discriminator(T, compiled=False):
    """DCGAN's discriminator, 32, 64 and 128 channels, on 3 x 32 x 32, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Conv2d(3, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2), nn.Conv2d(128, 1, 4), nn.Flatten(),
    )  # fmt: skip
    x, y = T.randn(64, 3, 32, 32), T.rand(64, 1)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.BCEWithLogitsLoss())


def gan(T, compiled=False):
    """DCGAN on 1 x 32 x 32, batch 64, noise of 64: a step of the discriminator and one of the generator, Adam."""
    T.manual_seed(0)
    nn = T.nn

    def widened(a, b, stride=2, padding=1):
        return [nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False), nn.BatchNorm2d(b), nn.ReLU()]

    def narrowed(a, b):
        return [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2)]

    generator = nn.Sequential(*widened(64, 128, 1, 0), *widened(128, 64), *widened(64, 32), nn.ConvTranspose2d(32, 1, 4, 2, 1), nn.Tanh())
    discriminator = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), *narrowed(32, 64), *narrowed(64, 128), nn.Conv2d(128, 1, 4), nn.Flatten()
    )
    both = [
        (list(model.parameters()), T.optim.Adam(model.parameters(), lr=2e-4, betas=(0.5, 0.999))) for model in (discriminator, generator)
    ]
    (of_discriminator, optimizer_d), (of_generator, optimizer_g) = both
    loss, real, fake = nn.BCEWithLogitsLoss(), T.ones(64, 1), T.zeros(64, 1)

    def tell_apart(images, made):
        return loss(discriminator(images), real) + loss(discriminator(made), fake)

    def deceive(made):
        return loss(discriminator(made), real)

    generate, tell_apart, deceive = (compiled_part(T, compiled, f) for f in (generator, tell_apart, deceive))

    def step(images):
        made = generate(T.randn(64, 64, 1, 1))
        optimizer_d.zero_grad()
        loss_d = tell_apart(images, made.detach())
        loss_d.backward()
        T.nn.utils.clip_grad_norm_(of_discriminator, 1.0)
        optimizer_d.step()
        optimizer_g.zero_grad()
        loss_g = deceive(made)
        loss_g.backward()
        T.nn.utils.clip_grad_norm_(of_generator, 1.0)
        optimizer_g.step()
        return (loss_d + loss_g).detach()

    images = T.rand(64, 1, 32, 32) * 2 - 1
    step = compiled_step(T, compiled, step)
    return lambda: step(images)


def vit(T, compiled=False):
    """Vision transformer: patches of 4 x 4, width 96, 4 heads, 3 layers, on 3 x 32 x 32, batch 16, AdamW."""
    T.manual_seed(0)
    nn = T.nn

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, 96, 4, 4)
            self.token, self.positions = nn.Parameter(T.zeros(1, 1, 96)), nn.Parameter(T.randn(1, 65, 96) * 0.02)
            layer = nn.TransformerEncoderLayer(96, 4, 384, 0.0, "gelu", batch_first=True, norm_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 3), nn.Linear(96, 10)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = T.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
            return self.head(self.encoder(x)[:, 0])

    model = ViT()
    optimizer = T.optim.AdamW(model.parameters())
    x, y = T.randn(16, 3, 32, 32), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss())


def mlp_mixer(T, compiled=False):
    """MLP mixer: patches of 4 x 4, width 128, 2 layers, on 3 x 32 x 32, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, tokens=64, d=128):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.tokens = nn.Sequential(nn.Linear(tokens, 128), nn.GELU(), nn.Linear(128, tokens))
            self.channels = nn.Sequential(nn.Linear(d, 512), nn.GELU(), nn.Linear(512, d))

        def forward(self, x):
            x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
            return x + self.channels(self.norm2(x))

    class Mixer(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.blocks, self.head = nn.Conv2d(3, 128, 4, 4), nn.Sequential(Block(), Block()), nn.Linear(128, 10)

        def forward(self, x):
            return self.head(self.blocks(self.patches(x).flatten(2).transpose(1, 2)).mean(1))

    model = Mixer()
    x, y = T.randn(16, 3, 32, 32), T.randint(0, 10, (16,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


NETWORKS = [
    mnist_example, lenet_sigmoid, cifar_cnn, network_in_network, mobilenet_v2, resnet_bottleneck, small_resnet, inception, densenet,
    shufflenet, convnext, group_norm_silu, conv3d, unet, super_resolution, sub_pixel, style_transfer, dcgan_discriminator, gan, vit,
    mlp_mixer,
]  # fmt: skip
DRAWS = [mnist_example]
