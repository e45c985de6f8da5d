// The matrix product, as a building block: C = A B (+ C) (+ bias), any strides, float or double.
//
// Goto's scheme: B is packed into panels NR wide, A into panels MR high, and one micro-kernel keeps an
// MR x NR tile of C in registers while it runs down K. Panels come from a functor, so that convolution
// packs straight from the image. MR x NR: 14 x 32 floats with AVX-512 (28 accumulators), 6 x 16 with AVX2,
// 4 x 8 with SSE.
//
// Results do not depend on the number of threads: a C tile is summed over K blocks in order by whoever
// computes it.
#pragma once

#include <cstring>

#include "../core/kernel.h"

namespace rl {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
constexpr int kMR = 14;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
constexpr int kMR = 6;
#else
constexpr int kVectorBytes = 16;
constexpr int kMR = 4;
#endif

template <class T>
struct Simd {
  static constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T vec __attribute__((vector_size(kVectorBytes)));
  typedef T loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  static vec load(const T* p) { return *reinterpret_cast<const loose*>(p); }
  // Subtraction, because 0 + x is not x for x = -0 and would be computed.
  static vec all(T x) { return x - vec{}; }
  static void store(T* p, vec v) { *reinterpret_cast<loose*>(p) = v; }
};

template <class T>
constexpr int kNR = 2 * Simd<T>::lanes;
constexpr int64_t kKC = 320;                  // K block: an A panel and a B panel stay in L1/L2
constexpr int64_t kMC = kMR * 8;
template <class T>
constexpr int64_t kNC = kNR<T> * 48;

// What happens to a C tile after its last K block.
template <class T>
struct Epilogue {
  const T* col_bias = nullptr;                // added to every row (one per column)
  const T* row_bias = nullptr;                // added to every column (one per row)
  bool relu = false;
  T alpha = T(1);
};

// rows x (2 vectors) of C += A panel * B panel. a: k-major, MR apart; b: k-major, ldb apart.
template <class T, int ROWS>
inline void micro(int64_t k, const T* a, int64_t lda_row, int64_t lda_k, const T* b, int64_t ldb, typename Simd<T>::vec* acc) {
  using V = typename Simd<T>::vec;
  V c0[ROWS], c1[ROWS];
  for (int r = 0; r < ROWS; ++r) c0[r] = c1[r] = V{};
  for (int64_t p = 0; p < k; ++p) {
    V b0 = Simd<T>::load(b), b1 = Simd<T>::load(b + Simd<T>::lanes);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      V x = Simd<T>::all(a[r * lda_row]);
      c0[r] += x * b0;
      c1[r] += x * b1;
    }
    a += lda_k;
    b += ldb;
  }
  for (int r = 0; r < ROWS; ++r) {
    acc[2 * r] = c0[r];
    acc[2 * r + 1] = c1[r];
  }
}

template <class T, int ROWS>
inline void micro_dispatch(int rows, int64_t k, const T* a, int64_t lda_row, int64_t lda_k, const T* b, int64_t ldb,
                           typename Simd<T>::vec* acc) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return micro_dispatch<T, ROWS - 1>(rows, k, a, lda_row, lda_k, b, ldb, acc);
  }
  micro<T, ROWS>(k, a, lda_row, lda_k, b, ldb, acc);
}

