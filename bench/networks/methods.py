"""Steps that are more than a forward and a backward pass, and networks of science. Written once, for any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, compiled_step, descent, training_step


def physics_informed(T, compiled=False):
    """Burgers' equation by an MLP 2-50-50-50-1 with tanh: second derivatives at 1000 points, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 50), nn.Tanh(), nn.Linear(50, 1))
    x, t = (T.rand(1000, 1) * 2 - 1).requires_grad_(), T.rand(1000, 1).requires_grad_()
    edge, known = T.cat([T.rand(200, 1) * 2 - 1, T.zeros(200, 1)], 1), T.randn(200, 1)
    parameters, optimizer = list(model.parameters()), adam(T, model)

    def slope(y, x):
        return T.autograd.grad(y, x, T.ones_like(y), create_graph=True)[0]

    def step(x, t, edge, known):
        optimizer.zero_grad()
        u = model(T.cat([x, t], 1))
        by_x = slope(u, x)
        residual = slope(u, t) + u * by_x - 0.00318 * slope(by_x, x)
        loss = (residual**2).mean() + ((model(edge) - known) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    step = compiled_step(T, compiled, step)
    return lambda: step(x, t, edge, known)


def wasserstein_gan(T, compiled=False):
    """A critic's step with gradient penalty, 32 and 64 channels, on 1 x 28 x 28, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    critic = nn.Sequential(
        nn.Conv2d(1, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(32, 64, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(3136, 1)
    )
    generator = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 784), nn.Tanh())
    parameters, optimizer = list(critic.parameters()), T.optim.Adam(critic.parameters(), 1e-4, (0.5, 0.9))

    def step(real, noise, part):
        optimizer.zero_grad()
        with T.no_grad():
            fake = generator(noise).view(64, 1, 28, 28)
        mixed = (part * real + (1 - part) * fake).requires_grad_()
        scores = critic(mixed)
        slope = T.autograd.grad(scores, mixed, T.ones_like(scores), create_graph=True)[0]
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((slope.flatten(1).norm(2, 1) - 1) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return loss.detach()

    step, batch = compiled_step(T, compiled, step), (T.randn(64, 1, 28, 28), T.randn(64, 64), T.rand(64, 1, 1, 1))
    return lambda: step(*batch)


def policy_gradient(T, compiled=False):
    """PPO: actor 8-64-64-4 and critic 8-64-64-1 with tanh, clipped ratios, entropy, batch 256, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def network(outputs):
        return nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs))

    model = nn.ModuleDict({"actor": network(4), "critic": network(1)})

    def objective(state, action, before, advantage, reward):
        log_p = F.log_softmax(model["actor"](state), -1)
        ratio = T.exp(log_p.gather(1, action.unsqueeze(1)).squeeze(1) - before)
        advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        gain = T.min(ratio * advantage, T.clamp(ratio, 0.8, 1.2) * advantage).mean()
        value = F.mse_loss(model["critic"](state).squeeze(-1), reward)
        return -gain + 0.5 * value + 0.01 * (log_p.exp() * log_p).sum(-1).mean()

    batch = T.randn(256, 8), T.randint(0, 4, (256,)), T.randn(256) * 0.1 - 1.4, T.randn(256), T.randn(256)
    return descent(T, compiled, model, objective, batch, adam(T, model))


def neural_ode(T, compiled=False):
    """Twenty steps of Runge and Kutta through an MLP 2-50-2, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(2, 50), nn.Tanh(), nn.Linear(50, 2))

    def objective(y, targets, h=0.05):
        path = []
        for _ in range(20):
            k1 = model(y**3)
            k2 = model((y + h / 2 * k1) ** 3)
            k3 = model((y + h / 2 * k2) ** 3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + model((y + h * k3) ** 3))
            path.append(y)
        return (T.stack(path) - targets).abs().mean()

    return descent(T, compiled, model, objective, (T.randn(64, 2), T.randn(20, 64, 2)), adam(T, model))


def radiance_field(T, compiled=False):
    """NeRF: an MLP of width 128 over sines of 64 x 32 points, rendered along 64 rays, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Field(nn.Module):
        def __init__(self, d=128):
            super().__init__()
            self.first = nn.Sequential(nn.Linear(63, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU())
            self.second = nn.Sequential(nn.Linear(d + 63, d), nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, 4))
            self.register_buffer("frequencies", 2.0 ** T.arange(10))

        def forward(self, points):
            angles = points.unsqueeze(-1) * self.frequencies
            x = T.cat([points, angles.sin().flatten(-2), angles.cos().flatten(-2)], -1)
            return self.second(T.cat([self.first(x), x], -1))

    model = Field()

    def objective(points, distance, color):
        out = model(points)
        opacity = 1 - T.exp(-F.relu(out[..., 3]) * distance)
        left = T.cumprod(T.cat([T.ones(opacity.shape[0], 1), 1 - opacity + 1e-10], -1), -1)[:, :-1]
        seen = ((opacity * left).unsqueeze(-1) * T.sigmoid(out[..., :3])).sum(1)
        return ((seen - color) ** 2).mean()

    return descent(T, compiled, model, objective, (T.randn(64, 32, 3), T.rand(64, 32), T.rand(64, 3)), adam(T, model))


