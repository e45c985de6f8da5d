// What the binding files share.
#pragma once

#include <nanobind/nanobind.h>

#include "../core/array.h"
#include "../core/dispatch.h"

namespace rl::py {

namespace nb = nanobind;

extern PyTypeObject* g_array_type;           // the Python type of rl::Array
extern PyObject* g_dtypes[kNumDTypes];       // rushlight.float32, … in the enum's order

inline bool is_array(PyObject* o) { return Py_TYPE(o) == g_array_type; }
inline Array* array_of(PyObject* o) { return nb::inst_ptr<Array>(nb::handle(o)); }
PyObject* wrap_array(Array&& a);             // new reference

void set_python_error();                     // call inside catch (...)

void bind_array(nb::module_& m);
void bind_kernels(nb::module_& m);
void bind_tensor(nb::module_& m);
void bind_programs(nb::module_& m);
void bind_autocast(nb::module_& m);

}  // namespace rl::py
