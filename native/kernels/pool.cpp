// Pooling over one to three spatial dimensions: maxima with their places, means, and the way back.
//
// A plane (all spatial elements of one channel) is the unit of work. Every window is a product of ranges, one per
// dimension, so regular and adaptive pooling share the loops. Places are int32 indices into the plane.
#include <algorithm>
#include <cstring>
#include <limits>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int64_t kPlaneWork = 32768;         // elements per parallel chunk

// fn(plane) for every plane, several to a chunk.
template <class F>
void for_planes(int64_t planes, int64_t elements, const F& fn) {
  const int64_t per = std::max<int64_t>(1, kPlaneWork / std::max<int64_t>(1, elements));
  parallel_for((planes + per - 1) / per, [&](int64_t job) {
    for (int64_t i = job * per; i < std::min(planes, (job + 1) * per); ++i) fn(i);
  });
}

// Spatial sizes with leading ones, and the number of planes. The rank is in the call's first number.
struct Planes {
  int64_t n[3] = {1, 1, 1}, count = 1, size = 1;
  Planes(const Array& a, int rank) {
    for (int d = 0; d < rank; ++d) n[3 - rank + d] = a.shape[a.ndim - rank + d];
    size = n[0] * n[1] * n[2];
    for (int d = 0; d < a.ndim - rank; ++d) count *= a.shape[d];
  }
};

void leading(const Call& c, int64_t at, int rank, int64_t fill, int64_t* out) {
  for (int d = 0; d < 3 - rank; ++d) out[d] = fill;
  for (int d = 0; d < rank; ++d) out[3 - rank + d] = c.inum(static_cast<int>(at) + d);
}

// Output of the input's leading shape and the spatial size that is in the numbers from `at` on.
void infer_size(const Call& c, int at, Meta* m) {
  const int rank = static_cast<int>(c.inum(0));
  m->like(*c.in[0]);
  for (int d = 0; d < rank; ++d) m->shape[m->ndim - rank + d] = c.inum(at + d);
}

// ---- maxima ---------------------------------------------------------------------------------------------------

// Along one row of outputs: the candidates of one kernel column are `step` apart. A NaN wins over what came before.
template <int STEP, class T>
void take_larger(const T* s, int64_t step, int32_t place, int64_t n, T* __restrict best, int32_t* __restrict where) {
  const int64_t by = STEP ? STEP : step;
  for (int64_t i = 0; i < n; ++i) {
    const T v = s[i * by];
    const bool take = v > best[i] || v != v;
    best[i] = take ? v : best[i];
    where[i] = take ? place + static_cast<int32_t>(i * by) : where[i];
  }
}

struct MaxWindow {
  int64_t k[3], s[3], p[3], d[3];
};

template <class T>
void max_plane(const T* x, const Planes& in, const Planes& out, const MaxWindow& w, T* y, int32_t* where) {
  const int64_t W = in.n[2], OW = out.n[2];
  auto first = [&](int d, int64_t o) {        // the first element of window o that is inside
    int64_t at = o * w.s[d] - w.p[d];
    while (at < 0) at += w.d[d];
    return at;
  };
  for (int64_t oz = 0; oz < out.n[0]; ++oz)
    for (int64_t oy = 0; oy < out.n[1]; ++oy, y += OW, where += OW) {
      const int64_t z0 = first(0, oz), y0 = first(1, oy);
      const int32_t base = static_cast<int32_t>((z0 * in.n[1] + y0) * W);
      for (int64_t i = 0; i < OW; ++i) {
        y[i] = -std::numeric_limits<T>::infinity();
        where[i] = base + static_cast<int32_t>(std::max<int64_t>(0, i * w.s[2] - w.p[2]));
      }
      for (int64_t i = 0; i < OW && i * w.s[2] < w.p[2]; ++i) where[i] = base + static_cast<int32_t>(first(2, i));
      for (int64_t iz = z0; iz < std::min(in.n[0], oz * w.s[0] - w.p[0] + (w.k[0] - 1) * w.d[0] + 1); iz += w.d[0])
        for (int64_t iy = y0; iy < std::min(in.n[1], oy * w.s[1] - w.p[1] + (w.k[1] - 1) * w.d[1] + 1); iy += w.d[1]) {
          const int64_t row = (iz * in.n[1] + iy) * W;
          for (int64_t kx = 0; kx < w.k[2]; ++kx) {
            const int64_t shift = kx * w.d[2] - w.p[2];                          // x = i * stride + shift
            const int64_t lo = shift < 0 ? (-shift + w.s[2] - 1) / w.s[2] : 0;
            const int64_t hi = shift < W ? std::min(OW, (W - 1 - shift) / w.s[2] + 1) : 0;
            if (lo >= hi) continue;
            const int64_t at = row + lo * w.s[2] + shift;
            const int32_t place = static_cast<int32_t>(at);
            if (w.s[2] == 1) take_larger<1>(x + at, 1, place, hi - lo, y + lo, where + lo);
            else if (w.s[2] == 2) take_larger<2>(x + at, 2, place, hi - lo, y + lo, where + lo);
            else take_larger<0>(x + at, w.s[2], place, hi - lo, y + lo, where + lo);
          }
        }
    }
}

