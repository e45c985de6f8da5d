// The matrix product C = A B (+ C) (+ bias), any strides, float or double, on all threads or one.
//
// Results do not depend on the number of threads: a C tile is summed over K blocks in order by whoever
// computes it, and how C is cut into jobs depends on its size alone.
#pragma once

#include <algorithm>
#include <utility>

#include "product_row.h"

namespace rl {
namespace {

template <class T>
constexpr int64_t kNC = kNR<T> * 48;          // columns of B that are packed at a time
constexpr int64_t kTiles = 4;                 // tiles of A, one above the other, in a job
constexpr int64_t kJobs = 8;                  // jobs wanted, if C is large enough
constexpr int64_t kLarge = int64_t{1} << 24, kFineJobs = 32;   // multiply-adds that are worth more jobs: cores are not equally fast
constexpr int64_t kFewTiles = 12;             // of A, where jobs share A and not B

// M rows in tiles of nearly equal height.
struct Tiles {
  int64_t rows, count;
  explicit Tiles(int64_t M) : rows(M), count((M + kMR - 1) / kMR) {}
  int64_t at(int64_t t) const { return count ? rows * t / count : 0; }
  int height(int64_t t) const { return static_cast<int>(at(t + 1) - at(t)); }
};

// C (M x N, row stride ldc, unit column stride) = alpha A B (+ C) with epilogue.
template <class T>
class Product {
  static constexpr int NR = kNR<T>;

 public:
  // Rows of B that lie as a panel wants them are used where they are, unless many tiles read them.
  Product(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, int64_t ldc, bool accumulate,
          const Epilogue<T>& e)
      : M_(M), N_(N), K_(K), tiles_(M), A_(A), B_(B), C_(C), ldc_(ldc), accumulate_(accumulate), e_(e),
        in_place_(B.cs == 1 && tiles_.count <= 2) {}

  void run(bool parallel) {
    if (tiles_.rows == 0 || N_ == 0) return;
    if (K_ == 0) return nothing();
    if (parallel && (in_place_ || (tiles_.count <= kFewTiles && N_ > NR))) return columns();
    if (!parallel && tiles_.count <= kTiles) return panel_by_panel();
    const int64_t nc_max = N_ < kNC<T> ? (N_ + NR - 1) / NR * NR : kNC<T>;
    const int64_t block = k_block(K_);
    Scratch<T> packed(nc_max * block);
    packed_ = packed;
    for (j0_ = 0; j0_ < N_; j0_ += kNC<T>) {
      nc_ = N_ - j0_ < kNC<T> ? N_ - j0_ : kNC<T>;
      panels_ = (nc_ + NR - 1) / NR;
      row_jobs_ = (tiles_.count + kTiles - 1) / kTiles;
      if (row_jobs_ > 1) row_jobs_ += row_jobs_ % 2;
      const int64_t wanted = parallel ? (kJobs + row_jobs_ - 1) / row_jobs_ : (panels_ + kJobs - 1) / kJobs;
      col_jobs_ = panels_ < wanted ? panels_ : wanted;
      for (k0_ = 0; k0_ < K_; k0_ += block) {
        kc_ = std::min(block, K_ - k0_);
        pack(parallel);
        fetched_ = parallel ? panels_ : 0;
        if (parallel) {
          parallel_for(row_jobs_ * col_jobs_, [&](int64_t job) { compute(job); });
        } else {
          for (int64_t job = 0; job < row_jobs_ * col_jobs_; ++job) compute(job);
        }
      }
    }
  }

