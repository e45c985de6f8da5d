"""Making tensors from numbers, lists, arrays and shapes; changing their dtype."""

from __future__ import annotations

import builtins
import math
import numbers
import warnings

import numpy as np

from .. import _check as check
from .. import _dtypes, _native
from .._device import as_device
from .._kernels import K
from ..autograd.inplace import apply_inplace
from ..autograd.interop import array_from_numpy
from ..autograd.op import op
from ..autograd.tensor import Tensor, strided
from ._declare import method, tensor_method, write_out

__all__ = [
    "tensor", "as_tensor", "asarray", "from_dlpack", "empty", "zeros", "ones", "full", "empty_like", "zeros_like",
    "ones_like", "full_like", "arange", "linspace", "logspace", "eye", "scalar_tensor", "result_type", "promote_types",
    "can_cast", "is_tensor", "is_floating_point", "empty_strided", "meshgrid", "cartesian_prod", "tril_indices",
    "triu_indices",
]  # fmt: skip


# -- from shapes -----------------------------------------------------------------------------------------------------


def _finish(a, requires_grad):
    a.reset_version()
    t = _native.wrap(a)
    if requires_grad:
        if not a.dtype.is_floating_point:
            raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
        t.requires_grad_()
    return t


def _new(shape, dtype, device, requires_grad, layout=None):
    as_device(device)
    if layout is not None and layout is not strided:
        raise NotImplementedError(f"rushlight has strided tensors only, not {layout!r}")
    dtype = _native.default_dtype() if dtype is None else dtype
    return _native.empty(shape, dtype.code)


def empty(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False,
          memory_format=None) -> Tensor:  # fmt: skip
    """A tensor of the given shape whose elements are whatever was in memory."""
    a = _new(check.shape_args(size), dtype, device, requires_grad, layout)
    return write_out(out, _native.wrap(a)) if out is not None else _finish(a, requires_grad)


def _filled(value, size, out, dtype, layout, device, requires_grad, who="full"):
    shape = check.shape_args(size)
    if any(s < 0 for s in shape):
        raise RuntimeError(f"{who}: Dimension size must be non-negative.")
    a = _new(shape, dtype, device, requires_grad, layout)
    K.fill_into(a, value)
    return write_out(out, _native.wrap(a)) if out is not None else _finish(a, requires_grad)


