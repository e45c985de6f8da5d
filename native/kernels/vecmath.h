// exp, exp2, log, tanh, sigmoid and erf for float, written without branches so that the compiler vectorises the
// loops that use them. Errors against correctly rounded results are at most 2 ulp (tests/ops/test_vecmath.py).
// Doubles go to the C library.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace rl {
namespace {

inline float bits_to_float(int32_t i) { return __builtin_bit_cast(float, i); }
inline int32_t float_to_bits(float f) { return __builtin_bit_cast(int32_t, f); }

// x log2(e), rounded by adding 1.5 * 2^23: n is the sum less that again, and the sum's last bits are n's.
struct Rounded {
  float n;
  uint32_t bits;
};
inline Rounded round_log2(float x) {
  const float shifted = x * 1.44269504088896341f + 12582912.0f;
  return {shifted - 12582912.0f, static_cast<uint32_t>(float_to_bits(shifted))};
}

// exp(x) = 2^n * exp(r), |r| <= ln2/2: exp(r) by a polynomial with an error of 3e-9.
inline float exp_rest(float x, float n) {
  float r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.3814177364e-3f;
  p = p * r + 8.3689214662e-3f;
  p = p * r + 4.1668407619e-2f;
  p = p * r + 1.6666519642e-1f;
  p = p * r + 4.9999994040e-1f;
  return p * (r * r) + r + 1.0f;              // one rounding next to 1
}

inline float power_of_two(uint32_t bits, uint32_t bias) {
  return bits_to_float(static_cast<int32_t>((bits + bias) << 23));
}

// 2^n in two factors, so that results near the ends of the range (denormals, close to overflow) are right: 2^(n-64) 2^64
// above, 2^(n+64) 2^-64 below.
inline float fast_exp(float x) {
  float c = x > 89.0f ? 89.0f : x;
  c = c < -104.0f ? -104.0f : c;
  const Rounded k = round_log2(c);
  const bool above = c > 0.0f;
  const float y = exp_rest(c, k.n) * power_of_two(k.bits, above ? 127 - 64 : 127 + 64);
  return y * (above ? 18446744073709551616.0f : 5.42101086242752217e-20f);
}
inline double fast_exp(double x) { return std::exp(x); }

// exp of numbers up to 0, denormal results too.
inline float fast_exp_down(float x) {
  const float c = x < -104.0f ? -104.0f : x;
  const Rounded k = round_log2(c);
  return exp_rest(c, k.n) * power_of_two(k.bits, 127 + 64) * 5.42101086242752217e-20f;
}
inline double fast_exp_down(double x) { return std::exp(x); }

// exp where neither x nor the result is near the ends of the range (-87 <= x <= 88).
inline float fast_exp_inner(float x) {
  const Rounded k = round_log2(x);
  return exp_rest(x, k.n) * power_of_two(k.bits, 127);
}
inline double fast_exp_inner(double x) { return std::exp(x); }

// exp of numbers up to 0; what would be denormal is 0: from -88 down n is -127, whose 2^n has the bits of 0.
inline float fast_exp_below(float x) { return fast_exp_inner(x < -88.0f ? -88.0f : x); }
inline double fast_exp_below(double x) { return std::exp(x); }

// exp, 0 where it would be denormal and infinite from 88.4 on, where n is 128.
inline float fast_exp_coarse(float x) { return fast_exp_below(x > 89.0f ? 89.0f : x); }
inline double fast_exp_coarse(double x) { return std::exp(x); }

// 2^x, in two factors as fast_exp.
inline float fast_exp2(float x) {
  float c = x > 129.0f ? 129.0f : x;
  c = c < -151.0f ? -151.0f : c;
  const float shifted = c + 12582912.0f, r = c - (shifted - 12582912.0f);
  float p = 1.5476300292080645e-4f;
  p = p * r + 1.3400269646786705e-3f;
  p = p * r + 9.61800388981712e-3f;
  p = p * r + 5.5503277912270194e-2f;
  p = p * r + 2.4022651345914828e-1f;
  p = p * r + 6.93147206248223e-1f;
  const bool above = c > 0.0f;
  const float y = (p * r + 1.0f) * power_of_two(static_cast<uint32_t>(float_to_bits(shifted)), above ? 127 - 64 : 127 + 64);
  return y * (above ? 18446744073709551616.0f : 5.42101086242752217e-20f);
}
inline double fast_exp2(double x) { return std::exp2(x); }

// log(x) = k ln2 + log(m), m in [sqrt(1/2), sqrt(2)), the polynomial of Cephes (logf.c).
inline float fast_log(float x) {
  bool tiny = x < 1.17549435e-38f;
  float z = tiny ? x * 8388608.0f : x;       // denormals are scaled by 2^23
  int32_t b = float_to_bits(z);
  // Unsigned differences: for NaN and negative input they wrap, and the result is replaced below.
  int32_t e = static_cast<int32_t>(static_cast<uint32_t>(b) - 0x3f3504f3u) >> 23;
  float m = bits_to_float(static_cast<int32_t>(static_cast<uint32_t>(b) - (static_cast<uint32_t>(e) << 23)));
  float k = static_cast<float>(e) - (tiny ? 23.0f : 0.0f);
  float f = m - 1.0f;
  float s = f * f;
  float p = 7.0376836292e-2f;
  p = p * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  float y = p * f * s;
  y = y + k * -2.12194440e-4f;
  y = y - 0.5f * s;
  float r = f + y + k * 0.693359375f;
  const float inf = std::numeric_limits<float>::infinity();
  r = x == inf ? inf : r;
  r = x == 0.0f ? -inf : r;
  return (x < 0.0f || x != x) ? std::numeric_limits<float>::quiet_NaN() : r;
}
inline double fast_log(double x) { return std::log(x); }

inline float fast_tanh(float x) {
  float a = __builtin_fabsf(x);
  float s = x * x;                            // |x| < 0.625: odd polynomial (Cephes tanhf.c)
  float p = -5.70498872745e-3f;
  p = p * s + 2.06390887954e-2f;
  p = p * s - 5.37397155531e-2f;
  p = p * s + 1.33314422036e-1f;
  p = p * s - 3.33332819422e-1f;
  float small = p * s * x + x;
  float big = 1.0f - 2.0f / (fast_exp_inner(a > 20.0f ? 40.0f : a + a) + 1.0f);
  big = __builtin_copysignf(big, x);
  float y = a < 0.625f ? small : big;
  return x != x ? x : y;
}
inline double fast_tanh(double x) { return std::tanh(x); }

// 1 / (1 + e) or e / (1 + e), e = exp(-|x|): no overflow, and denormal results on the left are right. What 1 + e loses, up to
// half an ulp of 1, is given back to first order: else the error reaches 2.4 ulp.
template <class T>
inline T fast_sigmoid(T x) {
  const T e = fast_exp_down(x < T(0) ? x : -x), s = T(1) + e, lost = e - (s - T(1));
  const T y = (x < T(0) ? e : T(1)) / s;
  return y - y * lost;
}

// The same to 3 ulp, 0 from -88.4 down.
template <class T>
inline T coarse_sigmoid(T x) {
  return T(1) / (T(1) + fast_exp_coarse(-x));
}

// erf: an odd polynomial up to 0.93, then 1 - exp(polynomial in |x|) (N. Juffa's coefficients).
inline float fast_erf(float x) {
  const float a = __builtin_fabsf(x), t = a > 4.0f ? 4.0f : a, s = t * t;
  float r = -1.72853470e-5f * t + 3.83197126e-4f;
  const float u = -3.88396438e-3f * t + 2.42546219e-2f;
  r = r * s + u;
  r = r * t - 1.06777877e-1f;
  r = r * t - 6.34846687e-1f;
  r = r * t - 1.28717512e-1f;
  r = r * t - t;
  const float big = __builtin_copysignf(1.0f - fast_exp_inner(r), x);
  float p = -5.96761703e-4f;
  p = p * s + 4.99119423e-3f;
  p = p * s - 2.67681349e-2f;
  p = p * s + 1.12819925e-1f;
  p = p * s - 3.76125336e-1f;
  p = p * s + 1.28379166e-1f;
  const float y = a > 0.927734375f ? big : p * x + x;
  return x != x ? x : y;
}
inline double fast_erf(double x) { return std::erf(x); }

// erf to 4e-7 of 1, half as many operations: x P(x^2) / Q(x^2), 1 from 3.925 on.
inline float coarse_erf(float x) {
  float c = x < -3.925f ? -3.925f : x;
  c = c > 3.925f ? 3.925f : c;
  const float s = c * c;
  float p = 2.0307779777795076e-06f;
  p = p * s + 0.00028749374905601144f;
  p = p * s + 0.003876550355926156f;
  p = p * s + 0.05308501794934273f;
  p = p * s + 0.19297820329666138f;
  p = p * s + 1.128378987312317f;
  float q = 3.803059007623233e-05f;
  q = q * s + 0.0011897980002686381f;
  q = q * s + 0.015188801102340221f;
  q = q * s + 0.11516972631216049f;
  q = q * s + 0.5043541193008423f;
  q = q * s + 1.0f;
  return c * p / q;
}
inline double coarse_erf(double x) { return std::erf(x); }

}  // namespace
}  // namespace rl
