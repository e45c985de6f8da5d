// The matrix product of bfloat16 matrices, on chips that multiply pairs of them (AVX512-BF16): twice the rate of float32.
//
// A 32-bit lane holds two neighbours along K, of which the instruction adds both products to a float32 sum. So panels are those of
// gemm.h with pairs for elements. A tile keeps its sums in registers for all of K, and is rounded once, after bias and relu.
#pragma once

#include <cstdint>
#include <cstring>

#include "../core/half.h"
#include "product.h"

#if defined(__AVX512F__) && defined(__x86_64__)
#include <immintrin.h>
#define RL_BF16 __attribute__((target("avx512bf16")))
#endif

namespace rl {
namespace {

#ifdef RL_BF16
inline bool bf16_products() { return __builtin_cpu_supports("avx512bf16"); }

// A strided matrix of bfloat16.
struct HalfMatrix {
  const bfloat16* p;
  int64_t rs, cs;                             // row and column strides
};

struct HalfEpilogue {
  const bfloat16* bias = nullptr;             // one per column
  bool relu = false;
};

// Of n lines (rows of A or columns of B, `line` apart) and K elements along each (`step` apart), pairs in order of K:
// out[pair][line], W lines a row. The pair of an odd K's last element is zero, and so are lines past n.
inline void pack_pairs(uint32_t* out, int W, int n, int64_t K, const bfloat16* p, int64_t line, int64_t step) {
  typedef uint16_t u16 __attribute__((vector_size(32)));
  typedef uint16_t loose16 __attribute__((vector_size(32), aligned(2), may_alias));
  typedef uint32_t u32 __attribute__((vector_size(64)));
  typedef uint32_t loose32 __attribute__((vector_size(64), aligned(4), may_alias));
  const int64_t whole = K / 2;
  int64_t k = 0;
  if (n < W) std::memset(out, 0, static_cast<size_t>((K + 1) / 2 * W) * sizeof(uint32_t));
  if (step == 1 && line % 2 == 0 && n >= 8 && reinterpret_cast<uintptr_t>(p) % 4 == 0) {
    for (; k + 8 <= whole; k += 8)            // the last block of 8 lines overlaps the one before
      for (int r = 0; r < n; r += 8) {
        const int first = r + 8 <= n ? r : n - 8;
        transpose8(out + k * W + first, W, reinterpret_cast<const uint32_t*>(p + first * line) + k, line / 2);
      }
  } else if (line == 1 && n >= 16) {
    for (; k < whole; ++k)
      for (int r = 0; r < n; r += 16) {
        const int first = r + 16 <= n ? r : n - 16;
        const bfloat16* s = p + 2 * k * step + first;
        const u16 low = *reinterpret_cast<const loose16*>(s), high = *reinterpret_cast<const loose16*>(s + step);
        *reinterpret_cast<loose32*>(out + k * W + first) =
            __builtin_convertvector(low, u32) | __builtin_convertvector(high, u32) << 16;
      }
  }
  for (; k < (K + 1) / 2; ++k)
    for (int r = 0; r < n; ++r) {
      const bfloat16* s = p + r * line + 2 * k * step;
      const uint32_t high = 2 * k + 1 < K ? s[step].bits : 0;
      out[k * W + r] = s->bits | high << 16;
    }
}

// Two vectors of results of one row, rounded.
RL_BF16 inline void store_rounded(bfloat16* c, __m512 v, int n) {
  const __m256i h = reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v));
  if (n >= 16) return _mm256_storeu_si256(reinterpret_cast<__m256i*>(c), h);
  uint16_t part[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(part), h);
  std::memcpy(c, part, static_cast<size_t>(n) * sizeof(bfloat16));
}

inline __m512 load_bias(const bfloat16* bias, int n) {
  float row[16] = {};
  for (int i = 0; i < (n < 16 ? n : 16); ++i) row[i] = to_float(bias[i]);
  return _mm512_loadu_ps(row);
}

