// Between rows of pixels per channel (NCHW) and L channels per pixel, so that vector lanes are channels.
#pragma once

#include "window.h"

namespace rl {
namespace {

// Columns of `s` (rows `pitch` apart) become rows: out[p * lanes + j] = s[j * pitch + p], zero for j >= rows.
template <class T>
void transpose_rows(const T* s, int64_t pitch, int64_t n, int64_t rows, int64_t lanes, T* out) {
  for (int64_t j = 0; j < lanes; j += 4) {
    int64_t p = 0;
    if constexpr (sizeof(T) == 4) {
      typedef float F __attribute__((vector_size(16)));
      typedef int I __attribute__((vector_size(16)));
      if (j + 4 <= rows) {
        const float* a = s + j * pitch;
        for (; p + 4 <= n; p += 4) {
          F r0, r1, r2, r3;
          std::memcpy(&r0, a + p, 16);
          std::memcpy(&r1, a + pitch + p, 16);
          std::memcpy(&r2, a + 2 * pitch + p, 16);
          std::memcpy(&r3, a + 3 * pitch + p, 16);
          F x0 = __builtin_shuffle(r0, r1, I{0, 4, 1, 5}), x1 = __builtin_shuffle(r0, r1, I{2, 6, 3, 7});
          F y0 = __builtin_shuffle(r2, r3, I{0, 4, 1, 5}), y1 = __builtin_shuffle(r2, r3, I{2, 6, 3, 7});
          F z0 = __builtin_shuffle(x0, y0, I{0, 1, 4, 5}), z1 = __builtin_shuffle(x0, y0, I{2, 3, 6, 7});
          F z2 = __builtin_shuffle(x1, y1, I{0, 1, 4, 5}), z3 = __builtin_shuffle(x1, y1, I{2, 3, 6, 7});
          float* o = out + p * lanes + j;
          std::memcpy(o, &z0, 16);
          std::memcpy(o + lanes, &z1, 16);
          std::memcpy(o + 2 * lanes, &z2, 16);
          std::memcpy(o + 3 * lanes, &z3, 16);
        }
      }
    }
    for (; p < n; ++p)
      for (int64_t i = j; i < j + 4 && i < lanes; ++i) out[p * lanes + i] = i < rows ? s[i * pitch + p] : T(0);
  }
}

template <class T>
constexpr bool kSquares = std::is_same_v<T, float> && Simd<T>::lanes == 16;      // transpose16 stays in registers

// out[a][b] = in[b][a] for 16 x 16 floats: pairs, then quarters of four rows, then those of all rows. The two-register shuffles
// within quarters are the cheapest there are.
inline void transpose16(float* out, int64_t out_stride, const float* in, int64_t in_stride) {
  typedef float V __attribute__((vector_size(64)));
  typedef int32_t I __attribute__((vector_size(64)));
  // Patterns of four, the same in each quarter, and of quarters; numbers from 4 on are the second operand's.
  auto within = [](V a, V b, auto p0, auto p1, auto p2, auto p3) {
    I at;
    const int p[4] = {p0, p1, p2, p3};
    for (int j = 0; j < 16; ++j) at[j] = (p[j % 4] & 3) + j / 4 * 4 + (p[j % 4] & 4 ? 16 : 0);
    return __builtin_shuffle(a, b, at);
  };
  auto quarters = [](V a, V b, int first) {   // every other one of a, then of b
    I at;
    for (int j = 0; j < 16; ++j) at[j] = (j / 4 % 2 * 2 + first) * 4 + j % 4 + (j < 8 ? 0 : 16);
    return __builtin_shuffle(a, b, at);
  };
  V r[16], t[16];
  for (int i = 0; i < 16; ++i) std::memcpy(&r[i], in + i * in_stride, sizeof(V));
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = within(r[i], r[i + 1], 0, 4, 1, 5);
    t[i + 1] = within(r[i], r[i + 1], 2, 6, 3, 7);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4)
#pragma GCC unroll 2
    for (int j = 0; j < 2; ++j) {
      r[i + 2 * j] = within(t[i + j], t[i + j + 2], 0, 1, 4, 5);
      r[i + 2 * j + 1] = within(t[i + j], t[i + j + 2], 2, 3, 6, 7);
    }
#pragma GCC unroll 4
  for (int b = 0; b < 4; ++b)                 // r[4 a + b]: columns b, b + 4, ... of rows 4 a to 4 a + 3
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      const V x = quarters(r[b], r[4 + b], half), y = quarters(r[8 + b], r[12 + b], half);
      const V low = quarters(x, y, 0), high = quarters(x, y, 1);
      std::memcpy(out + (4 * half + b) * out_stride, &low, sizeof(V));
      std::memcpy(out + (4 * half + b + 8) * out_stride, &high, sizeof(V));
    }
}

// out[p * lanes + c] = s[c * pitch + p] for p < n; zero for c >= channels. `lanes`: of one vector or more.
template <class T>
void channels_last(const T* s, int64_t pitch, int64_t n, int64_t channels, T* out, int64_t lanes = Simd<T>::lanes) {
  int64_t p = 0;
  if constexpr (Simd<T>::lanes >= 8) {
    if (channels >= lanes) {
      if constexpr (kSquares<T>)
        for (; p + 16 <= n; p += 16)
          for (int64_t c = 0; c < lanes; c += 16) transpose16(out + p * lanes + c, lanes, s + c * pitch + p, pitch);
      for (; p + 8 <= n; p += 8)
        for (int64_t c = 0; c < lanes; c += 8) transpose8(out + p * lanes + c, lanes, s + c * pitch + p, pitch);
    }
  }
  if (p < n) transpose_rows<T>(s + p, pitch, n - p, std::min(channels, lanes), lanes, out + p * lanes);
}

// out[c * pitch + p] = s[p * lanes + c] for p < n and c < channels.
template <class T>
void channels_first(const T* s, int64_t n, int64_t channels, T* out, int64_t pitch, int64_t lanes = Simd<T>::lanes) {
  channels = std::min(channels, lanes);
  const int64_t eights = Simd<T>::lanes >= 8 ? channels / 8 * 8 : 0;
  int64_t p = 0;
  for (; p + 16 <= n; p += 16) {              // a whole cache line of each channel: their lines may fall on each other
    int64_t c = 0;
    if constexpr (kSquares<T>)
      for (; c + 16 <= eights; c += 16) transpose16(out + c * pitch + p, pitch, s + p * lanes + c, lanes);
    for (; c < eights; c += 8) {
      transpose8(out + c * pitch + p, pitch, s + p * lanes + c, lanes);
      transpose8(out + c * pitch + p + 8, pitch, s + (p + 8) * lanes + c, lanes);
    }
  }
  for (; p + 8 <= n; p += 8)
    for (int64_t c = 0; c < eights; c += 8) transpose8(out + c * pitch + p, pitch, s + p * lanes + c, lanes);
  const int64_t done = p;
  auto rest = [&](int64_t first) {
    for (; p + 4 <= n; p += 4)
      for (int64_t c = first; c < channels; c += 4) {
        T block[16];
        transpose_rows<T>(s + p * lanes + c, lanes, 4, 4, 4, block);
        for (int64_t i = c; i < std::min(c + 4, channels); ++i)
          std::memcpy(out + i * pitch + p, block + 4 * (i - c), 4 * sizeof(T));
      }
    for (; p < n; ++p)
      for (int64_t c = first; c < channels; ++c) out[c * pitch + p] = s[p * lanes + c];
  };
  rest(0);
  p = 0;
  n = done;
  if (eights < channels) rest(eights);
}

}  // namespace
}  // namespace rl
