// Embedding: rows of a table by index, and the sums of gradients per row.
#include <cstring>

#include "../core/kernel.h"

namespace rl {
namespace {

void check(const int64_t* index, int64_t n, int64_t rows) {
  for (int64_t i = 0; i < n; ++i)
    if (index[i] < 0 || index[i] >= rows) throw std::out_of_range("index out of range in self");
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

// embedding_backward(g (*, width), index (*), rows, padding_idx, by_frequency): (rows, width). Sums are taken in order of
// the index, so they do not depend on threads.
void backward_infer(const Call& c, Meta* m) {
  m->dtype = c.in[0]->dtype;
  m->ndim = 2;
  m->shape[0] = c.inum(0);
  m->shape[1] = c.in[0]->shape[c.in[0]->ndim - 1];
}

void backward_run(const Call& c) {
  const Array &g = *c.in[0], &index = *c.in[1];
  const int64_t rows = c.inum(0), padding = c.inum(1), width = g.shape[g.ndim - 1];
  const int64_t* at = index.ptr<int64_t>();
  check(at, index.numel, rows);
  floating(g.dtype, "embedding_backward", [&](auto z) {
    using T = decltype(z);
    T* out = c.out[0]->ptr<T>();
    std::memset(out, 0, static_cast<size_t>(rows * width) * sizeof(T));
    Scratch<int64_t> count(rows);
    if (c.inum(2)) {
      std::memset(count.p, 0, static_cast<size_t>(rows) * sizeof(int64_t));
      for (int64_t i = 0; i < index.numel; ++i) ++count[at[i]];
    }
    for (int64_t i = 0; i < index.numel; ++i) {
      if (at[i] == padding) continue;
      T* o = out + at[i] * width;
      const T* s = g.ptr<T>() + i * width;
      const T scale = c.inum(2) ? T(1) / static_cast<T>(count[at[i]]) : T(1);
      for (int64_t j = 0; j < width; ++j) o[j] += s[j] * scale;
    }
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
