// Convolution with kernels of 6 to 8 taps each way and stride 1, as one of 4 x 4 taps of four times the channels: copies of the image
// that are shifted by four pixels down, across and both ways, each for a quarter of the kernel. In Winograd's domain a result of 7 x 7
// taps takes 16 products instead of 49.
#pragma once

#include "winograd_conv.h"
#include "winograd_weight.h"

namespace rl {
namespace {

struct QuarterKernels {
  using F = UnitStride<4, 2>;
  using D = Winograd<F, F>;
  static constexpr int64_t kSide = 4, kParts = 4, kTaps = kSide * kSide, kMore = kSide - 1;
  static constexpr int64_t kCopyBytes = int64_t{16} << 20;     // of shifted images at a time

  const ConvGeometry& q;

  static bool fits(const ConvGeometry& q) {
    bool all = q.G == 1 && q.k[0] == 1 && q.in[0] == 1 && q.out[0] == 1;
    for (int d = 1; d < 3; ++d)
      all = all && q.k[d] > kSide && q.k[d] <= 2 * kSide && q.stride[d] == 1 && q.dil[d] == 1 && q.pad[d] < q.k[d];
    return all && q.k[1] + q.k[2] > 10;
  }

  // Whether this is faster than sums of taps, for results of h x w pixels from C to M channels.
  bool pays(int64_t C, int64_t M, int64_t h, int64_t w) const {
    const int64_t tiles = typename D::Grid(q.N, h, w).count, copies = q.N * kParts * C * (h + kMore) * (w + kMore) * 2 / D::L;
    return D::cost(tiles, kParts * C, M) + copies < q.N * h * w * q.taps() * C * M / D::L;
  }
  bool forward_pays() const { return pays(q.C, q.O, q.out[1], q.out[2]); }
  bool transpose_pays() const { return pays(q.O, q.C, q.in[1], q.in[2]); }

  void forward(const float* x, const float* w, const float* b, float* y) const {
    Scratch<float> weights(q.O * kParts * q.C * kTaps);
    quarters(q.O, q.C, weights, [&](int64_t o, int64_t c, int64_t i, int64_t j) {
      return w[((o * q.C + c) * q.k[1] + i) * q.k[2] + j];
    });
    convolve(x, q.C, q.in[1], q.in[2], q.pad[1], q.pad[2], weights, q.O, q.out[1], q.out[2], b, y);
  }

  void transpose(const float* g, const float* w, const float* b, float* x) const {
    Scratch<float> weights(q.C * kParts * q.O * kTaps);
    quarters(q.C, q.O, weights, [&](int64_t c, int64_t o, int64_t i, int64_t j) {
      return w[((o * q.C + c) * q.k[1] + q.k[1] - 1 - i) * q.k[2] + q.k[2] - 1 - j];
    });
    convolve(g, q.O, q.out[1], q.out[2], q.k[1] - 1 - q.pad[1], q.k[2] - 1 - q.pad[2], weights, q.C, q.in[1], q.in[2], b, x);
  }

  void weight(const float* x, const float* g, float* w) const {
    const int64_t H = q.out[1], W = q.out[2], wide = kParts * q.C;
    Scratch<float> sums(q.O * wide * kTaps);
    each_group(q.C, H, W, [&](int64_t n0, int64_t n, float* shifted) {
      shift(x + n0 * q.C * q.in_pixels(), n, q.C, q.in[1], q.in[2], q.pad[1], q.pad[2], H, W, shifted);
      const WinogradWeight<F, F> p{wide, q.O, {AnyFloats(shifted), wide, H + kMore, W + kMore, 0, 0},
                                   {AnyFloats(g + n0 * q.O * H * W), q.O, H, W, 0, 0}, {n, H, W}, sums};
      p.run();
      parallel_for(q.O, [&](int64_t o) {
        for (int64_t part = 0; part < kParts; ++part)
          for (int64_t c = 0; c < q.C; ++c)
            for (int64_t i = part / 2 * kSide, i0 = i; i < std::min(q.k[1], i0 + kSide); ++i)
              for (int64_t j = part % 2 * kSide, j0 = j; j < std::min(q.k[2], j0 + kSide); ++j) {
                float& to = w[((o * q.C + c) * q.k[1] + i) * q.k[2] + j];
                const float sum = sums[((o * kParts + part) * q.C + c) * kTaps + (i - i0) * kSide + j - j0];
                to = n0 ? to + sum : sum;
              }
      });
    });
  }

