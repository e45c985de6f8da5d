#include "dispatch.h"

#include <dlfcn.h>

#include <unordered_map>
#include <vector>

#include "denormals.h"
#include "memory.h"
#include "recorder.h"
#include "threads.h"

namespace rl {
namespace {

DType g_default_dtype = DType::f32;

struct Registry {
  std::unordered_map<std::string, const KernelDef*> by_name;
  std::vector<const KernelDef*> all;
  const KernelDef* copy = nullptr;
};

Registry& registry() {
  static Registry r;
  return r;
}

const CoreApi kCoreApi = {pool_parallel_for, scratch_alloc, scratch_free, &g_default_dtype};

void copy_array(const Array& out, const Array& in) {
  const Array* o = &out;
  const Array* i = &in;
  Call c{registry().copy, &o, 1, &i, 1, nullptr, 0};
  run(c);
}

const Array* operand(const Call& c, int k) { return k < c.nout ? c.out[k] : c.in[k - c.nout]; }

// Which operands the kernel takes as they are.
class Taken {
 public:
  explicit Taken(const Call& c) : call_(c) {
    const Array* first = nullptr;
    for (int k = 0; k < c.nout + c.nin && k < 32; ++k) {
      const Array* a = operand(c, k);
      if (!a || !(c.def->half_operands >> k & 1)) continue;
      if (!first) first = a;
      one_type_ &= a->dtype == first->dtype;
    }
  }
  bool operator()(int k) const {
    const Array* a = operand(call_, k);
    if (!a || !is_half(a->dtype)) return true;
    const KernelDef& d = *call_.def;
    if (!(d.halfs & (a->dtype == DType::f16 ? kFloat16 : kBFloat16))) return false;
    return d.half_operands == 0 || (one_type_ && k < 32 && d.half_operands >> k & 1);
  }
  bool all() const {
    for (int k = 0; k < call_.nout + call_.nin; ++k)
      if (!(*this)(k)) return false;
    return true;
  }

 private:
  const Call& call_;
  bool one_type_ = true;
};

// Kernels that compute in float32 or float64 get float32 copies of half operands that they do not take; results are rounded
// back once. One mechanism gives every op its float16 and bfloat16 form.
void run_in_float(const Call& c, const Taken& taken) {
  std::vector<Array> temps;
  temps.reserve(static_cast<size_t>(c.nout + c.nin));
  std::vector<const Array*> outs(c.out, c.out + c.nout), ins(c.in, c.in + c.nin);
  for (int k = 0; k < c.nin; ++k) {
    const Array*& in = ins[static_cast<size_t>(k)];
    if (taken(c.nout + k)) continue;
    temps.push_back(empty_like_contiguous(*in, DType::f32));
    copy_array(temps.back(), *in);
    in = &temps.back();
  }
  for (int k = 0; k < c.nout; ++k) {
    const Array*& out = outs[static_cast<size_t>(k)];
    if (taken(k)) continue;
    temps.push_back(empty_like_contiguous(*out, DType::f32));
    if (!c.def->infer) copy_array(temps.back(), *out);       // kernels that only take outputs may update them
    out = &temps.back();
  }
  run(Call{c.def, outs.data(), c.nout, ins.data(), c.nin, c.num, c.nnum});
  for (int k = 0; k < c.nout; ++k)
    if (outs[static_cast<size_t>(k)] != c.out[k]) copy_array(*c.out[k], *outs[static_cast<size_t>(k)]);
}

}  // namespace

bool g_flush_denormals = true;

void load_kernels(const std::string& path) {
  void* lib = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!lib) throw std::runtime_error(std::string("cannot load the kernel library: ") + dlerror());
  auto init = reinterpret_cast<KernelDef* (*)(const CoreApi*)>(dlsym(lib, "rl_kernels_init"));
  if (!init) throw std::runtime_error("not a kernel library: " + path);
  Registry& r = registry();
  r.by_name.clear();
  r.all.clear();
  for (const KernelDef* d = init(&kCoreApi); d; d = d->next) {
    if (!r.by_name.emplace(d->name, d).second)
      throw std::logic_error(std::string("two kernels are named ") + d->name);
    r.all.push_back(d);
  }
  r.copy = find_kernel("copy");
}

const KernelDef* find_kernel(const std::string& name) {
  auto& m = registry().by_name;
  auto it = m.find(name);
  return it == m.end() ? nullptr : it->second;
}

const std::vector<const KernelDef*>& all_kernels() { return registry().all; }

DType default_dtype() { return g_default_dtype; }
void set_default_dtype(DType t) { g_default_dtype = t; }

void run(const Call& c) {
  if (c.def->halfs != (kFloat16 | kBFloat16) || c.def->half_operands) {
    const Taken taken(c);
    if (!taken.all()) return run_in_float(c, taken);
  }
  if (Recorder* r = active_recorder()) r->append(c);
  FlushDenormals flush;
  c.def->run(c);
}

Array empty(const Meta& m) {
  Array a;
  a.dtype = m.dtype;
  a.ndim = m.ndim;
  for (int i = 0; i < m.ndim; ++i) a.shape[i] = m.shape[i];
  a.set_contiguous();
  if (m.has_strides)
    for (int i = 0; i < m.ndim; ++i) a.strides[i] = m.strides[i];
  a.storage = new_storage(static_cast<size_t>(a.numel) * static_cast<size_t>(item_size(a.dtype)));
  return a;
}

Array empty_like_contiguous(const Array& a, DType dtype) {
  Meta m;
  m.like(a);
  m.dtype = dtype;
  return empty(m);
}

}  // namespace rl
