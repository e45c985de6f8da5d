// Functions of one variable.
#include <type_traits>

#include "pointwise.h"
#include "special.h"
#include "trigonometry.h"
#include "vecmath.h"

namespace rl {
namespace {

#define RL_FN(name_, Functor_, kind_, types_, expr_)  \
  struct Functor_ {                                   \
    template <class T>                                \
    static T op(T x) { return static_cast<T>(expr_); } \
  };                                                  \
  RL_UNARY(name_, kind_, Functor_, types_)

RL_FN(neg, Neg, arith, RL_NUMERIC, -x)
struct Abs {
  template <class T>
  static T op(T x) {
    if constexpr (std::is_floating_point_v<T>) return std::fabs(x);
    else if constexpr (std::is_signed_v<T>) return static_cast<T>(x < 0 ? -x : x);
    else return x;
  }
};
RL_UNARY(abs, arith, Abs, RL_NUMERIC)
struct Sign {
  template <class T>
  static T op(T x) {
    if constexpr (std::is_same_v<T, bool>) return x;
    else return static_cast<T>((T(0) < x) - (x < T(0)));
  }
};
RL_UNARY(sign, arith, Sign, RL_ALL)
RL_FN(square, Square, arith, RL_NUMERIC, x* x)
RL_FN(cube, Cube, arith, RL_NUMERIC, x* x* x)
RL_FN(exp, Exp, to_float, RL_FLOAT, fast_exp(x))
RL_FN(exp2, Exp2, to_float, RL_FLOAT, fast_exp2(x))
RL_FN(expm1, Expm1, to_float, RL_FLOAT, exact_expm1(x))
RL_FN(log, Log, to_float, RL_FLOAT, fast_log(x))
RL_FN(log2, Log2, to_float, RL_FLOAT, exact_log2(x))
RL_FN(log10, Log10, to_float, RL_FLOAT, exact_log10(x))
RL_FN(log1p, Log1p, to_float, RL_FLOAT, exact_log1p(x))
RL_FN(sqrt, Sqrt, to_float, RL_FLOAT, std::sqrt(x))
RL_FN(rsqrt, Rsqrt, to_float, RL_FLOAT, T(1) / std::sqrt(x))
RL_FN(reciprocal, Reciprocal, to_float, RL_FLOAT, T(1) / x)
#define RL_CIRCULAR(name_, Functor_, exact_, fast_)                                        \
  struct Functor_ {                                                                       \
    template <class T>                                                                    \
    static T op(T x) { return exact_(x); }                                                \
    static bool usual(float x) { return !(__builtin_fabsf(x) > kMostReduced); }           \
    static float fast(float x) { return fast_; }                                          \
  };                                                                                      \
  RL_UNARY_U(name_, to_float, Functor_, RL_FLOAT)
RL_CIRCULAR(sin, Sin, std::sin, sin_of(x, 0))
RL_CIRCULAR(cos, Cos, std::cos, sin_of(x, 1))
RL_CIRCULAR(tan, Tan, std::tan, tan_of(x))
RL_FN(asin, Asin, to_float, RL_FLOAT, exact_asin(x))
RL_FN(acos, Acos, to_float, RL_FLOAT, exact_acos(x))
RL_FN(atan, Atan, to_float, RL_FLOAT, exact_atan(x))
RL_FN(sinh, Sinh, to_float, RL_FLOAT, exact_sinh(x))
RL_FN(cosh, Cosh, to_float, RL_FLOAT, exact_cosh(x))
RL_FN(tanh, Tanh, to_float, RL_FLOAT, fast_tanh(x))
RL_FN(asinh, Asinh, to_float, RL_FLOAT, exact_asinh(x))
RL_FN(acosh, Acosh, to_float, RL_FLOAT, exact_acosh(x))
RL_FN(atanh, Atanh, to_float, RL_FLOAT, exact_atanh(x))
RL_FN(erf, Erf, to_float, RL_FLOAT, fast_erf(x))
RL_FN(erfc, Erfc, to_float, RL_FLOAT, exact_erfc(x))
RL_FN(sigmoid, Sigmoid, to_float, RL_FLOAT, fast_sigmoid(x))

// Rounding leaves integers alone.
#define RL_ROUND(name_, Functor_, expr_)                              \
  struct Functor_ {                                                   \
    template <class T>                                                \
    static T op(T x) {                                                \
      if constexpr (std::is_floating_point_v<T>) return expr_;        \
      else return x;                                                  \
    }                                                                 \
  };                                                                  \
  RL_UNARY(name_, arith, Functor_, RL_NUMERIC)
RL_ROUND(floor, Floor, std::floor(x))
RL_ROUND(ceil, Ceil, std::ceil(x))
RL_ROUND(trunc, Trunc, std::trunc(x))
RL_ROUND(round, Round, std::nearbyint(x))

}  // namespace
}  // namespace rl
