#include "program.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "denormals.h"
#include "dispatch.h"
#include "memory.h"
#include "passes.h"

namespace rl {
namespace {

constexpr size_t kAlign = 64;

size_t aligned(size_t n) { return (n + kAlign - 1) / kAlign * kAlign; }

struct Hash {
  uint64_t h = 0xcbf29ce484222325ull;
  void add(const void* p, size_t n) {
    const unsigned char* b = static_cast<const unsigned char*>(p);
    for (size_t i = 0; i < n; ++i) h = (h ^ b[i]) * 0x100000001b3ull;
  }
  template <class T>
  void add(T x) { add(&x, sizeof x); }
};

}  // namespace

bool Step::writes(const Storage* s) const {
  for (int k = 0; k < nout; ++k)
    if (arrays[static_cast<size_t>(k)].storage == s) return true;
  return false;
}

bool Step::reads(const Storage* s) const {
  for (size_t k = static_cast<size_t>(nout); k < arrays.size(); ++k)
    if (arrays[k].storage == s) return true;
  return false;
}

void Draft::count() {
  for (auto& [s, u] : uses) u.writers = 0, u.first = -1;
  for (size_t i = 0; i < steps.size(); ++i) {
    const Step& step = steps[i];
    for (size_t k = 0; k < step.arrays.size(); ++k) {
      const Storage* s = step.arrays[k].storage;
      if (!s) continue;
      StorageUse& u = use(s);
      if (u.first < 0) u.first = static_cast<int>(i);
      u.last = static_cast<int>(i);
      if (k < static_cast<size_t>(step.nout)) ++u.writers;
    }
  }
}

Program::Program(const Recorder& recorded, const std::vector<Array>& args, const std::vector<Array>& results,
                 const std::vector<const Storage*>& kept) {
  recording_ = recorded.id;
  Draft d;
  // Storages that only Python has written are constants; it may write others before the first kernel reads them, too.
  std::unordered_map<const Storage*, bool> written;
  for (const Record& r : recorded.records)
    for (size_t k = 0; k < r.arrays.size(); ++k)
      if (r.arrays[k].storage) written[r.arrays[k].storage] |= k < static_cast<size_t>(r.nout);
  for (const auto& [s, by_kernel] : written) {
    StorageUse& u = d.use(s);
    if (s->born != recorded.id) u.part = Part::external;
    else u.part = by_kernel ? Part::temporary : Part::constant;
    if (s->born == recorded.id && by_kernel && s->host) u.part = Part::kept;   // Python has a view of it
  }
  for (const Storage* s : kept)
    if (d.uses.count(s) && d.use(s).part == Part::temporary) d.use(s).part = Part::kept;
  for (size_t k = 0; k < results.size(); ++k)
    if (d.uses.count(results[k].storage) && d.use(results[k].storage).part == Part::temporary) d.use(results[k].storage).part = Part::result;
  for (size_t k = 0; k < args.size(); ++k) {
    StorageUse& u = d.use(args[k].storage);
    if (u.part == Part::external && u.index < 0) u.part = Part::argument, u.index = static_cast<int>(k);
  }

  // Marks: what two recordings of the same computation have in common.
  std::unordered_map<const Storage*, uint64_t> names;
  for (const Record& r : recorded.records) {
    Hash h;
    h.add(r.nout);
    for (const Number& n : r.numbers) h.add(n.i), h.add(n.f), h.add(n.is_float);
    for (const Array& a : r.arrays) {
      if (!a.storage) {
        h.add(0);
        continue;
      }
      const StorageUse& u = d.use(a.storage);
      h.add(u.part);
      if (u.part == Part::external) h.add(reinterpret_cast<uintptr_t>(a.storage));
      else if (u.part == Part::argument) h.add(u.index);
      else h.add(names.try_emplace(a.storage, names.size()).first->second);
      if (u.part == Part::constant && a.storage->nbytes <= (size_t{1} << 20)) h.add(a.storage->data, a.storage->nbytes);
      h.add(a.offset), h.add(a.ndim), h.add(a.dtype);
      for (int i = 0; i < a.ndim; ++i) h.add(a.shape[i]), h.add(a.strides[i]);
    }
    marks_.push_back({r.def, h.h});
  }
  Hash returned;                             // which values, and how they are looked at
  for (const Array& a : results) {
    auto name = names.find(a.storage);
    returned.add(name == names.end() ? ~uint64_t{0} : name->second);
    returned.add(a.offset), returned.add(a.ndim), returned.add(a.dtype);
    for (int i = 0; i < a.ndim; ++i) returned.add(a.shape[i]), returned.add(a.strides[i]);
  }
  returned_ = returned.h;

  d.steps.reserve(recorded.records.size());
  for (const Record& r : recorded.records) d.steps.push_back({r.def, r.nout, r.arrays, r.numbers});
  d.count();
  for (auto& [s, u] : d.uses) u.recorded_writers = u.writers;
  drop_dead_steps(d);
  fold_constants(d);
  share_repeated_steps(d);
  relu_after_pooling(d);
  fuse_relu(d);
  fuse_pointwise(d);
  d.count();
  plan(d);
  for (const Array& r : results) {
    int found = -1;
    for (size_t i = 0; i < slots_.size(); ++i)
      if (slots_[i].recorded == r.storage) found = static_cast<int>(i);
    results_.push_back({r, found});
    if (found >= 0) results_.back().array.drop();
  }
  for (size_t k = 0; k < args.size(); ++k)
    for (Slot& slot : slots_)
      if (slot.argument == static_cast<int>(k)) slot.offset = args[k].offset;
}

// Lays out the arena and writes the final list of calls.
void Program::plan(Draft& d) {
  // Temporaries in the order in which they come to life take the smallest gap that fits.
  std::vector<std::pair<const Storage*, const StorageUse*>> order;
  for (auto& [s, u] : d.uses)
    if (u.part == Part::temporary && u.first >= 0) order.emplace_back(s, &u);
  std::sort(order.begin(), order.end(), [](auto& a, auto& b) {
    return a.second->first != b.second->first ? a.second->first < b.second->first : a.first->nbytes > b.first->nbytes;
  });
  struct Block {
    size_t at, size;
    int last;                                // -1: free
  };
  std::vector<Block> blocks;                 // by address, without holes
  std::unordered_map<const Storage*, size_t> place;
  for (auto& [s, u] : order) {
    for (Block& b : blocks)
      if (b.last >= 0 && b.last < u->first) b.last = -1;
    for (size_t i = 0; i + 1 < blocks.size();) {
      if (blocks[i].last < 0 && blocks[i + 1].last < 0) {
        blocks[i].size += blocks[i + 1].size;
        blocks.erase(blocks.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      } else {
        ++i;
      }
    }
    const size_t need = aligned(std::max<size_t>(s->nbytes, 1));
    size_t best = blocks.size();
    for (size_t i = 0; i < blocks.size(); ++i)
      if (blocks[i].last < 0 && blocks[i].size >= need && (best == blocks.size() || blocks[i].size < blocks[best].size)) best = i;
    if (best == blocks.size()) {             // no gap: at the end, into a last free block if there is one
      if (!blocks.empty() && blocks.back().last < 0) --best;
      else blocks.push_back({blocks.empty() ? 0 : blocks.back().at + blocks.back().size, 0, -1});
      blocks[best].size = need;
    }
    const Block found = blocks[best];
    place[s] = found.at;
    blocks[best] = {found.at, need, u->last};
    if (found.size > need)
      blocks.insert(blocks.begin() + static_cast<std::ptrdiff_t>(best) + 1, {found.at + need, found.size - need, -1});
  }
  arena_size_ = blocks.empty() ? 0 : blocks.back().at + blocks.back().size;
  std::unordered_map<const Storage*, Storage*> moved;
  for (auto& [s, at] : place) {
    auto fresh = std::make_unique<Storage>();
    fresh->nbytes = s->nbytes;
    moved[s] = fresh.get();
    temporaries_.push_back({std::move(fresh), at});
  }

  size_t total = 0;
  for (const Step& s : d.steps) total += s.arrays.size();
  arrays_.reserve(total);
  std::unordered_map<const Storage*, int> slot_of;
  for (Step& s : d.steps) {
    Prepared p{s.def, s.nout, static_cast<int>(s.arrays.size()) - s.nout, static_cast<int>(arrays_.size()),
               static_cast<int>(numbers_.size()), static_cast<int>(s.numbers.size())};
    for (size_t k = 0; k < s.arrays.size(); ++k) {
      Array& a = s.arrays[k];
      const Storage* from = a.storage;
      const int position = static_cast<int>(arrays_.size());
      recorded_offsets_.push_back(a.offset);
      if (from) {
        const StorageUse& u = d.use(from);
        if (auto at = moved.find(from); at != moved.end()) {
          Array b = a;
          b.drop();
          b.storage = at->second;
          at->second->refs.fetch_add(1, std::memory_order_relaxed);
          a = std::move(b);
        } else if (u.part == Part::argument || u.part == Part::result) {
          auto [slot, fresh] = slot_of.try_emplace(from, static_cast<int>(slots_.size()));
          if (fresh) slots_.push_back({from, 0, from->nbytes, u.part == Part::argument ? u.index : -1, false, {}});
          Slot& known = slots_[static_cast<size_t>(slot->second)];
          known.positions.push_back(position);
          known.written |= k < static_cast<size_t>(s.nout) && !a.untracked;
        } else if (k < static_cast<size_t>(s.nout) && !a.untracked) {
          if (std::find(written_.begin(), written_.end(), from) == written_.end()) written_.push_back(a.storage);
        }
        if (u.part == Part::external || u.part == Part::kept) fixed_.insert(from);
        if (u.part == Part::constant) constants_.push_back(a);
      }
      arrays_.push_back(a);
    }
    numbers_.insert(numbers_.end(), s.numbers.begin(), s.numbers.end());
    steps_.push_back(p);
  }
  for (Array& a : arrays_) pointers_.push_back(a.storage ? &a : nullptr);
  // From here on, an array of a slot holds memory only while the program runs, and without counting.
  for (Slot& slot : slots_)
    for (int at : slot.positions) arrays_[static_cast<size_t>(at)].drop();
}

Program::~Program() {
  arrays_.clear();                           // before the storages they point to
  if (arena_) cached_free(arena_, arena_size_);
}

void Program::unbind() {
  for (Slot& slot : slots_)
    for (int at : slot.positions) arrays_[static_cast<size_t>(at)].storage = nullptr;
  running_ = false;
}

void Program::count_writes(const std::vector<const Array*>& args) {
  for (Storage* s : written_) s->version++;
  for (const Slot& slot : slots_)
    if (slot.argument >= 0 && slot.written) args[static_cast<size_t>(slot.argument)]->storage->version++;
}

void Program::run(const std::vector<const Array*>& args, std::vector<Array>& results) {
  std::vector<Storage*> fresh(slots_.size(), nullptr);
  try {
    if (arena_size_ && !arena_) {            // a recording that only confirms another one never needs it
      arena_ = cached_alloc(arena_size_);
      for (Temporary& t : temporaries_) t.storage->data = static_cast<char*>(arena_) + t.at;
    }
    for (size_t i = 0; i < slots_.size(); ++i) {
      const Slot& slot = slots_[i];
      Storage* s;
      int64_t shift = 0;
      if (slot.argument >= 0) {
        s = args[static_cast<size_t>(slot.argument)]->storage;
        shift = args[static_cast<size_t>(slot.argument)]->offset - slot.offset;
      } else {
        s = fresh[i] = new_storage(slot.nbytes);
      }
      for (int at : slot.positions) {
        arrays_[static_cast<size_t>(at)].storage = s;
        arrays_[static_cast<size_t>(at)].offset = recorded_offsets_[static_cast<size_t>(at)] + shift;
      }
    }
    FlushDenormals flush;
    const Array* const* p = pointers_.data();
    const Number* n = numbers_.data();
    for (const Prepared& s : steps_)
      s.def->run(Call{s.def, p + s.first, s.nout, p + s.first + s.nout, s.nin, n + s.first_number, s.nnum});
  } catch (...) {
    count_writes(args);
    unbind();
    for (Storage* s : fresh)
      if (s) free_storage(s);
    throw;
  }
  count_writes(args);
  unbind();
  results.clear();
  for (const Result& r : results_) {
    if (r.slot < 0) {
      Array copy = empty_like_contiguous(r.array, r.array.dtype);
      const Array *to = &copy, *from = &r.array;
      rl::run(Call{find_kernel("copy"), &to, 1, &from, 1, nullptr, 0});
      results.push_back(std::move(copy));
      continue;
    }
    Array a = r.array;
    a.storage = fresh[static_cast<size_t>(r.slot)];
    a.storage->refs.fetch_add(1, std::memory_order_relaxed);
    results.push_back(std::move(a));
  }
  for (Storage* s : fresh)
    if (s && s->refs.fetch_sub(1, std::memory_order_acq_rel) == 1) free_storage(s);
}

std::vector<std::string> Program::unexplained(const std::unordered_set<const Storage*>& known) const {
  std::vector<std::string> out;
  std::unordered_set<const Storage*> own;
  for (const Temporary& t : temporaries_) own.insert(t.storage.get());
  for (const Array& a : constants_) own.insert(a.storage);
  for (const Prepared& s : steps_)
    for (int k = 0; k < s.nout + s.nin; ++k) {
      const Array& a = arrays_[static_cast<size_t>(s.first + k)];
      if (!a.storage || a.storage->born == recording_ || own.count(a.storage) || known.count(a.storage)) continue;
      std::string text = std::string(s.def->name) + (k < s.nout ? " writes" : " reads") + " a " + scalar_name(a.dtype) + " tensor of shape [";
      for (int i = 0; i < a.ndim; ++i) text += (i ? ", " : "") + std::to_string(a.shape[i]);
      out.push_back(text + "]");
    }
  return out;
}

std::string Program::difference(const Program& other) const {
  for (size_t i = 0; i < marks_.size() && i < other.marks_.size(); ++i) {
    if (marks_[i].def != other.marks_[i].def)
      return std::string(other.marks_[i].def->name) + " ran where " + marks_[i].def->name + " ran before";
    if (marks_[i].hash != other.marks_[i].hash) return std::string(marks_[i].def->name) + " ran with other numbers or on other tensors";
  }
  if (marks_.size() != other.marks_.size())
    return std::to_string(other.marks_.size()) + " kernels ran, and " + std::to_string(marks_.size()) + " before";
  if (returned_ != other.returned_) return "it returned other values than before";
  return "";
}

std::vector<std::string> Program::names() const {
  std::vector<std::string> out;
  for (const Prepared& s : steps_) out.emplace_back(s.def->name);
  return out;
}

}  // namespace rl
