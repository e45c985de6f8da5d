"""Writes what torchvision computes for the tables of this folder: python -m tests.vision.freeze, where it is installed."""

from __future__ import annotations

import json
import pathlib
import warnings

import torch
import torchvision

from . import table_models, table_transforms

SEEDS = (7, 8)


def main():
    warnings.simplefilter("ignore")
    transforms = {}
    for expression, kind in table_transforms.rows():
        for seed in SEEDS:
            result = table_transforms.run(expression, kind, torch, torchvision, seed)
            state = int(torch.get_rng_state().numpy().astype("int64").sum())
            transforms[f"{expression} @ {kind} {seed}"] = [table_transforms.digest(result, torch), state]
        if transforms[f"{expression} @ {kind} {SEEDS[0]}"][0] == transforms[f"{expression} @ {kind} {SEEDS[1]}"][0]:
            del transforms[f"{expression} @ {kind} {SEEDS[1]}"]  # no chance in it
    models = {}
    for name in table_models.NAMES:
        torch.manual_seed(3)
        model = getattr(torchvision.models, name)()
        models[name] = {"entries": table_models.entries(model)}
        if name in table_models.DRAWN:
            models[name] |= {"weights": table_models.weights(model), "outputs": table_models.outputs(model, torch)}
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    text = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in transforms.items())
    text = f'{{"versions": {json.dumps(versions)},\n"models": {json.dumps(models)},\n"transforms": {{\n{text}\n}}}}\n'
    pathlib.Path(__file__).with_name("torchvision.json").write_text(text)


if __name__ == "__main__":
    main()
