"""`DataLoader`: batches of a dataset, in this process or from workers."""

from __future__ import annotations

import multiprocessing
import multiprocessing.context
import os
import warnings
import weakref

from ..._random import default_generator
from ._collate import default_collate, default_convert
from ._iterators import SingleProcessIterator, WorkerIterator, bulk_source
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler

__all__ = ["DataLoader"]


class _Endless(Sampler):
    """None, None, …: an iterable dataset needs no indices."""

    def __iter__(self):
        while True:
            yield None


class DataLoader:
    """Iterates over a dataset in batches; each `iter()` is one epoch.

    Args: `dataset`; `batch_size` (default 1; None: single samples); `shuffle`; `sampler` or `batch_sampler` instead;
    `num_workers` (0: load in this process); `collate_fn` (default `default_collate`); `pin_memory` (no effect);
    `drop_last`; `timeout` (seconds to wait for a worker); `worker_init_fn(worker_id)`; `multiprocessing_context`;
    `generator` (for the shuffle and the workers' seeds); `prefetch_factor` (batches ahead per worker, default 2);
    `persistent_workers` (keep them between epochs); `in_order` (False: batches as they come).
    Raises: ValueError for arguments that exclude each other.
    Reference: https://docs.pytorch.org/docs/stable/data.html#torch.utils.data.DataLoader
    """

    _frozen = False

    def __init__(self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None, num_workers=0,
                 collate_fn=None, pin_memory=False, drop_last=False, timeout=0, worker_init_fn=None,
                 multiprocessing_context=None, generator=None, *, prefetch_factor=None, persistent_workers=False,
                 pin_memory_device="", in_order=True):  # fmt: skip
        prefetch_factor = _check_workers(num_workers, timeout, prefetch_factor, persistent_workers)
        self.dataset, self.num_workers, self.prefetch_factor = dataset, num_workers, prefetch_factor
        self.pin_memory, self.pin_memory_device, self.timeout = pin_memory, pin_memory_device, timeout
        self.worker_init_fn, self.in_order = worker_init_fn, in_order
        self.multiprocessing_context = multiprocessing_context
        self._is_iterable = isinstance(dataset, IterableDataset)
        if self._is_iterable:
            _check_iterable(shuffle, sampler, batch_sampler)
        else:
            shuffle = bool(shuffle)
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError("batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last")
            batch_size, drop_last = None, False
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            if self._is_iterable:
                sampler = _Endless()
            else:
                sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None and batch_sampler is None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size, self.drop_last, self.sampler, self.batch_sampler = batch_size, drop_last, sampler, batch_sampler
        self.generator = generator
        self.collate_fn = collate_fn or (default_collate if batch_sampler is not None else default_convert)
        self.persistent_workers = persistent_workers
        self._iterator = None
        self._running = self._resume = self._epoch_start = None  # for state_dict
        self._reported_length = None  # what len() said of an iterable dataset, to warn if it yields more
        self._frozen = True
        self.check_worker_number_rationality()

    def __setattr__(self, name, value):
        if self._frozen and name in (
            "batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers"
        ):  # fmt: skip
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def multiprocessing_context(self):
        return self._context

    @multiprocessing_context.setter
    def multiprocessing_context(self, context):
        if context is not None:
            if self.num_workers == 0:
                raise ValueError(
                    "multiprocessing_context can only be used with multi-process loading (num_workers > 0), but got "
                    f"num_workers={self.num_workers}"
                )
            if isinstance(context, str):
                valid = multiprocessing.get_all_start_methods()
                if context not in valid:
                    raise ValueError(
                        f"multiprocessing_context option should specify a valid start method in {valid!r}, but got "
                        f"multiprocessing_context={context!r}"
                    )
                context = multiprocessing.get_context(context)
            if not isinstance(context, multiprocessing.context.BaseContext):
                raise TypeError(
                    "multiprocessing_context option should be a valid context object or a string specifying the start "
                    f"method, but got multiprocessing_context={context}"
                )
        self._context = context

    @property
    def _auto_collation(self):
        return self.batch_sampler is not None

    @property
    def _index_sampler(self):
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _get_iterator(self, skip=0):
        if self.num_workers:
            self.check_worker_number_rationality()
            return WorkerIterator(self, skip)
        return SingleProcessIterator(self, bulk_source(self), skip)

    def __iter__(self):
        resume, self._resume = self._resume, None
        if resume is None:
            self._epoch_start = self._generator_states()
            iterator = self._start_epoch()
        else:
            # The epoch is drawn again from where it began; the default generator then goes on from where it is now.
            present = default_generator.get_state()
            self._epoch_start = resume["default_generator"], resume["generator"]
            default_generator.set_state(resume["default_generator"])
            if self.generator is not None:
                self.generator.set_state(resume["generator"])
            iterator = self._start_epoch(resume["batches"])
            default_generator.set_state(present)
        self._running = weakref.ref(iterator)
        return iterator

    def _start_epoch(self, skip=0):
        if not (self.persistent_workers and self.num_workers):
            return self._get_iterator(skip)
        if self._iterator is None or skip:
            self._iterator = self._get_iterator(skip)
        else:
            self._iterator.restart(self)
        return self._iterator

    def _generator_states(self):
        return default_generator.get_state(), None if self.generator is None else self.generator.get_state()

    def state_dict(self) -> dict:
        """Where the present epoch stands: the states that its order was drawn from, and how many batches it has given.

        PyTorch's DataLoader has no such method: restoring the generators alone gives another order mid-epoch.
        """
        iterator = None if self._running is None else self._running()
        if iterator is None:
            default, own = self._generator_states()
            return {"default_generator": default, "generator": own, "batches": None}
        default, own = self._epoch_start
        return {"default_generator": default, "generator": own, "batches": iterator._num_yielded}

    def load_state_dict(self, state_dict: dict) -> None:
        """The next `iter()` goes on with the epoch that `state_dict()` was called in, after the batches it had given."""
        if state_dict["batches"] is None:
            self._resume = None
            if self.generator is not None:
                self.generator.set_state(state_dict["generator"])
        else:
            self._resume = dict(state_dict)

    def __len__(self):
        if not self._is_iterable:
            return len(self._index_sampler)
        n = self._reported_length = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def check_worker_number_rationality(self):
        """Warns if there are more workers than CPUs."""
        if not self.num_workers:
            return
        cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        if self.num_workers > cpus:
            warnings.warn(
                f"This DataLoader will create {self.num_workers} worker processes in total. Our suggested max number of "
                f"worker in current system is {cpus}, which is smaller than what this DataLoader is going to create. "
                "Please be aware that excessive worker creation might get DataLoader running slow or even freeze, "
                "lower the worker number to avoid potential slowness/freeze if necessary.",
                stacklevel=3,
            )


def _check_workers(num_workers, timeout, prefetch_factor, persistent_workers):
    if num_workers < 0:
        raise ValueError("num_workers option should be non-negative; use num_workers=0 to disable multiprocessing.")
    if timeout < 0:
        raise ValueError("timeout option should be non-negative")
    if num_workers == 0 and prefetch_factor is not None:
        raise ValueError(
            "prefetch_factor option could only be specified in multiprocessing."
            "let num_workers > 0 to enable multiprocessing, otherwise set prefetch_factor to None."
        )
    if prefetch_factor is not None and prefetch_factor < 0:
        raise ValueError("prefetch_factor option should be non-negative")
    if persistent_workers and num_workers == 0:
        raise ValueError("persistent_workers option needs num_workers > 0")
    return 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor


def _check_iterable(shuffle, sampler, batch_sampler):
    text = "DataLoader with IterableDataset: expected unspecified {0} option, but got {0}={1}"
    if shuffle not in (False, None):
        raise ValueError(text.format("shuffle", shuffle))
    if sampler is not None:
        raise ValueError(text.format("sampler", sampler))
    if batch_sampler is not None:
        raise ValueError(text.format("batch_sampler", batch_sampler))
