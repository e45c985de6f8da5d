"""`compile`: the same numbers as the function itself, to the last bit, and honest about what it cannot repeat."""

from __future__ import annotations

import copy
import random
import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn
from rushlight.nn import functional as F

from .training import CALLS, MODELS, OPTIMIZERS, Training, assert_same, compare, mlp, run


@pytest.mark.parametrize("model", MODELS)
def test_models(model):
    """Every kind of layer: losses, weights, gradients, buffers, optimizer state and generator agree bit for bit."""
    compare(lambda: Training(model, "adam"), repetitions=2)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer):
    """Every rule goes on counting its steps in repetitions."""
    compare(lambda: Training("dropout", optimizer), repetitions=2)


def test_a_schedule_between_steps():
    """A learning rate that changes every call needs no new recording."""

    def between(t, i):
        if i == 0:
            t.schedule = torch.optim.lr_scheduler.OneCycleLR(t.optimizer, 0.1, total_steps=CALLS + 1)
        else:
            t.schedule.step()

    fn = compare(lambda: Training("mlp", "momentum"), between, repetitions=2)
    assert fn._recordings <= 4


def test_new_shapes_are_recorded_anew():
    """A smaller last batch runs as its own program; the first one is still there."""

    def make():
        t = Training()
        for i in (5, 11, 12, 17, 20):
            x, y = t.batches[i]
            t.batches[i] = (x[:5], y[:5])
        return t

    fn = compare(make, repetitions=8)
    assert len(fn._steps) == 2


CHANGES = {
    "eval mode": lambda t, i: t.model.train(i % 8 < 4),
    "freezing": lambda t, i: next(t.model.parameters()).requires_grad_(i < 12),
    "weights loaded in place": lambda t, i: i == 9 and t.model.load_state_dict(copy.deepcopy(t.model.state_dict())),
    "a new head": lambda t, i: i == 9 and _new_head(t),
    "memory of a parameter": lambda t, i: i == 9 and setattr(t.model[0].weight, "data", t.model[0].weight.data * 2),
    "optimizer state loaded": lambda t, i: i == 9 and t.optimizer.load_state_dict(copy.deepcopy(t.optimizer.state_dict())),
    "dropout rate": lambda t, i: i == 9 and setattr(t.model[2], "p", 0.1),
    "weight decay": lambda t, i: i == 9 and t.optimizer.param_groups[0].update(weight_decay=0.1),
    "maximize": lambda t, i: i == 9 and t.optimizer.param_groups[0].update(maximize=True),
    "gradients cleared outside": lambda t, i: t.optimizer.zero_grad(),
    "seed": lambda t, i: torch.manual_seed(i),
    "default dtype": lambda t, i: None,
}


def _new_head(t):
    torch.manual_seed(1)
    t.model[-1] = nn.Linear(16, 4)
    t.optimizer = OPTIMIZERS["adam"](t.model.parameters())


def _step_of(t):
    def step(x, y):
        t.optimizer.zero_grad()
        loss = F.cross_entropy(t.model(x), y)
        loss.backward()
        t.optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("change", CHANGES)
def test_changes_between_calls_are_noticed(change):
    """Whatever changes which computation it is, or its numbers, has the effect that it has without compile."""
    compare(lambda: Training("dropout", "adam"), CHANGES[change], wrap=_step_of, repetitions=2)


def test_gradients_accumulate():
    """A step that does not clear gradients adds to them; clearing between calls is noticed."""

    def wrap(t):
        def step(x, y):
            loss = F.cross_entropy(t.model(x), y)
            (loss / 4).backward()
            return loss

        return step

    def between(t, i):
        if i % 4 == 0 and i:
            t.optimizer.step()
            t.optimizer.zero_grad()

    compare(lambda: Training("mlp", "momentum"), between, wrap, repetitions=4)


