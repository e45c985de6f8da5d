// Checks of values that come from data: indices, probabilities, variances. They write nothing and throw what PyTorch throws.
// A check is a call like any other, so that a compiled step can be recorded, and is checked again whenever it is repeated.
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string>

#include "../core/kernel.h"

namespace rl {
namespace {

template <class T>
struct Extremes {
  T low = std::numeric_limits<T>::max(), high = std::numeric_limits<T>::lowest();
  bool nan = false;
  Extremes(const T* p, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
      low = p[i] < low ? p[i] : low;
      high = p[i] > high ? p[i] : high;
      nan |= p[i] != p[i];
    }
  }
};

// check_index(index int64 contiguous; rule, size, dim), rules as in src/rushlight/ops/_values.py
enum IndexRule { kPosition, kCopied, kTaken };

void check_index_run(const Call& c) {
  const Array& index = *c.in[0];
  const int64_t rule = c.inum(0), size = c.inum(1);
  const Extremes<int64_t> seen(index.ptr<int64_t>(), index.numel);
  if (index.numel == 0) return;
  const bool below = seen.low < (rule == kTaken ? -size : 0), above = seen.high >= size;
  if (!below && !above) return;
  const std::string n = std::to_string(size);
  switch (rule) {
    case kPosition: throw std::out_of_range("index out of range in self");
    case kCopied:
      throw std::out_of_range("index_copy_(): index is out of bounds for dimension " + std::to_string(c.inum(2)) +
                              " with size " + n);
    default:
      throw std::out_of_range("out of range: tried to access index " + std::to_string(above ? seen.high : seen.low) +
                              " on a tensor of " + n + " elements.");
  }
}

// check_floats(x contiguous; rule, number for the message)
enum FloatRule { kQuantiles, kNanQuantiles, kDeviations, kVariances, kWeights, kSums, kNoZeros, kFinite };

// A float as Python writes it.
std::string written(double x) {
  char text[32];
  for (int digits = 1; digits <= 17; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, x);
    if (std::strtod(text, nullptr) == x) break;
  }
  const std::string s = text;
  return s.find_first_of(".ein") == std::string::npos ? s + ".0" : s;
}

void check_floats_run(const Call& c) {
  const Array& x = *c.in[0];
  if (x.numel == 0) return;
  floating(x.dtype, "check", [&](auto z) {
    using T = decltype(z);
    const Extremes<T> seen(x.ptr<T>(), x.numel);
    const bool negative = seen.low < T(0), infinite = seen.high == std::numeric_limits<T>::infinity();
    switch (c.inum(0)) {
      case kQuantiles:
      case kNanQuantiles:
        if (!negative && !(seen.high > T(1))) return;
        throw std::runtime_error(std::string(c.inum(0) == kQuantiles ? "quantile" : "nanquantile") +
                                 "() q values must be in the range [0, 1]");
      case kDeviations:
        if (negative || seen.nan) throw std::runtime_error("normal expects all elements of std >= 0.0");
        return;
      case kVariances:
        if (negative) throw std::invalid_argument("var has negative entry/entries");
        return;
      case kWeights:
        if (negative || infinite || seen.nan)
          throw std::runtime_error("probability tensor contains either `inf`, `nan` or element < 0");
        return;
      case kSums:                             // of what is not negative
        if (seen.low == T(0)) throw std::runtime_error("invalid multinomial distribution (sum of probabilities <= 0)");
        return;
      case kNoZeros:                          // how many there are
        if (seen.high > T(0)) throw NotImplemented("scatter_reduce(): the gradient of prod with zeros is not implemented");
        return;
      default:
        if (!infinite && !seen.nan) return;
        throw std::runtime_error("The total norm of order " + written(c.fnum(1)) + " for gradients from `parameters` is non-finite, "
                                 "so it cannot be clipped. To disable this error and scale the gradients by the non-finite norm "
                                 "anyway, set `error_if_nonfinite=False`");
    }
  });
}

// check_true(ok bool contiguous, text uint8): ValueError with this text unless everything is true
void check_true_run(const Call& c) {
  const Array &ok = *c.in[0], &text = *c.in[1];
  const bool* p = ok.ptr<bool>();
  bool all = true;
  for (int64_t i = 0; i < ok.numel; ++i) all &= p[i];
  if (all) return;
  throw std::invalid_argument({reinterpret_cast<const char*>(text.ptr<uint8_t>()), static_cast<size_t>(text.numel)});
}

void nothing(const Call&, Meta*) {}

RL_KERNEL_ANY(check_index, 0, nothing, check_index_run)
RL_KERNEL(check_floats, 0, nothing, check_floats_run)
RL_KERNEL_ANY(check_true, 0, nothing, check_true_run)

}  // namespace
}  // namespace rl
