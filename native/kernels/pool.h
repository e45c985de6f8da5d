// Pooling over one to three spatial dimensions.
//
// A plane (all spatial elements of one channel) is the unit of work. Every window is a product of ranges, one per
// dimension, so regular and adaptive pooling share the loops.
#pragma once

#include <algorithm>
#include <cstring>

#include "rows.h"

namespace rl {
namespace {

constexpr int64_t kPlaneWork = 32768;         // elements per parallel chunk

// fn(first, end) for several planes to a chunk.
template <class F>
void for_plane_groups(int64_t planes, int64_t elements, const F& fn) {
  const int64_t per = std::max<int64_t>(1, kPlaneWork / std::max<int64_t>(1, elements));
  parallel_for((planes + per - 1) / per, [&](int64_t job) { fn(job * per, std::min(planes, (job + 1) * per)); });
}

// fn(plane) for every plane.
template <class F>
void for_planes(int64_t planes, int64_t elements, const F& fn) {
  for_plane_groups(planes, elements, [&](int64_t first, int64_t end) {
    for (int64_t i = first; i < end; ++i) fn(i);
  });
}

// The next `left` elements of a row; whole vectors before `end`, since what lies beyond the row does no harm. Rows are written
// in order, so that a vector may run over into the next one.
template <class T>
inline void load_row(typename Sixteen<T>::vec& v, const T* p, int64_t left, const T* end) {
  if (p + kLanes <= end) Sixteen<T>::load(v, p);
  else if (left > 0) load_left(v, p, left, T(0));
}

template <class T>
inline void store_row(T* p, const typename Sixteen<T>::vec& v, int64_t left, const T* end) {
  if (p + kLanes <= end) Sixteen<T>::store(p, v);
  else if (left > 0) Sixteen<T>::store(p, v, std::min<int64_t>(kLanes, left));
}

// Spatial sizes with leading ones, and the number of planes. The rank is in the call's first number.
struct Planes {
  int64_t n[3] = {1, 1, 1}, count = 1, size = 1;
  Planes(const Array& a, int rank) {
    for (int d = 0; d < rank; ++d) n[3 - rank + d] = a.shape[a.ndim - rank + d];
    size = n[0] * n[1] * n[2];
    for (int d = 0; d < a.ndim - rank; ++d) count *= a.shape[d];
  }
};

inline void leading(const Call& c, int64_t at, int rank, int64_t fill, int64_t* out) {
  for (int d = 0; d < 3; ++d) out[d] = d < 3 - rank ? fill : c.inum(static_cast<int>(at) + d - (3 - rank));
}

// Output of the input's leading shape and the spatial size that is in the numbers from `at` on.
inline void infer_size(const Call& c, int at, Meta* m) {
  const int rank = static_cast<int>(c.inum(0));
  m->like(*c.in[0]);
  for (int d = 0; d < rank; ++d) m->shape[m->ndim - rank + d] = c.inum(at + d);
}

// The windows of adaptive pooling.
inline int64_t adaptive_start(int64_t o, int64_t in, int64_t out) { return o * in / out; }
inline int64_t adaptive_end(int64_t o, int64_t in, int64_t out) { return ((o + 1) * in + out - 1) / out; }

// The windows along one dimension: range inside the input, and the length that counts for the mean.
struct Ranges {
  Scratch<int64_t> lo, hi, count;
  explicit Ranges(int64_t n) : lo(n), hi(n), count(n) {}

  void adaptive(int64_t in, int64_t out) {
    for (int64_t o = 0; o < out; ++o) {
      lo[o] = adaptive_start(o, in, out);
      hi[o] = adaptive_end(o, in, out);
      count[o] = hi[o] - lo[o];
    }
  }
  // include: borders count.
  void regular(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t pad, bool include) {
    for (int64_t o = 0; o < out; ++o) {
      const int64_t start = o * stride - pad, end = std::min(start + kernel, in + pad);
      lo[o] = std::max<int64_t>(start, 0);
      hi[o] = std::max(lo[o], std::min(end, in));
      count[o] = include ? end - start : hi[o] - lo[o];
    }
  }
};

}  // namespace
}  // namespace rl
