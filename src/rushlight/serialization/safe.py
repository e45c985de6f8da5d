"""What a checkpoint may name when it is loaded as data: a fixed list, and what the user adds to it."""

from __future__ import annotations

import contextlib
from collections import Counter, OrderedDict
from pickle import UnpicklingError

from .. import _dtypes, _native
from .._device import device
from ..autograd.tensor import Size, Tensor, layout, sparse_coo, strided
from ..nn.parameter import Parameter
from ..ops.sparse import sparse_coo_tensor
from .names import FOREIGN, STORAGES
from .storages import Storage, StorageType, rebuild_tensor
from .unpickler import Builder, check_key

__all__ = ["SafeBuilder", "safe_find", "add_safe_globals", "clear_safe_globals", "get_safe_globals", "safe_globals"]

_BLOCKED = ("sys", "os", "posix", "nt")
_PYTHON2 = {"__builtin__": "builtins", "copy_reg": "copyreg"}

_user_globals: dict[str, object] = {}


def _name_of(entry):
    if isinstance(entry, tuple):
        if len(entry) != 2:
            raise ValueError(
                "Expected tuple of length 2 (global, str of callable full path), but got tuple of length: "
                f"{len(entry)}"
            )
        if type(entry[1]) is not str:
            raise TypeError(f"Expected second item in tuple to be str of callable full path, but got: {type(entry[1])}")
        return entry[1], entry[0]
    return f"{entry.__module__}.{entry.__qualname__}", entry


def add_safe_globals(safe_globals: list) -> None:
    """Allows `load(weights_only=True)` to create these classes and to call these functions.

    Args: classes or functions, or pairs of one and the dotted name that stands for it in files.
    """
    _user_globals.update(map(_name_of, safe_globals))


def get_safe_globals() -> list:
    """What was added by `add_safe_globals`."""
    return list(_user_globals.values())


def clear_safe_globals() -> None:
    """Takes back everything that was added by `add_safe_globals`."""
    _user_globals.clear()


@contextlib.contextmanager
def safe_globals(safe_globals: list):
    """`add_safe_globals` for the length of a `with` block."""
    before = dict(_user_globals)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _user_globals.clear()
        _user_globals.update(before)


class Constructor:
    """A function that may be called, by the rule given here and no other. Not callable itself."""

    def __init__(self, path, make):
        self.path, self.make = path, make

    def __repr__(self):
        return self.path


def _encode(text, encoding="latin1"):
    # How protocol 2 writes bytes. Other codecs can multiply their input, so they are refused.
    if type(text) is not str or encoding not in ("latin1", "latin-1"):
        raise UnpicklingError("_codecs.encode may only turn text into bytes by latin1")
    return text.encode("latin1")


def _bytearray(source=b"", encoding="latin1"):
    if type(source) is str:
        source = _encode(source, encoding)
    if type(source) is not bytes:  # an integer would allocate as much as the file likes
        raise UnpicklingError("bytearray may only be made of bytes")
    return bytearray(source)


def _bytes(*args):
    if args:
        raise UnpicklingError("bytes may only be made empty")
    return b""


def _set(items=()):
    if type(items) not in (list, tuple):
        raise UnpicklingError("set may only be made of a list")
    for item in items:
        check_key(item)
    return set(items)


def _complex(real=0.0, imag=0.0):
    if not all(isinstance(v, (int, float)) for v in (real, imag)):
        raise UnpicklingError("complex may only be made of numbers")
    return complex(real, imag)


def _ordered_dict(items=()):
    if type(items) not in (list, tuple, dict):
        raise UnpicklingError("OrderedDict may only be made of pairs")
    pairs = items.items() if type(items) is dict else items
    out = OrderedDict()
    for pair in pairs:
        key, value = pair if type(pair) in (tuple, list) else (None,)
        check_key(key)
        out[key] = value
    return out


def _counter(items=()):
    if type(items) not in (dict, tuple) or (type(items) is tuple and items):
        raise UnpicklingError("Counter may only be made of a dictionary")
    out = Counter()
    dict.update(out, items)
    return out


def _size(values=()):
    if type(values) not in (tuple, list) or any(type(v) is not int for v in values):
        raise UnpicklingError("torch.Size may only be made of integers")
    return Size(values)


