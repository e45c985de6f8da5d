from __future__ import annotations

import math

from .. import ops
from ..autograd.tensor import Size
from . import constraints
from .chi2 import Chi2
from .distribution import Distribution
from .utils import standard_normal

__all__ = ["StudentT"]


class StudentT(Distribution):
    """A normal number over the root of a mean of `df` squares, scaled and moved."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True

    def __init__(self, df, loc=0.0, scale=1.0, validate_args=None):
        self._elementwise(validate_args, df=df, loc=loc, scale=scale)
        self._chi2 = Chi2(self.df)

    @property
    def mean(self):
        return ops.where(self.df <= 1, math.nan, self.loc)

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        some = self.df > 2
        df = ops.where(some, self.df, 3.0)
        finite = ops.where(some, self.scale.pow(2) * df / (df - 2), math.inf)
        return ops.where(self.df <= 1, math.nan, finite)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        x = standard_normal(self._extended_shape(sample_shape), self.df.dtype)
        y = x * ops.rsqrt(self._chi2.rsample(sample_shape) / self.df)
        return self.loc + self.scale * y

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        y = (value - self.loc) / self.scale
        norm = (
            self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + ops.lgamma(0.5 * self.df)
            - ops.lgamma(0.5 * (self.df + 1.0))
        )  # fmt: skip
        return -0.5 * (self.df + 1.0) * ops.log1p(y**2.0 / self.df) - norm

    def entropy(self):
        half, more = 0.5 * self.df, 0.5 * (self.df + 1)
        log_beta = ops.lgamma(half) + math.lgamma(0.5) - ops.lgamma(more)
        return self.scale.log() + more * (ops.digamma(more) - ops.digamma(half)) + 0.5 * self.df.log() + log_beta
