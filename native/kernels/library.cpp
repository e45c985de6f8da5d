// The entry point of one kernel library.
#include "../core/kernel.h"

namespace rl {
const CoreApi* g_core = nullptr;
KernelDef* g_kernels = nullptr;

// Kernels look at arrays and never own one: the core holds a reference for as long as a call runs.
void storage_unheld(Storage*, int64_t) {}
}  // namespace rl

extern "C" __attribute__((visibility("default"))) rl::KernelDef* rl_kernels_init(const rl::CoreApi* core) {
  rl::g_core = core;
  return rl::g_kernels;
}
