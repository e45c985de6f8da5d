// Normalisation: per channel over a batch (batch norm) and per row (layer, group, instance and RMS norm).
//
// Forward kernels keep mean and 1/std in double until they are stored; sums run in blocks of vector lanes. Work is cut by
// channels or rows only, and sums over rows (the affine gradients) by a fixed number of parts, added in order.
#include <algorithm>
#include <cmath>

#include "rows.h"

namespace rl {
namespace {

constexpr int64_t kBlock = 2048;
constexpr int64_t kJob = 32768;               // elements per parallel chunk

// The next elements of a run, `left` of them; `rest` in lanes beyond.
template <class T>
inline void load_left(typename Sixteen<T>::vec& v, const T* p, int64_t left, T rest) {
  if (left >= kLanes) Sixteen<T>::load(v, p);
  else Sixteen<T>::load(v, p, left, rest);
}

// Two sums at once, in lanes; every kBlock elements they are added up in double. Short runs share the lanes.
template <class T>
struct TwoSums {
  typedef typename Sixteen<T>::vec V;
  V a = {}, b = {};
  double first = 0, second = 0;
  int64_t count = 0;

  // f(i, left, u, v): the terms of elements i.. of the run, `left` of them; 0 in lanes beyond.
  template <class F>
  void add(int64_t n, const F& f) {
    V u, v;
    for (int64_t k = 0; k < n; k += kBlock) {
      const int64_t end = std::min(n, k + kBlock);
      V sa = a, sb = b, ta = {}, tb = {};     // two of each: additions wait for the one before
      int64_t i = k;
      for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
        f(i, kLanes, u, v);
        sa += u;
        sb += v;
        f(i + kLanes, kLanes, u, v);
        ta += u;
        tb += v;
      }
      for (; i < end; i += kLanes) {
        f(i, n - i, u, v);
        sa += u;
        sb += v;
      }
      a = sa + ta, b = sb + tb;
      count += end - k;
      if (count >= kBlock) flush();
    }
  }
  void flush() {
    first += static_cast<double>(Sixteen<T>::sum(a));
    second += static_cast<double>(Sixteen<T>::sum(b));
    a = b = V{};
    count = 0;
  }
  void add_run(const T* x, int64_t n) {
    add(n, [&](int64_t i, int64_t left, V& u, V& v) { load_left(u, x + i, left, T(0)), v = V{}; });
  }
  void add_squares(const T* x, int64_t n, T m) {
    add(n, [&](int64_t i, int64_t left, V& u, V& v) { load_left(v, x + i, left, m), v -= m, u = v * v; });
  }
};

// ---- batch norm -------------------------------------------------------------------------------------------------

// x (N, C, S): a channel is N runs of S, or a column when S is 1.
struct Channels {
  int64_t N, C, S;
  explicit Channels(const Array& x) {
    N = x.shape[0];
    C = x.shape[1];
    S = 1;
    for (int d = 2; d < x.ndim; ++d) S *= x.shape[d];
  }
  // fn(first, count) for groups of neighbouring channels: runs of a few elements are read side by side.
  template <class F>
  void groups(const F& fn) const {
    const int64_t group = std::clamp<int64_t>(512 / std::max<int64_t>(1, S), 1, kGroup);
    const int64_t per = std::max<int64_t>(1, kJob / std::max<int64_t>(1, N * S) / group) * group;
    parallel_for((C + per - 1) / per, [&](int64_t job) {
      const int64_t end = std::min(C, (job + 1) * per);
      for (int64_t c = job * per; c < end; c += group) fn(c, std::min(group, end - c));
    });
  }
  // fn(channel within the group, offset of a run) for all runs of a group.
  template <class F>
  void runs(int64_t first, int64_t count, const F& fn) const {
    for (int64_t i = 0; i < N; ++i)
      for (int64_t c = 0; c < count; ++c) fn(c, (i * C + first + c) * S);
  }
  static constexpr int64_t kGroup = 16;
  // fn(first, count) for strips of channels, for S = 1.
  template <class F>
  void strips(const F& fn) const {
    parallel_for((C + kStrip - 1) / kStrip, [&](int64_t job) { fn(job * kStrip, std::min(kStrip, C - job * kStrip)); });
  }
  static constexpr int64_t kStrip = 64;
};

template <class T>
void group_moments(const Channels& q, const T* x, int64_t c0, int64_t count, double* mean, double* squares) {
  const double n = static_cast<double>(q.N * q.S);
  TwoSums<T> sums[Channels::kGroup], around[Channels::kGroup];
  T m[Channels::kGroup];
  q.runs(c0, count, [&](int64_t c, int64_t at) { sums[c].add_run(x + at, q.S); });
  for (int64_t c = 0; c < count; ++c) {
    sums[c].flush();
    mean[c] = sums[c].first / n;
    m[c] = static_cast<T>(mean[c]);
  }
  q.runs(c0, count, [&](int64_t c, int64_t at) { around[c].add_squares(x + at, q.S, m[c]); });
  for (int64_t c = 0; c < count; ++c) {       // the mean's rounding error is taken out again
    around[c].flush();
    squares[c] = around[c].first - around[c].second * around[c].second / n;
  }
}

// S = 1: neighbouring channels are lanes; rows in blocks, whose sums are added up in double.
template <class T>
struct ColumnSums {
  typedef typename Sixteen<T>::vec V;
  static constexpr int64_t kStrip = Channels::kStrip, kVectors = kStrip / kLanes, kRows = 128;
  double first[kStrip] = {}, second[kStrip] = {};

