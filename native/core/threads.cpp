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

// The chunks of one thread; more threads than shares have some in common.
struct alignas(64) Share {
  std::atomic<int64_t> next;
  int64_t end;
};

struct Job {
  void (*fn)(void*, int64_t);
  void* ctx;
  int64_t chunks;
  int shares;
  Share share[kMaxShares];
  std::atomic<int64_t> done{0};
  std::atomic<int> users{0};                 // workers that may still touch this job
  std::atomic_flag failed = ATOMIC_FLAG_INIT;
  std::exception_ptr error;                  // the first exception, rethrown by the caller

  Job(void (*f)(void*, int64_t), void* c, int64_t n, int threads)
      : fn(f), ctx(c), chunks(n), shares(threads < kMaxShares ? threads : kMaxShares) {
    for (int k = 0; k < shares; ++k) {
      share[k].next.store(n * k / shares, std::memory_order_relaxed);
      share[k].end = n * (k + 1) / shares;
    }
  }
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
    if (size() == 1 || inside_ || start.time_since_epoch().count() < alone_until_.load(std::memory_order_relaxed) || !caller_.try_lock()) {
      for (int64_t i = 0; i < chunks; ++i) fn(ctx, i);
      return;
    }
    std::unique_lock<std::mutex> held(caller_, std::adopt_lock);
    if (workers_.empty()) start_workers();
    Job job(fn, ctx, chunks, size());
    inside_ = true;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = &job;
      epoch_.fetch_add(1, std::memory_order_release);
    }
    if (sleepers_.load(std::memory_order_acquire) > 0) wake_.notify_all();
    const int64_t mine = work(job, 0);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      job_ = nullptr;                        // no worker can join from here on
    }
    int spins = 0;
    auto finished = [&] {
      return job.done.load(std::memory_order_acquire) == chunks && job.users.load(std::memory_order_acquire) == 0;
    };
    while (!finished() && ++spins < kSpins) relax();
    if (spins == kSpins) wait(finished, mine ? (Clock::now() - start) / mine : Clock::duration::max());
    inside_ = false;
    if (job.error) std::rethrow_exception(job.error);
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
  static int64_t work(Job& job, int k) {
    FlushDenormals flush;
    int64_t i, mine = 0;
    for (int s = 0; s < job.shares; ++s) {
      Share& share = job.share[(k + s) % job.shares];
      while ((i = share.next.fetch_add(1, std::memory_order_relaxed)) < share.end) {
        try {
          job.fn(job.ctx, i);
        } catch (...) {
          if (!job.failed.test_and_set()) job.error = std::current_exception();
        }
        ++mine;
      }
    }
    if (mine) job.done.fetch_add(mine, std::memory_order_release);
    return mine;
  }

  void start_workers() {
    stopping_ = false;
    uint64_t seen = epoch_.load();
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
      auto spin_until = std::chrono::steady_clock::now() + kSpin;
      while (epoch_.load(std::memory_order_acquire) == seen && std::chrono::steady_clock::now() < spin_until)
        relax();
      Job* job = nullptr;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1, std::memory_order_acq_rel);
        wake_.wait(lock, [&] { return stopping_ || epoch_.load() != seen; });
        sleepers_.fetch_sub(1, std::memory_order_acq_rel);
        if (stopping_) return;
        seen = epoch_.load();
        job = job_;
        if (job) job->users.fetch_add(1, std::memory_order_acq_rel);
      }
      if (job) {
        work(*job, k);
        job->users.fetch_sub(1, std::memory_order_release);
      }
    }
  }

  std::mutex caller_, mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
  std::atomic<uint64_t> epoch_{0};
  std::atomic<int> sleepers_{0};
  Job* job_ = nullptr;
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
