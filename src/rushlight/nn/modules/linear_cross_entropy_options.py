"""How `linear_cross_entropy` divides its batch."""

from __future__ import annotations

import dataclasses
from typing import Literal

from ... import _dtypes
from ..._dtypes import dtype

__all__ = ["LinearCrossEntropyOptions"]

_HALF = (_dtypes.float16, _dtypes.bfloat16)
_ACC_DTYPES = (*_HALF, _dtypes.float32, _dtypes.float64)


@dataclasses.dataclass(slots=True, frozen=True)
class LinearCrossEntropyOptions:
    """Asks `linear_cross_entropy` to work on chunks of rows, so that the logits never exist all at once.

    Args: `allow_retain_graph`, whether `backward` may run twice; `batch_chunk_size`, rows per chunk, or `chunking_method`:
    "aspect_ratio" (a chunk's logits are about as large as the input), "aspect_ratio:N" (N times smaller), "auto" or None;
    `acc_dtype`, in which float16 and bfloat16 are computed (float32); `acc_policy`, which of PyTorch's buffers are kept in it:
    all of them here.
    Raises: ValueError for other values.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.LinearCrossEntropyOptions.html
    """

    allow_retain_graph: bool = False
    batch_chunk_size: int | None = None
    chunking_method: str | None = "auto"
    acc_policy: Literal["accurate", "balanced", "compact", "auto"] = "auto"
    acc_dtype: dtype | None = None

    def __post_init__(self):
        if self.acc_policy not in ("auto", "accurate", "balanced", "compact"):
            raise ValueError(f"invalid acc_policy: {self.acc_policy!r}")
        if self.chunking_method not in (None, "auto"):
            name, colon, factor = self.chunking_method.partition(":")
            factor = factor if colon else "1"
            if name != "aspect_ratio" or not factor.isdigit() or int(factor) < 1:
                raise ValueError(f"invalid chunking_method: {self.chunking_method!r}")
        size = self.batch_chunk_size
        if size is not None and not (isinstance(size, int) and size > 0):
            raise ValueError(f"batch_chunk_size must be positive int or None, got {size!r}")
        if self.acc_dtype is not None and self.acc_dtype not in _ACC_DTYPES:
            raise ValueError("acc_dtype must be one of {None, torch.float16, torch.bfloat16, torch.float32, torch.float64}, got "
                             f"{self.acc_dtype!r}. Pass acc_dtype=None to let the op pick automatically.")  # fmt: skip

    def _rows(self, batch, in_features, classes, half) -> int:
        """Rows per chunk."""
        method, size = self.chunking_method, self.batch_chunk_size
        if method == "auto":
            method = None if size is not None else "aspect_ratio" if half else "aspect_ratio:2"
        if method is None:
            return max(1, batch if size is None else min(size, batch))
        target = -(-batch // -(-classes // in_features))
        rows = min((1 << (target - 1).bit_length()) // int(method.partition(":")[2] or 1), batch)
        if size is not None and size != rows:
            raise ValueError(f"batch_chunk_size (={size}) and chunking_method ('{method}') give different chunk sizes ({size} vs "
                             f"{rows}); pass only one.")  # fmt: skip
        return max(1, rows)

    def _accumulate_in(self, dtype):
        """The dtype to compute in."""
        acc = self.acc_dtype or (_dtypes.float32 if dtype in _HALF and self.acc_policy == "auto" else dtype)
        if acc is not dtype and not (dtype in _HALF and acc is _dtypes.float32):
            raise RuntimeError("linear_cross_entropy supports float32 acc_dtype with float16/bfloat16 inputs, but got "
                               f"{acc} acc_dtype and {dtype} inputs.")  # fmt: skip
        return acc