// max_pool(x; rank, size, kernel, stride, pad, dilation) -> values, places
void max_pool_infer(const Call& c, Meta* m) {
  infer_size(c, 1, m);
  m[1] = m[0];
  m[1].dtype = DType::i32;
}

void max_pool_run(const Call& c) {
  const int rank = static_cast<int>(c.inum(0));
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  MaxWindow w;
  leading(c, 1 + rank, rank, 1, w.k);
  leading(c, 1 + 2 * rank, rank, 1, w.s);
  leading(c, 1 + 3 * rank, rank, 0, w.p);
  leading(c, 1 + 4 * rank, rank, 1, w.d);
  floating(c.in[0]->dtype, "max_pool", [&](auto z) {
    using T = decltype(z);
    for_planes(out.count, in.size + out.size * w.k[0] * w.k[1] * w.k[2], [&](int64_t i) {
      max_plane<T>(c.in[0]->ptr<T>() + i * in.size, in, out, w, c.out[0]->ptr<T>() + i * out.size,
                   c.out[1]->ptr<int32_t>() + i * out.size);
    });
  });
}
RL_KERNEL(max_pool, 2, max_pool_infer, max_pool_run)

// The windows of adaptive pooling.
int64_t adaptive_start(int64_t o, int64_t in, int64_t out) { return o * in / out; }
int64_t adaptive_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

// adaptive_max_pool(x; rank, size) -> values, places
void adaptive_max_pool_run(const Call& c) {
  const int rank = static_cast<int>(c.inum(0));
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  floating(c.in[0]->dtype, "adaptive_max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    for_planes(out.count, in.size + out.size, [&](int64_t i) {
      const T* x = c.in[0]->ptr<T>() + i * in.size;
      T* y = c.out[0]->ptr<T>() + i * out.size;
      int32_t* where = c.out[1]->ptr<int32_t>() + i * out.size;
      for (int64_t o = 0; o < out.size; ++o) {
        const int64_t at[3] = {o / (out.n[1] * out.n[2]), o / out.n[2] % out.n[1], o % out.n[2]};
        int64_t lo[3], hi[3];
        for (int d = 0; d < 3; ++d) {
          lo[d] = adaptive_start(at[d], in.n[d], out.n[d]);
          hi[d] = adaptive_end(at[d], in.n[d], out.n[d]);
        }
        T best = -std::numeric_limits<T>::infinity();
        int64_t place = (lo[0] * in.n[1] + lo[1]) * in.n[2] + lo[2];
        for (int64_t z = lo[0]; z < hi[0]; ++z)
          for (int64_t v = lo[1]; v < hi[1]; ++v)
            for (int64_t u = lo[2]; u < hi[2]; ++u) {
              const int64_t k = (z * in.n[1] + v) * in.n[2] + u;
              if (x[k] > best || x[k] != x[k]) {
                best = x[k];
                place = k;
              }
            }
        y[o] = best;
        where[o] = static_cast<int32_t>(place);
      }
    });
  });
}
RL_KERNEL(adaptive_max_pool, 2, max_pool_infer, adaptive_max_pool_run)

