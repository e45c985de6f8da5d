// The direction of L-BFGS: the two loops over what it remembers (Nocedal and Wright, Numerical Optimization, algorithm 7.4).
#include <algorithm>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int64_t kPart = 1 << 14;           // elements whose products are summed in one go, whatever the number of threads
constexpr int kLanes = 32;

// x += a * y, if there is a y, then x *= scale; the sum of x * w, if there is a w. One walk over memory.
template <class T>
double walk(T* __restrict x, T a, const T* __restrict y, T scale, const T* __restrict w, int64_t n) {
  T sum[kLanes] = {};
  auto next = [&](int64_t i) {
    const T v = y ? x[i] + a * y[i] : x[i];
    return x[i] = v * scale;
  };
  int64_t i = 0;
  if (w)
    for (; i + kLanes <= n; i += kLanes)
      for (int k = 0; k < kLanes; ++k) sum[k] += next(i + k) * w[i + k];
  double rest = 0;
  for (; i < n; ++i) {
    const T v = next(i);
    if (w) rest += static_cast<double>(v * w[i]);
  }
  double total = 0;
  for (int k = 0; k < kLanes; ++k) total += static_cast<double>(sum[k]);
  return total + rest;
}

template <class T>
struct Direction {
  T* x;
  int64_t n, parts;
  Scratch<double> sums;
  T a = 0, scale = 1;                         // what is still to be done with x: x = (x + a y) scale
  const T* y = nullptr;

  Direction(T* x, int64_t n) : x(x), n(n), parts((n + kPart - 1) / kPart), sums(parts) {}

  // Does it, and returns x . w.
  double dot(const T* w) {
    parallel_for(parts, [&](int64_t p) {
      const int64_t at = p * kPart;
      sums[p] = walk(x + at, a, y ? y + at : nullptr, scale, w ? w + at : nullptr, std::min(kPart, n - at));
    });
    scale = 1;
    y = nullptr;
    double total = 0;
    for (int64_t p = 0; p < parts; ++p) total += sums[p];
    return total;
  }
};

// lbfgs_direction(g, steps..., changes...; n, ro_1, ..., ro_n, H) -> -(H g), and the n coefficients of the first loop.
// Steps s and changes of the gradient y are contiguous and of g's size; ro = 1 / (y . s); H scales the first guess.
void lbfgs_direction_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[0]);
  m[1].dtype = DType::f64;
  m[1].ndim = 1;
  m[1].shape[0] = c.inum(0);
}

void lbfgs_direction_run(const Call& c) {
  const int64_t k = c.inum(0), n = c.in[0]->numel;
  for (int64_t i = 0; i <= 2 * k; ++i)
    if (c.in[i]->numel != n || c.in[i]->dtype != c.in[0]->dtype)
      throw std::runtime_error("LBFGS: the parameters' sizes or types have changed since the steps that it remembers");
  floating(c.in[0]->dtype, "lbfgs_direction", [&](auto z) {
    using T = decltype(z);
    const T* g = c.in[0]->ptr<T>();
    double* al = c.out[1]->ptr<double>();
    Direction<T> x(c.out[0]->ptr<T>(), n);
    parallel_for(x.parts, [&](int64_t p) {
      for (int64_t i = p * kPart; i < std::min(n, (p + 1) * kPart); ++i) x.x[i] = -g[i];
    });
    auto step = [&](int64_t i) { return c.in[1 + i]->ptr<T>(); };
    auto change = [&](int64_t i) { return c.in[1 + k + i]->ptr<T>(); };
    for (int64_t i = k - 1; i >= 0; --i) {
      al[i] = x.dot(step(i)) * c.fnum(static_cast<int>(1 + i));
      x.a = static_cast<T>(-al[i]);
      x.y = change(i);
    }
    x.scale = static_cast<T>(c.fnum(static_cast<int>(1 + k)));
    for (int64_t i = 0; i < k; ++i) {
      const double be = x.dot(change(i)) * c.fnum(static_cast<int>(1 + i));
      x.a = static_cast<T>(al[i] - be);
      x.y = step(i);
    }
    x.dot(nullptr);
  });
}
RL_KERNEL(lbfgs_direction, 2, lbfgs_direction_infer, lbfgs_direction_run)

}  // namespace
}  // namespace rl
