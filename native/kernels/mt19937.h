// PyTorch's CPU generator: MT19937 in the layout of torch.get_rng_state(), and elements visited in PyTorch's order.
//
// The state is a uint8 array of 5056 bytes that every random kernel takes as an output. A recorded call
// therefore reads the state of the moment on replay, and get/set_rng_state exchange bytes with PyTorch.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../core/half.h"
#include "../core/kernel.h"
#include "strided.h"

namespace rl {
namespace {

constexpr int kWords = 624;
constexpr int kShift = 397;

struct GeneratorState {
  uint64_t seed;
  int32_t left;                              // words until the next refill, plus one
  int32_t seeded;
  uint64_t next;                             // index of the next word
  uint64_t words[kWords];                    // 32 bits each, one per 8 bytes
  double unused_normal_x;
  double cached_normal;                      // second value of the last Box-Muller pair
  double unused_normal_rho;
  int32_t has_cached_normal;
  int32_t padding;
  float cached_float_normal;
  uint8_t has_cached_float_normal;
  uint8_t padding_end[3];
};
static_assert(sizeof(GeneratorState) == 5056);

class Generator {
 public:
  explicit Generator(const Array& state) : s_(static_cast<GeneratorState*>(state.data())) {}

  void seed(uint64_t value) {
    std::memset(s_, 0, sizeof *s_);
    s_->seed = value;
    s_->words[0] = value & 0xffffffffu;
    for (uint32_t j = 1; j < kWords; ++j) {
      const uint32_t before = static_cast<uint32_t>(s_->words[j - 1]);
      s_->words[j] = 1812433253u * (before ^ (before >> 30)) + j;
    }
    s_->left = 1;
    s_->seeded = 1;
  }

  uint32_t next32() {
    if (--s_->left == 0) refill();
    return temper(static_cast<uint32_t>(s_->words[s_->next++]));
  }

  uint64_t next64() {
    const uint64_t high = next32();
    return high << 32 | next32();
  }

  double uniform() { return static_cast<double>(next64() & kMask53) * 0x1p-53; }

  // The next n words, at once.
  void block(uint32_t* out, int64_t n) {
    while (n > 0) {
      if (s_->left == 1) {
        refill();
        s_->left = kWords + 1;
      }
      const int64_t take = n < s_->left - 1 ? n : s_->left - 1;
      const uint64_t* w = s_->words + s_->next;
      for (int64_t i = 0; i < take; ++i) out[i] = temper(static_cast<uint32_t>(w[i]));
      s_->next += static_cast<uint64_t>(take);
      s_->left -= static_cast<int32_t>(take);
      out += take;
      n -= take;
    }
  }

  // Whether the 53 last bits of each of the next n pairs of words are below the threshold, at most 2^53: to(i, hit).
  // The second word counts, and is worked out, only where the first one's bits are the threshold's.
  template <class F>
  void pairs_below(uint64_t threshold, int64_t n, const F& to) {
    const auto high = static_cast<uint32_t>(threshold >> 32), low = static_cast<uint32_t>(threshold);
    constexpr uint32_t kMask21 = (1u << 21) - 1;
    uint32_t first[kWords / 2];
    for (int64_t i = 0; i < n;) {
      if (s_->left <= 2) {                    // a pair that does not lie in one block
        to(i++, (next64() & kMask53) < threshold);
        continue;
      }
      const int64_t take = std::min<int64_t>(n - i, (s_->left - 1) / 2);
      const uint64_t* w = s_->words + s_->next;
      uint32_t ties = 0;
      for (int64_t k = 0; k < take; ++k) first[k] = temper(static_cast<uint32_t>(w[2 * k])) & kMask21;
      for (int64_t k = 0; k < take; ++k) {
        to(i + k, first[k] < high);
        ties |= first[k] == high;
      }
      for (int64_t k = 0; ties && k < take; ++k)
        if (first[k] == high) to(i + k, temper(static_cast<uint32_t>(w[2 * k + 1])) < low);
      s_->next += static_cast<uint64_t>(2 * take);
      s_->left -= static_cast<int32_t>(2 * take);
      i += take;
    }
  }

  // A standard normal value in double: pairs, of which the second waits in the state.
  double normal() {
    if (s_->has_cached_normal) {
      s_->has_cached_normal = 0;
      const double value = s_->cached_normal;
      s_->cached_normal = 0;
      return value;
    }
    const double u1 = uniform(), u2 = uniform();
    const double r = std::sqrt(-2.0 * std::log1p(-u2)), theta = 2.0 * 3.14159265358979323846 * u1;
    s_->cached_normal = r * std::sin(theta);
    s_->has_cached_normal = 1;
    return r * std::cos(theta);
  }

  static constexpr uint64_t kMask53 = (uint64_t{1} << 53) - 1;

 private:
  static uint32_t temper(uint32_t y) {
    y ^= y >> 11;
    y ^= (y << 7) & 0x9d2c5680u;
    y ^= (y << 15) & 0xefc60000u;
    return y ^ (y >> 18);
  }

  static uint64_t mix(uint64_t far, uint64_t a, uint64_t b) {
    return far ^ (((a & 0x80000000u) | (b & 0x7fffffffu)) >> 1) ^ ((b & 1) ? 0x9908b0dfu : 0u);
  }

  void refill() {
    uint64_t* w = s_->words;
    int j = 0;
    for (; j < kWords - kShift; ++j) w[j] = mix(w[j + kShift], w[j], w[j + 1]);
    for (; j < kWords - 1; ++j) w[j] = mix(w[j + kShift - kWords], w[j], w[j + 1]);
    w[j] = mix(w[j + kShift - kWords], w[j], w[0]);
    s_->left = kWords;
    s_->next = 0;
  }

  GeneratorState* s_;
};

// Conversions as PyTorch's static_cast does them: a half type takes a double by way of float.
template <class T>
inline T store_as(double v) {
  return static_cast<T>(v);
}
template <>
inline float16 store_as<float16>(double v) {
  return static_cast<float16>(static_cast<float>(v));
}
template <>
inline bfloat16 store_as<bfloat16>(double v) {
  return to_bfloat16(static_cast<float>(v));
}

template <class T>
inline float load_float(T v) {
  return static_cast<float>(v);
}
template <>
inline float load_float<bfloat16>(bfloat16 v) {
  return to_float(v);
}

// Calls fn with a value of one of the four floating-point types.
template <class F>
inline void any_floating(DType t, const char* name, const F& fn) {
  switch (t) {
    case DType::f32: return fn(float{});
    case DType::f64: return fn(double{});
    case DType::f16: return fn(float16{});
    case DType::bf16: return fn(bfloat16{});
    default: not_implemented(name, t);
  }
}
template <class F>
inline void any_type(DType t, const char* name, const F& fn) {
  switch (t) {
    case DType::f16: return fn(float16{});
    case DType::bf16: return fn(bfloat16{});
    default: return all_types(t, name, fn);
  }
}

}  // namespace
}  // namespace rl
