// a ** b for floats, in double precision without branches: within half an ulp and a little of the exact result.
#pragma once

#include <cmath>

#include "vecmath.h"

namespace rl {
namespace {

// For normal a > 0 and finite b.
inline float power_of_positive(float a, float b) {
  constexpr double ln2 = 0.69314718055994530942;
  const uint32_t bits = static_cast<uint32_t>(float_to_bits(a));
  const int32_t e = static_cast<int32_t>(bits - 0x3f3504f3u) >> 23;    // a = 2^e m, m in [sqrt(1/2), sqrt(2))
  const double m = static_cast<double>(bits_to_float(static_cast<int32_t>(bits - (static_cast<uint32_t>(e) << 23))));
  const double s = (m - 1.0) / (m + 1.0), z = s * s;                   // log m = 2 atanh s
  double p = 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  const double log = e * ln2 + (s + s) * (z * p + 1.0);
  double y = static_cast<double>(b) * log;
  y = y > 110.0 ? 110.0 : y;                  // infinite as a float
  y = y < -110.0 ? -110.0 : y;                // zero as a float
  const double shifted = y * (1.0 / ln2) + 6755399441055744.0;         // rounded to an integer, which is in the last bits
  const double r = y - (shifted - 6755399441055744.0) * ln2;
  double q = 1.0 / 3628800;
  q = q * r + 1.0 / 362880;
  q = q * r + 1.0 / 40320;
  q = q * r + 1.0 / 5040;
  q = q * r + 1.0 / 720;
  q = q * r + 1.0 / 120;
  q = q * r + 1.0 / 24;
  q = q * r + 1.0 / 6;
  q = q * r + 0.5;
  q = q * r + 1.0;
  q = q * r + 1.0;
  const uint64_t power = (__builtin_bit_cast(uint64_t, shifted) << 52) + (uint64_t{1023} << 52);
  return static_cast<float>(q * __builtin_bit_cast(double, power));
}

// Zeros, denormals, infinities and NaN go to the C library.
inline void powers(const float* a, const float* b, int64_t n, float* __restrict o) {
  constexpr float most = std::numeric_limits<float>::max(), least = std::numeric_limits<float>::min();
  constexpr float nan = std::numeric_limits<float>::quiet_NaN();
  int32_t odd_ones = 0;
  for (int64_t i = 0; i < n; ++i) {
    const float x = a[i], y = b[i], size = __builtin_fabsf(x), half = y * 0.5f;
    const bool usual = (size >= least) & (size <= most) & (__builtin_fabsf(y) <= most);
    odd_ones |= !usual;
    const float r = power_of_positive(size, y);
    const float even = half == __builtin_truncf(half) ? r : -r, below = y == __builtin_truncf(y) ? even : nan;
    o[i] = x < 0.0f ? below : r;
  }
  if (!odd_ones) return;
  for (int64_t i = 0; i < n; ++i) {
    const float x = a[i], y = b[i], size = __builtin_fabsf(x);
    if (!((size >= least) & (size <= most) & (__builtin_fabsf(y) <= most))) o[i] = std::pow(x, y);
  }
}

}  // namespace
}  // namespace rl
