"""What the README shows is true."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from rushlight.train import RecipeError, parse_recipe

README = (Path(__file__).parents[2] / "README.md").read_text()


def block(language):
    return re.search(rf"```{language}\n(.*?)```", README, re.S)[1]


def test_loop():
    """The twelve lines run and print what stands beside them."""
    code, out = block("python"), io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert re.search(r"# (tensor\(.*?\)), here", code)[1] == out.getvalue().strip()


def test_recipe():
    """The recipe can be read, and the mistake gives the message that is shown."""
    text = block("toml")
    assert parse_recipe(text).optimizer.groups[0].match == "*.weight"
    shown = re.search(r"    error: (recipe.toml.*?)\n\n", README, re.S)[1]
    with pytest.raises(RecipeError) as error:
        parse_recipe(text.replace("epochs", "epoch"), "recipe.toml")
    assert [line.strip() for line in str(error.value).splitlines()] == [line.strip() for line in shown.splitlines()]


def test_links():
    """Files that it refers to are there."""
    for path in re.findall(r"\]\(([^)]+)\)|src=\"([^\"]+)\"", README):
        assert (Path(__file__).parents[2] / "".join(path)).exists(), path
