"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict: every operation beside PyTorch's."""

from __future__ import annotations

from collections import OrderedDict

import pytest
import torch

import rushlight


def describe(x):
    """What can be compared across libraries."""
    if hasattr(x, "named_parameters"):
        return repr(x), [n for n, _ in x.named_parameters()]
    if isinstance(x, (torch.Tensor, rushlight.Tensor)):
        return x.tolist()
    if isinstance(x, (list, tuple)):
        return [describe(v) for v in x]
    return x


def seq(T):
    return T.nn.Sequential(T.nn.Linear(2, 3), T.nn.ReLU(), T.nn.Linear(3, 1))


def named(T):
    return T.nn.Sequential(OrderedDict(first=T.nn.Linear(2, 3), second=T.nn.ReLU()))


def mlist(T):
    return T.nn.ModuleList([T.nn.Linear(2, 2), T.nn.Linear(2, 2), T.nn.ReLU()])


def mdict(T):
    return T.nn.ModuleDict({"a": T.nn.Linear(1, 2), "b": T.nn.ReLU()})


def plist(T):
    return T.nn.ParameterList([T.nn.Parameter(T.ones(2, 2)), T.zeros(3), T.nn.Parameter(T.ones(1, dtype=T.float64))])


def pdict(T):
    return T.nn.ParameterDict({"b": T.ones(2), "a": T.nn.Parameter(T.ones(4, 4))})


def do(make, *steps):
    """Runs statements on `x`; the last one's value counts, or x itself."""

    def call(T):
        x = make(T)
        scope = {"x": x, "nn": T.nn, "T": T}
        for step in steps[:-1]:
            exec(step, scope)  # noqa: S102 - the sources are below
        last = steps[-1] if steps else "x"
        return eval(last, scope)  # noqa: S307

    return call


