// Arithmetic, comparison, logic, selection.
#include <type_traits>

#include "pointwise.h"
#include "trigonometry.h"
#include "vecmath.h"

namespace rl {
namespace {

template <class T>
constexpr bool kFloat = std::is_floating_point_v<T>;
template <class T>
constexpr bool kBool = std::is_same_v<T, bool>;

// add and sub take alpha: a + alpha * b.
struct Add {
  template <class T>
  static T op(T a, T b) {
    if constexpr (kBool<T>) return a | b;
    else return static_cast<T>(a + b);
  }
};
struct AddScaled {
  template <class T>
  struct For {
    T alpha;
    explicit For(const Number* p) : alpha(kFloat<T> ? static_cast<T>(p[0].f) : static_cast<T>(p[0].i)) {}
    T operator()(T a, T b) const {
      if constexpr (kBool<T>) return a | (alpha & b);
      else return static_cast<T>(a + alpha * b);
    }
  };
};
struct Sub {
  template <class T>
  static T op(T a, T b) { return static_cast<T>(a - b); }
};
struct Mul {
  template <class T>
  static T op(T a, T b) {
    if constexpr (kBool<T>) return a & b;
    else return static_cast<T>(a * b);
  }
};
struct Div {
  template <class T>
  static T op(T a, T b) { return a / b; }
};
[[noreturn]] inline void zero_division() { throw std::runtime_error("ZeroDivisionError"); }
// a quotient's remainder in double precision is exact where its integer part has no more bits than a float.
inline bool usual_quotient(float a, float b) {
  constexpr float most = std::numeric_limits<float>::max();
  const float x = __builtin_fabsf(a), y = __builtin_fabsf(b);
  return (x <= most) & (y <= most) & (y > 0.0f) & (x <= y * 8388608.0f);
}
inline float usual_fmod(float a, float b) {
  const double x = static_cast<double>(a), y = static_cast<double>(b);
  return __builtin_copysignf(static_cast<float>(x - __builtin_trunc(x / y) * y), a);
}
// Python's rule, as in PyTorch: the remainder r is exact, so round((a - r) / b).
template <class T>
inline T floor_quotient(T a, T b, T r) {
  const T over = (a - r) / b, q = (r != T(0)) & ((b < T(0)) != (r < T(0))) ? over - T(1) : over;
  const T f = std::floor(q), rounded = q - f > T(0.5) ? f + T(1) : f;
  return q == T(0) ? std::copysign(T(0), a / b) : rounded;
}
template <class T>
inline T floor_remainder(T b, T r) {
  return (r != T(0)) & ((b < T(0)) != (r < T(0))) ? r + b : r;
}
struct FloorDiv {
  static bool usual(float a, float b) { return usual_quotient(a, b); }
  static float fast(float a, float b) { return floor_quotient(a, b, usual_fmod(a, b)); }
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) {
      return b == T(0) ? a / b : floor_quotient(a, b, std::fmod(a, b));
    } else {
      if (b == 0) zero_division();
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return static_cast<T>(T(0) - a);
      T q = static_cast<T>(a / b);
      return static_cast<T>(((a % b) != 0 && ((a < 0) != (b < 0))) ? q - 1 : q);
    }
  }
};
struct TruncDiv {
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) return std::trunc(a / b);
    else {
      if (b == 0) zero_division();
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return static_cast<T>(T(0) - a);
      return static_cast<T>(a / b);
    }
  }
};
struct Remainder {
  static bool usual(float a, float b) { return usual_quotient(a, b); }
  static float fast(float a, float b) { return floor_remainder(b, usual_fmod(a, b)); }
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) {
      return floor_remainder(b, std::fmod(a, b));
    } else {
      if (b == 0) zero_division();
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return T(0);
      T r = static_cast<T>(a % b);
      return static_cast<T>((r != 0 && ((r < 0) != (b < 0))) ? r + b : r);
    }
  }
};
struct Fmod {
  static bool usual(float a, float b) { return usual_quotient(a, b); }
  static float fast(float a, float b) { return usual_fmod(a, b); }
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) return std::fmod(a, b);
    else {
      if (b == 0) zero_division();
      if constexpr (std::is_signed_v<T>)
        if (b == T(-1)) return T(0);
      return static_cast<T>(a % b);
    }
  }
};
struct Maximum {
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) return (a > b || a != a) ? a : b;
    else return a > b ? a : b;
  }
};
struct Minimum {
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) return (a < b || a != a) ? a : b;
    else return a < b ? a : b;
  }
};
struct Fmax {
  template <class T>
  static T op(T a, T b) { return std::fmax(a, b); }
};
struct Fmin {
  template <class T>
  static T op(T a, T b) { return std::fmin(a, b); }
};
struct Atan2 {
  template <class T>
  static T op(T a, T b) { return exact_atan2(a, b); }
};
struct Hypot {
  template <class T>
  static T op(T a, T b) { return exact_hypot(a, b); }
};
struct CopySign {
  template <class T>
  static T op(T a, T b) { return std::copysign(a, b); }
};
struct Pow {
  static bool usual(float a, float b) { return usual_power(a, b); }
  static float fast(float a, float b) { return power_of(a, b); }
  template <class T>
  static T op(T a, T b) {
    if constexpr (kFloat<T>) return std::pow(a, b);
    else {
      if (b < 0) {
        if (a == 1) return T(1);
        if constexpr (std::is_signed_v<T>)
          if (a == T(-1)) return static_cast<T>(b % 2 == 0 ? 1 : -1);
        return T(0);
      }
      T result = 1;
      using U = std::make_unsigned_t<T>;
      U base = static_cast<U>(a), acc = 1;
      for (U e = static_cast<U>(b); e; e >>= 1) {
        if (e & 1) acc = static_cast<U>(acc * base);
        base = static_cast<U>(base * base);
      }
      result = static_cast<T>(acc);
      return result;
    }
  }
};
struct BitAnd {
  template <class T>
  static T op(T a, T b) { return static_cast<T>(a & b); }
};
struct BitOr {
  template <class T>
  static T op(T a, T b) { return static_cast<T>(a | b); }
};
struct BitXor {
  template <class T>
  static T op(T a, T b) { return static_cast<T>(a ^ b); }
};
struct BitNot {
  template <class T>
  static T op(T a) {
    if constexpr (kBool<T>) return !a;
    else return static_cast<T>(~a);
  }
};
struct ShiftLeft {
  template <class T>
  static T op(T a, T b) {
    if (b < 0 || b >= static_cast<T>(sizeof(T) * 8)) return 0;
    return static_cast<T>(static_cast<std::make_unsigned_t<T>>(a) << b);
  }
};
struct ShiftRight {
  template <class T>
  static T op(T a, T b) {
    constexpr T top = static_cast<T>(sizeof(T) * 8 - 1);
    T s = (b < 0 || b > top) ? top : b;
    if (!std::is_signed_v<T> && s != b) return 0;
    return static_cast<T>(a >> s);
  }
};

