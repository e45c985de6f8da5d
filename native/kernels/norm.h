// What norms share: sums of two terms, and the affine map of a run.
#pragma once

#include <algorithm>
#include <cmath>

#include "rows.h"

namespace rl {
namespace {

constexpr int64_t kBlock = 2048;
constexpr int64_t kJob = 32768;               // elements per parallel chunk

template <class S, class T = Compute<S>>
inline void store_left(S* p, const typename Sixteen<T>::vec& v, int64_t left) {
  if (left >= kLanes) Sixteen<T>::store(p, v);
  else Sixteen<T>::store(p, v, left);
}

// f(i, left) for the vectors of a run: `left` is a constant for whole ones, so that they have no masks.
template <class F>
inline void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, int64_t{kLanes});
  if (i < n) f(i, n - i);
}

// Two sums at once, in lanes; every kBlock elements they are added up in double. Short runs share the lanes.
template <class T>
struct TwoSums {
  typedef typename Sixteen<T>::vec V;
  V a = {}, b = {};
  double first = 0, second = 0;
  int64_t count = 0;

  // f(i, left, u, v): the terms of elements i.. of the run, `left` of them; 0 in lanes beyond.
  template <class F>
  void add(int64_t n, const F& f) {
    V u, v;
    for (int64_t k = 0; k < n; k += kBlock) {
      const int64_t end = std::min(n, k + kBlock);
      V sa = a, sb = b, ta = {}, tb = {};     // two of each: additions wait for the one before
      int64_t i = k;
      for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
        f(i, kLanes, u, v);
        sa += u;
        sb += v;
        f(i + kLanes, kLanes, u, v);
        ta += u;
        tb += v;
      }
      for (; i < end; i += kLanes) {
        f(i, n - i, u, v);
        sa += u;
        sb += v;
      }
      a = sa + ta, b = sb + tb;
      count += end - k;
      if (count >= kBlock) flush();
    }
  }
  void flush() {
    first += static_cast<double>(Sixteen<T>::sum(a));
    second += static_cast<double>(Sixteen<T>::sum(b));
    a = b = V{};
    count = 0;
  }
  template <class S>
  void add_run(const S* x, int64_t n) {
    add(n, [&](int64_t i, int64_t left, V& u, V& v) { load_left(u, x + i, left, T(0)), v = V{}; });
  }
  template <class S>
  void add_squares(const S* x, int64_t n, T m) {
    add(n, [&](int64_t i, int64_t left, V& u, V& v) { load_left(v, x + i, left, m), v -= m, u = v * v; });
  }
};

// y = (x - mean) * rstd * w + b for a run, then relu if asked for
template <class T, class S>
inline void run_affine(const S* s, int64_t n, T scale, T m, T shift, bool relu, S* o) {
  typedef typename Sixteen<T>::vec V;
  if (relu) each_lanes(s, n, o, [&](V& v) { v = (v - m) * scale + shift, v = v < T(0) ? V{} : v; });
  else each_lanes(s, n, o, [&](V& v) { v = (v - m) * scale + shift; });
}

template <class T>
const T* maybe(const Array* a) {
  return a ? a->ptr<T>() : nullptr;
}

}  // namespace
}  // namespace rl
