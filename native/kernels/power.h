// Powers, and exponentials and logarithms near 0 or to base 2, of floats in double precision without branches: within half an ulp
// and a little of the exact result. Doubles go to the C library.
#pragma once

#include <cmath>

#include "vecmath.h"

namespace rl {
namespace {

constexpr double kLn2 = 0.69314718055994530942, kRoundDouble = 6755399441055744.0;   // adding it rounds to an integer

// log((1 + s) / (1 - s)) for |s| < 0.172
inline double log_series(double s) {
  const double z = s * s;
  double p = 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return (s + s) * (z * p + 1.0);
}

// exp(r) - 1 for |r| <= ln2 / 2
inline double exp_series(double r) {
  double q = 1.0 / 3628800;
  q = q * r + 1.0 / 362880;
  q = q * r + 1.0 / 40320;
  q = q * r + 1.0 / 5040;
  q = q * r + 1.0 / 720;
  q = q * r + 1.0 / 120;
  q = q * r + 1.0 / 24;
  q = q * r + 1.0 / 6;
  q = q * r + 0.5;
  return q * r * r + r;
}

// 2^n, n in the last bits of n + kRoundDouble.
inline double two_to(double shifted) {
  return __builtin_bit_cast(double, (__builtin_bit_cast(uint64_t, shifted) << 52) + (uint64_t{1023} << 52));
}

// x = 2^e m, m in [sqrt(1/2), sqrt(2)), for normal x > 0
struct Binary {
  double e, m;
  explicit Binary(double x) {
    const uint64_t bits = __builtin_bit_cast(uint64_t, x);
    const int64_t k = static_cast<int64_t>(bits - 0x3fe6a09e667f3bcdu) >> 52;
    m = __builtin_bit_cast(double, bits - (static_cast<uint64_t>(k) << 52));
    e = static_cast<double>(static_cast<int32_t>(k));
  }
};

// exp(y) - 1 and exp(y), y brought to where floats are 0 and infinite
template <bool LESS_ONE>
inline float exp_of(double y) {
  y = y > 110.0 ? 110.0 : y;
  y = y < -110.0 ? -110.0 : y;
  const double shifted = y * (1.0 / kLn2) + kRoundDouble, power = two_to(shifted);
  const double q = exp_series(y - (shifted - kRoundDouble) * kLn2);
  return static_cast<float>(power * q + (LESS_ONE ? power - 1.0 : power));
}

// A logarithm that is minus infinity at `zero`, at the ends of its range too.
inline float log_ends(float x, float zero, double y) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  float r = static_cast<float>(y);
  r = x == inf ? inf : r;
  r = x == zero ? -inf : r;
  return (x < zero || x != x) ? std::numeric_limits<float>::quiet_NaN() : r;
}

inline float exact_expm1(float x) { return exp_of<true>(static_cast<double>(x)); }
inline double exact_expm1(double x) { return std::expm1(x); }
inline float exact_exp2(float x) { return exp_of<false>(static_cast<double>(x) * kLn2); }
inline double exact_exp2(double x) { return std::exp2(x); }

inline float exact_log2(float x) {
  const Binary b(static_cast<double>(x));
  return log_ends(x, 0.0f, b.e + log_series((b.m - 1.0) / (b.m + 1.0)) * (1.0 / kLn2));
}
inline double exact_log2(double x) { return std::log2(x); }

// Near 0 the exponent of 1 + x is 0, and x has not been rounded.
inline float exact_log1p(float x) {
  const double d = static_cast<double>(x);
  const Binary b(1.0 + d);
  const double above = b.e == 0.0 ? d : b.m - 1.0;
  return log_ends(x, -1.0f, b.e * kLn2 + log_series(above / (above + 2.0)));
}
inline double exact_log1p(double x) { return std::log1p(x); }

// ---- a ** b ---------------------------------------------------------------------------------------------------------

inline bool usual(float x, float y) {
  constexpr float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::min();
  const float size = __builtin_fabsf(x);
  return (size >= least) & (size <= most) & (__builtin_fabsf(y) <= most);
}

// Zeros, denormals, infinities and NaN go to the C library.
inline void powers(const float* a, const float* b, int64_t n, float* __restrict o) {
  int32_t odd_ones = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = a[i], y = b[i], half = y * 0.5f;
    odd_ones |= !usual(x, y);
    const Binary size(static_cast<double>(__builtin_fabsf(x)));
    const float r = exp_of<false>(static_cast<double>(y) * (size.e * kLn2 + log_series((size.m - 1.0) / (size.m + 1.0))));
    const float signed_r = half == __builtin_truncf(half) ? r : -r;
    const float below = y == __builtin_truncf(y) ? signed_r : std::numeric_limits<float>::quiet_NaN();
    o[i] = x < 0.0f ? below : r;
  }
  if (!odd_ones) return;
  for (int64_t i = 0; i < n; ++i)
    if (!usual(a[i], b[i])) o[i] = std::pow(a[i], b[i]);
}

}  // namespace
}  // namespace rl
