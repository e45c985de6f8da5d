// Convolution with output channels in the vector lanes: a tile is a few pixels by two vectors of channels, and pixels are read as
// broadcasts straight from the padded images.
//
// Nothing is packed but the weights, and neither the width of an image nor the stride of the result wastes lanes: a job's results
// lie channels last in scratch memory, each phase of a transposed convolution at its own places, and are transposed on the way
// out.
#pragma once

#include "conv.h"

namespace rl {
namespace {

// out[row][pixel][lane] (+)= sum_k rows[row][offsets[k] + pixel * STEP] * w[k][lane], at least `low`; pixels are `step` elements apart in `to`.
template <class T, int ROWS, int PIXELS, int STEP, int VECS>
void lane_tile(const T* const* rows, T* const* to, int64_t step, const int64_t* offsets, int64_t K, const T* w, const T* bias,
               T low) {
  using V = typename Simd<T>::vec;
  constexpr int L = Simd<T>::lanes;
  V c[ROWS][PIXELS][VECS];
  const T* s[ROWS];
  for (int r = 0; r < ROWS; ++r) {
    s[r] = rows[r];
    for (int x = 0; x < PIXELS; ++x)
      for (int v = 0; v < VECS; ++v) c[r][x][v] = Simd<T>::load(bias ? bias + v * L : to[r] + x * step + v * L);
  }
  for (int64_t k = 0; k < K; ++k, w += VECS * L) {
    const int64_t at = offsets[k];
    V b[VECS];
    for (int v = 0; v < VECS; ++v) b[v] = Simd<T>::load(w + v * L);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 16
      for (int x = 0; x < PIXELS; ++x) {
        const V y = Simd<T>::all(s[r][at + x * STEP]);
        for (int v = 0; v < VECS; ++v) c[r][x][v] += y * b[v];
      }
  }
  for (int r = 0; r < ROWS; ++r)
    for (int x = 0; x < PIXELS; ++x)
      for (int v = 0; v < VECS; ++v) Simd<T>::store(to[r] + x * step + v * L, Finish<T>::at_least(c[r][x][v], low));
}

// Tiles of one row, from half of kMR pixels on, or of as many narrow rows as fit.
template <class T, int PIXELS, int STEP, int VECS>
void lane_row(int pixels, const T* s, T* to, int64_t step, const int64_t* offsets, int64_t K, const T* w, const T* bias,
              T low) {
  if constexpr (PIXELS > kMR / 2) {
    if (pixels < PIXELS) return lane_row<T, PIXELS - 1, STEP, VECS>(pixels, s, to, step, offsets, K, w, bias, low);
  }
  lane_tile<T, 1, PIXELS, STEP, VECS>(&s, &to, step, offsets, K, w, bias, low);
}

template <class T, int PIXELS, int STEP, int VECS>
void lane_rows(int pixels, const T* const* s, T* const* to, int64_t step, const int64_t* offsets, int64_t K, const T* w,
               const T* bias, T low) {
  if constexpr (PIXELS > 1) {
    if (pixels < PIXELS) return lane_rows<T, PIXELS - 1, STEP, VECS>(pixels, s, to, step, offsets, K, w, bias, low);
  }
  lane_tile<T, kMR / PIXELS, PIXELS, STEP, VECS>(s, to, step, offsets, K, w, bias, low);
}

template <class T>
struct LaneProducts {
  static constexpr int64_t L = Simd<T>::lanes;
  static constexpr int64_t kBlock = 256;                       // of K: a block of a panel's weights stays in the cache
  static constexpr int64_t kBand = 1024, kSourceBytes = 262144;   // result pixels and padded images of a job
  static constexpr int64_t kSlab = int64_t{4} << 20;           // elements that are padded at once
  static constexpr int64_t kJobs = 16;                         // wanted, so that any number of threads has work

  const Operands<T>& p;

  int64_t panels() const { return (p.M + 2 * L - 1) / (2 * L); }
  int64_t vecs(int64_t panel) const { return p.M - panel * 2 * L > L ? 2 : 1; }
  static int64_t weight_size(int64_t M, int64_t K) { return (M + L - 1) / L * L * K; }

