// Windows over one plane, so that every kernel tap is one contiguous run.
//
// A plane is copied once with its borders, split into phases of the stride in every dimension. The element of a tap for
// output (z, y, x) is then at offset(tap) + (z * q1 + y) * q2 + x: neighbouring outputs, across the ends of rows too,
// are neighbours in memory, and vectors run over the whole plane. The q - out elements between rows are computed and dropped.
// Pooling and depthwise convolution are loops over such runs.
#pragma once

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "gemm.h"

namespace rl {
namespace {

// memcpy for short runs, inline: overlapping vectors, never past the end.
template <class T>
inline void copy_run(T* d, const T* s, int64_t n) {
  constexpr int L = Simd<T>::lanes;
  if (n >= L) {
    for (int64_t i = 0; i + L <= n; i += L) Simd<T>::store(d + i, Simd<T>::load(s + i));
    Simd<T>::store(d + n - L, Simd<T>::load(s + n - L));
    return;
  }
  constexpr int H = L / 2, Q = H > 1 ? H / 2 : 1;
  if (n >= H) {
    std::memcpy(d, s, H * sizeof(T));
    std::memcpy(d + n - H, s + n - H, H * sizeof(T));
  } else if (n >= Q) {
    std::memcpy(d, s, Q * sizeof(T));
    std::memcpy(d + n - Q, s + n - Q, Q * sizeof(T));
  } else {
    for (int64_t i = 0; i < n; ++i) d[i] = s[i];
  }
}

// d[i] = v, likewise.
template <class T>
inline void set_run(T* d, T v, int64_t n) {
  constexpr int L = Simd<T>::lanes;
  if (n < L) {                                // no loop, which would become a call of memset
    constexpr int H = L / 2, Q = H > 1 ? H / 2 : 1;
    const auto y = Simd<T>::all(v);
    if (n >= H) {
      std::memcpy(d, &y, H * sizeof(T));
      std::memcpy(d + n - H, &y, H * sizeof(T));
    } else if (n >= Q) {
      std::memcpy(d, &y, Q * sizeof(T));
      std::memcpy(d + n - Q, &y, Q * sizeof(T));
    } else if constexpr (Q > 4) {
      for (int64_t i = 0; i < n; ++i) d[i] = v;
    } else {
      if (n > 0) d[0] = v;
      if (n > 1) d[1] = v;
      if (n > 2) d[2] = v;
    }
    return;
  }
  const auto x = Simd<T>::all(v);
  for (int64_t i = 0; i + L <= n; i += L) Simd<T>::store(d + i, x);
  Simd<T>::store(d + n - L, x);
}

// even[i] = s[2 i], odd[i] = s[2 i + 1] for i < n, from registers to registers.
template <class T>
inline void split_pairs(const T* s, int64_t n, T* even, T* odd) {
  constexpr int64_t L = Simd<T>::lanes;
  typedef std::conditional_t<sizeof(T) == 4, int32_t, int64_t> I;
  typedef I Index __attribute__((vector_size(kVectorBytes)));
  typedef T Four __attribute__((vector_size(4 * sizeof(T))));
  typedef I Index4 __attribute__((vector_size(4 * sizeof(T))));
  auto wide = [&](int64_t i) {
    Index e, o;
    for (int l = 0; l < L; ++l) e[l] = 2 * l, o[l] = 2 * l + 1;
    const auto a = Simd<T>::load(s + 2 * i), b = Simd<T>::load(s + 2 * i + L);
    Simd<T>::store(even + i, __builtin_shuffle(a, b, e));
    Simd<T>::store(odd + i, __builtin_shuffle(a, b, o));
  };
  auto four = [&](int64_t i) {
    Four a, b;
    std::memcpy(&a, s + 2 * i, sizeof a);
    std::memcpy(&b, s + 2 * i + 4, sizeof b);
    const Four e = __builtin_shuffle(a, b, Index4{0, 2, 4, 6}), o = __builtin_shuffle(a, b, Index4{1, 3, 5, 7});
    std::memcpy(even + i, &e, sizeof e);
    std::memcpy(odd + i, &o, sizeof o);
  };
  int64_t i = 0;
  if (n >= L) {
    for (; i + L <= n; i += L) wide(i);
    if (i < n) wide(n - L);
  } else if (n >= 4) {
    for (; i + 4 <= n; i += 4) four(i);
    if (i < n) four(n - 4);
  } else {
    for (; i < n; ++i) even[i] = s[2 * i], odd[i] = s[2 * i + 1];
  }
}

// A row of W elements with `front` before it and as many after it as needed, split into even and odd columns, `per` of each.
template <class T>
inline void split_row(const T* s, int64_t W, int64_t front, int64_t per, T border, T* even, T* odd) {
  const int64_t a = std::min(per, (front + 1) / 2), b = std::max(a, std::min(per, (W + front) / 2));
  set_run(even, border, a);
  set_run(odd, border, a);
  if (front % 2 && front / 2 < per && W > 0) odd[front / 2] = s[0];
  split_pairs(s + 2 * a - front, b - a, even + a, odd + a);
  set_run(even + b, border, per - b);
  set_run(odd + b, border, per - b);
  if ((W + front) % 2 && (W + front) / 2 < per && W > 0) even[(W + front) / 2] = s[W - 1];
}

template <class T>
using Lanes = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;

template <class T>
struct Windows {
  static constexpr int64_t L = Simd<T>::lanes, kBlock = 8 * L;   // vectors may run this far past an end
  int64_t size[3], front[3], stride[3], out[3];  // of the source; elements before it; of the result
  int64_t full[3], q[3], phase;               // with borders; of one phase; distance of phases

