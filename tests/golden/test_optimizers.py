"""Optimizers give the published numbers and refuse what PyTorch refuses, in its words."""

import numpy as np
import pytest
import torch

import rushlight as rl

FIVE_STEPS = [
    ("SGD", dict(lr=0.1), [0.32768, -1.18098, 0.23328]),
    ("SGD", dict(lr=0.1, momentum=0.9), [-0.58042, 0.05832, -2.187]),
    ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.5), [-0.28512, -0.506036, -2.55672]),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True), [-0.415718, 0.209163, -0.495407]),
    ("SGD", dict(lr=0.1, weight_decay=0.1), [0.307706, -1.116812, 0.214477]),
    ("SGD", dict(lr=0.1, maximize=True), [2.48832, -3.22102, 16.13472]),
    ("Adam", dict(lr=0.1), [0.507964, -1.502956, 2.50178]),
    ("AdamW", dict(lr=0.1), [0.50408, -1.494046, 2.487869]),
    ("Adamax", dict(lr=0.1), [0.551554, -1.525778, 2.516964]),
    ("NAdam", dict(lr=0.1), [0.623663, -1.60846, 2.603799]),
    ("RAdam", dict(lr=0.1), [0.201648, -1.104728, -0.759459]),
    ("Adagrad", dict(lr=0.1), [0.697715, -1.686761, 2.68334]),
    ("Adadelta", dict(lr=1.0), [0.983631, -1.983599, 2.983588]),
    ("RMSprop", dict(lr=0.1), [0.0, -0.09831, 0.602513]),
    ("RMSprop", dict(lr=0.1, centered=True, momentum=0.9), [0.20871, 1.636219, -2.486113]),
    ("Rprop", dict(lr=0.1), [0.25584, -1.25584, 2.25584]),
    ("ASGD", dict(lr=0.1), [0.327666, -1.180924, 0.233272]),
    ("Adafactor", dict(lr=0.1), [0.269818, -1.167836, 2.139485]),
    ("LBFGS", dict(lr=1), [0.0, 0.0, 0.0]),
]


@pytest.mark.parametrize(("name", "options", "expected"), FIVE_STEPS, ids=lambda x: x if isinstance(x, str) else None)
def test_five_steps(name, options, expected):
    """Five steps on f = sum of [1, 0.5, 2] w² from [1, -2, 3]."""
    w = rl.tensor([1.0, -2.0, 3.0], requires_grad=True)
    optimizer = getattr(rl.optim, name)([w], **options)

    def closure():
        optimizer.zero_grad()
        loss = (rl.tensor([1.0, 0.5, 2.0]) * w * w).sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    np.testing.assert_allclose(w.detach().numpy(), expected, rtol=2e-6, atol=2e-6)


def test_momentum_script():
    """One step with a gradient of ones; then 50 with zero_grad, which keeps the buffer unless zeros are asked for."""
    start = [[1.9347, -0.0059], [2.1897, -0.0895]]
    for set_to_none, buffer, weight in (
        (True, 1.0, [[1.8347, -0.1059], [2.0897, -0.1895]]),
        (False, 0.005153768230229616, [[0.9393, -1.0013], [1.1943, -1.0849]]),
    ):
        w = rl.tensor(start, requires_grad=True)
        optimizer = rl.optim.SGD([w], lr=0.1, momentum=0.9)
        w.grad = rl.ones(2, 2)
        optimizer.step()
        np.testing.assert_allclose(w.detach().numpy(), [[1.8347, -0.1059], [2.0897, -0.1895]], rtol=1e-5)
        for _ in range(50):
            optimizer.zero_grad(set_to_none=set_to_none)
            optimizer.step()
        assert optimizer.state[w]["momentum_buffer"][0, 0].item() == pytest.approx(buffer, rel=1e-6)
        np.testing.assert_allclose(w.detach().numpy(), weight, atol=5e-5)