  // Element (m, b, t) of group g is w[g * group + m * row + b * block + t]: `taps` in a row for each of some blocks.
  void pack(const T* w, int64_t group, int64_t row, int64_t blocks, int64_t block, int64_t taps) const {
    const int64_t cuts = std::clamp<int64_t>(p.M * blocks * taps / 65536 / panels(), 1, std::max<int64_t>(1, blocks));
    parallel_for(p.G * panels() * cuts, [&](int64_t job) {
      const int64_t cut = job % cuts, panel = job / cuts % panels(), g = job / cuts / panels(), m = panel * 2 * L;
      const int64_t lanes = vecs(panel) * L;
      Scratch<T> part(taps * lanes);
      for (int64_t b = blocks * cut / cuts; b < blocks * (cut + 1) / cuts; ++b) {
        const T* from = w + g * group + m * row + b * block;
        auto place = [&](const Phase<T>& f) { return f.weights + g * weight_size(p.M, f.K) + m * f.K; };
        if (!p.phases[0].tap) {
          channels_last<T>(from, row, taps, p.M - m, place(p.phases[0]) + b * taps * lanes, lanes);
          continue;
        }
        channels_last<T>(from, row, taps, p.M - m, part, lanes);
        for (int64_t i = 0; i < p.nphases; ++i) {
          const Phase<T>& f = p.phases[i];
          for (int64_t t = 0; t < f.taps; ++t)
            copy_run(place(f) + (b * f.taps + t) * lanes, part + f.tap[t] * lanes, lanes);
        }
      }
    });
  }

  void run() const {
    const int64_t size = p.Ks * p.pad.channel() + kSlack, width = p.width, height = p.dst_plane / width;
    // Small images together, large ones in bands of rows.
    const int64_t batch = images_together(size), batches = (p.N + batch - 1) / batch;
    const int64_t lines = std::clamp<int64_t>(kBand / width, 1, height);
    const int64_t bands = (height + lines - 1) / lines, items = batches * p.G, parts = (kJobs + items - 1) / items;
    const int64_t cuts = bands >= parts ? 1 : std::min(panels(), (parts + bands - 1) / bands);
    const bool there = p.pad.as_is();         // sources are read where they are
    if (items >= kJobs || bands * cuts == 1) {
      return parallel_for(items, [&](int64_t job) {
        const int64_t n0 = job / p.G * batch, count = std::min(batch, p.N - n0), g = job % p.G;
        Scratch<T> padded(there ? 0 : batch * size);
        for (int64_t i = 0; i < count && !there; ++i) p.pad.fill(source(n0 + i, g), p.Ks, padded + i * size);
        for (int64_t y = 0; y < height; y += lines)
          images(n0, count, g, there ? source(n0, g) : padded.p, there ? p.G * p.Ks * p.src_plane : size, y,
                 std::min(height, y + lines), 0, panels());
      });
    }
    // Several batches' sources first, then their bands.
    const int64_t slab = std::min(batches, there ? batches : std::max<int64_t>(1, kSlab / (batch * size * p.G)));
    const int64_t per = std::max<int64_t>(1, 32768 / p.pad.channel()), pieces = (p.Ks + per - 1) / per;
    Scratch<T> padded(there ? 0 : slab * batch * p.G * size);
    for (int64_t b0 = 0; b0 < batches; b0 += slab) {
      const int64_t b1 = std::min(batches, b0 + slab), n0 = b0 * batch, n1 = std::min(p.N, b1 * batch);
      parallel_for(there ? 0 : (n1 - n0) * p.G * pieces, [&](int64_t job) {
        const int64_t i = job / pieces, c = job % pieces * per;
        p.pad.fill(source(n0, i) + c * p.src_plane, std::min(per, p.Ks - c), padded + i * size + c * p.pad.channel());
      });
      parallel_for((b1 - b0) * p.G * bands * cuts, [&](int64_t job) {
        const int64_t cut = job % cuts, y0 = job / cuts % bands * lines, g = job / cuts / bands % p.G;
        const int64_t first = (b0 + job / cuts / bands / p.G) * batch;
        images(first, std::min(batch, p.N - first), g, there ? source(first, g) : padded + ((first - n0) * p.G + g) * size,
               p.G * (there ? p.Ks * p.src_plane : size), y0, std::min(height, y0 + lines), panels() * cut / cuts,
               panels() * (cut + 1) / cuts);
      });
    }
  }

 private:
  const T* source(int64_t n, int64_t g) const { return p.src + (n * p.G + g) * p.Ks * p.src_plane; }

  int64_t images_together(int64_t size) const {
    const int64_t room = kSourceBytes / static_cast<int64_t>(sizeof(T)) / size;
    int64_t batch = std::clamp<int64_t>(std::min(room, kBand / 2 / p.dst_plane), 1, p.N);
    const Pixels& px = p.phases[0].px;        // rows that do not leave the last tile almost empty
    if (batch > 1 && px.n[2] > 0 && px.n[2] <= kMR / 2)
      while (batch < p.N && batch * px.n[0] * px.n[1] % (kMR / px.n[2]) != 0) ++batch;
    return batch;
  }

