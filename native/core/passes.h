// Passes over a program under construction: see Note [Programs and order] in program.h.
#pragma once

#include <unordered_map>
#include <vector>

#include "program.h"

namespace rl {

// One call of a program under construction.
struct Step {
  const KernelDef* def;
  int nout;
  std::vector<Array> arrays;                 // outputs, then inputs
  std::vector<Number> numbers;

  bool writes(const Storage* s) const;
  bool reads(const Storage* s) const;        // as an input; an output written in place counts as well, see in_place
};

struct StorageUse {
  Part part = Part::external;
  int index = -1;                            // of an argument or a result
  int writers = 0;
  int recorded_writers = 0;                  // in the recording, whose memory holds what the last of them wrote
  int first = 0, last = 0;                   // steps between which a temporary is needed
};

// What passes work on.
struct Draft {
  std::vector<Step> steps;
  std::unordered_map<const Storage*, StorageUse> uses;

  StorageUse& use(const Storage* s) { return uses[s]; }
  void count();                              // fills writers, first and last
};

void drop_dead_steps(Draft& d);
void fold_constants(Draft& d);
void share_repeated_steps(Draft& d);
void relu_after_pooling(Draft& d);
void fuse_relu(Draft& d);
void fuse_pointwise(Draft& d);

inline bool same_view(const Array& a, const Array& b) {
  if (a.offset != b.offset || a.ndim != b.ndim || a.dtype != b.dtype) return false;
  for (int i = 0; i < a.ndim; ++i)
    if (a.shape[i] != b.shape[i] || (a.shape[i] != 1 && a.strides[i] != b.strides[i])) return false;
  return true;
}

inline bool same_shape(const Array& a, const Array& b) {
  if (a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; ++i)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

inline bool outlives(const StorageUse& u) { return u.part != Part::temporary && u.part != Part::constant; }

}  // namespace rl
