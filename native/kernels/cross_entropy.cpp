// Cross entropy with class indices in one pass: log-softmax, the pick of the target's entry, weights, label smoothing
// and the reduction. Also the negative log likelihood (the same without the log-softmax).
//
// x is (N, C, inner), contiguous; target (N, inner). Kept for the backward pass: log(sum exp) per position (lse) and the
// sum of the weights (total), from which softmax is recomputed.
#include <algorithm>
#include <cmath>

#include "../core/kernel.h"
#include "rows.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int64_t kStrip = 64, kWork = 16384;

enum Reduction : int64_t { kNone, kMean, kSum };

// Numbers: reduction, ignore_index, label smoothing, whether x holds log-probabilities already.
struct Problem {
  int64_t N, C, inner, reduction, ignore;
  double smoothing;
  bool is_log;
  const int64_t* target;
  Problem(const Call& c, const Array& x, const Array& t)
      : N(x.ndim > 1 ? x.shape[0] : 1), C(x.shape[x.ndim > 1 ? 1 : 0]), inner(1), reduction(c.inum(0)), ignore(c.inum(1)),
        smoothing(c.fnum(2)), is_log(c.inum(3)), target(t.ptr<int64_t>()) {
    for (int d = 2; d < x.ndim; ++d) inner *= x.shape[d];
  }
  int64_t positions() const { return N * inner; }
  // Offset of (image n, position col); classes are `inner` apart. With inner = 1 all rows are positions of image 0.
  int64_t step() const { return inner == 1 ? C : 1; }
  int64_t at(int64_t n, int64_t col) const { return n * C * inner + col * step(); }
  void check() const {
    bool bad = false;
    for (int64_t i = 0; i < positions(); ++i) bad |= (target[i] != ignore) & ((target[i] < 0) | (target[i] >= C));
    for (int64_t i = 0; bad && i < positions(); ++i) {
      const int64_t t = target[i];
      if (t != ignore && (t < 0 || t >= C)) throw std::out_of_range("Target " + std::to_string(t) + " is out of bounds.");
    }
  }
};

void forward_infer(const Call& c, Meta* m) {
  const Array &x = *c.in[0], &t = *c.in[1];
  m[0].like(t);
  m[0].dtype = x.dtype;
  if (c.inum(0) != kNone) m[0].ndim = 0;
  m[1].like(t);
  m[1].dtype = x.dtype;
  m[2].dtype = x.dtype;
  m[2].ndim = 0;
}

// log(sum_c exp(x_c)) for one position per column of a strip.
template <class T>
void log_sum_exp(const T* x, int64_t C, int64_t inner, int64_t w, T* lse) {
  T m[kStrip], s[kStrip];
  for (int64_t j = 0; j < w; ++j) {
    m[j] = -std::numeric_limits<T>::infinity();
    s[j] = T(0);
  }
  for (int64_t k = 0; k < C; ++k)
    for (int64_t j = 0; j < w; ++j) m[j] = x[k * inner + j] > m[j] ? x[k * inner + j] : m[j];
  for (int64_t k = 0; k < C; ++k)
    for (int64_t j = 0; j < w; ++j) s[j] += fast_exp_below(x[k * inner + j] - m[j]);
  for (int64_t j = 0; j < w; ++j) lse[j] = m[j] + fast_log(s[j]);
}

// The same for up to sixteen rows.
template <class T>
void log_sum_exp(const T* x, int64_t C, int64_t rows, T* lse) {
  T m[kLanes], l[kLanes];
  log_sums(x, rows, C, m, l);
  for (int64_t r = 0; r < rows; ++r) lse[r] = m[r] + l[r];
}

// Calls fn(n, col, width) for strips of positions: col.. of image n. If inner is 1, all rows are image 0.
template <class F>
void strips(const Problem& p, const F& fn) {
  const bool rows = p.inner == 1;
  const int64_t length = rows ? p.N : p.inner, strip = rows ? kLanes : kStrip;
  const int64_t per_row = (length + strip - 1) / strip, jobs = rows ? per_row : p.N * per_row;
  const int64_t per = std::max<int64_t>(1, kWork / std::max<int64_t>(1, p.C * std::min(strip, length)));
  parallel_for((jobs + per - 1) / per, [&](int64_t k) {
    for (int64_t j = k * per; j < std::min(jobs, (k + 1) * per); ++j) {
      const int64_t col = j % per_row * strip;
      fn(j / per_row, col, std::min(strip, length - col));
    }
  });
}