CASES = {
    "seq": do(seq), "named": do(named), "empty": do(lambda T: T.nn.Sequential()),
    "index": do(seq, "[x[0], x[-1], x[1:], x[::2], len(x), list(x)]"), "named slice": do(named, "x[1:]"),
    "set": do(seq, "x[1] = nn.Tanh()", "x"), "named set": do(named, "x[-1] = nn.Tanh()", "x"),
    "del": do(seq, "del x[0]", "x"), "del slice": do(seq, "del x[:2]", "x"),
    "append": do(seq, "x.append(nn.Tanh()).append(nn.ReLU())"), "extend": do(seq, "x.extend([nn.Tanh()])"),
    "insert": do(seq, "x.insert(1, nn.Tanh())"), "insert negative": do(seq, "x.insert(-1, nn.Tanh())"),
    "pop": do(seq, "[x.pop(0), x]"), "add": do(seq, "x + nn.Sequential(nn.Tanh())"),
    "iadd": do(seq, "x += nn.Sequential(nn.Tanh())", "x"), "mul": do(seq, "2 * x"), "imul": do(seq, "x *= 2", "x"),
    "nested": do(lambda T: T.nn.Sequential(seq(T), mlist(T), mdict(T))),
    "range error": do(seq, "x[3]"), "add error": do(seq, "x + [1]"), "mul error": do(seq, "x * 0"),
    "mul type": do(seq, "x * 1.5"), "insert error": do(seq, "x.insert(9, nn.ReLU())"), "insert type": do(seq, "x.insert(0, 1)"),
    "construct error": lambda T: T.nn.Sequential(3),
    "list": do(mlist), "list empty": do(lambda T: T.nn.ModuleList()), "list generator": lambda T: T.nn.ModuleList(
        T.nn.Linear(i, 1) for i in (1, 1, 2)),
    "list index": do(mlist, "[x[0], x[-1], x[1:], len(x), list(x)]"), "list set": do(mlist, "x[0] = nn.Tanh()", "x"),
    "list del": do(mlist, "del x[0]", "x"), "list del slice": do(mlist, "del x[::2]", "x"),
    "list insert": do(mlist, "x.insert(1, nn.Tanh())", "x"), "list append": do(mlist, "x.append(nn.Tanh())"),
    "list add": do(mlist, "x + [nn.Tanh()]"), "list iadd": do(mlist, "x += [nn.Tanh()]", "x"),
    "list pop": do(mlist, "[x.pop(1), x]"),
    "list extend error": do(mlist, "x.extend(3)"), "list range": do(mlist, "x[5]"),
    "list call": do(mlist, "x(1)"),
    "dict": do(mdict), "dict pairs": lambda T: T.nn.ModuleDict([["a", T.nn.ReLU()], ["b", T.nn.Tanh()]]),
    "dict ops": do(mdict, "[x['a'], 'b' in x, len(x), list(x), list(x.keys()), [k for k, _ in x.items()], list(x.values())]"),
    "dict set": do(mdict, "x['c'] = nn.Tanh()", "x"), "dict del": do(mdict, "del x['a']", "x"),
    "dict pop": do(mdict, "[x.pop('a'), x]"),
    "dict update": do(mdict, "x.update({'a': nn.Tanh(), 'z': nn.ReLU()})", "x"), "dict clear": do(mdict, "x.clear()", "x"),
    "dict update error": do(mdict, "x.update(3)"), "dict pair error": do(mdict, "x.update([(1, 2, 3)])"),
    "dict element error": do(mdict, "x.update([1])"), "dict missing": do(mdict, "x['q']"), "dict name": do(mdict, "x['keys']"),
    "plist": do(plist), "plist index": do(plist, "[x[0], x[-1], x[1:], len(x), list(x)]"),
    "plist append": do(plist, "x.append(T.ones(1))"),
    "plist set": do(plist, "x[0] = T.zeros(2)", "x"), "plist other": do(plist, "x.append('text')"),
    "plist extend": do(plist, "x += [T.ones(1)]", "x"), "plist error": do(plist, "x.extend(T.ones(2))"),
    "plist call": do(plist, "x()"),
    "plist range": do(plist, "x[7]"),
    "pdict": do(pdict), "pdict ordered": lambda T: T.nn.ParameterDict(OrderedDict(b=T.ones(1), a=T.ones(2))),
    "pdict ops": do(pdict, "[x['a'], 'b' in x, len(x), list(x), list(x.keys()), list(x.values()), [k for k, _ in x.items()]]"),
    "pdict set": do(pdict, "x['c'] = T.ones(3)", "x"), "pdict del": do(pdict, "del x['a']", "x"),
    "pdict pop": do(pdict, "[x.pop('a'), x]"),
    "pdict popitem": do(pdict, "[x.popitem(), x]"),
    "pdict get": do(pdict, "[x.get('q'), x.get('b'), x.setdefault('q', T.ones(1)), x]"),
    "pdict copy": do(pdict, "x.copy()"), "pdict or": do(pdict, "x | nn.ParameterDict({'z': T.ones(1)})"),
    "pdict ior": do(pdict, "x |= nn.ParameterDict({'z': T.ones(1)})", "x"),
    "pdict fromkeys": do(pdict, "x.fromkeys(['u', 'v'], 3)"),
    "pdict reversed": do(pdict, "list(reversed(x))"), "pdict clear": do(pdict, "x.clear()", "x"),
    "pdict update": do(pdict, "x.update([('q', T.ones(1))])", "x"), "pdict error": do(pdict, "x.update(3)"),
    "pdict key": do(pdict, "x[3]"), "pdict call": do(pdict, "x(1)"), "pdict pair error": do(pdict, "x.update([(1, 2, 3)])"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_container(name):
    """The same repr, parameters and results, or the same exception."""
    results = []
    for T in (torch, rushlight):
        try:
            results.append(describe(CASES[name](T)))
        except Exception as e:  # noqa: BLE001 - compared with the other library's
            results.append((type(e).__name__, str(e).replace("rushlight", "torch")))
    assert results[1] == results[0]


def test_forward():
    """Sequential calls its modules in order."""
    net = rushlight.nn.Sequential(rushlight.nn.ReLU(), rushlight.nn.Softplus())
    x = rushlight.tensor([-1.0, 2.0])
    assert net(x).tolist() == rushlight.nn.functional.softplus(x.relu()).tolist()
