from __future__ import annotations

from .. import _dtypes, ops
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Size
from ..nn import functional as F
from . import constraints
from .distribution import Distribution, ProbsOrLogits
from .utils import broadcast_all

__all__ = ["Geometric"]


class Geometric(ProbsOrLogits, Distribution):
    """How many trials fail before the first succeeds, each with probability `probs` (or log-odds `logits`)."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs=None, logits=None, validate_args=None):
        name, value = self._one_of(probs, logits)
        self._elementwise(validate_args, **{name: value})
        if self._validate_args and name == "probs":
            value = self.probs
            valid = value > 0
            self._demand(valid, lambda: value.detach()[~valid], lambda show: (
                f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {show(self)} to be "
                "positive but found invalid values:"))  # fmt: skip

    @property
    def mean(self):
        return 1.0 / self.probs - 1.0

    @property
    def mode(self):
        return ops.zeros_like(self.probs)

    @property
    def variance(self):
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape=Size()):  # noqa: B008
        with no_grad():
            u = self.probs.new_empty(self._extended_shape(sample_shape)).uniform_(_dtypes.finfo(self.probs.dtype).tiny, 1)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        value, probs = broadcast_all(value, self.probs)
        probs = ops.where((probs == 1) & (value == 0), 0.0, probs)
        return value * (-probs).log1p() + self.probs.log()

    def entropy(self):
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / self.probs
