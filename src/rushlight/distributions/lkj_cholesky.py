from __future__ import annotations

import math

from .. import _dtypes, ops
from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Size
from . import constraints
from .beta import Beta
from .distribution import Distribution
from .utils import broadcast_all

__all__ = ["LKJCholesky"]


class LKJCholesky(Distribution):
    """Cholesky factors of correlation matrices, with a density proportional to det(matrix)^(concentration - 1).

    Drawn by the onion method of Lewandowski, Kurowicka and Joe (2009).
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        (self.concentration,) = broadcast_all(concentration)
        marginal = self.concentration + 0.5 * (self.dim - 2)
        offset = ops.arange(self.dim - 1, dtype=self.concentration.dtype)
        offset = ops.cat([offset.new_zeros((1,)), offset])
        self._beta = Beta(offset + 0.5, marginal.unsqueeze(-1) - 0.5 * offset)
        super().__init__(self.concentration.size(), Size((dim, dim)), validate_args)

    def sample(self, sample_shape=Size()):  # noqa: B008
        with no_grad():
            lengths = self._beta.sample(sample_shape).unsqueeze(-1)
            normal = ops.randn(self._extended_shape(sample_shape), dtype=lengths.dtype).tril(-1)
            directions = normal / normal.norm(dim=-1, keepdim=True)
            directions[..., 0, :].fill_(0.0)  # the first row has none
            w = ops.sqrt(lengths) * directions
            rest = ops.clamp(1 - ops.sum(w**2, dim=-1), min=_dtypes.finfo(w.dtype).tiny).sqrt()
            return w + ops.diag_embed(rest)

    def log_prob(self, value):
        if self._validate_args:
            self._validate_sample(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = ops.arange(2, self.dim + 1)
        order = 2 * (self.concentration - 1).unsqueeze(-1) + self.dim - order
        density = ops.sum(order * diagonal.log(), dim=-1)
        below = self.dim - 1
        alpha = self.concentration + 0.5 * below
        norm = 0.5 * below * math.log(math.pi) + ops.mvlgamma(alpha - 0.5, below) - ops.lgamma(alpha) * below
        return density - norm
