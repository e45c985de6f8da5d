// Powers, and exponentials and logarithms near 0 or to other bases, of floats in double precision without branches: within half
// an ulp and a little of the exact result. Doubles go to the C library.
#pragma once

#include <cmath>

#include "vecmath.h"

namespace rl {
namespace {

constexpr double kLn2 = 0.69314718055994530942, kRoundDouble = 6755399441055744.0;   // adding it rounds to an integer

// log((1 + s) / (1 - s)) for |s| < 0.172
inline double log_series(double s) {
  const double z = s * s;
  double p = 0.11791381058296029;
  p = p * z + 0.14268639164385477;
  p = p * z + 0.20000167816228132;
  p = p * z + 0.33333332821837514;
  return (s + s) * (z * p + 1.0);
}

// exp(r) - 1 for |r| <= ln2 / 2
inline double exp_series(double r) {
  double q = 0.00019914302343923782;
  q = q * r + 0.0013941102226172996;
  q = q * r + 0.008333272830816914;
  q = q * r + 0.04166635353916226;
  q = q * r + 0.16666666817899678;
  q = q * r + 0.5000000046664612;
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

// exp(y) as 2^n (1 + series), y brought to where floats are 0 and infinite
struct Power {
  double power, series;
  explicit Power(double y) {
    y = y > 110.0 ? 110.0 : y;
    y = y < -110.0 ? -110.0 : y;
    const double shifted = y * (1.0 / kLn2) + kRoundDouble;
    power = two_to(shifted);
    series = exp_series(y - (shifted - kRoundDouble) * kLn2);
  }
  double value() const { return power * series + power; }
  double less_one() const { return power * series + (power - 1.0); }
};

// A logarithm that is minus infinity at `zero`, at the ends of its range too.
inline float log_ends(float x, float zero, double y) {
  constexpr float inf = std::numeric_limits<float>::infinity();
  float r = static_cast<float>(y);
  r = x == inf ? inf : r;
  r = x == zero ? -inf : r;
  return (x < zero || x != x) ? std::numeric_limits<float>::quiet_NaN() : r;
}

inline float exact_expm1(float x) { return static_cast<float>(Power(static_cast<double>(x)).less_one()); }
inline double exact_expm1(double x) { return std::expm1(x); }

inline float exact_log2(float x) {
  const Binary b(static_cast<double>(x));
  return log_ends(x, 0.0f, b.e + log_series((b.m - 1.0) / (b.m + 1.0)) * (1.0 / kLn2));
}
inline double exact_log2(double x) { return std::log2(x); }

inline float exact_log10(float x) {
  const Binary b(static_cast<double>(x));
  return log_ends(x, 0.0f, b.e * 0.30102999566398119521 + log_series((b.m - 1.0) / (b.m + 1.0)) * 0.43429448190325182765);
}
inline double exact_log10(double x) { return std::log10(x); }

// log(1 + d). Near 0 the exponent of 1 + d is 0, and d has not been rounded.
inline double log1p_of(double d) {
  const Binary b(1.0 + d);
  const double above = b.e == 0.0 ? d : b.m - 1.0;
  return b.e * kLn2 + log_series(above / (above + 2.0));
}
inline float exact_log1p(float x) { return log_ends(x, -1.0f, log1p_of(static_cast<double>(x))); }
inline double exact_log1p(double x) { return std::log1p(x); }

// ---- a ** b ---------------------------------------------------------------------------------------------------------

inline bool usual_power(float x, float y) {
  constexpr float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::min();
  const float size = __builtin_fabsf(x);
  return (size >= least) & (size <= most) & (__builtin_fabsf(y) <= most);
}

// Where usual_power(x, y); zeros, denormals, infinities and NaN go to the C library.
inline float power_of(float x, float y) {
  const float half = y * 0.5f;
  const Binary size(static_cast<double>(__builtin_fabsf(x)));
  const double log = size.e * kLn2 + log_series((size.m - 1.0) / (size.m + 1.0));
  const float r = static_cast<float>(Power(static_cast<double>(y) * log).value());
  const float signed_r = half == __builtin_truncf(half) ? r : -r;
  const float below = y == __builtin_truncf(y) ? signed_r : std::numeric_limits<float>::quiet_NaN();
  return x < 0.0f ? below : r;
}

}  // namespace
}  // namespace rl
