"""Resizing, shuffling and sliding blocks of images; distances and similarities."""

from __future__ import annotations

from .harness import HALFS, ErrorRow, Row


def F(T):
    return T.nn.functional


def resize(op, shape, mode, label="", dtypes=("float32", "float64"), **kw):
    text = "-".join(f"{k}={v}" for k, v in kw.items()).replace(" ", "")
    call = lambda T, x: F(T).interpolate(x, mode=mode, **kw)  # noqa: E731
    return Row(f"upsample_{op}", call, lambda r: r(*shape), f"{text}-{label}", dtypes=dtypes)


S1, S2, S3 = (2, 3, 5), (2, 3, 4, 5), (1, 2, 3, 4, 5)
ROWS = [
    *[resize(f"{name}{n}d", s, mode, scale_factor=f) for name, mode in (("nearest", "nearest"), ("nearest_exact", "nearest-exact"))
      for n, s in ((1, S1), (2, S2), (3, S3)) for f in (2, 0.6)],
    *[resize(f"{m}2d", S2, m, f"{m}_{h}x{w}", size=(h, w)) for m in ("nearest", "bilinear") for h, w in ((1, 40), (33, 2), (2, 2))],
    *[resize("nearest2d", S2, "nearest", size=size) for size in (7, (3, 11), (4, 5), (1, 1))],
    *[resize(op, s, mode, align_corners=a, **kw)
      for op, mode, s in (("linear1d", "linear", S1), ("bilinear2d", "bilinear", S2), ("trilinear3d", "trilinear", S3),
                          ("bicubic2d", "bicubic", S2))
      for a in (False, True) for kw in ({"size": 7}, {"size": 2}, {"size": 1}, {"scale_factor": 1.7}, {"scale_factor": 0.6})],
    *[resize(f"{m}2d_aa", S2, m, antialias=True, size=size) for m in ("bilinear", "bicubic") for size in ((2, 3), (9, 3), (1, 1))],
    resize("bilinear2d", S2, "bilinear", scale_factor=1.7, recompute_scale_factor=True),
    resize("bilinear2d", S2, "bilinear", "half", dtypes=HALFS, size=7),
    Row("adaptive_avg_pool2d", lambda T, x: F(T).interpolate(x, (2, 3), mode="area"), lambda r: r(*S2), "area"),
    Row("pixel_shuffle", lambda T, x: F(T).pixel_shuffle(x, 2), lambda r: r(2, 8, 3, 2)),
    Row("pixel_shuffle", lambda T, x: F(T).pixel_shuffle(x, 3), lambda r: r(9, 3, 2), "unbatched"),
    Row("pixel_unshuffle", lambda T, x: F(T).pixel_unshuffle(x, 2), lambda r: r(2, 3, 4, 6)),
    Row("channel_shuffle", lambda T, x: F(T).channel_shuffle(x, 3), lambda r: r(2, 6, 3, 2)),
    Row("channel_shuffle", lambda T, x: (F(T).native_channel_shuffle(x, 3), T.native_channel_shuffle(x, 2)), lambda r: r(2, 6, 3), "native", grad=False),
    Row("im2col", lambda T, x: F(T).unfold(x, 2), lambda r: r(2, 3, 4, 5)),
    Row("im2col", lambda T, x: F(T).unfold(x, (2, 3), dilation=(2, 1), padding=(1, 2), stride=(1, 2)), lambda r: r(2, 3, 4, 5), "all"),
    Row("im2col", lambda T, x: F(T).unfold(x, 2, stride=2), lambda r: r(3, 4, 5), "unbatched"),
    Row("col2im", lambda T, x: F(T).fold(x, (4, 5), 2), lambda r: r(2, 8, 12)),
    Row("col2im", lambda T, x: F(T).fold(x, (4, 5), (2, 3), dilation=(2, 1), padding=(1, 2), stride=(1, 2)),
        lambda r: r(2, 12, 16), "all"),
    Row("col2im", lambda T, x: F(T).fold(x, (4, 5), 2), lambda r: r(8, 12), "unbatched"),
    Row("mm", lambda T, a, b, w, c: F(T).bilinear(a, b, w, c), lambda r: (r(2, 5, 3), r(2, 5, 4), r(6, 3, 4), r(6)), "bilinear"),
    Row("norm", lambda T, a, b: F(T).cosine_similarity(a, b), lambda r: (r(3, 4), r(3, 4)), "cosine"),
    Row("floored", lambda T, a, b: F(T).cosine_similarity(a * T.tensor([[1.0], [0.0], [1e-3]], dtype=a.dtype), b, eps=0.5), lambda r: (r(3, 4), r(3, 4)), "cosine-floor", second=False),
    Row("norm", lambda T, a, b: F(T).cosine_similarity(a, b, dim=-1), lambda r: (r(2, 1, 4), r(3, 4)), "cosine-broadcast"),
    Row("norm", lambda T, a, b: F(T).pairwise_distance(a, b), lambda r: (r(3, 4), r(3, 4)), "distance"),
    Row("norm", lambda T, a, b: F(T).pairwise_distance(a, b, p=1, keepdim=True), lambda r: (r(3, 4), r(4)), "distance-1"),
    Row("norm", lambda T, a: F(T).normalize(a), lambda r: r(3, 4), "normalize"),
    Row("norm", lambda T, a: F(T).normalize(a, p=1, dim=0), lambda r: r(3, 4), "normalize-1"),
]  # fmt: skip