// Writes a finished or partial tile: first K block stores, later ones add, the last one runs the epilogue.
template <class T>
inline void write_tile(const typename Simd<T>::vec* acc, int rows, int cols, T* c, int64_t ldc, bool accumulate, bool last,
                       const Epilogue<T>& e, int64_t row0, int64_t col0) {
  using V = typename Simd<T>::vec;
  constexpr int L = Simd<T>::lanes;
  for (int r = 0; r < rows; ++r) {
    V v0 = acc[2 * r], v1 = acc[2 * r + 1];
    T* out = c + r * ldc;
    T row[2 * L];
    if (e.alpha != T(1)) {
      v0 *= e.alpha;
      v1 *= e.alpha;
    }
    if (cols == 2 * L) {
      if (accumulate) {
        v0 += Simd<T>::load(out);
        v1 += Simd<T>::load(out + L);
      }
      if (last) {
        if (e.col_bias) {
          v0 += Simd<T>::load(e.col_bias + col0);
          v1 += Simd<T>::load(e.col_bias + col0 + L);
        }
        if (e.row_bias) {
          v0 += e.row_bias[row0 + r];
          v1 += e.row_bias[row0 + r];
        }
        if (e.relu) {
          v0 = v0 < V{} ? V{} : v0;
          v1 = v1 < V{} ? V{} : v1;
        }
      }
      Simd<T>::store(out, v0);
      Simd<T>::store(out + L, v1);
      continue;
    }
    Simd<T>::store(row, v0);
    Simd<T>::store(row + L, v1);
    for (int j = 0; j < cols; ++j) {
      T x = row[j];
      if (accumulate) x += out[j];
      if (last) {
        if (e.col_bias) x += e.col_bias[col0 + j];
        if (e.row_bias) x += e.row_bias[row0 + r];
        if (e.relu) x = x < T(0) ? T(0) : x;
      }
      out[j] = x;
    }
  }
}

