// Winograd's F(4x4, 3x3) and F(2x2, 5x5): a convolution of stride 1 as 36 products over tiles of 4 x 4 or 2 x 2 results.
//
//     y = A' [ sum_c (G w G') o (B' d B) ] A           d: a tile of 6 x 6 pixels; o: element by element
//
// 36 multiplications give what the sum of taps takes 144 or 100 for. The points are 0, +-5/8, +-3/2 and infinity: their
// powers are exact in binary, and the error is a quarter of that of the usual 0, +-1, +-2 (docs/performance.md).
// The weight gradient is the transpose of the same form: G' [ sum_tiles (A g A') o (B' d B) ] G.
//
// In the domain, vector lanes are channels, so that no transform depends on the size of an image: a tile of sixteen (L)
// channels is 36 vectors. Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015.
#pragma once

#include "channels.h"

namespace rl {
namespace {

template <int R>                              // taps across: 3 or 5
struct Winograd {
  using V = Simd<float>::vec;
  static constexpr int L = Simd<float>::lanes;
  static constexpr int kIn = 6, kOut = kIn + 1 - R, kTaps = R * R, kDomain = kIn * kIn;

  // ---- one dimension -------------------------------------------------------------------------------------------

  static constexpr float a = 0.625f, b = 1.5f, a2 = a * a, b2 = b * b;
  static constexpr float c0 = static_cast<float>(1.0 / (double{a2} * b2));
  static constexpr double da2 = a2, db2 = b2;
  static constexpr double ca = 1.0 / (2 * da2 * (da2 - db2)), cb = 1.0 / (2 * db2 * (db2 - da2));
  static constexpr float ca0 = static_cast<float>(ca), ca1 = static_cast<float>(ca * a), ca2 = static_cast<float>(ca * da2);
  static constexpr float ca3 = static_cast<float>(ca * da2 * a), ca4 = static_cast<float>(ca * da2 * da2);
  static constexpr float cb3 = static_cast<float>(cb * db2 * b), cb4 = static_cast<float>(cb * db2 * db2);
  static constexpr float cb0 = static_cast<float>(cb), cb1 = static_cast<float>(cb * b), cb2 = static_cast<float>(cb * db2);

  // B': 6 pixels.
  struct Input {
    static constexpr int in = 6, out = 6;
    static void run(const V* d, V* o) {
      const V e = d[4] - b2 * d[2], f = a * d[3] - (a * b2) * d[1];
      const V g = d[4] - a2 * d[2], h = b * d[3] - (b * a2) * d[1];
      o[0] = (a2 * b2) * d[0] + (d[4] - (a2 + b2) * d[2]);
      o[1] = e + f;
      o[2] = e - f;
      o[3] = g + h;
      o[4] = g - h;
      o[5] = (a2 * b2) * d[1] + (d[5] - (a2 + b2) * d[3]);
    }
  };

  // A': 6 elements of the domain become 4 or 2 results.
  struct Output {
    static constexpr int in = 6, out = kOut;
    static void run(const V* m, V* o) {
      const V s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
      o[0] = m[0] + (s + t);
      if constexpr (R == 3) {
        o[1] = a * d + b * e;
        o[2] = a2 * s + b2 * t;
        o[3] = (a2 * a) * d + ((b2 * b) * e + m[5]);
      } else {
        o[1] = a * d + (b * e + m[5]);
      }
    }
  };

  // A: gradients of 4 or 2 results.
  struct Gradient {
    static constexpr int in = kOut, out = 6;
    static void run(const V* g, V* o) {
      V e = g[0], f = a * g[1], h = g[0], i = b * g[1];
      if constexpr (R == 3) {
        e += a2 * g[2], f += (a2 * a) * g[3];
        h += b2 * g[2], i += (b2 * b) * g[3];
      }
      o[0] = g[0];
      o[1] = e + f;
      o[2] = e - f;
      o[3] = h + i;
      o[4] = h - i;
      o[5] = g[kOut - 1];
    }
  };

  // G: 3 or 5 taps.
  struct Weight {
    static constexpr int in = R, out = 6;
    static void run(const V* w, V* o) {
      V e = ca0 * w[0] + ca2 * w[2], f = ca1 * w[1], g = cb0 * w[0] + cb2 * w[2], h = cb1 * w[1];
      if constexpr (R == 5) {
        e += ca4 * w[4], f += ca3 * w[3];
        g += cb4 * w[4], h += cb3 * w[3];
      }
      o[0] = c0 * w[0];
      o[1] = e + f;
      o[2] = e - f;
      o[3] = g + h;
      o[4] = g - h;
      o[5] = w[R - 1];
    }
  };