// sum_k w_k a_k over classes that are `inner` apart.
template <class T>
double sum_of_classes(const T* a, int64_t C, int64_t inner, const T* w) {
  if (w) return lane_sum<double>(C, [&](int64_t k) { return static_cast<double>(a[k * inner]) * static_cast<double>(w[k]); });
  if (inner == 1) return lane_sum<double>(C, [&](int64_t k) { return static_cast<double>(a[k]); });
  return lane_sum<double>(C, [&](int64_t k) { return static_cast<double>(a[k * inner]); });
}

template <class T>
void forward(const Problem& p, const T* x, const T* w, T* loss, T* lse, T* total) {
  Scratch<T> values(p.positions());
  double weight_sum = 0;
  if (w)
    for (int64_t k = 0; k < p.C; ++k) weight_sum += w[k];
  const double smooth = p.smoothing / static_cast<double>(p.C);
  const int64_t step = p.step();
  strips(p, [&](int64_t n, int64_t col, int64_t width) {
    const T* base = x + p.at(n, col);
    T* l = lse + n * p.inner + col;
    if (p.is_log) std::fill(l, l + width, T(0));
    else if (p.inner == 1) log_sum_exp(base, p.C, width, l);
    else log_sum_exp(base, p.C, p.inner, width, l);
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = n * p.inner + col + j, t = p.target[at];
      if (t == p.ignore) {
        values[at] = T(0);
        continue;
      }
      const T* a = base + j * step;
      T v = (l[j] - a[t * p.inner]) * (w ? w[t] : T(1));
      if (p.smoothing > 0) {
        const double all = (w ? weight_sum : static_cast<double>(p.C)) * l[j] - sum_of_classes(a, p.C, p.inner, w);
        v = static_cast<T>((1 - p.smoothing) * v + smooth * all);
      }
      values[at] = v;
    }
  });
  double norm = 0;
  if (w) {
    for (int64_t i = 0; i < p.positions(); ++i)
      if (p.target[i] != p.ignore) norm += w[p.target[i]];
  } else {
    int64_t count = 0;
    for (int64_t i = 0; i < p.positions(); ++i) count += p.target[i] != p.ignore;
    norm = static_cast<double>(count);
  }
  *total = static_cast<T>(norm);
  if (p.reduction == kNone) {
    std::copy(values.p, values.p + p.positions(), loss);
    return;
  }
  double sum = 0;
  constexpr int64_t kBlock = 4096;
  for (int64_t b = 0; b < p.positions(); b += kBlock)
    sum += lane_sum<double>(std::min(kBlock, p.positions() - b), [&](int64_t i) { return static_cast<double>(values[b + i]); });
  *loss = static_cast<T>(p.reduction == kMean ? sum / norm : sum);
}

void forward_run(const Call& c) {
  const Array& x = *c.in[0];
  floating(x.dtype, c.inum(3) ? "nll_loss_out_frame" : "log_softmax_lastdim_kernel_impl", [&](auto z) {
    using T = decltype(z);
    const Problem p(c, x, *c.in[1]);
    p.check();
    forward<T>(p, x.ptr<T>(), c.in[2] ? c.in[2]->ptr<T>() : nullptr, c.out[0]->ptr<T>(), c.out[1]->ptr<T>(),
               c.out[2]->ptr<T>());
  });
}
RL_KERNEL(cross_entropy, 3, forward_infer, forward_run)

// cross_entropy_backward(g, x, target, weight, lse, total, numbers…)
void backward_infer(const Call& c, Meta* m) { m->like(*c.in[1]); }

