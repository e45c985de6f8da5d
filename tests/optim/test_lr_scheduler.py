"""Every schedule gives PyTorch's rates (and momenta), step by step, and saves the same state."""

import pytest
import torch

import rushlight as rl

S = "lr_scheduler"
CASES = {
    "lambda": lambda s, o: s.LambdaLR(o, lambda e: 0.9**e),
    "lambdas": lambda s, o: s.LambdaLR(o, [lambda e: 0.9**e, lambda e: 1 / (e + 1)]),
    "multiplicative": lambda s, o: s.MultiplicativeLR(o, lambda e: 0.95),
    "step": lambda s, o: s.StepLR(o, 3, 0.5),
    "multistep": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 9], 0.5),
    "constant": lambda s, o: s.ConstantLR(o, 0.25, 4),
    "linear": lambda s, o: s.LinearLR(o, 0.2, 0.8, 7),
    "exponential": lambda s, o: s.ExponentialLR(o, 0.9),
    "polynomial": lambda s, o: s.PolynomialLR(o, 8, 1.7),
    "cosine": lambda s, o: s.CosineAnnealingLR(o, 5, 0.001),
    "restarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.001),
    "restarts-1": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "cyclic": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, 3),
    "cyclic2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], [0.1, 0.3], 3, mode="triangular2"),
    "cyclic-exp": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, mode="exp_range", gamma=0.97, cycle_momentum=False),
    "cyclic-fn": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, scale_fn=lambda x: 1 / (5**x), scale_mode="iterations"),
    "onecycle": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=20),
    "onecycle-linear": lambda s, o: s.OneCycleLR(o, [0.1, 0.2], epochs=4, steps_per_epoch=6, anneal_strategy="linear"),
    "onecycle-3": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=20, three_phase=True, pct_start=0.25),
    "sequential": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)], [4]),
    "chained": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)]),
}


def optimizer(T, name="SGD"):
    ps = [T.zeros(2, requires_grad=True) for _ in range(2)]
    options = dict(momentum=0.9) if name == "SGD" else {}
    return getattr(T.optim, name)([{"params": ps[:1]}, {"params": ps[1:], "lr": 0.5}], lr=0.05, **options)


def clean(state):
    """A state_dict without functions."""
    return {
        k: [clean(v) for v in v] if k == "_schedulers" else v for k, v in state.items() if not callable(v) and k != "lr_lambdas"
    }


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("case", CASES)
def test_rates(case, name):
    """19 steps: rates and momenta bit for bit, and the state."""
    runs = []
    for T in (torch, rl):
        o = optimizer(T, name)
        scheduler = CASES[case](T.optim.lr_scheduler, o)
        seen = [list(scheduler.get_last_lr())]
        for _ in range(19):
            o.step()
            scheduler.step()
            seen.append([list(scheduler.get_last_lr()), [(g["lr"], g.get("momentum"), g.get("betas")) for g in o.param_groups]])
        runs.append((seen, clean(scheduler.state_dict())))
    assert runs[1][0] == runs[0][0]
    assert runs[1][1] == runs[0][1]


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("cyclic-fn", "lambdas")])
def test_resume(case):
    """A schedule loaded from another's state goes on like it."""
    o = optimizer(rl)
    first = CASES[case](rl.optim.lr_scheduler, o)
    for _ in range(5):
        o.step()
        first.step()
    other = optimizer(rl)
    second = CASES[case](rl.optim.lr_scheduler, other)
    second.load_state_dict(first.state_dict())
    other.load_state_dict(o.state_dict())
    for _ in range(5):
        o.step()
        other.step()
        first.step()
        second.step()
        assert second.get_last_lr() == first.get_last_lr()


