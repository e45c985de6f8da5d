"""Instance normalisation layers."""

from __future__ import annotations

import warnings

from ...ops.normalization import instance_norm
from .batchnorm import _LazyNormBase, _NormBase

__all__ = ["InstanceNorm1d", "InstanceNorm2d", "InstanceNorm3d", "LazyInstanceNorm1d", "LazyInstanceNorm2d", "LazyInstanceNorm3d"]


class _InstanceNorm(_NormBase):
    rank = 0

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False,
                 track_running_stats: bool = False, device=None, dtype=None, *, bias: bool = True):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def _check_input_dim(self, input):
        low, high = self.rank + 1, self.rank + 2
        if input.ndim not in (low, high):
            raise ValueError(f"expected {low}D or {high}D input (got {input.ndim}D input)")

    def _apply_instance_norm(self, input):
        return instance_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                             self.training or not self.track_running_stats,
                             0.0 if self.momentum is None else self.momentum, self.eps)  # fmt: skip

    def forward(self, input):
        self._check_input_dim(input)
        dim = input.ndim - self.rank - 1
        if input.shape[dim] != self.num_features:
            if self.affine:
                raise ValueError(f"expected input's size at dim={dim} to match num_features ({self.num_features}), but got: "
                                 f"{input.shape[dim]}.")  # fmt: skip
            warnings.warn(
                f"input's size at dim={dim} does not match num_features. You can silence this warning by not passing in "
                "num_features, which is not used because affine=False",
                stacklevel=2,
            )
        if dim == 0:
            return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)
        return self._apply_instance_norm(input)

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs):
        if local_metadata.get("version", None) is None and not self.track_running_stats:
            keys = [prefix + name for name in ("running_mean", "running_var") if prefix + name in state_dict]
            if keys:
                names, klass = " and ".join(f'"{k}"' for k in keys), type(self).__name__
                error_msgs.append(
                    f"Unexpected running stats buffer(s) {names} for {klass} with track_running_stats=False. If state_dict is a "
                    "checkpoint saved before 0.4.0, this may be expected because "
                    f"{klass} does not track running stats by default since 0.4.0. Please remove these keys from state_dict. If "
                    "the running stats are actually needed, instead set "
                    f"track_running_stats=True in {klass} to enable them. See the documentation of {klass} for details."
                )
                for key in keys:
                    state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)


_DOC = """(x - mean) / sqrt(var + eps) * weight + bias per channel of each sample {shape}.

    By default without parameters and running statistics (`affine`, `track_running_stats`).
    Raises: ValueError for another rank.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.{name}.html
    """


class InstanceNorm1d(_InstanceNorm):
    __doc__ = _DOC.format(shape="(N, C, L) or (C, L)", name="InstanceNorm1d")
    rank = 1


class InstanceNorm2d(_InstanceNorm):
    __doc__ = _DOC.format(shape="(N, C, H, W) or (C, H, W)", name="InstanceNorm2d")
    rank = 2


class InstanceNorm3d(_InstanceNorm):
    __doc__ = _DOC.format(shape="(N, C, D, H, W) or (C, D, H, W)", name="InstanceNorm3d")
    rank = 3


class _LazyInstanceNorm(_LazyNormBase):
    def initialize_parameters(self, input):
        super().initialize_parameters(input if input.ndim == self.rank + 2 else input.unsqueeze(0))


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """`InstanceNorm1d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """`InstanceNorm2d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """`InstanceNorm3d` that takes `num_features` from its first input."""

    cls_to_become = InstanceNorm3d