def test_gradients_set_to_zero_in_place():
    """zero_grad(set_to_none=False) inside the step."""

    def wrap(t):
        def step(x, y):
            t.optimizer.zero_grad(set_to_none=False)
            loss = F.cross_entropy(t.model(x), y)
            loss.backward()
            t.optimizer.step()
            return loss

        return step

    compare(lambda: Training("mlp", "adam"), wrap=wrap, repetitions=2)


def test_two_optimizers():
    """A generator and a discriminator, each with its own optimizer and two backward passes."""

    def wrap(t):
        torch.manual_seed(2)
        t.critic = mlp(nn.LeakyReLU(0.2))
        t.second = torch.optim.Adam(t.critic.parameters(), lr=1e-3, betas=(0.5, 0.999))
        t.model[-1] = nn.Linear(16, 12)

        def step(x, y):
            fake = t.model(x)
            t.second.zero_grad()
            critic_loss = t.critic(x).mean() - t.critic(fake.detach()).mean()
            critic_loss.backward()
            t.second.step()
            t.optimizer.zero_grad()
            loss = t.critic(fake).mean()
            loss.backward()
            t.optimizer.step()
            return loss

        return step

    compare(lambda: Training("mlp", "sgd"), wrap=wrap, repetitions=2)


# -- what it returns -------------------------------------------------------------------------------------------------------


def test_results_are_new_tensors():
    """Results of earlier calls keep their values, and print as they do without compile."""
    t = Training()
    step = torch.compile(t.make_step())
    losses = [step(*b) for b in t.batches]
    values = [loss.item() for loss in losses]
    assert len(set(values)) == len(values)
    assert "grad_fn=<NllLossBackward0>" in repr(losses[-1])
    with pytest.raises(RuntimeError, match="Trying to backward through the graph a second time"):
        losses[-1].backward()


def test_nested_arguments_and_results():
    """Dicts, lists and tuples of tensors and numbers, by position and by keyword."""

    @torch.compile(fullgraph=True)
    def fn(batch, *, scale, extra=()):
        a = batch["x"] * scale
        return {"sum": a.sum(), "parts": [a, (batch["x"] - extra[0], 3)]}

    for i in range(8):
        x = torch.full((3,), float(i))
        out = fn({"x": x}, scale=2.0, extra=(torch.ones(3),))
        assert out["sum"].item() == 6.0 * i
        assert out["parts"][0].tolist() == [2.0 * i] * 3
        assert out["parts"][1][0].tolist() == [i - 1.0] * 3 and out["parts"][1][1] == 3
    assert fn._steps[0].native.runs >= 4
    assert fn({"x": torch.ones(3)}, scale=3.0, extra=(torch.ones(3),))["sum"].item() == 9.0


def test_arguments_that_share_memory():
    """Two views of one tensor, and the same tensor twice, are another kind of call than two tensors."""

    @torch.compile(fullgraph=True)
    def fn(a, b):
        a.add_(1)
        return a + b

    whole = torch.zeros(8)
    for i in range(6):
        whole.zero_()
        assert fn(whole[:4], whole[:4]).tolist() == [2.0] * 4
        assert fn(whole[:4], whole[4:]).tolist() == [2.0] * 4
        assert fn(torch.zeros(4), torch.full((4,), float(i))).tolist() == [1.0 + i] * 4
        assert whole.tolist() == [2.0] * 4 + [0.0] * 4


def test_a_result_that_is_also_a_gradient():
    """A returned gradient is a copy: the next call does not change it."""
    w = torch.ones(3, requires_grad=True)

    @torch.compile(fullgraph=True)
    def fn(x):
        w.grad = None
        (w * x).sum().backward()
        return w.grad

    seen = [fn(torch.full((3,), float(i))) for i in range(6)]
    assert [s[0].item() for s in seen][3:] == [3.0, 4.0, 5.0]


# -- errors ------------------------------------------------------------------------------------------------------------------


