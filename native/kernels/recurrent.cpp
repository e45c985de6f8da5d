// A recurrent layer in one direction, all steps in one call, and its derivative.
//
// The input's part of the gates comes from one large product outside. Here W_hh is packed once; then rows (sequences) are
// cut into chunks by their number alone, and one thread takes a chunk through all steps: no thread waits for another, and
// states and gates of a step stay in its cache. The backward pass gives the gates' gradients of all steps, from which the
// weights' follow as large products outside.
//
// Steps are rows of one matrix, those of step t from start[t] on. In a packed batch later steps have fewer rows, of the
// longer sequences, which come first. A state that no step touches stays: the state buffers begin as the initial states,
// are updated in their first count(t) rows, and end as the final ones.
#include <algorithm>

#include "product.h"
#include "vecmath.h"

namespace rl {
namespace {

constexpr int kBlock = 16;                    // elements that the pointwise parts take at once

template <class T>
inline void get(T* to, const T* from, int n) {
  if (n == kBlock) {
    std::memcpy(to, from, kBlock * sizeof(T));
    return;
  }
  for (int k = 0; k < kBlock; ++k) to[k] = k < n ? from[k] : T(0);
}
template <class T>
inline void put(T* to, const T* from, int n) {
  if (n == kBlock) std::memcpy(to, from, kBlock * sizeof(T));
  else std::memcpy(to, from, static_cast<size_t>(n) * sizeof(T));
}

// 0 and 1 to the last bit where exp would leave its range; fast_sigmoid takes more care there.
template <class T>
inline T gate(T x) {
  const T c = x < T(-87) ? T(-87) : x;
  return T(1) / (T(1) + fast_exp_inner(c > T(87) ? T(-87) : -c));
}

// What a row of a step reads and writes. H apart: the gates in x, w and gates.
template <class T>
struct Forward {
  const T *x, *w;                             // W_ih x + b_ih, W_hh h + b_hh
  T *h, *c;                                   // the state, updated
  T *gates, *extra;                           // kept for the backward pass
};
template <class T>
struct Backward {
  const T *g;                                 // gradient of the step's output, or null
  const T *gates, *extra, *prev, *c_prev;
  T *dh, *dc;                                 // gradients of the state after the step; then, without W_hh's part, before it
  T *dx, *dw;                                 // gradients of x and w
};

struct Lstm {
  static constexpr int kGates = 4;
  static constexpr bool kKeeps = true, kOwnGradient = false, kAccumulates = false;   // keeps c; dw is dx

  template <class T>
  static void forward(const Forward<T>& s, int64_t H, int64_t j, int n) {
    T i[kBlock], f[kBlock], g[kBlock], o[kBlock], w[4][kBlock], c[kBlock], h[kBlock];
    T* sums[4] = {i, f, g, o};
    for (int q = 0; q < 4; ++q) {
      get(sums[q], s.x + q * H + j, n);
      get(w[q], s.w + q * H + j, n);
    }
    get(c, s.c + j, n);
    for (int k = 0; k < kBlock; ++k) i[k] = gate(i[k] + w[0][k]);
    for (int k = 0; k < kBlock; ++k) f[k] = gate(f[k] + w[1][k]);
    for (int k = 0; k < kBlock; ++k) g[k] = fast_tanh(g[k] + w[2][k]);
    for (int k = 0; k < kBlock; ++k) o[k] = gate(o[k] + w[3][k]);
    for (int k = 0; k < kBlock; ++k) c[k] = f[k] * c[k] + i[k] * g[k];
    for (int k = 0; k < kBlock; ++k) h[k] = o[k] * fast_tanh(c[k]);
    for (int q = 0; q < 4; ++q) put(s.gates + q * H + j, sums[q], n);
    put(s.extra + j, c, n);
    put(s.c + j, c, n);
    put(s.h + j, h, n);
  }

