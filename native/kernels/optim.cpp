// The optimizers whose update goes element by element. optim.h says how a rule becomes a kernel.
#include <cmath>

#include "optim.h"

namespace rl {
namespace {

// hyper: lr, weight_decay, momentum, dampening; flags: maximize, nesterov; slots: param, [momentum_buffer]
struct Sgd {
  double lr, decay, momentum, dampening;
  bool maximize, nesterov;
  Sgd(const double* h, const Number* f, Scalars)
      : lr(h[0]), decay(h[1]), momentum(h[2]), dampening(h[3]), maximize(f[0].i), nesterov(f[1].i) {}

  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T* __restrict p = s[0];
    const T sign = maximize ? T(-1) : T(1), rate = static_cast<T>(-lr), wd = static_cast<T>(decay);
    const T mu = static_cast<T>(momentum), fresh = static_cast<T>(1 - dampening);
    with_flag(decay != 0, [&](auto decayed) {
      auto gradient = [&](int64_t i) {
        T d = sign * g[i];
        if constexpr (decltype(decayed)::value) d += wd * p[i];
        return d;
      };
      if (momentum == 0) {
        for (int64_t i = 0; i < n; ++i) p[i] += rate * gradient(i);
        return;
      }
      T* __restrict b = s[1];
      with_flag(nesterov, [&](auto ahead) {
        for (int64_t i = 0; i < n; ++i) {
          const T d = gradient(i);
          b[i] = b[i] * mu + fresh * d;
          if constexpr (decltype(ahead)::value) p[i] += rate * (d + mu * b[i]);
          else p[i] += rate * b[i];
        }
      });
    });
  }
};
RL_OPTIMIZER(sgd, Sgd)

// What Adam and its kin share: hyper begins with lr, weight_decay, beta1, beta2, eps; flags with maximize, decoupled.
struct Moments {
  double lr, decay, beta1, beta2, eps;
  bool maximize, decoupled;
  Moments(const double* h, const Number* f)
      : lr(h[0]), decay(h[1]), beta1(h[2]), beta2(h[3]), eps(h[4]), maximize(f[0].i), decoupled(f[1].i) {}

  // fn(i, param, gradient) gives the new parameter; weight decay of either kind is done here.
  template <class T, class F>
  void each(T* __restrict p, const T* __restrict g, int64_t n, const F& fn) const {
    const T sign = maximize ? T(-1) : T(1);
    if (decay == 0) {
      for (int64_t i = 0; i < n; ++i) p[i] = fn(i, p[i], sign * g[i]);
    } else if (decoupled) {
      const T shrink = static_cast<T>(1 - lr * decay);
      for (int64_t i = 0; i < n; ++i) p[i] = fn(i, p[i] * shrink, sign * g[i]);
    } else {
      const T wd = static_cast<T>(decay);
      for (int64_t i = 0; i < n; ++i) p[i] = fn(i, p[i], sign * g[i] + wd * p[i]);
    }
  }
};

// slots: param, exp_avg, exp_avg_sq, [max_exp_avg_sq]; scalars: step; flags: …, amsgrad
struct Adam : Moments {
  double step_size, inverse_root;
  bool amsgrad;
  Adam(const double* h, const Number* f, Scalars state) : Moments(h, f), amsgrad(f[2].i) {
    const double t = state.advance();
    step_size = lr / (1 - std::pow(beta1, t));
    inverse_root = 1 / std::sqrt(1 - std::pow(beta2, t));
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict m = s[1], *__restrict v = s[2];
    const T w1 = static_cast<T>(1 - beta1), b2 = static_cast<T>(beta2), w2 = static_cast<T>(1 - beta2);
    const T rate = static_cast<T>(-step_size), root = static_cast<T>(inverse_root), e = static_cast<T>(eps);
    if (!amsgrad) {
      each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
        m[i] = lerp(m[i], d, w1);
        v[i] = v[i] * b2 + w2 * d * d;
        return p + rate * m[i] / (std::sqrt(v[i]) * root + e);
      });
      return;
    }
    T* __restrict top = s[3];
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      m[i] = lerp(m[i], d, w1);
      v[i] = v[i] * b2 + w2 * d * d;
      top[i] = top[i] > v[i] || top[i] != top[i] ? top[i] : v[i];
      return p + rate * m[i] / (std::sqrt(top[i]) * root + e);
    });
  }
};
RL_OPTIMIZER(adam, Adam)