def test_errors_of_a_repetition():
    """A target out of range raises what it raises without compile, and the next call works."""
    t = Training()
    step = torch.compile(t.make_step(), fullgraph=True)
    for x, y in t.batches[:8]:
        step(x, y)
    x, y = t.batches[8]
    with pytest.raises(IndexError, match="Target 9 is out of bounds."):
        step(x, torch.full_like(y, 9))
    assert step(x, y).item() > 0
    with pytest.raises(RuntimeError, match="mat1 and mat2 shapes cannot be multiplied"):
        step(torch.randn(8, 11), y)
    assert step(x, y).item() > 0


class Counter:
    n = 0


class Counting(nn.Linear):
    """Counts its calls in an attribute of the class."""

    calls = 0

    def forward(self, x):
        Counting.calls += 1
        return super().forward(x) * Counting.calls


def _refusals():
    counter, kept = Counter(), []
    torch.manual_seed(4)
    counting_layer = Counting(4, 4)

    def item(model, x):
        y = model(x)
        return y * 2 if y.sum().item() > 1e9 else y

    def branch(model, x):
        y = model(x)
        return y * 2 if (y > 1e9).any() else y

    def numpy_view(model, x):
        return model(x) + float(x.numpy().max())

    def printing(model, x):
        print("step")
        return model(x)

    def python_random(model, x):
        return model(x) * random.choice([1.0, 2.0])

    def numpy_random(model, x):
        return model(x) * np.random.rand()

    def appending(model, x):
        kept.append(model(x))
        return kept[-1] + 0

    def counting(model, x):
        counter.n += 1
        return model(x) * counter.n

    def class_counting(model, x):
        return counting_layer(model(x))

    def hooked(model, x):
        handle = model[0].register_forward_hook(lambda m, a, out: out * 2)
        try:
            return model(x)
        finally:
            handle.remove()

    def indices(model, x):
        y = model(x)
        return y[y > 0].sum()

    def sparse(model, x):
        return model(x) + torch.sparse_coo_tensor(torch.zeros(1, 1, dtype=torch.long), torch.ones(1), (4,)).to_dense()

    return [
        (item, "a value was read from a tensor at .*test_compile.py:.*y.sum\\(\\).item\\(\\)"),
        (branch, "a value was read from a tensor at .*any\\(\\)"),
        (numpy_view, "a tensor's memory was handed to NumPy or another library at .*x.numpy\\(\\)"),
        (printing, "something was printed at .*print"),
        (python_random, "Python's or NumPy's random numbers"),
        (numpy_random, "Python's or NumPy's random numbers"),
        (appending, "kept outside of it|returns a tensor twice"),
        (counting, "does not do the same at every call|keeps changing|ever new"),
        (class_counting, "does not do the same at every call|keeps changing"),
        (hooked, "a hook of Linear ran"),
        (indices, "read from a tensor"),
        (sparse, "values were read from a tensor|it makes a sparse tensor"),
    ]


@pytest.mark.parametrize(("fn", "why"), _refusals(), ids=lambda p: getattr(p, "__name__", ""))
def test_what_cannot_be_repeated_runs_as_it_is(fn, why):
    """One warning that says why and where; the results are right in any case."""
    torch.manual_seed(0)
    model = mlp(nn.ReLU())
    plain, compiled = fn, torch.compile(fn)
    batches = [torch.randn(4, 12) for _ in range(40)]

    def results(f):
        random.seed(3)
        np.random.seed(3)
        Counter.n = Counting.calls = 0
        for cell in fn.__closure__ or ():
            if isinstance(cell.cell_contents, Counter):
                cell.cell_contents.n = 0
        with torch.no_grad():
            return [f(model, x).tolist() for x in batches]

    want = results(plain)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        got = results(compiled)
    assert got == want
    assert len(seen) == 1
    with pytest.raises(AssertionError, match="runs as it is: .*(" + why + ")"):
        raise AssertionError(compiled.explain())
    with pytest.raises(RuntimeError, match="fullgraph=True.*cannot be compiled"):
        strict = torch.compile(fn, fullgraph=True)
        results(strict)


