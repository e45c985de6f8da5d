"""Recording a model: every op call, and for every argument where its value came from.

Values are known by the memory they lie in: storage, offset, shape and strides. What an op wrote is a traced value, and so
are the model's inputs, parameters and buffers; any other tensor is a constant, of which a copy is kept. A storage's version
tells whether memory was changed in a way that the record does not show; using such a tensor is an error, never a guess.

What depends on parameters and buffers alone is recorded too, so that they appear in the file under their names; but an op on
them that ONNX lacks, such as the exponential of a matrix in a parametrization, is computed now and becomes a constant.
"""

from __future__ import annotations

import numpy as np

from .. import _native
from ..autograd.tensor import Tensor
from .table import LOWERINGS

__all__ = ["Call", "ExportError", "Trace"]

# They give their input's values: nothing to record. A view of the same memory and shape has its input's key.
_SAME_VALUE = {"clone", "alias"}


class ExportError(RuntimeError):
    """The model cannot be expressed as an ONNX graph."""


class Call:
    """One op call. `args`: ("input" | "state" | "const" | "out", ...) for a tensor, anything else as it is."""

    __slots__ = ("name", "args", "specs", "attrs", "outs", "path")

    def __init__(self, name, args, specs, attrs, outs, path):
        self.name, self.args, self.specs, self.attrs, self.outs, self.path = name, args, specs, attrs, outs, path


def spec(t):
    return tuple(t._a.shape), t._a.dtype


def _key(a):
    # The stride of a dimension of size 1 means nothing.
    strides = tuple(0 if n == 1 else s for n, s in zip(a.shape, a.strides, strict=True))
    return a.storage_id, a.offset, tuple(a.shape), strides, a.dtype


class Trace:
    """`run` fills `calls`, `constants` (NumPy arrays) and `outputs` (values and their specs)."""

    def __init__(self, model):
        self.model = model
        self.inputs, self.calls, self.constants, self.outputs = [], [], [], []
        self._values = {}  # key -> (value, version of the storage when it was known to hold it)
        self._traced = set()  # storages that hold a traced value
        self._seen = {}  # storage -> version after the last recorded call
        self._keep = []  # memory must not be used again for another tensor
        self._path = []
        self._of_state = set()  # calls whose values depend on parameters and buffers alone

    def run(self, args, kwargs, inputs):
        self.inputs = inputs
        for i, t in enumerate(inputs):
            self._put(t, ("input", i))
        for name, t in [*self.model.named_parameters(), *self.model.named_buffers()]:
            if _key(t._a) not in self._values:
                self._put(t, ("state", name))
        hooks = []
        for name, module in self.model.named_modules():
            hooks.append(module.register_forward_pre_hook(lambda *_, name=name: self._path.append(name)))
            hooks.append(module.register_forward_hook(lambda *_: self._path.__delitem__(-1)))
        _native.set_tracer(self._record)
        try:
            result = self.model(*args, **kwargs)
        finally:
            _native.set_tracer(None)
            for h in hooks:
                h.remove()
        self.outputs = [(self._value(t), spec(t)) for t in _flat(result)]
        if not self.outputs:
            raise ExportError(f"{type(self.model).__name__} returns no tensor")
        return self

    def where(self):
        return (self._path[-1] if self._path else "") or type(self.model).__name__

    def _put(self, t, value):
        a = t._a
        self._values[_key(a)] = value, a.version
        self._traced.add(a.storage_id)
        self._seen[a.storage_id] = a.version
        self._keep.append(t)

    def _value(self, t, version=None):
        a = t._a
        version = a.version if version is None else version
        value, known = self._values.get(_key(a), (None, None))
        if value is not None and known == version:
            return value
        if a.storage_id in self._traced:
            what = "was written in place through another view" if value is not None else "shares memory with a traced one"
            raise ExportError(f"{self.where()}: a tensor of shape {list(a.shape)} {what}, which cannot be exported")
        return self._constant(t, version)

    def _constant(self, t, version):
        self.constants.append(np.array(t.detach().numpy()) if t.dtype.name != "bfloat16" else t.detach().float().numpy())
        value = "const", len(self.constants) - 1
        self._values[_key(t._a)] = value, version
        self._keep.append(t)
        return value

    def _record(self, op, args, attrs, out):
        inplace = bool(args) and out is args[0]
        sid = out._a.storage_id if inplace else None
        before = self._seen.get(sid)
        if inplace and sid in self._traced and out._a.version != before + 1:
            raise ExportError(f"{self.where()}: {op.name}_ on a tensor that was written in a way that cannot be exported")
        known = inplace and sid in self._traced
        values = [
            self._value(x, before if known and x._a.storage_id == sid else None) if isinstance(x, Tensor) else x for x in args
        ]
        tensors = [(v, x) for v, x in zip(values, args, strict=True) if isinstance(x, Tensor)]
        if all(v[0] == "const" for v, _ in tensors):
            return  # a constant expression
        of_state = all(v[0] in ("const", "state") or v[1] in self._of_state and v[0] == "out" for v, _ in tensors)
        if of_state and op.name not in LOWERINGS and not inplace:
            for t in out if isinstance(out, tuple) else (out,):
                self._constant(t, t._a.version)
            return
        if inplace and values[0][0] == "const" and op.name not in ("copy", "fill", "zero"):
            raise ExportError(f"{self.where()}: {op.name}_ writes into a constant, which cannot be exported")
        if op.name in _SAME_VALUE:
            self._put(out, values[0])
            return
        outs = out if isinstance(out, tuple) else (out,)
        if op.view and len(outs) == 1 and _key(outs[0]._a) == _key(args[0]._a):
            return
        specs = [spec(x) if isinstance(x, Tensor) else None for x in args]
        self.calls.append(Call(op.name, values, specs, attrs, [spec(t) for t in outs], self.where()))
        if of_state:
            self._of_state.add(len(self.calls) - 1)
        for i, t in enumerate(outs):
            self._put(t, ("out", len(self.calls) - 1, i))


def _flat(result):
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, dict):
        result = result.values()
    elif not isinstance(result, (tuple, list)):
        return []
    return [t for part in result for t in _flat(part)]
