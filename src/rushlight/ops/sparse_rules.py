"""What ops do to sparse tensors: rules for `Op.sparse`, from tensors of which at least one is sparse to a tensor.

See Note [Sparse tensors] in sparse.py.
"""

from __future__ import annotations

from .. import _dtypes, _native
from .._kernels import K
from ..autograd.op import REGISTRY, no_array
from ..autograd.tensor import Tensor
from .creation import empty, result_type, tensor, zeros
from .shape import cat
from .sparse import SparseTensor, add_to_dense

__all__: list[str] = []


def _add_sparse(a, b, alpha=1):
    if not (isinstance(b, Tensor) and b.is_sparse):
        raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
    if not isinstance(a, Tensor):
        a = tensor(a)
    if not a.is_sparse:
        return add_to_dense(a, b, alpha, False)
    if a._size != b._size:
        raise RuntimeError(f"add: expected sizes of 'self' and 'other' to match, but {list(a._size)} != {list(b._size)}")
    dtype = result_type(a._value, b._value)
    x, y = a._value.to(dtype), b._value.to(dtype)
    y = y if alpha == 1 else y * alpha
    if not a._nnz() or not b._nnz():
        return b._with(y.clone()) if b._nnz() else a._with(x.clone())
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError(f"add: expected 'self' and 'other' to have same density, but 'self' has {a.sparse_dim()} sparse "
                           f"dimensions while 'other' has {b.sparse_dim()} sparse dimensions")  # fmt: skip
    coalesced = a._coalesced and b._coalesced
    if not (x._a.contiguous and y._a.contiguous):
        return SparseTensor(cat([a._index, b._index], 1), cat([x, y]), a._size, coalesced)
    to_a, to_b = map(_native.wrap, K.sparse_merge(a._flat()._a, b._flat()._a))
    n = int(max(to_a[-1], to_b[-1])) + 1
    values = zeros((n, *x._a.shape[1:]), dtype=dtype).index_add(0, to_a, x).index_add(0, to_b, y)
    indices = empty((a.sparse_dim(), n), dtype=_dtypes.int64).index_copy(1, to_a, a._index).index_copy(1, to_b, b._index)
    return SparseTensor(indices, values, a._size, coalesced)


def _by_values(call):
    """A rule for an op by a number: the same op on the values."""

    def rule(a, b, **attrs):
        sparse = isinstance(a, SparseTensor)
        if not sparse and call.name == "mul":
            a, b, sparse = b, a, True
        if not sparse:
            raise no_array("reciprocal")
        if isinstance(b, Tensor) and (b.is_sparse or b.ndim):
            if call.name != "mul":
                raise RuntimeError(f"Sparse {call.name} requires a scalar or zero-dim dense tensor divisor")
            return _mul_sparse(a, b)
        a = a.coalesce() if call.name == "floor_divide" else a
        return a._with(call(a._value, b, **attrs))

    return rule


def _mul_sparse(a, b):
    if a._size != b.shape:
        raise no_array("mul.Tensor with broadcasting")
    if b.is_sparse:
        a, other = a.coalesce(), b.to_dense()
        return a._with(a._value * other[tuple(a._index)])
    return a._with(a._value * b[tuple(a._index)])


def _of_each(call, first):
    """A rule for a function of each element that is 0 at 0; it needs the sums of repeated entries first unless linear."""

    def rule(a, *args, **attrs):
        a = a.coalesce() if first else a
        return a._with(call(a._value, *args, **attrs))

    return rule


def _power(a, b, **attrs):
    if not a.is_sparse or isinstance(b, Tensor):
        raise no_array("pow.Tensor_Tensor")
    if b == 0:
        raise RuntimeError("pow: Calling pow on a sparse tensor with a zero exponent would give a dense tensor")
    a = a.coalesce()
    return a._with(a._value**b)


def _declare():
    def put(name, rule, into=None):
        definition = REGISTRY[name]
        definition.sparse, definition.sparse_into = rule, into

    put("add", _add_sparse, lambda a, b: add_to_dense(a, b, 1, True))
    put("add_scaled", _add_sparse, lambda a, b, *, alpha: add_to_dense(a, b, alpha, True))
    put("sub", lambda a, b: _add_sparse(a, b, -1), lambda a, b: add_to_dense(a, b, -1, True))
    for call in (Tensor.__mul__, Tensor.__truediv__, Tensor.__floordiv__):
        put(call.name, _by_values(call))
    put("pow", _power)
    put("neg", _of_each(Tensor.neg, False))
    for name in ("abs", "sign", "sqrt", "relu", "square", "isnan", "trunc", "floor", "ceil", "round", "sin", "tan", "tanh",
                 "sinh", "asin", "atan", "asinh", "atanh", "erf", "expm1", "log1p"):  # fmt: skip
        put(name, _of_each(getattr(Tensor, name), True))


_declare()