def _device(name, index=None):
    if not isinstance(name, str) or not (index is None or type(index) is int):
        raise UnpicklingError("torch.device may only be made of a name and an index")
    return device(name) if index is None else device(name, index)


def _layout(name):
    known = {repr(one): one for one in (strided, sparse_coo)}
    return known.get(name) or layout(str(name).removeprefix("torch."))


def _attributes(t, state):
    """Puts attributes that a user had set on a tensor back, as plain attributes and nothing else."""
    if isinstance(state, tuple) and len(state) == 2:
        state = state[0]
    if state is None:
        return t
    if not isinstance(state, dict) or any(type(k) is not str for k in state):
        raise UnpicklingError("a tensor's attributes must be a dictionary with names")
    t.__dict__.update(state)
    return t


def _parameter(data=None, requires_grad=True, hooks=None, state=None):
    if data is not None and not isinstance(data, Tensor):
        raise UnpicklingError(f"a Parameter needs a tensor, got {type(data).__name__}")
    return _attributes(Parameter(data, requires_grad=requires_grad is True), state)


def _rebuild_v3(storage, offset, size, stride, requires_grad, hooks, dtype, metadata=None):
    raise UnpicklingError(f"tensors of {dtype!r} are not supported by rushlight")


def _sparse(kind, data):
    if kind is not sparse_coo or type(data) is not tuple or len(data) not in (3, 4):
        raise UnpicklingError(f"the file contains a sparse tensor of layout {kind!r}, which rushlight does not support")
    indices, values, size, coalesced = (*data, None)[:4]
    if type(indices) is not Tensor or type(values) is not Tensor or indices.dtype is not _dtypes.int64:
        raise UnpicklingError("a sparse tensor needs tensors of indices and values")
    try:
        return sparse_coo_tensor(indices, values, _size(tuple(size)), is_coalesced=coalesced is True or None)
    except (RuntimeError, TypeError) as error:
        raise UnpicklingError(f"damaged sparse tensor: {error}") from error


def _rebuild_from_type(rebuild, cls, args, state):
    make = rebuild.make if isinstance(rebuild, Constructor) else rebuild
    if make not in (rebuild_tensor, _parameter, _rebuild_v3):
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {rebuild!r}")
    if type(args) is not tuple:
        raise UnpicklingError("a call needs a tuple of arguments")
    t = make(*args)
    if isinstance(cls, type) and issubclass(cls, Tensor) and type(t) is not cls:
        requires_grad = t.requires_grad
        t = _native.wrap_as(cls, t._a)
        t._requires_grad = requires_grad
    return _attributes(t, state)


def _unsupported(what):
    def make(*args):
        raise UnpicklingError(f"the file contains {what}, which rushlight does not support")

    return make


def _empty_tensor(*args):
    if args:
        raise UnpicklingError("torch.Tensor may only be made empty and then filled")
    return _native.wrap(_native.empty((0,), _dtypes.float32.code))


