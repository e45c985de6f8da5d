"""Worker processes: what runs in them, and how an exception in one reaches the main process."""

from __future__ import annotations

import os
import queue
import random
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler

import numpy as np

from ... import _native
from ..._random import manual_seed
from ...autograd.tensor import Tensor
from ...ops.creation import tensor
from ._collate import default_collate
from .dataset import Subset, TensorDataset

__all__ = ["WorkerInfo", "get_worker_info", "worker_loop", "Fetcher", "IterableFetcher", "ExceptionWrapper", "RESUME",
           "Ended"]  # fmt: skip

RESUME = "resume"
_CHECK_PARENT = 5.0  # seconds between looks whether the main process is alive


@dataclass(frozen=True)
class WorkerInfo:
    """Which worker this process is: `id`, `num_workers`, `seed` (base seed + id) and its copy of the `dataset`."""

    id: int
    num_workers: int
    seed: int
    dataset: object
    rng: object = None
    worker_method: str = "multiprocessing"


_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """This worker's WorkerInfo; None in the main process."""
    return _info


@dataclass(frozen=True)
class Ended:
    """An iterable dataset has no more samples in this worker."""

    worker_id: int


class _KeyErrorMessage(str):
    """A text whose repr is itself: KeyError shows the repr of its argument."""

    def __repr__(self):
        return str(self)


class ExceptionWrapper:
    """An exception with its traceback as text, to be raised again in another process."""

    def __init__(self, where):
        kind, value, trace = sys.exc_info()
        self.type, self.where = kind, where
        self.text = "".join(traceback.format_exception(kind, value, trace))

    def reraise(self):
        text = f"Caught {self.type.__name__} {self.where}.\nOriginal {self.text}"
        if self.type is KeyError:
            text = _KeyErrorMessage(text)
        elif getattr(self.type, "message", None):
            raise self.type(message=text)
        try:
            error = self.type(text)
        except Exception:  # noqa: BLE001 - whatever its constructor wants, we do not have it
            raise RuntimeError(text) from None
        raise error


def plain_tensors(dataset, collate_fn):
    """(tensors, picks) if batches are rows `i` (or `picks[i]`) of plain tensors, default-collated; else None.

    Gathering the rows with one index_select per tensor gives the same batch as stacking samples one by one.
    """
    picks = None
    if type(dataset) is Subset and type(dataset.indices) is list:
        dataset, picks = dataset.dataset, dataset.indices
    if type(dataset) is not TensorDataset or collate_fn is not default_collate:
        return None
    if any(type(t) is not Tensor or t.requires_grad or t.ndim == 0 for t in dataset.tensors):
        return None
    if picks is not None and not _plain_indices(picks, len(dataset)):
        return None
    return dataset.tensors, picks


def _plain_indices(indices, n):
    return set(map(type, indices)) == {int} and min(indices) >= 0 and max(indices) < n


class Fetcher:
    """Samples of a map-style dataset, by index or list of indices."""

    def __init__(self, dataset, batched, collate_fn, drop_last):
        self.dataset, self.batched, self.collate_fn = dataset, batched, collate_fn
        self.plain = plain_tensors(dataset, collate_fn) if batched else None

    def fetch(self, index):
        if not self.batched:
            data = self.dataset[index]
        elif self.plain is not None and type(index) is list and _plain_indices(index, len(self.dataset)):
            tensors, picks = self.plain
            rows = tensor(index if picks is None else [picks[i] for i in index])
            return [t.index_select(0, rows) for t in tensors]
        elif getattr(self.dataset, "__getitems__", None):
            data = self.dataset.__getitems__(index)
        else:
            data = [self.dataset[i] for i in index]
        return self.collate_fn(data)


class IterableFetcher:
    """The next samples of an iterable dataset; the index says only how many."""

    def __init__(self, dataset, batched, collate_fn, drop_last):
        self.samples = iter(dataset)
        self.batched, self.collate_fn, self.drop_last, self.ended = batched, collate_fn, drop_last, False

    def fetch(self, index):
        if self.ended:
            raise StopIteration
        if not self.batched:
            return self.collate_fn(next(self.samples))
        data = []
        for _ in index:
            try:
                data.append(next(self.samples))
            except StopIteration:
                self.ended = True
                break
        if not data or (self.drop_last and len(data) < len(index)):
            raise StopIteration
        return self.collate_fn(data)


class _Sender(threading.Thread):
    """Sends results from a thread, so that the worker computes its next batch while the main process is busy."""

    def __init__(self, connection):
        super().__init__(daemon=True)
        self.connection, self.pending = connection, queue.SimpleQueue()
        self.start()

    def run(self):
        while (payload := self.pending.get()) is not None:
            try:
                self.connection.send_bytes(payload)
            except OSError:
                return

    def put(self, number, data, where):
        try:
            payload = ForkingPickler.dumps((number, data))
            if isinstance(data, ExceptionWrapper):
                ForkingPickler.loads(payload)  # a local exception class fails here, not in the main process
        except Exception:  # noqa: BLE001 - reported in the main process
            if isinstance(data, ExceptionWrapper):
                data.type = RuntimeError
            else:
                data = ExceptionWrapper(where)
            payload = ForkingPickler.dumps((number, data))
        self.pending.put(payload)


def _numpy_seed(base_seed, worker_id):
    """Four 32-bit words that PyTorch seeds NumPy's global generator with (NumPy's SeedSequence)."""
    sequence = np.random.SeedSequence([worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0])
    return sequence.generate_state(4)


def worker_loop(make_fetcher, dataset, options, index_in, results_out, base_seed, init_fn, worker_id, num_workers):
    """Runs in a worker: fetches what the main process asks for until it sends None or is gone."""
    global _info
    parent = os.getppid()
    where = f"in DataLoader worker process {worker_id}"
    try:
        _native.set_num_threads(1)
        seed = base_seed + worker_id
        random.seed(seed)
        manual_seed(seed)
        np.random.seed(_numpy_seed(base_seed, worker_id))
        _info = WorkerInfo(worker_id, num_workers, seed, dataset)
        sender = _Sender(results_out)
        fetcher, failure = None, None
        try:
            if init_fn is not None:
                init_fn(worker_id)
            fetcher = make_fetcher(dataset, *options)
        except Exception:  # noqa: BLE001 - raised again in the main process
            failure = ExceptionWrapper(where)
        ended = False
        while True:
            while not index_in.poll(_CHECK_PARENT):
                if os.getppid() != parent:
                    return
            message = index_in.recv()
            if message is None:
                break
            if message == RESUME:
                fetcher, ended = make_fetcher(dataset, *options), False
                sender.put(RESUME, None, where)
                continue
            if ended:
                continue
            number, index = message
            if failure is not None:
                data, failure = failure, None
            else:
                try:
                    data = fetcher.fetch(index)
                except StopIteration:
                    if make_fetcher is IterableFetcher:
                        data, ended = Ended(worker_id), True
                    else:
                        data = ExceptionWrapper(where)
                except Exception:  # noqa: BLE001 - raised again in the main process
                    data = ExceptionWrapper(where)
            sender.put(number, data, where)
    except (KeyboardInterrupt, EOFError):
        pass
