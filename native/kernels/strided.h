// Walking strided arrays in the order of their memory.
#pragma once

#include "../core/kernel.h"

namespace rl {
namespace {

// Dimensions from the outermost to the innermost in memory: the order in which PyTorch's serial kernels write.
struct MemoryOrder {
  int ndim = 0;
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];
  int dim[kMaxDims];

  explicit MemoryOrder(const Array& a) {
    for (int d = 0; d < a.ndim; ++d) {
      if (a.shape[d] == 1) continue;
      int at = ndim++;
      for (; at > 0 && strides[at - 1] < a.strides[d]; --at) {
        shape[at] = shape[at - 1];
        strides[at] = strides[at - 1];
        dim[at] = dim[at - 1];
      }
      shape[at] = a.shape[d];
      strides[at] = a.strides[d];
      dim[at] = d;
    }
  }
};

// fn(offset in a, offset in b) for every element, in the memory order of a. b has a's shape, or is a again.
template <class F>
void each_in_order(const Array& a, const Array& b, const F& fn) {
  if (a.numel == 0) return;
  const MemoryOrder o(a);
  int64_t index[kMaxDims] = {}, at = 0, other = 0;
  for (int64_t done = 0;;) {
    fn(at, other);
    if (++done == a.numel) return;
    for (int d = o.ndim - 1; d >= 0; --d) {
      const int64_t step = b.strides[o.dim[d]];
      at += o.strides[d];
      other += step;
      if (++index[d] < o.shape[d]) break;
      at -= o.shape[d] * o.strides[d];
      other -= o.shape[d] * step;
      index[d] = 0;
    }
  }
}

// True if a's elements lie one after another in memory, in whatever order of dimensions.
inline bool dense(const Array& a) {
  const MemoryOrder o(a);
  int64_t expect = 1;
  for (int d = o.ndim - 1; d >= 0; --d) {
    if (o.strides[d] != expect) return false;
    expect *= o.shape[d];
  }
  return true;
}

}  // namespace
}  // namespace rl
