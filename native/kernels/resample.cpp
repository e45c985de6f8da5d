// Resampling along one dimension: out[o, i, j] = sum_k weight[i, k] x[o, position[i, k], j], and its transpose.
// Interpolation of an image is one such step per dimension.
#include <algorithm>
#include <cstring>

#include "../core/kernel.h"

namespace rl {
namespace {

struct Form {
  int64_t outer = 1, in, out, inner = 1, taps;
  Form(const Array& x, const Array& position, int64_t dim, int64_t in_size, int64_t out_size)
      : in(in_size), out(out_size), taps(position.shape[1]) {
    for (int d = 0; d < x.ndim; ++d) (d < dim ? outer : inner) *= d == dim ? 1 : x.shape[d];
  }
};

// resample(x, position (out, taps) int64, weight (out, taps) float64, dim)
void infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[c.inum(0)] = c.in[1]->shape[0];
}

void run(const Call& c) {
  const Array &x = *c.in[0], &p = *c.in[1];
  const Form f(x, p, c.inum(0), x.shape[c.inum(0)], p.shape[0]);
  const int64_t* position = p.ptr<int64_t>();
  const double* weight = c.in[2]->ptr<double>();
  floating(x.dtype, "upsample_out_frame", [&](auto z) {
    using T = decltype(z);
    T* out = c.out[0]->ptr<T>();
    parallel_for(f.outer, [&](int64_t o) {
      const T* src = x.ptr<T>() + o * f.in * f.inner;
      T* dst = out + o * f.out * f.inner;
      for (int64_t i = 0; i < f.out; ++i)
        for (int64_t k = 0; k < f.taps; ++k) {
          const T w = static_cast<T>(weight[i * f.taps + k]);
          const T* s = src + position[i * f.taps + k] * f.inner;
          T* d = dst + i * f.inner;
          if (k == 0)
            for (int64_t j = 0; j < f.inner; ++j) d[j] = w * s[j];
          else
            for (int64_t j = 0; j < f.inner; ++j) d[j] += w * s[j];
        }
    });
  });
}
RL_KERNEL(resample, 1, infer, run)

// resample_backward(g, position, weight, dim, size of the input along it)
void backward_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[c.inum(0)] = c.inum(1);
}

void backward_run(const Call& c) {
  const Array &g = *c.in[0], &p = *c.in[1];
  const Form f(g, p, c.inum(0), c.inum(1), p.shape[0]);
  const int64_t* position = p.ptr<int64_t>();
  const double* weight = c.in[2]->ptr<double>();
  floating(g.dtype, "upsample_backward", [&](auto z) {
    using T = decltype(z);
    T* out = c.out[0]->ptr<T>();
    parallel_for(f.outer, [&](int64_t o) {
      const T* src = g.ptr<T>() + o * f.out * f.inner;
      T* dst = out + o * f.in * f.inner;
      std::memset(dst, 0, static_cast<size_t>(f.in * f.inner) * sizeof(T));
      for (int64_t i = 0; i < f.out; ++i)
        for (int64_t k = 0; k < f.taps; ++k) {
          const T w = static_cast<T>(weight[i * f.taps + k]);
          T* d = dst + position[i * f.taps + k] * f.inner;
          const T* s = src + i * f.inner;
          for (int64_t j = 0; j < f.inner; ++j) d[j] += w * s[j];
        }
    });
  });
}
RL_KERNEL(resample_backward, 1, backward_infer, backward_run)

}  // namespace
}  // namespace rl
