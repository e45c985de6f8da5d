"""The training loop from Python: your own model and data, with checkpoints, resuming and clipping done for you.

python examples/trainer.py
"""

import rushlight as torch
from rushlight import nn, optim
from rushlight.train import Callback, Trainer
from rushlight.utils.data import DataLoader, TensorDataset


class Print(Callback):
    def on_epoch(self, trainer, record):
        print(f"epoch {record.epoch}: loss {record.loss:.4f}, validation accuracy {record.val_accuracy:.1%}")


torch.manual_seed(0)
x = torch.randn(1000, 20)
y = (x[:, :5].sum(1) > 0).long()
train = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
validation = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=200)
model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))
trainer = Trainer(
    model,
    nn.CrossEntropyLoss(),
    optim.AdamW(model.parameters(), lr=3e-3),
    train=train,
    validation=validation,
    epochs=5,
    clip_norm=1.0,
    callbacks=[Print()],
)
trainer.fit()
