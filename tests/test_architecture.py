"""The structure says what it is: layers, one definition per op, no second registry."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import rushlight
from rushlight import _native
from rushlight._kernels import K
from rushlight.autograd.op import REGISTRY

SOURCE = Path(rushlight.__file__).parent
REPOSITORY = Path(__file__).parents[1]


def modules():
    return [(path, ast.parse(path.read_text())) for path in SOURCE.rglob("*.py")]


def test_no_module_imports_the_top_level_package():
    """`import rushlight` inside rushlight would tie everything to everything."""
    for path, tree in modules():
        for node in ast.walk(tree):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            assert not any(n.split(".")[0] == "rushlight" for n in names), f"{path} imports {names}"


def test_pytorch_is_never_imported():
    """PyTorch is the oracle of the tests and nothing else."""
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert all(a.name.split(".")[0] != "torch" for a in node.names), path
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert (node.module or "").split(".")[0] != "torch", path


def test_extras_are_imported_on_first_use():
    """`import rushlight` needs NumPy and nothing else from outside the standard library."""
    code = (
        "import sys; before = set(sys.modules); import rushlight\n"
        "top = {m.split('.')[0] for m in set(sys.modules) - before}\n"
        "print(sorted(top - set(sys.stdlib_module_names) - {'numpy', 'rushlight'}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    extra = [m for m in eval(out.stdout) if not m.startswith("_")]  # noqa: S307 - our own output
    assert extra == []


def test_every_kernel_is_used():
    """A kernel that no Python file calls is dead code."""
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    # Families of losses name their backward kernel f"{name}_backward".
    names = {name: name.removesuffix("_backward") if '_backward"' in text else name for name in _native.kernel_names()}
    unused = [name for name, stem in names.items() if not re.search(rf"\b{name}(_into)?\b|\"{stem}\"", text)]
    assert unused == []


def test_every_differentiable_op_has_rules():
    """"No gradient" is declared, never forgotten."""
    missing = [op.name for op in REGISTRY.values() if op.differentiable and op.joint_rule is None and not op.rules]
    assert missing == []


def test_every_rule_names_what_exists():
    """A rule's parameters are inputs, outputs or arguments of its op: plans for all inputs can be made."""
    for op in REGISTRY.values():
        if op.joint_rule is not None:
            op.plan((True,) * max(1, len(op.arg_names)))
        elif op.rules:
            op.plan(tuple(name in op.rules for name in op.arg_names))


def test_kernels_with_an_infer_can_allocate():
    """Every kernel has its writing form; most have the allocating one."""
    for name in _native.kernel_names():
        assert hasattr(K, f"{name}_into")


def test_version():
    """The package says the version that pyproject.toml says."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert rushlight.__version__ == project["version"]
