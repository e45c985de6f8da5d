"""Convolutions: every rank, stride, padding, dilation, groups, unbatched and odd sizes."""

from __future__ import annotations

from .harness import ErrorRow, Row


def conv(label, x, w, bias=True, name=None, **kw):
    """A row for conv{rank}d; `bias` adds a bias of as many elements as the weight has rows."""
    rank = len(w) - 2
    name = name or f"conv{rank}d"
    dtypes = kw.pop("dtypes", ("float32", "float64"))
    tolerance = {k: kw.pop(k) for k in ("rtol", "atol", "second") if k in kw}
    if bias:
        return Row("conv", lambda T, x, w, b: getattr(T, name)(x, w, b, **kw), lambda r: (r(*x), r(*w), r(w[0])),
                   f"{rank}d-{label}", dtypes=dtypes, **tolerance)  # fmt: skip
    return Row("conv", lambda T, x, w: getattr(T, name)(x, w, **kw), lambda r: (r(*x), r(*w)), f"{rank}d-{label}", dtypes=dtypes,
               **tolerance)  # fmt: skip


def transposed(label, x, w, bias=True, **kw):
    rank = len(w) - 2
    name, channels = f"conv_transpose{rank}d", w[1] * kw.get("groups", 1)
    tolerance = {"atol": 3e-5} | {k: kw.pop(k) for k in ("rtol", "atol") if k in kw}
    if bias:
        return Row("conv_input", lambda T, x, w, b: getattr(T, name)(x, w, b, **kw), lambda r: (r(*x), r(*w), r(channels)),
                   f"{rank}d-{label}", **tolerance)  # fmt: skip
    return Row("conv_input", lambda T, x, w: getattr(T, name)(x, w, **kw), lambda r: (r(*x), r(*w)), f"{rank}d-{label}", **tolerance)


# Sums of a few thousand products of normal numbers: PyTorch's own float32 error is of this size.
LONG = dict(rtol=1e-4, atol=3e-4)

