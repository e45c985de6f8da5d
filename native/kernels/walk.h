// Operands of pointwise kernels in memory: walking strided views in tiles.
#pragma once

#include <cstring>

#include "convert.h"
#include "window.h"

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
  // Of a row that is repeated: its length.
  int64_t period() const { return ndim == 2 && stride[0] == 0 && size[1] <= kTile / 2 ? size[1] : 0; }
  bool long_runs() const { return ndim && stride[ndim - 1] == 1 && size[ndim - 1] >= 32; }     // worth a call each
};

// How long tiles are, so that each of them begins where the last one has in a row that is repeated: its tile is filled once.
inline int64_t tile_length(int64_t period) { return period ? kTile / period * period : kTile; }

// Dimensions from the outermost to the innermost in memory.
inline void memory_order(const Array& a, int* order) {
  for (int i = 0; i < a.ndim; ++i) {
    int j = i;
    while (j > 0 && a.shape[i] != 1 && a.strides[order[j - 1]] < a.strides[i]) {
      order[j] = order[j - 1];
      --j;
    }
    order[j] = i;
  }
}

// order: the output's dimensions from outermost to innermost in memory.
inline Walk make_walk(const Array& a, const int64_t* shape, int ndim, const int* order) {
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
inline void gather(const Walk& w, int64_t start, int64_t n, void* tile) {
  T* t = static_cast<T*>(tile);
  if (w.ndim == 2 && w.stride[1] == 0) {      // a column
    const T* s = reinterpret_cast<const T*>(w.base) + start / w.size[1] * w.stride[0];
    int64_t left = w.size[1] - start % w.size[1];
    for (T* const end = t + n; t < end; s += w.stride[0], left = w.size[1]) {
      left = std::min<int64_t>(left, end - t);
      set_run(t, *s, left);
      t += left;
    }
    return;
  }
  stretches(w, start, n, [t](const char* p, int64_t step, int64_t at, int64_t len) {
    const T* s = reinterpret_cast<const T*>(p);
    T* d = t + at;
    if (step == 1) copy_run(d, s, len);
    else if (step == 0) set_run(d, *s, len);
    else for (int64_t i = 0; i < len; ++i) d[i] = s[i * step];
  });
}

template <class T>
inline void scatter(const Walk& w, int64_t start, int64_t n, const void* tile) {
  const T* t = static_cast<const T*>(tile);
  stretches(w, start, n, [t](char* p, int64_t step, int64_t at, int64_t len) {
    T* d = reinterpret_cast<T*>(p);
    const T* s = t + at;
    if (step == 1) std::memcpy(d, s, static_cast<size_t>(len) * sizeof(T));
    else for (int64_t i = 0; i < len; ++i) d[i * step] = s[i];
  });
}

inline void gather(const Walk& w, int64_t start, int64_t n, void* tile) {
  switch (w.item) {
    case 1: return gather<uint8_t>(w, start, n, tile);
    case 2: return gather<uint16_t>(w, start, n, tile);
    case 4: return gather<uint32_t>(w, start, n, tile);
    default: return gather<uint64_t>(w, start, n, tile);
  }
}

inline void scatter(const Walk& w, int64_t start, int64_t n, const void* tile) {
  switch (w.item) {
    case 1: return scatter<uint8_t>(w, start, n, tile);
    case 2: return scatter<uint16_t>(w, start, n, tile);
    case 4: return scatter<uint32_t>(w, start, n, tile);
    default: return scatter<uint64_t>(w, start, n, tile);
  }
}

// Elements as `to`. `raw` is another tile, of no use where the operand lies in long runs.
inline void gather_as(DType to, const Walk& w, DType from, int64_t start, int64_t n, void* tile, void* raw) {
  if (to == from) return gather(w, start, n, tile);
  if (w.long_runs()) {
    const int64_t item = item_size(to);
    return stretches(w, start, n, [&](const char* p, int64_t, int64_t at, int64_t len) {
      convert(to, static_cast<char*>(tile) + at * item, from, p, len);
    });
  }
  gather(w, start, n, raw);
  convert(to, tile, from, raw, n);
}

}  // namespace
}  // namespace rl
