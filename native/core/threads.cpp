// Note [Deterministic threads]
// Work is cut into chunks whose number and bounds depend on the sizes alone. The same chunk gives the same
// bits whoever runs it, and a reduction adds the chunks' results in chunk order. One thread, two or eight:
// the same bits.
//
// Note [Chunks and caches]
// Each thread has a share of the chunks, always the same one, and takes those of others only when it has
// done its own. So what a core has written for one kernel (its part of the images, of a weight, of the
// optimizer's averages) it reads itself in the next: it is in its own cache, which matters most where the
// cores share no cache at all.
//
// Note [Handing over a job]
// A kernel's share of work is often a few microseconds, and the cores may lie far apart, so a job costs a few
// cache lines and no lock. `JobLine` says what there is to do and is guarded by its sequence number: odd while it
// is written, even when it can be read, and a reader who saw it change reads again. A share is one word, the
// sequence number of a job and how many of the share's chunks have been taken; whoever finds an older number takes
// none for taken. A worker that comes late finds nothing to take: a job ends when all its chunks are done, so by
// then each share has its number and is empty, or a later number. Nobody has to wait for a worker that has begun
// nothing.
//
// Note [Busy neighbours]
// The caller works too, and waits only for chunks that a worker has already begun. If the machine is busy
// and no worker wakes in time, the caller does everything itself. Workers spin for a tenth of a millisecond
// after a job (the next kernel of a training step is usually that close) and then sleep. A worker that was
// stopped in the middle of a chunk, because another process got its CPU, makes the caller wait for a time
// slice; after such a wait the caller works alone for a while.
#include "threads.h"

#include "denormals.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace rl {
namespace {

constexpr int kMaxShares = 32;
constexpr int64_t kMaxChunks = int64_t(1) << 31;

// What there is to do.
struct Job {
  uint32_t number;                           // of the jobs so far, wraps around
  void (*fn)(void*, int64_t);
  void* ctx;
  int64_t chunks;
  int shares;
};

// The last job, see Note [Handing over a job].
class alignas(64) JobLine {
 public:
  Job publish(void (*fn)(void*, int64_t), void* ctx, int64_t chunks, int shares) {
    const uint64_t before = sequence_.load(std::memory_order_relaxed);
    sequence_.store(before + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    fn_.store(fn, std::memory_order_relaxed);
    ctx_.store(ctx, std::memory_order_relaxed);
    chunks_.store(chunks, std::memory_order_relaxed);
    shares_.store(shares, std::memory_order_relaxed);
    sequence_.store(before + 2, std::memory_order_release);
    return {number(before + 2), fn, ctx, chunks, shares};
  }

  // The number of the job that is published next.
  uint32_t next() const { return number(sequence_.load(std::memory_order_relaxed) + 2); }

  // The sequence number of the last job, once it is whole.
  uint64_t sequence() const { return sequence_.load(std::memory_order_acquire); }

  // The last job; false while the next one is being written.
  bool read(uint64_t* sequence, Job* job) const {
    const uint64_t before = sequence_.load(std::memory_order_acquire);
    *job = {number(before), fn_.load(std::memory_order_relaxed), ctx_.load(std::memory_order_relaxed),
            chunks_.load(std::memory_order_relaxed), shares_.load(std::memory_order_relaxed)};
    std::atomic_thread_fence(std::memory_order_acquire);
    *sequence = before;
    return before % 2 == 0 && before == sequence_.load(std::memory_order_relaxed);
  }

 private:
  static uint32_t number(uint64_t sequence) { return static_cast<uint32_t>(sequence / 2); }

  std::atomic<uint64_t> sequence_{0};
  std::atomic<void (*)(void*, int64_t)> fn_{nullptr};
  std::atomic<void*> ctx_{nullptr};
  std::atomic<int64_t> chunks_{0};
  std::atomic<int> shares_{0};
};

// A job's number and a count that belongs to it.
class alignas(64) Count {
 public:
  static uint64_t word(uint32_t job, int64_t count) { return uint64_t(job) << 32 | static_cast<uint64_t>(count); }

