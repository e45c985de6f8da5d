"""Pruning: a parameter multiplied by a mask of zeros and ones before each forward.

`l1_unstructured(linear, "weight", 0.3)` keeps the parameter as `weight_orig`, the mask as the buffer `weight_mask`, and
`weight` becomes their product; `remove(linear, "weight")` makes it an ordinary parameter again. A second pruning of the same
tensor chooses among what the first one left.

Reference: https://docs.pytorch.org/tutorials/intermediate/pruning_tutorial.html
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable

from ...autograd.tensor import Tensor
from ...ops.creation import ones_like, zeros_like
from ...ops.norms import norm as _norm
from ...ops.random import rand, rand_like
from ...ops.sorting import kthvalue, topk
from ..modules.module import Module
from .convert_parameters import parameters_to_vector


def _need_pruned(method, module, text):
    if method._tensor_name is None:
        raise AssertionError(f"Module {module} has to be pruned{text}")


class BasePruningMethod(ABC):
    """What to prune. Subclasses define `compute_mask` and `PRUNING_TYPE`: "unstructured", "structured" or "global"."""

    _tensor_name: str

    def __call__(self, module, inputs):
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t, default_mask):
        """The mask for tensor `t`, of which `default_mask` is what was left before."""

    def apply_mask(self, module):
        """The masked parameter of `module`."""
        _need_pruned(self, module, "")
        mask = getattr(module, self._tensor_name + "_mask")
        orig = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=orig.dtype) * orig

    @classmethod
    def _method_for(cls, module, name, *args, **kwargs):
        """A method of this class; with one that prunes this tensor already, their container."""
        found = [(k, h) for k, h in module._forward_pre_hooks.items() if isinstance(h, BasePruningMethod) and h._tensor_name == name]
        if len(found) > 1:
            raise AssertionError(f"Avoid adding multiple pruning hooks to the same tensor {name} of module {module}. "
                                 "Use a PruningContainer.")  # fmt: skip
        for k, _ in found:
            del module._forward_pre_hooks[k]
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if not found:
            return method
        old = found[0][1]
        container = old if isinstance(old, PruningContainer) else PruningContainer(old)
        container.add_pruning_method(method)
        return container

    @classmethod
    def apply(cls, module, name, *args, importance_scores=None, **kwargs):
        """Prunes `module.<name>` now and before each forward; returns the method.

        Args: `importance_scores`, by which to choose instead of the parameter itself; the rest goes to the class.
        """
        method = cls._method_for(module, name, *args, **kwargs)
        orig = getattr(module, name)
        if importance_scores is None:
            importance_scores = orig
        elif importance_scores.shape != orig.shape:
            raise AssertionError(f"importance_scores should have the same shape as parameter {name} of {module}, got "
                                 f"{importance_scores.shape} vs {orig.shape}")  # fmt: skip
        first = not isinstance(method, PruningContainer)
        if first:
            module.register_parameter(name + "_orig", orig)
            del module._parameters[name]
            default_mask = ones_like(orig)
        else:
            default_mask = getattr(module, name + "_mask").detach().clone()
        try:
            mask = method.compute_mask(importance_scores, default_mask=default_mask)
            module.register_buffer(name + "_mask", mask)
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if first:
                module.register_parameter(name, getattr(module, name + "_orig"))
                del module._parameters[name + "_orig"]
            raise
        return method

    def prune(self, t, default_mask=None, importance_scores=None):
        """A tensor pruned by this method, without a module."""
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError(f"importance_scores should have the same shape as tensor t, got {importance_scores.shape} vs "
                                 f"{t.shape}")  # fmt: skip
        default_mask = ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(importance_scores, default_mask=default_mask)

    def remove(self, module):
        """Makes the pruned tensor a parameter again; the zeros stay. The hook is the caller's to delete."""
        _need_pruned(self, module, " before pruning can be removed")
        name = self._tensor_name
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        orig = module._parameters[name + "_orig"]
        orig.data = weight.data
        del module._parameters[name + "_orig"]
        del module._buffers[name + "_mask"]
        setattr(module, name, orig)


