// The parts of convolution: geometry, padded copies of images, and products for few output channels.
//
// The image is copied into a buffer with its zero borders, each row split into `stride` phases where vectors of pixels are read,
// so that the input of every kernel tap is a contiguous run for neighbouring output pixels. A product row is then an offset into
// that buffer (c * channel + tap). Most convolutions are done with channels in the lanes, see conv_lanes.h. Few channels leave
// lanes empty: there panels of 32 (16 for double) pixels are packed by plain vector copies for the micro-kernel of gemm.h, or
// read without packing. A transposed convolution is the same: one call per phase of its stride, over the padded gradient.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>

#include "channels.h"

namespace rl {
namespace {

// Convolution in three spatial dimensions; lower ranks have leading sizes of 1.
struct ConvGeometry {
  int64_t N, C, O, G;                         // images, input channels, output channels, groups
  int64_t in[3], k[3], out[3];
  int64_t stride[3], pad[3], dil[3];
  bool relu = false;                          // of the result

  int64_t taps() const { return k[0] * k[1] * k[2]; }
  int64_t in_pixels() const { return in[0] * in[1] * in[2]; }
  int64_t out_pixels() const { return out[0] * out[1] * out[2]; }
  int64_t Cg() const { return C / G; }
  int64_t Og() const { return O / G; }
  // For the forms of winograd_forms.h along columns and rows.
  template <class Y, class X>
  bool fits() const {
    return G == 1 && k[0] == 1 && in[0] == 1 && out[0] == 1 && along<Y>(1) && along<X>(2);
  }

 private:
  template <class F>
  bool along(int d) const {
    return k[d] == F::R && stride[d] == F::kStride && (dil[d] == 1 || F::R == 1);
  }
};

// Along one dimension, input i meets output o through tap t if i + pad = o * stride + t * dil. With
// i + pad = stride * q + r only the taps with t * dil = r (mod stride) count, and o = q - t * dil / stride.
struct Residue {
  int64_t first, count, q;                    // pixels first, first + stride, …; q of the first
};

inline Residue residue(const ConvGeometry& q, int d, int64_t r) {
  const int64_t s = q.stride[d], first = ((r - q.pad[d]) % s + s) % s;
  return {first, first < q.in[d] ? (q.in[d] - 1 - first) / s + 1 : 0, (first + q.pad[d]) / s};
}

// What happens to finished sums: channel c starts at bias[c] (none if null), and what is less than `low` becomes it.
template <class T>
struct Finish {
  const T* bias;
  T low;

  static Finish of(const ConvGeometry& q, const T* bias) { return {bias, q.relu ? T(0) : -std::numeric_limits<T>::infinity()}; }
  Finish from(int64_t c) const { return {bias ? bias + c : nullptr, low}; }
  T start(int64_t c) const { return bias ? bias[c] : T(0); }
  bool relu() const { return low == T(0); }
  static typename Simd<T>::vec at_least(typename Simd<T>::vec v, T low) { return v < low ? Simd<T>::all(low) : v; }
  typename Simd<T>::vec operator()(typename Simd<T>::vec v) const { return at_least(v, low); }
};

constexpr int64_t kTapBlock = 192;           // of K: a panel of pixels and one of weights stay in L1
constexpr int64_t kSlack = 64;                // elements that vector copies may read or write past an end

// A padded copy of some channels: (channel, z, phase of y, phase of x, y / steps, x / steps), so that the pixels of one tap
// are `pitch` apart from row to row, whatever the stride.
template <class T>
struct Padded {
  int64_t size[3];                            // source: depth, height, width
  int64_t front[3];                           // zeros before
  int64_t full[3];                            // padded sizes
  int64_t steps[2];                           // phases of y and x
  bool one_tap[2] = {false, false};           // along y and x: only the first phase is read

  int64_t pitch() const { return (full[2] + steps[1] - 1) / steps[1]; }
  int64_t phase() const { return (full[1] + steps[0] - 1) / steps[0] * pitch(); }
  int64_t plane() const { return steps[0] * steps[1] * phase(); }
  int64_t channel() const { return full[0] * plane(); }
  int64_t at(int64_t z, int64_t y, int64_t x) const {
    return z * plane() + (y % steps[0] * steps[1] + x % steps[1]) * phase() + y / steps[0] * pitch() + x / steps[1];
  }

