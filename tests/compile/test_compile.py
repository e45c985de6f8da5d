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

CALLS = 24  # past the first verification, at the 16th repetition


def mlp(*middle):
    return nn.Sequential(nn.Linear(12, 16), *middle, nn.Linear(16, 4))


def convolutional():
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Flatten(), nn.Linear(8, 4))  # fmt: skip


class Recurrent(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.rnn, self.head = layer, nn.Linear(8, 4)

    def forward(self, x):
        return self.head(self.rnn(x.view(-1, 4, 3))[0][:, -1])


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(3, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.1, batch_first=True), 2)
        self.head = nn.Linear(32, 4)

    def forward(self, x):
        return self.head(self.encoder(self.embed(x.view(-1, 4, 3))).flatten(1))


class Swish(nn.Module):
    """An activation written out, with numbers, broadcasting and a comparison."""

    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(torch.ones(16))

    def forward(self, x):
        y = x * torch.sigmoid(self.beta * x)
        return torch.where(y > 0.5, y - 0.25 * (y - 0.5), y) * 1.5 + 0.1


MODELS = {
    "mlp": lambda: mlp(nn.ReLU()),
    "dropout": lambda: mlp(nn.Tanh(), nn.Dropout(0.4)),
    "convolution and batch norm": convolutional,
    "layer norm and gelu": lambda: mlp(nn.LayerNorm(16), nn.GELU()),
    "lstm": lambda: Recurrent(nn.LSTM(3, 8, 2, batch_first=True)),
    "gru": lambda: Recurrent(nn.GRU(3, 8, batch_first=True)),
    "transformer": Attention,
    "own activation": lambda: mlp(Swish()),
    "float64": lambda: mlp(nn.ELU()).double(),
}

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "momentum": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw amsgrad": lambda p: torch.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.05),
    "nadam": lambda p: torch.optim.NAdam(p, lr=0.01),
    "adadelta": lambda p: torch.optim.Adadelta(p),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=0.05, weight_decay=1e-3),
    "muon": lambda p: torch.optim.Muon([q for q in p if q.ndim == 2], lr=0.05),
}


