// Special functions, and functions of integers.
#include <cmath>
#include <limits>
#include <numeric>
#include <type_traits>

#include "pointwise.h"
#include "special.h"

namespace rl {
namespace {

// Hurwitz's zeta function, by Euler and Maclaurin's formula (Cephes, zeta.c).
double zeta_of(double x, double q) {
  static const double a[] = {12.0, -720.0, 30240.0, -1209600.0, 47900160.0, -1.8924375803183791606e9, 7.47242496e10,
                             -2.950130727918164224e12, 1.1646782814350067249e14, -4.5979787224074726105e15,
                             1.8152105401943546773e17, -7.1661652561756670113e18};
  if (x == 1) return std::numeric_limits<double>::infinity();
  if (x < 1) return std::numeric_limits<double>::quiet_NaN();
  if (q <= 0) {
    if (q == std::floor(q)) return std::numeric_limits<double>::infinity();
    if (x != std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
  }
  if (q == std::numeric_limits<double>::infinity()) return 0;
  double s = std::pow(q, -x), at = q, b = 0;
  int i = 0;
  while (i < 9 || at <= 9.0) {
    ++i;
    at += 1;
    b = std::pow(at, -x);
    s += b;
    if (std::fabs(b) < 1.11e-16 * std::fabs(s)) return s;
  }
  const double w = at;
  s += b * w / (x - 1) - 0.5 * b;
  double factor = 1, k = 0;
  for (int j = 0; j < 12; ++j) {
    factor *= x + k;
    b /= w;
    const double t = factor * b / a[j];
    s += t;
    if (std::fabs(t / s) < 1.11e-16) break;
    k += 1;
    factor *= x + k;
    b /= w;
    k += 1;
  }
  return s;
}

// x^a e^-x / gamma(a + 1), without the cancellation of its logarithm where a is large.
double gamma_density(double a, double x) {
  if (a < 20) return std::exp(a * std::log(x) - x - std::lgamma(a + 1));
  const double mu = (x - a) / a, r = 1 / a;
  const double rest = r * (1.0 / 12 - r * r * (1.0 / 360 - r * r * (1.0 / 1260 - r * r / 1680)));
  return std::exp(-a * (mu - std::log1p(mu)) - rest) / std::sqrt(2 * M_PI * a);
}

// The part above a small x, of small a, where it is not 1 less the part below to many digits.
double upper_gamma_near_zero(double a, double x) {
  double factor = 1, sum = 0;
  for (int n = 1; n < 200; ++n) {
    factor *= -x / n;
    const double term = factor / (a + n);
    sum += term;
    if (std::fabs(term) < 1e-17 * std::fabs(sum)) break;
  }
  const double log_x = std::log(x), log_gamma = a < 1e-9 ? -0.57721566490153286 * a : std::lgamma(a + 1);
  return -std::expm1(a * log_x - log_gamma) - std::exp(a * log_x - log_gamma) * a * sum;
}

// The regularised incomplete gamma function from 0 to x, or from x up: the power series where x is small, else the continued
// fraction (Lentz's method). Both need some multiple of sqrt(a) terms near x = a.
double incomplete_gamma(double a, double x, bool upper) {
  if (!(a >= 0 && x >= 0)) return std::numeric_limits<double>::quiet_NaN();
  if (a == 0) return x > 0 ? !upper : std::numeric_limits<double>::quiet_NaN();
  if (x == 0) return upper;
  if (std::isinf(a)) return std::isinf(x) ? std::numeric_limits<double>::quiet_NaN() : upper;
  if (std::isinf(x)) return !upper;
  if (upper && x <= 1.1 && a < (x <= 0.5 ? -0.4 / std::log(x) : 1.1 * x)) return upper_gamma_near_zero(a, x);
  const double density = gamma_density(a, x);
  constexpr int kMost = 1000000;
  if (x < a + 1) {
    double term = 1, sum = 1;
    for (int k = 1; k < kMost && term > 1e-17 * sum; ++k) {
      term *= x / (a + k);
      sum += term;
    }
    return upper ? 1 - density * sum : density * sum;
  }
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int k = 1; k < kMost; ++k) {
    const double up = -k * (k - a);
    b += 2;
    d = up * d + b;
    c = b + up / c;
    d = 1 / (std::fabs(d) < 1e-300 ? 1e-300 : d);
    c = std::fabs(c) < 1e-300 ? 1e-300 : c;
    h *= d * c;
    if (std::fabs(d * c - 1) < 1e-16) break;
  }
  return upper ? density * a * h : 1 - density * a * h;
}

struct Igamma {
  template <class T>
  static T op(T a, T x) { return static_cast<T>(incomplete_gamma(static_cast<double>(a), static_cast<double>(x), false)); }
};
RL_BINARY(igamma, to_float, Igamma, RL_FLOAT)

struct Igammac {
  template <class T>
  static T op(T a, T x) { return static_cast<T>(incomplete_gamma(static_cast<double>(a), static_cast<double>(x), true)); }
};
RL_BINARY(igammac, to_float, Igammac, RL_FLOAT)

// Where the forms of special.h are right: the C library's and the ones above take the others.
struct Positive {
  static bool usual(float x) { return (x > 0.0f) & (x <= std::numeric_limits<float>::max()); }
};

struct Digamma : Positive {
  static float fast(float x) { return positive_digamma(x); }
  template <class T>
  static T op(T x) {
    return static_cast<T>(digamma_of(static_cast<double>(x)));
  }
};
RL_UNARY_U(digamma, to_float, Digamma, RL_FLOAT)

struct Trigamma {
  static bool usual(float x) { return x > 0.0f; }
  static float fast(float x) { return positive_trigamma(x); }
  template <class T>
  static T op(T x) {
    return static_cast<T>(zeta_of(2, static_cast<double>(x)));
  }
};
RL_UNARY_U(trigamma, to_float, Trigamma, RL_FLOAT)

struct Lgamma : Positive {
  static float fast(float x) { return positive_lgamma(x); }
  template <class T>
  static T op(T x) { return std::lgamma(x); }
};
RL_UNARY_U(lgamma, to_float, Lgamma, RL_FLOAT)

// polygamma(x; n) = (-1)**(n + 1) n! zeta(n + 1, x)
struct Polygamma {
  template <class T>
  struct For {
    double n;
    explicit For(const Number* p) : n(p[0].f) {}
    T operator()(T x) const {
      if (n == 0) return static_cast<T>(digamma_of(static_cast<double>(x)));
      const double sign = std::fmod(n, 2) == 0 ? -1 : 1;
      return static_cast<T>(sign * std::exp(std::lgamma(n + 1)) * zeta_of(n + 1, static_cast<double>(x)));
    }
  };
};
RL_UNARY_P(polygamma, to_float, Polygamma, RL_FLOAT)

// The modified Bessel function of order zero (its power series; the asymptotic one beyond 30).
struct I0 {
  template <class T>
  static T op(T v) {
    const double x = std::fabs(static_cast<double>(v));
    if (x <= 30) {
      double term = 1, total = 1;
      for (int k = 1; k < 200 && term > 1e-17 * total; ++k) {
        term *= x * x / (4.0 * k * k);
        total += term;
      }
      return static_cast<T>(x == x ? total : x);
    }
    double term = 1, total = 1;
    for (int k = 1; k < 30; ++k) {
      term *= (2.0 * k - 1) * (2.0 * k - 1) / (8.0 * k * x);
      total += term;
    }
    return static_cast<T>(std::exp(x) / std::sqrt(2 * M_PI * x) * total);
  }
};
RL_UNARY(i0, to_float, I0, RL_FLOAT)

// The inverse of erf: Giles's approximation, then two steps of Newton's method in double precision.
struct Erfinv {
  static bool usual(float) { return true; }
  static float fast(float x) { return exact_erfinv(x); }
  template <class T>
  static T op(T v) {
    const double x = static_cast<double>(v);
    if (!(x > -1 && x < 1)) {
      if (x == 1 || x == -1) return static_cast<T>(x * std::numeric_limits<double>::infinity());
      return std::numeric_limits<T>::quiet_NaN();
    }
    double w = -std::log((1 - x) * (1 + x)), y;
    if (w < 5) {
      w -= 2.5;
      y = 2.81022636e-08;
      for (double k : {3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941})
        y = y * w + k;
    } else {
      w = std::sqrt(w) - 3;
      y = -0.000200214257;
      for (double k : {0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682})
        y = y * w + k;
    }
    y *= x;
    for (int k = 0; k < 2; ++k) y -= (std::erf(y) - x) / (2 / std::sqrt(M_PI) * std::exp(-y * y));
    return static_cast<T>(y);
  }
};
RL_UNARY_U(erfinv, to_float, Erfinv, RL_FLOAT)

struct Sinc {
  template <class T>
  static T op(T x) {
    if (x == T(0)) return T(1);
    const T y = static_cast<T>(M_PI) * x;
    return std::sin(y) / y;
  }
};
RL_UNARY(sinc, to_float, Sinc, RL_FLOAT)

struct Xlogy {
  template <class T>
  static T op(T a, T b) {
    if (b != b) return b;
    return a == T(0) ? T(0) : a * std::log(b);
  }
};
RL_BINARY(xlogy, to_float, Xlogy, RL_FLOAT)

struct Xlog1py {
  template <class T>
  static T op(T a, T b) {
    if (b != b) return b;
    return a == T(0) ? T(0) : a * std::log1p(b);
  }
};
RL_BINARY(xlog1py, to_float, Xlog1py, RL_FLOAT)

struct Zeta {
  template <class T>
  static T op(T x, T q) { return static_cast<T>(zeta_of(static_cast<double>(x), static_cast<double>(q))); }
};
RL_BINARY(zeta, to_float, Zeta, RL_FLOAT)

struct Entr {
  template <class T>
  static T op(T x) {
    if (x > T(0)) return -x * std::log(x);
    return x == T(0) ? T(0) : x != x ? x : -std::numeric_limits<T>::infinity();
  }
};
RL_UNARY(entr, to_float, Entr, RL_FLOAT)

// exp(x^2) erfc(x). The square's rounding error counts, and is put back; far out erfc would be 0, and its series is short.
double scaled_erfc(double x) {
  if (x > 10) {
    const double r = 0.5 / (x * x);
    double term = 1, sum = 1;
    for (int k = 1; k < 12; ++k) {
      term *= -(2 * k - 1) * r;
      sum += term;
    }
    return sum / (x * std::sqrt(M_PI));
  }
  if (x < -27) return std::numeric_limits<double>::infinity();
  const double square = x * x, rest = std::fma(x, x, -square);
  return std::exp(square) * (1 + rest) * std::erfc(x);
}

struct Erfcx {
  template <class T>
  static T op(T x) { return static_cast<T>(scaled_erfc(static_cast<double>(x))); }
};
RL_UNARY(erfcx, to_float, Erfcx, RL_FLOAT)

// The logarithm of the normal distribution function.
struct LogNdtr {
  template <class T>
  static T op(T v) {
    const double t = static_cast<double>(v) * M_SQRT1_2;
    if (t < -M_SQRT1_2) return static_cast<T>(std::isinf(t) ? t : std::log(scaled_erfc(-t) / 2) - t * t);
    return static_cast<T>(std::log1p(-std::erfc(t) / 2));
  }
};
RL_UNARY(log_ndtr, to_float, LogNdtr, RL_FLOAT)

// The number with probability p of smaller ones, p <= 1/2: Acklam's approximation and one step of Halley's method.
double lower_quantile(double p) {
  static constexpr double a[] = {-3.969683028665376e+01, 2.209460984245205e+02, -2.759285104469687e+02, 1.383577518672690e+02,
                                 -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double b[] = {-5.447609879822406e+01, 1.615858368580409e+02, -1.556989798598866e+02, 6.680131188771972e+01,
                                 -1.328068155288572e+01, 1.0};
  static constexpr double c[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00, -2.549732539343734e+00,
                                 4.374664141464968e+00, 2.938163982698783e+00};
  static constexpr double d[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00, 3.754408661907416e+00, 1.0};
  double x;
  if (p < 0.02425) {
    const double q = std::sqrt(-2 * std::log(p));
    x = polynomial(c, q) / polynomial(d, q);
  } else {
    const double q = p - 0.5, r = q * q;
    x = polynomial(a, r) * q / polynomial(b, r);
  }
  const double off = 0.5 * std::erfc(-x * M_SQRT1_2) - p, u = off * std::sqrt(2 * M_PI) * std::exp(x * x / 2);
  return x - u / (1 + x * u / 2);
}

struct Ndtri {
  template <class T>
  static T op(T v) {
    const double p = static_cast<double>(v);
    if (!(p > 0 && p < 1)) {
      const double infinity = std::numeric_limits<double>::infinity();
      return static_cast<T>(p == 0 ? -infinity : p == 1 ? infinity : std::numeric_limits<double>::quiet_NaN());
    }
    return static_cast<T>(p <= 0.5 ? lower_quantile(p) : -lower_quantile(1 - p));
  }
};
RL_UNARY(ndtri, to_float, Ndtri, RL_FLOAT)

struct Heaviside {
  template <class T>
  static T op(T a, T b) {
    if (a == T(0)) return b;
    if constexpr (std::is_floating_point_v<T>)
      if (a != a) return a;
    return static_cast<T>(a > T(0));
  }
};
RL_BINARY(heaviside, arith, Heaviside, RL_ALL)

struct NextAfter {
  template <class T>
  static T op(T a, T b) {
    return std::nextafter(a, b);
  }
};
RL_BINARY(nextafter, arith, NextAfter, RL_FLOAT)

struct SignBit {
  template <class T>
  static bool op(T x) {
    if constexpr (std::is_floating_point_v<T>) return std::signbit(x);
    else return x < T(0);
  }
};
RL_UNARY(signbit, compare, SignBit, RL_NUMERIC)

struct Gcd {
  template <class T>
  static T op(T a, T b) {
    return static_cast<T>(std::gcd(static_cast<int64_t>(a), static_cast<int64_t>(b)));
  }
};
RL_BINARY(gcd, arith, Gcd, RL_INT)

struct Lcm {
  template <class T>
  static T op(T a, T b) {
    return a && b ? static_cast<T>(std::abs(static_cast<int64_t>(a) / std::gcd(static_cast<int64_t>(a), static_cast<int64_t>(b)) * static_cast<int64_t>(b))) : T(0);
  }
};
RL_BINARY(lcm, arith, Lcm, RL_INT)

// frexp's two results: x = mantissa * 2**exponent with 0.5 <= |mantissa| < 1
struct Mantissa {
  template <class T>
  static T op(T x) {
    int e = 0;
    return std::frexp(x, &e);
  }
};
RL_UNARY(frexp_mantissa, arith, Mantissa, RL_FLOAT)
struct Exponent {
  template <class T>
  static T op(T x) {
    int e = 0;
    std::frexp(x, &e);
    return static_cast<T>(e);
  }
};
RL_UNARY(frexp_exponent, arith, Exponent, RL_FLOAT)

}  // namespace
}  // namespace rl