  void fill_row(const T* s, T* dst) const {
    const int64_t W = size[2], n = steps[1], per = pitch(), apart = phase();
    if (n == 1) {
      const int64_t left = std::min(front[2], per), width = std::max<int64_t>(0, std::min(W, per - left));
      set_run(dst, T(0), left);
      copy_run(dst + left, s, width);
      return set_run(dst + left + width, T(0), per - left - width);
    }
    if (one_tap[1]) {
      const int64_t lo = std::min(per, (front[2] + n - 1) / n), hi = std::max(lo, std::min(per, (W + front[2] + n - 1) / n));
      set_run(dst, T(0), lo);
      for (int64_t q = lo; q < hi; ++q) dst[q] = s[q * n - front[2]];
      return set_run(dst + hi, T(0), per - hi);
    }
    if (n == 2) return split_row(s, W, front[2], per, T(0), dst, dst + apart);
    for (int64_t r = 0; r < n; ++r) {
      T* d = dst + r * apart;
      // Columns q whose source q * n + r - front is inside [0, W).
      const int64_t lo = std::min(per, std::max<int64_t>(0, (front[2] - r + n - 1) / n));
      const int64_t hi = std::max(lo, std::min(per, (W + front[2] - r + n - 1) / n));
      const T* from = s + r - front[2];
      for (int64_t q = 0; q < lo; ++q) d[q] = T(0);
      for (int64_t q = lo; q < hi; ++q) d[q] = from[q * n];
      for (int64_t q = hi; q < per; ++q) d[q] = T(0);
    }
  }

  // Rows without phases: the zeros after a row are one vector, whose end the next rows write over.
  void fill_plain(const T* src, int64_t channels, T* dst) const {
    constexpr int64_t L = Simd<T>::lanes;
    const int64_t per = full[2], left = std::min(front[2], per), width = std::max<int64_t>(0, std::min(size[2], per - left));
    const int64_t gap = per - width;
    const T* end = dst + channels * channel();
    set_run(dst, T(0), left);
    for (int64_t c = 0; c < channels; ++c, src += size[0] * size[1] * size[2])
      for (int64_t z = -front[0]; z < full[0] - front[0]; ++z)
        for (int64_t y = -front[1]; y < full[1] - front[1]; ++y, dst += per) {
          if (z < 0 || z >= size[0] || y < 0 || y >= size[1]) {
            set_run(dst + left, T(0), std::min<int64_t>(per, end - dst - left));
            continue;
          }
          copy_run(dst + left, src + (z * size[1] + y) * size[2], width);
          T* zeros = dst + left + width;
          if (gap <= L && end - zeros >= L) Simd<T>::store(zeros, typename Simd<T>::vec{});
          else set_run(zeros, T(0), std::min<int64_t>(gap, end - zeros));
        }
  }

  void fill(const T* src, int64_t channels, T* dst) const {
    if (steps[0] == 1 && steps[1] == 1) return fill_plain(src, channels, dst);
    const int64_t per = pitch(), apart = phase();
    for (int64_t c = 0; c < channels; ++c, src += size[0] * size[1] * size[2]) {
      for (int64_t z = 0; z < full[0]; ++z, dst += plane()) {
        const int64_t sz = z - front[0];
        for (int64_t y = 0, rest = 0, line = 0; y < full[1]; ++y, ++rest) {
          if (rest == steps[0]) rest = 0, ++line;            // y = line * steps + rest
          if (one_tap[0] && rest > 0) continue;
          const int64_t sy = y - front[1];
          T* row = dst + rest * steps[1] * apart + line * per;
          if (sz >= 0 && sz < size[0] && sy >= 0 && sy < size[1]) {
            fill_row(src + (sz * size[1] + sy) * size[2], row);
            continue;
          }
          for (int64_t r = 0; r < steps[1]; ++r) set_run(row + r * apart, T(0), per);
        }
      }
    }
  }

  bool as_is() const {                        // without borders and phases
    bool same = steps[0] == 1 && steps[1] == 1;
    for (int d = 0; d < 3; ++d) same = same && front[d] == 0 && full[d] == size[d];
    return same;
  }
  // The channels where they are if no border or phase is needed and enough others follow (`left` in all, these included) for
  // vectors that run past the end; else a copy of them in dst.
  bool in_place(int64_t left, int64_t channels) const { return as_is() && (left - channels) * channel() >= kSlack; }
  const T* view(const T* src, int64_t left, int64_t channels, T* dst) const {
    if (in_place(left, channels)) return src;
    fill(src, channels, dst);
    return dst;
  }
};

// The output pixels of one product and where the engine reads and writes them.
struct Pixels {
  int64_t n[3];                               // depth, height, width
  int64_t read[2];                            // steps in the padded source per depth, per height
  int64_t step = 1;                           // in the source, per width: 1 but for products with channels in the lanes
  int64_t base;                               // of pixel (0, 0, 0)
  int64_t write[3];                           // steps in the destination
  int64_t write_base;
  int64_t images = 1, image_read = 0, image_write = 0;   // several images in one product, one after the other

