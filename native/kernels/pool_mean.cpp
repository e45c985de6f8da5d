// Means over windows, and the way back.
//
// Sums over windows are separable. Rows are added up first, in vectors along the row, then columns: with a stride of 1 or 2 in
// vectors again, by pairs of even and odd columns. The way back is the same in the other order, and writes every element once.
#include "pool.h"
#include "slices.h"

namespace rl {
namespace {

// The windows that cover an element: first <= o < end. Windows are in order, so these are neighbours.
struct Cover {
  Scratch<int64_t> first, end;
  Cover(const Ranges& r, int64_t in, int64_t out) : first(in), end(in) {
    for (int64_t i = 0, a = 0, b = 0; i < in; ++i) {
      while (a < out && r.hi[a] <= i) ++a;
      while (b < out && r.lo[b] <= i) ++b;
      first[i] = a, end[i] = b;
    }
  }
};

inline bool power_of_two(int64_t n) { return n > 0 && (n & (n - 1)) == 0; }

struct Means {
  const Call& c;
  int rank;
  Planes in, out;                             // of x and of y
  Ranges z, y, x;
  int64_t divisor = 0;                        // instead of counts, unless it is 0
  int64_t kernel = 1, stride = 1, pad = 0;    // along x, of regular windows
  bool lanes;                                 // regular, with a stride of 1 or 2
  bool whole;                                 // one window, the plane
  bool exact;                                 // by the reciprocal of a power of two

  // Numbers: rank, size, adaptive, kernel, stride, pad, count_include_pad, divisor (0: none).
  Means(const Call& call, const Array& wide, const Array& narrow)
      : c(call), rank(static_cast<int>(call.inum(0))), in(wide, rank), out(narrow, rank), z(out.n[0]), y(out.n[1]), x(out.n[2]) {
    const bool adaptive = c.inum(1 + rank);
    if (!adaptive) divisor = c.inum(2 + 4 * rank + 1);
    int64_t k[3], s[3], p[3];
    leading(c, 2 + rank, rank, 1, k);
    leading(c, 2 + 2 * rank, rank, 1, s);
    leading(c, 2 + 3 * rank, rank, 0, p);
    Ranges* of[3] = {&z, &y, &x};
    exact = divisor == 0 || power_of_two(divisor);
    for (int d = 0; d < 3; ++d) {
      if (adaptive) of[d]->adaptive(in.n[d], out.n[d]);
      else of[d]->regular(in.n[d], out.n[d], k[d], s[d], p[d], c.inum(2 + 4 * rank));
      for (int64_t o = 0; o < out.n[d]; ++o) exact &= divisor != 0 || power_of_two(of[d]->count[o]);
    }
    lanes = !adaptive && s[2] <= 2;
    if (!adaptive) kernel = k[2], stride = s[2], pad = p[2];
    whole = out.size == 1 && (z.hi[0] - z.lo[0]) * (y.hi[0] - y.lo[0]) * (x.hi[0] - x.lo[0]) == in.size;
  }
};

// What both directions need for a chunk of planes.
template <class T>
struct MeanPlanes : Sixteen<T> {
  typedef typename Sixteen<T>::vec V;
  using Sixteen<T>::load;
  using Sixteen<T>::store;
  static constexpr int64_t kSlack = 4 * kLanes;  // vectors may run this far past a row

  const Means& p;
  const int64_t rows, W, n;                   // rows of y, and the sizes of a row of x and y
  Scratch<T> factor, row_factor;              // counts along x and of rows, or their reciprocals

  explicit MeanPlanes(const Means& m)
      : p(m), rows(m.out.n[0] * m.out.n[1]), W(m.in.n[2]), n(m.out.n[2]), factor(n + kLanes), row_factor(rows) {
    auto by = [&](int64_t count) { return p.exact ? T(1) / static_cast<T>(count) : static_cast<T>(count); };
    for (int64_t i = 0; i < n + kLanes; ++i) factor[i] = by(p.divisor || i >= n ? 1 : p.x.count[i]);
    for (int64_t i = 0; i < rows; ++i)
      row_factor[i] = by(p.divisor ? p.divisor : p.z.count[i / p.out.n[1]] * p.y.count[i % p.out.n[1]]);
  }
  // The next `left` elements of a row and zeros after them: whole, because what has been stored under a mask is not at hand.
  static void store_padded(T* to, const V& v, int64_t left) {
    V lane;
    for (int k = 0; k < kLanes; ++k) lane[k] = static_cast<T>(k);
    const V kept = lane < static_cast<T>(std::min<int64_t>(kLanes, left)) ? v : V{};
    store(to, kept);
  }
};

template <class T>
struct MeanForward : MeanPlanes<T> {
  typedef MeanPlanes<T> Base;
  typedef typename Base::V V;
  using Base::load, Base::store, Base::p, Base::rows, Base::W, Base::n, Base::row_factor;
  const int64_t pitch;                        // of rows of sums: elements before 0 and after W are zeros
  Scratch<T> sums;

