"""Other names, derived in-place forms, small functions made of others."""

from __future__ import annotations

from .harness import FLOATS, HALFS, ErrorRow, Row


def copied(name, *args):
    """The in-place method on a copy."""

    def fn(T, x, *rest):
        y = x.clone()
        assert getattr(y, name)(*rest, *args) is y
        return y

    return fn


UNARY_ALIASES = ["absolute_", "arccos_", "arcsin_", "arctan_", "fix_", "negative_"]
ROWS = [
    Row("erfinv", lambda T, x: T.erfinv(x), lambda r: r.uniform(-0.999, 0.999, 50), dtypes=FLOATS + HALFS, inplace="erfinv_", out="erfinv"),
    Row("erfinv", lambda T, x: T.erfinv(x), lambda r: r.values([0, 1, -1, 2, -3, 0.5]), "edges", grad=False),
    *[Row("copy", copied(n), lambda r: r.unit(3, 4), n) for n in UNARY_ALIASES], Row("acosh", lambda T, x: T.arccosh(x + 1), lambda r: r.positive(4), "arccosh"), Row("asinh", lambda T, x: (T.arcsinh(x), T.arctanh(x * 0.1)), lambda r: r.unit(4), "arcsinh"),
    Row("copy", copied("deg2rad_"), lambda r: r(4), "deg2rad_"), Row("copy", copied("logit_", 0.01), lambda r: r.unit(4), "logit_"), Row("copy", copied("frac_"), lambda r: r(4), "frac_"), Row("copy", copied("nan_to_num_"), lambda r: r(4), "nan_to_num_", second=False), Row("copy", copied("renorm_", 2, 0, 1.0), lambda r: r(3, 4), "renorm_"),
    Row("copy", copied("addmm_"), lambda r: (r(2, 4), r(2, 3), r(3, 4)), "addmm_"), Row("copy", copied("addmv_"), lambda r: (r(2), r(2, 3), r(3)), "addmv_"), Row("copy", copied("addr_"), lambda r: (r(2, 3), r(2), r(3)), "addr_"), Row("copy", copied("baddbmm_"), lambda r: (r(2, 2, 4), r(2, 2, 3), r(2, 3, 4)), "baddbmm_"), Row("copy", copied("ldexp_"), lambda r: (r(4), r.integers(0, 3, 4)), "ldexp_", grad=False),
    *[Row("eq", copied(n), lambda r: (r(3, 4), r(4)), n, grad=False) for n in ("not_equal_", "less_", "less_equal_", "greater_", "greater_equal_")], Row("transpose", copied("swapaxes_", 0, 1), lambda r: r(3, 4), "swapaxes_"),
    Row("exp2", lambda T, a, b: T.logaddexp2(a, b), lambda r: (r(3, 4), r(4)), "logaddexp2"), Row("slice", lambda T, x: (T.hsplit(x, 2), T.vsplit(x, [1]), x.hsplit([1, 3])), lambda r: r(4, 6), "hsplit"), Row("slice", lambda T, x: T.dsplit(x, 2), lambda r: r(2, 3, 4), "dsplit"), Row("split_with_sizes", lambda T, x: x.split_with_sizes([1, 3], 1), lambda r: r(3, 4)), Row("split", lambda T, x: x.split(2)[1], lambda r: r(4, 3), "one"),
    Row("cat", lambda T, a, b: T.column_stack([a, b]), lambda r: (r(3), r(3, 2)), "column_stack"), Row("cat", lambda T, a, b: T.row_stack([a, b]), lambda r: (r(3), r(2, 3)), "row_stack"), Row("clone", lambda T, x: x.narrow_copy(0, 1, 2), lambda r: r(4), "narrow_copy"), Row("remainder", lambda T, i: T.unravel_index(i, (3, 4, 5)), lambda r: r.integers(0, 60, 7), "unravel_index"),
    Row("vector_norm", lambda T, x: T.pdist(x), lambda r: r(5, 3), "pdist", second=False), Row("vector_norm", lambda T, x: T.nn.functional.pdist(x, 3.0), lambda r: r(5, 3), "pdist_3", second=False), *[Row("cos", lambda T, x, n=n, p=p: [getattr(T, n)(k, periodic=p) for k in (1, 2, 7, 8)], lambda r: r(1), f"{n}_{p}", dtypes=("float32",), grad=False) for n in ("hann_window", "hamming_window", "blackman_window", "bartlett_window") for p in (True, False)],
    Row("zero", copied("fill_diagonal_", 3), lambda r: r(5, 3), "fill_diagonal_"), Row("zero", copied("fill_diagonal_", 3, True), lambda r: r(9, 3), "fill_diagonal_wrap", layouts=False), Row("zero", copied("fill_diagonal_", 3), lambda r: r(3, 3, 3), "fill_diagonal_3d"), Row("copy", lambda T, x: x.detach().clone().apply_(lambda v: v * 2), lambda r: r(3, 2), "apply_", grad=False),
    Row("copy", lambda T, x: (T.exp_(x.detach().clone()), T.zero_(x.detach().clone()), T.detach(x) * 1), lambda r: r(3, 2), "top_level", grad=False), Row("fill", lambda T, x: T.fill(x, 2), lambda r: r(3), "function", grad=False),
]  # fmt: skip
ERRORS = [
    ErrorRow("hsplit", lambda T: T.hsplit(T.zeros(2, 3), 2), "sections"), ErrorRow("hsplit", lambda T: T.hsplit(T.tensor(1.0), 1), "scalar"), ErrorRow("dsplit", lambda T: T.dsplit(T.zeros(2, 3), 2), "ndim"), ErrorRow("fill_diagonal", lambda T: T.zeros(3).fill_diagonal_(1), "ndim"),
]  # fmt: skip
