"""The ONNX graph being built. A size that depends on a dynamic axis is a `Dynamic`; everything else is a plain int."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np

__all__ = ["Dynamic", "Graph", "Ref", "Result"]


class Dynamic(NamedTuple):
    """A size that differed between the two recordings."""

    first: int
    second: int


class Ref(NamedTuple):
    """A value in the graph: its name and what is known of it. `dims` holds ints and `Dynamic`s."""

    name: str
    dims: tuple
    dtype: object

    @property
    def shape(self):
        return tuple(d.first if isinstance(d, Dynamic) else d for d in self.dims)

    @property
    def ndim(self):
        return len(self.dims)


class Result(NamedTuple):
    """What a call gives: dims and dtype."""

    dims: tuple
    dtype: object

    @property
    def shape(self):
        return tuple(d.first if isinstance(d, Dynamic) else d for d in self.dims)


class Graph:
    def __init__(self, onnx, opset, axes, error):
        self.onnx, self.opset, self.axes, self.error = onnx, opset, axes, error
        self.nodes, self.initializers = [], {}
        self.prefix = ""
        self._count = itertools.count()
        self._shared = {}

    # -- nodes and constants -------------------------------------------------------------------------------------

    def node(self, kind, *inputs, outputs=1, **attrs):
        """Adds a node; its inputs are names, Refs or "" for none. Returns the output's name, or a list of several."""
        n = next(self._count)
        names = [f"{self.prefix}/{kind}_{n}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        inputs = [x.name if isinstance(x, Ref) else x for x in inputs]
        while inputs and inputs[-1] == "":
            inputs.pop()
        name = f"{self.prefix}/{kind}_{n}"
        self.nodes.append(self.onnx.helper.make_node(kind, inputs, names, name=name, **attrs))
        return names[0] if outputs == 1 else names

    def const(self, value, dtype=np.int64):
        """The name of a constant; equal ones are stored once."""
        value = np.asarray(value, dtype=getattr(dtype, "numpy", dtype))
        key = value.dtype.str, value.shape, value.tobytes()
        if key not in self._shared:
            self._shared[key] = self.initializer(f"onnx::const_{len(self._shared)}", value)
        return self._shared[key]

    def initializer(self, name, value):
        # Not np.ascontiguousarray, which gives a number one dimension.
        self.initializers[name] = self.onnx.numpy_helper.from_array(np.array(value, order="C"), name)
        return name

    def type_of(self, dtype):
        """ONNX's number for a dtype."""
        if dtype.name == "bfloat16":
            return self.onnx.TensorProto.BFLOAT16
        return self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype.numpy))

    def cast(self, x, dtype):
        """x, or a number, as a value of that dtype."""
        if not isinstance(x, Ref):
            return self.const(x, dtype)
        return x.name if x.dtype is dtype else self.node("Cast", x, to=self.type_of(dtype))

    def reduce(self, kind, x, axes, keepdim):
        """A Reduce... node; the axes became an input with opset 18 (for sums with 13)."""
        keep = int(keepdim)
        if self.opset >= 18 or kind == "ReduceSum":
            return self.node(kind, x, self.const(axes), keepdims=keep)
        return self.node(kind, x, axes=list(axes), keepdims=keep)

    # -- sizes -----------------------------------------------------------------------------------------------------

    def dim_name(self, d):
        """The name of a size in the signature of the model; "" if it is some function of dynamic axes."""
        if not isinstance(d, Dynamic):
            return d
        return next((n for n, (size, _, _) in self.axes.items() if size == d), "")

    def size(self, d):
        """A vector with one size, computed while the model runs."""
        if not isinstance(d, Dynamic):
            return self.const([d])
        names = list(self.axes)
        for chosen in [(n,) for n in names] + list(itertools.combinations(names, 2)):
            sizes = [self.axes[n][0] for n in chosen]
            first, second = np.prod([s.first for s in sizes]), np.prod([s.second for s in sizes])
            if d.first % first == 0 and d.first // first * second == d.second:
                parts = [self._axis(*self.axes[n][1:]) for n in chosen]
                if d.first // first != 1:
                    parts.append(self.const([d.first // first]))
                total = parts[0]
                for part in parts[1:]:
                    total = self.node("Mul", total, part)
                return total
        raise self.error(f"a size ({d.first}, or {d.second} for other inputs) is not a multiple of the dynamic axes")

    def _axis(self, input_name, axis):
        return self.node("Gather", self.node("Shape", input_name), self.const([axis]), axis=0)

    def sizes(self, dims):
        """A vector of sizes."""
        if not any(isinstance(d, Dynamic) for d in dims):
            return self.const(dims)
        return self.node("Concat", *(self.size(d) for d in dims), axis=0)

    def reshape(self, x, dims, old=()):
        """x with other sizes. One dynamic size is left to be inferred; a size that stays where it was is copied."""
        wanted = list(dims)
        if 0 not in wanted:
            for i, d in enumerate(wanted):
                if isinstance(d, Dynamic) and i < len(old) and old[i] == d:
                    wanted[i] = 0
            unknown = [i for i, d in enumerate(wanted) if isinstance(d, Dynamic)]
            if unknown:
                wanted[unknown[0]] = -1
        return self.node("Reshape", x, self.sizes(wanted), allowzero=int(0 in dims))

    def expand(self, x, old, dims):
        """x repeated along dimensions of size 1."""
        old = (1,) * (len(dims) - len(old)) + tuple(old)
        if old == tuple(dims):
            return self.reshape(x, dims) if len(old) != len(dims) else self.node("Identity", x)
        return self.node("Expand", x, self.sizes([1 if a == b else b for a, b in zip(old, dims, strict=True)]))
