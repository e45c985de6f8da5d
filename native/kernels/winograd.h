// Winograd's forms in two dimensions: a convolution as products over tiles of results, element by element of a domain.
//
//     y = A' [ sum_c (G w G') o (B' d B) ] A           d: a tile of pixels; o: element by element
//
// F(4x4, 3x3), F(3x3, 4x4) and F(2x2, 5x5) take 36 multiplications where the sum of taps takes 144 or 100; with stride 2,
// 3 x 3 taps take 81 instead of 144, 4 x 4 taps 100 instead of 256. Rows and columns have forms of their own: 1 x 3 taps, or three
// in one dimension, take 8 instead of 18. The weight gradient is the transpose of the same form:
// G' [ sum_tiles (A g A') o (B' d B) ] G.
//
// In the domain, vector lanes are channels, so that no transform depends on the size of an image: an element of a tile of sixteen (L)
// channels is a vector. Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
#pragma once

#include "rows.h"
#include "winograd_forms.h"

namespace rl {
namespace {

// Numbers of float32 or a half type, which are widened on the way into the domain and rounded on the way out.
struct AnyFloats {
  void* p;
  DType type;
  AnyFloats(float* at) : p(at), type(DType::f32) {}
  AnyFloats(const float* at) : p(const_cast<float*>(at)), type(DType::f32) {}
  explicit AnyFloats(const Array& a) : p(a.data()), type(a.dtype) {}

  static constexpr int64_t kRun = 64;         // elements of a channel that are converted at a time
  static constexpr int64_t L = Simd<float>::lanes;

  // As channels_last of those from `at` on.
  void load(int64_t at, int64_t pitch, int64_t n, int64_t channels, float* out) const {
    if (type == DType::f32) return channels_last<float>(static_cast<const float*>(p) + at, pitch, n, channels, out);
    if (type == DType::bf16) load_half(static_cast<const bfloat16*>(p) + at, pitch, n, std::min(channels, L), out);
    else load_half(static_cast<const float16*>(p) + at, pitch, n, std::min(channels, L), out);
  }
  // As channels_first to those from `at` on.
  void store(const float* s, int64_t n, int64_t channels, int64_t at, int64_t pitch) const {
    if (type == DType::f32) return channels_first<float>(s, n, channels, static_cast<float*>(p) + at, pitch);
    if (type == DType::bf16) store_half(s, n, std::min(channels, L), static_cast<bfloat16*>(p) + at, pitch);
    else store_half(s, n, std::min(channels, L), static_cast<float16*>(p) + at, pitch);
  }

 private:
  template <class H>
  static void load_half(const H* s, int64_t pitch, int64_t n, int64_t channels, float* out) {
    alignas(64) float rows[L * kRun];
    for (int64_t k = 0; k < n; k += kRun) {
      const int64_t m = std::min(kRun, n - k);
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < m; i += kLanes) {
          Sixteen<float>::vec v;
          load_left(v, s + c * pitch + k + i, m - i, 0.0f);
          Sixteen<float>::store(rows + c * kRun + i, v);
        }
      channels_last<float>(rows, kRun, m, channels, out + k * L);
    }
  }
  template <class H>
  static void store_half(const float* s, int64_t n, int64_t channels, H* out, int64_t pitch) {
    alignas(64) float rows[L * kRun];
    for (int64_t k = 0; k < n; k += kRun) {
      const int64_t m = std::min(kRun, n - k);
      channels_first<float>(s + k * L, m, channels, rows, kRun);
      for (int64_t c = 0; c < channels; ++c)
        for (int64_t i = 0; i < m; i += kLanes) {
          Sixteen<float>::vec v;
          Sixteen<float>::load(v, rows + c * kRun + i);
          Sixteen<float>::store(out + c * pitch + k + i, v, std::min<int64_t>(kLanes, m - i));
        }
    }
  }
};

// What all forms share: products of the domain's elements, and its layout.
struct WinogradProducts {
  using V = Simd<float>::vec;
  static constexpr int L = Simd<float>::lanes;

  // A stride of an odd number of cache lines: 36 streams at such a distance do not share cache sets.
  static int64_t odd_lines(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }
  static int64_t blocks(int64_t channels) { return (channels + L - 1) / L; }

