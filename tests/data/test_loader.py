"""The DataLoader gives PyTorch's batches in PyTorch's order for a seed, with and without workers."""

import collections
import os
import time

import numpy as np
import pytest
import torch

import rushlight as rl
from rushlight.utils import data as rd

td = torch.utils.data
BOTH = ((torch, td), (rl, rd))


def plain(x):
    """Batches of either library as comparable Python values."""
    if isinstance(x, (torch.Tensor, rl.Tensor)):
        return str(x.dtype), tuple(x.shape), x.tolist()
    if isinstance(x, collections.abc.Mapping):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x).__name__, [plain(v) for v in x]
    return x


class Squares:
    """A map-style dataset of numbers."""

    def __init__(self, n=23):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        if i >= self.n:
            raise IndexError(i)
        return i, float(i * i)


class Failing(Squares):
    def __getitem__(self, i):
        return {}["missing"] if i == 5 else super().__getitem__(i)


class Nested(Squares):
    def __getitem__(self, i):
        return {"x": np.full((2, 2), i, dtype=np.float32), "name": f"n{i}", "pair": (i, [i, 2.5]), "b": i % 2 == 0,
                "s": np.float32(i)}  # fmt: skip


class Dying(Squares):
    def __getitem__(self, i):
        if i == 5:
            os._exit(3)
        return i


class Slow(Squares):
    def __getitem__(self, i):
        time.sleep(30)


class Workers(Squares):
    """Says which worker and seed made a sample, and the first random number there."""

    def __getitem__(self, i):
        info = rd.get_worker_info()
        return info.id, info.num_workers, info.seed, rl.initial_seed(), int(np.random.randint(1 << 30))


class TorchWorkers(Squares):
    def __getitem__(self, i):
        info = td.get_worker_info()
        return info.id, info.num_workers, info.seed, torch.initial_seed(), int(np.random.randint(1 << 30))


