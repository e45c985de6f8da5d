// Kernels as Python callables.
//
// kernels.softmax(x, dim) allocates its outputs; kernels.softmax_into(out, x, dim) writes into given ones
// and counts as an in-place write. Arguments are arrays, None, numbers, or lists and tuples of these, and
// are passed on in order: nothing is converted, nothing is copied.
#include <cstring>
#include <deque>

#include "../core/recorder.h"
#include "python.h"

namespace rl::py {
namespace {

constexpr int kInline = 16;
constexpr int64_t kReleaseGil = 1 << 15;     // elements above which other Python threads may run meanwhile

// A small vector: calls rarely have more than a dozen arguments, optimizers have hundreds of arrays.
template <class T>
struct Args {
  T fixed[kInline];
  std::vector<T> more;
  int n = 0;
  void push(T x) {
    if (n < kInline) {
      fixed[n++] = x;
      return;
    }
    if (n == kInline) more.assign(fixed, fixed + kInline);
    more.push_back(x);
    ++n;
  }
  T* data() { return n <= kInline ? fixed : more.data(); }
};

struct Parsed {
  Args<const Array*> arrays;
  Args<Number> numbers;
  std::deque<Array> owned;                   // 0-d arrays made from Python numbers
  int operands = 0;                          // leading arguments that are operands of a pointwise kernel

  void number(PyObject* o) {
    if (PyBool_Check(o)) {
      bool b = o == Py_True;
      numbers.push(Number{b, static_cast<double>(b), false});
    } else if (PyLong_Check(o)) {
      int64_t v = PyLong_AsLongLong(o);
      if (v == -1 && PyErr_Occurred()) throw nb::python_error();
      numbers.push(Number{v, static_cast<double>(v), false});
    } else if (PyFloat_Check(o)) {
      double v = PyFloat_AS_DOUBLE(o);
      int64_t i = v >= -9.2e18 && v <= 9.2e18 ? static_cast<int64_t>(v) : 0;
      numbers.push(Number{i, v, true});
    } else if (PyIndex_Check(o)) {
      PyObject* index = PyNumber_Index(o);
      if (!index) throw nb::python_error();
      number(index);
      Py_DECREF(index);
    } else {
      throw std::domain_error(std::string("a kernel takes arrays and numbers, got ") + Py_TYPE(o)->tp_name);
    }
  }

  void scalar_operand(PyObject* o) {
    Array a;
    a.wrapped_number = true;
    if (PyBool_Check(o)) {
      a.dtype = DType::b8;
    } else if (PyLong_Check(o)) {
      a.dtype = DType::i64;
    } else if (PyFloat_Check(o)) {
      a.dtype = DType::f64;
    } else if (!Py_TYPE(o)->tp_as_number || !(Py_TYPE(o)->tp_as_number->nb_float || Py_TYPE(o)->tp_as_number->nb_index)) {
      throw std::domain_error(std::string("unsupported operand type(s): 'Tensor' and '") + Py_TYPE(o)->tp_name + "'");
    } else if (PyObject* f = PyNumber_Float(o)) {            // NumPy scalars and the like
      bool whole = PyIndex_Check(o);
      double v = PyFloat_AS_DOUBLE(f);
      Py_DECREF(f);
      a.dtype = whole ? DType::i64 : DType::f64;
      a.storage = new_storage(8);
      if (whole) *a.ptr<int64_t>() = static_cast<int64_t>(v);
      else *a.ptr<double>() = v;
      owned.push_back(std::move(a));
      arrays.push(&owned.back());
      return;
    } else {
      throw nb::python_error();
    }
    a.storage = new_storage(static_cast<size_t>(item_size(a.dtype)));  // no byte more: recordings compare constants
    if (a.dtype == DType::b8) *a.ptr<bool>() = o == Py_True;
    else if (a.dtype == DType::f64) *a.ptr<double>() = PyFloat_AS_DOUBLE(o);
    else {
      int64_t v = PyLong_AsLongLong(o);
      if (v == -1 && PyErr_Occurred()) throw nb::python_error();
      *a.ptr<int64_t>() = v;
    }
    owned.push_back(std::move(a));
    arrays.push(&owned.back());
  }

