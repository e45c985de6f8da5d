"""Networks of language. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, descent, training_step


def llama(T, compiled=False):
    """RMSNorm, rotary positions, SwiGLU, 6 heads of 32 over 2 of keys, width 192, 3 layers, 128 tokens of 256, batch 8, AdamW."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    def rotate(x, cos, sin):
        a, b = x.chunk(2, -1)
        return x * cos + T.cat((-b, a), -1) * sin

    class Attention(nn.Module):
        def __init__(self, d, heads, groups):
            super().__init__()
            self.heads, self.groups, self.width = heads, groups, d // heads
            self.q, self.out = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
            self.k, self.v = (nn.Linear(d, groups * self.width, bias=False) for _ in range(2))

        def forward(self, x, cos, sin):
            b, t, d = x.shape
            q = self.q(x).view(b, t, self.heads, self.width).transpose(1, 2)
            k, v = (f(x).view(b, t, self.groups, self.width).transpose(1, 2) for f in (self.k, self.v))
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            k, v = (u.repeat_interleave(self.heads // self.groups, 1) for u in (k, v))
            return self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, d))

    class Norm(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.weight = nn.Parameter(T.ones(d))

        def forward(self, x):
            return self.weight * (x * T.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))

    class Block(nn.Module):
        def __init__(self, d, heads, groups, inner):
            super().__init__()
            self.norm1, self.attention, self.norm2 = Norm(d), Attention(d, heads, groups), Norm(d)
            self.gate, self.up, self.down = (nn.Linear(*size, bias=False) for size in ((d, inner), (d, inner), (inner, d)))

        def forward(self, x, cos, sin):
            x = x + self.attention(self.norm1(x), cos, sin)
            y = self.norm2(x)
            return x + self.down(F.silu(self.gate(y)) * self.up(y))

    class Llama(nn.Module):
        def __init__(self, vocabulary=256, d=192, heads=6, length=128):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, d)
            self.blocks = nn.ModuleList(Block(d, heads, 2, 512) for _ in range(3))
            self.norm, self.head = Norm(d), nn.Linear(d, vocabulary, bias=False)
            width = d // heads
            angle = T.outer(T.arange(length).float(), 1.0 / 10000 ** (T.arange(0, width, 2).float() / width))
            angle = T.cat((angle, angle), -1)
            self.register_buffer("cos", angle.cos())
            self.register_buffer("sin", angle.sin())

        def forward(self, x):
            x = self.tokens(x)
            for block in self.blocks:
                x = block(x, self.cos, self.sin)
            return self.head(self.norm(x)).flatten(0, 1)

    model = Llama()
    x, y = T.randint(0, 256, (8, 128)), T.randint(0, 256, (1024,))
    return training_step(T, compiled, model, x, y, T.optim.AdamW(model.parameters()), nn.CrossEntropyLoss())


