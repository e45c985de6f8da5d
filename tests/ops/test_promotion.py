"""Type promotion: the dtype of every result, for all pairs of dtypes and kinds of operands."""

from __future__ import annotations

import itertools
import operator

import pytest
import torch

import rushlight

DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")
OPS = {"add": operator.add, "mul": operator.mul, "div": operator.truediv, "lt": operator.lt, "eq": operator.eq}
NUMBERS = {"bool_number": True, "int_number": 2, "float_number": 1.5}


def operand(T, kind, dtype):
    if kind in NUMBERS:
        return NUMBERS[kind]
    return T.ones((2,) if kind == "dim" else (), dtype=getattr(T, dtype))


def outcome(T, fn):
    """The dtype of fn(T), or the error."""
    try:
        return str(fn(T).dtype)
    except (RuntimeError, TypeError, NotImplementedError) as e:
        return type(e).__name__ + str(e).splitlines()[0]


@pytest.mark.parametrize("kinds", list(itertools.product(("dim", "zero"), ("dim", "zero"))), ids="-".join)
@pytest.mark.parametrize("name", OPS)
def test_tensors(name, kinds):
    """Two tensors, with dimensions or 0-d."""
    for a, b in itertools.product(DTYPES, DTYPES):

        def result(T, a=a, b=b):
            return OPS[name](operand(T, kinds[0], a), operand(T, kinds[1], b))

        assert outcome(rushlight, result) == outcome(torch, result), (a, b)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("kind", ["dim", "zero"])
@pytest.mark.parametrize("name", OPS)
def test_numbers(name, kind, number):
    """A tensor and a Python number, in both orders."""
    for d in DTYPES:
        for swap in (False, True):

            def result(T, d=d, swap=swap):
                pair = operand(T, kind, d), NUMBERS[number]
                return OPS[name](*(pair[::-1] if swap else pair))

            assert outcome(rushlight, result) == outcome(torch, result), (d, swap)


@pytest.mark.parametrize("name", ["add_", "mul_", "div_"])
def test_inplace(name):
    """In place the result must fit: the same dtype stays, or PyTorch's error."""
    for a, b in itertools.product(DTYPES, DTYPES):

        def result(T, a=a, b=b):
            return getattr(operand(T, "dim", a), name)(operand(T, "dim", b))

        assert outcome(rushlight, result) == outcome(torch, result), (a, b)


def test_result_type():
    """result_type, promote_types and can_cast agree with PyTorch."""
    for a, b in itertools.product(DTYPES, DTYPES):
        t, r = (getattr(torch, a), getattr(torch, b)), (getattr(rushlight, a), getattr(rushlight, b))
        assert str(rushlight.promote_types(*r)) == str(torch.promote_types(*t)), (a, b)
        assert rushlight.can_cast(*r) == torch.can_cast(*t), (a, b)
        for kind in ("dim", "zero"):
            got = rushlight.result_type(operand(rushlight, "dim", a), operand(rushlight, kind, b))
            assert str(got) == str(torch.result_type(operand(torch, "dim", a), operand(torch, kind, b))), (a, b, kind)


@pytest.mark.parametrize("default", ["float64", "bfloat16"])
def test_default_dtype(default):
    """Integers and numbers become the default floating-point type, whatever it is."""

    def dtypes(T):
        T.set_default_dtype(getattr(T, default))
        try:
            x = T.tensor([1, 2])
            made = (
                x / 2,
                x * 1.5,
                x.exp(),
                T.tensor([1.0]),
                T.ones(2),
                T.arange(0, 1, 0.5),
                T.full((2,), 1.5),
                x.float() * 1.5,
            )
            return [str(v.dtype) for v in made]
        finally:
            T.set_default_dtype(T.float32)

    assert dtypes(rushlight) == dtypes(torch)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_norms_of_mixed_types(name):
    """Which types of input, weight and bias go together, and what is said of the others."""
    first = {"batch_norm": (None, None), "layer_norm": ((4,),), "group_norm": (2,)}[name]
    more = {"training": True} if name == "batch_norm" else {}
    floats = ("float64", "float32", "bfloat16", "float16")
    for x, w, b in itertools.product(floats, (*floats, None), (*floats, None)):
        results = []
        for T in (torch, rushlight):
            x_, w_, b_ = (None if d is None else T.ones(s, dtype=getattr(T, d)) for d, s in ((x, (2, 4)), (w, (4,)), (b, (4,))))
            try:
                results.append(str(getattr(T.nn.functional, name)(x_, *first, w_, b_, **more).dtype))
            except RuntimeError as error:
                results.append(str(error))
        assert results[0] == results[1], (x, w, b)
