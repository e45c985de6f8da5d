from __future__ import annotations

import math
import warnings
from numbers import Number

from .. import _dtypes, linalg, ops
from ..autograd.tensor import Size
from . import constraints
from .chi2 import Chi2
from .exp_family import ExponentialFamily
from .multivariate_normal import OneMatrix

__all__ = ["Wishart"]


def _digamma_sum(x, p):
    """The derivative of `mvlgamma`."""
    return ops.digamma(x.unsqueeze(-1) - ops.arange(p, dtype=x.dtype).div(2).expand(x.shape + (-1,))).sum(-1)


class Wishart(OneMatrix, ExponentialFamily):
    """Sums of `df` products x x^T of normal vectors, whose covariance one of the three matrices gives."""

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    @property
    def arg_constraints(self):
        return {
            "covariance_matrix": constraints.positive_definite, "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky, "df": constraints.greater_than(self.event_shape[-1] - 1),
        }  # fmt: skip

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        given = (covariance_matrix is not None) + (scale_tril is not None) + (precision_matrix is not None)
        if given != 1:
            raise AssertionError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        name, matrix = self._one_matrix(covariance_matrix, precision_matrix, scale_tril)
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading batch dimensions")
        if isinstance(df, Number):
            batch_shape = Size(matrix.shape[:-2])
            self.df = ops.tensor(df, dtype=matrix.dtype)
        else:
            batch_shape = ops.broadcast_shapes(matrix.shape[:-2], df.shape)
            self.df = df.expand(batch_shape)
        event_shape = matrix.shape[-2:]
        if self.df.le(event_shape[-1] - 1).any():
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {event_shape[-1] - 1}.")
        setattr(self, name, matrix.expand(batch_shape + (-1, -1)))
        super().__init__(batch_shape, event_shape, validate_args=validate_args)
        if self.df.lt(event_shape[-1]).any():
            warnings.warn("Low df values detected. Singular samples are highly likely to occur for ndim - 1 < df < ndim.", stacklevel=2)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)
        degrees = self.df.unsqueeze(-1) - ops.arange(event_shape[-1], dtype=matrix.dtype).expand(batch_shape + (-1,))
        self._dist_chi2 = Chi2(df=degrees)

    @property
    def _matrix_shape(self):
        return self._event_shape

    @property
    def mean(self):
        return self.df.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def mode(self):
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        factor = ops.where(factor <= 0, math.nan, factor)
        return factor.view(self._batch_shape + (1, 1)) * self.covariance_matrix

    @property
    def variance(self):
        V = self.covariance_matrix
        diagonal = V.diagonal(dim1=-2, dim2=-1)
        return self.df.view(self._batch_shape + (1, 1)) * (V.pow(2) + diagonal.unsqueeze(-1) * diagonal.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape=Size()):  # noqa: B008
        p = self._event_shape[-1]
        noise = self._dist_chi2.rsample(sample_shape).sqrt()
        noise = noise.clamp(min=_dtypes.finfo(noise.dtype).eps).diag_embed(dim1=-2, dim2=-1)
        rows, cols = ops.tril_indices(p, p, offset=-1)
        noise[..., rows, cols] = ops.randn(Size(sample_shape) + self._batch_shape + (p * (p - 1) // 2,), dtype=noise.dtype)
        chol = self._unbroadcasted_scale_tril @ noise
        return chol @ chol.mT

    def rsample(self, sample_shape=Size(), max_try_correction=None):  # noqa: B008
        """Draws; those that are singular for rounding are drawn again, `max_try_correction` times at most.

        PyTorch takes those that are *not* singular for singular the first time, warns, and draws them again. So do we: a seed
        has to give the same numbers.
        """
        sample = self._bartlett_sampling(sample_shape)
        again = self._any_of_batch(self.support.check(sample))
        if again.any():
            warnings.warn("Singular sample detected.", stacklevel=2)
            for _ in range(10 if max_try_correction is None else max_try_correction):
                new = self._bartlett_sampling(again[again].shape)
                sample[again] = new
                again[again.clone()] = self._any_of_batch(~self.support.check(new))
                if not again.any():
                    break
        return sample

    def _any_of_batch(self, mask):
        batch = len(self._batch_shape)
        return mask.amax(tuple(range(-batch, 0))) if batch else mask

    def _half_log_det(self):
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        nu, p = self.df, self._event_shape[-1]
        return (
            -nu * (p * math.log(2) / 2 + self._half_log_det()) - ops.mvlgamma(nu / 2, p=p)
            + (nu - p - 1) / 2 * linalg.slogdet(value)[1]
            - linalg.cholesky_solve(value, self._unbroadcasted_scale_tril).diagonal(dim1=-2, dim2=-1).sum(dim=-1) / 2
        )  # fmt: skip

    def entropy(self):
        nu, p = self.df, self._event_shape[-1]
        return (
            (p + 1) * (p * math.log(2) / 2 + self._half_log_det()) + ops.mvlgamma(nu / 2, p=p)
            - (nu - p - 1) / 2 * _digamma_sum(nu / 2, p) + nu * p / 2
        )  # fmt: skip

    @property
    def _natural_params(self):
        nu, p = self.df, self._event_shape[-1]
        return -self.precision_matrix / 2, (nu - p - 1) / 2

    def _log_normalizer(self, x, y):
        p = self._event_shape[-1]
        return (y + (p + 1) / 2) * (-linalg.slogdet(-2 * x)[1] + math.log(2) * p) + ops.mvlgamma(y + (p + 1) / 2, p=p)
