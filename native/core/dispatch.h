// The registry of kernels, and the one function that runs a call.
#pragma once

#include <string>
#include <vector>

#include "kernel.h"

namespace rl {

// Opens librl_kernels_<isa>.so and fills the registry. Throws std::runtime_error if it cannot.
void load_kernels(const std::string& path);
const KernelDef* find_kernel(const std::string& name);   // null if there is none
const std::vector<const KernelDef*>& all_kernels();

DType default_dtype();
void set_default_dtype(DType t);

// Runs one call: converts half operands for kernels that do not take them, appends to the recorder.
void run(const Call& call);

Array empty(const Meta& m);
Array empty_like_contiguous(const Array& a, DType dtype);

}  // namespace rl
