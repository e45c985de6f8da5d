from __future__ import annotations

import math

from .. import ops
from ..autograd.tensor import Size
from . import constraints
from .distribution import Distribution

__all__ = ["GeneralizedPareto"]


class GeneralizedPareto(Distribution):
    """What lies above a high threshold `loc`; `concentration` says how heavy the tail is (0: exponential)."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc, scale, concentration, validate_args=None):
        self._elementwise(validate_args, loc=loc, scale=scale, concentration=concentration)

    @property
    def _exponential(self):
        """Where the concentration is taken for 0, and the concentration with 1 in its place."""
        zero = ops.isclose(self.concentration, ops.zeros((), dtype=self.concentration.dtype))
        return zero, ops.where(zero, ops.ones_like(self.concentration), self.concentration)

    def _z(self, x):
        return (x - self.loc) / self.scale

    def rsample(self, sample_shape=Size()):  # noqa: B008
        return self.icdf(ops.rand(self._extended_shape(sample_shape), dtype=self.loc.dtype))

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, k) = self._z(value), self._exponential
        where_zero = -z - ops.log(self.scale)
        y = 1 / k + ops.ones_like(z)
        where_not = -y * ops.log1p(self.concentration * z) - ops.log(self.scale)
        return ops.where(zero, where_zero, where_not)

    def log_survival_function(self, value):
        """The logarithm of the probability of larger numbers."""
        if self._validate_args:
            self._validate_sample(value)
        z, (zero, k) = self._z(value), self._exponential
        return ops.where(zero, -z, -ops.log1p(self.concentration * z) / k)

    def log_cdf(self, value):
        return ops.log1p(-ops.exp(self.log_survival_function(value)))

    def cdf(self, value):
        return ops.exp(self.log_cdf(value))

    def icdf(self, value):
        zero, k = self._exponential
        log_rest = ops.log1p(-value)
        where_zero = self.loc - self.scale * log_rest
        where_not = self.loc + self.scale * ops.expm1(-self.concentration * log_rest) / k
        return ops.where(zero, where_zero, where_not)

    @property
    def mean(self):
        k = self.concentration
        valid = k < 1
        return ops.where(valid, self.loc + self.scale / (1 - ops.where(valid, k, 0.5)), math.nan)

    @property
    def variance(self):
        k = self.concentration
        valid = k < 0.5
        safe = ops.where(valid, k, 0.25)
        return ops.where(valid, self.scale**2 / ((1 - safe) ** 2 * (1 - 2 * safe)), math.nan)

    def entropy(self):
        return (ops.log(self.scale) + self.concentration + 1).expand(self._batch_shape)

    @property
    def mode(self):
        return self.loc

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self):
        low = self.loc
        high = ops.where(self.concentration < 0, low - self.scale / self.concentration, math.inf)
        return constraints.interval(low, high)