RL_BINARY(add, arith, Add, RL_ALL)
RL_BINARY_P(add_scaled, arith, AddScaled, RL_ALL)
RL_BINARY(sub, arith, Sub, RL_NUMERIC)
RL_BINARY(mul, arith, Mul, RL_ALL)
RL_BINARY(div, to_float, Div, RL_FLOAT)
RL_BINARY_U(floor_divide, arith, FloorDiv, RL_NUMERIC)
RL_BINARY(trunc_divide, arith, TruncDiv, RL_NUMERIC)
RL_BINARY_U(remainder, arith, Remainder, RL_NUMERIC)
RL_BINARY_U(fmod, arith, Fmod, RL_NUMERIC)
RL_BINARY(maximum, arith, Maximum, RL_ALL)
RL_BINARY(minimum, arith, Minimum, RL_ALL)
RL_BINARY(fmax, arith, Fmax, RL_FLOAT)
RL_BINARY(fmin, arith, Fmin, RL_FLOAT)
RL_BINARY(atan2, to_float, Atan2, RL_FLOAT)
RL_BINARY(hypot, arith, Hypot, RL_FLOAT)
RL_BINARY(copysign, to_float, CopySign, RL_FLOAT)
RL_BINARY_U(pow, arith, Pow, RL_NUMERIC)
RL_BINARY(bitwise_and, arith, BitAnd, RL_INTBOOL)
RL_BINARY(bitwise_or, arith, BitOr, RL_INTBOOL)
RL_BINARY(bitwise_xor, arith, BitXor, RL_INTBOOL)
RL_BINARY(bitwise_left_shift, arith, ShiftLeft, RL_INT)
RL_BINARY(bitwise_right_shift, arith, ShiftRight, RL_INT)
RL_UNARY(bitwise_not, arith, BitNot, RL_INTBOOL)