def test_a_schedule_inside_the_step_is_refused():
    """A schedule counts in Python: the step runs as it is, with the right learning rates."""
    t = Training("mlp", "sgd")
    schedule = torch.optim.lr_scheduler.StepLR(t.optimizer, 2, 0.5)
    inner = t.make_step()

    def step(x, y):
        loss = inner(x, y)
        schedule.step()
        return loss

    compiled = torch.compile(step)
    with pytest.warns(UserWarning, match="a schedule was advanced inside the step"):
        for x, y in t.batches[:6]:
            compiled(x, y)
    assert t.optimizer.param_groups[0]["lr"] == 0.1 * 0.5**3


def test_globals_and_attributes_are_read_anew():
    """A number, a tensor or a function that the step finds by name may be another one next time."""

    class Settings:
        scale = 1.0

    settings = Settings()
    settings.scale, settings.shift = 2.0, torch.zeros(2)

    @torch.compile(fullgraph=True)
    def fn(x):
        return x * settings.scale + settings.shift

    x = torch.ones(2)
    for _ in range(5):
        assert fn(x).tolist() == [2.0, 2.0]
    settings.scale = 3.0
    assert fn(x).tolist() == [3.0, 3.0]
    settings.shift = torch.ones(2)
    assert fn(x).tolist() == [4.0, 4.0]
    settings.shift.add_(1)
    assert fn(x).tolist() == [5.0, 5.0]


def test_verification_notices_what_guards_do_not_see():
    """A name put together at run time is beyond the guards: the check at the 16th repetition ends the repeating."""

    class Settings:
        factor = 1.0

    def fn(x):
        return x * getattr(Settings, "".join(("fac", "tor")))

    compiled = torch.compile(fn)
    x = torch.ones(2)
    for _ in range(6):
        compiled(x)
    Settings.factor = 2.0
    with pytest.warns(UserWarning, match="does not do the same at every call: mul ran with other numbers"):
        for _ in range(16):
            out = compiled(x)
    assert out.tolist() == [2.0, 2.0]


# -- the rest of the interface -------------------------------------------------------------------------------------------------


def test_arguments_of_compile():
    """PyTorch's arguments are taken; nonsense is an error."""
    fn = torch.compile(mode="reduce-overhead", dynamic=False)(lambda x: x + 1)
    assert fn(torch.ones(1)).item() == 2.0
    assert torch.compile(len, disable=True) is len
    with pytest.raises(RuntimeError, match="Invalid backend: 'nonsense'"):
        torch.compile(lambda x: x, backend="nonsense")
    with pytest.raises(RuntimeError, match="Either mode or options"):
        torch.compile(lambda x: x, mode="default", options={})
    with pytest.raises(TypeError, match="compile takes a function or a Module, not int"):
        torch.compile(3)


def test_methods():
    """As a decorator of methods: a recording for each object."""

    class Trainer:
        def __init__(self, factor):
            self.factor = factor

        @torch.compile
        def step(self, x):
            return x * self.factor

    a, b = Trainer(2.0), Trainer(3.0)
    for _ in range(5):
        assert a.step(torch.ones(1)).item() == 2.0
        assert b.step(torch.ones(1)).item() == 3.0
    a.factor = 5.0
    assert a.step(torch.ones(1)).item() == 5.0


def test_disable_and_is_compiling():
    """compiler.disable runs compiled functions as they are; is_compiling is True while one is recorded."""
    seen = {"compiling": None}

    @torch.compile
    def fn(x):
        seen["compiling"] = torch.compiler.is_compiling()
        return x + 1

    with torch.compiler.disable():
        for _ in range(5):
            fn(torch.ones(1))
    assert seen["compiling"] is False and not fn._steps
    for expected in (False, True, True):
        fn(torch.ones(1))
        assert seen["compiling"] is expected


def test_threads():
    """A program recorded with one thread gives the same bits with three and eight."""
    losses = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3, 8):
            torch.set_num_threads(threads)
            t = Training("convolution and batch norm", rows=64)
            losses.append(run(t, torch.compile(t.make_step())))
    finally:
        torch.set_num_threads(before)
    for values, state in losses[1:]:
        assert values == losses[0][0]
        assert_same(losses[0][1], state)