 private:
  // Few rows: a job packs the columns that it multiplies, so that no thread waits for another one's panels.
  void columns() {
    const int64_t panels = (N_ + NR - 1) / NR, jobs = std::min(panels, M_ * N_ * K_ > kLarge ? kFineJobs : kJobs);
    // Every job would copy its own rows of A.
    const int64_t pitch = A_.copy_pitch(K_);
    const bool copied = tiles_.count > 0 && A_.crowded(tiles_.height(0));
    Scratch<T> rows(copied ? M_ * pitch : 0);
    if (copied)
      parallel_for(tiles_.count, [&](int64_t t) {
        A_.copy_rows(rows + tiles_.at(t) * pitch, pitch, A_.p + tiles_.at(t) * A_.rs, tiles_.height(t), K_);
      });
    const Matrix<T> A = copied ? Matrix<T>{rows, pitch, 1} : A_;
    parallel_for(jobs, [&](int64_t job) {
      const int64_t j = panels * job / jobs * NR, end = std::min(N_, panels * (job + 1) / jobs * NR);
      Epilogue<T> e = e_;
      if (e.col_bias) e.col_bias += j;
      Product(M_, end - j, K_, A, {B_.p + j * B_.cs, B_.rs, B_.cs}, C_ + j, ldc_, accumulate_, e).run(false);
    });
  }

  // A few tiles of A, one thread: one panel of B is packed at a time, while the next one is fetched.
  void panel_by_panel() {
    const int64_t block = k_block(K_), panels = (N_ + NR - 1) / NR, space = kMR * (block + Matrix<T>::kRowGap);
    Scratch<T> rows(tiles_.count * space), packed(NR * block);
    TileRows<T> a[kTiles];
    for (int64_t k0 = 0; k0 < K_; k0 += block) {
      const int64_t kc = std::min(block, K_ - k0);
      const bool last = k0 + kc == K_, add = accumulate_ || k0 > 0;
      for (int64_t t = 0; t < tiles_.count; ++t) a[t] = A_.tile_rows(rows + t * space, tiles_.at(t), tiles_.height(t), k0, kc, panels);
      for (int64_t j = 0; j < N_; j += NR) {
        const int cols = static_cast<int>(std::min<int64_t>(NR, N_ - j));
        const bool direct = in_place_ && cols == NR;
        if (!direct) B_.pack_b(packed, k0, kc, j, cols);
        for (int64_t t = 0; t < tiles_.count; ++t) {
          const int64_t i = tiles_.at(t);
          TileOut<T> out(C_ + i * ldc_ + j, ldc_, add, last, e_, i, j);
          if (t == 0) out.fetch = j + NR < N_ ? B_.fetch(k0, kc, j + NR, NR) : panel_later(k0, kc, 0, N_);
          tile<T>(tiles_.height(t), cols, kc, a[t], direct ? B_.p + k0 * B_.rs + j : packed, direct ? B_.rs : NR, out);
        }
      }
    }
  }

  // The panel at column j in the block after rows k0..k0+kc; after the last one, that in the columns that follow these `cols`.
  Fetch panel_later(int64_t k0, int64_t kc, int64_t j, int64_t cols) const {
    return k0 + kc < K_ ? B_.fetch(k0 + kc, std::min(kc, K_ - k0 - kc), j, NR) : B_.fetch(0, kc, j + cols, NR);
  }

  int cols(int64_t q) const { return static_cast<int>(nc_ - q * NR < NR ? nc_ - q * NR : NR); }

  void pack(bool parallel) {
    auto one = [&](int64_t q) { B_.pack_b(packed_ + q * NR * kc_, k0_, kc_, j0_ + q * NR, cols(q)); };
    if (parallel) {
      const int64_t per = (32768 + kc_ * NR - 1) / (kc_ * NR), groups = (panels_ + per - 1) / per;
      parallel_for(groups, [&](int64_t g) {
        for (int64_t q = g * per; q < panels_ && q < (g + 1) * per; ++q) one(q);
      });
    } else {
      for (int64_t q = 0; q < panels_; ++q) one(q);
    }
  }

