"""One epoch of a DataLoader: in this process, in bulk where possible, or from workers."""

from __future__ import annotations

import itertools
import multiprocessing
import multiprocessing.connection
import time
import warnings
from multiprocessing.reduction import ForkingPickler

from ...ops.creation import tensor
from ...ops.random import randperm
from .sampler import BatchSampler, RandomSampler, SequentialSampler, draw_seed
from .worker import RESUME, Ended, ExceptionWrapper, Fetcher, IterableFetcher, plain_tensors, worker_loop

__all__ = ["SingleProcessIterator", "WorkerIterator", "bulk_source"]


class _Iterator:
    def __init__(self, loader, skip=0):
        if loader.pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, then device pinned memory won't be used.",
                stacklevel=4,
            )
        self._loader = loader
        self._index_sampler = loader._index_sampler
        self._make_fetcher = IterableFetcher if loader._is_iterable else Fetcher
        self._options = (loader._auto_collation, loader.collate_fn, loader.drop_last)
        self._indices = iter(self._index_sampler)
        self._base_seed = draw_seed(loader.generator)  # before the sampler draws its own
        self._num_yielded = 0
        self._skip = skip  # batches of this epoch that another process has had
        if not loader._is_iterable:
            for _ in range(skip):
                next(self._indices, None)
            self._num_yielded = skip

    def __iter__(self):
        return self

    def __len__(self):
        return len(self._index_sampler)

    def __getstate__(self):
        raise NotImplementedError("{} cannot be pickled", type(self).__name__)

    def _discard(self):
        """The first batches of a stream, which cannot be skipped without being read."""
        if self._loader._is_iterable:
            for _ in range(self._skip):
                if next(self, None) is None:
                    break

    def __next__(self):
        try:
            data = self._next_data()
        except StopIteration:
            self._loader._running = None
            raise
        self._num_yielded += 1
        said = self._loader._reported_length
        if said is not None and self._num_yielded > said:
            text = (
                f"Length of IterableDataset {self._loader.dataset} was reported to be {said}(when accessing "
                f"len(dataloader)), but {self._num_yielded} samples have been fetched. "
            )
            if self._loader.num_workers > 0:
                text += (
                    "For multiprocessing data-loading, this could be caused by not properly configuring the "
                    "IterableDataset replica at each worker. Please see https://pytorch.org/docs/stable/data.html"
                    "#torch.utils.data.IterableDataset for examples."
                )
            warnings.warn(text, stacklevel=2)
        return data


class SingleProcessIterator(_Iterator):
    """Fetches each batch when it is asked for."""

    def __init__(self, loader, bulk=None, skip=0):
        super().__init__(loader, 0 if bulk is not None else skip)
        if loader.timeout != 0:
            raise AssertionError("_SingleProcessDataLoaderIter requires timeout == 0")
        if bulk is not None:
            self._next_data = bulk.__next__
            for _ in range(skip):
                next(self, None)
        else:
            self._fetcher = self._make_fetcher(loader.dataset, *self._options)
            self._discard()

    def _next_data(self):
        return self._fetcher.fetch(next(self._indices))


# -- whole batches at once ------------------------------------------------------------------------------------------


def bulk_source(loader):
    """An iterator over the epoch's batches that never makes a list of indices; None if that is not possible.

    It is for plain tensors (see `plain_tensors`), in order or shuffled once.
    """
    dataset, batches = loader.dataset, loader.batch_sampler
    if type(batches) is not BatchSampler or type(batches.sampler) not in (SequentialSampler, RandomSampler):
        return None
    sampler = batches.sampler
    if sampler.data_source is not dataset or not len(dataset):
        return None
    if type(sampler) is RandomSampler and (sampler.replacement or sampler.num_samples != len(dataset)):
        return None
    plain = plain_tensors(dataset, loader.collate_fn)
    if plain is None:
        return None
    tensors, picks = plain
    return _bulk(tensors, None if picks is None else tensor(picks), sampler, batches.batch_size, batches.drop_last)


def _bulk(tensors, picks, sampler, size, drop_last):
    n = len(sampler)
    shuffled = type(sampler) is RandomSampler
    generator = sampler._generator() if shuffled else None
    order = randperm(n, generator=generator) if shuffled else None
    if picks is not None:
        order = picks.index_select(0, order) if shuffled else picks
    for start in range(0, n, size):
        stop = min(n, start + size)
        if stop - start < size:
            if shuffled:
                randperm(n, generator=generator)  # the sampler looks for more samples: PyTorch's draws again
                shuffled = False
            if drop_last:
                return
        if order is None:
            yield [t.narrow(0, start, stop - start).clone() for t in tensors]
        else:
            index = order.narrow(0, start, stop - start)
            yield [t.index_select(0, index) for t in tensors]
    if shuffled:
        randperm(n, generator=generator)


# -- workers ----------------------------------------------------------------------------------------------------------


