// Order statistics along one dimension of a contiguous array: sort, topk, kth value, mode; searching in sorted rows;
// counting. NaN is greater than every number. Equal elements keep their order, so every result is determined.
//
// Sorting and topk of types of up to 32 bits run on integers of 64: the value, made comparable, above its position. Short lines
// are sorted by counting what comes before each element, long ones by radix.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <type_traits>

#include "axis.h"

namespace rl {
namespace {

template <class T>
struct Item {
  T value;
  int64_t at;
};

template <class T>
bool less(T a, T b) {
  return a < b || (b != b && a == a);
}

template <class T>
bool ascending(const Item<T>& a, const Item<T>& b) {
  return less(a.value, b.value) || (!less(b.value, a.value) && a.at < b.at);
}

template <class T>
bool descending(const Item<T>& a, const Item<T>& b) {
  return less(b.value, a.value) || (!less(a.value, b.value) && a.at < b.at);
}

// Calls fn(items, offset) with the elements of every line along the dimension.
template <class T, class F>
void items_of_lines(const Array& x, const Axis& axis, const F& fn) {
  const T* s = x.ptr<T>();
  axis.each_line([&](int64_t at) {
    Scratch<Item<T>> items(axis.n);
    for (int64_t k = 0; k < axis.n; ++k) items[k] = Item<T>{s[at + k * axis.inner], k};
    fn(items.p, at);
  });
}

// ---- positions within keys -------------------------------------------------------------------------------------------

// Unsigned integers in the order of the values: 0 and -0 are equal, NaN is above all.
template <class T>
inline uint32_t ordered(T v) {
  if constexpr (std::is_same_v<T, float>) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, v + 0.0f), flip = bits >> 31 ? 0xffffffffu : 0x80000000u;
    return v != v ? 0xffffffffu : bits ^ flip;
  } else if constexpr (std::is_signed_v<T>) {
    return static_cast<uint32_t>(static_cast<int32_t>(v)) ^ 0x80000000u;
  } else {
    return static_cast<uint32_t>(v);
  }
}

inline int64_t position(uint64_t key) { return static_cast<int64_t>(key & 0xffffffffu); }

constexpr int64_t kCounted = 64, kRadix = 512;  // lines up to this length are counted, from that one on sorted by radix

// By counting: `sorted` from keys, n up to kCounted.
inline void sort_counted(const uint64_t* keys, int64_t n, uint64_t* sorted) {
  uint64_t rank[kCounted] = {}, padded[kCounted];
  const int64_t full = (n + 7) / 8 * 8;
  for (int64_t i = 0; i < full; ++i) padded[i] = i < n ? keys[i] : ~uint64_t{0};
  for (int64_t j = 0; j < n; ++j) {
    const uint64_t key = keys[j];
    for (int64_t i = 0; i < full; ++i) rank[i] += key < padded[i];
  }
  for (int64_t i = 0; i < n; ++i) sorted[rank[i]] = keys[i];
}

// By the four bytes of the value from the lowest on, each pass stable.
inline void sort_radix(uint64_t* keys, int64_t n, uint64_t* other) {
  uint32_t counts[4][256] = {};
  for (int64_t i = 0; i < n; ++i)
    for (int b = 0; b < 4; ++b) ++counts[b][keys[i] >> (32 + 8 * b) & 255];
  uint64_t *from = keys, *to = other;
  for (int b = 0; b < 4; ++b) {
    uint32_t* at = counts[b];
    uint32_t total = 0, most = 0;
    for (int k = 0; k < 256; ++k) {
      const uint32_t c = at[k];
      most = std::max(most, c);
      at[k] = total;
      total += c;
    }
    if (most == static_cast<uint32_t>(n)) continue;            // all the same
    for (int64_t i = 0; i < n; ++i) to[at[from[i] >> (32 + 8 * b) & 255]++] = from[i];
    std::swap(from, to);
  }
  if (from != keys) std::copy(from, from + n, keys);
}