  template <class T>
  static void backward(const Backward<T>& s, int64_t H, int64_t j, int n) {
    T i[kBlock], f[kBlock], g[kBlock], o[kBlock], c[kBlock], before[kBlock], dh[kBlock], dc[kBlock], given[kBlock] = {};
    get(i, s.gates + j, n);
    get(f, s.gates + H + j, n);
    get(g, s.gates + 2 * H + j, n);
    get(o, s.gates + 3 * H + j, n);
    get(c, s.extra + j, n);
    get(before, s.c_prev + j, n);
    get(dh, s.dh + j, n);
    get(dc, s.dc + j, n);
    if (s.g) get(given, s.g + j, n);
    for (int k = 0; k < kBlock; ++k) {
      const T t = fast_tanh(c[k]), d = dh[k] + given[k];
      const T e = dc[k] + d * o[k] * (T(1) - t * t);
      o[k] = d * t * (T(1) - o[k]) * o[k];
      dc[k] = e * f[k];
      f[k] = e * before[k] * (T(1) - f[k]) * f[k];
      const T di = e * g[k] * (T(1) - i[k]) * i[k];
      g[k] = e * i[k] * (T(1) - g[k] * g[k]);
      i[k] = di;
    }
    put(s.dx + j, i, n);
    put(s.dx + H + j, f, n);
    put(s.dx + 2 * H + j, g, n);
    put(s.dx + 3 * H + j, o, n);
    put(s.dc + j, dc, n);
  }
};

struct Gru {
  static constexpr int kGates = 3;
  static constexpr bool kKeeps = true, kOwnGradient = true, kAccumulates = true;     // keeps W_hn h + b_hn

  template <class T>
  static void forward(const Forward<T>& s, int64_t H, int64_t j, int n) {
    T r[kBlock], z[kBlock], x[kBlock], w[3][kBlock], h[kBlock];
    get(r, s.x + j, n);
    get(z, s.x + H + j, n);
    get(x, s.x + 2 * H + j, n);
    for (int q = 0; q < 3; ++q) get(w[q], s.w + q * H + j, n);
    get(h, s.h + j, n);
    for (int k = 0; k < kBlock; ++k) r[k] = gate(r[k] + w[0][k]);
    for (int k = 0; k < kBlock; ++k) z[k] = gate(z[k] + w[1][k]);
    for (int k = 0; k < kBlock; ++k) x[k] = fast_tanh(x[k] + r[k] * w[2][k]);
    for (int k = 0; k < kBlock; ++k) h[k] = x[k] + z[k] * (h[k] - x[k]);
    put(s.gates + j, r, n);
    put(s.gates + H + j, z, n);
    put(s.gates + 2 * H + j, x, n);
    put(s.extra + j, w[2], n);
    put(s.h + j, h, n);
  }

  template <class T>
  static void backward(const Backward<T>& s, int64_t H, int64_t j, int n) {
    T r[kBlock], z[kBlock], x[kBlock], w[kBlock], before[kBlock], dh[kBlock], given[kBlock] = {}, dn[kBlock];
    get(r, s.gates + j, n);
    get(z, s.gates + H + j, n);
    get(x, s.gates + 2 * H + j, n);
    get(w, s.extra + j, n);
    get(before, s.prev + j, n);
    get(dh, s.dh + j, n);
    if (s.g) get(given, s.g + j, n);
    for (int k = 0; k < kBlock; ++k) {
      const T d = dh[k] + given[k];
      const T e = d * (T(1) - z[k]) * (T(1) - x[k] * x[k]);
      dh[k] = d * z[k];
      z[k] = d * (before[k] - x[k]) * (T(1) - z[k]) * z[k];
      dn[k] = e * r[k];
      r[k] = e * w[k] * (T(1) - r[k]) * r[k];
      x[k] = e;
    }
    put(s.dx + j, r, n);
    put(s.dx + H + j, z, n);
    put(s.dx + 2 * H + j, x, n);
    put(s.dw + j, r, n);
    put(s.dw + H + j, z, n);
    put(s.dw + 2 * H + j, dn, n);
    put(s.dh + j, dh, n);
  }
};

template <bool RELU>
struct Rnn {
  static constexpr int kGates = 1;
  static constexpr bool kKeeps = false, kOwnGradient = false, kAccumulates = false;

  template <class T>
  static void forward(const Forward<T>& s, int64_t, int64_t j, int n) {
    T x[kBlock], w[kBlock];
    get(x, s.x + j, n);
    get(w, s.w + j, n);
    for (int k = 0; k < kBlock; ++k) {
      const T v = x[k] + w[k];
      if constexpr (RELU) x[k] = v < T(0) ? T(0) : v;
      else x[k] = fast_tanh(v);
    }
    put(s.gates + j, x, n);
    put(s.h + j, x, n);
  }

  template <class T>
  static void backward(const Backward<T>& s, int64_t, int64_t j, int n) {
    T y[kBlock], dh[kBlock], given[kBlock] = {};
    get(y, s.gates + j, n);
    get(dh, s.dh + j, n);
    if (s.g) get(given, s.g + j, n);
    for (int k = 0; k < kBlock; ++k) {
      const T d = dh[k] + given[k];
      if constexpr (RELU) y[k] = y[k] > T(0) ? d : T(0);
      else y[k] = d * (T(1) - y[k] * y[k]);
    }
    put(s.dx + j, y, n);
  }
};

// Where the rows of each step lie, and the order of the steps.
struct Steps {
  int64_t steps, batch;
  bool reverse;
  const int64_t* sizes;                       // null: every step has all rows
  Scratch<int64_t> start;

