"""What can be recorded: every row of the op tables as a step of its own, with the gradients, bit for bit as in eager mode.

A step computes the op, and gradients of its inputs, from other values at each call.
What cannot be recorded is in REFUSED, with the reason; an op that joins or leaves that list fails its test.
"""

from __future__ import annotations

import fnmatch
import gc
from collections import defaultdict

import pytest

import rushlight as torch
from rushlight.compiler.tree import flatten
from tests.ops.harness import Draw, build, flat, inplace_row, to_numpy
from tests.ops.test_table import ROWS

CALLS = 6  # one as it is, two recorded, three repetitions

VALUE, VALUES, NUMPY = "a value was read", "values were read", "memory was handed to NumPy"
LAPACK = "NumPy's LAPACK computes it, not a kernel"

# Patterns of row ids -> how the recording is refused, and why it has to be.
REFUSED = {
    ("nonzero*",): (VALUE, "there are as many results as elements that are not zero"),
    ("index-masked_select",): (VALUE, "there are as many results as the mask has true elements"),
    ("sort-unique", "sort-unique_int", "sort-unique_empty", "sort-unique_cons*"): (VALUE, "how many values differ"),
    ("sort-unique_rows",): (NUMPY, "how many rows differ"),
    ("sort-bincount*",): (VALUE, "there are as many bins as the largest value says"),
    ("one_hot",): (VALUE, "without num_classes there are as many as the largest value says"),
    ("*-packed*",): (VALUE, "the sizes of a packed batch are values of a tensor"),
    ("eq-equal",): (VALUE, "equal and allclose give a bool of Python"),
    ("copy-apply_",): (VALUES, "a function of Python is called for each element"),
    ("inv*", "mm-power_-2", "det*", "slogdet*", "solve*", "cholesky*", "qr*", "svd*", "eigh*"): (NUMPY, LAPACK),
    ("geqrf*", "householder_product*", "matrix_exp*"): (NUMPY, LAPACK),
}


# The same for second derivatives only.
REFUSED_SECOND = {
    ("cumprod*",): (VALUE, "a short formula divides, and is taken if there is no zero; the other has as many steps as elements"),
}


def expected_refusal(row, second):
    refused = REFUSED | REFUSED_SECOND if second else REFUSED
    found = [how for patterns, (how, _) in refused.items() if any(fnmatch.fnmatchcase(row.id, p) for p in patterns)]
    return found[0] if found else ""


def prepare(value, grad, leaves):
    """Copies of what needs a gradient, which the step makes itself."""
    if isinstance(value, (list, tuple)):
        return type(value)([prepare(v, grad, leaves) for v in value])
    if not (grad and isinstance(value, torch.Tensor) and value.is_floating_point()):
        return value
    leaves.append(value.clone().requires_grad_())
    return leaves[-1]


def gradients(results, leaves, create_graph):
    if not results or not leaves:
        return []
    cotangents = [r.detach().cos() for r in results]
    grads = torch.autograd.grad(results, leaves, cotangents, create_graph=create_graph, allow_unused=True)
    return [g for g in grads if g is not None]


def step_of(row, second=False):
    def step(*inputs):
        leaves = []
        outs = flat(row.fn(torch, *[prepare(x, row.grad, leaves) for x in inputs]))
        live = [o for o in outs if isinstance(o, torch.Tensor) and o.requires_grad]
        grads = gradients(live, leaves, second)
        if second:
            grads += gradients([g for g in grads if g.requires_grad], leaves, False)
        return [x.detach().clone() if isinstance(x, torch.Tensor) else x for x in [*outs, *grads]]

    return step


def identical(a, b):
    if isinstance(a, torch.Tensor):
        x, y = to_numpy(a), to_numpy(b)
        return x.shape == y.shape and x.dtype == y.dtype and x.tobytes() == y.tobytes()
    return a == b


def leaves_of(result):
    out = []
    flatten(result, out)
    return out


def refusal(row, second):
    """Why the row's step is not recorded; nothing if it is, and does what it does in eager mode."""
    eager, compiled = step_of(row, second), torch.compile(step_of(row, second), fullgraph=True)
    dtype = "float32" if "float32" in row.dtypes else row.dtypes[0]
    for k in range(CALLS):
        drawn = row.inputs(Draw(dtype, row.seed + k))
        drawn = drawn if isinstance(drawn, tuple) else (drawn,)
        sides = []
        for step in (eager, compiled):
            torch.manual_seed(k)
            try:
                sides.append(leaves_of(step(*[build(torch, v) for v in drawn])))
            except RuntimeError as error:
                if "cannot be compiled" not in str(error):
                    raise
                return str(error).split("cannot be compiled: ")[1]
        want, got = sides
        assert len(got) == len(want) and all(map(identical, got, want)), f"{row.id}: call {k} gave {got}, not {want}"
    return "" if any(s.native.runs for s in compiled._steps) else compiled.explain()


@pytest.fixture(scope="module", autouse=True)
def _few_objects():
    """A refused recording looks for garbage, which takes long with PyTorch's objects around."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


BY_OP = defaultdict(list)
for _row in ROWS:
    BY_OP[_row.op].append(_row)
    if _row.inplace:
        BY_OP[_row.op].append(inplace_row(_row))


def _second(rows):
    """Some of the rows that have second derivatives."""
    return [row for row in rows if row.grad and row.second][:4]


@pytest.mark.parametrize(("op", "second"), [(op, s) for op in sorted(BY_OP) for s in (False, True) if not s or _second(BY_OP[op])])
@pytest.mark.filterwarnings("ignore")
def test_op(op, second):
    """Recorded and repeated with eager mode's bits, or on the list of what cannot be; with second derivatives, too."""
    for row in _second(BY_OP[op]) if second else BY_OP[op]:
        expected = expected_refusal(row, second)
        why = refusal(row, second)
        if expected:
            assert why, f"{row.id} can be recorded now: take it off the list"
            assert expected in why, f"{row.id} is not recorded, because {why}"
        else:
            assert not why, f"{row.id} is not recorded: {why}"


def test_list_of_refusals():
    """Every pattern is that of a row."""
    ids = [row.id for rows in BY_OP.values() for row in rows]
    unused = [p for patterns in REFUSED | REFUSED_SECOND for p in patterns if not fnmatch.filter(ids, p)]
    assert not unused