def stream(base):
    class Stream(base.IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            info = base.get_worker_info()
            worker, workers = (info.id, info.num_workers) if info else (0, 1)
            return iter(range(worker, self.n, workers))

    return Stream


TorchStream, Stream = stream(td), stream(rd)


def batches(T, data, dataset, epochs=2, seed=7, **options):
    T.manual_seed(seed)
    if "generator" in options:
        options["generator"] = T.Generator().manual_seed(options["generator"])
    loader = data.DataLoader(dataset, **options)
    out = []
    for _ in range(epochs):
        out += [plain(b) for b in loader]
    return out, T.rand(1).item(), [len(loader)] if not isinstance(dataset, data.IterableDataset) else None


def tensors(T, n=23):
    rng = np.random.default_rng(0)
    return T.from_numpy(rng.standard_normal((n, 3)).astype(np.float32)), T.from_numpy(rng.integers(0, 5, n))


@pytest.mark.parametrize("options", [
    {}, dict(batch_size=4), dict(batch_size=4, shuffle=True), dict(batch_size=4, shuffle=True, drop_last=True),
    dict(batch_size=23, shuffle=True), dict(batch_size=100, shuffle=True, drop_last=True), dict(batch_size=None),
    dict(batch_size=None, shuffle=True), dict(batch_size=4, shuffle=True, generator=11), dict(batch_size=5, generator=3),
], ids=str)  # fmt: skip
@pytest.mark.parametrize("dataset", ["tensors", "squares", "subset", "nested", "concat"])
def test_order(dataset, options):
    """Two epochs of every kind of dataset: samples, order, types, and the default generator afterwards."""

    def make(T, data):
        if dataset == "squares":
            return Squares()
        if dataset == "nested":
            return Nested()
        full = data.TensorDataset(*tensors(T))
        if dataset == "tensors":
            return full
        if dataset == "concat":
            return data.ConcatDataset([full, full])
        return data.Subset(full, [3, 1, 4, 15, 9, 2, 6])

    want, got = (batches(T, data, make(T, data), **options) for T, data in BOTH)
    assert got == want


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("options", [
    dict(batch_size=4), dict(batch_size=4, shuffle=True), dict(batch_size=4, shuffle=True, drop_last=True),
    dict(batch_size=None, shuffle=True), dict(batch_size=3, shuffle=True, prefetch_factor=1),
    dict(batch_size=4, shuffle=True, persistent_workers=True), dict(batch_size=4, shuffle=True, generator=11),
], ids=str)  # fmt: skip
def test_workers(options, workers):
    """The same with worker processes."""
    want, got = (batches(T, data, data.TensorDataset(*tensors(T)), num_workers=workers, **options) for T, data in BOTH)
    assert got == want


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("options", [dict(batch_size=4), dict(batch_size=4, drop_last=True), dict(batch_size=None)],
                         ids=str)  # fmt: skip
def test_iterable(options, workers):
    """Iterable datasets that split themselves among workers."""
    want = batches(torch, td, TorchStream(23), num_workers=workers, **options)
    got = batches(rl, rd, Stream(23), num_workers=workers, **options)
    assert got == want


def test_worker_info_and_seeds():
    """WorkerInfo and the seeds of every worker, of rushlight's and NumPy's generators."""
    want = batches(torch, td, TorchWorkers(8), batch_size=1, num_workers=2)
    got = batches(rl, rd, Workers(8), batch_size=1, num_workers=2)
    assert got == want
    assert rd.get_worker_info() is None


def test_worker_init_fn():
    """worker_init_fn runs in the worker, with its number."""

    def init(worker):
        rd.get_worker_info().dataset.n = 100 + worker

    class Reports(Squares):
        def __getitem__(self, i):
            return self.n

    loader = rd.DataLoader(Reports(4), batch_size=1, num_workers=2, worker_init_fn=init)
    assert [b.item() for b in loader] == [100, 101, 100, 101]


def test_worker_exception():
    """An exception in a worker is raised with its traceback; KeyError's text stays readable."""
    loader = rd.DataLoader(Failing(), batch_size=2, num_workers=1)
    with pytest.raises(KeyError, match="Caught KeyError in DataLoader worker process 0.") as error:
        list(loader)
    assert "Original Traceback" in str(error.value) and "__getitem__" in str(error.value)
    with pytest.raises(KeyError, match="missing"):
        list(rd.DataLoader(Failing(), batch_size=2))


def test_dead_worker():
    """A worker that dies is noticed."""
    with pytest.raises(RuntimeError, match=r"DataLoader worker \(pid\(s\) \d+\) exited unexpectedly"):
        list(rd.DataLoader(Dying(), batch_size=2, num_workers=2))


def test_timeout():
    """A worker that takes too long is not waited for."""
    with pytest.raises(RuntimeError, match="DataLoader timed out after 0.2 seconds"):
        next(iter(rd.DataLoader(Slow(), num_workers=1, timeout=0.2)))


def test_left_early():
    """An epoch that is left early costs no more than stopping the workers; persistent ones start over."""
    loader = rd.DataLoader(Squares(1000), batch_size=2, num_workers=2, persistent_workers=True)
    first = plain(next(iter(loader)))
    assert plain(next(iter(loader))) == first
    assert len(list(loader)) == 500


def test_out_of_order():
    """in_order=False yields the same batches, in whatever order."""
    loader = rd.DataLoader(Squares(), batch_size=4, num_workers=2, in_order=False)
    got = sorted(i for b in loader for i in b[0].tolist())
    assert got == list(range(23))


def test_length_warning():
    """An iterable dataset that yields more than it said is reported."""

    class Short(Stream):
        def __len__(self):
            return 2

    loader = rd.DataLoader(Short(5), batch_size=None)
    assert len(loader) == 2
    with pytest.warns(UserWarning, match="was reported to be 2"):
        list(loader)


ERRORS = {
    "getitem": lambda T, d: d.Dataset()[0],
    "batch-size": lambda T, d: d.DataLoader(Squares(), batch_size=0),
    "workers": lambda T, d: d.DataLoader(Squares(), num_workers=-1),
    "timeout": lambda T, d: d.DataLoader(Squares(), timeout=-1),
    "prefetch": lambda T, d: d.DataLoader(Squares(), prefetch_factor=2),
    "persistent": lambda T, d: d.DataLoader(Squares(), persistent_workers=True),
    "sampler-shuffle": lambda T, d: d.DataLoader(Squares(), sampler=d.SequentialSampler(Squares()), shuffle=True),
    "batch-sampler": lambda T, d: d.DataLoader(Squares(), batch_size=2, batch_sampler=[[1]]),
    "drop-last": lambda T, d: d.DataLoader(Squares(), batch_size=None, drop_last=True),
    "empty-shuffle": lambda T, d: d.DataLoader([], shuffle=True),
    "iterable-shuffle": lambda T, d: d.DataLoader((TorchStream if d is td else Stream)(3), shuffle=True),
    "set-after": lambda T, d: setattr(d.DataLoader(Squares()), "batch_size", 3),
    "context": lambda T, d: d.DataLoader(Squares(), multiprocessing_context="fork"),
    "bad-context": lambda T, d: d.DataLoader(Squares(), num_workers=1, multiprocessing_context="nope"),
    "stack": lambda T, d: d.default_collate([T.zeros(1), T.zeros(2)]),
    "none": lambda T, d: d.default_collate([None, None]),
    "lengths": lambda T, d: d.default_collate([[1, 2], [1]]),
    "string-array": lambda T, d: d.default_collate([np.array(["a"]), np.array(["b"])]),
    "random-sampler": lambda T, d: d.RandomSampler(Squares(), num_samples=0),
    "random-sampler-type": lambda T, d: d.RandomSampler(Squares(), replacement=1),
    "weights-shape": lambda T, d: d.WeightedRandomSampler([[1.0]], 3),
    "weights-number": lambda T, d: d.WeightedRandomSampler([1.0], 0),
    "drop-last-type": lambda T, d: d.BatchSampler([1], 2, 1),
    "split-sum": lambda T, d: d.random_split(Squares(), [1, 2]),
    "split-fraction": lambda T, d: d.random_split(Squares(), [-0.5, 1.5]),
    "tensor-sizes": lambda T, d: d.TensorDataset(T.zeros(2), T.zeros(3)),
    "stack-none": lambda T, d: d.StackDataset(),
    "stack-both": lambda T, d: d.StackDataset(Squares(), a=Squares()),
    "stack-sizes": lambda T, d: d.StackDataset(Squares(2), Squares(3)),
    "concat-empty": lambda T, d: d.ConcatDataset([]),
    "concat-index": lambda T, d: d.ConcatDataset([Squares(2)])[-3],
    "rank": lambda T, d: d.DistributedSampler(Squares(), num_replicas=2, rank=2),
} | {}
# PyTorch's module has the class elsewhere.
td.DistributedSampler = torch.utils.data.distributed.DistributedSampler


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    """The same exception type and first line."""
    with pytest.raises(Exception) as want:
        ERRORS[name](torch, td)
    with pytest.raises(Exception) as got:
        ERRORS[name](rl, rd)
    assert type(got.value) is type(want.value), f"{got.value!r} instead of {want.value!r}"
    assert str(got.value).splitlines()[0] == str(want.value).splitlines()[0]


def test_too_many_workers():
    """More workers than CPUs: a warning."""
    with pytest.warns(UserWarning, match="This DataLoader will create 640 worker processes in total"):
        rd.DataLoader(Squares(), num_workers=640)


def test_pin_memory():
    """pin_memory=True has no effect and says so."""
    with pytest.warns(UserWarning, match="'pin_memory' argument is set as true but no accelerator is found"):
        list(rd.DataLoader(Squares(), pin_memory=True))


def test_samplers():
    """Samplers outside a loader, and DistributedSampler's shares."""
    for make in (
        lambda T, d: d.RandomSampler(range(10)),
        lambda T, d: d.RandomSampler(range(10), num_samples=25),
        lambda T, d: d.RandomSampler(range(10), replacement=True, num_samples=70),
        lambda T, d: d.SubsetRandomSampler([5, 3, 8, 1]),
        lambda T, d: d.WeightedRandomSampler([0.1, 3.0, 0.5, 2.0], 12),
        lambda T, d: d.BatchSampler(d.RandomSampler(range(10)), 3, False),
        lambda T, d: d.BatchSampler(d.SequentialSampler(range(10)), 3, True),
        lambda T, d: d.DistributedSampler(range(11), num_replicas=3, rank=1, seed=4),
        lambda T, d: d.DistributedSampler(range(11), num_replicas=3, rank=2, shuffle=False, drop_last=True),
        lambda T, d: d.DistributedSampler(range(2), num_replicas=7, rank=6),
    ):
        results = []
        for T, d in BOTH:
            T.manual_seed(3)
            sampler = make(T, d)
            results.append((list(sampler), list(sampler), len(sampler), T.rand(1).item()))
        assert results[0] == results[1]


def test_random_split():
    """Lengths, fractions, and the warning for an empty part."""
    for lengths in ([10, 13], [0.5, 0.25, 0.25], [0.1, 0.9]):
        parts = []
        for T, d in BOTH:
            T.manual_seed(5)
            parts.append([list(p.indices) for p in d.random_split(Squares(), lengths)])
        assert parts[0] == parts[1]
    with pytest.warns(UserWarning, match="Length of split at index 2 is 0. This might result in an empty dataset."):
        rd.random_split(Squares(2), [0.4, 0.4, 0.2])


def test_collate_and_convert():
    """default_collate and default_convert keep container types, as PyTorch does."""
    point = collections.namedtuple("point", "x y")
    samples = [
        [point(1, 2.5), point(3, 4.5)],
        [{"a": [1, 2]}, {"a": [3, 4]}],
        [np.arange(3), np.arange(3)],
        [np.float64(1), np.float64(2)],
        ["a", "b"],
        [b"a", b"b"],
        [True, False],
        [(1, "x"), (2, "y")],
        [np.bool_(True), np.bool_(False)],
    ]
    for s in samples:
        assert plain(rd.default_collate(s)) == plain(td.default_collate(s))
        assert plain(rd.default_convert(s[0])) == plain(td.default_convert(s[0]))


def test_stack_and_chain_datasets():
    """StackDataset and ChainDataset in a loader."""
    results = []
    for d, kind in ((td, TorchStream), (rd, Stream)):
        loader = d.DataLoader(d.StackDataset(a=Squares(5), b=Squares(5)), batch_size=2)
        chain = d.DataLoader(d.ChainDataset([kind(3), kind(2)]), batch_size=2)
        results.append([plain(b) for b in loader] + [plain(b) for b in chain])
    assert results[0] == results[1]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["tensors", "squares", "stream"])
