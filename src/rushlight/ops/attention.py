"""Attention."""

from __future__ import annotations

import math
import warnings

from .. import _native
from .._dtypes import bool_
from .._kernels import K
from ..autograd.autocast import lower_precision
from ..autograd.op import op
from ..autograd.tensor import Tensor
from ._values import may_read
from .activation import softmax
from .creation import full, ones, zeros
from .dropout import dropout
from .matmul import _CPP, baddbmm, bmm, linear, matmul
from .pad import pad
from .pointwise import where
from .shape import broadcast_shapes, cat

__all__ = ["scaled_dot_product_attention", "multi_head_attention_forward"]

_INF = math.inf


# -- one op ------------------------------------------------------------------------------------------------------------------


@op(name="scaled_dot_product_attention", grad_name="ScaledDotProductFlashAttentionForCpuBackward0")
def _fused(q, k, v, mask, is_causal, /, *, causal, scale):
    return K.attention(q, k, v, mask, is_causal, causal, scale)  # and log(sum(exp(scores))) of each row


@op(name="scaled_dot_product_attention_backward", differentiable=False)
def _fused_backward(g, q, k, v, mask, is_causal, out, lse, /, *, causal, scale):
    return K.attention_backward(g, q, k, v, mask, is_causal, out, lse, causal, scale)


@_fused.vjp
def _(g, q, k, v, mask, is_causal, out, *, causal, scale, needs):
    if not _native.is_grad_enabled():
        grads = _fused_backward(g[0], q, k, v, mask, is_causal, *out, causal=causal, scale=scale)
    else:  # see Note [Norm derivatives] in normalization.py
        p = _probabilities(q, k, mask, causal if is_causal is None else is_causal, scale)
        dp = matmul(g[0], v.transpose(-2, -1))
        ds = p * (dp - (p * dp).sum(-1, keepdim=True)) * scale
        grads = matmul(ds, k), matmul(ds.transpose(-2, -1), q), matmul(p.transpose(-2, -1), g[0])
    return (*(d if need else None for d, need in zip(grads, needs, strict=False)), None, None)


def _probabilities(query, key, mask, causal, scale):
    """softmax(q k^T * scale + mask), with zeros instead of NaN for rows that may attend to nothing."""
    root = math.sqrt(scale) if scale >= 0 else 1.0
    scores = matmul(query * (scale / root if root else 0.0), key.transpose(-2, -1) * root)
    lower = ones(query.size(-2), key.size(-2), dtype=bool_).tril() if causal is not False else None
    if isinstance(causal, Tensor):
        scores = where(causal, where(lower, scores, -_INF), scores + mask)
    else:
        mask = mask if lower is None else lower
        if mask is not None:
            scores = where(mask, scores, -_INF) if mask.dtype is bool_ else scores + mask
    out = softmax(scores, -1)
    if mask is not None:
        dead = (scores.detach() == -_INF).all(-1, keepdim=True)
        if not may_read() or bool(dead.any()):
            out = where(dead, 0.0, out)
    return out


def _common(query, key, value, mask):
    """The arguments with equal leading dimensions, or None if the fused op cannot take them."""
    tensors = (query, key, value) if mask is None else (query, key, value, mask)
    if not query.is_floating_point() or min(t.dim() for t in tensors) < 2 or not query.size(-1):
        return None
    if mask is not None and mask.dtype is not bool_ and (mask.dtype is not query.dtype or mask.requires_grad):
        return None
    if key.size(-1) != query.size(-1) or value.size(-2) != key.size(-2):
        return None
    lead = query.shape[:-2]
    if any(t.shape[:-2] != lead for t in (key, value)):
        try:
            lead = broadcast_shapes(*(t.shape[:-2] for t in tensors))
        except RuntimeError:
            return None
    wanted = [(*lead, *t.shape[-2:]) for t in (query, key, value)]
    if mask is not None:
        wanted.append((*lead, query.size(-2), key.size(-2)))
        if not _fits(mask.shape, wanted[-1]):
            return None
    return *(t if t.shape == s else t.expand(s) for t, s in zip(tensors, wanted, strict=True)), *[None] * (mask is None)