  explicit MeanForward(const Means& m)
      : Base(m), pitch(std::max(m.pad + (W + kLanes - 1) / kLanes * kLanes, (n - 1) * m.stride + m.kernel)),
        sums(rows * pitch + Base::kSlack) {
    std::fill(sums.p, sums + rows * pitch + Base::kSlack, T(0));
  }

  // The sum of `lines` lines, LINES if that is not 0: most windows are 2 or 3 high.
  template <int LINES>
  static void add_lines(const T* s, int64_t lines, int64_t W, const T* end, T* to) {
    if (LINES) lines = LINES;
    const int64_t whole = s + (lines - 1) * W + (W + kLanes - 1) / kLanes * kLanes <= end ? W : W / kLanes * kLanes;
    V total, v;
    int64_t i = 0;
    for (; i < whole; i += kLanes) {
      load(total, s + i);
      for (int64_t k = 1; k < lines; ++k) {
        load(v, s + k * W + i);
        total += v;
      }
      if (i + kLanes <= W) store(to + i, total);
      else Base::store_padded(to + i, total, W - i);
    }
    if (i >= W) return;
    total = V{};
    for (int64_t k = 0; k < lines; ++k) {
      load_left(v, s + k * W + i, W - i, T(0));
      total += v;
    }
    store(to + i, total);
  }
  void add_rows(const T* s, const T* end) const {
    T* to = sums + p.pad;
    const int64_t H = p.in.n[1], width = W, by = pitch;
    for (int64_t oz = 0; oz < p.out.n[0]; ++oz)
      for (int64_t oy = 0; oy < p.out.n[1]; ++oy, to += by) {
        const int64_t planes = p.z.hi[oz] - p.z.lo[oz], lines = p.y.hi[oy] - p.y.lo[oy];
        const T* first = s + (p.z.lo[oz] * H + p.y.lo[oy]) * width;
        if (planes == 1 && lines == 2) {
          add_lines<2>(first, 2, width, end, to);
        } else if (planes == 1 && lines == 3) {
          add_lines<3>(first, 3, width, end, to);
        } else if (planes == 1 && lines > 0) {
          add_lines<0>(first, lines, width, end, to);
        } else {
          for (int64_t i = 0; i < width; i += kLanes) {
            V total = {}, v = {};
            for (int64_t iz = 0; iz < planes; ++iz)
              for (int64_t iy = 0; iy < lines; ++iy) {
                load_row(v, first + (iz * H + iy) * width + i, width - i, end);
                total += v;
              }
            Base::store_padded(to + i, total, width - i);
          }
        }
      }
  }
  // Sums along a row, KERNEL columns each if that is not 0.
  template <int KERNEL, int STRIDE>
  void add_columns(const T* row, int64_t kernel, int64_t i, V& total) const {
    if (KERNEL) kernel = KERNEL;
    V a, b, even, odd;
    total = V{};
    for (int64_t k = 0; k < kernel; k += STRIDE) {
      load(a, row + STRIDE * i + k);
      if (STRIDE == 1) {
        total += a;
        continue;
      }
      load(b, row + STRIDE * i + k + kLanes);
      Base::pairs(a, b, even, odd);
      total += even;
      if (k + 1 < kernel) total += odd;
    }
  }
  // STRIDE 0: windows of any kind.
  template <int KERNEL, int STRIDE>
  void columns(T* o, const T* o_end) const {
    const int64_t width = n, by = pitch, count = rows, kernel = p.kernel;
    const bool exact = p.exact;
    const T* from = sums;
    V total, f;
    for (int64_t row = 0; row < count; ++row, o += width, from += by) {
      const T scale = row_factor[row];
      for (int64_t i = 0; i < width; i += kLanes) {
        if constexpr (STRIDE != 0) {
          add_columns<KERNEL, STRIDE>(from, kernel, i, total);
        } else {
          T part[kLanes] = {};
          for (int64_t j = i; j < std::min(width, i + kLanes); ++j)
            for (int64_t k = p.x.lo[j]; k < p.x.hi[j]; ++k) part[j - i] += from[p.pad + k];
          load(total, part);
        }
        load(f, Base::factor + i);
        f *= scale;
        if (exact) total *= f;
        else total /= f;
        store_row(o + i, total, width - i, o_end);
      }
    }
  }
  void plane(const T* s, const T* end, T* o, const T* o_end) const {
    add_rows(s, end);
    if (!p.lanes) columns<0, 0>(o, o_end);
    else if (p.stride == 1) p.kernel == 3 ? columns<3, 1>(o, o_end) : columns<0, 1>(o, o_end);
    else if (p.kernel == 2) columns<2, 2>(o, o_end);
    else p.kernel == 3 ? columns<3, 2>(o, o_end) : columns<0, 2>(o, o_end);
  }
};

template <class T>
struct MeanBackward : MeanPlanes<T> {
  typedef MeanPlanes<T> Base;
  typedef typename Base::V V;
  using Base::load, Base::store, Base::p, Base::rows, Base::W, Base::n, Base::row_factor;
  const Cover over_z, over_y;
  const int64_t front, pitch;                 // zeros before a row of y; from one wide row to the next
  Scratch<T> narrow, wide;                    // a row of g over its counts; rows of y, as wide as those of x