// Where the windows of fractional pooling begin: steps that differ by one, drawn by one number between 0 and 1 (Graham,
// "Fractional Max-Pooling", 2014). PyTorch's arithmetic, in the tensor's own type.
template <class T>
int64_t fractional_start(T sample, int64_t o, int64_t in, int64_t out, int64_t kernel) {
  if (o == out - 1) return in - kernel;
  const T alpha = static_cast<T>(in - kernel) / static_cast<T>(out - 1);
  const int64_t at = static_cast<int64_t>((static_cast<T>(o) + sample) * alpha) - static_cast<int64_t>(sample * alpha);
  return std::min(at, in - kernel);
}

// fractional_max_pool(x, samples; rank, size, kernel) -> values, places
void fractional_max_pool_run(const Call& c) {
  const int rank = static_cast<int>(c.inum(0));
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  int64_t k[3];
  leading(c, 1 + rank, rank, 1, k);
  floating(c.in[0]->dtype, "fractional_max_pool", [&](auto zero) {
    using T = decltype(zero);
    const T* samples = c.in[1]->ptr<T>();
    for (int64_t i = 0; i < out.count * rank; ++i)
      if (!(samples[i] >= 0 && samples[i] <= 1)) throw std::runtime_error("_random_samples must be between 0 and 1");
    for_planes(out.count, in.size + out.size * k[0] * k[1] * k[2], [&](int64_t i) {
      const T* x = c.in[0]->ptr<T>() + i * in.size;
      const T* drawn = samples + i * rank;
      T* y = c.out[0]->ptr<T>() + i * out.size;
      int32_t* where = c.out[1]->ptr<int32_t>() + i * out.size;
      for (int64_t o = 0; o < out.size; ++o) {
        const int64_t at[3] = {o / (out.n[1] * out.n[2]), o / out.n[2] % out.n[1], o % out.n[2]};
        int64_t lo[3];
        for (int d = 0; d < 3; ++d) {
          // PyTorch's two-dimensional pooling draws the columns first, its three-dimensional one the planes.
          const int number = rank == 2 ? 2 - d : d;
          lo[d] = d < 3 - rank ? 0 : fractional_start(drawn[number], at[d], in.n[d], out.n[d], k[d]);
        }
        T best = -std::numeric_limits<T>::infinity();
        int64_t place = (lo[0] * in.n[1] + lo[1]) * in.n[2] + lo[2];
        for (int64_t z = lo[0]; z < lo[0] + k[0]; ++z)
          for (int64_t v = lo[1]; v < lo[1] + k[1]; ++v)
            for (int64_t u = lo[2]; u < lo[2] + k[2]; ++u) {
              const int64_t at_x = (z * in.n[1] + v) * in.n[2] + u;
              if (x[at_x] > best || x[at_x] != x[at_x]) {
                best = x[at_x];
                place = at_x;
              }
            }
        y[o] = best;
        where[o] = static_cast<int32_t>(place);
      }
    });
  });
}
RL_KERNEL(fractional_max_pool, 2, max_pool_infer, fractional_max_pool_run)

// plane_scatter(g, places; rank, size, assign): zeros, plus g at its places (assign: the last one stays; places are checked).
void plane_scatter_infer(const Call& c, Meta* m) { infer_size(c, 1, m); }

template <class T, class I>
void scatter_planes(const Call& c, int rank) {
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  const bool assign = c.inum(1 + rank);
  for_planes(out.count, in.size + out.size, [&](int64_t i) {
    const T* g = c.in[0]->ptr<T>() + i * in.size;
    const I* where = c.in[1]->ptr<I>() + i * in.size;
    T* x = c.out[0]->ptr<T>() + i * out.size;
    std::memset(x, 0, static_cast<size_t>(out.size) * sizeof(T));
    if (!assign) {
      for (int64_t k = 0; k < in.size; ++k) x[where[k]] += g[k];
      return;
    }
    for (int64_t k = 0; k < in.size; ++k) {
      if (where[k] < 0 || where[k] >= out.size) {
        std::string size = std::to_string(out.n[1]) + "x" + std::to_string(out.n[2]);
        if (rank == 3) size = std::to_string(out.n[0]) + "x" + size;
        throw std::runtime_error("Found an invalid max index: " + std::to_string(where[k]) +
                                 " (output volumes are of size " + size + ")");
      }
      x[where[k]] = g[k];
    }
  });
}