 private:
  // The four parts of M x C kernels, whose element (m, c, i, j) is at(...), with zeros after them: (m, part, c, 4, 4).
  template <class At>
  void quarters(int64_t M, int64_t C, float* out, const At& at) const {
    parallel_for(M, [&](int64_t m) {
      float* o = out + m * kParts * C * kTaps;
      for (int64_t part = 0; part < kParts; ++part)
        for (int64_t c = 0; c < C; ++c)
          for (int64_t t = 0; t < kTaps; ++t) {
            const int64_t i = part / 2 * kSide + t / kSide, j = part % 2 * kSide + t % kSide;
            *o++ = i < q.k[1] && j < q.k[2] ? at(m, c, i, j) : 0.0f;
          }
    });
  }

  // fn(first image, how many, space for their shifted copies), for results of h x w pixels.
  template <class Fn>
  void each_group(int64_t C, int64_t h, int64_t w, const Fn& fn) const {
    const int64_t size = kParts * C * (h + kMore) * (w + kMore);
    const int64_t most = std::clamp<int64_t>(kCopyBytes / (4 * size), 1, q.N), groups = (q.N + most - 1) / most;
    Scratch<float> shifted((q.N + groups - 1) / groups * size);
    for (int64_t i = 0; i < groups; ++i) fn(q.N * i / groups, q.N * (i + 1) / groups - q.N * i / groups, shifted.p);
  }

  // Images of C x H x W with y0 and x0 zeros before, four times: (n, part, c, h + 3, w + 3).
  static void shift(const float* src, int64_t n, int64_t C, int64_t H, int64_t W, int64_t y0, int64_t x0, int64_t h, int64_t w,
                    float* out) {
    const int64_t rows = h + kMore, cols = w + kMore;
    parallel_for(n * kParts * C, [&](int64_t job) {
      const int64_t image = job / (kParts * C), part = job / C % kParts, c = job % C;
      const float* s = src + (image * C + c) * H * W;
      const int64_t down = part / 2 * kSide - y0, across = part % 2 * kSide - x0;
      const int64_t left = std::clamp<int64_t>(-across, 0, cols), end = std::clamp<int64_t>(W - across, left, cols);
      float* to = out + job * rows * cols;
      for (int64_t i = 0; i < rows; ++i, to += cols) {
        const int64_t y = i + down;
        if (y < 0 || y >= H) {
          set_run(to, 0.0f, cols);
          continue;
        }
        set_run(to, 0.0f, left);
        copy_run(to + left, s + y * W + across + left, end - left);
        set_run(to + end, 0.0f, cols - end);
      }
    });
  }

  void convolve(const float* src, int64_t C, int64_t H, int64_t W, int64_t y0, int64_t x0, const float* weights, int64_t M, int64_t h,
                int64_t w, const float* b, float* out) const {
    each_group(C, h, w, [&](int64_t n0, int64_t n, float* shifted) {
      shift(src + n0 * C * H * W, n, C, H, W, y0, x0, h, w, shifted);
      WinogradConv<F, F> p(n, kParts * C, M, AnyFloats(shifted), weights, out + n0 * M * h * w, h + kMore, w + kMore, 0, 0, h, w);
      p.w_row = kTaps * kParts * C, p.w_channel = kTaps, p.flip = false;
      p.finish = Finish<float>::of(q, b);
      p.run();
    });
  }
};

}  // namespace
}  // namespace rl
