// Sums and maxima of a row in 16 lanes: vectorised, and in one order whatever the machine.
#pragma once

#include <cstring>
#include <limits>

#include "../core/kernel.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int kLanes = 16;

template <class T>
struct Lanes {
  // A value, not an array, so that it stays in registers.
  typedef T vec __attribute__((vector_size(kLanes * sizeof(T))));
  // By reference throughout: how such a vector is passed depends on the instruction set.
  static void load(vec& v, const T* p) { std::memcpy(&v, p, sizeof v); }
  // The first n of them, the others `rest`.
  static void load(vec& v, const T* p, int64_t n, T rest) {
    T row[kLanes];
    for (int k = 0; k < kLanes; ++k) row[k] = k < n ? p[k] : rest;
    load(v, row);
  }
  static T sum(const vec& v) {
    T lane[kLanes];
    std::memcpy(lane, &v, sizeof v);
    for (int s = kLanes / 2; s; s >>= 1)
      for (int k = 0; k < s; ++k) lane[k] += lane[k + s];
    return lane[0];
  }
  static T max(const vec& v) {
    T lane[kLanes];
    std::memcpy(lane, &v, sizeof v);
    for (int s = kLanes / 2; s; s >>= 1)
      for (int k = 0; k < s; ++k) lane[k] = lane[k + s] > lane[k] ? lane[k + s] : lane[k];
    return lane[0];
  }
};

template <class T, class F>
inline T lane_sum(int64_t n, const F& term) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += term(i + k);
  for (int k = 0; i < n; ++i, ++k) lane[k] += term(i);
  for (int s = kLanes / 2; s; s >>= 1)
    for (int k = 0; k < s; ++k) lane[k] += lane[k + s];
  return lane[0];
}

template <class T>
inline T lane_max(const T* x, int64_t n) {
  const T low = -std::numeric_limits<T>::infinity();
  typename Lanes<T>::vec v, most = low - typename Lanes<T>::vec{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Lanes<T>::load(v, x + i);
    most = v > most ? v : most;
  }
  if (i < n) {
    Lanes<T>::load(v, x + i, n - i, low);
    most = v > most ? v : most;
  }
  return Lanes<T>::max(most);
}

// The sum of exp(x - m), m not below any x; the terms go into `out` if STORE.
template <bool STORE, class T>
inline T exp_sum(const T* x, int64_t n, T m, T* out) {
  typename Lanes<T>::vec v, total = {};
  T part[kLanes];
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int k = 0; k < kLanes; ++k) part[k] = fast_exp_below(x[i + k] - m);
    if constexpr (STORE) std::memcpy(out + i, part, sizeof part);
    Lanes<T>::load(v, part);
    total += v;
  }
  if (i < n) {
    Lanes<T>::load(v, x + i, n - i, -std::numeric_limits<T>::infinity());
    std::memcpy(part, &v, sizeof part);
    for (int k = 0; k < kLanes; ++k) part[k] = fast_exp_below(part[k] - m);
    for (int k = 0; k < kLanes; ++k) part[k] = k < n - i ? part[k] : T(0);    // m may be -inf, and the term NaN
    if constexpr (STORE) std::memcpy(out + i, part, static_cast<size_t>(n - i) * sizeof(T));
    Lanes<T>::load(v, part);
    total += v;
  }
  return Lanes<T>::sum(total);
}

}  // namespace
}  // namespace rl