@pytest.mark.parametrize("own", [False, True])
def test_resume_in_the_middle_of_an_epoch(kind, workers, own):
    """A loader restored from a state_dict gives the rest of the epoch, and draws by others go on as they would have."""

    def loader():
        generator = rl.Generator().manual_seed(8) if own else None
        if kind == "stream":
            return rd.DataLoader(Stream(23), batch_size=4, num_workers=workers, generator=generator)
        dataset = rd.TensorDataset(*tensors(rl)) if kind == "tensors" else Squares()
        return rd.DataLoader(dataset, batch_size=4, shuffle=True, num_workers=workers, generator=generator)

    rl.manual_seed(1)
    first = loader()
    list(first)
    it = iter(first)
    for _ in range(3):
        next(it)
        rl.rand(2)
    saved, random_state = first.state_dict(), rl.get_rng_state()
    assert saved["batches"] == 3
    want = [plain(b) for b in it] + [rl.rand(1).item()] + [plain(b) for b in first]

    rl.manual_seed(99)
    second = loader()
    second.load_state_dict(saved)
    rl.set_rng_state(random_state)
    it = iter(second)
    got = [plain(b) for b in it] + [rl.rand(1).item()] + [plain(b) for b in second]
    assert got == want
    assert second.state_dict()["batches"] is None