// hyper: …, momentum_decay; slots: param, exp_avg, exp_avg_sq; scalars: step, mu_product
struct NAdam : Moments {
  double correction, grad_rate, avg_rate;
  NAdam(const double* h, const Number* f, Scalars state) : Moments(h, f) {
    const double t = state.advance(), psi = h[5];
    correction = 1 - std::pow(beta2, t);
    const double mu = beta1 * (1 - 0.5 * std::pow(0.96, t * psi));
    const double mu_next = beta1 * (1 - 0.5 * std::pow(0.96, (t + 1) * psi));
    state.multiply(1, mu);
    const double product = state.get(1);
    grad_rate = -lr * (1 - mu) / (1 - product);
    avg_rate = -lr * mu_next / (1 - product * mu_next);
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict m = s[1], *__restrict v = s[2];
    const T w1 = static_cast<T>(1 - beta1), b2 = static_cast<T>(beta2), w2 = static_cast<T>(1 - beta2);
    const T e = static_cast<T>(eps), c2 = static_cast<T>(correction);
    const T r1 = static_cast<T>(grad_rate), r2 = static_cast<T>(avg_rate);
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      m[i] = lerp(m[i], d, w1);
      v[i] = v[i] * b2 + w2 * d * d;
      const T denominator = std::sqrt(v[i] / c2) + e;
      return p + r1 * d / denominator + r2 * m[i] / denominator;
    });
  }
};
RL_OPTIMIZER(nadam, NAdam)

// slots: param, exp_avg, exp_avg_sq; scalars: step
struct RAdam : Moments {
  double correction1, root2, rectification;   // rectification 0: not enough steps yet for a variance
  RAdam(const double* h, const Number* f, Scalars state) : Moments(h, f) {
    const double t = state.advance(), power = std::pow(beta2, t);
    correction1 = 1 - std::pow(beta1, t);
    root2 = std::sqrt(1 - power);
    const double limit = 2 / (1 - beta2) - 1, length = limit - 2 * t * power / (1 - power);
    rectification =
        length > 5 ? std::sqrt((length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)) : 0;
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict m = s[1], *__restrict v = s[2];
    const T w1 = static_cast<T>(1 - beta1), b2 = static_cast<T>(beta2), w2 = static_cast<T>(1 - beta2);
    const T e = static_cast<T>(eps), c1 = static_cast<T>(correction1), rate = static_cast<T>(lr);
    const T rect = static_cast<T>(rectification), root = static_cast<T>(root2);
    with_flag(rectification > 0, [&](auto adaptive) {
      each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
        m[i] = lerp(m[i], d, w1);
        v[i] = v[i] * b2 + w2 * d * d;
        T update = m[i] / c1 * rate;
        if constexpr (decltype(adaptive)::value) update = update * (root / (std::sqrt(v[i]) + e)) * rect;
        return p - update;
      });
    });
  }
};
RL_OPTIMIZER(radam, RAdam)

// slots: param, exp_avg, exp_inf; scalars: step
struct Adamax : Moments {
  double rate;
  Adamax(const double* h, const Number* f, Scalars state) : Moments(h, f) {
    rate = -lr / (1 - std::pow(beta1, state.advance()));
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict m = s[1], *__restrict u = s[2];
    const T w1 = static_cast<T>(1 - beta1), b2 = static_cast<T>(beta2), e = static_cast<T>(eps);
    const T r = static_cast<T>(rate);
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      m[i] = lerp(m[i], d, w1);
      const T old = u[i] * b2, now = std::fabs(d) + e;
      u[i] = old > now || old != old ? old : now;
      return p + r * m[i] / u[i];
    });
  }
};
RL_OPTIMIZER(adamax, Adamax)

// The others: hyper begins with lr, weight_decay; flags with maximize.
struct Plain {
  double lr, decay;
  bool maximize;
  Plain(const double* h, const Number* f) : lr(h[0]), decay(h[1]), maximize(f[0].i) {}

  template <class T, class F>
  void each(T* __restrict p, const T* __restrict g, int64_t n, const F& fn) const {
    const T sign = maximize ? T(-1) : T(1), wd = static_cast<T>(decay);
    if (decay == 0)
      for (int64_t i = 0; i < n; ++i) p[i] = fn(i, p[i], sign * g[i]);
    else
      for (int64_t i = 0; i < n; ++i) p[i] = fn(i, p[i], sign * g[i] + wd * p[i]);
  }
};

// hyper: …, lr_decay, eps; slots: param, sum; scalars: step
struct Adagrad : Plain {
  double rate, eps;
  Adagrad(const double* h, const Number* f, Scalars state) : Plain(h, f), eps(h[3]) {
    rate = -lr / (1 + (state.advance() - 1) * h[2]);
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T* __restrict sum = s[1];
    const T r = static_cast<T>(rate), e = static_cast<T>(eps);
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      sum[i] += d * d;
      return p + r * d / (std::sqrt(sum[i]) + e);
    });
  }
};
RL_OPTIMIZER(adagrad, Adagrad)

