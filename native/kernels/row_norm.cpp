// Norms per row: layer, group, instance and RMS norm. Work is cut by rows, and sums over rows (the affine gradients) by a fixed
// number of parts, added in order.
#include "norm.h"

namespace rl {
namespace {

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
  floating_or_half(c.in[0]->dtype, "LayerNormKernelImpl", [&](auto z) {
    using S = decltype(z);
    using T = Compute<S>;
    typedef typename Sixteen<T>::vec V;
    const S* x = c.in[0]->ptr<S>();
    const T *w = maybe<T>(c.in[1]), *b = maybe<T>(c.in[2]);
    S* y = c.out[0]->ptr<S>();
    T *mean = c.out[1]->ptr<T>(), *rstd = c.out[2]->ptr<T>();
    const int64_t per = q.per();
    parallel_for((q.rows + per - 1) / per, [&](int64_t job) {
      for (int64_t r = job * per; r < std::min(q.rows, (job + 1) * per); ++r) {
        const S* s = x + r * q.n;
        S* o = y + r * q.n;
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
          auto finish = [&](auto scaled, auto shifted) {
            each_vector(q.n, [&](int64_t i, int64_t left) {
              V v, t;
              load_left(v, s + i, left, T(0));
              v = (v - m) * rs;
              if constexpr (scaled) load_left(t, w + p + i, left, T(0)), v *= t;
              if constexpr (shifted) load_left(t, b + p + i, left, T(0)), v += t;
              store_left(o + i, v, left);
            });
          };
          constexpr std::true_type yes;
          constexpr std::false_type no;
          if (w && b) finish(yes, yes);
          else if (w) finish(yes, no);
          else if (b) finish(no, yes);
          else finish(no, no);
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
RL_KERNEL_ROWS(row_norm, 3, nullptr, row_norm_run, 0b1001)

template <class S, class T = Compute<S>>
void row_backward(const Rows& q, int64_t r, const S* g, const S* x, const T* w, T m, T rs, S* dx, T* dw, T* db) {
  const S *gr = g + r * q.n, *s = x + r * q.n;
  S* o = dx + r * q.n;
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
      const S *gk = gr + k * q.run, *sk = s + k * q.run;
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
  auto finish = [&](int64_t begin, int64_t n, T scale, const T* scales) {
    each_vector(n, [&](int64_t k, int64_t left) {
      const int64_t i = begin + k;
      V u, d, by = scale - V{};
      load_left(u, gr + i, left, T(0));
      load_left(d, s + i, left, T(0));
      if (scales) load_left(by, scales + i, left, T(0));
      store_left(o + i, V(rs * (u * by - mean_g - (d - m) * slope)), left);
    });
  };
  if (q.run == 1) return finish(0, q.n, T(1), w ? w + p : nullptr);
  for (int64_t k = 0; k < q.segments; ++k) finish(k * q.run, q.run, w ? w[p + k] : T(1), nullptr);
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
  floating_or_half(c.in[1]->dtype, "LayerNormBackwardKernelImpl", [&](auto z) {
    using S = decltype(z);
    using T = Compute<S>;
    T *dw = c.out[1]->ptr<T>(), *db = c.out[2]->ptr<T>();
    const int64_t parts = std::max<int64_t>(1, std::min<int64_t>(16, q.rows / q.per()));
    Scratch<T> sums(parts * 2 * params);
    parallel_for(parts, [&](int64_t part) {
      T* sw = sums + part * 2 * params;
      std::fill(sw, sw + 2 * params, T(0));
      for (int64_t r = q.rows * part / parts; r < q.rows * (part + 1) / parts; ++r)
        row_backward<S>(q, r, c.in[0]->ptr<S>(), c.in[1]->ptr<S>(), maybe<T>(c.in[2]), c.in[3]->ptr<T>()[r],
                        c.in[4]->ptr<T>()[r], c.out[0]->ptr<S>(), sw, sw + params);
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
RL_KERNEL_ROWS(row_norm_backward, 3, row_norm_backward_infer, row_norm_backward_run, 0b11001)

}  // namespace
}  // namespace rl
