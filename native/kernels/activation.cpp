// Activations with parameters, and their backward passes: f(x) and g f'(x).
#include "pointwise.h"
#include "softplus.h"

namespace rl {
namespace {

// ---- piecewise linear ---------------------------------------------------------------------------------------

struct LeakyRelu {
  template <class T>
  struct For {
    T s;
    explicit For(const Number* p) : s(T(p[0].f)) {}
    T operator()(T x) const { return x > T(0) ? x : x * s; }
    T operator()(T g, T x) const { return x > T(0) ? g : g * s; }
  };
};
RL_UNARY_P(leaky_relu, arith, LeakyRelu, RL_FLOAT)
RL_BINARY_P(leaky_relu_backward, arith, LeakyRelu, RL_FLOAT)

struct Hardtanh {
  template <class T>
  struct For {
    T lo, hi;
    explicit For(const Number* p) : lo(T(p[0].f)), hi(T(p[1].f)) {}
    T operator()(T x) const { return x < lo ? lo : (x > hi ? hi : x); }
    T operator()(T g, T x) const { return (x <= lo || x >= hi) ? T(0) : g; }
  };
};
RL_UNARY_P(hardtanh, arith, Hardtanh, RL_NUMERIC)
RL_BINARY_P(hardtanh_backward, arith, Hardtanh, RL_FLOAT)

struct Threshold {
  template <class T>
  struct For {
    T t, v;
    explicit For(const Number* p) : t(T(p[0].f)), v(T(p[1].f)) {}
    T operator()(T x) const { return x <= t ? v : x; }
    T operator()(T g, T x) const { return x <= t ? T(0) : g; }
  };
};
RL_UNARY_P(threshold, arith, Threshold, RL_NUMERIC)
RL_BINARY_P(threshold_backward, arith, Threshold, RL_FLOAT)

struct Hardshrink {
  template <class T>
  struct For {
    T l;
    explicit For(const Number* p) : l(T(p[0].f)) {}
    T operator()(T x) const { return (x >= -l && x <= l) ? T(0) : x; }
    T operator()(T g, T x) const { return (x >= -l && x <= l) ? T(0) : g; }
  };
};
RL_UNARY_P(hardshrink, arith, Hardshrink, RL_FLOAT)
RL_BINARY_P(hardshrink_backward, arith, Hardshrink, RL_FLOAT)

struct Softshrink {
  template <class T>
  struct For {
    T l;
    explicit For(const Number* p) : l(T(p[0].f)) {}
    T operator()(T x) const { return x > l ? x - l : (x < -l ? x + l : x * T(0)); }
  };
};
RL_UNARY_P(softshrink, arith, Softshrink, RL_FLOAT)

struct Hardsigmoid {
  template <class T>
  static T op(T x) {
    T y = x + T(3);
    y = y < T(0) ? T(0) : (y > T(6) ? T(6) : y);
    return y / T(6);
  }
  template <class T>
  static T op(T g, T x) { return (x > T(-3) && x < T(3)) ? g / T(6) : T(0); }
};
RL_UNARY(hardsigmoid, arith, Hardsigmoid, RL_FLOAT)
RL_BINARY(hardsigmoid_backward, arith, Hardsigmoid, RL_FLOAT)

struct Hardswish {
  template <class T>
  static T op(T x) {
    T y = x + T(3);
    y = y < T(0) ? T(0) : (y > T(6) ? T(6) : y);
    return x * y / T(6);
  }
  template <class T>
  static T op(T g, T x) { return x <= T(-3) ? T(0) : (x < T(3) ? g * (x / T(3) + T(0.5)) : g); }
};
RL_UNARY(hardswish, arith, Hardswish, RL_FLOAT)
RL_BINARY(hardswish_backward, arith, Hardswish, RL_FLOAT)

// ---- smooth ----------------------------------------------------------------------------------------------------

// elu, selu and celu: scale x above 0, scale alpha (exp(input_scale x) - 1) below.
struct Elu {
  template <class T>
  struct For {
    T neg, pos, in;
    explicit For(const Number* p) : neg(T(p[0].f * p[1].f)), pos(T(p[1].f)), in(T(p[2].f)) {}
    T operator()(T x) const {
      const T below = fast_expm1(x * in) * neg;   // always computed, so that the loop has no branch
      return x <= T(0) ? below : x * pos;
    }
    T operator()(T g, T x) const { return x <= T(0) ? g * in * neg * fast_exp(x * in) : g * pos; }
  };
};
RL_UNARY_P(elu, arith, Elu, RL_FLOAT)
RL_BINARY_P(elu_backward, arith, Elu, RL_FLOAT)

struct Gelu {
  template <class T>
  static T op(T x) {
    const T h = x * T(0.5);
    return h + h * coarse_erf(x * T(0.70710678118654752440));
  }
  template <class T>
  static T op(T g, T x) {
    T cdf = T(0.5) + T(0.5) * coarse_erf(x * T(0.70710678118654752440));
    T pdf = fast_exp_below(x * x * T(-0.5)) * T(0.39894228040143267794);
    return g * (cdf + x * pdf);
  }
};
RL_UNARY(gelu, arith, Gelu, RL_FLOAT)
RL_BINARY(gelu_backward, arith, Gelu, RL_FLOAT)

struct GeluTanh {
  template <class T>
  static T op(T x) {
    T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
    return T(0.5) * x * (T(1) + fast_tanh(u));
  }
  template <class T>
  static T op(T g, T x) {
    T u = T(0.79788456080286535588) * (x + T(0.044715) * x * x * x);
    T t = fast_tanh(u), du = T(0.79788456080286535588) * (T(1) + T(0.134145) * x * x);
    return g * (T(0.5) * (T(1) + t) + T(0.5) * x * (T(1) - t * t) * du);
  }
};
RL_UNARY(gelu_tanh, arith, GeluTanh, RL_FLOAT)
RL_BINARY(gelu_tanh_backward, arith, GeluTanh, RL_FLOAT)

struct Silu {
  template <class T>
  static T op(T x) { return x / (T(1) + fast_exp_coarse(-x)); }
  template <class T>
  static T op(T g, T x) {
    T s = coarse_sigmoid(x);
    return g * s * (T(1) + x * (T(1) - s));
  }
};
RL_UNARY(silu, arith, Silu, RL_FLOAT)
RL_BINARY(silu_backward, arith, Silu, RL_FLOAT)

// tanh(softplus(x)) = n / (n + 2) with n = e^x (e^x + 2).
struct Mish {
  template <class T>
  static T ratio(T x) {
    T e = fast_exp(x > T(20) ? T(20) : x), n = e * (e + T(2));
    return n / (n + T(2));
  }
  template <class T>
  static T op(T x) { return x * ratio(x); }
  template <class T>
  static T op(T g, T x) {
    T t = ratio(x);
    return g * (t + x * fast_sigmoid(x) * (T(1) - t * t));
  }
};
RL_UNARY(mish, arith, Mish, RL_FLOAT)
RL_BINARY(mish_backward, arith, Mish, RL_FLOAT)

struct Softplus {
  template <class T>
  struct For {
    T beta, threshold;
    explicit For(const Number* p) : beta(T(p[0].f)), threshold(T(p[1].f)) {}
    T operator()(T x) const { return x * beta > threshold ? x : soft_plus(x * beta) / beta; }
    T operator()(T g, T x) const { return x * beta > threshold ? g : g * coarse_sigmoid(x * beta); }
  };
};
RL_UNARY_P(softplus, arith, Softplus, RL_FLOAT)
RL_BINARY_P(softplus_backward, arith, Softplus, RL_FLOAT)

struct LogSigmoid {
  template <class T>
  static T op(T x) { return -soft_plus(-x); }
  template <class T>
  static T op(T g, T x) { return g * coarse_sigmoid(-x); }
};
RL_UNARY(log_sigmoid, arith, LogSigmoid, RL_FLOAT)
RL_BINARY(log_sigmoid_backward, arith, LogSigmoid, RL_FLOAT)

}  // namespace
}  // namespace rl
