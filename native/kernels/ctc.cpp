// Connectionist temporal classification: forward and backward variables in the log domain (Graves et al., 2006).
//
// The extended target l' is blank, l1, blank, l2, …, blank: 2 S + 1 states.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../core/kernel.h"

namespace rl {
namespace {

constexpr double kNever = -std::numeric_limits<double>::infinity();

double log_add(double a, double b) {
  const double m = std::max(a, b);
  return m == kNever ? kNever : m + std::log1p(std::exp(std::min(a, b) - m));
}

// One sample: log p(t, c) and its extended target.
template <class T>
struct Sample {
  const T* p;
  int64_t step, frames, labels, blank;
  const int64_t* target;
  double log_prob(int64_t t, int64_t s) const { return p[t * step + symbol(s)]; }
  int64_t symbol(int64_t s) const { return s & 1 ? target[s >> 1] : blank; }
  int64_t states() const { return 2 * labels + 1; }
  // A blank between two different labels may be skipped.
  bool skips(int64_t s) const { return (s & 1) && s > 1 && target[s >> 1] != target[(s >> 1) - 1]; }
};

// in: log_probs (T, N, C), targets (flat), where each target starts, input lengths, target lengths.
template <class T>
Sample<T> sample(const Array* const* in, int64_t n, int64_t blank) {
  const Array& x = *in[0];
  const int64_t C = x.shape[2];
  Sample<T> s{x.ptr<T>() + n * C, x.shape[1] * C, in[3]->ptr<int64_t>()[n], in[4]->ptr<int64_t>()[n], blank,
              in[1]->ptr<int64_t>() + in[2]->ptr<int64_t>()[n]};
  for (int64_t k = 0; k < s.labels; ++k)
    if (s.target[k] < 0 || s.target[k] >= C) throw std::out_of_range("ctc_loss: a label is out of range");
  return s;
}

void forward_infer(const Call& c, Meta* m) {
  const Array& x = *c.in[0];
  m[0].dtype = x.dtype;
  m[0].ndim = 1;
  m[0].shape[0] = x.shape[1];
  m[1].dtype = DType::f64;
  m[1].ndim = 3;
  m[1].shape[0] = x.shape[1];
  m[1].shape[1] = x.shape[0];
  m[1].shape[2] = 2 * c.inum(1) + 1;
}

template <class T>
void forward(const Call& c) {
  const Array &x = *c.in[0], &alpha_out = *c.out[1];
  const int64_t width = alpha_out.shape[2];
  for (int64_t n = 0; n < x.shape[1]; ++n) {
    const Sample<T> s = sample<T>(c.in, n, c.inum(0));
    double* alpha = alpha_out.ptr<double>() + n * x.shape[0] * width;
    std::fill(alpha, alpha + x.shape[0] * width, kNever);
    T& loss = c.out[0]->ptr<T>()[n];
    if (s.frames == 0) {
      loss = s.labels == 0 ? T(0) : std::numeric_limits<T>::infinity();
      continue;
    }
    alpha[0] = s.log_prob(0, 0);
    if (s.labels) alpha[1] = s.log_prob(0, 1);
    for (int64_t t = 1; t < s.frames; ++t) {
      const double* before = alpha + (t - 1) * width;
      for (int64_t k = 0; k < s.states(); ++k) {
        double a = before[k];
        if (k > 0) a = log_add(a, before[k - 1]);
        if (s.skips(k)) a = log_add(a, before[k - 2]);
        alpha[t * width + k] = a + s.log_prob(t, k);
      }
    }
    const double* last = alpha + (s.frames - 1) * width;
    loss = static_cast<T>(-(s.labels ? log_add(last[2 * s.labels], last[2 * s.labels - 1]) : last[0]));
  }
}

void forward_run(const Call& c) {
  floating(c.in[0]->dtype, "ctc_loss_cpu", [&](auto z) { forward<decltype(z)>(c); });
}
RL_KERNEL(ctc_loss, 2, forward_infer, forward_run)

// in: log_probs, targets, starts, input lengths, target lengths, g (N), loss (N), alpha.
void backward_infer(const Call& c, Meta* m) { m->like(*c.in[0]); }

// The gradient is that of the scores before log_softmax, as in PyTorch: exp(lp) - exp(log(sum alpha beta) + loss - lp).
template <class T>
void backward(const Call& c) {
  const Array &x = *c.in[0], &alpha_in = *c.in[7];
  const int64_t frames = x.shape[0], N = x.shape[1], C = x.shape[2], width = alpha_in.shape[2];
  T* dx = c.out[0]->ptr<T>();
  std::fill(dx, dx + x.numel, T(0));
  Scratch<double> beta(2 * width), sums(C);
  for (int64_t n = 0; n < N; ++n) {
    const Sample<T> s = sample<T>(c.in, n, c.inum(0));
    const double loss = c.in[6]->ptr<T>()[n], g = c.in[5]->ptr<T>()[n];
    if (c.inum(1) && loss == std::numeric_limits<double>::infinity()) continue;
    const double* alpha = alpha_in.ptr<double>() + n * frames * width;
    double *now = beta, *next = beta + width;
    for (int64_t t = s.frames - 1; t >= 0; --t) {
      for (int64_t k = s.states() - 1; k >= 0; --k) {
        double b;
        if (t == s.frames - 1) {
          b = k >= s.states() - 2 ? 0.0 : kNever;
        } else {
          b = next[k];
          if (k + 1 < s.states()) b = log_add(b, next[k + 1]);
          if (k + 2 < s.states() && s.skips(k + 2)) b = log_add(b, next[k + 2]);
        }
        now[k] = b == kNever ? kNever : b + s.log_prob(t, k);
      }
      std::fill(sums.p, sums.p + C, kNever);
      for (int64_t k = 0; k < s.states(); ++k) {
        double& at = sums[s.symbol(k)];
        at = log_add(at, alpha[t * width + k] + now[k]);
      }
      const T* lp = s.p + t * s.step;
      T* out = dx + t * s.step + n * C;
      for (int64_t k = 0; k < C; ++k)
        out[k] = static_cast<T>((std::exp(static_cast<double>(lp[k])) - std::exp(sums[k] + loss - lp[k])) * g);
      std::swap(now, next);
    }
  }
}

void backward_run(const Call& c) {
  floating(c.in[0]->dtype, "ctc_loss_backward_cpu", [&](auto z) { backward<decltype(z)>(c); });
}
RL_KERNEL(ctc_loss_backward, 1, backward_infer, backward_run)

}  // namespace
}  // namespace rl
