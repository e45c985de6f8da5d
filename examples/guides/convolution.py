"""Guide 001, 3.4.2: convolution and pooling by hand, and the shapes that padding and stride give."""

import rushlight as torch
from rushlight import nn


def corr2d(X, K):
    h, w = K.shape
    X, K = X.float(), K.float()
    Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


class Conv2D(nn.Module):
    def __init__(self, kernel_size):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(kernel_size))
        self.bias = nn.Parameter(torch.randn(1))

    def forward(self, x):
        return corr2d(x, self.weight) + self.bias


def comp_conv2d(conv2d, X):
    X = X.view((1, 1) + X.shape)
    Y = conv2d(X)
    return Y.view(Y.shape[2:])


def pool2d(X, pool_size, mode="max"):
    p_h, p_w = pool_size
    Y = torch.zeros((X.shape[0] - p_h + 1, X.shape[1] - p_w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            window = X[i : i + p_h, j : j + p_w]
            Y[i, j] = window.max() if mode == "max" else window.mean()
    return Y


torch.manual_seed(0)
X = torch.rand(8, 8)
print(comp_conv2d(nn.Conv2d(1, 1, kernel_size=3, padding=1), X).shape)
print(comp_conv2d(nn.Conv2d(1, 1, kernel_size=(5, 3), padding=(2, 1)), X).shape)
print(comp_conv2d(nn.Conv2d(1, 1, kernel_size=(3, 5), padding=(0, 1), stride=(3, 4)), X).shape)

# The layer by hand is nn.Conv2d, and learns: 1, -1 finds vertical edges.
own = Conv2D((1, 2))
Z = torch.ones(6, 8)
Z[:, 2:6] = 0
edges = corr2d(Z, torch.tensor([[1.0, -1.0]]))
optimizer = torch.optim.SGD(own.parameters(), lr=0.3)
for _ in range(300):
    optimizer.zero_grad()
    ((own(Z) - edges) ** 2).mean().backward()
    optimizer.step()
print("learned", [round(v, 2) for v in own.weight.flatten().tolist()])

X = torch.tensor([[0, 1, 2], [3, 4, 5], [6, 7, 8]], dtype=torch.float)
print(pool2d(X, (2, 2)))
print(pool2d(X, (2, 2), "avg"))