  int64_t of(uint32_t job) const {
    const uint64_t w = word_.load(std::memory_order_acquire);
    return static_cast<uint32_t>(w >> 32) == job ? static_cast<int64_t>(w & 0xffffffff) : 0;
  }
  void set(uint32_t job, int64_t count) { word_.store(word(job, count), std::memory_order_release); }

  // Counts one more, if fewer than `limit` were counted for this job; how many there were, or -1.
  int64_t take(uint32_t job, int64_t limit) {
    uint64_t w = word_.load(std::memory_order_relaxed);
    for (;;) {
      const int32_t ahead = static_cast<int32_t>(static_cast<uint32_t>(w >> 32) - job);
      const int64_t count = ahead == 0 ? static_cast<int64_t>(w & 0xffffffff) : 0;
      if (ahead > 0 || count >= limit) return -1;
      if (word_.compare_exchange_weak(w, word(job, count + 1), std::memory_order_relaxed)) return count;
    }
  }

 private:
  std::atomic<uint64_t> word_{0};
};

int cgroup_cpus() {
  // cgroup v2: "max 100000" or "200000 100000"; v1 keeps the two numbers in two files.
  long long quota = -1, period = -1;
  if (FILE* f = std::fopen("/sys/fs/cgroup/cpu.max", "r")) {
    char word[32];
    if (std::fscanf(f, "%31s %lld", word, &period) == 2 && word[0] != 'm') quota = std::atoll(word);
    std::fclose(f);
  } else if (FILE* q = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "r")) {
    if (std::fscanf(q, "%lld", &quota) != 1) quota = -1;
    std::fclose(q);
    if (FILE* p = std::fopen("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "r")) {
      if (std::fscanf(p, "%lld", &period) != 1) period = -1;
      std::fclose(p);
    }
  }
  if (quota <= 0 || period <= 0) return 1 << 20;
  return static_cast<int>((quota + period - 1) / period);
}

int default_threads() {
  for (const char* name : {"RUSHLIGHT_NUM_THREADS", "OMP_NUM_THREADS"}) {
    const char* s = std::getenv(name);
    if (s && std::atoi(s) > 0) return std::atoi(s);
  }
  cpu_set_t set;
  int n = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) n = CPU_COUNT(&set);
  int quota = cgroup_cpus();
  return n < quota ? n : quota;
}

class Pool {
 public:
  int size() {
    if (size_ == 0) size_ = default_threads();
    return size_;
  }

  void resize(int n) {
    std::lock_guard<std::mutex> lock(caller_);
    stop_workers();
    size_ = n;
  }

  void run(int64_t chunks, void (*fn)(void*, int64_t), void* ctx) {
    // One parallel region at a time; a nested or concurrent one runs serially, with the same chunks.
    const auto start = Clock::now();
    if (size() == 1 || chunks < 2 || chunks >= kMaxChunks || inside_ ||
        start.time_since_epoch().count() < alone_until_.load(std::memory_order_relaxed) || !caller_.try_lock()) {
      for (int64_t i = 0; i < chunks; ++i) fn(ctx, i);
      return;
    }
    std::unique_lock<std::mutex> held(caller_, std::adopt_lock);
    if (workers_.empty()) start_workers();
    inside_ = true;
    if (line_.sequence() % kRenewal == 0) renew(line_.next());
    const Job job = line_.publish(fn, ctx, chunks, size_ < kMaxShares ? size_ : kMaxShares);
    std::atomic_thread_fence(std::memory_order_seq_cst);     // a worker that does not see the job is counted as asleep
    if (sleepers_.load(std::memory_order_relaxed) > 0) {
      { std::lock_guard<std::mutex> lock(mutex_); }
      wake_.notify_all();
    }
    const int64_t mine = work(job, 0);
    auto finished = [&] {
      int64_t done = mine;
      for (int k = 1; k < size_; ++k) done += done_[static_cast<size_t>(k)].of(job.number);
      return done == chunks;
    };
    int spins = 0;
    while (!finished() && ++spins < kSpins) relax();
    if (spins == kSpins) wait(finished, mine ? (Clock::now() - start) / mine : Clock::duration::max());
    inside_ = false;
    if (failed_.load(std::memory_order_relaxed)) {
      std::exception_ptr error;
      std::swap(error, error_);
      failed_.store(false, std::memory_order_relaxed);
      std::rethrow_exception(error);
    }
  }

