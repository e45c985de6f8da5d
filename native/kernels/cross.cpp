// Vector products along a dimension of size three.
#include <algorithm>

#include "../core/kernel.h"

namespace rl {
namespace {

// cross(a, b; dim), contiguous and of one shape and type
void cross_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

void cross_run(const Call& c) {
  const Array& a = *c.in[0];
  if (a.dtype == DType::b8) not_implemented("cross", a.dtype);
  int64_t inner = 1;
  for (int64_t d = c.inum(0) + 1; d < a.ndim; ++d) inner *= a.shape[d];
  if (a.numel == 0) return;
  const int64_t outer = a.numel / (3 * inner), per = std::max<int64_t>(1, 8192 / inner);
  all_types(a.dtype, "cross", [&](auto z) {
    using T = decltype(z);
    parallel_for((outer + per - 1) / per, [&](int64_t job) {
      for (int64_t o = job * per; o < std::min(outer, (job + 1) * per); ++o) {
        const T *x = a.ptr<T>() + o * 3 * inner, *y = c.in[1]->ptr<T>() + o * 3 * inner;
        T* __restrict to = c.out[0]->ptr<T>() + o * 3 * inner;
        if (inner == 1) {
          to[0] = static_cast<T>(x[1] * y[2] - x[2] * y[1]);
          to[1] = static_cast<T>(x[2] * y[0] - x[0] * y[2]);
          to[2] = static_cast<T>(x[0] * y[1] - x[1] * y[0]);
          continue;
        }
        for (int k = 0; k < 3; ++k) {
          const int64_t p = (k + 1) % 3 * inner, q = (k + 2) % 3 * inner;
          for (int64_t i = 0; i < inner; ++i)
            to[k * inner + i] = static_cast<T>(x[p + i] * y[q + i] - x[q + i] * y[p + i]);
        }
      }
    });
  });
}
RL_KERNEL(cross, 1, cross_infer, cross_run)

}  // namespace
}  // namespace rl
