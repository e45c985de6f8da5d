// The registry of kernels, the one function that runs a call, and the recorder.
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "kernel.h"

namespace rl {

// Opens librl_kernels_<isa>.so and fills the registry. Throws std::runtime_error if it cannot.
void load_kernels(const std::string& path);
const KernelDef* find_kernel(const std::string& name);   // null if there is none
const std::vector<const KernelDef*>& all_kernels();

DType default_dtype();
void set_default_dtype(DType t);

// One kernel call, kept. Arrays are held by value, so their storages live as long as the record.
struct Record {
  const KernelDef* def;
  int nout;
  std::vector<Array> arrays;                 // outputs, then inputs; no storage where None was passed
  std::vector<Number> numbers;
};

struct Recorder {
  std::vector<Record> records;
  void replay() const;                       // the same kernels on the same storages, in the same order
};

Recorder* active_recorder();
void set_active_recorder(Recorder* r);

// Runs one call: converts half operands for kernels that do not take them, appends to the recorder.
void run(const Call& call);

Array empty(const Meta& m);
Array empty_like_contiguous(const Array& a, DType dtype);

}  // namespace rl
