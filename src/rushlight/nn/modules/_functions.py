"""Functions behind layers that have a derivative of their own."""

from __future__ import annotations

from ...autograd.function import Function, once_differentiable
from ...ops.creation import tensor
from ...ops.matmul import matmul


def _summed(windows, x):
    """Sums over channels: for each row of `windows`, those that it marks."""
    n, c, h, w = x.shape
    return matmul(tensor(windows, dtype=x.dtype), x.reshape(n, c, h * w)).reshape(n, c, h, w)


def _forward_windows(size, channels):
    """Which channels' squares each channel's sum contains: PyTorch's running sums, which never take off the first one."""
    ahead = int((size - 1) / 2 + 1)
    rows = [[float(c < ahead) for c in range(channels)]]
    for c in range(1, channels):
        row = list(rows[-1])
        if c < channels - ahead + 1:
            row[c + ahead - 1] += 1
        if c > ahead:
            row[c - ahead] -= 1
        rows.append(row)
    return rows


def _backward_windows(size, channels):
    shift = int(size - (size - 1) / 2) if size > 1 else 0
    return [[float(c <= k + shift < c + size) for k in range(channels)] for c in range(channels)]


class CrossMapLRN2d(Function):
    """x / (k + alpha / size * sum of squares over neighbouring channels) ** beta; see the layer of the same name."""

    @staticmethod
    def forward(ctx, input, size, alpha=1e-4, beta=0.75, k=1):
        if input.dim() != 4:
            raise ValueError(f"CrossMapLRN2d: Expected input to be 4D, got {input.dim()}D instead.")
        scale = _summed(_forward_windows(size, input.shape[1]), input * input) * (alpha / size) + k
        output = scale**-beta * input
        ctx.size, ctx.alpha, ctx.beta, ctx.scale = size, alpha, beta, scale
        ctx.save_for_backward(input, output)
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_output):
        input, output = ctx.saved_tensors
        ratio = _summed(_backward_windows(ctx.size, input.shape[1]), grad_output * output / ctx.scale)
        grad = ctx.scale**-ctx.beta * grad_output - input * ratio * (2 * ctx.alpha * ctx.beta / ctx.size)
        return grad, None, None, None, None