  // c[r][lane] (+)= sum_p a[r * row + p * step] * b[p][lane].
  template <int ROWS, int VECS>
  static void multiply_rows(int64_t k, const float* x, int64_t row, int64_t step, const float* y, float* c, bool add) {
    V acc[ROWS][VECS];
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < VECS; ++v) acc[r][v] = V{};
    for (int64_t p = 0; p < k; ++p, x += step, y += VECS * L) {
      V w[VECS];
      for (int v = 0; v < VECS; ++v) w[v] = Simd<float>::load(y + v * L);
#pragma GCC unroll 16
      for (int r = 0; r < ROWS; ++r) {
        const V z = Simd<float>::all(x[r * row]);
        for (int v = 0; v < VECS; ++v) acc[r][v] += z * w[v];
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
      for (int v = 0; v < VECS; ++v) {
        float* o = c + (r * VECS + v) * L;
        Simd<float>::store(o, add ? Simd<float>::load(o) + acc[r][v] : acc[r][v]);
      }
  }

  template <int ROWS, int VECS>
  static void multiply(int rows, int64_t k, const float* x, int64_t row, int64_t step, const float* y, float* c, bool add) {
    if constexpr (ROWS > 1) {
      if (rows < ROWS) return multiply<ROWS - 1, VECS>(rows, k, x, row, step, y, c, add);
    }
    multiply_rows<ROWS, VECS>(k, x, row, step, y, c, add);
  }

  static void multiply(int vecs, int rows, int64_t k, const float* x, int64_t row, int64_t step, const float* y, float* c,
                       bool add) {
    if (vecs == 2) multiply<kMR, 2>(rows, k, x, row, step, y, c, add);
    else multiply<kMR, 1>(rows, k, x, row, step, y, c, add);
  }

  // Rows are cut evenly: 16 as 8 + 8, not 14 + 2.
  static int64_t even(int64_t n, int64_t most) {
    const int64_t parts = (n + most - 1) / most;
    return parts > 0 ? (n + parts - 1) / parts : 1;
  }
};

template <class Y, class X>                    // the forms of winograd_forms.h along columns and along rows
struct Winograd : WinogradProducts {
  static constexpr int kDown = Y::kOut, kAcross = X::kOut, kTaps = Y::R * X::R;       // results of a tile
  static constexpr int kDomain = Y::kDomain * X::kDomain, kWeights = Y::kWeights * X::kWeights;
  static constexpr int kGradients = Y::Gradient::out * X::Gradient::out;

  template <class A, class B>
  struct Both {
    using Down = A;
    using Across = B;
  };
  using Input = Both<typename Y::Input, typename X::Input>;
  using Output = Both<typename Y::Output, typename X::Output>;
  using Gradient = Both<typename Y::Gradient, typename X::Gradient>;
  using Weight = Both<typename Y::Weight, typename X::Weight>;
  using Taps = Both<typename Y::Taps, typename X::Taps>;

  // The weights' and the gradient's element for an element of the domain.
  static constexpr int weight_of(int e) { return Y::weight(e / X::kDomain) * X::kWeights + X::weight(e % X::kDomain); }
  static constexpr int gradient_of(int e) {
    return Y::gradient(e / X::kDomain) * X::Gradient::out + X::gradient(e % X::kDomain);
  }

  // ---- two dimensions: load(i, j) and store(i, j, v) ------------------------------------------------------------

  template <class F, class Load, class Store>
  static inline __attribute__((always_inline)) void both(const Load& load, const Store& store) {
    using Down = typename F::Down;
    using Across = typename F::Across;
    V t[Down::out][Across::in];
#pragma GCC unroll 10
    for (int j = 0; j < Across::in; ++j) {
      V d[Down::in], o[Down::out];
#pragma GCC unroll 10
      for (int i = 0; i < Down::in; ++i) d[i] = load(i, j);
      Down::run(d, o);
#pragma GCC unroll 10
      for (int i = 0; i < Down::out; ++i) t[i][j] = o[i];
    }
#pragma GCC unroll 10
    for (int i = 0; i < Down::out; ++i) {
      V o[Across::out];
      Across::run(t[i], o);
#pragma GCC unroll 10
      for (int j = 0; j < Across::out; ++j) store(i, j, o[j]);
    }
  }

