// Maxima over windows with their places, and the way back. Places are int32 indices into the plane.
#include <algorithm>
#include <cstring>
#include <limits>

#include "extremes.h"
#include "pool.h"
#include "slices.h"
#include "window.h"

namespace rl {
namespace {

struct MaxWindow {
  int64_t k[3], s[3], p[3], d[3];

  // From the call's numbers from `at` on.
  MaxWindow(const Call& c, int at, int rank) {
    leading(c, at, rank, 1, k);
    leading(c, at + rank, rank, 1, s);
    leading(c, at + 2 * rank, rank, 0, p);
    leading(c, at + 3 * rank, rank, 1, d);
  }
  // Windows of 2 x 2 or of 2 side by side, without borders: the common case has kernels of its own.
  bool pairs(const Planes& in, const Planes& out) const {
    auto tiled = [&](int i, int64_t n) {
      return k[i] == n && s[i] == n && p[i] == 0 && (n == 1 || d[i] == 1) && out.n[i] * n <= in.n[i];
    };
    return tiled(0, 1) && tiled(2, 2) && (tiled(1, 2) || tiled(1, 1));
  }
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
        const int64_t px = k % windows.out[2], py = k / windows.out[2] % windows.out[1];
        const int64_t pz = k / (windows.out[2] * windows.out[1]);
        where[k] = static_cast<int32_t>(place[(pz * windows.q[1] + py) * windows.q[2] + px]);
      }
    }
  }
};

// Two rows (or one) of pairs of float32, straight from the image: even and odd columns are shuffled apart and compared.
struct PairPool : Sixteen<float> {
  typedef vec V;
  typedef int32_t Place __attribute__((vector_size(kLanes * sizeof(int32_t))));
  const Planes &in, &out;
  const int64_t lines;                        // rows of a window

  PairPool(const Planes& wide, const Planes& narrow, const MaxWindow& w) : in(wide), out(narrow), lines(w.k[1]) {}

