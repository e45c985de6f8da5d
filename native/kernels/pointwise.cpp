// The driver of every pointwise kernel: type promotion, broadcasting, strides, tiles, threads.
#include "pointwise.h"

#include <cstring>

#include "copy.h"
#include "walk.h"

namespace rl {
namespace {

// ---- type promotion (torch.result_type) -------------------------------------------------------------

// promote(a, b) for non-half-pairs follows PyTorch's table: floats win over integers, the wider wins,
// uint8 with a signed type gives the next signed type that holds both.
DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_floating(a) && is_floating(b)) {
    if (a == DType::f64 || b == DType::f64) return DType::f64;
    return DType::f32;                       // f32 with a half, or the two half types
  }
  if (is_floating(a)) return a;
  if (is_floating(b)) return b;
  if (a == DType::b8) return b;
  if (b == DType::b8) return a;
  if (a == DType::u8 || b == DType::u8) {
    DType s = a == DType::u8 ? b : a;
    return s == DType::i8 ? DType::i16 : s;
  }
  return a > b ? a : b;                      // i8 < i16 < i32 < i64 in the enum
}

struct Maybe {
  bool set = false;
  DType t = DType::f32;
  void add(DType u) {
    t = set ? promote(t, u) : u;
    set = true;
  }
};

int category(DType t) { return t == DType::b8 ? 0 : is_floating(t) ? 2 : 1; }

Maybe combine(Maybe high, Maybe low) {
  if (!high.set) return low;
  if (!low.set) return high;
  if (category(low.t) > category(high.t)) high.add(low.t);
  return high;
}

// Operands with dimensions outrank 0-d tensors, which outrank Python numbers, unless the lower rank is of
// a higher category (bool < integer < float).
DType result_type(const Call& c, int first) {
  Maybe dim, zero, wrapped;
  int arity = c.def->pointwise->arity;
  for (int k = first; k < arity; ++k) {
    const Array& a = *c.in[k];
    if (a.wrapped_number) wrapped.add(is_floating(a.dtype) ? *g_core->default_dtype : a.dtype);
    else if (a.ndim == 0) zero.add(a.dtype);
    else dim.add(a.dtype);
  }
  return combine(dim, combine(zero, wrapped)).t;
}

DType common_type(const Call& c) {
  const PointwiseDef& d = *c.def->pointwise;
  DType t = result_type(c, d.kind == Kind::predicate ? 1 : 0);
  if (d.kind == Kind::to_float && !is_floating(t)) t = *g_core->default_dtype;
  return t;
}

// ---- broadcasting -------------------------------------------------------------------------------------

void broadcast_shape(const Call& c, Meta* m) {
  int arity = c.def->pointwise->arity, ndim = 0;
  for (int k = 0; k < arity; ++k) ndim = c.in[k]->ndim > ndim ? c.in[k]->ndim : ndim;
  m->ndim = ndim;
  for (int i = 0; i < ndim; ++i) {
    int64_t size = 1;
    for (int k = 0; k < arity; ++k) {
      const Array& a = *c.in[k];
      int j = i - (ndim - a.ndim);
      if (j < 0 || a.shape[j] == 1) continue;
      if (size != 1 && a.shape[j] != size)
        throw std::runtime_error("The size of tensor a (" + std::to_string(size) + ") must match the size of tensor b (" +
                                 std::to_string(a.shape[j]) + ") at non-singleton dimension " + std::to_string(i));
      size = a.shape[j];
    }
    m->shape[i] = size;
  }
}

// A fresh output takes the layout of the first operand that has its full shape, if that is a permutation
// of row-major (PyTorch keeps transposed and channels-last layouts through pointwise ops).
void choose_layout(const Call& c, Meta* m) {
  int arity = c.def->pointwise->arity;
  for (int k = 0; k < arity; ++k) {
    const Array& a = *c.in[k];
    if (a.ndim != m->ndim) continue;
    bool full = true;
    for (int i = 0; i < m->ndim; ++i) full &= a.shape[i] == m->shape[i];
    if (!full) continue;
    if (a.contiguous()) return;
    int order[kMaxDims];
    for (int i = 0; i < m->ndim; ++i) {      // insertion sort: outermost (largest stride) first
      int j = i;
      while (j > 0 && a.strides[order[j - 1]] < a.strides[i]) {
        order[j] = order[j - 1];
        --j;
      }
      order[j] = i;
    }
    int64_t expect = 1;
    for (int i = m->ndim - 1; i >= 0; --i) {
      int d = order[i];
      if (a.shape[d] != 1 && a.strides[d] == 0) return;
      m->strides[d] = expect;
      expect *= a.shape[d] > 0 ? a.shape[d] : 1;
    }
    m->has_strides = true;
    return;
  }
}

