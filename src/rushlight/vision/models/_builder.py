"""What the functions that build models share."""

from __future__ import annotations

__all__ = ["no_weights"]


def no_weights(weights, options: dict) -> dict:
    """The options for the model's class.

    Raises: ValueError if pretrained weights are asked for, by `weights=` or the older `pretrained=True`.
    """
    options = dict(options)
    weights = weights or options.pop("pretrained", False)
    if weights:
        raise ValueError(
            f"weights={weights!r}: pretrained weights are not downloaded. Build the model without weights= and load a "
            "local file: model.load_state_dict(rushlight.load(path))"
        )
    return options
