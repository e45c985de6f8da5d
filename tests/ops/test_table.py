"""Every table row, in every dtype and memory layout it names, against PyTorch."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import tests.ops
from rushlight.autograd.op import REGISTRY

from .harness import run_error, run_inplace, run_out, run_row

TABLES = [importlib.import_module(f"tests.ops.{m.name}") for m in pkgutil.iter_modules(tests.ops.__path__)
          if m.name.startswith("table_")]  # fmt: skip
ROWS = [row for table in TABLES for row in table.ROWS]
ERRORS = [row for table in TABLES for row in getattr(table, "ERRORS", [])]

# Ops that no public call reaches alone: parts of other ops and of their derivatives, exercised by those ops' rows.
INTERNAL = {name for name in REGISTRY if name.endswith("_backward")} | {"bag_of", "ctc_starts"}


CASES = [pytest.param(row, dtype, layout, id=f"{row.id}-{dtype}-{layout}") for row in ROWS for dtype in row.dtypes
         for layout in (("contiguous", "permuted") if row.layouts else ("contiguous",))]  # fmt: skip


@pytest.mark.parametrize(("row", "dtype", "layout"), CASES)
@pytest.mark.filterwarnings("ignore")
def test_row(row, dtype, layout):
    """Values, dtypes, shapes and gradients are PyTorch's."""
    run_row(row, dtype, permuted=layout == "permuted")


@pytest.mark.parametrize(("row", "dtype"), [pytest.param(r, d, id=f"{r.id}-{d}") for r in ROWS if r.inplace for d in r.dtypes])
@pytest.mark.filterwarnings("ignore")
def test_inplace(row, dtype):
    """The in-place form does what PyTorch's does."""
    run_inplace(row, dtype)


@pytest.mark.parametrize(("row", "dtype"), [pytest.param(r, d, id=f"{r.id}-{d}") for r in ROWS if r.out for d in r.dtypes])
@pytest.mark.filterwarnings("ignore")
def test_out(row, dtype):
    """`out=` receives the result."""
    run_out(row, dtype)


@pytest.mark.parametrize("row", ERRORS, ids=lambda r: r.id)
@pytest.mark.filterwarnings("ignore")
def test_error(row):
    """Bad input raises PyTorch's exception with PyTorch's first line."""
    run_error(row)


def test_every_op_has_a_row():
    """An op without a row is an op nobody has checked."""
    missing = set(REGISTRY) - INTERNAL - {row.op for row in ROWS}
    assert not missing, f"ops without a table row: {sorted(missing)}"
