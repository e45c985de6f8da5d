// Passes over a program under construction: see Note [Programs and order] in program.h.
#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "dispatch.h"
#include "passes.h"

namespace rl {
namespace {

// Every output is written by this call alone, and was in the recording: its memory there still holds the result.
bool pure(const Draft& d, const Step& s) {
  for (int k = 0; k < s.nout; ++k) {
    const Storage* out = s.arrays[static_cast<size_t>(k)].storage;
    const StorageUse& u = d.uses.at(out);
    if (u.part != Part::temporary || u.writers != 1 || u.recorded_writers != 1 || out->host) return false;
  }
  return true;
}

}  // namespace

// Calls that write only temporaries which nobody reads afterwards.
void drop_dead_steps(Draft& d) {
  std::unordered_set<const Storage*> read;
  std::vector<Step> kept;
  for (size_t i = d.steps.size(); i-- > 0;) {
    Step& s = d.steps[i];
    bool needed = s.nout == 0;
    for (int k = 0; k < s.nout && !needed; ++k) {
      const Storage* out = s.arrays[static_cast<size_t>(k)].storage;
      needed = outlives(d.uses.at(out)) || read.count(out);
    }
    if (!needed) continue;
    for (const Array& a : s.arrays)          // outputs too: a call may read what it updates
      if (a.storage) read.insert(a.storage);
    kept.push_back(std::move(s));
  }
  std::reverse(kept.begin(), kept.end());
  d.steps = std::move(kept);
  d.count();
}

// Calls whose inputs are constants: their results, already computed while recording, become constants too. A check of constants
// has been made.
void fold_constants(Draft& d) {
  std::vector<Step> kept;
  for (Step& s : d.steps) {
    bool constant = pure(d, s) && !s.arrays.empty();
    for (size_t k = 0; k < s.arrays.size() && constant; ++k) {
      const Storage* a = s.arrays[k].storage;
      if (k < static_cast<size_t>(s.nout)) constant = a->nbytes <= kFoldLimit;
      else constant = !a || d.uses.at(a).part == Part::constant;
    }
    if (!constant) {
      kept.push_back(std::move(s));
      continue;
    }
    for (int k = 0; k < s.nout; ++k) d.use(s.arrays[static_cast<size_t>(k)].storage).part = Part::constant;
  }
  d.steps = std::move(kept);
  d.count();
}

namespace {

// A call and how often its inputs had been written by then.
struct Seen {
  size_t step;                               // among those kept
  std::vector<int> writes;
};

bool same_call(const Step& a, const Step& b) {
  if (a.def != b.def || a.nout != b.nout || a.arrays.size() != b.arrays.size() || a.numbers.size() != b.numbers.size()) return false;
  for (size_t k = 0; k < a.numbers.size(); ++k) {
    const Number &m = a.numbers[k], &n = b.numbers[k];
    if (m.is_float != n.is_float || m.i != n.i || std::memcmp(&m.f, &n.f, sizeof m.f) != 0) return false;
  }
  for (size_t k = 0; k < a.arrays.size(); ++k) {
    const Array &x = a.arrays[k], &y = b.arrays[k];
    if (!x.storage != !y.storage) return false;
    if (!x.storage) continue;
    if (!same_view(x, y) || x.wrapped_number != y.wrapped_number) return false;
    if (k < static_cast<size_t>(a.nout) ? x.storage->nbytes != y.storage->nbytes : x.storage != y.storage) return false;
  }
  return true;
}

// A pointwise call on rows, which belongs to a chain: there, computing a value again costs less than storing it.
bool cheap_in_a_chain(const Step& s) {
  if (!s.def->pointwise) return false;
  for (const Array& a : s.arrays)
    if (a.storage && a.numel == s.arrays[0].numel && !a.contiguous()) return false;
  return true;
}

}  // namespace

// A call whose like has been made of the same values: its result is that one's. A convolution's strided input, for example, is
// copied in the forward and again in the backward pass.
void share_repeated_steps(Draft& d) {
  std::unordered_map<const Storage*, int> writes;
  std::unordered_map<const Storage*, Array> instead;         // of the results of calls that are left out
  std::unordered_map<const KernelDef*, std::vector<Seen>> seen;
  std::vector<Step> kept;
  for (Step& s : d.steps) {
    bool once = s.nout > 0 && !cheap_in_a_chain(s);          // written here alone, and not what it reads
    for (int k = 0; k < s.nout; ++k) {
      const StorageUse& u = d.uses.at(s.arrays[static_cast<size_t>(k)].storage);
      once = once && u.part != Part::external && u.part != Part::argument && u.writers == 1;
    }
    Seen now{kept.size(), {}};
    for (size_t k = static_cast<size_t>(s.nout); k < s.arrays.size(); ++k) {
      Array& a = s.arrays[k];
      once = once && !(a.storage && s.writes(a.storage));
      if (auto other = instead.find(a.storage); other != instead.end()) {
        Array b = other->second;             // the same memory, seen as a sees its own
        std::swap(a.storage, b.storage);
      }
      now.writes.push_back(a.storage ? writes[a.storage] : 0);
    }
    if (once) {
      std::vector<Seen>& others = seen[s.def];
      auto like = std::find_if(others.begin(), others.end(),
                               [&](const Seen& o) { return o.writes == now.writes && same_call(kept[o.step], s); });
      if (like != others.end() && pure(d, s)) {
        for (int k = 0; k < s.nout; ++k)
          instead.emplace(s.arrays[static_cast<size_t>(k)].storage, kept[like->step].arrays[static_cast<size_t>(k)]);
        continue;
      }
      others.push_back(std::move(now));
    }
    for (int k = 0; k < s.nout; ++k) ++writes[s.arrays[static_cast<size_t>(k)].storage];
    kept.push_back(std::move(s));
  }
  d.steps = std::move(kept);
  d.count();
}

// ---- chains of pointwise calls ------------------------------------------------------------------------------------------
//
// Neighbouring pointwise calls of one shape become one call of the kernel "fused", which runs them tile by tile: what only
// they pass on to each other stays in L1. Encoding in its numbers: see native/kernels/fused.cpp.
namespace {

constexpr size_t kMaxFused = 24;             // calls in one chain
constexpr size_t kMaxFusedArrays = 64;       // that they mention
constexpr int kMaxFusedOperands = 4;

bool computed_in_float(DType t) { return t == DType::f32 || is_half(t); }

// Float32 or half types in and out (bool where the kernel says so), on memory in row-major order.
bool fusible(const Step& s) {
  const PointwiseDef* p = s.def->pointwise;
  if (!p || p->arity > kMaxFusedOperands || s.nout != 1 || static_cast<int>(s.arrays.size()) != 1 + p->arity) return false;
  const Array& out = s.arrays[0];
  if (!out.contiguous() || out.numel < 2 || !p->tile[static_cast<int>(DType::f32)]) return false;
  if (p->kind == Kind::compare ? out.dtype != DType::b8 : !computed_in_float(out.dtype)) return false;
  bool full = false;
  for (int k = 0; k < p->arity; ++k) {
    const Array& a = s.arrays[static_cast<size_t>(k) + 1];
    const bool condition = p->kind == Kind::predicate && k == 0, number = a.wrapped_number && a.ndim == 0;
    if (condition ? a.dtype != DType::b8 : !computed_in_float(a.dtype) && !number) return false;
    if (number && is_floating(a.dtype) && default_dtype() != DType::f32) return false;
    full |= !condition && !number && a.ndim > 0;
    if (a.storage == out.storage && !same_view(a, out)) return false;
  }
  return full || p->kind == Kind::compare;
}

struct Chain {
  std::vector<size_t> steps;
  size_t arrays = 0;
  std::unordered_set<const Storage*> reads, writes;
};

// Whether `s` has to come after what the chain does, or before it could be delayed.
bool conflicts(const Chain& c, const Step& s) {
  for (size_t k = 0; k < s.arrays.size(); ++k) {
    const Storage* a = s.arrays[k].storage;
    if (!a) continue;
    if (c.writes.count(a)) return true;
    if (k < static_cast<size_t>(s.nout) && c.reads.count(a)) return true;
  }
  return false;
}

// All accesses to one storage within a chain must be to the same elements in the same order, if any of them writes.
bool fits(const Chain& c, const std::vector<Step>& steps, const Step& s) {
  if (c.steps.size() == kMaxFused || c.arrays + s.arrays.size() > kMaxFusedArrays) return false;
  if (!same_shape(steps[c.steps[0]].arrays[0], s.arrays[0])) return false;
  for (size_t i : c.steps)
    for (size_t k = 0; k < steps[i].arrays.size(); ++k)
      for (size_t j = 0; j < s.arrays.size(); ++j) {
        const Array &a = steps[i].arrays[k], &b = s.arrays[j];
        if (a.storage && a.storage == b.storage && (k == 0 || j == 0) && !same_view(a, b)) return false;
      }
  return true;
}

Step fuse(const Draft& d, const Chain& c, const std::vector<Step>& steps, const KernelDef* def) {
  // Registers for values that nobody outside of the chain sees.
  std::unordered_map<const Storage*, int> inside;            // -> how many of the chain's steps touch it
  for (size_t i : c.steps)
    for (const Array& a : steps[i].arrays)
      if (a.storage) ++inside[a.storage];
  std::unordered_map<const Storage*, int> touched;
  for (const Step& s : steps)
    for (const Array& a : s.arrays)
      if (a.storage && inside.count(a.storage)) ++touched[a.storage];
  Step f{def, 0, {}, {}};
  std::vector<Array> outs, ins;
  std::unordered_map<const Storage*, size_t> last_use;
  for (size_t i : c.steps)
    for (const Array& a : steps[i].arrays)
      if (a.storage) last_use[a.storage] = i;
  std::unordered_map<const Storage*, int> reg;
  std::vector<int> unused;
  int registers = 0;
  struct Code { int kind, index; };          // 0: output array, 1: input array, 2: register
  auto find = [](std::vector<Array>& list, const Array& a) {
    for (size_t i = 0; i < list.size(); ++i)
      if (list[i].storage == a.storage && same_view(list[i], a) && list[i].wrapped_number == a.wrapped_number) return static_cast<int>(i);
    list.push_back(a);
    return static_cast<int>(list.size()) - 1;
  };
  auto number = [](int64_t i) { return Number{i, static_cast<double>(i), false}; };
  std::vector<Number> code;
  for (size_t i : c.steps) {
    const Step& s = steps[i];
    const Array& out = s.arrays[0];
    const StorageUse& u = d.uses.at(out.storage);
    const bool local = u.part == Part::temporary && u.writers == 1 && inside[out.storage] == touched[out.storage];
    std::vector<Code> operands;
    for (size_t k = 1; k < s.arrays.size(); ++k) {
      const Array& a = s.arrays[k];
      if (auto r = reg.find(a.storage); r != reg.end()) operands.push_back({2, r->second});
      else {
        bool written = false;
        for (size_t o = 0; o < outs.size(); ++o)
          if (outs[o].storage == a.storage && same_view(outs[o], a)) operands.push_back({0, static_cast<int>(o)}), written = true;
        if (!written) operands.push_back({1, find(ins, a)});
      }
    }
    Code target{0, 0};
    if (local) {
      if (unused.empty()) unused.push_back(registers++);
      target = {2, reg[out.storage] = unused.back()};
      unused.pop_back();
    } else {
      target = {0, find(outs, out)};
    }
    for (size_t k = 1; k < s.arrays.size(); ++k) {           // a register may be used again after its value's last reader
      const Storage* a = s.arrays[k].storage;
      auto r = reg.find(a);
      if (r == reg.end() || last_use[a] != i) continue;
      unused.push_back(r->second);
      last_use[a] = 0;
    }
    code.push_back(number(reinterpret_cast<int64_t>(s.def->pointwise)));
    code.push_back(number(static_cast<int64_t>(operands.size())));
    code.push_back(number(static_cast<int64_t>(s.numbers.size())));
    code.push_back(number(target.kind));
    code.push_back(number(target.index));
    code.push_back(number(static_cast<int64_t>(out.dtype)));
    for (const Code& o : operands) {
      code.push_back(number(o.kind));
      code.push_back(number(o.index));
    }
    code.insert(code.end(), s.numbers.begin(), s.numbers.end());
  }
  f.nout = static_cast<int>(outs.size());
  f.arrays = std::move(outs);
  f.arrays.insert(f.arrays.end(), ins.begin(), ins.end());
  f.numbers = {number(static_cast<int64_t>(c.steps.size())), number(registers)};
  const Array& shape = steps[c.steps[0]].arrays[0];
  f.numbers.push_back(number(shape.ndim));
  for (int i = 0; i < shape.ndim; ++i) f.numbers.push_back(number(shape.shape[i]));
  f.numbers.insert(f.numbers.end(), code.begin(), code.end());
  return f;
}

}  // namespace

void fuse_pointwise(Draft& d) {
  const KernelDef* def = find_kernel("fused");
  if (!def) return;
  std::vector<Chain> done;
  std::vector<std::unique_ptr<Chain>> open;
  auto close = [&](Chain& c) {
    if (c.steps.size() > 1) done.push_back(std::move(c));
  };
  for (size_t i = 0; i < d.steps.size(); ++i) {
    const Step& s = d.steps[i];
    Chain* home = nullptr;
    if (fusible(s))
      for (auto& c : open)
        if (!home && fits(*c, d.steps, s)) home = c.get();
    // A chain runs where its last call stood, so any other chain that this call depends on ends here.
    for (auto& c : open)
      if (c.get() != home && conflicts(*c, s)) {
        close(*c);
        c.reset();
      }
    open.erase(std::remove(open.begin(), open.end(), nullptr), open.end());
    if (!fusible(s)) continue;
    if (!home) {
      open.push_back(std::make_unique<Chain>());
      home = open.back().get();
    }
    home->steps.push_back(i);
    home->arrays += s.arrays.size();
    home->writes.insert(s.arrays[0].storage);
    for (size_t k = 1; k < s.arrays.size(); ++k) home->reads.insert(s.arrays[k].storage);
  }
  for (auto& c : open) close(*c);
  if (done.empty()) return;
  std::unordered_map<size_t, size_t> ends;   // last step -> chain
  std::unordered_set<size_t> members;
  for (size_t c = 0; c < done.size(); ++c) {
    ends[done[c].steps.back()] = c;
    members.insert(done[c].steps.begin(), done[c].steps.end());
  }
  std::vector<Step> fused;
  fused.reserve(done.size());
  for (const Chain& c : done) fused.push_back(fuse(d, c, d.steps, def));
  std::vector<Step> next;
  for (size_t i = 0; i < d.steps.size(); ++i) {
    if (auto at = ends.find(i); at != ends.end()) next.push_back(std::move(fused[at->second]));
    else if (!members.count(i)) next.push_back(std::move(d.steps[i]));
  }
  d.steps = std::move(next);
  d.count();
}

}  // namespace rl
