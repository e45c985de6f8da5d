#include "memory.h"

#include <sys/mman.h>

#include <cstdlib>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

#include "array.h"
#include "recorder.h"

namespace rl {
namespace {

// Classes: multiples of 64 bytes up to 1 KiB, then four steps per doubling. Rounding up costs at most a
// quarter of a block and lets a block serve every array of about its size.
constexpr size_t kFine = 1024;
constexpr size_t kHuge = size_t{4} << 20;    // above this, ask for huge pages
constexpr size_t kMaxCached = size_t{1} << 30;

// The sanitizer sees a read or write past the end only of a block that is as large as was asked for, and not one used before.
#ifdef __SANITIZE_ADDRESS__
constexpr bool kExact = true;
#else
constexpr bool kExact = false;
#endif

struct SizeClass {
  size_t bytes;
  int index;
};

SizeClass size_class(size_t n) {
  if (kExact) return {n, 0};
  if (n <= kFine) {
    size_t k = n == 0 ? 1 : (n + 63) / 64;
    return {k * 64, static_cast<int>(k) - 1};
  }
  int log = 63 - __builtin_clzll(n - 1);     // 2^log < n <= 2^(log+1)
  size_t step = size_t{1} << (log - 2);
  size_t base = size_t{1} << log;
  size_t k = (n - base + step - 1) / step;   // 1..4
  return {base + k * step, 16 + (log - 10) * 4 + static_cast<int>(k) - 1};
}

constexpr int kNumClasses = 16 + 40 * 4;

struct Cache {
  std::mutex mutex;
  std::vector<void*> free_blocks[kNumClasses];
  MemoryStats stats{0, 0, 0, 0};
};

// Never destroyed: arrays owned by Python may outlive static destructors.
Cache& cache() {
  static Cache* c = new Cache;
  return *c;
}

void* system_alloc(size_t bytes) {
  void* p = nullptr;
  size_t align = bytes >= kHuge ? (size_t{2} << 20) : 64;
  if (posix_memalign(&p, align, bytes) != 0) return nullptr;
  if (bytes >= kHuge) madvise(p, bytes, MADV_HUGEPAGE);
  return p;
}

void release_cached(Cache& c) {
  for (auto& list : c.free_blocks) {
    for (void* p : list) std::free(p);
    list.clear();
  }
  c.stats.cached = 0;
}

}  // namespace

void* cached_alloc(size_t nbytes) {
  if (nbytes > (size_t{1} << 46)) throw std::bad_alloc();
  SizeClass k = size_class(nbytes);
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  c.stats.in_use += static_cast<int64_t>(k.bytes);
  if (c.stats.in_use > c.stats.peak) c.stats.peak = c.stats.in_use;
  auto& list = c.free_blocks[k.index];
  if (!list.empty()) {
    void* p = list.back();
    list.pop_back();
    c.stats.cached -= static_cast<int64_t>(k.bytes);
    return p;
  }
  c.stats.system_allocs++;
  void* p = system_alloc(k.bytes);
  if (!p) {
    release_cached(c);
    p = system_alloc(k.bytes);
  }
  if (!p) {
    c.stats.in_use -= static_cast<int64_t>(k.bytes);
    throw std::bad_alloc();
  }
  return p;
}

void cached_free(void* p, size_t nbytes) {
  SizeClass k = size_class(nbytes);
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  c.stats.in_use -= static_cast<int64_t>(k.bytes);
  if (kExact || static_cast<size_t>(c.stats.cached) + k.bytes > kMaxCached) {
    std::free(p);
    return;
  }
  c.stats.cached += static_cast<int64_t>(k.bytes);
  c.free_blocks[k.index].push_back(p);
}

void empty_cache() {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  release_cached(c);
}

MemoryStats memory_stats() {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  return c.stats;
}

void reset_peak_memory_stats() {
  Cache& c = cache();
  std::lock_guard<std::mutex> lock(c.mutex);
  c.stats.peak = c.stats.in_use;
}

namespace {

// What a thread has freed of kernels' scratch memory, for its next kernel: no lock, and still in this core's cache.
class ThreadCache {
 public:
  static constexpr size_t kMost = size_t{256} << 10, kHeld = size_t{4} << 20;   // of a block, of a thread
  ~ThreadCache() {
    for (auto& list : lists_)
      for (auto& [p, bytes] : list) cached_free(p, bytes);
  }
  void* take(const SizeClass& k) {
    auto& list = lists_[k.index];
    if (list.empty()) return nullptr;
    void* p = list.back().first;
    list.pop_back();
    held_ -= k.bytes;
    return p;
  }
  bool keep(const SizeClass& k, void* p) {
    if (held_ + k.bytes > kHeld) return false;
    lists_[k.index].emplace_back(p, k.bytes);
    held_ += k.bytes;
    return true;
  }

 private:
  std::vector<std::pair<void*, size_t>> lists_[16 + 8 * 4];    // of the classes up to kMost
  size_t held_ = 0;
};

thread_local ThreadCache t_scratch;

}  // namespace

void* scratch_alloc(size_t nbytes) {
  const SizeClass k = size_class(nbytes);
  if (!kExact && k.bytes <= ThreadCache::kMost)
    if (void* p = t_scratch.take(k)) return p;
  return cached_alloc(nbytes);
}

void scratch_free(void* p, size_t nbytes) {
  const SizeClass k = size_class(nbytes);
  if (kExact || k.bytes > ThreadCache::kMost || !t_scratch.keep(k, p)) cached_free(p, nbytes);
}

void own_memory(Storage* s) {
  s->data = cached_alloc(s->nbytes);
  s->release = [](Storage* self) { cached_free(self->data, self->nbytes); };
}

Storage* new_storage(size_t nbytes) {
  auto s = std::make_unique<Storage>();
  s->nbytes = nbytes;
  own_memory(s.get());
  s->born = recording_id();
  return s.release();
}

void free_storage(Storage* s) {
  if (s->release) s->release(s);
  delete s;
}

void storage_unheld(Storage* s, int64_t left) {
  if (left == 0) return free_storage(s);
  if (!s->computed || s->host || !s->release) return;
  s->release(s);
  s->release = nullptr;
  s->data = nullptr;
}

}  // namespace rl
