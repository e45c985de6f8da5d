// Running sums, products and extrema along one dimension of a contiguous array.
#include <cmath>
#include <limits>
#include <type_traits>

#include "axis.h"
#include "slices.h"

namespace rl {
namespace {

void same_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

// Calls fold(accumulator, element) along the dimension, from the end if `reverse`, and stores every value.
template <class T, class Acc, class F>
void scan_lines(const Call& c, Acc start, const F& fold) {
  const Array &out = *c.out[0], &x = *c.in[0];
  const Axis axis(x, c.inum(0));
  const bool reverse = c.nnum > 1 && c.inum(1);
  const T* s = x.ptr<T>();
  T* o = out.ptr<T>();
  axis.each_line([&](int64_t at) {
    Acc acc = start;
    for (int64_t k = 0; k < axis.n; ++k) {
      const int64_t i = at + (reverse ? axis.n - 1 - k : k) * axis.inner;
      acc = fold(acc, s[i]);
      o[i] = static_cast<T>(acc);
    }
  });
}

// Float32 lines are summed in float64, as PyTorch does.
template <class T>
using Wide = std::conditional_t<std::is_floating_point_v<T>, double, int64_t>;

// cumsum(x, dim, reverse)
void cumsum_run(const Call& c) {
  all_types(c.in[0]->dtype, "cumsum_cpu", [&](auto z) {
    using T = decltype(z);
    scan_lines<T, Wide<T>>(c, 0, [](Wide<T> a, T x) { return a + static_cast<Wide<T>>(x); });
  });
}
RL_KERNEL_SLICES(cumsum, 1, same_infer, cumsum_run, 0b11, 0, 0)

// cumprod(x, dim, reverse)
void cumprod_run(const Call& c) {
  all_types(c.in[0]->dtype, "cumprod_cpu", [&](auto z) {
    using T = decltype(z);
    scan_lines<T, Wide<T>>(c, 1, [](Wide<T> a, T x) { return a * static_cast<Wide<T>>(x); });
  });
}
RL_KERNEL_SLICES(cumprod, 1, same_infer, cumprod_run, 0b11, 0, 0)

// cumprod_backward(g, x, out, dim, reverse), all contiguous: the gradient of a running product, without a division by zero.
// What comes after a zero has no influence, and the zero itself that of the products with a 1 in its place.
void cumprod_backward_run(const Call& c) {
  const Array& x_ = *c.in[1];
  const Axis axis(x_, c.inum(0));
  const bool reverse = c.inum(1);
  floating(x_.dtype, "cumprod_backward", [&](auto z) {
    using T = decltype(z);
    const T *g = c.in[0]->ptr<T>(), *x = x_.ptr<T>(), *y = c.in[2]->ptr<T>();
    T* o = c.out[0]->ptr<T>();
    axis.each_line([&](int64_t line) {
      auto at = [&](int64_t k) { return line + (reverse ? axis.n - 1 - k : k) * axis.inner; };
      int64_t zero = 0;
      while (zero < axis.n && x[at(zero)] != T(0)) ++zero;
      double product = zero > 0 ? static_cast<double>(y[at(zero - 1)]) : 1, sum = 0;
      for (int64_t k = zero; k < axis.n; ++k) {
        if (k > zero) product *= static_cast<double>(x[at(k)]);
        sum += static_cast<double>(g[at(k)]) * product;
        o[at(k)] = T(0);
      }
      if (zero < axis.n) o[at(zero)] = static_cast<T>(sum);
      sum = 0;
      for (int64_t k = zero - 1; k >= 0; --k) {
        sum += static_cast<double>(g[at(k)] * y[at(k)]);
        o[at(k)] = static_cast<T>(sum) / x[at(k)];
      }
    });
  });
}
RL_KERNEL(cumprod_backward, 1, same_infer, cumprod_backward_run)

// prod_backward(g, x, out, dim), all contiguous: the gradient of products along a dimension; of a zero, the product of the others
void prod_backward_infer(const Call& c, Meta* m) { m->like(*c.in[1]); }

void prod_backward_run(const Call& c) {
  const Array& x_ = *c.in[1];
  const Axis axis(x_, c.inum(0));
  floating(x_.dtype, "prod_backward", [&](auto z) {
    using T = decltype(z);
    const T *g = c.in[0]->ptr<T>(), *x = x_.ptr<T>(), *y = c.in[2]->ptr<T>();
    T* o = c.out[0]->ptr<T>();
    axis.each_line([&](int64_t line) {
      const int64_t l = line / (axis.n * axis.inner) * axis.inner + line % axis.inner;
      int64_t zeros = 0, last = 0;
      double others = 1;
      for (int64_t k = 0; k < axis.n; ++k) {
        const T v = x[line + k * axis.inner];
        if (v == T(0)) ++zeros, last = k;
        else others *= static_cast<double>(v);
      }
      const T whole = g[l] * y[l];
      for (int64_t k = 0; k < axis.n; ++k) {
        const int64_t i = line + k * axis.inner;
        o[i] = zeros == 0 ? whole / x[i] : zeros == 1 && k == last ? static_cast<T>(static_cast<double>(g[l]) * others) : T(0);
      }
    });
  });
}
RL_KERNEL(prod_backward, 1, prod_backward_infer, prod_backward_run)

// logcumsumexp(x, dim, reverse)
void logcumsumexp_run(const Call& c) {
  floating(c.in[0]->dtype, "logcumsumexp_out_cpu", [&](auto z) {
    using T = decltype(z);
    scan_lines<T, double>(c, -std::numeric_limits<double>::infinity(), [](double a, T x) {
      const double v = static_cast<double>(x), low = a < v ? a : v, high = a < v ? v : a;
      if (a != a || v != v) return a + v;
      if (low == high && std::isinf(low)) return low;
      return high + std::log1p(std::exp(low - high));
    });
  });
}
RL_KERNEL_SLICES(logcumsumexp, 1, same_infer, logcumsumexp_run, 0b11, 0, 0)

// cumextreme(x, dim, maximum): running extrema and their positions, the last of equal ones; NaN stays
void cumextreme_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[0]);
  m[1].like(*c.in[0]);
  m[1].dtype = DType::i64;
}

void cumextreme_run(const Call& c) {
  const Array& x = *c.in[0];
  const Axis axis(x, c.inum(0));
  const bool maximum = c.inum(1);
  all_types(x.dtype, "cummax_cummin", [&](auto z) {
    using T = decltype(z);
    const T* s = x.ptr<T>();
    T* values = c.out[0]->ptr<T>();
    int64_t* where = c.out[1]->ptr<int64_t>();
    axis.each_line([&](int64_t at) {
      if (axis.n == 0) return;
      T best = s[at];
      int64_t from = 0;
      for (int64_t k = 0; k < axis.n; ++k) {
        const int64_t i = at + k * axis.inner;
        const T v = s[i];
        if (v != v || (best == best && (maximum ? v >= best : v <= best))) {
          best = v;
          from = k;
        }
        values[i] = best;
        where[i] = from;
      }
    });
  });
}
RL_KERNEL(cumextreme, 2, cumextreme_infer, cumextreme_run)

}  // namespace
}  // namespace rl