def _fits(shape, wanted):
    return len(shape) <= len(wanted) and all(n in (1, m) for n, m in zip(shape[::-1], wanted[::-1], strict=False))


def _repeat_heads(x, heads):
    times = heads // x.size(-3)
    return x.unsqueeze(-3).expand(*x.shape[:-3], x.size(-3), times, *x.shape[-2:]).reshape(*x.shape[:-3], heads, *x.shape[-2:])


@lower_precision
def scaled_dot_product_attention(query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                                 dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                                 enable_gqa: bool = False) -> Tensor:  # fmt: skip
    """softmax(q k^T * scale + mask) v.

    Shape: query (*, L, E), key (*, S, E), value (*, S, Ev); result (*, L, Ev). `attn_mask`: bool, True takes part, or floats
    that are added; `scale` is 1 / sqrt(E) by default; `dropout_p` always applies. `is_causal` may be a 0-d bool tensor beside a
    mask of floats: see Note [Causal or not] in nn/modules/transformer.py.
    Raises: RuntimeError if both a mask and `is_causal` are given.
    Reference: https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.scaled_dot_product_attention.html
    """
    looked_up = isinstance(is_causal, Tensor) and attn_mask is not None and attn_mask.dtype is not bool_
    if not looked_up and is_causal and attn_mask is not None:
        raise RuntimeError("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if query.dtype is not key.dtype or query.dtype is not value.dtype:
        names = [_CPP[t.dtype.scalar_name] for t in (query, key, value)]
        raise RuntimeError(
            "Expected query, key, and value to have the same dtype, but got query.dtype: "
            f"{names[0]} key.dtype: {names[1]} and value.dtype: {names[2]} instead."
        )
    if enable_gqa:
        key, value = _repeat_heads(key, query.size(-3)), _repeat_heads(value, query.size(-3))
    if scale is None:
        scale = 1 / math.sqrt(query.size(-1)) if query.size(-1) else 1.0
    if not dropout_p and (common := _common(query, key, value, attn_mask)):
        known, unknown = (False, is_causal) if looked_up else (bool(is_causal), None)
        return _fused(*common, unknown, causal=known, scale=float(scale))[0]
    weights = _probabilities(query, key, attn_mask, is_causal if looked_up else bool(is_causal), scale)
    return matmul(dropout(weights, dropout_p) if dropout_p else weights, value)


# -- several heads -------------------------------------------------------------------------------------------------------------


def _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads):
    """Whether there is a batch dimension; AssertionError if the arguments' ranks do not fit."""
    n = query.dim()
    if n not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor")
    kind = "batched (3-D)" if n == 3 else "unbatched (2-D)"
    if key.dim() != n or value.dim() != n:
        raise AssertionError(
            f"For {kind} `query`, expected `key` and `value` to be {n}-D but found {key.dim()}-D and {value.dim()}-D tensors "
            "respectively"
        )
    if key_padding_mask is not None and key_padding_mask.dim() != n - 1:
        raise AssertionError(
            f"For {kind} `query`, expected `key_padding_mask` to be `None` or {n - 1}-D but found {key_padding_mask.dim()}-D "
            "tensor instead"
        )
    if attn_mask is not None:
        if attn_mask.dim() not in (2, 3):
            raise AssertionError(
                f"For {kind} `query`, expected `attn_mask` to be `None`, 2-D or 3-D but found {attn_mask.dim()}-D tensor instead"
            )
        if n == 2 and attn_mask.dim() == 3:
            expected = (num_heads, query.size(0), key.size(0))
            if tuple(attn_mask.shape) != expected:
                raise AssertionError(f"Expected `attn_mask` shape to be {expected} but got {attn_mask.shape}")
    return n == 3


