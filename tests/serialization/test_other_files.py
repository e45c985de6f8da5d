"""Whole models, old tar files, .safetensors, and inspecting all of them."""

import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch

import rushlight
from rushlight.serialization import inspect, load, save

from .helpers import same


def network(T):
    T.manual_seed(0)
    return T.nn.Sequential(T.nn.Linear(4, 3), T.nn.ReLU(), T.nn.Sequential(T.nn.Linear(3, 2, bias=False)))


def test_torchs_model_here(tmp_path):
    """A model that PyTorch saved whole becomes one of ours, with the same output."""
    theirs = network(torch)
    torch.save(theirs, tmp_path / "m.pth")
    ours = load(tmp_path / "m.pth", weights_only=False)
    assert isinstance(ours, rushlight.nn.Sequential) and repr(ours) == repr(theirs)
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    a, b = ours(rushlight.from_numpy(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    a.sum().backward()


def test_our_model_in_torch(tmp_path):
    """A model that we saved whole becomes one of PyTorch's, with the same output."""
    ours = network(rushlight)
    save(ours, tmp_path / "m.pth")
    theirs = torch.load(tmp_path / "m.pth", weights_only=False)
    assert isinstance(theirs, torch.nn.Sequential) and repr(ours) == repr(theirs)
    x = np.linspace(-1, 1, 8, dtype=np.float32).reshape(2, 4)
    a, b = ours(rushlight.from_numpy(x)), theirs(torch.from_numpy(x))
    np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)
    assert list(theirs.state_dict()) == list(ours.state_dict())


MODULES = [
    "Linear(3, 4)", "Conv2d(1, 6, 5, padding=2)", "ConvTranspose2d(2, 3, 3)", "MaxPool2d(2)", "BatchNorm2d(3)",
    "LayerNorm(4)", "GroupNorm(2, 4)", "Dropout(0.3)", "Embedding(5, 3)", "GELU()", "PReLU()", "MSELoss()",
    "CrossEntropyLoss(weight=T.ones(3))", "ModuleList([T.nn.Linear(2, 3)])", "ModuleDict({'a': T.nn.Linear(2, 3)})",
    "ParameterList([T.nn.Parameter(T.ones(2))])", "ParameterDict({'a': T.nn.Parameter(T.ones(2))})",
]  # fmt: skip


@pytest.mark.parametrize("source", MODULES)
def test_modules_both_ways(source):
    """Modules of each family, saved whole by either library, become the other's with the same repr and state."""
    for writer, reader in ((torch, rushlight), (rushlight, torch)):
        module, buffer = eval(f"T.nn.{source}", {"T": writer}), io.BytesIO()
        writer.save(module, buffer)
        buffer.seek(0)
        loaded = reader.load(buffer, weights_only=False)
        assert type(loaded).__module__.startswith(reader.__name__ + ".nn")
        assert repr(loaded) == repr(module) and list(loaded.state_dict()) == list(module.state_dict())


@pytest.mark.parametrize("name, options", [("SGD", {"lr": 0.1, "momentum": 0.9}), ("Adam", {}), ("AdamW", {"amsgrad": True}),
                                           ("RMSprop", {}), ("Adagrad", {}), ("NAdam", {})])  # fmt: skip
def test_optimizer_states_both_ways(name, options):
    """Training goes on in the other library from a saved optimizer, with the same next step."""

    def step(T, parameter, optimizer):
        parameter.grad = None
        (parameter**2).sum().backward()
        optimizer.step()

    for writer, reader in ((torch, rushlight), (rushlight, torch)):
        parameter, buffer = writer.nn.Parameter(writer.arange(3.0)), io.BytesIO()
        optimizer = getattr(writer.optim, name)([parameter], **options)
        step(writer, parameter, optimizer)
        writer.save({"optimizer": optimizer.state_dict(), "parameter": parameter}, buffer)
        buffer.seek(0)
        loaded = reader.load(buffer)
        other = getattr(reader.optim, name)([loaded["parameter"]], **options)
        other.load_state_dict(loaded["optimizer"])
        step(writer, parameter, optimizer)
        step(reader, loaded["parameter"], other)
        np.testing.assert_allclose(loaded["parameter"].tolist(), parameter.tolist(), rtol=1e-6)


def test_class_that_is_missing(tmp_path):
    """A class of PyTorch's that rushlight has not is named."""
    torch.save(torch.nn.Linear(2, 3), tmp_path / "m.pth")
    content = (tmp_path / "m.pth").read_bytes().replace(b"linear\nLinear\n", b"linear\nLinerr\n")
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(tmp_path / "n.pth", "w") as new:
        for item in old.infolist():
            new.writestr(item.filename, _content(content, item))
    with pytest.raises(AttributeError, match="rushlight has no torch.nn.modules.linear.Linerr"):
        load(tmp_path / "n.pth", weights_only=False)


def _content(data, item):
    name, extra = struct.unpack_from("<HH", data, item.header_offset + 26)
    start = item.header_offset + 30 + name + extra
    return data[start : start + item.file_size]


# -- inspect ----------------------------------------------------------------------------------------------------------


def rows(path):
    return [(i.name, i.shape, i.dtype, i.count, i.nbytes) for i in inspect(path)]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "stream"])