// dx = scale (q exp(x - lse) - smooth w_k), minus scale keep w_t at the target.
template <class T>
struct Gradient {
  const Problem& p;
  const T *g, *x, *w, *lse;
  T *dx, smooth, keep, total_weight, mean_scale;

  Gradient(const Problem& problem, const T* grad, const T* input, const T* weight, const T* sums, T total, T* out)
      : p(problem), g(grad), x(input), w(weight), lse(sums), dx(out),
        smooth(static_cast<T>(p.smoothing / static_cast<double>(p.C))), keep(static_cast<T>(1 - p.smoothing)),
        mean_scale(p.reduction == kNone ? T(0) : p.reduction == kMean ? *g / total : *g) {
    double sum = w ? 0.0 : static_cast<double>(p.C);
    if (w)
      for (int64_t k = 0; k < p.C; ++k) sum += w[k];
    total_weight = static_cast<T>(smooth * sum);
  }
  T scale(int64_t at) const { return p.reduction == kNone ? g[at] : mean_scale; }

  void strip(int64_t n, int64_t col, int64_t width) const {
    const int64_t base = p.at(n, col);
    const T* l = lse + n * p.inner + col;
    T by[kStrip], q[kStrip], pick[kStrip];
    int32_t chosen[kStrip];
    for (int64_t j = 0; j < width; ++j) {
      const int64_t at = n * p.inner + col + j, t = p.target[at];
      const bool ignored = t == p.ignore;
      const T wt = w && !ignored ? w[t] : T(1);
      by[j] = ignored ? T(0) : scale(at);
      q[j] = keep * wt + total_weight;
      pick[j] = by[j] * keep * wt;
      chosen[j] = static_cast<int32_t>(t);
    }
    for (int64_t k = 0; k < p.C; ++k) {
      const T s = smooth * (w ? w[k] : T(1));
      const T* a = x + base + k * p.inner;
      T* o = dx + base + k * p.inner;
      const int32_t one = static_cast<int32_t>(k);
      if (p.is_log) {
        for (int64_t j = 0; j < width; ++j) o[j] = by[j] * -s - (chosen[j] == one ? pick[j] : T(0));
        continue;
      }
      for (int64_t j = 0; j < width; ++j) {
        const T v = by[j] * (q[j] * fast_exp_below(a[j] - l[j]) - s) - (chosen[j] == one ? pick[j] : T(0));
        o[j] = by[j] == T(0) ? T(0) : v;
      }
    }
  }

  // The class loop is the inner one.
  void row(int64_t n) const {
    const int64_t t = p.target[n];
    const T* a = x + n * p.C;
    T* o = dx + n * p.C;
    if (t == p.ignore) {
      std::fill(o, o + p.C, T(0));
      return;
    }
    const T by = scale(n), wt = w ? w[t] : T(1), q = by * (keep * wt + total_weight), s = by * smooth, l = lse[n];
    if (p.is_log) std::fill(o, o + p.C, T(0));
    else
      each_lanes(a, p.C, o, [&](auto& v) { each_lane<T>(v, [&](T e) { return q * fast_exp_below(e - l); }); });
    if (smooth != T(0))
      for (int64_t k = 0; k < p.C; ++k) o[k] -= w ? s * w[k] : s;
    o[t] -= by * keep * wt;
  }
};

void backward_run(const Call& c) {
  const Array& x = *c.in[1];
  floating(x.dtype, "cross_entropy_backward", [&](auto z) {
    using T = decltype(z);
    const Problem p(c, x, *c.in[2]);
    const T* w = c.in[3] ? c.in[3]->ptr<T>() : nullptr;
    const T total = *c.in[5]->ptr<T>();
    const Gradient<T> d(p, c.in[0]->ptr<T>(), x.ptr<T>(), w, c.in[4]->ptr<T>(), total, c.out[0]->ptr<T>());
    strips(p, [&](int64_t n, int64_t col, int64_t width) {
      if (p.inner > 1) return d.strip(n, col, width);
      for (int64_t j = 0; j < width; ++j) d.row(col + j);
    });
  });
}
RL_KERNEL(cross_entropy_backward, 1, backward_infer, backward_run)

}  // namespace
}  // namespace rl
