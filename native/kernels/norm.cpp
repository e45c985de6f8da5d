// Normalisation: per channel over a batch (batch norm) and per row (layer, group, instance and RMS norm).
//
// Forward kernels keep mean and 1/std in double until they are stored; sums run in blocks of vector lanes. Work is cut by
// channels or rows only, and sums over rows (the affine gradients) by a fixed number of parts, added in order.
#include <algorithm>
#include <cmath>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int64_t kLanes = 32;
constexpr int64_t kBlock = 2048;
constexpr int64_t kJob = 32768;               // elements per parallel chunk

// Two sums at once: f(i, a, b) gives the terms. Lanes within a block, blocks in double.
template <class T, class F>
inline void two_sums(int64_t n, const F& f, double* first, double* second) {
  double sa = 0, sb = 0;
  for (int64_t k = 0; k < n; k += kBlock) {
    const int64_t end = std::min(n, k + kBlock);
    T a[kLanes] = {}, b[kLanes] = {}, ra = 0, rb = 0;
    int64_t i = k;
    for (; i + kLanes <= end; i += kLanes)
      for (int64_t l = 0; l < kLanes; ++l) {
        T u, v;
        f(i + l, &u, &v);
        a[l] += u;
        b[l] += v;
      }
    for (; i < end; ++i) {
      T u, v;
      f(i, &u, &v);
      ra += u;
      rb += v;
    }
    for (int64_t s = kLanes / 2; s; s >>= 1)
      for (int64_t l = 0; l < s; ++l) {
        a[l] += a[l + s];
        b[l] += b[l + s];
      }
    sa += static_cast<double>(a[0] + ra);
    sb += static_cast<double>(b[0] + rb);
  }
  *first += sa;
  *second += sb;
}

template <class T, class F>
inline double one_sum(int64_t n, const F& f) {
  double s = 0, unused = 0;
  two_sums<T>(n, [&](int64_t i, T* a, T* b) { *a = f(i), *b = T(0); }, &s, &unused);
  return s;
}

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
  template <class F>
  void each(const F& fn) const {
    const int64_t per = std::max<int64_t>(1, kJob / std::max<int64_t>(1, N * S));
    parallel_for((C + per - 1) / per, [&](int64_t job) {
      for (int64_t c = job * per; c < std::min(C, (job + 1) * per); ++c) fn(c);
    });
  }
  // fn(first, count) for strips of channels, for S = 1.
  template <class F>
  void strips(const F& fn) const {
    parallel_for((C + kStrip - 1) / kStrip, [&](int64_t job) { fn(job * kStrip, std::min(kStrip, C - job * kStrip)); });
  }
  static constexpr int64_t kStrip = 64;
};

template <class T>
void one_channel_moments(const Channels& q, const T* x, int64_t c, double* mean, double* squares) {
  const double n = static_cast<double>(q.N * q.S);
  double total = 0, sq = 0;
  for (int64_t i = 0; i < q.N; ++i) {
    const T* s = x + (i * q.C + c) * q.S;
    total += one_sum<T>(q.S, [&](int64_t k) { return s[k]; });
  }
  const T m = static_cast<T>(total / n);
  double shift = 0;                           // the mean's rounding error is taken out again
  for (int64_t i = 0; i < q.N; ++i) {
    const T* s = x + (i * q.C + c) * q.S;
    two_sums<T>(q.S, [&](int64_t k, T* a, T* b) { const T d = s[k] - m; *a = d * d, *b = d; }, &sq, &shift);
  }
  *mean = total / n;
  *squares = sq - shift * shift / n;
}

template <class T>
void channel_moments(const Channels& q, const T* x, double* mean, double* squares) {
  const double n = static_cast<double>(q.N * q.S);
  if (q.S == 1) {
    q.strips([&](int64_t c0, int64_t w) {
      double s[Channels::kStrip] = {}, m[Channels::kStrip], v[Channels::kStrip] = {};
      for (int64_t i = 0; i < q.N; ++i)
        for (int64_t j = 0; j < w; ++j) s[j] += x[i * q.C + c0 + j];
      for (int64_t j = 0; j < w; ++j) m[j] = s[j] / n;
      for (int64_t i = 0; i < q.N; ++i)
        for (int64_t j = 0; j < w; ++j) {
          const double d = x[i * q.C + c0 + j] - m[j];
          v[j] += d * d;
        }
      std::copy(m, m + w, mean + c0);
      std::copy(v, v + w, squares + c0);
    });
    return;
  }
  q.each([&](int64_t c) { one_channel_moments<T>(q, x, c, mean + c, squares + c); });
}