// A heap of the k least so far, and the rest in blocks: most have nothing that is less.
inline void sort_least(uint64_t* keys, int64_t n, int64_t k) {
  constexpr int64_t kBlock = 32;
  std::make_heap(keys, keys + k);
  for (int64_t i = k; i < n; i += kBlock) {
    const int64_t end = std::min(n, i + kBlock);
    const uint64_t most = keys[0];
    uint64_t less = 0;
    for (int64_t j = i; j < end; ++j) less |= keys[j] < most;
    if (!less) continue;
    for (int64_t j = i; j < end; ++j) {
      if (keys[j] >= keys[0]) continue;
      std::pop_heap(keys, keys + k);
      keys[k - 1] = keys[j];
      std::push_heap(keys, keys + k);
    }
  }
  std::sort_heap(keys, keys + k);
}

// The first k of the sorted line, in order. Both buffers hold n keys.
inline void first_keys(uint64_t* keys, int64_t n, int64_t k, uint64_t* other) {
  if (n <= kCounted) {
    sort_counted(keys, n, other);
    std::copy(other, other + k, keys);
  } else if (k * 16 <= n) {
    if (k > 0) sort_least(keys, n, k);
  } else if (n >= kRadix) {
    sort_radix(keys, n, other);
  } else {
    std::sort(keys, keys + n);
  }
}

// Calls write(number, position, value) for the first k of every line of x.
template <class T, class F>
void first_of_lines(const Array& x, const Axis& axis, bool down, int64_t k, const F& write) {
  const T* s = x.ptr<T>();
  axis.each_line([&](int64_t at) {
    const T* line = s + at;
    if constexpr (sizeof(T) <= 4) {
      if (axis.n < int64_t{1} << 31) {
        auto with_keys = [&](uint64_t* keys, uint64_t* other) {
          auto build = [&](int64_t step) {
            const uint32_t flip = down ? 0xffffffffu : 0;
            for (int64_t i = 0; i < axis.n; ++i)
              keys[i] = static_cast<uint64_t>(ordered(line[i * step]) ^ flip) << 32 | static_cast<uint64_t>(i);
          };
          if (axis.inner == 1) build(1);
          else build(axis.inner);
          first_keys(keys, axis.n, k, other);
          for (int64_t i = 0; i < k; ++i) write(at, i, position(keys[i]), line[position(keys[i]) * axis.inner]);
        };
        if (axis.n <= kCounted) {
          uint64_t keys[kCounted], other[kCounted];
          return with_keys(keys, other);
        }
        Scratch<uint64_t> keys(axis.n), other(axis.n);
        return with_keys(keys, other);
      }
    }
    Scratch<Item<T>> items(axis.n);
    for (int64_t i = 0; i < axis.n; ++i) items[i] = Item<T>{line[i * axis.inner], i};
    const auto order = down ? descending<T> : ascending<T>;
    if (k > 0 && k < axis.n) std::nth_element(items.p, items + k - 1, items + axis.n, order);
    std::sort(items.p, items + k, order);
    for (int64_t i = 0; i < k; ++i) write(at, i, items[i].at, items[i].value);
  });
}

void pair_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[0]);
  m[1].like(*c.in[0]);
  m[1].dtype = DType::i64;
}

// sort(x, dim, descending): values and where they were
void sort_run(const Call& c) {
  const Array& x = *c.in[0];
  const Axis axis(x, c.inum(0));
  const bool down = c.inum(1);
  all_types(x.dtype, "sort", [&](auto z) {
    using T = decltype(z);
    T* values = c.out[0]->ptr<T>();
    int64_t* where = c.out[1]->ptr<int64_t>();
    first_of_lines<T>(x, axis, down, axis.n, [&](int64_t at, int64_t k, int64_t place, T value) {
      values[at + k * axis.inner] = value;
      where[at + k * axis.inner] = place;
    });
  });
}
RL_KERNEL(sort, 2, pair_infer, sort_run)

// topk(x, dim, k, largest): the k first of the sorted line
void topk_infer(const Call& c, Meta* m) {
  pair_infer(c, m);
  if (m[0].ndim) m[0].shape[c.inum(0)] = m[1].shape[c.inum(0)] = c.inum(1);
}

