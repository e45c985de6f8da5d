// What a kernel is, and how one is registered.
//
// A kernel call is a record: kernel, output arrays, input arrays, numbers. Eager mode runs the record at
// once; a recorder also keeps it (dispatch.h). Whatever must be read anew when a record is replayed (a
// learning rate, a step count, a generator's state) is an input array, never a number.
//
// Kernels are compiled once per instruction set into a library of their own (librl_kernels_<isa>.so); the
// core opens exactly one of them at import. They reach the core only through CoreApi, so no code compiled
// for a wide instruction set can be linked into a narrow one.
#pragma once

#include <cmath>
#include <stdexcept>
#include <string>

#include "array.h"

namespace rl {

struct Number {
  int64_t i;
  double f;
  bool is_float;
};

// Shape and type of an output that the core is about to allocate.
struct Meta {
  DType dtype = DType::f32;
  int32_t ndim = 0;
  int64_t shape[kMaxDims];
  bool has_strides = false;                  // false: row-major
  int64_t strides[kMaxDims];

  void like(const Array& a) {
    dtype = a.dtype;
    ndim = a.ndim;
    for (int i = 0; i < ndim; ++i) shape[i] = a.shape[i];
  }
};

// Bits of KernelDef::halfs.
constexpr uint8_t kFloat16 = 1, kBFloat16 = 2;

struct KernelDef;

struct Call {
  const KernelDef* def;
  const Array* const* out;
  int nout;
  const Array* const* in;                    // null where Python passed None
  int nin;
  const Number* num;
  int nnum;

  int64_t inum(int k) const { return num[k].i; }
  double fnum(int k) const { return num[k].f; }
};

// How a pointwise kernel chooses its compute and output types from its operands (PyTorch's rules).
enum class Kind : uint8_t {
  arith,                                     // common type in, common type out
  to_float,                                  // integers are computed in the default float type
  compare,                                   // common type in, bool out
  predicate,                                 // first operand is bool (where), the rest share a type
};

// One tile: n contiguous elements of the compute type in, n out. The same function serves eager calls,
// strided and mixed-type operands (gathered into a tile first) and fused chains.
using TileFn = void (*)(void* out, const void* const* in, int64_t n, const Number* params);

struct PointwiseDef {
  int arity;
  Kind kind;
  TileFn tile[kNumDTypes];                   // by compute type; null: not implemented for it
};

struct KernelDef {
  const char* name;
  int nout;
  void (*infer)(const Call&, Meta*);         // null: callable only with explicit outputs (name_into)
  void (*run)(const Call&);
  const PointwiseDef* pointwise;             // non-null: the first `arity` arguments may be Python numbers
  uint8_t halfs;                             // half types it takes; of others the core makes float32 copies
  uint32_t half_operands;                    // operands (outputs, then inputs) that may be of one such type; 0: any, of any
  KernelDef* next;
};

// The default dtype's code lives in the core and is shared with kernels through CoreApi.
struct CoreApi {
  void (*parallel_for)(int64_t chunks, void (*fn)(void* ctx, int64_t chunk), void* ctx);
  void* (*alloc)(size_t nbytes);             // scratch from the caching allocator, 64-byte aligned
  void (*free)(void* p, size_t nbytes);
  const DType* default_dtype;
};

// `"exp" not implemented for 'Long'`; becomes Python's NotImplementedError.
struct NotImplemented : std::runtime_error {
  using std::runtime_error::runtime_error;
};
// std::out_of_range becomes IndexError, std::invalid_argument ValueError, std::domain_error TypeError.

#ifdef RL_KERNEL_LIBRARY
extern const CoreApi* g_core;
extern KernelDef* g_kernels;

struct Register {
  explicit Register(KernelDef* d) {
    d->next = g_kernels;
    g_kernels = d;
  }
};

#define RL_CONCAT2(a, b) a##b
#define RL_CONCAT(a, b) RL_CONCAT2(a, b)

// RL_KERNEL(softmax, 1, infer, run) registers one kernel that takes float32/float64 (halfs by the core).
#define RL_KERNEL(name_, nout_, infer_, run_) RL_KERNEL_HALF(name_, nout_, infer_, run_, 0)
// The same for a kernel that works on bytes or converts half types itself.
#define RL_KERNEL_ANY(name_, nout_, infer_, run_) RL_KERNEL_HALF(name_, nout_, infer_, run_, ::rl::kFloat16 | ::rl::kBFloat16)
// For one that takes some of the half types itself.
#define RL_KERNEL_HALF(name_, nout_, infer_, run_, halfs_) RL_KERNEL_DEF(name_, nout_, infer_, run_, halfs_, 0)
// For one that reads and writes half types in the given operands (bits: outputs, then inputs), and float32 in the others.
#define RL_KERNEL_ROWS(name_, nout_, infer_, run_, operands_) \
  RL_KERNEL_DEF(name_, nout_, infer_, run_, ::rl::kFloat16 | ::rl::kBFloat16, operands_)
#define RL_KERNEL_DEF(name_, nout_, infer_, run_, halfs_, operands_)                                       \
  static ::rl::KernelDef kernel_##name_{#name_, nout_, infer_, run_, nullptr, halfs_, operands_, nullptr}; \
  static ::rl::Register register_##name_{&kernel_##name_};

// fn(i) for i in [0, chunks). Chunks must not depend on the number of threads, so that every sum is
// taken in the same order whatever the machine: see Note [Deterministic threads] in threads.cpp.
template <class F>
inline void parallel_for(int64_t chunks, const F& fn) {
  if (chunks <= 0) return;
  if (chunks == 1) {
    fn(int64_t{0});
    return;
  }
  g_core->parallel_for(
      chunks, [](void* ctx, int64_t i) { (*static_cast<const F*>(ctx))(i); }, const_cast<F*>(&fn));
}

// Scratch memory with a scope's lifetime.
template <class T>
struct Scratch {
  explicit Scratch(int64_t n) : bytes(static_cast<size_t>(n > 0 ? n : 1) * sizeof(T)) {
    p = static_cast<T*>(g_core->alloc(bytes));
  }
  ~Scratch() { g_core->free(p, bytes); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  operator T*() const { return p; }
  T* p;
  size_t bytes;
};

[[noreturn]] inline void not_implemented(const char* name, DType t) {
  throw NotImplemented(std::string("\"") + name + "\" not implemented for '" + scalar_name(t) + "'");
}

// Calls fn with a value of the element type: floating(a.dtype, "softmax", [&](auto z) { using T = decltype(z); … });
template <class F>
inline void floating(DType t, const char* name, const F& fn) {
  if (t == DType::f32) return fn(float{});
  if (t == DType::f64) return fn(double{});
  not_implemented(name, t);
}
template <class F>
inline void all_types(DType t, const char* name, const F& fn) {
  switch (t) {
    case DType::f32: return fn(float{});
    case DType::f64: return fn(double{});
    case DType::i8: return fn(int8_t{});
    case DType::i16: return fn(int16_t{});
    case DType::i32: return fn(int32_t{});
    case DType::i64: return fn(int64_t{});
    case DType::u8: return fn(uint8_t{});
    case DType::b8: return fn(bool{});
    default: not_implemented(name, t);
  }
}
#endif

}  // namespace rl
