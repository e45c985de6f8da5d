"""What an op is in ONNX: LOWERINGS[name](graph, result, *inputs, **attrs) gives the name of its value.

`result` (a tuple of them for several outputs) holds dims and dtype; inputs are Refs, numbers or None. None in place of a name
says that this output has no ONNX form.
"""

from __future__ import annotations

import math

import numpy as np

from . import normalization as _normalization  # noqa: F401 - they fill the table too
from . import pointwise as _pointwise  # noqa: F401
from . import sequences as _sequences  # noqa: F401
from .graph import Dynamic, Ref
from .table import LOWERINGS, lower

__all__ = ["LOWERINGS", "POSITIONS", "SIZES"]

# Arguments that repeat what the dims say, or that a lowering checks itself; others must not depend on the input.
SIZES = {"shape", "size", "sizes", "length", "tables"}
# These may differ between the recordings; the lowering then gets both.
POSITIONS = {"start", "index"}


# -- products ----------------------------------------------------------------------------------------------------------------


@lower("mm", "bmm", "mv", "dot")
def _matmul(g, out, a, b):
    return g.node("MatMul", a, b)


@lower("linear")
def _linear(g, out, x, w, b):
    if x.ndim == 2:
        return g.node("Gemm", x, w, "" if b is None else b, transB=1)
    y = g.node("MatMul", x, g.node("Transpose", w, perm=[1, 0]))
    return y if b is None else g.node("Add", y, b)


def _batched(g, out, x, rank, run):
    """`run` on x with a batch dimension, which windows need in ONNX."""
    if x.ndim == rank + 2:
        return run(x)
    y = run(g.node("Unsqueeze", x, g.const([0])))
    return g.node("Squeeze", y, g.const([0]))


@lower("conv")
def _conv(g, out, x, w, b, *, stride, padding, dilation, groups, size):
    def run(x):
        return g.node("Conv", x, w, "" if b is None else b, kernel_shape=w.shape[2:], strides=stride,
                      pads=(*padding, *padding), dilations=dilation, group=groups)  # fmt: skip

    return _batched(g, out, x, len(stride), run)


@lower("conv_input")
def _conv_transpose(g, out, x, w, b, *, stride, padding, dilation, groups, size):
    rank = len(stride)
    wanted = zip(size, x.shape[-rank:], stride, padding, dilation, w.shape[2:], strict=True)
    extra = [n - ((i - 1) * s - 2 * p + d * (k - 1) + 1) for n, i, s, p, d, k in wanted]

    def run(x):
        return g.node("ConvTranspose", x, w, "" if b is None else b, kernel_shape=w.shape[2:], strides=stride,
                      pads=(*padding, *padding), dilations=dilation, group=groups, output_padding=extra)  # fmt: skip

    return _batched(g, out, x, rank, run)


# -- windows -----------------------------------------------------------------------------------------------------------------


