"""Checking analytical gradients against finite differences.

Reference: https://docs.pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html
"""

from __future__ import annotations

import warnings

import numpy as np

from .backward import grad as _grad
from .interop import from_numpy
from .tensor import Tensor

__all__ = ["gradcheck", "gradgradcheck", "GradcheckError"]


class GradcheckError(RuntimeError):
    """A gradient is wrong."""


def _outputs(out):
    outs = tuple(out) if isinstance(out, (tuple, list)) else (out,)
    return tuple(o for o in outs if isinstance(o, Tensor) and o.is_floating_point())


def _numerical(func, inputs, x, eps):
    """One matrix (elements of x, elements of out) per output, by central differences."""
    data = np.asarray(x._a)
    columns = []
    for index in np.ndindex(*data.shape):
        before = data[index].item()
        data[index] = before + eps
        high = [np.array(o.detach().numpy(), dtype=np.float64) for o in _outputs(func(*inputs))]
        data[index] = before - eps
        low = [np.array(o.detach().numpy(), dtype=np.float64) for o in _outputs(func(*inputs))]
        data[index] = before
        columns.append([((h - low_) / (2 * eps)).reshape(-1) for h, low_ in zip(high, low, strict=True)])
    if not columns:
        return []
    return [np.stack([c[k] for c in columns]) for k in range(len(columns[0]))]


def _analytical(out, x):
    """A matrix (elements of x, elements of out), one backward pass per element of out."""
    matrix = np.zeros((x.numel(), out.numel()))
    for j in range(out.numel()):
        v = np.zeros(out.numel())
        v[j] = 1.0
        g = _grad(out, x, from_numpy(v.reshape(tuple(out.shape))).to(out.dtype), retain_graph=True, allow_unused=True)[0]
        if g is not None:
            matrix[:, j] = g.detach().numpy().reshape(-1)
    return matrix


def gradcheck(func, inputs, *, eps=1e-6, atol=1e-5, rtol=1e-3, raise_exception=True, nondet_tol=0.0,
              check_undefined_grad=True, check_grad_dtypes=False, check_batched_grad=False, check_batched_forward_grad=False,
              check_forward_ad=False, check_backward_ad=True, fast_mode=False, masked=None):  # fmt: skip
    """Whether the gradients of func at inputs agree with finite differences. Inputs should be float64.

    Raises: GradcheckError (a RuntimeError) on a mismatch, ValueError if no input requires a gradient; with
    `raise_exception=False`, returns False instead.
    """
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    leaves = [(i, x) for i, x in enumerate(inputs) if isinstance(x, Tensor) and x.requires_grad]
    if not leaves:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of the them have requires_grad=True.")
    for i, x in leaves:
        if str(x.dtype) != "torch.float64":
            warnings.warn(
                f"Input #{i} requires gradient and is not a double precision floating point or complex. This check will "
                "likely fail if all the inputs are not of double precision floating point or complex. ",
                stacklevel=2,
            )
    try:
        outs = _outputs(func(*inputs))
        for i, x in leaves:
            numerical = _numerical(func, inputs, x, eps)
            for j, out in enumerate(outs):
                exact = _analytical(out, x) if out.requires_grad else np.zeros((x.numel(), out.numel()))
                again = _analytical(out, x) if out.requires_grad else exact
                if np.abs(again - exact).max(initial=0.0) > nondet_tol:
                    raise GradcheckError("Backward is not reentrant, i.e., running backward with same input and grad_output "
                                         "multiple times gives different values, although analytical gradient matches "
                                         "numerical gradient.")  # fmt: skip
                if numerical and not np.allclose(exact, numerical[j], rtol=rtol, atol=atol, equal_nan=True):
                    raise GradcheckError(
                        f"Jacobian mismatch for output {j} with respect to input {i},\nnumerical:{numerical[j]}\n"
                        f"analytical:{exact}\n"
                    )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(func, inputs, grad_outputs=None, *, eps=1e-6, atol=1e-5, rtol=1e-3, gen_non_contig_grad_outputs=False,
                  raise_exception=True, nondet_tol=0.0, check_undefined_grad=True, check_grad_dtypes=False,
                  check_batched_grad=False, check_fwd_over_rev=False, check_rev_over_rev=True, fast_mode=False,
                  masked=False):  # fmt: skip
    """`gradcheck` of the gradients: whether second derivatives agree with finite differences."""
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        grad_outputs = tuple(from_numpy(rng.standard_normal(tuple(o.shape))).to(o.dtype).requires_grad_()
                             for o in _outputs(func(*inputs)))  # fmt: skip
    grad_outputs = tuple(grad_outputs) if isinstance(grad_outputs, (tuple, list)) else (grad_outputs,)
    n = len(inputs)

    def first(*args):
        xs, gs = args[:n], args[n:]
        outs = _outputs(func(*xs))
        live = [(o, g) for o, g in zip(outs, gs, strict=True) if o.requires_grad]
        wrt = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
        grads = _grad([o for o, _ in live], wrt, [g for _, g in live], create_graph=True, allow_unused=True)
        return tuple(g for g in grads if g is not None)

    return gradcheck(first, (*inputs, *grad_outputs), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception,
                     nondet_tol=nondet_tol)  # fmt: skip
