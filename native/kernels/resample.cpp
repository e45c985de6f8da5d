// Resampling along one dimension: out[o, i, j] = sum_k weight[i, k] x[o, position[i, k], j], and its transpose.
// Interpolation of an image is one such step per dimension.
#include <algorithm>

#include "../core/kernel.h"
#include "slices.h"

namespace rl {
namespace {

struct Form {
  int64_t outer = 1, inner = 1;
  Form(const Array& x, int64_t dim) {
    for (int d = 0; d < x.ndim; ++d) (d < dim ? outer : inner) *= d == dim ? 1 : x.shape[d];
  }
};

// Line i of `lines` is the sum of weight[k, i] times source line at[k, i], k < count. A weight of 0 takes nothing, whatever the
// source holds, if SPARSE.
template <class T>
struct Taps {
  int64_t lines, count;
  Scratch<int32_t> at;
  Scratch<T> weight;
  // position and weights (lines, taps) as they come
  Taps(const Array& position, const double* weights)
      : lines(position.shape[0]), count(position.shape[1]), at(lines * count), weight(lines * count) {
    const int64_t* from = position.ptr<int64_t>();
    for (int64_t i = 0; i < lines; ++i)
      for (int64_t k = 0; k < count; ++k) {
        at[k * lines + i] = static_cast<int32_t>(from[i * count + k]);
        weight[k * lines + i] = static_cast<T>(weights[i * count + k]);
      }
  }

  // The transpose: for each of n input lines the output lines that it went to, in order.
  Taps(const Array& position, const double* weights, int64_t n)
      : lines(n), count(most_uses(position, n)), at(lines * count), weight(lines * count) {
    const int64_t* to = position.ptr<int64_t>();
    Scratch<int64_t> used(n);
    std::fill(used.p, used.p + n, int64_t{0});
    std::fill(at.p, at.p + lines * count, 0);
    std::fill(weight.p, weight.p + lines * count, T(0));
    for (int64_t i = 0; i < position.numel; ++i) {
      const int64_t slot = used[to[i]]++ * n + to[i];
      at[slot] = static_cast<int32_t>(i / position.shape[1]);
      weight[slot] = static_cast<T>(weights[i]);
    }
  }

  static int64_t most_uses(const Array& position, int64_t n) {
    const int64_t* to = position.ptr<int64_t>();
    Scratch<int64_t> used(n);
    std::fill(used.p, used.p + n, int64_t{0});
    int64_t most = 1;
    for (int64_t i = 0; i < position.numel; ++i) most = std::max(most, ++used[to[i]]);
    return most;
  }

  // One element a line: neighbouring lines are lanes.
  template <bool SPARSE>
  void elements(const T* src, T* __restrict dst) const {
    for (int64_t k = 0; k < count; ++k) {
      const int32_t* from = at + k * lines;
      const T* w = weight + k * lines;
      for (int64_t i = 0; i < lines; ++i) {
        const T v = w[i] * src[from[i]], term = SPARSE && w[i] == T(0) ? T(0) : v;
        dst[i] = k == 0 ? term : dst[i] + term;
      }
    }
  }

  template <bool SPARSE>
  void rows(const T* src, int64_t inner, T* __restrict dst) const {
    for (int64_t i = 0; i < lines; ++i)
      for (int64_t k = 0; k < count; ++k) {
        const T w = weight[k * lines + i];
        const T* s = src + at[k * lines + i] * inner;
        T* d = dst + i * inner;
        if (SPARSE && w == T(0)) {
          if (k == 0) std::fill(d, d + inner, T(0));
        } else if (k == 0) {
          for (int64_t j = 0; j < inner; ++j) d[j] = w * s[j];
        } else {
          for (int64_t j = 0; j < inner; ++j) d[j] += w * s[j];
        }
      }
  }

  template <bool SPARSE>
  void apply(const T* x, int64_t source_lines, const Form& f, T* y) const {
    const int64_t per = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, lines * f.inner));
    parallel_for((f.outer + per - 1) / per, [&](int64_t job) {
      for (int64_t o = job * per; o < std::min(f.outer, (job + 1) * per); ++o) {
        const T* src = x + o * source_lines * f.inner;
        T* dst = y + o * lines * f.inner;
        if (f.inner == 1) elements<SPARSE>(src, dst);
        else rows<SPARSE>(src, f.inner, dst);
      }
    });
  }
};

// resample(x, position (out, taps) int64, weight (out, taps) float64, dim)
void infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[c.inum(0)] = c.in[1]->shape[0];
}

void run(const Call& c) {
  const Array& x = *c.in[0];
  floating(x.dtype, "upsample_out_frame", [&](auto z) {
    using T = decltype(z);
    const Taps<T> taps(*c.in[1], c.in[2]->ptr<double>());
    taps.template apply<false>(x.ptr<T>(), x.shape[c.inum(0)], Form(x, c.inum(0)), c.out[0]->ptr<T>());
  });
}
RL_KERNEL_SLICES(resample, 1, infer, run, 0b11, 0, 0)

// resample_backward(g, position, weight, dim, size of the input along it)
void backward_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[c.inum(0)] = c.inum(1);
}

void backward_run(const Call& c) {
  const Array& g = *c.in[0];
  floating(g.dtype, "upsample_backward", [&](auto z) {
    using T = decltype(z);
    const Taps<T> taps(*c.in[1], c.in[2]->ptr<double>(), c.inum(1));
    taps.template apply<true>(g.ptr<T>(), g.shape[c.inum(0)], Form(g, c.inum(0)), c.out[0]->ptr<T>());
  });
}
RL_KERNEL_SLICES(resample_backward, 1, backward_infer, backward_run, 0b11, 0, 0)

}  // namespace
}  // namespace rl