def test_plateau():
    """ReduceLROnPlateau follows PyTorch's through a metric that stalls."""
    metrics = [5, 4, 4, 4, 4, 3.9999, 3, 3, 3, 3, 3, 3, 2, 2.5, 2.5, 2.5, 2.5, 2.5]
    for options in ({}, dict(patience=1), dict(patience=1, cooldown=2, threshold=0.1, threshold_mode="abs"),
                    dict(mode="max", patience=0, factor=0.5, min_lr=[0.01, 0.02])):  # fmt: skip
        runs = []
        for T in (torch, rl):
            o = optimizer(T)
            s = T.optim.lr_scheduler.ReduceLROnPlateau(o, **options)
            seen = []
            for m in metrics:
                s.step(m)
                seen.append((list(s.get_last_lr()), s.num_bad_epochs, s.in_cooldown))
            runs.append((seen, s.state_dict()))
        assert runs[0] == runs[1]


ERRORS = {
    "no-optimizer": lambda T, s, o: s.StepLR([1], 2),
    "resume": lambda T, s, o: s.StepLR(o, 2, last_epoch=3),
    "lambdas": lambda T, s, o: s.LambdaLR(o, [lambda e: 1]),
    "not-callable": lambda T, s, o: s.MultiplicativeLR(o, 3),
    "constant": lambda T, s, o: s.ConstantLR(o, 1.5),
    "linear": lambda T, s, o: s.LinearLR(o, 0.0),
    "linear-end": lambda T, s, o: s.LinearLR(o, 0.1, 1.5),
    "restarts": lambda T, s, o: s.CosineAnnealingWarmRestarts(o, 0),
    "restarts-mult": lambda T, s, o: s.CosineAnnealingWarmRestarts(o, 2, 0.5),
    "restarts-epoch": lambda T, s, o: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
    "cyclic-mode": lambda T, s, o: s.CyclicLR(o, 0.1, 0.2, mode="no"),
    "cyclic-lengths": lambda T, s, o: s.CyclicLR(o, [0.1], 0.2),
    "cyclic-momentum": lambda T, s, o: s.CyclicLR(T.optim.Adagrad([T.zeros(1)]), 0.1, 0.2),
    "onecycle-steps": lambda T, s, o: s.OneCycleLR(o, 0.1),
    "onecycle-total": lambda T, s, o: s.OneCycleLR(o, 0.1, total_steps=-1),
    "onecycle-epochs": lambda T, s, o: s.OneCycleLR(o, 0.1, epochs=0, steps_per_epoch=2),
    "onecycle-pct": lambda T, s, o: s.OneCycleLR(o, 0.1, total_steps=5, pct_start=2.0),
    "onecycle-anneal": lambda T, s, o: s.OneCycleLR(o, 0.1, total_steps=5, anneal_strategy="no"),
    "sequential-empty": lambda T, s, o: s.SequentialLR(o, [], []),
    "sequential-milestones": lambda T, s, o: s.SequentialLR(o, [s.StepLR(o, 2)], [1]),
    "sequential-plateau": lambda T, s, o: s.SequentialLR(o, [s.ReduceLROnPlateau(o)], []),
    "chained-empty": lambda T, s, o: s.ChainedScheduler([]),
    "plateau-factor": lambda T, s, o: s.ReduceLROnPlateau(o, factor=1.0),
    "plateau-mode": lambda T, s, o: s.ReduceLROnPlateau(o, mode="no"),
    "plateau-threshold": lambda T, s, o: s.ReduceLROnPlateau(o, threshold_mode="no"),
    "plateau-lrs": lambda T, s, o: s.ReduceLROnPlateau(o, min_lr=[0.1]),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    """The same exception type and first line."""
    caught = []
    for T in (torch, rl):
        with pytest.raises(Exception) as e:
            ERRORS[case](T, T.optim.lr_scheduler, optimizer(T))
        caught.append((type(e.value), str(e.value).splitlines()[0]))
    assert caught[0] == caught[1]


def test_warnings():
    """Stepping before the optimizer, asking get_lr, giving an epoch."""
    s = rl.optim.lr_scheduler.StepLR(optimizer(rl), 2)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step\\(\\)` before `optimizer.step\\(\\)`"):
        s.step()
    with pytest.warns(UserWarning, match="please use `get_last_lr\\(\\)`"):
        s.get_lr()
    with pytest.warns(UserWarning, match="The epoch parameter in `scheduler.step\\(\\)` was not necessary"):
        s.step(4)
    assert s.get_last_lr()[0] == pytest.approx(0.05 * 0.01)