def point_cloud(T, compiled=False):
    """PointNet: 64, 128 and 512 channels and the maximum over 512 points, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class PointNet(nn.Module):
        def __init__(self):
            super().__init__()
            sizes = (3, 64), (64, 128), (128, 512)
            self.points = nn.Sequential(*(layer for a, b in sizes for layer in (nn.Conv1d(a, b, 1), nn.BatchNorm1d(b), nn.ReLU())))
            self.head = nn.Sequential(nn.Linear(512, 128), nn.BatchNorm1d(128), nn.ReLU(), nn.Linear(128, 10))

        def forward(self, x):
            return self.head(T.max(self.points(x), 2)[0])

    model = PointNet()
    return training_step(T, compiled, model, T.randn(16, 3, 512), T.randint(0, 10, (16,)), adam(T, model), nn.CrossEntropyLoss())


def wavenet(T, compiled=False):
    """Seven gated 1-d convolutions of 32 channels, dilated by 1 to 64, 256 samples of 64 levels, batch 8, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, c, dilation):
            super().__init__()
            self.dilation, self.value, self.gate = dilation, *(nn.Conv1d(c, c, 2, dilation=dilation) for _ in range(2))
            self.on, self.out = nn.Conv1d(c, c, 1), nn.Conv1d(c, c, 1)

        def forward(self, x):
            padded = F.pad(x, (self.dilation, 0))
            z = T.tanh(self.value(padded)) * T.sigmoid(self.gate(padded))
            return x + self.on(z), self.out(z)

    class WaveNet(nn.Module):
        def __init__(self, c=32):
            super().__init__()
            self.first, self.blocks = nn.Conv1d(64, c, 1), nn.ModuleList(Block(c, 2**i) for i in range(7))
            self.head = nn.Sequential(nn.ReLU(), nn.Conv1d(c, c, 1), nn.ReLU(), nn.Conv1d(c, 64, 1))

        def forward(self, x):
            x, total = self.first(x), 0
            for block in self.blocks:
                x, out = block(x)
                total = total + out
            return self.head(total)

    model = WaveNet()
    return training_step(T, compiled, model, T.randn(8, 64, 256), T.randint(0, 64, (8, 256)), adam(T, model), nn.CrossEntropyLoss())


def temporal_convolution(T, compiled=False):
    """Six causal 1-d convolutions of 32 channels with weight norm, dilated by 1 to 4, on 1 x 200, batch 32, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional
    weight_norm = nn.utils.parametrizations.weight_norm

    class Block(nn.Module):
        def __init__(self, a, b, dilation):
            super().__init__()
            self.conv1, self.conv2 = (weight_norm(nn.Conv1d(n, b, 5, dilation=dilation)) for n in (a, b))
            self.skip, self.before = nn.Conv1d(a, b, 1) if a != b else nn.Identity(), 4 * dilation

        def forward(self, x):
            h = x
            for conv in (self.conv1, self.conv2):
                h = F.relu(conv(F.pad(h, (self.before, 0))))
            return F.relu(h + self.skip(x))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks, self.head = nn.Sequential(Block(1, 32, 1), Block(32, 32, 2), Block(32, 32, 4)), nn.Linear(32, 10)

        def forward(self, x):
            return self.head(self.blocks(x)[:, :, -1])

    model = Net()
    return training_step(T, compiled, model, T.randn(32, 1, 200), T.randint(0, 10, (32,)), adam(T, model), nn.CrossEntropyLoss())


def optimal_transport(T, compiled=False):
    """Ten rounds of Sinkhorn between 128 points of an MLP 10-64-10 and 128 others, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(10, 64), nn.ReLU(), nn.Linear(64, 10))

    def objective(x, y, softness=0.1):
        cost, g = T.cdist(model(x), y) ** 2, T.zeros(128)
        for _ in range(10):
            f = -softness * T.logsumexp((g[None] - cost) / softness, 1)
            g = -softness * T.logsumexp((f[:, None] - cost) / softness, 0)
        return (T.exp((f[:, None] + g[None] - cost) / softness) * cost).sum() / 128

    return descent(T, compiled, model, objective, (T.randn(128, 10), T.randn(128, 10)), adam(T, model))


def quasi_newton(T, compiled=False):
    """MLP 2-32-32-1 by L-BFGS, ten iterations a step, 200 points; it is not compiled."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional
    model = nn.Sequential(nn.Linear(2, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    x, y, optimizer = T.randn(200, 2), T.randn(200, 1), T.optim.LBFGS(model.parameters(), lr=0.1, max_iter=10)

    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    return lambda: optimizer.step(closure).detach()


NETWORKS = [
    physics_informed, wasserstein_gan, policy_gradient, neural_ode, radiance_field, point_cloud, wavenet, temporal_convolution,
    optimal_transport, quasi_newton,
]  # fmt: skip
DRAWS = []
