"""Tensors made of numbers, lists and shapes."""

from __future__ import annotations

import numpy as np

from .harness import ErrorRow, Row


def made(label, fn):
    return Row("creation", lambda T, x: fn(T), lambda r: r(1), label, dtypes=("float32",), grad=False, layouts=False)


class Meta:
    """Data that only knows how to become a list."""

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return [1, 2][i]


DATA = {
    "ints": [1, 2], "floats": [1.0, 2], "bools": [True, False], "mixed": [True, 2, 3.5], "bool_int": [True, 2], "nested": [[1, 2], [3, 4]], "empty": [], "empty_rows": [[], []], "number": 3, "float": 2.5, "bool": True, "tuple": (1, 2.5), "deep": [[[1.0]]],
    "array": np.arange(3), "array32": np.arange(3, dtype=np.float32), "numpy_scalar": np.float64(2), "numpy_int": np.int32(3), "arrays": [np.arange(2), np.arange(2)], "numpy_list": [np.float32(1), 2.0], "sequence": Meta(), "big": 2**40, "array_view": np.arange(6).reshape(2, 3).T,
}  # fmt: skip
ROWS = [
    *[made(f"tensor_{k}", lambda T, d=d: T.tensor(d)) for k, d in DATA.items()], *[made(f"tensor_{d}", lambda T, d=d: T.tensor([1.7, 0, 3], dtype=getattr(T, d))) for d in ("float64", "bfloat16", "float16", "int64", "uint8", "bool")],
    made("tensors", lambda T: T.tensor([T.tensor(1.0), T.tensor(2)])), made("as_tensor", lambda T: T.as_tensor([1, 2], dtype=T.float32)), made("asarray", lambda T: T.asarray(np.arange(3))), made("scalar", lambda T: T.scalar_tensor(3)), made("from_numpy", lambda T: T.from_numpy(np.ones((2, 3), dtype=np.int16))),
    *[made(f"{n}_{i}", lambda T, n=n, a=a, k=k: getattr(T, n)(*a, **{key: getattr(T, v) for key, v in k.items()})) for n in ("zeros", "ones") for i, (a, k) in enumerate([((2, 3), {}), (((2, 3),), {}), (((),), {}), ((0,), {}), ((2,), {"dtype": "int64"})])],
    *[made(f"full_{i}", lambda T, a=a: T.full(*a)) for i, a in enumerate([((2, 3), 1.5), ((2,), 3), ((), True)])], *[made(f"arange_{i}", lambda T, a=a: T.arange(*a)) for i, a in enumerate([(5,), (2, 7), (1, 2, 0.3), (5.0,), (5, 0, -2), (0,), (0.5, 3), (-3, 3, 2)])],
    made("arange_dtype", lambda T: T.arange(5, dtype=T.float64)), *[made(f"linspace_{i}", lambda T, a=a: T.linspace(*a)) for i, a in enumerate([(0, 1, 5), (-10, 10, 5000), (3, 3, 1), (0, 1, 0), (5, 1, 3)])], *[made(f"logspace_{i}", lambda T, a=a: T.logspace(*a)) for i, a in enumerate([(0, 2, 3), (-1, 1, 4, 2)])],
    *[made(f"eye_{i}", lambda T, a=a: T.eye(*a)) for i, a in enumerate([(3,), (2, 4), (4, 2), (0,)])], made("eye_dtype", lambda T: T.eye(2, dtype=T.int64)), *[made(n, lambda T, n=n: getattr(T, n)(T.ones(2, 3, dtype=T.int32))) for n in ("zeros_like", "ones_like")], made("full_like", lambda T: T.full_like(T.ones(2), 7)), made("like_dtype", lambda T: T.zeros_like(T.ones(2), dtype=T.bool)),
    made("new", lambda T: [T.ones(2).double().new_zeros(3), T.ones(2).new_ones((2, 2)), T.ones(2).new_full((2,), 5), T.ones(2).long().new_tensor([1, 2])]), made("meshgrid", lambda T: T.meshgrid(T.arange(2), T.arange(3), indexing="ij")), made("meshgrid_xy", lambda T: T.meshgrid(T.arange(2), T.arange(3), indexing="xy")),
    made("cartesian", lambda T: T.cartesian_prod(T.arange(2), T.arange(3))), made("tril_indices", lambda T: T.tril_indices(3, 4)), made("triu_indices", lambda T: T.triu_indices(3, 4, 1)), made("empty_strided", lambda T: T.empty_strided((2, 3), (1, 2)).fill_(1)),
    made("types", lambda T: [str(T.result_type(T.ones(2).long(), 2.5)), str(T.promote_types(T.int32, T.uint8)), T.can_cast(T.float32, T.int64), T.is_tensor(3), T.is_floating_point(T.ones(1)), str(T.result_type(T.tensor(1.0).double(), T.ones(2)))]),
    made("info", lambda T: [T.finfo(T.float32).eps, T.finfo(T.bfloat16).max, T.finfo(T.float16).tiny, T.iinfo(T.int32).max, T.iinfo(T.uint8).min, T.iinfo(T.int8).bits]),
]  # fmt: skip


def e(label, fn):
    return ErrorRow("creation", fn, label)


ERRORS = [
    e("ragged", lambda T: T.tensor([[1, 2], [3]])), e("str", lambda T: T.tensor("a")), e("strs", lambda T: T.tensor(["a"])), e("none", lambda T: T.tensor(None)), e("object", lambda T: T.tensor([object()])), e("negative", lambda T: T.zeros(-1)), e("arange_step", lambda T: T.arange(0, 5, 0)), e("arange_sign", lambda T: T.arange(0, 5, -1)),
    e("linspace", lambda T: T.linspace(0, 1, -1)), e("from_list", lambda T: T.from_numpy([1])), e("overflow", lambda T: T.tensor([300], dtype=T.uint8)), e("grad_int", lambda T: T.tensor([1], requires_grad=True)), e("bad_index", lambda T: T.meshgrid(T.arange(2), indexing="zz")), e("eye", lambda T: T.eye(-1)),
]  # fmt: skip
