// Variances and means over dimensions.
#include "reduce.h"

namespace rl {
namespace {

// var_mean(x, mask, keepdim, correction): two passes in double precision, so no cancellation.
void var_mean_infer(const Call& c, Meta* m) {
  reduce_shape(c, m);
  reduce_shape(c, m + 1);
}

// Sums of x and of x * x over the rows, after subtracting shift[j], for w neighbouring columns.
template <class T>
void moments(const T* s, int64_t rows, int64_t step, int64_t w, const double* shift, double* sum, double* squares) {
  for (int64_t j = 0; j < w; ++j) sum[j] = squares[j] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const T* row = s + r * step;
    for (int64_t j = 0; j < w; ++j) {
      const double d = static_cast<double>(row[j]) - shift[j];
      sum[j] += d;
      squares[j] += d * d;
    }
  }
}

// The same for one contiguous line, in 8 lanes.
template <class T>
void line_moments(const T* s, int64_t n, double shift, double* sum, double* squares) {
  double a[8] = {}, b[8] = {};
  int64_t i = 0;
  for (; i + 8 <= n; i += 8)
    for (int k = 0; k < 8; ++k) {
      const double d = static_cast<double>(s[i + k]) - shift;
      a[k] += d;
      b[k] += d * d;
    }
  for (; i < n; ++i) {
    const double d = static_cast<double>(s[i]) - shift;
    a[i % 8] += d;
    b[i % 8] += d * d;
  }
  *sum = *squares = 0;
  for (int k = 0; k < 8; ++k) {
    *sum += a[k];
    *squares += b[k];
  }
}

void var_mean_run(const Call& c) {
  const Array& a = *c.in[0];
  const double correction = c.fnum(2);
  floating(a.dtype, "std_var_kernel", [&](auto z) {
    using T = decltype(z);
    with_form<T>(a, static_cast<uint64_t>(c.inum(0)), [&](const T* p, const Form& f) {
      T *var = c.out[0]->ptr<T>(), *mean = c.out[1]->ptr<T>();
      const double n = static_cast<double>(f.reduced), dof = n - correction > 0 ? n - correction : 0;
      // The first pass finds the means, the second sums squares of what is left around them; its own small sum
      // takes out the rounding of the mean.
      constexpr int64_t kStrip = 128;
      for_strips<kStrip>(f, [&](int64_t o, int64_t j0, int64_t w) {
        double shift[kStrip], sum[kStrip], squares[kStrip];
        const T* s = p + o * f.reduced * f.inner + j0;
        for (int64_t j = 0; j < w; ++j) shift[j] = 0;
        for (int pass = 0; pass < 2; ++pass) {
          if (f.inner == 1) line_moments(s, f.reduced, shift[0], sum, squares);
          else moments(s, f.reduced, f.inner, w, shift, sum, squares);
          if (pass == 0)
            for (int64_t j = 0; j < w; ++j) shift[j] = sum[j] / n;
        }
        for (int64_t j = 0; j < w; ++j) {
          mean[o * f.inner + j0 + j] = static_cast<T>(shift[j] + sum[j] / n);
          var[o * f.inner + j0 + j] = static_cast<T>((squares[j] - sum[j] * sum[j] / n) / dof);
        }
      });
    });
  });
}
RL_KERNEL(var_mean, 2, var_mean_infer, var_mean_run)

}  // namespace
}  // namespace rl
