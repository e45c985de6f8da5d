"""Sparse tensors in coordinate form, as far as training needs them: the gradients of large tables.

Note [Sparse tensors]: a `SparseTensor` is a Tensor without an array. It holds two dense tensors, the indices (sparse_dim, n)
of its entries and their values (n, *dense shape), which may have a history of their own. Nothing that works on dense
tensors asks whether one is sparse: an op finds that there is no array and hands the call to the rule in `Op.sparse`
(sparse_rules.py; NotImplementedError if there is none), and Python code that asks for `_a` gets the same error.
"""

from __future__ import annotations

import math
import sys

from .. import _check as check
from .. import _dtypes, _native, _recording
from .._device import device as as_device
from ..autograd.inplace import check_inplace
from ..autograd.op import no_array
from ..autograd.tensor import Size, Tensor, sparse_coo
from .creation import _parse_to, result_type, tensor, zeros
from .shape import stack

__all__ = ["sparse_coo_tensor"]


class SparseTensor(Tensor):
    """Values at given positions, zero elsewhere; entries at the same position add up.

    Made by `sparse_coo_tensor`, `Tensor.to_sparse` and the gradients of `nn.Embedding(sparse=True)`.
    Reference: https://docs.pytorch.org/docs/stable/sparse.html#sparse-coo-tensors
    """

    __slots__ = ("_index", "_value", "_size", "_coalesced")
    made = False  # whether any has been: optimizers look for sparse gradients only then

    def __new__(cls, indices, values, size, coalesced=None):
        _recording.refuse("it makes a sparse tensor, which has as many entries as the data says")
        t = _native.TensorBase.__new__(cls)
        t._index, t._value, t._size = indices, values, Size(size)
        t._coalesced = values._a.shape[0] < 2 if coalesced is None else coalesced
        SparseTensor.made = True
        return t

    @property
    def _a(self):
        frame = sys._getframe(1)
        while frame.f_code.co_name.startswith("<"):
            frame = frame.f_back
        raise no_array(frame.f_code.co_name.strip("_"))

    def become(self, other, in_place=True) -> SparseTensor:
        """Takes the entries of `other`: how in-place operations end. At the same positions, values are written in place."""
        if not other.is_sparse:
            raise RuntimeError("add(sparse, dense) is not supported. Use add(dense, sparse) instead.")
        if in_place and other._index is self._index and other.dtype is self.dtype and not other.requires_grad:
            self._value.detach().copy_(other._value)
            return self
        self._index, self._value, self._coalesced = other._index, other._value, other._coalesced
        return self

    def _with(self, values, coalesced=None):
        return SparseTensor(self._index, values, self._size, self._coalesced if coalesced is None else coalesced)

    # -- what it is ------------------------------------------------------------------------------------------------

    shape = property(lambda self: self._size)
    ndim = property(lambda self: len(self._size))
    dtype = property(lambda self: self._value._a.dtype)
    layout = property(lambda self: sparse_coo)
    is_sparse = property(lambda self: True)
    itemsize = property(lambda self: self._value._a.itemsize)
    names = property(lambda self: (None,) * len(self._size))

    def size(self, dim=None):
        return self._size if dim is None else self._size[check.dim(dim, len(self._size))]

    def dim(self):
        return len(self._size)

    ndimension = dim

    def numel(self):
        return math.prod(self._size)

    nelement = numel

    def element_size(self):
        return self._value._a.itemsize

    @property
    def nbytes(self):
        raise RuntimeError(
            "nbytes is not defined for sparse tensors.  If you want the size of the constituent tensors, add the nbytes of the "
            "indices and values.  If you want the size of the  equivalent dense tensor, multiply numel() by element_size()"
        )

    def stride(self, dim=None):
        return (0,) * len(self._size) if dim is None else 0

    def storage_offset(self):
        return 0

    def is_contiguous(self, memory_format=None):
        return False

    def is_floating_point(self):
        return self.dtype.is_floating_point

    def is_signed(self):
        return self.dtype.is_signed

    def data_ptr(self):
        raise RuntimeError("Cannot access data pointer of Tensor that doesn't have storage")

    tolist = data_ptr

    def numpy(self, *, force=False):
        raise TypeError("can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.")

    def __array__(self, dtype=None, copy=None):
        return self.numpy()

    def item(self):
        if self.numel() != 1:
            raise RuntimeError(f"a Tensor with {self.numel()} elements cannot be converted to Scalar")
        return self.to_dense().item()

    def __bool__(self):
        if self.numel() != 1:
            which = "no values" if self.numel() == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {which} is ambiguous")
        return bool(self.item())

    def __len__(self):
        if not self._size:
            raise TypeError("len() of a 0-d tensor")
        return self._size[0]

    def backward(self, *args, **kwargs):
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")

    def __iter__(self):
        raise no_array("unbind")

    def __hash__(self):
        return id(self)

    # -- its parts -------------------------------------------------------------------------------------------------

    def _indices(self):
        """The positions of the entries, (sparse_dim, n), as they lie."""
        return self._index

    def _values(self):
        """The entries, (n, *dense shape), as they lie."""
        return self._value

    def _nnz(self) -> int:
        return self._value._a.shape[0]

    def indices(self):
        """The positions of a coalesced tensor's entries."""
        self._check_coalesced("indices")
        return self._index

    def values(self):
        """The entries of a coalesced tensor."""
        self._check_coalesced("values")
        return self._value

    def _check_coalesced(self, what):
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call .coalesce() first")

    def sparse_dim(self) -> int:
        return self._index._a.shape[0]

    def dense_dim(self) -> int:
        return len(self._size) - self._index._a.shape[0]

    def is_coalesced(self) -> bool:
        return self._coalesced

    def _coalesced_(self, coalesced):
        self._coalesced = bool(coalesced)
        return self

    def _flat(self):
        """Each entry's position as one number, row-major over the sparse dimensions."""
        rows = self._index
        if len(rows) == 0:
            return rows.new_zeros(rows._a.shape[1])
        flat = rows[0]
        for d in range(1, len(rows)):
            flat = flat * self._size[d] + rows[d]
        return flat.contiguous()

    def coalesce(self):
        """One entry per position, in row-major order: those at the same position are added. Itself if it is so already."""
        if self._coalesced:
            return self
        flat, place = self._flat().unique(return_inverse=True)
        v = self._value
        values = zeros((len(flat), *v._a.shape[1:]), dtype=v._a.dtype).index_add(0, place, v)
        rows = []
        for d in range(self.sparse_dim() - 1, 0, -1):
            rows.append(flat % self._size[d])
            flat = flat // self._size[d]
        return SparseTensor(stack([flat, *reversed(rows)]) if self.sparse_dim() else self._index[:, :1], values, self._size, True)

    def to_dense(self, dtype=None, *, masked_grad=None):
        """The same values as a dense tensor."""
        if dtype is not None:
            raise RuntimeError("dtype argument is not supported by sparse_to_dense")
        return add_to_dense(zeros(self._size, dtype=self.dtype), self, 1, False)

    def to_sparse(self, *, layout=None):
        """Itself."""
        return self

    # -- copies ----------------------------------------------------------------------------------------------------

    def clone(self, *, memory_format=None):
        return SparseTensor(self._index.clone(), self._value.clone(), self._size, self._coalesced)

    def detach(self):
        return self._with(self._value.detach())

    data = property(detach, lambda self, value: self.become(value))

    def detach_(self):
        self._value = self._value.detach()
        return self

    @property
    def requires_grad(self):
        return self._value.requires_grad

    def requires_grad_(self, requires_grad=True):
        if requires_grad and not self.requires_grad:
            raise NotImplementedError("a sparse tensor cannot be a leaf that requires a gradient; its values can")
        if not requires_grad:
            self._value.requires_grad_(False)
        return self

    def to(self, *args, **kwargs):
        dtype, copy = _parse_to(args, kwargs)
        return self if dtype in (None, self.dtype) and not copy else self._with(self._value.to(dtype or self.dtype, copy=copy))

    def cpu(self, memory_format=None):
        return self

    def type(self, dtype=None, non_blocking=False):
        return f"torch.sparse.{self.dtype.scalar_name}Tensor" if dtype is None else self.to(dtype)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = self.clone()
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return SparseTensor, (self._index, self._value, tuple(self._size), self._coalesced)

    # -- in place, and reductions ----------------------------------------------------------------------------------

    def zero_(self):
        """Forgets all entries."""
        check_inplace(self)
        return self.become(_no_entries(self._size, self.sparse_dim(), self.dtype))

    def copy_(self, src, non_blocking=False):
        if not (isinstance(src, Tensor) and src.is_sparse):
            raise _no_copy(self, src)
        return self.become(src.to(self.dtype, copy=True))

    def sum(self, dim=None, keepdim=False, *, dtype=None):
        """The sum of all entries."""
        if dim is not None:
            raise no_array("sum.dim_IntList")
        return self._value.sum(dtype=dtype)

    def norm(self, p="fro", dim=None, keepdim=False, dtype=None):
        """The norm of all elements."""
        if dim is not None:
            raise no_array("norm.ScalarOpt_dim")
        return self.coalesce()._value.norm(p)