constexpr int kMaxOperands = 4;

struct Operand {
  Walk walk;
  DType dtype, want;                         // stored type, type the tile function reads
  bool direct;                               // the memory itself is the tile
};

bool overlaps_otherwise(const Array& out, const Array& in) {
  // True when `in` shares out's storage but is not the very same view, so that writing tile by tile could
  // overwrite elements that are still to be read (x[1:] += x[:-1]).
  if (out.storage != in.storage || out.numel == 0 || in.numel == 0) return false;
  bool same = out.offset == in.offset && out.ndim == in.ndim && out.dtype == in.dtype;
  for (int i = 0; same && i < out.ndim; ++i) same = out.shape[i] == in.shape[i] && (out.shape[i] == 1 || out.strides[i] == in.strides[i]);
  return !same;
}

// Where an operand stands: the beginning of its innermost stretch, and how far in.
struct Cursor {
  const Walk* walk = nullptr;
  int64_t index[kMaxDims], offset = 0, inner = 0;

  void start(const Walk& w, int64_t at) {
    walk = &w;
    const int last = w.ndim - 1;
    inner = at % w.size[last];
    at /= w.size[last];
    for (int d = last - 1; d >= 0; --d) {
      index[d] = at % w.size[d];
      at /= w.size[d];
      offset += index[d] * w.stride[d];
    }
  }
  const char* here() const { return walk->base + (offset + inner * walk->stride[walk->ndim - 1]) * walk->item; }
  void advance(int64_t n) {
    const int last = walk->ndim - 1;
    if ((inner += n) < walk->size[last]) return;
    inner = 0;
    for (int d = last - 1; d >= 0; --d) {
      offset += walk->stride[d];
      if (++index[d] < walk->size[d]) return;
      offset -= walk->size[d] * walk->stride[d];
      index[d] = 0;
    }
  }
};

template <class T>
void fill_with(const char* value, int64_t n, char* tile) {
  T v;
  std::memcpy(&v, value, sizeof v);
  for (int64_t i = 0; i < n; ++i) reinterpret_cast<T*>(tile)[i] = v;
}

void fill_with(int item, const char* value, int64_t n, char* tile) {
  switch (item) {
    case 1: return fill_with<uint8_t>(value, n, tile);
    case 2: return fill_with<uint16_t>(value, n, tile);
    case 4: return fill_with<uint32_t>(value, n, tile);
    default: return fill_with<uint64_t>(value, n, tile);
  }
}

// Operands that are broadcast by rows or columns: how long the stretches are in which each lies in one run or is one number,
// 0 if it takes more than that. Tiles end with such a stretch, so that runs are read in place.
int64_t line_length(const Operand* ops, int arity, const Operand& target) {
  constexpr int64_t kShort = 128;
  int64_t line = 0;
  if (!target.direct) return 0;
  for (int k = 0; k < arity; ++k) {
    const Walk& w = ops[k].walk;
    if (ops[k].direct) continue;
    if (ops[k].dtype != ops[k].want) return 0;
    if (w.constant()) continue;
    const int64_t n = w.size[w.ndim - 1], step = w.stride[w.ndim - 1];
    if (n < kShort || (step != 0 && step != 1)) return 0;
    line = line == 0 || n < line ? n : line;
  }
  for (int k = 0; k < arity; ++k)
    if (line && !ops[k].direct && !ops[k].walk.constant() && ops[k].walk.size[ops[k].walk.ndim - 1] % line) return 0;
  return line;
}

void run_lines(const Operand* ops, int arity, const Operand& target, int64_t line, int64_t begin, int64_t end, TileFn tile,
               const Number* params) {
  alignas(64) char filled[kMaxOperands][kTile * 8];
  Cursor cursor[kMaxOperands];
  const void* in[kMaxOperands];
  for (int k = 0; k < arity; ++k) {
    const Walk& w = ops[k].walk;
    in[k] = filled[k];
    if (w.constant()) fill_with(w.item, w.base, kTile, filled[k]);
    else if (!ops[k].direct) cursor[k].start(w, begin);
  }
  int64_t left = line - begin % line;
  for (int64_t at = begin; at < end;) {
    const int64_t n = std::min(std::min(left, kTile), end - at);
    for (int k = 0; k < arity; ++k) {
      Cursor& here = cursor[k];
      if (ops[k].direct) {
        in[k] = ops[k].walk.base + at * ops[k].walk.item;
      } else if (here.walk) {
        const int last = here.walk->ndim - 1;
        if (here.walk->stride[last] == 1) in[k] = here.here();
        else if (here.inner == 0 || at == begin)
          fill_with(here.walk->item, here.here(), std::min(kTile, here.walk->size[last]), filled[k]);
        here.advance(n);
      }
    }
    tile(target.walk.base + at * target.walk.item, in, n, params);
    at += n;
    left = left == n ? line : left - n;
  }
}

