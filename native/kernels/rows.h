// Sums and maxima of a row in 16 lanes: vectorised, and in one order whatever the machine.
#pragma once

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "convert.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int kLanes = 16;

template <class T>
struct Sixteen {
  // A value, not an array, so that it stays in registers.
  typedef T vec __attribute__((vector_size(kLanes * sizeof(T))));
  // By reference throughout: how such a vector is passed depends on the instruction set.
  static void load(vec& v, const T* p) { std::memcpy(&v, p, sizeof v); }
  // The first n of them (1 <= n < 16), the others `rest`. Compilers make scalar loops or calls of memcpy of it, which cost
  // more than a short row: hence masks by hand.
  static void load(vec& v, const T* p, int64_t n, T rest) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      const auto mask = static_cast<__mmask16>((1u << n) - 1);
      v = reinterpret_cast<vec>(_mm512_mask_loadu_ps(_mm512_set1_ps(static_cast<float>(rest)), mask, p));
      return;
    }
#endif
    T row[kLanes];
    for (int k = 0; k < kLanes; ++k) row[k] = k < n ? p[k] : rest;
    load(v, row);
  }
  static void store(T* p, const vec& v) { std::memcpy(p, &v, sizeof v); }
  static void store(T* p, const vec& v, int64_t n) {
#if defined(__AVX512F__)
    if constexpr (sizeof(T) == 4) {
      const auto mask = n < kLanes ? static_cast<__mmask16>((1u << n) - 1) : static_cast<__mmask16>(-1);
      _mm512_mask_storeu_ps(p, mask, reinterpret_cast<__m512>(v));
      return;
    }
#endif
    T row[kLanes];
    store(row, v);
    for (int k = 0; k < kLanes; ++k)
      if (k < n) p[k] = row[k];
  }
  // The same from and to half types.
  template <class S, std::enable_if_t<kHalf<S>, int> = 0>
  static void load(vec& v, const S* p) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    v = reinterpret_cast<vec>(widened<S>(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
#else
    T row[kLanes];
    widen(p, kLanes, row);
    load(v, row);
#endif
  }
  template <class S, std::enable_if_t<kHalf<S>, int> = 0>
  static void load(vec& v, const S* p, int64_t n, T rest) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    const auto mask = static_cast<__mmask16>((1u << n) - 1);
    v = reinterpret_cast<vec>(_mm512_mask_mov_ps(_mm512_set1_ps(rest), mask, widened<S>(_mm256_maskz_loadu_epi16(mask, p))));
#else
    T row[kLanes];
    widen(p, n, row);
    std::fill(row + n, row + kLanes, rest);
    load(v, row);
#endif
  }
  template <class S, std::enable_if_t<kHalf<S>, int> = 0>
  static void store(S* p, const vec& v, int64_t n = kLanes) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    if (n >= kLanes) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrowed<S>(reinterpret_cast<__m512>(v)));
    _mm256_mask_storeu_epi16(p, static_cast<__mmask16>((1u << n) - 1), narrowed<S>(reinterpret_cast<__m512>(v)));
#else
    T row[kLanes];
    store(row, v);
    narrow(row, n < kLanes ? n : kLanes, p);
#endif
  }
  // The even lanes of a and then of b, and the odd ones.
  template <class V>
  static void pairs(const V& a, const V& b, V& even, V& odd) {
    even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  }
  // combine(a, b): a becomes both of them, lane by lane.
  template <class F>
  static T fold(const vec& v, const F& combine) {
    auto a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7);
    combine(a, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15));
    auto b = __builtin_shufflevector(a, a, 0, 1, 2, 3);
    combine(b, __builtin_shufflevector(a, a, 4, 5, 6, 7));
    auto c = __builtin_shufflevector(b, b, 0, 1);
    combine(c, __builtin_shufflevector(b, b, 2, 3));
    T last = c[0];
    combine(last, T(c[1]));
    return last;
  }
  static T sum(const vec& v) {
    return fold(v, [](auto& a, const auto& b) { a += b; });
  }
  static T max(const vec& v) {
    return fold(v, [](auto& a, const auto& b) { a = b > a ? b : a; });
  }
  // Lane r of rows[0] becomes all lanes of rows[r] together: 30 shuffles for 16 rows, where one by one takes 64.
  template <class F>
  static void fold_rows(vec* rows, const F& combine) {
    for (int n = kLanes / 2; n; n /= 2)
      for (int k = 0; k < n; ++k) {
        vec even, odd;
        pairs(rows[2 * k], rows[2 * k + 1], even, odd);
        combine(even, odd);
        rows[k] = even;
      }
  }
  // a0 b0 a1 b1 …: the other way round.
  static void zip(const vec& a, const vec& b, vec& low, vec& high) {
    low = __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    high = __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
  static void sums(vec* rows) {
    fold_rows(rows, [](vec& a, const vec& b) { a += b; });
  }
  static void maxima(vec* rows) {
    fold_rows(rows, [](vec& a, const vec& b) { a = b > a ? b : a; });
  }
};

