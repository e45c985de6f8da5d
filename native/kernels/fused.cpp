// Chains of pointwise calls, run tile by tile: values that only the chain uses never leave L1.
//
//   fused([outs...], ins..., calls, registers, ndim, shape..., code...)
//
// The code of a call: its PointwiseDef, how many operands and numbers it has, where its result goes and of which type it is, then
// where each operand comes from, then its numbers. Places are pairs (kind, index): 0 an output, 1 an input, 2 a register (a tile in L1).
// Everything is float32, or bool where the call says so; numbers of other types are converted once. Half types are widened on the
// way in, and a result of such a type is rounded, in a register too, so that bits are those of the calls one by one. Made by
// fuse_pointwise (native/core/passes.cpp), never called from Python.
#include "pointwise.h"
#include "walk.h"

namespace rl {
namespace {

constexpr int kMaxCalls = 32, kMaxPlaces = 80, kMaxArity = 4;

struct Place {
  int kind, index;
};

struct ChainCall {
  TileFn tile;
  int arity;
  Place out, in[kMaxArity];
  DType type;                                // of the result
  bool read;                                 // whether the chain reads the result
  const Number* numbers;
};

struct Source {
  Walk walk;
  DType type;
  bool direct, constant;
  float value;                               // of a constant
};

void decode(const Call& c, ChainCall* calls, int count, int at) {
  for (int i = 0; i < count; ++i) {
    ChainCall& f = calls[i];
    const auto* def = reinterpret_cast<const PointwiseDef*>(c.inum(at));
    f.tile = def->tile[static_cast<int>(DType::f32)];
    f.arity = static_cast<int>(c.inum(at + 1));
    const int numbers = static_cast<int>(c.inum(at + 2));
    f.out = {static_cast<int>(c.inum(at + 3)), static_cast<int>(c.inum(at + 4))};
    f.type = static_cast<DType>(c.inum(at + 5));
    at += 6;
    for (int k = 0; k < f.arity; ++k, at += 2) f.in[k] = {static_cast<int>(c.inum(at)), static_cast<int>(c.inum(at + 1))};
    f.numbers = c.num + at;
    at += numbers;
    f.read = false;
    for (int j = 0; j < i; ++j)
      for (int k = 0; k < f.arity; ++k)
        calls[j].read |= f.in[k].kind == calls[j].out.kind && f.in[k].index == calls[j].out.index;
  }
}

void fused_run(const Call& c) {
  const int count = static_cast<int>(c.inum(0)), registers = static_cast<int>(c.inum(1)), ndim = static_cast<int>(c.inum(2));
  if (count > kMaxCalls || c.nout + c.nin > kMaxPlaces) throw std::logic_error("a fused chain is too long");
  int64_t shape[kMaxDims], numel = 1;
  int order[kMaxDims];
  for (int i = 0; i < ndim; ++i) shape[i] = c.inum(3 + i), numel *= shape[i], order[i] = i;
  ChainCall calls[kMaxCalls];
  decode(c, calls, count, 3 + ndim);
  char* out[kMaxPlaces];
  int out_item[kMaxPlaces];
  for (int k = 0; k < c.nout; ++k) {
    out[k] = static_cast<char*>(c.out[k]->data());
    out_item[k] = item_size(c.out[k]->dtype);
  }
  Source in[kMaxPlaces];
  for (int k = 0; k < c.nin; ++k) {
    const Array& a = *c.in[k];
    Source& s = in[k];
    s.walk = make_walk(a, shape, ndim, order);
    s.type = a.dtype;
    s.constant = a.numel == 1 && a.dtype != DType::b8;
    s.direct = !s.constant && s.walk.linear() && !is_half(a.dtype);
    if (s.constant) convert(DType::f32, &s.value, a.dtype, a.data(), 1);
  }
  int64_t period = 0;
  for (int k = 0; k < c.nin; ++k)
    if (!period && !in[k].direct && !in[k].constant) period = in[k].walk.period();
  const int64_t length = tile_length(period);
  parallel_for((numel + kChunk - 1) / kChunk, [&](int64_t chunk) {
    const int64_t begin = chunk * kChunk, end = begin + kChunk < numel ? begin + kChunk : numel;
    // Tiles for registers, for inputs that are not read in place and for outputs that are rounded.
    Scratch<float> tiles((registers + c.nin + c.nout) * kTile);
    alignas(64) char raw[kTile * 4];
    for (int k = 0; k < c.nin; ++k)
      if (in[k].constant)
        for (int64_t i = 0; i < kTile; ++i) tiles[(registers + k) * kTile + i] = in[k].value;
    for (int64_t at = begin; at < end; at += length) {
      const int64_t n = std::min(end - at, length);
      for (int k = 0; k < c.nin; ++k)        // a repeated row fills its tile once
        if (!in[k].direct && !in[k].constant && (at == begin || !period || in[k].walk.period() != period))
          gather_as(is_half(in[k].type) ? DType::f32 : in[k].type, in[k].walk, in[k].type, at, n, tiles + (registers + k) * kTile, raw);
      auto where = [&](const Place& p) -> void* {
        if (p.kind == 0 && is_half(c.out[p.index]->dtype)) return tiles + (registers + c.nin + p.index) * kTile;
        if (p.kind == 0) return out[p.index] + at * out_item[p.index];
        if (p.kind == 2) return tiles + p.index * kTile;
        const Source& s = in[p.index];
        return s.direct ? static_cast<void*>(s.walk.base + at * s.walk.item) : tiles + (registers + p.index) * kTile;
      };
      for (int i = 0; i < count; ++i) {
        const ChainCall& f = calls[i];
        const void* operands[kMaxArity];
        for (int k = 0; k < f.arity; ++k) operands[k] = where(f.in[k]);
        void* result = where(f.out);
        f.tile(result, operands, n, f.numbers);
        if (!is_half(f.type)) continue;
        void* rounded = f.out.kind == 0 ? out[f.out.index] + at * out_item[f.out.index] : raw;
        convert(f.type, rounded, DType::f32, result, n);
        if (f.read) convert(DType::f32, result, f.type, rounded, n);
      }
    }
  });
}
RL_KERNEL_ANY(fused, 1, nullptr, fused_run)

}  // namespace
}  // namespace rl