  void compute(int64_t job) {
    const int64_t row_job = job / col_jobs_, col_job = job % col_jobs_;
    const int64_t q0 = panels_ * col_job / col_jobs_, q1 = panels_ * (col_job + 1) / col_jobs_;
    const int64_t t0 = tiles_.count * row_job / row_jobs_, t1 = tiles_.count * (row_job + 1) / row_jobs_;
    const bool last = k0_ + kc_ == K_, add = accumulate_ || k0_ > 0;
    alignas(64) T space[kMR * (kKC + Matrix<T>::kRowGap)];
    for (int64_t t = t0; t < t1; ++t) {
      const int64_t i = tiles_.at(t);
      const int rows = tiles_.height(t);
      const TileRows<T> a = A_.tile_rows(space, i, rows, k0_, kc_, q1 - q0);
      for (int64_t q = q0; q < q1; ++q) {
        const int64_t j = j0_ + q * NR;
        TileOut<T> out(C_ + i * ldc_ + j, ldc_, add, last, e_, i, j);
        if (q == q0 && t + 1 < t1) out.fetch = A_.fetch(tiles_.at(t + 1), tiles_.height(t + 1), k0_, kc_);
        else if (fetched_ < panels_) out.fetch = panel_later(k0_, kc_, j0_ + NR * fetched_++, nc_);
        tile<T>(rows, cols(q), kc_, a, packed_ + q * NR * kc_, NR, out);
      }
    }
  }

  // No terms: zero, and the epilogue.
  void nothing() {
    for (int64_t t = 0; t < tiles_.count; ++t)
      for (int64_t j = 0; j < N_; j += NR)
        tile<T>(tiles_.height(t), static_cast<int>(N_ - j < NR ? N_ - j : NR), 0, TileRows<T>{}, nullptr, 0,
                {C_ + tiles_.at(t) * ldc_ + j, ldc_, accumulate_, true, e_, tiles_.at(t), j});
  }