  // Rows [y0, y1) of the result and panels [p0, p1) of `count` images from n0 on, whose sources are `apart`.
  void images(int64_t n0, int64_t count, int64_t g, const T* source, int64_t apart, int64_t y0, int64_t y1, int64_t p0,
              int64_t p1) const {
    const int64_t pixels = (y1 - y0) * p.width;
    // Rows of a phase, of single pixels if these are far apart; what a row of a tile beyond the last may write.
    int64_t most = 0, rest = 0;
    for (int64_t i = 0; i < p.nphases; ++i) {
      const Pixels& px = p.phases[i].px;
      most = std::max(most, px.n[0] * px.n[1] * (px.step > 2 ? px.n[2] : 1));
      rest = std::max(rest, px.n[2] * px.write[2]);
    }
    Scratch<T> out((count * pixels + rest) * 2 * L);
    Scratch<const T*> from(count * most);
    Scratch<T*> to(count * most);
    for (int64_t panel = p0; panel < p1; ++panel) {
      const int64_t m = panel * 2 * L, lanes = vecs(panel) * L;
      T bias[2 * L] = {};
      if (p.finish.bias) std::copy_n(p.finish.bias + g * p.M + m, std::min(lanes, p.M - m), bias);
      for (int64_t i = 0; i < p.nphases; ++i) {
        const Phase<T>& f = p.phases[i];
        const Pixels& px = f.px;
        int64_t rows = 0;
        for (int64_t n = 0; n < count; ++n)
          for (int64_t row = 0; row < px.n[0] * px.n[1]; ++row) {
            const int64_t at = px.target(row) - y0 * p.width;
            if (at < 0 || at >= pixels) continue;
            for (int64_t x = 0; x < (px.step > 2 ? px.n[2] : 1); ++x) {
              from[rows] = source + n * apart + px.source(row) + x * px.step;
              to[rows++] = out + (n * pixels + at + x * px.write[2]) * lanes;
            }
          }
        const T* w = f.weights + g * weight_size(p.M, f.K) + m * f.K;
        T* unused = out + count * pixels * lanes;
        auto run = vecs(panel) == 2 ? &LaneProducts::tiles<1, 2> : &LaneProducts::tiles<1, 1>;
        if (px.step == 2) run = vecs(panel) == 2 ? &LaneProducts::tiles<2, 2> : &LaneProducts::tiles<2, 1>;
        (this->*run)(f, w, bias, rows, from, to, unused);
      }
      for (int64_t n = 0; n < count; ++n) {
        T* dst = p.dst + (((n0 + n) * p.G + g) * p.M + m) * p.dst_plane + y0 * p.width;
        channels_first<T>(out + n * pixels * lanes, pixels, p.M - m, dst, p.dst_plane, lanes);
      }
    }
  }

  template <int STEP, int VECS>
  void tiles(const Phase<T>& f, const T* w, const T* bias, int64_t rows, const T* const* from, T* const* to, T* unused) const {
    constexpr int64_t lanes = VECS * L;
    const int64_t W = f.px.step > 2 ? 1 : f.px.n[2], step = f.px.write[2] * lanes;
    for (int64_t k0 = 0; k0 == 0 || k0 < f.K; k0 += kBlock, bias = nullptr) {
      const int64_t kc = std::min(kBlock, f.K - k0);
      const T* b = w + k0 * lanes;
      const T low = k0 + kc == f.K ? p.finish.low : -std::numeric_limits<T>::infinity();
      const int64_t* offsets = f.offsets + k0;
      if (W > kMR / 2) {
        const int64_t parts = (W + kMR - 1) / kMR;
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t i = 0; i < parts; ++i) {
            const int64_t x = W * i / parts, n = W * (i + 1) / parts - x;
            lane_row<T, kMR, STEP, VECS>(static_cast<int>(n), from[r] + x * STEP, to[r] + x * step, step, offsets, kc, b, bias, low);
          }
        continue;
      }
      const int64_t height = kMR / W;
      for (int64_t r = 0; r < rows; r += height) {
        const T* s[kMR];
        T* o[kMR];
        for (int64_t i = 0; i < height; ++i) {
          const bool real = r + i < rows;
          s[i] = from[real ? r + i : r];
          o[i] = real ? to[r + i] : unused;
        }
        lane_rows<T, std::max(1, kMR / 2), STEP, VECS>(static_cast<int>(W), s, o, step, offsets, kc, b, bias, low);
      }
    }
  }
};

}  // namespace
}  // namespace rl