  Steps(const Array* counts, int64_t rows, int64_t n, bool backwards)
      : steps(counts ? counts->numel : (n ? rows / n : 0)), batch(n), reverse(backwards), sizes(counts ? counts->ptr<int64_t>() : nullptr),
        start(steps + 1) {
    start[0] = 0;
    for (int64_t t = 0; t < steps; ++t) {
      const int64_t most = t ? count(t - 1) : n;
      if (count(t) < 0 || count(t) > most) throw std::runtime_error("batch_sizes must not increase, nor exceed the state's rows");
      start[t + 1] = start[t] + count(t);
    }
    if (start[steps] != rows) throw std::runtime_error("batch_sizes must add up to the number of rows of the data");
  }
  int64_t count(int64_t t) const { return sizes ? sizes[t] : batch; }
  int64_t nth(int64_t s) const { return reverse ? steps - 1 - s : s; }

  // fn(first row, end): an even number of chunks, of at most kMR rows, by the batch's size alone.
  template <class F>
  void chunks(const F& fn) const {
    const int64_t even = batch < 8 ? 1 : batch < 4 * kMR ? 2 : batch < 8 * kMR ? 4 : 8;
    const int64_t parts = even * ((batch + even * kMR - 1) / (even * kMR));
    parallel_for(batch ? parts : 0, [&](int64_t p) { fn(batch * p / parts, batch * (p + 1) / parts); });
  }
};

template <class F>
inline void blocks(int64_t H, const F& fn) {
  int64_t j = 0;
  for (; j + kBlock <= H; j += kBlock) fn(j, kBlock);
  if (j < H) fn(j, static_cast<int>(H - j));
}

template <class T>
const T* maybe(const Array* a) {
  return a ? a->ptr<T>() : nullptr;
}

// forward(x's gates, h0, c0 or None, w_hh, b_hh or None, sizes or None; reverse)
//   -> out, h, c, gates, extra, prev. What has no use for the kind of layer is an empty array.
template <class Cell, class T>
void run_forward(const Call& c) {
  const Array &x = *c.in[0], &h0 = *c.in[1], &w = *c.in[3];
  const int64_t G = Cell::kGates, H = w.shape[1], N = h0.shape[0], rows = G * H ? x.numel / (G * H) : 0;
  const Steps steps(c.in[5], rows, N, c.inum(0));
  const PackedB<T> packed({w.ptr<T>(), w.strides[1], w.strides[0]}, H, G * H);
  Epilogue<T> bias;
  if (c.in[4]) bias.col_bias = c.in[4]->ptr<T>();
  T *out = c.out[0]->ptr<T>(), *hn = c.out[1]->ptr<T>(), *gates = c.out[3]->ptr<T>(), *prev = c.out[5]->ptr<T>();
  T *cn = c.in[2] ? c.out[2]->ptr<T>() : nullptr, *extra = Cell::kKeeps ? c.out[4]->ptr<T>() : nullptr;
  const size_t row = static_cast<size_t>(H) * sizeof(T);
  steps.chunks([&](int64_t r0, int64_t r1) {
    Scratch<T> product((r1 - r0) * G * H);
    std::memcpy(hn + r0 * H, h0.ptr<T>() + r0 * H, static_cast<size_t>(r1 - r0) * row);
    if (cn) std::memcpy(cn + r0 * H, c.in[2]->ptr<T>() + r0 * H, static_cast<size_t>(r1 - r0) * row);
    for (int64_t s = 0; s < steps.steps; ++s) {
      const int64_t t = steps.nth(s), n = std::min(r1, steps.count(t)) - r0;
      if (n <= 0) continue;
      const int64_t at = steps.start[t] + r0;
      std::memcpy(prev + at * H, hn + r0 * H, static_cast<size_t>(n) * row);
      packed.multiply(n, hn + r0 * H, H, product, G * H, false, bias);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t k = at + i, r = r0 + i;
        const Forward<T> step{x.ptr<T>() + k * G * H, product + i * G * H, hn + r * H, cn ? cn + r * H : nullptr, gates + k * G * H,
                              extra ? extra + k * H : nullptr};
        blocks(H, [&](int64_t j, int m) { Cell::forward(step, H, j, m); });
      }
      std::memcpy(out + at * H, hn + r0 * H, static_cast<size_t>(n) * row);
    }
  });
}

// backward(g of out, of h, of c (each or None), h0, c0 or None, w_hh, gates, extra, prev, sizes or None; reverse)
//   -> gradients of x's gates, of W_hh h + b_hh (empty where they are the same), of h0, of c0
template <class Cell>
void infer_backward(const Call& c, Meta* m) {
  m[0].like(*c.in[6]);
  m[1].like(*c.in[6]);
  if (!Cell::kOwnGradient) m[1].shape[0] = 0;
  m[2].like(*c.in[3]);
  m[3].like(*c.in[3]);
  if (!c.in[4]) m[3].shape[0] = 0;
}

template <class Cell, class T>
void run_backward(const Call& c) {
  const Array &h0 = *c.in[3], &w = *c.in[5];
  const int64_t G = Cell::kGates, H = w.shape[1], N = h0.shape[0], rows = G * H ? c.in[6]->numel / (G * H) : 0;
  const Steps steps(c.in[9], rows, N, c.inum(0));
  const PackedB<T> packed({w.ptr<T>(), w.strides[0], w.strides[1]}, G * H, H);
  const T *g = maybe<T>(c.in[0]), *gh = maybe<T>(c.in[1]), *gc = maybe<T>(c.in[2]), *c0 = maybe<T>(c.in[4]);
  const T *gates = c.in[6]->ptr<T>(), *extra = c.in[7]->ptr<T>(), *prev = c.in[8]->ptr<T>();
  T *dx = c.out[0]->ptr<T>(), *dw = Cell::kOwnGradient ? c.out[1]->ptr<T>() : dx, *dh = c.out[2]->ptr<T>();
  T* dc = c0 ? c.out[3]->ptr<T>() : nullptr;
  auto begin = [&](T* to, const T* from, int64_t r0, int64_t r1) {
    if (from) std::copy(from + r0 * H, from + r1 * H, to + r0 * H);
    else std::fill(to + r0 * H, to + r1 * H, T(0));
  };
  steps.chunks([&](int64_t r0, int64_t r1) {
    begin(dh, gh, r0, r1);
    if (dc) begin(dc, gc, r0, r1);
    for (int64_t s = steps.steps; s-- > 0;) {
      const int64_t t = steps.nth(s), n = std::min(r1, steps.count(t)) - r0;
      if (n <= 0) continue;
      const int64_t at = steps.start[t] + r0, before = s ? steps.nth(s - 1) : 0;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t k = at + i, r = r0 + i;
        const bool begins = s == 0 || r >= steps.count(before);
        const T* c_prev = !dc ? nullptr : begins ? c0 + r * H : extra + (steps.start[before] + r) * H;
        const Backward<T> step{g ? g + k * H : nullptr, gates + k * G * H, extra + k * H, prev + k * H, c_prev, dh + r * H,
                               dc ? dc + r * H : nullptr, dx + k * G * H, dw + k * G * H};
        blocks(H, [&](int64_t j, int m) { Cell::backward(step, H, j, m); });
      }
      packed.multiply(n, dw + at * G * H, G * H, dh + r0 * H, H, Cell::kAccumulates, {});
    }
  });
}

template <class Cell>
void forward_any(const Call& c) {
  floating(c.in[0]->dtype, "rnn", [&](auto z) { run_forward<Cell, decltype(z)>(c); });
}
template <class Cell>
void backward_any(const Call& c) {
  floating(c.in[6]->dtype, "rnn_backward", [&](auto z) { run_backward<Cell, decltype(z)>(c); });
}

RL_KERNEL(lstm, 6, nullptr, forward_any<Lstm>)
RL_KERNEL(gru, 6, nullptr, forward_any<Gru>)
RL_KERNEL(rnn_tanh, 6, nullptr, forward_any<Rnn<false>>)
RL_KERNEL(rnn_relu, 6, nullptr, forward_any<Rnn<true>>)
RL_KERNEL(lstm_backward, 4, infer_backward<Lstm>, backward_any<Lstm>)
RL_KERNEL(gru_backward, 4, infer_backward<Gru>, backward_any<Gru>)
RL_KERNEL(rnn_tanh_backward, 4, infer_backward<Rnn<false>>, backward_any<Rnn<false>>)
RL_KERNEL(rnn_relu_backward, 4, infer_backward<Rnn<true>>, backward_any<Rnn<true>>)

}  // namespace
}  // namespace rl
