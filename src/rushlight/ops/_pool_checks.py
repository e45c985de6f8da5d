"""The checks of pooling, in PyTorch's order and words."""

from __future__ import annotations

__all__ = ["tuples", "output_sizes", "check_max1d", "check_adaptive", "unpool_size"]

_WORDS = {2: "two", 3: "three"}


def _tuple(name, argument, value, rank):
    if isinstance(value, int):
        return (value,) * rank
    value = tuple(value)
    if len(value) == 1:
        return value * rank
    if len(value) != rank:
        either = "" if name == "avg_pool3d" else "either "
        kind = f"{either}be omitted, a single int" if argument == "stride" else f"{either}be a single int"
        raise RuntimeError(f"{name}: {argument} must {kind}, or a tuple of {_WORDS[rank]} ints")
    return value


def tuples(name, rank, kernel, stride, padding, dilation):
    """The four geometry arguments, one int per dimension each."""
    kernel = _tuple(name, "kernel_size", kernel, rank)
    stride = kernel if stride is None or stride == () or stride == [] else _tuple(name, "stride", stride, rank)
    return kernel, stride, _tuple(name, "padding", padding, rank), _tuple(name, "dilation", dilation, rank)


def _size(n, k, s, p, d, ceil_mode):
    out = -((n + 2 * p - d * (k - 1) - 1) // -s) if ceil_mode else (n + 2 * p - d * (k - 1) - 1) // s
    out += 1
    # The last window must start inside the input or its left padding.
    return out - 1 if ceil_mode and (out - 1) * s >= n + p else out


def _check_rank(name, a, rank):
    batch = f"{rank + 1}D or {rank + 2}D (batch mode)"
    if name == "avg_pool2d":
        if a.ndim < 3:
            raise IndexError(f"Dimension out of range (expected to be in range of [{-a.ndim}, {a.ndim - 1}], but got -3)")
    elif a.ndim not in (rank + 1, rank + 2):
        raise RuntimeError(f"non-empty {batch} tensor expected for input")


def _check_nonempty(name, a, rank):
    if a.ndim in (rank + 1, rank + 2) and all(a.shape[-rank - 1 :]):
        return
    if rank == 2:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:"
                           f"{list(a.shape)}")  # fmt: skip
    where = "max_pool3d_with_indices_out_cpu_template" if name == "max_pool3d" else name
    raise RuntimeError(f"{where}(): Expected input's non-batch dimensions to have positive length, but input has a shape of "
                       f"{list(a.shape)} and non-batch dimension 0 has length zero!")  # fmt: skip


def output_sizes(name, input, kernel, stride, padding, dilation, ceil_mode):
    """The spatial size of the result. Raises RuntimeError for windows that make no sense or do not fit."""
    a, rank = input._a, len(kernel)
    _check_rank(name, a, rank)
    for k, s, p, d in zip(kernel, stride, padding, dilation, strict=True):
        if s == 0:
            raise RuntimeError("stride should not be zero")
        if p < 0:
            raise RuntimeError(f"pad must be non-negative, but got pad: {p}")
        if p > ((k - 1) * d + 1) // 2:
            raise RuntimeError(f"pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and "
                               f"dilation={d}")  # fmt: skip
    if any(k <= 0 for k in kernel):
        raise RuntimeError("kernel size should be greater than zero, but got " + _named("k", kernel))
    if any(s <= 0 for s in stride):
        raise RuntimeError("stride should be greater than zero, but got " + _named("d", stride))
    if any(d <= 0 for d in dilation):
        raise RuntimeError("dilation should be greater than zero, but got " + _named("dilation", dilation))
    _check_nonempty(name, a, rank)
    sizes = a.shape[-rank:]
    if name == "avg_pool3d" and any(n + 2 * p < k for n, p, k in zip(sizes, padding, kernel, strict=True)):
        raise RuntimeError("input image (" + " ".join(f"{c}: {n}" for c, n in zip("THW", sizes, strict=True)) +
                           ") smaller than kernel size (" + _named("k", kernel) + ")")  # fmt: skip
    out = tuple(_size(*v, ceil_mode) for v in zip(sizes, kernel, stride, padding, dilation, strict=True))
    if any(o < 1 for o in out):
        given, made = ("x".join(map(str, (a.shape[-rank - 1], *v))) for v in (sizes, out))
        raise RuntimeError(f"Given input size: ({given}). Calculated output size: ({made}). Output size is too small")
    return out


def _named(prefix, values):
    return " ".join(f"{prefix}{letter}: {v}" for letter, v in zip("THW"[-len(values) :], values, strict=True))


