"""What all distributions have in common."""

from __future__ import annotations

import warnings

from ..autograd.grad_mode import no_grad
from ..autograd.tensor import Size, Tensor
from ..ops._values import check_true, may_read
from . import constraints
from .utils import broadcast_all, lazy_property, logits_to_probs, maker, probs_to_logits

__all__ = ["Distribution"]

_PACKAGE = __name__.rpartition(".")[0]


def _name(x):
    """A distribution or constraint without the numbers in it."""
    return type(x).__name__.lstrip("_")


class Distribution:
    """The base of all distributions.

    `batch_shape` counts independent distributions with parameters of their own, `event_shape` is the shape of one draw.
    Reference: https://docs.pytorch.org/docs/stable/distributions.html
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether distributions check their arguments unless they are told otherwise."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=Size(), event_shape=Size(), validate_args=None):  # noqa: B008 - a tuple
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        self._maker = maker()
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._validate_parameters()

    # -- parameters --------------------------------------------------------------------------------------------------

    def _elementwise(self, validate_args, **parameters):
        """Sets parameters that broadcast against each other, and the batch shape that they have."""
        for name, value in zip(parameters, broadcast_all(*parameters.values()), strict=True):
            setattr(self, name, value)
        Distribution.__init__(self, value.size(), validate_args=validate_args)

    def _validate_parameters(self):
        try:
            arg_constraints = self.arg_constraints
        except NotImplementedError:
            arg_constraints = {}
            warnings.warn(f"{self.__class__} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                          "the distribution with `validate_args=False` to turn off validation.", stacklevel=3)  # fmt: skip
        for name, constraint in arg_constraints.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # made of other parameters
            self._validate_parameter(name, getattr(self, name), constraint)

    def _validate_parameter(self, name, value, constraint):
        self._demand(constraint.check(value), lambda: value, lambda show: (
            f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution {show(self)} to satisfy "
            f"the constraint {show(constraint)}, but found invalid values:"))  # fmt: skip

    def _demand(self, valid, value, text):
        """ValueError unless everything is valid: `text(show)`, then `value()`; `show` writes a distribution or constraint.

        A step that is being recorded must not look at values, and gets a check that raises when it runs.
        """
        if not may_read():
            check_true(valid, text(_name).removesuffix(":"))
        elif not valid.all().item():
            raise ValueError(f"{text(repr)}\n{value()}".rstrip())

    def expand(self, batch_shape, _instance=None):
        """The same distribution with parameters broadcast to a larger batch shape. `_instance`: for subclasses."""
        new = self._instance_to_expand(_instance)
        batch_shape, parameters = Size(batch_shape), self._parameters()
        for name, value in list(self.__dict__.items()):
            if name in new.__dict__:
                continue
            if name in parameters and isinstance(value, Tensor):
                value = value.expand(batch_shape + value.shape[value.dim() - parameters[name] :])
            elif isinstance(value, Distribution):
                value = value.expand(batch_shape + value.batch_shape[len(self._batch_shape) :])
            elif isinstance(getattr(type(self), name, None), lazy_property):
                continue
            setattr(new, name, value)
        new._batch_shape, new._event_shape, new._maker = batch_shape, self._event_shape, maker()
        new._validate_args = self._validate_args
        return new

    def _instance_to_expand(self, _instance):
        own = next(c for c in type(self).__mro__ if c.__module__.startswith(_PACKAGE))
        if own.__init__ is Distribution.__init__:
            raise NotImplementedError
        return self._get_checked_instance(own, _instance)

    def _parameters(self):
        """By name, how many of a parameter's last dimensions belong to one distribution; base classes' parameters too."""
        named = {}
        for own in (*(vars(c).get("arg_constraints") for c in reversed(type(self).__mro__)), self.arg_constraints):
            named.update(own if isinstance(own, dict) else {})
        return {name: 0 if constraints.is_dependent(c) else c.event_dim for name, c in named.items()}

    def _get_checked_instance(self, cls, _instance=None):
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(f"Subclass {self.__class__.__name__} of {cls.__name__} that defines a custom __init__ method "
                                      "must also define a custom .expand() method.")  # fmt: skip
        return self.__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self) -> Size:
        """The shape over which parameters are batched."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """The shape of a single draw, without the batch."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """The set that each parameter has to be in."""
        raise NotImplementedError

    @property
    def support(self):
        """The set of values that the distribution has."""
        raise NotImplementedError

    # -- moments -----------------------------------------------------------------------------------------------------

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self) -> Tensor:
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        return self.variance.sqrt()

    # -- draws and densities -----------------------------------------------------------------------------------------

    def sample(self, sample_shape=Size()) -> Tensor:  # noqa: B008
        """Draws without a gradient, of shape sample_shape + batch_shape + event_shape."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()) -> Tensor:  # noqa: B008
        """Draws that are functions of the parameters, so that gradients reach them."""
        raise NotImplementedError

    def sample_n(self, n: int) -> Tensor:
        """`sample((n,))`."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample(Size((n,)))

    def log_prob(self, value) -> Tensor:
        """The logarithm of the density, or of the probability, of each event in `value`."""
        raise NotImplementedError

    def cdf(self, value) -> Tensor:
        """The probability of numbers up to `value`."""
        raise NotImplementedError

    def icdf(self, value) -> Tensor:
        """The number whose `cdf` is `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, along a new first dimension."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """exp(entropy)."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape=Size()) -> Size:  # noqa: B008
        return Size(sample_shape) + self._batch_shape + self._event_shape

    def _enumerated(self, values, expand):
        """Values along the first dimension, for every distribution of the batch."""
        values = values.view((-1,) + (1,) * len(self._batch_shape))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def _validate_sample(self, value):
        """ValueError unless `value` is a tensor of events that this distribution can have."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        size = value.size()
        if size[len(size) - len(self._event_shape) :] != self._event_shape:
            raise ValueError(f"The right-most size of value must match event_shape: {size} vs {self._event_shape}.")
        expected = self._batch_shape + self._event_shape
        for i, j in zip(reversed(size), reversed(expected), strict=False):
            if i != 1 and j != 1 and i != j:
                raise ValueError(f"Value is not broadcastable with batch_shape+event_shape: {size} vs {expected}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(f"{self.__class__} does not define `support` to enable sample validation. Please initialize the "
                          "distribution with `validate_args=False` to turn off validation.", stacklevel=3)  # fmt: skip
            return
        self._demand(support.check(value), lambda: value, lambda show: (
            f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the support "
            f"({show(support)}) of the distribution {show(self)}, but found invalid values:"))  # fmt: skip

    def __repr__(self):
        own = [(k, self.__dict__[k]) for k in self.arg_constraints if k in self.__dict__]
        return f"{self.__class__.__name__}({', '.join(f'{k}: {v if v.numel() == 1 else v.size()}' for k, v in own)})"


class ProbsOrLogits:
    """Distributions that are given probabilities or logits, and work out the others when they are asked for."""

    _binary = True

    @staticmethod
    def _one_of(probs, logits):
        """The name and value of what was given."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        return ("logits", logits) if probs is None else ("probs", probs)

    @property
    def _param(self):
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.logits

    @property
    def param_shape(self) -> Size:
        """The shape of the parameter that was given."""
        return self._param.size()

    def _new(self, *args, **kwargs):
        return self._param.new(*args, **kwargs)

    @lazy_property
    def logits(self):
        return probs_to_logits(self.probs, is_binary=self._binary)

    @lazy_property
    def probs(self):
        return logits_to_probs(self.logits, is_binary=self._binary)