  // `reach`: from the first to the last tap of a window.
  Windows(const int64_t* size_, const int64_t* front_, const int64_t* reach, const int64_t* stride_, const int64_t* out_) {
    phase = 1;
    for (int d = 0; d < 3; ++d) {
      size[d] = size_[d], front[d] = front_[d], stride[d] = stride_[d], out[d] = out_[d];
      full[d] = (out[d] - 1) * stride[d] + reach[d];
      q[d] = (full[d] + stride[d] - 1) / stride[d];
      phase *= q[d];
    }
    phase = (phase + kBlock + 15) / 16 * 16;
  }

  int64_t storage() const { return stride[0] * stride[1] * stride[2] * phase + kBlock; }
  int64_t at(int64_t z, int64_t y, int64_t x) const {
    return ((z % stride[0] * stride[1] + y % stride[1]) * stride[2] + x % stride[2]) * phase +
           (z / stride[0] * q[1] + y / stride[1]) * q[2] + x / stride[2];
  }
  // One past the last output in the run, and whether the run is the result without gaps.
  int64_t run() const { return ((out[0] - 1) * q[1] + out[1] - 1) * q[2] + out[2]; }
  bool dense() const { return q[2] == out[2] && (q[1] == out[1] || out[0] == 1); }

  void fill(const T* s, T border, T* d) const {
    const int64_t W = size[2], n = q[2], by = stride[2], left = std::min(front[2], n);
    const int64_t width = std::max<int64_t>(0, std::min(W, n - left));
    for (int64_t z = 0; z < full[0]; ++z)
      for (int64_t y = 0, rest = 0, line = 0; y < full[1]; ++y, ++rest) {
        if (rest == stride[1]) rest = 0, ++line;             // y = line * stride + rest
        T* o = d + at(z, 0, 0) + rest * by * phase + line * n;
        const int64_t sz = z - front[0], sy = y - front[1];
        const T* row = s + (sz * size[1] + sy) * W;
        if (sz < 0 || sz >= size[0] || sy < 0 || sy >= size[1]) {
          for (int64_t r = 0; r < by; ++r) set_run(o + r * phase, border, n);
        } else if (by == 1) {
          set_run(o, border, left);
          copy_run(o + left, row, width);
          set_run(o + left + width, border, n - left - width);
        } else if (by == 2) {
          split_row(row, W, front[2], n, border, o, o + phase);
        } else {
          for (int64_t r = 0; r < by; ++r)
            for (int64_t i = 0; i < n; ++i) {
              const int64_t x = i * by + r - front[2];
              o[r * phase + i] = x >= 0 && x < W ? row[x] : border;
            }
        }
      }
  }

  // fn(tap's number, offset) for the taps of a kernel k, d apart, in order.
  template <class F>
  void taps(const int64_t* k, const int64_t* d, const F& fn) const {
    int64_t t = 0;
    for (int64_t z = 0; z < k[0]; ++z)
      for (int64_t y = 0; y < k[1]; ++y)
        for (int64_t x = 0; x < k[2]; ++x) fn(t++, at(z * d[0], y * d[1], x * d[2]));
  }

  // The outputs of a run, without its gaps.
  template <class U>
  void gather(const U* run, U* to) const {
    for (int64_t z = 0; z < out[0]; ++z)
      for (int64_t y = 0; y < out[1]; ++y, to += out[2]) copy_run(to, run + (z * q[1] + y) * q[2], out[2]);
  }
};

}  // namespace
}  // namespace rl