  // f(row, column, left, u, v) as in TwoSums, columns from 0 to w
  template <class F>
  void add(int64_t rows, int64_t w, const F& f) {
    V u, v;
    for (int64_t r0 = 0; r0 < rows; r0 += kRows) {
      V a[kVectors] = {}, b[kVectors] = {};
      for (int64_t r = r0; r < std::min(rows, r0 + kRows); ++r)
        for (int64_t j = 0; j < w; j += kLanes) {
          f(r, j, w - j, u, v);
          a[j / kLanes] += u;
          b[j / kLanes] += v;
        }
      for (int64_t j = 0; j < kStrip; ++j) {
        first[j] += static_cast<double>(a[j / kLanes][j % kLanes]);
        second[j] += static_cast<double>(b[j / kLanes][j % kLanes]);
      }
    }
  }
};

template <class T>
void strip_moments(const Channels& q, const T* x, int64_t c0, int64_t w, double* mean, double* squares) {
  typedef typename Sixteen<T>::vec V;
  const double n = static_cast<double>(q.N);
  ColumnSums<T> sums, around;
  T m[Channels::kStrip] = {};
  sums.add(q.N, w, [&](int64_t i, int64_t j, int64_t left, V& u, V& v) {
    load_left(u, x + i * q.C + c0 + j, left, T(0));
    v = V{};
  });
  for (int64_t j = 0; j < w; ++j) {
    mean[j] = sums.first[j] / n;
    m[j] = static_cast<T>(mean[j]);
  }
  around.add(q.N, w, [&](int64_t i, int64_t j, int64_t left, V& u, V& v) {
    load_left(v, x + i * q.C + c0 + j, left, T(0));
    Sixteen<T>::load(u, m + j);
    v -= u;
    u = v * v;
  });
  for (int64_t j = 0; j < w; ++j) squares[j] = around.first[j] - around.second[j] * around.second[j] / n;
}

template <class T>
inline T affine(T x, T mean, T scale, T shift) { return (x - mean) * scale + shift; }

template <class T>
inline T rectified(T x) { return x < T(0) ? T(0) : x; }

// y = (x - mean) * rstd * w + b for a run, then relu if asked for
template <class T>
inline void run_affine(const T* s, int64_t n, T scale, T m, T shift, bool relu, T* o) {
  typedef typename Sixteen<T>::vec V;
  if (relu) each_lanes(s, n, o, [&](V& v) { v = (v - m) * scale + shift, v = v < T(0) ? V{} : v; });
  else each_lanes(s, n, o, [&](V& v) { v = (v - m) * scale + shift; });
}

template <class T>
void channel_affine(const Channels& q, const T* x, const T* w, const T* b, const T* mean, const T* rstd, bool relu, T* y) {
  if (q.S == 1) {
    q.strips([&](int64_t c0, int64_t n) {
      T scale[Channels::kStrip], m[Channels::kStrip], shift[Channels::kStrip];
      for (int64_t j = 0; j < n; ++j) {
        scale[j] = w ? rstd[c0 + j] * w[c0 + j] : rstd[c0 + j];
        m[j] = mean[c0 + j];
        shift[j] = b ? b[c0 + j] : T(0);
      }
      for (int64_t i = 0; i < q.N; ++i)
        for (int64_t j = 0; j < n; ++j) {
          const T v = affine(x[i * q.C + c0 + j], m[j], scale[j], shift[j]);
          y[i * q.C + c0 + j] = relu ? rectified(v) : v;
        }
    });
    return;
  }
  q.groups([&](int64_t c0, int64_t count) {
    q.runs(c0, count, [&](int64_t k, int64_t at) {
      const int64_t c = c0 + k;
      run_affine<T>(x + at, q.S, w ? rstd[c] * w[c] : rstd[c], mean[c], b ? b[c] : T(0), relu, y + at);
    });
  });
}

template <class T>
const T* maybe(const Array* a) {
  return a ? a->ptr<T>() : nullptr;
}

// batch_norm(x, w, b; eps, relu = 0) -> y, mean, rstd, variance (unbiased, for the running one). With `relu`, y is relu of it.
void batch_norm_run(const Call& c) {
  const Array& x = *c.in[0];
  floating(x.dtype, "batch_norm", [&](auto z) {
    using T = decltype(z);
    const Channels q(x);
    T *mean = c.out[1]->ptr<T>(), *rstd = c.out[2]->ptr<T>(), *var = c.out[3]->ptr<T>();
    const T *w = maybe<T>(c.in[1]), *b = maybe<T>(c.in[2]);
    const bool relu = c.nnum > 1 && c.inum(1);
    const double n = static_cast<double>(q.N * q.S);
    auto finish = [&](int64_t i, double mu, double squares) {
      mean[i] = static_cast<T>(mu);
      rstd[i] = static_cast<T>(1.0 / std::sqrt(squares / n + c.fnum(0)));
      var[i] = static_cast<T>(squares / (n - 1));
    };
    if (q.S == 1) {
      q.strips([&](int64_t c0, int64_t width) {
        double mu[Channels::kStrip], squares[Channels::kStrip];
        strip_moments<T>(q, x.ptr<T>(), c0, width, mu, squares);
        for (int64_t i = 0; i < width; ++i) finish(c0 + i, mu[i], squares[i]);
      });
      channel_affine<T>(q, x.ptr<T>(), w, b, mean, rstd, relu, c.out[0]->ptr<T>());
      return;
    }
    q.groups([&](int64_t c0, int64_t count) {  // channels are still in the cache when they are scaled
      double mu[Channels::kGroup], squares[Channels::kGroup];
      group_moments<T>(q, x.ptr<T>(), c0, count, mu, squares);
      for (int64_t k = 0; k < count; ++k) finish(c0 + k, mu[k], squares[k]);
      q.runs(c0, count, [&](int64_t k, int64_t at) {
        const int64_t i = c0 + k;
        const T scale = w ? rstd[i] * w[i] : rstd[i], shift = b ? b[i] : T(0);
        run_affine<T>(x.ptr<T>() + at, q.S, scale, mean[i], shift, relu, c.out[0]->ptr<T>() + at);
      });
    });
  });
}
RL_KERNEL(batch_norm, 4, nullptr, batch_norm_run)

// batch_norm_eval(x, w, b, mean, rstd)
void same_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

void batch_norm_eval_run(const Call& c) {
  floating(c.out[0]->dtype, "batch_norm", [&](auto z) {
    using T = decltype(z);
    channel_affine<T>(Channels(*c.in[0]), c.in[0]->ptr<T>(), maybe<T>(c.in[1]), maybe<T>(c.in[2]), c.in[3]->ptr<T>(),
                      c.in[4]->ptr<T>(), false, c.out[0]->ptr<T>());
  });
}
RL_KERNEL(batch_norm_eval, 1, same_infer, batch_norm_eval_run)

// running_stats(running, value, batches or None; momentum): running <- (1 - momentum) * running + momentum * value. With the
// number of batches so far, which is read when the kernel runs, it is the mean over all of them.
void running_stats_run(const Call& c) {
  floating(c.out[0]->dtype, "batch_norm", [&](auto z) {
    using T = decltype(z);
    T* r = c.out[0]->ptr<T>();
    const double momentum = c.in[1] ? 1.0 / static_cast<double>(*c.in[1]->ptr<int64_t>()) : c.fnum(0);
    const T *v = c.in[0]->ptr<T>(), m = static_cast<T>(momentum);
    const int64_t step = c.out[0]->ndim ? c.out[0]->strides[0] : 1;
    for (int64_t i = 0; i < c.in[0]->numel; ++i) r[i * step] = (T(1) - m) * r[i * step] + m * v[i];
  });
}
RL_KERNEL(running_stats, 1, nullptr, running_stats_run)

// batch_norm_backward(g, x, w, mean, rstd; training) -> dx, dw, db
// batch_norm_backward(g, x, w, mean, rstd, b; training, 1): of relu(batch_norm(x)); whether relu let an element pass is
// computed again from x, which has to be read anyway.
void batch_norm_backward_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[1]);
  m[1].like(*c.in[3]);
  m[2].like(*c.in[3]);
}