def canonical_mask(mask, mask_name, other_type, other_name, target_type, check_other=True):
    """A mask as floats to add: -inf where a bool mask is True."""
    if mask is None:
        return None
    if mask.dtype is not bool_ and not mask.is_floating_point():
        raise AssertionError(f"only bool and floating types of {mask_name} are supported")
    if check_other and other_type is not None and mask.dtype is not other_type:
        warnings.warn(
            f"Support for mismatched {mask_name} and {other_name} is deprecated. Use same type for both instead.", stacklevel=3
        )
    if mask.is_floating_point():
        return mask
    return where(mask, full((), -_INF, dtype=target_type), zeros((), dtype=target_type))


def _linear(x, weight, bias):
    """linear; what is batch first in memory stays so, and nothing is copied."""
    swapped = x.transpose(0, 1)
    if x.is_contiguous() or not swapped.is_contiguous():
        return linear(x, weight, bias)
    return linear(swapped, weight, bias).transpose(0, 1)


def _project(query, key, value, in_weight, in_bias, separate, q_weight, k_weight, v_weight):
    biases = (None,) * 3 if in_bias is None else in_bias.chunk(3)
    if separate:
        weights = (q_weight, k_weight, v_weight)
    elif key is value and query is key:
        return _linear(query, in_weight, in_bias).chunk(3, -1)
    else:
        weights = in_weight.chunk(3)
    return tuple(_linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases, strict=True))


def _check_mask_shape(attn_mask, length, source, batch_heads):
    if attn_mask.dim() == 2:
        if tuple(attn_mask.shape) != (length, source):
            raise RuntimeError(f"The shape of the 2D attn_mask is {attn_mask.shape}, but should be {(length, source)}.")
        return attn_mask.unsqueeze(0)
    if tuple(attn_mask.shape) != (batch_heads, length, source):
        raise RuntimeError(f"The shape of the 3D attn_mask is {attn_mask.shape}, but should be {(batch_heads, length, source)}.")
    return attn_mask


