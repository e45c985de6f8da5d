"""A file written by either library loads in the other with `weights_only=True`, and means the same."""

import collections
import io
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import rushlight
from rushlight.serialization import add_safe_globals, clear_safe_globals, get_safe_globals, load, safe_globals, save
from rushlight.serialization.archive import ArchiveWriter
from rushlight.serialization.pickler import dump

from .helpers import same

INF = float("inf")
DTYPES = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "bool")


def shared(T):
    x = T.arange(12.0)
    return {"all": x, "matrix": x.reshape(3, 4), "t": x.reshape(3, 4).t(), "part": x[3:7], "step": x[1::2]}


def parameter(T, attribute=False, requires_grad=True):
    p = T.nn.Parameter(T.arange(6.0).reshape(2, 3), requires_grad)
    if attribute:
        p.note = "kept"
    return p


def attribute(T):
    t = T.arange(3.0)
    t.note = "kept"
    return t


def ordered(T):
    d = collections.OrderedDict(w=T.arange(4.0), b=T.tensor([1.5]))
    d._metadata = collections.OrderedDict({"": {"version": 1}})
    return d


CASES = {
    "scalar": lambda T: T.tensor(1.5),
    "empty": lambda T: [T.empty(0, 3), T.empty(0), T.empty(0)],
    "integers": lambda T: T.arange(5),
    "dtypes": lambda T: {d: T.tensor([0, 1, 1, 0]).to(getattr(T, d)) for d in DTYPES},
    "shared": shared,
    "expanded": lambda T: T.tensor([2.0]).expand(4, 3),
    "transposed": lambda T: T.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1),
    "parameter": parameter,
    "frozen": lambda T: parameter(T, requires_grad=False),
    "parameter with attribute": lambda T: parameter(T, True),
    "tensor with attribute": attribute,
    "leaf": lambda T: T.ones(3, requires_grad=True),
    "result": lambda T: T.ones(3, requires_grad=True) * 2,
    "ordered": ordered,
    "size": lambda T: T.empty(2, 3).shape,
    "dtype": lambda T: [T.float32, T.bfloat16, T.int64, T.bool],
    "device": lambda T: [T.device("cpu"), T.device("cuda", 1)],
    "numbers": lambda T: [0, 1, -1, 255, 256, 65536, -70000, 2**40, -(2**70), 1.5, INF, True, False, None, 1 + 2j],
    "text": lambda T: ["", "a", "äöü€", "x" * 300, b"", b"\x00\xff", bytearray(b"ab")],
    "containers": lambda T: {"a": [1, (2, (3, [4, {}]))], 5: {1, 2}, (1, "k"): [], "empty": ((), [], {}, set())},
    "counter": lambda T: collections.Counter("hello"),
    "training": lambda T: {"epoch": 3, "loss": [0.5, 0.25], "model": ordered(T), "rng": T.arange(10).to(T.uint8)},
    "classes": lambda T: [collections.OrderedDict, collections.Counter],
    "same twice": lambda T: [T.ones(2)] * 2,
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_ours_in_torch(name, zipped, tmp_path):
    """PyTorch loads our file, as data only."""
    path = tmp_path / "x.pth"
    save(CASES[name](rushlight), path, _use_new_zipfile_serialization=zipped)
    same(CASES[name](rushlight), torch.load(path, weights_only=True))
    same(load(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_torchs_here(name, zipped, tmp_path):
    """We load PyTorch's file, as data only and as objects."""
    path = tmp_path / "x.pth"
    torch.save(CASES[name](torch), path, _use_new_zipfile_serialization=zipped)
    expected = torch.load(path, weights_only=name != "text")  # PyTorch refuses its own b""
    same(load(path), expected)
    same(load(path, weights_only=False), expected)
    if zipped:
        same(load(path, mmap=True), expected)


@pytest.mark.parametrize("name", sorted(set(CASES) - {"text", "containers", "counter"}))
def test_same_bytes(name, tmp_path):
    """Our archive is PyTorch's, byte for byte, up to the hash at its end."""
    save(CASES[name](rushlight), tmp_path / "x.pth")
    ours = (tmp_path / "x.pth").read_bytes()
    torch.save(CASES[name](torch), tmp_path / "x.pth")
    theirs = (tmp_path / "x.pth").read_bytes()
    end = theirs.index(b"serialization_id")
    assert ours[:end] == theirs[:end]
    assert len(ours) == len(theirs)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_protocols(protocol, tmp_path):
    """All binary pickle protocols are read, whoever wrote them."""
    for T, saver in ((rushlight, save), (torch, torch.save)):
        saver(CASES["containers"](T), tmp_path / "x.pth", pickle_protocol=protocol)
        assert load(tmp_path / "x.pth") == CASES["containers"](rushlight)
        saver(shared(T), tmp_path / "x.pth", pickle_protocol=protocol)
        assert load(tmp_path / "x.pth")["part"].tolist() == [3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize("weights_only", [True, False])
def test_shared_storage(weights_only):
    """Storages are written once, and tensors that shared memory share it after loading."""
    buffer = io.BytesIO()
    big = rushlight.zeros(1000)
    save([big, big[:10], big.reshape(10, 100)], buffer)
    assert len(buffer.getvalue()) < 8000
    buffer.seek(0)
    a, b, c = load(buffer, weights_only=weights_only)
    a[0] = 7.0
    assert b[0].item() == 7.0 and c[0, 0].item() == 7.0


def test_identity():
    """The same tensor twice is the same tensor twice."""
    buffer = io.BytesIO()
    t = rushlight.ones(2)
    save({"a": t, "b": t}, buffer)
    buffer.seek(0)
    d = load(buffer)
    assert d["a"] is d["b"]


def test_different_types_on_one_storage():
    """PyTorch's refusal to save one memory as two types."""
    a = rushlight.zeros(4)
    from rushlight import _native

    b = _native.wrap(a._a.reinterpret(rushlight.int32.code))
    with pytest.raises(RuntimeError, match="Cannot save multiple tensors or storages that view the same data"):
        save([a, b], io.BytesIO())


def test_mmap(tmp_path):
    """A mapped tensor can be written to; the file keeps its values."""
    path = tmp_path / "x.pth"
    save({"x": rushlight.arange(1000.0), "b": rushlight.tensor([True, False])}, path)
    x = load(path, mmap=True)["x"]
    x[0] = -1.0
    assert x[0].item() == -1.0
    assert load(path)["x"][0].item() == 0.0
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap argument"):
        load(io.BytesIO(path.read_bytes()), mmap=True)
    save(1, path, _use_new_zipfile_serialization=False)
    with pytest.raises(RuntimeError, match="mmap can only be used with files saved with"):
        load(path, mmap=True)


def test_file_objects(tmp_path):
    """Open files and buffers work; several streams may follow each other."""
    with open(tmp_path / "x.pt", "wb") as f:
        save(rushlight.ones(2), f)
    with open(tmp_path / "x.pt", "rb") as f:
        assert load(f).tolist() == [1.0, 1.0]
    buffer = io.BytesIO()
    for i in range(3):
        save(rushlight.full((2,), float(i)), buffer, _use_new_zipfile_serialization=False)
    buffer.seek(0)
    assert [load(buffer).tolist() for _ in range(3)] == [[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like object with a 'write'"):
        save(1, 3)
    with pytest.raises(AttributeError, match="'int' object has no attribute 'seek'. You can only torch.load from"):
        load(3)


MAP_LOCATIONS = [None, "cpu", {"cuda:0": "cpu"}, lambda storage, loc: storage, lambda storage, loc: None]


@pytest.mark.parametrize("where", MAP_LOCATIONS, ids=["none", "cpu", "dict", "function", "function None"])
def test_map_location(where, tmp_path):
    """A file from a GPU needs a map_location, as in PyTorch without CUDA; a file from the CPU does not."""
    path = tmp_path / "x.pth"
    save(rushlight.ones(2), path)
    assert load(path, map_location=where).tolist() == [1.0, 1.0]
    buffer = io.BytesIO()
    archive = ArchiveWriter(buffer, "x")
    archive.add("data.pkl", dump(rushlight.ones(2))[0].replace(b"X\x03\x00\x00\x00cpu", b"X\x06\x00\x00\x00cuda:0"))
    archive.add("data/0", b"\x00\x00\x80?" * 2)
    archive.close()
    buffer.seek(0)
    if where is None or (callable(where) and where(1, "") is None):
        with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
            load(buffer, map_location=where)
    else:
        assert load(buffer, map_location=where).tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device but"):
        load(path if where is None else io.BytesIO(buffer.getvalue()), map_location="cuda")


def test_missing_places(tmp_path):
    """PyTorch's errors for a directory and a file that are not there."""
    with pytest.raises(RuntimeError, match="^Parent directory /nonexistent_dir does not exist.$"):
        save(1, "/nonexistent_dir/x.pth")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.pth")


class Point:
    def __init__(self, x):
        self.x = x


def test_safe_globals(tmp_path):
    """A class loads as data only after the user has allowed it."""
    path = tmp_path / "p.pth"
    save(Point(3), path)
    name = f"{__name__}.Point"
    with pytest.raises(Exception, match=f"Unsupported global: GLOBAL {name} was not an allowed global by default"):
        load(path)
    with safe_globals([Point]):
        assert load(path).x == 3
        assert get_safe_globals() == [Point]
    assert get_safe_globals() == []
    add_safe_globals([(Point, name)])
    assert load(path).x == 3
    clear_safe_globals()
    with pytest.raises(Exception, match="Weights only load failed"):
        load(path)
    assert load(path, weights_only=False).x == 3


def test_unsafe_globals(tmp_path):
    """The names that stand against a data-only load are listed as PyTorch lists them."""
    path = tmp_path / "m.pth"
    torch.save({"m": torch.nn.Sequential(torch.nn.Linear(2, 2)), "t": torch.ones(2), "d": {1}}, path)
    expected = sorted(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    assert rushlight.serialization.get_unsafe_globals_in_checkpoint(path) == expected
    torch.save(1, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ValueError, match="Expected input to be a checkpoint returned by torch.save"):
        rushlight.serialization.get_unsafe_globals_in_checkpoint(path)


def test_numpy_is_not_data(tmp_path):
    """NumPy arrays need a trusted load, here as in PyTorch."""
    save({"a": np.arange(3)}, tmp_path / "n.pth")
    with pytest.raises(Exception, match="Weights only load failed"):
        load(tmp_path / "n.pth")
    assert load(tmp_path / "n.pth", weights_only=False)["a"].tolist() == [0, 1, 2]


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False), st.text(max_size=20),
              st.binary(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4),
                            st.lists(inner, max_size=3).map(tuple)),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_any_containers(value):
    """Whatever nesting of plain values: written and read back equal, by both libraries."""
    buffer = io.BytesIO()
    save(value, buffer)
    for loader in (load, lambda b: torch.load(b, weights_only=True)):
        buffer.seek(0)
        assert loader(buffer) == value
    theirs = io.BytesIO()
    torch.save(value, theirs)
    theirs.seek(0)
    assert load(theirs) == value


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_view(data):
    """Any dtype, shape, stride order and offset survives in both directions."""
    shape = data.draw(st.lists(st.integers(0, 4), max_size=4))
    order = data.draw(st.permutations(range(len(shape))))
    offset, dtype = data.draw(st.integers(0, 5)), data.draw(st.sampled_from(DTYPES))
    numel = int(np.prod(shape))

    def make(T):
        base = T.arange(offset + numel + 3).to(getattr(T, dtype))
        return base[offset : offset + numel].reshape(shape).permute(order)

    buffer, theirs = io.BytesIO(), io.BytesIO()
    save(make(rushlight), buffer)
    torch.save(make(torch), theirs)
    buffer.seek(0), theirs.seek(0)
    same(load(theirs), make(torch))
    same(make(rushlight), torch.load(buffer, weights_only=True))


@pytest.mark.skipif(not os.environ.get("RUSHLIGHT_TEST_LARGE"), reason="writes 4.3 GB; set RUSHLIGHT_TEST_LARGE=1")
def test_more_than_four_gigabytes(tmp_path):
    """Archives beyond 32-bit sizes and offsets work in both directions."""
    n = (1 << 32) + 1000
    save({"a": rushlight.full((n,), 3, dtype=rushlight.uint8), "b": rushlight.ones(3)}, tmp_path / "x.pth")
    theirs = torch.load(tmp_path / "x.pth", mmap=True)
    assert theirs["a"].shape == (n,) and theirs["a"][-1] == 3 and theirs["b"].tolist() == [1.0] * 3
    ours = load(tmp_path / "x.pth", mmap=True)
    assert ours["a"].shape == (n,) and ours["a"][-1].item() == 3 and ours["b"].tolist() == [1.0] * 3
