"""Networks of speech and of time series. Each is written once and runs on any library with PyTorch's API."""

from __future__ import annotations

from ..workloads import adam, descent, training_step


def ctc(T, compiled=False):
    """Speech recognition: convolutions and a bidirectional GRU 128 over 100 x 80, CTC, 10 to 20 letters of 29, batch 16, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Recognizer(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Sequential(
                nn.Conv1d(80, 128, 3, 2, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 128, 3, 1, 1), nn.BatchNorm1d(128), nn.ReLU()
            )
            self.rnn, self.head = nn.GRU(128, 128, bidirectional=True, batch_first=True), nn.Linear(256, 29)

        def forward(self, x):
            return self.head(self.rnn(self.conv(x).transpose(1, 2))[0]).log_softmax(-1).transpose(0, 1)

    model, loss = Recognizer(), nn.CTCLoss(zero_infinity=True)
    batch = T.randn(16, 80, 100), T.randint(1, 29, (16, 20)), T.full((16,), 50), T.randint(10, 21, (16,))
    return descent(T, compiled, model, lambda x, *targets: loss(model(x), *targets), batch, adam(T, model))


def conv_tasnet(T, compiled=False):
    """Conv-TasNet parts two voices: six blocks of 128 depthwise channels, dilated by 1 to 32, on 4000 samples, batch 4, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class Block(nn.Module):
        def __init__(self, c, m, dilation):
            super().__init__()
            self.layers = nn.Sequential(
                nn.Conv1d(c, m, 1), nn.PReLU(), nn.GroupNorm(1, m),
                nn.Conv1d(m, m, 3, padding=dilation, dilation=dilation, groups=m), nn.PReLU(), nn.GroupNorm(1, m), nn.Conv1d(m, c, 1),
            )  # fmt: skip

        def forward(self, x):
            return x + self.layers(x)

    class ConvTasNet(nn.Module):
        def __init__(self, c=64):
            super().__init__()
            self.encoder, self.decoder = nn.Conv1d(1, c, 16, 8, bias=False), nn.ConvTranspose1d(c, 1, 16, 8, bias=False)
            self.masks = nn.Sequential(nn.GroupNorm(1, c), *(Block(c, 128, 2**i) for i in range(6)), nn.Conv1d(c, 2 * c, 1), nn.Sigmoid())

        def forward(self, x):
            waves = F.relu(self.encoder(x.unsqueeze(1)))
            b, c, t = waves.shape
            voices = self.masks(waves).view(b, 2, c, t) * waves.unsqueeze(1)
            return self.decoder(voices.flatten(0, 1)).view(b, 2, -1)

    def loss(out, y):
        """The ratio of voice to noise, which no scale changes, in decibels."""
        out, y = out - out.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
        voice = (out * y).sum(-1, keepdim=True) * y / (y.pow(2).sum(-1, keepdim=True) + 1e-8)
        return -10 * T.log10(voice.pow(2).sum(-1) / ((out - voice).pow(2).sum(-1) + 1e-8) + 1e-8).mean()

    model = ConvTasNet()
    return training_step(T, compiled, model, T.randn(4, 4000), T.randn(4, 2, 4000), adam(T, model), loss)


def deepar(T, compiled=False):
    """DeepAR: LSTM 40 x 2 layers foretells means and deviations of 30 series, 48 steps of 5 numbers, batch 64, Adam."""
    T.manual_seed(0)
    nn, F = T.nn, T.nn.functional

    class DeepAR(nn.Module):
        def __init__(self):
            super().__init__()
            self.series, self.rnn = nn.Embedding(30, 8), nn.LSTM(13, 40, 2, batch_first=True)
            self.mean, self.deviation = nn.Linear(40, 1), nn.Linear(40, 1)

        def forward(self, x, series):
            series = self.series(series)[:, None].expand(-1, x.shape[1], -1)
            h, _ = self.rnn(T.cat([x, series], -1))
            return self.mean(h).squeeze(-1), F.softplus(self.deviation(h)).squeeze(-1) + 1e-3

    model, loss = DeepAR(), nn.GaussianNLLLoss()

    def objective(x, series, y):
        mean, deviation = model(x, series)
        return loss(mean, y, deviation**2)

    return descent(T, compiled, model, objective, (T.randn(64, 48, 5), T.randint(0, 30, (64,)), T.randn(64, 48)), adam(T, model))


def patchtst(T, compiled=False):
    """PatchTST: an encoder, width 64, 2 layers, of patches of 16 from 7 series of 96 numbers foretells 24, batch 32, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class PatchTST(nn.Module):
        def __init__(self, d=64):
            super().__init__()
            self.patches, self.positions = nn.Linear(16, d), nn.Parameter(T.randn(1, 11, d) * 0.02)
            layer = nn.TransformerEncoderLayer(d, 4, 2 * d, 0.0, "gelu", batch_first=True)
            self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(11 * d, 24)

        def forward(self, x):
            b, t, series = x.shape
            mean, deviation = x.mean(1, keepdim=True), x.std(1, keepdim=True) + 1e-5
            x = ((x - mean) / deviation).permute(0, 2, 1).reshape(b * series, t).unfold(1, 16, 8)
            x = self.encoder(self.patches(x) + self.positions)
            return self.head(x.flatten(1)).view(b, series, 24).permute(0, 2, 1) * deviation + mean

    model = PatchTST()
    return training_step(T, compiled, model, T.randn(32, 96, 7), T.randn(32, 24, 7), adam(T, model), nn.MSELoss())


def nbeats(T, compiled=False):
    """N-BEATS: six blocks of four layers of 128, each takes its part from 60 numbers and foretells 12, batch 128, Adam."""
    T.manual_seed(0)
    nn = T.nn

    class Block(nn.Module):
        def __init__(self, d=128):
            super().__init__()
            self.layers = nn.Sequential(*(layer for i in range(4) for layer in (nn.Linear(d if i else 60, d), nn.ReLU())))
            self.backcast, self.forecast = nn.Linear(d, 60), nn.Linear(d, 12)

        def forward(self, x):
            h = self.layers(x)
            return self.backcast(h), self.forecast(h)

    class NBeats(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList(Block() for _ in range(6))

        def forward(self, x):
            total = T.zeros(x.shape[0], 12)
            for block in self.blocks:
                part, forecast = block(x)
                x, total = x - part, total + forecast
            return total

    model = NBeats()
    return training_step(T, compiled, model, T.randn(128, 60), T.randn(128, 12), adam(T, model), nn.SmoothL1Loss())


NETWORKS = [ctc, conv_tasnet, deepar, patchtst, nbeats]
DRAWS = []