void batch_norm_backward_run(const Call& c) {
  const bool training = c.inum(0), relu = c.nnum > 1 && c.inum(1);
  const Channels q(*c.in[1]);
  floating(c.in[1]->dtype, "batch_norm_backward", [&](auto z) {
    using T = decltype(z);
    const T *g = c.in[0]->ptr<T>(), *x = c.in[1]->ptr<T>(), *w = maybe<T>(c.in[2]);
    const T *mean = c.in[3]->ptr<T>(), *rstd = c.in[4]->ptr<T>(), *b = relu ? maybe<T>(c.in[5]) : nullptr;
    T *dx = c.out[0]->ptr<T>(), *dw = c.out[1]->ptr<T>(), *db = c.out[2]->ptr<T>();
    const double n = static_cast<double>(q.N * q.S);
    if (n == 0) {
      std::fill(dw, dw + q.C, T(0));
      std::fill(db, db + q.C, T(0));
      return;
    }
    // dx = scale * (g - mean(g) - xhat * mean(g * xhat))
    typedef typename Sixteen<T>::vec V;
    if (q.S == 1) {
      q.strips([&](int64_t c0, int64_t width) {
        constexpr int64_t kStrip = Channels::kStrip;
        T mu[kStrip] = {}, scale[kStrip] = {}, shift[kStrip] = {}, ag[kStrip] = {}, ax[kStrip] = {};
        for (int64_t j = 0; j < width; ++j) {
          mu[j] = mean[c0 + j];
          scale[j] = w ? rstd[c0 + j] * w[c0 + j] : rstd[c0 + j];
          shift[j] = b ? b[c0 + j] : T(0);
        }
        // What passed relu, and x - mean.
        auto terms = [&](int64_t i, int64_t j, int64_t left, V& u, V& d) {
          V m, s, t;
          Sixteen<T>::load(m, mu + j);
          load_left(u, g + i * q.C + c0 + j, left, T(0));
          load_left(d, x + i * q.C + c0 + j, left, T(0));
          d -= m;
          if (!relu) return;
          Sixteen<T>::load(s, scale + j);
          Sixteen<T>::load(t, shift + j);
          u = d * s + t > T(0) ? u : V{};
        };
        ColumnSums<T> sums;
        sums.add(q.N, width, [&](int64_t i, int64_t j, int64_t left, V& u, V& v) { terms(i, j, left, u, v), v *= u; });
        for (int64_t j = 0; j < width; ++j) {
          const double sg = sums.first[j], sx = sums.second[j] * rstd[c0 + j];
          ag[j] = training ? static_cast<T>(sg / n) : T(0);
          ax[j] = training ? static_cast<T>(sx / n) * rstd[c0 + j] : T(0);
          dw[c0 + j] = static_cast<T>(sx);
          db[c0 + j] = static_cast<T>(sg);
        }
        for (int64_t i = 0; i < q.N; ++i)
          for (int64_t j = 0; j < width; j += kLanes) {
            V u, d, s, of_g, of_x;
            terms(i, j, width - j, u, d);
            Sixteen<T>::load(s, scale + j);
            Sixteen<T>::load(of_g, ag + j);
            Sixteen<T>::load(of_x, ax + j);
            Sixteen<T>::store(dx + i * q.C + c0 + j, s * (u - of_g - d * of_x), std::min<int64_t>(kLanes, width - j));
          }
      });
      return;
    }
    q.groups([&](int64_t c0, int64_t count) {
      constexpr int64_t kGroup = Channels::kGroup;
      T mu[kGroup], scale[kGroup], shift[kGroup], ag[kGroup], ax[kGroup];
      TwoSums<T> sums[kGroup];
      for (int64_t k = 0; k < count; ++k) {
        const int64_t ch = c0 + k;
        mu[k] = mean[ch], scale[k] = w ? rstd[ch] * w[ch] : rstd[ch], shift[k] = b ? b[ch] : T(0);
      }
      auto terms = [&](int64_t k, int64_t at, int64_t left, V& u, V& d) {
        load_left(u, g + at, left, T(0));
        load_left(d, x + at, left, mu[k]);
        d -= mu[k];
        if (relu) u = d * scale[k] + shift[k] > T(0) ? u : V{};
      };
      q.runs(c0, count, [&](int64_t k, int64_t at) {
        sums[k].add(q.S, [&](int64_t i, int64_t left, V& u, V& v) { terms(k, at + i, left, u, v), v *= u; });
      });
      for (int64_t k = 0; k < count; ++k) {
        sums[k].flush();
        const T rs = rstd[c0 + k];
        const double sg = sums[k].first, sx = sums[k].second * rs;
        dw[c0 + k] = static_cast<T>(sx);
        db[c0 + k] = static_cast<T>(sg);
        ag[k] = training ? static_cast<T>(sg / n) : T(0);
        ax[k] = training ? static_cast<T>(sx / n) * rs : T(0);
      }
      q.runs(c0, count, [&](int64_t k, int64_t at) {
        V u, d;
        const T s = scale[k], of_g = ag[k], of_x = ax[k];
        for (int64_t i = 0; i < q.S; i += kLanes) {
          terms(k, at + i, q.S - i, u, d);
          Sixteen<T>::store(dx + at + i, s * (u - of_g - d * of_x), std::min<int64_t>(kLanes, q.S - i));
        }
      });
    });
  });
}
RL_KERNEL(batch_norm_backward, 3, batch_norm_backward_infer, batch_norm_backward_run)

