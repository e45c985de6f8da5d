"""How far one distribution is from another: `kl_divergence(p, q)`, by formulas for pairs of classes.

Reference: https://docs.pytorch.org/docs/stable/distributions.html#module-torch.distributions.kl
"""

from __future__ import annotations

import functools
import math
import warnings

from .. import linalg, ops
from ..autograd.backward import grad
from ..nn import functional as F
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .cauchy import Cauchy
from .continuous_bernoulli import ContinuousBernoulli
from .dirichlet import Dirichlet
from .distribution import Distribution
from .exp_family import ExponentialFamily
from .exponential import Exponential
from .gamma import Gamma
from .geometric import Geometric
from .gumbel import Gumbel
from .half_normal import HalfNormal
from .independent import Independent
from .laplace import Laplace
from .lowrank_multivariate_normal import LowRankMultivariateNormal, batch_lowrank_logdet, batch_lowrank_mahalanobis
from .multivariate_normal import MultivariateNormal, batch_mahalanobis
from .normal import Normal
from .one_hot_categorical import OneHotCategorical
from .pareto import Pareto
from .poisson import Poisson
from .transformed_distribution import TransformedDistribution
from .uniform import Uniform
from .utils import euler_constant, sum_rightmost

__all__ = ["register_kl", "kl_divergence"]

_KL_REGISTRY: dict = {}
_KL_MEMOIZE: dict = {}


def register_kl(type_p, type_q):
    """A decorator for the function that computes the divergence of this pair of classes and their subclasses."""
    if not isinstance(type_p, type) or not issubclass(type_p, Distribution):
        raise TypeError(f"Expected type_p to be a Distribution subclass but got {type_p}")
    if not isinstance(type_q, type) or not issubclass(type_q, Distribution):
        raise TypeError(f"Expected type_q to be a Distribution subclass but got {type_q}")

    def decorator(fun):
        _KL_REGISTRY[type_p, type_q] = fun
        _KL_MEMOIZE.clear()
        return fun

    return decorator


@functools.total_ordering
class _Match:
    """A pair of classes; smaller is more specific, the first class counting first."""

    def __init__(self, *types):
        self.types = types

    def __eq__(self, other):
        return self.types == other.types

    def __le__(self, other):
        for x, y in zip(self.types, other.types, strict=True):
            if not issubclass(x, y):
                return False
            if x is not y:
                break
        return True


def _dispatch_kl(type_p, type_q):
    """The most specific function that is registered; a warning if another order of looking finds another one."""
    matches = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not matches:
        return NotImplemented
    left_p, left_q = min(_Match(*m) for m in matches).types
    right_q, right_p = min(_Match(*reversed(m)) for m in matches).types
    left, right = _KL_REGISTRY[left_p, left_q], _KL_REGISTRY[right_p, right_q]
    if left is not right:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl({left_p.__name__}, "
            f"{right_q.__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return left


def kl_divergence(p, q):
    """The Kullback-Leibler divergence of q from p: the mean of log p(x) - log q(x) for numbers of p.

    Raises: NotImplementedError if no formula is registered for this pair.
    """
    try:
        fun = _KL_MEMOIZE[type(p), type(q)]
    except KeyError:
        fun = _KL_MEMOIZE[type(p), type(q)] = _dispatch_kl(type(p), type(q))
    if fun is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {p.__class__.__name__} and q type {q.__class__.__name__}"
        )
    return fun(p, q)


def _infinite_where(condition, value):
    return ops.where(condition, math.inf, value)


def _trace_xxt(x):
    """The trace of X X^T."""
    return x.pow(2).sum((-2, -1))


def _half_log_det(L):
    return L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


# -- infinitely far: q has no density somewhere that p has one ---------------------------------------------------------


def _register_infinite(name, type_p, *types_q):
    def far(p, q):
        return ops.full_like(getattr(p, name), math.inf)

    for type_q in types_q:
        register_kl(type_p, type_q)(far)


