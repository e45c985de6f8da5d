from __future__ import annotations

import math

from .. import ops
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Size
from ..nn import functional as F
from . import constraints
from .distribution import ProbsOrLogits
from .exp_family import ExponentialFamily
from .utils import broadcast_all, clamp_probs

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(ProbsOrLogits, ExponentialFamily):
    """Numbers from 0 to 1 with a density proportional to probs^x (1 - probs)^(1 - x).

    Between `lims`, around 1/2, formulas are replaced by Taylor's series.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        name, value = self._one_of(probs, logits)
        (value,) = broadcast_all(value)
        if name == "probs":
            # Before it is clamped, and, as in PyTorch, only on request: what is clamped is always right.
            if validate_args:
                valid = constraints.unit_interval.check(value)
                self._demand(valid, lambda: "", lambda show: "The parameter probs has invalid values")
            value = clamp_probs(value)
        self._lims = lims
        self._elementwise(validate_args, **{name: value})

    def _outside_unstable_region(self):
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self):
        return ops.where(self._outside_unstable_region(), self.probs, self._lims[0] * ops.ones_like(self.probs))

    def _cont_bern_log_norm(self):
        """The logarithm of the normalising constant."""
        p = self._cut_probs()
        below = ops.where(p <= 0.5, p, ops.zeros_like(p))
        above = ops.where(p >= 0.5, p, ops.ones_like(p))
        scale = ops.where(p <= 0.5, ops.log1p(-2.0 * below), ops.log(2.0 * above - 1.0))
        norm = ops.log((ops.log1p(-p) - ops.log(p)).abs()) - scale
        x = ops.pow(self.probs - 0.5, 2)
        return ops.where(self._outside_unstable_region(), norm, math.log(2.0) + (4.0 / 3.0 + 104.0 / 45.0 * x) * x)

    @property
    def mean(self):
        p = self._cut_probs()
        x = self.probs - 0.5
        near = 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * ops.pow(x, 2)) * x
        return ops.where(self._outside_unstable_region(), p / (2.0 * p - 1.0) + 1.0 / (ops.log1p(-p) - ops.log(p)), near)

    @property
    def stddev(self):
        return ops.sqrt(self.variance)

    @property
    def variance(self):
        p = self._cut_probs()
        far = p * (p - 1.0) / ops.pow(1.0 - 2.0 * p, 2) + 1.0 / ops.pow(ops.log1p(-p) - ops.log(p), 2)
        x = ops.pow(self.probs - 0.5, 2)
        return ops.where(self._outside_unstable_region(), far, 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with no_grad():
            return self.icdf(ops.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(ops.rand(self._extended_shape(sample_shape), dtype=self.probs.dtype))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value, reduction="none") + self._cont_bern_log_norm()

    def cdf(self, value):
        if self._validate_args:
            self._validate_sample(value)
        p = self._cut_probs()
        far = (ops.pow(p, value) * ops.pow(1.0 - p, 1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = ops.where(self._outside_unstable_region(), far, value)
        inside = ops.where(value <= 0.0, ops.zeros_like(value), inside)
        return ops.where(value >= 1.0, ops.ones_like(value), inside)

    def icdf(self, value):
        p = self._cut_probs()
        far = (ops.log1p(-p + value * (2.0 * p - 1.0)) - ops.log1p(-p)) / (ops.log(p) - ops.log1p(-p))
        return ops.where(self._outside_unstable_region(), far, value)

    def entropy(self):
        log_p0, log_p1 = ops.log1p(-self.probs), ops.log(self.probs)
        return self.mean * (log_p0 - log_p1) - self._cont_bern_log_norm() - log_p0

    @property
    def _natural_params(self):
        return (self.logits,)

    def _log_normalizer(self, x):
        far = ops.where((x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5), x, (self._lims[0] - 0.5) * ops.ones_like(x))
        norm = ops.log((ops.exp(far) - 1.0).abs()) - ops.log(far.abs())
        series = 0.5 * x + ops.pow(x, 2) / 24.0 - ops.pow(x, 4) / 2880.0
        return ops.where((x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5), norm, series)
