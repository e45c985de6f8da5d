// The parts of a matrix product: the micro-kernel, packing, and what happens to a finished tile.
//
// Goto's scheme: B is packed into panels NR wide, and one micro-kernel keeps an MR x NR tile of C in registers while it runs
// down K. It takes one element of A at a time, so that rows of A may stay where they are. MR x NR: 14 x 32 floats with AVX-512
// (28 accumulators), 6 x 16 with AVX2, 4 x 8 with SSE. The last columns, if they fit into one vector, take half the time.
#pragma once

#include <algorithm>
#include <cstring>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

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

#define RL_OPAQUE(x) asm("" : "+r"(x))        // the compiler knows nothing of its value

template <class T>
struct Simd {
  static constexpr int lanes = kVectorBytes / static_cast<int>(sizeof(T));
  typedef T vec __attribute__((vector_size(kVectorBytes)));
  typedef T loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  static vec load(const T* p) { return *reinterpret_cast<const loose*>(p); }
  // Subtraction, because 0 + x is not x for x = -0 and would be computed.
  static vec all(T x) { return x - vec{}; }
  static void store(T* p, vec v) { *reinterpret_cast<loose*>(p) = v; }
  // The first n lanes, the others zero; n may be larger than there are lanes, or negative.
  static vec load_some(const T* p, int n) {
    if (n >= lanes) return load(p);
    if (n <= 0) return vec{};
#if defined(__AVX512F__)
    const auto first = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(T) == 4) return reinterpret_cast<vec>(_mm512_maskz_loadu_ps(first, p));
    if constexpr (sizeof(T) == 8) return reinterpret_cast<vec>(_mm512_maskz_loadu_pd(static_cast<__mmask8>(first), p));
#endif
    T row[lanes] = {};
    for (int k = 0; k < n; ++k) row[k] = p[k];
    return load(row);
  }
  static void store_some(T* p, vec v, int n) {
    if (n >= lanes) return store(p, v);
#if defined(__AVX512F__)
    const auto first = static_cast<__mmask16>((1u << n) - 1);
    if constexpr (sizeof(T) == 4) return _mm512_mask_storeu_ps(p, first, reinterpret_cast<__m512>(v));
    if constexpr (sizeof(T) == 8) return _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first), reinterpret_cast<__m512d>(v));
#endif
    T row[lanes];
    store(row, v);
    for (int k = 0; k < n; ++k) p[k] = row[k];
  }
};

template <class T>
constexpr int kNR = 2 * Simd<T>::lanes;
constexpr int64_t kKC = 400;                  // largest K block: rows of A and a panel of B stay in L1/L2

// The K blocks of a product, of equal size.
inline int64_t k_block(int64_t K) {
  const int64_t blocks = (K + kKC - 1) / kKC;
  return blocks ? (K + blocks - 1) / blocks : 0;
}

// What happens to C after its last K block.
template <class T>
struct Epilogue {
  const T* col_bias = nullptr;                // added to every row (one per column)
  const T* row_bias = nullptr;                // added to every column (one per row)
  bool relu = false;
  T alpha = T(1);
  bool plain() const { return !col_bias && !row_bias && !relu && alpha == T(1); }
};

// Memory that a tile fetches into the second level of cache while it multiplies, two cache lines at each step along k: `run` times
// `pitch` bytes on, then again from the next two lines on.
struct Fetch {
  const char* p;
  int64_t pitch = 0, run = int64_t{1} << 40, wrap = 0;
  static constexpr int64_t kBytes = 128;      // of a step

  explicit Fetch(const void* nothing) : p(static_cast<const char*>(nothing)) {}
  Fetch(const void* from, int64_t pitch_, int64_t run_) : p(static_cast<const char*>(from)), pitch(pitch_), run(run_),
                                                          wrap(kBytes - (run_ - 1) * pitch_) {}
};

// Where a tile of sums goes, and what happens to it on the way: the epilogue's biases, from this tile on.
template <class T>
struct TileOut {
  T* c;
  int64_t ldc;
  bool accumulate = false;
  T alpha = T(1);
  const T *col_bias = nullptr, *row_bias = nullptr;
  bool relu = false;
  Fetch fetch;

  TileOut(T* c_, int64_t ldc_, bool add = false) : c(c_), ldc(ldc_), accumulate(add), fetch(c_) {}
  // The tile at (row, col) of a product: first K block stores, later ones add, the last one runs the epilogue.
  TileOut(T* c_, int64_t ldc_, bool add, bool last, const Epilogue<T>& e, int64_t row, int64_t col)
      : c(c_), ldc(ldc_), accumulate(add), alpha(e.alpha), relu(last && e.relu), fetch(c_) {
    if (last && e.col_bias) col_bias = e.col_bias + col;
    if (last && e.row_bias) row_bias = e.row_bias + row;
  }
};

// Rows of A as a tile reads them: element (r, k) is p[r * row + k * step].
template <class T>
struct TileRows {
  const T* p;
  int64_t row, step;
};

