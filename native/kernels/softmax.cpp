// softmax and log_softmax along one dimension, forward and backward: one pass over memory per row or strip.
//
// The input is contiguous and read as (outer, n, inner). With inner = 1 a row is reduced in 16 lanes; else a strip of
// up to 64 neighbouring columns is carried along.
#include <algorithm>

#include "block.h"
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

template <bool LOG, class S>
void forward(const S* x, S* y, const Form& f) {
  using T = Compute<S>;
  for_rows<LOG ? kLanes : 1>(
      f,
      [&](int64_t at, int64_t rows) {
        if constexpr (LOG) {
          T m[kLanes], l[kLanes];
          log_sums(x + at, rows, f.n, m, l);
          for (int64_t r = 0; r < rows; ++r)
            each_lanes(x + at + r * f.n, f.n, y + at + r * f.n, [&](auto& v) { v = (v - m[r]) - l[r]; });
        } else {
          Block<S> terms(y + at, 1, f.n, f.n);
          const T scale = T(1) / exp_sum<true>(x + at, f.n, lane_max(x + at, f.n), terms.data());
          each_lanes(terms.data(), f.n, y + at, [&](auto& v) { v *= scale; });
        }
      },
      [&](int64_t at, int64_t w) {
        T m[kStrip], s[kStrip];
        Block<const S> in(x + at, f.n, w, f.inner);
        Block<S> out(y + at, f.n, w, f.inner);
        in.read();
        const T* a = in.data();
        T* o = out.data();
        const int64_t step = in.pitch();
        for (int64_t j = 0; j < w; ++j) {
          m[j] = -std::numeric_limits<T>::infinity();
          s[j] = T(0);
        }
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) m[j] = a[i * step + j] > m[j] ? a[i * step + j] : m[j];
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) {
            const T e = fast_exp_below(a[i * step + j] - m[j]);
            if constexpr (!LOG) o[i * step + j] = e;
            s[j] += e;
          }
        for (int64_t j = 0; j < w; ++j) s[j] = LOG ? std::log(s[j]) : T(1) / s[j];
        for (int64_t i = 0; i < f.n; ++i)
          for (int64_t j = 0; j < w; ++j) {
            if constexpr (LOG) o[i * step + j] = (a[i * step + j] - m[j]) - s[j];
            else o[i * step + j] *= s[j];
          }
        out.write();
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
template <bool LOG, class S>
void backward(const S* g, const S* y, S* dx, const Form& f) {
  using T = Compute<S>;
  auto term = [](T gi, T yi) { return LOG ? gi : gi * yi; };
  auto result = [](T gi, T yi, T s) { return LOG ? gi - fast_exp_below(yi) * s : yi * (gi - s); };
  // work(g, y, dx, their pitch) on rows of elements
  auto block = [&](int64_t at, int64_t rows, int64_t width, int64_t pitch, const auto& work) {
    Block<const S> of_g(g + at, rows, width, pitch), of_y(y + at, rows, width, pitch);
    Block<S> out(dx + at, rows, width, pitch);
    of_g.read();
    of_y.read();
    work(static_cast<const T*>(of_g.data()), static_cast<const T*>(of_y.data()), static_cast<T*>(out.data()), out.pitch());
    out.write();
  };
  for_rows<1>(
      f,
      [&](int64_t at, int64_t) {
        block(at, 1, f.n, f.n, [&](const T* u, const T* v, T* o, int64_t) {
          const T s = product_sum<LOG>(u, v, f.n);
          for (int64_t i = 0; i < f.n; ++i) o[i] = result(u[i], v[i], s);
        });
      },
      [&](int64_t at, int64_t w) {
        block(at, f.n, w, f.inner, [&](const T* u, const T* v, T* o, int64_t step) {
          T s[kStrip] = {};
          for (int64_t i = 0; i < f.n; ++i)
            for (int64_t j = 0; j < w; ++j) s[j] += term(u[i * step + j], v[i * step + j]);
          for (int64_t i = 0; i < f.n; ++i)
            for (int64_t j = 0; j < w; ++j) o[i * step + j] = result(u[i * step + j], v[i * step + j], s[j]);
        });
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
  floating_or_half(a.dtype, name, [&](auto z) {
    using S = decltype(z);
    forward<LOG>(a.ptr<S>(), c.out[0]->ptr<S>(), Form(a, dim));
  });
}
template <bool LOG>
void backward_run(const Call& c) {
  const Array& g = *c.in[0];
  floating_or_half(g.dtype, "softmax_backward", [&](auto z) {
    using S = decltype(z);
    backward<LOG>(g.ptr<S>(), c.in[1]->ptr<S>(), c.out[0]->ptr<S>(), Form(g, c.inum(0)));
  });
}

RL_KERNEL_ROWS(softmax, 1, same, forward_run<false>, 0b11)
RL_KERNEL_ROWS(log_softmax, 1, same, forward_run<true>, 0b11)
RL_KERNEL_ROWS(softmax_backward, 1, same, backward_run<false>, 0b111)
RL_KERNEL_ROWS(log_softmax_backward, 1, same, backward_run<true>, 0b111)

}  // namespace
}  // namespace rl