 private:
  static void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }

  using Clock = std::chrono::steady_clock;
  static constexpr int kSpins = 2000;
  static constexpr std::chrono::microseconds kSpin{100};     // of a worker, after a job
  static constexpr uint64_t kRenewal = 1 << 20;

  // Numbers of jobs wrap around: no count may be so old that its number seems to be ahead.
  void renew(uint32_t job) {
    for (Count& share : taken_) share.set(job, 0);
    for (Count& worker : done_) worker.set(job, 0);
  }

  // Waits for the workers' last chunks, which should take about as long as one of the caller's own.
  template <class F>
  void wait(const F& finished, Clock::duration per_chunk) {
    const auto from = Clock::now();
    while (!finished()) std::this_thread::yield();
    if (per_chunk == Clock::duration::max()) return;
    const auto now = Clock::now();
    if (now - from > 4 * per_chunk + std::chrono::microseconds(200))
      alone_until_.store((now + std::chrono::milliseconds(10)).time_since_epoch().count(), std::memory_order_relaxed);
  }

  // Takes chunks, first those of thread `k`, until none is left; how many it took.
  int64_t work(const Job& job, int k) {
    FlushDenormals flush;
    int64_t mine = 0;
    for (int s = 0; s < job.shares; ++s) {
      const int share = (k + s) % job.shares;
      const int64_t first = job.chunks * share / job.shares, count = job.chunks * (share + 1) / job.shares - first;
      int64_t i;
      while ((i = taken_[share].take(job.number, count)) >= 0) {
        try {
          job.fn(job.ctx, first + i);
        } catch (...) {
          if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
        }
        ++mine;
      }
    }
    return mine;
  }

  void start_workers() {
    stopping_ = false;
    done_ = std::vector<Count>(static_cast<size_t>(size_));
    const uint64_t seen = line_.sequence();
    for (int k = 1; k < size_; ++k) workers_.emplace_back([this, seen, k] { loop(seen, k); });
  }

  void stop_workers() {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (auto& w : workers_) w.join();
    workers_.clear();
  }

  void loop(uint64_t seen, int k) {
    inside_ = true;
    for (;;) {
      const auto spin_until = Clock::now() + kSpin;
      while (line_.sequence() == seen && Clock::now() < spin_until) relax();
      if (line_.sequence() == seen) {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1, std::memory_order_seq_cst);
        wake_.wait(lock, [&] { return stopping_ || line_.sequence() != seen; });
        sleepers_.fetch_sub(1, std::memory_order_relaxed);
        if (stopping_) return;
      }
      Job job;
      if (!line_.read(&seen, &job)) continue;
      if (const int64_t mine = work(job, k)) done_[static_cast<size_t>(k)].set(job.number, mine);
    }
  }

  std::mutex caller_, mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  JobLine line_;
  Count taken_[kMaxShares];                  // chunks of each share
  std::vector<Count> done_;                  // by each worker
  std::atomic<int> sleepers_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr error_;                 // the first one of a job, rethrown by the caller
  std::atomic<Clock::rep> alone_until_{0};   // other processes have taken the workers' CPUs: only the caller works
  bool stopping_ = false;
  int size_ = 0;
  static thread_local bool inside_;
};

thread_local bool Pool::inside_ = false;

Pool* g_pool = nullptr;

Pool& pool() {
  if (!g_pool) {
    g_pool = new Pool;                       // never destroyed: workers may outlive static destructors
    pthread_atfork(nullptr, nullptr, reset_pool_after_fork);
  }
  return *g_pool;
}

}  // namespace

void pool_parallel_for(int64_t chunks, void (*fn)(void*, int64_t), void* ctx) { pool().run(chunks, fn, ctx); }
int get_num_threads() { return pool().size(); }
void set_num_threads(int n) { pool().resize(n); }

void reset_pool_after_fork() {
  // The child has one thread and possibly a locked mutex: leak the old pool and begin anew.
  if (g_pool) {
    int n = g_pool->size();
    g_pool = new Pool;
    g_pool->resize(n);
  }
}

}  // namespace rl
