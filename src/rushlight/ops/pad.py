"""Padding with constants, reflections, repeated edges, or the other end."""

from __future__ import annotations

from .. import _dtypes, _native
from .._kernels import K
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._declare import contig

__all__ = ["pad"]


# -- constant --------------------------------------------------------------------------------------------------------------


@op
def _constant_pad_nd(x, /, *, pads, value):
    """`pads`: (before, after) per dimension; negative ones crop."""
    out = _native.empty([n + before + after for n, (before, after) in zip(x.shape, pads, strict=True)], x.dtype.code)
    source, target = x, out
    for d, (before, after) in enumerate(pads):
        if before or after:
            first = max(0, -before)
            length = x.size(d) - first - max(0, -after)
            source = source.slice(d, first, length, 1)
            target = target.slice(d, max(0, before), length, 1)
    if target.numel != out.numel:
        K.fill_into(out, value)
    if source.numel:
        K.copy_into(target, source)
    return out


_constant_pad_nd.vjp(x=lambda g, pads: _constant_pad_nd(g, pads=tuple((-b, -a) for b, a in pads), value=0.0))


# -- by a table of positions -------------------------------------------------------------------------------------------------


def _position_op(name, grad_name):
    """`tables`: for each of the last dimensions, which input position each output position copies."""

    def forward(x, /, *, tables, sizes):
        return K.pad_positions(contig(x), *[t._a for t in tables])

    def backward(g, /, *, tables, sizes):
        return K.pad_positions_backward(contig(g), *[t._a for t in tables], *sizes)

    call = op(name=name, grad_name=grad_name)(forward)
    back = op(name=name + "_backward")(backward)
    call.vjp(x=lambda g, tables, sizes: back(g, tables=tables, sizes=sizes))
    back.vjp(g=lambda v, tables, sizes: call(v, tables=tables, sizes=sizes))
    return call


_OPS = {
    (mode, n): _position_op(f"{name}_pad{n}d", f"{camel}Pad{n}DBackward0")
    for mode, name, camel in (("reflect", "reflection", "Reflection"), ("replicate", "replication", "Replication"))
    for n in (1, 2, 3)
}
_CIRCULAR = _position_op("circular_pad", "CopySlices")


_FILLINGS = ("reflect", "replicate", "circular")


def _positions(mode, size, before, after):
    out = _native.empty((max(size + before + after, 0),), _dtypes.int64.code)
    K.pad_table_into(out, _FILLINGS.index(mode), size, before)
    return _native.wrap(out)


def _check(mode, input, pads, sizes):
    for k, ((before, after), size) in enumerate(zip(pads, sizes, strict=True)):
        dim = input.ndim - len(pads) + k
        if mode == "reflect" and (before >= size or after >= size):
            raise RuntimeError(
                f"Argument #{2 * (len(pads) - k) + 2}: Padding size should be less than the corresponding input dimension, but "
                f"got: padding ({before}, {after}) at dimension {dim} of input {list(input.shape)}"
            )
        if mode == "circular" and (before > size or after > size):
            raise RuntimeError("Padding value causes wrapping around more than once.")
        if mode == "circular" and size + before + after <= 0:
            raise RuntimeError("Negative padding value is resulting in an empty dimension")
        if size + before + after < 0:
            shape = [*input.shape[: -len(pads)], *(s + b + a for (b, a), s in zip(pads, sizes, strict=True))]
            raise RuntimeError(f"Trying to create tensor with negative dimension {size + before + after}: {shape}")


def pad(input: Tensor, pad, mode: str = "constant", value: float | None = None) -> Tensor:
    """The input with its last dimensions made longer: `pad` is (left, right, top, bottom, …), last dimension first.

    Args: `mode`: "constant" (with `value`, default 0), "reflect", "replicate" or "circular"; the last three pad the last 1, 2
    or 3 dimensions of batched or unbatched input. Negative sizes crop.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.pad.html
    """
    pad = tuple(int(p) for p in pad)
    if len(pad) % 2:
        raise RuntimeError("Padding length must be divisible by 2")
    n = len(pad) // 2
    if n > input.ndim:
        raise RuntimeError(
            "Padding length should be less than or equal to two times the input dimension but got padding length "
            f"{len(pad)} and input of dimension {input.ndim}"
        )
    pads = tuple((pad[2 * k], pad[2 * k + 1]) for k in range(n - 1, -1, -1))
    if mode == "constant":
        shape = input._a.shape
        for (b, a), size in zip(pads, shape[len(shape) - n :], strict=True):
            if size + min(b, 0) + min(a, 0) < 0 or size + b + a < 0:
                raise RuntimeError("narrow(): length must be non-negative.")
        full = ((0, 0),) * (input.ndim - n) + pads
        return _constant_pad_nd(input, pads=full, value=0.0 if value is None else value)
    if value is not None and value != 0:
        raise RuntimeError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode not in _FILLINGS:
        raise NotImplementedError(f"Unrecognised padding mode {mode}")
    if n not in (1, 2, 3) or input.ndim not in (n + 1, n + 2):
        raise NotImplementedError(f"Padding size {len(pad)} is not supported for {input.ndim}D input tensor.")
    sizes = input._a.shape[-n:]
    _check(mode, input, pads, sizes)
    tables = tuple(_positions(mode, s, b, a) for s, (b, a) in zip(sizes, pads, strict=True))
    call = _CIRCULAR if mode == "circular" else _OPS[mode, n]
    return call(input, tables=tables, sizes=tuple(sizes))