  int64_t image() const { return n[0] * n[1] * n[2]; }
  int64_t total() const { return images * image(); }
  int64_t source(int64_t row) const {
    const int64_t y = row % n[1], z = row / n[1];
    return base + z / n[0] * image_read + z % n[0] * read[0] + y * read[1];
  }
  int64_t target(int64_t row) const {
    const int64_t y = row % n[1], z = row / n[1];
    return write_base + z / n[0] * image_write + z % n[0] * write[0] + y * write[1];
  }
  bool dense() const { return write[2] == 1 && write[1] == n[2] && write[0] == n[1] * n[2]; }
};

// One phase: a set of taps, the pixels they make, and their weights for every group.
template <class T>
struct Phase {
  Pixels px;
  int64_t taps, K;
  int64_t* offsets;                           // (K) into the padded source
  const int64_t* tap;                         // (taps) their numbers, or null for all taps in order
  T* weights;                                 // per group: packed panels, or (rows, K) when direct, or channels in lanes
};

// Products of every image and group: source, result and phases.
template <class T>
struct Operands {
  int64_t N, G, Ks, M;                        // images, groups, source channels and result rows per group
  const T* src;
  T* dst;
  Padded<T> pad;
  int64_t src_plane, dst_plane, width;        // pixels per channel, and of a row of the result
  Finish<T> finish;                           // its bias: (G * M)
  Phase<T>* phases;
  int64_t nphases;
};

// Weights (rows x K) in the order the micro-kernel reads: K blocks, row panels, k, rows of the panel.
struct PanelShape {
  int64_t rows, K, panels, height;            // height: rows per panel, evened out (16 rows: 8 + 8, not 14 + 2)