void topk_run(const Call& c) {
  const Array& x = *c.in[0];
  const Axis axis(x, c.inum(0));
  const int64_t k = c.inum(1);
  const bool largest = c.inum(2);
  all_types(x.dtype, "topk_cpu", [&](auto z) {
    using T = decltype(z);
    T* values = c.out[0]->ptr<T>();
    int64_t* where = c.out[1]->ptr<int64_t>();
    first_of_lines<T>(x, axis, largest, k, [&](int64_t at, int64_t i, int64_t place, T value) {
      const int64_t to = at / (axis.n * axis.inner) * k * axis.inner + at % axis.inner + i * axis.inner;
      values[to] = value;
      where[to] = place;
    });
  });
}
RL_KERNEL(topk, 2, topk_infer, topk_run)

// One value and its position per line; shape of x without the dimension (or with size 1).
void line_infer(const Call& c, Meta* m) {
  const Array& x = *c.in[0];
  const bool keep = c.inum(1);
  m[0].dtype = x.dtype;
  m[1].dtype = DType::i64;
  m[0].ndim = m[1].ndim = 0;
  for (int d = 0; d < x.ndim; ++d)
    if (d != c.inum(0) || keep) {
      const int64_t s = d == c.inum(0) ? 1 : x.shape[d];
      m[0].shape[m[0].ndim++] = m[1].shape[m[1].ndim++] = s;
    }
}

// kth(x, dim, keepdim, which, k): which 0 the k-th smallest (from 1), 1 the lower median (NaN if there is one), 2 the
// lower median of what is not NaN
void kth_run(const Call& c) {
  const Array& x = *c.in[0];
  const Axis axis(x, c.inum(0));
  const int64_t which = c.inum(2), k0 = c.inum(3);
  all_types(x.dtype, which == 0 ? "kthvalue_cpu" : "median_out", [&](auto z) {
    using T = decltype(z);
    T* values = c.out[0]->ptr<T>();
    int64_t* where = c.out[1]->ptr<int64_t>();
    items_of_lines<T>(x, axis, [&](Item<T>* items, int64_t at) {
      int64_t k = k0 - 1, nans = 0, first_nan = -1;
      for (int64_t i = axis.n - 1; i >= 0; --i)
        if (items[i].value != items[i].value) {
          ++nans;
          first_nan = i;
        }
      const int64_t to = at / (axis.n * axis.inner) * axis.inner + at % axis.inner;
      if (which == 1 && nans) {
        values[to] = items[first_nan].value;
        where[to] = first_nan;
        return;
      }
      if (which == 1) k = (axis.n - 1) / 2;
      if (which == 2) k = std::max<int64_t>(0, (axis.n - nans - 1) / 2);
      std::nth_element(items, items + k, items + axis.n, ascending<T>);
      values[to] = items[k].value;
      where[to] = items[k].at;
    });
  });
}
RL_KERNEL(kth, 2, line_infer, kth_run)

// mode(x, dim, keepdim): the most frequent value, the smallest of several, and its last position
void mode_run(const Call& c) {
  const Array& x = *c.in[0];
  const Axis axis(x, c.inum(0));
  all_types(x.dtype, "mode", [&](auto z) {
    using T = decltype(z);
    T* values = c.out[0]->ptr<T>();
    int64_t* where = c.out[1]->ptr<int64_t>();
    items_of_lines<T>(x, axis, [&](Item<T>* items, int64_t at) {
      std::sort(items, items + axis.n, ascending<T>);
      int64_t best = 0, count = 0, run = 0;
      for (int64_t k = 0; k < axis.n; ++k) {
        run = k > 0 && items[k].value == items[k - 1].value ? run + 1 : 1;
        if (run > count) {
          count = run;
          best = k;
        }
      }
      const int64_t to = at / (axis.n * axis.inner) * axis.inner + at % axis.inner;
      values[to] = items[best].value;
      where[to] = items[best].at;
    });
  });
}
RL_KERNEL(mode, 2, line_infer, mode_run)

