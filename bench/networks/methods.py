"""Steps that are more than a forward and a backward pass, networks of science, agents and densities. Written once, for any library
with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, compiled_part, compiled_step, descent, sgd, training_step


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


def maml(T, compiled=False):
    """MAML: one step of descent in each of 4 tasks of 10 points, MLP 1-40-40-1, gradients through it, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional
    model = nn.Sequential(nn.Linear(1, 40), nn.ReLU(), nn.Linear(40, 40), nn.ReLU(), nn.Linear(40, 1))
    parameters, optimizer = list(model.parameters()), adam(T, model)

    def loss_of(parameters, x, y):
        w1, b1, w2, b2, w3, b3 = parameters
        return F.mse_loss(F.linear(F.relu(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)), w3, b3), y)

    def step(x, y, x_after, y_after):
        optimizer.zero_grad()
        total = 0.0
        for i in range(4):
            gradients = T.autograd.grad(loss_of(parameters, x[i], y[i]), parameters, create_graph=True)
            adapted = [p - 0.01 * g for p, g in zip(parameters, gradients, strict=True)]
            total = total + loss_of(adapted, x_after[i], y_after[i])
        total.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return total.detach()

    step, batch = compiled_step(T, compiled, step), [T.randn(4, 10, 1) for _ in range(4)]
    return lambda: step(*batch)


def spiking(T, compiled=False):
    """Spiking network 784-100-10, 20 steps in time, slopes in place of the spikes' own, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Spike(T.autograd.Function):
        @staticmethod
        def forward(ctx, u):
            ctx.save_for_backward(u)
            return (u > 0).float()

        @staticmethod
        def backward(ctx, gradient):
            (u,) = ctx.saved_tensors
            return gradient / (1 + 10 * u.abs()) ** 2

    class Spiking(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(784, 100), nn.Linear(100, 10)

        def forward(self, x):
            x = self.first(x)
            u, out, total = T.zeros(x.shape), T.zeros(x.shape[0], 10), 0
            for _ in range(20):
                u = 0.9 * u + x
                spikes = Spike.apply(u - 1)
                u = u - spikes.detach()
                out = 0.9 * out + self.second(spikes)
                total = total + out
            return total / 20

    model = Spiking()
    return training_step(T, compiled, model, T.rand(64, 784), T.randint(0, 10, (64,)), adam(T, model), nn.CrossEntropyLoss())


def dueling(T, compiled=False):
    """Double DQN with values and advantages apart: three convolutions over 4 x 84 x 84, 6 actions, batch 32, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            convs = nn.Conv2d(4, 32, 8, 4), nn.Conv2d(32, 64, 4, 2), nn.Conv2d(64, 64, 3)
            self.features = nn.Sequential(*(layer for conv in convs for layer in (conv, nn.ReLU())), nn.Flatten())
            self.value = nn.Sequential(nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 1))
            self.advantage = nn.Sequential(nn.Linear(3136, 256), nn.ReLU(), nn.Linear(256, 6))

        def forward(self, x):
            x = self.features(x)
            advantage = self.advantage(x)
            return self.value(x) + advantage - advantage.mean(1, keepdim=True)

    policy, target = Network(), Network()
    target.load_state_dict(policy.state_dict())

    def objective(state, action, reward, following, final):
        with T.no_grad():
            best = policy(following).argmax(1, keepdim=True)
            expected = reward + 0.99 * (1 - final) * target(following).gather(1, best).squeeze(1)
        return F.smooth_l1_loss(policy(state).gather(1, action).squeeze(1), expected)

    states = T.rand(32, 4, 84, 84), T.rand(32, 4, 84, 84)
    batch = states[0], T.randint(0, 6, (32, 1)), T.randn(32), states[1], (T.rand(32) > 0.9).float()
    return descent(T, compiled, policy, objective, batch, adam(T, policy))


