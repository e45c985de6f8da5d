// Depthwise convolution with channels in the vector lanes: a pixel of L channels is one vector, so that neither the width of
// an image nor the stride wastes lanes. Images are taken in bands of rows, transposed on the way in and out.
#pragma once

#include "channels.h"
#include "conv.h"

namespace rl {
namespace {

struct Depthwise {
  using V = Simd<float>::vec;
  static constexpr int64_t L = Simd<float>::lanes;
  static constexpr int64_t kBandPixels = 448, kBandRows = 8;

  const ConvGeometry& q;
  int64_t blocks;

  explicit Depthwise(const ConvGeometry& g) : q(g), blocks((g.C + L - 1) / L) {}

  // Two-dimensional, a channel to a group, and enough channels to fill the lanes.
  static bool fits(const ConvGeometry& q) {
    return q.C == q.G && q.O == q.G && q.k[0] == 1 && q.in[0] == 1 && q.out[0] == 1 && q.C * 3 >= (q.C + L - 1) / L * L * 2;
  }

  // Rows [y0, y1) of a plane of H x W, with `left` zeros before each and as many after as fill `pitch`; zeros for rows outside.
  struct Band {
    int64_t H, W, left, pitch;

    void load(const float* s, int64_t channels, int64_t y0, int64_t y1, float* rows, float* out) const {
      const int64_t lo = std::clamp<int64_t>(0, y0, y1), hi = std::clamp<int64_t>(H, lo, y1);
      const int64_t skip = std::max<int64_t>(0, -left), at = std::min(pitch, std::max<int64_t>(0, left));
      const int64_t n = std::max<int64_t>(0, std::min(W - skip, pitch - at));
      set_run(out, 0.0f, (lo - y0) * pitch * L);
      set_run(out + (hi - y0) * pitch * L, 0.0f, (y1 - hi) * pitch * L);
      if (hi == lo) return;
      const bool straight = W >= 16 && W % 8 == 0 && skip == 0;
      if (!straight) channels_last<float>(s + lo * W, H * W, (hi - lo) * W, channels, rows);
      for (int64_t y = lo; y < hi; ++y) {
        float* o = out + (y - y0) * pitch * L;
        set_run(o, 0.0f, at * L);
        if (straight) channels_last<float>(s + y * W, H * W, n, channels, o + at * L);
        else copy_run(o + at * L, rows + ((y - lo) * W + skip) * L, n * L);
        set_run(o + (at + n) * L, 0.0f, (pitch - at - n) * L);
      }
    }
  };

  // n pixels: to[i * to_step] = bias + sum_t w[t] * from[t][i * step].
  template <int N>
  static void pixels(const float* const* from, const float* const* w, int64_t count, int64_t step, int64_t at, V bias, float low,
                     float* to, int64_t to_step) {
    V a[N];
    for (int i = 0; i < N; ++i) a[i] = bias;
    for (int64_t t = 0; t < count; ++t) {
      const V v = Simd<float>::load(w[t]);
      const float* s = from[t] + at * step * L;
      for (int i = 0; i < N; ++i) a[i] += v * Simd<float>::load(s + i * step * L);
    }
    for (int i = 0; i < N; ++i) Simd<float>::store(to + (at + i) * to_step * L, Finish<float>::at_least(a[i], low));
  }

  static void row(const float* const* from, const float* const* w, int64_t count, int64_t step, int64_t n, V bias, float low,
                  float* to, int64_t to_step) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) pixels<8>(from, w, count, step, i, bias, low, to, to_step);
    if (i + 4 <= n) pixels<4>(from, w, count, step, i, bias, low, to, to_step), i += 4;
    if (i + 2 <= n) pixels<2>(from, w, count, step, i, bias, low, to, to_step), i += 2;
    if (i < n) pixels<1>(from, w, count, step, i, bias, low, to, to_step);
  }

  // fn(image, channel block, rows [y0, y1)) for bands of a result of H x W; one job each.
  template <class F>
  void bands(int64_t H, int64_t W, const F& fn) const {
    const int64_t most = std::min(H, std::max(kBandRows, kBandPixels / W)), cuts = (H + most - 1) / most, rows = (H + cuts - 1) / cuts;
    const int64_t per = std::max<int64_t>(1, 65536 / (rows * W * L));
    const int64_t all = q.N * blocks * cuts;
    parallel_for((all + per - 1) / per, [&](int64_t job) {
      for (int64_t i = job * per; i < std::min(all, (job + 1) * per); ++i) {
        const int64_t cut = i % cuts, block = i / cuts % blocks, n = i / (cuts * blocks);
        if (cut * rows < H) fn(n, block, cut * rows, std::min(H, (cut + 1) * rows));
      }
    });
  }