def lora(T, compiled=False):
    """A frozen encoder, width 128, 2 layers, whose queries and values get low-rank parts of rank 4, 64 tokens, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class LowRank(nn.Module):
        def __init__(self, layer, rank=4):
            super().__init__()
            self.layer, self.a = layer, nn.Parameter(T.randn(rank, layer.in_features) * 0.01)
            self.b = nn.Parameter(T.zeros(layer.out_features, rank))

        def forward(self, x):
            return self.layer(x) + (x @ self.a.T) @ self.b.T * 2.0

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
            self.q, self.k, self.v, self.out = (nn.Linear(d, d) for _ in range(4))
            self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

        def forward(self, x):
            b, t, d = x.shape
            y = self.norm1(x)
            q, k, v = (f(y).view(b, t, 4, d // 4).transpose(1, 2) for f in (self.q, self.k, self.v))
            x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, t, d))
            return x + self.down(F.gelu(self.up(self.norm2(x))))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.blocks = nn.Embedding(1000, 128), nn.Sequential(Block(128), Block(128))
            self.head = nn.Linear(128, 4)

        def forward(self, x):
            return self.head(self.blocks(self.tokens(x)).mean(1))

    model = Encoder().requires_grad_(False)
    for block in model.blocks:
        block.q, block.v = LowRank(block.q), LowRank(block.v)
    model.head.requires_grad_(True)
    x, y = T.randint(0, 1000, (16, 64)), T.randint(0, 4, (16,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def relative_attention(T, compiled=False):
    """One layer of attention with learnt biases for distances, width 128, 4 heads, dropout, 64 tokens of 500, batch 16, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Net(nn.Module):
        def __init__(self, d=128, heads=4, length=64):
            super().__init__()
            self.heads, self.tokens, self.biases = heads, nn.Embedding(500, d), nn.Embedding(2 * length - 1, heads)
            self.qkv, self.out, self.norm1, self.norm2 = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.LayerNorm(d), nn.LayerNorm(d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4 * d, d))
            self.head, place = nn.Linear(d, 500), T.arange(length)
            self.register_buffer("distance", place[:, None] - place[None] + length - 1)

        def forward(self, x):
            x = self.tokens(x)
            b, t, d = x.shape
            q, k, v = (u.view(b, t, self.heads, -1).transpose(1, 2) for u in self.qkv(self.norm1(x)).chunk(3, -1))
            scores = T.matmul(q, k.transpose(-1, -2)) + self.biases(self.distance).permute(2, 0, 1)
            x = x + self.out((F.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, t, d))
            return self.head(x + self.mlp(self.norm2(x))).flatten(0, 1)

    model = Net()
    x, y = T.randint(0, 500, (16, 64)), T.randint(0, 500, (1024,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def selective_scan(T, compiled=False):
    """A state-space layer, 64 channels of 8 states, a loop over 64 tokens of 64, batch 8, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Scan(nn.Module):
        def __init__(self, d=64, states=8):
            super().__init__()
            self.states, self.rates = states, nn.Parameter(T.randn(d, states) * 0.1)
            self.inner, self.parts, self.step, self.out = nn.Linear(d, 2 * d), nn.Linear(d, 2 * states), nn.Linear(d, d), nn.Linear(d, d)

        def forward(self, x):
            x, gate = self.inner(x).chunk(2, -1)
            into, out_of = self.parts(x).split(self.states, -1)
            step = F.softplus(self.step(x)).unsqueeze(-1)
            keep = T.exp(step * -T.exp(self.rates))
            fresh = step * into.unsqueeze(2) * x.unsqueeze(-1)
            state, seen = T.zeros(x.shape[0], x.shape[2], self.states), []
            for t in range(x.shape[1]):
                state = keep[:, t] * state + fresh[:, t]
                seen.append((state * out_of[:, t].unsqueeze(1)).sum(-1))
            return self.out(T.stack(seen, 1) * F.silu(gate))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens, self.scan, self.norm, self.head = nn.Embedding(64, 64), Scan(), nn.LayerNorm(64), nn.Linear(64, 64)

        def forward(self, x):
            x = self.tokens(x)
            return self.head(x + self.scan(self.norm(x))).flatten(0, 1)

    model = Net()
    x, y = T.randint(0, 64, (8, 64)), T.randint(0, 64, (512,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def tagger(T, compiled=False):
    """A bidirectional LSTM 32 with a conditional random field over 9 tags, 30 tokens of 1000, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Tagger(nn.Module):
        def __init__(self, tags=9):
            super().__init__()
            self.tokens, self.rnn = nn.Embedding(1000, 64), nn.LSTM(64, 32, batch_first=True, bidirectional=True)
            self.head, self.moves = nn.Linear(64, tags), nn.Parameter(T.randn(tags, tags) * 0.1)

        def forward(self, x, y):
            scores = self.head(self.rnn(self.tokens(x))[0])
            path = scores.gather(2, y.unsqueeze(2)).squeeze(2).sum(1) + self.moves[y[:, :-1], y[:, 1:]].sum(1)
            total = scores[:, 0]
            for t in range(1, scores.shape[1]):
                total = T.logsumexp(total.unsqueeze(2) + self.moves, 1) + scores[:, t]
            return (T.logsumexp(total, 1) - path).mean()

    model = Tagger()
    return descent(T, compiled, model, model, (T.randint(0, 1000, (16, 30)), T.randint(0, 9, (16, 30))), adam(T, model))


def word_lm(T, compiled=False):
    """Word model: LSTM 200 x 2 layers, input and output share weights, 35 words of 2000, batch 20, SGD at rate 1."""
    T.manual_seed(0)
    nn = T.nn

    class WordModel(nn.Module):
        def __init__(self, words=2000, d=200):
            super().__init__()
            self.words, self.rnn, self.head = nn.Embedding(words, d), nn.LSTM(d, d, 2), nn.Linear(d, words)
            self.head.weight = self.words.weight
            nn.init.uniform_(self.words.weight, -0.1, 0.1)
            nn.init.zeros_(self.head.bias)

        def forward(self, x):
            return self.head(self.rnn(self.words(x))[0]).flatten(0, 1)

    model = WordModel()
    x, y = T.randint(0, 2000, (35, 20)), T.randint(0, 2000, (700,))
    return training_step(T, compiled, model, x, y, T.optim.SGD(model.parameters(), 1.0), nn.CrossEntropyLoss())


def retention(T, compiled=False):
    """RetNet: two layers of decaying retention, width 128, 4 heads, group norm, gates, 64 tokens of 300, batch 8, AdamW."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, d=128, heads=4, length=64):
            super().__init__()
            self.heads, self.group_norm, self.norm1, self.norm2 = heads, nn.GroupNorm(heads, d), nn.LayerNorm(d), nn.LayerNorm(d)
            self.q, self.k, self.v, self.gate, self.out = (nn.Linear(d, d, bias=False) for _ in range(5))
            self.mlp = nn.Sequential(nn.Linear(d, 2 * d), nn.GELU(), nn.Linear(2 * d, d))
            rates = 1 - T.exp(T.linspace(-3.4, -6.2, heads))[:, None, None]
            age = (T.arange(length)[:, None] - T.arange(length)).float()
            self.register_buffer("kept", T.where(age >= 0, rates ** age.clamp(min=0), T.zeros(())))

        def forward(self, x):
            b, t, d = x.shape
            y = self.norm1(x)
            q, k, v = (f(y).view(b, t, self.heads, -1).transpose(1, 2) for f in (self.q, self.k, self.v))
            seen = ((q @ k.transpose(-1, -2)) / (d // self.heads) ** 0.5 * self.kept) @ v
            seen = self.group_norm(seen.transpose(1, 2).reshape(b * t, d)).view(b, t, d)
            x = x + self.out(F.silu(self.gate(y)) * seen)
            return x + self.mlp(self.norm2(x))

    model = nn.Sequential(nn.Embedding(300, 128), Block(), Block(), nn.LayerNorm(128), nn.Linear(128, 300), nn.Flatten(0, 1))
    x, y = T.randint(0, 300, (8, 64)), T.randint(0, 300, (512,))
    return training_step(T, compiled, model, x, y, T.optim.AdamW(model.parameters(), 3e-4), nn.CrossEntropyLoss())


def hmm(T, compiled=False):
    """Hidden Markov model of 20 states by the forward algorithm, 40 symbols of 50, batch 32, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class HMM(nn.Module):
        def __init__(self, states=20, symbols=50):
            super().__init__()
            self.moves, self.symbols = nn.Parameter(T.randn(states, states)), nn.Parameter(T.randn(states, symbols))
            self.first = nn.Parameter(T.randn(states))

        def forward(self, x):
            moves, symbols = F.log_softmax(self.moves, 1), F.log_softmax(self.symbols, 1)
            total = F.log_softmax(self.first, 0) + symbols[:, x[:, 0]].t()
            for t in range(1, x.shape[1]):
                total = T.logsumexp(total.unsqueeze(2) + moves, 1) + symbols[:, x[:, t]].t()
            return -T.logsumexp(total, 1).mean()

    model = HMM()
    return descent(T, compiled, model, model, (T.randint(0, 50, (32, 40)),), adam(T, model))


def sasrec(T, compiled=False):
    """SASRec: causal attention, width 64, 2 layers, over what users bought, 50 of 3000 items, some padded, batch 64, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.attention = nn.MultiheadAttention(d, 2, batch_first=True)
            self.norm1, self.norm2 = nn.LayerNorm(d, eps=1e-8), nn.LayerNorm(d, eps=1e-8)
            self.layers = nn.Sequential(nn.Conv1d(d, d, 1), nn.ReLU(), nn.Conv1d(d, d, 1))

        def forward(self, x, mask):
            q = self.norm1(x)
            x = self.norm2(q + self.attention(q, x, x, attn_mask=mask, need_weights=False)[0])
            return x + self.layers(x.transpose(1, 2)).transpose(1, 2)

    class SASRec(nn.Module):
        def __init__(self, items=3000, d=64, length=50):
            super().__init__()
            self.items, self.positions = nn.Embedding(items, d, padding_idx=0), nn.Embedding(length, d)
            self.blocks, self.norm = nn.ModuleList(Block(d) for _ in range(2)), nn.LayerNorm(d)
            self.register_buffer("mask", T.triu(T.ones(length, length, dtype=T.bool), 1))

        def forward(self, x, bought, others):
            there = (x != 0).unsqueeze(-1)
            x = (self.items(x) * 8 + self.positions(T.arange(x.shape[1]))) * there
            for block in self.blocks:
                x = block(x, self.mask) * there
            x = self.norm(x)
            return (x * self.items(bought)).sum(-1), (x * self.items(others)).sum(-1)

    model = SASRec()

    def objective(x, bought, others):
        of_bought, of_others = model(x, bought, others)
        counted = (bought != 0).float()
        return ((F.softplus(-of_bought) + F.softplus(of_others)) * counted).sum() / counted.sum()

    x, bought, others = (T.randint(1, 3000, (64, 50)) for _ in range(3))
    x[::2, :10] = 0
    return descent(T, compiled, model, objective, (x, bought, others), adam(T, model))


NETWORKS = [llama, lora, relative_attention, selective_scan, tagger, word_lm, retention, hmm, sasrec]
DRAWS = [relative_attention]