void plane_scatter_run(const Call& c) {
  floating(c.out[0]->dtype, "max_pool_backward", [&](auto z) {
    using T = decltype(z);
    if (c.in[1]->dtype == DType::i32) scatter_planes<T, int32_t>(c, static_cast<int>(c.inum(0)));
    else scatter_planes<T, int64_t>(c, static_cast<int>(c.inum(0)));
  });
}
RL_KERNEL(plane_scatter, 1, plane_scatter_infer, plane_scatter_run)

// plane_gather(x, places; rank): x at its places.
void plane_gather_infer(const Call& c, Meta* m) {
  m->like(*c.in[1]);
  m->dtype = c.in[0]->dtype;
}

void plane_gather_run(const Call& c) {
  const int rank = static_cast<int>(c.inum(0));
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  floating(c.out[0]->dtype, "max_pool_backward", [&](auto z) {
    using T = decltype(z);
    auto gather = [&](auto index) {
      using I = decltype(index);
      for_planes(out.count, out.size, [&](int64_t i) {
        const T* x = c.in[0]->ptr<T>() + i * in.size;
        const I* where = c.in[1]->ptr<I>() + i * out.size;
        T* y = c.out[0]->ptr<T>() + i * out.size;
        for (int64_t k = 0; k < out.size; ++k) y[k] = x[where[k]];
      });
    };
    if (c.in[1]->dtype == DType::i32) gather(int32_t{});
    else gather(int64_t{});
  });
}
RL_KERNEL(plane_gather, 1, plane_gather_infer, plane_gather_run)

// ---- means ----------------------------------------------------------------------------------------------------

// The windows along one dimension: range inside the input, and the length that counts for the mean.
struct Ranges {
  Scratch<int64_t> lo, hi, count;
  explicit Ranges(int64_t n) : lo(n), hi(n), count(n) {}
};

// Numbers: rank, size, adaptive, kernel, stride, pad, count_include_pad, divisor (0: none). `n`: the input's sizes.
void fill_ranges(const Call& c, int rank, int d, int64_t in, int64_t out, Ranges& r) {
  const int at = 2 + rank, k = d - (3 - rank);
  const bool adaptive = c.inum(1 + rank);
  const bool include = !adaptive && c.inum(at + 3 * rank);
  const int64_t size = adaptive || k < 0 ? 1 : c.inum(at + k), stride = adaptive || k < 0 ? 1 : c.inum(at + rank + k);
  const int64_t pad = adaptive || k < 0 ? 0 : c.inum(at + 2 * rank + k);
  for (int64_t o = 0; o < out; ++o) {
    if (adaptive) {
      r.lo[o] = adaptive_start(o, in, out);
      r.hi[o] = adaptive_end(o, in, out);
      r.count[o] = r.hi[o] - r.lo[o];
      continue;
    }
    const int64_t start = o * stride - pad, end = std::min(start + size, in + pad);
    r.lo[o] = std::max<int64_t>(start, 0);
    r.hi[o] = std::max(r.lo[o], std::min(end, in));
    r.count[o] = include ? end - start : r.hi[o] - r.lo[o];
  }
}

struct Means {
  const Call& c;
  int rank;
  Planes in, out;                             // of x and of y
  Ranges z, y, x;
  int64_t divisor, pair;                      // pair: windows of 2, stride 2, along x

  Means(const Call& call, const Array& wide, const Array& narrow)
      : c(call), rank(static_cast<int>(call.inum(0))), in(wide, rank), out(narrow, rank), z(out.n[0]), y(out.n[1]), x(out.n[2]) {
    fill_ranges(c, rank, 0, in.n[0], out.n[0], z);
    fill_ranges(c, rank, 1, in.n[1], out.n[1], y);
    fill_ranges(c, rank, 2, in.n[2], out.n[2], x);
    divisor = c.inum(1 + rank) ? 0 : c.inum(3 + 4 * rank);
    pair = 1;
    for (int64_t i = 0; i < out.n[2]; ++i) pair &= x.lo[i] == 2 * i && x.hi[i] == 2 * i + 2;
  }