def td3(T, compiled=False):
    """TD3: both critics 23-256-256-1, targets that follow slowly, noise on the actor's actions, batch 256, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def network(inputs, outputs):
        return nn.Sequential(nn.Linear(inputs, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, outputs))

    def networks():
        return nn.ModuleDict({"first": network(23, 1), "second": network(23, 1), "actor": network(17, 6)})

    model, target = networks(), networks()
    target.load_state_dict(model.state_dict())
    parameters = [*model["first"].parameters(), *model["second"].parameters()]
    optimizer = T.optim.Adam(parameters, 3e-4)

    def objective(state, action, reward, following, noise):
        with T.no_grad():
            acted = (T.tanh(target["actor"](following)) + noise.clamp(-0.5, 0.5)).clamp(-1, 1)
            after = T.cat([following, acted], 1)
            expected = reward + 0.99 * T.min(target["first"](after), target["second"](after))
        before = T.cat([state, action], 1)
        return F.mse_loss(model["first"](before), expected) + F.mse_loss(model["second"](before), expected)

    objective = compiled_part(T, compiled, objective)

    def step(*batch):
        optimizer.zero_grad()
        loss = objective(*batch)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with T.no_grad():
            for slow, fast in zip(target.parameters(), model.parameters(), strict=True):
                slow.mul_(0.995).add_(fast, alpha=0.005)
        return loss.detach()

    batch = T.randn(256, 17), T.randn(256, 6), T.randn(256, 1), T.randn(256, 17), T.randn(256, 6) * 0.2
    step = compiled_step(T, compiled, step)
    return lambda: step(*batch)


def two_tower(T, compiled=False):
    """Two towers: MLPs 64-128-64 over 20000 users and 5000 items, the batch's others as negatives, batch 512, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Tower(nn.Module):
        def __init__(self, n, d=64):
            super().__init__()
            self.embedding, self.layers = nn.Embedding(n, d), nn.Sequential(nn.Linear(d, 128), nn.ReLU(), nn.Linear(128, d))

        def forward(self, x):
            return F.normalize(self.layers(self.embedding(x)), dim=-1)

    model = nn.ModuleDict({"user": Tower(20000), "item": Tower(5000)})

    def objective(users, items):
        return F.cross_entropy(model["user"](users) @ model["item"](items).t() / 0.1, T.arange(512))

    return descent(T, compiled, model, objective, (T.randint(0, 20000, (512,)), T.randint(0, 5000, (512,))), adam(T, model))


def set_transformer(T, compiled=False):
    """Set transformer: 100 points to 16 learnt queries, back, and to 4 more, width 64, 4 heads, batch 32, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.attention, self.layer = nn.MultiheadAttention(d, 4, batch_first=True), nn.Linear(d, d)
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)

        def forward(self, q, x):
            x = self.norm1(q + self.attention(q, x, x)[0])
            return self.norm2(x + F.relu(self.layer(x)))

    class SetTransformer(nn.Module):
        def __init__(self, d=64):
            super().__init__()
            self.points, self.head = nn.Linear(2, d), nn.Linear(d, 5)
            self.induced, self.seeds = nn.Parameter(T.randn(1, 16, d) * 0.1), nn.Parameter(T.randn(1, 4, d) * 0.1)
            self.gather, self.spread, self.pool = Block(d), Block(d), Block(d)

        def forward(self, x):
            x, n = self.points(x), x.shape[0]
            x = self.spread(x, self.gather(self.induced.expand(n, -1, -1), x))
            return self.head(self.pool(self.seeds.expand(n, -1, -1), x))

    model = SetTransformer()
    return training_step(T, compiled, model, T.randn(32, 100, 2), T.randn(32, 4, 5), adam(T, model), nn.MSELoss())


def mixture_density(T, compiled=False):
    """Mixture density network: MLP 4-64-64 with tanh, 8 normal distributions of 2 numbers, batch 512, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Linear(4, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh())
            self.weights, self.means, self.log_deviations = nn.Linear(64, 8), nn.Linear(64, 16), nn.Linear(64, 16)

        def forward(self, x):
            x = self.layers(x)
            return F.log_softmax(self.weights(x), -1), self.means(x).view(-1, 8, 2), self.log_deviations(x).view(-1, 8, 2)

    def loss(out, y):
        log_weights, means, log_deviations = out
        each = -0.5 * ((y[:, None] - means) / T.exp(log_deviations)) ** 2 - log_deviations - 0.9189385
        return -T.logsumexp(log_weights + each.sum(-1), -1).mean()

    model = Mixture()
    return training_step(T, compiled, model, T.randn(512, 4), T.randn(512, 2), adam(T, model), loss)


def rbm(T, compiled=False):
    """Restricted Boltzmann machine 784-128: contrastive divergence of one step, batch 64, SGD with momentum."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Machine(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(T.randn(128, 784) * 1e-2)
            self.visible, self.hidden = nn.Parameter(T.zeros(784)), nn.Parameter(T.zeros(128))

        def forward(self, x):
            hidden = T.bernoulli(T.sigmoid(F.linear(x, self.weight, self.hidden)))
            return T.bernoulli(T.sigmoid(F.linear(hidden, self.weight.t(), self.visible)))

        def energy(self, x):
            return (-x.mv(self.visible) - F.linear(x, self.weight, self.hidden).exp().add(1).log().sum(1)).mean()

    model = Machine()

    def objective(x):
        return model.energy(x) - model.energy(model(x).detach())

    return descent(T, compiled, model, objective, ((T.rand(64, 784) > 0.7).float(),), sgd(T, model))


NETWORKS = [
    physics_informed, wasserstein_gan, policy_gradient, neural_ode, radiance_field, point_cloud, wavenet, temporal_convolution,
    optimal_transport, quasi_newton, maml, spiking, dueling, td3, two_tower, set_transformer, mixture_density, rbm,
]  # fmt: skip
DRAWS = [rbm]
