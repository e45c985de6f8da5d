// float16 and bfloat16 as storage types: conversion to and from float32, rounding to nearest even.
#pragma once

#include <cstdint>
#include <cstring>

namespace rl {

struct bfloat16 {
  uint16_t bits;
};
using float16 = _Float16;

static inline float to_float(bfloat16 h) {
  uint32_t u = static_cast<uint32_t>(h.bits) << 16;
  float f;
  std::memcpy(&f, &u, 4);
  return f;
}

static inline bfloat16 to_bfloat16(float f) {
  uint32_t u;
  std::memcpy(&u, &f, 4);
  uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  uint32_t nan = 0x7fc0u;
  bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
  return bfloat16{static_cast<uint16_t>(is_nan ? nan : rounded)};
}

}  // namespace rl
