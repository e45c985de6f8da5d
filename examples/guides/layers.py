"""Guide 001, 3.4: building networks from nn.Module, with and without parameters of one's own."""

import rushlight as torch
from rushlight import nn


class MLP(nn.Module):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.hidden = nn.Linear(784, 256)
        self.act = nn.ReLU()
        self.output = nn.Linear(256, 10)

    def forward(self, x):
        return self.output(self.act(self.hidden(x)))


class MyLayer(nn.Module):
    def forward(self, x):
        return x - x.mean()


class MyListDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.params = nn.ParameterList([nn.Parameter(torch.randn(4, 4)) for _ in range(3)])
        self.params.append(nn.Parameter(torch.randn(4, 1)))

    def forward(self, x):
        for i in range(len(self.params)):
            x = torch.mm(x, self.params[i])
        return x


class MyDictDense(nn.Module):
    def __init__(self):
        super().__init__()
        self.params = nn.ParameterDict({
            "linear1": nn.Parameter(torch.randn(4, 4)),
            "linear2": nn.Parameter(torch.randn(4, 1)),
        })  # fmt: skip
        self.params.update({"linear3": nn.Parameter(torch.randn(4, 2))})

    def forward(self, x, choice="linear1"):
        return torch.mm(x, self.params[choice])


torch.manual_seed(0)
net = MLP()
print(net)
print(net(torch.rand(2, 784)).shape)

print(MyLayer()(torch.tensor([1, 2, 3, 4, 5], dtype=torch.float)))

# The guide prints FloatTensor in both lists; ParameterList now names the dtype.
net = MyListDense()
print(net)
print(list(net.state_dict()))
net = MyDictDense()
print(net)
print(net(torch.ones(1, 4), "linear3").shape)
