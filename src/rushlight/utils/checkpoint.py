"""Trading time for memory: what a function saves for its backward pass is computed again there.

Reference: https://docs.pytorch.org/docs/stable/checkpoint.html
"""

from __future__ import annotations

import contextlib
import functools
import warnings

from .. import _native, _recording
from .._device import device
from .._kernels import K
from .._random import default_generator
from ..autograd import autocast, engine
from ..autograd.backward import backward as run_backward
from ..autograd.function import Function
from ..autograd.grad_mode import enable_grad, no_grad
from ..autograd.held import HeldGraph
from ..autograd.node import overwritten_message
from ..autograd.tensor import Size, Tensor
from ..nn.modules.container import Sequential

__all__ = [
    "checkpoint", "checkpoint_sequential", "CheckpointError", "CheckpointFunction", "check_backward_validity", "detach_variable",
    "noop_context_fn", "set_checkpoint_early_stop", "set_checkpoint_debug_enabled",
]  # fmt: skip

_PASS_IT = (
    "use_reentrant=False is recommended, but if you need to preserve the current default behavior, you can pass use_reentrant=True. "
    "Refer to docs for more details on the differences between the two variants."
)


class CheckpointError(RuntimeError):
    """The function did something else the second time."""


def noop_context_fn():
    """Two contexts that do nothing."""
    return contextlib.nullcontext(), contextlib.nullcontext()


_early_stop: bool | None = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool):
    """Whether a function is left when it has saved, the second time, what it did the first time; over `early_stop`."""
    global _early_stop
    before, _early_stop = _early_stop, enable
    try:
        yield
    finally:
        _early_stop = before


@contextlib.contextmanager
def set_checkpoint_debug_enabled(enabled: bool | None):
    """Accepted; errors are the same."""
    yield


def detach_variable(inputs: tuple) -> tuple:
    """Tensors as leaves of their own, which require a gradient if the tensors do; other values as they are."""
    if not isinstance(inputs, tuple):
        raise RuntimeError("Only tuple of tensors is supported. Got Unsupported input type: ", type(inputs).__name__)
    return tuple(x.detach().requires_grad_(x.requires_grad) if isinstance(x, Tensor) and x.is_floating_point()
                 else x.detach() if isinstance(x, Tensor) else x for x in inputs)  # fmt: skip


def check_backward_validity(inputs) -> None:
    """A warning if no tensor requires a gradient."""
    if not any(x.requires_grad for x in inputs if isinstance(x, Tensor)):
        warnings.warn("None of the inputs have requires_grad=True. Gradients will be None", stacklevel=2)


class _Surroundings:
    """The generator's state and autocast, as they were when a function was called, for the call that repeats it.

    The state is copied by kernels, so that a step which is recorded can do it, too.
    """

    def __init__(self, preserve_rng_state):
        self.random = K.copy(self._state()) if preserve_rng_state else None
        self.autocast = autocast.STATE.dtype, autocast.STATE.caching

    @staticmethod
    def _state():
        return _recording.note_array(default_generator._state)

    @contextlib.contextmanager
    def again(self):
        dtype, caching = self.autocast
        now = None if self.random is None else K.copy(self._state())
        if now is not None:
            K.copy_into(self._state(), self.random)
        try:
            with autocast.autocast("cpu", dtype=dtype, enabled=dtype is not None, cache_enabled=caching):
                yield
        finally:
            if now is not None:
                K.copy_into(self._state(), now)


# -- by a node of its own ----------------------------------------------------------------------------------------------


class CheckpointFunction(Function):
    """The function as one node: it runs without a graph, and in the backward pass once more, with one of its own."""

    @staticmethod
    def forward(ctx, run_function, preserve_rng_state, *args):
        check_backward_validity(args)
        ctx.run_function, ctx.surroundings = run_function, _Surroundings(preserve_rng_state)
        ctx.inputs = [None if isinstance(a, Tensor) else a for a in args]
        ctx.save_for_backward(*(a if isinstance(a, Tensor) else None for a in args))
        with no_grad():
            return run_function(*args)

    @staticmethod
    def backward(ctx, *grads):
        if engine.only_inputs():
            raise RuntimeError("When use_reentrant=True, torch.utils.checkpoint is incompatible with .grad() or passing an `inputs` "
                               "parameter to .backward(). To resolve this error, you can either set use_reentrant=False, or call "
                               ".backward() without passing the `inputs` argument.")  # fmt: skip
        inputs = tuple(x if t is None else t for t, x in zip(ctx.saved_tensors, ctx.inputs, strict=True))
        with ctx.surroundings.again():
            detached = detach_variable(inputs)
            with enable_grad():
                outputs = ctx.run_function(*detached)
        if not isinstance(outputs, (tuple, list)):
            outputs = (outputs,)
        pairs = [(o, g) for o, g in zip(outputs, grads, strict=True) if isinstance(o, Tensor) and o.requires_grad]
        if not pairs:
            raise RuntimeError("none of output has requires_grad=True, this checkpoint() is not necessary")
        run_backward([o for o, _ in pairs], [g for _, g in pairs])
        return (None, None, *(x.grad if isinstance(x, Tensor) else None for x in detached))