void run_tiles(const Call& c, const Array& out, DType compute, DType result, TileFn tile) {
  const PointwiseDef& d = *c.def->pointwise;
  const int ndim = out.ndim;
  int order[kMaxDims];
  memory_order(out, order);
  Operand ops[kMaxOperands];
  bool all_direct = true;
  for (int k = 0; k < d.arity; ++k) {
    Operand& o = ops[k];
    o.walk = make_walk(*c.in[k], out.shape, ndim, order);
    o.dtype = c.in[k]->dtype;
    o.want = (d.kind == Kind::predicate && k == 0) ? DType::b8 : compute;
    o.direct = o.walk.linear() && o.dtype == o.want;
    all_direct &= o.direct;
  }
  Operand target{make_walk(out, out.shape, ndim, order), out.dtype, result, false};
  target.direct = target.walk.linear() && target.dtype == result;
  all_direct &= target.direct;

  const int64_t numel = out.numel, line = all_direct ? 0 : line_length(ops, d.arity, target);
  int64_t period = 0;
  for (int k = 0; k < d.arity; ++k)
    if (!period && !ops[k].direct) period = ops[k].walk.period();
  const int64_t length = tile_length(period);
  const Number* params = c.num;
  const int64_t chunks = (numel + kChunk - 1) / kChunk;
  parallel_for(chunks, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk, end = begin + kChunk < numel ? begin + kChunk : numel;
    const void* in[kMaxOperands];
    if (all_direct) {
      for (int k = 0; k < d.arity; ++k) in[k] = ops[k].walk.base + begin * ops[k].walk.item;
      tile(target.walk.base + begin * target.walk.item, in, end - begin, params);
      return;
    }
    if (line) return run_lines(ops, d.arity, target, line, begin, end, tile, params);
    alignas(64) char raw[kTile * 8], result_tile[kTile * 8], operand_tile[kMaxOperands][kTile * 8];
    auto filled = [&](const Operand& o) { return !o.direct && (o.walk.constant() || (period && o.walk.period() == period)); };
    for (int k = 0; k < d.arity; ++k) {      // a number, a 0-d operand or a repeated row fills its tile once
      const Operand& o = ops[k];
      if (filled(o)) gather_as(o.want, o.walk, o.dtype, o.walk.constant() ? 0 : begin, std::min(end - begin, length), operand_tile[k], raw);
    }
    for (int64_t at = begin; at < end; at += length) {
      const int64_t n = std::min(end - at, length);
      for (int k = 0; k < d.arity; ++k) {
        const Operand& o = ops[k];
        if (o.direct) {
          in[k] = o.walk.base + at * o.walk.item;
          continue;
        }
        in[k] = operand_tile[k];
        if (!filled(o)) gather_as(o.want, o.walk, o.dtype, at, n, operand_tile[k], raw);
      }
      if (target.direct) {
        tile(target.walk.base + at * target.walk.item, in, n, params);
        continue;
      }
      tile(result_tile, in, n, params);
      if (target.walk.linear()) {
        convert(target.dtype, target.walk.base + at * target.walk.item, result, result_tile, n);
        continue;
      }
      if (target.dtype != result) convert(target.dtype, raw, result, result_tile, n);
      scatter(target.walk, at, n, target.dtype != result ? raw : result_tile);
    }
  });
}

// PyTorch's sentence for a type that an op does not take.
[[noreturn]] void refuse(const char* name, DType t) {
  static const char* const kNames[][2] = {
      {"bitwise_and", "bitwise_and_cpu"}, {"bitwise_or", "bitwise_or_cpu"}, {"bitwise_xor", "bitwise_xor_cpu"},
      {"bitwise_not", "bitwise_not_cpu"}, {"bitwise_left_shift", "lshift_cpu"}, {"bitwise_right_shift", "rshift_cpu"},
      {"gcd", "gcd_cpu"}, {"lcm", "lcm_cpu"}, {"abs", "abs_cpu"}};
  if (t == DType::b8 && !std::strcmp(name, "neg"))
    throw std::runtime_error("Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, "
                             "use the `~` or `logical_not()` operator instead.");
  for (auto& pair : kNames)
    if (!std::strcmp(name, pair[0])) not_implemented(pair[1], t);
  not_implemented(name, t);
}

