// Padding: every output element copies one input element, found per dimension by a table of positions.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "window.h"

namespace rl {
namespace {

// pad_positions(x, per padded dimension: positions (int64), …, first): out[i, j] = x[table0[i], table1[j]]. -1 gives 0.
// The tables belong to the last dimensions, `first` being the first padded one.
struct Geometry {
  int64_t outer = 1;
  int depth;
  int64_t in[4], out[4];
  const int64_t* table[4];
  Geometry(const Array& shape_in, const Array* const* tables, int n) : depth(n) {
    const int first = shape_in.ndim - n;
    for (int d = 0; d < first; ++d) outer *= shape_in.shape[d];
    for (int k = 0; k < n; ++k) {
      in[k] = shape_in.shape[first + k];
      out[k] = tables[k]->numel;
      table[k] = tables[k]->ptr<int64_t>();
    }
  }
  // The longest stretch of the last dimension whose positions follow each other: begin <= j < end.
  void stretch(int64_t* begin, int64_t* end) const {
    const int64_t *p = table[depth - 1], n = out[depth - 1];
    *begin = *end = 0;
    for (int64_t a = 0, b; a < n; a = b) {
      for (b = a + 1; b < n && p[b] == p[b - 1] + 1;) ++b;
      if (p[a] >= 0 && b - a > *end - *begin) *begin = a, *end = b;
    }
  }
  int64_t in_size() const { return product(in); }
  int64_t out_size() const { return product(out); }
  int64_t product(const int64_t* s) const {
    int64_t p = 1;
    for (int k = 0; k < depth; ++k) p *= s[k];
    return p;
  }
  // Calls fn(out row offset, in row offset or -1) for each row of the last dimension.
  template <class F>
  void rows(const F& fn) const {
    const int64_t width = out[depth - 1];
    int64_t count = width ? out_size() / width : 0;
    for (int64_t r = 0; r < count; ++r) {
      int64_t rest = r, from = 0, step = in[depth - 1];
      for (int k = depth - 2; k >= 0; --k) {
        const int64_t p = table[k][rest % out[k]];
        rest /= out[k];
        from = p < 0 || from < 0 ? -1 : from + p * step;
        step *= in[k];
      }
      fn(r * width, from);
    }
  }
};

void pad_infer(const Call& c, Meta* m) {
  const Array& x = *c.in[0];
  const int n = c.nin - 1;
  m->like(x);
  for (int k = 0; k < n; ++k) m->shape[x.ndim - n + k] = c.in[1 + k]->numel;
}

void pad_run(const Call& c) {
  const Array& x = *c.in[0];
  const Geometry g(x, c.in + 1, c.nin - 1);
  const int64_t width = g.out[g.depth - 1];
  const int64_t* last = g.table[g.depth - 1];
  int64_t begin, end;
  g.stretch(&begin, &end);
  auto copy = [&](auto z) {
    using T = decltype(z);
    const T* s = static_cast<const T*>(x.data());
    T* o = static_cast<T*>(c.out[0]->data());
    parallel_for(g.outer, [&](int64_t b) {
      const T* src = s + b * g.in_size();
      T* dst = o + b * g.out_size();
      g.rows([&](int64_t to, int64_t from) {
        T* row = dst + to;
        if (from < 0) return static_cast<void>(std::fill(row, row + width, T(0)));
        auto one = [&](int64_t j) { row[j] = last[j] < 0 ? T(0) : src[from + last[j]]; };
        for (int64_t j = 0; j < begin; ++j) one(j);
        if (begin < end) copy_run(row + begin, src + from + last[begin], end - begin);
        for (int64_t j = end; j < width; ++j) one(j);
      });
    });
  };
  switch (item_size(x.dtype)) {
    case 1: return copy(uint8_t{});
    case 2: return copy(uint16_t{});
    case 4: return copy(float{});
    default: return copy(double{});
  }
}
RL_KERNEL_ANY(pad_positions, 1, pad_infer, pad_run)

// pad_positions_backward(g, tables…, sizes of the input's last dimensions…): each gradient goes back where its value was from.
void pad_backward_infer(const Call& c, Meta* m) {
  const Array& g = *c.in[0];
  const int n = c.nin - 1;
  m->like(g);
  for (int k = 0; k < n; ++k) m->shape[g.ndim - n + k] = c.inum(k);
}

void pad_backward_run(const Call& c) {
  const Array &g = *c.in[0], &dx = *c.out[0];
  const Geometry geometry(dx, c.in + 1, c.nin - 1);
  const int64_t width = geometry.out[geometry.depth - 1];
  const int64_t* last = geometry.table[geometry.depth - 1];
  int64_t begin, end;
  geometry.stretch(&begin, &end);
  floating(g.dtype, "padding_backward", [&](auto z) {
    using T = decltype(z);
    parallel_for(geometry.outer, [&](int64_t b) {
      const T* src = g.ptr<T>() + b * geometry.out_size();
      T* dst = dx.ptr<T>() + b * geometry.in_size();
      std::memset(dst, 0, static_cast<size_t>(geometry.in_size()) * sizeof(T));
      geometry.rows([&](int64_t at, int64_t to) {
        if (to < 0) return;
        auto one = [&](int64_t j) {
          if (last[j] >= 0) dst[to + last[j]] += src[at + j];
        };
        for (int64_t j = 0; j < begin; ++j) one(j);
        T* __restrict row = dst + to + (begin < end ? last[begin] : 0);
        for (int64_t j = begin; j < end; ++j) row[j - begin] += src[at + j];
        for (int64_t j = end; j < width; ++j) one(j);
      });
    });
  });
}
RL_KERNEL(pad_positions_backward, 1, pad_backward_infer, pad_backward_run)

// pad_table_into(out, mode, size, before): which position of a dimension of `size` each padded one copies.
enum Filling { kReflect, kReplicate, kCircular };

void pad_table_run(const Call& c) {
  const int64_t mode = c.inum(0), size = c.inum(1), before = c.inum(2), n = c.out[0]->numel, last = size - 1;
  const int64_t first = std::max<int64_t>(-before, 0), kept = size - first - std::max<int64_t>(size + before - n, 0);
  if (mode == kCircular && kept <= 0 && n) throw std::runtime_error("Padding value causes wrapping around more than once.");
  int64_t* to = c.out[0]->ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i) {
    const int64_t at = i - before;
    if (mode == kReflect) to[i] = last - std::abs(last - std::abs(at));
    else if (mode == kReplicate) to[i] = std::clamp<int64_t>(at, 0, last);
    else to[i] = ((at - first) % kept + kept) % kept + first;      // what is left after cropping is repeated
  }
}
RL_KERNEL(pad_table, 1, nullptr, pad_table_run)

}  // namespace
}  // namespace rl