def sample(mode, padding_mode, align_corners, shapes=((2, 3, 4, 5), (2, 6, 7, 2))):
    call = lambda T, x, g: F(T).grid_sample(x, g * 0.9, mode, padding_mode, align_corners)  # noqa: E731
    op = f"grid_sampler_{len(shapes[0]) - 2}d"
    return Row(op, call, lambda r: (r(*shapes[0]), r(*shapes[1])), f"{mode}-{padding_mode}-{align_corners}-{list(shapes[1])}",
               second=False, rtol=1e-4, atol=1e-4)  # fmt: skip


ROWS += [sample(m, p, a) for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border", "reflection") for a in (False, True)]
ROWS += [sample(m, p, a, ((1, 2, 3, 4, 5), (1, 2, 3, 4, 3))) for m in ("bilinear", "nearest") for p in ("zeros", "border", "reflection") for a in (False, True)]
ROWS += [sample(m, "reflection", True, ((1, 9, 1, 5), (1, 13, 17, 2))) for m in ("bilinear", "nearest", "bicubic")]
ROWS += [sample("bilinear", "zeros", False, s) for s in (((2, 0, 4, 5), (2, 3, 3, 2)), ((0, 3, 4, 5), (0, 3, 3, 2)), ((2, 3, 4, 5), (2, 0, 3, 2)))]
ROWS += [sample("bicubic", p, False, ((2, 1, 20, 30), (2, 16, 8, 2))) for p in ("zeros", "reflection")]


def odd_places(mode, padding_mode, dims):
    """Places that are infinite, far away or no numbers."""
    def call(T, x):
        inf, nan = float("inf"), float("nan")
        g = T.tensor([[nan, 0.0], [inf, 0.0], [-inf, 0.25], [1e20, 0.0], [0.0, nan], [-1.0, 1.0], [3.0, -5.0]], dtype=x.dtype)
        g = T.cat([g, g[:, :1] * 0.5], 1) if dims == 3 else g
        return F(T).grid_sample(x, g.reshape(1, *([1] * (dims - 1)), 7, dims), mode, padding_mode, align_corners=False)
    return Row(f"grid_sampler_{dims}d", call, lambda r: r(1, 2, *(3, 4, 5)[-dims:]), f"odd-{mode}-{padding_mode}", grad=False)  # fmt: skip


# In a volume PyTorch reflects what is infinite to a place that depends on how it is compiled.
ROWS += [odd_places(m, p, 2) for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border")]
ROWS += [odd_places(m, p, 3) for m in ("bilinear", "nearest") for p in ("zeros", "border")]
ROWS += [
    Row("bmm", lambda T, t, a=a, s=s: F(T).affine_grid(t, s, a), lambda r, s=s: r(2, len(s) - 2, len(s) - 1), f"affine-{len(s)}-{a}")
    for a in (False, True) for s in ((2, 3, 4, 5), (2, 3, 1, 4, 5))
]  # fmt: skip


def unmoved(size, align_corners):
    """Where a spatial transformer begins: every place is a pixel's centre, and rounding decides on which side of it the slope is."""
    def call(T, x):
        n = len(size) - 2
        theta = T.eye(n, n + 1, dtype=x.dtype).expand(size[0], n, n + 1).clone().requires_grad_(x.requires_grad)
        places = F(T).affine_grid(theta, size, align_corners)
        out = F(T).grid_sample(x, places, align_corners=align_corners)
        return out, *(T.autograd.grad(out.sum(), places, retain_graph=True) if x.requires_grad else ())
    return Row(f"grid_sampler_{len(size) - 2}d", call, lambda r: r(*size), f"unmoved-{size}-{align_corners}", layouts=False, second=False, atol=1e-4)


ROWS += [unmoved(s, a) for s in ((2, 3, 28, 28), (1, 2, 9, 14), (1, 1, 5, 6, 7)) for a in (False, True)]


def error(op, label, call):
    return ErrorRow(op, lambda T: call(F(T), T.ones(2, 3, 4, 5)), label)


ERRORS = [
    *[error("upsample_nearest2d", str(i), lambda f, x, kw=kw: f.interpolate(x, **kw)) for i, kw in enumerate([
        {}, {"size": 3, "scale_factor": 2}, {"size": (1, 2, 3)}, {"scale_factor": (1, 2, 3)}, {"size": 3, "mode": "foo"},
        {"size": 3, "align_corners": True}, {"size": 0}, {"scale_factor": 2, "antialias": True}, {"size": 7, "mode": "linear"},
        {"size": 3, "recompute_scale_factor": True}])],
    error("upsample_nearest2d", "rank", lambda f, x: f.interpolate(x[0, 0], 4)),
    *[error("grid_sampler_2d", f"grid-{i}", lambda f, x, s=s, kw=kw: f.grid_sample(x, x.new_zeros(s), align_corners=False, **kw))
      for i, (s, kw) in enumerate([((1, 6, 7, 2), {}), ((2, 6, 7, 1), {}), ((2, 6, 7, 2), {"mode": "foo"}),
                                   ((2, 6, 7, 2), {"padding_mode": "foo"}), ((2, 7, 2), {})])],
    error("grid_sampler_2d", "empty", lambda f, x: f.grid_sample(x[:, :, :0], x.new_zeros(2, 6, 7, 2), align_corners=False)),
    error("grid_sampler_3d", "rank", lambda f, x: f.grid_sample(x[0], x.new_zeros(2, 7, 1), align_corners=False)),
    error("grid_sampler_3d", "bicubic", lambda f, x: f.grid_sample(x[None, :, :, :, :, 0].reshape(1, 2, 3, 4, 1), x.new_zeros(1, 6, 7, 2, 3), "bicubic", align_corners=False)),
    error("grid_sampler_2d", "long", lambda f, x: f.grid_sample(x.long(), x.new_zeros(2, 6, 7, 2).long(), align_corners=False)),
    *[error("bmm", f"affine-{i}", lambda f, x, s=s, size=size: f.affine_grid(x.new_zeros(s), size, False))
      for i, (s, size) in enumerate([((2, 2, 3), (2, 3, 4)), ((2, 2, 2), (2, 3, 4, 5)), ((2, 2, 3), (2, 3, 4, 0))])],
    error("pixel_shuffle", "channels", lambda f, x: f.pixel_shuffle(x, 2)),
    error("pixel_shuffle", "rank", lambda f, x: f.pixel_shuffle(x[0, 0], 2)),
    error("pixel_shuffle", "factor", lambda f, x: f.pixel_shuffle(x, 0)),
    error("pixel_unshuffle", "width", lambda f, x: f.pixel_unshuffle(x, 2)),
    error("channel_shuffle", "groups", lambda f, x: f.channel_shuffle(x, 2)),
    error("im2col", "size", lambda f, x: f.unfold(x, 9)),
    error("im2col", "stride", lambda f, x: f.unfold(x, 2, stride=0)),
    error("im2col", "type", lambda f, x: f.unfold(x.long(), 2)),
    error("col2im", "blocks", lambda f, x: f.fold(f.unfold(x, 2), (4, 6), 2)),
    error("col2im", "channels", lambda f, x: f.fold(x.flatten()[:15].reshape(1, 5, 3), (4, 6), 2)),
    error("col2im", "rank", lambda f, x: f.fold(x, (4, 5), 2)),
]  # fmt: skip
