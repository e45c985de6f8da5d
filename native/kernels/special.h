// erfc, the inverse of erf, and the logarithm of the gamma function with its derivatives, of floats in double precision without
// branches: within an ulp of the exact result, absolutely so near digamma's roots. Doubles have forms of their own.
#pragma once

#include <cmath>
#include <limits>

#include "power.h"

namespace rl {
namespace {

// p[0] x^(N-1) + ... + p[N-1]
template <int N>
inline double polynomial(const double (&p)[N], double x) {
  double y = p[0];
  for (int k = 1; k < N; ++k) y = y * x + p[k];
  return y;
}

// exp(-x^2) t P(t), t = 1 / (1 + x / 2), from 0 to where floats are 0.
inline float exact_erfc(float x) {
  static constexpr double p[] = {
      -0.0048595817912425567, -0.030858404765689951, 0.035147634637279955, 0.031716139857238285, -0.073161473712936839,
      0.00046779592396424792, 0.11391848526270783, -0.05009124344077602, -0.20384004395172328, 0.083539310854462839,
      0.58735145167840463, 0.78132879641226027, 0.57094349033837921};
  double a = static_cast<double>(__builtin_fabsf(x));
  a = a > 10.2 ? 10.2 : a;
  const double t = 1.0 / (1.0 + 0.5 * a), y = Power(-a * a).value() * t * polynomial(p, t - 0.5819672131147541);
  return static_cast<float>(x < 0.0f ? 2.0 - y : y);
}
inline double exact_erfc(double x) { return std::erfc(x); }

// erfinv(x) / x as a function of w = -log(1 - x^2), and of its square root where that is large (M. Giles).
inline float exact_erfinv(float x) {
  static constexpr double centre[] = {
      1.3642499644299058e-12, -1.2396715691772627e-11, -3.780363374158506e-11, 1.0313217075464143e-09, -4.2190021188475628e-09,
      -2.8903761481219685e-08, 4.2383731601389395e-07, -1.3660982687103835e-06, -1.3883102115855552e-05, 0.0001867352843942557,
      -0.00074070218241780058, -0.0060336715440806425, 0.24015818239056724, 1.6536545627504355};
  static constexpr double tail[] = {
      6.2936100877933023e-05, -1.1535213748293307e-05, -0.00034830476650750169, 0.00086498733830252944, -0.001418897198084051,
      0.0020959724495630346, -0.0032929625185545543, 0.0048441874441853532, 1.0057691216011571, 3.1341615245732912};
  const double d = static_cast<double>(x), w = -log1p_of(-d * d);
  const double y = w < 6.25 ? polynomial(centre, w - 3.125) : polynomial(tail, std::sqrt(w) - 3.3);
  const float r = static_cast<float>(d * y);
  const float end = x * std::numeric_limits<float>::infinity(), size = __builtin_fabsf(x);
  const float outside = size == 1.0f ? end : std::numeric_limits<float>::quiet_NaN();
  return size < 1.0f ? r : outside;
}

// To about 1e-15.
inline double log_of(double x) {
  static constexpr double p[] = {2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3, 2.0};
  const Binary b(x);
  const double s = (b.m - 1.0) / (b.m + 1.0);
  return b.e * kLn2 + s * polynomial(p, s * s);
}

// log gamma(x), x > 0: (x - 1)(x - 2) P(x) from 1 to 3, its recurrence below, Stirling's series five higher above.
inline float positive_lgamma(float v) {
  static constexpr double p[] = {
      -2.3012762509198726e-06, 4.8487525147830951e-06, -1.0423848012063131e-06, 2.3377861996688684e-06, -2.0244291163334136e-05,
      4.3584984328199659e-05, -8.1824455372062508e-05, 0.00017988840305845492, -0.00040604055046509124, 0.00091607536463971689,
      -0.0021080884430981772, 0.0049985523000764635, -0.012384194230524111, 0.032965004891564169, -0.10031730165841118,
      0.4227843350650452};
  static constexpr double stirling[] = {-1.0 / 1680, 1.0 / 1260, -1.0 / 360, 1.0 / 12};
  const double x = static_cast<double>(v), above = x + 5.0;
  const bool small = x < 3.0, below = x < 1.0;
  const double log_x = log_of(small ? x : above), log_steps = log_of(x * (x + 1.0) * (x + 2.0) * (x + 3.0) * (x + 4.0));
  const double r = 1.0 / above;
  const double large = (above - 0.5) * log_x - above + 0.91893853320467274178 + r * polynomial(stirling, r * r) - log_steps;
  const double at = below ? x + 1.0 : x, y = (at - 1.0) * (at - 2.0) * polynomial(p, (small ? at : 2.0) - 2.0);
  const double near = below ? y - log_x : y;
  return static_cast<float>(small ? near : large);
}

// The derivative of log gamma(x), x > 0: the asymptotic series five higher.
inline float positive_digamma(float v) {
  static constexpr double p[] = {-1.0 / 132, 1.0 / 240, -1.0 / 252, 1.0 / 120, -1.0 / 12};
  const double x = static_cast<double>(v), above = x + 5.0;
  double steps = x, slope = 1.0;             // x (x + 1) ... (x + 4), whose slope over it is the sum of 1 / (x + k)
  for (int k = 1; k < 5; ++k) {
    slope = slope * (x + k) + steps;
    steps *= x + k;
  }
  const double r = 1.0 / above, z = r * r;
  return static_cast<float>(log_of(above) - 0.5 * r + z * polynomial(p, z) - slope / steps);
}

// And the second one.
inline float positive_trigamma(float v) {
  static constexpr double p[] = {5.0 / 66, -1.0 / 30, 1.0 / 42, -1.0 / 30, 1.0 / 6};
  const double x = static_cast<double>(v);
  double sum = 0.0;
  for (int k = 0; k < 5; ++k) {
    const double step = 1.0 / (x + k);
    sum += step * step;
  }
  const double r = 1.0 / (x + 5.0), z = r * r;
  return static_cast<float>(sum + r + 0.5 * z + r * z * polynomial(p, z));
}

// psi(x): the recurrence up to 10, then the asymptotic series (Cephes, psi.c); reflection below 0.
inline double digamma_of(double x) {
  if (x == 0) return std::copysign(std::numeric_limits<double>::infinity(), -x);
  double result = 0;
  if (x < 0) {
    if (x == std::floor(x)) return std::numeric_limits<double>::quiet_NaN();
    result = -M_PI / std::tan(M_PI * (x - std::floor(x)));
    x = 1 - x;
  }
  while (x < 10) {
    result -= 1 / x;
    x += 1;
  }
  const double z = 1 / (x * x);
  const double series = z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return result + std::log(x) - 0.5 / x - series;
}

}  // namespace
}  // namespace rl