// out[a][b] = in[b][a] for 8 x 8 elements: three rounds of interleaving pairs of rows.
template <class T>
inline void transpose8(T* out, int64_t out_stride, const T* in, int64_t in_stride) {
  typedef T v8 __attribute__((vector_size(8 * sizeof(T))));
  typedef T loose8 __attribute__((vector_size(8 * sizeof(T)), aligned(sizeof(T)), may_alias));
  v8 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = *reinterpret_cast<const loose8*>(in + i * in_stride);
#define RL_LOW(a, b) __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13)
#define RL_HIGH(a, b) __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15)
  for (int i = 0; i < 8; i += 2) {
    t[i] = RL_LOW(r[i], r[i + 1]);
    t[i + 1] = RL_HIGH(r[i], r[i + 1]);
  }
#undef RL_LOW
#undef RL_HIGH
#define RL_LOW2(a, b) __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13)
#define RL_HIGH2(a, b) __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15)
  for (int h = 0; h < 8; h += 4) {
    r[h] = RL_LOW2(t[h], t[h + 2]);
    r[h + 1] = RL_HIGH2(t[h], t[h + 2]);
    r[h + 2] = RL_LOW2(t[h + 1], t[h + 3]);
    r[h + 3] = RL_HIGH2(t[h + 1], t[h + 3]);
  }
#undef RL_LOW2
#undef RL_HIGH2
  for (int i = 0; i < 4; ++i) {
    *reinterpret_cast<loose8*>(out + i * out_stride) = __builtin_shufflevector(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    *reinterpret_cast<loose8*>(out + (i + 4) * out_stride) = __builtin_shufflevector(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
}

// A strided matrix as a source of panels.
template <class T>
struct Matrix {
  const T* p;
  int64_t rs, cs;                             // row and column strides

  // Panel of B: rows k0..k0+kc, columns j0..j0+cols, k-major, zero-padded to NR.
  void pack_b(T* out, int64_t k0, int64_t kc, int64_t j0, int cols) const {
    constexpr int NR = kNR<T>;
    const T* s = p + k0 * rs + j0 * cs;
    if (cols == NR && cs == 1) {
      for (int64_t k = 0; k < kc; ++k) std::memcpy(out + k * NR, s + k * rs, NR * sizeof(T));
    } else if (cols == NR && rs == 1) {
      transpose_panel(out, s, kc);
    } else {
      for (int64_t k = 0; k < kc; ++k) {
        T* o = out + k * NR;
        for (int j = 0; j < cols; ++j) o[j] = s[k * rs + j * cs];
        for (int j = cols; j < NR; ++j) o[j] = T(0);
      }
    }
  }

  // NR columns that are contiguous along k, in blocks of 8 x 8.
  void transpose_panel(T* out, const T* s, int64_t kc) const {
    constexpr int NR = kNR<T>;
    int64_t k = 0;
    for (; k + 8 <= kc; k += 8)
      for (int j = 0; j < NR; j += 8) transpose8(out + k * NR + j, NR, s + j * cs + k, cs);
    for (; k < kc; ++k)
      for (int j = 0; j < NR; ++j) out[k * NR + j] = s[j * cs + k];
  }

  // Panel of A: rows i0..i0+rows, columns k0..k0+kc, k-major, MR apart.
  void pack_a(T* out, int64_t i0, int rows, int64_t k0, int64_t kc) const {
    const T* s = p + i0 * rs + k0 * cs;
    if (rs == 1 && rows == kMR) {
      for (int64_t k = 0; k < kc; ++k)
        for (int r = 0; r < kMR; ++r) out[k * kMR + r] = s[k * cs + r];
      return;
    }
    for (int64_t k = 0; k < kc; ++k) {
      for (int r = 0; r < rows; ++r) out[k * kMR + r] = s[r * rs + k * cs];
    }
  }
};

// C (M x N, row stride ldc, unit column stride) = alpha A B (+ C) with epilogue. PanelsB has pack_b as above.
template <class T, class PanelsB>
void gemm_serial_or_parallel(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const PanelsB& B, T* C, int64_t ldc,
                             bool accumulate, const Epilogue<T>& e, bool parallel) {
  constexpr int NR = kNR<T>;
  if (M == 0 || N == 0) return;
  if (K == 0) {
    typename Simd<T>::vec zero[2 * kMR] = {};
    for (int64_t i = 0; i < M; i += kMR)
      for (int64_t j = 0; j < N; j += NR)
        write_tile<T>(zero, static_cast<int>(M - i < kMR ? M - i : kMR), static_cast<int>(N - j < NR ? N - j : NR),
                      C + i * ldc + j, ldc, accumulate, true, e, i, j);
    return;
  }
  const int64_t nc_max = N < kNC<T> ? (N + NR - 1) / NR * NR : kNC<T>;
  const int64_t kc_max = K < kKC ? K : kKC;
  Scratch<T> packed_b(nc_max * kc_max);
  // Rows with unit K stride are read in place by broadcasts if few; else packed.
  for (int64_t j0 = 0; j0 < N; j0 += kNC<T>) {
    const int64_t nc = N - j0 < kNC<T> ? N - j0 : kNC<T>;
    const int64_t panels = (nc + NR - 1) / NR;
    for (int64_t k0 = 0; k0 < K; k0 += kKC) {
      const int64_t kc = K - k0 < kKC ? K - k0 : kKC;
      const bool last = k0 + kc == K, add = accumulate || k0 > 0;
      auto pack = [&](int64_t q) {
        int64_t j = q * NR;
        B.pack_b(packed_b + q * NR * kc, k0, kc, j0 + j, static_cast<int>(nc - j < NR ? nc - j : NR));
      };
      const int64_t row_blocks = (M + kMC - 1) / kMC;
      // Split columns too if there are few row blocks.
      const int64_t panels_per_job = row_blocks >= 8 ? panels : (panels * row_blocks + 7) / 8;
      const int64_t col_jobs = (panels + panels_per_job - 1) / panels_per_job;
      auto compute = [&](int64_t job) {
        const int64_t i0 = job / col_jobs * kMC, q0 = job % col_jobs * panels_per_job;
        const int64_t q1 = q0 + panels_per_job < panels ? q0 + panels_per_job : panels;
        const int64_t mc = M - i0 < kMC ? M - i0 : kMC;
        alignas(64) T packed_a[kMR * kKC];
        typename Simd<T>::vec acc[2 * kMR];
        for (int64_t i = i0; i < i0 + mc; i += kMR) {
          const int rows = static_cast<int>(i0 + mc - i < kMR ? i0 + mc - i : kMR);
          const T* a = A.p + i * A.rs + k0 * A.cs;
          int64_t lda_row = A.rs, lda_k = A.cs;
          if (q1 - q0 > 2) {                  // worth packing when several panels use it
            A.pack_a(packed_a, i, rows, k0, kc);
            a = packed_a;
            lda_row = 1;
            lda_k = kMR;
          }
          for (int64_t q = q0; q < q1; ++q) {
            const int64_t j = q * NR;
            micro_dispatch<T, kMR>(rows, kc, a, lda_row, lda_k, packed_b + q * NR * kc, NR, acc);
            write_tile<T>(acc, rows, static_cast<int>(nc - j < NR ? nc - j : NR), C + i * ldc + j0 + j, ldc, add, last, e, i,
                          j0 + j);
          }
        }
      };
      const int64_t jobs = row_blocks * col_jobs;
      if (parallel) {
        const int64_t per = 8, groups = (panels + per - 1) / per;
        parallel_for(groups, [&](int64_t g) {
          for (int64_t q = g * per; q < panels && q < (g + 1) * per; ++q) pack(q);
        });
        parallel_for(jobs, compute);
      } else {
        for (int64_t q = 0; q < panels; ++q) pack(q);
        for (int64_t job = 0; job < jobs; ++job) compute(job);
      }
    }
  }
}

// B (K x N), packed once for products with many A.
template <class T>
class PackedB {
 public:
  PackedB(const Matrix<T>& B, int64_t K, int64_t N) : K_(K), N_(N), panels_((N + kNR<T> - 1) / kNR<T>), data_(panels_ * kNR<T> * K) {
    parallel_for(panels_, [&](int64_t q) {
      for (int64_t k0 = 0; k0 < K_; k0 += kKC) B.pack_b(panel(q, k0), k0, block(k0), q * kNR<T>, cols(q));
    });
  }

  // C (M x N) = A B (+ C), by one thread. A's rows are contiguous.
  void multiply(int64_t M, const T* A, int64_t lda, T* C, int64_t ldc, bool accumulate, const Epilogue<T>& e) const {
    typename Simd<T>::vec acc[2 * kMR];
    alignas(64) T packed_a[kMR * kKC];
    const int64_t tiles = (M + kMR - 1) / kMR;  // of nearly equal height
    for (int64_t k0 = 0; k0 < K_; k0 += kKC) {
      const int64_t kc = block(k0);
      for (int64_t t = 0; t < tiles; ++t) {
        const int64_t i = M * t / tiles;
        const int rows = static_cast<int>(M * (t + 1) / tiles - i);
        Matrix<T>{A, lda, 1}.pack_a(packed_a, i, rows, k0, kc);
        for (int64_t q = 0; q < panels_; ++q) {
          micro_dispatch<T, kMR>(rows, kc, packed_a, 1, kMR, panel(q, k0), kNR<T>, acc);
          write_tile<T>(acc, rows, cols(q), C + i * ldc + q * kNR<T>, ldc, accumulate || k0 > 0, k0 + kc == K_, e, i, q * kNR<T>);
        }
      }
    }
  }

 private:
  int64_t block(int64_t k0) const { return K_ - k0 < kKC ? K_ - k0 : kKC; }
  int cols(int64_t q) const { return static_cast<int>(N_ - q * kNR<T> < kNR<T> ? N_ - q * kNR<T> : kNR<T>); }
  T* panel(int64_t q, int64_t k0) const { return data_ + panels_ * kNR<T> * k0 + q * kNR<T> * block(k0); }

  int64_t K_, N_, panels_;
  Scratch<T> data_;
};

template <class T, class PanelsB>
void gemm(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const PanelsB& B, T* C, int64_t ldc, bool accumulate,
          const Epilogue<T>& e) {
  // A parallel region costs a few microseconds; below ~2 MFLOP one thread is faster.
  gemm_serial_or_parallel<T>(M, N, K, A, B, C, ldc, accumulate, e, M * N * K > 1000000);
}

}  // namespace
}  // namespace rl