  // `flip`: the taps in reverse order.
  void forward(const float* x, const float* w, const float* b, float* y, bool flip = false) const {
    const int64_t H = q.out[1], W = q.out[2], s = q.stride[1], taps = q.taps();
    const auto end = Finish<float>::of(q, b);
    const Band band{q.in[1], q.in[2], q.pad[2], (W - 1) * q.stride[2] + (q.k[2] - 1) * q.dil[2] + 1};
    bands(H, W, [&](int64_t n, int64_t block, int64_t y0, int64_t y1) {
      const int64_t c = block * L, channels = std::min(L, q.C - c);
      const int64_t top = y0 * s - q.pad[1], height = (y1 - 1 - y0) * s + (q.k[1] - 1) * q.dil[1] + 1;
      Scratch<float> rows(height * q.in[2] * L), source(height * band.pitch * L), weights(taps * L), result((y1 - y0) * W * L);
      Scratch<const float*> from(taps), by(taps);
      band.load(x + (n * q.C + c) * q.in_pixels(), channels, top, top + height, rows, source);
      channels_last<float>(w + c * taps, taps, taps, channels, weights);
      V bias = {};
      for (int64_t i = 0; i < channels; ++i) bias[i] = end.start(c + i);
      for (int64_t t = 0; t < taps; ++t) by[t] = weights + (flip ? taps - 1 - t : t) * L;
      for (int64_t i = y0; i < y1; ++i) {
        for (int64_t t = 0; t < taps; ++t)
          from[t] = source + (((i - y0) * s + t / q.k[2] * q.dil[1]) * band.pitch + t % q.k[2] * q.dil[2]) * L;
        row(from, by, taps, q.stride[2], W, bias, end.low, result + (i - y0) * W * L, 1);
      }
      channels_first<float>(result, (y1 - y0) * W, channels, y + (n * q.C + c) * H * W + y0 * W, H * W);
    });
  }

  // The transpose in x: input i meets output o through tap t if i + pad = o * stride + t * dil.
  void transpose(const float* g, const float* w, const float* b, float* x) const {
    const int64_t H = q.in[1], W = q.in[2], taps = q.taps();
    const int64_t s0 = q.stride[1], s1 = q.stride[2];
    const auto end = Finish<float>::of(q, b);
    if (s0 == 1 && s1 == 1) {                 // a convolution of the gradient
      ConvGeometry r = q;
      for (int d = 1; d < 3; ++d) r.in[d] = q.out[d], r.out[d] = q.in[d], r.pad[d] = (q.k[d] - 1) * q.dil[d] - q.pad[d];
      return Depthwise(r).forward(g, w, b, x, true);
    }
    const int64_t left = (q.k[2] - 1) * q.dil[2];            // zeros before, so that no tap reads outside
    Scratch<int64_t> column(s1 * q.k[2]);     // of pixel j (mod the stride) and a tap: where in a row of the source, or -1
    for (int64_t j = 0; j < s1; ++j)
      for (int64_t t = 0; t < q.k[2]; ++t) {
        const int64_t v = j + q.pad[2] - t * q.dil[2] + left * s1;
        column[j * q.k[2] + t] = v % s1 ? -1 : v / s1;
      }
    const Band band{q.out[1], q.out[2], left, left + (W - 1 + q.pad[2]) / s1 + 1};
    bands(H, W, [&](int64_t n, int64_t block, int64_t y0, int64_t y1) {
      const int64_t c = block * L, channels = std::min(L, q.C - c);
      const int64_t top = (y0 + q.pad[1]) / s0 - (q.k[1] - 1) * q.dil[1], height = (y1 - 1 + q.pad[1]) / s0 + 1 - top;
      Scratch<float> rows(height * q.out[2] * L), source(height * band.pitch * L), weights(taps * L), result((y1 - y0) * W * L);
      Scratch<const float*> from(taps), by(taps);
      band.load(g + (n * q.C + c) * q.out_pixels(), channels, top, top + height, rows, source);
      channels_last<float>(w + c * taps, taps, taps, channels, weights);
      V bias = {};
      for (int64_t i = 0; i < channels; ++i) bias[i] = end.start(c + i);
      for (int64_t i = y0; i < y1; ++i)
        for (int64_t j = 0; j < std::min(s1, W); ++j) {
          int64_t count = 0;
          for (int64_t ky = 0; ky < q.k[1]; ++ky) {
            const int64_t u = i + q.pad[1] - ky * q.dil[1] - top * s0;        // not negative
            if (u % s0) continue;
            for (int64_t kx = 0; kx < q.k[2]; ++kx) {
              const int64_t at = column[j * q.k[2] + kx];
              if (at < 0) continue;
              from[count] = source + (u / s0 * band.pitch + at) * L;
              by[count++] = weights + (ky * q.k[2] + kx) * L;
            }
          }
          row(from, by, count, 1, (W - j + s1 - 1) / s1, bias, end.low, result + ((i - y0) * W + j) * L, s1);
        }
      channels_first<float>(result, (y1 - y0) * W, channels, x + (n * q.C + c) * H * W + y0 * W, H * W);
    });
  }