  const int64_t M_, N_, K_;
  const Tiles tiles_;
  const Matrix<T> A_, B_;
  T* const C_;
  const int64_t ldc_;
  const bool accumulate_;
  const Epilogue<T>& e_;
  const bool in_place_;
  T* packed_ = nullptr;
  int64_t fetched_ = 0;                       // panels of the next block that tiles have begun to fetch; several threads leave it
  int64_t j0_ = 0, nc_ = 0, panels_ = 0, k0_ = 0, kc_ = 0, row_jobs_ = 0, col_jobs_ = 0;
};

// A few rows of A times columns of B that are contiguous along k: dot products, where packing B would cost more than
// the product itself.
template <class T, int ROWS>
void dot_columns(int64_t K, Matrix<T> A, const T* b, int64_t ldb, int cols, T* out) {
  using S = Simd<T>;
  using V = typename S::vec;
  constexpr int L = S::lanes, COLS = 4;
  V acc[ROWS][COLS] = {};
  const T* column[COLS];
  for (int j = 0; j < COLS; ++j) column[j] = b + (j < cols ? j : 0) * ldb;
  int64_t k = 0;
  for (; k + L <= K; k += L)
    for (int j = 0; j < COLS; ++j) {
      const V y = S::load(column[j] + k);
      for (int r = 0; r < ROWS; ++r) acc[r][j] += S::load(A.p + r * A.rs + k) * y;
    }
  if (k < K) {
    const int rest = static_cast<int>(K - k);
    for (int j = 0; j < COLS; ++j) {
      const V y = S::load_some(column[j] + k, rest);
      for (int r = 0; r < ROWS; ++r) acc[r][j] += S::load_some(A.p + r * A.rs + k, rest) * y;
    }
  }
  V sum[(ROWS * COLS + L - 1) / L * L] = {};  // lanes added side by side, as many sums at a time as a vector has lanes
  for (int r = 0; r < ROWS; ++r)
    for (int j = 0; j < COLS; ++j) sum[r * COLS + j] = acc[r][j];
  for (int at = 0; at < ROWS * COLS; at += L) {
#pragma GCC unroll 16
    for (int n = L / 2; n > 0; n /= 2)
#pragma GCC unroll 8
      for (int c = 0; c < n; ++c) sum[at + c] = neighbours_added(sum[at + 2 * c], sum[at + 2 * c + 1]);
    S::store_some(out + at, sum[at], ROWS * COLS - at);
  }
}

template <class T>
void dot_rows(int rows, int64_t K, Matrix<T> A, const T* b, int64_t ldb, int cols, T* out) {
  auto run = rows == 1 ? dot_columns<T, 1> : rows == 2 ? dot_columns<T, 2> : rows == 3 ? dot_columns<T, 3> : dot_columns<T, 4>;
  run(K, A, b, ldb, cols, out);
}

// Elements of C lie ldc and `step` apart.
template <class T>
void dot_product(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, int64_t ldc, int64_t step,
                 bool accumulate, const Epilogue<T>& e, bool parallel) {
  constexpr int64_t BLOCK = 4;
  const int64_t per = parallel ? (N + 4 * kJobs - 1) / (4 * kJobs) * BLOCK : N;
  auto job = [&](int64_t at) {
    for (int64_t j = at * per; j < N && j < (at + 1) * per; j += BLOCK)
      for (int64_t i = 0; i < M; i += BLOCK) {
        const int cols = static_cast<int>(N - j < BLOCK ? N - j : BLOCK), rows = static_cast<int>(M - i < BLOCK ? M - i : BLOCK);
        T sums[BLOCK * BLOCK];
        dot_rows<T>(rows, K, {A.p + i * A.rs, A.rs, 1}, B.p + j * B.cs, B.cs, cols, sums);
        for (int r = 0; r < rows; ++r)
          for (int c = 0; c < cols; ++c) {
            T v = sums[r * BLOCK + c] * e.alpha, *out = C + (i + r) * ldc + (j + c) * step;
            if (accumulate) v += *out;
            if (e.col_bias) v += e.col_bias[j + c];
            if (e.row_bias) v += e.row_bias[i + r];
            *out = e.relu && v < T(0) ? T(0) : v;
          }
      }
  };
  const int64_t jobs = (N + per - 1) / per;
  if (parallel) return parallel_for(jobs, job);
  for (int64_t at = 0; at < jobs; ++at) job(at);
}

// Adding up the lanes is worth it if K is long; packing B, if many rows use it.
template <class T>
bool dots_are_faster(int64_t M, int64_t K, const Matrix<T>& A, const Matrix<T>& B) {
  return A.cs == 1 && B.rs == 1 && (M <= 4 ? K > 64 * M : M <= 12 && K >= 512);
}

// One panel of a few short rows, as batches have them by the thousand: nothing is allocated.
template <class T>
bool small_product(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, int64_t ldc, bool accumulate,
                   const Epilogue<T>& e) {
  constexpr int64_t kDepth = 64, kRows = 4 * kMR, kTiny = 32;
  if (M == 0 || N == 0 || K == 0 || N > kNR<T> || K > kDepth || M > kRows) return false;
  if (M * N * K <= kTiny && !accumulate && e.plain()) {
    for (int64_t i = 0; i < M; ++i)
      for (int64_t j = 0; j < N; ++j) {
        T sum = A.p[i * A.rs] * B.p[j * B.cs];
        for (int64_t k = 1; k < K; ++k) sum += A.p[i * A.rs + k * A.cs] * B.p[k * B.rs + j * B.cs];
        C[i * ldc + j] = sum;
      }
    return true;
  }
  alignas(64) T panel[kNR<T> * kDepth];
  const int cols = static_cast<int>(N);
  const bool direct = B.cs == 1 && cols % Simd<T>::lanes == 0;
  if (!direct) B.pack_b(panel, 0, K, 0, cols);
  const Tiles tiles(M);
  for (int64_t t = 0; t < tiles.count; ++t) {
    const int64_t i = tiles.at(t);
    tile<T>(tiles.height(t), cols, K, {A.p + i * A.rs, A.rs, A.cs}, direct ? B.p : panel, direct ? B.rs : kNR<T>,
            {C + i * ldc, ldc, accumulate, true, e, i, 0});
  }
  return true;
}

template <class T>
void gemm_serial_or_parallel(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, int64_t ldc,
                             bool accumulate, const Epilogue<T>& e, bool parallel) {
  if (M == 1 && !parallel && row_product<T>(N, K, A, B, C, accumulate, e)) return;
  constexpr int64_t kFewColumns = 12, kVeryFew = 4;
  if (N <= kFewColumns && M > N && K > 0) {    // few rows of the transposed product
    Epilogue<T> turned = e;
    std::swap(turned.col_bias, turned.row_bias);
    const Matrix<T> rows{B.p, B.cs, B.rs}, columns{A.p, A.cs, A.rs};
    if (N == 1 && ldc == 1) return gemm_serial_or_parallel<T>(1, M, K, rows, columns, C, M, accumulate, turned, parallel);
    if (B.rs == 1 && A.cs == 1 && K >= (N <= kVeryFew ? 64 : 512))
      return dot_product(N, M, K, rows, columns, C, 1, ldc, accumulate, turned, parallel);
  }
  if (!parallel && small_product<T>(M, N, K, A, B, C, ldc, accumulate, e)) return;
  if (M > 0 && N > 0 && dots_are_faster(M, K, A, B)) return dot_product(M, N, K, A, B, C, ldc, 1, accumulate, e, parallel);
  Product<T>(M, N, K, A, B, C, ldc, accumulate, e).run(parallel);
}

template <class T>
void gemm(int64_t M, int64_t N, int64_t K, const Matrix<T>& A, const Matrix<T>& B, T* C, int64_t ldc, bool accumulate,
          const Epilogue<T>& e) {
  // A parallel region costs a few microseconds; below ~2 MFLOP one thread is faster.
  gemm_serial_or_parallel<T>(M, N, K, A, B, C, ldc, accumulate, e, M * N * K > 1000000);
}

// B (K x N), packed once for products with many A.
template <class T>
class PackedB {
 public:
  PackedB(const Matrix<T>& B, int64_t K, int64_t N)
      : K_(K), N_(N), block_(k_block(K)), panels_((N + kNR<T> - 1) / kNR<T>), data_(panels_ * kNR<T> * K) {
    parallel_for(panels_, [&](int64_t q) {
      for (int64_t k0 = 0; k0 < K_; k0 += block_) B.pack_b(panel(q, k0), k0, block(k0), q * kNR<T>, cols(q));
    });
  }

