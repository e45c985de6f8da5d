// The largest or smallest elements of rows of floats, and their places.
#pragma once

#include <algorithm>
#include <type_traits>

#include "rows.h"

namespace rl {
namespace {

// A best value and its place per lane, then sixteen rows are brought together like sums are. The first of equals wins, and a NaN
// over all numbers: the first one, or the last one (max pooling).
template <class T, bool MAX, bool LAST_NAN>
struct RowExtremes {
  typedef typename Sixteen<T>::vec V;
  typedef std::conditional_t<sizeof(T) == 8, int64_t, int32_t> I;
  typedef I Places __attribute__((vector_size(kLanes * sizeof(I))));

  static void row(const T* s, int64_t n, V& best, Places& place) {
    const T rest = MAX ? -std::numeric_limits<T>::infinity() : std::numeric_limits<T>::infinity();
    Places at;
    for (int k = 0; k < kLanes; ++k) at[k] = k;
    place = at;
    V v;
    if (n < kLanes) return Sixteen<T>::load(best, s, n, rest);   // lanes beyond n lose against equals before them
    Sixteen<T>::load(best, s);
    for (int64_t i = kLanes; i < n; i += kLanes) {
      at += kLanes;
      if (i + kLanes <= n) Sixteen<T>::load(v, s + i);
      else Sixteen<T>::load(v, s + i, n - i, rest);
      Places take = (MAX ? v > best : v < best) | (v != v);
      if constexpr (!LAST_NAN) take &= best == best;
      best = take ? v : best;
      place = take ? at : place;
    }
  }

  // of `count` rows, up to sixteen
  template <class W>
  static void rows(const T* s, int64_t count, int64_t n, T* values, W* where) {
    V best[kLanes];
    Places place[kLanes];
    row(s, n, best[0], place[0]);
    for (int64_t r = 1; r < kLanes; ++r) {
      if (r < count) row(s + r * n, n, best[r], place[r]);
      else best[r] = best[0], place[r] = place[0];
    }
    for (int half = kLanes / 2; half; half /= 2)
      for (int k = 0; k < half; ++k) {
        V a, b;
        Places pa, pb;
        Sixteen<T>::pairs(best[2 * k], best[2 * k + 1], a, b);
        Sixteen<T>::pairs(place[2 * k], place[2 * k + 1], pa, pb);
        const Places sooner = pb < pa;
        const Places lost = (a == a) | (LAST_NAN ? ~sooner : sooner);
        const Places take = (MAX ? b > a : b < a) | ((b == a) & sooner) | ((b != b) & lost);
        best[k] = take ? b : a;
        place[k] = take ? pb : pa;
      }
    Sixteen<T>::store(values, best[0], count);
    for (int64_t r = 0; r < count; ++r) where[r] = static_cast<W>(place[0][r]);
  }
};

// All rows, in parallel.
template <class T, bool MAX, bool LAST_NAN, class W>
void extremes_of(const T* p, int64_t count, int64_t n, T* values, W* where) {
  const int64_t per = (32768 / std::max<int64_t>(1, n) / kLanes + 1) * kLanes;
  parallel_for((count + per - 1) / per, [&](int64_t k) {
    const int64_t end = std::min(count, (k + 1) * per);
    for (int64_t r = k * per; r < end; r += kLanes)
      RowExtremes<T, MAX, LAST_NAN>::rows(p + r * n, std::min<int64_t>(kLanes, end - r), n, values + r, where + r);
  });
}

}  // namespace
}  // namespace rl
