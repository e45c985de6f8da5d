"""Against torchvision's own results, kept in torchvision.json by freeze.py: transforms of a seed, models' entries and weights."""

from __future__ import annotations

import json
import pathlib
import warnings

import numpy as np
import pytest

import rushlight as torch
from rushlight import nn, vision

from . import table_models, table_transforms

FROZEN = json.loads(pathlib.Path(__file__).with_name("torchvision.json").read_text())


def by_expression():
    """{expression: [(kind, seed, frozen result, sum of the generator's state)]}"""
    groups: dict = {}
    for key, (result, state) in FROZEN["transforms"].items():
        expression, _, rest = key.rpartition(" @ ")
        kind, seed = rest.split()
        groups.setdefault(expression, []).append((kind, int(seed), result, state))
    return groups


ROWS = by_expression()
# Resizing tensors of whole numbers: sums are taken in another order before they are rounded, so a few pixels differ by 1.
RESIZED = ("Resize", "resized_crop")


def close(got, expected, expression):
    if isinstance(expected, list):
        assert isinstance(got, list) and len(got) == len(expected)
        for a, b in zip(got, expected, strict=True):
            close(a, b, expression)
        return
    if not isinstance(expected, dict) or "at" not in expected:
        assert got == expected
        return
    assert {k: got[k] for k in ("kind", "shape")} == {k: expected[k] for k in ("kind", "shape")}
    floats = got["kind"].startswith("torch.float")
    whole = got["kind"].startswith("torch.") and not floats
    step = 1.0 if whole and any(text in expression for text in RESIZED) else 0.0
    scale = max(1.0, *map(abs, expected["at"]))
    np.testing.assert_allclose(got["at"], expected["at"], atol=2e-5 * scale if floats else step)
    np.testing.assert_allclose(got["mean"], expected["mean"], atol=1e-5 * scale if floats else max(0.02 * step, 1e-5))


def test_the_table_is_frozen():
    """Every row of the table has its result in the file."""
    assert {e for e, _ in table_transforms.rows()} == set(ROWS)


@pytest.mark.parametrize("expression", ROWS)
def test_transforms(expression):
    """The same results, errors and printed forms, and the generator in the same state afterwards."""
    for kind, seed, expected, state in ROWS[expression]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = table_transforms.run(expression, kind, torch, vision, seed)
        close(table_transforms.digest(result, torch), expected, expression)
        assert int(torch.get_rng_state().numpy().astype("int64").sum()) == state, "the random draws differ"


@pytest.mark.parametrize("name", table_models.NAMES)
def test_entries(name, monkeypatch):
    """Names, shapes and dtypes of all entries, and the printed form."""
    for init in ("kaiming_uniform_", "kaiming_normal_", "normal_", "uniform_", "constant_", "zeros_", "ones_"):
        monkeypatch.setattr(nn.init, init, lambda tensor, *a, **k: tensor)  # drawing is most of the time, and not needed
    assert table_models.entries(getattr(vision.models, name)()) == FROZEN["models"][name]["entries"]


@pytest.mark.parametrize("name", table_models.DRAWN)
def test_weights_of_a_seed(name):
    """The same seed gives the same weights, and the same scores of two images."""
    torch.manual_seed(3)
    model = getattr(vision.models, name)()
    expected = FROZEN["models"][name]
    got = table_models.weights(model)
    assert got.keys() == expected["weights"].keys()
    for entry, numbers in expected["weights"].items():
        np.testing.assert_allclose(got[entry], numbers, rtol=1e-6, atol=1e-9, err_msg=entry)
    scores, theirs = np.array(table_models.outputs(model, torch)), np.array(expected["outputs"])
    np.testing.assert_allclose(scores, theirs, atol=1e-5 * np.abs(theirs).max())
