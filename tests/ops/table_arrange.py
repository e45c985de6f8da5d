"""Repeating, reversing, diagonals and triangles; products over named dimensions; differences and distances."""

from __future__ import annotations

import math

from .harness import FLOATS, HALFS, ErrorRow, Row

ALL = (*FLOATS, *HALFS, "int64", "uint8", "bool")


def each(op, name, cases, shape=(3, 4), **kw):
    return [Row(op, lambda T, x, a=a: getattr(T.Tensor, name)(x, *a), lambda r: r(*shape), f"{name}_{i}", dtypes=ALL if i == 0 else FLOATS, **kw)
            for i, a in enumerate(cases)]  # fmt: skip


EQUATIONS = [
    ("ij,jk->ik", (3, 4), (4, 5)), ("ij,jk", (3, 4), (4, 5)), ("ij->ji", (3, 4)), ("ij->", (3, 4)), ("ij->j", (3, 4)), ("ii->i", (4, 4)), ("ii", (4, 4)), ("iij->ij", (3, 3, 2)),
    ("i,j->ij", (3,), (4,)), ("i,i", (3,), (3,)), ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)), ("...ij,...jk->...ik", (2, 1, 3, 4), (5, 4, 2)), ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,ij->ij", (3, 4), (3, 4)), ("ij,ij->i", (3, 4), (3, 4)), ("bqhd,bkhd->bhqk", (2, 3, 2, 4), (2, 5, 2, 4)), ("...->...", (3, 4)), ("i...->...", (3, 4)), ("ab,cd->dbca", (2, 3), (4, 5)),
    ("ij, jk -> ki", (3, 4), (4, 5)), ("bi,bj->bij", (3, 2), (3, 4)), ("ij,j", (1, 4), (4,)), ("ij,kj->ik", (3, 1), (2, 4)),
]  # fmt: skip