ROWS = [
    conv("plain", (2, 3, 8, 9), (4, 3, 3, 3)),
    conv("no-bias", (2, 3, 8, 9), (4, 3, 3, 3), bias=False),
    conv("unbatched", (3, 8, 9), (4, 3, 3, 3)),
    conv("pad", (2, 3, 7, 5), (17, 3, 3, 3), padding=1),
    conv("stride", (2, 3, 11, 10), (5, 3, 3, 3), stride=2, padding=1),
    conv("stride-leftover", (2, 3, 12, 13), (5, 3, 3, 3), stride=(3, 4), padding=(0, 1)),
    conv("stride-over-kernel", (2, 3, 12, 13), (5, 3, 1, 2), stride=(3, 4)),
    conv("dilation", (2, 3, 11, 12), (5, 3, 3, 2), dilation=(2, 3), padding=2),
    conv("dilation-stride", (2, 3, 13, 14), (5, 3, 3, 3), dilation=(2, 3), stride=(2, 2), padding=(3, 1)),
    conv("same", (2, 3, 8, 9), (4, 3, 4, 3), padding="same"),
    conv("same-dilated", (2, 3, 8, 9), (4, 3, 4, 2), padding="same", dilation=(1, 3)),
    conv("valid", (2, 3, 8, 9), (4, 3, 4, 3), padding="valid"),
    conv("wide-pad", (2, 3, 4, 5), (4, 3, 3, 3), padding=4),
    conv("groups", (2, 6, 7, 8), (9, 2, 3, 3), groups=3, padding=1),
    conv("groups-wide", (2, 8, 7, 8), (40, 4, 3, 3), groups=2, padding=1),
    conv("depthwise", (2, 5, 9, 20), (5, 1, 3, 3), groups=5, padding=1),
    conv("depthwise-stride", (2, 5, 9, 40), (5, 1, 5, 5), groups=5, padding=2, stride=2),
    conv("depthwise-multiplier", (2, 4, 9, 37), (12, 1, 3, 3), groups=4, padding=1),
    *(conv(f"depthwise-{label}", (2, c, h, w), (c, 1, k, k), groups=c, second=False, bias=c % 2 == 0, **kw)
      for label, c, h, w, k, kw in [
          ("lanes", 32, 7, 7, 3, dict(padding=1)), ("odd-channels", 27, 9, 8, 3, dict(padding=1)),
          ("stride-lanes", 12, 14, 15, 3, dict(padding=1, stride=2)), ("stride-3", 16, 11, 10, 3, dict(padding=2, stride=3)),
          ("5x5", 16, 9, 10, 5, dict(padding=2)), ("5x5-stride", 14, 16, 16, 5, dict(padding=2, stride=2)),
          ("dilation", 16, 9, 10, 3, dict(padding=3, dilation=(2, 3))), ("1x1-stride", 16, 8, 9, 1, dict(stride=2)),
          ("bands", 16, 61, 48, 3, dict(padding=1, atol=3e-4)), ("wide-pad", 13, 5, 6, 3, dict(padding=5)),
          ("dilation-stride", 16, 12, 13, 3, dict(padding=(1, 4), dilation=(3, 2), stride=(2, 3)))]),
    conv("pointwise", (2, 19, 5, 7), (23, 19, 1, 1)),
    *(conv(f"pointwise-{label}", (n, c * g, *size), (o * g, c, *[1] * len(size)), groups=g, second=False, bias=c != o)
      for label, n, c, o, g, size in [
          ("wide", 3, 24, 40, 1, (8, 8)), ("tall", 3, 40, 24, 1, (8, 8)), ("many-rows", 2, 17, 70, 1, (16, 6)), ("one", 1, 1, 1, 1, (4, 4)),
          ("groups", 2, 24, 16, 3, (4, 8)), ("odd", 5, 33, 34, 1, (7, 9)), ("out-1", 2, 30, 1, 1, (4, 4)),
          ("line", 3, 24, 33, 1, (64,)), ("volume", 2, 16, 24, 1, (4, 4, 2)), ("deep", 1, 500, 24, 1, (4, 4))]),
    conv("pointwise-blocks", (2, 20, 29, 32), (30, 20, 1, 1), second=False, **LONG),
    *(conv(f"quarters-{label}", (n, c, h, w), (o, c, *k), second=False, bias=c != o, padding=pad, **LONG)
      for label, n, c, o, h, w, k, pad in [
          ("7", 2, 16, 17, 12, 13, (7, 7), 3), ("8", 2, 19, 16, 14, 11, (8, 8), 0), ("6x5", 2, 16, 16, 9, 15, (6, 5), (5, 1)),
          ("5x7", 3, 20, 18, 7, 16, (5, 7), (2, 6)), ("small", 2, 32, 32, 4, 5, (7, 7), 3)]),
    transposed("quarters", (2, 17, 9, 10), (17, 20, 7, 7), padding=3, **LONG),
    *(conv(f"dilated-line-{label}", (2, 16, n), (17, 16, k), second=False, bias=pad > 0, padding=pad, dilation=d)
      for label, n, k, d, pad in [("rows", 40, 3, 4, 4), ("no-pad", 48, 5, 8, 0), ("left-over", 41, 3, 4, 4), ("odd-pad", 40, 3, 4, 3),
                                  ("one-row", 24, 2, 12, 0), ("wide-pad", 20, 3, 5, 10)]),
    transposed("dilated-line", (2, 17, 40), (17, 16, 3), padding=4, dilation=4, **LONG),
    conv("pointwise-stride", (2, 19, 5, 7), (23, 19, 1, 1), stride=2),
    conv("one-pixel", (3, 4, 3, 3), (5, 4, 3, 3)),
    conv("lenet", (3, 6, 14, 14), (16, 6, 5, 5), **LONG),
    conv("alexnet", (1, 3, 39, 43), (33, 3, 11, 11), stride=4, padding=2, **LONG),
    *(conv(f"few-outputs-{o}", (2, 2, 9, 34), (o, 2, 3, 3), second=False, **LONG) for o in (1, 2, 3, 4, 5, 7)),
    conv("k-blocks", (2, 40, 9, 9), (18, 40, 3, 3), padding=1, **LONG),
    conv("pixel-blocks", (1, 2, 80, 70), (260, 2, 3, 3), padding=1, second=False, **LONG),
    conv("small-image-many-channels", (1, 40, 4, 4), (130, 40, 3, 3), padding=1, **LONG),
    conv("many-images", (21, 2, 6, 6), (4, 2, 3, 3), **LONG),
    # 3 x 3 and 5 x 5 with stride 1 and enough channels: tiles of 4 x 4 and 2 x 2 results.
    *(conv(f"tiles-{h}x{w}-pad{pad}", (n, c, h, w), (o, c, 3, 3), padding=pad, second=False, bias=pad != 0, **LONG)
      for n, c, o, h, w, pad in [(1, 32, 32, 8, 8, 1), (2, 20, 33, 9, 11, 0), (1, 24, 40, 13, 6, 2), (3, 48, 48, 3, 3, 1),
                                 (1, 64, 48, 2, 9, 1), (2, 70, 17, 5, 4, 3), (5, 48, 50, 4, 4, 1), (1, 17, 100, 10, 25, 1)]),
    *(conv(f"tiles5-{h}x{w}-pad{pad}", (n, c, h, w), (o, c, 5, 5), padding=pad, second=False, bias=pad != 0, **LONG)
      for n, c, o, h, w, pad in [(1, 32, 32, 8, 8, 2), (2, 20, 33, 9, 11, 0), (1, 40, 40, 4, 7, 5), (3, 48, 36, 3, 3, 2)]),
    # 3 x 3 with stride 2: tiles of 4 x 4 results, of 8 x 8 in the input gradient, which begin at an even or an odd pixel.
    *(conv(f"tiles-stride-{h}x{w}-pad{pad}", (n, c, h, w), (o, c, 3, 3), stride=2, padding=pad, second=False, bias=pad != 0, **LONG)
      for n, c, o, h, w, pad in [(2, 32, 48, 16, 16, 1), (2, 40, 33, 17, 9, 0), (1, 48, 64, 15, 24, 2), (3, 64, 32, 7, 8, (1, 3)),
                                 (2, 33, 64, 8, 10, (0, 2)), (2, 64, 40, 9, 12, (0, 1)), (2, 70, 64, 2, 16, 3)]),
    # 4 x 4 with stride 2: the same tiles.
    *(conv(f"tiles4-stride-{h}x{w}-pad{pad}", (n, c, h, w), (o, c, 4, 4), stride=2, padding=pad, second=False, bias=pad != 0, **LONG)
      for n, c, o, h, w, pad in [(2, 32, 48, 16, 16, 1), (2, 40, 33, 17, 9, 0), (1, 48, 64, 15, 24, 2), (3, 64, 32, 7, 8, (1, 3)),
                                 (2, 33, 64, 8, 10, (0, 2)), (2, 64, 40, 9, 12, (0, 1)), (2, 70, 64, 2, 16, 3)]),
    # 4 x 4, and taps along one dimension only.
    *(conv(f"tiles-{kh}x{kw}-{h}x{w}", (n, c, h, w), (o, c, kh, kw), padding=pad, second=False, bias=h > 5, **LONG)
      for kh, kw, n, c, o, h, w, pad in [
          (4, 4, 1, 32, 40, 9, 10, (1, 2)), (4, 4, 2, 48, 33, 5, 4, 0), (1, 3, 2, 33, 40, 6, 9, (0, 1)), (1, 5, 3, 48, 32, 4, 12, (0, 2)),
          (1, 4, 2, 40, 48, 7, 11, (1, 0)), (3, 1, 2, 33, 40, 9, 6, (2, 0)), (5, 1, 3, 48, 32, 12, 4, (2, 1)), (4, 1, 2, 32, 32, 9, 7, (1, 0)),
          (1, 7, 2, 48, 40, 5, 17, (0, 3)), (7, 1, 2, 40, 48, 16, 6, (3, 0))]),
    *(conv(f"tiles-{k}-of-{w}", (n, c, w), (o, c, k), padding=pad, second=k == 3, **LONG)
      for k, n, c, o, w, pad in [(3, 3, 36, 48, 30, 1), (3, 2, 64, 40, 3, 0), (4, 4, 48, 33, 21, 3), (5, 5, 50, 32, 18, 2), (7, 3, 64, 48, 19, 3)]),
    conv("tiles-stride-slabs", (2, 64, 72, 70), (48, 64, 3, 3), stride=2, padding=1, dtypes=("float32",), second=False, rtol=1e-4, atol=3e-3),
    conv("tiles-many-channels", (1, 200, 8, 9), (70, 200, 3, 3), padding=1, second=False, **LONG),
    conv("tiles-twice", (1, 32, 5, 6), (32, 32, 3, 3), padding=1, **LONG),
    conv("tiles-slabs", (3, 36, 70, 71), (40, 36, 3, 3), padding=1, dtypes=("float32",), second=False, rtol=1e-4, atol=3e-3),
    # Channels in the lanes: rows of every width, far apart pixels, bands, several images to a tile, odd numbers of channels.
    *(conv(f"lanes-{w}", (3, 9, 5, w), (o, 9, 3, 2), stride=2, padding=1, second=False, **LONG)
      for w, o in [(1, 13), (3, 27), (4, 40), (7, 13), (12, 45), (15, 61), (29, 14), (57, 25)]),
    *(conv(f"lanes-unit-stride-{w}", (2, 9, 4, w), (o, 9, 2, 3), padding=1, second=False, **LONG)
      for w, o in [(2, 31), (6, 13), (14, 16), (31, 30), (64, 63)]),
    conv("lanes-stride-3", (2, 12, 17, 20), (40, 12, 5, 5), stride=3, padding=2, second=False, **LONG),
    conv("lanes-patches", (2, 6, 13, 14), (36, 6, 4, 4), stride=4, second=False, **LONG),
    conv("lanes-patches-pad", (2, 6, 13, 14), (36, 6, 4, 3), stride=(2, 5), padding=1, second=False, **LONG),
    conv("lanes-groups", (2, 26, 9, 8), (32, 13, 2, 2), groups=2, stride=2, **LONG),
    conv("lanes-dilation", (2, 16, 11, 12), (15, 16, 3, 2), dilation=(2, 3), stride=2, padding=2, second=False, **LONG),
    conv("lanes-bands", (1, 13, 70, 40), (45, 13, 2, 2), second=False, **LONG),
    conv("lanes-empty", (0, 16, 8, 8), (16, 16, 3, 3), stride=2),
    conv("lanes", (9, 14, 33), (44, 14, 4), padding=2, **LONG),
    conv("lanes", (2, 6, 5, 6, 7), (13, 6, 2, 3, 2), stride=(1, 2, 1), padding=1, second=False, **LONG),
    # Images in the lanes: full and part groups, every width of a tile, strides, taps beyond every edge, several bands.
    *(conv(f"images-{n}x{c}-{o}", (n, c, h, w), (o, c, *k), second=False, **kw, **LONG)
      for n, c, o, h, w, k, kw in [
          (16, 1, 6, 9, 12, (5, 5), {}), (17, 2, 7, 8, 6, (3, 2), dict(padding=(1, 2))), (30, 1, 1, 7, 9, (3, 3), dict(stride=2)),
          (31, 3, 2, 6, 7, (2, 4), dict(stride=(3, 2), padding=1)), (16, 1, 3, 5, 5, (3, 3), dict(padding=4)),
          (15, 2, 4, 12, 11, (3, 3), dict(dilation=(2, 3), padding=3)), (33, 1, 5, 4, 30, (1, 5), dict(padding=(0, 2))),
          (16, 1, 16, 28, 27, (3, 3), dict(stride=2, padding=1)), (16, 1, 13, 40, 18, (4, 3), dict(stride=(1, 3), bias=False))]),
    conv("images", (32, 1, 50), (6, 1, 7), stride=2, padding=3, second=False, **LONG),
    # A kernel as large as the image: one product.
    *(conv(f"whole-{o}", (n, c, 3, 4), (o, c, 3, 4), stride=o % 3 + 1, **LONG)
      for n, c, o in [(5, 4, 7), (3, 60, 1), (1, 4, 1), (20, 5, 40)]),
    conv("not-whole-dilation", (3, 4, 3, 5), (6, 4, 3, 5), dilation=2, padding=(2, 4), **LONG),
    conv("whole", (5, 3, 9), (4, 3, 9)),
    conv("whole", (2, 3, 2, 3, 4), (5, 3, 2, 3, 4), **LONG),
    conv("empty-batch", (0, 3, 8, 9), (4, 3, 3, 3)),
    conv("half", (2, 3, 8, 9), (4, 3, 3, 3), dtypes=("bfloat16", "float16"), rtol=2e-2, atol=2e-2),
    Row("conv", lambda T, x, w: T.conv2d(x, w), lambda r: (r(2, 3, 8, 9), r(4, 3, 3, 3)), "int", dtypes=("int64",)),
    conv("plain", (2, 3, 20), (4, 3, 3)),
    conv("unbatched", (3, 20), (4, 3, 3), stride=2),
    conv("long", (2, 3, 700), (4, 3, 9), padding=4, dilation=2, **LONG),
    conv("groups", (2, 6, 20), (4, 3, 3), groups=2, padding="same"),
    conv("depthwise", (2, 24, 20), (24, 1, 3), groups=24, padding=1, stride=2),
    conv("plain", (2, 3, 5, 6, 7), (4, 3, 3, 2, 3)),
    conv("stride", (2, 3, 7, 6, 7), (4, 3, 3, 3, 3), stride=(2, 1, 2), padding=1),
    conv("dilation-groups", (2, 4, 7, 8, 7), (6, 2, 2, 3, 2), dilation=(2, 1, 3), padding=(1, 0, 2), groups=2),
    conv("unbatched", (3, 5, 6, 7), (4, 3, 3, 3, 3)),
    transposed("plain", (2, 4, 5, 6), (4, 3, 3, 3)),
    transposed("no-bias", (2, 4, 5, 6), (4, 17, 3, 3), bias=False),
    transposed("unbatched", (4, 5, 6), (4, 3, 3, 3)),
    transposed("stride", (2, 4, 5, 6), (4, 3, 3, 3), stride=2, padding=1, output_padding=1),
    transposed("stride-over-kernel", (2, 4, 5, 6), (4, 3, 2, 2), stride=3, output_padding=(1, 2)),
    transposed("dilation-groups", (2, 4, 5, 6), (4, 3, 3, 2), stride=(2, 3), padding=1, dilation=(3, 2), groups=2),
    transposed("output-padding-dilation", (2, 4, 5, 6), (4, 3, 3, 3), dilation=2, output_padding=1),
    transposed("depthwise", (2, 24, 7, 6), (24, 1, 3, 3), stride=2, padding=1, output_padding=1, groups=24),
    transposed("depthwise-dilation", (2, 24, 7, 6), (24, 1, 3, 2), stride=(1, 3), padding=1, dilation=2, groups=24),
    transposed("tiles", (2, 32, 7, 9), (32, 40, 3, 3), padding=2, **LONG),
    transposed("tiles-stride", (2, 64, 9, 8), (64, 48, 3, 3), stride=2, padding=1, output_padding=1, **LONG),
    *(transposed(f"tiles4-stride-pad{pad}", (2, 64, 6, 9), (64, 48, 4, 4), stride=2, padding=pad, output_padding=pad % 2, **LONG)
      for pad in range(4)),
    *(transposed(f"tiles-{k}", (2, 64, 17), (64, 48, k), padding=k // 2, **LONG) for k in (3, 4, 5, 7)),
    transposed("lanes", (3, 16, 4, 4), (16, 33, 4, 4), stride=2, padding=1, **LONG),
    transposed("lanes-gaps", (2, 24, 4, 5), (24, 14, 2, 2), stride=3, output_padding=(1, 2), **LONG),
    transposed("lanes-bands", (2, 12, 40, 20), (12, 45, 3, 3), stride=2, padding=1, output_padding=1, **LONG),
    *(transposed(f"images-{n}x{c}-{o}", (n, c, h, w), (c, o, *k), **kw, **LONG)
      for n, c, o, h, w, k, kw in [
          (16, 8, 6, 5, 6, (5, 5), {}), (17, 9, 1, 4, 5, (3, 3), dict(stride=2, padding=1, output_padding=1)),
          (32, 4, 2, 6, 3, (2, 3), dict(stride=(3, 2))), (16, 6, 7, 7, 5, (4, 4), dict(stride=2, padding=1)),
          (30, 3, 3, 5, 4, (3, 2), dict(dilation=(2, 3), padding=1)), (16, 5, 4, 20, 9, (3, 3), dict(padding=2, bias=False))]),
    transposed("whole", (5, 6, 1, 1), (6, 7, 3, 4), **LONG),
    transposed("whole-no-bias", (5, 6, 1, 1), (6, 7, 3, 4), bias=False, **LONG),
    transposed("stride", (2, 4, 9), (4, 3, 4), stride=2, padding=1),
    transposed("unbatched", (4, 9), (4, 3, 4), stride=2, padding=1),
    transposed("stride", (1, 4, 3, 4, 3), (4, 2, 3, 2, 3), stride=2, padding=(1, 0, 1)),
]


def raises(label, x, w, b=None, name="conv2d", **kw):
    return ErrorRow("conv", lambda T: getattr(T, name)(T.ones(*x), T.ones(*w), None if b is None else T.ones(*b), **kw), label)


IMAGE, KERNEL = (1, 3, 8, 8), (4, 3, 3, 3)
ROWS += [
    Row("conv", lambda T, x, w, b, p=p: T.nn.functional.conv_tbc(x, w, b, p), lambda r: (r(9, 2, 3), r(4, 3, 5), r(5)), f"tbc-{p}", rtol=1e-4, atol=1e-4, layouts=False)  # PyTorch wants them contiguous
    for p in (0, 1, 3)
]
ROWS += [
    Row("conv", lambda T, x, w, b: T.conv_tbc(x, w, b), lambda r: (r(3, 2, 3), r(4, 3, 5), r(5)), "tbc-short", grad=False),
    Row("conv", lambda T, x, w, b: T.conv_tbc(x, w, b, pad=1), lambda r: (r(4, 0, 3), r(4, 3, 5), r(5)), "tbc-empty", second=False),
]


def tbc(label, *shapes, **kw):
    return ErrorRow("conv", lambda T: T.conv_tbc(*[T.ones(*s) for s in shapes], **kw), f"tbc-{label}")


ERRORS = [
    tbc("input", (2, 3), (3, 3, 4), (4,)),
    tbc("weight", (5, 2, 3), (3, 4), (4,)),
    tbc("bias", (5, 2, 3), (3, 3, 4), (4, 1)),
    tbc("channels", (5, 2, 3), (3, 2, 4), (4,)),
    tbc("bias-size", (5, 2, 3), (3, 3, 4), (3,)),
    ErrorRow("conv", lambda T: T.conv_tbc(T.ones(5, 2, 3), T.ones(3, 3, 4).double(), T.ones(4)), "tbc-dtype"),
    ErrorRow("conv", lambda T: T.conv_tbc(T.ones(5, 2, 3), T.ones(3, 3, 4), None), "tbc-no-bias"),
    raises("rank", (8, 8), KERNEL),
    raises("rank-1d", (8,), (4, 3, 3), name="conv1d"),
    raises("rank-3d", (8, 8), (4, 3, 3, 3, 3), name="conv3d"),
    raises("weight-rank", IMAGE, (4, 3, 3)),
    raises("channels", IMAGE, (4, 2, 3, 3)),
    raises("channels-unbatched", (3, 8, 8), (4, 2, 3, 3)),
    raises("channels-groups", IMAGE, KERNEL, groups=2),
    raises("large-kernel", (1, 3, 2, 2), KERNEL),
    raises("large-dilated-kernel", (1, 3, 4, 4), KERNEL, dilation=2),
    raises("large-kernel-1d", (1, 3, 2), (4, 3, 3), name="conv1d"),
    raises("empty-image", (1, 3, 0, 8), KERNEL),
    raises("empty-kernel", IMAGE, (4, 3, 0, 3)),
    raises("bias", IMAGE, KERNEL, (5,)),
    raises("bias-rank", IMAGE, KERNEL, (4, 1)),
    raises("stride", IMAGE, KERNEL, stride=0),
    raises("padding", IMAGE, KERNEL, padding=-1),
    raises("dilation", IMAGE, KERNEL, dilation=0),
    raises("groups", IMAGE, KERNEL, groups=0),
    raises("groups-weight", IMAGE, (4, 1, 3, 3), groups=3),
    raises("strides", IMAGE, KERNEL, stride=(1, 1, 1)),
    raises("paddings", IMAGE, KERNEL, padding=(1, 1, 1)),
    raises("dilations", IMAGE, KERNEL, dilation=(1, 1, 1)),
    raises("same-stride", IMAGE, KERNEL, stride=2, padding="same"),
    raises("padding-name", IMAGE, KERNEL, padding="foo"),
    ErrorRow("conv", lambda T: T.conv2d(T.ones(*IMAGE).double(), T.ones(*KERNEL)), "dtype"),
    ErrorRow("conv", lambda T: T.conv2d(T.ones(*IMAGE), T.ones(*KERNEL).double()), "weight-dtype"),
    ErrorRow("conv", lambda T: T.conv2d(T.ones(*IMAGE), T.ones(*KERNEL), T.ones(4).double()), "bias-dtype"),
    raises("transposed-channels", IMAGE, (4, 2, 3, 3), name="conv_transpose2d"),
    raises("transposed-rank", (8, 8), (4, 2, 3, 3), name="conv_transpose2d"),
    raises("transposed-bias", (1, 4, 8, 8), (4, 2, 3, 3), (3,), name="conv_transpose2d"),
    raises("output-padding", (1, 4, 8, 8), (4, 2, 3, 3), name="conv_transpose2d", output_padding=1),
    raises("output-padding-1d", (1, 4, 8), (4, 2, 3), name="conv_transpose1d", output_padding=1),
    raises("output-padding-3d", (1, 4, 8, 8, 8), (4, 2, 3, 3, 3), name="conv_transpose3d", output_padding=1),
    raises("negative-output-padding", (1, 4, 8, 8), (4, 2, 3, 3), name="conv_transpose2d", output_padding=-1),
    raises("no-output", (1, 4, 1, 1), (4, 2, 1, 1), name="conv_transpose2d", padding=1),
    raises("transposed-groups", (1, 4, 8, 8), (4, 2, 3, 3), name="conv_transpose2d", groups=3),
]
