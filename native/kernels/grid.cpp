// Images sampled at given places, and the gradients of that. Every result is the sum of a few pixels times weights, its taps:
// they are found for a tile of places at once and serve all channels.
#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int64_t kPlaces = 128;

enum Mode { kLinear, kNearest, kCubic };
enum Padding { kZeros, kBorder, kReflection };

// (x or g, [x,] grid; mode, padding, align_corners), all contiguous
struct Sampling {
  Mode mode;
  Padding padding;
  bool corners;
  int64_t images, channels, pixels = 1, places = 1, size[3];
  Sampling(const Call& c, const Array& x, const Array& grid)
      : mode(static_cast<Mode>(c.inum(0))), padding(static_cast<Padding>(c.inum(1))), corners(c.inum(2)),
        images(x.shape[0]), channels(x.shape[1]) {
    for (int d = 2; d < x.ndim; ++d) {
      pixels *= size[d - 2] = x.shape[d];
      places *= grid.shape[d - 1];
    }
    if (pixels > std::numeric_limits<int32_t>::max()) throw std::runtime_error("grid_sampler(): the image is too large");
  }
  int64_t tiles() const { return (places + kPlaces - 1) / kPlaces; }
};

// Positions along one dimension of `size` pixels: how coordinates become positions, and positions outside come inside. PyTorch
// brings NaN to the first pixel of an image, and to the last of a volume.
template <class T, int D, Padding PADDING>
struct Axis {
  T size, last, scale, shift, low, span;
  Axis(int64_t pixels, bool corners)
      : size(static_cast<T>(pixels)), last(size - T(1)), scale((corners ? last : size) / T(2)), shift(corners ? T(0) : T(0.5)),
        low(corners ? T(0) : T(-0.5)), span(T(2) * (corners ? last : size)) {}

  // Moves `at` inside; `slope` is how it moves with the coordinate.
  void bring(T& at, T& slope) const {
    if (PADDING == kZeros) return;
    if (PADDING == kReflection) {
      const T from = at - low, away = from < T(0) ? -from : from;
      const T there = away - std::trunc(away / span) * span, back = span - there;
      const bool mirrored = there > back;
      at = span == T(0) ? T(0) : (mirrored ? back : there) + low;
      slope = (from < T(0)) != mirrored ? -slope : slope;
    }
    slope = (at > T(0)) & (at < last) ? slope : T(0);
    if (D == 2) {
      at = at > T(0) ? at : T(0);
      at = at < last ? at : last;
    } else {
      at = at < last ? at : last;
      at = at > T(0) ? at : T(0);
    }
  }
};

template <class T, int D>
struct Line {
  int32_t at[4][kPlaces];                    // -1: outside
  T weight[4][kPlaces], slope[4][kPlaces];

  // Of a volume, what lies outside has no weight, even where its position is no number.
  static void put(int32_t* at, T* weight, T* slope, T position, T last, T w, T s) {
    const bool ok = (position >= T(0)) & (position <= last);
    const int32_t place = static_cast<int32_t>(ok ? position : T(0));
    *at = ok ? place : -1;
    *weight = D == 2 || ok ? w : T(0);
    *slope = s;
  }

  // x: every D-th number is a coordinate along this dimension.
  template <Mode MODE, Padding PADDING>
  void fill(const T* x, int64_t n, int64_t pixels, bool corners) {
    const Axis<T, D, PADDING> axis(pixels, corners);
    T position[kPlaces], moves[kPlaces];
    // Rounded once in images and twice in volumes, as in PyTorch: at an image's own pixels that decides on which side the slope is taken.
    for (int64_t i = 0; i < n; ++i) {
      const T from = x[i * D] + T(1);
      if constexpr (D == 3) position[i] = from * axis.scale;
      else if constexpr (sizeof(T) == 4) position[i] = __builtin_fmaf(from, axis.scale, -axis.shift);
      else position[i] = __builtin_fma(from, axis.scale, -axis.shift);
    }
    for (int64_t i = 0; i < n; ++i) {
      T p = D == 3 ? position[i] - axis.shift : position[i], s = axis.scale;
      if (MODE != kCubic) axis.bring(p, s);
      position[i] = p;
      moves[i] = s;
    }
    for (int64_t i = 0; i < n; ++i) {
      const T p = position[i], s = moves[i];
      if (MODE == kNearest) {
        put(&at[0][i], &weight[0][i], &slope[0][i], std::nearbyint(p), axis.last, T(1), T(0));
        continue;
      }
      const T low = std::floor(p), t = p - low;
      if (MODE == kLinear) {
        put(&at[0][i], &weight[0][i], &slope[0][i], low, axis.last, T(1) - t, -s);
        put(&at[1][i], &weight[1][i], &slope[1][i], low + T(1), axis.last, t, s);
        continue;
      }
      constexpr T a = T(-0.75);
      const T x0 = t + T(1), x2 = T(1) - t, x3 = T(2) - t;
      const T w[4] = {((a * x0 - T(5) * a) * x0 + T(8) * a) * x0 - T(4) * a, ((a + T(2)) * t - (a + T(3))) * t * t + T(1),
                      ((a + T(2)) * x2 - (a + T(3))) * x2 * x2 + T(1), ((a * x3 - T(5) * a) * x3 + T(8) * a) * x3 - T(4) * a};
      const T d[4] = {(T(3) * a * x0 - T(10) * a) * x0 + T(8) * a, (T(3) * (a + T(2)) * t - T(2) * (a + T(3))) * t,
                      (T(2) * (a + T(3)) - T(3) * (a + T(2)) * x2) * x2, (T(10) * a - T(3) * a * x3) * x3 - T(8) * a};
      for (int k = 0; k < 4; ++k) {
        T tap = low + T(k - 1), unmoved = T(0);
        axis.bring(tap, unmoved);
        put(&at[k][i], &weight[k][i], &slope[k][i], tap, axis.last, w[k], d[k] * s);
      }
    }
  }
};