  void add(PyObject* o) {
    if (is_array(o)) {
      arrays.push(array_of(o));
    } else if (operands > 0 && o != Py_None && !PyTuple_Check(o) && !PyList_Check(o)) {
      scalar_operand(o);
    } else if (o == Py_None) {
      arrays.push(nullptr);
    } else if (PyTuple_Check(o)) {
      for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(o); ++k) add(PyTuple_GET_ITEM(o, k));
      return;
    } else if (PyList_Check(o)) {
      for (Py_ssize_t k = 0; k < PyList_GET_SIZE(o); ++k) add(PyList_GET_ITEM(o, k));
      return;
    } else {
      number(o);
      return;
    }
    if (operands > 0) --operands;
  }
};

void run_maybe_released(const Call& c) {
  int64_t work = 0;
  for (int k = 0; k < c.nout; ++k) work += c.out[k]->numel;
  for (int k = 0; k < c.nin; ++k) work += c.in[k] ? c.in[k]->numel : 0;
  if (work < kReleaseGil || active_recorder()) {
    run(c);
    return;
  }
  nb::gil_scoped_release release;
  run(c);
}

const KernelDef* def_of(PyObject* self) {
  return static_cast<const KernelDef*>(PyCapsule_GetPointer(self, nullptr));
}

PyObject* call_alloc(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  const KernelDef* def = def_of(self);
  try {
    Parsed p;
    if (def->pointwise) p.operands = def->pointwise->arity;
    for (Py_ssize_t k = 0; k < nargs; ++k) p.add(args[k]);
    if (def->pointwise && p.arrays.n < def->pointwise->arity)
      throw std::domain_error(std::string(def->name) + " takes " + std::to_string(def->pointwise->arity) + " operands");
    Call c{def, nullptr, 0, p.arrays.data(), p.arrays.n, p.numbers.data(), p.numbers.n};
    constexpr int kMaxOut = 8;
    Meta metas[kMaxOut];
    def->infer(c, metas);
    Array outs[kMaxOut];
    const Array* out_ptrs[kMaxOut];
    for (int k = 0; k < def->nout; ++k) {
      outs[k] = empty(metas[k]);
      out_ptrs[k] = &outs[k];
    }
    c.out = out_ptrs;
    c.nout = def->nout;
    run_maybe_released(c);
    if (def->nout == 1) return wrap_array(std::move(outs[0]));
    PyObject* result = PyTuple_New(def->nout);
    for (int k = 0; result && k < def->nout; ++k) PyTuple_SET_ITEM(result, k, wrap_array(std::move(outs[k])));
    return result;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

PyObject* call_into(PyObject* self, PyObject* const* args, Py_ssize_t nargs) {
  const KernelDef* def = def_of(self);
  try {
    Parsed p;
    // Outputs come first; a list counts as its elements (multi-tensor kernels: their count is the number
    // of arrays in the first argument).
    int nout = def->nout;
    if (nargs > 0 && (PyList_Check(args[0]) || PyTuple_Check(args[0]))) {
      p.add(args[0]);
      nout = p.arrays.n;
      for (Py_ssize_t k = 1; k < nargs; ++k) p.add(args[k]);
    } else {
      for (Py_ssize_t k = 0; k < nargs; ++k) {
        if (k == nout && def->pointwise) p.operands = def->pointwise->arity;
        p.add(args[k]);
      }
    }
    int need = nout + (def->pointwise ? def->pointwise->arity : 0);
    if (p.arrays.n < need) throw std::domain_error(std::string(def->name) + "_into: too few arrays");
    const Array* const* all = p.arrays.data();
    for (int k = 0; k < nout; ++k)
      if (!all[k]) throw std::domain_error(std::string(def->name) + "_into: an output is None");
    Call c{def, all, nout, all + nout, p.arrays.n - nout, p.numbers.data(), p.numbers.n};
    run_maybe_released(c);
    for (int k = 0; k < nout; ++k)
      if (!all[k]->untracked) all[k]->storage->version++;
    Py_RETURN_NONE;
  } catch (...) {
    set_python_error();
    return nullptr;
  }
}

}  // namespace

void set_python_error() {
  try {
    throw;
  } catch (nb::python_error& e) {
    e.restore();
  } catch (const NotImplemented& e) {
    PyErr_SetString(PyExc_NotImplementedError, e.what());
  } catch (const std::out_of_range& e) {
    PyErr_SetString(PyExc_IndexError, e.what());
  } catch (const std::invalid_argument& e) {
    PyErr_SetString(PyExc_ValueError, e.what());
  } catch (const std::domain_error& e) {
    PyErr_SetString(PyExc_TypeError, e.what());
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_RuntimeError, "not enough memory: the allocation could not be satisfied");
  } catch (const std::exception& e) {
    PyErr_SetString(PyExc_RuntimeError, e.what());
  }
}

void bind_kernels(nb::module_& m) {
  m.def("load_kernels", [](const char* path, nb::object space) {
    load_kernels(path);
    // Method tables must outlive the functions: kernels are loaded once per process, so leak them.
    for (const KernelDef* def : all_kernels()) {
      PyObject* capsule = PyCapsule_New(const_cast<KernelDef*>(def), nullptr, nullptr);
      std::string into = std::string(def->name) + "_into";
      auto* methods = new PyMethodDef[2]{
          {def->name, reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call_alloc)), METH_FASTCALL, nullptr},
          {strdup(into.c_str()), reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(call_into)), METH_FASTCALL, nullptr}};
      if (def->infer)
        nb::setattr(space, def->name, nb::steal(PyCFunction_NewEx(&methods[0], capsule, nullptr)));
      nb::setattr(space, into.c_str(), nb::steal(PyCFunction_NewEx(&methods[1], capsule, nullptr)));
      Py_DECREF(capsule);
    }
  });
  m.def("kernel_names", [] {
    nb::list names;
    for (const KernelDef* def : all_kernels()) names.append(nb::str(def->name));
    return names;
  });
}

}  // namespace rl::py
