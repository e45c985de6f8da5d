"""Networks of sequences. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, descent, sgd, training_step


def text_cnn(T, compiled=False):
    """Text CNN: 100 tokens of 5000, width 100, 64 windows each of 3, 4 and 5, batch 64, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class TextCNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5000, 100)
            self.windows = nn.ModuleList(nn.Conv1d(100, 64, width) for width in (3, 4, 5))
            self.dropout, self.head = nn.Dropout(0.5), nn.Linear(192, 2)

        def forward(self, x):
            x = self.embedding(x).transpose(1, 2)
            return self.head(self.dropout(T.cat([F.relu(conv(x)).max(2)[0] for conv in self.windows], 1)))

    model = TextCNN()
    x, y = T.randint(0, 5000, (64, 100)), T.randint(0, 2, (64,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def dilated_conv1d(T, compiled=False):
    """Five 1-d convolutions of 32 channels, dilated by 1 to 8, on 1 x 256, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn
    layers = [nn.Conv1d(1, 32, 3, padding=1), nn.ReLU()]
    for dilation in (1, 2, 4, 8):
        layers += [nn.Conv1d(32, 32, 3, padding=dilation, dilation=dilation), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(32, 5))
    x, y = T.randn(32, 1, 256), T.randint(0, 5, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def bilstm(T, compiled=False):
    """Bidirectional LSTM 128, 50 tokens of 5000, width 100, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class BiLSTM(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(5000, 100)
            self.rnn, self.head = nn.LSTM(100, 128, batch_first=True, bidirectional=True), nn.Linear(256, 2)

        def forward(self, x):
            return self.head(self.rnn(self.embedding(x))[0][:, -1])

    model = BiLSTM()
    x, y = T.randint(0, 5000, (32, 50)), T.randint(0, 2, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def _last_of(T, rnn, hidden, outputs):
    """A recurrent layer, batch first, and a linear layer of its last step."""

    class Net(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = rnn, T.nn.Linear(hidden, outputs)

        def forward(self, x):
            return self.head(self.rnn(x)[0][:, -1])

    return Net()


def series_lstm(T, compiled=False):
    """LSTM 64 x 2 layers over a time series, 30 steps of 5 numbers, batch 64, Adam."""
    T.manual_seed(0)
    model = _last_of(T, T.nn.LSTM(5, 64, 2, batch_first=True), 64, 1)
    x, y = T.randn(64, 30, 5), T.randn(64, 1)
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.MSELoss())


def small_lstm(T, compiled=False):
    """LSTM 32, 20 steps of 16 numbers, batch 4, Adam: a small batch."""
    T.manual_seed(0)
    model = _last_of(T, T.nn.LSTM(16, 32, batch_first=True), 32, 4)
    x, y = T.randn(4, 20, 16), T.randint(0, 4, (4,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def lstm_projection(T, compiled=False):
    """LSTM 128 with states projected to 64, 25 steps of 64 numbers, batch 32, Adam."""
    T.manual_seed(0)
    model = _last_of(T, T.nn.LSTM(64, 128, batch_first=True, proj_size=64), 64, 10)
    x, y = T.randn(32, 25, 64), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), T.nn.CrossEntropyLoss())


def char_rnn(T, compiled=False):
    """RNN 128 over 35 one-hot characters of 60, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class CharRNN(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.RNN(60, 128, batch_first=True), nn.Linear(128, 60)

        def forward(self, x):
            return self.head(self.rnn(x)[0]).flatten(0, 1)

    model = CharRNN()
    x, y = T.randn(32, 35, 60), T.randint(0, 60, (1120,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def elman_cells(T, compiled=False):
    """A loop of 20 RNN cells of 128, inputs of 64, batch 32, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    class Elman(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.RNNCell(64, 128), nn.Linear(128, 10)

        def forward(self, x):
            h = T.zeros(x.shape[1], 128)
            for step in x:
                h = self.cell(step, h)
            return self.head(h)

    model = Elman()
    x, y = T.randn(20, 32, 64), T.randint(0, 10, (32,))
    return training_step(T, compiled, model, x, y, sgd(T, model), nn.CrossEntropyLoss())


def lstm_cells(T, compiled=False):
    """A loop of 20 LSTM cells of 128, inputs of 64, batch 32, every state classified, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Cells(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTMCell(64, 128), nn.Linear(128, 10)

        def forward(self, x):
            h, c = T.zeros(x.shape[1], 128), T.zeros(x.shape[1], 128)
            states = []
            for step in x:
                h, c = self.cell(step, (h, c))
                states.append(h)
            return self.head(T.stack(states)).flatten(0, 1)

    model = Cells()
    x, y = T.randn(20, 32, 64), T.randint(0, 10, (640,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def bigru_attention(T, compiled=False):
    """Bidirectional GRU 64 with attention over its states, 40 tokens of 1000, width 64, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Attentive(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn = nn.Embedding(1000, 64), nn.GRU(64, 64, batch_first=True, bidirectional=True)
            self.key, self.score, self.head = nn.Linear(128, 64), nn.Linear(64, 1, bias=False), nn.Linear(128, 4)

        def forward(self, x):
            states = self.rnn(self.embedding(x))[0]
            weights = T.softmax(self.score(T.tanh(self.key(states))), 1)
            return self.head((weights * states).sum(1))

    model = Attentive()
    x, y = T.randint(0, 1000, (32, 40)), T.randint(0, 4, (32,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def seq2seq_attention(T, compiled=False):
    """GRU 64 x 2 layers reads and writes 10 tokens of 200, width 32, with Bahdanau's attention, batch 64, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Attention(nn.Module):
        def __init__(self, d):
            super().__init__()
            self.keys, self.queries, self.score = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False), nn.Linear(d, 1, bias=False)

        def forward(self, query, states, allowed):
            features = T.tanh(self.queries(query).unsqueeze(2) + self.keys(states).unsqueeze(1))
            scores = self.score(features).squeeze(-1).masked_fill(~allowed.unsqueeze(1), -1e6)
            return T.bmm(F.softmax(scores, -1), states)

    class Seq2Seq(nn.Module):
        def __init__(self, vocabulary=200, width=32, d=64, dropout=0.1):
            super().__init__()
            self.source, self.target = nn.Embedding(vocabulary, width), nn.Embedding(vocabulary, width)
            self.encoder = nn.GRU(width, d, 2, dropout=dropout)
            self.attention, self.decoder = Attention(d), nn.GRU(width + d, d, 2, dropout=dropout)
            self.head = nn.Linear(d, vocabulary)

        def forward(self, source, allowed, target):
            states, hidden = self.encoder(self.source(source).transpose(0, 1))
            states = states.transpose(0, 1)
            outputs = []
            for x in self.target(target).transpose(0, 1):  # the right token is given, whatever was written
                context = self.attention(hidden[-1].unsqueeze(1), states, allowed)
                out, hidden = self.decoder(T.cat([context, x.unsqueeze(1)], -1).transpose(0, 1), hidden)
                outputs.append(out)
            return self.head(T.cat(outputs)).permute(1, 2, 0)

    model = Seq2Seq()

    def objective(source, allowed, target, labels, counted):
        each = F.cross_entropy(model(source, allowed, target), labels, reduction="none")
        return (each * counted).sum() / counted.sum()

    source, target, labels = (T.randint(0, 200, (64, 10)) for _ in range(3))
    allowed, counted = (T.arange(10) < T.randint(4, 11, (64, 1)) for _ in range(2))
    return descent(T, compiled, model, objective, (source, allowed, target, labels, counted.float()), adam(T, model))


def seq2seq_transformer(T, compiled=False):
    """nn.Transformer 128, 4 heads, 2 and 2 layers, 20 tokens of 1000, dropout, causal target mask, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.source, self.target = nn.Embedding(1000, 128), nn.Embedding(1000, 128)
            self.transformer = nn.Transformer(128, 4, 2, 2, 256, 0.1, batch_first=True)
            self.head, self.mask = nn.Linear(128, 1000), nn.Transformer.generate_square_subsequent_mask(20)

        def forward(self, x):
            return self.head(self.transformer(self.source(x), self.target(x), tgt_mask=self.mask)).flatten(0, 1)

    model = Translator()
    x, y = T.randint(0, 1000, (32, 20)), T.randint(0, 1000, (640,))
    return training_step(T, compiled, model, x, y, adam(T, model), nn.CrossEntropyLoss())


def bert(T, compiled=False):
    """BERT: width 128, 4 heads, 2 layers, 64 tokens of 1000, padding mask, dropout, masked tokens predicted, batch 16, AdamW."""
    T.manual_seed(0)
    nn = T.nn

    class BERT(nn.Module):
        def __init__(self, vocabulary=1000, d=128, length=64):
            super().__init__()
            self.tokens, self.segments, self.positions = nn.Embedding(vocabulary, d), nn.Embedding(2, d), nn.Embedding(length, d)
            self.norm, self.dropout = nn.LayerNorm(d), nn.Dropout(0.1)
            layer = nn.TransformerEncoderLayer(d, 4, 4 * d, 0.1, "gelu", batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Sequential(nn.Linear(d, d), nn.GELU(), nn.LayerNorm(d), nn.Linear(d, vocabulary))

        def forward(self, tokens, segments, padding):
            x = self.tokens(tokens) + self.segments(segments) + self.positions(T.arange(tokens.shape[1]))
            return self.head(self.encoder(self.dropout(self.norm(x)), src_key_padding_mask=padding)).flatten(0, 1)

    model, loss = BERT(), nn.CrossEntropyLoss()
    tokens, segments = T.randint(0, 1000, (16, 64)), (T.arange(64) >= 32).long().expand(16, 64)
    padding = T.arange(64) >= T.randint(40, 65, (16, 1))
    predicted = (T.rand(16, 64) < 0.15) & ~padding
    labels = T.where(predicted, tokens, -100).flatten()
    inputs = T.where(predicted, 3, tokens)

    def objective(tokens, segments, padding, labels):
        return loss(model(tokens, segments, padding), labels)

    return descent(T, compiled, model, objective, (inputs, segments, padding, labels), T.optim.AdamW(model.parameters()))


def small_gpt(T, compiled=False):
    """A GPT with dropout and attention of its own: width 96, 3 layers, 4 heads, 64 tokens of 65, batch 16, AdamW."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Attention(nn.Module):
        def __init__(self, d, heads, length):
            super().__init__()
            self.heads, self.qkv, self.out = heads, nn.Linear(d, 3 * d), nn.Linear(d, d)
            self.dropout1, self.dropout2 = nn.Dropout(0.1), nn.Dropout(0.1)
            self.register_buffer("causal", T.tril(T.ones(length, length)).view(1, 1, length, length))

        def forward(self, x):
            b, t, d = x.shape
            q, k, v = (u.view(b, t, self.heads, d // self.heads).transpose(1, 2) for u in self.qkv(x).split(d, 2))
            scores = q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5
            weights = F.softmax(scores.masked_fill(self.causal[:, :, :t, :t] == 0, float("-inf")), -1)
            return self.dropout2(self.out((self.dropout1(weights) @ v).transpose(1, 2).contiguous().view(b, t, d)))

    class Block(nn.Module):
        def __init__(self, d, heads, length):
            super().__init__()
            self.norm1, self.attention, self.norm2 = nn.LayerNorm(d), Attention(d, heads, length), nn.LayerNorm(d)
            self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d), nn.Dropout(0.1))

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class GPT(nn.Module):
        def __init__(self, vocabulary=65, d=96, heads=4, layers=3, length=64):
            super().__init__()
            self.tokens, self.positions, self.dropout = nn.Embedding(vocabulary, d), nn.Embedding(length, d), nn.Dropout(0.1)
            self.blocks = nn.Sequential(*(Block(d, heads, length) for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, vocabulary, bias=False)

        def forward(self, x):
            x = self.dropout(self.tokens(x) + self.positions(T.arange(x.shape[1])))
            return self.head(self.norm(self.blocks(x))).flatten(0, 1)

    model = GPT()
    optimizer = T.optim.AdamW(model.parameters())
    x, y = T.randint(0, 65, (16, 64)), T.randint(0, 65, (1024,))
    return training_step(T, compiled, model, x, y, optimizer, nn.CrossEntropyLoss())


def embedding_bag(T, compiled=False):
    """Bags of 10 to 30 tokens of 5000, width 64, and their classifier, batch 64, SGD with momentum."""
    T.manual_seed(0)
    nn = T.nn

    class Bags(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.head = nn.EmbeddingBag(5000, 64), nn.Linear(64, 4)

        def forward(self, tokens, offsets):
            return self.head(self.embedding(tokens, offsets))

    model, loss = Bags(), nn.CrossEntropyLoss()
    lengths = T.randint(10, 31, (64,))
    tokens, offsets, y = T.randint(0, 5000, (int(lengths.sum()),)), lengths.cumsum(0) - lengths, T.randint(0, 4, (64,))

    def objective(tokens, offsets, y):
        return loss(model(tokens, offsets), y)

    return descent(T, compiled, model, objective, (tokens, offsets, y), sgd(T, model))


NETWORKS = [
    text_cnn, dilated_conv1d, bilstm, series_lstm, small_lstm, lstm_projection, char_rnn, elman_cells, lstm_cells, bigru_attention,
    seq2seq_attention, seq2seq_transformer, bert, small_gpt, embedding_bag,
]  # fmt: skip
DRAWS = [text_cnn, seq2seq_attention, seq2seq_transformer, bert, small_gpt]
