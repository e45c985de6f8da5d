// What the optimizer steps of optim.cpp and optim_matrix.cpp share: one call updates all parameters of a group.
//
//   adam_into([params..., exp_avgs..., exp_avg_sqs..., steps...], [grads...], hyper, slots, scalars, serial, flags...)
//
// `slots` arrays per parameter have the parameter's shape (the first is the parameter itself), `scalars` more are 0-d
// (a step count, a running product). The kernel advances the scalars itself, so a recorded step goes on counting when
// it is replayed; what a schedule changes (`hyper`, float64) is an input. A rule is a struct: its constructor
// computes coefficients in double from hyper and scalars, `run` is the loop over elements. Chunks are cut across all
// parameters by element count alone, so the result does not depend on the number of threads.
#pragma once

#include <new>
#include <type_traits>

#include "../core/kernel.h"
#include "strided.h"

namespace rl {
namespace {

constexpr int kMaxSlots = 8;
constexpr int64_t kChunk = 1 << 15;           // elements

// The 0-d states of one parameter, float32 or float64, and its shape.
struct Scalars {
  const Array* const* arrays;                 // one per kind, `stride` apart
  int stride;
  const Array* param;

  double get(int k) const {
    const Array& a = *arrays[k * stride];
    return a.dtype == DType::f32 ? *a.ptr<float>() : *a.ptr<double>();
  }
  void set(int k, double v) const {
    const Array& a = *arrays[k * stride];
    if (a.dtype == DType::f32) *a.ptr<float>() = static_cast<float>(v);
    else *a.ptr<double>() = v;
  }
  void multiply(int k, double v) const {      // in the state's own precision
    if (arrays[k * stride]->dtype == DType::f32) v = static_cast<double>(static_cast<float>(v));
    set(k, get(k) * v);
  }
  double advance() const {                    // the step count, after counting this step
    set(0, get(0) + 1);
    return get(0);
  }
};

template <class F>
inline void with_flag(bool flag, const F& fn) {
  if (flag) fn(std::true_type{});
  else fn(std::false_type{});
}

// a + w (b - a), from the nearer end as torch.lerp
template <class T>
inline T lerp(T a, T b, T w) {
  return w < T(0.5) ? a + w * (b - a) : b - (b - a) * (T(1) - w);
}

inline bool same_layout(const Array& a, const Array& b) {
  for (int d = 0; d < a.ndim; ++d)
    if (a.strides[d] != b.strides[d] && a.shape[d] > 1) return false;
  return true;
}

// All arrays of parameter k lie in memory alike and without gaps.
inline bool flat(const Call& c, int n, int slots, int k) {
  const Array &p = *c.out[k], &g = *c.in[k];
  bool match = g.numel == p.numel && g.dtype == p.dtype;
  for (int j = 1; j < slots; ++j) {
    const Array& s = *c.out[j * n + k];
    match = match && s.numel == p.numel && s.dtype == p.dtype;
  }
  if (!match)
    throw std::runtime_error("a parameter, its gradient and its optimizer state must agree in shape and dtype");
  bool plain = p.contiguous() && g.contiguous();
  for (int j = 1; j < slots; ++j) plain = plain && c.out[j * n + k]->contiguous();
  if (plain) return true;
  bool alike = dense(p) && same_layout(p, g);
  for (int j = 1; j < slots; ++j) alike = alike && same_layout(p, *c.out[j * n + k]);
  return alike;
}

template <class T, class F>
void copy_strided(const Array& a, T* buffer, const F& fn) {
  T* p = a.ptr<T>();
  int64_t i = 0, index[kMaxDims] = {}, at = 0;
  if (a.numel == 0) return;
  for (;;) {
    fn(p[at], buffer[i]);
    if (++i == a.numel) return;
    for (int d = a.ndim - 1; d >= 0; --d) {
      at += a.strides[d];
      if (++index[d] < a.shape[d]) break;
      at -= a.shape[d] * a.strides[d];
      index[d] = 0;
    }
  }
}

// A parameter whose arrays are laid out differently: through contiguous copies.
template <class Rule>
void run_strided(const Call& c, int n, int slots, int k, const Rule& rule) {
  floating(c.out[k]->dtype, "optimizer step", [&](auto z) {
    using T = decltype(z);
    const int64_t count = c.out[k]->numel;
    Scratch<T> buffer(count * (slots + 1));
    T* s[kMaxSlots];
    auto load = [](T& from, T& to) { to = from; };
    auto store = [](T& to, T& from) { to = from; };
    for (int j = 0; j < slots; ++j) {
      s[j] = buffer + j * count;
      copy_strided<T>(*c.out[j * n + k], s[j], load);
    }
    copy_strided<T>(*c.in[k], buffer + slots * count, load);
    rule.template run<T>(s, buffer + slots * count, count);
    for (int j = 0; j < slots; ++j) copy_strided<T>(*c.out[j * n + k], s[j], store);
  });
}

template <class Rule>
void step_run(const Call& c) {
  const int slots = static_cast<int>(c.inum(0)), scalars = static_cast<int>(c.inum(1)), n = c.nin - 1;
  if (n <= 0 || slots > kMaxSlots || c.nout != n * (slots + scalars))
    throw std::runtime_error("an optimizer step got the wrong number of arrays");
  const double* hyper = c.in[n]->ptr<double>();
  const Number* flags = c.num + 3;
  Scratch<Rule> rules(n);
  Scratch<int64_t> start(n + 1);
  start[0] = 0;
  for (int k = 0; k < n; ++k) {
    new (rules + k) Rule(hyper, flags, Scalars{c.out + slots * n + k, n, c.out[k]});
    const bool plain = flat(c, n, slots, k);
    start[k + 1] = start[k] + (plain ? c.out[k]->numel : 0);
    if (!plain) run_strided(c, n, slots, k, rules[k]);
  }
  const int64_t total = start[n];
  auto chunk = [&](int64_t low, int64_t high) {
    int k = 0;
    for (int step = 1 << 20; step; step >>= 1)           // the parameter that holds element `low`
      if (k + step < n && start[k + step] <= low) k += step;
    for (; k < n && start[k] < high; ++k) {
      const int64_t from = (low > start[k] ? low : start[k]) - start[k];
      const int64_t to = (high < start[k + 1] ? high : start[k + 1]) - start[k];
      if (to <= from) continue;
      floating(c.out[k]->dtype, "optimizer step", [&](auto z) {
        using T = decltype(z);
        T* s[kMaxSlots];
        for (int j = 0; j < slots; ++j) s[j] = c.out[j * n + k]->template ptr<T>() + from;
        rules[k].template run<T>(s, c.in[k]->template ptr<T>() + from, to - from);
      });
    }
  };
  if (c.inum(2)) chunk(0, total);                        // a parameter occurs twice: one after the other
  else parallel_for((total + kChunk - 1) / kChunk, [&](int64_t i) {
      chunk(i * kChunk, (i + 1) * kChunk < total ? (i + 1) * kChunk : total);
    });
}

#define RL_OPTIMIZER(name_, rule_)                                  \
  void name_##_run(const Call& c) { step_run<rule_>(c); }           \
  RL_KERNEL(name_, 1, nullptr, name_##_run)

}  // namespace
}  // namespace rl
