// Runs of numbers from one element type to another. float16 and bfloat16 from and to float32 in vectors, rounded to the nearest,
// ties to even, in integers where the instruction set has no instruction for it; other types go through float32 to them.
//
// A NaN is 0xffff in bfloat16 and keeps its sign and first digits in float16: PyTorch's bits.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>
#if defined(__F16C__)
#include <immintrin.h>
#endif

#include "../core/half.h"
#include "../core/kernel.h"

namespace rl {
namespace {

template <class T>
constexpr bool kHalf = std::is_same_v<T, bfloat16> || std::is_same_v<T, float16>;

// ---- half types ----------------------------------------------------------------------------------------------------------

inline void widen(const bfloat16* p, int64_t n, float* __restrict out) {
  for (int64_t i = 0; i < n; ++i) out[i] = to_float(p[i]);
}

inline void narrow(const float* p, int64_t n, bfloat16* __restrict out) {
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t u = __builtin_bit_cast(uint32_t, p[i]), rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    const int32_t size = static_cast<int32_t>(u & 0x7fffffffu);
    out[i].bits = static_cast<uint16_t>(size > 0x7f800000 ? 0xffffu : rounded);
  }
}

// Without branches: a normal number has its exponent moved, a denormal one becomes 0.5 + it, less 0.5.
inline float from_float16_bits(uint32_t h) {
  const uint32_t sign = (h & 0x8000u) << 16, shifted = (h & 0x7fffu) << 13;
  const float normal = __builtin_bit_cast(float, shifted + 0x70000000u) * 0x1p-112f;
  const float denormal = __builtin_bit_cast(float, (h & 0x7fffu) | 0x3f000000u) - 0.5f;
  const uint32_t size = __builtin_bit_cast(uint32_t, shifted < 0x00800000u ? denormal : normal);
  return __builtin_bit_cast(float, sign | size);
}

// The sum with a power of two, whose last digit is that of the result, rounds; its mantissa is the result's, above the exponent.
inline uint16_t to_float16_bits(float f) {
  const uint32_t w = __builtin_bit_cast(uint32_t, f), size = w & 0x7fffffffu;
  const float magnitude = __builtin_bit_cast(float, size);
  const int32_t exponent = static_cast<int32_t>(size & 0x7f800000u);
  const int32_t bias = exponent < 0x38800000 ? 0x38800000 : exponent;
  const float sum = (magnitude * 0x1p112f) * 0x1p-110f + __builtin_bit_cast(float, static_cast<uint32_t>(bias) + 0x07800000u);
  const uint32_t bits = __builtin_bit_cast(uint32_t, sum), rounded = ((bits >> 13) & 0x7c00u) + (bits & 0x0fffu);
  const uint32_t nan = 0x7e00u | (size >> 13 & 0x3ffu);
  return static_cast<uint16_t>((w >> 16 & 0x8000u) | (static_cast<int32_t>(size) > 0x7f800000 ? nan : rounded));
}

inline void widen(const float16* p, int64_t n, float* __restrict out) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16)
    _mm512_storeu_ps(out + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + i))));
#elif defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + i))));
#endif
  for (; i < n; ++i) out[i] = from_float16_bits(__builtin_bit_cast(uint16_t, p[i]));
}

inline void narrow(const float* p, int64_t n, float16* __restrict out) {
  int64_t i = 0;
#if defined(__AVX512F__)
  for (; i + 16 <= n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), _mm512_cvtps_ph(_mm512_loadu_ps(p + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
  for (; i + 8 <= n; i += 8)
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), _mm256_cvtps_ph(_mm256_loadu_ps(p + i), _MM_FROUND_TO_NEAREST_INT));
#endif
  for (; i < n; ++i) out[i] = __builtin_bit_cast(float16, to_float16_bits(p[i]));
}

// x as type R, rounded.
template <class R, class T>
inline R narrowed_to(T x) {
  if constexpr (kHalf<R>) {
    R h;
    narrow(&x, 1, &h);
    return h;
  } else {
    return static_cast<R>(x);
  }
}

