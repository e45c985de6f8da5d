"""`DataParallel`, as PyTorch's behaves on a machine without GPUs."""

from __future__ import annotations

from ..modules.module import Module

__all__ = ["DataParallel", "data_parallel"]


class DataParallel(Module):
    """Calls `module`; its state-dict keys get the prefix "module.".

    PyTorch splits batches over GPUs; without any, its DataParallel and this one ignore the other arguments.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.DataParallel.html
    """

    def __init__(self, module, device_ids=None, output_device=None, dim: int = 0):
        super().__init__()
        self.module = module
        self.device_ids = []

    def forward(self, *inputs, **kwargs):
        return self.module(*inputs, **kwargs)


def data_parallel(module, inputs, device_ids=None, output_device=None, dim: int = 0, module_kwargs=None):
    """Raises RuntimeError, as PyTorch's does without a GPU."""
    raise RuntimeError("device type could not be determined")
