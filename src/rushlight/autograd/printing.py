"""PyTorch's repr of a tensor, byte for byte.

Three decisions are taken once per tensor, from the values that will be shown: whether all of them are whole numbers
(`1.`), whether they span too much for fixed point (`1.0000e+05`), and how wide one is. Then rows are filled up to
`linewidth`, blocks are nested, and what is not evident from the numbers (dtype, shape of an empty tensor, history) is
appended.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math

import numpy as np

from .. import _dtypes

__all__ = ["set_printoptions", "get_printoptions", "printoptions"]


@dataclasses.dataclass
class Options:
    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = Options()

_PROFILES = {
    "default": dict(precision=4, threshold=1000, edgeitems=3, linewidth=80),
    "short": dict(precision=2, threshold=1000, edgeitems=2, linewidth=80),
    "full": dict(precision=4, threshold=math.inf, edgeitems=3, linewidth=80),
}


def set_printoptions(precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None):
    """Sets how tensors are printed; what is not given stays, except `sci_mode`, which goes back to automatic.

    Args: `precision`: digits after the point (4). `threshold`: more elements than this are summarised (1000).
    `edgeitems`: how many are shown at each end of a dimension then (3). `linewidth`: characters per line (80).
    `profile`: "default", "short" or "full". `sci_mode`: scientific notation always, never, or (None) where needed.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.set_printoptions.html
    """
    changes = dict(_PROFILES.get(profile, {}))
    given = dict(precision=precision, threshold=threshold, edgeitems=edgeitems, linewidth=linewidth)
    changes.update((name, value) for name, value in given.items() if value is not None)
    for name, value in changes.items():
        setattr(OPTIONS, name, value)
    OPTIONS.sci_mode = sci_mode


def get_printoptions() -> dict:
    """The current options, as keyword arguments for `set_printoptions`."""
    return dataclasses.asdict(OPTIONS)


@contextlib.contextmanager
def printoptions(**options):
    """`set_printoptions` for the length of a `with` block."""
    before = get_printoptions()
    set_printoptions(**options)
    try:
        yield
    finally:
        set_printoptions(**before)


class _Number:
    """How one element is written: decided from all elements that are shown."""

    def __init__(self, values, is_float):
        self.width = 1
        self.write = str
        if is_float:
            self._choose(values)
        elif values.size:
            # The longest of a set of integers is its largest or its smallest; of truth values, "False".
            extremes = (values.min(), values.max())
            self.width = max(len(str(v.item())) for v in extremes)

    def _choose(self, values):
        numbers = values[np.isfinite(values) & (values != 0)]
        whole = bool((numbers == np.ceil(numbers)).all())
        scientific = False
        if numbers.size:
            magnitudes = np.abs(numbers)
            low, high = magnitudes.min().item(), magnitudes.max().item()
            scientific = OPTIONS.sci_mode
            if scientific is None:
                scientific = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if scientific:
            form, point = f".{OPTIONS.precision}e", ""
        elif whole:
            form, point = ".0f", "."
        else:
            form, point = f".{OPTIONS.precision}f", ""
        # Non-finite values and zeros do not count towards the width; they may stick out.
        self.width = max((len(format(v, form)) + len(point) for v in numbers.tolist()), default=1)
        self.write = lambda v: format(v, form) + (point if math.isfinite(v) else "")

    def __call__(self, value):
        return self.write(value).rjust(self.width)


def _edges(array):
    """The elements that a summary shows."""
    n = OPTIONS.edgeitems
    if not n and array.ndim > 1:
        return array[:0]
    for axis, size in enumerate(array.shape):
        if size > 2 * n > 0:
            keep = np.r_[0:n, size - n : size]
            array = array.take(keep, axis=axis)
    return array


def _row(array, indent, summarize, number):
    n = OPTIONS.edgeitems
    if summarize and not n:
        items = ["..."]
    elif summarize and len(array) > 2 * n:
        items = [*map(number, array[:n].tolist()), " ...", *map(number, array[-n:].tolist())]
    else:
        items = [*map(number, array.tolist())]
    per_line = max(1, math.floor((OPTIONS.linewidth - indent) / (number.width + 2)))
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _block(array, indent, summarize, number):
    if array.ndim == 0:
        return number(array.item())
    if array.ndim == 1:
        return _row(array, indent, summarize, number)
    n, size = OPTIONS.edgeitems, len(array)
    shown = range(size)
    if summarize and size > 2 * n:
        shown = [*range(n), None, *range(size - n, size)]
    parts = ["..." if i is None else _block(array[i], indent + 1, summarize, number) for i in shown]
    return "[" + ("," + "\n" * (array.ndim - 1) + " " * (indent + 1)).join(parts) + "]"


def _numpy(a):
    """The values as a NumPy array: float64 for floating-point dtypes, so that every step below is exact."""
    if a.dtype is _dtypes.bfloat16:
        bits = np.asarray(a.reinterpret(_dtypes.int16.code)).view(np.uint16)
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    array = np.asarray(a)
    return array.astype(np.float64) if a.dtype.is_floating_point else array


def _contents(a, indent):
    if a.numel == 0:
        return "[]"
    array = _numpy(a)
    summarize = a.numel > OPTIONS.threshold
    number = _Number((_edges(array) if summarize else array).reshape(-1), a.dtype.is_floating_point)
    return _block(array, indent, summarize, number)


def _notes(t):
    """What the numbers do not say."""
    default = _dtypes.get_default_dtype()
    if t.is_sparse:
        yield from _sparse_notes(t, default)
        return
    a = t._a
    if a.numel == 0:
        if a.ndim != 1:
            yield f"size={a.shape}"
        if a.dtype is not default:
            yield f"dtype={a.dtype}"
    else:
        if not OPTIONS.edgeitems:
            yield f"size={a.shape}"
        if a.dtype not in (default, _dtypes.int64, _dtypes.bool_):
            yield f"dtype={a.dtype}"
    try:
        node = t.grad_fn
    except RuntimeError:  # a view made and overwritten under no_grad has no history that could be shown
        yield "grad_fn=<Invalid>"
        return
    if node is not None:
        yield f"grad_fn=<{node.name()}>"
    elif t.requires_grad:
        yield "requires_grad=True"


def _sparse_contents(t, indent):
    """The indices and the values, each with its shape if it is empty."""
    parts = []
    for name, part in (("indices", t._indices()), ("values", t._values())):
        size = f", size={tuple(part.shape)}" if part.numel() == 0 else ""
        parts.append(f"{name}=tensor({_contents(part._a, indent + len(name) + 8)}{size})")
    return (",\n" + " " * indent).join(parts)


def _sparse_notes(t, default):
    yield f"size={tuple(t.shape)}"
    yield f"nnz={t._nnz()}"
    if t.dtype not in (default, _dtypes.int64, _dtypes.bool_):
        yield f"dtype={t.dtype}"
    yield f"layout={t.layout}"
    if t.requires_grad:
        yield "requires_grad=True"


def _is_parameter(cls):
    # By name: `nn` lies above this package.
    return cls.__name__ == "Parameter" and cls.__module__.endswith("nn.parameter")


def tensor_repr(t, contents=None) -> str:
    """The repr of a tensor; a subclass prints under its own name. `contents` replaces the numbers."""
    cls = type(t)
    plain = t.is_sparse or cls.__module__.endswith("autograd.tensor") or _is_parameter(cls)
    prefix = "tensor(" if plain else f"{cls.__name__}("
    if contents is None:
        contents = _sparse_contents(t, len(prefix)) if t.is_sparse else _contents(t._a, len(prefix))
    text = prefix + contents
    length = OPTIONS.linewidth if t.is_sparse else len(text) - text.rfind("\n") + 1
    for note in _notes(t):
        if length + len(note) + 2 > OPTIONS.linewidth:
            text += ",\n" + " " * len(prefix) + note
            length = len(prefix) + len(note)
        else:
            text += ", " + note
            length += len(note) + 2
    text += ")"
    if not plain and any(map(_is_parameter, cls.__mro__)):
        return f"Parameter({text})"
    return text