  static Place corners(int64_t at) {
    Place p;
    for (int k = 0; k < kLanes; ++k) p[k] = static_cast<int32_t>(2 * k);
    return p + static_cast<int32_t>(at);
  }
  // A NaN wins over what came before; of equals the first stays.
  static void better(V& best, Place& place, const V& v, const Place& at) {
    const Place take = (v > best) | (v != v);
    best = take ? v : best;
    place = take ? at : place;
  }
  template <int LINES>
  static void row(const float* s, int64_t at, int64_t W, int64_t n, const float* end, float* y, int32_t* where,
                  const float* y_end) {
    for (int64_t i = 0; i < n; i += kLanes) {
      V a = {}, b = {}, even, odd, best;
      Place place = corners(at + 2 * i), first = place;
      for (int k = 0; k < LINES; ++k) {
        load_row(a, s + k * W + 2 * i, 2 * (n - i), end);
        load_row(b, s + k * W + 2 * i + kLanes, 2 * (n - i) - kLanes, end);
        pairs(a, b, even, odd);
        const auto by = static_cast<int32_t>(k * W);
        if (k == 0) best = even;
        else better(best, place, even, first + by);
        better(best, place, odd, first + (by + 1));
      }
      store_row(y + i, best, n - i, y_end);
      if (y + i + kLanes <= y_end) Sixteen<int32_t>::store(where + i, place);
      else for (int64_t k = i; k < n; ++k) where[k] = place[k - i];
    }
  }
  // `end`, `y_end`: of the planes that this thread reads and writes.
  void plane(const float* s, const float* end, float* y, int32_t* where, const float* y_end) const {
    const int64_t W = in.n[2], n = out.n[2];
    for (int64_t z = 0; z < out.n[0]; ++z)
      for (int64_t o = 0; o < out.n[1]; ++o, y += n, where += n) {
        const int64_t at = (z * in.n[1] + o * lines) * W;
        if (lines == 2) row<2>(s + at, at, W, n, end, y, where, y_end);
        else row<1>(s + at, at, W, n, end, y, where, y_end);
      }
  }
  // The way back, every element written once: g where the place is its own.
  template <int LINES>
  static void row_back(const float* g, const int32_t* where, int64_t at, int64_t W, int64_t n, const float* g_end, float* s,
                       const float* end) {
    auto block = [&](int64_t i, auto whole) {
      V v, low, high;
      Place place = {};
      if constexpr (whole) {
        load(v, g + i);
        Sixteen<int32_t>::load(place, where + i);
      } else {
        load(v, g + i, n - i, 0);
        for (int64_t j = i; j < n; ++j) place[j - i] = where[j];
      }
      place -= corners(at + 2 * i);
      for (int k = 0; k < LINES; ++k) {
        const auto first = static_cast<int32_t>(k * W);
        zip(place == first ? v : V{}, place == first + 1 ? v : V{}, low, high);
        float* to = s + k * W + 2 * i;
        if constexpr (whole) {
          store(to, low);
          store(to + kLanes, high);
        } else {
          store(to, low, std::min<int64_t>(kLanes, 2 * (n - i)));
          if (2 * (n - i) > kLanes) store(to + kLanes, high, 2 * (n - i) - kLanes);
        }
      }
    };
    // A row of less than a vector may run over into the next one, which is written later.
    if (n < kLanes && g + kLanes <= g_end && s + (LINES - 1) * W + 2 * kLanes <= end) {
      block(0, std::true_type{});
    } else {
      int64_t i = 0;
      for (; i + kLanes <= n; i += kLanes) block(i, std::true_type{});
      if (i < n) block(i, std::false_type{});
    }
    for (int k = 0; k < LINES; ++k)
      for (int64_t i = 2 * n; i < W; ++i) s[k * W + i] = 0;
  }
  void plane_back(const float* g, const int32_t* where, const float* g_end, float* s, const float* end) const {
    const int64_t W = in.n[2], n = out.n[2], H = in.n[1];
    for (int64_t z = 0; z < in.n[0]; ++z, s += H * W) {
      for (int64_t o = 0; o < out.n[1]; ++o, g += n, where += n) {
        const int64_t at = (z * H + o * lines) * W;
        if (lines == 2) row_back<2>(g, where, at, W, n, g_end, s + o * lines * W, end);
        else row_back<1>(g, where, at, W, n, g_end, s + o * lines * W, end);
      }
      const int64_t done = out.n[1] * lines * W;
      std::memset(s + done, 0, static_cast<size_t>(H * W - done) * sizeof(float));
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
  const MaxWindow w(c, 1 + rank, rank);
  floating(c.in[0]->dtype, "max_pool", [&](auto z) {
    using T = decltype(z);
    if (out.count * out.size == 0) return;
    bool whole = out.size == 1;
    for (int d = 0; d < 3; ++d) whole &= w.k[d] == in.n[d] && w.p[d] == 0;
    if (whole && in.size > 1) return one_window<T>(c, in.count, in.size);
    const T* x = c.in[0]->ptr<T>();
    T* y = c.out[0]->ptr<T>();
    int32_t* where = c.out[1]->ptr<int32_t>();
    if constexpr (sizeof(T) == 4) if (w.pairs(in, out)) {
      const PairPool pool(in, out, w);
      return for_plane_groups(out.count, in.size, [&](int64_t first, int64_t end) {
        for (int64_t i = first; i < end; ++i)
          pool.plane(x + i * in.size, x + in.count * in.size, y + i * out.size, where + i * out.size, y + end * out.size);
      });
    }
    const MaxPool<T> pool(in, out, w);
    const int64_t per = std::max<int64_t>(1, kPlaneWork / (in.size + out.size * pool.count));
    parallel_for((out.count + per - 1) / per, [&](int64_t job) {
      Scratch<T> copy(pool.windows.storage()), best(pool.run + pool.L);
      Scratch<Lanes<T>> place(pool.run + pool.L);
      for (int64_t i = job * per; i < std::min(out.count, (job + 1) * per); ++i)
        pool.plane(x + i * in.size, copy, best, place, y + i * out.size, where + i * out.size);
    });
  });
}
RL_KERNEL_SLICES(max_pool, 2, max_pool_infer, max_pool_run, 0b101, 0b010, -1)

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
RL_KERNEL_SLICES(adaptive_max_pool, 2, max_pool_infer, adaptive_max_pool_run, 0b101, 0b010, -1)

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
// plane_scatter(g, places; rank, size, 0, kernel, stride, pad, dilation): places as max_pool found them.
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

// False unless the windows are pairs.
bool pairs_back(const Call& c, int rank) {
  if (c.nnum == 2 + rank || c.out[0]->dtype != DType::f32 || c.in[1]->dtype != DType::i32) return false;
  const Planes in(*c.out[0], rank), out(*c.in[0], rank);
  const MaxWindow w(c, 2 + rank, rank);
  if (!w.pairs(in, out) || out.n[2] < 6) return false;     // of short rows a scatter is as fast
  const PairPool pool(in, out, w);
  const float *g = c.in[0]->ptr<float>(), *g_end = g + out.count * out.size;
  float* x = c.out[0]->ptr<float>();
  for_plane_groups(out.count, in.size, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i)
      pool.plane_back(g + i * out.size, c.in[1]->ptr<int32_t>() + i * out.size, g_end, x + i * in.size, x + end * in.size);
  });
  return true;
}

void plane_scatter_run(const Call& c) {
  if (pairs_back(c, static_cast<int>(c.inum(0)))) return;
  floating(c.out[0]->dtype, "max_pool_backward", [&](auto z) {
    using T = decltype(z);
    if (c.in[1]->dtype == DType::i32) scatter_planes<T, int32_t>(c, static_cast<int>(c.inum(0)));
    else scatter_planes<T, int64_t>(c, static_cast<int>(c.inum(0)));
  });
}
RL_KERNEL_SLICES(plane_scatter, 1, plane_scatter_infer, plane_scatter_run, 0b011, 0b100, -1)

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
RL_KERNEL_SLICES(plane_gather, 1, plane_gather_infer, plane_gather_run, 0b011, 0b100, -1)

}  // namespace
}  // namespace rl
