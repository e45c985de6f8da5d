// Convolution with images in the vector lanes, for few channels: pixel (c, y, x) of L images is one vector.
//
// No lane is empty whatever the number of channels, the width of an image or the stride, and taps beyond an edge are left out. A
// tile is a few neighbouring pixels by a few channels of the result; pixels are loaded, weights are broadcast. A job's rows are
// transposed on the way in, with zeros left and right for the tiles at the edges, and on the way out.
#pragma once

#include "conv.h"

namespace rl {
namespace {

// One dimension of one phase: result i, at first + i * step of the image, meets tap j, number tap + j * tap_step of the kernel,
// in source(i, j). A convolution is one phase, a transposed one has as many as its stride.
struct TapAxis {
  int64_t count, first, step;
  int64_t taps, tap, tap_step;
  int64_t base, along, across;

  int64_t source(int64_t i, int64_t j) const { return base + i * along + j * across; }

  // The taps [from, to) whose source is within `size`.
  void within(int64_t i, int64_t size, int64_t* from, int64_t* to) const {
    const int64_t at = source(i, 0), far = at + (taps - 1) * across, d = across < 0 ? -across : across;
    const int64_t low = across < 0 ? at - (size - 1) : -at;          // how far tap 0 is outside, and the last tap
    const int64_t high = across < 0 ? -far : far - (size - 1);
    *from = low > 0 ? std::min(taps, (low + d - 1) / d) : 0;
    *to = std::max(*from, high > 0 ? taps - std::min(taps, (high + d - 1) / d) : taps);
  }

