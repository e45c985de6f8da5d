"""Files that are damaged or malicious: an error that says so, nothing executed, no memory taken on a file's word."""

import argparse
import io
import os
import pickle
import random
import re
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import pytest
import torch

import rushlight
from rushlight.serialization import inspect, load, save

from . import fuzz

EXPECTED = fuzz.EXPECTED


def archive(data_pkl, storages=(), name="x"):
    """An archive around a hand-written pickle, as a file."""
    return io.BytesIO(fuzz.archive(data_pkl, storages, name))


def refused(data_pkl, match, storages=(b"\0" * 64,)):
    """`load` and `inspect` neither execute the pickle nor accept it as a checkpoint (inspect may list it)."""
    with pytest.raises(pickle.UnpicklingError, match=match):
        load(archive(data_pkl, storages))


# -- code in pickles --------------------------------------------------------------------------------------------------

MARKER = "RUSHLIGHT_WAS_EXECUTED"


def _text(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


COMMAND = _text(f"import os; os.environ['{MARKER}'] = '1'")
EXEC, SYSTEM = b"cbuiltins\nexec\n", b"cos\nsystem\n"
CODE = {
    "reduce": b"\x80\x02" + EXEC + COMMAND + b"\x85R.",
    "reduce os": b"\x80\x02" + SYSTEM + _text("true") + b"\x85R.",
    "posix": b"\x80\x02cposix\nsystem\n" + _text("true") + b"\x85R.",
    "global only": b"\x80\x02" + SYSTEM + b".",
    "inst": b"\x80\x02(" + COMMAND + b"ibuiltins\nexec\n.",
    "obj": b"\x80\x02(" + EXEC + COMMAND + b"o.",
    "newobj": b"\x80\x02" + EXEC + COMMAND + b"\x85\x81.",
    "newobj_ex": b"\x80\x04" + EXEC + COMMAND + b"\x85}\x92.",
    "stack_global": b"\x80\x04" + _text("builtins") + _text("exec") + b"\x93" + COMMAND + b"\x85R.",
    "python 2": b"\x80\x02c__builtin__\neval\n" + _text("1") + b"\x85R.",
    "getattr": b"\x80\x02cbuiltins\ngetattr\n" + EXEC + _text("x") + b"\x86R.",
    "build": b"\x80\x02ccollections\nOrderedDict\n)R}" + _text("__class__") + b"K\x01s" + b"b" + EXEC + b"0.",
    "build state": b"\x80\x02ccollections\nOrderedDict\n)RK\x01b.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent string": b"\x80\x02Pabc\n.",
    "persistent module": b"\x80\x02" + _text("module") + EXEC + b"\x86Q.",
    "call a result": b"\x80\x02ctorch\nfloat32\n" + _text("x") + b"\x85R.",
    "call a string": b"\x80\x02" + _text("os.system") + _text("true") + b"\x85R.",
    "torch internals": b"\x80\x02ctorch.utils.collect_env\nrun\n" + _text("true") + b"\x85R.",
    "own internals": b"\x80\x02crushlight.serialization.atomic\natomic_write\n" + _text("/tmp/x") + b"\x85R.",
    "rebuild from type": (
        b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + EXEC + b"ctorch\nTensor\n" + COMMAND + b"\x85NtR."
    ),
    "encode": b"\x80\x02c_codecs\nencode\n" + _text("a") + _text("hex") + b"\x86R.",
    "bytearray": b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
    "set of ints": b"\x80\x02c__builtin__\nset\nK\x05\x85R.",
    "complex of text": b"\x80\x02c__builtin__\ncomplex\n" + _text("1") + b"\x85R.",
}


@pytest.mark.parametrize("name", CODE)
def test_code(name):
    """Every way that a pickle can name or call something is refused, in each layout."""
    os.environ.pop(MARKER, None)
    with pytest.raises(EXPECTED):
        load(archive(CODE[name]))
    stream = io.BytesIO()
    for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(part, stream, protocol=2)
    stream.write(CODE[name] + pickle.dumps([], 2))
    stream.seek(0)
    with pytest.raises(EXPECTED):
        load(stream)
    try:
        inspect(archive(CODE[name]))
    except EXPECTED:
        pass
    assert MARKER not in os.environ


def test_unpickled_only_on_request():
    """The same pickle does run with weights_only=False: the check above can see it."""
    os.environ.pop(MARKER, None)
    load(archive(CODE["reduce"]), weights_only=False)
    assert os.environ.pop(MARKER) == "1"


def test_messages():
    """PyTorch's sentences for what is not allowed."""
    refused(CODE["newobj_ex"], "Unsupported global: GLOBAL exec was not an allowed global by default. Please use")
    refused(CODE["reduce os"], "Trying to load unsupported GLOBAL os.system whose module os is blocked.")
    refused(CODE["extension"], "Unsupported operand 130")
    refused(b"\x80\x02K\x01K\x02a.", "Can only append to lists, but got <class 'int'>")
    refused(b"\x80\x02K\x01K\x02K\x03s.", "Can only SETITEMS for dict, collections.OrderedDict, collections.Counter")


def test_whole_model(tmp_path):
    """A model saved whole gives PyTorch's message, naming the class."""
    torch.save(torch.nn.Linear(2, 3), tmp_path / "m.pth")
    with pytest.raises(pickle.UnpicklingError) as theirs:
        torch.load(tmp_path / "m.pth")
    with pytest.raises(pickle.UnpicklingError) as ours:
        load(tmp_path / "m.pth")
    first = str(theirs.value).split("\n\n")[0]
    assert str(ours.value).startswith(first)
    assert str(tmp_path / "m.pth") in str(ours.value)


# -- claims about size ------------------------------------------------------------------------------------------------


def tensor(numel=b"K\x04", offset=b"K\x00", size=b"K\x04\x85", stride=b"K\x01\x85", kind="FloatStorage", key="0"):
    head = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((" + _text("storage") + f"ctorch\n{kind}\n".encode()
    return (head + _text(key) + _text("cpu") + numel + b"tQ" + offset + size + stride
            + b"\x89ccollections\nOrderedDict\n)RtR.")  # fmt: skip


HUGE = b"\x8a\x07" + (2**50).to_bytes(7, "little")
NEGATIVE = b"J" + struct.pack("<i", -1)
CLAIMS = {
    "numel": (dict(numel=HUGE), "should have"),
    "numel a little too large": (dict(numel=b"K\x20"), "should have 128 bytes, its record has 64"),
    "negative numel": (dict(numel=NEGATIVE), "damaged description"),
    "numel is text": (dict(numel=_text("4")), "damaged description"),
    "size": (dict(size=HUGE + b"\x85"), "too large"),
    "size beyond": (dict(size=b"K\x05\x85"), "reaches outside"),
    "overflow": (dict(size=HUGE + HUGE + b"\x86", stride=b"K\x00K\x00\x86"), "too large"),
    "stride": (dict(stride=HUGE + b"\x85"), "reaches outside"),
    "negative stride": (dict(stride=NEGATIVE + b"\x85", offset=b"K\x03"), "non-negative"),
    "negative size": (dict(size=NEGATIVE + b"\x85"), "non-negative"),
    "negative offset": (dict(offset=NEGATIVE), "non-negative"),
    "offset": (dict(offset=HUGE), "reaches outside"),
    "size is a float": (dict(size=b"G?\xf0\0\0\0\0\0\0\x85"), "non-negative integers"),
    "size is text": (dict(size=_text("4")), "non-negative integers"),
    "lengths differ": (dict(stride=b")"), "differ in length"),
    "many dimensions": (dict(size=b"(" + b"K\x01" * 60 + b"t", stride=b"(" + b"K\x01" * 60 + b"t"), "60 dimensions"),
    "no such storage": (dict(key="7"), "file not found"),
    "path": (dict(key="../data.pkl"), "file not found"),
    "complex": (dict(kind="ComplexFloatStorage"), "element type that rushlight has not"),
    "not a storage type": (dict(kind="float32"), "not a storage type"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_claims(name):
    """A tensor that contradicts its storage is refused before memory is taken."""
    changes, match = CLAIMS[name]
    tracemalloc.start()
    with pytest.raises((pickle.UnpicklingError, RuntimeError), match=match):
        load(archive(tensor(**changes), [b"\0" * 64]))
    assert tracemalloc.get_traced_memory()[1] < 10e6
    tracemalloc.stop()


def test_bool_bytes():
    """Bytes other than 0 and 1 in a bool storage become True, also when mapped."""
    data = tensor(kind="BoolStorage")
    assert load(archive(data, [b"\0\1\2\xff"])).tolist() == [False, True, True, True]


def test_bool_bytes_mapped(tmp_path):
    """The same for a mapped file."""
    (tmp_path / "x.pth").write_bytes(archive(tensor(kind="BoolStorage"), [b"\0\1\2\xff"]).getvalue())
    assert load(tmp_path / "x.pth", mmap=True).tolist() == [False, True, True, True]


LENGTHS = {
    "text": b"\x80\x02X\xff\xff\xff\x7fabc.", "bytes": b"\x80\x03B\xff\xff\xff\x7fabc.",
    "long": b"\x80\x02\x8b\xff\xff\xff\x7f.",
    "negative long": b"\x80\x02\x8b\xff\xff\xff\xff.", "long text": b"\x80\x04\x8d" + b"\xff" * 8 + b".",
    "bytearray": b"\x80\x05\x96" + b"\xff" * 7 + b"\x7f.", "frame": b"\x80\x04\x95" + b"\xff" * 4,
    "name": b"\x80\x02c" + b"a" * 99999,
    "no stop": b"\x80\x02K\x01", "memo": b"\x80\x02h\x05.", "empty stack": b"\x80\x02a.", "no mark": b"\x80\x02t.",
    "two results": b"\x80\x02K\x01K\x02.", "open mark": b"\x80\x02(K\x01.", "empty": b"", "protocol": b"\x80\x09N.",
    "odd dict": b"\x80\x02}(K\x01u.", "unhashable": b"\x80\x02}]K\x01s.", "text not UTF-8": b"\x80\x02X\x01\0\0\0\xff.",
    "mark crossed": b"\x80\x02K\x01(a.",
}  # fmt: skip


@pytest.mark.parametrize("name", LENGTHS)
def test_damaged_pickle(name):
    """Lengths beyond the end and inconsistent stacks are errors that name the file."""
    with pytest.raises(pickle.UnpicklingError, match="BytesIO|Unsupported"):
        load(archive(LENGTHS[name]))


@pytest.mark.parametrize("depth", [1000, 300_000])
def test_deep_nesting(depth):
    """Nesting costs no stack, in reading and in inspecting."""
    value = load(archive(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."))
    for _ in range(depth - 1):
        value = value[0]
    assert value == []
    assert inspect(archive(b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b".")) == []
    refused(b"\x80\x02})" + b"\x85" * depth + b"Ns.", "too large" if depth > 1000 else "") if depth > 1000 else None


def test_exponential_key():
    """A tuple of tuples of ... that would take 2^60 steps to hash is refused."""
    refused(b"\x80\x02})" + b"2\x86" * 60 + b"Ns.", "too large")


def test_copies_are_bounded():
    """Calling a copying function over and over on one large argument is refused."""
    body = b"".join(b"c_codecs\nencode\nh\x00" + _text("latin1") + b"\x86R0" for _ in range(20000))
    refused(b"\x80\x02" + _text("a" * 1_000_000) + b"q\x00" + body + b".", "copies far more than it contains")


# -- archives ---------------------------------------------------------------------------------------------------------


def repacked(**options):
    source = io.BytesIO()
    save({"w": rushlight.zeros(4_000_000)}, source)
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w", **options) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
    out.seek(0)
    return out


def test_repacked_archive():
    """An archive that some other tool has rewritten still loads, unless it expands a thousandfold."""
    assert load(repacked())["w"].shape == (4_000_000,)
    source = io.BytesIO()
    save({"w": rushlight.arange(1000.0)}, source)
    out = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for item in old.infolist():
            new.writestr(item.filename, old.read(item))
    out.seek(0)
    assert load(out)["w"][-1].item() == 999.0
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        new.writestr("x/data.pkl", tensor(numel=b"J" + struct.pack("<i", 10_000_000)))
        new.writestr("x/data/0", b"\0" * 40_000_000)
    bomb.seek(0)
    with pytest.raises(RuntimeError, match="expand to more than"):
        load(bomb)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.9, 0.999])
def test_truncated(keep, tmp_path):
    """A file that was cut off says so and names itself; the first words are PyTorch's."""
    path = tmp_path / "cut.pth"
    save({"w": rushlight.arange(1000.0)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(RuntimeError, match="^PytorchStreamReader failed reading zip archive: failed finding") as e:
        load(path)
    assert "cut.pth is damaged or incomplete" in str(e.value)


NOT_CHECKPOINTS = {
    "text": (b"hello world\n", "a text file that starts with 'hello world"),
    "csv": (b"epoch,loss\n1,2\n", "a text file"),
    "html": (b"<!DOCTYPE html><html>", "an HTML page"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
    "npy": (b"\x93NUMPY\x01\x00", "NumPy"),
    "hdf5": (b"\x89HDF\r\n\x1a\n", "HDF5"),
    "noise": (b"\x00\x01\x02\x03", "it starts with the bytes 00 01 02 03"),
}


@pytest.mark.parametrize("name", NOT_CHECKPOINTS)
def test_not_a_checkpoint(name, tmp_path):
    """Files of another kind are named as such, where PyTorch says `KeyError: 101`."""
    content, match = NOT_CHECKPOINTS[name]
    (tmp_path / "log.txt").write_bytes(content)
    for read in (load, inspect):
        with pytest.raises(pickle.UnpicklingError, match=match) as e:
            read(tmp_path / "log.txt")
        assert "log.txt" in str(e.value)


def test_empty_file(tmp_path):
    """An empty file is an EOFError, as in PyTorch, with a sentence."""
    (tmp_path / "x.pth").touch()
    with pytest.raises(EOFError, match="x.pth is empty"):
        load(tmp_path / "x.pth")


def test_plain_pickle(tmp_path):
    """A pickle that is not a checkpoint gives PyTorch's message."""
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"a": 1}, 2))
    with pytest.raises(RuntimeError, match="^Invalid magic number; corrupt file?"):
        load(tmp_path / "x.pkl")


# -- random damage ----------------------------------------------------------------------------------------------------

MUTATIONS = int(os.environ.get("RUSHLIGHT_TEST_MUTATIONS", 1000))


@pytest.mark.parametrize("name", fuzz.FILES)
def test_mutations(name, tmp_path):
    """Random changes and cuts give a result or one of a few errors; never a crash, a hang or another exception."""
    rng, source = random.Random(name), fuzz.Source(name)
    path = tmp_path / ("m.safetensors" if name == "safetensors" else "m.pth")
    for _ in range(MUTATIONS):
        fuzz.run_case(name, source.damaged(rng), path)


def test_harness():
    """`make fuzz` ends with a summary in one line."""
    command = [sys.executable, "-m", "tests.serialization.fuzz", "--cases", "24", "--jobs", "2", "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.fullmatch(r"fuzz: 24 damaged files of \d+ kinds, seed 1, \d+ s: 0 findings\n", done.stdout)


def test_harness_goes_on(monkeypatch):
    """A worker that dies is a finding, and the cases behind it are run."""
    started = []

    def start(first, options):
        started.append(first)
        program = f"import os; print('at {first}', flush=True); " + ("os.abort()" if first < 4 else "print('end')")
        return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)

    monkeypatch.setattr(fuzz, "_start", start)
    findings = []
    fuzz._follow(0, argparse.Namespace(last=9, jobs=2), findings)
    assert started == [0, 2, 4]
    assert [(case, text) for case, _, text in findings] == [(case, "the process ended with -6") for case in (0, 2)]


def test_watch():
    """Code that runs, and files that are written, are seen."""
    program = "from tests.serialization.fuzz import Watch; w = Watch('ok'); w.on = True; {}; w.on = False; print(w.events)"
    for act in ("exec('1')", "import colorsys", "open('/dev/null', 'w')", "__import__('os').system('true')"):
        done = subprocess.run([sys.executable, "-c", program.format(act)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() != "[]", act
