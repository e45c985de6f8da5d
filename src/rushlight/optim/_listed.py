"""How an algorithm becomes an optimizer: it names its states and options, one kernel call updates a whole group."""

from __future__ import annotations

import numpy as np

from .. import _dtypes, _native, _recording
from ..autograd.grad_mode import enable_grad, no_grad
from ..autograd.tensor import Tensor
from ..ops.creation import zeros_like
from ..ops.sparse import SparseTensor
from .optimizer import Optimizer, scalar_dtype, tensor_step

__all__ = ["ListOptimizer", "check_lr", "nonnegative", "check_betas", "scalar", "READS_ENTRIES"]

READS_ENTRIES = "reads which entries a sparse gradient has"


class ListOptimizer(Optimizer):
    """An optimizer whose update is a native kernel over lists of arrays.

    A subclass says which kernel (`kernel`), which states have the parameter's shape (`slots`) and which are 0-d
    (`scalars`, the step count first), the numbers a schedule may change (`hyper`) and the switches (`flags`).

    Note [Hyperparameters are arrays]: lr and the others reach the kernel in a float64 array per group, which is rewritten
    when they change. A recorded step keeps the array, so it sees new values after `sync_hyper()`; step counts are
    advanced by the kernel itself.
    """

    unrepeatable = ""
    kernel = None
    scalars: tuple[str, ...] = ("step",)

    def __init__(self, params, defaults):
        if defaults.get("differentiable"):
            raise NotImplementedError("rushlight's optimizer steps cannot be differentiated: use differentiable=False")
        self._hypers = {}
        super().__init__(params, defaults)
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError("`fused` and `foreach` cannot be `True` together.")

    def __setstate__(self, state):
        super().__setstate__(state)
        self._hypers = {}
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)
            for p in group["params"]:
                own = self.state.get(p)
                if own:
                    for name in self.scalars:
                        if name in own:
                            own[name] = tensor_step(own[name])

    # -- what a subclass says ------------------------------------------------------------------------------------

    def slots(self, group) -> tuple[str, ...]:
        raise NotImplementedError

    def hyper(self, group) -> tuple:
        raise NotImplementedError

    def flags(self, group) -> tuple:
        return (group["maximize"],)

    def init(self, p, state, group) -> None:
        """Fills a parameter's empty state, in PyTorch's order of keys."""
        state["step"] = scalar(0.0)
        for name in self.slots(group):
            state[name] = zeros_like(p)

    def required_state(self, group):
        return (*self.scalars, *self.slots(group))

    # -- the step ------------------------------------------------------------------------------------------------

    def step(self, closure=None):
        """One update of every parameter that has a gradient. Returns what `closure` returns, if it is given."""
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        found = False
        for group in self.param_groups:
            params = [p for p in group["params"] if p._grad is not None and p._requires_grad]  # frozen ones stay where they are
            if params:
                found = True
                if SparseTensor.made:
                    params = self._update_sparse(group, params)
            if params:
                self.update(group, params)
        if found:
            self._started = True
        elif closure is None:
            self._nothing_to_do()
        return loss

    @no_grad()
    def _update_sparse(self, group, params):
        """Updates the parameters whose gradients are sparse; returns the others."""
        if any(p._grad.is_sparse for p in params):
            _recording.refuse(f"{type(self).__name__}.step() {READS_ENTRIES}")
        dense = []
        for p in params:
            if p._grad.is_sparse:
                self.sparse_update(group, p, p._grad)
            else:
                dense.append(p)
        return dense

    def sparse_update(self, group, p, g):
        """One update of `p` by its sparse gradient `g`, for the few algorithms that have one."""
        name = next(c.__name__ for c in type(self).__mro__ if "kernel" in c.__dict__)
        hint = ", please consider SparseAdam instead" if name == "Adam" else ""
        raise RuntimeError(f"{name} does not support sparse gradients{hint}")

    def update(self, group, params):
        state = self.state
        states = [state[p] for p in params]
        if not all(states):
            for p, own in zip(params, states, strict=True):
                if not own:
                    self.init(p, own, group)
        self.run(group, params, states, self.slots(group), self._hyper_array(group))

    def run(self, group, params, states, slots, hyper):
        arrays = [p._a for p in params]
        for name in slots:
            arrays += [s[name]._a for s in states]
        for name in self.scalars:
            arrays += [s[name]._a for s in states]
        twice = len(params) > len(set(map(id, params)))
        self.kernel(arrays, [p._grad._a for p in params], hyper, len(slots) + 1, len(self.scalars), twice, *self.flags(group))

    def _hyper_array(self, group):
        values = self.hyper(group)
        entry = self._hypers.get(id(group))
        if entry is None or len(entry[0]) != len(values):
            array = _native.empty((len(values),), _dtypes.float64.code)
            entry = self._hypers[id(group)] = [None, array, np.asarray(array)]
        if entry[0] != values:
            entry[0] = values
            entry[2][:] = values
        return entry[1]

    def sync_hyper(self) -> None:
        """Writes the groups' present options where a recorded step reads them."""
        for group in self.param_groups:
            self._hyper_array(group)


def scalar(value):
    """A 0-d state."""
    a = _native.empty((), scalar_dtype().code)
    np.asarray(a)[...] = value
    return _native.wrap(a)


# -- checks that several algorithms share ------------------------------------------------------------------------------


def check_lr(lr):
    if isinstance(lr, Tensor) and lr._a.numel != 1:
        raise ValueError("Tensor lr must be 1-element")
    if not 0.0 <= lr:
        raise ValueError(f"Invalid learning rate: {lr}")


def nonnegative(label, value):
    if not 0.0 <= value:
        raise ValueError(f"Invalid {label}: {value}")


def check_betas(betas):
    for i, beta in enumerate(betas[:2]):
        if not 0.0 <= beta < 1.0:
            raise ValueError(f"Invalid beta parameter at index {i}: {beta}")
