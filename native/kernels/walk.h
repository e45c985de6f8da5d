// Operands of pointwise kernels in memory: walking strided views in tiles, and converting runs between element types.
#pragma once

#ifdef __F16C__
#include <immintrin.h>
#endif

#include <cstring>
#include <type_traits>

#include "../core/half.h"
#include "../core/kernel.h"

namespace rl {
namespace {

constexpr int64_t kTile = 512;               // elements that stay in L1
constexpr int64_t kChunk = 32768;            // elements per parallel job

// One operand seen along the output's memory order, neighbouring dimensions merged.
struct Walk {
  int ndim = 0;
  int64_t size[kMaxDims], stride[kMaxDims];
  char* base = nullptr;
  int item = 0;

  bool linear() const { return ndim == 0 || (ndim == 1 && stride[0] == 1); }
  bool constant() const { return ndim == 1 && stride[0] == 0; }
};

// order: the output's dimensions from outermost to innermost in memory.
Walk make_walk(const Array& a, const int64_t* shape, int ndim, const int* order) {
  Walk w;
  w.base = static_cast<char*>(a.data());
  w.item = item_size(a.dtype);
  for (int i = 0; i < ndim; ++i) {
    int d = order[i];
    if (shape[d] == 1) continue;
    int j = d - (ndim - a.ndim);
    int64_t s = (j < 0 || a.shape[j] == 1) ? 0 : a.strides[j];
    if (w.ndim > 0 && w.stride[w.ndim - 1] == s * shape[d]) {
      w.size[w.ndim - 1] *= shape[d];
      w.stride[w.ndim - 1] = s;
    } else {
      w.size[w.ndim] = shape[d];
      w.stride[w.ndim++] = s;
    }
  }
  return w;
}

// Calls run(pointer into the operand, its inner stride, position in the tile, length) for each stretch of
// elements [start, start + n).
template <class F>
inline void stretches(const Walk& w, int64_t start, int64_t n, const F& run) {
  if (w.ndim == 0) {
    run(w.base, int64_t{0}, int64_t{0}, n);
    return;
  }
  int64_t index[kMaxDims], rest = start, offset = 0;
  for (int i = w.ndim - 1; i >= 0; --i) {
    index[i] = rest % w.size[i];
    rest /= w.size[i];
    offset += index[i] * w.stride[i];
  }
  const int last = w.ndim - 1;
  const int64_t inner = w.size[last], step = w.stride[last];
  for (int64_t done = 0; done < n;) {
    int64_t len = inner - index[last];
    if (len > n - done) len = n - done;
    run(w.base + offset * w.item, step, done, len);
    done += len;
    if (done >= n) break;
    offset -= index[last] * step;
    index[last] = 0;
    for (int i = last - 1; i >= 0; --i) {
      offset += w.stride[i];
      if (++index[i] < w.size[i]) break;
      offset -= w.size[i] * w.stride[i];
      index[i] = 0;
    }
  }
}

template <class T>
void gather(const Walk& w, int64_t start, int64_t n, void* tile) {
  T* t = static_cast<T*>(tile);
  stretches(w, start, n, [t](const char* p, int64_t step, int64_t at, int64_t len) {
    const T* s = reinterpret_cast<const T*>(p);
    T* d = t + at;
    if (step == 1) std::memcpy(d, s, static_cast<size_t>(len) * sizeof(T));
    else if (step == 0) for (int64_t i = 0; i < len; ++i) d[i] = *s;
    else for (int64_t i = 0; i < len; ++i) d[i] = s[i * step];
  });
}

template <class T>
void scatter(const Walk& w, int64_t start, int64_t n, const void* tile) {
  const T* t = static_cast<const T*>(tile);
  stretches(w, start, n, [t](char* p, int64_t step, int64_t at, int64_t len) {
    T* d = reinterpret_cast<T*>(p);
    const T* s = t + at;
    if (step == 1) std::memcpy(d, s, static_cast<size_t>(len) * sizeof(T));
    else for (int64_t i = 0; i < len; ++i) d[i * step] = s[i];
  });
}

void gather(const Walk& w, int64_t start, int64_t n, void* tile) {
  switch (w.item) {
    case 1: return gather<uint8_t>(w, start, n, tile);
    case 2: return gather<uint16_t>(w, start, n, tile);
    case 4: return gather<uint32_t>(w, start, n, tile);
    default: return gather<uint64_t>(w, start, n, tile);
  }
}

void scatter(const Walk& w, int64_t start, int64_t n, const void* tile) {
  switch (w.item) {
    case 1: return scatter<uint8_t>(w, start, n, tile);
    case 2: return scatter<uint16_t>(w, start, n, tile);
    case 4: return scatter<uint32_t>(w, start, n, tile);
    default: return scatter<uint64_t>(w, start, n, tile);
  }
}

// ---- conversion of contiguous runs -----------------------------------------------------------------------

template <class D, class S>
inline D convert_one(S x) {
  if constexpr (std::is_same_v<S, bfloat16>) return convert_one<D, float>(to_float(x));
  else if constexpr (std::is_same_v<S, float16>) return convert_one<D, float>(static_cast<float>(x));
  else if constexpr (std::is_same_v<D, bfloat16>) return to_bfloat16(static_cast<float>(x));
  else if constexpr (std::is_same_v<D, float16>) return static_cast<float16>(static_cast<float>(x));
  else if constexpr (std::is_same_v<D, bool>) return x != S{0};
  else if constexpr (std::is_floating_point_v<S> && std::is_integral_v<D> && sizeof(D) < 8)
    return static_cast<D>(static_cast<int64_t>(x));          // wraps like PyTorch instead of saturating
  else return static_cast<D>(x);
}

template <class D, class S>
void convert_run(void* out, const void* in, int64_t n) {
  D* __restrict o = static_cast<D*>(out);
  const S* s = static_cast<const S*>(in);
  int64_t i = 0;
#ifdef __F16C__                              // the compiler converts float16 one by one
  if constexpr (std::is_same_v<D, float16> && std::is_same_v<S, float>)
    for (; i + 8 <= n; i += 8)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(o + i), _mm256_cvtps_ph(_mm256_loadu_ps(s + i), _MM_FROUND_TO_NEAREST_INT));
  if constexpr (std::is_same_v<D, float> && std::is_same_v<S, float16>)
    for (; i + 8 <= n; i += 8)
      _mm256_storeu_ps(o + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(s + i))));
#endif
  for (; i < n; ++i) o[i] = convert_one<D, S>(s[i]);
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

void convert(DType to, void* out, DType from, const void* in, int64_t n) {
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