def zeros(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A tensor of zeros."""
    return _filled(0, size, out, dtype, layout, device, requires_grad, "zeros")


def ones(*size, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A tensor of ones."""
    return _filled(1, size, out, dtype, layout, device, requires_grad, "ones")


def _scalar_dtype(value):
    if isinstance(value, (builtins.bool, np.bool_)):
        return _dtypes.bool_
    if isinstance(value, numbers.Integral):
        return _dtypes.int64
    return _native.default_dtype()


def _number(value):
    return value.item() if isinstance(value, (Tensor, np.generic)) else value


def full(size, fill_value, *, out=None, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A tensor filled with one number; its dtype follows the number unless given."""
    value = _number(fill_value)
    size = size if isinstance(size, (tuple, list)) else (size,)
    return _filled(value, size, out, dtype or _scalar_dtype(value), layout, device, requires_grad)


def empty_strided(size, stride, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """Uninitialised, with the given strides (in elements)."""
    size, stride = tuple(size), tuple(stride)
    reach = 1 + builtins.sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else 0
    a = _new((reach,), dtype, device, requires_grad, layout).as_strided(size, stride, 0)
    return _finish(a, requires_grad)


def _memory_order(shape, strides):
    """The dimensions, outermost first, as PyTorch sorts them: by strides; one with stride 0 stays where it is."""
    order = list(range(len(shape)))[::-1]
    for i in range(1, len(order)):
        at = i
        for before in range(i)[::-1]:
            a, b = order[before], order[at]
            if strides[a] == 0 or strides[b] == 0:
                continue
            if strides[a] < strides[b]:
                break
            if strides[a] > strides[b] or shape[a] > shape[b]:
                order[before], order[at] = b, a
                at = before
    return order[::-1]


def _like(input, dtype, device, value, requires_grad, memory_format=None):
    as_device(device)
    source = input._a
    dtype = source.dtype if dtype is None else dtype
    if source.contiguous or getattr(memory_format, "name", None) == "contiguous_format":
        a = _native.empty(source.shape, dtype.code)
    else:  # keeps the order of dimensions in memory
        order = _memory_order(source.shape, source.strides)
        dense = _native.empty([source.shape[d] for d in order], dtype.code)
        a = dense.permute([order.index(d) for d in range(source.ndim)])
    if value is not None:
        K.fill_into(a, value)
    return _finish(a, requires_grad)


def empty_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """Uninitialised, with the shape and dtype of `input`."""
    return _like(input, dtype, device, None, requires_grad, memory_format)


def zeros_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """Zeros with the shape and dtype of `input`."""
    return _like(input, dtype, device, 0, requires_grad, memory_format)


def ones_like(input, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """Ones with the shape and dtype of `input`."""
    return _like(input, dtype, device, 1, requires_grad, memory_format)


def full_like(input, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, memory_format=None) -> Tensor:
    """One number, with the shape and dtype of `input`."""
    return _like(input, dtype, device, _number(fill_value), requires_grad, memory_format)


def _new_method(name, value):
    def method_(self, *size, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
        a = _new(check.shape_args(size), dtype or self._a.dtype, device, requires_grad, layout)
        if value is not None:
            K.fill_into(a, value)
        return _finish(a, requires_grad)

    method_.__name__ = name
    method_.__doc__ = f"A tensor of the given shape with this tensor's dtype: `{name[4:]}`."
    tensor_method(name, method_)


_new_method("new_empty", None)
_new_method("new_zeros", 0)
_new_method("new_ones", 1)


def _new_full(self, size, fill_value, *, dtype=None, layout=None, device=None, requires_grad=False, pin_memory=False):
    """A tensor of the given shape filled with one number, with this tensor's dtype."""
    size = size if isinstance(size, (tuple, list)) else (size,)
    return _filled(_number(fill_value), size, None, dtype or self._a.dtype, layout, device, requires_grad)


tensor_method("new_full", _new_full)
tensor_method("new_tensor", lambda self, data, *, dtype=None, device=None, requires_grad=False:
              tensor(data, dtype=dtype or self._a.dtype, device=device, requires_grad=requires_grad))  # fmt: skip


# -- from data -------------------------------------------------------------------------------------------------------


def _infer(data):
    """(dtype, shape) of nested sequences, as torch.tensor infers them."""
    shape, probe = [], data
    while isinstance(probe, (list, tuple)):
        shape.append(len(probe))
        if not probe:
            break
        probe = probe[0]
    if isinstance(probe, Tensor):
        shape.extend(probe._a.shape)
    elif isinstance(probe, np.ndarray):
        shape.extend(probe.shape)
    elif isinstance(probe, str) or probe is None:
        if isinstance(data, str):
            raise TypeError(f"new(): invalid data type '{type(data).__name__}'")
        raise _not_a_number(probe)
    return tuple(shape)


def _not_a_number(x):
    if x is None:
        return RuntimeError("Could not infer dtype of NoneType")
    if isinstance(x, str):
        return ValueError("too many dimensions 'str'")
    return RuntimeError(f"Could not infer dtype of {type(x).__name__}")


_PLAIN = {builtins.bool, builtins.int, builtins.float}


class _Inference:
    """Walks nested sequences once: flat values, and the widest kind seen."""

    def __init__(self, shape):
        self.shape, self.flat = shape, []
        self.kind = -1  # 0 bool, 1 int, 2 float
        self.dtype = None  # of tensors and arrays inside

    def walk(self, x, depth):
        if depth < len(self.shape):
            if isinstance(x, (Tensor, np.ndarray)):
                if tuple(x.shape) != self.shape[depth:]:
                    raise ValueError(f"expected sequence of length {self.shape[depth]} at dim {depth} (got {len(x)})")
                self.flat.extend(np.asarray(x.detach() if isinstance(x, Tensor) else x).ravel().tolist())
                self.see_dtype(x._a.dtype if isinstance(x, Tensor) else _dtypes.BY_NUMPY[x.dtype])
                return
            if not isinstance(x, (list, tuple)):
                raise TypeError(f"expected sequence at dim {depth}, got {type(x).__name__}")
            if len(x) != self.shape[depth]:
                raise ValueError(f"expected sequence of length {self.shape[depth]} at dim {depth} (got {len(x)})")
            kinds = set(map(type, x)) if depth + 1 == len(self.shape) else None
            if kinds and kinds <= _PLAIN:  # the common case, quickly
                self.flat.extend(x)
                self.kind = max(self.kind, 2 if builtins.float in kinds else 1 if builtins.int in kinds else 0)
                return
            for v in x:
                self.walk(v, depth + 1)
            return
        kind = 0 if isinstance(x, (builtins.bool, np.bool_)) else 1 if isinstance(x, numbers.Integral) else 2
        if isinstance(x, Tensor):
            if x._a.numel != 1:
                raise ValueError("only one element tensors can be converted to Python scalars")
            self.see_dtype(x._a.dtype)
            x = x._a.item()
        elif isinstance(x, np.generic):
            self.see_dtype(_dtypes.BY_NUMPY[x.dtype])
            x = x.item()
        elif not isinstance(x, numbers.Real):
            if isinstance(x, (list, tuple)):
                raise ValueError(f"expected a number at dim {depth}, got a sequence of length {len(x)}")
            raise _not_a_number(x)
        else:
            self.kind = max(self.kind, kind)
        self.flat.append(x)

    def see_dtype(self, d):
        self.dtype = d if self.dtype is None else promote_types(self.dtype, d)

    def result(self):
        plain = (None, _dtypes.bool_, _dtypes.int64, _native.default_dtype())[self.kind + 1]
        if self.dtype is None:
            return plain or _native.default_dtype()
        return self.dtype if plain is None else promote_types(self.dtype, plain)


def _from_sequence(data, dtype):
    shape = _infer(data)
    seen = _Inference(shape)
    seen.walk(data, 0)
    dtype = dtype or seen.result()
    a = _native.empty(shape, dtype.code)
    if seen.flat:
        if dtype is _dtypes.bfloat16:
            source = _native.empty(shape, _dtypes.float32.code)
            with np.errstate(over="ignore"):
                np.asarray(source).ravel()[...] = seen.flat
            K.copy_into(a, source)
        else:
            target = np.asarray(a).reshape(-1)
            try:
                with np.errstate(over="ignore"):  # a number too large for a floating-point dtype becomes inf
                    target[...] = seen.flat
            except OverflowError:
                raise RuntimeError(f"value cannot be converted to type {dtype.numpy} without overflow") from None
            if not dtype.is_floating_point and dtype is not _dtypes.bool_:
                _check_range(seen.flat, dtype)
    return a


def _check_range(flat, dtype):
    info = np.iinfo(dtype.numpy)
    if builtins.min(flat) < info.min or builtins.max(flat) > info.max:
        raise RuntimeError(f"value cannot be converted to type {dtype.numpy} without overflow")


def tensor(data, *, dtype=None, device=None, requires_grad: builtins.bool = False, pin_memory=False) -> Tensor:
    """A new tensor with a copy of `data`: a number, nested sequences, an array or a tensor.

    Floats get the default dtype, integers int64, bools bool, unless `dtype` is given.
    Raises: ValueError for ragged sequences, TypeError or RuntimeError for what is no number.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.tensor.html
    """
    as_device(device)
    if isinstance(data, Tensor):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        a = K.copy(data._a)
    elif isinstance(data, np.ndarray):
        a = K.copy(array_from_numpy(np.ascontiguousarray(data).reshape(data.shape)))
    elif isinstance(data, np.generic):
        a = K.copy(array_from_numpy(np.asarray(data)))
    elif isinstance(data, (list, tuple, builtins.bool, builtins.int, builtins.float)):
        a = _from_sequence(data, dtype)
    elif hasattr(data, "__array__"):
        a = K.copy(array_from_numpy(np.asarray(data)))
    elif hasattr(data, "__len__") and hasattr(data, "__getitem__") and not isinstance(data, (str, dict)):
        a = _from_sequence(list(data), dtype)
    elif isinstance(data, str):
        raise TypeError("new(): invalid data type 'str'")
    else:
        raise _not_a_number(data)
    if dtype is not None and a.dtype is not dtype:
        a = _cast(a, dtype)
    return _finish(a, requires_grad)


def _cast(a, dtype):
    out = _native.empty(a.shape, dtype.code)
    K.copy_into(out, a)
    return out


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """`data` as a tensor, sharing memory with a tensor or NumPy array where the dtype allows."""
    as_device(device)
    if isinstance(data, Tensor):
        return data if dtype is None or data._a.dtype is dtype else data.to(dtype)
    if isinstance(data, np.ndarray):
        t = _native.wrap(array_from_numpy(data))
        return t if dtype is None or t._a.dtype is dtype else t.to(dtype)
    return tensor(data, dtype=dtype)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    """`obj` as a tensor; `copy=True` always copies, `copy=False` never."""
    if copy:
        t = tensor(obj if not isinstance(obj, Tensor) else obj.detach().clone(), dtype=dtype) if not isinstance(
            obj, Tensor) else obj.detach().clone().to(dtype or obj.dtype)  # fmt: skip
    else:
        t = as_tensor(obj, dtype)
        if copy is False and not isinstance(obj, (Tensor, np.ndarray)):
            raise ValueError("can't alias arbitrary sequence into a tensor.")
    return t.requires_grad_() if requires_grad else t


def from_dlpack(ext_tensor) -> Tensor:
    """A tensor that shares memory with any object that speaks DLPack."""
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    return _native.wrap(array_from_numpy(np.from_dlpack(ext_tensor)))


def scalar_tensor(s, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor."""
    return full((), s, dtype=dtype or _native.default_dtype(), device=device, requires_grad=requires_grad)


# -- ranges ----------------------------------------------------------------------------------------------------------


def arange(start, end=None, step=1, *, out=None, dtype=None, layout=None, device=None, requires_grad=False) -> Tensor:
    """start, start + step, … up to but not including end. Integers give int64."""
    start, end, step = _number(start), _number(end), _number(step)
    if end is None:
        start, end = 0, start
    if dtype is None:
        whole = all(isinstance(x, numbers.Integral) for x in (start, end, step))
        dtype = _dtypes.int64 if whole else _native.default_dtype()
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    n = math.ceil((end - start) / step)
    a = _new((n,), dtype, device, requires_grad, layout)
    K.arange_into(a, start, step)
    return write_out(out, _native.wrap(a)) if out is not None else _finish(a, requires_grad)


def linspace(start, end, steps, *, out=None, dtype=None, layout=None, device=None, requires_grad=False) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    start, end = _number(start), _number(end)
    if steps < 0:
        raise RuntimeError("number of steps must be non-negative")
    a = _new((steps,), dtype, device, requires_grad, layout)
    K.linspace_into(a, float(start), float(end))
    return write_out(out, _native.wrap(a)) if out is not None else _finish(a, requires_grad)


def logspace(start, end, steps, base=10.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False) -> Tensor:
    """base ** linspace(start, end, steps)."""
    exponents = linspace(start, end, steps, dtype=_dtypes.float64)
    result = (base**exponents).to(dtype or _native.default_dtype())
    return write_out(out, result) if out is not None else result.requires_grad_(requires_grad)


def eye(n, m=None, *, out=None, dtype=None, layout=None, device=None, requires_grad=False) -> Tensor:
    """Ones on the diagonal, zeros elsewhere."""
    m = n if m is None else m
    if n < 0 or m < 0:
        raise RuntimeError(f"{'n' if n < 0 else 'm'} must be greater or equal to 0, got {n if n < 0 else m}")
    a = _new((n, m), dtype, device, requires_grad, layout)
    K.fill_into(a, 0)
    K.fill_into(a.as_strided((min(n, m),), (m + 1,), 0), 1)
    return write_out(out, _native.wrap(a)) if out is not None else _finish(a, requires_grad)


def meshgrid(*tensors, indexing=None):
    """Coordinate grids of 1-d tensors, as views. `indexing`: "ij" (default) or "xy"."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            UserWarning,
            stacklevel=2,
        )
        indexing = "ij"
    if indexing not in ("ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    swap = indexing == "xy" and len(tensors) >= 2
    if swap:
        tensors = (tensors[1], tensors[0], *tensors[2:])
    shape = [x._a.numel for x in tensors]
    grids = [x.reshape([-1 if i == k else 1 for k in range(len(shape))]).expand(shape) for i, x in enumerate(tensors)]
    if swap:
        grids[0], grids[1] = grids[1], grids[0]
    return tuple(grids)


def cartesian_prod(*tensors) -> Tensor:
    """All combinations of elements, one per row."""
    from .shape import stack

    if len(tensors) == 1:
        return tensors[0]
    return stack([g.reshape(-1) for g in meshgrid(*tensors, indexing="ij")], 1)


def tril_indices(row, col, offset=0, *, dtype=_dtypes.int64, device=None, layout=None) -> Tensor:
    """Rows and columns of the elements on and below a diagonal, as a (2, n) tensor."""
    return tensor(np.stack(np.tril_indices(row, offset, col))).to(dtype)


def triu_indices(row, col, offset=0, *, dtype=_dtypes.int64, device=None, layout=None) -> Tensor:
    """Rows and columns of the elements on and above a diagonal, as a (2, n) tensor."""
    return tensor(np.stack(np.triu_indices(row, offset, col))).to(dtype)


# -- dtypes ----------------------------------------------------------------------------------------------------------


def promote_types(type1, type2):
    """The smallest dtype that holds both."""
    return K.add(_native.empty((0,), type1.code), _native.empty((0,), type2.code)).dtype


def _as_operand(x):
    return x._a if isinstance(x, Tensor) else x


def result_type(*operands):
    """The dtype that arithmetic on the operands would have."""
    if len(operands) == 1:
        return operands[0].dtype
    if len(operands) == 2:
        a, b = operands
        if not isinstance(a, Tensor) and not isinstance(b, Tensor):
            return promote_types(_scalar_dtype(a), _scalar_dtype(b))
        small = [x._a.as_strided((min(x._a.numel, 1),) if x._a.ndim else (), (1,) if x._a.ndim else (), x._a.offset)
                 if isinstance(x, Tensor) else x for x in operands]  # fmt: skip
        return K.add(*small).dtype
    return result_type(operands[0].new_empty((0,), dtype=result_type(*operands[:-1])), operands[-1])


def can_cast(from_, to) -> builtins.bool:
    """Whether PyTorch's rules allow the conversion in an in-place op (float to integer is not allowed)."""
    rank = lambda d: 2 if d.is_floating_point else 0 if d is _dtypes.bool_ else 1  # noqa: E731
    return rank(from_) <= rank(to)


def is_tensor(obj) -> builtins.bool:
    """Whether `obj` is a tensor."""
    return isinstance(obj, Tensor)


def is_floating_point(input) -> builtins.bool:
    """Whether the dtype is a floating-point type."""
    return input._a.dtype.is_floating_point


@op(grad_name="ToCopyBackward0")
def _to_copy(x, /, *, dtype):
    return K.copy(x) if x.dtype is dtype else _cast(x, dtype)


_to_copy.vjp(x=lambda g, x_dtype: _to_copy(g, dtype=x_dtype))


def _parse_to(args, kwargs):
    dtype = device = other = None
    for x in args:
        if isinstance(x, _dtypes.dtype):
            dtype = x
        elif isinstance(x, Tensor):
            other = x
        elif isinstance(x, builtins.bool):
            pass  # non_blocking, copy by position
        else:
            device = x
    dtype = kwargs.pop("dtype", dtype)
    device = kwargs.pop("device", device)
    other = kwargs.pop("other", other)
    copy = kwargs.pop("copy", False)
    kwargs.pop("non_blocking", None)
    kwargs.pop("memory_format", None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    if other is not None:
        dtype = other._a.dtype
    as_device(device)
    return dtype, copy


def _to(self, *args, **kwargs):
    """This tensor with another dtype (the device can only be the CPU): itself if nothing changes and not `copy`."""
    dtype, copy = _parse_to(args, kwargs)
    dtype = dtype or self._a.dtype
    if dtype is self._a.dtype and not copy:
        return self
    return _to_copy(self, dtype=dtype)


tensor_method("to", _to)
for _name, _dtype in {
    "float": _dtypes.float32, "double": _dtypes.float64, "half": _dtypes.float16, "bfloat16": _dtypes.bfloat16,
    "int": _dtypes.int32, "long": _dtypes.int64, "short": _dtypes.int16, "char": _dtypes.int8, "byte": _dtypes.uint8,
    "bool": _dtypes.bool_,
}.items():  # fmt: skip

    def _convert(self, memory_format=None, *, _dtype=_dtype):
        return self if self._a.dtype is _dtype else _to_copy(self, dtype=_dtype)

    _convert.__name__ = _name
    _convert.__doc__ = f"This tensor as {_dtype.name}."
    tensor_method(_name, _convert)


def _type(self, dtype=None, non_blocking=False):
    """The tensor's type as a string such as "torch.FloatTensor", or this tensor as another type."""
    if dtype is None:
        return f"torch.{self._a.dtype.scalar_name}Tensor"
    if isinstance(dtype, str):
        for d in _dtypes.ALL:
            if dtype == f"torch.{d.scalar_name}Tensor":
                dtype = d
                break
        else:
            raise ValueError(f"invalid type: '{dtype}'")
    return self.to(dtype)


tensor_method("type", _type)
tensor_method("type_as", lambda self, other: self.to(other._a.dtype))
tensor_method("cpu", lambda self, memory_format=None: self)


def _cuda(self, device=None, non_blocking=False, memory_format=None):
    as_device("cuda" if device is None or isinstance(device, builtins.int) else device)
    return self


tensor_method("cuda", _cuda)


# -- in-place filling ------------------------------------------------------------------------------------------------


@op
def _fill(x, value, /):
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, value.expand(x.shape) if hasattr(value, "expand") else _native.empty((), x.dtype.code))
    return out


_fill.vjp(x=lambda g: g * 0, value=lambda g: g.sum())


@op(grad_name="ZeroBackward0")
def _zero(x, /):
    out = _native.empty(x.shape, x.dtype.code)
    K.fill_into(out, 0)
    return out


_zero.vjp(x=lambda g: g * 0)


def _fill_(self, value):
    """Every element set to one number (or 0-d tensor). In place; returns self."""
    if isinstance(value, Tensor):
        if value._a.ndim:
            raise RuntimeError(
                f"fill_ only supports 0-dimension value tensor but got tensor with {value._a.ndim} dimensions."
            )
        return apply_inplace(_fill, self, value)
    return apply_inplace(_zero, self, into=lambda out, _: K.fill_into(out, value))


def _write_zeros(out, _):
    K.fill_into(out, 0)


def _zero_(self):
    """Every element set to 0. In place; returns self."""
    return apply_inplace(_zero, self, into=_write_zeros)


tensor_method("fill_", _fill_)
tensor_method("zero_", _zero_)


@op(broadcasts=True, grad_name="CopyBackwards")
def _copy(x, src, /):
    out = _native.empty(x.shape, x.dtype.code)
    K.copy_into(out, src.expand(x.shape))
    return out


_copy.vjp(x=lambda g: g * 0, src=lambda g: g)


@method
def copy_(self: Tensor, src: Tensor, non_blocking: builtins.bool = False) -> Tensor:
    """The elements of `src`, broadcast and converted, written into this tensor. Returns self."""
    if not isinstance(src, Tensor):
        src = tensor(src, dtype=self._a.dtype)
    shape, given = self._a.shape, src._a.shape
    if given != shape:
        if len(given) <= len(shape):
            for d, (n, m) in enumerate(zip(shape[::-1], given[::-1], strict=False), 1):
                if m not in (1, n):
                    raise RuntimeError(
                        f"The size of tensor a ({n}) must match the size of tensor b ({m}) at non-singleton dimension {len(shape) - d}"
                    )
        src = src.expand(shape)
    return apply_inplace(_copy, self, src, into=_write_copy)


def _write_copy(out, _, source):
    K.copy_into(out, source)
