// Circular and hyperbolic functions and their inverses, of floats in double precision without branches: within half an ulp and a
// little of the exact result. Doubles go to the C library.
#pragma once

#include <cmath>

#include "power.h"

namespace rl {
namespace {

constexpr double kPi = 3.14159265358979323846;

// x = n pi/2 + r, |r| <= pi/4, for |x| <= kMostReduced: n times the first part of pi/2, of 33 bits, is exact.
constexpr float kMostReduced = 1e6f;
struct Quadrant {
  double r;
  uint64_t n;                                // in the last two bits
  explicit Quadrant(double x) {
    const double shifted = x * (2.0 / kPi) + kRoundDouble, k = shifted - kRoundDouble;
    r = x - k * 1.57079632673412561417;
    r = r - k * 6.077100506506192601e-11;
    n = __builtin_bit_cast(uint64_t, shifted);
  }
};

// |r| <= pi/4
inline double sin_series(double r, double z) {
  double p = 2.717345651684145e-06;
  p = p * z - 0.00019839261153628765;
  p = p * z + 0.008333329327904537;
  p = p * z - 0.16666666644211148;
  return r * (p * z + 1.0);
}
inline double cos_series(double z) {
  double p = 2.4390409907828382e-05;
  p = p * z - 0.0013886763371564336;
  p = p * z + 0.041666623311392696;
  p = p * z - 0.4999999972499861;
  return p * z + 1.0;
}

// The sine of x + turns pi/2.
inline float sin_of(float x, uint64_t turns) {
  const Quadrant q(static_cast<double>(x));
  const uint64_t n = q.n + turns;
  const double z = q.r * q.r, y = n & 1 ? cos_series(z) : sin_series(q.r, z);
  return static_cast<float>(n & 2 ? -y : y);
}

inline float tan_of(float x) {
  const Quadrant q(static_cast<double>(x));
  const double z = q.r * q.r;
  const uint64_t s = __builtin_bit_cast(uint64_t, sin_series(q.r, z)), c = __builtin_bit_cast(uint64_t, cos_series(z));
  const uint64_t swap = (s ^ c) & (0 - (q.n & 1));         // without a branch: -c / s in odd quadrants
  return static_cast<float>(__builtin_bit_cast(double, s ^ swap ^ q.n << 63) / __builtin_bit_cast(double, c ^ swap));
}

// asin(r), z = r^2 <= 1/4
inline double asin_series(double r, double z) {
  double p = 0.037565207287866074;
  p = p * z + 0.014402603106056854;
  p = p * z + 0.031817611794651084;
  p = p * z + 0.044515720329602694;
  p = p * z + 0.07500510916635941;
  p = p * z + 0.16666659871931797;
  return r * (p * z + 1.0);
}

// From 1/2 on: asin(a) = pi/2 - 2 asin(sqrt((1 - a) / 2)).
inline float exact_asin(float x) {
  const double a = static_cast<double>(__builtin_fabsf(x));
  const bool far = a > 0.5;
  const double z = far ? 0.5 - 0.5 * a : a * a, y = asin_series(far ? std::sqrt(z) : a, z);
  return __builtin_copysignf(static_cast<float>(far ? kPi / 2 - 2.0 * y : y), x);
}
inline double exact_asin(double x) { return std::asin(x); }

inline float exact_acos(float x) {
  const double d = static_cast<double>(x), a = d < 0.0 ? -d : d;
  const bool far = a > 0.5;
  const double z = far ? 0.5 - 0.5 * a : a * a, y = asin_series(far ? std::sqrt(z) : d, z);
  const double end = d < 0.0 ? kPi - 2.0 * y : 2.0 * y;
  return static_cast<float>(far ? end : kPi / 2 - y);
}
inline double exact_acos(double x) { return std::acos(x); }

// atan(t) for 0 <= t <= 1
inline double atan_series(double t) {
  const double z = t * t;
  double p = 0.0011348972016900036;
  p = p * z - 0.0074227313733482075;
  p = p * z + 0.022760538297644746;
  p = p * z - 0.04494667570840132;
  p = p * z + 0.0675958827618455;
  p = p * z - 0.08818855306953369;
  p = p * z + 0.11060246381668407;
  p = p * z - 0.14280131014147696;
  p = p * z + 0.19999692630980653;
  p = p * z - 0.33333327433883014;
  return t * (p * z + 1.0);
}

inline float exact_atan(float x) {
  const double a = static_cast<double>(__builtin_fabsf(x));
  const bool far = a > 1.0;
  const double y = atan_series((far ? 1.0 : a) / (far ? a : 1.0));
  return __builtin_copysignf(static_cast<float>(far ? kPi / 2 - y : y), x);
}
inline double exact_atan(double x) { return std::atan(x); }

inline float exact_atan2(float y, float x) {
  const double a = static_cast<double>(__builtin_fabsf(y)), b = static_cast<double>(__builtin_fabsf(x));
  const bool steep = a > b;
  const double low = steep ? b : a, high = steep ? a : b;
  const double same = high == 0.0 ? 0.0 : 1.0, t = low == high ? same : low / high;   // both 0, both infinite
  const double first = atan_series(t), second = steep ? kPi / 2 - first : first;
  return __builtin_copysignf(static_cast<float>(float_to_bits(x) < 0 ? kPi - second : second), y);
}
inline double exact_atan2(double y, double x) { return std::atan2(y, x); }

inline float exact_hypot(float x, float y) {
  const double a = static_cast<double>(x), b = static_cast<double>(y);
  constexpr float inf = std::numeric_limits<float>::infinity();
  const float r = static_cast<float>(std::sqrt(a * a + b * b));
  return (__builtin_fabsf(x) == inf) | (__builtin_fabsf(y) == inf) ? inf : r;
}
inline double exact_hypot(double x, double y) { return std::hypot(x, y); }

// ---- hyperbolic -----------------------------------------------------------------------------------------------------

inline float exact_sinh(float x) {
  const Power e(static_cast<double>(__builtin_fabsf(x)));
  const double less = e.less_one();
  return __builtin_copysignf(static_cast<float>(0.5 * (less + less / (less + 1.0))), x);
}
inline double exact_sinh(double x) { return std::sinh(x); }

inline float exact_cosh(float x) {
  const double e = Power(static_cast<double>(__builtin_fabsf(x))).value();
  return static_cast<float>(0.5 * (e + 1.0 / e));
}
inline double exact_cosh(double x) { return std::cosh(x); }

inline float exact_asinh(float x) {
  const float size = __builtin_fabsf(x);
  const double a = static_cast<double>(size), z = a * a;
  const float y = log_ends(size, -1.0f, log1p_of(a + z / (1.0 + std::sqrt(z + 1.0))));
  return __builtin_copysignf(y, x);
}
inline double exact_asinh(double x) { return std::asinh(x); }

inline float exact_acosh(float x) {
  const double above = static_cast<double>(x) - 1.0;
  const float y = log_ends(x, -1.0f, log1p_of(above + std::sqrt(above * (above + 2.0))));
  return x < 1.0f ? std::numeric_limits<float>::quiet_NaN() : y;
}
inline double exact_acosh(double x) { return std::acosh(x); }

inline float exact_atanh(float x) {
  const float size = __builtin_fabsf(x);
  const double a = static_cast<double>(size);
  const float y = log_ends(-size, -1.0f, 0.5 * log1p_of((a + a) / (1.0 - a)));
  return size == 1.0f ? __builtin_copysignf(std::numeric_limits<float>::infinity(), x) : __builtin_copysignf(y, x);
}
inline double exact_atanh(double x) { return std::atanh(x); }

}  // namespace
}  // namespace rl