# Classes, and how each may be made.
_CLASSES = {
    "collections.OrderedDict": (OrderedDict, _ordered_dict),
    "collections.Counter": (Counter, _counter),
    "builtins.set": (set, _set),
    "builtins.bytes": (bytes, _bytes),  # how protocol 2 writes b""
    "builtins.bytearray": (bytearray, _bytearray),
    "builtins.complex": (complex, _complex),
    "torch.Size": (Size, _size),
    "torch.device": (device, _device),
    "torch.Tensor": (Tensor, _empty_tensor),
    "torch.nn.parameter.Parameter": (Parameter, _parameter),
}
_MAKERS = dict(_CLASSES.values())
_FUNCTIONS = {
    "_codecs.encode": _encode,
    "torch.serialization._get_layout": _layout,
    "torch._utils._rebuild_tensor": rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type,
    "torch._utils._rebuild_sparse_tensor": _sparse,
    "torch._utils._rebuild_qtensor": _unsupported("a quantized tensor"),
    "torch._utils._rebuild_nested_tensor": _unsupported("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _unsupported("a meta tensor"),
    "torch._utils._rebuild_wrapper_subclass": _unsupported("a wrapped tensor subclass"),
}


def _allowed():
    found = {path: cls for path, (cls, _) in _CLASSES.items()}
    found.update((path, Constructor(path, make)) for path, make in _FUNCTIONS.items())
    for d in _dtypes.ALL:
        found[f"torch.{d.name}"] = d
        found[f"torch.{d.scalar_name}Tensor"] = Constructor(f"torch.{d.scalar_name}Tensor", _empty_tensor)
    for name, d in STORAGES.items():
        found[f"torch.{name}"] = found[f"torch.storage.{name}"] = StorageType(name, d)
    found["torch.storage.UntypedStorage"] = found["torch.UntypedStorage"] = StorageType("UntypedStorage", _dtypes.uint8)
    for name in FOREIGN:
        found[f"torch.{name}"] = StorageType(name, None)
    return found


ALLOWED = _allowed()


def lookup(name: tuple[str, str]):
    """(the dotted name, what it stands for or None) of a (module, name) from a pickle."""
    path = f"{_PYTHON2.get(name[0], name[0])}.{name[1]}"
    return path, ALLOWED.get(path, _user_globals.get(path))


def safe_find(module, name):
    """What a name of PyTorch stands for when Python's unpickler loads a trusted pickle; None if not known here."""
    found = ALLOWED.get(f"{module}.{name}")
    return found.make if isinstance(found, Constructor) else found


class SafeBuilder(Builder):
    """Creates what is on the list; raises PyTorch's errors for the rest.

    Args: `storage(pid)` gives the memory that a persistent id stands for. `length` is the pickle's: calls may copy
    their arguments, and a pickle may repeat a call on the same argument, so what they copy in total is bounded by it.
    """

    def __init__(self, storage, length: int):
        self.persistent = storage
        self._left = 16 * length + (1 << 20)

    def _spend(self, values):
        for value in values:
            if isinstance(value, (str, bytes, bytearray, list, tuple, dict, set)):
                self._left -= len(value)
        if self._left < 0:
            raise UnpicklingError("the pickle copies far more than it contains")

    def find(self, module, name):
        if module in _BLOCKED:
            path = f"{module}.{name}"
            raise UnpicklingError(f"Trying to load unsupported GLOBAL {path} whose module {module} is blocked.")
        path, known = lookup((module, name))
        if known is not None:
            return known
        path = path.removeprefix("builtins.") or path
        raise UnpicklingError(
            f"Unsupported global: GLOBAL {path} was not an allowed global by default. Please use "
            f"`torch.serialization.add_safe_globals([{path}])` or the `torch.serialization.safe_globals([{path}])` "
            "context manager to allowlist this global if you trust this class/function."
        )

    def _by_user(self, thing):
        return any(thing is one for one in _user_globals.values())

    def call(self, function, args):
        self._spend(args)
        if isinstance(function, Constructor):
            return function.make(*args)
        if isinstance(function, type) and function in _MAKERS:
            return _MAKERS[function](*args)
        if self._by_user(function):
            return function(*args)
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {function!r}")

    def new(self, cls, args, kwargs):
        self._spend(args)
        if isinstance(cls, type) and cls in _MAKERS and not kwargs:
            return _MAKERS[cls](*args)
        if isinstance(cls, type) and self._by_user(cls):
            return cls.__new__(cls, *args, **kwargs)
        raise UnpicklingError(
            f"Can only create new object for nn.Parameter or classes allowlisted via `add_safe_globals` but got {cls!r}"
        )

    def build(self, instance, state):
        self._spend((state,))
        cls = type(instance)
        if cls is Tensor and isinstance(state, tuple) and len(state) == 4 and isinstance(state[0], Storage):
            instance._a = rebuild_tensor(*state)._a  # how tensors were written before 2017
        elif cls is Parameter and isinstance(state, tuple) and len(state) == 4:
            instance._a = rebuild_tensor(*state)._a
        elif cls is OrderedDict:
            if type(state) is not dict or any(type(k) is not str for k in state):
                raise UnpicklingError("an OrderedDict's attributes must be a dictionary with names")
            instance.__dict__.update(state)
        elif self._by_user(cls):
            _build_user(instance, state)
        else:
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via `add_safe_globals`, "
                f"but got {cls}"
            )


def _build_user(instance, state):
    """What `pickle` does for a class that the user trusts."""
    if hasattr(instance, "__setstate__"):
        instance.__setstate__(state)
        return
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        instance.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(instance, name, value)