class PruningContainer(BasePruningMethod):
    """The methods that prune one tensor, in order; each chooses among what those before it left."""

    def __init__(self, *args):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if len(args) == 1:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method):
        """Adds one. Raises: TypeError if it is none, ValueError if it prunes another tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(f"Can only add pruning methods acting on the parameter named '{self._tensor_name}' to PruningContainer "
                             f"{self}. Found '{method._tensor_name}'")  # fmt: skip
        self._pruning_methods += (method,)

    def __len__(self):
        return len(self._pruning_methods)

    def __iter__(self):
        return iter(self._pruning_methods)

    def __getitem__(self, idx):
        return self._pruning_methods[idx]

    def compute_mask(self, t, default_mask):
        """The last method's mask for the part that `default_mask` has left, put into it."""
        method = self._pruning_methods[-1]
        left = _left(method, t, default_mask)
        mask = default_mask.to(dtype=t.dtype)
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(dtype=mask.dtype)
        return mask


def _left(method, t, mask):
    """The index of what is still there: elements, whole channels, or everything."""
    if method.PRUNING_TYPE == "unstructured":
        return mask == 1
    every = [slice(None)] * t.dim()
    if method.PRUNING_TYPE == "global":
        return tuple(every)
    if method.PRUNING_TYPE != "structured":
        raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
    if not hasattr(method, "dim"):
        raise AttributeError('Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` defined.')
    dim = method.dim + t.dim() if method.dim < 0 else method.dim
    if dim < 0:
        raise IndexError(f"Index is out of bounds for tensor with dimensions {t.dim()}")
    every[dim] = mask.sum(dim=[d for d in range(t.dim()) if d != dim]) != 0
    return tuple(every)


class Identity(BasePruningMethod):
    """Prunes nothing, but makes the mask and the parameter's two names."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return default_mask

    @classmethod
    def apply(cls, module, name):
        return super().apply(module, name)


class _Amount(BasePruningMethod):
    """Methods that prune an `amount`: a number of units, or a fraction between 0 and 1."""

    def __init__(self, amount):
        if not isinstance(amount, numbers.Real):
            raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
        whole = isinstance(amount, numbers.Integral)
        if (whole and amount < 0) or (not whole and not 0.0 <= float(amount) <= 1.0):
            raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
        self.amount = amount

    def _count(self, size):
        """How many of `size` units to prune."""
        if not isinstance(self.amount, numbers.Integral):
            return round(self.amount * size)
        if self.amount > size:
            raise ValueError(f"amount={self.amount} should be smaller than the number of parameters to prune={size}")
        return self.amount


class _Unstructured(_Amount):
    PRUNING_TYPE = "unstructured"

    def _choose(self, t, k):
        """Positions of the k elements to prune."""
        raise NotImplementedError

    def compute_mask(self, t, default_mask):
        k = self._count(t.nelement())
        mask = default_mask.clone()
        if k != 0:
            mask.view(-1)[self._choose(t, k)] = 0
        return mask


class RandomUnstructured(_Unstructured):
    """Prunes elements drawn at random. Args: `amount`, a number of elements or a fraction of them."""

    def _choose(self, t, k):
        return topk(rand_like(t).view(-1), k=k).indices

    @classmethod
    def apply(cls, module, name, amount):
        return super().apply(module, name, amount=amount)


class L1Unstructured(_Unstructured):
    """Prunes the smallest elements by absolute value. Args: `amount`, a number of elements or a fraction of them."""

    def _choose(self, t, k):
        return topk(t.abs().view(-1), k=k, largest=False).indices

    @classmethod
    def apply(cls, module, name, amount, importance_scores=None):
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount, dim=-1):
        super().__init__(amount)
        self.dim = dim

    def _keep(self, t, k):
        """The channels that stay when k are pruned, as an index along `dim`."""
        raise NotImplementedError

    def compute_mask(self, t, default_mask):
        if t.dim() <= 1:
            raise ValueError("Structured pruning can only be applied to multidimensional tensors. Found tensor of shape "
                             f"{t.shape} with {t.dim()} dims")  # fmt: skip
        if self.dim >= t.dim():
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        k = self._count(t.shape[self.dim])
        if k == 0:
            return default_mask
        mask, index = zeros_like(t, requires_grad=False), [slice(None)] * t.dim()
        index[self.dim] = self._keep(t, k)
        mask[tuple(index)] = 1
        mask *= default_mask.to(dtype=mask.dtype)
        return mask


class RandomStructured(_Structured):
    """Prunes channels drawn at random. Args: `amount`, a number of channels or a fraction of them; `dim`, their dimension."""

    def _keep(self, t, k):
        draws = rand(t.shape[self.dim])
        return draws > kthvalue(draws, k=k).values

    @classmethod
    def apply(cls, module, name, amount, dim=-1):
        return super().apply(module, name, amount=amount, dim=dim)


class LnStructured(_Structured):
    """Prunes the channels of smallest norm. Args: `amount`, as above; `n`, the norm's order; `dim`, their dimension."""

    def __init__(self, amount, n, dim=-1):
        super().__init__(amount, dim)
        self.n = n

    def _keep(self, t, k):
        dim = range(t.dim())[self.dim]
        norms = _norm(t, p=self.n, dim=[d for d in range(t.dim()) if d != dim])
        return topk(norms, k=t.shape[dim] - k, largest=True).indices

    @classmethod
    def apply(cls, module, name, amount, n, dim, importance_scores=None):
        return super().apply(module, name, amount=amount, n=n, dim=dim, importance_scores=importance_scores)


