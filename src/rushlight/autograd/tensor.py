"""`Tensor`: a strided array with an optional history. Operations are attached by `rushlight.ops`."""

from __future__ import annotations

import copy
import warnings
import weakref

import numpy as np

from .. import _dtypes, _native, _recording
from .._device import CPU
from .._kernels import K
from .backward import backward as _backward
from .hooks import TensorHooks, add_hook
from .inplace import refresh_view
from .interop import from_numpy
from .node import edge_of

__all__ = ["Tensor", "Size"]

_NON_LEAF_GRAD = (
    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be "
    "populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, "
    "use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access "
    "the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more informations."
)


class Size(tuple):
    """A tensor's shape: a tuple of ints that prints as `torch.Size([2, 3])`."""

    __slots__ = ()

    def numel(self) -> int:
        n = 1
        for s in self:
            n *= s
        return n

    def __repr__(self):
        return f"torch.Size([{', '.join(map(str, self))}])"

    __str__ = __repr__

    def __getitem__(self, index):
        item = tuple.__getitem__(self, index)
        return Size(item) if isinstance(index, slice) else item

    def __add__(self, other):
        return Size(tuple.__add__(self, tuple(other)))

    def __radd__(self, other):
        return Size(tuple(other) + tuple(self))

    def __mul__(self, n):
        return Size(tuple.__mul__(self, n))

    __rmul__ = __mul__

    def __reduce__(self):
        return Size, (tuple(self),)


