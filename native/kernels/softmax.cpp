// softmax and log_softmax along one dimension, forward and backward: one pass over memory per row or strip.
//
// The input is contiguous and read as (outer, n, inner). With inner = 1 a row is reduced in 16 lanes; else a strip of
// up to 64 neighbouring columns is carried along.
#include <algorithm>

#include "../core/kernel.h"
#include "rows.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int64_t kStrip = 64, kWork = 16384;

struct Form {
  int64_t outer = 1, n = 1, inner = 1;
  Form(const Array& a, int64_t dim) {
    if (a.ndim == 0) return;
    for (int d = 0; d < dim; ++d) outer *= a.shape[d];
    n = a.shape[dim];
    for (int d = static_cast<int>(dim) + 1; d < a.ndim; ++d) inner *= a.shape[d];
  }
};

// Calls row(offset, rows) for each row or group of up to GROUP rows, or strip(offset, width) for each strip of columns.
template <int64_t GROUP, class Row, class Strip>
void for_rows(const Form& f, const Row& row, const Strip& strip) {
  if (f.n == 0) return;
  if (f.inner == 1) {
    const int64_t per = (kWork / f.n / GROUP + 1) * GROUP;
    parallel_for((f.outer + per - 1) / per, [&](int64_t k) {
      const int64_t end = std::min(f.outer, (k + 1) * per);
      for (int64_t o = k * per; o < end; o += GROUP) row(o * f.n, std::min(GROUP, end - o));
    });
    return;
  }
  const int64_t strips = (f.inner + kStrip - 1) / kStrip;
  const int64_t per = std::max<int64_t>(1, kWork / (f.n * std::min(kStrip, f.inner)));
  const int64_t jobs = f.outer * strips;
  parallel_for((jobs + per - 1) / per, [&](int64_t k) {
    for (int64_t j = k * per; j < std::min(jobs, (k + 1) * per); ++j) {
      const int64_t col = j % strips * kStrip;
      strip(j / strips * f.n * f.inner + col, std::min(kStrip, f.inner - col));
    }
  });
}

template <bool LOG, class T>
void forward(const T* x, T* y, const Form& f) {
  for_rows<LOG ? kLanes : 1>(
      f,
      [&](int64_t at, int64_t rows) {
        if constexpr (LOG) {
          T m[kLanes], l[kLanes];
          log_sums(x + at, rows, f.n, m, l);
          for (int64_t r = 0; r < rows; ++r)
            each_lanes(x + at + r * f.n, f.n, y + at + r * f.n, [&](auto& v) { v = (v - m[r]) - l[r]; });
        } else {
          const T scale = T(1) / exp_sum<true>(x + at, f.n, lane_max(x + at, f.n), y + at);
          each_lanes(y + at, f.n, y + at, [&](auto& v) { v *= scale; });
        }
      },
      [&](int64_t at, int64_t w) {
        T m[kStrip], s[kStrip];
        const T* a = x + at;
        T* o = y + at;
        for (int64_t j = 0; j < w; ++j) {
          m[j] = -std::numeric_limits<T>::infinity();
          s[j] = T(0);
        }
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) m[j] = a[i * f.inner + j] > m[j] ? a[i * f.inner + j] : m[j];
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) {
            const T e = fast_exp_below(a[i * f.inner + j] - m[j]);
            if constexpr (!LOG) o[i * f.inner + j] = e;
            s[j] += e;
          }
        for (int64_t j = 0; j < w; ++j) s[j] = LOG ? std::log(s[j]) : T(1) / s[j];
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) {
            if constexpr (LOG) o[i * f.inner + j] = (a[i * f.inner + j] - m[j]) - s[j];
            else o[i * f.inner + j] *= s[j];
          }
      });
}

// sum g y, or only sum g
template <bool ONLY_G, class T>
T product_sum(const T* g, const T* y, int64_t n) {
  typename Sixteen<T>::vec u, v, total = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    Sixteen<T>::load(u, g + i);
    Sixteen<T>::load(v, y + i);
    total += ONLY_G ? u : u * v;
  }
  if (i < n) {
    Sixteen<T>::load(u, g + i, n - i, T(0));
    Sixteen<T>::load(v, y + i, n - i, T(0));
    total += ONLY_G ? u : u * v;
  }
  return Sixteen<T>::sum(total);
}

// softmax: dx = y (g - sum g y); log_softmax: dx = g - exp(y) sum g.
template <bool LOG, class T>
void backward(const T* g, const T* y, T* dx, const Form& f) {
  auto term = [](T gi, T yi) { return LOG ? gi : gi * yi; };
  auto result = [](T gi, T yi, T s) { return LOG ? gi - fast_exp_below(yi) * s : yi * (gi - s); };
  for_rows<1>(
      f,
      [&](int64_t at, int64_t) {
        const T s = product_sum<LOG>(g + at, y + at, f.n);
        for (int64_t i = 0; i < f.n; ++i) dx[at + i] = result(g[at + i], y[at + i], s);
      },
      [&](int64_t at, int64_t w) {
        T s[kStrip] = {};
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) s[j] += term(g[at + i * f.inner + j], y[at + i * f.inner + j]);
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) {
            const int64_t k = at + i * f.inner + j;
            dx[k] = result(g[k], y[k], s[j]);
          }
      });
}

void same(const Call& c, Meta* m) { m->like(*c.in[0]); }

template <bool LOG>
void forward_run(const Call& c) {
  const Array& a = *c.in[0];
  const int64_t dim = c.inum(0);
  const bool last = dim == a.ndim - 1 || a.ndim == 0;
  const char* name = LOG ? (last ? "log_softmax_lastdim_kernel_impl" : "log_softmax_kernel_impl")
                         : (last ? "softmax_lastdim_kernel_impl" : "softmax_kernel_impl");
  floating(a.dtype, name, [&](auto z) {
    using T = decltype(z);
    forward<LOG>(a.ptr<T>(), c.out[0]->ptr<T>(), Form(a, dim));
  });
}
template <bool LOG>
void backward_run(const Call& c) {
  const Array& g = *c.in[0];
  floating(g.dtype, "softmax_backward", [&](auto z) {
    using T = decltype(z);
    backward<LOG>(g.ptr<T>(), c.in[1]->ptr<T>(), c.out[0]->ptr<T>(), Form(g, c.inum(0)));
  });
}

RL_KERNEL(softmax, 1, same, forward_run<false>)
RL_KERNEL(log_softmax, 1, same, forward_run<true>)
RL_KERNEL(softmax_backward, 1, same, backward_run<false>)
RL_KERNEL(log_softmax_backward, 1, same, backward_run<true>)

}  // namespace
}  // namespace rl
