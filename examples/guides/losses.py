"""Guide 001, 3.6: the loss functions. Inputs that the guide draws at random are printed by form, the others by number.

Slips in the guide: KLDivLoss is given probabilities where it takes log-probabilities, and averages over all elements;
CosineEmbeddingLoss is given a target of two dimensions; PoissonNLLLoss is given negative counts.
"""

import warnings

import rushlight as torch
from rushlight import nn

torch.manual_seed(0)
x = torch.randn(3, requires_grad=True)
print("BCE", nn.BCELoss()(nn.Sigmoid()(x), torch.empty(3).random_(2)).grad_fn.name())
x = torch.randn(3, 5, requires_grad=True)
print("CrossEntropy", nn.CrossEntropyLoss()(x, torch.empty(3, dtype=torch.long).random_(5)).grad_fn.name())
target = torch.randn(3, 5)
for name in ("L1Loss", "MSELoss", "SmoothL1Loss"):
    loss = getattr(nn, name)()(x, target)
    loss.backward()
    print(name, loss.grad_fn.name())

inputs = torch.linspace(-10, 10, steps=5000)
smooth = nn.SmoothL1Loss(reduction="none")(inputs, torch.zeros_like(inputs))
plain = nn.L1Loss(reduction="none")(inputs, torch.zeros_like(inputs))
print(f"SmoothL1 and L1 at the ends: {smooth[0]} {plain[0]}, in the middle: {smooth[2500]:.4e} {plain[2500]:.4e}")

counts = torch.poisson(torch.ones(5, 2))  # the guide: torch.randn, half of it negative
print("PoissonNLL", nn.PoissonNLLLoss()(torch.randn(5, 2, requires_grad=True), counts).grad_fn.name())

inputs = torch.tensor([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]])
target = torch.tensor([[0.9, 0.05, 0.05], [0.1, 0.7, 0.2]])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "reduction: 'mean' divides the total loss by both the batch size and ..."
    print("KLDiv as in the guide", nn.KLDivLoss()(inputs, target))
print("KLDiv", nn.KLDivLoss(reduction="batchmean")(inputs.log(), target))

a, b = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
print("MarginRanking", nn.MarginRankingLoss()(a, b, torch.randn(3).sign()).grad_fn.name())

x, y = torch.FloatTensor([[0.9, 0.2, 0.4, 0.8]]), torch.LongTensor([[3, 0, -1, 1]])
print("MultiLabelMargin", nn.MultiLabelMarginLoss()(x, y))

inputs = torch.tensor([[0.3, 0.7], [0.5, 0.5]])
print("SoftMargin", nn.SoftMarginLoss()(inputs, torch.tensor([[-1, 1], [1, -1]], dtype=torch.float)))
print("MultiMargin", nn.MultiMarginLoss()(inputs, torch.tensor([0, 1])))

anchor, positive, negative = (torch.randn(100, 128, requires_grad=True) for _ in range(3))
triplet = nn.TripletMarginLoss(margin=1.0, p=2)(anchor, positive, negative)
triplet.backward()
print("Triplet", triplet.grad_fn.name())

print("HingeEmbedding", nn.HingeEmbeddingLoss()(torch.tensor([[1.0, 0.8, 0.5]]), torch.tensor([[1, 1, -1]])))

one = torch.tensor([[0.3, 0.5, 0.7], [0.3, 0.5, 0.7]])
two = torch.tensor([[0.1, 0.3, 0.5], [0.1, 0.3, 0.5]])
try:
    nn.CosineEmbeddingLoss()(one, two, torch.tensor([[1, -1]], dtype=torch.float))  # the guide's call
except RuntimeError as error:
    print(str(error).splitlines()[0])
print("CosineEmbedding", nn.CosineEmbeddingLoss()(one, two, torch.tensor([1.0, -1.0])))

T, C, N, S = 50, 20, 16, 30
logs = torch.randn(T, N, C).log_softmax(2).detach().requires_grad_()
lengths = torch.full(size=(N,), fill_value=T, dtype=torch.long)
target = torch.randint(low=1, high=C, size=(N, S), dtype=torch.long)
target_lengths = torch.randint(low=10, high=S, size=(N,), dtype=torch.long)
padded = nn.CTCLoss()(logs, target, lengths, target_lengths)
padded.backward()
joined = torch.cat([row[:n] for row, n in zip(target, target_lengths.tolist(), strict=True)])
print("CTC padded and joined agree:", torch.allclose(padded, nn.CTCLoss()(logs, joined, lengths, target_lengths)))
