"""Sequences of different lengths: padding, and packing them step by step."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable

from ..._dtypes import int64
from ...autograd.tensor import Tensor
from ...ops.creation import arange, as_tensor, empty_like, full, tensor
from ...ops.shape import cat, stack
from ...ops.sorting import sort

__all__ = ["PackedSequence", "invert_permutation", "pack_padded_sequence", "pad_packed_sequence", "pad_sequence",
           "unpad_sequence", "pack_sequence", "unpack_sequence"]  # fmt: skip


class PackedSequence(namedtuple("PackedSequence", ["data", "batch_sizes", "sorted_indices", "unsorted_indices"])):
    """Sequences without padding: step after step, each step holding the rows of the sequences that last so long.

    Made by `pack_padded_sequence` or `pack_sequence`.
    """

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        if batch_sizes is None:
            data, batch_sizes = data
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """With the data cast or moved; itself if nothing changes."""
        data = self.data.to(*args, **kwargs)
        if data is self.data:
            return self
        return type(self)(data, self.batch_sizes, self.sorted_indices, self.unsorted_indices)

    def cpu(self):
        return self

    def double(self):
        return self.to(self.data.double().dtype)

    def float(self):
        return self.to(self.data.float().dtype)

    def half(self):
        return self.to(self.data.half().dtype)

    @property
    def is_cuda(self):
        return False

    def is_pinned(self):
        return False

    def pin_memory(self):
        return self


def invert_permutation(permutation):
    """The permutation that undoes this one; None for None."""
    if permutation is None:
        return None
    output = empty_like(permutation)
    return output.scatter_(0, permutation, arange(0, permutation.numel()))


def _check_lengths(lengths, size, batch, sorted_first):
    if len(lengths) != batch:
        raise RuntimeError(f"Expected `len(lengths)` to be equal to batch_size, but got {len(lengths)} (batch_size={batch})")
    if any(n <= 0 for n in lengths):
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0")
    if sorted_first and any(a < b for a, b in zip(lengths, lengths[1:], strict=False)):
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do not "
            "need ONNX exportability."
        )
    if max(lengths) > size:
        raise RuntimeError(f"Expected `len(lengths)` to be at most {size}, but got {max(lengths)}")


def pack_padded_sequence(input: Tensor, lengths, batch_first: bool = False, enforce_sorted: bool = True) -> PackedSequence:
    """Padded sequences (T, N, *), or (N, T, *) with `batch_first`, packed.

    Raises: RuntimeError if the lengths do not fall, unless `enforce_sorted=False`, which sorts them.
    """
    lengths = as_tensor(lengths, dtype=int64) if not isinstance(lengths, Tensor) else lengths.to(int64)
    order = None
    x = input.transpose(0, 1) if batch_first else input
    if not enforce_sorted:
        lengths, order = sort(lengths, descending=True)
        x = x.index_select(1, order)
    counts = lengths.tolist()
    _check_lengths(counts, x.size(0), x.size(1), enforce_sorted)
    sizes = [sum(n > t for n in counts) for t in range(counts[0])]
    data = cat([x[t, :n] for t, n in enumerate(sizes)], 0)
    return PackedSequence(data, tensor(sizes), order, None)


def pad_packed_sequence(sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0,
                        total_length: int | None = None):  # fmt: skip
    """Packed sequences padded again to (T, N, *), or (N, T, *), and their lengths."""
    sizes = sequence.batch_sizes.tolist()
    steps = len(sizes)
    if total_length is not None:
        if total_length < steps:
            raise ValueError(
                "Expected total_length to be at least the length of the longest sequence in input, but got total_length="
                f"{total_length} and max sequence length being {steps}"
            )
        steps = total_length
    data, n = sequence.data, sizes[0]
    rows = []
    for part in data.split(sizes, 0):
        missing = n - part.size(0)
        if missing:
            part = cat([part, full((missing, *data.shape[1:]), padding_value, dtype=data.dtype)], 0)
        rows.append(part)
    rows += [full((n, *data.shape[1:]), padding_value, dtype=data.dtype)] * (steps - len(sizes))
    padded = stack(rows, 0)
    lengths = tensor([sum(s > k for s in sizes) for k in range(n)])
    if sequence.unsorted_indices is not None:
        padded, lengths = padded.index_select(1, sequence.unsorted_indices), lengths[sequence.unsorted_indices]
    return (padded.transpose(0, 1) if batch_first else padded), lengths


def pad_sequence(sequences, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    """Sequences (length, *) padded to the longest: (T, N, *), or (N, T, *) with `batch_first`."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError(f"pad_sequence: Expected iterable for input sequences, but got arg of type: {type(sequences)}")
    if padding_side not in ("left", "right"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    sequences = tuple(sequences)
    longest = max(s.size(0) for s in sequences)
    padded = []
    for s in sequences:
        missing = longest - s.size(0)
        if missing:
            fill = full((missing, *s.shape[1:]), padding_value, dtype=s.dtype)
            s = cat([s, fill] if padding_side == "right" else [fill, s], 0)
        padded.append(s)
    return stack(padded, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of a padded batch, each with its own length."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [s[:n] for s, n in zip(x, lengths.tolist(), strict=True)]


def pack_sequence(sequences, enforce_sorted: bool = True) -> PackedSequence:
    """A list of sequences, packed."""
    lengths = tensor([s.size(0) for s in sequences])
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """The list of sequences that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)
