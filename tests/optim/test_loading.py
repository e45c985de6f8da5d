"""Loading optimizer states: by name, and never another algorithm's. PyTorch matches by position alone."""

from __future__ import annotations

import io
import warnings

import pytest
import torch as oracle

import rushlight as torch

SHAPES = {"fc1.weight": (3, 2), "fc1.bias": (3,), "fc2.weight": (1, 3)}


def optimizer(T, names, kind="Adam", split=None, **options):
    """An optimizer that has made one step with gradients that tell the parameters apart."""
    params = {n: T.zeros(SHAPES.get(n, (2,)), requires_grad=True) for n in names}
    pairs = list(params.items())
    groups = pairs if split is None else [{"params": pairs[:split]}, {"params": pairs[split:], "lr": 0.5}]
    made = getattr(T.optim, kind)(groups, **options)
    for n, p in params.items():
        p.grad = T.full(p.shape, float(1 + list(SHAPES).index(n) if n in SHAPES else 9))
    made.step()
    return made, params


def moments(made, params):
    return {n: made.state[p]["exp_avg"].flatten()[0].item() for n, p in params.items()}


def test_reordered_parameters():
    """Each parameter gets its own buffers back, whatever the order."""
    saved, params = optimizer(torch, SHAPES)
    other, theirs = optimizer(torch, reversed(SHAPES))
    other.load_state_dict(saved.state_dict())
    assert moments(other, theirs) == moments(saved, params)
    assert other.param_groups[0]["param_names"] == list(reversed(SHAPES))
    assert all(other.state[p]["exp_avg"].shape == p.shape for p in theirs.values())


def test_moved_between_groups():
    """A parameter that is in another group now keeps its buffers; options are those of the group's position."""
    saved, params = optimizer(torch, SHAPES, split=1)
    other, theirs = optimizer(torch, reversed(SHAPES), split=2)
    other.load_state_dict(saved.state_dict())
    assert moments(other, theirs) == moments(saved, params)
    assert [len(g["params"]) for g in other.param_groups] == [2, 1]
    assert [g["lr"] for g in other.param_groups] == [1e-3, 0.5]


def test_states_of_pytorch():
    """A reordered state from PyTorch's file is matched too, and ours loads in PyTorch, by position as ever."""
    saved, params = optimizer(oracle, SHAPES)
    buffer = io.BytesIO()
    oracle.save(saved.state_dict(), buffer)
    buffer.seek(0)
    other, theirs = optimizer(torch, reversed(SHAPES))
    other.load_state_dict(torch.load(buffer))
    assert moments(other, theirs) == pytest.approx(moments(saved, params))
    buffer = io.BytesIO()
    torch.save(other.state_dict(), buffer)
    buffer.seek(0)
    back, again = optimizer(oracle, reversed(SHAPES))
    back.load_state_dict(oracle.load(buffer))
    assert moments(back, again) == pytest.approx(moments(saved, params))


def test_names_on_one_side():
    """One error names them, and the nearest ones."""
    saved, _ = optimizer(torch, ["fc1.weight", "fc1.bias"])
    other, _ = optimizer(torch, ["fc1.weight", "fc.bias"])
    with pytest.raises(ValueError, match="names other parameters") as error:
        other.load_state_dict(saved.state_dict())
    assert str(error.value).splitlines()[1:] == [
        "only the state dict has 'fc1.bias'; the nearest names on the other side are 'fc.bias'",
        "only the optimizer has 'fc.bias'; the nearest names on the other side are 'fc1.bias'",
    ]
    fewer, _ = optimizer(torch, ["fc1.weight"])
    message = "^loaded state dict contains a parameter group that doesn't match the size of optimizer's group\nonly the state dict"
    with pytest.raises(ValueError, match=message):
        fewer.load_state_dict(saved.state_dict())


def test_without_names_by_position():
    """Where one side has no names, or names occur twice, states go by position as in PyTorch."""
    saved, params = optimizer(torch, SHAPES)
    plain = [torch.zeros(s, requires_grad=True) for s in SHAPES.values()]
    other = torch.optim.Adam(plain)
    other.load_state_dict(saved.state_dict())
    assert [other.state[p]["exp_avg"].flatten()[0].item() for p in plain] == list(moments(saved, params).values())
    assert "param_names" in other.param_groups[0]
    twice = torch.optim.Adam([{"params": [("w", torch.zeros(1))]}, {"params": [("w", torch.zeros(1))]}])
    twice.load_state_dict(twice.state_dict())


def test_hook_that_renames():
    """PyTorch's way to adapt a state dict, a hook before loading, comes before the names are compared."""
    saved, params = optimizer(torch, ["fc1.weight"])
    other, theirs = optimizer(torch, ["net.fc1.weight"])
    theirs["net.fc1.weight"].data = torch.zeros(3, 2)

    def rename(self, state):
        for group in state["param_groups"]:
            group["param_names"] = [f"net.{n}" for n in group["param_names"]]
        return state

    other.register_load_state_dict_pre_hook(rename)
    other.load_state_dict(saved.state_dict())
    assert list(moments(other, theirs).values()) == list(moments(saved, params).values())


