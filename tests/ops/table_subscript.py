"""`x[...]` and `x[...] = v`."""

from __future__ import annotations

import warnings

import numpy as np
import torch

from .harness import FLOATS, HALFS, ErrorRow, Row

ALL = (*FLOATS, *HALFS, "int64", "int32", "uint8", "bool")
N = None
E = Ellipsis
S = slice


def L(*v):
    return lambda T: T.tensor(v)


def resolve(T, index):
    """Index items that are functions make a tensor of the library."""
    if isinstance(index, tuple):
        return tuple(resolve(T, i) for i in index)
    return index(T) if callable(index) else index


# name -> index into a tensor of shape (3, 4, 5)
BASIC = {
    "int": 1, "negative": -1, "slice": S(0, 2), "step": S(N, N, 2), "empty_slice": S(2, 1), "none": N, "ellipsis": E,
    "nothing": (), "ints": (1, -2, 3), "mixed": (0, S(1, N, 2), N, 2), "ellipsis_last": (E, 1), "around": (1, E, S(1, 3)),
    "column": (S(N), 1), "full": (S(N), S(N)), "beyond": S(-9, 9), "numpy_int": np.int64(1), "tensor_int": lambda T: T.tensor(1),
}  # fmt: skip
ADVANCED = {
    "list": [0, 2], "vector": L(0, 2, -1), "matrix": lambda T: T.tensor([[0, 1], [2, 0]]), "empty": lambda T: T.tensor([]).long(),
    "second": (S(N), L(3, 0)), "pair": (L(0, 2), L(1, 3)), "broadcast": (lambda T: T.tensor([[0], [2]]), L(1, 3, 0)),
    "apart": (L(0, 2), S(N), L(1, 3)), "int_pair": (L(0, 2), S(1, 3), 2), "int_first": (0, S(N), L(1, 3)), "none_between": (L(0, 1), N, L(2, 1)),
    "ellipsis": (E, L(4, 0, 0)), "repeated": L(1, 1, 1), "numpy": np.array([2, 0]), "int32": lambda T: T.tensor([1, 2], dtype=T.int32),
    "mask": lambda T: T.tensor([True, False, True]), "mask2": lambda T: T.arange(12).reshape(3, 4) % 3 == 0,
    "mask_full": lambda T: T.arange(60).reshape(3, 4, 5) % 2 == 0, "mask_last": (S(N), S(N), lambda T: T.tensor([True, False, True, True, False])),
    "mask_and_index": (lambda T: T.tensor([True, False, True]), L(1, 3)), "mask_none": lambda T: T.zeros(3, 4).bool(),
    "true": True, "false": False, "true_int": (True, 1), "bool_tensor": lambda T: T.tensor(True), "numpy_mask": np.array([True, False, True]),
    "uint8": lambda T: T.tensor([1, 0, 1], dtype=T.uint8), "tuple_of_lists": ([0, 1], [2, 3]),
}  # fmt: skip


def read(index):
    return lambda T, x: x[resolve(T, index)]


def written(index):
    def fn(T, x, v):
        y = x * 1 if x.dtype != T.bool else x.clone()
        y[resolve(T, index)] = v
        return y

    return fn


def number(index):
    def fn(T, x):
        y = x * 1 if x.dtype != T.bool else x.clone()
        y[resolve(T, index)] = 2
        return y

    return fn


def part_shape(index):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # uint8 masks are deprecated
        return tuple(torch.zeros(3, 4, 5)[resolve(torch, index)].shape)