  explicit MeanBackward(const Means& m)
      : Base(m), over_z(m.z, m.in.n[0], m.out.n[0]), over_y(m.y, m.in.n[1], m.out.n[1]),
        front((m.kernel - 1) / m.stride), pitch(m.pad + W + Base::kSlack),
        narrow(front + std::max(n, m.pad + W) + Base::kSlack), wide(rows * pitch + Base::kSlack) {
    std::fill(narrow.p, narrow + front + std::max(n, m.pad + W) + Base::kSlack, T(0));
  }

  // The same in the other direction.
  template <int KERNEL, int STRIDE>
  void spread_columns(const T* g, int64_t width, T* to) const {
    const int64_t kernel = KERNEL ? KERNEL : p.kernel;
    V v, even, odd, low, high;
    for (int64_t i = 0; STRIDE * i < width; i += kLanes) {
      even = odd = V{};
      for (int64_t k = 0; k < kernel; k += STRIDE) {
        load(v, g + i - k / STRIDE);
        even += v;
        if (STRIDE == 2 && k + 1 < kernel) odd += v;
      }
      if (STRIDE == 1) {
        store(to + i, even);
        continue;
      }
      Base::zip(even, odd, low, high);
      store(to + 2 * i, low);
      store(to + 2 * i + kLanes, high);
    }
  }
  template <int KERNEL, int STRIDE>
  void columns(const T* g, const T* g_end) const {
    const int64_t width = n, by = pitch, count = rows, full = p.pad + W;
    const bool exact = p.exact;
    T *at = narrow + front, *to = wide;
    V v = {}, f;
    for (int64_t row = 0; row < count; ++row, g += width, to += by) {
      const T scale = row_factor[row];
      for (int64_t i = 0; i < width; i += kLanes) {
        load_row(v, g + i, width - i, g_end);
        load(f, Base::factor + i);
        f *= scale;
        if (exact) v *= f;
        else v /= f;
        Base::store_padded(at + i, v, width - i);
      }
      if constexpr (STRIDE != 0) {
        spread_columns<KERNEL, STRIDE>(at, full, to);
      } else {
        std::memset(to, 0, static_cast<size_t>(full) * sizeof(T));
        for (int64_t i = 0; i < width; ++i)
          for (int64_t k = p.x.lo[i]; k < p.x.hi[i]; ++k) to[p.pad + k] += at[i];
      }
    }
  }
  void rows_back(T* s, const T* end) const {
    const T* from = wide + p.pad;
    const int64_t width = W, by = pitch, H = p.out.n[1];
    V v, total;
    for (int64_t iz = 0; iz < p.in.n[0]; ++iz)
      for (int64_t iy = 0; iy < p.in.n[1]; ++iy, s += width) {
        const int64_t oz0 = over_z.first[iz], oz1 = over_z.end[iz], oy0 = over_y.first[iy], oy1 = over_y.end[iy];
        if (oz1 - oz0 == 1 && oy1 - oy0 == 1) {                // windows that do not overlap
          const T* line = from + (oz0 * H + oy0) * by;
          int64_t i = 0;
          for (; i + kLanes <= width; i += kLanes) {
            load(v, line + i);
            store(s + i, v);
          }
          if (i < width) {
            load(v, line + i);
            store_row(s + i, v, width - i, end);
          }
          continue;
        }
        for (int64_t i = 0; i < width; i += kLanes) {
          total = V{};
          for (int64_t oz = oz0; oz < oz1; ++oz)
            for (int64_t oy = oy0; oy < oy1; ++oy) {
              load(v, from + (oz * H + oy) * by + i);
              total += v;
            }
          store_row(s + i, total, width - i, end);
        }
      }
  }
  void plane(const T* g, const T* g_end, T* s, const T* end) const {
    if (!p.lanes) columns<0, 0>(g, g_end);
    else if (p.stride == 1) p.kernel == 3 ? columns<3, 1>(g, g_end) : columns<0, 1>(g, g_end);
    else if (p.kernel == 2) columns<2, 2>(g, g_end);
    else p.kernel == 3 ? columns<3, 2>(g, g_end) : columns<0, 2>(g, g_end);
    rows_back(s, end);
  }
};

template <class T>
T sum_of(const T* s, int64_t n) {
  typename Sixteen<T>::vec a = {}, b = {}, v;
  int64_t i = 0;
  for (; i + 2 * kLanes <= n; i += 2 * kLanes) {
    Sixteen<T>::load(v, s + i);
    a += v;
    Sixteen<T>::load(v, s + i + kLanes);
    b += v;
  }
  for (; i < n; i += kLanes) {
    load_left(v, s + i, n - i, T(0));
    a += v;
  }
  a += b;
  return Sixteen<T>::sum(a);
}

// mean_pool(x; rank, size, adaptive, kernel, stride, pad, include, divisor)
void mean_pool_infer(const Call& c, Meta* m) { infer_size(c, 1, m); }

void mean_pool_run(const Call& c) {
  const Means p(c, *c.in[0], *c.out[0]);
  floating(c.out[0]->dtype, "avg_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T *x = c.in[0]->ptr<T>(), *x_end = x + c.in[0]->numel;
    T* y = c.out[0]->ptr<T>();
    if (p.whole) {
      const T count = static_cast<T>(p.divisor ? p.divisor : p.z.count[0] * p.y.count[0] * p.x.count[0]);
      for_planes(p.out.count, p.in.size, [&](int64_t i) { y[i] = sum_of(x + i * p.in.size, p.in.size) / count; });
      return;
    }
    for_plane_groups(p.out.count, p.in.size, [&](int64_t first, int64_t end) {
      const MeanForward<T> pool(p);
      for (int64_t i = first; i < end; ++i) pool.plane(x + i * p.in.size, x_end, y + i * p.out.size, y + end * p.out.size);
    });
  });
}
RL_KERNEL_SLICES(mean_pool, 1, mean_pool_infer, mean_pool_run, 0b11, 0, -1)

// mean_pool_backward(g; the same numbers, then the input's size)
void mean_pool_backward_infer(const Call& c, Meta* m) {
  const int rank = static_cast<int>(c.inum(0));
  infer_size(c, c.nnum - rank, m);
}

void mean_pool_backward_run(const Call& c) {
  const Means p(c, *c.out[0], *c.in[0]);
  floating(c.out[0]->dtype, "avg_pool2d", [&](auto zero) {
    using T = decltype(zero);
    const T *g = c.in[0]->ptr<T>(), *g_end = g + c.in[0]->numel;
    T* x = c.out[0]->ptr<T>();
    for_plane_groups(p.out.count, p.in.size, [&](int64_t first, int64_t end) {
      const MeanBackward<T> pool(p);
      for (int64_t i = first; i < end; ++i) pool.plane(g + i * p.out.size, g_end, x + i * p.in.size, x + end * p.in.size);
    });
  });
}
RL_KERNEL_SLICES(mean_pool_backward, 1, mean_pool_backward_infer, mean_pool_backward_run, 0b11, 0, -1)

}  // namespace
}  // namespace rl
