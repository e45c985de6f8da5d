"""Softmax over many classes, the rare ones in clusters of their own."""

from __future__ import annotations

from collections import namedtuple
from itertools import pairwise

from ...ops.creation import zeros
from ...ops.shape import cat
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", ["output", "loss"])


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probability of each target, and the mean loss, without the scores of all classes.

    Classes are numbered by frequency. The head scores those below `cutoffs[0]` and one entry for each cluster
    [cutoffs[i], cutoffs[i + 1]); a cluster scores its classes through a projection to in_features / div_value ** (i + 1)
    features. log p(class) = log p(cluster) + log p(class | cluster).

    Args: `in_features`, `n_classes`, `cutoffs` (rising, the last below n_classes), `div_value`, `head_bias`.
    Shape: input (N, in_features), target (N), or (in_features) and (); `output` as the target, `loss` ().
    Raises: ValueError for wrong cutoffs; RuntimeError for other shapes and for a target out of range.
    Reference: Grave et al., "Efficient softmax approximation for GPUs", 2017;
    https://docs.pytorch.org/docs/stable/generated/torch.nn.AdaptiveLogSoftmaxWithLoss.html
    """

    def __init__(self, in_features: int, n_classes: int, cutoffs, div_value: float = 4.0, head_bias: bool = False, device=None,
                 dtype=None):  # fmt: skip
        super().__init__()
        cutoffs = list(cutoffs)
        if len(cutoffs) == 0:
            raise ValueError("cutoffs should be a sequence of length larger than 0")
        rising = all(a < b for a, b in pairwise(cutoffs)) and cutoffs[0] > 0 and cutoffs[-1] <= n_classes - 1
        if not rising or any(int(c) != c for c in cutoffs):
            raise ValueError("cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                             "value is between 1 and n_classes-1")  # fmt: skip
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size, self.n_clusters = self.cutoffs[0], len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        kind = dict(device=device, dtype=dtype)
        self.head = Linear(in_features, self.head_size, bias=head_bias, **kind)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(Sequential(Linear(in_features, hidden, bias=False, **kind),
                                        Linear(hidden, high - low, bias=False, **kind)))  # fmt: skip

    def reset_parameters(self):
        """Draws all parameters anew."""
        self.head.reset_parameters()
        for projection in self.tail:
            for layer in projection:
                layer.reset_parameters()

    def _check(self, input, target):
        if target.dim() > 1:
            raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")
        if target.dim() == 1 and input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != target.dim() + 1:
            raise RuntimeError(f"{target.dim()}D target tensor expects {target.dim() + 1}D input tensors, but found inputs with size "
                               f"{input.size()}")  # fmt: skip

    def forward(self, input_, target_):
        self._check(input_, target_)
        single = target_.dim() == 0
        input, target = (input_.unsqueeze(0), target_.unsqueeze(0)) if single else (input_, target_)
        inside = ((target >= 0) & (target < self.n_classes)).all()
        if not inside:
            raise RuntimeError(f"Target values should be in [0, {self.n_classes - 1}], but values in range [{target.min().item()}, "
                               f"{target.max().item()}] were found. ")  # fmt: skip
        entry, rows, inner = target.clone(), [], []
        for i, (low, high) in enumerate(pairwise(self.cutoffs)):
            members = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if members.numel():
                logs = F.log_softmax(self.tail[i](input.index_select(0, members)), dim=1)
                entry[members] = self.shortlist_size + i
                rows.append(members)
                inner.append(logs.gather(1, (target[members] - low).unsqueeze(1)).squeeze(1))
        output = zeros(target.size(0), dtype=input.dtype)
        if rows:
            output = output.index_copy(0, cat(rows), cat(inner))
        output = output + F.log_softmax(self.head(input), dim=1).gather(1, entry.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output.squeeze(0) if single else output, loss)

    def _get_full_log_prob(self, input, head_output):
        head = F.log_softmax(head_output, dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, projection in enumerate(self.tail):
            parts.append(F.log_softmax(projection(input), dim=1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input):
        """Log-probabilities of all classes: (N, in_features) to (N, n_classes)."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input):
        """The most probable class of each row; clusters are computed for the rows whose best entry is one."""
        head_output = self.head(input)
        output = head_output.argmax(1)
        elsewhere = output >= self.shortlist_size
        if elsewhere.any():
            output[elsewhere] = self._get_full_log_prob(input[elsewhere], head_output[elsewhere]).argmax(1)
        return output