def _conversion(dtype):
    return lambda self, memory_format=None: self.to(dtype)


for _name, _dtype in {
    "float": _dtypes.float32, "double": _dtypes.float64, "half": _dtypes.float16, "bfloat16": _dtypes.bfloat16,
    "int": _dtypes.int32, "long": _dtypes.int64, "short": _dtypes.int16, "char": _dtypes.int8, "byte": _dtypes.uint8,
    "bool": _dtypes.bool_,
}.items():  # fmt: skip
    setattr(SparseTensor, _name, _conversion(_dtype))


def _no_copy(to, src):
    return RuntimeError("copy_() between dense and sparse Tensors is not implemented! Found self type = "
                        f"{to.type()} and src type = {src.type()}")  # fmt: skip


def _no_entries(size, sparse_dim, dtype):
    values = zeros((0, *size[sparse_dim:]), dtype=dtype)
    return SparseTensor(zeros((sparse_dim, 0), dtype=_dtypes.int64), values, size, True)


def add_to_dense(dense, sparse, alpha, inplace):
    """dense + alpha * sparse."""
    if dense.shape != sparse.shape:
        raise RuntimeError(
            f"add: expected 'self' and 'other' to have same size, but self has size {list(dense.shape)} while other has size "
            f"{list(sparse.shape)} (FYI: dense-sparse addition does not currently support broadcasting)"
        )
    values = sparse._value
    result = result_type(dense, values)
    if inplace and result.is_floating_point and not dense.dtype.is_floating_point:
        raise RuntimeError(f"Can't convert result type {result.scalar_name} to output {dense.dtype.scalar_name} in add operation")
    dense = dense if inplace else dense.to(result)
    values = values.to(dense.dtype)
    values = values if alpha == 1 else values * alpha
    if sparse.sparse_dim() == 1:
        return getattr(dense, "index_add_" if inplace else "index_add")(0, sparse._index[0], values)
    if sparse.sparse_dim() == 0:
        return dense.add_(values.sum(0)) if inplace else dense + values.sum(0)
    return getattr(dense, "index_put_" if inplace else "index_put")(tuple(sparse._index), values, accumulate=True)