def check_max1d(input, kernel, stride, padding, dilation, ceil_mode):
    """max_pool1d's own checks; returns its four numbers."""
    a = input._a
    if a.ndim not in (2, 3) or not all(a.shape[-2:]):
        raise RuntimeError("max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:"
                           f"{list(a.shape)}")  # fmt: skip
    values = []
    for name, v in (("kernel_size", kernel), ("stride", stride), ("padding", padding), ("dilation", dilation)):
        v = () if v is None else (v,) if isinstance(v, int) else tuple(v)
        if len(v) > 1:
            accepted = "None, an int, list of ints, or" if name == "stride" else "an int, list of ints or"
            accepted = accepted.replace("ints or", "ints, or") if name != "kernel_size" else accepted
            raise RuntimeError(f"max_pool1d() {name} must be {accepted} tuple of ints of size 1 but got size {len(v)}")
        values.append(v[0] if v else values[0])
    kernel, stride, padding, dilation = values
    for name, v in (("kernel_size", kernel), ("stride", stride)):
        if v <= 0:
            raise RuntimeError(f"max_pool1d() {name} must be greater than zero, but got {v}")
    if padding < 0:
        raise RuntimeError(f"max_pool1d() padding must be non-negative, but got {padding}")
    if padding > kernel // 2:
        raise RuntimeError("max_pool1d() padding should be at most half of kernel size, but got "
                           f"padding={padding} and kernel_size={kernel}")  # fmt: skip
    if dilation <= 0:
        raise RuntimeError(f"max_pool1d() dilation must be greater than zero, but got {dilation}")
    size = _size(a.shape[-1], kernel, stride, padding, dilation, ceil_mode)
    if size < 1:
        raise RuntimeError(f"max_pool1d() Invalid computed output size: {size}")
    if not a.dtype.is_floating_point:
        raise NotImplementedError(f"\"max_pool1d_impl\" not implemented for '{a.dtype.scalar_name}'")
    return kernel, stride, padding, dilation


def check_adaptive(name, rank, input, size, *, maxima):
    """Ranks and sizes of adaptive pooling."""
    a = input._a
    if rank > 1 and a.ndim not in (rank + 1, rank + 2):
        colon = ":" if maxima else ""
        raise RuntimeError(f"{name}(): Expected {rank + 1}D or {rank + 2}D tensor, but got{colon} {list(a.shape)}")
    if len(size) != rank:
        text = f"{name}(): internal error: output_size.size() must be {rank}" if maxima else f"{name}: output_size must be {rank}"
        raise RuntimeError(text)
    # adaptive_avg_pool2d takes an input without channels.
    first = a.ndim - rank if name == "adaptive_avg_pool2d" else a.ndim - rank - (a.ndim > rank)
    for d in range(max(first, 1 if a.ndim > rank + 1 else 0), a.ndim):
        if a.shape[d] == 0:
            raise RuntimeError(f"{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes "
                               f"{list(a.shape)} with dimension {d} being empty")  # fmt: skip
    if any(s < 0 for s in size):
        if maxima:
            lead = list(a.shape[:-rank]) + ([1] if name == "adaptive_max_pool1d" else [])
            raise RuntimeError(f"Trying to create tensor with negative dimension {min(size)}: {lead + list(size)}")
        shown = ", ".join(map(str, size)) if rank == 2 else f"{size[0]}, {size[1]},{size[2]}"
        raise RuntimeError(f"{name}: elements of output_size must be greater than or equal to 0 but received {{{shown}}}")


def unpool_size(input, rank, kernel, stride, padding, output_size):
    """The size that max unpooling gives, or the one asked for. Raises ValueError if that cannot be."""
    kernel, padding = ((v,) * rank if isinstance(v, int) else tuple(v) for v in (kernel, padding))
    stride = kernel if stride is None else (stride,) * rank if isinstance(stride, int) else tuple(stride)
    sizes = input._a.shape[-rank:]
    default = tuple((n - 1) * s + k - 2 * p for n, s, k, p in zip(sizes, stride, kernel, padding, strict=False))
    if output_size is None:
        return default
    given = tuple(output_size)
    size = given[2:] if len(given) == rank + 2 else given
    if len(size) != rank:
        raise ValueError(f"output_size should be a sequence containing {rank} or {rank + 2} elements, but it has a length of "
                         f"'{len(size)}'")  # fmt: skip
    for d, (o, s, n) in enumerate(zip(size, stride, default, strict=True)):
        if not n - s < o < n + s:
            raise ValueError(f'invalid output_size "{output_size}" (dim {d} must be between {n - s} and {n + s})')
    return size
