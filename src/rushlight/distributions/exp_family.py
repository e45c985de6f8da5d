from __future__ import annotations

from ..autograd.backward import grad
from .distribution import Distribution

__all__ = ["ExponentialFamily"]


class ExponentialFamily(Distribution):
    """Densities exp(<t(x), theta> - F(theta) + k(x)): F is `_log_normalizer`, theta `_natural_params`."""

    @property
    def _natural_params(self):
        raise NotImplementedError

    def _log_normalizer(self, *natural_params):
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> float:
        """The mean of k(x)."""
        raise NotImplementedError

    def entropy(self):
        """By Bregman's divergence of F."""
        result = -self._mean_carrier_measure
        params = [p.detach().requires_grad_() for p in self._natural_params]
        normalizer = self._log_normalizer(*params)
        slopes = grad(normalizer.sum(), params, create_graph=True)
        result += normalizer
        for p, slope in zip(params, slopes, strict=True):
            result -= (p * slope).reshape(self._batch_shape + (-1,)).sum(-1)
        return result