  // sums[t] += sum over n pixels of g * x[from[t]].
  template <int N>
  static void products(int taps, const float* const* from, int64_t step, const float* g, int64_t n, float* sums) {
    if constexpr (N > 1) {
      if (taps < N) return products<N - 1>(taps, from, step, g, n, sums);
    }
    V a[N];
    const float* s[N];
    for (int t = 0; t < N; ++t) a[t] = Simd<float>::load(sums + t * L), s[t] = from[t];
    for (int64_t i = 0; i < n; ++i) {
      const V v = Simd<float>::load(g + i * L);
#pragma GCC unroll 16
      for (int t = 0; t < N; ++t) a[t] += v * Simd<float>::load(s[t] + i * step * L);
    }
    for (int t = 0; t < N; ++t) Simd<float>::store(sums + t * L, a[t]);
  }

  // Jobs are blocks of channels and, if these are few, some of the images, whose sums are added in order.
  void weight(const float* x, const float* g, float* w) const {
    constexpr int kMost = 10;
    const int64_t H = q.out[1], W = q.out[2], taps = q.taps(), s = q.stride[1];
    const int64_t parts = (taps + kMost - 1) / kMost, most = (taps + parts - 1) / parts;
    const int64_t cuts = std::min(q.N, (15 + blocks) / blocks), rows_most = std::max<int64_t>(1, kBandPixels / W);
    const Band wide{q.in[1], q.in[2], q.pad[2], (W - 1) * q.stride[2] + (q.k[2] - 1) * q.dil[2] + 1}, narrow{H, W, 0, W};
    Scratch<float> sums(cuts * blocks * taps * L);
    parallel_for(cuts * blocks, [&](int64_t job) {
      const int64_t block = job / cuts, cut = job % cuts, c = block * L, channels = std::min(L, q.C - c);
      const int64_t height = (std::min(rows_most, H) - 1) * s + (q.k[1] - 1) * q.dil[1] + 1;
      Scratch<float> rows(std::max(height * q.in[2], rows_most * W) * L), source(height * wide.pitch * L), grad(rows_most * W * L);
      Scratch<float> band_sums(taps * L);
      Scratch<const float*> from(taps);
      float* total = sums + job * taps * L;
      set_run(total, 0.0f, taps * L);
      for (int64_t n = q.N * cut / cuts; n < q.N * (cut + 1) / cuts; ++n)
        for (int64_t y0 = 0; y0 < H; y0 += rows_most) {
          const int64_t y1 = std::min(H, y0 + rows_most), top = y0 * s - q.pad[1];
          wide.load(x + (n * q.C + c) * q.in_pixels(), channels, top, top + (y1 - 1 - y0) * s + (q.k[1] - 1) * q.dil[1] + 1, rows,
                    source);
          narrow.load(g + (n * q.C + c) * H * W, channels, y0, y1, rows, grad);
          set_run(band_sums.p, 0.0f, taps * L);
          for (int64_t i = y0; i < y1; ++i) {
            for (int64_t t = 0; t < taps; ++t)
              from[t] = source + (((i - y0) * s + t / q.k[2] * q.dil[1]) * wide.pitch + t % q.k[2] * q.dil[2]) * L;
            for (int64_t t = 0; t < taps; t += most)
              products<kMost>(static_cast<int>(std::min(most, taps - t)), from + t, q.stride[2], grad + (i - y0) * W * L, W,
                              band_sums + t * L);
          }
          for (int64_t k = 0; k < taps * L; ++k) total[k] += band_sums[k];
        }
    });
    parallel_for(blocks, [&](int64_t block) {
      float* total = sums + block * cuts * taps * L;
      for (int64_t cut = 1; cut < cuts; ++cut)
        for (int64_t k = 0; k < taps * L; ++k) total[k] += total[cut * taps * L + k];
      channels_first<float>(total, taps, std::min(L, q.C - block * L), w + block * L * taps, taps);
    });
  }
};

}  // namespace
}  // namespace rl