def test_inspect_checkpoint(zipped, tmp_path):
    """Nested containers give dotted names."""
    lists = [torch.ones(2), {"a": torch.zeros(3, dtype=torch.bfloat16)}]
    content = {"model": network(torch).state_dict(), "lists": lists}
    torch.save(content, tmp_path / "c.pth", _use_new_zipfile_serialization=zipped)
    assert rows(tmp_path / "c.pth") == [
        ("model.0.weight", (3, 4), "float32", 12, 48),
        ("model.0.bias", (3,), "float32", 3, 12),
        ("model.2.0.weight", (2, 3), "float32", 6, 24),
        ("lists.0", (2,), "float32", 2, 8),
        ("lists.1.a", (3,), "bfloat16", 3, 6),
    ]


def test_inspect_whole_model(tmp_path):
    """A whole model lists what its state_dict would, and nothing is executed."""
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    torch.save(model, tmp_path / "m.pth")
    names = [(r[0], r[1]) for r in rows(tmp_path / "m.pth")]
    assert sorted(names) == sorted((k, tuple(v.shape)) for k, v in model.state_dict().items())
    info = inspect(tmp_path / "m.pth")[0]
    assert info.requires_grad
    mean, std = info.statistics()
    weight = model[0].weight.detach().double()
    assert mean == pytest.approx(weight.mean().item()) and std == pytest.approx(weight.std(correction=0).item())


class Unknown:
    def __init__(self, t):
        self.t = t


def test_inspect_unknown_classes(tmp_path):
    """Classes of the user, element types that we have not, optimizer states and single tensors are listed too."""
    odd = {"c": torch.ones(3, dtype=torch.complex64), "u": torch.ones(2, dtype=torch.uint16)}
    torch.save({"x": Unknown(torch.ones(2)), **odd, "f": torch.ones(2).to(torch.float8_e5m2)}, tmp_path / "u.pth")
    found = rows(tmp_path / "u.pth")
    assert [r[0] for r in found] == ["x.t", "c", "u", "f"]
    assert [r[4] for r in found] == [8, 24, 4, 2]
    assert inspect(tmp_path / "u.pth")[1].statistics() is None
    torch.save(torch.ones(3), tmp_path / "t.pth")
    assert rows(tmp_path / "t.pth") == [("(tensor)", (3,), "float32", 3, 12)]
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.Adam([parameter])
    parameter.sum().backward()
    optimizer.step()
    torch.save(optimizer.state_dict(), tmp_path / "o.pth")
    assert [r[0] for r in rows(tmp_path / "o.pth")] == ["state.0.step", "state.0.exp_avg", "state.0.exp_avg_sq"]


def test_inspect_shows_sharing(tmp_path):
    """Tensors on one memory have the same storage."""
    x = torch.ones(4)
    torch.save([x, x[1:], torch.ones(4)], tmp_path / "s.pth")
    a, b, c = inspect(tmp_path / "s.pth")
    assert a.storage == b.storage != c.storage


def test_inspect_cycle(tmp_path):
    """A container that contains itself is listed once."""
    loop = {"t": torch.ones(2)}
    loop["self"] = loop
    torch.save(loop, tmp_path / "l.pth")
    assert [r[0] for r in rows(tmp_path / "l.pth")] == ["t"]