ERRORS = {
    "empty": lambda T, optim: optim.SGD([], lr=0.1),
    "tensor": lambda T, optim: optim.SGD(T.zeros(1, requires_grad=True), lr=0.1),
    "lr": lambda T, optim: optim.SGD([T.zeros(1)], lr=-1),
    "lr-adam": lambda T, optim: optim.Adam([T.zeros(1)], lr=-1.0),
    "momentum": lambda T, optim: optim.SGD([T.zeros(1)], momentum=-1),
    "weight-decay": lambda T, optim: optim.SGD([T.zeros(1)], weight_decay=-1),
    "nesterov": lambda T, optim: optim.SGD([T.zeros(1)], nesterov=True),
    "beta": lambda T, optim: optim.Adam([T.zeros(1)], betas=(1.0, 0.9)),
    "beta-1": lambda T, optim: optim.AdamW([T.zeros(1)], betas=(0.9, -1.0)),
    "eps": lambda T, optim: optim.Adam([T.zeros(1)], eps=-1),
    "adam-momentum": lambda T, optim: optim.Adam([T.zeros(1)], momentum=0.9),
    "two-lr": lambda T, optim: optim.SGD([T.zeros(1)], [{}], lr=0.1),
    "list-lr": lambda T, optim: optim.SGD([T.zeros(1)], [{}]),
    "non-leaf": lambda T, optim: optim.SGD([T.zeros(1, requires_grad=True) * 2], lr=0.1),
    "int": lambda T, optim: optim.SGD([3], lr=0.1),
    "group-list": lambda T, optim: optim.SGD([T.zeros(1)], lr=0.1).add_param_group([T.zeros(1)]),
    "group-set": lambda T, optim: optim.SGD([T.zeros(1)], lr=0.1).add_param_group({"params": {T.zeros(1)}}),
    "names": lambda T, optim: optim.SGD([("a", T.zeros(1)), T.zeros(1)], lr=0.1),
    "names-groups": lambda T, optim: optim.SGD([("a", T.zeros(1))], lr=0.1).add_param_group({"params": [T.zeros(1)]}),
    "rho": lambda T, optim: optim.Adadelta([T.zeros(1)], rho=2.0),
    "etas": lambda T, optim: optim.Rprop([T.zeros(1)], etas=(1.5, 1.2)),
    "alpha": lambda T, optim: optim.RMSprop([T.zeros(1)], alpha=-1.0),
    "accumulator": lambda T, optim: optim.Adagrad([T.zeros(1)], initial_accumulator_value=-1.0),
    "momentum-decay": lambda T, optim: optim.NAdam([T.zeros(1)], momentum_decay=-1.0),
    "lbfgs-groups": lambda T, optim: optim.LBFGS([{"params": [T.zeros(1)]}, {"params": [T.zeros(1)]}]),
    "adafactor-lr": lambda T, optim: optim.Adafactor([T.zeros(1)], lr=-1.0),
    "adafactor-d": lambda T, optim: optim.Adafactor([T.zeros(1)], d=0.5),
    "muon-1d": lambda T, optim: optim.Muon([T.zeros(3)]),
    "muon-fn": lambda T, optim: optim.Muon([T.zeros(3, 3)], adjust_lr_fn="no"),
    "sparse-lr": lambda T, optim: optim.SparseAdam([T.zeros(1)], lr=0.0),
    "fused-foreach": lambda T, optim: optim.Adam([T.zeros(1)], fused=True, foreach=True),
    "load-groups": lambda T, optim: optim.SGD([T.zeros(1)]).load_state_dict({"state": {}, "param_groups": []}),
    "load-sizes": lambda T, optim: optim.SGD([T.zeros(1)]).load_state_dict({"state": {}, "param_groups": [{"params": [0, 1]}]}),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case):
    """The same exception type and first line."""
    caught = []
    for T in (torch, rl):
        with pytest.raises(Exception) as e:
            ERRORS[case](T, T.optim)
        caught.append((type(e.value), str(e.value).splitlines()[0].replace("rushlight", "torch")))
    assert caught[0] == caught[1]


def test_shared_and_duplicate_parameters():
    """A parameter of two groups is refused; twice in one group it warns and moves twice."""
    for T in (torch, rl):
        p = T.zeros(1, requires_grad=True)
        with pytest.raises(ValueError, match="some parameters appear in more than one parameter group"):
            T.optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1)
        with pytest.warns(UserWarning, match="optimizer contains a parameter group with duplicate parameters; in future"):
            optimizer = T.optim.SGD([p, p], lr=0.1)
        p.grad = T.ones(1)
        optimizer.step()
        assert p.item() == pytest.approx(-0.2)


