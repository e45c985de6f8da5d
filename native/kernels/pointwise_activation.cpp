// Activations, and their backward passes where one fused kernel is worth having.
#include <type_traits>

#include "pointwise.h"
#include "vecmath.h"

namespace rl {
namespace {

struct Relu {                                 // NaN passes through
  template <class T>
  static T op(T x) { return x < T(0) ? T(0) : x; }
};
RL_UNARY(relu, arith, Relu, RL_NUMERIC)

// relu's derivative at 0 is 0 (PyTorch: threshold_backward).
struct ReluBackward {
  template <class T>
  static T op(T g, T y) { return y > T(0) ? g : T(0); }
};
RL_BINARY(relu_backward, arith, ReluBackward, RL_FLOAT)

struct SigmoidBackward {
  template <class T>
  static T op(T g, T y) { return g * (T(1) - y) * y; }  // in PyTorch's order: the same last bit
};
RL_BINARY(sigmoid_backward, arith, SigmoidBackward, RL_FLOAT)

struct TanhBackward {
  template <class T>
  static T op(T g, T y) { return g * (T(1) - y * y); }
};
RL_BINARY(tanh_backward, arith, TanhBackward, RL_FLOAT)

}  // namespace
}  // namespace rl