// ROWS x 32 results: a[pair][row] (kMR a pair), b[pair][column] (32 a pair).
template <int ROWS>
RL_BF16 void half_tile(int rows, int64_t pairs, const uint32_t* a, const uint32_t* b, bfloat16* c, int64_t ldc, int cols,
                       const HalfEpilogue& e) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return half_tile<ROWS - 1>(rows, pairs, a, b, c, ldc, cols, e);
  }
  __m512 sum[ROWS][2];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_ps();
  for (int64_t k = 0; k < pairs; ++k, a += kMR, b += 32) {
    const __m512bh b0 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b)), b1 = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b + 16));
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const __m512bh x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(a[r])));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, b0);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, b1);
    }
  }
  const __m512 bias0 = e.bias ? load_bias(e.bias, cols) : _mm512_setzero_ps();
  const __m512 bias1 = e.bias && cols > 16 ? load_bias(e.bias + 16, cols - 16) : _mm512_setzero_ps();
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r) {
    __m512 v0 = sum[r][0], v1 = sum[r][1];
    if (e.bias) v0 = _mm512_add_ps(v0, bias0), v1 = _mm512_add_ps(v1, bias1);
    if (e.relu) {                             // NaN stays
      v0 = _mm512_max_ps(_mm512_setzero_ps(), v0);
      v1 = _mm512_max_ps(_mm512_setzero_ps(), v1);
    }
    store_rounded(c + r * ldc, v0, cols);
    if (cols > 16) store_rounded(c + r * ldc + 16, v1, cols - 16);
  }
}

// C (M x N, row stride ldc) = A B, with epilogue.
inline void half_product(int64_t M, int64_t N, int64_t K, const HalfMatrix& A, const HalfMatrix& B, bfloat16* C, int64_t ldc,
                         const HalfEpilogue& e, bool parallel) {
  constexpr int NR = 32;
  if (M == 0 || N == 0) return;
  const int64_t pairs = (K + 1) / 2, panels = (N + NR - 1) / NR;
  Scratch<uint32_t> packed(panels * NR * pairs);
  auto cols = [&](int64_t q) { return static_cast<int>(N - q * NR < NR ? N - q * NR : NR); };
  auto pack = [&](int64_t q) { pack_pairs(packed + q * NR * pairs, NR, cols(q), K, B.p + q * NR * B.cs, B.cs, B.rs); };
  const Tiles tiles(M);
  const int64_t row_jobs = (tiles.count + kTiles - 1) / kTiles, wanted = (kJobs + row_jobs - 1) / row_jobs;
  const int64_t col_jobs = panels < wanted ? panels : wanted;
  auto compute = [&](int64_t job) {
    const int64_t row_job = job / col_jobs, col_job = job % col_jobs;
    Scratch<uint32_t> packed_a(kMR * pairs);
    for (int64_t t = tiles.count * row_job / row_jobs; t < tiles.count * (row_job + 1) / row_jobs; ++t) {
      const int64_t i = tiles.at(t);
      pack_pairs(packed_a, kMR, tiles.height(t), K, A.p + i * A.rs, A.rs, A.cs);
      for (int64_t q = panels * col_job / col_jobs; q < panels * (col_job + 1) / col_jobs; ++q) {
        HalfEpilogue mine = e;
        if (e.bias) mine.bias += q * NR;
        half_tile<kMR>(tiles.height(t), pairs, packed_a, packed + q * NR * pairs, C + i * ldc + q * NR, ldc, cols(q), mine);
      }
    }
  };
  if (!parallel) {
    for (int64_t q = 0; q < panels; ++q) pack(q);
    for (int64_t job = 0; job < row_jobs * col_jobs; ++job) compute(job);
    return;
  }
  const int64_t per = 1 + 32768 / (NR * pairs + 1);
  parallel_for((panels + per - 1) / per, [&](int64_t g) {
    for (int64_t q = g * per; q < panels && q < (g + 1) * per; ++q) pack(q);
  });
  parallel_for(row_jobs * col_jobs, compute);
}
#else
inline bool bf16_products() { return false; }
#endif

}  // namespace
}  // namespace rl
