"""Compiled steps: `rushlight.compile` and what PyTorch has in `torch.compiler`.

(`rushlight.compile` is the function, so this package cannot have that name.)
"""

from __future__ import annotations

import contextlib
import functools

from .. import _recording
from ..nn.modules.module import Module
from . import step as _step
from .step import CompiledFunction

__all__ = ["compile", "disable", "is_compiling", "is_dynamo_compiling", "is_exporting", "reset", "list_backends"]

_BACKENDS = ("inductor", "eager", "aot_eager", "cudagraphs", "rushlight")


def compile(model=None, *, fullgraph: bool = False, dynamic=None, backend="inductor", mode=None, options=None,
            disable: bool = False):  # fmt: skip
    """Makes a function fast that does the same at every call: it is recorded and then repeated by one native call.

        @rushlight.compile
        def step(x, y):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            return loss

    Results are those of the function itself, bit for bit: dropout masks, running statistics, step counts, learning rates
    that a schedule changes between calls. New shapes, types, settings or frozen parameters are recorded anew. What cannot be
    repeated (values read with `.item()`, printing, Python's random numbers, hooks) makes it run as it is, with one warning
    that says where. Python code runs while recording only: a counter in it does not count repetitions.

    Args: `model`, a function or a Module (the decorator form takes it later); `fullgraph`: an error in place of the warning;
    `disable`: returns it as it is. `dynamic`, `backend`, `mode` and `options` are PyTorch's; recording needs none of them.
    Raises: RuntimeError for an unknown backend, TypeError for what cannot be called.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.compile.html
    """
    if isinstance(backend, str) and backend not in _BACKENDS:
        raise RuntimeError(f"Invalid backend: {backend!r}, see `torch.compiler.list_backends()` for available backends.")
    if mode is not None and options is not None:
        raise RuntimeError("Either mode or options can be specified, but both can't be specified at the same time.")
    if model is None:
        return functools.partial(compile, fullgraph=fullgraph, dynamic=dynamic, backend=backend, mode=mode, options=options,
                                 disable=disable)  # fmt: skip
    if not callable(model):
        raise TypeError(f"compile takes a function or a Module, not {type(model).__name__}")
    if disable:
        return model
    if isinstance(model, Module):
        from .model import OptimizedModule

        return OptimizedModule(model, fullgraph=fullgraph)
    return CompiledFunction(model, fullgraph=fullgraph)


def is_compiling() -> bool:
    """Whether a function is being recorded at the moment."""
    return _recording.watching() is not None


is_dynamo_compiling = is_compiling


def is_exporting() -> bool:
    """Always False: ONNX export does not change what a program does."""
    return False


def list_backends(exclude_tags=("debug", "experimental")) -> list[str]:
    """Names that `compile` takes as `backend`; all mean the same here."""
    return ["cudagraphs", "inductor"]


class _Disable(contextlib.ContextDecorator):
    def __enter__(self):
        _step.disabled += 1

    def __exit__(self, *exc):
        _step.disabled -= 1


def disable(fn=None, recursive=True, *, reason=None):
    """`fn` with compiled functions inside it running as they are; without `fn`, a decorator or context manager."""
    return _Disable() if fn is None else _Disable()(fn)


def reset() -> None:
    """Here for PyTorch's programs: recordings belong to their function, `compiled.reset()` forgets them."""