KINDS = ["SGD", "Adam", "NAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD", "Adafactor"]


@pytest.mark.parametrize("saved", KINDS)
@pytest.mark.parametrize("kind", KINDS)
def test_other_algorithms(kind, saved):
    """A state either goes on to the next step, or is refused when it is loaded."""
    first, _ = optimizer(torch, SHAPES, saved)
    second, params = optimizer(torch, SHAPES, kind)
    try:
        second.load_state_dict(first.state_dict())
    except ValueError as error:
        assert kind != saved and f"was saved from another algorithm than {kind}" in str(error)
    else:
        assert kind == saved or (kind, saved) == ("Adam", "NAdam")  # whose state has all that Adam needs
        second.step()


def test_adam_into_sgd():
    """The specification's case."""
    adam, _ = optimizer(torch, SHAPES)
    for options in ({}, dict(momentum=0.9)):
        sgd, _ = optimizer(torch, SHAPES, "SGD", **options)
        message = "from another algorithm than SGD: it has the option 'betas' and lacks 'momentum'"
        with pytest.raises(ValueError, match=message):
            sgd.load_state_dict(adam.state_dict())


def test_a_step_of_ones_own():
    """A subclass with another step may keep other states."""

    class Lion(torch.optim.Adam):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    self.state[p]["exp_avg"] = p.grad.clone()

    torch_like = [torch.zeros(2, requires_grad=True)]
    torch_like[0].grad = torch.ones(2)
    made = Lion(torch_like)
    made.step()
    other = Lion([torch.zeros(2, requires_grad=True)])
    other.load_state_dict(made.state_dict())
    assert next(iter(other.state.values()))["exp_avg"].tolist() == [1.0, 1.0]


def test_other_shapes():
    """A state that does not fit its parameter is refused when it is loaded; PyTorch fails in the next step."""
    saved, _ = optimizer(torch, ["fc1.weight"])
    p = torch.zeros(4, 2, requires_grad=True)
    other = torch.optim.Adam([p])
    message = r"'exp_avg' of parameter 'fc1.weight' has shape \[3, 2\], but the optimizer's parameter has shape \[4, 2\]"
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(saved.state_dict())


@pytest.mark.parametrize("kind", KINDS)
def test_old_state_dicts(kind):
    """States saved before an option was added, with step counts as numbers, load and go on."""
    saved, _ = optimizer(torch, SHAPES, kind)
    state = saved.state_dict()
    for group in state["param_groups"]:
        for name in ("maximize", "foreach", "differentiable", "capturable", "fused", "amsgrad", "nesterov", "centered",
                     "momentum_decay", "decoupled_weight_decay"):  # fmt: skip
            group.pop(name, None)
    for own in state["state"].values():
        if "step" in own:
            own["step"] = int(own["step"].item())
    other, params = optimizer(torch, SHAPES, kind)
    other.load_state_dict(state)
    other.step()
    if kind != "SGD":
        assert other.state[params["fc1.bias"]]["step"].item() == 2


def steps(prepare, *, kind="SGD", frozen=False, schedule=False, zero=False, closure=None):
    w = torch.ones(2, requires_grad=not frozen)
    made = getattr(torch.optim, kind)([torch.ones(2, 2, requires_grad=True) if kind == "Muon" else w])
    scheduler = torch.optim.lr_scheduler.StepLR(made, 2) if schedule else None
    prepare(w)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            if zero:
                made.zero_grad()
            made.step(closure) if closure else made.step()
            if scheduler:
                scheduler.step()
    assert all(w.filename == __file__ for w in caught)
    return [str(w.message) for w in caught]


def nothing(w):
    pass


def give_gradient(w):
    w.grad = torch.ones(2)


@pytest.mark.parametrize("kind", ["SGD", "Adam", "AdamW", "Adafactor", "SparseAdam", "Muon"])
def test_step_without_gradients(kind):
    """One warning, once per optimizer, says that no parameter has a gradient."""
    said = steps(nothing, kind=kind, zero=True)
    assert said == [f"{kind}.step() changed nothing: none of its parameters has a gradient. Was backward() called after "
                    "zero_grad(), on a loss that depends on these parameters?"]  # fmt: skip
    assert len(steps(nothing, kind=kind)) == 1
    assert len(steps(nothing, kind=kind, schedule=True, zero=True)) == 1


@pytest.mark.parametrize(
    "options",
    [dict(schedule=True), dict(frozen=True), dict(closure=lambda: torch.tensor(1.0)), dict(prepare=give_gradient),
     dict(prepare=give_gradient, zero=False)],
    ids=["a schedule tried out", "all frozen", "a closure", "gradients", "gradients once"],
)  # fmt: skip
def test_no_warning(options):
    """Steps that may be meant are silent."""
    assert steps(**{"prepare": nothing, **options}) == []