# -- making them -----------------------------------------------------------------------------------------------------


def sparse_coo_tensor(indices=None, values=None, size=None, *, dtype=None, device=None, pin_memory=False, requires_grad=False,
                      check_invariants=None, is_coalesced=None) -> Tensor:  # fmt: skip
    """A sparse tensor with `values` (n, *dense shape) at `indices` (sparse_dim, n), and zeros elsewhere.

    Args: `size` (default: the smallest that holds all entries); `is_coalesced`: the caller knows that no position occurs
    twice and that they are in row-major order. With a size alone, `sparse_coo_tensor((2, 3))`, there are no entries.
    Raises: RuntimeError for shapes that do not belong together and for positions outside of `size`, which are always checked.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.sparse_coo_tensor.html
    """
    if device is not None:
        as_device(device)
    if values is None:
        size = indices if size is None else size
        return _no_entries(Size(size), len(size), dtype or _dtypes.get_default_dtype())
    indices = (indices if isinstance(indices, Tensor) else tensor(indices)).detach().long().contiguous()
    values = values if isinstance(values, Tensor) else tensor(values, dtype=dtype)
    values = values if dtype is None else values.to(dtype)
    size = _checked_size(indices, values, size)
    if requires_grad:
        values = values.detach().requires_grad_()
    made = SparseTensor(indices, values, size, None if is_coalesced is None else bool(is_coalesced))
    if is_coalesced:
        flat = made._flat()
        if not bool((flat[1:] > flat[:-1]).all()):
            raise RuntimeError("cannot set is_coalesced to true if indices correspond to uncoalesced COO tensor")
    return made


