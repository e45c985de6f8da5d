// One row times a matrix, by one thread: there is nothing to pack for, because every element of B is used once.
#pragma once

#include <algorithm>

#include "gemm.h"

namespace rl {
namespace {

// Columns [j, j + n), n <= L, of a row of C, whose sums are in v.
template <class T>
inline void finish_row(typename Simd<T>::vec v, int64_t j, int64_t n, T* C, bool accumulate, const Epilogue<T>& e) {
  using S = Simd<T>;
  const int some = static_cast<int>(n);
  if (e.alpha != T(1)) v *= e.alpha;
  if (accumulate) v += S::load_some(C + j, some);
  if (e.col_bias) v += S::load_some(e.col_bias + j, some);
  if (e.row_bias) v += S::all(e.row_bias[0]);
  if (e.relu) v = v < typename S::vec{} ? typename S::vec{} : v;
  S::store_some(C + j, v, some);
}

// Rows of B are contiguous: VECS vectors of columns from j on, `n` columns, add up in registers, K block by K block as in tiles.
template <class T, int VECS>
void row_of_sums(int64_t K, const T* a, int64_t step, const T* b, int64_t ldb, int64_t j, int64_t n, T* C, bool accumulate,
                 const Epilogue<T>& e) {
  using S = Simd<T>;
  using V = typename S::vec;
  constexpr int L = S::lanes;
  const int64_t block = k_block(K);
  const int rest = static_cast<int>(n - (VECS - 1) * L);
  V total[VECS];
  for (int64_t k0 = 0; k0 < K; k0 += block) {
    V sum[VECS] = {};
    for (int64_t k = k0; k < std::min(K, k0 + block); ++k) {
      const V x = S::all(a[k * step]);
      const T* row = b + k * ldb + j;
#pragma GCC unroll 8
      for (int h = 0; h < VECS - 1; ++h) sum[h] += x * S::load(row + h * L);
      sum[VECS - 1] += x * S::load_some(row + (VECS - 1) * L, rest);
    }
#pragma GCC unroll 8
    for (int h = 0; h < VECS; ++h) total[h] = k0 == 0 ? sum[h] : total[h] + sum[h];
  }
  for (int h = 0; h < VECS; ++h) finish_row<T>(total[h], j + h * L, std::min<int64_t>(L, n - h * L), C, accumulate, e);
}

template <class T, int VECS, class... A>
inline void row_of_sums_of(int64_t vecs, A... a) {
  if constexpr (VECS > 1) {
    if (vecs < VECS) return row_of_sums_of<T, VECS - 1>(vecs, a...);
  }
  row_of_sums<T, VECS>(a...);
}

// [a0 + a1, a2 + a3, ..., b0 + b1, ...]
template <class V>
inline V neighbours_added(V a, V b) {
  constexpr int L = sizeof(V) / sizeof(a[0]);
  decltype(a < b) even, odd;
  for (int i = 0; i < L; ++i) even[i] = 2 * i, odd[i] = 2 * i + 1;
  return __builtin_shuffle(a, b, even) + __builtin_shuffle(a, b, odd);
}

// Columns of B are contiguous: as many dot products at a time as a vector has lanes, and their lanes are added side by side.
template <class T>
void row_of_dots(int64_t N, int64_t K, const T* a, const T* b, int64_t ldb, T* C, bool accumulate, const Epilogue<T>& e) {
  using S = Simd<T>;
  using V = typename S::vec;
  constexpr int L = S::lanes;
  for (int64_t j = 0; j < N; j += L) {
    const T* column[L];
    for (int c = 0; c < L; ++c) column[c] = b + std::min(j + c, N - 1) * ldb;
    V sum[L] = {};
    int64_t k = 0;
    for (; k + L <= K; k += L) {
      const V x = S::load(a + k);
#pragma GCC unroll 16
      for (int c = 0; c < L; ++c) sum[c] += x * S::load(column[c] + k);
    }
    if (k < K) {
      const int rest = static_cast<int>(K - k);
      const V x = S::load_some(a + k, rest);
#pragma GCC unroll 16
      for (int c = 0; c < L; ++c) sum[c] += x * S::load_some(column[c] + k, rest);
    }
#pragma GCC unroll 16
    for (int n = L / 2; n > 0; n /= 2)
#pragma GCC unroll 8
      for (int c = 0; c < n; ++c) sum[c] = neighbours_added(sum[2 * c], sum[2 * c + 1]);
    finish_row<T>(sum[0], j, std::min<int64_t>(L, N - j), C, accumulate, e);
  }
}

constexpr int64_t kLongDots = 512;            // from here on few columns at a time are faster: they are streams from memory

// Whether this has been done: C (N) = alpha A B (+ C) with epilogue.
template <class T>
bool row_product(int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, bool accumulate, const Epilogue<T>& e) {
  constexpr int64_t kMost = 8 * Simd<T>::lanes;
  if (K == 0) return false;
  if (B.cs == 1) {
    for (int64_t j = 0; j < N; j += kMost) {
      const int64_t n = std::min(kMost, N - j);
      row_of_sums_of<T, 8>((n + Simd<T>::lanes - 1) / Simd<T>::lanes, K, A.p, A.cs, B.p, B.rs, j, n, C, accumulate, e);
    }
    return true;
  }
  if (B.rs != 1 || A.cs != 1 || K >= kLongDots) return false;
  row_of_dots(N, K, A.p, B.p, B.cs, C, accumulate, e);
  return true;
}

}  // namespace
}  // namespace rl