# -- in the graph ------------------------------------------------------------------------------------------------------


def _described(shape, dtype):
    return {"shape": Size(shape), "dtype": dtype, "device": device("cpu")}


def _error(counts, different, early_stop) -> CheckpointError:
    if counts is None:
        lines = "".join(
            f"tensor at position {k}:\nsaved metadata: {_described(*was)}\nrecomputed metadata: {_described(*now)}\n"
            for k, was, now in different
        )
        return CheckpointError("torch.utils.checkpoint: Recomputed values for the following tensors have different metadata than during "
                               f"the forward pass.\n{lines}.\n")  # fmt: skip
    before, now = counts
    if now > before and not early_stop:
        return CheckpointError("torch.utils.checkpoint: trying to save more tensors during recomputation than during the original "
                               "forward pass.\n")  # fmt: skip
    return CheckpointError("torch.utils.checkpoint: A different number of tensors was saved during the original forward and "
                           f"recomputation.\nNumber of tensors saved during forward: {before}\nNumber of tensors saved during "
                           f"recomputation: {now}.\n")  # fmt: skip


def _in_graph(function, preserve_rng_state, context_fn, determinism_check, early_stop, args, kwargs):
    forward_context, again_context = context_fn()
    surroundings = _Surroundings(preserve_rng_state)
    tensors = [a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)]
    versions = [t._a.version for t in tensors]
    own = {id(t) for t in tensors}

    def again():
        for t, version in zip(tensors, versions, strict=True):
            if t._a.version != version:
                raise RuntimeError(overwritten_message(t, t._a.version, version))
        with surroundings.again(), again_context, enable_grad():
            return function(*args, **kwargs)

    error = functools.partial(_error, early_stop=early_stop)
    graph = HeldGraph(again, error, stop=early_stop, check=determinism_check != "none")
    with forward_context:
        # Arguments and parameters are there anyway.
        return graph.make(
            lambda: function(*args, **kwargs),
            lambda t: isinstance(t, Tensor) and (id(t) in own or (t._requires_grad and t._node is None)),
        )


# -- what users call ---------------------------------------------------------------------------------------------------


def checkpoint(function, *args, use_reentrant: bool | None = None, context_fn=noop_context_fn, determinism_check: str = "default",
               debug: bool = False, early_stop: bool = True, **kwargs):  # fmt: skip
    """function(*args, **kwargs), without keeping what its backward pass needs: that calls it once more.

    Args: `use_reentrant`: True for one node that runs a backward pass of its own, False for the function's own graph, which can do
    all that a graph can. `preserve_rng_state` (True): random numbers are the same the second time. `context_fn` gives contexts
    for the first call and the second. `determinism_check="none"`: shapes and dtypes are not compared.
    Raises: CheckpointError in the backward pass if the function saves something else the second time.
    """
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint: the use_reentrant parameter should be passed explicitly. Starting in PyTorch 2.9, calling "
            f"checkpoint without use_reentrant will raise an exception. {_PASS_IT}",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs and use_reentrant:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant:
        if context_fn is not noop_context_fn or debug is not False:
            raise ValueError("Passing `context_fn` or `debug` is only supported when use_reentrant=False.")
        return CheckpointFunction.apply(function, preserve, *args)
    if determinism_check not in ("default", "none"):
        raise ValueError(f"determinism_check should be one of ['default', 'none'], but got {determinism_check}")
    if not _native.is_grad_enabled():
        return function(*args, **kwargs)
    early = early_stop if _early_stop is None else _early_stop
    return _in_graph(function, preserve, context_fn, determinism_check, early, args, kwargs)


def checkpoint_sequential(functions, segments: int, input, use_reentrant: bool | None = None, **kwargs):
    """Modules one after another, in `segments` parts of which all but the last are checkpointed."""
    if use_reentrant is None:
        warnings.warn(
            "torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter should be passed explicitly. In version 2.9 we "
            f"will raise an exception if use_reentrant is not passed. {_PASS_IT}",
            stacklevel=2,
        )
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if isinstance(functions, Sequential):
        functions = list(functions.children())

    def part(start, end):
        def forward(input):
            for f in functions[start:end]:
                input = f(input)
            return input

        return forward

    size = len(functions) // segments
    last = 0
    for start in range(0, size * (segments - 1), size):
        last = start + size
        input = checkpoint(part(start, last), input, use_reentrant=use_reentrant, preserve_rng_state=preserve)
    return part(last, len(functions))(input)