class Tensor(_native.TensorBase):
    """An n-dimensional array of one dtype, with PyTorch's methods and autograd.

    Reference: https://docs.pytorch.org/docs/stable/tensors.html
    """

    # -- geometry -------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._a.shape)

    def size(self, dim=None):
        """The shape, or the size of one dimension."""
        if dim is None:
            return Size(self._a.shape)
        return self._a.shape[_wrap_dim(dim, self._a.ndim)]

    def stride(self, dim=None):
        """Steps between neighbours along each dimension, in elements."""
        if dim is None:
            return self._a.strides
        return self._a.strides[_wrap_dim(dim, self._a.ndim)]

    def storage_offset(self) -> int:
        return self._a.offset

    def dim(self) -> int:
        return self._a.ndim

    @property
    def ndim(self) -> int:
        return self._a.ndim

    def ndimension(self) -> int:
        return self._a.ndim

    def numel(self) -> int:
        return self._a.numel

    def nelement(self) -> int:
        return self._a.numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self._a.itemsize

    @property
    def itemsize(self) -> int:
        return self._a.itemsize

    @property
    def nbytes(self) -> int:
        return self._a.itemsize * self._a.numel

    @property
    def dtype(self):
        return self._a.dtype

    @property
    def device(self):
        return CPU

    @property
    def layout(self):
        return strided

    @property
    def is_cuda(self) -> bool:
        return False

    is_cpu = property(lambda self: True)
    is_sparse = property(lambda self: False)
    is_quantized = property(lambda self: False)
    is_meta = property(lambda self: False)
    is_nested = property(lambda self: False)
    is_mps = property(lambda self: False)
    names = property(lambda self: (None,) * self._a.ndim)

    def is_contiguous(self, memory_format=None) -> bool:
        if memory_format is not None and self._a.ndim == _CHANNELS_LAST_RANKS.get(memory_format.name):
            return self._a.permute((0, *range(2, self._a.ndim), 1)).contiguous
        return self._a.contiguous

    def is_floating_point(self) -> bool:
        return self._a.dtype.is_floating_point

    def is_complex(self) -> bool:
        return False

    def is_signed(self) -> bool:
        return self._a.dtype.is_signed

    def is_inference(self) -> bool:
        return self._is_inference

    def data_ptr(self) -> int:
        return self._a.data_ptr

    def get_device(self) -> int:
        return -1

    def is_shared(self) -> bool:
        return False

    def is_pinned(self) -> bool:
        return False

    def pin_memory(self):
        """The tensor itself: there is no device that would copy from pinned memory."""
        return self

    def share_memory_(self):
        """The tensor itself; DataLoader workers send copies."""
        return self

    # -- autograd --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        if self._base is not None:
            self._refresh_if_stale()
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value):
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True):
        """Says whether ops on this leaf are recorded. Returns self.

        Raises: RuntimeError for integer dtypes, and for turning it off on a non-leaf.
        """
        requires_grad = bool(requires_grad)
        if requires_grad and not self._a.dtype.is_floating_point:
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if self.grad_fn is not None:
            if not requires_grad:
                raise RuntimeError(
                    "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                    "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
                )
            return self
        if requires_grad and self._is_inference and not _native.is_inference_enabled():
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = requires_grad
        return self

    @property
    def grad_fn(self):
        """The node that made this tensor; None for a leaf."""
        if self._base is not None:
            self._refresh_if_stale()
        return self._node

    @property
    def is_leaf(self) -> bool:
        return self.grad_fn is None

    @property
    def grad(self):
        """The gradient accumulated by `backward()`, or None."""
        if self._grad is None and self._node is not None and not self._retains_grad:
            warnings.warn(_NON_LEAF_GRAD, UserWarning, stacklevel=2)
        _recording.note_grad(self)
        return self._grad

    @grad.setter
    def grad(self, value):
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(
                    f"assigned grad expected to be a Tensor or None but got grad of type '{type(value).__name__}'"
                )
            if value is self:
                raise RuntimeError("can't assign Variable as its own grad")
            if value.shape != self._a.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                    f"'{list(self._a.shape)}'. Please ensure that the gradient and the tensor are the same size"
                )
            if value.dtype is not self._a.dtype:
                raise RuntimeError(
                    f"attempting to assign a gradient with dtype '{value.dtype.scalar_name.lower()}' to a tensor with "
                    f"grad_dtype '{self._a.dtype.scalar_name}'. The gradient must have the tensor's dtype."
                )
        self._grad = value

    @grad.deleter
    def grad(self):
        self._grad = None

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
        """Adds d self / d leaf to every leaf's `.grad`. See `rushlight.autograd.backward`."""
        _backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    def detach(self):
        """The same values and memory, without history."""
        return _recording.note_alias(_native.wrap_as(Tensor, self._a.alias(self._a.untracked)), self)

    def detach_(self):
        """Cuts the history off in place."""
        if self._base is not None:
            raise RuntimeError(
                "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for "
                "training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence "
                "detach_() cannot be called on these gradients. To fix this error, please refer to the Optimizer."
                "zero_grad() function in torch/optim/optimizer.py as the solution."
            )
        self._node, self._output_nr, self._requires_grad = None, 0, False
        return self

    @property
    def data(self):
        """The same memory without history; writes through it are not noticed by autograd."""
        return _recording.note_alias(_native.wrap(self._a.alias(True)), self)

    @data.setter
    def data(self, value):
        if not isinstance(value, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(value).__name__}")
        self._a = value._a.alias(False)

    def retain_grad(self):
        """Keeps `.grad` of this non-leaf during `backward()`."""
        if not self.requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        node = self.grad_fn
        if node is None or self._retains_grad:
            return
        self._retains_grad = True
        if node.retain is None:
            node.retain = {}
        node.retain[self._output_nr] = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        return self._retains_grad

    def register_hook(self, hook):
        """`hook(grad)` whenever this tensor's gradient is computed; a returned tensor replaces it."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        node = self.grad_fn
        if node is None:
            return add_hook(self._leaf_hooks().grad, hook)
        if node.tensor_hooks is None:
            node.tensor_hooks = {}
        return add_hook(node.tensor_hooks.setdefault(self._output_nr, {}), hook)

    def register_post_accumulate_grad_hook(self, hook):
        """`hook(param)` after `.grad` of this leaf has been accumulated."""
        if not self.requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return add_hook(self._leaf_hooks().post_accumulate, hook)

    def _leaf_hooks(self):
        if self._hooks is None:
            self._hooks = TensorHooks()
        return self._hooks

    @property
    def output_nr(self) -> int:
        return self._output_nr

    @property
    def _version(self) -> int:
        return self._a.version

    def _is_view(self) -> bool:
        return self._base is not None

    def _refresh_view(self):
        refresh_view(self)

    def _refresh_if_stale(self):
        if self._base._requires_grad and self._view_version != self._a.version:
            refresh_view(self)

    def _gradient_edge(self):
        return edge_of(self)

    # -- Python's protocols ----------------------------------------------------------------------------------------

    def item(self):
        """The value of a one-element tensor as a Python number.

        Raises: RuntimeError if there is not exactly one element.
        """
        a = self._a
        if a.numel != 1:
            raise RuntimeError(f"a Tensor with {a.numel} elements cannot be converted to Scalar")
        return a.item()

    def tolist(self):
        """Nested lists of Python numbers; a number for a 0-d tensor."""
        return self._a.tolist()

    def __bool__(self):
        n = self._a.numel
        if n != 1:
            which = "no values" if n == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {which} is ambiguous")
        return bool(self._a.item())

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __complex__(self):
        return complex(self.item())

    def __index__(self):
        if self._a.numel != 1 or self._a.dtype.is_floating_point:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self._a.item())

    def __format__(self, spec):
        if self._a.ndim == 0 and type(self) is Tensor:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __len__(self):
        if self._a.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._a.shape[0]

    def __iter__(self):
        if self._a.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, element):
        if isinstance(element, (Tensor, int, float, bool)):
            return bool((self == element).any())
        raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(element)}.")

    def __hash__(self):
        return id(self)

    def __repr__(self, *, tensor_contents=None):
        from .printing import tensor_repr

        return tensor_repr(self)

    def __dir__(self):
        return sorted(n for n in object.__dir__(self) if not n.startswith("_tensor"))

    # -- NumPy and other libraries ------------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False):
        """The same memory as a NumPy array.

        Raises: RuntimeError if the tensor requires a gradient (`force=True` detaches), TypeError for bfloat16.
        """
        if self.requires_grad:
            if not force:
                raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
            return self.detach().numpy()
        if self._a.dtype is _dtypes.bfloat16:
            raise TypeError("Got unsupported ScalarType BFloat16")
        return np.asarray(self._a)

    def __array__(self, dtype=None, copy=None):
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError("Unable to avoid copy while creating an array as requested.")
            return array.astype(dtype)
        return array.copy() if copy else array

    __array_priority__ = 1000

    def __array_wrap__(self, array, context=None, return_scalar=False):
        array = np.asarray(array)
        return from_numpy(array.astype(np.uint8) if array.dtype == bool else array)

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if self.requires_grad:
            raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
        return self.numpy().__dlpack__()

    def __dlpack_device__(self):
        return (1, 0)

    # -- copying and pickling --------------------------------------------------------------------------------------------

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
                "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
                "see https://github.com/pytorch/pytorch/pull/103001"
            )
        if id(self) in memo:
            return memo[id(self)]
        # Tensors that share memory share it in the copy too.
        key = ("storage", self._a.storage_id)
        if key in memo:
            a = memo[key].as_strided(self._a.shape, self._a.strides, self._a.offset)
        elif self._a.contiguous and self._a.numel * self._a.itemsize == self._a.storage_nbytes:
            a = memo[key] = K.copy(self._a)
        else:
            size = self._a.storage_nbytes // self._a.itemsize
            whole = self._a.as_strided((size,), (1,), 0)
            memo[key] = K.copy(whole)
            a = memo[key].as_strided(self._a.shape, self._a.strides, self._a.offset)
        out = _native.wrap_as(type(self), a)
        out._requires_grad = self._requires_grad
        memo[id(self)] = out
        if self._grad is not None:
            out._grad = copy.deepcopy(self._grad, memo)
        if self.__dict__:
            out.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return out

    def __reduce_ex__(self, protocol):
        if not self.is_leaf and self._requires_grad:
            raise RuntimeError("Only Tensors that are graph leaves can be pickled; use tensor.detach() first")
        a = self._a if self._a.contiguous else _dense(self._a)
        return _rebuild, (type(self), memoryview(a.reinterpret(_dtypes.uint8.code) if a.itemsize == 1 else a).tobytes()
                          if a.dtype is not _dtypes.bfloat16 else bytes(memoryview(a.reinterpret(_dtypes.int16.code))),
                          a.shape, a.dtype, self._requires_grad, self.__dict__ or None)  # fmt: skip


def _dense(a):
    out = _native.empty(a.shape, a.dtype.code)
    K.copy_into(out, a)
    return out


def _rebuild(cls, data, shape, dtype, requires_grad, attributes):
    a = _native.empty(shape, dtype.code)
    flat = a.reinterpret(_dtypes.int16.code) if dtype is _dtypes.bfloat16 else a
    if a.numel:
        array = np.asarray(flat)
        array[...] = np.frombuffer(data, dtype=array.dtype).reshape(shape)
    out = _native.wrap_as(cls, a)
    out._requires_grad = requires_grad
    if attributes:
        out.__dict__.update(attributes)
    return out


def _wrap_dim(dim, ndim):
    low, high = (-ndim, ndim - 1) if ndim else (-1, 0)
    if not low <= dim <= high:
        raise IndexError(f"Dimension out of range (expected to be in range of [{low}, {high}], but got {dim})")
    return dim + ndim if dim < 0 else dim


class layout:
    """How elements are laid out: `strided`, or `sparse_coo` for the sparse tensors of ops/sparse.py."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"


strided = layout("strided")
sparse_coo = layout("sparse_coo")

class memory_format:
    """In which order a tensor's dimensions lie in memory; an argument of clone, contiguous and the *_like functions."""

    def __init__(self, name):
        self.name = name

    def __repr__(self):
        return f"torch.{self.name}"

    def __reduce__(self):
        return self.name


contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")

_CHANNELS_LAST_RANKS = {"channels_last": 4, "channels_last_3d": 5}

_native.set_tensor_type(Tensor)