// The taps of up to kPlaces places: the product of those along each dimension, the last one running fastest.
template <class T, int D, Mode MODE>
struct Taps {
  static constexpr int kAlong = MODE == kNearest ? 1 : MODE == kLinear ? 2 : 4;
  static constexpr int kCount = D == 2 ? kAlong * kAlong : kAlong * kAlong * kAlong;
  using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  Line<T, D> line[D];
  int32_t at[kCount][kPlaces];
  Bits inside[kCount][kPlaces];              // all bits or none: then `at` is 0
  T weight[kCount][kPlaces];

  void find(const T* grid, int64_t n, const Sampling& q) {
    for (int d = 0; d < D; ++d) {
      const T* x = grid + (D - 1 - d);
      if (q.padding == kZeros) line[d].template fill<MODE, kZeros>(x, n, q.size[d], q.corners);
      else if (q.padding == kBorder) line[d].template fill<MODE, kBorder>(x, n, q.size[d], q.corners);
      else line[d].template fill<MODE, kReflection>(x, n, q.size[d], q.corners);
    }
    for (int k = 0; k < kCount; ++k) {
      int which[D];
      digits(k, which);
      int32_t* __restrict to = at[k];
      T* __restrict w = weight[k];
      const Line<T, D>& first = line[0];
      for (int64_t i = 0; i < n; ++i) {
        to[i] = first.at[which[0]][i];
        w[i] = first.weight[which[0]][i];
      }
      for (int d = 1; d < D; ++d) {
        const int32_t *p = line[d].at[which[d]], size = static_cast<int32_t>(q.size[d]);
        const T* along = line[d].weight[which[d]];
        for (int64_t i = 0; i < n; ++i) {
          const int32_t outside = to[i] | p[i], place = (to[i] < 0 ? 0 : to[i]) * size + p[i];
          to[i] = outside < 0 ? -1 : place;
          w[i] *= along[i];
        }
      }
      for (int64_t i = 0; i < n; ++i) inside[k][i] = to[i] < 0 ? Bits(0) : Bits(-1);
      for (int64_t i = 0; i < n; ++i) to[i] = to[i] < 0 ? 0 : to[i];
    }
  }

  // The pixel under tap k of place i, 0 outside.
  T pixel(const T* image, int k, int64_t i) const {
    return __builtin_bit_cast(T, static_cast<Bits>(__builtin_bit_cast(Bits, image[at[k][i]]) & inside[k][i]));
  }

  static void digits(int k, int* which) {
    for (int d = D - 1; d >= 0; --d, k /= kAlong) which[d] = k % kAlong;
  }

  // How the weight of tap k of place i moves with dimension d.
  T slope(int k, int d, int64_t i) const {
    int which[D];
    digits(k, which);
    T s = T(1);
    for (int e = 0; e < D; ++e) s *= e == d ? line[e].slope[which[e]][i] : line[e].weight[which[e]][i];
    return s;
  }
};

// fn(z of the element type, dimensions, mode), the last two as types
template <int N>
struct Const {
  static constexpr int value = N;
};
template <class F>
void dispatch(DType t, int dimensions, Mode mode, const F& fn) {
  floating(t, dimensions == 2 ? "grid_sampler_2d_cpu_kernel_impl" : "grid_sampler3d_cpu", [&](auto z) {
    if (dimensions == 3) {
      if (mode == kNearest) return fn(z, Const<3>{}, Const<kNearest>{});
      return fn(z, Const<3>{}, Const<kLinear>{});
    }
    if (mode == kNearest) return fn(z, Const<2>{}, Const<kNearest>{});
    if (mode == kLinear) return fn(z, Const<2>{}, Const<kLinear>{});
    return fn(z, Const<2>{}, Const<kCubic>{});
  });
}

// grid_sample(x, grid; mode, padding, align_corners)
void grid_sample_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  for (int d = 2; d < m->ndim; ++d) m->shape[d] = c.in[1]->shape[d - 1];
}

