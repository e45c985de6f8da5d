// Bessel's and Airy's functions, and orthogonal polynomials. All compute in double precision.
#include <cmath>
#include <limits>

#include "pointwise.h"

namespace rl {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kEuler = 0.57721566490153286061;

// e^-|x| I(x) of order 0 or 1, by the power series, beyond 30 by the asymptotic one.
double scaled_i(int order, double x) {
  const double a = std::fabs(x), sign = order == 1 && std::signbit(x) ? -1 : 1;
  if (a != a) return a;
  if (a <= 30) {
    double term = order == 0 ? 1 : a / 2, total = term;
    for (int k = 1; k < 200 && term > 1e-17 * total; ++k) {
      term *= a * a / (4.0 * k * (k + order));
      total += term;
    }
    return sign * total * std::exp(-a);
  }
  if (std::isinf(a)) return 0 * sign;
  double term = 1, total = 1;
  for (int k = 1; k < 30; ++k) {
    term *= ((2.0 * k - 1) * (2.0 * k - 1) - 4.0 * order) / (8.0 * k * a);
    total += term;
  }
  return sign * total / std::sqrt(2 * M_PI * a);
}

// e^x K(x), the integral of exp(-x (cosh t - 1)) cosh(order t) over t > 0. The trapezoidal rule loses nothing: the integrand is
// analytic and falls faster than any exponential.
double scaled_k_integral(double order, double x) {
  const double step = std::fmin(0.2, std::sqrt(0.5 / x));
  double sum = 0.5;
  for (int k = 1; k < 400; ++k) {
    const double t = k * step, half = std::sinh(t / 2), term = std::exp(-2 * x * half * half) * std::cosh(order * t);
    sum += term;
    if (term < 1e-18 * sum) break;
  }
  return sum * step;
}

// K(x) of order 0 or 1, times e^x if it is scaled: by the power series up to 2, else as above.
double modified_k(int order, double x, bool scaled) {
  if (!(x >= 0)) return kNan;
  if (x == 0) return std::numeric_limits<double>::infinity();
  if (std::isinf(x)) return 0;
  if (x > 2) return scaled_k_integral(order, x) * (scaled ? 1 : std::exp(-x));
  const double q = x * x / 4, log_half = std::log(x / 2);
  double term = 1, i = 0, rest = 0, psi = -kEuler;  // of k + 1
  for (int k = 0; k < 30; ++k) {
    i += term;
    rest += term * (order == 0 ? psi : 2 * psi + 1.0 / (k + 1));
    psi += 1.0 / (k + 1);
    term *= q / ((k + 1.0) * (k + 1.0 + order));
  }
  const double value = order == 0 ? rest - log_half * i : 1 / x + log_half * i * x / 2 - x / 4 * rest;
  return scaled ? value * std::exp(x) : value;
}

// Ai(x): Maclaurin's series near 0; K of order 1/3 above; the asymptotic series far below.
double airy(double x) {
  if (!std::isfinite(x)) return kNan;
  const double zeta = 2.0 / 3.0 * std::pow(std::fabs(x), 1.5);
  if (x > 2) return std::sqrt(x / 3) / M_PI * std::exp(-zeta) * scaled_k_integral(1.0 / 3.0, zeta);
  if (x >= -8) {
    const double cube = x * x * x;
    double f = 1, g = x, even = 1, odd = x;
    for (int k = 0; k < 100; ++k) {
      even *= cube / ((3.0 * k + 2) * (3.0 * k + 3));
      odd *= cube / ((3.0 * k + 3) * (3.0 * k + 4));
      f += even;
      g += odd;
      if (std::fabs(even) < 1e-18 * std::fabs(f) && std::fabs(odd) < 1e-18 * std::fabs(g)) break;
    }
    return 0.355028053887817239 * f - 0.258819403792806798 * g;
  }
  double u = 1, sums[2] = {1, 0};
  for (int k = 1; k < 20; ++k) {
    u *= (6.0 * k - 5) * (6.0 * k - 3) * (6.0 * k - 1) / (216.0 * k * (2.0 * k - 1)) / zeta;
    sums[k & 1] += (k / 2) & 1 ? -u : u;
  }
  const double angle = zeta - M_PI / 4;
  return (std::cos(angle) * sums[0] + std::sin(angle) * sums[1]) / (std::sqrt(M_PI) * std::sqrt(std::sqrt(-x)));
}

double sinc_of(double x) {
  if (std::isinf(x)) return 0;
  return std::fabs(x) < 1e-8 ? (x != x ? x : 1) : std::sin(x) / x;
}

#define RL_OF_DOUBLE(name_, value_)                      \
  struct name_##_of {                                    \
    template <class T>                                   \
    static T op(T v) {                                   \
      const double x = static_cast<double>(v);           \
      return static_cast<T>(value_);                     \
    }                                                    \
  };                                                     \
  RL_UNARY(name_, to_float, name_##_of, RL_FLOAT)

RL_OF_DOUBLE(i0e, scaled_i(0, x))
RL_OF_DOUBLE(i1e, scaled_i(1, x))
RL_OF_DOUBLE(i1, scaled_i(1, x) * std::exp(std::fabs(x)))
RL_OF_DOUBLE(modified_bessel_k0, modified_k(0, x, false))
RL_OF_DOUBLE(modified_bessel_k1, modified_k(1, x, false))
RL_OF_DOUBLE(scaled_modified_bessel_k0, modified_k(0, x, true))
RL_OF_DOUBLE(scaled_modified_bessel_k1, modified_k(1, x, true))
RL_OF_DOUBLE(bessel_j0, std::isinf(x) ? kNan : ::j0(x))
RL_OF_DOUBLE(bessel_j1, std::isinf(x) ? kNan : ::j1(x))
RL_OF_DOUBLE(bessel_y0, x < 0 || std::isinf(x) ? kNan : ::y0(x))
RL_OF_DOUBLE(bessel_y1, x < 0 || std::isinf(x) ? kNan : ::y1(x))
RL_OF_DOUBLE(airy_ai, airy(x))
RL_OF_DOUBLE(spherical_bessel_j0, sinc_of(x))

// ---- polynomials: (x, n), n cut to an integer; 0 for negative n -----------------------------------------------------

// p(k + 1) = next(k, p(k), p(k - 1)), from p(0) = 1 and p(1).
template <class F>
double recurrence(int64_t n, double first, const F& next) {
  if (n < 0) return 0;
  if (n == 0) return 1;
  double before = 1, p = first;
  for (int64_t k = 1; k < n && p == p; ++k) {
    const double after = next(static_cast<double>(k), p, before);
    before = p;
    p = after;
  }
  return p;
}

inline double alternating(int64_t n, double v) { return n & 1 ? -v : v; }

// The four kinds of Chebyshev's polynomials. Between the ends long recurrences are left to their trigonometric forms.
enum ChebyshevKind { kFirst, kSecond, kThird, kFourth };

double chebyshev(ChebyshevKind kind, double x, int64_t n) {
  if (n < 0) return 0;
  const double m = static_cast<double>(n), wide = 2 * m + 1;
  if (x == 1) return kind == kFirst || kind == kThird ? 1 : kind == kSecond ? m + 1 : wide;
  if (x == -1) return alternating(n, kind == kFirst || kind == kFourth ? 1 : kind == kSecond ? m + 1 : wide);
  if (n > 8 && std::fabs(x) < 1) {
    const double angle = std::acos(x);
    switch (kind) {
      case kFirst: return std::cos(m * angle);
      case kSecond: return std::sin((m + 1) * angle) / std::sin(angle);
      case kThird: return std::cos((m + 0.5) * angle) / std::cos(angle / 2);
      default: return std::sin((m + 0.5) * angle) / std::sin(angle / 2);
    }
  }
  const double first = kind == kFirst ? x : kind == kSecond ? 2 * x : kind == kThird ? 2 * x - 1 : 2 * x + 1;
  return recurrence(n, first, [x](double, double p, double before) { return 2 * x * p - before; });
}

double hermite(double x, int64_t n, double scale, int64_t most) {
  if (n > most) return kNan;
  return recurrence(n, scale * x, [=](double k, double p, double before) { return scale * (x * p - k * before); });
}

double laguerre(double x, int64_t n) {
  if (x == 0) return n < 0 ? 0 : 1;
  return recurrence(n, 1 - x, [x](double k, double p, double before) { return ((2 * k + 1 - x) * p - k * before) / (k + 1); });
}

double legendre(double x, int64_t n) {
  if (n >= 0 && std::fabs(x) == 1) return x > 0 ? 1 : alternating(n, 1);
  return recurrence(n, x, [x](double k, double p, double before) { return ((2 * k + 1) * x * p - k * before) / (k + 1); });
}

// The largest degree of Hermite's polynomials that PyTorch computes.
template <class T>
constexpr int64_t kMostHermite = std::is_same_v<T, float> ? 128 : 512;

#define RL_POLYNOMIAL(name_, value_)                                                                       \
  struct name_##_of {                                                                                      \
    template <class T>                                                                                     \
    static T op(T v, T degree) {                                                                           \
      if (degree != degree) return degree;                                                                 \
      const double x = static_cast<double>(v);                                                             \
      const auto n = degree > T(9e15) ? int64_t{9000000000000000} : degree < T(0) ? int64_t{-1} : static_cast<int64_t>(degree); \
      return static_cast<T>(value_);                                                                       \
    }                                                                                                      \
  };                                                                                                       \
  RL_BINARY(name_, to_float, name_##_of, RL_FLOAT)

RL_POLYNOMIAL(chebyshev_polynomial_t, chebyshev(kFirst, x, n))
RL_POLYNOMIAL(chebyshev_polynomial_u, chebyshev(kSecond, x, n))
RL_POLYNOMIAL(chebyshev_polynomial_v, chebyshev(kThird, x, n))
RL_POLYNOMIAL(chebyshev_polynomial_w, chebyshev(kFourth, x, n))
RL_POLYNOMIAL(shifted_chebyshev_polynomial_t, chebyshev(kFirst, 2 * x - 1, n))
RL_POLYNOMIAL(shifted_chebyshev_polynomial_u, chebyshev(kSecond, 2 * x - 1, n))
RL_POLYNOMIAL(shifted_chebyshev_polynomial_v, chebyshev(kThird, 2 * x - 1, n))
RL_POLYNOMIAL(shifted_chebyshev_polynomial_w, chebyshev(kFourth, 2 * x - 1, n))
RL_POLYNOMIAL(hermite_polynomial_h, hermite(x, n, 2, kMostHermite<T>))
RL_POLYNOMIAL(hermite_polynomial_he, hermite(x, n, 1, kMostHermite<T>))
RL_POLYNOMIAL(laguerre_polynomial_l, laguerre(x, n))
RL_POLYNOMIAL(legendre_polynomial_p, legendre(x, n))

}  // namespace
}  // namespace rl
