"""Compiled modules: `compile(module)` is a Module around the one that it was given."""

from __future__ import annotations

from copy import deepcopy

from ..nn.modules.module import Module
from .step import CompiledFunction

__all__ = ["OptimizedModule"]


class OptimizedModule(Module):
    """A Module whose calls are repeated natively. Parameters and everything else are the original's, under `_orig_mod`.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.compile.html
    """

    def __init__(self, mod: Module, *, fullgraph: bool = False):
        super().__init__()
        self._orig_mod = mod
        self.__dict__["_compiled"] = CompiledFunction(mod, fullgraph=fullgraph)
        self.__dict__["training"] = mod.training

    def forward(self, *args, **kwargs):
        return self.__dict__["_compiled"](*args, **kwargs)

    def __call__(self, *args, **kwargs):
        if self._hooked:
            return super().__call__(*args, **kwargs)
        return self.__dict__["_compiled"](*args, **kwargs)

    def explain(self) -> str:
        """What was recorded, and whether it is being repeated."""
        return self.__dict__["_compiled"].explain()

    def __getattr__(self, name):
        if name == "_orig_mod":
            return self.__dict__["_modules"]["_orig_mod"]
        return getattr(self._orig_mod, name)

    def __setattr__(self, name, value):
        # Settings belong to the original, so that its forward sees them.
        if name == "_orig_mod" or "_orig_mod" not in self.__dict__.get("_modules", {}):
            return super().__setattr__(name, value)
        if name == "training":
            self.__dict__["training"] = value
        return setattr(self._orig_mod, name, value)

    def __delattr__(self, name):
        delattr(self._orig_mod, name)

    def __len__(self):
        return len(self._orig_mod)

    def __dir__(self):
        return sorted({*super().__dir__(), *dir(self._orig_mod)})

    def __deepcopy__(self, memo):
        return OptimizedModule(deepcopy(self._orig_mod, memo), fullgraph=self.__dict__["_compiled"]._fullgraph)

    def __reduce__(self):
        return OptimizedModule, (self._orig_mod,)
