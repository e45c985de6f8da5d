// A whole contiguous array of a half type in float32.
#pragma once

#include <algorithm>

#include "convert.h"

namespace rl {
namespace {

class FloatCopy {
 public:
  // Of an operand that is read, or null.
  explicit FloatCopy(const Array* a) : a_(a), copy_(a ? a->numel : 0) {
    if (!a) return;
    const auto* from = static_cast<const uint16_t*>(a->data());
    pieces([&](int64_t at, int64_t n) { convert(DType::f32, copy_ + at, a_->dtype, from + at, n); });
  }
  // Of a result, which write() rounds.
  explicit FloatCopy(const Array& a) : a_(&a), copy_(a.numel) {}
  float* data() const { return a_ ? copy_.p : nullptr; }
  void write() const {
    auto* to = static_cast<uint16_t*>(a_->data());
    pieces([&](int64_t at, int64_t n) { convert(a_->dtype, to + at, DType::f32, copy_ + at, n); });
  }

 private:
  template <class F>
  void pieces(const F& fn) const {
    constexpr int64_t kPiece = 65536;
    parallel_for((a_->numel + kPiece - 1) / kPiece, [&](int64_t i) { fn(i * kPiece, std::min(kPiece, a_->numel - i * kPiece)); });
  }

  const Array* a_;
  Scratch<float> copy_;
};

}  // namespace
}  // namespace rl
