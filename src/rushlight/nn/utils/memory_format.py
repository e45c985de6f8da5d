"""Memory formats of convolution weights."""

from __future__ import annotations

from ..modules.conv import Conv2d, Conv3d, ConvTranspose2d, ConvTranspose3d

__all__ = ["convert_conv2d_weight_memory_format", "convert_conv3d_weight_memory_format"]


def _convert(module, memory_format, kinds):
    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.weight.data = layer.weight.detach().clone(memory_format=memory_format)
    return module


def convert_conv2d_weight_memory_format(module, memory_format):
    """Gives the weights of all 2-D convolutions in `module` new memory in this format; returns `module`.

    Kernels choose their own layout, so that this changes neither results nor speed; see docs/differences.md.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.utils.convert_conv2d_weight_memory_format.html
    """
    return _convert(module, memory_format, (Conv2d, ConvTranspose2d))


def convert_conv3d_weight_memory_format(module, memory_format):
    """`convert_conv2d_weight_memory_format` for 3-D convolutions."""
    return _convert(module, memory_format, (Conv3d, ConvTranspose3d))
