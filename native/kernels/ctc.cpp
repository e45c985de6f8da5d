// Connectionist temporal classification: forward and backward variables in the log domain (Graves et al., 2006).
//
// The extended target l' is blank, l1, blank, l2, …, blank: 2 S + 1 states.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

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
  int64_t start;                             // of the target in the flattened ones
  int64_t alphas(int64_t n, int64_t T_) const { return T_ * (2 * start + n); }  // where the sample's (frames, states) begin
  int64_t states() const { return 2 * labels + 1; }
  // A blank between two different labels may be skipped.
  bool skips(int64_t s) const { return (s & 1) && s > 1 && target[s >> 1] != target[(s >> 1) - 1]; }
};

// ctc_starts(input lengths, target lengths; T, dimensions of targets, size of their last one): where each target begins in the
// flattened targets, and the checks of lengths
const char kWhile[] = " (while checking arguments for ctc_loss_allocate_outputs)";

[[noreturn]] void wrong_length(const char* name, const char* bound, int64_t limit, int64_t value) {
  throw std::runtime_error(std::string("Expected ") + name + " to have value at " + bound + " " + std::to_string(limit) +
                           ", but got value " + std::to_string(value) + kWhile);
}

[[noreturn]] void wrong_targets(const char* at_least, int64_t size, int dim, int64_t given) {
  throw std::runtime_error(std::string("Expected tensor to have size ") + at_least + std::to_string(size) + " at dimension " +
                           std::to_string(dim) + ", but got size " + std::to_string(given) + " for argument #2 'targets'" + kWhile);
}

void starts_infer(const Call& c, Meta* m) { m->like(*c.in[1]); }

void starts_run(const Call& c) {
  const int64_t N = c.in[1]->numel, T = c.inum(0), size = c.inum(2);
  const int64_t *frames = c.in[0]->ptr<int64_t>(), *labels = c.in[1]->ptr<int64_t>();
  int64_t *out = c.out[0]->ptr<int64_t>(), total = 0, longest = 0;
  for (int64_t n = 0; n < N; ++n)
    if (frames[n] < 0) wrong_length("input_lengths", "least", 0, frames[n]);
  for (int64_t n = 0; n < N; ++n) {
    if (labels[n] < 0) wrong_length("target_lengths", "least", 0, labels[n]);
    out[n] = c.inum(1) == 1 ? total : n * size;
    total += labels[n];
    longest = std::max(longest, labels[n]);
  }
  if (c.inum(1) == 1 && total != size) wrong_targets("", total, 0, size);
  if (c.inum(1) == 2 && longest > size) wrong_targets("at least ", longest, 1, size);
  for (int64_t n = 0; n < N; ++n)
    if (frames[n] > T) wrong_length("input_lengths", "most", T, frames[n]);
}
RL_KERNEL_ANY(ctc_starts, 1, starts_infer, starts_run)

// in: log_probs (T, N, C), targets (flat), where each target starts, input lengths, target lengths.
template <class T>
Sample<T> sample(const Array* const* in, int64_t n, int64_t blank) {
  const Array& x = *in[0];
  const int64_t C = x.shape[2];
  Sample<T> s{x.ptr<T>() + n * C, x.shape[1] * C, in[3]->ptr<int64_t>()[n], in[4]->ptr<int64_t>()[n], blank,
              in[1]->ptr<int64_t>() + in[2]->ptr<int64_t>()[n], in[2]->ptr<int64_t>()[n]};
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
  m[1].ndim = 1;                              // a row of states for every frame, sample after sample
  m[1].shape[0] = x.shape[0] * (2 * c.in[1]->numel + x.shape[1]);
}

template <class T>
void forward(const Call& c) {
  const Array& x = *c.in[0];
  for (int64_t n = 0; n < x.shape[1]; ++n) {
    const Sample<T> s = sample<T>(c.in, n, c.inum(0));
    const int64_t width = s.states();
    double* alpha = c.out[1]->ptr<double>() + s.alphas(n, x.shape[0]);
    std::fill(alpha, alpha + s.frames * width, kNever);
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
  const Array& x = *c.in[0];
  const int64_t N = x.shape[1], C = x.shape[2];
  T* dx = c.out[0]->ptr<T>();
  std::fill(dx, dx + x.numel, T(0));
  Scratch<double> beta(2 * (2 * c.in[1]->numel + 1)), sums(C);
  for (int64_t n = 0; n < N; ++n) {
    const Sample<T> s = sample<T>(c.in, n, c.inum(0));
    const double loss = c.in[6]->ptr<T>()[n], g = c.in[5]->ptr<T>()[n];
    if (c.inum(1) && loss == std::numeric_limits<double>::infinity()) continue;
    const int64_t width = s.states();
    const double* alpha = c.in[7]->ptr<double>() + s.alphas(n, x.shape[0]);
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
