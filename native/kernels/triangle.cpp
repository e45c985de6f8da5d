// Triangular parts of matrices, and rows repeated a varying number of times.
#include <algorithm>

#include "../core/kernel.h"

namespace rl {
namespace {

// triangle(x contiguous, diagonal, upper): the part on one side of a diagonal, zero elsewhere
void triangle_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

template <class T>
void triangle_typed(const Call& c) {
  const Array& x = *c.in[0];
  const int64_t rows = x.shape[x.ndim - 2], cols = x.shape[x.ndim - 1], k = c.inum(0);
  const bool upper = c.inum(1);
  const T* s = x.ptr<T>();
  T* o = c.out[0]->ptr<T>();
  const int64_t lines = cols ? x.numel / cols : 0, per = std::max<int64_t>(1, 32768 / std::max<int64_t>(1, cols));
  parallel_for((lines + per - 1) / per, [&](int64_t job) {
    for (int64_t l = job * per; l < std::min(lines, (job + 1) * per); ++l) {
      // Columns up to `cut` are on or below the diagonal.
      const int64_t i = l % rows, cut = std::clamp<int64_t>(upper ? i + k : i + k + 1, 0, cols);
      const T* a = s + l * cols;
      T* b = o + l * cols;
      for (int64_t j = 0; j < cut; ++j) b[j] = upper ? T(0) : a[j];
      for (int64_t j = cut; j < cols; ++j) b[j] = upper ? a[j] : T(0);
    }
  });
}

void triangle_run(const Call& c) {
  switch (item_size(c.in[0]->dtype)) {
    case 1: return triangle_typed<uint8_t>(c);
    case 2: return triangle_typed<uint16_t>(c);
    case 4: return triangle_typed<uint32_t>(c);
    default: return triangle_typed<uint64_t>(c);
  }
}
RL_KERNEL_ANY(triangle, 1, triangle_infer, triangle_run)

// repeat_counts_into(out, counts): i, counts[i] times, for every i; out has the sum's size
void repeat_counts_run(const Call& c) {
  const Array& counts = *c.in[0];
  const int64_t* n = counts.ptr<int64_t>();
  int64_t *o = c.out[0]->ptr<int64_t>(), total = 0;
  for (int64_t i = 0; i < counts.numel; ++i) {
    if (n[i] < 0) throw std::runtime_error("repeats can not be negative");
    total += n[i];
  }
  if (total != c.out[0]->numel)
    throw std::runtime_error("repeat_interleave: Invalid output_size, expected " + std::to_string(total) + " but got " +
                             std::to_string(c.out[0]->numel));
  for (int64_t i = 0; i < counts.numel; ++i)
    for (int64_t k = 0; k < n[i]; ++k) *o++ = i;
}
RL_KERNEL_ANY(repeat_counts, 1, nullptr, repeat_counts_run)

}  // namespace
}  // namespace rl
