"""`export`: two recordings of a model become one ONNX graph.

The model runs twice, with other sizes along the dynamic axes and other values of the inputs. What differs between the
recordings is what depends on the input: a size that differs is computed in the graph, a constant or argument that differs
cannot be exported and is an error.
"""

from __future__ import annotations

import importlib
import inspect
import os

import numpy as np

from .. import _native
from .._version import __version__
from ..autograd.tensor import Tensor
from ..ops.shape import cat
from .graph import Dynamic, Graph, Ref, Result
from .lowerings import LOWERINGS, POSITIONS, SIZES
from .trace import ExportError, Trace

__all__ = ["export"]

OPSETS = range(17, 21)


def export(model, args=(), f=None, *, kwargs=None, verbose=None, input_names=None, output_names=None, opset_version=None,
           export_params=True, keep_initializers_as_inputs=False, dynamic_axes=None, training=None,
           do_constant_folding=True):  # fmt: skip
    """Writes `model` as an ONNX file, in evaluation mode.

    Args: `args`: a tensor or a tuple of arguments, the last of which may be a dict of keyword arguments; `f`: a path or a
    binary file, None for neither; `input_names`, `output_names`: names, the first of which are given; `opset_version`: 17 to 20,
    default 18; `export_params=False`: parameters become inputs; `dynamic_axes`: {"name": {0: "batch"}} or {"name": [0]};
    `do_constant_folding` has no effect: constant expressions are always folded.
    Returns the model as an `onnx.ModelProto`.
    Raises: ImportError without the `onnx` package; RuntimeError for what cannot be exported, naming module and op.
    Reference: https://docs.pytorch.org/docs/stable/onnx.html
    """
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        raise ImportError("exporting a model needs onnx: pip install 'rushlight[onnx]'") from None
    opset = 18 if opset_version is None else opset_version
    if opset not in OPSETS:
        raise ValueError(f"opset_version must be {OPSETS[0]} to {OPSETS[-1]}, but got {opset}")
    if str(getattr(training, "name", "EVAL")) != "EVAL":
        raise ValueError("only evaluation mode can be exported")
    args, kwargs = _arguments(args, kwargs)
    inputs = [x for x in [*args, *kwargs.values()] if isinstance(x, Tensor)]
    names = _names(model, args, kwargs, list(input_names or ()))
    sizes = _dynamic(names, inputs, list(output_names or ()), dynamic_axes or {})
    first, second = _record_twice(model, args, kwargs, sizes)
    _compare(first, second)
    axes = {name: (Dynamic(a, b), names[i], d) for name, a, b, places in sizes for i, d in places[:1]}
    proto = _Builder(onnx, opset, axes, first, second).build(
        model, names, list(output_names or ()), export_params, keep_initializers_as_inputs)  # fmt: skip
    if verbose:
        print(onnx.printer.to_text(proto))
    if f is not None:
        data = proto.SerializeToString()
        if isinstance(f, (str, os.PathLike)):
            with open(f, "wb") as file:
                file.write(data)
        else:
            f.write(data)
    return proto


# -- inputs ------------------------------------------------------------------------------------------------------------


def _arguments(args, kwargs):
    args = (args,) if isinstance(args, Tensor) else tuple(args)
    kwargs = dict(kwargs or {})
    if args and isinstance(args[-1], dict):
        args, kwargs = args[:-1], {**args[-1], **kwargs}
    return args, kwargs


