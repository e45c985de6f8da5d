#include "python.h"

namespace rl::py {
namespace {

// The widest instruction set that this CPU runs and that kernels were built for.
const char* best_isa() {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("x86-64-v4")) return "v4";
  if (__builtin_cpu_supports("x86-64-v3")) return "v3";
#endif
  return "base";
}

}  // namespace
}  // namespace rl::py

NB_MODULE(_native, m) {
  using namespace rl::py;
  nb::set_leak_warnings(false);              // arrays may outlive the interpreter's shutdown order
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const rl::NotImplemented& e) {
      PyErr_SetString(PyExc_NotImplementedError, e.what());
    } catch (const std::bad_alloc&) {
      PyErr_SetString(PyExc_RuntimeError, "not enough memory: the allocation could not be satisfied");
    } catch (const std::domain_error& e) {
      PyErr_SetString(PyExc_TypeError, e.what());
    }
  });
  bind_array(m);
  bind_kernels(m);
  bind_tensor(m);
  bind_programs(m);
  bind_autocast(m);
  m.def("best_isa", best_isa);
}