  static TapAxis forward(const ConvGeometry& q, int d) {
    return {q.out[d], 0, 1, q.k[d], 0, 1, -q.pad[d], q.stride[d], q.dil[d]};
  }
  // For a stride or a dilation of 1.
  static TapAxis transposed(const ConvGeometry& q, int d, int64_t r) {
    const int64_t s = q.stride[d];
    const Residue z = residue(q, d, r);
    return {z.count, z.first, s, r < q.k[d] ? (q.k[d] - 1 - r) / s + 1 : 0, r, s, z.q, 1, -q.dil[d]};
  }
};

// acc[p][m] = sum over `lines` rows of taps, and n of their (tap, channel) pairs.
template <class T, int P, int M>
void image_tile(const T* src, int64_t line, int64_t step, const int64_t* offsets, int64_t n, int64_t lines, const T* w,
                int64_t w_line, Finish<T> end, T* out, int64_t out_step, int64_t out_plane) {
  using V = typename Simd<T>::vec;
  V acc[M][P];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) acc[m][p] = Simd<T>::all(end.start(m));
  for (int64_t i = 0; i < lines; ++i, src += line, w += w_line) {
    const T* b = w;
    for (int64_t k = 0; k < n; ++k, b += M) {
      const T* at = src + offsets[k];
      if constexpr (M == 1) {
        const V v = Simd<T>::all(b[0]);
#pragma GCC unroll 16
        for (int p = 0; p < P; ++p) acc[0][p] += v * Simd<T>::load(at + p * step);
        continue;
      }
      V s[P];
#pragma GCC unroll 8
      for (int p = 0; p < P; ++p) s[p] = Simd<T>::load(at + p * step);
#pragma GCC unroll 8
      for (int m = 0; m < M; ++m) {
        const V v = Simd<T>::all(b[m]);
#pragma GCC unroll 8
        for (int p = 0; p < P; ++p) acc[m][p] += v * s[p];
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 16
    for (int p = 0; p < P; ++p) Simd<T>::store(out + m * out_plane + p * out_step, end(acc[m][p]));
}

// Rows [low, high) of one channel of `count` images, `apart` from each other, each pixel a vector, with zeros left and right.
template <class T>
void load_images(const T* s, int64_t apart, int64_t count, int64_t width, int64_t low, int64_t high, int64_t left, int64_t right,
                 T* out) {
  constexpr int64_t L = Simd<T>::lanes, kBlock = 64;
  const int64_t pitch = (left + width + right) * L;
  for (int64_t y = low; y < high; ++y) {
    T* row = out + (y - low) * pitch;
    set_run(row, T(0), left * L);
    set_run(row + (left + width) * L, T(0), right * L);
  }
  if (left + right == 0) return channels_last<T>(s + low * width, apart, (high - low) * width, count, out);
  if (width % 16 == 0) {
    for (int64_t y = low; y < high; ++y, out += pitch) channels_last<T>(s + y * width, apart, width, count, out + left * L);
    return;
  }
  // Blocks of pixels that end where rows do not go through a buffer.
  alignas(64) T block[kBlock * L];
  int64_t x = 0;
  T* row = out + left * L;
  for (int64_t p = low * width; p < high * width; p += kBlock) {
    const int64_t n = std::min(kBlock, high * width - p);
    channels_last<T>(s + p, apart, n, count, block);
    for (int64_t i = 0; i < n;) {
      const int64_t run = std::min(width - x, n - i);
      for (int64_t k = 0; k < run; ++k) Simd<T>::store(row + (x + k) * L, Simd<T>::load(block + (i + k) * L));
      i += run, x += run;
      if (x == width) x = 0, row += pitch;
    }
  }
}

struct ImageTile {
  int64_t first, pixels, source, tap, taps;
};

template <class T, int P, int M, class... A>
inline void image_tile_of(int64_t pixels, A... a) {
  if constexpr (P > 1) {
    if (pixels < P) return image_tile_of<T, P - 1, M>(pixels, a...);
  }
  image_tile<T, P, M>(a...);
}

template <class T, int M, int P>
void image_row(const ImageTile* row, int64_t tiles, const T* line, int64_t across, int64_t along, const int64_t* offsets,
               int64_t Ks, int64_t lines, const T* w, int64_t w_line, Finish<T> end, T* out, int64_t out_step,
               int64_t out_plane) {
  for (int64_t t = 0; t < tiles; ++t) {
    const ImageTile& q = row[t];
    image_tile_of<T, P, M>(q.pixels, line + q.source, across, along, offsets + q.tap * Ks, q.taps * Ks, lines,
                           w + q.tap * Ks * M, w_line, end, out + q.first * out_step, out_step, out_plane);
  }
}

template <class T>
struct ImageProducts {
  static constexpr int64_t L = Simd<T>::lanes;
  static constexpr bool kWide = kVectorBytes == 64;
  static constexpr int kChannels = kWide ? 6 : 3;              // of a tile, at most
  static constexpr int64_t kRoom = 98304;                      // elements of a job's rows
  static constexpr int64_t kJobs = 16;                         // wanted, so that any number of threads has work
  static constexpr int pixels(int channels) {
    if (channels == 1) return kWide ? 14 : 8;
    return kWide ? (channels <= 3 ? 8 : 4) : (channels <= 2 ? 4 : 3);
  }

  const ConvGeometry& q;
  const bool forward;
  const T *src, *w;
  Finish<T> finish;
  T* dst;
  const int64_t edge = zeros();               // left and right of a row

  int64_t Ks() const { return forward ? q.C : q.O; }
  int64_t M() const { return forward ? q.O : q.C; }
  const int64_t* from() const { return forward ? q.in : q.out; }
  const int64_t* to() const { return forward ? q.out : q.in; }
  int64_t phases(int d) const { return forward ? 1 : q.stride[d]; }
  TapAxis axis(int d, int64_t phase) const { return forward ? TapAxis::forward(q, d) : TapAxis::transposed(q, d, phase); }

  int64_t groups() const { return (q.N + L - 1) / L; }
  int64_t parts() const { return (M() + kChannels - 1) / kChannels; }
  int64_t part(int64_t i) const { return M() * i / parts(); }
  // As far as taps reach, and no further than from one end of a tile to the other.
  int64_t zeros() const {
    int64_t far = 0;
    for (int64_t r = 0; r < phases(2); ++r) {
      const TapAxis x = axis(2, r);
      if (x.count == 0 || x.taps == 0) continue;
      for (int64_t j : {int64_t{0}, x.taps - 1})
        far = std::max({far, -x.source(0, j), x.source(x.count - 1, j) - (from()[2] - 1)});
    }
    return std::min(far, (pixels(static_cast<int>((M() + parts() - 1) / parts())) - 1) * (forward ? q.stride[2] : 1));
  }
  int64_t pitch() const { return (from()[2] + 2 * edge) * L; }

  // Rows of the source that rows [y0, y1) of the result read.
  void rows(int64_t y0, int64_t y1, int64_t* low, int64_t* high) const {
    *low = from()[1], *high = 0;
    for (int64_t r = 0; r < phases(1); ++r) {
      const TapAxis a = axis(1, r);
      const int64_t i0 = y0 > a.first ? (y0 - a.first + a.step - 1) / a.step : 0;
      const int64_t i1 = std::min(a.count, y1 > a.first ? (y1 - a.first + a.step - 1) / a.step : 0);
      if (i0 >= i1 || a.taps == 0) continue;
      const int64_t ends[] = {a.source(i0, 0), a.source(i0, a.taps - 1), a.source(i1 - 1, 0), a.source(i1 - 1, a.taps - 1)};
      for (int64_t e : ends) *low = std::min(*low, e), *high = std::max(*high, e + 1);
    }
    *low = std::max<int64_t>(0, *low);
    *high = std::max(*low, std::min(from()[1], *high));
  }

  static bool fits(const ConvGeometry& q, bool forward) {
    bool can = q.G == 1 && q.in[0] == 1 && q.k[0] == 1 && q.out[0] == 1 && q.pad[0] == 0;
    for (int d = 1; d < 3 && !forward; ++d) can = can && (q.stride[d] == 1 || q.dil[d] == 1);
    return can;
  }

  // Time in vector multiply-adds, all images. Measured: what a vector of the source and of the result costs on the way in and out
  // (more where all images of a group fall into one set of the cache).
  double cost() const {
    int64_t height = 0, lines = 0, tiles = 0, pairs = 0;       // rows and their taps, tiles and those of their pixels
    for (int64_t r = 0; r < phases(1); ++r) {
      const TapAxis y = axis(1, r);
      height += y.count;
      for (int64_t i = 0; i < y.count; ++i) {
        int64_t a, b;
        y.within(i, from()[1], &a, &b);
        lines += b - a;
      }
    }
    for (int64_t r = 0; r < phases(2); ++r) {
      const TapAxis x = axis(2, r);
      Scratch<ImageTile> row(tiles_across(x));
      cut(x, row.p);
      tiles += tiles_across(x);
      for (int64_t t = 0; t < tiles_across(x); ++t) pairs += row[t].pixels * row[t].taps;
    }
    const double work = static_cast<double>(lines * pairs * M() * Ks() + 40 * height * parts() * tiles);
    const int64_t plane = to()[1] * to()[2];
    const double out = static_cast<double>(M() * plane) * (M() * plane % 1024 == 0 ? 23 : 14);
    const double in = static_cast<double>(Ks() * from()[1] * from()[2]) * 12;
    return static_cast<double>(groups()) * (1.12 * work + out + in);
  }

  // Rows of the result per job; 0 if not even four of them fit.
  int64_t band() const {
    const int64_t height = to()[1], wanted = (kJobs + groups() - 1) / groups();
    int64_t lines = std::max<int64_t>(std::min<int64_t>(height, 4), (height + wanted - 1) / wanted);
    for (; lines > 0; lines = lines > 4 ? std::max<int64_t>(4, lines * 3 / 4) : 0) {
      int64_t low, high;
      rows(height / 2, std::min(height, height / 2 + lines), &low, &high);
      if ((high - low) * pitch() * Ks() + lines * to()[2] * L * M() <= kRoom) break;
    }
    return lines;
  }

  void run() const {
    const int64_t height = to()[1], lines = band(), bands = (height + lines - 1) / lines, count = phases(1) * phases(2);
    int64_t most = 0;                         // rows of the source in a band
    for (int64_t y0 = 0; y0 < height; y0 += lines) {
      int64_t low, high;
      rows(y0, std::min(height, y0 + lines), &low, &high);
      most = std::max(most, high - low);
    }
    const int64_t channel = most * pitch();
    Scratch<T> weights(M() * Ks() * q.taps());
    Scratch<int64_t> offsets(Ks() * q.k[2] * phases(1));
    Scratch<ImageTile> tiles(count * to()[2]);
    Scratch<Phase> table(count);
    prepare(channel, weights, offsets, tiles.p, table.p);
    parallel_for(groups() * bands, [&](int64_t job) {
      const int64_t n0 = job / bands * L, y0 = job % bands * lines;
      images(n0, std::min(L, q.N - n0), y0, std::min(height, y0 + lines), channel, table.p);
    });
  }

 private:
  struct Phase {
    TapAxis y, x;
    const T* weights;                         // per part of the channels: (tap of y, tap of x, source channel, channel)
    const int64_t* offsets;                   // (tap of x, source channel)
    const ImageTile* row;
    int64_t tiles;
  };

  void prepare(int64_t channel, T* weights, int64_t* offsets, ImageTile* tiles, Phase* table) const {
    const int64_t row = forward ? q.C * q.taps() : q.taps(), step = forward ? q.taps() : q.C * q.taps();
    for (int64_t ry = 0; ry < phases(1); ++ry)
      for (int64_t rx = 0; rx < phases(2); ++rx) {
        const TapAxis y = axis(1, ry), x = axis(2, rx);
        *table++ = {y, x, weights, offsets, tiles, tiles_across(x)};
        for (int64_t i = 0; i < parts(); ++i)
          for (int64_t jy = 0; jy < y.taps; ++jy)
            for (int64_t jx = 0; jx < x.taps; ++jx) {
              const T* tap = w + (y.tap + jy * y.tap_step) * q.k[2] + x.tap + jx * x.tap_step;
              for (int64_t c = 0; c < Ks(); ++c)
                for (int64_t m = part(i); m < part(i + 1); ++m) *weights++ = tap[m * row + c * step];
            }
        for (int64_t j = 0; j < x.taps; ++j)
          for (int64_t c = 0; c < Ks(); ++c) *offsets++ = j * x.across * L + c * channel;
        cut(x, tiles);
        tiles += tiles_across(x);
      }
  }

  // Row by row of the result, whatever their phases: they read the same rows of the source.
  void images(int64_t n0, int64_t count, int64_t y0, int64_t y1, int64_t channel, const Phase* table) const {
    int64_t low, high;
    rows(y0, y1, &low, &high);
    const int64_t W = to()[2], result = (y1 - y0) * W * L, from_plane = from()[1] * from()[2];
    Scratch<T> in(Ks() * channel), out(M() * result);
    for (int64_t c = 0; c < Ks(); ++c)
      load_images<T>(src + (n0 * Ks() + c) * from_plane, Ks() * from_plane, count, from()[2], low, high, edge, edge,
                     in + c * channel);
    for (int64_t y = y0; y < y1; ++y)
      for (int64_t k = 0; k < phases(1) * phases(2); ++k) {
        const TapAxis& a = table[k].y;
        const int64_t i = y - a.first;
        if (i < 0 || i % a.step != 0 || i / a.step >= a.count) continue;
        line(table[k], i / a.step, low, in, out + (y - y0) * W * L, result);
      }
    for (int64_t m = 0; m < M(); ++m)
      channels_first<T>(out + m * result, (y1 - y0) * W, count, dst + ((n0 * M() + m) * to()[1] + y0) * W, M() * to()[1] * W);
  }

  // Pixels of one phase in one row; channels of the result are `plane` apart.
  void line(const Phase& f, int64_t i, int64_t low, const T* in, T* out, int64_t plane) const {
    int64_t from_tap, to_tap;
    f.y.within(i, from()[1], &from_tap, &to_tap);
    const T* source = in + (f.y.source(i, from_tap) - low) * pitch() + edge * L;
    const T* weights = f.weights;
    for (int64_t k = 0; k < parts(); ++k) {
      const int64_t m0 = part(k), m = part(k + 1) - m0, per = f.x.taps * Ks() * m;
      tile<kChannels>(static_cast<int>(m), f.row, f.tiles, source, f.y.across * pitch(), f.x.along * L, f.offsets, Ks(),
                      to_tap - from_tap, weights + from_tap * per, per, finish.from(m0), out + m0 * plane + f.x.first * L,
                      f.x.step * L, plane);
      weights += f.y.taps * per;
    }
  }

  int64_t tiles_across(const TapAxis& x) const {
    const int64_t wide = pixels(static_cast<int>((M() + parts() - 1) / parts()));
    return (x.count + wide - 1) / wide;
  }

  // A row's tiles: pixels [first, first + pixels) and the taps that any of them needs.
  void cut(const TapAxis& x, ImageTile* row) const {
    const int64_t tiles = tiles_across(x);
    for (int64_t t = 0; t < tiles; ++t) {
      const int64_t x0 = x.count * t / tiles, x1 = x.count * (t + 1) / tiles;
      int64_t from_tap = x.taps, to_tap = 0;
      for (int64_t p = x0; p < x1; ++p) {
        int64_t a, b;
        x.within(p, from()[2], &a, &b);
        if (a < b) from_tap = std::min(from_tap, a), to_tap = std::max(to_tap, b);
      }
      row[t] = {x0, x1 - x0, x.source(x0, 0) * L, from_tap, std::max<int64_t>(0, to_tap - from_tap)};
    }
  }

  template <int C, class... A>
  static void tile(int channels, A... a) {
    if constexpr (C > 1) {
      if (channels < C) return tile<C - 1>(channels, a...);
    }
    image_row<T, C, pixels(C)>(a...);
  }
};

}  // namespace
}  // namespace rl
