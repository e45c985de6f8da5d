// Constants, ranges, and sums into overlapping views.
#include <cmath>

#include "../core/half.h"
#include "../core/kernel.h"

namespace rl {
namespace {

// Calls fn(element offset) for every element of a strided array, in order.
template <class F>
void each(const Array& a, const F& fn) {
  int64_t index[kMaxDims] = {}, at = 0;
  if (a.numel == 0) return;
  for (int64_t done = 0;;) {
    fn(at);
    if (++done == a.numel) return;
    for (int d = a.ndim - 1; d >= 0; --d) {
      at += a.strides[d];
      if (++index[d] < a.shape[d]) break;
      at -= a.shape[d] * a.strides[d];
      index[d] = 0;
    }
  }
}

template <class T>
void fill_typed(const Array& out, T v) {
  T* p = out.ptr<T>();
  if (out.contiguous()) {
    constexpr int64_t kChunk = 1 << 16;
    parallel_for((out.numel + kChunk - 1) / kChunk, [&](int64_t k) {
      int64_t end = (k + 1) * kChunk < out.numel ? (k + 1) * kChunk : out.numel;
      for (int64_t i = k * kChunk; i < end; ++i) p[i] = v;
    });
    return;
  }
  each(out, [&](int64_t at) { p[at] = v; });
}

// fill_into(out, value)
void fill_run(const Call& c) {
  const Array& out = *c.out[0];
  const Number& v = c.num[0];
  switch (out.dtype) {
    case DType::f32: return fill_typed<float>(out, static_cast<float>(v.f));
    case DType::f64: return fill_typed<double>(out, v.f);
    case DType::f16: return fill_typed<float16>(out, static_cast<float16>(v.f));
    case DType::bf16: return fill_typed<bfloat16>(out, to_bfloat16(static_cast<float>(v.f)));
    case DType::i8: return fill_typed<int8_t>(out, static_cast<int8_t>(v.i));
    case DType::i16: return fill_typed<int16_t>(out, static_cast<int16_t>(v.i));
    case DType::i32: return fill_typed<int32_t>(out, static_cast<int32_t>(v.i));
    case DType::i64: return fill_typed<int64_t>(out, v.i);
    case DType::u8: return fill_typed<uint8_t>(out, static_cast<uint8_t>(v.i));
    case DType::b8: return fill_typed<bool>(out, v.is_float ? v.f != 0.0 : v.i != 0);
  }
}
RL_KERNEL_ANY(fill, 1, nullptr, fill_run)

// arange_into(out, start, step): start + i * step
void arange_run(const Call& c) {
  const Array& out = *c.out[0];
  all_types(out.dtype, "arange_cpu", [&](auto z) {
    using T = decltype(z);
    T* p = out.ptr<T>();
    if constexpr (std::is_floating_point_v<T>) {
      const double start = c.fnum(0), step = c.fnum(1);
      for (int64_t i = 0; i < out.numel; ++i) p[i] = static_cast<T>(start + static_cast<double>(i) * step);
    } else {
      const bool fractional = c.num[0].is_float || c.num[1].is_float;
      for (int64_t i = 0; i < out.numel; ++i)
        p[i] = static_cast<T>(fractional ? static_cast<int64_t>(c.fnum(0) + static_cast<double>(i) * c.fnum(1)) : c.inum(0) + i * c.inum(1));
    }
  });
}
RL_KERNEL(arange, 1, nullptr, arange_run)

// linspace_into(out, start, end): from both ends towards the middle, as PyTorch does, so that both are exact
void linspace_run(const Call& c) {
  const Array& out = *c.out[0];
  all_types(out.dtype, "linspace_cpu", [&](auto z) {
    using T = decltype(z);
    using S = std::conditional_t<std::is_floating_point_v<T>, T, double>;
    T* p = out.ptr<T>();
    const int64_t n = out.numel;
    const S start = static_cast<S>(c.fnum(0)), end = static_cast<S>(c.fnum(1));
    const S step = n > 1 ? (end - start) / static_cast<S>(n - 1) : S(0);
    for (int64_t i = 0; i < n; ++i)
      p[i] = static_cast<T>(i < n / 2 || n == 1 ? start + step * static_cast<S>(i) : end - step * static_cast<S>(n - i - 1));
  });
}
RL_KERNEL(linspace, 1, nullptr, linspace_run)

// add_overlapping_into(out, x): out[i] += x[i] one by one; out may be a view that visits an element twice
void add_overlapping_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  floating(out.dtype, "as_strided_backward", [&](auto z) {
    using T = decltype(z);
    T* p = out.ptr<T>();
    const T* s = x.ptr<T>();
    int64_t index[kMaxDims] = {}, at = 0;
    each(out, [&](int64_t to) {
      p[to] += s[at];
      for (int d = x.ndim - 1; d >= 0; --d) {
        at += x.strides[d];
        if (++index[d] < x.shape[d]) break;
        at -= x.shape[d] * x.strides[d];
        index[d] = 0;
      }
    });
  });
}
RL_KERNEL(add_overlapping, 1, nullptr, add_overlapping_run)

}  // namespace
}  // namespace rl