// ---- searching ---------------------------------------------------------------------------------------------------

// searchsorted(edges, values, right, sorter or None): positions that keep edges sorted. edges has one row, or one per
// row of values.
void search_infer(const Call& c, Meta* m) {
  m->like(*c.in[1]);
  m->dtype = DType::i64;
}

void search_run(const Call& c) {
  const Array &edges = *c.in[0], &values = *c.in[1];
  const Array* sorter = c.nin > 2 ? c.in[2] : nullptr;
  const bool right = c.inum(0);
  const int64_t n = edges.ndim ? edges.shape[edges.ndim - 1] : 1;
  const int64_t m = edges.ndim <= 1 ? values.numel : values.shape[values.ndim - 1];
  int64_t* o = c.out[0]->ptr<int64_t>();
  all_types(edges.dtype, "searchsorted_out_cpu", [&](auto z) {
    using T = decltype(z);
    const T *e = edges.ptr<T>(), *v = values.ptr<T>();
    constexpr int64_t kChunk = 4096;
    parallel_for((values.numel + kChunk - 1) / kChunk, [&](int64_t k) {
      for (int64_t i = k * kChunk; i < std::min(values.numel, (k + 1) * kChunk); ++i) {
        const int64_t row = edges.ndim <= 1 ? 0 : i / m * n;
        const int64_t* order = sorter ? sorter->ptr<int64_t>() + row : nullptr;
        int64_t low = 0, high = n;
        while (low < high) {
          const int64_t mid = (low + high) / 2;
          const T x = e[row + (order ? order[mid] : mid)];
          if (right ? !(x > v[i]) : !(x >= v[i])) low = mid + 1;
          else high = mid;
        }
        o[i] = low;
      }
    });
  });
}
RL_KERNEL(searchsorted, 1, search_infer, search_run)

// ---- counting ----------------------------------------------------------------------------------------------------

// bincount_into(out, x int64, weights or None): out[x[i]] += weights[i] or 1
void bincount_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  const int64_t* p = x.ptr<int64_t>();
  const Array* weights = c.in[1];
  if (!weights) {
    int64_t* o = out.ptr<int64_t>();
    for (int64_t i = 0; i < x.numel; ++i) ++o[p[i]];
    return;
  }
  floating(out.dtype, "bincount_cpu", [&](auto z) {
    using T = decltype(z);
    T* o = out.ptr<T>();
    const T* w = weights->ptr<T>();
    for (int64_t i = 0; i < x.numel; ++i) o[p[i]] += w[i];
  });
}
RL_KERNEL(bincount, 1, nullptr, bincount_run)

std::string written(double x) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", x);
  return text;
}

// histc_into(out, x, low, high): counts in equal bins over [low, high]; over the range of x if they are equal
void histc_run(const Call& c) {
  const Array &out = *c.out[0], &x = *c.in[0];
  floating(x.dtype, "histogram_cpu", [&](auto z) {
    using T = decltype(z);
    const T* s = x.ptr<T>();
    T low = static_cast<T>(c.fnum(0)), high = static_cast<T>(c.fnum(1));
    if (low == high && x.numel > 0) {
      low = high = s[0];
      for (int64_t i = 1; i < x.numel; ++i) {
        low = s[i] < low || s[i] != s[i] ? s[i] : low;
        high = s[i] > high || s[i] != s[i] ? s[i] : high;
      }
      if (!std::isfinite(low) || !std::isfinite(high))
        throw std::runtime_error("torch.histc: range of [" + written(low) + ", " + written(high) + "] is not finite");
      if (low == high) low -= 1, high += 1;
    }
    T* o = out.ptr<T>();
    for (int64_t i = 0; i < x.numel; ++i) {
      if (!(s[i] >= low && s[i] <= high)) continue;
      const int64_t bin = static_cast<int64_t>((s[i] - low) / (high - low) * static_cast<T>(out.numel));
      o[std::min(bin, out.numel - 1)] += 1;
    }
  });
}
RL_KERNEL(histc, 1, nullptr, histc_run)

}  // namespace
}  // namespace rl
