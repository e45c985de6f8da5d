// Losses of an input against a target of the same shape: values, their sum, and the input's gradient.
//
// A functor gives the value and the derivative; its first number is the factor of the reduction (1/n for a mean).
#include <algorithm>
#include <cmath>

#include "pointwise.h"
#include "rows.h"
#include "softplus.h"

namespace rl {
namespace {

constexpr int64_t kChunk = 16384;

struct Mse {
  template <class T>
  struct For {
    T s;
    explicit For(const Number* p) : s(T(p[0].f)) {}
    static bool valid(T) { return true; }
    T operator()(T x, T y) const { return (x - y) * (x - y); }
    T operator()(T g, T x, T y) const { return g * s * T(2) * (x - y); }
  };
};

struct SmoothL1 {
  template <class T>
  struct For {
    T s, beta;
    explicit For(const Number* p) : s(T(p[0].f)), beta(T(p[1].f)) {}
    static bool valid(T) { return true; }
    T operator()(T x, T y) const {
      T z = std::fabs(x - y);
      return z < beta ? T(0.5) * z * z / beta : z - T(0.5) * beta;
    }
    T operator()(T g, T x, T y) const {
      T d = x - y;
      return g * s * (d <= -beta ? T(-1) : (d >= beta ? T(1) : d / beta));
    }
  };
};

struct Huber {
  template <class T>
  struct For {
    T s, delta;
    explicit For(const Number* p) : s(T(p[0].f)), delta(T(p[1].f)) {}
    static bool valid(T) { return true; }
    T operator()(T x, T y) const {
      T z = std::fabs(x - y);
      return z <= delta ? T(0.5) * z * z : delta * (z - T(0.5) * delta);
    }
    T operator()(T g, T x, T y) const {
      T d = x - y;
      return g * s * (d < -delta ? -delta : (d > delta ? delta : d));
    }
  };
};

struct SoftMargin {
  template <class T>
  struct For {
    T s;
    explicit For(const Number* p) : s(T(p[0].f)) {}
    static bool valid(T) { return true; }
    T operator()(T x, T y) const { return soft_plus(-x * y); }
    T operator()(T g, T x, T y) const { return -g * s * y * fast_sigmoid(-x * y); }
  };
};

// Logarithms are kept above -100, as in PyTorch.
struct Bce {
  template <class T>
  struct For {
    T s;
    explicit For(const Number* p) : s(T(p[0].f)) {}
    static bool valid(T x) { return x >= T(0) && x <= T(1); }
    T operator()(T x, T y) const {
      T a = fast_log(x), b = log1m(x);
      a = a < T(-100) ? T(-100) : a;
      b = b < T(-100) ? T(-100) : b;
      return (y - T(1)) * b - y * a;
    }
    T operator()(T g, T x, T y) const {
      T v = (T(1) - x) * x;
      return g * s * (x - y) / (v > T(1e-12) ? v : T(1e-12));
    }
  };
};

struct BceLogits {
  template <class T>
  struct For {
    T s;
    explicit For(const Number* p) : s(T(p[0].f)) {}
    static bool valid(T) { return true; }
    T operator()(T x, T y) const { return (T(1) - y) * x + soft_plus(-x); }
    T operator()(T g, T x, T y) const { return g * s * (fast_sigmoid(x) - y); }
  };
};

// loss(x, y, factor, reduce, …): contiguous inputs of one shape.
void loss_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  if (c.inum(1)) m->ndim = 0;
}

// The functor's numbers: the factor and, for losses that have one, their own.
struct Params {
  Number p[2];
  explicit Params(const Call& c) {
    p[0] = c.num[0];
    p[1] = c.nnum > 2 ? c.num[2] : c.num[0];
  }
};

template <class F>
void run(const Call& c) {
  const Array& a = *c.in[0];
  const bool reduce = c.inum(1);
  floating(a.dtype, c.def->name, [&](auto z) {
    using T = decltype(z);
    const Params params(c);
    const typename F::template For<T> f(params.p);
    const T *x = a.ptr<T>(), *y = c.in[1]->ptr<T>();
    T* out = c.out[0]->ptr<T>();
    const int64_t chunks = (a.numel + kChunk - 1) / kChunk;
    Scratch<double> part(chunks);
    Scratch<char> bad(chunks);
    parallel_for(chunks, [&](int64_t k) {
      const int64_t b = k * kChunk, n = std::min(kChunk, a.numel - b);
      bool ok = true;
      for (int64_t i = 0; i < n; ++i) ok &= f.valid(x[b + i]);
      bad[k] = !ok;
      if (reduce) part[k] = static_cast<double>(lane_sum<T>(n, [&](int64_t i) { return f(x[b + i], y[b + i]); }));
      else
        for (int64_t i = 0; i < n; ++i) out[b + i] = f(x[b + i], y[b + i]);
    });
    double total = 0;
    for (int64_t k = 0; k < chunks; ++k) {
      if (bad[k]) throw std::runtime_error("all elements of input should be between 0 and 1");
      total += part[k];
    }
    if (reduce) *out = static_cast<T>(total * c.fnum(0));
  });
}

#define RL_LOSS(name_, functor_)                   \
  RL_KERNEL(name_, 1, loss_infer, run<functor_>)   \
  RL_TERNARY_P(name_##_backward, arith, functor_, RL_FLOAT)

RL_LOSS(mse_loss, Mse)
RL_LOSS(smooth_l1_loss, SmoothL1)
RL_LOSS(huber_loss, Huber)
RL_LOSS(soft_margin_loss, SoftMargin)
RL_LOSS(binary_cross_entropy, Bce)
RL_LOSS(bce_with_logits, BceLogits)

// ---- margin losses over classes -------------------------------------------------------------------------------

// multi_margin(x (N, C), target (N), weight or None, p, margin, factor, reduce): values (N) or their scaled sum.
void rows_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->ndim = c.inum(c.nnum - 1) ? 0 : 1;
}

[[noreturn]] void bad_target() { throw std::runtime_error("target out of range"); }

template <class T>
void multi_margin_rows(const Call& c, const T* g, T* dx, T* out) {
  const Array& a = *c.in[g ? 1 : 0];
  const int64_t* target = c.in[g ? 2 : 1]->template ptr<int64_t>();
  const Array* wa = c.in[g ? 3 : 2];
  const T* w = wa ? wa->ptr<T>() : nullptr;
  const int64_t N = a.shape[0], C = a.shape[1], p = c.inum(0);
  const T margin = T(c.fnum(1)), factor = T(c.fnum(2));
  const bool reduce = c.inum(3);
  double total = 0;
  for (int64_t i = 0; i < N; ++i) {
    const T* x = a.ptr<T>() + i * C;
    const int64_t t = target[i];
    if (t < 0 || t >= C) bad_target();
    double sum = 0;
    T own = T(0);
    const T scale = g ? (reduce ? *g : g[i]) * factor * (w ? w[t] : T(1)) / T(C) : T(0);
    for (int64_t j = 0; j < C; ++j) {
      if (dx) dx[i * C + j] = T(0);
      const T z = margin - x[t] + x[j];
      if (j == t || z <= T(0)) continue;
      if (g) {
        const T d = scale * (p == 1 ? T(1) : T(2) * z);
        dx[i * C + j] = d;
        own -= d;
      } else {
        sum += p == 1 ? z : z * z;
      }
    }
    if (g) {
      dx[i * C + t] = own;
    } else {
      const double v = sum / C * (w ? w[t] : T(1));
      if (reduce) total += v;
      else out[i] = static_cast<T>(v);
    }
  }
  if (!g && reduce) *out = static_cast<T>(total * c.fnum(2));
}

void multi_margin_run(const Call& c) {
  floating(c.in[0]->dtype, "multi_margin_loss", [&](auto z) {
    using T = decltype(z);
    multi_margin_rows<T>(c, nullptr, nullptr, c.out[0]->ptr<T>());
  });
}
void like_second(const Call& c, Meta* m) { m->like(*c.in[1]); }
void multi_margin_backward_run(const Call& c) {
  floating(c.in[1]->dtype, "multi_margin_loss", [&](auto z) {
    using T = decltype(z);
    multi_margin_rows<T>(c, c.in[0]->ptr<T>(), c.out[0]->ptr<T>(), nullptr);
  });
}
RL_KERNEL(multi_margin_loss, 1, rows_infer, multi_margin_run)
RL_KERNEL(multi_margin_loss_backward, 1, like_second, multi_margin_backward_run)

// multilabel_margin(x (N, C), target (N, C), factor, reduce): target rows list class numbers, ended by -1.
template <class T>
void multilabel_rows(const Call& c, const T* g, T* dx, T* out) {
  const Array& a = *c.in[g ? 1 : 0];
  const int64_t* target = c.in[g ? 2 : 1]->template ptr<int64_t>();
  const int64_t N = a.shape[0], C = a.shape[1];
  const T factor = T(c.fnum(0));
  const bool reduce = c.inum(1);
  Scratch<char> is_target(C);
  double total = 0;
  for (int64_t i = 0; i < N; ++i) {
    const T* x = a.ptr<T>() + i * C;
    const int64_t* t = target + i * C;
    for (int64_t j = 0; j < C; ++j) {
      is_target[j] = 0;
      if (dx) dx[i * C + j] = T(0);
      if (t[j] < -1 || t[j] >= C) throw std::runtime_error("argument #2 'target' is out of range");
    }
    int64_t n = 0;
    while (n < C && t[n] >= 0) is_target[t[n++]] = 1;
    double sum = 0;
    const T scale = g ? (reduce ? *g : g[i]) * factor / T(C) : T(0);
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < C; ++j) {
        const T z = T(1) - x[t[k]] + x[j];
        if (is_target[j] || z <= T(0)) continue;
        sum += z;
        if (g) {
          dx[i * C + t[k]] -= scale;
          dx[i * C + j] += scale;
        }
      }
    if (!g) {
      if (reduce) total += sum / C;
      else out[i] = static_cast<T>(sum / C);
    }
  }
  if (!g && reduce) *out = static_cast<T>(total * c.fnum(0));
}
void multilabel_run(const Call& c) {
  floating(c.in[0]->dtype, "multilabel_margin_loss_forward_out_frame", [&](auto z) {
    using T = decltype(z);
    multilabel_rows<T>(c, nullptr, nullptr, c.out[0]->ptr<T>());
  });
}
void multilabel_backward_run(const Call& c) {
  floating(c.in[1]->dtype, "multilabel_margin_loss_backward", [&](auto z) {
    using T = decltype(z);
    multilabel_rows<T>(c, c.in[0]->ptr<T>(), c.out[0]->ptr<T>(), nullptr);
  });
}
RL_KERNEL(multilabel_margin_loss, 1, rows_infer, multilabel_run)
RL_KERNEL(multilabel_margin_loss_backward, 1, like_second, multilabel_backward_run)

}  // namespace
}  // namespace rl
