// Arrays joined along a dimension.
#include <algorithm>

#include "window.h"

namespace rl {
namespace {

int64_t bytes_from(const Array& a, int dim) {
  int64_t n = item_size(a.dtype);
  for (int d = dim; d < a.ndim; ++d) n *= a.shape[d];
  return n;
}

// cat(x…, dim, new), contiguous and of one type. new: along a dimension that the arrays have not.
void cat_infer(const Call& c, Meta* m) {
  const int64_t dim = c.inum(0);
  m->like(*c.in[0]);
  if (c.inum(1)) {
    if (m->ndim == kMaxDims) throw std::runtime_error("tensors have at most 16 dimensions");
    for (int64_t d = m->ndim++; d > dim; --d) m->shape[d] = m->shape[d - 1];
    m->shape[dim] = c.nin;
    return;
  }
  for (int k = 1; k < c.nin; ++k) m->shape[dim] += c.in[k]->shape[dim];
}

void cat_run(const Call& c) {
  const int dim = static_cast<int>(c.inum(0));
  const int64_t row = bytes_from(*c.out[0], dim), rows = row ? c.out[0]->numel * item_size(c.out[0]->dtype) / row : 0;
  const int64_t per = std::max<int64_t>(1, 131072 / std::max<int64_t>(1, row));
  const bool words = item_size(c.out[0]->dtype) >= 4;
  char* out = static_cast<char*>(c.out[0]->data());
  parallel_for((rows + per - 1) / per, [&](int64_t job) {
    const int64_t first = job * per, end = std::min(rows, first + per);
    int64_t at = 0;
    for (int k = 0; k < c.nin; ++k) {
      const int64_t n = bytes_from(*c.in[k], dim);
      const char* from = static_cast<const char*>(c.in[k]->data());
      for (int64_t r = first; r < end; ++r) {
        char* to = out + r * row + at;
        if (!words || n > 4096) std::memcpy(to, from + r * n, static_cast<size_t>(n));
        else copy_run(reinterpret_cast<float*>(to), reinterpret_cast<const float*>(from + r * n), n / 4);
      }
      at += n;
    }
  });
}
RL_KERNEL_ANY(cat, 1, cat_infer, cat_run)

}  // namespace
}  // namespace rl
