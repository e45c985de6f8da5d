"""rushlight.linalg."""

from __future__ import annotations

import math

from .harness import ErrorRow, Row


def regular(r, *shape):
    """Matrices far from singular."""
    import numpy as np

    x = r.rng.standard_normal(shape) + 3 * np.eye(shape[-1])
    return r.values(x)


def spd(T, x):
    return x @ x.transpose(-2, -1) + T.eye(x.shape[-1], dtype=x.dtype)


def svd_products(u, s, v):
    """What does not depend on the signs of the singular vectors."""
    return (u * s.unsqueeze(-2)) @ v, s, (u * u) @ (v * v)


ORDERS = (None, "fro", "nuc", 1, -1, 2, -2, math.inf, -math.inf)
L = dict(rtol=1e-4, atol=1e-4)
ROWS = [
    *[Row("inv", lambda T, x: T.linalg.inv(x), lambda r, s=s: regular(r, *s), str(len(s)), **L) for s in ((3, 3), (2, 3, 3))], Row("inv", lambda T, x: (T.inverse(x), x.inverse()), lambda r: regular(r, 3, 3), "alias", **L),
    *[Row("det", lambda T, x: T.linalg.det(x), lambda r, s=s: regular(r, *s), str(len(s)), **L) for s in ((3, 3), (2, 3, 3))], Row("det", lambda T, x: T.linalg.det(x @ x.mT), lambda r: r(3, 2), "singular", second=False, **L),
    Row("slogdet", lambda T, x: T.linalg.slogdet(x), lambda r: regular(r, 2, 3, 3), **L), Row("slogdet", lambda T, x: T.logdet(spd(T, x)), lambda r: r(3, 3), "logdet", **L),
    *[Row("solve", lambda T, a, b: T.linalg.solve(a, b), lambda r, s=s: (regular(r, 3, 3), r(*s)), f"{s}", **L) for s in ((3,), (3, 2))], Row("solve", lambda T, a, b: T.linalg.solve(a, b), lambda r: (regular(r, 2, 3, 3), r(2, 3, 2)), "batch", **L),
    Row("solve", lambda T, a, b: T.linalg.solve(a, b, left=False), lambda r: (regular(r, 3, 3), r(2, 3)), "right", **L), *[Row("solve", lambda T, a, b, u=u: T.linalg.solve_triangular(a, b, upper=u), lambda r: (regular(r, 3, 3), r(3, 2)), f"triangular_{u}", **L) for u in (True, False)],
    *[Row("cholesky_solve", lambda T, x, b, u=u: T.cholesky_solve(b, x + 2 * T.eye(3, dtype=x.dtype), u), lambda r: (r.positive(2, 3, 3), r(3, 2)), f"{u}", **L) for u in (False, True)],
    *[Row("cholesky_inverse", lambda T, x, u=u: T.cholesky_inverse(x, u), lambda r: r.positive(2, 3, 3), f"{u}", **L) for u in (False, True)],
    Row("cholesky", lambda T, x: T.linalg.cholesky_ex(T.stack([spd(T, x), -T.eye(3, dtype=x.dtype), T.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, -1]], dtype=x.dtype)])).info, lambda r: r(3, 3), "ex", grad=False, **L),
    *[Row("cholesky", lambda T, x, u=u: T.linalg.cholesky(spd(T, x), upper=u), lambda r: r(2, 3, 3), f"{u}", **L) for u in (False, True)],
    *[Row("qr", lambda T, x: T.linalg.qr(x), lambda r, s=s: r(*s), f"{s}", **L) for s in ((3, 3), (5, 3), (2, 4, 3))], Row("qr", lambda T, x: T.linalg.qr(x, "complete"), lambda r: r(5, 3), "complete", grad=False, **L), Row("qr", lambda T, x: T.linalg.qr(x, "r").R, lambda r: r(5, 3), "r", grad=False, **L),
    *[Row("svd", lambda T, x: T.linalg.svdvals(x), lambda r, s=s: r(*s), f"values_{s}", **L) for s in ((3, 3), (5, 3), (3, 5), (2, 4, 3))],
    *[Row("svd", lambda T, x: svd_products(*T.linalg.svd(x, full_matrices=False)), lambda r, s=s: r(*s), f"product_{s}", **L) for s in ((3, 3), (5, 3), (3, 5), (2, 4, 3))],
    Row("svd", lambda T, x: [abs(v) for v in T.linalg.svd(x)], lambda r: r(5, 3), "full", grad=False, **L),
    Row("eigh", lambda T, x: (lambda w, v: (w, v * v))(*T.linalg.eigh(spd(T, x))), lambda r: r(2, 3, 3), **L), Row("eigh", lambda T, x: T.linalg.eigvalsh(spd(T, x)), lambda r: r(3, 3), "values", **L),
    *[Row("svd" if o in ("nuc", 2, -2) else "vector_norm", lambda T, x, o=o: T.linalg.norm(x, o), lambda r: r(3, 4), f"norm_{o}", **L) for o in ORDERS],
    *[Row("svd" if o in ("nuc", 2, -2) else "vector_norm", lambda T, x, o=o: T.linalg.matrix_norm(x, o, dim=(0, 2), keepdim=True), lambda r: r(3, 4, 5), f"matrix_norm_{o}", **L) for o in ORDERS[1:]],
    *[Row("vector_norm", lambda T, x, p=p: T.linalg.vector_norm(x, p, dim=(0, 1)), lambda r: r(3, 4), f"linalg_{p}", second=p != 0) for p in (0, 1, 2, 3.5, math.inf)], Row("vector_norm", lambda T, x: T.linalg.norm(x, 3, dim=1), lambda r: r(3, 4), "linalg_dim"),
    Row("svd", lambda T, x: T.norm(x, "nuc"), lambda r: r(3, 4), "torch_norm", **L), Row("svd", lambda T, x: T.linalg.pinv(x), lambda r: r(5, 3), "pinv", second=False, **L), Row("svd", lambda T, x: T.linalg.matrix_rank(x @ x.mT), lambda r: r(4, 2), "rank", grad=False), Row("svd", lambda T, x: T.linalg.cond(x), lambda r: regular(r, 3, 3), "cond", **L),
    *[Row("mm", lambda T, x, n=n: T.linalg.matrix_power(x, n), lambda r: regular(r, 3, 3), f"power_{n}", dtypes=("float64",), grad=n != 0, **L) for n in (0, 1, 2, 5, -2)], Row("mm", lambda T, a, b, c: T.linalg.multi_dot([a, b, c]), lambda r: (r(10, 3), r(3, 20), r(20)), "multi_dot", **L),
    Row("geqrf", lambda T, x: T.geqrf(x), lambda r: r(4, 3), grad=False, **L), Row("geqrf", lambda T, x: x.geqrf(), lambda r: r(2, 3, 3), "batch", grad=False, **L), Row("geqrf", lambda T, x: T.geqrf(x)[0], lambda r: r(2, 4), "wide", grad=False, **L), Row("geqrf", lambda T, x: T.geqrf(x)[0], lambda r: r(0, 4), "empty", grad=False),
    *[Row("householder_product", lambda T, x, t: T.linalg.householder_product(x, t), lambda r, s=s: (r(*s[0]), r(*s[1])), f"{s[0]}_{s[1]}", **L) for s in (((4, 3), (3,)), ((3, 3), (3,)), ((5, 3), (2,)), ((2, 4, 3), (2, 3)), ((3, 2), (0,)))], Row("householder_product", lambda T, x: T.orgqr(*T.geqrf(x)), lambda r: r(5, 3), "orgqr", grad=False, **L), Row("householder_product", lambda T, x: x.orgqr(T.zeros(3, dtype=x.dtype)), lambda r: r(5, 3), "no_reflection", **L),
    *[Row("matrix_exp", lambda T, x: T.linalg.matrix_exp(x), lambda r, s=s: r(*s), f"{s}", layouts=len(s) < 4, **L) for s in ((3, 3), (2, 3, 3), (1, 1), (2, 2, 4, 4))], Row("matrix_exp", lambda T, x: (T.matrix_exp(9 * x), x.matrix_exp()), lambda r: r(3, 3), "large", second=False, **L), Row("matrix_exp", lambda T, x: T.matrix_exp(x * 1e-3), lambda r: r(2, 3, 3), "small", **L), Row("matrix_exp", lambda T, x: T.matrix_exp(x), lambda r: (r.zeros(3, 0, 0),), "empty", grad=False), Row("matrix_exp", lambda T, x: T.matrix_exp(x), lambda r: (r.zeros(3, 3),), "zero", **L),
    Row("svd", lambda T, a, b: T.linalg.lstsq(a, b).solution, lambda r: (r(5, 3), r(5, 2)), "lstsq", second=False, **L), Row("mul", lambda T, a, b: T.linalg.vecdot(a, b), lambda r: (r(3, 4), r(3, 4)), "vecdot"),
]  # fmt: skip