class CustomFromMask(BasePruningMethod):
    """Prunes where a given mask is zero."""

    PRUNING_TYPE = "global"

    def __init__(self, mask):
        self.mask = mask

    def compute_mask(self, t, default_mask):
        if default_mask.shape != self.mask.shape:
            raise AssertionError(f"default_mask shape {default_mask.shape} must match self.mask shape {self.mask.shape}")
        return default_mask * self.mask.to(dtype=default_mask.dtype)

    @classmethod
    def apply(cls, module, name, mask):
        return super().apply(module, name, mask=mask)


# -- functions ------------------------------------------------------------------------------------------------------------


def identity(module: Module, name: str) -> Module:
    """Pruning that prunes nothing: makes `name_orig` and a mask of ones. Returns `module`."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount) -> Module:
    """Prunes `amount` elements (or that fraction of them) drawn at random. Returns `module`."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount, importance_scores: Tensor | None = None) -> Module:
    """Prunes the `amount` elements (or that fraction) smallest in absolute value, or in `importance_scores`. Returns `module`."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount, dim: int) -> Module:
    """Prunes `amount` channels (or that fraction) along `dim`, drawn at random. Returns `module`."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Module, name: str, amount, n, dim: int, importance_scores: Tensor | None = None) -> Module:
    """Prunes the `amount` channels (or that fraction) along `dim` whose n-norm is smallest. Returns `module`."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def global_unstructured(parameters, pruning_method, importance_scores: dict | None = None, **kwargs) -> None:
    """Prunes several tensors as if they were one vector.

    Args: `parameters`, pairs (module, name); `pruning_method`, an unstructured class, made with `kwargs`;
    `importance_scores`, {(module, name): tensor}.
    Raises: TypeError for arguments or methods of another kind.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.prune.global_unstructured.html
    """
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    importance_scores = {} if importance_scores is None else importance_scores
    if not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    parameters = list(parameters)
    scores = parameters_to_vector([importance_scores.get((m, name), getattr(m, name)) for m, name in parameters])
    masks = [getattr(m, name + "_mask", ones_like(getattr(m, name))) for m, name in parameters]
    container = PruningContainer()
    container._tensor_name = "temp"  # that of no module: the container only combines masks here
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
                        f"{pruning_method} of type {method.PRUNING_TYPE}")  # fmt: skip
    container.add_pruning_method(method)
    mask, at = container.compute_mask(scores, parameters_to_vector(masks)), 0
    for m, name in parameters:
        param = getattr(m, name)
        custom_from_mask(m, name, mask=mask[at : at + param.numel()].view_as(param))
        at += param.numel()


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes where `mask` is zero. Returns `module`."""
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Makes the pruned tensor an ordinary parameter, zeros included. Raises: ValueError if it is not pruned."""
    for k, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[k]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Module) -> bool:
    """Whether any tensor of the module or of one below it is pruned."""
    return any(isinstance(hook, BasePruningMethod) for m in module.modules() for hook in m._forward_pre_hooks.values())