// The next elements of a run, `left` of them; `rest` in lanes beyond.
template <class S, class T = Compute<S>>
inline void load_left(typename Sixteen<T>::vec& v, const S* p, int64_t left, std::type_identity_t<T> rest) {
  if (left >= kLanes) Sixteen<T>::load(v, p);
  else Sixteen<T>::load(v, p, left, rest);
}

template <class T, class F>
inline T lane_sum(int64_t n, const F& term) {
  T lane[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) lane[k] += term(i + k);
  for (int k = 0; i < n; ++i, ++k) lane[k] += term(i);
  typename Sixteen<T>::vec total;
  Sixteen<T>::load(total, lane);
  return Sixteen<T>::sum(total);
}

template <class S, class T = Compute<S>>
inline void max_lanes(const S* x, int64_t n, typename Sixteen<T>::vec& most) {
  const T low = -std::numeric_limits<T>::infinity();
  typename Sixteen<T>::vec v;
  most = low - typename Sixteen<T>::vec{};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Sixteen<T>::load(v, x + i);
    most = v > most ? v : most;
  }
  if (i < n) {
    Sixteen<T>::load(v, x + i, n - i, low);
    most = v > most ? v : most;
  }
}

template <class S, class T = Compute<S>>
inline T lane_max(const S* x, int64_t n) {
  typename Sixteen<T>::vec most;
  max_lanes(x, n, most);
  return Sixteen<T>::max(most);
}

// y = f(x) for a row; f changes a vector in place.
template <class S, class R, class F, class T = Compute<S>>
inline void each_lanes(const S* x, int64_t n, R* y, const F& f) {
  typename Sixteen<T>::vec v;
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Sixteen<T>::load(v, x + i);
    f(v);
    Sixteen<T>::store(y + i, v);
  }
  if (i < n) {
    Sixteen<T>::load(v, x + i, n - i, T(0));
    f(v);
    Sixteen<T>::store(y + i, v, n - i);
  }
}

// v = f(v) for a function of one number.
template <class T, class F>
inline void each_lane(typename Sixteen<T>::vec& v, const F& f) {
  T part[kLanes];
  Sixteen<T>::store(part, v);
  for (int k = 0; k < kLanes; ++k) part[k] = f(part[k]);
  Sixteen<T>::load(v, part);
}

// The sum of exp(x - m) in lanes, m not below any x; the terms go into `out` if STORE.
template <bool STORE, class S, class T = Compute<S>>
inline void exp_lanes(const S* x, int64_t n, std::type_identity_t<T> m, std::type_identity_t<T>* out,
                      typename Sixteen<T>::vec& result) {
  typename Sixteen<T>::vec v, total = {};        // a variable, because `out` could overlap a reference
  T part[kLanes];
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    if constexpr (kHalf<S>) {
      widen(x + i, kLanes, part);
      for (int k = 0; k < kLanes; ++k) part[k] = fast_exp_below(part[k] - m);
    } else {
      for (int k = 0; k < kLanes; ++k) part[k] = fast_exp_below(x[i + k] - m);
    }
    Sixteen<T>::load(v, part);
    if constexpr (STORE) Sixteen<T>::store(out + i, v);
    total += v;
  }
  if (i < n) {
    Sixteen<T>::load(v, x + i, n - i, -std::numeric_limits<T>::infinity());
    std::memcpy(part, &v, sizeof part);
    for (int k = 0; k < kLanes; ++k) part[k] = fast_exp_below(part[k] - m);
    Sixteen<T>::load(v, part, n - i, T(0));       // not the terms beyond n, which are NaN if m is -inf
    if constexpr (STORE) Sixteen<T>::store(out + i, v, n - i);
    total += v;
  }
  result = total;
}

template <bool STORE, class S, class T = Compute<S>>
inline T exp_sum(const S* x, int64_t n, std::type_identity_t<T> m, std::type_identity_t<T>* out) {
  typename Sixteen<T>::vec total;
  exp_lanes<STORE>(x, n, m, out, total);
  return Sixteen<T>::sum(total);
}

// Of up to sixteen rows of n elements: the maximum, and the logarithm of the sum of exp(x - maximum).
template <class S, class T = Compute<S>>
inline void log_sums(const S* x, int64_t rows, int64_t n, T* most, T* log_sum) {
  typename Sixteen<T>::vec v[kLanes];
  for (int64_t r = 0; r < kLanes; ++r) {
    if (r < rows) max_lanes(x + r * n, n, v[r]);
    else v[r] = v[0];
  }
  Sixteen<T>::maxima(v);
  Sixteen<T>::store(most, v[0]);
  for (int64_t r = 0; r < kLanes; ++r) {
    if (r < rows) exp_lanes<false>(x + r * n, n, most[r], static_cast<T*>(nullptr), v[r]);
    else v[r] = v[0];
  }
  Sixteen<T>::sums(v);
  T s[kLanes];
  Sixteen<T>::store(s, v[0]);
  for (int k = 0; k < kLanes; ++k) log_sum[k] = fast_log(s[k]);
}

}  // namespace
}  // namespace rl