#if defined(__AVX512BW__) && defined(__AVX512VL__)
template <class S>
inline __m512 widened(__m256i h) {
  if constexpr (std::is_same_v<S, float16>) return _mm512_cvtph_ps(h);
  else return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16));
}

template <class S>
inline __m256i narrowed(__m512 v) {
  if constexpr (std::is_same_v<S, float16>) return _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT);
  const __m512i u = _mm512_castps_si512(v), odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(u, odd), _mm512_set1_epi32(0x7fff));
  const __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  return _mm512_cvtepi32_epi16(_mm512_mask_mov_epi32(_mm512_srli_epi32(rounded, 16), nan, _mm512_set1_epi32(-1)));
}
#endif

// Calls fn with a value of the element type, halves included; they are computed in Compute<that type>.
template <class S>
using Compute = std::conditional_t<kHalf<S>, float, S>;

template <class F>
inline void floating_or_half(DType t, const char* name, const F& fn) {
  if (t == DType::bf16) return fn(bfloat16{});
  if (t == DType::f16) return fn(float16{});
  floating(t, name, fn);
}

// ---- any types -----------------------------------------------------------------------------------------------------------

template <class D, class S>
inline D convert_one(S x) {
  if constexpr (std::is_same_v<D, bool>) return x != S{0};
  else if constexpr (std::is_floating_point_v<S> && std::is_integral_v<D> && sizeof(D) < 8)
    return static_cast<D>(static_cast<int64_t>(x));          // wraps like PyTorch instead of saturating
  else return static_cast<D>(x);
}

template <class D, class S>
void convert_run(void* out, const void* in, int64_t n) {
  constexpr int64_t kBlock = 256;
  D* __restrict o = static_cast<D*>(out);
  const S* s = static_cast<const S*>(in);
  if constexpr (std::is_same_v<D, S>) {
    std::memcpy(out, in, static_cast<size_t>(n) * sizeof(S));
  } else if constexpr (kHalf<S> && std::is_same_v<D, float>) {
    widen(s, n, o);
  } else if constexpr (kHalf<D> && std::is_same_v<S, float>) {
    narrow(s, n, o);
  } else if constexpr (kHalf<S> || kHalf<D>) {
    float block[kBlock];
    for (int64_t i = 0; i < n; i += kBlock) {
      const int64_t m = std::min(kBlock, n - i);
      convert_run<float, S>(block, s + i, m);
      convert_run<D, float>(o + i, block, m);
    }
  } else {
    for (int64_t i = 0; i < n; ++i) o[i] = convert_one<D, S>(s[i]);
  }
}

template <class D>
void convert_to(DType from, void* out, const void* in, int64_t n) {
  switch (from) {
    case DType::f32: return convert_run<D, float>(out, in, n);
    case DType::f64: return convert_run<D, double>(out, in, n);
    case DType::f16: return convert_run<D, float16>(out, in, n);
    case DType::bf16: return convert_run<D, bfloat16>(out, in, n);
    case DType::i8: return convert_run<D, int8_t>(out, in, n);
    case DType::i16: return convert_run<D, int16_t>(out, in, n);
    case DType::i32: return convert_run<D, int32_t>(out, in, n);
    case DType::i64: return convert_run<D, int64_t>(out, in, n);
    case DType::u8: return convert_run<D, uint8_t>(out, in, n);
    case DType::b8: return convert_run<D, bool>(out, in, n);
  }
}

inline void convert(DType to, void* out, DType from, const void* in, int64_t n) {
  switch (to) {
    case DType::f32: return convert_to<float>(from, out, in, n);
    case DType::f64: return convert_to<double>(from, out, in, n);
    case DType::f16: return convert_to<float16>(from, out, in, n);
    case DType::bf16: return convert_to<bfloat16>(from, out, in, n);
    case DType::i8: return convert_to<int8_t>(from, out, in, n);
    case DType::i16: return convert_to<int16_t>(from, out, in, n);
    case DType::i32: return convert_to<int32_t>(from, out, in, n);
    case DType::i64: return convert_to<int64_t>(from, out, in, n);
    case DType::u8: return convert_to<uint8_t>(from, out, in, n);
    case DType::b8: return convert_to<bool>(from, out, in, n);
  }
}

}  // namespace
}  // namespace rl