def test_required_option():
    """A default of `required` must be given by every group."""
    from rushlight.optim.optimizer import Optimizer, required

    with pytest.raises(ValueError, match="parameter group didn't specify a value of required optimization parameter lr"):
        Optimizer([rl.zeros(1)], {"lr": required})
    with pytest.raises(NotImplementedError):
        Optimizer([rl.zeros(1)], {"lr": 1}).step()


def test_sparse_adam():
    """Dense gradients are refused."""
    p = rl.zeros(1, requires_grad=True)
    p.grad = rl.ones(1)
    with pytest.raises(RuntimeError, match="SparseAdam does not support dense gradients, please consider Adam instead"):
        rl.optim.SparseAdam([p]).step()


def test_hooks():
    """Step, state_dict and load_state_dict hooks run in order and can change what they see; handles remove them."""
    p = rl.zeros(1, requires_grad=True)
    p.grad = rl.ones(1)
    optimizer = rl.optim.SGD([p], lr=0.1)
    seen = []
    handle = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre"))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append("post"))
    optimizer.step()
    handle.remove()
    optimizer.step()
    assert seen == ["pre", "post", "post"]
    optimizer.register_state_dict_pre_hook(lambda o: seen.append("save"))
    optimizer.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
    state = optimizer.state_dict()
    assert state["extra"] == 1 and seen[-1] == "save"
    optimizer.register_load_state_dict_pre_hook(lambda o, d: {k: v for k, v in d.items() if k != "extra"})
    optimizer.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    optimizer.load_state_dict(state)
    assert seen[-1] == "loaded"


def test_named_parameters():
    """(name, parameter) pairs: the names are kept and saved, and stay the optimizer's own when a state is loaded."""
    for T in (torch, rl):
        optimizer = T.optim.SGD([("w", T.zeros(1)), ("b", T.zeros(1))], lr=0.1)
        state = optimizer.state_dict()
        assert state["param_groups"][0]["param_names"] == ["w", "b"]
        other = T.optim.SGD([("w", T.zeros(1)), ("b", T.zeros(1))], lr=0.2)
        other.load_state_dict(state)
        assert other.param_groups[0]["param_names"] == ["w", "b"]
        assert other.param_groups[0]["lr"] == 0.1


def test_copy_and_pickle():
    """A deepcopy and a pickled optimizer go on like the original."""
    import copy
    import pickle

    p = rl.zeros(3, requires_grad=True)
    optimizer = rl.optim.Adam([p], lr=0.1)
    p.grad = rl.ones(3)
    optimizer.step()
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        q = twin.param_groups[0]["params"][0]
        assert q is not p
        q.grad = rl.ones(3)
        twin.step()
        assert twin.state[q]["step"].item() == 2.0
        assert q[0].item() == pytest.approx(-0.2, rel=1e-5)


def test_closure_and_tensor_lr():
    """step(closure) returns the loss; a tensor lr may be changed in place."""
    p = rl.ones(1, requires_grad=True)
    lr = rl.tensor(0.1)
    optimizer = rl.optim.SGD([p], lr=lr)

    def closure():
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 1.0
    assert p.item() == pytest.approx(0.8)
    lr.fill_(0.0)
    optimizer.step(closure)
    assert p.item() == pytest.approx(0.8)


def test_replayed_step_counts_on():
    """A recorded step replayed is a further step: counts advance, and a new lr reaches it by sync_hyper."""
    p = rl.zeros(4, requires_grad=True)
    optimizer = rl.optim.Adam([p], lr=0.1)
    p.grad = rl.ones(4)
    optimizer.step()
    recorder = rl._native.Recorder()
    recorder.start()
    try:
        optimizer.step()
    finally:
        recorder.stop()
    recorder.replay()
    assert optimizer.state[p]["step"].item() == 3.0
    assert p[0].item() == pytest.approx(-0.3, rel=1e-5)
    optimizer.param_groups[0]["lr"] = 0.0
    optimizer.sync_hyper()
    recorder.replay()
    assert p[0].item() == pytest.approx(-0.3, rel=1e-5)