// ---- rows -------------------------------------------------------------------------------------------------------

// Rows of `segments` runs of `run` elements. Element (row, segment) has the affine parameters of index
// row % groups * segments + segment. Layer and RMS norm: groups = run = 1; group norm: segments = channels of a group.
struct Rows {
  int64_t groups, segments, run, rows, n;
  bool centred;                               // false: RMS norm
  double eps;

  Rows(const Call& c, int64_t numel) {
    groups = c.inum(0), segments = c.inum(1), run = c.inum(2);
    centred = c.inum(3);
    eps = c.fnum(4);
    n = segments * run;
    rows = n ? numel / n : 0;
  }
  int64_t per() const { return std::max<int64_t>(1, kJob / std::max<int64_t>(1, n)); }
};

// row_norm(x, w, b; groups, segments, run, centred, eps) -> y, mean (rows), rstd (rows)
void row_norm_run(const Call& c) {
  const Rows q(c, c.in[0]->numel);
  floating(c.in[0]->dtype, "LayerNormKernelImpl", [&](auto z) {
    using T = decltype(z);
    const T *x = c.in[0]->ptr<T>(), *w = maybe<T>(c.in[1]), *b = maybe<T>(c.in[2]);
    T *y = c.out[0]->ptr<T>(), *mean = c.out[1]->ptr<T>(), *rstd = c.out[2]->ptr<T>();
    const int64_t per = q.per();
    parallel_for((q.rows + per - 1) / per, [&](int64_t job) {
      for (int64_t r = job * per; r < std::min(q.rows, (job + 1) * per); ++r) {
        const T* s = x + r * q.n;
        T* o = y + r * q.n;
        TwoSums<T> sum, around;
        if (q.centred) sum.add_run(s, q.n), sum.flush();
        const double mu = sum.first / static_cast<double>(q.n);
        const T m = static_cast<T>(mu);
        around.add_squares(s, q.n, m);
        around.flush();
        double squares = around.first;
        if (q.centred) squares -= around.second * around.second / static_cast<double>(q.n);
        const T rs = static_cast<T>(1.0 / std::sqrt(squares / static_cast<double>(q.n) + q.eps));
        mean[r] = m;
        rstd[r] = rs;
        const int64_t p = r % q.groups * q.segments;
        if (q.run == 1) {
          if (w && b) for (int64_t i = 0; i < q.n; ++i) o[i] = (s[i] - m) * rs * w[p + i] + b[p + i];
          else if (w) for (int64_t i = 0; i < q.n; ++i) o[i] = (s[i] - m) * rs * w[p + i];
          else if (b) for (int64_t i = 0; i < q.n; ++i) o[i] = (s[i] - m) * rs + b[p + i];
          else for (int64_t i = 0; i < q.n; ++i) o[i] = (s[i] - m) * rs;
          continue;
        }
        for (int64_t k = 0; k < q.segments; ++k) {
          const T scale = w ? rs * w[p + k] : rs, add = b ? b[p + k] : T(0);
          run_affine<T>(s + k * q.run, q.run, scale, m, add, false, o + k * q.run);
        }
      }
    });
  });
}
RL_KERNEL(row_norm, 3, nullptr, row_norm_run)