// hyper: …, rho, eps; slots: param, square_avg, acc_delta; scalars: step
struct Adadelta : Plain {
  double rho, eps;
  Adadelta(const double* h, const Number* f, Scalars state) : Plain(h, f), rho(h[2]), eps(h[3]) { state.advance(); }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict v = s[1], *__restrict acc = s[2];
    const T r = static_cast<T>(rho), w = static_cast<T>(1 - rho), e = static_cast<T>(eps), rate = static_cast<T>(-lr);
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      v[i] = v[i] * r + w * d * d;
      const T delta = std::sqrt(acc[i] + e) / std::sqrt(v[i] + e) * d;
      acc[i] = acc[i] * r + w * delta * delta;
      return p + rate * delta;
    });
  }
};
RL_OPTIMIZER(adadelta, Adadelta)

// hyper: …, alpha, eps, momentum; flags: …, centered; slots: param, square_avg, [grad_avg], [momentum_buffer];
// scalars: step
struct RmsProp : Plain {
  double alpha, eps, momentum;
  bool centered;
  RmsProp(const double* h, const Number* f, Scalars state)
      : Plain(h, f), alpha(h[2]), eps(h[3]), momentum(h[4]), centered(f[1].i) {
    state.advance();
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T* __restrict v = s[1];
    const T a = static_cast<T>(alpha), w = static_cast<T>(1 - alpha), e = static_cast<T>(eps);
    const T rate = static_cast<T>(-lr), mu = static_cast<T>(momentum);
    with_flag(centered, [&](auto center) {
      with_flag(momentum > 0, [&](auto moving) {
        constexpr bool kCenter = decltype(center)::value, kMoving = decltype(moving)::value;
        T* __restrict mean = s[kCenter ? 2 : 0];
        T* __restrict b = s[kMoving ? (kCenter ? 3 : 2) : 0];
        each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
          v[i] = v[i] * a + w * d * d;
          T spread = v[i];
          if constexpr (kCenter) {
            mean[i] = lerp(mean[i], d, w);
            spread = v[i] - mean[i] * mean[i];
          }
          const T denominator = std::sqrt(spread) + e;
          if constexpr (kMoving) {
            b[i] = b[i] * mu + d / denominator;
            return p + rate * b[i];
          } else {
            return p + rate * d / denominator;
          }
        });
      });
    });
  }
};
RL_OPTIMIZER(rmsprop, RmsProp)

// hyper: lr, 0, eta-, eta+, smallest step, largest step; slots: param, prev, step_size; scalars: step
struct Rprop : Plain {
  double down, up, smallest, largest;
  Rprop(const double* h, const Number* f, Scalars state)
      : Plain(h, f), down(h[2]), up(h[3]), smallest(h[4]), largest(h[5]) {
    state.advance();
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T *__restrict prev = s[1], *__restrict size = s[2];
    const T lower = static_cast<T>(down), raise = static_cast<T>(up);
    const T low = static_cast<T>(smallest), high = static_cast<T>(largest);
    each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
      const T agree = d * prev[i];
      T step = size[i] * (agree > 0 ? raise : agree < 0 ? lower : T(1));
      step = step < low ? low : step > high ? high : step;
      size[i] = step;
      d = agree < 0 ? T(0) : d;
      prev[i] = d;
      return p - (d > 0 ? step : d < 0 ? -step : T(0));
    });
  }
};
RL_OPTIMIZER(rprop, Rprop)

// hyper: …, lambd, alpha, t0; slots: param, ax; scalars: step, eta, mu
struct Asgd : Plain {
  double lambd, eta, mu;
  Asgd(const double* h, const Number* f, Scalars state)
      : Plain(h, f), lambd(h[2]), eta(state.get(1)), mu(state.get(2)) {
    const double t = state.advance(), age = t - h[4];
    state.set(1, lr / std::pow(1 + lambd * lr * t, h[3]));
    state.set(2, 1 / (age > 1 ? age : 1));
  }
  template <class T>
  void run(T** s, const T* __restrict g, int64_t n) const {
    T* __restrict ax = s[1];
    const T shrink = static_cast<T>(1 - lambd * eta), rate = static_cast<T>(-eta), weight = static_cast<T>(mu);
    with_flag(mu == 1, [&](auto copy) {
      each<T>(s[0], g, n, [=](int64_t i, T p, T d) {
        p = p * shrink + rate * d;
        if constexpr (decltype(copy)::value) ax[i] = p;
        else ax[i] += (p - ax[i]) * weight;
        return p;
      });
    });
  }
};
RL_OPTIMIZER(asgd, Asgd)

}  // namespace
}  // namespace rl