def multi_head_attention_forward(
    query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v, add_zero_attn, dropout_p,
    out_proj_weight, out_proj_bias, training=True, key_padding_mask=None, need_weights=True, attn_mask=None,
    use_separate_proj_weight=False, q_proj_weight=None, k_proj_weight=None, v_proj_weight=None, static_k=None, static_v=None,
    average_attn_weights=True, is_causal=False,
):  # fmt: skip
    """Attention of several heads, with its projections. Returns the output and, if `need_weights`, the attention weights.

    Shape: query (L, N, E) or (L, E), key and value (S, N, E) or (S, E). In bool masks True is left out.
    Reference: Vaswani et al., Attention is all you need, 2017.
    """
    batched = _check_ranks(query, key, value, key_padding_mask, attn_mask, num_heads)
    if not batched:
        # One object stays one object: self-attention needs one projection only.
        parts = {id(t): t.unsqueeze(1) for t in (query, key, value)}
        query, key, value = (parts[id(t)] for t in (query, key, value))
        key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
    length, batch, width = query.shape
    source, heads = key.size(0), batch * num_heads
    key_padding_mask = canonical_mask(key_padding_mask, "key_padding_mask", None if attn_mask is None else attn_mask.dtype,
                                      "attn_mask", query.dtype)  # fmt: skip
    if attn_mask is None and is_causal:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint. You may use the Transformer module method "
                           "`generate_square_subsequent_mask` to create this mask.")  # fmt: skip
    if key_padding_mask is not None or need_weights:
        is_causal = False
    if isinstance(is_causal, Tensor) or not is_causal:
        attn_mask = canonical_mask(attn_mask, "attn_mask", None, "", query.dtype, False)
    else:
        attn_mask = None
    if width != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {width}")
    if width % num_heads:
        raise AssertionError(f"embed_dim {width} not divisible by num_heads {num_heads}")
    if use_separate_proj_weight:
        if key.shape[:2] != value.shape[:2]:
            raise AssertionError(f"key's sequence and batch dims {key.shape[:2]} do not match value's {value.shape[:2]}")
    elif key.shape != value.shape:
        raise AssertionError(f"key shape {key.shape} does not match value shape {value.shape}")
    q, k, v = _project(query, key, value, in_proj_weight, in_proj_bias, use_separate_proj_weight, q_proj_weight, k_proj_weight,
                       v_proj_weight)  # fmt: skip
    if attn_mask is not None:
        attn_mask = _check_mask_shape(attn_mask, length, source, heads)
    extra = 0
    if bias_k is not None and bias_v is not None:
        k, v = cat([k, bias_k.expand(1, batch, -1)]), cat([v, bias_v.expand(1, batch, -1)])
        extra += 1
    size = width // num_heads
    # (batch, heads, positions, size), views of the projections
    q = q.view(length, batch, num_heads, size).permute(1, 2, 0, 3)
    k, v = (
        t.view(t.size(0), batch, num_heads, size).permute(1, 2, 0, 3) if given is None else given.reshape(batch, num_heads, -1, size)
        for t, given in ((k, static_k), (v, static_v))
    )
    if add_zero_attn:
        nothing = zeros((batch, num_heads, 1, size), dtype=k.dtype)
        k, v = cat([k, nothing], 2), cat([v, nothing], 2)
        extra += 1
    if extra and attn_mask is not None:
        attn_mask = pad(attn_mask, (0, extra))
    if key_padding_mask is not None:
        key_padding_mask = pad(key_padding_mask, (0, extra)) if extra else key_padding_mask
        attn_mask = _add_padding(attn_mask, key_padding_mask, batch, num_heads, k.size(2))
    dropout_p = dropout_p if training else 0.0
    if need_weights:
        out, weights = _attend(*(t.reshape(heads, -1, size) for t in (q, k, v)), attn_mask, dropout_p)
        out = out.transpose(0, 1).reshape(length, batch, width)
        weights = weights.reshape(batch, num_heads, length, k.size(2))
        weights = weights.mean(1) if average_attn_weights else weights
        weights = weights if batched else weights.squeeze(0)
    else:
        if attn_mask is not None:
            attn_mask = attn_mask.unsqueeze(0) if attn_mask.size(0) == 1 else attn_mask.reshape(batch, num_heads, -1, k.size(2))
        out = scaled_dot_product_attention(q, k, v, attn_mask, dropout_p, is_causal)
        out, weights = out.permute(2, 0, 1, 3).flatten(2), None
    out = _linear(out, out_proj_weight, out_proj_bias)
    return (out if batched else out.squeeze(1)), weights


def _add_padding(attn_mask, key_padding_mask, batch, num_heads, source):
    if key_padding_mask.size(0) != batch:
        raise AssertionError(f"Expected key_padded_mask.shape[0] to be {batch}, but got {key_padding_mask.size(0)}")
    if key_padding_mask.size(1) != source:
        raise AssertionError(f"Expected key_padded_mask.shape[1] to be {source}, but got {key_padding_mask.size(1)}")
    mask = key_padding_mask.reshape(batch, 1, 1, source).expand(-1, num_heads, -1, -1).reshape(batch * num_heads, 1, source)
    return mask if attn_mask is None else attn_mask + mask


def _attend(q, k, v, attn_mask, dropout_p):
    scaled = q * math.sqrt(1.0 / q.size(2))
    scores = bmm(scaled, k.transpose(-2, -1)) if attn_mask is None else baddbmm(attn_mask, scaled, k.transpose(-2, -1))
    weights = softmax(scores, -1)
    if dropout_p > 0:
        weights = dropout(weights, dropout_p)
    return bmm(weights, v), weights