  PanelShape(int64_t rows_, int64_t K_) : rows(rows_), K(K_) {
    panels = std::max<int64_t>(1, (rows + kMR - 1) / kMR);
    height = (rows + panels - 1) / panels;
  }
  int64_t size() const { return panels * height * K; }
  int64_t at(int64_t k0, int64_t kc, int64_t panel) const { return (k0 * panels + panel * kc) * height; }
};

// Element (row, k) is w[row * step + (from ? from[k] : k)], packed into panel order.
template <class T>
void pack_weights(const PanelShape& s, const T* w, int64_t step, const int64_t* from, T* out) {
  const int64_t blocks = (s.K + kTapBlock - 1) / kTapBlock, jobs = blocks * s.panels;
  auto one = [&](int64_t job) {
    const int64_t k0 = job / s.panels * kTapBlock, kc = std::min(kTapBlock, s.K - k0), p = job % s.panels;
    T* o = out + s.at(k0, kc, p);
    const T* a = w + p * s.height * step;
    const int64_t rows = std::min(s.height, s.rows - p * s.height);
    if (!from) return transpose_rows<T>(a + k0, step, kc, rows, s.height, o);
    for (int64_t k = 0; k < kc; ++k)
      for (int64_t r = 0; r < rows; ++r) o[k * s.height + r] = a[r * step + from[k0 + k]];
  };
  if (s.size() > 65536) parallel_for(jobs, one);
  else for (int64_t j = 0; j < jobs; ++j) one(j);
}

// Runs of at most one vector, their number known.
template <class T, int RUNS>
void pack_narrow(T* out, const T* src, const int64_t* offsets, int64_t kc, const int64_t* from, const int* to) {
  const T* s[RUNS];
  int64_t o[RUNS];
  for (int i = 0; i < RUNS; ++i) s[i] = src + from[i], o[i] = to[i];
  for (int64_t k = 0; k < kc; ++k, out += kNR<T>) {
    const int64_t at = offsets[k];
#pragma GCC unroll 8
    for (int i = 0; i < RUNS; ++i) Simd<T>::store(out + o[i], Simd<T>::load(s[i] + at));
  }
}

// Columns [j0, j0 + cols) of the implicit matrix, rows k0..k0+kc: kNR apart, one run per stretch of a row of pixels.
template <class T>
void pack_pixels(T* out, const T* src, const int64_t* offsets, int64_t kc, const Pixels& px, int64_t j0, int cols) {
  constexpr int L = Simd<T>::lanes, NR = kNR<T>;
  int64_t from[NR];
  int to[NR], runs = 0;
  bool wide[NR];
  for (int j = 0; j < cols;) {
    const int64_t row = (j0 + j) / px.n[2], x = (j0 + j) % px.n[2];
    const int n = static_cast<int>(std::min<int64_t>(px.n[2] - x, cols - j));
    from[runs] = px.source(row) + x;
    to[runs] = j;
    wide[runs++] = n > L;
    j += n;
  }
  // A copy may run into the next row, which is written after it.
  if (runs == 1) {
    const T* s = src + from[0];
    for (int64_t k = 0; k < kc; ++k, out += NR) {
      Simd<T>::store(out, Simd<T>::load(s + offsets[k]));
      Simd<T>::store(out + L, Simd<T>::load(s + offsets[k] + L));
    }
    return;
  }
  if (runs == 2) {
    const T *s = src + from[0], *t = src + from[1];
    T* o = out + to[1];
    for (int64_t k = 0; k < kc; ++k, out += NR, o += NR) {
      const int64_t at = offsets[k];
      Simd<T>::store(out, Simd<T>::load(s + at));
      Simd<T>::store(out + L, Simd<T>::load(s + at + L));
      Simd<T>::store(o, Simd<T>::load(t + at));
      Simd<T>::store(o + L, Simd<T>::load(t + at + L));
    }
    return;
  }
  bool narrow = true;
  for (int i = 0; i < runs; ++i) narrow &= !wide[i];
  if (narrow) {
    switch (runs) {
      case 3: return pack_narrow<T, 3>(out, src, offsets, kc, from, to);
      case 4: return pack_narrow<T, 4>(out, src, offsets, kc, from, to);
      case 5: return pack_narrow<T, 5>(out, src, offsets, kc, from, to);
      case 6: return pack_narrow<T, 6>(out, src, offsets, kc, from, to);
    }
  }
  for (int64_t k = 0; k < kc; ++k, out += NR) {
    const T* s = src + offsets[k];
    for (int i = 0; i < runs; ++i) {
      Simd<T>::store(out + to[i], Simd<T>::load(s + from[i]));
      if (wide[i]) Simd<T>::store(out + to[i] + L, Simd<T>::load(s + from[i] + L));
    }
  }
}

// out[row][pixel] = end(sum_k w[row][k] * src[offsets[k] + pixel]), for row panels [p0, p1) and pixels [j0, j1).
// `out` points at the first row's image; `ldc` is the distance between rows (channels).
template <class T>
void product(const PanelShape& ws, const T* w, const T* src, const int64_t* offsets, const Pixels& px, Finish<T> end, T* out,
             int64_t ldc, int64_t p0, int64_t p1, int64_t j0, int64_t j1) {
  constexpr int NR = kNR<T>;
  const bool dense = px.images == 1 && px.dense();
  const int64_t rows = std::min(ws.rows, p1 * ws.height) - p0 * ws.height;
  Scratch<T> panel(kTapBlock * NR + kSlack);
  Scratch<T> gathered(dense ? 0 : rows * (j1 - j0));
  T* C = dense ? out + p0 * ws.height * ldc + px.write_base + j0 : gathered.p;
  const int64_t pitch = dense ? ldc : j1 - j0;
  Epilogue<T> e;
  e.row_bias = end.bias;
  e.relu = end.relu();
  for (int64_t k0 = 0; k0 < ws.K; k0 += kTapBlock) {
    const int64_t kc = std::min(kTapBlock, ws.K - k0);
    const bool last = k0 + kc == ws.K;
    for (int64_t j = j0; j < j1; j += NR) {
      const int cols = static_cast<int>(std::min<int64_t>(NR, j1 - j));
      pack_pixels<T>(panel, src, offsets + k0, kc, px, j, cols);
      for (int64_t p = p0; p < p1; ++p) {
        const int64_t r0 = p * ws.height;
        const int n = static_cast<int>(std::min(ws.height, ws.rows - r0));
        tile<T>(n, cols, kc, {w + ws.at(k0, kc, p), 1, ws.height}, panel, NR,
                {C + (r0 - p0 * ws.height) * pitch + (j - j0), pitch, k0 > 0, last, e, r0, 0});
      }
    }
  }
  if (dense) return;
  for (int64_t r = 0; r < rows; ++r) {
    const T* s = gathered + r * pitch;
    T* o = out + (p0 * ws.height + r) * ldc;
    if (px.dense()) {
      const int64_t image = px.image();
      for (int64_t j = j0; j < j1;) {
        const int64_t n = std::min(image - j % image, j1 - j);
        copy_run(o + px.write_base + j / image * px.image_write + j % image, s + j - j0, n);
        j += n;
      }
      continue;
    }
    for (int64_t j = j0; j < j1;) {
      const int64_t row = j / px.n[2], x = j % px.n[2], n = std::min(px.n[2] - x, j1 - j);
      T* t = o + px.target(row) + x * px.write[2];
      if (px.write[2] == 2) {
        for (int64_t i = 0; i < n; ++i) t[2 * i] = s[j - j0 + i];
      } else {
        for (int64_t i = 0; i < n; ++i) t[i * px.write[2]] = s[j - j0 + i];
      }
      j += n;
    }
  }
}

// Without packing: for depthwise and other groups with few output channels. A tile is CH channels by ROWS rows of pixels by
// one vector; `w` holds K weights per channel, and channels of the result are `plane` apart.
template <class T, int CH, int ROWS>
inline void direct_rows(const T* w, const T* src, const int64_t* offsets, int64_t K, const Pixels& px, Finish<T> end, T* out,
                        int64_t plane) {
  using V = typename Simd<T>::vec;
  constexpr int L = Simd<T>::lanes;
  const int64_t W = px.n[2], read = px.read[1], write = px.write[1], step = px.write[2];
  for (int64_t x = 0; x < W; x += L) {
    V a[CH][ROWS];
    for (int c = 0; c < CH; ++c)
      for (int r = 0; r < ROWS; ++r) a[c][r] = Simd<T>::all(end.start(c));
    for (int64_t k = 0; k < K; ++k) {
      const T* at = src + offsets[k] + x;
      V s[ROWS];
      for (int r = 0; r < ROWS; ++r) s[r] = Simd<T>::load(at + r * read);
      for (int c = 0; c < CH; ++c) {
        const V v = Simd<T>::all(w[c * K + k]);
        for (int r = 0; r < ROWS; ++r) a[c][r] += v * s[r];
      }
    }
    const int64_t n = std::min<int64_t>(L, W - x);
    for (int c = 0; c < CH; ++c)
      for (int r = 0; r < ROWS; ++r) {
        T* o = out + c * plane + r * write + x * step;
        const V v = end(a[c][r]);
        if (n == L && step == 1) {
          Simd<T>::store(o, v);
          continue;
        }
        T t[L];
        Simd<T>::store(t, v);
        if (step == 1) copy_run(o, t, n);
        else for (int64_t i = 0; i < n; ++i) o[i * step] = t[i];
      }
  }
}

template <class T, int CH>
void direct_wide(const T* w, const T* src, const int64_t* offsets, int64_t K, const Pixels& px, Finish<T> end, T* out,
                 int64_t plane) {
  constexpr int R = kVectorBytes == 64 || CH <= 2 ? 4 : 2;
  for (int64_t z = 0; z < px.n[0]; ++z) {
    const T* s = src + px.source(z * px.n[1]);
    T* o = out + px.target(z * px.n[1]);
    int64_t y = 0;
    for (; y + R <= px.n[1]; y += R)
      direct_rows<T, CH, R>(w, s + y * px.read[1], offsets, K, px, end, o + y * px.write[1], plane);
    if (R > 2 && y + 2 <= px.n[1]) {
      direct_rows<T, CH, 2>(w, s + y * px.read[1], offsets, K, px, end, o + y * px.write[1], plane);
      y += 2;
    }
    for (; y < px.n[1]; ++y)
      direct_rows<T, CH, 1>(w, s + y * px.read[1], offsets, K, px, end, o + y * px.write[1], plane);
  }
}

// The same along the run of all rows, with the borders between them, for images that are not much wider than a vector. The
// result is left in `run`, `apart` from channel to channel.
template <class T, int CH, int N>
inline void direct_vectors(const T* w, const T* src, const int64_t* offsets, int64_t K, Finish<T> end, T* run, int64_t apart) {
  using V = typename Simd<T>::vec;
  constexpr int64_t L = Simd<T>::lanes;
  V a[CH][N];
  for (int c = 0; c < CH; ++c)
    for (int i = 0; i < N; ++i) a[c][i] = Simd<T>::all(end.start(c));
  for (int64_t k = 0; k < K; ++k) {
    const T* at = src + offsets[k];
    V s[N];
    for (int i = 0; i < N; ++i) s[i] = Simd<T>::load(at + i * L);
    for (int c = 0; c < CH; ++c) {
      const V v = Simd<T>::all(w[c * K + k]);
      for (int i = 0; i < N; ++i) a[c][i] += v * s[i];
    }
  }
  for (int c = 0; c < CH; ++c)
    for (int i = 0; i < N; ++i) Simd<T>::store(run + c * apart + i * L, end(a[c][i]));
}

template <class T, int CH>
void direct_run(const T* w, const T* src, const int64_t* offsets, int64_t K, int64_t vectors, Finish<T> end, T* run) {
  constexpr int N = kVectorBytes == 64 ? (CH <= 3 ? 8 : 4) : CH <= 2 ? 4 : 2;
  constexpr int64_t L = Simd<T>::lanes;
  const int64_t apart = vectors * L;
  int64_t i = 0;
  for (; i + N <= vectors; i += N) direct_vectors<T, CH, N>(w, src + i * L, offsets, K, end, run + i * L, apart);
  if constexpr (N > 4)
    for (; i + 4 <= vectors; i += 4) direct_vectors<T, CH, 4>(w, src + i * L, offsets, K, end, run + i * L, apart);
  if constexpr (N > 2)
    for (; i + 2 <= vectors; i += 2) direct_vectors<T, CH, 2>(w, src + i * L, offsets, K, end, run + i * L, apart);
  for (; i < vectors; ++i) direct_vectors<T, CH, 1>(w, src + i * L, offsets, K, end, run + i * L, apart);
}

// How direct convolution covers pixels of `height` rows, `read` apart in the source.
template <class T>
struct DirectShape {
  static constexpr int64_t L = Simd<T>::lanes;
  int64_t vectors;                            // per channel and depth
  bool run;                                   // along the run, not along each row

