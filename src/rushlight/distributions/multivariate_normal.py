from __future__ import annotations

import math

from .. import linalg, ops
from ..autograd.tensor import Size
from . import constraints
from .distribution import Distribution
from .utils import lazy_property, standard_normal

__all__ = ["MultivariateNormal"]


def batch_mv(matrices, vectors):
    """Products of matrices and vectors whose batches broadcast."""
    return ops.matmul(matrices, vectors.unsqueeze(-1)).squeeze(-1)


def batch_mahalanobis(factor, x):
    """Per vector the squared length of L^-1 x. One L for all vectors is one system with many right-hand sides."""
    if factor.dim() == 2:
        columns = x.reshape(-1, x.shape[-1]).t()
        return linalg.solve_triangular(factor, columns, upper=False).pow(2).sum(-2).reshape(x.shape[:-1])
    return linalg.solve_triangular(factor, x.unsqueeze(-1), upper=False).pow(2).sum(-2).squeeze(-1)


def precision_to_scale_tril(precision):
    """The Cholesky factor of the inverse of a matrix."""
    flipped = linalg.cholesky(ops.flip(precision, (-2, -1)))
    upper = ops.transpose(ops.flip(flipped, (-2, -1)), -2, -1)
    return linalg.solve_triangular(upper, ops.eye(precision.shape[-1], dtype=precision.dtype), upper=False)


class OneMatrix(Distribution):
    """Distributions with one of three matrices for a parameter, any of which gives the others.

    `_unbroadcasted_scale_tril`, the Cholesky factor of the covariance, has the batch that the matrix was given with.
    """

    _matrices = ("scale_tril", "covariance_matrix", "precision_matrix")

    def _one_matrix(self, covariance_matrix, precision_matrix, scale_tril):
        """The name and value of the matrix that was given."""
        given = [
            (name, m) for name, m in zip(self._matrices, (scale_tril, covariance_matrix, precision_matrix), strict=True) if m is not None
        ]
        if len(given) != 1:
            raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified.")
        return given[0]

    def _factor(self, name, matrix):
        if name == "scale_tril":
            return matrix
        return linalg.cholesky(matrix) if name == "covariance_matrix" else precision_to_scale_tril(matrix)

    def _whole(self, matrix):
        return matrix.expand(self._batch_shape + self._matrix_shape)

    @lazy_property
    def scale_tril(self):
        return self._whole(self._unbroadcasted_scale_tril)

    @lazy_property
    def covariance_matrix(self):
        return self._whole(ops.matmul(self._unbroadcasted_scale_tril, self._unbroadcasted_scale_tril.mT))

    @lazy_property
    def precision_matrix(self):
        return self._whole(linalg.cholesky_inverse(self._unbroadcasted_scale_tril))


class MultivariateNormal(OneMatrix):
    """Normal vectors with mean `loc` and one of: a covariance matrix, its inverse, its Cholesky factor."""

    arg_constraints = {
        "loc": constraints.real_vector, "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite, "scale_tril": constraints.lower_cholesky,
    }  # fmt: skip
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = self._one_matrix(covariance_matrix, precision_matrix, scale_tril)
        if matrix.dim() < 2:
            called = "scale_tril matrix" if name == "scale_tril" else name
            raise ValueError(f"{called} must be at least two-dimensional, with optional leading batch dimensions")
        batch_shape = ops.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        setattr(self, name, matrix.expand(batch_shape + matrix.shape[-2:]))
        self.loc = loc.expand(batch_shape + (matrix.shape[-1],))
        super().__init__(batch_shape, self.loc.shape[-1:], validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, matrix)

    @property
    def _matrix_shape(self):
        return self._event_shape * 2

    @property
    def mean(self):
        return self.loc

    @property
    def mode(self):
        return self.loc

    @property
    def variance(self):
        return self._unbroadcasted_scale_tril.pow(2).sum(-1).expand(self._batch_shape + self._event_shape)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        eps = standard_normal(self._extended_shape(sample_shape), self.loc.dtype)
        return self.loc + batch_mv(self._unbroadcasted_scale_tril, eps)

    def _half_log_det(self):
        return self._unbroadcasted_scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        distance = batch_mahalanobis(self._unbroadcasted_scale_tril, value - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + distance) - self._half_log_det()

    def entropy(self):
        entropy = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._half_log_det()
        return entropy.expand(self._batch_shape)
