"""`torch` as another name of this package, for scripts that were written for PyTorch."""

from __future__ import annotations

import contextlib
import importlib
import importlib.abc
import importlib.util
import runpy
import sys
import traceback
from pathlib import Path

__all__ = ["alias", "run_with_alias"]

_PACKAGE = __name__.split(".")[0]
_ALIASES = {"torch": _PACKAGE, "torchvision": f"{_PACKAGE}.vision"}


class _Alias(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds `torch.x.y` as `rushlight.x.y`: the same module object under a second name."""

    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top not in _ALIASES:
            return None
        try:
            found = importlib.util.find_spec(self.real(name))
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise ModuleNotFoundError(f"rushlight has no {name}", name=name)
        return importlib.util.spec_from_loader(name, self, is_package=found.submodule_search_locations is not None)

    @staticmethod
    def real(name):
        top, _, rest = name.partition(".")
        return f"{_ALIASES[top]}.{rest}" if rest else _ALIASES[top]

    def create_module(self, spec):
        module = importlib.import_module(self.real(spec.name))
        self.original = module.__spec__
        return module

    def exec_module(self, module):
        module.__spec__ = self.original  # the import system has put the alias's there


@contextlib.contextmanager
def alias():
    """Within the block, `import torch` gives rushlight.

    Raises: RuntimeError if the real torch is already imported.
    """
    if "torch" in sys.modules and sys.modules["torch"] is not sys.modules.get(_PACKAGE):
        raise RuntimeError("torch is already imported: its name can no longer be given to rushlight")
    finder = _Alias()
    sys.meta_path.insert(0, finder)
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if name.split(".")[0] in _ALIASES:
                del sys.modules[name]


def _print_from(script, error):
    """The traceback from the script's own frames on, as `python script` would print it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename != str(script):
        frame = frame.tb_next
    traceback.print_exception(error.with_traceback(frame or error.__traceback__))


def run_with_alias(script, arguments=()) -> dict:
    """Runs a script as `python script arguments...` would, with `torch` being rushlight. Returns its globals.

    Raises: FileNotFoundError; SystemExit after an error of the script has been printed.
    """
    script = Path(script)
    if not script.exists():
        raise FileNotFoundError(f"there is no script {script}")
    old_argv, old_path = sys.argv, list(sys.path)
    sys.argv = [str(script), *arguments]
    sys.path.insert(0, str(script.resolve().parent))
    try:
        with alias():
            return runpy.run_path(str(script), run_name="__main__")
    except Exception as error:
        _print_from(script, error)
        raise SystemExit(1) from None
    finally:
        sys.argv, sys.path[:] = old_argv, old_path
