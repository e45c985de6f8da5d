#include "recorder.h"

#include <atomic>

#include "dispatch.h"
#include "memory.h"

namespace rl {
namespace {

thread_local Recorder* g_recorder = nullptr;
std::atomic<uint32_t> g_recordings{0};

}  // namespace

Recorder* active_recorder() { return g_recorder; }

uint32_t recording_id() { return g_recorder ? g_recorder->id : 0; }

void start_recording(Recorder* r) {
  r->id = g_recordings.fetch_add(1) + 1;
  g_recorder = r;
}

void stop_recording() { g_recorder = nullptr; }

void Recorder::append(const Call& c) {
  Record rec{c.def, c.nout, {}, {c.num, c.num + c.nnum}};
  rec.arrays.reserve(static_cast<size_t>(c.nout + c.nin));
  for (int k = 0; k < c.nout; ++k) rec.arrays.push_back(*c.out[k]);
  for (int k = 0; k < c.nin; ++k) rec.arrays.push_back(c.in[k] ? *c.in[k] : Array());
  bool constant = true;
  for (const Array& a : rec.arrays)
    if (a.storage) {
      ++held_[a.storage];
      if (a.storage->born == id) a.storage->recorded.fetch_add(1, std::memory_order_relaxed);
      constant &= a.storage->born == id && !a.storage->computed;
    }
  for (int k = 0; k < c.nout; ++k) {
    Storage* s = rec.arrays[static_cast<size_t>(k)].storage;
    s->computed |= !constant || s->nbytes > kFoldLimit;
  }
  records.push_back(std::move(rec));
}

void Recorder::keep_memory() {
  for (auto& [s, n] : held_)
    if (s->born == id) s->recorded.store(0, std::memory_order_relaxed);
}

void Recorder::refuse(const std::string& why) {
  if (!refusal_.empty()) return;
  refusal_ = why;
  if (locate) locate(this, &refusal_);
}

int64_t Recorder::held(const Storage* s) const {
  auto at = held_.find(const_cast<Storage*>(s));
  return at == held_.end() ? 0 : at->second;
}

void Recorder::replay() {
  keep_memory();
  for (auto& [s, n] : held_)
    if (!s->data) own_memory(s);
  std::vector<const Array*> p;
  for (const Record& r : records) {
    p.clear();
    for (const Array& a : r.arrays) p.push_back(a.storage ? &a : nullptr);
    r.def->run(Call{r.def, p.data(), r.nout, p.data() + r.nout, static_cast<int>(p.size()) - r.nout, r.numbers.data(),
                    static_cast<int>(r.numbers.size())});
  }
}

int64_t storage_references(const Storage* s) {
  const int64_t all = s->refs.load(std::memory_order_relaxed);
  return g_recorder ? all - g_recorder->held(s) : all;
}

void host_access(const Array& a, const char* how, bool copied) {
  Storage* s = a.storage;
  if (!s) return;
  if (g_recorder && copied && s->born == g_recorder->id && !s->computed) return;
  s->host = true;
  // Memory made in this recording that no kernel has touched holds only what Python wrote itself.
  if (g_recorder && (s->born != g_recorder->id || g_recorder->held(s) > 0)) g_recorder->refuse(how);
}

}  // namespace rl
