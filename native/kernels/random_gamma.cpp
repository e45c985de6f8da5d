// Gamma, Dirichlet and binomial numbers, drawn as PyTorch draws them, and how the first two depend on their parameters.
#include <limits>

#include "mt19937.h"
#include "special.h"

// A product and a sum are rounded twice, as in PyTorch.
#pragma GCC optimize("fp-contract=off")

namespace rl {
namespace {

// ---- draws ----------------------------------------------------------------------------------------------------------

// Marsaglia and Tsang's method; below 1 the number for alpha + 1 is scaled by a power of a uniform one.
template <class S>
double gamma_of(S alpha, Generator& g) {
  double scale = 1;
  if (alpha < S(1)) {
    if (alpha == S(0)) return 0;
    scale = std::pow(1 - g.uniform(), static_cast<double>(S(1) / alpha));
    alpha += S(1);
  }
  const double d = static_cast<double>(alpha - 1.0f / 3.0f), c = 1 / std::sqrt(9 * d);
  for (;;) {
    double x, y;
    do {
      x = g.normal();
      y = 1 + c * x;
    } while (y <= 0);
    if (y != y) return y;                     // alpha is negative or NaN: no number would ever be accepted
    const double v = y * y * y, u = 1 - g.uniform(), xx = x * x;
    if (u < 1 - static_cast<double>(0.0331f) * xx * xx) return scale * d * v;
    if (std::log(u) < 0.5 * xx + d * (1 - v + std::log(v))) return scale * d * v;
  }
}

void gamma_run(const Call& c) {               // (out, state, alpha), contiguous, of one shape and dtype
  const Array &out = *c.out[0], &alpha = *c.in[0];
  Generator g(*c.out[1]);
  floating(out.dtype, "gamma_cpu", [&](auto z) {
    using T = decltype(z);
    const T *a = alpha.ptr<T>(), least = std::numeric_limits<T>::min();
    for (int64_t i = 0; i < out.numel; ++i) {
      const T v = static_cast<T>(gamma_of(a[i], g));
      out.ptr<T>()[i] = v > least || v != v ? v : least;
    }
  });
}
RL_KERNEL_ANY(random_gamma, 2, nullptr, gamma_run)

void dirichlet_run(const Call& c) {           // the same with rows: gamma numbers in double, divided by their sum
  const Array &out = *c.out[0], &alpha = *c.in[0];
  Generator g(*c.out[1]);
  const int64_t n = out.ndim ? out.shape[out.ndim - 1] : 1;
  floating(out.dtype, "dirichlet", [&](auto z) {
    using T = decltype(z);
    const T least = std::numeric_limits<T>::min(), most = 1 - std::numeric_limits<T>::epsilon() / 2;
    constexpr double tiny = std::numeric_limits<double>::min();
    Scratch<double> row(n);
    for (int64_t at = 0; at < out.numel; at += n) {
      double sum = 0;
      for (int64_t k = 0; k < n; ++k) {
        const double v = gamma_of(static_cast<double>(alpha.ptr<T>()[at + k]), g);
        row[k] = v > tiny || v != v ? v : tiny;
        sum += row[k];
      }
      for (int64_t k = 0; k < n; ++k) {
        const T v = static_cast<T>(row[k] / sum);
        out.ptr<T>()[at + k] = v > most ? most : v > least ? v : least;
      }
    }
  });
}
RL_KERNEL_ANY(random_dirichlet, 2, nullptr, dirichlet_run)

// log k! less Stirling's formula.
double stirling_rest(double k) {
  static constexpr double first[] = {0.0810614667953272, 0.0413406959554092, 0.0276779256849983, 0.02079067210376509,
                                     0.0166446911898211, 0.0138761288230707, 0.0118967099458917, 0.0104112652619720,
                                     0.00925546218271273, 0.00833056343336287};
  if (k <= 9) return first[static_cast<int>(k)];
  const double square = (k + 1) * (k + 1);
  return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1);
}

// Hoermann's transformed rejection (BTRS, 1993), p <= 1/2 and n p >= 10.
template <class S>
double binomial_rejection(S n, S p, Generator& g) {
  const double spread = std::sqrt(n * p * (1 - p));
  const double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5, v_r = 0.92 - 4.2 / b;
  const double odds = p / (1 - p), alpha = (2.83 + 5.1 / b) * spread, m = std::floor((n + 1) * p), count = n;
  for (;;) {
    const double u = g.uniform() - 0.5, v = g.uniform(), us = 0.5 - std::fabs(u);
    const double k = std::floor((2 * a / us + b) * u + c);
    if (k < 0 || k > count) continue;
    if (us >= 0.07 && v <= v_r) return k;
    const double bound = (m + 0.5) * std::log((m + 1) / (odds * (count - m + 1))) +
                         (count + 1) * std::log((count - m + 1) / (count - k + 1)) +
                         (k + 0.5) * std::log(odds * (count - k + 1) / (k + 1)) + stirling_rest(m) + stirling_rest(count - m) -
                         stirling_rest(k) - stirling_rest(count - k);
    if (std::log(v * alpha / (a / (us * us) + b)) <= bound) return k;
  }
}

// Successes are as far apart as geometric numbers say.
template <class S>
double binomial_steps(S n, S p, Generator& g) {
  const double log_q = std::log1p(-p), count = n;
  double at = 0;
  for (double successes = 0;; ++successes) {
    at += std::ceil(std::log(g.uniform()) / log_q);
    if (!(at <= count)) return successes;
  }
}

template <class S>
double binomial_of(S n, S p, Generator& g) {
  if (n <= 0 || p <= 0) return 0;
  if (p >= 1) return n;
  if (p != p || n != n) return std::numeric_limits<double>::quiet_NaN();
  const bool other = p > S(0.5);
  const S q = other ? static_cast<S>(1.0 - p) : p;
  const double k = n * q >= 10 ? binomial_rejection(n, q, g) : binomial_steps(n, q, g);
  return other ? n - k : k;
}

void binomial_run(const Call& c) {            // (out, state, count, prob), contiguous, of one shape and dtype
  const Array &out = *c.out[0], &count = *c.in[0], &prob = *c.in[1];
  Generator g(*c.out[1]);
  floating(out.dtype, "binomial_cpu", [&](auto z) {
    using T = decltype(z);
    for (int64_t i = 0; i < out.numel; ++i)
      out.ptr<T>()[i] = static_cast<T>(binomial_of(count.ptr<T>()[i], prob.ptr<T>()[i], g));
  });
}
RL_KERNEL_ANY(random_binomial, 2, nullptr, binomial_run)

// ---- how a draw moves with its parameter ---------------------------------------------------------------------------
// The derivative of a draw at a fixed quantile, -(dF/d alpha) / f (Jankowiak and Obermeyer, 2018). Approximations: PyTorch's own,
// so that training gives its numbers.

double gamma_slope(double alpha, double x) {
  if (x < static_cast<double>(0.8f)) {        // the series of F
    double term = 1, below = alpha, first = term / below, second = term / (below * below);
    for (int i = 1; i <= 5; ++i) {
      term *= -x / i;
      below += 1;
      first += term / below;
      second += term / (below * below);
    }
    const double power = std::pow(x, alpha), density = std::pow(x, alpha - 1) * std::exp(-x);
    const double slope = (std::log(x) - digamma_of(alpha)) * power * first - power * second, result = -slope / density;
    return result == result ? result : 0;
  }
  if (alpha > 8) {                            // Rice's expansion at the saddle point
    if (static_cast<double>(0.9f) * alpha <= x && x <= static_cast<double>(1.1f) * alpha) {
      const double a = 1 + 24 * alpha * (1 + 12 * alpha);
      const double b = 1440 * (alpha * alpha) + 6 * x * (53 - 120 * x) - 65 * x * x / alpha + alpha * (107 + 3600 * x);
      return a * b / (1244160 * (alpha * alpha) * (alpha * alpha));
    }
    const double root = std::sqrt(8 * alpha), second = root / (alpha - x);
    const double third = std::pow(x - alpha - alpha * std::log(x / alpha), -1.5);
    const double both = x < alpha ? second - third : second + third;
    const double first = std::log(x / alpha) * both - std::sqrt(2 / alpha) * (alpha + x) / ((alpha - x) * (alpha - x));
    return -(1 + 1 / (12 * alpha) * (1 + 1 / (24 * alpha))) * x * first / root;
  }
  static constexpr double k[3][8] = {
      {0.16009398, -0.094634809, 0.025146376, -0.0030648343, 1, 0.32668115, 0.10406089, 0.0014179084},
      {0.53487893, 0.1298071, 0.065735949, -0.0015649758, 0.16639465, 0.020070113, -0.0035938915, -0.00058392623},
      {0.040121004, -0.0065914022, -0.0026286047, -0.0013441777, 0.017050642, -0.0021309326, 0.00085092367, -1.5247877e-07}};
  const double u = std::log(x / alpha), v = std::log(alpha);
  double at[8];
  for (int i = 0; i < 8; ++i) at[i] = k[0][i] + u * (k[1][i] + u * k[2][i]);
  return std::exp((at[0] + v * (at[1] + v * (at[2] + v * at[3]))) / (at[4] + v * (at[5] + v * (at[6] + v * at[7]))));
}

// Of a beta number with respect to alpha, by the series of F near 0.
double beta_slope_small(double x, double alpha, double beta) {
  const double factor = digamma_of(alpha) - digamma_of(alpha + beta) - std::log(x);
  double term = 1, series = 1 / alpha * (factor + 1 / alpha);
  for (int i = 1; i <= 10; ++i) {
    term *= (i - beta) * x / i;
    series += term / (alpha + i) * (factor + 1 / (alpha + i));
  }
  const double result = x * std::pow(1 - x, -beta) * series;
  return result == result ? result : 0;
}

// The same with respect to beta.
double other_beta_slope_small(double x, double alpha, double beta) {
  const double factor = digamma_of(alpha + beta) - digamma_of(beta);
  double term = 1, betas = 1, slopes = 0, series = factor / alpha;
  for (int i = 1; i <= 8; ++i) {
    term *= -x / i;
    slopes = slopes * (beta - i) + betas;
    betas *= beta - i;
    series += term / (alpha + i) * (slopes + factor * betas);
  }
  const double result = -std::pow(1 - x, 1 - beta) * series;
  return result == result ? result : 0;
}

// Both parameters large: Rice's expansion at the saddle point.
double beta_slope_large(double x, double alpha, double beta) {
  const double total = alpha + beta, mean = alpha / total, spread = std::sqrt(alpha * beta / (total + 1)) / total;
  if (mean - 0.1 * spread <= x && x <= mean + 0.1 * spread) {
    const double b2 = beta * beta;
    const double p1 = (453 + 1620 * beta * (1 - x) - 455 * x) * beta + alpha * (8 * (1 - x) * (135 * beta - 11));
    const double p2 = 3 * (59 + 180 * beta - 90 * x) * b2 + alpha * p1;
    const double p = 47 * x * b2 * b2 + alpha * ((43 + 20 * (16 + 27 * beta) * x) * b2 * beta + alpha * p2);
    const double above = (1 + 12 * alpha) * (1 + 12 * beta) / (total * total);
    return above / (1 - x) * p / (12960 * alpha * alpha * alpha * b2 * (1 + 12 * total));
  }
  auto stirling = [](double v) { return 1 + 1 / (12 * v) + 1 / (288 * v * v); };
  const double scale = -x / std::sqrt(2 * alpha * beta / total) * (stirling(alpha) * stirling(beta) / stirling(total));
  const double off = alpha * (x - 1) + beta * x;
  const double first = (2 * (alpha * alpha) * (x - 1) + alpha * beta * (x - 1) - x * (beta * beta)) /
                       (std::sqrt(2 * alpha / beta) * std::pow(total, 1.5) * off * off);
  const double second = 0.5 * std::log(alpha / (total * x)), third = std::sqrt(8 * alpha * beta / total) / off;
  const double fourth = std::pow(beta * std::log(beta / (total * (1 - x))) + alpha * std::log(alpha / (total * x)), -1.5);
  return scale * (first + second * (third + (x < mean ? fourth : -fourth)));
}

// -(dF/d alpha) / f / (1 - x) of Beta(alpha, total - alpha).
double dirichlet_slope(double x, double alpha, double total) {
  const double beta = total - alpha, edge = total * x * (1 - x);
  if (x <= 0.5 && edge < 2.5) return beta_slope_small(x, alpha, beta);
  if (x >= 0.5 && edge < 0.75) return -other_beta_slope_small(1 - x, beta, alpha);
  if (alpha > 6 && beta > 6) return beta_slope_large(x, alpha, beta);
  static constexpr double k[2][3][3][4] = {
      {{{1.003668233, -0.01061107488, -0.0657888334, 0.01201642863},
        {0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033},
        {-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013}},
       {{0.221950385, -0.3187676331, 0.01799915743, 0.01074823814},
        {-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057},
        {0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05}},
       {{-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565},
        {0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181},
        {0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05}}},
      {{{1, -0.02924021934, -0.04438342661, 0.007285809825},
        {0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521},
        {-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149}},
       {{0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273},
        {0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956},
        {-0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05}},
       {{0.06469649321, -0.0236701437, 0.002902096474, -5.896963079e-05},
        {0.001925008108, -0.002869809258, 0.0008000589141, -6.063713228e-05},
        {-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06}}}};
  const double u = std::log(x), a = std::log(alpha) - u, b = std::log(total) - a;
  const double us[] = {1, u, u * u}, as[] = {1, a, a * a};
  double sums[2] = {0, 0};
  for (int side = 0; side < 2; ++side)
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) {
        const double* w = k[side][i][j];
        sums[side] += us[i] * as[j] * (w[0] + b * (w[1] + b * (w[2] + b * w[3])));
      }
  return sums[0] / sums[1] * (x * (digamma_of(total) - digamma_of(alpha)) / beta);
}