def _checked_size(indices, values, size):
    if indices.ndim != 2:
        raise RuntimeError(f"indices must be sparse_dim x nnz, but got: {list(indices.shape)}")
    sparse_dim, n = indices._a.shape
    if values.ndim == 0 or values._a.shape[0] != n:
        raise RuntimeError(
            f"indices and values must have same nnz, but got nnz from indices: {n}, nnz from values: "
            f"{values._a.shape[0] if values.ndim else 1}"
        )
    dense = values._a.shape[1:]
    if n:
        low, high = indices.amin(1).tolist(), indices.amax(1).tolist()
        for d, k in enumerate(low):
            if k < 0:
                raise RuntimeError(f"found negative index {k} for dim {d}")
    elif size is None:
        high = [-1] * sparse_dim
    if size is None:
        return (*(k + 1 for k in high), *dense)
    size = tuple(size)
    if len(size) != sparse_dim + len(dense):
        raise RuntimeError(
            f"'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {len(size)}, sparse_dim = {sparse_dim}, "
            f"dense_dim = {len(dense)}"
        )
    for d, k in enumerate(high if n else ()):
        if k >= size[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is {size[d]} but found index {k}")
    if size[sparse_dim:] != dense:
        raise RuntimeError(f"values has incorrect size, expected {list((n, *size[sparse_dim:]))}, got {list(values.shape)}")
    if math.prod(size) >= 2**63:
        raise RuntimeError("numel: integer multiplication overflow")
    return size


def _to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The elements that are not 0 as a sparse tensor; with `sparse_dim`, whole rows of the other dimensions are entries."""
    if isinstance(sparse_dim, type(sparse_coo)):
        sparse_dim, layout = None, sparse_dim
    if layout not in (None, sparse_coo):
        raise NotImplementedError(f"rushlight has sparse tensors of layout torch.sparse_coo only, not {layout!r}")
    ndim = self.ndim
    if sparse_dim is None:
        sparse_dim = ndim
    if not 0 <= sparse_dim <= ndim:
        raise RuntimeError(
            f"dense_to_sparse: sparse_dim argument must be in [0,{ndim}] range, but {sparse_dim} is given"
        )
    if sparse_dim == 0 and ndim:
        raise RuntimeError("dense_to_sparse: sparse_dim argument must be in >0 when self.dim()>0")
    some = self.detach() != 0
    if sparse_dim < ndim:
        some = some.flatten(sparse_dim).any(-1)
    indices = some.nonzero().t().contiguous()
    values = self[tuple(indices)] if sparse_dim else self.reshape(1)[: indices._a.shape[1]]
    return SparseTensor(indices, values, self.shape, True)


def _sparse_mask(self, mask):
    """The elements of this tensor at the positions of a sparse one."""
    if not mask.is_sparse:
        raise no_array("sparse_mask")
    if self.shape != mask.shape:
        raise RuntimeError(f"sparse_mask(): operands have incompatible sizes; self has size {list(self.shape)} but mask has "
                           f"size {list(mask.shape)}")  # fmt: skip
    return mask._with(self[tuple(mask._index)])


Tensor.to_sparse, Tensor.sparse_mask = _to_sparse, _sparse_mask
Tensor.to_dense = lambda self, dtype=None, *, masked_grad=None: self if dtype is None else self.to(dtype)
Tensor.sparse_dim, Tensor.dense_dim = lambda self: 0, lambda self: self.ndim


def _only_sparse(name, message=None):
    def method(self, *args):
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the 'CPU' backend.") if message is None else (
            RuntimeError(f"{name} expected {message} but got Strided"))  # fmt: skip

    return method


for _name in ("coalesce", "indices", "is_coalesced"):
    setattr(Tensor, _name, _only_sparse(_name, "sparse coordinate tensor layout"))
Tensor.values = _only_sparse("values", "sparse tensor layout")
for _name in ("_indices", "_values", "_nnz"):
    setattr(Tensor, _name, _only_sparse(_name))