  // G': 6 elements of the domain become gradients of 3 or 5 taps.
  struct Taps {
    static constexpr int in = 6, out = R;
    static void run(const V* m, V* o) {
      const V s = m[1] + m[2], d = m[1] - m[2], t = m[3] + m[4], e = m[3] - m[4];
      o[0] = c0 * m[0] + (ca0 * s + cb0 * t);
      o[1] = ca1 * d + cb1 * e;
      o[2] = ca2 * s + cb2 * t;
      if constexpr (R == 5) {
        o[3] = ca3 * d + cb3 * e;
        o[4] = ca4 * s + cb4 * t;
      }
      o[R - 1] += m[5];
    }
  };

  // ---- two dimensions: load(i, j) and store(i, j, v) ------------------------------------------------------------

  template <class F, class Load, class Store>
  static inline __attribute__((always_inline)) void both(const Load& load, const Store& store) {
    V t[F::out][F::in];
#pragma GCC unroll 6
    for (int j = 0; j < F::in; ++j) {
      V d[F::in], o[F::out];
#pragma GCC unroll 6
      for (int i = 0; i < F::in; ++i) d[i] = load(i, j);
      F::run(d, o);
#pragma GCC unroll 6
      for (int i = 0; i < F::out; ++i) t[i][j] = o[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < F::out; ++i) {
      V o[F::out];
      F::run(t[i], o);
#pragma GCC unroll 6
      for (int j = 0; j < F::out; ++j) store(i, j, o[j]);
    }
  }

  // ---- layout ----------------------------------------------------------------------------------------------------

  // A stride of an odd number of cache lines: 36 streams at such a distance do not share cache sets.
  static int64_t odd_lines(int64_t floats) { return ((floats + 15) / 16 | 1) * 16; }
  static int64_t blocks(int64_t channels) { return (channels + L - 1) / L; }

  // ---- tiles -----------------------------------------------------------------------------------------------------

  // A batch of images whose pixel (kOut ty - y0, kOut tx - x0) is the first of tile (ty, tx).
  struct Image {
    const float* p;
    int64_t channels, H, W, y0, x0;
  };

  struct Grid {
    int64_t TY, TX, count;                    // tiles down, across, and in all images
    Grid(int64_t images, int64_t H, int64_t W)
        : TY((H + kOut - 1) / kOut), TX((W + kOut - 1) / kOut), count(images * TY * TX) {}
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
    channels_last<float>(m.p + ((n * m.channels + c) * m.H + y) * m.W + x + lo, m.H * m.W, hi - lo, m.channels - c, out + lo * L);
    std::memset(out + hi * L, 0, static_cast<size_t>((width - hi) * L) * sizeof(float));
  }

  // Tiles [t0, t1) of channels c.. into the domain. F is Input (tiles of 6 x 6, kOut apart) or Gradient (kOut x kOut).
  template <class F>
  static void tiles_in(const Image& m, const Grid& q, int64_t t0, int64_t t1, int64_t c, const Domain& d) {
    constexpr int64_t kRows = F::in, kMore = kRows - kOut;
    const int64_t most = (kOut * std::min(q.TX, t1 - t0) + kMore) * L;
    Scratch<float> lines(kRows * most);
    int64_t above = -1, above_x = 0;          // the row of tiles whose last lines are this one's first
    for (int64_t t = t0; t < t1;) {
      const int64_t row = t / q.TX, x = t % q.TX, n = std::min(q.TX - x, t1 - t), ty = row % q.TY, width = kOut * n + kMore;
      int64_t i = 0;
      if (kMore > 0 && ty > 0 && above == row - 1 && above_x == x) {
        std::memmove(lines, lines + kOut * most, static_cast<size_t>(kMore * most) * sizeof(float));
        i = kMore;
      }
      for (; i < kRows; ++i) load_row(m, row / q.TY, c, kOut * ty - m.y0 + i, kOut * x - m.x0, width, lines + i * most);
      for (int64_t k = 0; k < n; ++k) {
        const float* s = lines + kOut * k * L;
        float* o = d.p + (t + k - d.first) * d.tile;
        both<F>([&](int r, int j) { return Simd<float>::load(s + r * most + j * L); },
                [&](int r, int j, V v) { Simd<float>::store(o + (r * kIn + j) * d.element, v); });
      }
      above = row, above_x = x;
      t += n;
    }
  }

  // Whether this is faster than the sum of taps, for images of H x W results: both in vector operations, with
  // the measured costs of transforming a tile of L channels to and fro, and the weights of a channel.
  static bool pays(int64_t images, int64_t C, int64_t M, int64_t H, int64_t W) {
    constexpr int64_t kTileIn = 320, kTileOut = 250, kWeight = 130;
    const int64_t c = blocks(C), m = blocks(M);
    return Grid(images, H, W).count * (kDomain * C * m + kTileIn * c + kTileOut * m) + kWeight * C * m < images * H * W * kTaps * C * M / L;
  }

  // ---- products --------------------------------------------------------------------------------------------------

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

}  // namespace
}  // namespace rl
