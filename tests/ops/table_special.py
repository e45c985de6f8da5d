"""rushlight.special, torch.special's names."""

from __future__ import annotations

import dataclasses
import math

from .harness import ErrorRow, Row

EDGES = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 0.5, 2.0, 3.75, -0.5, 1e-30, 10.0, 30.0, 1e-5]


def numbers(low, high, n=40):
    """From end to end of a range, over more than a vector's width."""
    return lambda r: r.uniform(low, high, n)


def unary(name, low, high, edges=EDGES, op=None, halfs=(), **options):
    """Rows of a function of one number: in the middle, at the edges, of integers."""
    op = op or f"special_{name}"
    call = lambda T, x: getattr(T.special, name)(x)  # noqa: E731
    return [
        Row(op, call, numbers(low, high), name, dtypes=("float32", "float64", *halfs), **options),
        Row(op, call, numbers(low / 4, high / 4, 7), f"{name}_near", **options),
        Row(op, call, lambda r: r.values(edges), f"{name}_edges", grad=False, **options),
        Row(op, call, lambda r: r(3, 2), f"{name}_integers", dtypes=("int64", "uint8", "bool"), grad=False, layouts=False,
            **{"rtol": 1e-5, **options}),
        Row(op, lambda T, x: getattr(T.special, name)(x, out=T.empty(3, dtype=x.dtype)), numbers(low / 4, high / 4, 3), f"{name}_out",
            grad=False, layouts=False, **options),
    ]  # fmt: skip


def plain(name, low, high, **options):
    """The same of one without a derivative."""
    return [dataclasses.replace(row, grad=False) for row in unary(name, low, high, **options)]


POLYNOMIALS = [
    *(f"chebyshev_polynomial_{k}" for k in "tuvw"), *(f"shifted_chebyshev_polynomial_{k}" for k in "tuvw"),
    "hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p",
]  # fmt: skip


def polynomial(name):
    call = lambda T, x, n: getattr(T.special, name)(x, n)  # noqa: E731
    P = dict(grad=False, rtol=1e-4, atol=1e-4)
    return [
        Row(f"special_{name}", call, lambda r, n=n: (r.uniform(-1.5, 1.5, 21), n), str(n), **P) for n in (0, 1, 2, 5, 7, 9, 12, -1)
    ] + [
        Row(f"special_{name}", call, lambda r: (r.uniform(-1, 1, 4, 5), r.integers(-1, 11, 5)), "tensor", **P),
        Row(f"special_{name}", call, lambda r: (r.uniform(-1, 1, 4), r.values([2.9, 3.0, 0.5, 9.5])), "float", **P),
        Row(f"special_{name}", lambda T, n: getattr(T.special, name)(0.5, n), lambda r: r.values([0, 1, 2, 3]), "number", **P),
        Row(f"special_{name}", call, lambda r: (r.values([1, -1, 0, 2, -2]), r.fixed([[0], [1], [4], [5], [20]])), "ends", **P),
        Row(f"special_{name}", call, lambda r: (r.fixed([-1, 0, 1, 2]), r.fixed([3, 2, 5, 4])), "integers", dtypes=("int64",), **P),
    ]  # fmt: skip


HALFS = ("float16", "bfloat16")
ROWS = [
    *unary("entr", 0.01, 3, halfs=HALFS), *unary("erfcx", -3, 30), *unary("log_ndtr", -30, 9, rtol=4e-4),  # PyTorch loses digits in float32
    *unary("ndtri", 0.001, 0.999, edges=[0, 1, 0.5, -0.1, 1.1, math.nan, math.inf, 1e-30, 1e-12, 0.02425]),
    *unary("i0e", -40, 40, halfs=HALFS), *unary("i1", -40, 40, halfs=("bfloat16",)), *unary("i1e", -40, 40, halfs=HALFS),
    *unary("ndtr", -5, 5, op="erfc", atol=1e-6), *unary("expit", -5, 5, op="sigmoid"), *unary("gammaln", 0.1, 5, op="lgamma", edges=[1.0, 2.0, 0.5]),
    *unary("psi", 0.1, 5, op="digamma", edges=[1.0, 2.0, 0.5]), *unary("i0", -30, 30, op="i0", edges=EDGES[:4]),
    Row("i0", lambda T, x: T.i0(x), lambda r: r.values([0.0, 1e-8, -1e-3, 30.0, 31.0]), "slope"),
    Row("special_i1", lambda T, x: T.special.i1(x), lambda r: r.values([1e-8, -1e-3, 30.0, 31.0]), "slope", second=False),
    Row("special_log_ndtr", lambda T, x: T.special.log_ndtr(x), lambda r: r.values([-100.0, -20.0, -1.0, 0.0, 5.0]), "far", rtol=4e-4),
    # PyTorch's are right to 4e-7 between the zeros, Airy's function to 3e-6.
    *[row for name in ("bessel_j0", "bessel_j1") for row in plain(name, -40, 40, atol=4e-6)],
    *[row for name in ("bessel_y0", "bessel_y1") for row in plain(name, 0.01, 40, atol=4e-6)],
    *[row for n in (0, 1) for name in (f"modified_bessel_k{n}", f"scaled_modified_bessel_k{n}") for row in plain(name, 0.01, 30)],
    *[row for name in ("modified_bessel_i0", "modified_bessel_i1") for row in plain(name, -20, 20, edges=EDGES[:4])],
    *plain("airy_ai", -25, 15, atol=4e-6), *plain("spherical_bessel_j0", -20, 20),
    *[row for name in POLYNOMIALS for row in polynomial(name)],
    Row("special_xlog1py", lambda T, a, b: T.special.xlog1py(a, b), lambda r: (r(3, 4), r.positive(4)), dtypes=("float32", "float64", *HALFS)),
    Row("special_xlog1py", lambda T, a: T.special.xlog1py(a, 2.5) + T.special.xlog1py(1.5, a), lambda r: r.positive(3, 4), "numbers"),
    Row("special_xlog1py", lambda T, a, b: T.special.xlog1py(a, b), lambda r: (r.values([0, 0, 0, 1]), r.values([-1, math.nan, 2, -2])), "edges", grad=False),
    Row("special_zeta", lambda T, q: T.special.zeta(2.5, q), lambda r: r.positive(3, 4)),
    Row("special_zeta", lambda T, x, q: T.special.zeta(x, q), lambda r: (r.values([1, 0.5, 2, 3, 2]), r.values([1, 1, 0, -1, 1e9])), "edges", grad=False),
    Row("lgamma", lambda T, x: T.special.multigammaln(x + 2, 3), lambda r: r.positive(3, 4), "special"),
    Row("igamma", lambda T, x: T.special.gammainc(T.full_like(x, 2.0).detach(), x) + T.special.gammaincc(T.full_like(x, 3.0).detach(), x), lambda r: r.positive(3, 4), "special", second=False),
    Row("softmax", lambda T, x: T.special.softmax(x, 1) + T.special.log_softmax(x, 0), lambda r: r(3, 4), "special"),
    Row("log", lambda T, x: T.special.logit(x, 0.1) + T.special.sinc(x) + T.special.round(x, decimals=1), lambda r: r.unit(3, 4), "special"),
]  # fmt: skip
ERRORS = [
    ErrorRow("special_entr", lambda T: T.special.entr(T.ones(2, requires_grad=True), out=T.ones(2))),
    ErrorRow("polygamma", lambda T: T.special.polygamma(-1, T.ones(2)), "special"),
]
