// How a pointwise kernel is written: one functor, one line.
//
//   struct Mul { template <class T> static T op(T a, T b) { return a * b; } };
//   RL_BINARY(mul, arith, Mul, RL_ALL)
//
// The driver (pointwise.cpp) supplies broadcasting, strides, type promotion, half types and threads; a
// functor only ever sees contiguous tiles of its compute type.
#pragma once

#include <type_traits>

#include "../core/kernel.h"

namespace rl {

void pointwise_infer(const Call&, Meta*);
void pointwise_run(const Call&);

// Compute types a functor is instantiated for.
enum : unsigned { RL_FLOAT = 1, RL_INT = 2, RL_BOOL = 4, RL_NUMERIC = 3, RL_INTBOOL = 6, RL_ALL = 7 };

template <class F, class T, class R>
void tile1(void* out, const void* const* in, int64_t n, const Number*) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  for (int64_t i = 0; i < n; ++i) o[i] = F::template op<T>(a[i]);
}

template <class F, class T, class R>
void tile2(void* out, const void* const* in, int64_t n, const Number*) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  for (int64_t i = 0; i < n; ++i) o[i] = F::template op<T>(a[i], b[i]);
}

template <class F, class T, class R>
void tile3(void* out, const void* const* in, int64_t n, const Number*) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  const T* c = static_cast<const T*>(in[2]);
  for (int64_t i = 0; i < n; ++i) o[i] = F::template op<T>(a[i], b[i], c[i]);
}

// A functor with a form for floats that vectorises, fast(x), and says for which operands that is right, usual(x); the others take
// op(x), one by one. Runs are short enough to stay in L1 between the two passes, and are written after they have been judged: the
// result may lie where an operand does.
template <class F, class... T>
void usual_runs(float* o, int64_t n, const T*... a) {
  constexpr int64_t kRun = 512;
  for (int64_t begin = 0; begin < n; begin += kRun) {
    const int64_t end = begin + kRun < n ? begin + kRun : n;
    int32_t odd_ones = 0;
    for (int64_t i = begin; i < end; ++i) odd_ones |= !F::usual(a[i]...);
    if (odd_ones) {
      for (int64_t i = begin; i < end; ++i) o[i] = F::usual(a[i]...) ? F::fast(a[i]...) : F::op(a[i]...);
      continue;
    }
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) o[i] = F::fast(a[i]...);
  }
}

template <class F, class T, class R>
void tile1u(void* out, const void* const* in, int64_t n, const Number* p) {
  if constexpr (std::is_same_v<T, float>) usual_runs<F>(static_cast<float*>(out), n, static_cast<const float*>(in[0]));
  else tile1<F, T, R>(out, in, n, p);
}

template <class F, class T, class R>
void tile2u(void* out, const void* const* in, int64_t n, const Number* p) {
  if constexpr (std::is_same_v<T, float>)
    usual_runs<F>(static_cast<float*>(out), n, static_cast<const float*>(in[0]), static_cast<const float*>(in[1]));
  else tile2<F, T, R>(out, in, n, p);
}

// A functor with numbers: constructed once per tile from them, then applied per element.
//   struct LeakyRelu { template <class T> struct For { T s; For(const Number* p) : s(T(p[0].f)) {} T operator()(T x) const {…} }; };
template <class F, class T, class R>
void tile1p(void* out, const void* const* in, int64_t n, const Number* p) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const typename F::template For<T> f(p);
  for (int64_t i = 0; i < n; ++i) o[i] = f(a[i]);
}

template <class F, class T, class R>
void tile2p(void* out, const void* const* in, int64_t n, const Number* p) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  const typename F::template For<T> f(p);
  for (int64_t i = 0; i < n; ++i) o[i] = f(a[i], b[i]);
}

template <class F, class T, class R>
void tile3p(void* out, const void* const* in, int64_t n, const Number* p) {
  R* __restrict o = static_cast<R*>(out);
  const T* a = static_cast<const T*>(in[0]);
  const T* b = static_cast<const T*>(in[1]);
  const T* c = static_cast<const T*>(in[2]);
  const typename F::template For<T> f(p);
  for (int64_t i = 0; i < n; ++i) o[i] = f(a[i], b[i], c[i]);
}