std::string shape_text(int ndim, const int64_t* shape) {
  std::string s = "[";
  for (int i = 0; i < ndim; ++i) s += (i ? ", " : "") + std::to_string(shape[i]);
  return s + "]";
}

// What an output that was given (in place, or out=) must fulfil. A fresh one does.
void check_output(const Call& c, const Array& out, DType result) {
  bool fits = true;
  for (int k = 0; k < c.def->pointwise->arity; ++k) {
    const Array& a = *c.in[k];
    if (a.ndim > out.ndim) fits = false;
    for (int i = 0; fits && i < a.ndim; ++i) fits = a.shape[i] == 1 || a.shape[i] == out.shape[i + out.ndim - a.ndim];
  }
  if (!fits) {
    Meta m;
    broadcast_shape(c, &m);                  // raises if the operands do not fit each other
    throw std::runtime_error("output with shape " + shape_text(out.ndim, out.shape) + " doesn't match the broadcast shape " +
                             shape_text(m.ndim, m.shape));
  }
  for (int i = 0; i < out.ndim; ++i)
    if (out.strides[i] == 0 && out.shape[i] > 1)
      throw std::runtime_error("unsupported operation: more than one element of the written-to tensor refers to a single memory "
                               "location. Please clone() the tensor before performing the operation.");
  if (category(result) > category(out.dtype) && std::strcmp(c.def->name, "copy"))
    throw std::runtime_error(std::string("result type ") + scalar_name(result) + " can't be cast to the desired output type " +
                             scalar_name(out.dtype));
}

}  // namespace

void pointwise_infer(const Call& c, Meta* m) {
  broadcast_shape(c, m);
  choose_layout(c, m);
  m->dtype = c.def->pointwise->kind == Kind::compare ? DType::b8 : common_type(c);
}

void pointwise_run(const Call& c) {
  const PointwiseDef& d = *c.def->pointwise;
  const Array& out = *c.out[0];
  DType common = common_type(c);
  DType compute = is_half(common) ? DType::f32 : common;
  DType result = d.kind == Kind::compare ? DType::b8 : compute;
  TileFn tile = d.tile[static_cast<int>(compute)];
  if (!tile) refuse(c.def->name, common);
  check_output(c, out, d.kind == Kind::compare ? DType::b8 : common);
  if (out.numel == 0) return;
  for (int k = 0; k < d.arity; ++k) {
    if (!overlaps_otherwise(out, *c.in[k])) continue;
    // Compute into scratch of the output's own shape, then write back.
    Array temp;
    temp.dtype = out.dtype;
    temp.ndim = out.ndim;
    for (int i = 0; i < out.ndim; ++i) temp.shape[i] = out.shape[i];
    temp.set_contiguous();
    Scratch<char> memory(temp.numel * item_size(temp.dtype));
    Storage storage;
    storage.data = memory.p;
    temp.storage = &storage;
    run_tiles(c, temp, compute, result, tile);
    int order[kMaxDims];
    for (int i = 0; i < out.ndim; ++i) order[i] = i;
    scatter(make_walk(out, out.shape, out.ndim, order), 0, out.numel, memory.p);
    temp.storage = nullptr;
    return;
  }
  run_tiles(c, out, compute, result, tile);
}

// copy: the identity, whose output may have any type and any layout.
namespace {
struct Copy {
  template <class T>
  static T op(T x) { return x; }
};

void copy_run(const Call& c) {
  const Array &out = *c.out[0], &in = *c.in[0];
  if (overlaps_otherwise(out, in)) return pointwise_run(c);
  check_output(c, out, in.dtype);
  if (out.numel == 0) return;
  if (out.dtype == in.dtype) copy_strided(out, in);
  else copy_converted(out, in);
}

constexpr PointwiseDef pointwise_copy = make_pointwise<Tile1<Copy>, Kind::arith, RL_ALL>(1);
KernelDef kernel_copy{"copy", 1, pointwise_infer, copy_run, &pointwise_copy, kFloat16 | kBFloat16, 0, nullptr};
Register register_copy{&kernel_copy};
}  // namespace

}  // namespace rl