  // ---- tiles -----------------------------------------------------------------------------------------------------

  // A batch of images whose pixel (step ty - y0, step tx - x0) is the first of tile (ty, tx).
  struct Image {
    AnyFloats p;
    int64_t channels, H, W, y0, x0;
  };

  struct Grid {
    int64_t TY, TX, count;                    // tiles down, across, and in all images
    Grid(int64_t images, int64_t H, int64_t W)
        : TY((H + kDown - 1) / kDown), TX((W + kAcross - 1) / kAcross), count(images * TY * TX) {}
  };

  // Where a transform writes: element e of tile t is at p + e * element + (t - first) * tile.
  struct Domain {
    float* p;
    int64_t element, tile, first;
  };

  // Pixels x.. of one row for the L channels from c on, channels last; zeros outside the image.
  static void load_row(const Image& m, int64_t n, int64_t c, int64_t y, int64_t x, int64_t width, float* out) {
    const int64_t lo = std::min(width, std::max<int64_t>(0, -x)), hi = std::max(lo, std::min(width, m.W - x));
    if (y < 0 || y >= m.H || hi == lo) {
      std::memset(out, 0, static_cast<size_t>(width * L) * sizeof(float));
      return;
    }
    std::memset(out, 0, static_cast<size_t>(lo * L) * sizeof(float));
    m.p.load(((n * m.channels + c) * m.H + y) * m.W + x + lo, m.H * m.W, hi - lo, m.channels - c, out + lo * L);
    std::memset(out + hi * L, 0, static_cast<size_t>((width - hi) * L) * sizeof(float));
  }

  // Tiles [t0, t1) of channels c.. into the domain. F is Input or Gradient.
  template <class F>
  static void tiles_in(const Image& m, const Grid& q, int64_t t0, int64_t t1, int64_t c, const Domain& d) {
    constexpr int64_t kRows = F::Down::in, kStep = F::Down::step, kMore = kRows - kStep;
    constexpr int64_t kAlong = F::Across::step, kBeyond = F::Across::in - kAlong;
    const int64_t most = (kAlong * std::min(q.TX, t1 - t0) + kBeyond) * L;
    Scratch<float> lines(kRows * most);
    int64_t above = -1, above_x = 0;          // the row of tiles whose last lines are this one's first
    for (int64_t t = t0; t < t1;) {
      const int64_t row = t / q.TX, x = t % q.TX, n = std::min(q.TX - x, t1 - t), ty = row % q.TY, width = kAlong * n + kBeyond;
      int64_t i = 0;
      if (kMore > 0 && ty > 0 && above == row - 1 && above_x == x) {
        std::memmove(lines, lines + kStep * most, static_cast<size_t>(kMore * most) * sizeof(float));
        i = kMore;
      }
      for (; i < kRows; ++i) load_row(m, row / q.TY, c, kStep * ty - m.y0 + i, kAlong * x - m.x0, width, lines + i * most);
      for (int64_t k = 0; k < n; ++k) {
        const float* s = lines + kAlong * k * L;
        float* o = d.p + (t + k - d.first) * d.tile;
        both<F>([&](int r, int j) { return Simd<float>::load(s + r * most + j * L); },
                [&](int r, int j, V v) { Simd<float>::store(o + (r * F::Across::out + j) * d.element, v); });
      }
      above = row, above_x = x;
      t += n;
    }
  }

  // Time in vector operations, with the measured costs of transforming a tile of L channels to and fro, of starting and storing
  // a sum, and of the weights of a channel, to compare with `direct`: that of the sum of taps.
  static int64_t cost(int64_t tiles, int64_t C, int64_t M) {
    constexpr int64_t kTileIn = 320 * kDomain / 36, kTileOut = 250 * kDomain / 36, kWeight = 130 * kWeights / 36, kSum = 4;
    return tiles * (kDomain * (C + kSum) * blocks(M) + kTileIn * blocks(C) + kTileOut * blocks(M)) + kWeight * C * blocks(M);
  }
  static int64_t direct(int64_t images, int64_t pixels, int64_t C, int64_t M) { return images * pixels * kTaps * C * M / L; }
};

}  // namespace
}  // namespace rl
