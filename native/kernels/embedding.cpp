// Embedding: rows of a table by index, sums of rows over bags of indices, and the sums of gradients per row.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <type_traits>

#include "rows.h"

namespace rl {
namespace {

void check(const int64_t* index, int64_t n, int64_t rows) {
  bool bad = false;                          // no branch in the loop
  for (int64_t i = 0; i < n; ++i) bad |= static_cast<uint64_t>(index[i]) >= static_cast<uint64_t>(rows);
  if (bad) throw std::out_of_range("index out of range in self");
}

// embedding(weight (rows, width), index (*)): (*, width)
void embedding_infer(const Call& c, Meta* m) {
  m->like(*c.in[1]);
  m->dtype = c.in[0]->dtype;
  m->shape[m->ndim++] = c.in[0]->shape[1];
}

void embedding_run(const Call& c) {
  const Array &w = *c.in[0], &index = *c.in[1];
  const int64_t* at = index.ptr<int64_t>();
  const size_t row = static_cast<size_t>(w.shape[1] * item_size(w.dtype));
  check(at, index.numel, w.shape[0]);
  char* out = static_cast<char*>(c.out[0]->data());
  const char* table = static_cast<const char*>(w.data());
  constexpr int64_t kRows = 256;
  parallel_for((index.numel + kRows - 1) / kRows, [&](int64_t k) {
    const int64_t end = (k + 1) * kRows < index.numel ? (k + 1) * kRows : index.numel;
    for (int64_t i = k * kRows; i < end; ++i)
      std::memcpy(out + static_cast<size_t>(i) * row, table + static_cast<size_t>(at[i]) * row, row);
  });
}
RL_KERNEL_ANY(embedding, 1, embedding_infer, embedding_run)

// embedding_renorm_into(weight (rows, width), index contiguous; max_norm, norm_type): scales rows in use down to this norm
void renorm_run(const Call& c) {
  const Array &w = *c.out[0], &index = *c.in[0];
  const int64_t rows = w.shape[0], width = w.shape[1], step = w.strides[1];
  const double most = c.fnum(0), p = c.fnum(1);
  const int64_t* at = index.ptr<int64_t>();
  check(at, index.numel, rows);
  Scratch<bool> done(rows);
  std::fill(done.p, done.p + rows, false);
  floating(w.dtype, "embedding_renorm", [&](auto z) {
    using T = decltype(z);
    for (int64_t i = 0; i < index.numel; ++i) {
      if (done[at[i]]) continue;
      done[at[i]] = true;
      T* row = w.ptr<T>() + at[i] * w.strides[0];
      double norm = 0;
      for (int64_t j = 0; j < width; ++j) {
        const double v = std::abs(static_cast<double>(row[j * step]));
        if (p == std::numeric_limits<double>::infinity()) norm = v > norm || v != v ? v : norm;
        else norm += p == 2 ? v * v : p == 1 ? v : std::pow(v, p);
      }
      if (p == 2) norm = std::sqrt(norm);
      else if (p != 1 && p != std::numeric_limits<double>::infinity()) norm = std::pow(norm, 1 / p);
      if (!(norm > most)) continue;
      const T scale = static_cast<T>(most / (norm + 1e-7));
      for (int64_t j = 0; j < width; ++j) row[j * step] *= scale;
    }
  });
}
RL_KERNEL(embedding_renorm, 1, nullptr, renorm_run)

// How the entries of an index add up in a table's gradient: entry i gives row index[i] the row of g that is its own, or its
// bag's, times a factor. The sums are taken in the order of the index. With many entries, jobs take ranges of the table's rows,
// and with them the entries that lie there, so that neither order nor ranges depend on threads.
struct Entries {
  const int64_t* index;
  int64_t n, rows, padding;
  const int64_t* bag_of;                     // of each entry, -1 for none; or null
  bool left_out(int64_t i) const { return index[i] == padding || (bag_of && bag_of[i] < 0); }
  int64_t source(int64_t i) const { return bag_of ? bag_of[i] : i; }
};

template <class T, class F>
void sum_rows(const Entries& e, const T* g, int64_t width, T* out, const F& factor) {
  const int64_t wide = e.rows * width, per = int64_t{1} << 18;
  parallel_for((wide + per - 1) / per, [&](int64_t k) {
    std::memset(out + k * per, 0, static_cast<size_t>(std::min(per, wide - k * per)) * sizeof(T));
  });
  // Rows of g lie far apart where a job takes some of them only.
  constexpr int64_t kAhead = 8, kLine = 64 / static_cast<int64_t>(sizeof(T));
  const int64_t near = std::min<int64_t>(width, 16 * kLine);
  auto prefetch = [&](int64_t i) {
    const T* s = g + e.source(i) * width;
    for (int64_t j = 0; j < near; j += kLine) __builtin_prefetch(s + j);
  };
  auto add = [&](int64_t i) {
    T* o = out + e.index[i] * width;
    const T* s = g + e.source(i) * width;
    const T scale = factor(i);
    for (int64_t j = 0; j < width; ++j) o[j] += s[j] * scale;
  };
  const int64_t jobs = std::clamp<int64_t>(e.n * width / per, 1, std::min<int64_t>(16, std::max<int64_t>(e.rows, 1)));
  if (jobs == 1) {
    for (int64_t i = 0; i < e.n; ++i)
      if (!e.left_out(i)) add(i);
    return;
  }
  const int64_t range = (e.rows + jobs - 1) / jobs;
  Scratch<int64_t> order(e.n), begin(jobs + 1);                // entries by job, in their order
  std::memset(begin.p, 0, static_cast<size_t>(jobs + 1) * sizeof(int64_t));
  for (int64_t i = 0; i < e.n; ++i) ++begin[e.index[i] / range + 1];
  for (int64_t k = 0; k < jobs; ++k) begin[k + 1] += begin[k];
  Scratch<int64_t> next(jobs);
  std::copy(begin.p, begin.p + jobs, next.p);
  for (int64_t i = 0; i < e.n; ++i) order[next[e.index[i] / range]++] = i;
  parallel_for(jobs, [&](int64_t k) {
    for (int64_t at = begin[k]; at < begin[k + 1]; ++at) {
      if (const int64_t next = at + kAhead; next < begin[k + 1] && !e.left_out(order[next])) prefetch(order[next]);
      if (!e.left_out(order[at])) add(order[at]);
    }
  });
}

// embedding_backward(g (*, width), index (*), bag_of or None, weights or None, counts or None; rows, padding, by_frequency):
// (rows, width). With bags, g has a row for each of them; an entry's weight multiplies it, and its bag's count divides it.
void backward_infer(const Call& c, Meta* m) {
  m->dtype = c.in[0]->dtype;
  m->ndim = 2;
  m->shape[0] = c.inum(0);
  m->shape[1] = c.in[0]->shape[c.in[0]->ndim - 1];
}

void backward_run(const Call& c) {
  const Array &g = *c.in[0], &index = *c.in[1];
  const Entries e{index.ptr<int64_t>(), index.numel, c.inum(0), c.inum(1), c.in[2] ? c.in[2]->ptr<int64_t>() : nullptr};
  check(e.index, e.n, e.rows);
  floating(g.dtype, "embedding_backward", [&](auto z) {
    using T = decltype(z);
    const T *from = g.ptr<T>(), *weights = c.in[3] ? c.in[3]->ptr<T>() : nullptr, *counts = c.in[4] ? c.in[4]->ptr<T>() : nullptr;
    T* out = c.out[0]->ptr<T>();
    const int64_t width = g.shape[g.ndim - 1];
    const bool by_frequency = c.inum(2);
    Scratch<int64_t> uses(by_frequency ? e.rows : 0);
    if (by_frequency) {
      std::memset(uses.p, 0, static_cast<size_t>(e.rows) * sizeof(int64_t));
      for (int64_t i = 0; i < e.n; ++i) ++uses[e.index[i]];
    }
    sum_rows<T>(e, from, width, out, [&](int64_t i) {
      T scale = weights ? weights[i] : T(1);
      if (counts) scale /= counts[e.bag_of[i]];
      if (by_frequency) scale /= static_cast<T>(uses[e.index[i]]);
      return scale;
    });
  });
}
RL_KERNEL(embedding_backward, 1, backward_infer, backward_run)

// one_hot(index (*); classes): (*, classes), 1 at the index and 0 elsewhere
void one_hot_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  if (m->ndim == kMaxDims) throw std::runtime_error("tensors have at most 16 dimensions");
  m->shape[m->ndim++] = c.inum(0);
}

void one_hot_run(const Call& c) {
  const int64_t n = c.in[0]->numel, classes = c.inum(0), *at = c.in[0]->ptr<int64_t>();
  int64_t* o = c.out[0]->ptr<int64_t>();
  for (int64_t i = 0; i < n; ++i)
    if (at[i] < 0) throw std::runtime_error("Class values must be non-negative.");
  for (int64_t i = 0; i < n; ++i)
    if (at[i] >= classes) throw std::runtime_error("Class values must be smaller than num_classes.");
  std::memset(o, 0, static_cast<size_t>(n * classes) * sizeof(int64_t));
  for (int64_t i = 0; i < n; ++i) o[i * classes + at[i]] = 1;
}
RL_KERNEL(one_hot, 1, one_hot_infer, one_hot_run)

// ---- bags --------------------------------------------------------------------------------------------------------------

enum Mode { kSum, kMean, kMax };

// embedding_bag(weight (rows, width), index (n), offsets or None, weights (n) or None; mode, bags, length, padding)
//   -> out (bags, width); and for the way back, by mode: nothing, the number of entries of each bag (at least 1), or the row
//      that each maximum comes from (-1 for none)
// Without offsets all bags have the given length. With offsets, the last bag ends where one more offset says, or with the index.
void bag_infer(const Call& c, Meta* m) {
  const int64_t mode = c.inum(0), bags = c.inum(1);
  m[0].like(*c.in[0]);
  m[0].shape[0] = bags;
  m[1] = m[0];
  if (mode == kMax) m[1].dtype = DType::i64;
  else m[1].ndim = 1;
  if (mode == kSum) m[1].shape[0] = 0;
}

// Where each bag begins, and the end of the last one.
void find_bags(const Array* given, int64_t bags, int64_t length, int64_t n, int64_t* start) {
  if (!given) {
    for (int64_t b = 0; b <= bags; ++b) start[b] = b * length;
    return;
  }
  const Array& offsets = *given;
  const int64_t* at = offsets.ptr<int64_t>();
  start[bags] = n;
  for (int64_t b = 0; b < offsets.numel; ++b) {
    if (b == 0 && at[0] != 0)
      throw std::runtime_error("offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                               "However, got " + std::to_string(at[0]));
    if (b > 0 && at[b] < at[b - 1])
      throw std::runtime_error("offsets have to be in ascending order, but got " + std::to_string(at[b]) + " after " +
                               std::to_string(at[b - 1]));
    start[b] = at[b];
  }
  if (offsets.numel && at[offsets.numel - 1] > n)
    throw std::runtime_error("offsets[-1] can not be greater than input's length " + std::to_string(n) +
                             " but got offsets[-1] of " + std::to_string(at[offsets.numel - 1]));
}

// One bag: `n` rows of a table, those of `padding` left out.
template <class T>
struct Bag {
  using Lanes = Sixteen<T>;
  using Vec = typename Lanes::vec;
  const T* table;
  int64_t width;
  const int64_t* rows;
  int64_t n, padding;
  const T* weights;
  int64_t more;                              // entries of the index from here on, of this bag and the next ones

  // Rows of a large table are far away: asks for the part of one that is needed soon. Always inline: GCC takes
  // a function that does nothing else for one without effect.
  template <int B>
  __attribute__((always_inline)) void fetch(int64_t i, int64_t j) const {
    constexpr int64_t kAhead = 16;
    if (i + kAhead >= more) return;
    const T* s = table + rows[i + kAhead] * width + j;
    for (int b = 0; b < B; ++b) __builtin_prefetch(s + b * kLanes);
  }

  // Sums of B * 16 columns from j on stay in registers; of the last 16, only `cols` exist.
  template <int B>
  void sum(int64_t j, int64_t cols, T divisor, T* out) const {
    Vec acc[B] = {};
    for (int64_t i = 0; i < n; ++i) {
      fetch<B>(i, j);
      if (rows[i] == padding) continue;
      const T* s = table + rows[i] * width + j;
      const T w = weights ? weights[i] : T(1);
      for (int b = 0; b < B; ++b) {
        Vec v;
        if (B == 1 && cols < kLanes) Lanes::load(v, s, cols, T(0));
        else Lanes::load(v, s + b * kLanes);
        acc[b] += v * w;
      }
    }
    for (int b = 0; b < B; ++b) {
      acc[b] /= divisor;
      if (B == 1 && cols < kLanes) Lanes::store(out + j, acc[b], cols);
      else Lanes::store(out + j + b * kLanes, acc[b]);
    }
  }

  void sums(T divisor, T* out) const {
    int64_t j = 0;
    for (; j + 8 * kLanes <= width; j += 8 * kLanes) sum<8>(j, 8 * kLanes, divisor, out);
    for (; j + 4 * kLanes <= width; j += 4 * kLanes) sum<4>(j, 4 * kLanes, divisor, out);
    for (; j < width; j += kLanes) sum<1>(j, std::min<int64_t>(kLanes, width - j), divisor, out);
  }

  // Maxima of B * 16 columns, the first of equal ones, and which rows they come from.
  template <int B>
  void maximum(int64_t j, int64_t cols, T* out, int64_t* chosen) const {
    using Int = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
    typedef Int IntVec __attribute__((vector_size(kLanes * sizeof(T))));
    Vec most[B] = {};
    IntVec which[B];                         // of the bag's entries
    for (int b = 0; b < B; ++b) which[b] = IntVec{} - 1;
    bool first = true;
    for (int64_t i = 0; i < n; ++i) {
      fetch<B>(i, j);
      if (rows[i] == padding) continue;
      const T* s = table + rows[i] * width + j;
      for (int b = 0; b < B; ++b) {
        Vec v;
        if (B == 1 && cols < kLanes) Lanes::load(v, s, cols, T(0));
        else Lanes::load(v, s + b * kLanes);
        const IntVec higher = first ? IntVec{} - 1 : IntVec(v > most[b]);
        most[b] = higher ? v : most[b];
        which[b] = higher ? static_cast<Int>(i) - IntVec{} : which[b];
      }
      first = false;
    }
    for (int b = 0; b < B; ++b) {
      const int64_t at = j + b * kLanes, some = B == 1 ? cols : kLanes;
      if (some < kLanes) Lanes::store(out + at, most[b], some);
      else Lanes::store(out + at, most[b]);
      for (int64_t k = 0; k < some; ++k) chosen[at + k] = which[b][k] < 0 ? -1 : rows[which[b][k]];
    }
  }

  void maxima(T* out, int64_t* chosen) const {
    int64_t j = 0;
    for (; j + 4 * kLanes <= width; j += 4 * kLanes) maximum<4>(j, 4 * kLanes, out, chosen);
    for (; j < width; j += kLanes) maximum<1>(j, std::min<int64_t>(kLanes, width - j), out, chosen);
  }

  int64_t count() const {
    int64_t k = 0;
    for (int64_t i = 0; i < n; ++i) k += rows[i] != padding;
    return k;
  }
};

void bag_run(const Call& c) {
  const Array &w = *c.in[0], &index = *c.in[1];
  const int64_t mode = c.inum(0), bags = c.inum(1), padding = c.inum(3), width = w.shape[1];
  const int64_t* at = index.ptr<int64_t>();
  check(at, index.numel, w.shape[0]);
  Scratch<int64_t> start(bags + 1);
  find_bags(c.in[2], bags, c.inum(2), index.numel, start);
  const int64_t per = std::max<int64_t>(1, (int64_t{1} << 16) * bags / std::max<int64_t>(1, (index.numel + bags) * width));
  floating(w.dtype, "embedding_bag", [&](auto z) {
    using T = decltype(z);
    T* out = c.out[0]->ptr<T>();
    parallel_for((bags + per - 1) / per, [&](int64_t k) {
      for (int64_t b = k * per; b < std::min(bags, (k + 1) * per); ++b) {
        const T* weights = c.in[3] ? c.in[3]->ptr<T>() + start[b] : nullptr;
        const Bag<T> bag{w.ptr<T>(), width, at + start[b], start[b + 1] - start[b], padding, weights, index.numel - start[b]};
        if (mode == kMax) {
          bag.maxima(out + b * width, c.out[1]->ptr<int64_t>() + b * width);
          continue;
        }
        T divisor = 1;
        if (mode == kMean) c.out[1]->ptr<T>()[b] = divisor = static_cast<T>(std::max<int64_t>(1, bag.count()));
        bag.sums(divisor, out + b * width);
      }
    });
  });
}
RL_KERNEL(embedding_bag, 2, bag_infer, bag_run)

// bag_of(index, offsets or None; bags, length): the bag of each entry, -1 for none
void bag_of_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

void bag_of_run(const Call& c) {
  const int64_t bags = c.inum(0), n = c.in[0]->numel;
  int64_t* out = c.out[0]->ptr<int64_t>();
  Scratch<int64_t> start(bags + 1);
  find_bags(c.in[1], bags, c.inum(1), n, start);
  for (int64_t b = 0; b < bags; ++b) std::fill(out + start[b], out + start[b + 1], b);
  std::fill(out + (bags ? start[bags] : 0), out + n, int64_t{-1});
}
RL_KERNEL_ANY(bag_of, 1, bag_of_infer, bag_of_run)

// embedding_bag_max_backward(g (bags, width), chosen (bags, width); rows): (rows, width), jobs by columns
void max_backward_run(const Call& c) {
  const Array &g = *c.in[0], &chosen = *c.in[1];
  const int64_t rows = c.inum(0), bags = g.shape[0], width = g.shape[1], per = 64;
  const int64_t* at = chosen.ptr<int64_t>();
  floating(g.dtype, "embedding_bag_backward", [&](auto z) {
    using T = decltype(z);
    const T* s = g.ptr<T>();
    T* out = c.out[0]->ptr<T>();
    std::memset(out, 0, static_cast<size_t>(rows * width) * sizeof(T));
    const int64_t each = bags * width > int64_t{1} << 16 ? per : width;
    parallel_for(each ? (width + each - 1) / each : 0, [&](int64_t k) {
      for (int64_t b = 0; b < bags; ++b)
        for (int64_t i = b * width + k * each; i < b * width + std::min(width, (k + 1) * each); ++i)
          if (at[i] >= 0) out[at[i] * width + i - b * width] += s[i];
    });
  });
}
RL_KERNEL(embedding_bag_max_backward, 1, backward_infer, max_backward_run)

// embedding_bag_weights_backward(g (bags, width), weight (rows, width), index, bag_of; padding): products of each entry's row
// with its bag's gradient
void weights_infer(const Call& c, Meta* m) {
  m->like(*c.in[2]);
  m->dtype = c.in[0]->dtype;
}

void weights_run(const Call& c) {
  const Array &g = *c.in[0], &w = *c.in[1], &index = *c.in[2];
  const Entries e{index.ptr<int64_t>(), index.numel, w.shape[0], c.inum(0), c.in[3]->ptr<int64_t>()};
  const int64_t width = w.shape[1], per = std::max<int64_t>(1, (int64_t{1} << 15) / std::max<int64_t>(1, width));
  floating(g.dtype, "embedding_bag_backward", [&](auto z) {
    using T = decltype(z);
    parallel_for((e.n + per - 1) / per, [&](int64_t k) {
      for (int64_t i = k * per; i < std::min(e.n, (k + 1) * per); ++i) {
        T sum = 0;
        if (!e.left_out(i)) {
          const T *a = g.ptr<T>() + e.bag_of[i] * width, *b = w.ptr<T>() + e.index[i] * width;
          sum = lane_sum<T>(width, [&](int64_t j) { return a[j] * b[j]; });
        }
        c.out[0]->ptr<T>()[i] = sum;
      }
    });
  });
}
RL_KERNEL(embedding_bag_weights_backward, 1, weights_infer, weights_run)

// sparse_merge(a (n), b (m)): where each entry of a and of b goes in the sum of two sparse tensors with these positions.
// The lists are merged as if they were sorted; entries that meet become one. PyTorch's sum has the same entries.
void merge_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[0]);
  m[1].like(*c.in[1]);
}

void merge_run(const Call& c) {
  const int64_t *a = c.in[0]->ptr<int64_t>(), *b = c.in[1]->ptr<int64_t>();
  int64_t *to_a = c.out[0]->ptr<int64_t>(), *to_b = c.out[1]->ptr<int64_t>();
  const int64_t n = c.in[0]->numel, m = c.in[1]->numel;
  int64_t i = 0, j = 0, k = 0;
  for (; i < n || j < m; ++k) {
    const bool take_a = j == m || (i < n && a[i] <= b[j]), take_b = i == n || (j < m && b[j] <= a[i]);
    if (take_a) to_a[i++] = k;
    if (take_b) to_b[j++] = k;
  }
}
RL_KERNEL_ANY(sparse_merge, 2, merge_infer, merge_run)

}  // namespace
}  // namespace rl
