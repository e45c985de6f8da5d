// Convolution with kernels of one pixel (1 x 1, stride 1, no border): a matrix product for each image, and so are its gradients.
#pragma once

#include "conv.h"
#include "product.h"

namespace rl {
namespace {

// x: images of C x P, w: O x C, y: images of O x P; all that for each group.
template <class T>
struct OnePixel {
  const ConvGeometry& q;
  const int64_t P = q.out_pixels(), items = q.N * q.G, C = q.Cg(), O = q.Og();

  static constexpr int64_t kJobs = 16;        // wanted, so that any number of threads has work
  static constexpr int64_t kWork = 1000000;   // multiply-adds of a job, at least

  static bool one(const ConvGeometry& q) {
    bool all = true;
    for (int d = 0; d < 3; ++d) all = all && q.k[d] == 1 && q.stride[d] == 1 && q.pad[d] == 0;
    return all;
  }
  // Pixels are the lanes: few of the last ones may stay empty.
  static bool fits(const ConvGeometry& q) {
    constexpr int64_t L = Simd<T>::lanes;
    return one(q) && q.out_pixels() * 20 >= (q.out_pixels() + L - 1) / L * L * 19;
  }
  // There, the lanes are channels of the side that has fewer.
  static bool fits_weight(const ConvGeometry& q) {
    return one(q) && std::min(q.Cg(), q.Og()) >= 16 && std::max(q.Cg(), q.Og()) >= 24;
  }

  void forward(const T* x, const T* w, const T* b, T* y) const { images({w, C, 1}, O * C, O, C, x, b, y); }

  void transpose(const T* g, const T* w, const T* b, T* x) const {
    Scratch<T> turned(q.G * C * O);           // rows of channels, which a tile reads as they are
    for (int64_t i = 0; i < q.G; ++i)
      for (int64_t o = 0; o < O; ++o)
        for (int64_t c = 0; c < C; ++c) turned[(i * C + c) * O + o] = w[(i * O + o) * C + c];
    images({turned, O, 1}, C * O, C, O, g, b, x);
  }

  // Partial sums over groups of images and panels of columns, whose number depends on sizes alone. The side with fewer channels is
  // packed, so that the sums may have inputs as rows.
  void weight(const T* x, const T* g, T* w) const {
    const bool turn = C > O;
    const T *tall = turn ? x : g, *wide = turn ? g : x;
    const int64_t M = turn ? C : O, W = turn ? O : C, size = O * C, all = q.G * size;
    const int64_t panels = (W + kNR<T> - 1) / kNR<T>, most = std::max<int64_t>(1, q.N * P * size / kWork);
    const int64_t cuts = std::min(std::min(panels, most), size > 65536 ? kJobs : std::max<int64_t>(1, kJobs / items));
    const int64_t parts = std::min(std::min(q.N, std::max<int64_t>(1, most / cuts)), std::max<int64_t>(1, kJobs / (q.G * cuts)));
    Scratch<T> sums(turn || parts > 1 ? parts * all : 0);
    T* out = turn || parts > 1 ? sums.p : w;
    parallel_for(q.G * parts * cuts, [&](int64_t job) {
      const int64_t i = job / (parts * cuts), part = job / cuts % parts, cut = job % cuts;
      const int64_t c0 = panels * cut / cuts * kNR<T>, c1 = std::min(W, panels * (cut + 1) / cuts * kNR<T>);
      const int64_t first = q.N * part / parts, end = q.N * (part + 1) / parts;
      for (int64_t n = first; n < end; ++n)
        Product<T>(M, c1 - c0, P, {tall + (n * q.G + i) * M * P, P, 1}, {wide + ((n * q.G + i) * W + c0) * P, 1, P},
                   out + part * all + i * size + c0, W, n > first, Epilogue<T>{}).run(false);
    });
    if (out == w) return;
    const int64_t per = std::max<int64_t>(1, 8192 / (parts * W)), rows = q.G * M;
    parallel_for((rows + per - 1) / per, [&](int64_t job) {
      for (int64_t r = job * per; r < std::min(rows, (job + 1) * per); ++r) {
        T* s = out + r * W;
        for (int64_t part = 1; part < parts; ++part)
          for (int64_t k = 0; k < W; ++k) s[k] += s[part * all + k];
        T* to = w + r / M * size + (turn ? r % M : r % M * W);
        for (int64_t k = 0; k < W; ++k) to[turn ? k * M : k] = s[k];
      }
    });
  }

 private:
  // Of each image M rows of the result: A (M x K, of a group, `apart` from the next one's) times the image's K rows of pixels.
  void images(const Matrix<T>& A, int64_t apart, int64_t M, int64_t K, const T* from, const T* bias, T* to) const {
    const int64_t work = M * K * P + 1, panels = (P + kNR<T> - 1) / kNR<T>;
    const int64_t most = std::max<int64_t>(1, work / kWork), cuts = std::min(std::min(panels, most), (kJobs + items - 1) / items);
    const int64_t per = std::max<int64_t>(1, kWork / work);
    parallel_for((items + per - 1) / per * cuts, [&](int64_t job) {
      const int64_t cut = job % cuts, p0 = panels * cut / cuts * kNR<T>, p1 = std::min(P, panels * (cut + 1) / cuts * kNR<T>);
      for (int64_t i = job / cuts * per; i < std::min(items, (job / cuts + 1) * per); ++i) {
        Epilogue<T> e;
        e.relu = q.relu;
        if (bias) e.row_bias = bias + i % q.G * M;
        const Matrix<T> rows{A.p + i % q.G * apart, A.rs, A.cs}, pixels{from + i * K * P + p0, P, 1};
        Product<T>(M, p1 - p0, K, rows, pixels, to + i * M * P + p0, P, false, e).run(false);
      }
    });
  }
};

}  // namespace
}  // namespace rl