template <class T>
inline T affine(T x, T mean, T scale, T shift) { return (x - mean) * scale + shift; }

template <class T>
inline T rectified(T x) { return x < T(0) ? T(0) : x; }

// y = (x - mean) * rstd * w + b for channel c, then relu if asked for
template <class T>
void one_channel_affine(const Channels& q, const T* x, int64_t c, T scale, T m, T shift, bool relu, T* y) {
  for (int64_t i = 0; i < q.N; ++i) {
    const T* s = x + (i * q.C + c) * q.S;
    T* o = y + (i * q.C + c) * q.S;
    if (relu) for (int64_t k = 0; k < q.S; ++k) o[k] = rectified(affine(s[k], m, scale, shift));
    else for (int64_t k = 0; k < q.S; ++k) o[k] = affine(s[k], m, scale, shift);
  }
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
  q.each([&](int64_t c) {
    one_channel_affine<T>(q, x, c, w ? rstd[c] * w[c] : rstd[c], mean[c], b ? b[c] : T(0), relu, y);
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
      Scratch<double> mu(q.C), squares(q.C);
      channel_moments<T>(q, x.ptr<T>(), mu, squares);
      for (int64_t i = 0; i < q.C; ++i) finish(i, mu[i], squares[i]);
      channel_affine<T>(q, x.ptr<T>(), w, b, mean, rstd, relu, c.out[0]->ptr<T>());
      return;
    }
    q.each([&](int64_t i) {                   // a channel is still in the cache when it is scaled
      double mu, squares;
      one_channel_moments<T>(q, x.ptr<T>(), i, &mu, &squares);
      finish(i, mu, squares);
      one_channel_affine<T>(q, x.ptr<T>(), i, w ? rstd[i] * w[i] : rstd[i], mean[i], b ? b[i] : T(0), relu, c.out[0]->ptr<T>());
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

// running_stats(running, value; momentum): running <- (1 - momentum) * running + momentum * value
void running_stats_run(const Call& c) {
  floating(c.out[0]->dtype, "batch_norm", [&](auto z) {
    using T = decltype(z);
    T* r = c.out[0]->ptr<T>();
    const T *v = c.in[0]->ptr<T>(), m = static_cast<T>(c.fnum(0));
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
    if (q.S == 1) {
      q.strips([&](int64_t c0, int64_t width) {
        constexpr int64_t kStrip = Channels::kStrip;
        double sg[kStrip] = {}, sx[kStrip] = {};
        T mu[kStrip], rs[kStrip], scale[kStrip], shift[kStrip], ag[kStrip], ax[kStrip];
        for (int64_t j = 0; j < width; ++j) {
          mu[j] = mean[c0 + j], rs[j] = rstd[c0 + j];
          scale[j] = w ? rs[j] * w[c0 + j] : rs[j];
          shift[j] = b ? b[c0 + j] : T(0);
        }
        auto passed = [&](int64_t k, int64_t j) {
          return !relu || affine(x[k], mu[j], scale[j], shift[j]) > T(0) ? g[k] : T(0);
        };
        for (int64_t i = 0; i < q.N; ++i)
          for (int64_t j = 0; j < width; ++j) {
            const int64_t k = i * q.C + c0 + j;
            sg[j] += passed(k, j);
            sx[j] += static_cast<double>(passed(k, j) * ((x[k] - mu[j]) * rs[j]));
          }
        for (int64_t j = 0; j < width; ++j) {
          ag[j] = training ? static_cast<T>(sg[j] / n) : T(0);
          ax[j] = training ? static_cast<T>(sx[j] / n) : T(0);
          dw[c0 + j] = static_cast<T>(sx[j]);
          db[c0 + j] = static_cast<T>(sg[j]);
        }
        for (int64_t i = 0; i < q.N; ++i)
          for (int64_t j = 0; j < width; ++j) {
            const int64_t k = i * q.C + c0 + j;
            dx[k] = scale[j] * (passed(k, j) - ag[j] - (x[k] - mu[j]) * rs[j] * ax[j]);
          }
      });
      return;
    }
    q.each([&](int64_t ch) {
      const T mu = mean[ch], rs = rstd[ch], scale = w ? rs * w[ch] : rs, shift = b ? b[ch] : T(0);
      double sg = 0, sx = 0;
      for (int64_t i = 0; i < q.N; ++i) {
        const T *gi = g + (i * q.C + ch) * q.S, *xi = x + (i * q.C + ch) * q.S;
        if (relu)
          two_sums<T>(q.S, [&](int64_t k, T* first, T* second) {
            const T gk = gi[k], p = affine(xi[k], mu, scale, shift) > T(0) ? gk : T(0);   // loaded in any case: no branch
            *first = p, *second = p * (xi[k] - mu);
          }, &sg, &sx);
        else
          two_sums<T>(q.S, [&](int64_t k, T* first, T* second) { *first = gi[k], *second = gi[k] * (xi[k] - mu); }, &sg, &sx);
      }
      sx *= rs;
      dw[ch] = static_cast<T>(sx);
      db[ch] = static_cast<T>(sg);
      const T ag = training ? static_cast<T>(sg / n) : T(0), ax = training ? static_cast<T>(sx / n) * rs : T(0);
      for (int64_t i = 0; i < q.N; ++i) {
        const int64_t at = (i * q.C + ch) * q.S;
        if (relu)
          for (int64_t k = at; k < at + q.S; ++k) {
            const T gk = g[k], p = affine(x[k], mu, scale, shift) > T(0) ? gk : T(0);
            dx[k] = scale * (p - ag - (x[k] - mu) * ax);
          }
        else
          for (int64_t k = at; k < at + q.S; ++k) dx[k] = scale * (g[k] - ag - (x[k] - mu) * ax);
      }
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
        const double mu = q.centred ? one_sum<T>(q.n, [&](int64_t i) { return s[i]; }) / static_cast<double>(q.n) : 0.0;
        const T m = static_cast<T>(mu);
        double squares = 0, shift = 0;
        two_sums<T>(q.n, [&](int64_t i, T* u, T* v) { const T d = s[i] - m; *u = d * d, *v = d; }, &squares, &shift);
        if (q.centred) squares -= shift * shift / static_cast<double>(q.n);
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
          for (int64_t i = k * q.run; i < (k + 1) * q.run; ++i) o[i] = (s[i] - m) * scale + add;
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
  if (q.run == 1) {
    if (w) two_sums<T>(q.n, [&](int64_t i, T* a, T* b) { *a = gr[i] * w[p + i], *b = *a * (s[i] - m); }, &total, &along);
    else two_sums<T>(q.n, [&](int64_t i, T* a, T* b) { *a = gr[i], *b = *a * (s[i] - m); }, &total, &along);
    for (int64_t i = 0; i < q.n; ++i) {
      dw[p + i] += gr[i] * ((s[i] - m) * rs);
      db[p + i] += gr[i];
    }
  } else {
    for (int64_t k = 0; k < q.segments; ++k) {
      double a = 0, b = 0;
      const T *gk = gr + k * q.run, *sk = s + k * q.run;
      two_sums<T>(q.run, [&](int64_t i, T* u, T* v) { *u = gk[i], *v = gk[i] * (sk[i] - m); }, &a, &b);
      const double scale = w ? static_cast<double>(w[p + k]) : 1.0;
      total += a * scale;
      along += b * scale;
      dw[p + k] += static_cast<T>(b * rs);
      db[p + k] += static_cast<T>(a);
    }
  }
  const double n = static_cast<double>(q.n);
  const T mean_g = q.centred ? static_cast<T>(total / n) : T(0);
  const T slope = static_cast<T>(along / n * static_cast<double>(rs) * static_cast<double>(rs));
  if (q.run == 1 && w) {
    for (int64_t i = 0; i < q.n; ++i) o[i] = rs * (gr[i] * w[p + i] - mean_g - (s[i] - m) * slope);
    return;
  }
  for (int64_t k = 0; k < (q.run == 1 ? 1 : q.segments); ++k) {
    const T scale = w ? w[p + k] : T(1);
    const int64_t len = q.run == 1 ? q.n : q.run;
    for (int64_t i = k * len; i < (k + 1) * len; ++i) o[i] = rs * (gr[i] * scale - mean_g - (s[i] - m) * slope);
  }
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