_register_infinite("concentration1", Beta, Pareto)
_register_infinite("probs", ContinuousBernoulli, Pareto)
_register_infinite("rate", Exponential, Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite("concentration", Gamma, Beta, ContinuousBernoulli, Pareto, Uniform)
_register_infinite("loc", Gumbel, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite("loc", Laplace, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite("loc", Normal, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
_register_infinite("scale", Pareto, Beta, ContinuousBernoulli, Uniform)
_register_infinite("rate", Poisson, Bernoulli, Binomial)


# -- two of one kind ---------------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Bernoulli)
def _(p, q):
    ones = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    ones = ops.where(p.probs == 0, 0.0, _infinite_where(q.probs == 0, ones))
    zeros = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    return ones + ops.where(p.probs == 1, 0.0, _infinite_where(q.probs == 1, zeros))


@register_kl(Beta, Beta)
def _(p, q):
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    above = q.concentration1.lgamma() + q.concentration0.lgamma() + total_p.lgamma()
    below = p.concentration1.lgamma() + p.concentration0.lgamma() + total_q.lgamma()
    one = (p.concentration1 - q.concentration1) * ops.digamma(p.concentration1)
    other = (p.concentration0 - q.concentration0) * ops.digamma(p.concentration0)
    return above - below + one + other + (total_q - total_p) * ops.digamma(total_p)


@register_kl(Binomial, Binomial)
def _(p, q):
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    kl = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return _infinite_where(p.total_count > q.total_count, kl)


@register_kl(Categorical, Categorical)
def _(p, q):
    terms = p.probs * (p.logits - q.logits)
    return ops.where(p.probs == 0, 0.0, _infinite_where(q.probs == 0, terms)).sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _(p, q):
    own = p._cont_bern_log_norm() + ops.log1p(-p.probs)
    return p.mean * (p.logits - q.logits) + own + (-q._cont_bern_log_norm() - ops.log1p(-q.probs))


@register_kl(Dirichlet, Dirichlet)
def _(p, q):
    total_p, total_q = p.concentration.sum(-1), q.concentration.sum(-1)
    parts = (p.concentration.lgamma() - q.concentration.lgamma()).sum(-1)
    slopes = p.concentration.digamma() - total_p.digamma().unsqueeze(-1)
    return total_p.lgamma() - total_q.lgamma() - parts + ((p.concentration - q.concentration) * slopes).sum(-1)


@register_kl(Exponential, Exponential)
def _(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(ExponentialFamily, ExponentialFamily)
def _(p, q):
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families cannot be computed using "
                                  "Bregman divergences")  # fmt: skip
    own = [x.detach().requires_grad_() for x in p._natural_params]
    normalizer = p._log_normalizer(*own)
    slopes = grad(normalizer.sum(), own, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for x, y, slope in zip(own, q._natural_params, slopes, strict=True):
        result = result - sum_rightmost((y - x) * slope, len(q.event_shape))
    return result


@register_kl(Gamma, Gamma)
def _(p, q):
    rates = q.concentration * (p.rate / q.rate).log()
    norms = ops.lgamma(q.concentration) - ops.lgamma(p.concentration)
    shapes = (p.concentration - q.concentration) * ops.digamma(p.concentration)
    return rates + norms + shapes + (q.rate - p.rate) * (p.concentration / p.rate)


@register_kl(Gumbel, Gumbel)
def _(p, q):
    ratio, at, own = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    return -ratio.log() - at + own + ratio * euler_constant + ops.exp(at + (1 + ratio).lgamma() - own) - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _(p, q):
    return -p.entropy() - ops.log1p(-q.probs) / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _(p, q):
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _(p, q):
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + apart / q.scale + ratio * ops.exp(-apart / p.scale) - 1


@register_kl(Normal, Normal)
def _(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _(p, q):
    return kl_divergence(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _(p, q):
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _infinite_where(p.scale < q.scale, result)


@register_kl(Poisson, Poisson)
def _(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _(p, q):
    return _infinite_where((q.low > p.low) | (q.high < p.high), ((q.high - q.low) / (p.high - p.low)).log())


@register_kl(Independent, Independent)
def _(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Cauchy, Cauchy)
def _(p, q):
    return ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log() - (4 * p.scale * q.scale).log()


# -- normal vectors ----------------------------------------------------------------------------------------------------


def _same_size(p, q, kinds):
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {kinds} with different event shapes cannot be computed")
    return p.event_shape[0]


def _lowrank_inverse_root(q):
    """A with (W W^T + D)^-1 = D^-1 - A^T A."""
    scaled = q._unbroadcasted_cov_factor.mT / q._unbroadcasted_cov_diag.unsqueeze(-2)
    return linalg.solve_triangular(q._capacitance_tril, scaled, upper=False)


def _lowrank_parts(q):
    return q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _(p, q):
    n = _same_size(p, q, "Low Rank Multivariate Normals")
    (W, D), (own, own_diag) = _lowrank_parts(q), _lowrank_parts(p)
    dets = batch_lowrank_logdet(W, D, q._capacitance_tril) - batch_lowrank_logdet(own, own_diag, p._capacitance_tril)
    means = batch_lowrank_mahalanobis(W, D, q.loc - p.loc, q._capacitance_tril)
    A = _lowrank_inverse_root(q)
    traces = (
        (own_diag / D).sum(-1) + _trace_xxt(own * D.rsqrt().unsqueeze(-1)) - _trace_xxt(A * own_diag.sqrt().unsqueeze(-2))
        - _trace_xxt(A.matmul(own))
    )  # fmt: skip
    return 0.5 * (dets + traces + means - n)


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _(p, q):
    n = _same_size(p, q, "(Low Rank) Multivariate Normals")
    (W, D), L = _lowrank_parts(q), p._unbroadcasted_scale_tril
    dets = batch_lowrank_logdet(W, D, q._capacitance_tril) - 2 * _half_log_det(L)
    means = batch_lowrank_mahalanobis(W, D, q.loc - p.loc, q._capacitance_tril)
    traces = _trace_xxt(L * D.rsqrt().unsqueeze(-1)) - _trace_xxt(_lowrank_inverse_root(q).matmul(L))
    return 0.5 * (dets + traces + means - n)


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _(p, q):
    n = _same_size(p, q, "(Low Rank) Multivariate Normals")
    (W, D), L = _lowrank_parts(p), q._unbroadcasted_scale_tril
    dets = 2 * _half_log_det(L) - batch_lowrank_logdet(W, D, p._capacitance_tril)
    means = batch_mahalanobis(L, q.loc - p.loc)
    solved = (linalg.solve_triangular(L, X, upper=False) for X in (W, ops.diag_embed(D.sqrt())))
    return 0.5 * (dets + sum(_trace_xxt(x) for x in solved) + means - n)


@register_kl(MultivariateNormal, MultivariateNormal)
def _(p, q):
    n = _same_size(p, q, "Multivariate Normals")
    mine, L = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    traces = _trace_xxt(linalg.solve_triangular(L, mine, upper=False))
    means = batch_mahalanobis(L, q.loc - p.loc)
    return _half_log_det(L) - _half_log_det(mine) + 0.5 * (traces + means - n)


# -- two of different kinds --------------------------------------------------------------------------------------------


@register_kl(Bernoulli, Poisson)
def _(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Uniform, ContinuousBernoulli)
@register_kl(Beta, ContinuousBernoulli)
def _kl_continuous_bernoulli(p, q):
    result = -p.entropy() - p.mean * q.logits - ops.log1p(-q.probs) - q._cont_bern_log_norm()
    if isinstance(p, Uniform):
        result = _infinite_where((p.high >= 1) | (p.low <= 0), result)
    return result


@register_kl(Gamma, Exponential)
@register_kl(Beta, Exponential)
@register_kl(ContinuousBernoulli, Exponential)
def _kl_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _(p, q):
    log_mean = p.concentration1.digamma() - (p.concentration1 + p.concentration0).digamma()
    norm = q.concentration.lgamma() - q.concentration * q.rate.log()
    return -p.entropy() + norm - (q.concentration - 1) * log_mean + q.rate * p.mean


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
def _kl_normal(p, q):
    mean, variance = p.mean, q.variance
    square = p.variance + mean.pow(2)
    return -p.entropy() + 0.5 * (variance * 2 * math.pi).log() + (square * 0.5 - q.loc * mean + q.loc.pow(2) * 0.5) / variance


@register_kl(Beta, Uniform)
def _(p, q):
    return _infinite_where((q.low > 0) | (q.high < 1), -p.entropy() + (q.high - q.low).log())


@register_kl(ContinuousBernoulli, Uniform)
def _(p, q):
    return _infinite_where((q.low >= 0) | (q.high <= 1), -p.entropy() + (q.high - q.low).log())


@register_kl(Exponential, Gamma)
def _(p, q):
    ratio = q.rate / p.rate
    shape = q.concentration
    return -shape * ops.log(ratio) + ratio + shape.lgamma() + shape * euler_constant - (1 + euler_constant)


@register_kl(Exponential, Gumbel)
def _(p, q):
    product, at = p.rate * q.scale, q.loc / q.scale
    return product.log() - 1 - at + ops.exp(at) * product / (product + 1) + product.reciprocal()


@register_kl(Exponential, Normal)
def _(p, q):
    variance, square = q.variance, p.rate.pow(2)
    rest = square.reciprocal() - q.loc / p.rate + q.loc.pow(2) * 0.5
    return 0.5 * ops.log(square * variance * 2 * math.pi) - 1 + rest / variance


@register_kl(Gamma, Gumbel)
def _(p, q):
    product, at, shape = p.rate * q.scale, q.loc / q.scale, p.concentration
    own = (shape - 1) * shape.digamma() - shape.lgamma() - shape
    return own + product.log() + shape / product + (ops.exp(at) * (1 + product.reciprocal()).pow(-shape) - at)


@register_kl(Gamma, Normal)
def _(p, q):
    variance, square, shape = q.variance, p.rate.pow(2), p.concentration
    own = 0.5 * ops.log(square * variance * 2 * math.pi) - shape - shape.lgamma() + (shape - 1) * shape.digamma()
    rest = 0.5 * (shape.pow(2) + shape) / square - q.loc * shape / p.rate + 0.5 * q.loc.pow(2)
    return own + rest / variance


@register_kl(Gumbel, Normal)
def _(p, q):
    ratio = p.scale / q.scale
    means = ((p.loc + p.scale * euler_constant - q.loc) / q.scale).pow(2) * 0.5
    return -(ratio / math.sqrt(2 * math.pi)).log() + (math.pi * ratio * 0.5).pow(2) / 3 + means - (euler_constant + 1)


@register_kl(Laplace, Normal)
def _(p, q):
    variance = q.variance
    ratio = p.scale.pow(2) / variance
    means = 0.5 * p.loc.pow(2) - p.loc * q.loc + 0.5 * q.loc.pow(2)
    return -0.5 * ops.log(2 * ratio / math.pi) + ratio + means / variance - 1


@register_kl(Normal, Gumbel)
def _(p, q):
    mean, square, at = p.loc / q.scale, (p.scale / q.scale).pow(2), q.loc / q.scale
    return -square.log() * 0.5 + mean - at + ops.exp(-mean + 0.5 * square + at) - 0.5 * (1 + math.log(2 * math.pi))


@register_kl(Normal, Laplace)
def _(p, q):
    apart = p.loc - q.loc
    steps = apart / p.scale
    inner = math.sqrt(2 / math.pi) * p.scale * ops.exp(-0.5 * steps.pow(2))
    outer = apart * ops.erf(math.sqrt(0.5) * steps)
    return -ops.log(p.scale / q.scale) + (inner + outer) / q.scale - 0.5 * (1 + math.log(0.5 * math.pi))


@register_kl(Pareto, Exponential)
def _(p, q):
    product = p.scale * q.rate
    result = (p.alpha / product).log() - p.alpha.reciprocal() + p.alpha * product / (p.alpha - 1) - 1
    return _infinite_where(p.alpha <= 1, result)


@register_kl(Pareto, Gamma)
def _(p, q):
    log_mean = p.scale.log() + p.alpha.reciprocal()
    norm = q.concentration.lgamma() - q.concentration * q.rate.log()
    rest = (1 - q.concentration) * log_mean + q.rate * p.alpha * p.scale / (p.alpha - 1) - 1
    return _infinite_where(p.alpha <= 1, p.alpha.log() - log_mean + norm + rest)


@register_kl(Pareto, Normal)
def _(p, q):
    part = p.scale / (p.alpha - 1)
    norm = (math.sqrt(2 * math.pi) * q.scale * p.alpha / p.scale).log() - p.alpha.reciprocal()
    squares = p.alpha * part.pow(2) / (p.alpha - 2) + (p.alpha * part - q.loc).pow(2)
    return _infinite_where(p.alpha <= 2, norm + squares / (2 * q.scale.pow(2)) - 1)


def _mean_log(p):
    """The mean of log x, for uniform numbers."""
    width = p.high - p.low
    return (ops.xlogy(p.high, p.high) - ops.xlogy(p.low, p.low) - width) / width


@register_kl(Uniform, Beta)
def _(p, q):
    low, high = 1 - p.low, 1 - p.high
    width = p.high - p.low
    log_rest = (ops.xlogy(high, high) - ops.xlogy(low, low) + width) / width
    norm = q.concentration1.lgamma() + q.concentration0.lgamma() - (q.concentration1 + q.concentration0).lgamma()
    result = (q.concentration0 - 1) * log_rest + norm - ops.log(width) - (q.concentration1 - 1) * _mean_log(p)
    return _infinite_where((p.high > 1) | (p.low < 0), result)


@register_kl(Uniform, Exponential)
def _(p, q):
    return _infinite_where(p.low < 0, q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log())


@register_kl(Uniform, Gamma)
def _(p, q):
    norm = q.concentration.lgamma() - q.concentration * q.rate.log()
    rest = (1 - q.concentration) * _mean_log(p) + q.rate * (p.high + p.low) / 2
    return _infinite_where(p.low < 0, -(p.high - p.low).log() + norm + rest)


@register_kl(Uniform, Gumbel)
def _(p, q):
    part, high, low = q.scale / (p.high - p.low), (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return part.log() + 0.5 * (high + low) - part * (ops.exp(-high) - ops.exp(-low))


@register_kl(Uniform, Normal)
def _(p, q):
    width = p.high - p.low
    squares = width.pow(2) / 12 + ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return (math.sqrt(math.pi * 2) * q.scale / width).log() + 0.5 * squares / q.scale.pow(2)


@register_kl(Uniform, Pareto)
def _(p, q):
    norm = (q.alpha * q.scale.pow(q.alpha) * (p.high - p.low)).log()
    return _infinite_where(p.low < q.scale, _mean_log(p) * (q.alpha + 1) - norm)