template <class F>
struct Tile1 {
  template <class T, class R>
  static constexpr TileFn fn = tile1<F, T, R>;
};
template <class F>
struct Tile2 {
  template <class T, class R>
  static constexpr TileFn fn = tile2<F, T, R>;
};
template <class F>
struct Tile3 {
  template <class T, class R>
  static constexpr TileFn fn = tile3<F, T, R>;
};
template <class F>
struct Tile1U {
  template <class T, class R>
  static constexpr TileFn fn = tile1u<F, T, R>;
};
template <class F>
struct Tile2U {
  template <class T, class R>
  static constexpr TileFn fn = tile2u<F, T, R>;
};
template <class F>
struct Tile1P {
  template <class T, class R>
  static constexpr TileFn fn = tile1p<F, T, R>;
};
template <class F>
struct Tile2P {
  template <class T, class R>
  static constexpr TileFn fn = tile2p<F, T, R>;
};
template <class F>
struct Tile3P {
  template <class T, class R>
  static constexpr TileFn fn = tile3p<F, T, R>;
};

template <class Tile, Kind kind, class T>
constexpr TileFn tile_for() {
  if constexpr (kind == Kind::compare) return Tile::template fn<T, bool>;
  else return Tile::template fn<T, T>;
}

template <class Tile, Kind kind, unsigned types>
constexpr PointwiseDef make_pointwise(int arity) {
  PointwiseDef d{arity, kind, {}};
  if constexpr (types & RL_FLOAT) {
    d.tile[static_cast<int>(DType::f32)] = tile_for<Tile, kind, float>();
    d.tile[static_cast<int>(DType::f64)] = tile_for<Tile, kind, double>();
  }
  if constexpr (types & RL_INT) {
    d.tile[static_cast<int>(DType::i8)] = tile_for<Tile, kind, int8_t>();
    d.tile[static_cast<int>(DType::i16)] = tile_for<Tile, kind, int16_t>();
    d.tile[static_cast<int>(DType::i32)] = tile_for<Tile, kind, int32_t>();
    d.tile[static_cast<int>(DType::i64)] = tile_for<Tile, kind, int64_t>();
    d.tile[static_cast<int>(DType::u8)] = tile_for<Tile, kind, uint8_t>();
  }
  if constexpr (types & RL_BOOL) d.tile[static_cast<int>(DType::b8)] = tile_for<Tile, kind, bool>();
  return d;
}

#define RL_POINTWISE(name_, kind_, tile_, arity_, types_)                                                  \
  static const ::rl::PointwiseDef pointwise_##name_ =                                                      \
      ::rl::make_pointwise<tile_, ::rl::Kind::kind_, types_>(arity_);                                      \
  static ::rl::KernelDef kernel_##name_{#name_, 1, ::rl::pointwise_infer, ::rl::pointwise_run,             \
                                        &pointwise_##name_, ::rl::kFloat16 | ::rl::kBFloat16, 0, nullptr};   \
  static ::rl::Register register_##name_{&kernel_##name_};

#define RL_UNARY(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile1<functor_>, 1, types_)
#define RL_BINARY(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile2<functor_>, 2, types_)
#define RL_TERNARY(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile3<functor_>, 3, types_)
// For functors with a form that vectorises (see usual_runs).
#define RL_UNARY_U(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile1U<functor_>, 1, types_)
#define RL_BINARY_U(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile2U<functor_>, 2, types_)
// The same for functors that take numbers (see tile1p).
#define RL_UNARY_P(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile1P<functor_>, 1, types_)
#define RL_BINARY_P(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile2P<functor_>, 2, types_)
#define RL_TERNARY_P(name_, kind_, functor_, types_) RL_POINTWISE(name_, kind_, Tile3P<functor_>, 3, types_)

}  // namespace rl
