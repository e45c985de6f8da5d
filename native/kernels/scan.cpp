// Running sums, products and extrema along one dimension of a contiguous array.
#include <cmath>
#include <limits>
#include <type_traits>

#include "axis.h"

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
RL_KERNEL(cumsum, 1, same_infer, cumsum_run)

// cumprod(x, dim, reverse)
void cumprod_run(const Call& c) {
  all_types(c.in[0]->dtype, "cumprod_cpu", [&](auto z) {
    using T = decltype(z);
    scan_lines<T, Wide<T>>(c, 1, [](Wide<T> a, T x) { return a * static_cast<Wide<T>>(x); });
  });
}
RL_KERNEL(cumprod, 1, same_infer, cumprod_run)

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
RL_KERNEL(logcumsumexp, 1, same_infer, logcumsumexp_run)

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
