"""Recipes: what is right is read, what is wrong is named with its line and the nearest right name."""

# ruff: noqa: E501 - the tables below have one mistake a line

import re

import pytest

from rushlight.train import RecipeError, parse_recipe
from rushlight.train.build import build_loss, build_model, build_optimizer
from rushlight.train.recipe import describe
from rushlight.train.toml_lines import Lines

GOOD = """
[data]
source = "digits"
batch_size = 32

[model]
name = "mlp"
args = { hidden = [16] }

[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9
freeze = ["layers.1.bias"]

[[optimizer.groups]]
match = "*.weight"
weight_decay = 1e-4

[train]
epochs = 3
"""


def test_good():
    """Values arrive in their fields, options of the optimizer in `options`, and the rest has defaults."""
    recipe = parse_recipe(GOOD)
    assert recipe.data.source == "digits" and recipe.data.batch_size == 32 and recipe.data.normalize
    assert recipe.model.args == {"hidden": [16]}
    assert recipe.optimizer.options == {"momentum": 0.9}
    (group,) = recipe.optimizer.groups
    assert group.match == "*.weight" and group.options == {"weight_decay": 1e-4}
    assert recipe.train.epochs == 3 and recipe.train.seed == 0 and recipe.loss.name == "cross_entropy"


WRONG = {
    "unknown key": ("epochs = 3", "epoch = 3", r"line 21: unknown key 'epoch' in \[train\]; did you mean 'epochs'\?"),
    "key of another table": ("epochs = 3", "batch_size = 3", r"unknown key 'batch_size' in \[train\]; it belongs into \[data\]"),
    "unknown table": ("[train]", "[trian]", r"line 20: unknown key 'trian'; did you mean 'train'\?"),
    "far from anything": ("epochs = 3", "zzz = 3", r"line 21: unknown key 'zzz' in \[train\]; there are epochs, clip_norm"),
    "type": ("epochs = 3", 'epochs = "3"', r"line 21: 'epochs' should be a whole number, got '3'"),
    "float for int": ("epochs = 3", "epochs = 3.5", "'epochs' should be a whole number"),
    "bool for int": ("epochs = 3", "epochs = true", "'epochs' should be a whole number"),
    "too small": ("epochs = 3", "epochs = 0", "line 21: 'epochs' should be at least 1, got 0"),
    "negative": ("lr = 0.1", "lr = -0.1", "line 12: 'lr' should be at least 0, got -0.1"),
    "choice": ('"digits"', '"digit"', "line 3: 'source' should be one of 'digits', .*; did you mean 'digits'"),
    "table for value": ("epochs = 3", "epochs = { a = 1 }", "'epochs' should be a whole number"),
    "value for table": ("[train]\nepochs = 3", "", None),
    "list": ('freeze = ["layers.1.bias"]', "freeze = 3", r"line 14: 'freeze' should be a list"),
    "in a group": ('match = "*.weight"', "match = 3", r"line 17: 'match' should be text in quotes or a list"),
    "missing in a group": ('match = "*.weight"\n', "", r"\[optimizer.groups.0\] needs 'match'"),
    "missing": ('name = "mlp"', "", r"line 6: \[model\] needs 'name'"),
    "syntax": ("epochs = 3", "epochs = = 3", r"line 21: Invalid value"),
    "twice": ("epochs = 3", "epochs = 3\nepochs = 4", r"line 22: Cannot overwrite a value"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong(name):
    """Each mistake is found, with file, line and advice."""
    old, new, match = WRONG[name]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    if match is None:
        parse_recipe(text)
        return
    with pytest.raises(RecipeError) as error:
        parse_recipe(text, "my.toml")
    assert str(error.value).startswith("my.toml")
    assert re.search(match, str(error.value)), str(error.value)


def test_all_mistakes_at_once():
    """Every problem of a recipe is reported, each with the line shown and marked."""
    with pytest.raises(RecipeError) as error:
        parse_recipe(GOOD.replace("epochs", "epoch").replace("batch_size", "batchsize"))
    text = str(error.value)
    assert "did you mean 'epochs'" in text and "did you mean 'batch_size'" in text
    assert "   21 | epoch = 3\n      | ^^^^^" in text


def test_missing_tables():
    """An empty recipe says what it needs."""
    with pytest.raises(RecipeError, match=r"the recipe needs a table \[data\]"):
        parse_recipe("")


def test_lines():
    """Lines are found for dotted keys, inline tables, arrays of tables and after multi-line strings."""
    lines = Lines('a.b = 1\n[t]\nc = { d = 1, e = 2 }\ns = """\n[x]\n"""\n[[t.g]]\nk = 1\n[[t.g]]\nk = 2\n"quoted key" = 1')
    assert lines.of(("a", "b")) == 1 and lines.of(("t", "c", "e")) == 3
    assert lines.of(("t", "g", 0, "k")) == 8 and lines.of(("t", "g", 1, "k")) == 10
    assert lines.of(("t", "g", 1, "quoted key")) == 11
    assert lines.of(("t", "g", 1, "unknown")) == 9
    assert ("x",) not in lines.found


def test_description_is_a_recipe():
    """`rushlight recipe` prints keys that the reader knows."""
    text = describe()
    keys = re.findall(r"^# (\w+) = .+?  #", text, re.M)
    assert {"batch_size", "epochs", "lr", "seed"} <= set(keys)
    uncommented = re.sub(r"^# (\w+ = \S.*)$", r"\1", text, flags=re.M)
    uncommented = uncommented.replace("[data]", '[data]\nsource = "digits"').replace("[model]", '[model]\nname = "mlp"')
    uncommented = uncommented.replace("[schedule]", '[schedule]\nname = "cosine"')
    parse_recipe(uncommented)


# -- words that only the objects can judge ----------------------------------------------------------------------------


def build(text):
    recipe = parse_recipe(text, "my.toml")
    model = build_model(recipe, (1, 4, 4), 3)
    return build_loss(recipe), build_optimizer(recipe, model), model


OBJECTS = {
    "model": ('name = "mlp"', 'name = "mpl"', r"my.toml, line 7: there is no model 'mpl'; did you mean 'mlp'\?"),
    "model module": ('name = "mlp"', 'name = "nowhere:Net"', "line 7: cannot import the model: No module named 'nowhere'"),
    "model class": ('name = "mlp"', 'name = "collections:Net"', "line 7: cannot import the model: .*no attribute 'Net'"),
    "model argument": ("hidden = [16]", "hiden = [16]", "mlp cannot be made: .*hiden"),
    "optimizer": ('name = "sgd"', 'name = "sdg"', r"line 11: there is no optimizer 'sdg'; did you mean '(SGD|sgd)'\?"),
    "optimizer option": ("momentum = 0.9", "momentun = 0.9", r"line 13: unknown key 'momentun': SGD .* mean 'momentum'\?"),
    "group option": ("weight_decay = 1e-4", "weigth_decay = 1e-4", r"line 18: unknown key 'weigth_decay': .*'weight_decay'"),
    "freeze": ('"layers.1.bias"', '"conv*"', r"line 14: no parameter matches 'conv\*'; the nearest names are layers.1.weight"),
    "group match": ('"*.weight"', '"*.wait"', r"line 17: no parameter matches '\*.wait'"),
    "init layer": ("[train]", "[init]\nLinaer = 0.0\n[train]", r"line 21: the model has no layer .* mean 'Linear'\?"),
    "init rule": ("[train]", "[init]\nLinear = 'xavier_unifrom'\n[train]", r"line 21: there is no rule .* 'xavier_uniform'\?"),
    "loss": ("[train]", '[loss]\nname = "cross_entorpy"\n[train]', r"line 21: there is no loss .* mean 'cross_entropy'\?"),
}  # fmt: skip


@pytest.mark.parametrize("name", OBJECTS)
def test_wrong_objects(name):
    """Names of models, optimizers, options, layers and rules are checked too, with their lines."""
    old, new, match = OBJECTS[name]
    assert old in GOOD
    with pytest.raises(RecipeError, match=match):
        build(GOOD.replace(old, new, 1))


def test_groups_and_frozen():
    """Frozen parameters need no gradient and are in no group; groups have their options; the rest has the defaults."""
    _, optimizer, model = build(GOOD)
    named = dict(model.named_parameters())
    first, rest = optimizer.param_groups
    assert [id(p) for p in first["params"]] == [id(p) for n, p in named.items() if n.endswith("weight")]
    assert first["weight_decay"] == 1e-4 and first["momentum"] == 0.9 and rest["weight_decay"] == 0
    assert not named["layers.1.bias"].requires_grad
    assert [id(p) for p in rest["params"]] == [id(named["layers.3.bias"])]


def test_init_rules():
    """Rules are applied by layer type: a number, a name, a table with arguments, per attribute."""
    init = "[init]\nLinear = { weight = { rule = 'normal', mean = 5.0, std = 0.1 }, bias = 0.25 }\n[train]"
    model = build(GOOD.replace("[train]", init))[2]
    assert abs(model.layers[1].weight.mean().item() - 5) < 0.1
    assert model.layers[3].bias.tolist() == [0.25] * 3
    model = build(GOOD.replace("[train]", "[init]\nLinear = 0.5\n[train]"))[2]
    assert model.layers[3].weight.min().item() == 0.5
