// Numbers below 1e-38 count as zero inside kernels: most CPUs need a hundred cycles for each of them, and vanishing
// gradients and optimizer averages are full of them.
#pragma once

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace rl {

extern bool g_flush_denormals;               // torch.set_flush_denormal; on by default

// While it lives, this thread's kernels read and write denormals as zeros.
class FlushDenormals {
 public:
#if defined(__SSE2__)
  static constexpr bool supported = true;
  FlushDenormals() : before_(_mm_getcsr()) {
    const unsigned wanted = g_flush_denormals ? before_ | kBits : before_ & ~kBits;
    if (wanted != before_) _mm_setcsr(wanted);
    changed_ = wanted != before_;
  }
  ~FlushDenormals() {
    if (changed_) _mm_setcsr(before_);
  }

 private:
  static constexpr unsigned kBits = 0x8040;  // flush to zero, denormals are zeros
  unsigned before_;
  bool changed_;
#else
  static constexpr bool supported = false;
  FlushDenormals() {}
#endif
};

}  // namespace rl
