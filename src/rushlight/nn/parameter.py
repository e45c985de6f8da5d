"""`Parameter` and `Buffer`: tensors that a module registers when they are assigned to it."""

from __future__ import annotations

from .. import _native
from .._dtypes import get_default_dtype
from ..autograd.tensor import Tensor
from ..ops.creation import empty

__all__ = ["Parameter", "UninitializedParameter", "is_lazy", "Buffer", "UninitializedBuffer", "UninitializedTensorMixin"]


def _same_memory(cls, data, requires_grad):
    """A leaf of type `cls` on `data`'s memory."""
    if requires_grad and not data._a.dtype.is_floating_point:
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    t = _native.wrap_as(cls, data._a.alias(False))
    t._requires_grad = bool(requires_grad)
    return t


class _ParameterMeta(type):
    # A tensor of a user's own class becomes a parameter by a flag, and keeps its class.
    def __instancecheck__(self, instance):
        if type.__instancecheck__(self, instance):
            return True
        return self is Parameter and isinstance(instance, Tensor) and getattr(instance, "_is_param", False)


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that is trained: assigned to a module, it appears in `module.parameters()`.

    Args: `data` (default: an empty tensor), whose memory is shared; `requires_grad` (default True, also under `no_grad`).
    Raises: RuntimeError for integer data with `requires_grad=True`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Parameter.html
    """

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            data = empty(0)
        if type(data) is Tensor or type(data) is Parameter:
            return _same_memory(cls, data, requires_grad)
        t = _same_memory(type(data), data, requires_grad)
        t.__dict__.update(data.__dict__)
        t._is_param = True
        return t

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        result = memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return result

    def __repr__(self):
        return "Parameter containing:\n" + super().__repr__()


class _BufferMeta(type):
    def __instancecheck__(self, instance):
        if type.__instancecheck__(self, instance):
            return True
        return self is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that belongs to a module's state but is not trained; assigned to a module, it becomes a buffer.

    Args: `data` (default: an empty tensor); `persistent`: whether it is part of the `state_dict`.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.parameter.Buffer.html
    """

    def __new__(cls, data=None, *, persistent=True):
        if data is None:
            data = empty(0)
        t = _same_memory(Tensor, data, data.requires_grad)
        t.persistent, t._is_buffer = persistent, True
        return t


_NO_SHAPE = (
    "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in `load_state_dict` when "
    "trying to load an uninitialized parameter into an initialized one. Call `forward` to initialize the parameters before "
    "accessing their attributes."
)


class UninitializedTensorMixin:
    """A parameter or buffer whose shape is known only after the first batch (lazy modules)."""

    cls_to_become = Tensor

    def materialize(self, shape, device=None, dtype=None):
        """Gives the tensor memory of this shape; from now on it is an ordinary parameter or buffer."""
        self.data = empty(shape, dtype=dtype or self._a.dtype, device=device)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(_NO_SHAPE)

    def share_memory_(self):
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. Call `forward` to initialize the parameters before "
            "calling `module.share_memory()`."
        )

    def __repr__(self):
        return f"<{self.__class__.__name__}>"

    def __reduce_ex__(self, protocol):
        return self.__class__, (self.requires_grad,)


def is_lazy(param) -> bool:
    """Whether the tensor has no shape yet."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):
    """A parameter without a shape; `materialize(shape)` turns it into a `Parameter`."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return _same_memory(cls, empty(0, dtype=dtype or get_default_dtype(), device=device), requires_grad)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.device, self._a.dtype)
        return memo[id(self)]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):
    """A buffer without a shape; `materialize(shape)` turns it into a tensor."""

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        t = _same_memory(cls, empty(0, dtype=dtype or get_default_dtype(), device=device), requires_grad)
        t.persistent, t._is_buffer = persistent, True
        return t
