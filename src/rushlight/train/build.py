"""From a recipe's words to objects: model, initial weights, loss, optimizer, schedule."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import sys

from .. import nn, optim
from ..autograd.grad_mode import no_grad
from ..nn import init
from ..optim.groups import matching, no_match
from ..serialization import load
from .models import BUNDLED
from .recipe import Recipe, locate

__all__ = ["build_model", "build_loss", "build_optimizer", "build_schedule", "initialize"]


def _near(name, names):
    close = difflib.get_close_matches(str(name), list(names), 1, 0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(names)[:12])}"


# -- model -------------------------------------------------------------------------------------------------------------


def build_model(recipe: Recipe, shape, classes: int) -> nn.Module:
    """The recipe's model for examples of `shape`. Bundled models and classes with these parameters get `shape` and
    `classes`; the recipe's own arguments come first.

    Raises: RecipeError with the line.
    """
    name, where = recipe.model.name, ("model", "name")
    if ":" in name:
        cls = _import(recipe, name)
    elif name.lower() in BUNDLED:
        cls = BUNDLED[name.lower()]
    else:
        hint = f"{_near(name, BUNDLED)} (or write package.module:Class)"
        raise locate(recipe, where, f"there is no model {name!r}{hint}", name)
    arguments = dict(recipe.model.args)
    accepted = inspect.signature(cls).parameters
    for key, value in (("shape", tuple(shape)), ("classes", classes), ("num_classes", classes)):
        if key in accepted:
            arguments.setdefault(key, value)
    try:
        model = cls(**arguments)
    except (TypeError, ValueError) as error:
        raise locate(recipe, ("model",), f"{name} cannot be made: {error}") from error
    if recipe.init:
        initialize(model, recipe)
    if recipe.model.weights:
        _load_weights(model, recipe)
    return model


def _import(recipe, name):
    module_name, _, class_name = name.partition(":")
    folders = [str(recipe.folder.resolve()), os.getcwd()]
    added = [f for f in folders if f not in sys.path]
    sys.path[:0] = added
    try:
        cls = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise locate(recipe, ("model", "name"), f"cannot import the model: {error}", name) from error
    finally:
        for folder in added:
            sys.path.remove(folder)
    if not callable(cls):
        raise locate(recipe, ("model", "name"), f"{name} is a {type(cls).__name__}, not a class of models", name)
    return cls


def _load_weights(model, recipe):
    content = load(recipe.folder / recipe.model.weights)
    try:
        model.load_state_dict(content.get("model", content) if isinstance(content, dict) else content)
    except (RuntimeError, TypeError) as error:
        raise locate(recipe, ("model", "weights"), f"the weights do not fit: {error}", recipe.model.weights) from None


def initialize(model, recipe: Recipe) -> None:
    """Applies [init]: a rule for each layer type, on `weight` unless the rule names others."""
    used = set()
    for layer in model.modules():
        for kind, rule in recipe.init.items():
            if kind in {c.__name__ for c in type(layer).__mro__}:
                used.add(kind)
                for attribute, one in _rules(rule).items():
                    parameter = getattr(layer, attribute, None)
                    if parameter is not None:
                        _apply(recipe, ("init", kind), parameter, one)
    for kind in recipe.init.keys() - used:
        kinds = {type(m).__name__ for m in model.modules()}
        raise locate(recipe, ("init", kind), f"the model has no layer of type {kind!r}{_near(kind, kinds)}", kind)


def _rules(rule):
    if not isinstance(rule, dict):
        return {"weight": rule}
    named = {k: v for k, v in rule.items() if k not in ("rule", "args")}
    return named if "rule" not in rule else {"weight": rule}


def _apply(recipe, where, parameter, rule):
    """One rule: a number, the name of a function of nn.init, or a table with `rule` and its arguments."""
    if isinstance(rule, bool) or not isinstance(rule, (int, float, str, dict)):
        raise locate(recipe, where, f"a rule should be a name, a number or a table, got {rule!r}")
    with no_grad():
        if isinstance(rule, (int, float)):
            parameter.fill_(rule)
            return
        arguments = dict(rule) if isinstance(rule, dict) else {"rule": rule}
        name = str(arguments.pop("rule", ""))
        function = getattr(init, name.rstrip("_") + "_", None)
        if name.startswith("_") or not callable(function):
            names = [n[:-1] for n in dir(init) if n.endswith("_") and not n.startswith("_")]
            raise locate(recipe, where, f"there is no rule {name!r}{_near(name, names)}", name)
        try:
            function(parameter, **arguments)
        except (TypeError, ValueError, RuntimeError) as error:
            raise locate(recipe, where, f"{name} does not fit: {error}") from error


# -- loss --------------------------------------------------------------------------------------------------------------

_LOSSES = {
    "cross_entropy": "CrossEntropyLoss", "mse": "MSELoss", "l1": "L1Loss", "nll": "NLLLoss", "bce": "BCELoss",
    "bce_with_logits": "BCEWithLogitsLoss", "smooth_l1": "SmoothL1Loss", "huber": "HuberLoss",
    "multi_margin": "MultiMarginLoss", "kl_div": "KLDivLoss", "poisson_nll": "PoissonNLLLoss",
}  # fmt: skip


def build_loss(recipe: Recipe) -> nn.Module:
    """The recipe's loss, a module of `nn`."""
    name = recipe.loss.name
    cls = getattr(nn, _LOSSES.get(name.lower().removesuffix("_loss"), name), None)
    if not isinstance(cls, type) or not issubclass(cls, nn.Module):
        raise locate(recipe, ("loss", "name"), f"there is no loss {name!r}{_near(name, _LOSSES)}", name)
    try:
        return cls(**recipe.loss.args)
    except (TypeError, ValueError) as error:
        raise locate(recipe, ("loss",), f"{cls.__name__} cannot be made: {error}") from error


