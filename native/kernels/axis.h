// A contiguous array seen from one of its dimensions: (outer, n, inner).
#pragma once

#include <algorithm>

#include "../core/kernel.h"

namespace rl {
namespace {

struct Axis {
  int64_t outer = 1, n = 1, inner = 1;
  Axis(const Array& a, int64_t dim) {
    for (int d = 0; d < a.ndim; ++d) (d < dim ? outer : d == dim ? n : inner) *= a.shape[d];
  }
  // Calls fn(offset of the first element) for every line; elements of a line are `inner` apart.
  template <class F>
  void each_line(const F& fn) const {
    const int64_t lines = outer * inner, per = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, n));
    parallel_for((lines + per - 1) / per, [&](int64_t k) {
      for (int64_t l = k * per; l < std::min(lines, (k + 1) * per); ++l) fn(l / inner * n * inner + l % inner);
    });
  }
};

}  // namespace
}  // namespace rl
