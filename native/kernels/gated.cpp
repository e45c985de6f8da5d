// Activations with a second operand, a gate or a weight, and their backward passes in one sweep over memory.
#include <algorithm>

#include "axis.h"
#include "rows.h"
#include "slices.h"

namespace rl {
namespace {

constexpr int64_t kPiece = 8192;              // elements of a run or of a block of rows that are added up together

void like_first(const Call& c, Meta* m) { m->like(*c.in[0]); }

// ---- glu ------------------------------------------------------------------------------------------------------------

// glu(x; dim) = a sigmoid(b), a and b the halves along the dimension
void glu_infer(const Call& c, Meta* m) {
  m->like(*c.in[0]);
  m->shape[c.inum(0)] /= 2;
}

// fn(offset in x, offset in y, length) for pieces of the halves: a from the first offset on, b `half` further.
template <class F>
void halves(const Array& x, int64_t dim, const F& fn) {
  const Axis axis(x, dim);
  const int64_t half = axis.n / 2 * axis.inner;
  if (half == 0) return;
  const int64_t pieces = (half + kPiece - 1) / kPiece, per = std::max<int64_t>(1, kPiece / half), jobs = axis.outer * pieces;
  parallel_for((jobs + per - 1) / per, [&](int64_t job) {
    for (int64_t k = job * per; k < std::min(jobs, (job + 1) * per); ++k) {
      const int64_t o = k / pieces, at = k % pieces * kPiece;
      fn(o * 2 * half + at, o * half + at, half, std::min(kPiece, half - at));
    }
  });
}

void glu_run(const Call& c) {
  floating(c.in[0]->dtype, "glu_cpu", [&](auto z) {
    using T = decltype(z);
    halves(*c.in[0], c.inum(0), [&](int64_t i, int64_t j, int64_t half, int64_t n) {
      const T *a = c.in[0]->ptr<T>() + i, *b = a + half;
      T* __restrict y = c.out[0]->ptr<T>() + j;
      for (int64_t k = 0; k < n; ++k) y[k] = a[k] * coarse_sigmoid(b[k]);
    });
  });
}
RL_KERNEL_SLICES(glu, 1, glu_infer, glu_run, 0b11, 0, 0)

// glu_backward(x, g; dim)
void glu_backward_run(const Call& c) {
  floating(c.in[0]->dtype, "glu_backward_cpu", [&](auto z) {
    using T = decltype(z);
    halves(*c.in[0], c.inum(0), [&](int64_t i, int64_t j, int64_t half, int64_t n) {
      const T *a = c.in[0]->ptr<T>() + i, *b = a + half, *g = c.in[1]->ptr<T>() + j;
      T* __restrict da = c.out[0]->ptr<T>() + i;
      T* __restrict db = da + half;
      for (int64_t k = 0; k < n; ++k) {
        const T s = coarse_sigmoid(b[k]), ga = g[k] * s;
        da[k] = ga;
        db[k] = ga * a[k] * (T(1) - s);
      }
    });
  });
}
RL_KERNEL_SLICES(glu_backward, 1, like_first, glu_backward_run, 0b111, 0, 0)

// ---- prelu ----------------------------------------------------------------------------------------------------------

// x (N, C, S), a weight per channel; one weight for all is one channel.
struct Weighted {
  int64_t N = 1, C, S = 1;
  Weighted(const Array& x, const Array& w) : C(w.numel) {
    if (C == 1) {
      S = x.numel;
      return;
    }
    N = x.shape[0];
    for (int d = 2; d < x.ndim; ++d) S *= x.shape[d];
  }
  // Runs in pieces, or blocks of rows where a channel is a column.
  int64_t pieces() const { return (S + kPiece - 1) / kPiece; }
  int64_t block() const { return std::max<int64_t>(1, kPiece / C); }