# -- optimizer ---------------------------------------------------------------------------------------------------------


def _class(module, name, base):
    found = {n.lower(): c for n, c in vars(module).items() if isinstance(c, type) and issubclass(c, base)}
    classes = {n: c for n, c in found.items() if c is not base}
    return classes.get(name.lower().replace("_", "")), classes


def build_optimizer(recipe: Recipe, model: nn.Module):
    """The recipe's optimizer over the model's parameters: frozen ones left out, groups by name pattern, the first that
    matches; what no group matches forms the last one.

    Raises: RecipeError for an unknown class, an option that it has not, or a pattern that matches nothing.
    """
    spec = recipe.optimizer
    cls, classes = _class(optim, spec.name, optim.Optimizer)
    if cls is None:
        hint = _near(spec.name, [c.__name__ for c in classes.values()] + list(classes))
        raise locate(recipe, ("optimizer", "name"), f"there is no optimizer {spec.name!r}{hint}", spec.name)
    options = [p for p in inspect.signature(cls).parameters if p not in ("self", "params")]
    left = dict(model.named_parameters())
    for pattern in spec.freeze:
        frozen = matching(left, pattern)
        if not frozen:
            raise locate(recipe, ("optimizer", "freeze"), no_match(pattern, left), pattern)
        for name, parameter in frozen.items():
            parameter.requires_grad_(False)
            del left[name]
    groups = []
    for i, group in enumerate(spec.groups):
        where = ("optimizer", "groups", i)
        chosen = matching(left, group.match)
        if not chosen:
            raise locate(recipe, (*where, "match"), no_match(group.match, left))
        _check_options(recipe, where, group.options, options, cls)
        groups.append({"params": list(chosen.values()), **group.options})
        left = {n: p for n, p in left.items() if n not in chosen}
    if left:
        groups.append({"params": list(left.values())})
    if not groups:
        raise locate(recipe, ("optimizer", "freeze"), "every parameter is frozen: nothing is left to train")
    _check_options(recipe, ("optimizer",), spec.options, options, cls)
    try:
        return cls(groups, lr=spec.lr, **spec.options)
    except (TypeError, ValueError) as error:
        raise locate(recipe, ("optimizer",), f"{cls.__name__}: {error}") from error


def _check_options(recipe, where, given, options, cls):
    for name in given:
        if name not in options:
            near = difflib.get_close_matches(name, [*options, "freeze", "groups"], 1, 0.5)
            hint = f"; did you mean {near[0]!r}?" if near else f"; it has {', '.join(options)}"
            message = f"unknown key {name!r}: {cls.__name__} has no such option{hint}"
            raise locate(recipe, (*where, name), message, name)


_SCHEDULES = {
    "cosine": "CosineAnnealingLR", "step": "StepLR", "multistep": "MultiStepLR", "exponential": "ExponentialLR",
    "plateau": "ReduceLROnPlateau", "linear": "LinearLR", "polynomial": "PolynomialLR",
}  # fmt: skip


def build_schedule(recipe: Recipe, optimizer):
    """The recipe's schedule, or None."""
    if recipe.schedule is None:
        return None
    from ..optim import lr_scheduler

    spec = recipe.schedule
    cls = getattr(lr_scheduler, _SCHEDULES.get(spec.name.lower(), spec.name), None)
    if not isinstance(cls, type):
        message = f"there is no schedule {spec.name!r}{_near(spec.name, _SCHEDULES)}"
        raise locate(recipe, ("schedule", "name"), message, spec.name)
    options = dict(spec.options)
    if cls.__name__ == "CosineAnnealingLR":
        options.setdefault("T_max", recipe.train.epochs)
    try:
        return cls(optimizer, **options)
    except (TypeError, ValueError) as error:
        raise locate(recipe, ("schedule",), f"{cls.__name__}: {error}") from error


