"""Networks of vectors, tables and graphs. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, compiled_part, compiled_step, descent, sgd, training_step


def linear_regression(T, compiled=False):
    """Five numbers to one, batch 32, SGD with momentum."""
    T.manual_seed(0)
    model = T.nn.Linear(5, 1)
    x, y = T.randn(32, 5), T.randn(32, 1)
    return training_step(T, compiled, model, x, y, sgd(T, model), T.nn.MSELoss())


def softmax_regression(T, compiled=False):
    """1 x 28 x 28 to 10 classes, batch 256, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    x, y = T.randn(256, 1, 28, 28), T.randint(0, 10, (256,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def mlp_13_32_1(T, compiled=False):
    """MLP 13-32-1, batch 32, Adam: house prices."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 1))
    x, y = T.randn(32, 13), T.randn(32, 1)
    return training_step(T, compiled, model, x, y, adam(T, model), nn.MSELoss())


def mlp_1024(T, compiled=False):
    """MLP 784-1024-1024-10 with dropout, batch 128, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(nn.Linear(784, 1024), nn.ReLU(), nn.Dropout(0.2), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 10))
    x, y = T.randn(128, 784), T.randint(0, 10, (128,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def mlp_batch_norm(T, compiled=False):
    """MLP 64-256-256-10 with batch norm and dropout, batch 64, Adam."""
    T.manual_seed(0)
    nn = T.nn

    def block(a, b):
        return [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(0.2)]

    model = nn.Sequential(*block(64, 256), *block(256, 256), nn.Linear(256, 10))
    x, y = T.randn(64, 64), T.randint(0, 10, (64,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def mlp_autoencoder(T, compiled=False):
    """MLP autoencoder 784-128-32-128-784, batch 128, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model = nn.Sequential(
        nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 32), nn.ReLU(), nn.Linear(32, 128), nn.ReLU(), nn.Linear(128, 784), nn.Sigmoid()
    )
    x = T.rand(128, 784)
    return training_step(T, compiled, model, x, x, adam(T, model), nn.MSELoss())


def vae(T, compiled=False):
    """Variational autoencoder 784-400-20-400-784, batch 128, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class VAE(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.mean, self.log_variance = nn.Linear(784, 400), nn.Linear(400, 20), nn.Linear(400, 20)
            self.decoder, self.out = nn.Linear(20, 400), nn.Linear(400, 784)

        def forward(self, x):
            h = F.relu(self.encoder(x))
            mean, log_variance = self.mean(h), self.log_variance(h)
            z = mean + T.randn_like(mean) * T.exp(0.5 * log_variance)
            return T.sigmoid(self.out(F.relu(self.decoder(z)))), mean, log_variance

    def loss(out, x):
        image, mean, log_variance = out
        divergence = -0.5 * T.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
        return F.binary_cross_entropy(image, x, reduction="sum") + divergence

    model = VAE()
    x = T.rand(128, 784)
    return training_step(T, compiled, model, x, x, adam(T, model), loss)


def tabular(T, compiled=False):
    """Six embeddings of 100 x 8 and ten numbers, MLP 58-200-100-2 with batch norm, batch 128, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Tabular(nn.Module):
        def __init__(self):
            super().__init__()
            self.embeddings = nn.ModuleList(nn.Embedding(100, 8) for _ in range(6))
            self.layers = nn.Sequential(
                nn.Linear(58, 200), nn.ReLU(), nn.BatchNorm1d(200), nn.Dropout(0.1),
                nn.Linear(200, 100), nn.ReLU(), nn.BatchNorm1d(100), nn.Linear(100, 2),
            )  # fmt: skip

        def forward(self, categories, numbers):
            columns = [embedding(categories[:, i]) for i, embedding in enumerate(self.embeddings)]
            return self.layers(T.cat([*columns, numbers], 1))

    model, loss = Tabular(), nn.CrossEntropyLoss()
    numbers, categories, y = T.randn(128, 10), T.randint(0, 100, (128, 6)), T.randint(0, 2, (128,))

    def objective(categories, numbers, y):
        return loss(model(categories, numbers), y)

    return descent(T, compiled, model, objective, (categories, numbers, y), adam(T, model))


def word2vec(T, compiled=False):
    """Skip-gram with negative sampling: 6719 words, width 100, up to 60 contexts and noise words, batch 512, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional
    model = nn.ModuleList([nn.Embedding(6719, 100), nn.Embedding(6719, 100)])

    def objective(centers, others, labels, counted):
        scores = T.bmm(model[0](centers), model[1](others).permute(0, 2, 1)).squeeze(1)
        each = F.binary_cross_entropy_with_logits(scores, labels, weight=counted, reduction="none")
        return (each.mean(1) * counted.shape[1] / counted.sum(1)).mean()

    centers, others = T.randint(0, 6719, (512, 1)), T.randint(0, 6719, (512, 60))
    labels = (T.arange(60) < T.randint(1, 11, (512, 1))).float()
    counted = (T.arange(60) < T.randint(12, 61, (512, 1))).float()
    return descent(T, compiled, model, objective, (centers, others, labels, counted), adam(T, model))


def matrix_factorization(T, compiled=False):
    """Ratings of 1682 films by 943 users, 30 factors and biases, batch 512, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Factors(nn.Module):
        def __init__(self, users=943, items=1682, factors=30):
            super().__init__()
            self.users, self.items = nn.Embedding(users, factors), nn.Embedding(items, factors)
            self.user_bias, self.item_bias = nn.Embedding(users, 1), nn.Embedding(items, 1)

        def forward(self, user, item):
            product = (self.users(user) * self.items(item)).sum(1)
            return product + self.user_bias(user).squeeze(1) + self.item_bias(item).squeeze(1)

    model = Factors()

    def objective(user, item, rating):
        return F.mse_loss(model(user, item), rating)

    batch = T.randint(0, 943, (512,)), T.randint(0, 1682, (512,)), T.randint(1, 6, (512,)).float()
    return descent(T, compiled, model, objective, batch, adam(T, model))


def graph_convolution(T, compiled=False):
    """Two graph convolutions 128-16-7 by index_add, 1000 nodes, 5000 edges, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class GraphNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(128, 16), nn.Linear(16, 7)

        def forward(self, x, source, target, weight):
            x = F.relu(self.spread(self.first(x), source, target, weight))
            return self.spread(self.second(x), source, target, weight)

        def spread(self, x, source, target, weight):
            return T.zeros(x.shape).index_add(0, target, x[source] * weight)

    model = GraphNet()

    def objective(x, source, target, weight, y):
        return F.cross_entropy(model(x, source, target, weight), y)

    x, source, target = T.randn(1000, 128), T.randint(0, 1000, (5000,)), T.randint(0, 1000, (5000,))
    degree = T.ones(1000).index_add(0, target, T.ones(5000))
    weight = ((degree[source] * degree[target]) ** -0.5).unsqueeze(1)
    return descent(T, compiled, model, objective, (x, source, target, weight, T.randint(0, 7, (1000,))), adam(T, model))


def dqn(T, compiled=False):
    """DQN 4-128-128-2 with a target network that follows slowly, batch 128, AdamW."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def network():
        return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))

    policy, target = network(), network()
    target.load_state_dict(policy.state_dict())
    parameters, optimizer = list(policy.parameters()), T.optim.AdamW(policy.parameters())

    def objective(state, action, reward, following, final):
        value = policy(state).gather(1, action).squeeze(1)
        with T.no_grad():
            expected = reward + 0.99 * T.where(final, 0.0, target(following).max(1).values)
        return F.smooth_l1_loss(value, expected)

    objective = compiled_part(T, compiled, objective)

    def step(*batch):
        optimizer.zero_grad()
        loss = objective(*batch)
        loss.backward()
        T.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        with T.no_grad():
            for slow, fast in zip(target.parameters(), policy.parameters(), strict=True):
                slow.lerp_(fast, 0.005)
        return loss.detach()

    batch = T.randn(128, 4), T.randint(0, 2, (128, 1)), T.rand(128), T.randn(128, 4), T.rand(128) < 0.05
    step = compiled_step(T, compiled, step)
    return lambda: step(*batch)


def triplet(T, compiled=False):
    """Triplet loss of MLP 784-256-64, 64 triplets of 8 images, so that not all can be met, Adam."""
    T.manual_seed(0)
    nn = T.nn
    model, loss = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 64)), nn.TripletMarginLoss()

    def objective(anchor, positive, negative):
        return loss(model(anchor), model(positive), model(negative))

    images = T.randn(8, 784)
    batch = tuple(images[T.randint(0, 8, (64,))] for _ in range(3))
    return descent(T, compiled, model, objective, batch, adam(T, model))


NETWORKS = [
    linear_regression, softmax_regression, mlp_13_32_1, mlp_1024, mlp_batch_norm, mlp_autoencoder, vae, tabular, word2vec,
    matrix_factorization, graph_convolution, dqn, triplet,
]  # fmt: skip
DRAWS = [mlp_1024, mlp_batch_norm, vae, tabular]
