// Sums and maxima of a row in 16 lanes: vectorised, and in one order whatever the machine.
#pragma once

#include <limits>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int kLanes = 16;

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
  T lane[kLanes];
  const T low = -std::numeric_limits<T>::infinity();
  for (int k = 0; k < kLanes; ++k) lane[k] = low;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] = x[i + k] > lane[k] ? x[i + k] : lane[k];
  for (int k = 0; i < n; ++i, ++k) lane[k] = x[i] > lane[k] ? x[i] : lane[k];
  for (int s = kLanes / 2; s; s >>= 1)
    for (int k = 0; k < s; ++k) lane[k] = lane[k + s] > lane[k] ? lane[k + s] : lane[k];
  return lane[0];
}

}  // namespace
}  // namespace rl