  DirectShape(int64_t height, int64_t width, int64_t read) {
    const int64_t rows = height * ((width + L - 1) / L), along = ((height - 1) * read + width + L - 1) / L;
    run = read >= width && width < 4 * L && along * 9 <= rows * 8;
    vectors = run ? along : rows;
  }
  bool worth(int64_t pixels) const { return pixels * 4 >= vectors * L * 3; }
};

constexpr int kDirectRows = 6;

// One image: into `run` (per depth: CH * vectors * L), or to its place if rows are taken one by one.
template <class T, int CH>
void direct(int rows, const T* w, const T* src, const int64_t* offsets, int64_t K, const Pixels& px, Finish<T> end, T* out,
            int64_t plane, T* run) {
  if constexpr (CH > 1) {
    if (rows < CH) return direct<T, CH - 1>(rows, w, src, offsets, K, px, end, out, plane, run);
  }
  const DirectShape<T> shape(px.n[1], px.n[2], px.read[1]);
  if (!shape.run) return direct_wide<T, CH>(w, src, offsets, K, px, end, out, plane);
  for (int64_t z = 0; z < px.n[0]; ++z, run += CH * shape.vectors * shape.L)
    direct_run<T, CH>(w, src + px.source(z * px.n[1]), offsets, K, shape.vectors, end, run);
}

// From the run to the result.
template <class T>
void direct_out(int64_t rows, const T* run, const Pixels& px, T* out, int64_t plane) {
  const DirectShape<T> shape(px.n[1], px.n[2], px.read[1]);
  for (int64_t z = 0; z < px.n[0]; ++z)
    for (int64_t c = 0; c < rows; ++c, run += shape.vectors * shape.L)
      for (int64_t y = 0; y < px.n[1]; ++y) {
        const T* t = run + y * px.read[1];
        T* o = out + c * plane + px.write_base + z * px.write[0] + y * px.write[1];
        if (px.write[2] == 1) copy_run(o, t, px.n[2]);
        else for (int64_t x = 0; x < px.n[2]; ++x) o[x * px.write[2]] = t[x];
      }
}

// Whether a product of M rows is better done without packing.
template <class T>
bool better_direct(int64_t M, int64_t height, int64_t width, int64_t read, int64_t images) {
  return M <= 2 || (M <= 64 && images >= 16 && DirectShape<T>(height, width, read).worth(height * width));
}

}  // namespace
}  // namespace rl
