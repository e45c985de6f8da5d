"""Modes belong to a thread, as in PyTorch: a thread starts with the defaults, and what it sets is its own."""

from __future__ import annotations

import threading

import pytest
import torch

import rushlight

MODES = {
    "no_grad": (lambda T: T.no_grad(), lambda T: T.is_grad_enabled()),
    "set_grad_enabled": (lambda T: T.set_grad_enabled(False), lambda T: T.is_grad_enabled()),
    "inference_mode": (lambda T: T.inference_mode(), lambda T: (T.is_inference_mode_enabled(), T.ones(1).is_inference())),
    "autocast": (lambda T: T.autocast("cpu"), lambda T: (T.is_autocast_enabled("cpu"), T.ones(2, 2).mm(T.ones(2, 2)).dtype.itemsize)),
    "autocast dtype": (lambda T: T.autocast("cpu", T.float16), lambda T: str(T.get_autocast_dtype("cpu")).split(".")[-1]),
    "autocast cache": (lambda T: T.autocast("cpu", cache_enabled=False), lambda T: T.is_autocast_cache_enabled()),
}


def _seen(T, enter, ask):
    """What a thread sees before, inside and after, and the main thread meanwhile; then a thread while the main one is inside."""
    seen, inside, go_on = [], threading.Event(), threading.Event()

    def work():
        seen.append(ask(T))
        with enter(T):
            seen.append(ask(T))
            inside.set()
            go_on.wait(10)
        seen.append(ask(T))

    thread = threading.Thread(target=work)
    thread.start()
    inside.wait(10)
    meanwhile = ask(T)
    go_on.set()
    thread.join()
    with enter(T):
        other = threading.Thread(target=lambda: seen.append(ask(T)))
        other.start()
        other.join()
        own = ask(T)
    return seen, meanwhile, own, ask(T)


@pytest.mark.parametrize("mode", MODES)
def test_modes_of_threads(mode):
    assert _seen(rushlight, *MODES[mode]) == _seen(torch, *MODES[mode])


def test_training_beside_validation():
    """A model trains in one thread while another one evaluates without gradients."""
    ready, done = threading.Event(), threading.Event()

    def evaluate():
        with rushlight.no_grad():
            ready.set()
            done.wait(10)

    thread = threading.Thread(target=evaluate)
    thread.start()
    ready.wait(10)
    w = rushlight.ones(3, requires_grad=True)
    (w * 2).sum().backward()
    done.set()
    thread.join()
    assert w.grad.tolist() == [2, 2, 2]