# -- tar --------------------------------------------------------------------------------------------------------------


def tar_file(path):
    """What PyTorch 0.1.1 wrote: storages, tensors and a pickle that refers to them."""

    class Reference:
        def __init__(self, key):
            self.key = key

    class Pickler(pickle._Pickler):
        dispatch = dict(pickle._Pickler.dispatch)

        def persistent_id(self, obj):
            return obj.key if isinstance(obj, Reference) else None

        def name(self, obj):
            self.write(b"c" + obj.encode().replace(b" ", b"\n") + b"\n")

    class Name(str):
        pass

    Pickler.dispatch[Name] = Pickler.name

    def dumps(obj):
        buffer = io.BytesIO()
        Pickler(buffer, 2).dump(obj)
        return buffer.getvalue()

    values = np.arange(6, dtype="<f4")
    storages = dumps(1) + dumps((7, "cpu", Name("torch FloatStorage"))) + struct.pack("<q", 6) + values.tobytes()
    storages += dumps([])
    tensors = (dumps(1) + dumps((9, 7, Name("torch FloatTensor"))) + struct.pack("<ii", 2, 0)
               + struct.pack("<qq", 2, 3) + struct.pack("<qq", 3, 1) + struct.pack("<q", 0))  # fmt: skip
    with tarfile.open(path, "w:", format=tarfile.PAX_FORMAT) as tar:
        for name, content in (("sys_info", dumps({})), ("pickle", dumps({"w": Reference(9)})), ("storages", storages),
                              ("tensors", tensors)):  # fmt: skip
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def test_tar(tmp_path):
    """The oldest layout loads here as data, and as PyTorch loads it."""
    tar_file(tmp_path / "old.pth")
    expected = torch.load(tmp_path / "old.pth", weights_only=False)
    same(load(tmp_path / "old.pth"), expected)
    same(load(tmp_path / "old.pth", weights_only=False), expected)
    assert rows(tmp_path / "old.pth") == [("w", (2, 3), "float32", 6, 24)]
    content = (tmp_path / "old.pth").read_bytes()
    for end in range(512, len(content), 97):
        try:
            same(load(io.BytesIO(content[:end])), expected)  # only padding was cut
        except (pickle.UnpicklingError, RuntimeError):
            assert end < len(content) - 1024


# -- safetensors ------------------------------------------------------------------------------------------------------


def weights(T):
    return {"a": T.arange(6.0).reshape(2, 3), "b": T.ones(3).to(T.bfloat16), "c": T.tensor([True, False]),
            "d": T.arange(3).to(T.int16), "e": T.tensor(2.5), "empty": T.empty(0, 2)}  # fmt: skip


def test_safetensors(tmp_path):
    """.safetensors files go both ways through `save` and `load`, and can be inspected."""
    path = tmp_path / "w.safetensors"
    safetensors.torch.save_file(weights(torch), path)
    ours = load(path)
    for name, t in weights(torch).items():
        same(ours[name].contiguous(), t)
    described = [(n, tuple(t.shape), str(t.dtype)[6:]) for n, t in weights(torch).items()]
    assert sorted(r[:3] for r in rows(path)) == sorted(described)
    save({**weights(rushlight), "t": rushlight.arange(6.0).reshape(2, 3).t()}, path)
    theirs = safetensors.torch.load_file(path)
    for name, t in weights(torch).items():
        assert theirs[name].dtype == t.dtype and torch.equal(theirs[name], t)
    assert theirs["t"].tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]


def test_safetensors_errors(tmp_path):
    """Damaged files and nested objects are refused with the file's name."""
    path = tmp_path / "w.safetensors"
    beyond = b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'
    for content in (b"", b"\xff" * 20, struct.pack("<Q", 2) + b"{x", struct.pack("<Q", len(beyond)) + beyond):
        path.write_bytes(content)
        for read in (load, inspect):
            with pytest.raises(RuntimeError, match="w.safetensors is not a valid safetensors file"):
                read(path)
    with pytest.raises(ValueError, match="flat dict of tensors"):
        save({"a": {"b": rushlight.ones(2)}}, path)
