"""Tables that commands print."""

from __future__ import annotations

from rich import box
from rich.table import Table

from .display import ACCENT, DIM, number

__all__ = ["tensor_table", "size"]


def size(nbytes: int) -> str:
    """Bytes with a unit."""
    value = float(nbytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    raise AssertionError


def tensor_table(title: str, tensors, with_statistics: bool) -> Table:
    """Name, shape, dtype, count, mean, deviation and bytes of each tensor, and totals; memory shared by several tensors
    counts once."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, show_footer=True,
                  header_style=f"bold {ACCENT}", pad_edge=False, padding=(0, 1, 0, 0))  # fmt: skip
    count = sum(t.count for t in tensors)
    shared, seen, nbytes = 0, set(), 0
    for t in tensors:
        shared += t.storage in seen
        nbytes += 0 if t.storage in seen else t.nbytes
        seen.add(t.storage)
    note = f" ({shared} share memory)" if shared else ""
    table.add_column("name", footer=f"{len(tensors)} tensors{note}", overflow="fold")
    table.add_column("shape", style=DIM)
    table.add_column("dtype", style=DIM)
    table.add_column("count", justify="right", footer=f"{count:,}")
    if with_statistics:
        table.add_column("mean", justify="right")
        table.add_column("std", justify="right")
    table.add_column("bytes", justify="right", footer=size(nbytes))
    for t in tensors:
        row = [t.name, "×".join(map(str, t.shape)) or "scalar", t.dtype, f"{t.count:,}"]
        if with_statistics:
            values = t.statistics()
            row += ["–", "–"] if values is None else [number(v) for v in values]
        table.add_row(*row, size(t.nbytes))
    return table