// rows x VECS whole vectors of C: rows of A * panel of B, whose rows are ldb apart.
template <class T, int ROWS, int VECS>
inline void micro(int64_t k, const TileRows<T>& a, const T* b, int64_t ldb, const TileOut<T>& o) {
  using V = typename Simd<T>::vec;
  constexpr int L = Simd<T>::lanes;
  V c[ROWS][VECS];
#pragma GCC unroll 16
  for (int r = 0; r < ROWS; ++r)
    for (int h = 0; h < VECS; ++h) c[r][h] = V{};
  // Five rows to a pointer: multiples of the pitch that an address can hold, so that nothing else needs a register.
  const char* row[(ROWS + 4) / 5];
  for (int r = 0; r < (ROWS + 4) / 5; ++r) {
    row[r] = reinterpret_cast<const char*>(a.p + 5 * r * a.row);
    RL_OPAQUE(row[r]);
  }
  const int64_t pitch = a.row * static_cast<int64_t>(sizeof(T)), step = a.step * static_cast<int64_t>(sizeof(T));
  int64_t thrice = 3 * pitch;
  RL_OPAQUE(thrice);
  const char* ahead = o.fetch.p;
  int64_t left = o.fetch.run;
  for (int64_t p = 0; p < k; ++p) {
    __builtin_prefetch(ahead, 0, 2);
    __builtin_prefetch(ahead + 64, 0, 2);
    ahead += --left ? o.fetch.pitch : o.fetch.wrap;
    left = left ? left : o.fetch.run;
    V y[VECS];
    for (int h = 0; h < VECS; ++h) y[h] = Simd<T>::load(b + h * L);
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r) {
      const char* at = row[r / 5] + (r % 5 == 3 ? thrice : r % 5 * pitch);
      V x = Simd<T>::all(*reinterpret_cast<const T*>(at));
      for (int h = 0; h < VECS; ++h) c[r][h] += x * y[h];
    }
    for (const char*& r : row) r += step;
    b += ldb;
  }
  auto each = [&](const auto& f) {            // the sums stay in registers
#pragma GCC unroll 16
    for (int r = 0; r < ROWS; ++r)
      for (int h = 0; h < VECS; ++h) f(r, h, c[r][h]);
  };
  if (o.alpha != T(1)) each([&](int, int, V& v) { v *= o.alpha; });
  if (o.accumulate) each([&](int r, int h, V& v) { v += Simd<T>::load(o.c + r * o.ldc + h * L); });
  if (o.col_bias) each([&](int, int h, V& v) { v += Simd<T>::load(o.col_bias + h * L); });
  if (o.row_bias) each([&](int r, int, V& v) { v += Simd<T>::all(o.row_bias[r]); });
  if (o.relu) each([&](int, int, V& v) { v = v < V{} ? V{} : v; });
  each([&](int r, int h, V& v) { Simd<T>::store(o.c + r * o.ldc + h * L, v); });
}

template <class T, int ROWS, int VECS>
inline void micro_dispatch(int rows, int64_t k, const TileRows<T>& a, const T* b, int64_t ldb, const TileOut<T>& o) {
  if constexpr (ROWS > 1) {
    if (rows < ROWS) return micro_dispatch<T, ROWS - 1, VECS>(rows, k, a, b, ldb, o);
  }
  micro<T, ROWS, VECS>(k, a, b, ldb, o);
}