  template <class T>
  T count(int64_t oz, int64_t oy, int64_t ox) const {
    return static_cast<T>(divisor ? divisor : z.count[oz] * y.count[oy] * x.count[ox]);
  }

  // Rows are added up first, then runs along the sum.
  template <class T>
  void forward(const T* s, T* o, T* row) const {
    const int64_t W = in.n[2];
    for (int64_t oz = 0; oz < out.n[0]; ++oz)
      for (int64_t oy = 0; oy < out.n[1]; ++oy, o += out.n[2]) {
        for (int64_t i = 0; i < W; ++i) row[i] = T(0);
        for (int64_t iz = z.lo[oz]; iz < z.hi[oz]; ++iz)
          for (int64_t iy = y.lo[oy]; iy < y.hi[oy]; ++iy) {
            const T* line = s + (iz * in.n[1] + iy) * W;
            for (int64_t i = 0; i < W; ++i) row[i] += line[i];
          }
        if (pair) {
          for (int64_t i = 0; i < out.n[2]; ++i) o[i] = row[2 * i] + row[2 * i + 1];
        } else {
          for (int64_t i = 0; i < out.n[2]; ++i) {
            T sum = 0;
            for (int64_t k = x.lo[i]; k < x.hi[i]; ++k) sum += row[k];
            o[i] = sum;
          }
        }
        for (int64_t i = 0; i < out.n[2]; ++i) o[i] /= count<T>(oz, oy, i);
      }
  }

  template <class T>
  void backward(const T* g, T* s, T* row) const {
    const int64_t W = in.n[2];
    std::memset(s, 0, static_cast<size_t>(in.size) * sizeof(T));
    for (int64_t oz = 0; oz < out.n[0]; ++oz)
      for (int64_t oy = 0; oy < out.n[1]; ++oy, g += out.n[2]) {
        for (int64_t i = 0; i < W; ++i) row[i] = T(0);
        for (int64_t i = 0; i < out.n[2]; ++i) {
          const T v = g[i] / count<T>(oz, oy, i);
          for (int64_t k = x.lo[i]; k < x.hi[i]; ++k) row[k] += v;
        }
        for (int64_t iz = z.lo[oz]; iz < z.hi[oz]; ++iz)
          for (int64_t iy = y.lo[oy]; iy < y.hi[oy]; ++iy) {
            T* line = s + (iz * in.n[1] + iy) * W;
            for (int64_t i = 0; i < W; ++i) line[i] += row[i];
          }
      }
  }
};

// mean_pool(x; rank, size, adaptive, kernel, stride, pad, include, divisor)
void mean_pool_infer(const Call& c, Meta* m) { infer_size(c, 1, m); }

void mean_pool_run(const Call& c) {
  const Means p(c, *c.in[0], *c.out[0]);
  floating(c.out[0]->dtype, "avg_pool2d", [&](auto z) {
    using T = decltype(z);
    for_planes(p.out.count, p.in.size, [&](int64_t i) {
      Scratch<T> row(p.in.n[2]);
      p.forward<T>(c.in[0]->ptr<T>() + i * p.in.size, c.out[0]->ptr<T>() + i * p.out.size, row);
    });
  });
}
RL_KERNEL(mean_pool, 1, mean_pool_infer, mean_pool_run)

// mean_pool_backward(g; the same numbers, then the input's size)
void mean_pool_backward_infer(const Call& c, Meta* m) {
  const int rank = static_cast<int>(c.inum(0));
  infer_size(c, c.nnum - rank, m);
}

void mean_pool_backward_run(const Call& c) {
  const Means p(c, *c.out[0], *c.in[0]);
  floating(c.out[0]->dtype, "avg_pool2d", [&](auto z) {
    using T = decltype(z);
    for_planes(p.out.count, p.in.size, [&](int64_t i) {
      Scratch<T> row(p.in.n[2]);
      p.backward<T>(c.in[0]->ptr<T>() + i * p.out.size, c.out[0]->ptr<T>() + i * p.in.size, row);
    });
  });
}
RL_KERNEL(mean_pool_backward, 1, mean_pool_backward_infer, mean_pool_backward_run)

}  // namespace
}  // namespace rl