def _needs_ceil(x, size, kernel, stride, padding, dilation):
    rank = len(size)
    items = zip(x.shape[-rank:], size, kernel, stride, padding, dilation, strict=True)
    return any(n > (i + 2 * p - d * (k - 1) - 1) // s + 1 for i, n, k, s, p, d in items)


@lower("max_pool2d", "max_pool3d")
def _max_pool(g, out, x, *, size, kernel, stride, padding, dilation):
    ceil = int(_needs_ceil(x, size, kernel, stride, padding, dilation))

    def run(x):
        return g.node("MaxPool", x, kernel_shape=kernel, strides=stride, pads=(*padding, *padding), dilations=dilation,
                      ceil_mode=ceil)  # fmt: skip

    return _batched(g, out, x, len(size), run), None


@lower("avg_pool2d", "avg_pool3d")
def _avg_pool(g, out, x, *, size, window):
    rank = len(size)
    kernel, stride, padding = (window[1 + rank * i : 1 + rank * (i + 1)] for i in range(3))
    include, divisor = window[-2:]
    if _needs_ceil(x, size, kernel, stride, padding, (1,) * rank):
        raise g.error("ceil_mode cannot be exported")

    def run(x):
        y = g.node("AveragePool", x, kernel_shape=kernel, strides=stride, pads=(*padding, *padding),
                   count_include_pad=int(include or divisor != 0))  # fmt: skip
        return g.node("Mul", y, g.const(math.prod(kernel) / divisor, out.dtype)) if divisor else y

    return _batched(g, out, x, rank, run)


def _windows(n, size):
    """(size, n): row i is the mean over the i-th adaptive window."""
    out = np.zeros((size, n))
    for i in range(size):
        start, end = i * n // size, -(-(i + 1) * n // size)
        out[i, start:end] = 1 / (end - start)
    return out


def _adaptive(kind):
    def run(g, out, x, *, size, window=None):
        rank = len(size)
        spatial = x.dims[-rank:]
        if spatial == tuple(size):
            y = g.node("Identity", x)
        elif any(isinstance(n, Dynamic) for n in spatial):
            raise g.error("dynamic sizes can only be pooled to a size of 1")
        elif any(n % s for n, s in zip(spatial, size, strict=True)):
            if kind == "MaxPool" or rank != 2:
                raise g.error(f"sizes {list(spatial)} are not multiples of {list(size)}")
            # Windows of different widths: a mean is a matrix product along each dimension.
            rows, cols = (_windows(n, s) for n, s in zip(spatial, size, strict=True))
            y = g.node("MatMul", g.node("MatMul", g.const(rows, out.dtype), x), g.const(cols.T, out.dtype))
        else:
            kernel = [n // s for n, s in zip(spatial, size, strict=True)]
            y = _batched(g, out, x, rank, lambda x: g.node(kind, x, kernel_shape=kernel, strides=kernel))
        return (y, None) if kind == "MaxPool" else y

    return run


lower("adaptive_avg_pool2d", "adaptive_avg_pool3d")(_adaptive("AveragePool"))
lower("adaptive_max_pool2d", "adaptive_max_pool3d")(_adaptive("MaxPool"))


def _upsample(g, out, x, *, tables, sizes):
    """Every mode is a weighted sum of positions along each dimension: a product with a matrix."""
    rank, y = len(tables), x
    for k, (position, weight) in enumerate(tables):
        axis, size = x.ndim - rank + k, sizes[k]
        if isinstance(x.dims[axis], Dynamic):
            raise g.error("dynamic sizes cannot be interpolated")
        matrix = np.zeros((len(position), size))
        np.add.at(matrix, (np.arange(len(position))[:, None], position.numpy()), weight.numpy())
        order = list(range(x.ndim))
        order[axis], order[-1] = order[-1], order[axis]
        last = axis == x.ndim - 1
        y = y if last else g.node("Transpose", y, perm=order)
        y = g.node("MatMul", y, g.const(matrix.T, out.dtype))
        y = y if last else g.node("Transpose", y, perm=order)
    return y


lower(*(f"upsample_{kind}{rank}d" for rank in (1, 2, 3) for kind in ("nearest", "nearest_exact")))(_upsample)
lower("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "upsample_bilinear2d_aa",
      "upsample_bicubic2d_aa")(_upsample)  # fmt: skip


def _pad_by_position(g, out, x, *, tables, sizes):
    y = x
    for k, table in enumerate(tables):
        axis = x.ndim - len(tables) + k
        if isinstance(x.dims[axis], Dynamic):
            raise g.error("dynamic sizes cannot be padded like this")
        y = g.node("Gather", y, g.const(table.numpy()), axis=axis)
    return y


lower("circular_pad", *(f"{kind}_pad{n}d" for kind in ("reflection", "replication") for n in (1, 2, 3)))(_pad_by_position)


@lower("grid_sampler_2d", "grid_sampler_3d")
def _grid_sample(g, out, x, grid, *, how):
    mode, padding_mode, align_corners = how
    if x.ndim != 4 and g.opset < 20:
        raise g.error("sampling volumes takes opset 20")
    mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode) if g.opset >= 20 else mode
    return g.node("GridSample", x, grid, mode=mode, padding_mode=padding_mode, align_corners=int(align_corners))


@lower("pixel_shuffle")
def _pixel_shuffle(g, out, x, *, r):
    return _batched(g, out, x, 2, lambda x: g.node("DepthToSpace", x, blocksize=r, mode="CRD"))


@lower("constant_pad_nd")
def _constant_pad(g, out, x, *, pads, value):
    amounts = [before for before, _ in pads] + [after for _, after in pads]
    return g.node("Pad", x, g.const(amounts), g.const(value, out.dtype))


# -- shape -----------------------------------------------------------------------------------------------------------------------


@lower("view", "unsafe_view", "squeeze")
def _view(g, out, x, **_):
    return g.reshape(x, out.dims, x.dims)


@lower("unsqueeze")
def _unsqueeze(g, out, x, *, dim):
    return g.node("Unsqueeze", x, g.const([dim]))


@lower("transpose")
def _transpose(g, out, x, *, dim0, dim1):
    order = list(range(x.ndim))
    if order:
        order[dim0], order[dim1] = dim1, dim0
    return g.node("Transpose", x, perm=order)


@lower("t")
def _t(g, out, x):
    return g.node("Transpose", x, perm=[1, 0])


@lower("permute")
def _permute(g, out, x, *, dims):
    return g.node("Transpose", x, perm=list(dims))


@lower("expand")
def _expand(g, out, x, *, shape):
    return g.expand(x, x.dims, out.dims)


@lower("repeat")
def _repeat(g, out, x, *, sizes):
    dims = (1,) * (len(sizes) - x.ndim) + x.dims
    y = g.reshape(x, dims) if len(dims) != x.ndim else x
    counts = []
    for times, old, new in zip(sizes, dims, out.dims, strict=True):
        if isinstance(new, Dynamic) and not isinstance(old, Dynamic):
            if old != 1:
                raise g.error("how often a part is repeated depends on the input")
            times = new
        counts.append(times)
    return g.node("Tile", y, g.sizes(counts))


def _place(g, positions, sizes):
    """A position that is the same in both recordings, or as far from the end."""
    if positions[0] == positions[1]:
        return positions[0]
    if positions[0] - sizes[0] != positions[1] - sizes[1]:
        raise g.error("a position depends on the input")
    return positions[0] - sizes[0] or np.iinfo(np.int64).max


def _pair(d):
    return d if isinstance(d, Dynamic) else (d, d)


@lower("slice")
def _slice(g, out, x, *, dim, start, length, step):
    sizes, starts, lengths = _pair(x.dims[dim]), _pair(start), _pair(out.dims[dim])
    if all(n == -((s - size) // step) for n, s, size in zip(lengths, starts, sizes, strict=True)):
        end = np.iinfo(np.int64).max
    else:
        ends = [s + (n - 1) * step + 1 if n else s for s, n in zip(starts, lengths, strict=True)]
        end = _place(g, ends, sizes)
    return g.node("Slice", x, g.const([_place(g, starts, sizes)]), g.const([end]), g.const([dim]), g.const([step]))


@lower("select")
def _select(g, out, x, *, dim, index):
    return g.node("Gather", x, g.const(_place(g, _pair(index), _pair(x.dims[dim]))), axis=dim)


@lower("unbind")
def _unbind(g, out, x, *, dim):
    n = len(out) if isinstance(out, list) else 1
    return [g.node("Gather", x, g.const(i), axis=dim) for i in range(n)]


@lower("split", "split_with_sizes")
def _split(g, out, x, *, dim, sections):
    names, at = [], 0
    for n in sections:
        names.append(g.node("Slice", x, g.const([at]), g.const([at + n]), g.const([dim])))
        at += n
    return names


@lower("cat")
def _cat(g, out, *xs, dim, sizes, dtype):
    return g.node("Concat", *(g.cast(x, out.dtype) for x in xs), axis=dim)


@lower("one_hot")
def _one_hot(g, out, x, *, classes):
    return g.node("OneHot", x, g.const([classes]), g.const([0, 1]), axis=-1)


@lower("stack")
def _stack(g, out, *xs, dim):
    return g.node("Concat", *(g.node("Unsqueeze", x, g.const([dim])) for x in xs), axis=dim)


@lower("flip")
def _flip(g, out, x, *, dims):
    n, least = len(dims), np.iinfo(np.int64).min
    return g.node("Slice", x, g.const([-1] * n), g.const([least] * n), g.const(dims), g.const([-1] * n))


for _name, _upper in {"tril": 0, "triu": 1}.items():
    LOWERINGS[_name] = lambda g, out, x, *, diagonal, upper=_upper: g.node("Trilu", x, g.const(diagonal), upper=upper)


@lower("roll")
def _roll(g, out, x, *, shifts, dims):
    y, far = x, np.iinfo(np.int64).max
    for shift, d in zip(shifts, dims, strict=True):
        if isinstance(x.dims[d], Dynamic):
            raise g.error("a dynamic size cannot be rolled")
        k = -shift % x.shape[d] if x.shape[d] else 0
        if k:
            tail = g.node("Slice", y, g.const([k]), g.const([far]), g.const([d]))
            y = g.node("Concat", tail, g.node("Slice", y, g.const([0]), g.const([k]), g.const([d])), axis=d)
    return g.node("Identity", y)


# -- indices -----------------------------------------------------------------------------------------------------------------------


@lower("embedding")
def _embedding(g, out, w, index, **_):
    return g.node("Gather", w, index, axis=0)


@lower("index")
def _index(g, out, x, *indices, before, order):
    if len(indices) != 1 or order is not None:
        raise g.error("indexing with several tensors cannot be exported")
    return g.node("Gather", x, indices[0], axis=before)


@lower("gather")
def _gather(g, out, x, index, *, dim):
    if x.dims[:dim] + x.dims[dim + 1 :] != index.dims[:dim] + index.dims[dim + 1 :]:
        raise g.error("input and index must have equal sizes in the other dimensions")
    return g.node("GatherElements", x, index, axis=dim)


# -- reductions --------------------------------------------------------------------------------------------------------------------


def _axes(x, dim):
    if dim is None or dim == ():
        return list(range(x.ndim))
    return [d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim)] if x.ndim else []


def _reduce(kind):
    def run(g, out, x, *, dim, keepdim, dtype=None):
        axes = _axes(x, dim)
        x = Ref(g.cast(x, out.dtype), x.dims, out.dtype)
        return g.reduce(kind, x, axes, keepdim) if axes else g.node("Identity", x)

    return run


for _name, _kind in {"sum": "ReduceSum", "mean": "ReduceMean", "prod": "ReduceProd", "amax": "ReduceMax",
                     "amin": "ReduceMin", "max": "ReduceMax", "min": "ReduceMin",
                     "logsumexp": "ReduceLogSumExp"}.items():  # fmt: skip
    LOWERINGS[_name] = _reduce(_kind)


def _variance(root, with_mean):
    def run(g, out, x, *, dim, keepdim, correction):
        first = out[0] if with_mean else out
        axes = _axes(x, dim)
        if any(isinstance(x.dims[d], Dynamic) for d in axes):
            raise g.error("a variance over a dynamic axis cannot be exported")
        n = math.prod(x.shape[d] for d in axes)
        mean = g.reduce("ReduceMean", x, axes, True)
        c = g.node("Sub", x, mean)
        y = g.reduce("ReduceSum", g.node("Mul", c, c), axes, keepdim)
        y = g.node("Div", y, g.const(n - correction, first.dtype))
        y = g.node("Sqrt", y) if root else y
        return [y, mean if keepdim else g.reduce("ReduceMean", x, axes, False)] if with_mean else y

    return run


LOWERINGS["var"], LOWERINGS["std"] = _variance(False, False), _variance(True, False)
LOWERINGS["var_mean"] = _variance(False, True)


def _logic(kind):
    def run(g, out, x, *, dim, keepdim):
        if out.dtype.name != "bool":
            raise g.error("uint8 cannot be exported")
        flags = g.node("Cast", g.cast(x, out.dtype), to=g.onnx.TensorProto.INT32)
        return g.node("Cast", g.reduce(kind, flags, _axes(x, dim), keepdim), to=g.onnx.TensorProto.BOOL)

    return run


LOWERINGS["all"], LOWERINGS["any"] = _logic("ReduceMin"), _logic("ReduceMax")


@lower("vector_norm")
def _norm(g, out, x, *, p, dim, keepdim):
    if p not in (1, 2):
        raise g.error(f"a norm of order {p} cannot be exported")
    return g.reduce(f"ReduceL{int(p)}", x, _axes(x, dim), keepdim)


def _position(kind):
    def run(g, out, x, *, dim, keepdim):
        if dim is None:
            x, dim, keepdim = g.node("Reshape", x, g.const([-1])), 0, False
        return g.node(kind, x, axis=dim, keepdims=int(keepdim))

    return run


LOWERINGS["argmax"], LOWERINGS["argmin"] = _position("ArgMax"), _position("ArgMin")


def _extreme(reduce, position):
    def run(g, out, x, *, dim, keepdim):
        return g.reduce(reduce, x, [dim], keepdim), g.node(position, x, axis=dim, keepdims=int(keepdim))

    return run


LOWERINGS["max_dim"] = _extreme("ReduceMax", "ArgMax")
LOWERINGS["min_dim"] = _extreme("ReduceMin", "ArgMin")


@lower("cumsum")
def _cumsum(g, out, x, *, dim, reverse):
    return g.node("CumSum", x, g.const(dim), reverse=int(reverse))


@lower("sort")
def _sort(g, out, x, *, dim, descending):
    if not x.ndim or isinstance(x.dims[dim], Dynamic):
        raise g.error("a dynamic size cannot be sorted")
    return g.node("TopK", x, g.const([x.shape[dim]]), axis=dim, largest=int(descending), outputs=2)


@lower("topk")
def _topk(g, out, x, *, k, dim, largest):
    return g.node("TopK", x, g.const([k]), axis=dim, largest=int(largest), outputs=2)
