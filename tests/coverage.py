"""Writes docs/coverage.md: which of PyTorch's public names are here.

    python -m tests.coverage docs/coverage.md

The names are read from PyTorch and from rushlight; the counts of rows from the tables in tests/ops.
"""

from __future__ import annotations

import collections
import importlib
import inspect
import sys
import textwrap
import types
import warnings
from pathlib import Path

import torch

import rushlight
from rushlight.autograd.op import REGISTRY
from rushlight.onnx.lowerings import LOWERINGS

NAMESPACES = [
    "", "Tensor", "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "optim.swa_utils", "utils.data",
    "autograd", "linalg", "special", "distributions", "distributions.constraints", "distributions.transforms",
    "utils.checkpoint",
]  # fmt: skip

# Kinds of dtype that are no part of training on a CPU.
OTHER_DTYPES = ("complex", "chalf", "cfloat", "cdouble", "q", "bits", "float8", "float4")
# Kernels of one backend, TorchScript's compiler, sparse, quantised and symbolic values.
OTHER_PARTS = (
    "cudnn_", "miopen_", "mkldnn_", "fbgemm_", "sparse_", "quantize", "q_", "fake_quantize", "fused_moving_avg", "sym_", "to_sparse",
    "to_mkldnn", "batch_norm_", "empty_quantized", "dequantize", "import_ir_module", "parse_", "Script",
)  # fmt: skip
# Helpers that a module of PyTorch imports or defines for itself.
HELPERS = {
    "Tensor", "BroadcastingList1", "BroadcastingList2", "BroadcastingList3", "DType", "assert_int_or_pair", "boolean_dispatch",
    "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
}  # fmt: skip


def wanted(space, name):
    """Whether a name of this namespace counts."""
    value = getattr(space, name, None)
    if name.startswith("_") or isinstance(value, types.ModuleType):
        return False
    if isinstance(value, torch.dtype):
        narrow = name.startswith(("int", "uint")) and name.lstrip("uint") in "1234567"
        return not str(value).removeprefix("torch.").startswith(OTHER_DTYPES) and not name.startswith("q") and not narrow
    if space in (torch, torch.Tensor) and (name.startswith(OTHER_PARTS) or name.endswith("Storage")):
        return False
    if space is torch:
        home = str(getattr(value, "__module__", ""))
        if home.startswith("torch.jit") or type(value).__name__ in ("pybind11_type", "pybind11_meta"):
            return False
        listed = name in torch.__all__ or home in ("torch.functional", "torch.autograd.grad_mode")
        return listed or isinstance(value, (torch.layout, torch.memory_format))
    if inspect.isclass(space):
        return True
    if name in HELPERS and space is not torch:
        return False
    home = getattr(value, "__module__", None)
    own = home is None or home.startswith("torch")
    return callable(value) and own and (name in getattr(space, "__all__", [name]))


def names():
    """{namespace: (names that are here, names that are missing)}."""
    out = {}
    for path in NAMESPACES:
        theirs, ours = torch, rushlight
        for part in filter(None, path.split(".")):
            theirs = getattr(theirs, part, None) or importlib.import_module(f"torch.{path}")
            ours = getattr(ours, part, None)
        found = sorted({n for n in dir(theirs) if wanted(theirs, n)})
        out[path] = [n for n in found if hasattr(ours, n)], [n for n in found if not hasattr(ours, n)]
    return out


def rows():
    """How many rows the tables have for each op."""
    from tests.ops.test_table import ERRORS, ROWS

    return collections.Counter(r.op for r in ROWS), len(ROWS), len(ERRORS)


def wrap(text):
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def paragraph(title, items):
    text = ", ".join(f"`{n}`" for n in items)
    return wrap(f"{title}: {text}.") if items else ""


def report():
    found = names()  # first: some modules, and their ops, are imported when they are asked for
    per_op, total, errors = rows()
    forward = [n for n in REGISTRY if not n.endswith("_backward")]
    out = [
        "# Coverage",
        wrap(
            f"Public names of PyTorch {torch.__version__.split('+')[0]} that exist in rushlight, written by `make coverage`. "
            "A name that is here may lack some of its options; its docstring says what it takes. Not counted: private names, "
            "submodules, TorchScript, kernels of one backend, sparse, quantised and symbolic values, and complex, quantised and "
            "sub-byte dtypes."
        ),
        "",
    ]
    table, details = ["| | here | missing |", "|---|---:|---:|"], []
    for path, (here, missing) in found.items():
        label = f"torch.{path}" if path else "torch"
        table.append(f"| {label} | {len(here)} | {len(missing)} |")
        details += [f"## {label}", paragraph("Here", here), paragraph("Missing", missing)]
    tested = sum(1 for n in forward if per_op[n])
    exported = sum(1 for n in forward if n in LOWERINGS)
    table += [
        "",
        wrap(
            f"{len(forward)} ops (and {len(REGISTRY) - len(forward)} fused derivatives); {tested} have rows in tests/ops, which "
            f"hold {total} expressions and {errors} errors; {exported} have an ONNX form."
        ),
    ]
    out[2] = "\n".join(table)
    return "\n\n".join(part for part in out + details if part) + "\n"


def main():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = report()
    Path(sys.argv[1]).write_text(text)


if __name__ == "__main__":
    main()
