// Copies between strided arrays: by rows where both lie along the same dimension, by square blocks where they are transposed.
#pragma once

#include "channels.h"
#include "walk.h"

namespace rl {
namespace {

// Dimensions of both arrays from the outermost to the innermost of the result, neighbours merged.
struct CopyShape {
  int ndim = 0;
  int64_t size[kMaxDims], to[kMaxDims], from[kMaxDims];
  int64_t to_at = 0, from_at = 0;             // offsets of the first element

  CopyShape(const Array& out, const Array& in) {
    for (int d = 0; d < out.ndim; ++d) {
      if (out.shape[d] == 1) continue;
      const int j = d - (out.ndim - in.ndim);
      int64_t a = out.strides[d], b = j < 0 || in.shape[j] == 1 ? 0 : in.strides[j];
      if (a < 0) {                            // backwards in the result: forwards, from the other end
        to_at += (out.shape[d] - 1) * a, from_at += (out.shape[d] - 1) * b;
        a = -a, b = -b;
      }
      int at = ndim++;
      for (; at > 0 && to[at - 1] < a; --at) move(at - 1, at);
      size[at] = out.shape[d], to[at] = a, from[at] = b;
    }
    int last = 0;
    for (int d = 1; d < ndim; ++d) {
      if (to[last] == to[d] * size[d] && from[last] == from[d] * size[d]) {
        size[last] *= size[d], to[last] = to[d], from[last] = from[d];
      } else {
        move(d, ++last);
      }
    }
    if (ndim) ndim = last + 1;
  }
  void move(int a, int b) { size[b] = size[a], to[b] = to[a], from[b] = from[a]; }
  void remove(int d) {
    for (--ndim; d < ndim; ++d) move(d + 1, d);
  }
  // Another dimension than the result's last, along which the source lies, or -1.
  int across() const {
    if (ndim && to[ndim - 1] == 1 && from[ndim - 1] > 1)
      for (int d = ndim - 2; d >= 0; --d)
        if (from[d] == 1) return d;
    return -1;
  }
  int64_t count() const {
    int64_t n = 1;
    for (int d = 0; d < ndim; ++d) n *= size[d];
    return n;
  }
  // fn(offset in the result, offset in the source) for elements begin to end.
  template <class F>
  void each(int64_t begin, int64_t end, const F& fn) const {
    int64_t index[kMaxDims], a = to_at, b = from_at, rest = begin;
    for (int d = ndim - 1; d >= 0; --d) {
      index[d] = rest % size[d];
      rest /= size[d];
      a += index[d] * to[d], b += index[d] * from[d];
    }
    if (ndim == 0) return fn(a, b);
    const int last = ndim - 1;
    const int64_t step_a = to[last], step_b = from[last];
    for (int64_t i = begin; i < end;) {
      const int64_t run = std::min(size[last] - index[last], end - i);
      for (int64_t k = 0; k < run; ++k) fn(a + k * step_a, b + k * step_b);
      i += run;
      a -= index[last] * step_a, b -= index[last] * step_b;
      index[last] = 0;
      for (int d = last - 1; d >= 0; --d) {
        a += to[d], b += from[d];
        if (++index[d] < size[d]) break;
        a -= size[d] * to[d], b -= size[d] * from[d];
        index[d] = 0;
      }
    }
  }
};

template <class T>
inline void copy_row(T* o, const T* s, int64_t n, int64_t to, int64_t from) {
  if (to == 1 && from == 1) {
    std::memcpy(o, s, static_cast<size_t>(n) * sizeof(T));
  } else if (to == 1 && from == 0) {
    const T v = *s;
    for (int64_t i = 0; i < n; ++i) o[i] = v;
  } else if (to == 1 && from == -1) {
    for (int64_t i = 0; i < n; ++i) o[i] = s[-i];
  } else {
    for (int64_t i = 0; i < n; ++i) o[i * to] = s[i * from];
  }
}

// o[c * N + p] = s[p * pitch + c], or the other way round: N small.
template <int N, class T>
inline void interleave(const T* s, int64_t pitch, int64_t n, T* __restrict o) {
  for (int64_t c = 0; c < n; ++c)
    for (int p = 0; p < N; ++p) o[c * N + p] = s[p * pitch + c];
}
template <int N, class T>
inline void separate(const T* s, int64_t n, T* __restrict o, int64_t pitch) {
  for (int p = 0; p < N; ++p)
    for (int64_t c = 0; c < n; ++c) o[p * pitch + c] = s[c * N + p];
}

// o[c * to + p] = s[p * from + c] for p < n and c < m
template <class T>
void transpose_block(const T* s, int64_t n, int64_t m, int64_t from, T* o, int64_t to) {
  if (n == to && n == 2) return interleave<2>(s, from, m, o);
  if (n == to && n == 3) return interleave<3>(s, from, m, o);
  if (m == from && m == 2) return separate<2>(s, n, o, to);
  if (m == from && m == 3) return separate<3>(s, n, o, to);
  int64_t done = 0;
  if constexpr (sizeof(T) >= 4) {
    if (from >= m) {                          // not rows that overlap
      done = m / 4 * 4;                       // channels_first reads fours
      channels_first(s, n, done, o, to, from);
    }
  }
  for (int64_t c = done; c < m; ++c)
    for (int64_t p = 0; p < n; ++p) o[c * to + p] = s[p * from + c];
}

// in is broadcast to out's shape; they share no memory.
template <class T>
void copy_strided(const Array& out, const Array& in) {
  constexpr int64_t kJob = 32768;             // elements per parallel chunk
  T* o = static_cast<T*>(out.data());
  const T* s = static_cast<const T*>(in.data());
  CopyShape shape(out, in);
  if (shape.ndim == 0) {
    o[shape.to_at] = s[shape.from_at];
    return;
  }
  const int last = shape.ndim - 1;
  const int64_t n = shape.size[last], to = shape.to[last], from = shape.from[last];
  const int across = shape.across();
  if (across >= 0) {
    const int64_t m = shape.size[across], pitch = shape.to[across];
    const int64_t strip = std::clamp<int64_t>(kJob / n / 16 * 16, 16, 4096), strips = (m + strip - 1) / strip;
    shape.remove(last);
    shape.remove(across);
    const int64_t per = std::max<int64_t>(1, kJob / (n * std::min(m, strip)));
    const int64_t blocks = shape.count() * strips;
    parallel_for((blocks + per - 1) / per, [&](int64_t job) {
      for (int64_t k = job * per; k < std::min(blocks, (job + 1) * per); ++k) {
        const int64_t c = k % strips * strip;
        shape.each(k / strips, k / strips + 1, [&](int64_t a, int64_t b) {
          transpose_block(s + b + c, n, std::min(strip, m - c), from, o + a + c * pitch, pitch);
        });
      }
    });
    return;
  }
  shape.remove(last);
  const int64_t rows = shape.count();
  if (rows == 1) {
    parallel_for((n + kJob - 1) / kJob, [&](int64_t job) {
      const int64_t i = job * kJob;
      copy_row(o + shape.to_at + i * to, s + shape.from_at + i * from, std::min(kJob, n - i), to, from);
    });
    return;
  }
  const int64_t per = std::max<int64_t>(1, kJob / n);
  const bool straight = sizeof(T) >= 4 && to == 1 && from == 1 && n <= 1024;
  parallel_for((rows + per - 1) / per, [&](int64_t job) {
    const int64_t begin = job * per, end = std::min(rows, begin + per);
    if (straight) shape.each(begin, end, [&](int64_t a, int64_t b) { copy_run(o + a, s + b, n); });
    else shape.each(begin, end, [&](int64_t a, int64_t b) { copy_row(o + a, s + b, n, to, from); });
  });
}

inline void copy_strided(const Array& out, const Array& in) {
  switch (item_size(out.dtype)) {
    case 1: return copy_strided<uint8_t>(out, in);
    case 2: return copy_strided<uint16_t>(out, in);
    case 4: return copy_strided<float>(out, in);
    default: return copy_strided<double>(out, in);
  }
}

// Between element types, transposed: blocks in L1, turned in the wider type.
inline void transpose_converted(const Array& out, const Array& in, CopyShape shape, int across) {
  constexpr int64_t kSide = 64;
  const int last = shape.ndim - 1, wide = std::max(item_size(out.dtype), item_size(in.dtype));
  const int64_t n = shape.size[last], m = shape.size[across], from = shape.from[last], pitch = shape.to[across];
  const int64_t across_n = (n + kSide - 1) / kSide, across_m = (m + kSide - 1) / kSide;
  shape.remove(last);
  shape.remove(across);
  const bool turn_first = item_size(in.dtype) == wide;
  auto turn = [&](const void* s, int64_t rows, int64_t columns, int64_t a, void* o, int64_t b) {
    switch (wide) {
      case 1: return transpose_block(static_cast<const uint8_t*>(s), rows, columns, a, static_cast<uint8_t*>(o), b);
      case 2: return transpose_block(static_cast<const uint16_t*>(s), rows, columns, a, static_cast<uint16_t*>(o), b);
      case 4: return transpose_block(static_cast<const float*>(s), rows, columns, a, static_cast<float*>(o), b);
      default: return transpose_block(static_cast<const double*>(s), rows, columns, a, static_cast<double*>(o), b);
    }
  };
  const char* s = static_cast<const char*>(in.data());
  char* o = static_cast<char*>(out.data());
  const int64_t si = item_size(in.dtype), oi = item_size(out.dtype);
  parallel_for(shape.count() * across_m, [&](int64_t job) {
    alignas(64) char block[kSide * kSide * 8];
    const int64_t c = job % across_m * kSide, columns = std::min(kSide, m - c);
    shape.each(job / across_m, job / across_m + 1, [&](int64_t a, int64_t b) {
      for (int64_t k = 0; k < across_n; ++k) {
        const int64_t p = k * kSide, rows = std::min(kSide, n - p);
        const char* source = s + (b + p * from + c) * si;
        char* target = o + (a + p + c * pitch) * oi;
        if (turn_first) {
          turn(source, rows, columns, from, block, kSide);
          for (int64_t i = 0; i < columns; ++i)
            convert(out.dtype, target + i * pitch * oi, in.dtype, block + i * kSide * si, rows);
        } else {
          for (int64_t i = 0; i < rows; ++i)
            convert(out.dtype, block + i * kSide * oi, in.dtype, source + i * from * si, columns);
          turn(block, rows, columns, kSide, target, pitch);
        }
      }
    });
  });
}

// The same as copy_strided between element types.
inline void copy_converted(const Array& out, const Array& in) {
  const CopyShape shape(out, in);
  const int across = shape.across();
  if (across >= 0) return transpose_converted(out, in, shape, across);
  int order[kMaxDims];
  memory_order(out, order);
  const Walk to = make_walk(out, out.shape, out.ndim, order), from = make_walk(in, out.shape, out.ndim, order);
  const bool in_place = to.linear();
  const int64_t tile = in_place && from.long_runs() ? kChunk : kTile;
  parallel_for((out.numel + kChunk - 1) / kChunk, [&](int64_t chunk) {
    alignas(64) char raw[kTile * 8], converted[kTile * 8];
    const int64_t end = std::min(out.numel, (chunk + 1) * kChunk);
    for (int64_t at = chunk * kChunk; at < end; at += tile) {
      const int64_t n = std::min(tile, end - at);
      char* target = in_place ? to.base + at * to.item : converted;
      gather_as(out.dtype, from, in.dtype, at, n, target, raw);
      if (!in_place) scatter(to, at, n, converted);
    }
  });
}

}  // namespace
}  // namespace rl
