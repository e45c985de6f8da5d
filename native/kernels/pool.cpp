// Pooling over one to three spatial dimensions: maxima with their places, means, and the way back.
//
// A plane (all spatial elements of one channel) is the unit of work. Every window is a product of ranges, one per
// dimension, so regular and adaptive pooling share the loops. Places are int32 indices into the plane.
#include <algorithm>
#include <cstring>
#include <limits>

#include "extremes.h"
#include "window.h"

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

struct MaxWindow {
  int64_t k[3], s[3], p[3], d[3];
};

// Windows in runs over the plane. A NaN wins over what came before; of equals the first stays.
template <class T>
struct MaxPool {
  using V = typename Simd<T>::vec;
  typedef Lanes<T> I __attribute__((vector_size(kVectorBytes)));
  static constexpr int64_t L = Simd<T>::lanes;
  const Windows<T> windows;
  int64_t count, run;
  Scratch<int64_t> offset;                    // per tap: in the copy
  Scratch<Lanes<T>> step;                     // per tap: in the plane, from the window's corner
  Scratch<Lanes<T>> corner, first;            // per output of a run: place of the corner, and of the first element inside

  static Windows<T> make(const Planes& in, const Planes& out, const MaxWindow& w) {
    int64_t reach[3];
    for (int d = 0; d < 3; ++d) reach[d] = (w.k[d] - 1) * w.d[d] + 1;
    return Windows<T>(in.n, w.p, reach, w.s, out.n);
  }

  MaxPool(const Planes& in, const Planes& out, const MaxWindow& w)
      : windows(make(in, out, w)), count(w.k[0] * w.k[1] * w.k[2]), run(windows.run()), offset(count), step(count),
        corner(run + L), first(run + L) {
    windows.taps(w.k, w.d, [&](int64_t t, int64_t at) {
      const int64_t z = t / (w.k[1] * w.k[2]), y = t / w.k[2] % w.k[1], x = t % w.k[2];
      offset[t] = at;
      step[t] = static_cast<Lanes<T>>((z * w.d[0] * in.n[1] + y * w.d[1]) * in.n[2] + x * w.d[2]);
    });
    auto inside = [&](int d, int64_t at) { return at < 0 ? at + (w.d[d] - 1 - at) / w.d[d] * w.d[d] : at; };
    for (int64_t i = 0; i < run + L; ++i) {
      const int64_t x = i % windows.q[2], y = i / windows.q[2] % windows.q[1], z = i / (windows.q[2] * windows.q[1]);
      const int64_t cz = z * w.s[0] - w.p[0], cy = y * w.s[1] - w.p[1], cx = x * w.s[2] - w.p[2];
      corner[i] = static_cast<Lanes<T>>((cz * in.n[1] + cy) * in.n[2] + cx);
      first[i] = static_cast<Lanes<T>>((inside(0, cz) * in.n[1] + inside(1, cy)) * in.n[2] + inside(2, cx));
    }
  }

  // Vectors i.. of a run, N of them.
  template <int N>
  void vectors(const T* s, int64_t i, T* y, Lanes<T>* where) const {
    typedef Lanes<T> Loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
    V best[N];
    I place[N], at[N];
    for (int n = 0; n < N; ++n) {
      best[n] = Simd<T>::all(-std::numeric_limits<T>::infinity());
      place[n] = *reinterpret_cast<const Loose*>(first + i + n * L);
      at[n] = *reinterpret_cast<const Loose*>(corner + i + n * L);
    }
    for (int64_t t = 0; t < count; ++t) {
      const T* from = s + offset[t] + i;
      const Lanes<T> by = step[t];
      for (int n = 0; n < N; ++n) {
        const V v = Simd<T>::load(from + n * L);
        const I take = (v > best[n]) | (v != v);
        best[n] = take ? v : best[n];
        place[n] = take ? at[n] + by : place[n];
      }
    }
    for (int n = 0; n < N; ++n) {
      Simd<T>::store(y + n * L, best[n]);
      *reinterpret_cast<Loose*>(where + n * L) = place[n];
    }
  }