// A tile of C, of any width up to two vectors.
template <class T>
inline void tile(int rows, int cols, int64_t k, const TileRows<T>& a, const T* b, int64_t ldb, const TileOut<T>& o) {
  constexpr int L = Simd<T>::lanes;
  if (cols == 2 * L) return micro_dispatch<T, kMR, 2>(rows, k, a, b, ldb, o);
  if (cols == L) return micro_dispatch<T, kMR, 1>(rows, k, a, b, ldb, o);
  alignas(kVectorBytes) T sums[kMR * 2 * L];
  TileOut<T> whole(sums, 2 * L);
  whole.fetch = o.fetch;
  if (cols > L) micro_dispatch<T, kMR, 2>(rows, k, a, b, ldb, whole);
  else micro_dispatch<T, kMR, 1>(rows, k, a, b, ldb, whole);
  for (int j = 0; j < cols; j += L) {
    const typename Simd<T>::vec bias = o.col_bias ? Simd<T>::load_some(o.col_bias + j, cols - j) : typename Simd<T>::vec{};
    for (int r = 0; r < rows; ++r) {
      T* out = o.c + r * o.ldc + j;
      auto v = Simd<T>::load(sums + r * 2 * L + j);
      if (o.alpha != T(1)) v *= o.alpha;
      if (o.accumulate) v += Simd<T>::load_some(out, cols - j);
      if (o.col_bias) v += bias;
      if (o.row_bias) v += Simd<T>::all(o.row_bias[r]);
      if (o.relu) v = v < typename Simd<T>::vec{} ? typename Simd<T>::vec{} : v;
      Simd<T>::store_some(out, v, cols - j);
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

  static constexpr int64_t kRowGap = 16;      // between rows that tile_rows() copies

  // A large B comes from beyond the core's cache, and pieces of its rows are too short for the hardware to fetch the next in advance.
  static constexpr int64_t kRowsAhead = 12, kPiece = 64;

  // Rows i..i+rows, columns j..j+cols.
  Fetch fetch(int64_t i, int64_t rows, int64_t j, int64_t cols) const {
    constexpr int64_t size = sizeof(T);
    const T* at = p + i * rs + j * cs;
    return cs == 1 ? Fetch(at, rs * size, rows) : rs == 1 ? Fetch(at, cs * size, cols) : Fetch(at);
  }

  // Panel of B: rows k0..k0+kc, columns j0..j0+cols, k-major, zero-padded to NR.
  void pack_b(T* out, int64_t k0, int64_t kc, int64_t j0, int cols) const {
    constexpr int NR = kNR<T>;
    const T* s = p + k0 * rs + j0 * cs;
    if (cs == 1) {
      constexpr int L = Simd<T>::lanes;
      for (int64_t k = 0; k < kc; ++k) {
        for (int h = 0; h < 2; ++h) __builtin_prefetch(s + std::min(k + kRowsAhead, kc - 1) * rs + h * L);
        for (int h = 0; h < 2; ++h) Simd<T>::store(out + k * NR + h * L, Simd<T>::load_some(s + k * rs + h * L, cols - h * L));
      }
      return;
    }
    const int turned = NR % 8 == 0 && rs == 1 ? cols / 8 * 8 : 0;
    if (turned) transpose_columns(out, s, kc, turned);
    for (int64_t k = 0; turned < NR && k < kc; ++k) {
      T* o = out + k * NR;
      for (int j = turned; j < cols; ++j) o[j] = s[k * rs + j * cs];
      for (int j = cols; j < NR; ++j) o[j] = T(0);
    }
  }

  // The first `cols` columns, which are contiguous along k, in blocks of 8 x 8, a long piece of eight columns at a time: where columns
  // lie a multiple of 4 KB apart, all of their lines fall into one set of the cache, which keeps eight.
  void transpose_columns(T* out, const T* s, int64_t kc, int cols) const {
    constexpr int NR = kNR<T>;
    const int64_t whole = kc / 8 * 8;
    for (int64_t k0 = 0; k0 < whole; k0 += kPiece)
      for (int j = 0; j < cols; j += 8)
        for (int64_t k = k0; k < std::min(whole, k0 + kPiece); k += 8) transpose8(out + k * NR + j, NR, s + j * cs + k, cs);
    for (int64_t k = whole; k < kc; ++k)
      for (int j = 0; j < cols; ++j) out[k * NR + j] = s[j * cs + k];
  }

  // Rows i0..i0+rows, columns k0..k0+kc of A for a tile, which multiplies them by `panels` panels: where they are, if that is as fast,
  // and otherwise in `space`, of kMR * (kc + kRowGap) elements.
  TileRows<T> tile_rows(T* space, int64_t i0, int rows, int64_t k0, int64_t kc, int64_t panels) const {
    const T* at = p + i0 * rs + k0 * cs;
    if (crowded(rows)) {
      copy_rows(space, kc + kRowGap, at, rows, kc);
      return {space, kc + kRowGap, 1};
    }
    if (cs == 1 || panels <= 2) return {at, rs, cs};
    pack_rows(space, at, rows, kc);
    return {space, 1, kMR};
  }

  // Whether so many rows, each contiguous, would fall into one set of the first cache, which keeps eight lines.
  bool crowded(int rows) const { return cs == 1 && rows > kWays / 2 && one_set(rs); }
  // Between rows of a copy of this many columns.
  static int64_t copy_pitch(int64_t cols) { return cols + (one_set(cols + kRowGap) ? 2 * kRowGap : kRowGap); }

  void copy_rows(T* out, int64_t pitch, const T* s, int64_t rows, int64_t kc) const {
    constexpr int L = Simd<T>::lanes;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t k = 0; k < kc; k += L) {
        const int n = static_cast<int>(std::min<int64_t>(kc - k, L));
        Simd<T>::store_some(out + r * pitch + k, Simd<T>::load_some(s + r * rs + k, n), n);
      }
  }

 private:
  static constexpr int64_t kSetBytes = 4096, kWays = 8;
  static bool one_set(int64_t pitch) { return pitch * static_cast<int64_t>(sizeof(T)) % kSetBytes == 0; }

  // k-major, MR apart.
  void pack_rows(T* out, const T* s, int rows, int64_t kc) const {
    if (rs == 1 && rows >= 8) {               // two copies of 8, which overlap
      for (int64_t k = 0; k < kc; ++k) {
        std::memcpy(out + k * kMR, s + k * cs, 8 * sizeof(T));
        std::memcpy(out + k * kMR + rows - 8, s + k * cs + rows - 8, 8 * sizeof(T));
      }
      return;
    }
    for (int64_t k = 0; k < kc; ++k)
      for (int r = 0; r < rows; ++r) out[k * kMR + r] = s[r * rs + k * cs];
  }
};

}  // namespace
}  // namespace rl
