"""Switches for recording: `no_grad`, `enable_grad`, `set_grad_enabled`, `inference_mode`."""

from __future__ import annotations

import functools
import inspect

from .. import _native

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode", "is_grad_enabled", "is_inference_mode_enabled"]

is_grad_enabled = _native.is_grad_enabled
is_inference_mode_enabled = _native.is_inference_enabled


class _ContextDecorator:
    """A context manager that is also a decorator, for functions and generator functions."""

    def __call__(self, func):
        if inspect.isgeneratorfunction(func):

            @functools.wraps(func)
            def generator(*args, **kwargs):
                # The mode holds while the generator's own code runs, never between its items.
                iterator = func(*args, **kwargs)
                try:
                    with self._clone():
                        item = next(iterator)
                    while True:
                        try:
                            sent = yield item
                        except GeneratorExit:
                            with self._clone():
                                iterator.close()
                            raise
                        except BaseException as error:
                            with self._clone():
                                item = iterator.throw(error)
                        else:
                            with self._clone():
                                item = iterator.send(sent)
                except StopIteration as stop:
                    return stop.value

            return generator

        @functools.wraps(func)
        def wrapper(*args, **kwargs):
            with self._clone():
                return func(*args, **kwargs)

        return wrapper

    def _clone(self):
        return type(self)()


class no_grad(_ContextDecorator):
    """No op inside records a node; results have `requires_grad=False`. Context manager or decorator.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.no_grad.html
    """

    def __new__(cls, func=None):
        self = super().__new__(cls)
        return self if func is None else self(func)

    def __enter__(self):
        self._before = _native.set_grad_enabled(False)

    def __exit__(self, *exc):
        _native.set_grad_enabled(self._before)


class enable_grad(_ContextDecorator):
    """Turns recording back on, inside `no_grad`. Context manager or decorator."""

    def __new__(cls, func=None):
        self = super().__new__(cls)
        return self if func is None else self(func)

    def __enter__(self):
        self._before = _native.set_grad_enabled(True)

    def __exit__(self, *exc):
        _native.set_grad_enabled(self._before)


class set_grad_enabled(_ContextDecorator):
    """Sets recording on or off at once; as a context manager, restores it at the end."""

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self._before = _native.set_grad_enabled(self.mode)

    def __call__(self, func):
        _native.set_grad_enabled(self._before)
        return super().__call__(func)

    def __enter__(self):
        _native.set_grad_enabled(self.mode)

    def __exit__(self, *exc):
        _native.set_grad_enabled(self._before)

    def _clone(self):
        return type(self)(self.mode)


class inference_mode(_ContextDecorator):
    """`no_grad` whose results can never enter a recorded computation. Context manager or decorator."""

    def __new__(cls, mode=True):
        if callable(mode):
            return cls()(mode)
        return super().__new__(cls)

    def __init__(self, mode: bool = True):
        self.mode = mode if isinstance(mode, bool) else True

    def __enter__(self):
        self._before = _native.is_grad_enabled(), _native.set_inference(self.mode)
        _native.set_grad_enabled(not self.mode)

    def __exit__(self, *exc):
        grad, inference = self._before
        _native.set_grad_enabled(grad)
        _native.set_inference(inference)

    def _clone(self):
        return type(self)(self.mode)