  void plane(const T* x, T* copy, T* best, Lanes<T>* place, T* y, int32_t* where) const {
    windows.fill(x, -std::numeric_limits<T>::infinity(), copy);
    int64_t i = 0;
    for (; i + 4 * L <= run; i += 4 * L) vectors<4>(copy, i, best + i, place + i);
    for (; i < run; i += L) vectors<1>(copy, i, best + i, place + i);
    windows.gather(best, y);
    if constexpr (sizeof(T) == 4) {
      windows.gather(reinterpret_cast<const float*>(place), reinterpret_cast<float*>(where));
    } else {
      for (int64_t k = 0; k < windows.out[0] * windows.out[1] * windows.out[2]; ++k) {
        const int64_t px = k % windows.out[2], py = k / windows.out[2] % windows.out[1], pz = k / (windows.out[2] * windows.out[1]);
        where[k] = static_cast<int32_t>(place[(pz * windows.q[1] + py) * windows.q[2] + px]);
      }
    }
  }
};

// One window, the plane.
template <class T>
void one_window(const Call& c, int64_t planes, int64_t size) {
  extremes_of<T, true, true>(c.in[0]->ptr<T>(), planes, size, c.out[0]->ptr<T>(), c.out[1]->ptr<int32_t>());
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
    if (out.count * out.size == 0) return;
    bool whole = out.size == 1;
    for (int d = 0; d < 3; ++d) whole &= w.k[d] == in.n[d] && w.p[d] == 0;
    if (whole && in.size > 1) return one_window<T>(c, in.count, in.size);
    const MaxPool<T> pool(in, out, w);
    const int64_t per = std::max<int64_t>(1, kPlaneWork / (in.size + out.size * pool.count));
    parallel_for((out.count + per - 1) / per, [&](int64_t job) {
      Scratch<T> copy(pool.windows.storage()), best(pool.run + pool.L);
      Scratch<Lanes<T>> place(pool.run + pool.L);
      for (int64_t i = job * per; i < std::min(out.count, (job + 1) * per); ++i)
        pool.plane(c.in[0]->ptr<T>() + i * in.size, copy, best, place, c.out[0]->ptr<T>() + i * out.size,
                   c.out[1]->ptr<int32_t>() + i * out.size);
    });
  });
}
RL_KERNEL(max_pool, 2, max_pool_infer, max_pool_run)

// The windows of adaptive pooling.
int64_t adaptive_start(int64_t o, int64_t in, int64_t out) { return o * in / out; }
int64_t adaptive_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

// The windows along one dimension: range inside the input, and the length that counts for the mean.
struct Ranges {
  Scratch<int64_t> lo, hi, count;
  explicit Ranges(int64_t n) : lo(n), hi(n), count(n) {}

  void adaptive(int64_t in, int64_t out) {
    for (int64_t o = 0; o < out; ++o) {
      lo[o] = adaptive_start(o, in, out);
      hi[o] = adaptive_end(o, in, out);
      count[o] = hi[o] - lo[o];
    }
  }
};

