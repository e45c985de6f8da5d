// Kernels that are independent along the first dimension (images, rows) take half types slice by slice: some operands have as
// many rows, and float32 copies of a slice of them stay in the cache, where whole copies would go through memory.
//
// Slices are jobs of one parallel region, in which the kernel's own are serial; few large ones come one after the other, and are
// each done by all threads. The kernel makes of a slice what it makes of the whole, so that every bit is the same.
#pragma once

#include "convert.h"

namespace rl {
namespace {

constexpr int64_t kSliceBytes = 393216;       // of float32 copies: they stay in a core's own cache
constexpr int64_t kSlicesWanted = 16;         // so that any number of threads has work

// halves, others: operands (outputs, then inputs) that are cut; of the first the float32 kernel sees copies if they are halves.
struct SliceForm {
  uint32_t halves, others;
  int axis;                                   // the number that says along which dimension the kernel works; -1: not the first
};

class Slices {
 public:
  Slices(const Call& c, SliceForm form) : call_(c), form_(form) {
    const Array& lead = operand(__builtin_ctz(form.halves));
    rows_ = lead.ndim > 0 ? lead.shape[0] : 1;
    int64_t bytes = 0;
    for (int k = 0; k < c.nout + c.nin; ++k)
      if (form.halves >> k & 1) bytes += operand(k).numel * static_cast<int64_t>(sizeof(float));
    whole_ = lead.ndim == 0 || rows_ == 0 || (form.axis >= 0 && c.inum(form.axis) == 0);
    per_ = whole_ ? std::max<int64_t>(1, rows_) : std::clamp<int64_t>(kSliceBytes / std::max<int64_t>(1, bytes / rows_), 1, rows_);
  }

  template <class H>
  void run(void (*kernel)(const Call&)) const {
    const int64_t count = std::max<int64_t>(1, (rows_ + per_ - 1) / per_);
    auto one = [&](int64_t i) { slice<H>(i * per_, std::min(rows_, (i + 1) * per_), kernel); };
    if (count >= kSlicesWanted) return parallel_for(count, one);
    for (int64_t i = 0; i < count; ++i) one(i);
  }

 private:
  static constexpr int kMost = 8;             // operands

  struct Copy : Storage {
    ~Copy() {
      if (data) g_core->free(data, nbytes);
    }
  };

  const Array& operand(int k) const { return k < call_.nout ? *call_.out[k] : *call_.in[k - call_.nout]; }

  template <class H>
  void slice(int64_t first, int64_t end, void (*kernel)(const Call&)) const {
    const int n = call_.nout + call_.nin;
    const Array* all[kMost];
    Copy copies[kMost];
    Array parts[kMost];                       // hold copies, and go before them
    for (int k = 0; k < n; ++k) {
      all[k] = k < call_.nout ? call_.out[k] : call_.in[k - call_.nout];
      if (!all[k] || !((form_.halves | form_.others) >> k & 1)) continue;
      Array& part = parts[k];
      part = *all[k];
      if (!whole_) {
        const int64_t row = part.numel / rows_;
        part.shape[0] = end - first;
        part.numel = row * (end - first);
        part.offset += first * row;
      }
      all[k] = &part;
      if (!(form_.halves >> k & 1)) continue;
      const int64_t size = part.numel;
      Copy& copy = copies[k];
      copy.nbytes = static_cast<size_t>(std::max<int64_t>(1, size)) * sizeof(float);
      copy.data = g_core->alloc(copy.nbytes);
      if (k >= call_.nout) {
        const H* from = part.ptr<H>();
        float* to = static_cast<float*>(copy.data);
        pieces(size, [&](int64_t at, int64_t m) { widen(from + at, m, to + at); });
      }
      part.drop();
      part.storage = &copy;
      part.dtype = DType::f32;
      part.offset = 0;
    }
    kernel(Call{call_.def, all, call_.nout, all + call_.nout, call_.nin, call_.num, call_.nnum});
    for (int k = 0; k < call_.nout; ++k) {
      if (!copies[k].data) continue;
      H* to = call_.out[k]->ptr<H>() + (whole_ ? 0 : first * (parts[k].numel / (end - first)));
      const float* from = static_cast<const float*>(copies[k].data);
      pieces(parts[k].numel, [&](int64_t at, int64_t m) { narrow(from + at, m, to + at); });
    }
  }

  template <class F>
  static void pieces(int64_t n, const F& fn) {
    constexpr int64_t kPiece = 65536;
    parallel_for((n + kPiece - 1) / kPiece, [&](int64_t i) { fn(i * kPiece, std::min(kPiece, n - i * kPiece)); });
  }

  const Call& call_;
  const SliceForm form_;
  int64_t rows_, per_;
  bool whole_;
};

template <void (*KERNEL)(const Call&), uint32_t HALVES, uint32_t OTHERS, int AXIS>
void run_in_slices(const Call& c) {
  constexpr int first = __builtin_ctz(HALVES);
  const DType type = (first < c.nout ? c.out[first] : c.in[first - c.nout])->dtype;
  const SliceForm form{HALVES, OTHERS, AXIS};
  if (type == DType::bf16) return Slices(c, form).run<bfloat16>(KERNEL);
  if (type == DType::f16) return Slices(c, form).run<float16>(KERNEL);
  KERNEL(c);
}

// A kernel of float32 and float64 whose operands `halves_` (contiguous, of at most one half type) and `others_` may be cut along
// the first dimension; it has at most eight. `axis_`: see SliceForm.
#define RL_KERNEL_SLICES(name_, nout_, infer_, run_, halves_, others_, axis_) \
  RL_KERNEL_ROWS(name_, nout_, infer_, (run_in_slices<run_, halves_, others_, axis_>), halves_)

}  // namespace
}  // namespace rl