UNIQUE = {k: v for k, v in {**BASIC, **{"advanced_" + k: v for k, v in ADVANCED.items()}}.items() if "repeated" not in k}
PARTS = {k: part_shape(i) for k, i in UNIQUE.items()}
ROWS = [
    *[Row("slice", read(i), lambda r: r(3, 4, 5), "basic_" + k, dtypes=ALL if k in ("mixed", "step") else FLOATS) for k, i in BASIC.items()],
    *[Row("index", read(i), lambda r: r(3, 4, 5), k, dtypes=ALL if k in ("vector", "apart", "mask2") else FLOATS) for k, i in ADVANCED.items()],
    *[Row("index_put", written(i), lambda r, s=PARTS[k]: (r(3, 4, 5), r(*s)), k, dtypes=ALL if k in ("mixed", "advanced_apart") else FLOATS)
      for k, i in UNIQUE.items()],
    *[Row("index_put", number(i), lambda r: r(3, 4, 5), "number_" + k, dtypes=ALL if k in ("mixed", "advanced_apart") else FLOATS)
      for k, i in UNIQUE.items() if "uint8" not in k],  # PyTorch refuses numbers there
    *[Row("index_put", written(i), lambda r, s=PARTS[k]: (r(3, 4, 5), r(*s[-1:])), "broadcast_" + k)
      for k, i in UNIQUE.items() if PARTS[k] and "mask_full" not in k],
    Row("index_put", lambda T, x, v: (x * 1).index_put_((T.tensor([0, 0, 2]), T.tensor([1, 1, 3])), v, accumulate=True),
        lambda r: (r(3, 4), r(3)), "accumulate"),
    Row("alias", lambda T, x: x[...], lambda r: r(3)),
    Row("index", lambda T, x: x[T.tensor([0, 3, 0])], lambda r: r(4, 3000), "wide"),
    Row("index", lambda T, x, i: x[i], lambda r: (r(50, 70), r.integers(-50, 50, 2000)), "many"),
    Row("index", lambda T, x: x[N, T.tensor([True])], lambda r: r(1), "small"),
    Row("alias", lambda T, x: x[T.tensor(True)], lambda r: r(), "scalar"),
]  # fmt: skip


def get(index, shape=(3, 4)):
    return lambda T: T.zeros(*shape)[resolve(T, index)]


def put(index, value, shape=(3, 4)):
    def fn(T):
        T.zeros(*shape)[resolve(T, index)] = value(T) if callable(value) else value

    return fn


ERRORS = [
    ErrorRow("getitem", fn, label)
    for label, fn in {
        "range": get(5), "range_negative": get(-4), "range_second": get((S(N), 7)), "range_tensor": get(L(5)),
        "range_negative_tensor": get((S(N), L(-7))), "too_many": get((0, 0, 0)), "too_many_tensors": get((L(0), L(0), L(0))),
        "step": get(S(N, N, -1)), "step_zero": get(S(N, N, 0)), "broadcast": get((L(0, 1), L(0, 1, 2))),
        "mask": get(lambda T: T.ones(4).bool(), (3,)), "mask_matrix": get(lambda T: T.ones(3, 3).bool()),
        "mask_second": get((S(N), lambda T: T.ones(3).bool())), "float_tensor": get(lambda T: T.tensor([1.0])), "float": get(1.0),
        "dict": get({}), "str": get("a"), "zero_dim": lambda T: T.tensor(1.0)[0], "zero_dim_slice": lambda T: T.tensor(1.0)[:], "int16": get(lambda T: T.tensor([1]).short()),
        "empty": get(L(0), (0, 3)), "chain": lambda T: T.zeros(3)[3][5], "nested": lambda T: T.zeros(4, 3)[3][5],
        "put_shape": put(0, lambda T: T.ones(3)), "put_rank": put(0, lambda T: T.ones(2, 4)), "put_index": put(L(0, 1), lambda T: T.ones(3)),
        "put_dtype": put(L(0, 1), lambda T: T.tensor([1, 2, 3, 4])), "put_str": put(0, "a"), "put_list": put(0, [1, 2]),
        "put_none": put(0, None), "put_mask": put(lambda T: T.ones(3, 4).bool(), lambda T: T.ones(5)), "put_range": put(5, 1),
        "put_scalar": put((0, 0), lambda T: T.tensor([5.0, 6.0])),
        "leaf": lambda T: T.zeros(3, requires_grad=True).__setitem__(T.tensor([0]), 1),
        "leaf_view": lambda T: T.zeros(3, requires_grad=True).__setitem__(0, 1),
    }.items()
]  # fmt: skip