def e(label, fn):
    # PyTorch's LinAlgError and ours are both RuntimeErrors.
    return ErrorRow("linalg", fn, label, error=RuntimeError)


ERRORS = [
    ErrorRow("cholesky_solve", lambda T: T.cholesky_solve(T.ones(2), T.ones(2, 2)), "vector"), ErrorRow("cholesky_solve", lambda T: T.cholesky_solve(T.ones(3, 1), T.ones(2, 2)), "sizes"), ErrorRow("cholesky_inverse", lambda T: T.cholesky_inverse(T.ones(2)), "vector"), ErrorRow("cholesky_inverse", lambda T: T.cholesky_inverse(T.ones(2, 3)), "shape"),
    e("inv_vector", lambda T: T.linalg.inv(T.zeros(3))), e("inv_singular", lambda T: T.linalg.inv(T.zeros(2, 2))), e("inv_singular_last", lambda T: T.linalg.inv(T.ones(2, 2))), e("inv_shape", lambda T: T.linalg.inv(T.zeros(2, 3))), e("cholesky", lambda T: T.linalg.cholesky(-T.eye(2))), e("cholesky_batch", lambda T: T.linalg.cholesky(T.stack([T.eye(2), -T.eye(2)]))),
    e("solve_singular", lambda T: T.linalg.solve(T.zeros(2, 2), T.ones(2))), e("solve_shape", lambda T: T.linalg.solve(T.eye(2), T.ones(3))), e("det_int", lambda T: T.linalg.det(T.arange(4).reshape(2, 2))), e("det_vector", lambda T: T.linalg.det(T.zeros(2))), e("qr_mode", lambda T: T.linalg.qr(T.eye(2), "full")),
    e("norm_order", lambda T: T.linalg.matrix_norm(T.eye(2), 3)), e("norm_name", lambda T: T.linalg.norm(T.eye(2), "foo")), e("norm_vector", lambda T: T.linalg.matrix_norm(T.zeros(2))), e("norm_dims", lambda T: T.linalg.norm(T.zeros(2, 2, 2), dim=(0, 1, 2))), e("norm_dim", lambda T: T.linalg.norm(T.eye(2), "fro", dim=0)),
    e("power", lambda T: T.linalg.matrix_power(T.zeros(3), 2)), e("rank", lambda T: T.linalg.matrix_rank(T.zeros(3))), e("pinv", lambda T: T.linalg.pinv(T.zeros(2))), e("multi_dot", lambda T: T.linalg.multi_dot([T.eye(2), T.zeros(2), T.eye(2)])), e("eigh", lambda T: T.linalg.eigh(T.zeros(2, 3))),
    e("exp_shape", lambda T: T.matrix_exp(T.zeros(2, 3))), e("exp_vector", lambda T: T.matrix_exp(T.zeros(3))), e("exp_int", lambda T: T.matrix_exp(T.zeros(2, 2).long())), e("geqrf_vector", lambda T: T.geqrf(T.zeros(3))), e("geqrf_int", lambda T: T.geqrf(T.zeros(3, 2).long())), e("orgqr_wide", lambda T: T.orgqr(T.zeros(2, 3), T.zeros(2))),
    e("orgqr_tau", lambda T: T.orgqr(T.zeros(3, 2), T.zeros(3))), e("orgqr_tau_rank", lambda T: T.orgqr(T.zeros(3, 2), T.zeros(1, 2))), e("orgqr_vector", lambda T: T.orgqr(T.zeros(3), T.zeros(2))), e("orgqr_dtype", lambda T: T.orgqr(T.zeros(3, 2), T.zeros(2).double())), e("orgqr_half", lambda T: T.orgqr(T.zeros(3, 2).half(), T.zeros(2).half())), e("orgqr_batch", lambda T: T.orgqr(T.zeros(2, 3, 2), T.zeros(3, 2))),
    e("half", lambda T: T.linalg.inv(T.eye(2).half())),
]  # fmt: skip