ROWS = [
    *each("repeat", "repeat", [(2, 3), ((1, 2),), (2, 1, 3), (0, 2)]), *each("repeat", "tile", [(2,), ((2, 3),), (2, 1, 3)]), Row("repeat", lambda T, x: x.repeat(3), lambda r: r(), "scalar"),
    *each("index", "repeat_interleave", [(2,), (2, 0), (3, 1), (1, 0), (0, 1), (4, -1)]), *[Row("index", lambda T, x: x.repeat_interleave(3, 0), lambda r, n=n: r(*n), f"repeat_{n}") for n in ((1, 3), (0, 3), (4,))], Row("index", lambda T, x: x.repeat_interleave(T.tensor([1, 0, 3]), 0), lambda r: r(3, 4), "repeat_counts"),
    Row("index", lambda T, x, n: x.repeat_interleave(n, 1, output_size=7), lambda r: (r(3, 4), r.fixed([2, 0, 4, 1])), "repeat_size"),
    Row("index", lambda T, x, n: T.repeat_interleave(n, output_size=4), lambda r: (r(1), r.fixed([2, 0, 2])), "repeat_vector_size"),
    Row("index", lambda T, x: T.repeat_interleave(T.tensor([1, 0, 3])), lambda r: r(1), "repeat_vector"),
    *each("flip", "flip", [(0,), (1,), ((0, 1),), (-1, 0)]), *each("flip", "fliplr", [()]), *each("flip", "flipud", [()]), *each("flip", "rot90", [(), (2,), (3,), (4,), (1, (1, 0)), (-1,)]),
    # Copies of strided arrays: rows, blocks transposed, two or three streams, and what is left over.
    *[Row("clone", lambda T, x, o=o: x.permute(o).contiguous(), lambda r, n=n: r(*n), f"copy_{n}_{o}", dtypes=(*FLOATS, "uint8", "bfloat16"), grad=False)
      for n, o in (((3, 37, 70), (0, 2, 1)), ((2, 3, 19, 33), (0, 2, 3, 1)), ((2, 2, 41), (0, 2, 1)), ((2, 41, 3), (0, 2, 1)), ((5, 41, 2), (2, 1, 0)),
                   ((2, 7, 4, 33), (0, 2, 1, 3)), ((100, 90), (1, 0)), ((2, 3, 4, 5), (3, 1, 0, 2)))],
    *[Row("clone", lambda T, x, i=i: x[i].contiguous(), lambda r: r(5, 6, 70), f"copy_{k}", grad=False)
      for k, i in enumerate(((slice(None), slice(1, 5), slice(2, 60)), (slice(None, None, 2), slice(None), slice(None, None, 3)), (2, slice(None), 5)))],
    *[Row("clone", lambda T, x, n=n, s=s: x.unfold(0, n, s).t().contiguous(), lambda r: r(70), f"overlap_{n}_{s}", grad=False, layouts=False) for n, s in ((8, 2), (3, 2), (20, 5))],
    Row("flip", lambda T, x: T.flip(x, (0, 2)), lambda r: r(3, 5, 70), "rows", dtypes=(*FLOATS, "uint8")), Row("roll", lambda T, x: T.roll(x, (3, -7), (1, 2)), lambda r: r(3, 5, 70), "rows"),
    *each("roll", "roll", [(1, 0), (-1, 1), ((1, 2), (0, 1)), (5,), (7, 0)]), *each("tril", "tril", [(), (1,), (-1,), (9,), (-9,)]), *each("triu", "triu", [(), (1,), (-1,), (9,), (-9,)]),
    Row("tril", lambda T, x: T.tril(x), lambda r: r(2, 3, 5, 4), "batch"), Row("triu", lambda T, x: x.clone().triu_(1), lambda r: r(4, 4), "inplace", dtypes=ALL),
    *each("diag_embed", "diag", [(), (1,), (-2,)], shape=(4,)), *each("clone", "diag", [(), (1,), (-2,)]), *each("diag_embed", "diag_embed", [(), (1,), (-1, 0, 2)]), *each("diag_embed", "diagflat", [(), (1,)]),
    *each("as_strided", "diagonal", [(), (1,), (-1,)]), Row("as_strided", lambda T, x: x.diagonal(1, 0, 2), lambda r: r(3, 4, 5), "diagonal_dims"), Row("trace", lambda T, x: x.trace(), lambda r: r(3, 4), dtypes=(*FLOATS, "int64")),
    Row("cat", lambda T, a, b, c: T.block_diag(a, b, c), lambda r: (r(2, 3), r(2), r()), "block_diag"), *each("as_strided", "unfold", [(0, 2, 1), (1, 3, 1), (1, 2, 2), (0, 1, 1)]), Row("as_strided", lambda T, x: x.unfold(0, 1, 1), lambda r: r(), "unfold_scalar"),
    Row("pow", lambda T, x: (T.vander(x), T.vander(x, 3, True)), lambda r: r(4), "vander", grad=False), Row("index", lambda T, x: (T.combinations(x), T.combinations(x, 3), T.combinations(x, 2, True)), lambda r: r(4), "combinations"),
    *[Row("bmm", lambda T, *xs, e=e: T.einsum(e, *xs), lambda r, s=s: tuple(r(*v) for v in s), f"einsum_{e}") for e, *s in EQUATIONS],
    Row("bmm", lambda T, a, b: T.einsum(a, [0, 1], b, [1, 2], [0, 2]), lambda r: (r(3, 4), r(4, 5)), "einsum_lists"), Row("bmm", lambda T, a, b: T.einsum("ij,jk", [a, b]), lambda r: (r(3, 4), r(4, 5)), "einsum_sequence"),
    Row("bmm", lambda T, a, b: T.tensordot(a, b, 2), lambda r: (r(2, 3, 4), r(3, 4, 5)), "tensordot"), Row("bmm", lambda T, a, b: T.tensordot(a, b, ([0, 2], [1, 0])), lambda r: (r(2, 3, 4), r(4, 2, 5)), "tensordot_lists"), Row("mul", lambda T, a, b: T.tensordot(a, b, 0), lambda r: (r(2, 3), r(4)), "tensordot_outer"),
    Row("mul", lambda T, a, b: T.kron(a, b), lambda r: (r(2, 3), r(4, 1)), "kron"), Row("mul", lambda T, a, b: T.kron(a, b), lambda r: (r(2, 3, 2), r(4)), "kron_ndim", layouts=False), Row("cross", lambda T, a, b: T.cross(a, b, dim=1), lambda r: (r(4, 3), r(4, 3)), dtypes=("float32", "float64", "int64", "uint8")), Row("cross", lambda T, a, b: T.linalg.cross(a, b), lambda r: (r(4, 3), r(1, 3)), "broadcast"),
    Row("cross", lambda T, a, b: T.linalg.cross(a, b, dim=1), lambda r: (r(2, 3, 17), r(2, 3, 17)), "middle"), Row("cross", lambda T, a, b: T.linalg.cross(a, b), lambda r: (r(0, 3), r(0, 3)), "empty"), Row("cross", lambda T, a: T.linalg.cross(a, a.roll(1, 0)), lambda r: r(5, 3), "half", dtypes=("float16", "bfloat16")),
    *[Row("distance", lambda T, a, b, m=m: T.cdist(a, b, compute_mode=m), lambda r, s=s: (r(*s[0]), r(*s[1])), f"cdist_{n}", second=False, rtol=1e-3)
      for n, m, s in (("rows", "use_mm_for_euclid_dist_if_necessary", ((2, 30, 3), (4, 3))), ("product", "use_mm_for_euclid_dist", ((5, 3), (4, 3))),
                      ("none", "use_mm_for_euclid_dist", ((0, 3), (4, 3))), ("differences", "donot_use_mm_for_euclid_dist", ((30, 3), (28, 3))))],
    *[Row("vector_norm", lambda T, a, b, p=p: T.cdist(a, b, p), lambda r: (r(2, 5, 3), r(2, 4, 3)), f"cdist_{p}", second=False, rtol=1e-4) for p in (1.0, 2.0, 3.0, math.inf)],
    Row("sub", lambda T, x: T.diff(x), lambda r: r(3, 4), "diff", dtypes=(*FLOATS, "int64", "bool")), Row("sub", lambda T, x: T.diff(x, 2, 0), lambda r: r(5, 4), "diff_twice"), Row("sub", lambda T, x, a: T.diff(x, prepend=a, append=a), lambda r: (r(3, 4), r(3, 1)), "diff_ends"),
    Row("sum", lambda T, y: (T.trapezoid(y), T.trapezoid(y, dx=0.5, dim=0), T.cumulative_trapezoid(y)), lambda r: r(4, 5), "trapezoid"), Row("sum", lambda T, y, x: T.trapezoid(y, x), lambda r: (r(4, 5), r(5)), "trapezoid_points"), Row("cat", lambda T, x: T.gradient(x), lambda r: r(4, 5), "gradient"), Row("cat", lambda T, x: T.gradient(x, spacing=2.0, dim=1), lambda r: r(4, 5), "gradient_dim"),
    Row("mm", lambda T, x: (T.cov(x), T.cov(x, correction=0), T.cov(x[0])), lambda r: r(3, 6), "cov"), Row("mm", lambda T, x: T.corrcoef(x), lambda r: r(3, 6), "corrcoef"), Row("mm", lambda T, x, w: T.cov(x, aweights=w.detach()), lambda r: (r(3, 6), r.positive(6)), "cov_aweights"), Row("mm", lambda T, x, w: T.cov(x, fweights=w), lambda r: (r(3, 6), r.integers(1, 4, 6)), "cov_fweights"),
    Row("eq", lambda T, a: (T.equal(a, a), T.equal(a, a + 1), T.equal(a, a[0]), T.allclose(a, a + 1e-9), T.allclose(a, a + 1)), lambda r: r(3, 4), "equal", grad=False),
    Row("flip", lambda T, x: x.detach().clone().resize_(2, 2), lambda r: r(6), "resize", grad=False), Row("mm", lambda T, a, b, c: T.chain_matmul(a, b, c), lambda r: (r(2, 3), r(3, 4), r(4, 5)), "chain"),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("arrange", fn, label)


def x(T):
    return T.zeros(2, 3)


ERRORS = [
    e("repeat", lambda T: x(T).repeat(2)), e("repeat_negative", lambda T: x(T).repeat(-1, 2)), e("interleave_negative", lambda T: x(T).repeat_interleave(-1)), e("interleave_size", lambda T: x(T).repeat_interleave(T.tensor([1, 2, 3]), 0)), e("flip_twice", lambda T: x(T).flip(0, 0)),
    e("flip_dim", lambda T: x(T).flip(3)), e("roll", lambda T: x(T).roll(1, (0, 1))), e("roll_flat", lambda T: x(T).roll((1, 2))), e("rot90", lambda T: x(T).rot90(1, (0, 0))), e("tril", lambda T: T.zeros(3).tril()), e("diag", lambda T: T.zeros(1, 2, 3).diag()), e("trace", lambda T: T.zeros(3).trace()),
    e("einsum_size", lambda T: T.einsum("ij,jk->ik", x(T), x(T))), e("einsum_output", lambda T: T.einsum("ij->k", x(T))), e("einsum_operands", lambda T: T.einsum("ij", x(T), x(T))), e("einsum_subscripts", lambda T: T.einsum("ijk->i", x(T))), e("einsum_dot", lambda T: T.einsum("i.j->ij", x(T))),
    e("tensordot", lambda T: T.tensordot(x(T), x(T), 3)), e("tensordot_sizes", lambda T: T.tensordot(x(T), x(T), ([0], [1]))), e("cross", lambda T: T.cross(T.zeros(2, 2), T.zeros(2, 2))), e("cross_types", lambda T: T.linalg.cross(T.zeros(2, 3), T.zeros(2, 3).long())), e("cross_bool", lambda T: T.linalg.cross(T.zeros(2, 3).bool(), T.zeros(2, 3).bool())), e("unfold", lambda T: x(T).unfold(1, 5, 1)), e("unfold_step", lambda T: x(T).unfold(1, 2, 0)), e("combinations", lambda T: T.combinations(x(T))),
    e("cdist", lambda T: T.cdist(x(T), T.zeros(2, 2))), e("diff", lambda T: T.diff(x(T), n=-1)), e("allclose", lambda T: T.allclose(x(T), x(T).double())), e("resize", lambda T: T.zeros(3, requires_grad=True).resize_(2)),
]  # fmt: skip
