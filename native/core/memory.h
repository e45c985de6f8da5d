// The caching allocator. Freed blocks are kept by size class, so that from its second step on a training
// loop takes nothing from the system: fresh pages cost more than most kernels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rl {

void* cached_alloc(size_t nbytes);           // 64-byte aligned; throws std::bad_alloc
void cached_free(void* p, size_t nbytes);    // nbytes as given to cached_alloc
// The same for what a kernel frees in the thread that has allocated it.
void* scratch_alloc(size_t nbytes);
void scratch_free(void* p, size_t nbytes);
void empty_cache();

struct MemoryStats {
  int64_t in_use, peak, cached, system_allocs;
};
MemoryStats memory_stats();
void reset_peak_memory_stats();

}  // namespace rl
