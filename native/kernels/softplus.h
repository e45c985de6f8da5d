// Logarithms near 1, and softplus, without the loss of precision of the plain formulas.
#pragma once

#include <cmath>

#include "vecmath.h"

namespace rl {
namespace {

// log(1 + e), e >= 0, and log(1 - x), 0 <= x <= 1, with Kahan's correction for small arguments.
template <class T>
inline T log1p_pos(T e) {
  T u = T(1) + e, d = u - T(1);
  T r = fast_log(u) * (e / (d == T(0) ? T(1) : d));
  return d == T(0) ? e : r;
}
inline double log1p_pos(double e) { return std::log1p(e); }
template <class T>
inline T log1m(T x) {
  T u = T(1) - x, d = T(1) - u;
  T r = fast_log(u) * (x / (d == T(0) ? T(1) : d));
  return d == T(0) ? -x : r;
}
inline double log1m(double x) { return std::log1p(-x); }

// e^x - 1 for x <= 0, as 2 t / (1 - t) with t = tanh(x / 2): no cancellation near 0.
template <class T>
inline T fast_expm1(T x) {
  const T t = fast_tanh(x * T(0.5));
  return (t + t) / (T(1) - t);
}
inline double fast_expm1(double x) { return std::expm1(x); }

template <class T>
inline T soft_plus(T z) {
  T e = fast_exp(-(z < T(0) ? -z : z));
  return (z > T(0) ? z : T(0)) + log1p_pos(e) + (z - z);             // z - z keeps NaN
}

}  // namespace
}  // namespace rl
