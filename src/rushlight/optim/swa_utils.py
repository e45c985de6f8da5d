"""Averages of a model's weights over training: stochastic weight averaging and exponential moving averages."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy

from .. import _dtypes
from ..autograd.grad_mode import no_grad
from ..nn.modules.module import Module
from ..ops.creation import tensor
from .lr_scheduler.base import LRScheduler, per_group, warn_unless_stepping

__all__ = ["AveragedModel", "update_bn", "SWALR", "get_ema_multi_avg_fn", "get_swa_multi_avg_fn", "get_ema_avg_fn",
           "get_swa_avg_fn"]  # fmt: skip


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


def get_ema_multi_avg_fn(decay=0.999):
    """A function that moves a list of averages towards the present values by 1 - decay.

    Raises: ValueError for a decay outside [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param_list, current_param_list, _):
        for mean, p in zip(ema_param_list, current_param_list, strict=True):
            if mean.is_floating_point():
                mean.lerp_(p, 1 - decay)
            else:
                mean.copy_(mean * decay + p * (1 - decay))

    return ema_update


def get_swa_multi_avg_fn():
    """A function that adds present values to a list of equal-weight averages of n values."""

    @no_grad()
    def swa_update(averaged_param_list, current_param_list, num_averaged):
        for mean, p in zip(averaged_param_list, current_param_list, strict=True):
            if mean.is_floating_point():
                mean.lerp_(p, 1 / (float(num_averaged) + 1))
            else:
                mean.copy_(mean + (p - mean) / (num_averaged + 1))

    return swa_update


def get_ema_avg_fn(decay=0.999):
    """The same as `get_ema_multi_avg_fn` for one parameter: returns the new average."""
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param, current_param, num_averaged):
        return decay * ema_param + (1 - decay) * current_param

    return ema_update


def get_swa_avg_fn():
    """The same as `get_swa_multi_avg_fn` for one parameter: returns the new average."""

    @no_grad()
    def swa_update(averaged_param, current_param, num_averaged):
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


class AveragedModel(Module):
    """A copy of a model whose parameters are averages: `update_parameters(model)` adds the model's present ones.

    Args: `model`; `avg_fn(average, present, n)` or `multi_avg_fn(averages, presents, n)` (default: equal weights);
    `use_buffers` (default False: buffers are copied; True: averaged).
    Raises: AssertionError if both functions are given.
    Reference: Izmailov et al., https://arxiv.org/abs/1803.05407;
    https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.AveragedModel.html
    """

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=_dtypes.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def _values(self, module):
        both = itertools.chain(module.parameters(), module.buffers()) if self.use_buffers else module.parameters()
        return [p.detach() for p in both]

    def update_parameters(self, model) -> None:
        """Adds the model's parameters to the averages; the first time, copies them."""
        means, present, n = self._values(self.module), self._values(model), self.n_averaged
        if n.item() == 0:
            for mean, p in zip(means, present, strict=False):
                mean.copy_(p)
        elif self.avg_fn is not None:
            for mean, p in zip(means, present, strict=False):
                mean.copy_(self.avg_fn(mean, p, n))
        elif means:
            (self.multi_avg_fn or get_swa_multi_avg_fn())(means, present, n)
        if not self.use_buffers:
            for mean, b in zip(self.module.buffers(), model.buffers(), strict=True):
                mean.detach().copy_(b.detach())
        self.n_averaged += 1


@no_grad()
def update_bn(loader, model, device=None) -> None:
    """Computes the running statistics of a model's batch-norm layers anew, from one pass over `loader`.

    A batch may be a tensor or a sequence whose first element is the input.
    """
    from ..nn.modules.batchnorm import _BatchNorm

    momenta = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not momenta:
        return
    for m in momenta:
        m.reset_running_stats()
    was_training = model.training
    model.train()
    for m in momenta:
        m.momentum = None  # a plain mean over all batches
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for m, momentum in momenta.items():
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """lr moves to `swa_lr` in `anneal_epochs` epochs and stays there.

    Raises: ValueError for an unknown strategy or a negative number of epochs.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.optim.swa_utils.SWALR.html
    """

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for lr, group in zip(per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups, strict=True):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self._set_anneal_func(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _set_anneal_func(self, strategy):
        self._anneal_strategy = strategy
        self.anneal_func = _cosine if strategy == "cos" else _linear

    def get_lr(self):
        warn_unless_stepping(self)
        step, span = self._step_count - 1, max(1, self.anneal_epochs)
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = (self.anneal_func(max(0, min(1, s / span))) for s in (step - 1, step))
        lrs = []
        for group in self.optimizer.param_groups:
            goal = group["swa_lr"]
            start = goal if before == 1 else (group["lr"] - before * goal) / (1 - before)
            lrs.append(goal * now + start * (1 - now))
        return lrs

    def state_dict(self):
        return {k: v for k, v in self.__dict__.items() if k not in ("optimizer", "anneal_func")}

    def load_state_dict(self, state_dict):
        self.__dict__.update(state_dict)
        self._set_anneal_func(self._anneal_strategy)


def _linear(t):
    return t


def _cosine(t):
    return (1 - math.cos(math.pi * t)) / 2