template <class T>
void row_backward(const Rows& q, int64_t r, const T* g, const T* x, const T* w, T m, T rs, T* dx, T* dw, T* db) {
  const T *gr = g + r * q.n, *s = x + r * q.n;
  T* o = dx + r * q.n;
  const int64_t p = r % q.groups * q.segments;
  double total = 0, along = 0;                // sums of g * w and of g * w * (x - mean)
  typedef typename Sixteen<T>::vec V;
  if (q.run == 1) {
    TwoSums<T> sums;
    sums.add(q.n, [&](int64_t i, int64_t left, V& u, V& v) {
      V d, at_w, at_b;
      load_left(u, gr + i, left, T(0));
      load_left(d, s + i, left, m);
      load_left(at_w, dw + p + i, left, T(0));
      load_left(at_b, db + p + i, left, T(0));
      d -= m;
      const int64_t lanes = std::min<int64_t>(kLanes, left);
      Sixteen<T>::store(dw + p + i, at_w + u * (d * rs), lanes);
      Sixteen<T>::store(db + p + i, at_b + u, lanes);
      if (w) load_left(v, w + p + i, left, T(0)), u *= v;
      v = u * d;
    });
    sums.flush();
    total = sums.first, along = sums.second;
  } else {
    for (int64_t k = 0; k < q.segments; ++k) {
      const T *gk = gr + k * q.run, *sk = s + k * q.run;
      TwoSums<T> sums;
      sums.add(q.run, [&](int64_t i, int64_t left, V& u, V& v) {
        load_left(u, gk + i, left, T(0));
        load_left(v, sk + i, left, m);
        v = u * (v - m);
      });
      sums.flush();
      const double scale = w ? static_cast<double>(w[p + k]) : 1.0;
      total += sums.first * scale;
      along += sums.second * scale;
      dw[p + k] += static_cast<T>(sums.second * rs);
      db[p + k] += static_cast<T>(sums.first);
    }
  }
  const double n = static_cast<double>(q.n);
  const T mean_g = q.centred ? static_cast<T>(total / n) : T(0);
  const T slope = static_cast<T>(along / n * static_cast<double>(rs) * static_cast<double>(rs));
  auto finish = [&](int64_t begin, int64_t end, T scale, const T* scales) {
    V u, d, by = scale - V{};
    for (int64_t i = begin; i < end; i += kLanes) {
      load_left(u, gr + i, end - i, T(0));
      load_left(d, s + i, end - i, T(0));
      if (scales) load_left(by, scales + i, end - i, T(0));
      Sixteen<T>::store(o + i, rs * (u * by - mean_g - (d - m) * slope), std::min<int64_t>(kLanes, end - i));
    }
  };
  if (q.run == 1) return finish(0, q.n, T(1), w ? w + p : nullptr);
  for (int64_t k = 0; k < q.segments; ++k) finish(k * q.run, (k + 1) * q.run, w ? w[p + k] : T(1), nullptr);
}

