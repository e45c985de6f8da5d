// Gradient clipping over a list of arrays: one norm of them all, and one scaling.
#include <cmath>
#include <limits>

#include "../core/kernel.h"
#include "strided.h"

namespace rl {
namespace {

constexpr int64_t kChunk = 1 << 14;           // elements

// Sums in double over chunks that depend on sizes alone; the order is the same for any number of threads.
template <class T, class F>
double fold_chunk(const T* p, int64_t n, const F& fn) {
  constexpr int kLanes = 16;
  double acc[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int k = 0; k < kLanes; ++k) acc[k] += fn(p[i + k]);
  double total = 0;
  for (; i < n; ++i) total += fn(p[i]);
  for (int k = 0; k < kLanes; ++k) total += acc[k];
  return total;
}

// The larger of two, or for order -inf the smaller; a NaN stays.
inline double extreme(double a, double b, double order) {
  return a != a || (order > 0 ? a > b : a < b) ? a : b;
}

template <class T>
double power_sum(const T* p, int64_t n, double order) {
  if (order == 2) return fold_chunk(p, n, [](T x) { return static_cast<double>(x) * static_cast<double>(x); });
  if (order == 1) return fold_chunk(p, n, [](T x) { return std::fabs(static_cast<double>(x)); });
  if (order == 0) return fold_chunk(p, n, [](T x) { return x != 0 ? 1.0 : 0.0; });
  if (std::isinf(order)) {
    double best = order > 0 ? 0 : order * -1;
    for (int64_t i = 0; i < n; ++i) best = extreme(best, std::fabs(static_cast<double>(p[i])), order);
    return best;
  }
  return fold_chunk(p, n, [order](T x) { return std::pow(std::fabs(static_cast<double>(x)), order); });
}

// The root of a sum of powers, rounded to float32 if `single`; other roots are taken in that type, as PyTorch does.
double finish(double sum, double order, bool single) {
  if (order == 2) sum = std::sqrt(sum);
  else if (order != 1 && order != 0 && !std::isinf(order)) {
    if (single) return std::pow(static_cast<float>(sum), 1.0f / static_cast<float>(order));
    sum = std::pow(sum, 1 / order);
  }
  return single ? static_cast<double>(static_cast<float>(sum)) : sum;
}

void norm_infer(const Call& c, Meta* m) {
  m->ndim = 0;
  m->dtype = c.in[0]->dtype;
  for (int k = 1; k < c.nin; ++k)
    if (c.in[k]->dtype == DType::f64) m->dtype = DType::f64;
}

// grad_norm(arrays..., order): the norm of the arrays' norms, each rounded to its type as in PyTorch. Arrays are dense.
void norm_run(const Call& c) {
  const double order = c.fnum(0);
  const int n = c.nin;
  Scratch<int64_t> start(n + 1);
  start[0] = 0;
  for (int k = 0; k < n; ++k) start[k + 1] = start[k] + (c.in[k]->numel + kChunk - 1) / kChunk;
  Scratch<double> part(start[n]);
  const int64_t per = 8;                      // chunks per job: one job for what fits the cache
  parallel_for((start[n] + per - 1) / per, [&](int64_t job) {
    for (int64_t q = job * per; q < (job + 1) * per && q < start[n]; ++q) {
      int k = 0;
      for (int step = 1 << 20; step; step >>= 1)
        if (k + step < n && start[k + step] <= q) k += step;
      const int64_t low = (q - start[k]) * kChunk;
      const int64_t len = c.in[k]->numel - low < kChunk ? c.in[k]->numel - low : kChunk;
      floating(c.in[k]->dtype, "linalg_vector_norm", [&](auto z) {
        part[q] = power_sum(c.in[k]->template ptr<decltype(z)>() + low, len, order);
      });
    }
  });
  Scratch<double> norms(n);
  for (int k = 0; k < n; ++k) {
    double total = order < 0 && std::isinf(order) ? -order : 0;
    for (int64_t q = start[k]; q < start[k + 1]; ++q)
      total = std::isinf(order) ? extreme(total, part[q], order) : total + part[q];
    norms[k] = finish(total, order, c.in[k]->dtype == DType::f32);
  }
  const bool single = c.out[0]->dtype == DType::f32;
  const double total = n == 1 ? norms[0] : finish(power_sum(static_cast<double*>(norms), n, order), order, single);
  if (c.out[0]->dtype == DType::f64) *c.out[0]->ptr<double>() = total;
  else *c.out[0]->ptr<float>() = static_cast<float>(total);
}
RL_KERNEL(grad_norm, 1, norm_infer, norm_run)

template <class T>
T coefficient(const Array& norm, double limit) {
  auto of = [&](auto total) {
    using N = decltype(total);
    const N c = (N(1) / (total + static_cast<N>(1e-6))) * static_cast<N>(limit);
    return static_cast<T>(c > N(1) ? N(1) : c);
  };
  return norm.dtype == DType::f64 ? of(*norm.ptr<double>()) : of(*norm.ptr<float>());
}

// Calls fn(pointer, count) in parallel for pieces of the outputs, which are dense.
template <class F>
void each_piece(const Call& c, const F& fn) {
  Scratch<int64_t> start(c.nout + 1);
  start[0] = 0;
  for (int k = 0; k < c.nout; ++k) start[k + 1] = start[k] + c.out[k]->numel;
  const int64_t total = start[c.nout], size = 1 << 17;
  parallel_for((total + size - 1) / size, [&](int64_t job) {
    const int64_t low = job * size, high = low + size < total ? low + size : total;
    for (int k = 0; k < c.nout; ++k) {
      const int64_t from = low > start[k] ? low : start[k], to = high < start[k + 1] ? high : start[k + 1];
      if (from >= to) continue;
      floating(c.out[k]->dtype, "clip_grad", [&](auto z) {
        fn(c.out[k]->template ptr<decltype(z)>() + (from - start[k]), to - from);
      });
    }
  });
}

// clip_scale_into([grads...], norm, limit): times min(1, limit / (norm + 1e-6))
void clip_scale_run(const Call& c) {
  const Array& norm = *c.in[0];
  const double limit = c.fnum(0);
  each_piece(c, [&](auto* p, int64_t n) {
    using T = std::remove_pointer_t<decltype(p)>;
    const T w = coefficient<T>(norm, limit);
    if (w == T(1)) return;                    // nothing to clip, nothing to write
    for (int64_t i = 0; i < n; ++i) p[i] *= w;
  });
}
RL_KERNEL(clip_scale, 1, nullptr, clip_scale_run)

// clip_value_into([grads...], limit): into [-limit, limit]
void clip_value_run(const Call& c) {
  const double limit = c.fnum(0);
  each_piece(c, [&](auto* p, int64_t n) {
    using T = std::remove_pointer_t<decltype(p)>;
    const T high = static_cast<T>(limit), low = -high;
    for (int64_t i = 0; i < n; ++i) {
      const T x = p[i] < low ? low : p[i];
      p[i] = x > high ? high : x;
    }
  });
}
RL_KERNEL(clip_value, 1, nullptr, clip_value_run)

}  // namespace
}  // namespace rl
