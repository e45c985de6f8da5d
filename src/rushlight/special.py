"""Special functions, under the names of torch.special.

Reference: https://docs.pytorch.org/docs/stable/special.html
"""

from __future__ import annotations

import math

from ._kernels import K
from .autograd.op import op
from .autograd.tensor import Tensor
from .nn import functional as F
from .ops import digamma as digamma
from .ops import erf as erf
from .ops import erfc as erfc
from .ops import erfinv as erfinv
from .ops import exp2 as exp2
from .ops import expm1 as expm1
from .ops import i0 as i0
from .ops import igamma as gammainc
from .ops import igammac as gammaincc
from .ops import lgamma, log, mvlgamma, sigmoid
from .ops import log1p as log1p
from .ops import logit as logit
from .ops import logsumexp as logsumexp
from .ops import polygamma as polygamma
from .ops import round as round
from .ops import sinc as sinc
from .ops import xlogy as xlogy
from .ops._declare import underivable, with_out
from .ops.pointwise import _where, sign
from .ops.special import i1 as _i1
from .ops.special import unnamed

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2", "expit", "expm1",
    "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e", "i1", "i1e",
    "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit", "logsumexp", "modified_bessel_i0",
    "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln", "ndtr", "ndtri", "polygamma", "psi", "round",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1", "sinc", "softmax",
    "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip

gammaln, multigammaln, psi = lgamma, mvlgamma, digamma


def _unary(name, doc, rule=None, kernel=None, call=None):
    call = call or unnamed(name, rule, kernel)

    def function(input: Tensor) -> Tensor:
        return call(input)

    function.__name__ = function.__qualname__ = f"special_{name}"
    function.__doc__ = doc
    return with_out(function)


def _binary(name, doc, **rules):
    call = op(getattr(K, name), name=f"special_{name}", grad_name=f"Special{name.title()}Backward0", broadcasts=True,
              differentiable=bool(rules))  # fmt: skip
    call.vjp(**rules)

    def function(input, other) -> Tensor:
        return call(input, other)

    function.__name__ = function.__qualname__ = f"special_{name}"
    function.__doc__ = doc
    return with_out(function)


def expit(input: Tensor, *, out=None) -> Tensor:
    """1 / (1 + exp(-input))."""
    return sigmoid(input, out=out)


def softmax(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """exp(input), divided by its sum along a dimension."""
    return F.softmax(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int, *, dtype=None) -> Tensor:
    """The logarithm of `softmax`."""
    return F.log_softmax(input, dim, dtype=dtype)


# -- entropy and the normal distribution -------------------------------------------------------------------------------

entr = _unary("entr", "-x log(x); 0 at 0, -inf below.", lambda g, a: g * (-1 - log(a)))
erfcx = _unary("erfcx", "exp(x^2) erfc(x).", lambda g, a, out: g * (2 * a * out - 2 / math.sqrt(math.pi)))
log_ndtr = _unary("log_ndtr", "The logarithm of the normal distribution function.",
                  lambda g, a: g * math.sqrt(2 / math.pi) / erfcx(a * -math.sqrt(0.5)))  # fmt: skip
ndtri = _unary("ndtri", "The number whose `ndtr` is x.", lambda g, out: g * math.sqrt(2 * math.pi) * (out * out / 2).exp())
ndtr = _unary("ndtr", "The normal distribution function: the probability of numbers up to x.",
              call=lambda input: erfc(input * -math.sqrt(0.5)) * 0.5)  # fmt: skip

# -- Bessel's functions ------------------------------------------------------------------------------------------------

i1 = _unary("i1", "The modified Bessel function of order one.", call=_i1)
i0e = _unary("i0e", "exp(-|x|) i0(x).", lambda g, a, out: g * (i1e(a) - sign(a) * out))
i1e = _unary("i1e", "exp(-|x|) i1(x).",
             lambda g, a, out: g * _where(a == 0, 0.5, i0e(a) - out * (sign(a) + 1 / _where(a == 0, 1.0, a))))  # fmt: skip
modified_bessel_i0 = _unary("modified_bessel_i0", "The modified Bessel function of order zero; without a derivative.", kernel="i0")
modified_bessel_i1 = _unary("modified_bessel_i1", "The modified Bessel function of order one; without a derivative.", kernel="i1")
modified_bessel_k0, modified_bessel_k1 = (
    _unary(f"modified_bessel_k{n}", f"The modified Bessel function of the second kind of order {n}.") for n in (0, 1)
)
scaled_modified_bessel_k0, scaled_modified_bessel_k1 = (
    _unary(f"scaled_modified_bessel_k{n}", f"exp(x) modified_bessel_k{n}(x).") for n in (0, 1)
)
bessel_j0, bessel_j1 = (_unary(f"bessel_j{n}", f"The Bessel function of the first kind of order {n}.") for n in (0, 1))
bessel_y0, bessel_y1 = (_unary(f"bessel_y{n}", f"The Bessel function of the second kind of order {n}.") for n in (0, 1))
spherical_bessel_j0 = _unary("spherical_bessel_j0", "sin(x) / x, and 1 at 0.")
airy_ai = _unary("airy_ai", "Airy's function Ai.")

# -- functions of two variables ----------------------------------------------------------------------------------------

xlog1py = _binary("xlog1py", "input * log1p(other), 0 where the input is 0.",
                  a=lambda g, a, b: g * _where((a == 0) & (b <= -1), 0.0, log1p(_tensor(b, a))),
                  b=lambda g, a, b: g * a / (b + 1))  # fmt: skip
zeta = _binary("zeta", "Hurwitz's zeta function: the sum of (k + other)^-input over k >= 0.",
               a=underivable("zeta"), b=lambda g, a, b: g * -a * zeta(a + 1, b))  # fmt: skip


def _tensor(x, like):
    return x if isinstance(x, Tensor) else like.new_full((), x)


# -- orthogonal polynomials p(x, n): of degree n, 0 for negative n; without a derivative -------------------------------

chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w = (
    _binary(f"chebyshev_polynomial_{k}", f"Chebyshev's polynomials {k.upper()}.") for k in "tuvw"
)
(shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v, shifted_chebyshev_polynomial_w) = (
    _binary(f"shifted_chebyshev_polynomial_{k}", f"Chebyshev's polynomials {k.upper()} of 2 x - 1.") for k in "tuvw"
)
hermite_polynomial_h = _binary("hermite_polynomial_h", "Hermite's polynomials, with weight exp(-x^2).")
hermite_polynomial_he = _binary("hermite_polynomial_he", "Hermite's polynomials, with weight exp(-x^2 / 2).")
laguerre_polynomial_l = _binary("laguerre_polynomial_l", "Laguerre's polynomials.")
legendre_polynomial_p = _binary("legendre_polynomial_p", "Legendre's polynomials.")