#define RL_COMPARE(name_, Functor_, expr_)                   \
  struct Functor_ {                                          \
    template <class T>                                       \
    static bool op(T a, T b) { return expr_; }               \
  };                                                         \
  RL_BINARY(name_, compare, Functor_, RL_ALL)

RL_COMPARE(eq, Eq, a == b)
RL_COMPARE(ne, Ne, a != b)
RL_COMPARE(lt, Lt, a < b)
RL_COMPARE(le, Le, a <= b)
RL_COMPARE(gt, Gt, a > b)
RL_COMPARE(ge, Ge, a >= b)
RL_COMPARE(logical_and, LogicalAnd, (a != T(0)) && (b != T(0)))
RL_COMPARE(logical_or, LogicalOr, (a != T(0)) || (b != T(0)))
RL_COMPARE(logical_xor, LogicalXor, (a != T(0)) != (b != T(0)))

struct LogicalNot {
  template <class T>
  static bool op(T a) { return a == T(0); }
};
RL_UNARY(logical_not, compare, LogicalNot, RL_ALL)
struct IsNan {
  template <class T>
  static bool op(T a) { return a != a; }
};
RL_UNARY(isnan, compare, IsNan, RL_ALL)
struct IsInf {
  template <class T>
  static bool op(T a) {
    if constexpr (kFloat<T>) return std::fabs(a) == std::numeric_limits<T>::infinity();
    else return (void)a, false;
  }
};
RL_UNARY(isinf, compare, IsInf, RL_ALL)
struct IsFinite {
  template <class T>
  static bool op(T a) {
    if constexpr (kFloat<T>) return std::fabs(a) <= std::numeric_limits<T>::max();
    else return (void)a, true;
  }
};
RL_UNARY(isfinite, compare, IsFinite, RL_ALL)

// where(cond, a, b): the condition is always bool, so its tile is read as such. Both are loaded, so that there is no branch.
template <class T>
void where_tile(void* out, const void* const* in, int64_t n, const Number*) {
  T* __restrict o = static_cast<T*>(out);
  const uint8_t* c = static_cast<const uint8_t*>(in[0]);
  const T* a = static_cast<const T*>(in[1]);
  const T* b = static_cast<const T*>(in[2]);
  for (int64_t i = 0; i < n; ++i) {
    const T x = a[i], y = b[i];
    o[i] = c[i] ? x : y;
  }
}
struct Where {
  template <class T, class R>
  static constexpr TileFn fn = where_tile<T>;
};
RL_POINTWISE(where, predicate, Where, 3, RL_ALL)

struct Clamp {                                // NaN passes through
  template <class T>
  struct For {
    T low, high;
    explicit For(const Number* p)
        : low(kFloat<T> ? static_cast<T>(p[0].f) : static_cast<T>(p[0].i)),
          high(kFloat<T> ? static_cast<T>(p[1].f) : static_cast<T>(p[1].i)) {}
    T operator()(T x) const {
      T y = x < low ? low : x;
      return y > high ? high : y;
    }
  };
};
RL_UNARY_P(clamp, arith, Clamp, RL_NUMERIC)

struct Lerp {
  template <class T>
  static T op(T a, T b, T w) {
    return w < T(0.5) ? a + w * (b - a) : b - (b - a) * (T(1) - w);
  }
};
RL_TERNARY(lerp, arith, Lerp, RL_FLOAT)

struct Addcmul {
  template <class T>
  struct For {
    T value;
    explicit For(const Number* p) : value(kFloat<T> ? static_cast<T>(p[0].f) : static_cast<T>(p[0].i)) {}
    T operator()(T a, T b, T c) const { return static_cast<T>(a + value * b * c); }
  };
};
RL_TERNARY_P(addcmul, arith, Addcmul, RL_NUMERIC)
struct Addcdiv {
  template <class T>
  struct For {
    T value;
    explicit For(const Number* p) : value(static_cast<T>(p[0].f)) {}
    T operator()(T a, T b, T c) const { return a + value * (b / c); }
  };
};
RL_TERNARY_P(addcdiv, to_float, Addcdiv, RL_FLOAT)

}  // namespace
}  // namespace rl