template <class T, class F>
void each_slope(const Call& c, const F& fn) {
  T* out = c.out[0]->ptr<T>();
  for (int64_t i = 0; i < c.out[0]->numel; ++i) out[i] = static_cast<T>(fn(i));
}

void first_like(const Call& c, Meta* m) { m[0].like(*c.in[0]); }

void gamma_grad_run(const Call& c) {          // (alpha, draw), contiguous
  floating(c.out[0]->dtype, "_standard_gamma_grad_cpu", [&](auto z) {
    using T = decltype(z);
    const T *alpha = c.in[0]->ptr<T>(), *x = c.in[1]->ptr<T>();
    each_slope<T>(c, [=](int64_t i) { return gamma_slope(static_cast<double>(alpha[i]), static_cast<double>(x[i])); });
  });
}
RL_KERNEL(gamma_grad, 1, first_like, gamma_grad_run)

void dirichlet_grad_run(const Call& c) {      // (draw, alpha, total), contiguous
  floating(c.out[0]->dtype, "_dirichlet_grad_cpu", [&](auto z) {
    using T = decltype(z);
    const T *x = c.in[0]->ptr<T>(), *alpha = c.in[1]->ptr<T>(), *total = c.in[2]->ptr<T>();
    each_slope<T>(c, [=](int64_t i) {
      return dirichlet_slope(static_cast<double>(x[i]), static_cast<double>(alpha[i]), static_cast<double>(total[i]));
    });
  });
}
RL_KERNEL(dirichlet_grad, 1, first_like, dirichlet_grad_run)

}  // namespace
}  // namespace rl
