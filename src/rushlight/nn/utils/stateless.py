"""Calling a module with other parameters and buffers than its own."""

from __future__ import annotations

import contextlib
import warnings

from ...autograd.tensor import Tensor
from ..modules.module import Module

__all__ = ["functional_call"]


def _tied_names(module):
    """For each name of a tensor that has several: all its names."""
    names = {}
    for pairs in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)):
        for name, tensor in pairs:
            names.setdefault(tensor, set()).add(name)
    return {name: tied for tied in names.values() if len(tied) > 1 for name in tied}


def _with_tied(module, given):
    """The given tensors, under every name of the tensor that they replace."""
    tied_names, out = _tied_names(module), dict(given)
    tied_given = [name for name in given if name in tied_names]
    for name in tied_given:
        names = tied_names[name]
        if len(names.intersection(tied_given)) > 1 and len({given.get(n) for n in names}) != 1:
            raise ValueError(f"functional_call got multiple values for keys {sorted(names)}, which are tied. Consider using "
                             "tie_weights=False")  # fmt: skip
    for name in tied_given:
        for other in tied_names[name]:
            out[other] = given[name]
    return out


def _check_keys(module, given):
    own = {n for pairs in (module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False))
           for n, _ in pairs}  # fmt: skip
    messages = []
    unexpected, missing = [n for n in given if n not in own], sorted(own.difference(given))
    if unexpected:
        messages.append(f"Unexpected key(s): {', '.join(map(repr, unexpected))}.")
    if missing:
        messages.append(f"Missing key(s): {', '.join(map(repr, missing))}.")
    if messages:
        raise RuntimeError(f"Error(s) in reparametrizing for {module._get_name()}:\n\t" + "\n\t".join(messages))


def _swap(module, path, tensor):
    """Puts a tensor in place of the one at `path`; returns that one (None if there is none)."""
    *parents, name = path.split(".")
    for part in parents:
        parent, module = module, getattr(module, part, None)
        if module is None:
            raise AttributeError(f"{parent._get_name()} has no attribute `{part}`")
        if not isinstance(module, Module):
            raise TypeError(f"submodule `{part}`: {module} is not an instance of torch.nn.Module")
    if name == "":
        raise KeyError('tensor name can\'t be empty string ""')
    if tensor is not None and not isinstance(tensor, Tensor):
        raise TypeError(f"{tensor} is not an instance of torch.Tensor")
    for members in (module._parameters, module._buffers):
        if name in members:
            # Past __setattr__, which wants a Parameter here.
            old, members[name] = members[name], tensor
            return old
    old = getattr(module, name, None)
    if old is not None and not isinstance(old, Tensor):
        raise TypeError(f"attribute `{name}`: {old} is not an instance of torch.Tensor")
    if tensor is None:
        delattr(module, name)
    else:
        setattr(module, name, tensor)
    return old


@contextlib.contextmanager
def _reparametrize_module(module, given, tie_weights=False, strict=False):
    tensors = _with_tied(module, given) if tie_weights else given
    if strict:
        _check_keys(module, tensors)
    originals = {}
    try:
        for name, tensor in tensors.items():
            originals[name] = _swap(module, name, tensor)
        yield
    finally:
        for name, original in originals.items():
            # A buffer that the forward has replaced is handed back under its name.
            now = _swap(module, name, original)
            if name in given:
                given[name] = now


def _functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False):
    from ..parallel import DataParallel  # made of modules, of which some are made of this package

    if isinstance(module, DataParallel):
        raise RuntimeError("The stateless API can't be used with nn.DataParallel module")
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _reparametrize_module(module, parameters_and_buffers, tie_weights=tie_weights, strict=strict):
        return module(*args, **(kwargs or {}))


def functional_call(module: Module, parameters_and_buffers: dict, args=None, kwargs: dict | None = None, *,
                    tie_weights: bool = True, strict: bool = False):  # fmt: skip
    """The deprecated name of `rushlight.func.functional_call`.

    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.stateless.functional_call.html
    """
    warnings.warn(
        "`torch.nn.utils.stateless.functional_call` is deprecated as of PyTorch 2.0 and will be removed in a future version of "
        "PyTorch. Please use `torch.func.functional_call` instead which is a drop-in replacement.",
        FutureWarning,
        stacklevel=2,
    )
    return _functional_call(module, parameters_and_buffers, args, kwargs, tie_weights=tie_weights, strict=strict)
