"""Guide 001, 3.5: initialising weights by the kind of layer.

Slips in the guide: its list names init functions without their underscore (uniform, normal, ...), writes
mode='fan__in' and nonlinearity='leakyrelu', and calls normal_(weight, 0.1), which sets the mean, not the deviation.
"""

import rushlight as torch
from rushlight import nn

torch.manual_seed(0)
conv, linear = nn.Conv2d(1, 3, 3), nn.Linear(10, 1)
print(isinstance(conv, nn.Conv2d), isinstance(linear, nn.Conv2d))
nn.init.kaiming_normal_(conv.weight.data)
nn.init.constant_(linear.weight.data, 0.3)
print(linear.weight.data)


def initialize_weights(self):
    for m in self.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.xavier_normal_(m.weight.data)
            if m.bias is not None:
                nn.init.constant_(m.bias.data, 0.3)
        elif isinstance(m, nn.Linear):
            nn.init.normal_(m.weight.data, std=0.1)  # the guide: normal_(m.weight.data, 0.1)
            if m.bias is not None:
                nn.init.zeros_(m.bias.data)
        elif isinstance(m, nn.BatchNorm2d):
            m.weight.data.fill_(1)
            m.bias.data.zero_()  # the guide: .zeros_(), which no tensor has


class MLP(nn.Module):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = nn.Conv2d(1, 1, 3)
        self.act = nn.ReLU()
        self.output = nn.Linear(10, 1)

    def forward(self, x):
        return self.output(self.act(self.hidden(x)))


mlp = MLP()
initialize_weights(mlp)
print("conv bias", mlp.hidden.bias.data, "linear bias", mlp.output.bias.data)
wide = nn.Linear(1000, 100)
initialize_weights(wide)
print(f"mean {wide.weight.mean():.2f} std {wide.weight.std():.2f}")
for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
    print(f"gain {name} {nn.init.calculate_gain(name):.4f}")
for slip in ({"mode": "fan__in"}, {"nonlinearity": "leakyrelu"}):
    try:
        nn.init.kaiming_uniform_(conv.weight, **slip)
    except ValueError as error:
        print(error)