// row_norm_backward(g, x, w, mean, rstd; the same numbers) -> dx, dw, db
void row_norm_backward_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[1]);
  m[1].dtype = m[2].dtype = c.in[2] ? c.in[2]->dtype : c.in[3]->dtype;
  m[1].ndim = m[2].ndim = 1;
  m[1].shape[0] = m[2].shape[0] = c.inum(0) * c.inum(1);
}

void row_norm_backward_run(const Call& c) {
  const Rows q(c, c.in[1]->numel);
  const int64_t params = q.groups * q.segments;
  floating(c.in[1]->dtype, "LayerNormBackwardKernelImpl", [&](auto z) {
    using T = decltype(z);
    T *dw = c.out[1]->ptr<T>(), *db = c.out[2]->ptr<T>();
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(16, q.rows / q.per()));
    Scratch<T> sums(parts * 2 * params);
    parallel_for(parts, [&](int64_t part) {
      T* sw = sums + part * 2 * params;
      std::fill(sw, sw + 2 * params, T(0));
      for (int64_t r = q.rows * part / parts; r < q.rows * (part + 1) / parts; ++r)
        row_backward<T>(q, r, c.in[0]->ptr<T>(), c.in[1]->ptr<T>(), maybe<T>(c.in[2]), c.in[3]->ptr<T>()[r],
                        c.in[4]->ptr<T>()[r], c.out[0]->ptr<T>(), sw, sw + params);
    });
    for (int64_t k = 0; k < params; ++k) {
      T a = 0, b = 0;
      for (int64_t part = 0; part < parts; ++part) {
        a += sums[part * 2 * params + k];
        b += sums[part * 2 * params + params + k];
      }
      dw[k] = a;
      db[k] = b;
    }
  });
}
RL_KERNEL(row_norm_backward, 3, row_norm_backward_infer, row_norm_backward_run)

}  // namespace
}  // namespace rl