// adaptive_max_pool(x; rank, size) -> values, places
void adaptive_max_pool_run(const Call& c) {
  const int rank = static_cast<int>(c.inum(0));
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  Ranges z(out.n[0]), y(out.n[1]), x(out.n[2]);
  z.adaptive(in.n[0], out.n[0]);
  y.adaptive(in.n[1], out.n[1]);
  x.adaptive(in.n[2], out.n[2]);
  floating(c.in[0]->dtype, "adaptive_max_pool2d", [&](auto zero) {
    using T = decltype(zero);
    if (out.size == 1) return one_window<T>(c, in.count, in.size);
    for_planes(out.count, in.size + out.size, [&](int64_t i) {
      const T* s = c.in[0]->ptr<T>() + i * in.size;
      T* best = c.out[0]->ptr<T>() + i * out.size;
      int32_t* where = c.out[1]->ptr<int32_t>() + i * out.size;
      for (int64_t oz = 0; oz < out.n[0]; ++oz)
        for (int64_t oy = 0; oy < out.n[1]; ++oy, best += out.n[2], where += out.n[2])
          for (int64_t ox = 0; ox < out.n[2]; ++ox) {
            T largest = -std::numeric_limits<T>::infinity();
            int64_t place = (z.lo[oz] * in.n[1] + y.lo[oy]) * in.n[2] + x.lo[ox];
            for (int64_t iz = z.lo[oz]; iz < z.hi[oz]; ++iz)
              for (int64_t iy = y.lo[oy]; iy < y.hi[oy]; ++iy) {
                const int64_t row = (iz * in.n[1] + iy) * in.n[2];
                for (int64_t ix = x.lo[ox]; ix < x.hi[ox]; ++ix) {
                  const T v = s[row + ix];
                  const bool take = v > largest || v != v;
                  largest = take ? v : largest;
                  place = take ? row + ix : place;
                }
              }
            best[ox] = largest;
            where[ox] = static_cast<int32_t>(place);
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
void scatter_plane(const T* g, const I* where, int64_t n, T* x, const Planes& out, int rank, bool assign) {
  if (!assign) {
    for (int64_t k = 0; k < n; ++k) x[where[k]] += g[k];
    return;
  }
  for (int64_t k = 0; k < n; ++k) {
    if (where[k] < 0 || where[k] >= out.size) {
      std::string size = std::to_string(out.n[1]) + "x" + std::to_string(out.n[2]);
      if (rank == 3) size = std::to_string(out.n[0]) + "x" + size;
      throw std::runtime_error("Found an invalid max index: " + std::to_string(where[k]) +
                               " (output volumes are of size " + size + ")");
    }
    x[where[k]] = g[k];
  }
}

template <class T, class I>
void scatter_planes(const Call& c, int rank) {
  const Planes in(*c.in[0], rank), out(*c.out[0], rank);
  const bool assign = c.inum(1 + rank);
  // Small planes are cleared several at a time.
  const int64_t together = std::max<int64_t>(1, 4096 / std::max<int64_t>(1, out.size));
  for_planes((out.count + together - 1) / together, (in.size + out.size) * together, [&](int64_t group) {
    const int64_t first = group * together, end = std::min(out.count, first + together);
    std::memset(c.out[0]->ptr<T>() + first * out.size, 0, static_cast<size_t>((end - first) * out.size) * sizeof(T));
    for (int64_t i = first; i < end; ++i)
      scatter_plane(c.in[0]->ptr<T>() + i * in.size, c.in[1]->ptr<I>() + i * in.size, in.size, c.out[0]->ptr<T>() + i * out.size,
                    out, rank, assign);
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

// Numbers: rank, size, adaptive, kernel, stride, pad, count_include_pad, divisor (0: none). `n`: the input's sizes.
void fill_ranges(const Call& c, int rank, int d, int64_t in, int64_t out, Ranges& r) {
  const int at = 2 + rank, k = d - (3 - rank);
  const bool adaptive = c.inum(1 + rank);
  const bool include = !adaptive && c.inum(at + 3 * rank);
  const int64_t size = adaptive || k < 0 ? 1 : c.inum(at + k), stride = adaptive || k < 0 ? 1 : c.inum(at + rank + k);
  const int64_t pad = adaptive || k < 0 ? 0 : c.inum(at + 2 * rank + k);
  if (adaptive) return r.adaptive(in, out);
  for (int64_t o = 0; o < out; ++o) {
    const int64_t start = o * stride - pad, end = std::min(start + size, in + pad);
    r.lo[o] = std::max<int64_t>(start, 0);
    r.hi[o] = std::max(r.lo[o], std::min(end, in));
    r.count[o] = include ? end - start : r.hi[o] - r.lo[o];
  }
}

template <class T>
T sum_of(const T* s, int64_t n) {
  constexpr int64_t L = Simd<T>::lanes;
  typename Simd<T>::vec a = {}, b = {};
  int64_t i = 0;
  for (; i + 2 * L <= n; i += 2 * L) {
    a += Simd<T>::load(s + i);
    b += Simd<T>::load(s + i + L);
  }
  a += b;
  T sum = 0;
  for (; i < n; ++i) sum += s[i];
  for (int64_t l = 0; l < L; ++l) sum += a[l];
  return sum;
}

struct Means {
  const Call& c;
  int rank;
  Planes in, out;                             // of x and of y
  Ranges z, y, x;
  int64_t divisor, pair;                      // pair: windows of 2, stride 2, along x
  bool whole;                                 // one window, the plane

  Means(const Call& call, const Array& wide, const Array& narrow)
      : c(call), rank(static_cast<int>(call.inum(0))), in(wide, rank), out(narrow, rank), z(out.n[0]), y(out.n[1]), x(out.n[2]) {
    fill_ranges(c, rank, 0, in.n[0], out.n[0], z);
    fill_ranges(c, rank, 1, in.n[1], out.n[1], y);
    fill_ranges(c, rank, 2, in.n[2], out.n[2], x);
    divisor = c.inum(1 + rank) ? 0 : c.inum(3 + 4 * rank);
    whole = out.size == 1 && (z.hi[0] - z.lo[0]) * (y.hi[0] - y.lo[0]) * (x.hi[0] - x.lo[0]) == in.size;
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
    if (whole) {
      o[0] = sum_of(s, in.size) / count<T>(0, 0, 0);
      return;
    }
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
