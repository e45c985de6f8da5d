"""Guides 000 and 003: weights saved and loaded, parameters listed.

Slips: guide 000 writes model.paramenters() and an unbalanced quote; types are now printed as Parameter and torch.Size;
guide 003 saves whole models, which are pickles that run code when loaded, and are refused: save the state_dict.
"""

import pickle
import tempfile
from pathlib import Path

import rushlight as torch
from rushlight import nn

torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(1, 20, 5), nn.ReLU(), nn.Linear(20, 2))
for param in model.parameters():
    print(param.size())
print(nn.Linear(2, 2).state_dict().keys())

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "resnet_ckp.txt"  # any ending will do
    torch.save(model.state_dict(), path)
    print(model.load_state_dict(torch.load(path)))
    try:
        torch.save(model, path)
        torch.load(path)
    except (pickle.UnpicklingError, pickle.PicklingError) as error:
        print(type(error).__name__)
print(nn.Linear(2, 2).load_state_dict({"weight": torch.ones(2, 2), "bas": torch.ones(2)}, strict=False))
