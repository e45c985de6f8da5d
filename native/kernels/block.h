// Rows of an array as the type that is computed in: where they are, or half types in a copy.
#pragma once

#include "convert.h"

namespace rl {
namespace {

// `rows` of `width` elements, `pitch` apart.
template <class S>
class Block {
 public:
  Block(S* at, int64_t, int64_t, int64_t pitch) : at_(at), pitch_(pitch) {}
  S* data() const { return at_; }
  int64_t pitch() const { return pitch_; }
  void read() {}
  void write() {}

 private:
  S* at_;
  int64_t pitch_;
};

template <class H>
class HalfBlock {
 public:
  HalfBlock(H* at, int64_t rows, int64_t width, int64_t pitch)
      : at_(at), rows_(rows), width_(width), pitch_(pitch), bytes_(static_cast<size_t>(rows * width) * sizeof(float)),
        copy_(rows * width <= kSmall ? small_ : static_cast<float*>(g_core->alloc(bytes_))) {}
  ~HalfBlock() {
    if (copy_ != small_) g_core->free(copy_, bytes_);
  }
  HalfBlock(const HalfBlock&) = delete;
  HalfBlock& operator=(const HalfBlock&) = delete;
  float* data() const { return copy_; }
  int64_t pitch() const { return width_; }
  void read() {
    for (int64_t r = 0; r < rows_; ++r) widen(at_ + r * pitch_, width_, copy_ + r * width_);
  }
  void write() {
    for (int64_t r = 0; r < rows_; ++r) narrow(copy_ + r * width_, width_, const_cast<std::remove_const_t<H>*>(at_) + r * pitch_);
  }

 private:
  static constexpr int64_t kSmall = 2048;
  H* at_;
  int64_t rows_, width_, pitch_;
  size_t bytes_;
  float* copy_;
  alignas(64) float small_[kSmall];
};

template <>
class Block<bfloat16> : public HalfBlock<bfloat16> {
  using HalfBlock::HalfBlock;
};
template <>
class Block<float16> : public HalfBlock<float16> {
  using HalfBlock::HalfBlock;
};
template <>
class Block<const bfloat16> : public HalfBlock<const bfloat16> {
  using HalfBlock::HalfBlock;
};
template <>
class Block<const float16> : public HalfBlock<const float16> {
  using HalfBlock::HalfBlock;
};

}  // namespace
}  // namespace rl