  // fn(channel, offset, length, number of the piece)
  template <class F>
  void runs(const F& fn) const {
    const int64_t p = pieces(), jobs = N * C * p, per = std::max<int64_t>(1, kPiece / std::max<int64_t>(1, S));
    parallel_for((jobs + per - 1) / per, [&](int64_t job) {
      for (int64_t k = job * per; k < std::min(jobs, (job + 1) * per); ++k) {
        const int64_t at = k % p * kPiece;
        fn(k / p % C, k / p * S + at, std::min(kPiece, S - at), k);
      }
    });
  }
  // fn(first row, end, number of the block)
  template <class F>
  void rows(const F& fn) const {
    const int64_t b = block();
    parallel_for((N + b - 1) / b, [&](int64_t k) { fn(k * b, std::min(N, (k + 1) * b), k); });
  }
};

// prelu(x, w): x above 0, w x below
void prelu_run(const Call& c) {
  const Weighted q(*c.in[0], *c.in[1]);
  floating(c.in[0]->dtype, "prelu_cpu", [&](auto z) {
    using T = decltype(z);
    const T *x = c.in[0]->ptr<T>(), *w = c.in[1]->ptr<T>();
    T* y = c.out[0]->ptr<T>();
    if (q.S == 1) {
      q.rows([&](int64_t first, int64_t end, int64_t) {
        for (int64_t r = first; r < end; ++r) {
          const T* s = x + r * q.C;
          T* __restrict o = y + r * q.C;
          for (int64_t j = 0; j < q.C; ++j) {
            const T t = s[j], below = w[j] * t;
            o[j] = t > T(0) ? t : below;
          }
        }
      });
      return;
    }
    q.runs([&](int64_t channel, int64_t at, int64_t n, int64_t) {
      const T slope = w[channel], *s = x + at;
      T* __restrict o = y + at;
      for (int64_t i = 0; i < n; ++i) o[i] = s[i] > T(0) ? s[i] : slope * s[i];
    });
  });
}
RL_KERNEL(prelu, 1, like_first, prelu_run)

// prelu_backward(x, w, g) -> dx, dw
void prelu_backward_infer(const Call& c, Meta* m) {
  m[0].like(*c.in[0]);
  m[1].like(*c.in[1]);
}

void prelu_backward_run(const Call& c) {
  const Weighted q(*c.in[0], *c.in[1]);
  floating(c.in[0]->dtype, "prelu_backward_cpu", [&](auto z) {
    using T = decltype(z);
    typedef typename Sixteen<T>::vec V;
    const T *x = c.in[0]->ptr<T>(), *w = c.in[1]->ptr<T>(), *g = c.in[2]->ptr<T>();
    T *dx = c.out[0]->ptr<T>(), *dw = c.out[1]->ptr<T>();
    const int64_t parts = q.S == 1 ? (q.N + q.block() - 1) / q.block() : q.N * q.pieces();
    Scratch<T> sums(parts * q.C);             // of a block or piece: (part, channel), or (image, channel, piece)
    if (q.S == 1) {
      q.rows([&](int64_t first, int64_t end, int64_t k) {
        T* __restrict sum = sums + k * q.C;
        std::fill(sum, sum + q.C, T(0));
        for (int64_t r = first; r < end; ++r) {
          const T *s = x + r * q.C, *u = g + r * q.C;
          T* __restrict o = dx + r * q.C;
          for (int64_t j = 0; j < q.C; ++j) {
            const T v = u[j], t = s[j], back = v * w[j], below = v * t;
            o[j] = t > T(0) ? v : back;
            sum[j] += t > T(0) ? T(0) : below;
          }
        }
      });
    } else {
      q.runs([&](int64_t channel, int64_t at, int64_t n, int64_t k) {
        const T slope = w[channel];
        V total = {}, s, u;
        for (int64_t i = 0; i < n; i += kLanes) {
          load_left(s, x + at + i, n - i, T(0));
          load_left(u, g + at + i, n - i, T(0));
          const V below = s > T(0) ? V{} : u * s, back = s > T(0) ? u : u * slope;
          total += below;
          if (i + kLanes <= n) Sixteen<T>::store(dx + at + i, back);
          else Sixteen<T>::store(dx + at + i, back, n - i);
        }
        sums[k] = Sixteen<T>::sum(total);
      });
    }
    for (int64_t channel = 0; channel < q.C; ++channel) {
      double total = 0;
      if (q.S == 1)
        for (int64_t k = 0; k < parts; ++k) total += static_cast<double>(sums[k * q.C + channel]);
      else
        for (int64_t i = 0; i < q.N; ++i)
          for (int64_t k = 0; k < q.pieces(); ++k) total += static_cast<double>(sums[(i * q.C + channel) * q.pieces() + k]);
      dw[channel] = static_cast<T>(total);
    }
  });
}
RL_KERNEL(prelu_backward, 2, prelu_backward_infer, prelu_backward_run)

}  // namespace
}  // namespace rl
