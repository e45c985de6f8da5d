// Batch norm: per channel over a batch.
//
// Forward kernels keep mean and 1/std in double until they are stored; sums run in blocks of vector lanes. Work is cut by
// channels only.
#include "norm.h"

namespace rl {
namespace {

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
    const int64_t group = std::clamp<int64_t>(2048 / std::max<int64_t>(1, S), 1, kGroup);
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

template <class T, class S>
void group_moments(const Channels& q, const S* x, int64_t c0, int64_t count, double* mean, double* squares) {
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
        each_vector(w, [&](int64_t j, int64_t left) {
          f(r, j, left, u, v);
          a[j / kLanes] += u;
          b[j / kLanes] += v;
        });
      for (int64_t j = 0; j < kStrip; ++j) {
        first[j] += static_cast<double>(a[j / kLanes][j % kLanes]);
        second[j] += static_cast<double>(b[j / kLanes][j % kLanes]);
      }
    }
  }
};

template <class T, class S>
void strip_moments(const Channels& q, const S* x, int64_t c0, int64_t w, double* mean, double* squares) {
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

template <class T, class S>
void channel_affine(const Channels& q, const S* x, const T* w, const T* b, const T* mean, const T* rstd, bool relu, S* y) {
  typedef typename Sixteen<T>::vec V;
  if (q.S == 1) {
    q.strips([&](int64_t c0, int64_t n) {
      T scale[Channels::kStrip] = {}, m[Channels::kStrip] = {}, shift[Channels::kStrip] = {};
      for (int64_t j = 0; j < n; ++j) {
        scale[j] = w ? rstd[c0 + j] * w[c0 + j] : rstd[c0 + j];
        m[j] = mean[c0 + j];
        shift[j] = b ? b[c0 + j] : T(0);
      }
      auto rows = [&](auto rectified) {
        for (int64_t i = 0; i < q.N; ++i) {
          const S* s = x + i * q.C + c0;
          S* o = y + i * q.C + c0;
          for (int64_t j = 0; j < n; j += kLanes) {
            V v, by, at, add;
            load_left(v, s + j, n - j, T(0));
            Sixteen<T>::load(by, scale + j);
            Sixteen<T>::load(at, m + j);
            Sixteen<T>::load(add, shift + j);
            v = (v - at) * by + add;
            if constexpr (rectified) v = v < T(0) ? V{} : v;
            store_left(o + j, v, n - j);
          }
        }
      };
      if (relu) rows(std::true_type{});
      else rows(std::false_type{});
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

// batch_norm(x, w, b; eps, relu = 0) -> y, mean, rstd, variance (unbiased, for the running one). With `relu`, y is relu of it.
void batch_norm_run(const Call& c) {
  const Array& x = *c.in[0];
  floating_or_half(x.dtype, "batch_norm", [&](auto z) {
    using S = decltype(z);
    using T = Compute<S>;
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
        strip_moments<T>(q, x.ptr<S>(), c0, width, mu, squares);
        for (int64_t i = 0; i < width; ++i) finish(c0 + i, mu[i], squares[i]);
      });
      channel_affine<T>(q, x.ptr<S>(), w, b, mean, rstd, relu, c.out[0]->ptr<S>());
      return;
    }
    q.groups([&](int64_t c0, int64_t count) {  // channels are still in the cache when they are scaled
      double mu[Channels::kGroup], squares[Channels::kGroup];
      group_moments<T>(q, x.ptr<S>(), c0, count, mu, squares);
      for (int64_t k = 0; k < count; ++k) finish(c0 + k, mu[k], squares[k]);
      q.runs(c0, count, [&](int64_t k, int64_t at) {
        const int64_t i = c0 + k;
        const T scale = w ? rstd[i] * w[i] : rstd[i], shift = b ? b[i] : T(0);
        run_affine<T>(x.ptr<S>() + at, q.S, scale, mean[i], shift, relu, c.out[0]->ptr<S>() + at);
      });
    });
  });
}
RL_KERNEL_ROWS(batch_norm, 4, nullptr, batch_norm_run, 0b10001)

// batch_norm_eval(x, w, b, mean, rstd)
void same_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

void batch_norm_eval_run(const Call& c) {
  floating_or_half(c.out[0]->dtype, "batch_norm", [&](auto z) {
    using S = decltype(z);
    using T = Compute<S>;
    channel_affine<T>(Channels(*c.in[0]), c.in[0]->ptr<S>(), maybe<T>(c.in[1]), maybe<T>(c.in[2]), c.in[3]->ptr<T>(),
                      c.in[4]->ptr<T>(), false, c.out[0]->ptr<S>());
  });
}
RL_KERNEL_ROWS(batch_norm_eval, 1, same_infer, batch_norm_eval_run, 0b11)

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
  floating_or_half(c.in[1]->dtype, "batch_norm_backward", [&](auto z) {
    using S = decltype(z);
    using T = Compute<S>;
    const S *g = c.in[0]->ptr<S>(), *x = c.in[1]->ptr<S>();
    const T *w = maybe<T>(c.in[2]), *mean = c.in[3]->ptr<T>(), *rstd = c.in[4]->ptr<T>(), *b = relu ? maybe<T>(c.in[5]) : nullptr;
    S* dx = c.out[0]->ptr<S>();
    T *dw = c.out[1]->ptr<T>(), *db = c.out[2]->ptr<T>();
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
          each_vector(width, [&](int64_t j, int64_t left) {
            V u, d, s, of_g, of_x;
            terms(i, j, left, u, d);
            Sixteen<T>::load(s, scale + j);
            Sixteen<T>::load(of_g, ag + j);
            Sixteen<T>::load(of_x, ax + j);
            store_left(dx + i * q.C + c0 + j, V(s * (u - of_g - d * of_x)), left);
          });
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
        const T s = scale[k], of_g = ag[k], of_x = ax[k];
        each_vector(q.S, [&](int64_t i, int64_t left) {
          V u, d;
          terms(k, at + i, left, u, d);
          store_left(dx + at + i, V(s * (u - of_g - d * of_x)), left);
        });
      });
    });
  });
}
RL_KERNEL_ROWS(batch_norm_backward, 3, batch_norm_backward_infer, batch_norm_backward_run, 0b11001)

}  // namespace
}  // namespace rl