class _Worker:
    """The main process's side of one worker."""

    def __init__(self, context, iterator, worker_id):
        loader = iterator._loader
        index_in, self.tasks = context.Pipe(duplex=False)
        self.results, results_out = context.Pipe(duplex=False)
        self.process = context.Process(
            target=worker_loop,
            args=(iterator._make_fetcher, loader.dataset, iterator._options, index_in, results_out, iterator._base_seed,
                  loader.worker_init_fn, worker_id, loader.num_workers),
            daemon=True,
        )  # fmt: skip
        self.process.start()
        index_in.close()
        results_out.close()
        self.active = True

    def send(self, message):
        try:
            self.tasks.send(message)
        except OSError:  # dead; noticed when its result is waited for
            pass

    def stop(self):
        self.send(None)
        self.tasks.close()


class WorkerIterator(_Iterator):
    """Batches fetched by worker processes, `prefetch_factor` ahead for each, and handed out in order.

    A task is (number, index), given to the workers in turn. Every worker has its own pair of pipes, so one that dies
    cannot hold a lock that others need, and its death is seen at once.
    """

    def __init__(self, loader, skip=0):
        super().__init__(loader, skip)
        context = loader.multiprocessing_context or multiprocessing.get_context()
        self._workers = []
        for i in range(loader.num_workers):
            self._workers.append(_Worker(context, self, i))
        self._start_epoch()
        self._discard()

    def _start_epoch(self):
        self._sent = self._returned = 0
        self._tasks = {}  # number -> worker
        self._arrived = {}  # number -> data, before its turn
        self._turns = itertools.cycle(range(len(self._workers)))
        for w in self._workers:
            w.active = True
        for _ in range(self._loader.prefetch_factor * len(self._workers)):
            self._send_next()

    def restart(self, loader):
        """The next epoch with the same workers."""
        for w in self._workers:
            w.send(RESUME)
        waiting = set(range(len(self._workers)))
        while waiting:
            number, _, worker = self._receive()  # results of an epoch that was left early are dropped
            if number == RESUME:
                waiting.discard(worker)
        self._indices = iter(self._index_sampler)
        self._num_yielded = 0
        self._start_epoch()

    def _send_next(self):
        for _ in self._workers:
            worker = next(self._turns)
            if self._workers[worker].active:
                break
        else:
            return
        try:
            index = next(self._indices)
        except StopIteration:
            return
        self._tasks[self._sent] = worker
        self._workers[worker].send((self._sent, index))
        self._sent += 1

    def _receive(self):
        """(number, data, worker) of the next message from any worker."""
        timeout = self._loader.timeout
        deadline = time.monotonic() + timeout if timeout > 0 else None
        # A worker that was let go closes its pipe; only those that still owe something are listened to.
        keep = self._loader.persistent_workers
        sources = {w.results: i for i, w in enumerate(self._workers) if w.active or keep}
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            ready = multiprocessing.connection.wait(list(sources), left)
            for source in ready:
                try:
                    payload = source.recv_bytes()
                except (EOFError, OSError):
                    self._report_dead(sources[source])
                number, data = ForkingPickler.loads(payload)
                return number, data, sources[source]
            if deadline is not None and time.monotonic() >= deadline:
                raise RuntimeError(f"DataLoader timed out after {timeout} seconds")

    def _report_dead(self, worker):
        process = self._workers[worker].process
        process.join(timeout=1)
        pid = process.pid
        self._shutdown()
        raise RuntimeError(f"DataLoader worker (pid(s) {pid}) exited unexpectedly")

    def _next_data(self):
        in_order = self._loader.in_order
        while True:
            # Tasks of workers whose iterable dataset has ended are skipped.
            while self._returned < self._sent and self._returned not in self._tasks:
                self._returned += 1
            if not self._tasks:
                if not self._loader.persistent_workers:
                    self._shutdown()
                raise StopIteration
            number = self._returned if in_order else next(iter(self._arrived), None)
            if number in self._arrived:
                data = self._arrived.pop(number)
                del self._tasks[number]
                self._send_next()
                if isinstance(data, ExceptionWrapper):
                    data.reraise()
                return data
            number, data, worker = self._receive()
            if isinstance(data, Ended):
                self._workers[worker].active = False
                if not self._loader.persistent_workers:
                    self._workers[worker].send(None)
                self._tasks = {k: w for k, w in self._tasks.items() if w != worker or k in self._arrived}
                self._send_next()
            else:
                self._arrived[number] = data

    def _shutdown(self):
        workers, self._workers = self._workers, []
        for w in workers:
            w.stop()
        for w in workers:
            # A worker may wait for us to read its last results: closing the pipe lets it go.
            w.results.close()
            w.process.join(timeout=5)
            if w.process.is_alive():
                w.process.terminate()
                w.process.join(timeout=1)

    def __del__(self):
        if getattr(self, "_workers", None):
            self._shutdown()