class Training:
    """A network with its data, and everything that a step changes."""

    def __init__(self, model="mlp", optimizer="adam", rows=8):
        torch.manual_seed(5)
        self.model = MODELS[model]()
        dtype = next(self.model.parameters()).dtype
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.batches = [(torch.randn(rows, 12, dtype=dtype), torch.randint(0, 4, (rows,))) for _ in range(CALLS)]

    def make_step(self):
        model, optimizer = self.model, self.optimizer

        def step(x, y):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            return loss

        return step

    def state(self):
        out = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        out.update({f"{k}.grad": p.grad for k, p in self.model.named_parameters() if p.grad is not None})
        for i, s in self.optimizer.state_dict()["state"].items():
            out.update({f"optimizer.{i}.{k}": v for k, v in s.items() if isinstance(v, torch.Tensor)})
        out["rng"] = torch.get_rng_state()
        return {k: v.detach().numpy().copy() for k, v in out.items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for k in a:
        np.testing.assert_array_equal(a[k], b[k], err_msg=k)


def run(training, step, between=lambda training, i: None):
    losses = []
    for i, (x, y) in enumerate(training.batches):
        between(training, i)
        losses.append(step(x, y).item())
    return losses, training.state()


def compare(make, between=lambda training, i: None, wrap=lambda t: t.make_step(), repetitions=10):
    """The step as it is and compiled: same losses and same state; returns the compiled function."""
    eager = make()
    want = run(eager, wrap(eager), between)
    compiled = make()  # the generator starts again
    fn = torch.compile(wrap(compiled), fullgraph=True)
    got = run(compiled, fn, between)
    assert got[0] == want[0]
    assert_same(got[1], want[1])
    assert sum(s.native.runs for s in fn._steps) >= repetitions, fn.explain()
    return fn


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
    """A list that changes its elements is beyond the guards: the check at the 16th repetition ends the repeating."""
    factors = [1.0]

    def fn(x):
        return x * factors[0]

    compiled = torch.compile(fn)
    x = torch.ones(2)
    for _ in range(6):
        compiled(x)
    factors[0] = 2.0
    with pytest.warns(UserWarning, match="does not do the same at every call: mul ran with other numbers"):
        for _ in range(16):
            out = compiled(x)
    assert out.tolist() == [2.0, 2.0]


# -- modules -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_modules_train_outside(model):
    """compile(module): loss, backward and optimizer are the caller's; results agree bit for bit."""

    def wrap(t):
        call = t.call

        def step(x, y):
            t.optimizer.zero_grad()
            loss = F.cross_entropy(call(x), y)
            loss.backward()
            t.optimizer.step()
            return loss

        return step

    eager = Training(model)
    eager.call = eager.model
    want = run(eager, wrap(eager))
    compiled = Training(model)
    compiled.call = torch.compile(compiled.model, fullgraph=True)
    got = run(compiled, wrap(compiled))
    assert got[0] == want[0]
    assert_same(got[1], want[1])
    assert "repetitions" in compiled.call.explain()


def test_modules_called_twice_before_backward():
    """Two calls whose results wait for one backward pass."""
    torch.manual_seed(0)
    model = mlp(nn.Tanh())
    compiled = torch.compile(model, fullgraph=True)
    for _ in range(8):
        a, b = torch.randn(3, 12), torch.randn(3, 12)
        grads = []
        for call in (model, compiled):
            model.zero_grad()
            (call(a) * call(b)).sum().backward()
            grads.append([p.grad.tolist() for p in model.parameters()])
        assert grads[0] == grads[1]


def test_modules_inside_a_graph():
    """An input with a history gets its gradient; so does a leaf; retain_graph allows a second pass."""
    torch.manual_seed(0)
    first, second = nn.Linear(12, 12), mlp(nn.Tanh())
    compiled = torch.compile(second, fullgraph=True)
    for i in range(7):
        x = torch.randn(3, 12, requires_grad=True)
        seen = []
        for call in (second, compiled):
            first.zero_grad()
            x.grad = None
            y = call(first(x)).sin().sum()
            y.backward(retain_graph=True)
            if i == 5:
                y.backward()
            seen.append((x.grad.tolist(), first.weight.grad.tolist()))
        assert seen[0] == seen[1]


def test_modules_notice_overwritten_parameters():
    """A parameter written between the call and backward() is the error that it is without compile."""
    model = mlp(nn.Tanh())
    compiled = torch.compile(model)
    for i in range(6):
        y = compiled(torch.randn(2, 12)).sum()
        if i == 5:
            with torch.no_grad():
                model[2].weight.add_(1)
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                y.backward()
        else:
            y.backward()


def test_module_wrapper():
    """State, settings and attributes are the original's; keys carry PyTorch's prefix."""
    model = mlp(nn.Dropout(0.5))
    compiled = torch.compile(model)
    names = [f"_orig_mod.{k}.{name}" for k in (0, 2) for name in ("weight", "bias")]
    assert [k for k, _ in compiled.named_parameters()] == names
    assert list(compiled.state_dict()) == names
    assert repr(compiled).startswith("OptimizedModule(\n  (_orig_mod): Sequential(")
    assert compiled.eval() is compiled and not model.training and not compiled.training
    compiled.train()
    assert model.training and model[1].training
    assert compiled._orig_mod is model and len(compiled) == 3
    twin = copy.deepcopy(compiled)
    assert twin._orig_mod[0] is not model[0] and isinstance(twin, type(compiled))


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
    """A program recorded with one thread gives the same bits with three."""
    losses = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            t = Training("convolution and batch norm", rows=64)
            losses.append(run(t, torch.compile(t.make_step())))
    finally:
        torch.set_num_threads(before)
    assert losses[0][0] == losses[1][0]
    assert_same(losses[0][1], losses[1][1])


# -- passes --------------------------------------------------------------------------------------------------------------------


def _compiled(fn, *args):
    compiled = torch.compile(fn, fullgraph=True)
    for _ in range(5):
        out = compiled(*args)
    want = fn(*args)
    for a, b in zip(out if isinstance(out, tuple) else (out,), want if isinstance(want, tuple) else (want,), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    return compiled._steps[0].native


CHAINS = {
    "numbers": lambda x, y: (x * 2 + 1) * (x - 0.5),
    "two results": lambda x, y: (torch.exp(x) * y, torch.exp(x) + y),
    "a row": lambda x, y: (x + y[0]).sigmoid() * x,
    "a column": lambda x, y: (x * y[:, :1]).tanh() + y,
    "a comparison": lambda x, y: torch.where((x > 0) & (y > 0), x * y, x - y),
    "in place": lambda x, y: (x * 1).add_(y).mul_(x).relu_(),
    "a transposed operand": lambda x, y: (x * y.t().contiguous().t()).sqrt().nan_to_num() + x,
    "a single element": lambda x, y: (x[:1, :1] * y + x.sum()) * 3,
    "a reduction between": lambda x, y: (x - x.mean()) * ((x - x.mean()) ** 2).sum() + y,
}


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("shape", [(7, 5), (300, 257)])
def test_pointwise_chains(chain, shape):
    """Chains of pointwise ops become one call, with the same bits."""
    torch.manual_seed(0)
    native = _compiled(CHAINS[chain], torch.rand(*shape), torch.rand(*shape))
    assert "fused" in native.kernels
    assert len(native.kernels) < native.recorded


def test_unused_values_are_not_computed():
    """What no result depends on is left out."""

    def fn(x):
        (x @ x).sum()
        return x.exp()

    assert _compiled(fn, torch.rand(4, 4)).kernels == ["exp"]


def test_constants_are_computed_once():
    """Masks and the like, made from numbers only, are not made again."""

    def fn(x):
        return x.masked_fill(torch.ones(4, 4).tril() == 0, 0.0)

    kernels = _compiled(fn, torch.rand(4, 4)).kernels
    assert "triangle" not in kernels and "fill" not in kernels and "tril" not in kernels


def test_temporaries_share_memory():
    """Sixteen layers need the memory of a few, not of sixteen."""
    layers = nn.Sequential(*(m for _ in range(16) for m in (nn.Linear(256, 256), nn.Softmax(1))))

    @torch.compile(fullgraph=True)
    def fn(x):
        with torch.no_grad():
            return layers(x)

    x = torch.rand(64, 256)
    for _ in range(4):
        fn(x)
    assert fn._steps[0].native.arena_bytes <= 3 * 64 * 256 * 4