void grid_sample_run(const Call& c) {
  const Array &x = *c.in[0], &grid = *c.in[1];
  if (c.out[0]->numel == 0) return;
  const Sampling q(c, x, grid);
  dispatch(x.dtype, x.ndim - 2, q.mode, [&](auto z, auto dimensions, auto mode) {
    using T = decltype(z);
    constexpr int D = decltype(dimensions)::value;
    using Found = Taps<T, D, static_cast<Mode>(decltype(mode)::value)>;
    parallel_for(q.images * q.tiles(), [&](int64_t job) {
      const int64_t image = job / q.tiles(), first = job % q.tiles() * kPlaces, n = std::min(kPlaces, q.places - first);
      Found taps;
      taps.find(grid.ptr<T>() + (image * q.places + first) * D, n, q);
      for (int64_t ch = image * q.channels; ch < (image + 1) * q.channels; ++ch) {
        const T* from = x.ptr<T>() + ch * q.pixels;
        T* __restrict to = c.out[0]->ptr<T>() + ch * q.places + first;
        for (int64_t i = 0; i < n; ++i) {
          T sum = taps.weight[0][i] * taps.pixel(from, 0, i);
#pragma GCC unroll 16
          for (int k = 1; k < Found::kCount; ++k) sum += taps.weight[k][i] * taps.pixel(from, k, i);
          to[i] = sum;
        }
      }
    });
  });
}
RL_KERNEL(grid_sample, 1, grid_sample_infer, grid_sample_run)

// grid_sample_input_backward(g, x, grid; …): of x only the shape matters
void input_infer(const Call& c, Meta* m) { m->like(*c.in[1]); }

void input_run(const Call& c) {
  const Array &g = *c.in[0], &grid = *c.in[2];
  if (c.out[0]->numel == 0) return;
  const Sampling q(c, *c.in[1], grid);
  dispatch(g.dtype, g.ndim - 2, q.mode, [&](auto z, auto dimensions, auto mode) {
    using T = decltype(z);
    constexpr int D = decltype(dimensions)::value;
    using Found = Taps<T, D, static_cast<Mode>(decltype(mode)::value)>;
    const int64_t per = std::max<int64_t>(8, 16384 / std::max(q.places, q.pixels)), parts = (q.channels + per - 1) / per;
    parallel_for(q.images * parts, [&](int64_t job) {
      const int64_t image = job / parts, begin = job % parts * per, end = std::min(q.channels, begin + per);
      T* to = c.out[0]->ptr<T>() + image * q.channels * q.pixels;
      const T* from = g.ptr<T>() + image * q.channels * q.places;
      std::fill(to + begin * q.pixels, to + end * q.pixels, T(0));
      Found taps;
      for (int64_t first = 0; first < q.places; first += kPlaces) {
        const int64_t n = std::min(kPlaces, q.places - first);
        taps.find(grid.ptr<T>() + (image * q.places + first) * D, n, q);
        for (int64_t ch = begin; ch < end; ++ch)
          for (int64_t i = 0; i < n; ++i)
            for (int k = 0; k < Found::kCount; ++k)
              if (taps.inside[k][i]) to[ch * q.pixels + taps.at[k][i]] += taps.weight[k][i] * from[ch * q.places + first + i];
      }
    });
  });
}
RL_KERNEL(grid_sample_input_backward, 1, input_infer, input_run)

// grid_sample_grid_backward(g, x, grid; …)
void grid_infer(const Call& c, Meta* m) { m->like(*c.in[2]); }

void grid_run(const Call& c) {
  const Array &g = *c.in[0], &x = *c.in[1], &grid = *c.in[2];
  if (c.out[0]->numel == 0) return;
  const Sampling q(c, x, grid);
  dispatch(g.dtype, g.ndim - 2, q.mode, [&](auto z, auto dimensions, auto mode) {
    using T = decltype(z);
    constexpr int D = decltype(dimensions)::value;
    using Found = Taps<T, D, static_cast<Mode>(decltype(mode)::value)>;
    parallel_for(q.images * q.tiles(), [&](int64_t job) {
      const int64_t image = job / q.tiles(), first = job % q.tiles() * kPlaces, n = std::min(kPlaces, q.places - first);
      const int64_t at = (image * q.places + first) * D;
      T* __restrict to = c.out[0]->ptr<T>() + at;
      if (q.mode == kNearest) return std::fill(to, to + n * D, T(0));
      Found taps;
      taps.find(grid.ptr<T>() + at, n, q);
      T sums[Found::kCount][kPlaces] = {};   // over the channels, of gradient times pixel
      for (int64_t ch = image * q.channels; ch < (image + 1) * q.channels; ++ch) {
        const T *from = g.ptr<T>() + ch * q.places + first, *pixels = x.ptr<T>() + ch * q.pixels;
        for (int64_t i = 0; i < n; ++i)
          for (int k = 0; k < Found::kCount; ++k) sums[k][i] += from[i] * taps.pixel(pixels, k, i);
      }
      for (int d = 0; d < D; ++d)
        for (int64_t i = 0; i < n; ++i) {
          T sum = T(0);
          for (int k = 0; k < Found::kCount; ++k) sum += sums[k][i] * taps.slope(k, d, i);
          to[i * D + (D - 1 - d)] = sum;
        }
    });
  });
}
RL_KERNEL(grid_sample_grid_backward, 1, grid_infer, grid_run)

}  // namespace
}  // namespace rl