def _names(model, args, kwargs, given):
    """The inputs' names: those given, then the names of forward's parameters."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    positional += [f"input_{i}" for i in range(len(positional), len(args))]
    names = [n for n, x in zip(positional, args, strict=False) if isinstance(x, Tensor)]
    names += [n for n, x in kwargs.items() if isinstance(x, Tensor)]
    if len(given) > len(names):
        raise RuntimeError(f"number of input names provided ({len(given)}) exceeded number of inputs ({len(names)})")
    return given + names[len(given) :]


def _dynamic(names, inputs, output_names, dynamic_axes):
    """[(axis name, size in the first recording, in the second, [(input, dimension), ...])]."""
    places = {}
    for name, axes in dynamic_axes.items():
        if name not in names:
            if name in output_names:
                continue  # an output's dynamic sizes follow from the inputs'
            raise RuntimeError(f"dynamic_axes names {name!r}, which is neither an input ({', '.join(names)}) nor an output")
        i = names.index(name)
        items = axes.items() if isinstance(axes, dict) else [(d, f"{name}_dynamic_axes_{k + 1}") for k, d in enumerate(axes)]
        for d, label in items:
            ndim = inputs[i].ndim
            if not -ndim <= d < ndim:
                raise RuntimeError(f"dynamic_axes: input {name!r} has {ndim} dimensions, there is no dimension {d}")
            places.setdefault(label, []).append((i, d % ndim))
    out = []
    for k, (label, where) in enumerate(places.items()):
        found = {inputs[i].shape[d] for i, d in where}
        if len(found) > 1:
            raise RuntimeError(f"the dynamic axis {label!r} has different sizes: {sorted(found)}")
        size = max(found.pop(), 2)  # a size of 1 broadcasts, and is not what the axis will be
        out.append((label, size, size + 3 + k, where))  # far enough apart that size // 2 differs too
    return out


def _resized(x, dim, size):
    parts = -(-size // x.shape[dim])
    return cat([x] * parts, dim).narrow(dim, 0, size).contiguous()


def _record_twice(model, args, kwargs, sizes):
    was = [(m, m.training) for m in model.modules()]
    grad = _native.set_grad_enabled(False)
    try:
        model.eval()
        return [_record(model, args, kwargs, sizes, turn) for turn in (0, 1)]
    finally:
        _native.set_grad_enabled(grad)
        for m, training in was:
            m.training = training


def _record(model, args, kwargs, sizes, turn):
    inputs = []

    def prepare(x):
        if not isinstance(x, Tensor):
            return x
        i = len(inputs)
        x = x.detach().clone()
        for _, *size, places in sizes:
            for j, d in places:
                if i == j:
                    x = _resized(x, d, size[turn])
        if turn and x.numel():  # other values; of integers, which may be positions, only another order
            x = x.flip(tuple(range(x.ndim)))
            x = x * 0.75 + 0.125 if x.dtype.is_floating_point else x
        inputs.append(x)
        return x

    args = [prepare(x) for x in args]
    kwargs = {k: prepare(x) for k, x in kwargs.items()}
    try:
        return Trace(model).run(args, kwargs, inputs)
    except Exception as e:
        if turn:
            e.add_note(f"(in the second recording, with inputs of shape {', '.join(str(list(x.shape)) for x in inputs)})")
        raise


def _compare(first, second):
    """Raises if the two recordings are not the same but for sizes."""
    for a, b in zip(first.calls, second.calls, strict=False):
        if a.name.replace("unsafe_", "") != b.name.replace("unsafe_", "") or a.path != b.path:
            raise ExportError(f"{a.path}: which ops run ({a.name} or {b.name}) depends on the input")
    if len(first.calls) != len(second.calls) or len(first.outputs) != len(second.outputs):
        raise ExportError("how many ops run depends on the input")


# -- the graph -----------------------------------------------------------------------------------------------------------


def _dims(a, b):
    if len(a) != len(b):
        raise ExportError(f"the number of dimensions depends on the input: {list(a)} or {list(b)}")
    return tuple(x if x == y else Dynamic(x, y) for x, y in zip(a, b, strict=True))


class _Builder:
    def __init__(self, onnx, opset, axes, first, second):
        self.onnx, self.first, self.second = onnx, first, second
        self.g = Graph(onnx, opset, axes, ExportError)
        self.names = {}  # value -> its name in the graph

    def build(self, model, input_names, output_names, export_params, as_inputs):
        g, helper = self.g, self.onnx.helper
        self.state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.used = {}
        g.running_variance = self._running_variance
        self.model = model
        inputs = []
        for i, name in enumerate(input_names):
            self.names["input", i] = name
            a, b = self.first.inputs[i], self.second.inputs[i]
            inputs.append(self._info(name, _dims(a.shape, b.shape), a._a.dtype))
        for i in sorted(self._live()):
            self._lower(i)
        outputs, rename = [], list(output_names)
        if len(rename) > len(self.first.outputs):
            raise RuntimeError(
                f"number of output names provided ({len(rename)}) exceeded number of outputs ({len(self.first.outputs)})"
            )
        for k, ((value, (shape, dtype)), (other, (shape2, _))) in enumerate(
            zip(self.first.outputs, self.second.outputs, strict=True)
        ):
            dims = _dims(shape, shape2)
            name = rename[k] if k < len(rename) else "output" if k == 0 else f"output_{k}"
            ref = self._ref(value, other, dims, dtype, "an output")
            g.nodes.append(helper.make_node("Identity", [ref.name], [name], name=f"/{name}"))
            outputs.append(self._info(name, dims, dtype))
        for name, t in self.used.items():
            if export_params:
                g.initializer(name, t.detach().numpy())
            if not export_params or as_inputs:
                inputs.append(self._info(name, tuple(t.shape), t.dtype))
        self._drop_dead([o.name for o in outputs])
        graph = helper.make_graph(g.nodes, type(model).__name__, inputs, outputs, list(g.initializers.values()))
        # The oldest file format that has the opset, so that older runtimes can read the file.
        return helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", g.opset)], producer_name="rushlight",
            producer_version=__version__, ir_version=8 if g.opset < 19 else 9)  # fmt: skip

    def _info(self, name, dims, dtype):
        shape = [self.g.dim_name(d) or None for d in dims] if all(d != 0 for d in dims) else list(dims)
        return self.onnx.helper.make_tensor_value_info(name, self.g.type_of(dtype), shape)

    def _live(self):
        live, todo = set(), [v for v, _ in self.first.outputs]
        while todo:
            v = todo.pop()
            if v[0] == "out" and v[1] not in live:
                live.add(v[1])
                todo.extend(a for a in self.first.calls[v[1]].args if isinstance(a, tuple))
        return live

    def _drop_dead(self, wanted):
        wanted, kept = set(wanted), []
        for node in reversed(self.g.nodes):
            if any(o in wanted for o in node.output):
                kept.append(node)
                wanted.update(node.input)
        self.g.nodes = kept[::-1]
        self.g.initializers = {n: t for n, t in self.g.initializers.items() if n in wanted}

    def _ref(self, value, other, dims, dtype, where):
        """The value in the graph; constants are written now."""
        if (value[0] == "const") != (other[0] == "const"):
            raise ExportError(f"{where}: whether a tensor is a constant depends on the input")
        if value[0] == "const":
            return Ref(self._constant(value, other, dims, dtype, where), dims, dtype)
        if value != other:
            raise ExportError(f"{where}: which values are used depends on the input")
        if value[0] == "state":
            self.used[value[1]] = self.state[value[1]]
            return Ref(value[1], dims, dtype)
        name = self.names[value]
        if name is None:
            raise ExportError(f"{where}: uses a result of {self.first.calls[value[1]].name} that has no ONNX form")
        return Ref(name, dims, dtype)

    def _running_variance(self, mean, rstd):
        """(name, epsilon) of the variance beside a `running_mean`, if `rstd` was computed from it."""
        path, _, last = mean.rpartition("running_mean")
        module = self.model.get_submodule(path.rstrip(".")) if path + "running_mean" == mean and not last else None
        name, epsilon = path + "running_var", getattr(module, "eps", None)
        if epsilon is None or name not in self.state or rstd not in self.g.initializers:
            return None
        known = self.onnx.numpy_helper.to_array(self.g.initializers[rstd])
        if not np.allclose(1 / np.sqrt(self.state[name].numpy() + epsilon), known, rtol=1e-5):
            return None
        self.used[name] = self.state[name]
        return name, epsilon

    def _constant(self, value, other, dims, dtype, where):
        a, b = self.first.constants[value[1]], self.second.constants[other[1]]
        small = a[tuple(slice(0, 1) if isinstance(d, Dynamic) else slice(None) for d in dims)]
        for whole in (a, b):
            if not np.array_equal(np.broadcast_to(small, whole.shape), whole, equal_nan=a.dtype.kind == "f"):
                raise ExportError(f"{where}: a constant of shape {list(a.shape)} depends on the input")
        name = self.g.const(small, small.dtype)
        if dtype.name == "bfloat16":
            name = self.g.node("Cast", name, to=self.g.type_of(dtype))
        return name if small.shape == a.shape else self.g.expand(name, small.shape, dims)

    @staticmethod
    def _attribute(key, a, b, where):
        if key in SIZES or a is b or a == b:
            return a
        if key in POSITIONS:
            return Dynamic(a, b)
        raise ExportError(f"{where}: the argument {key} depends on the input")

    def _lower(self, i):
        a, b = self.first.calls[i], self.second.calls[i]
        where = f"{a.path}: {a.name}"
        lowering = LOWERINGS.get(a.name)
        if lowering is None:
            raise ExportError(f"{where} has no ONNX lowering")
        self.g.prefix = "/" + a.path.replace(".", "/")
        attrs = {key: self._attribute(key, v, b.attrs[key], where) for key, v in a.attrs.items()}
        results = [Result(_dims(s, s2), dtype) for (s, dtype), (s2, _) in zip(a.outs, b.outs, strict=True)]
        inputs = []
        for value, other, sa, sb in zip(a.args, b.args, a.specs, b.specs, strict=True):
            if sa is None:
                if value != other:
                    raise ExportError(f"{where}: the number {value} depends on the input")
                inputs.append(value)
            elif len(inputs) >= VALUES.get(a.name, len(a.args)):
                continue
            else:
                inputs.append(self._ref(value, other, _dims(sa[0], sb[0]), sa[1], where))
        try:
            names = lowering(self.g, results if len(results) > 1 else results[0], *inputs, **attrs)
        except ExportError as e:
            raise ExportError(f"{where}: {e}") from None
        for k, name in enumerate(names if isinstance(names, (list, tuple)) else [names]):
            self.names["out", i, k] = name.name if isinstance(name, Ref) else name


# How many of their first arguments are values; the rest is memory that the op fills for its derivative.
VALUES = {"layer_norm": 3, "group_norm": 3, "rms_norm": 3, "batch_norm": 3, "lstm": 8, "gru": 8, "rnn_tanh": 8, "rnn_relu": 8}