  // C (M x N) = A B (+ C), by one thread. A's rows are contiguous.
  void multiply(int64_t M, const T* A, int64_t lda, T* C, int64_t ldc, bool accumulate, const Epilogue<T>& e) const {
    alignas(64) T space[kMR * (kKC + Matrix<T>::kRowGap)];
    const Tiles tiles(M);
    for (int64_t k0 = 0; k0 < K_; k0 += block_) {
      const int64_t kc = block(k0);
      for (int64_t t = 0; t < tiles.count; ++t) {
        const int64_t i = tiles.at(t);
        const int rows = tiles.height(t);
        const TileRows<T> a = Matrix<T>{A, lda, 1}.tile_rows(space, i, rows, k0, kc, panels_);
        for (int64_t q = 0; q < panels_; ++q) {
          tile<T>(rows, cols(q), kc, a, panel(q, k0), kNR<T>,
                  {C + i * ldc + q * kNR<T>, ldc, accumulate || k0 > 0, k0 + kc == K_, e, i, q * kNR<T>});
        }
      }
    }
  }

 private:
  int64_t block(int64_t k0) const { return std::min(block_, K_ - k0); }
  int cols(int64_t q) const { return static_cast<int>(N_ - q * kNR<T> < kNR<T> ? N_ - q * kNR<T> : kNR<T>); }
  T* panel(int64_t q, int64_t k0) const { return data_ + panels_ * kNR<T> * k0 + q * kNR<T> * block(k0); }

  int64_t K_, N_, block_, panels_;
  Scratch<T> data_;
};

}  // namespace
}  // namespace rl
