// Running the rules of a node made by an op: saved values are checked and handed over, rules called.
#include "tensor.h"

namespace rl::py {
namespace {

PyObject *g_str_rules, *g_str_joint, *g_str_saves, *g_str_indices, *g_str_adding, *g_str_raise_freed;

PyObject* overwritten(PyObject* node, PyObject* tensor, uint32_t now, PyObject* expected, bool is_output) {
  PyObject* r = PyObject_CallMethod(node, "_raise_overwritten", "OIOi", tensor, now, expected, is_output ? 1 : 0);
  Py_XDECREF(r);
  return nullptr;
}

// A saved input (new reference); raises if it has been written since.
PyObject* unpack_input(PyObject* node, PyObject* item) {
  if (!PyTuple_CheckExact(item) || PyTuple_GET_SIZE(item) != 2 || !is_tensor(PyTuple_GET_ITEM(item, 0))) return Py_NewRef(item);
  PyObject* t = PyTuple_GET_ITEM(item, 0);
  uint32_t now = array_of(reinterpret_cast<Tensor*>(t)->array)->storage->version;
  if (now != PyLong_AsUnsignedLong(PyTuple_GET_ITEM(item, 1))) return overwritten(node, t, now, PyTuple_GET_ITEM(item, 1), false);
  return Py_NewRef(t);
}

// A saved output, made into a tensor again.
PyObject* unpack_output(PyObject* node, PyObject* item, int nr) {
  if (!PyTuple_CheckExact(item)) return Py_NewRef(item);
  PyObject* array = PyTuple_GET_ITEM(item, 0);
  PyObject* out = make_tensor(g_tensor_type, Py_NewRef(array));
  if (!out) return nullptr;
  auto* t = reinterpret_cast<Tensor*>(out);
  if (is_floating(array_of(array)->dtype)) {
    t->node = Py_NewRef(node);
    t->output_nr = nr;
    t->requires_grad = 1;
  }
  uint32_t now = array_of(array)->storage->version;
  if (now != PyLong_AsUnsignedLong(PyTuple_GET_ITEM(item, 1))) {
    overwritten(node, out, now, PyTuple_GET_ITEM(item, 1), true);
    Py_CLEAR(out);
  }
  return out;
}

PyObject* unpack_saved(PyObject* node, long kind, PyObject* key, PyObject* item) {
  if (kind == kArg) return unpack_input(node, item);
  if (kind == kOut) {
    Py_ssize_t n = PyList_GET_SIZE(item);
    if (n == 1) return unpack_output(node, PyList_GET_ITEM(item, 0), key == Py_None ? 0 : static_cast<int>(PyLong_AsLong(key)));
    PyObject* all = PyTuple_New(n);
    for (Py_ssize_t k = 0; all && k < n; ++k) {
      PyObject* t = unpack_output(node, PyList_GET_ITEM(item, k), static_cast<int>(k));
      if (t) PyTuple_SET_ITEM(all, k, t);
      else Py_CLEAR(all);
    }
    return all;
  }
  if (kind == kArgs) {
    Py_ssize_t n = PySequence_Fast_GET_SIZE(item);
    PyObject* all = PyTuple_New(n);
    for (Py_ssize_t k = 0; all && k < n; ++k) {
      PyObject* t = unpack_input(node, PySequence_Fast_GET_ITEM(item, k));
      if (t) PyTuple_SET_ITEM(all, k, t);
      else Py_CLEAR(all);
    }
    return all;
  }
  return Py_NewRef(item);
}

PyObject* call_rule(PyObject* entry, std::initializer_list<PyObject*> leading, PyObject* const* values) {
  PyObject* slots = PyTuple_GET_ITEM(entry, 1);
  PyObject* names = PyTuple_GET_ITEM(entry, 2);
  std::vector<PyObject*> args(leading);
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(slots); ++k) args.push_back(values[PyLong_AsSsize_t(PyTuple_GET_ITEM(slots, k))]);
  bool keyword = names != Py_None;
  Py_ssize_t positional = static_cast<Py_ssize_t>(args.size()) - (keyword ? PyTuple_GET_SIZE(names) : 0);
  return PyObject_Vectorcall(PyTuple_GET_ITEM(entry, 0), args.data(), static_cast<size_t>(positional), keyword ? names : nullptr);
}

// What the node has saved, checked (new references); false with an exception set.
bool unpack_all(PyObject* self, PyObject* saves, std::vector<PyObject*>* values) {
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(saves); ++k) {
    PyObject *save = PyTuple_GET_ITEM(saves, k), *item = PyList_GET_ITEM(as_node(self)->saved, k);
    PyObject* v = unpack_saved(self, PyLong_AsLong(PyTuple_GET_ITEM(save, 0)), PyTuple_GET_ITEM(save, 1), item);
    if (!v) return false;
    values->push_back(v);
  }
  return true;
}

}  // namespace

int add_gradient(PyObject* self, PyObject* total, PyObject* g) {
  auto* node = as_node(self);
  if (node->saved == g_freed) return 0;      // the rule raises
  PyObject* adding = PyObject_GetAttr(node->plan, g_str_adding);
  if (!adding || adding == Py_None) {
    Py_XDECREF(adding);
    return adding ? 0 : -1;
  }
  PyObject* saves = PyObject_GetAttr(node->plan, g_str_saves);
  std::vector<PyObject*> values;
  PyObject* done = saves && unpack_all(self, saves, &values) ? call_rule(adding, {total, g}, values.data()) : nullptr;
  for (PyObject* v : values) Py_DECREF(v);
  Py_XDECREF(saves);
  Py_DECREF(adding);
  Py_XDECREF(done);
  return done ? 1 : -1;
}

PyObject* apply_rules(PyObject* self, PyObject* grads, PyObject* needed) {
  auto* node = as_node(self);
  if (node->saved == g_freed) return PyObject_CallMethodNoArgs(self, g_str_raise_freed);
  PyObject* saves = PyObject_GetAttr(node->plan, g_str_saves);
  PyObject* rules = saves ? PyObject_GetAttr(node->plan, g_str_rules) : nullptr;
  PyObject* joint = rules ? PyObject_GetAttr(node->plan, g_str_joint) : nullptr;
  PyObject* indices = joint ? PyObject_GetAttr(node->plan, g_str_indices) : nullptr;
  PyObject* out = nullptr;
  std::vector<PyObject*> values;
  bool ok = indices && unpack_all(self, saves, &values);
  PyObject* g = ok ? (node->num_outputs == 1 ? Py_NewRef(PyList_GET_ITEM(grads, 0)) : PyList_AsTuple(grads)) : nullptr;
  if (g) {
    Py_ssize_t n = PyTuple_GET_SIZE(indices);
    out = PyList_New(n);
    if (joint == Py_True) {
      PyObject* result = call_rule(PyTuple_GET_ITEM(rules, 0), {g}, values.data());
      // A rule returns one gradient per input, or only one if there is one.
      bool many = result && PyTuple_CheckExact(result);
      for (Py_ssize_t k = 0; result && k < n; ++k) {
        PyObject* item = result;
        if (many) {
          Py_ssize_t size = PyTuple_GET_SIZE(result), i = size == 1 ? 0 : PyLong_AsSsize_t(PyTuple_GET_ITEM(indices, k));
          item = i < size ? PyTuple_GET_ITEM(result, i) : Py_None;
        }
        PyList_SET_ITEM(out, k, Py_NewRef(item));
      }
      if (!result) Py_CLEAR(out);
      Py_XDECREF(result);
    } else {
      for (Py_ssize_t k = 0; out && k < n; ++k) {
        PyObject* entry = PyTuple_GET_ITEM(rules, k);
        bool skip = entry == Py_None || (needed != Py_None && PyList_GET_ITEM(needed, k) == Py_False);
        PyObject* item = skip ? Py_NewRef(Py_None) : call_rule(entry, {g}, values.data());
        if (item) PyList_SET_ITEM(out, k, item);
        else Py_CLEAR(out);
      }
    }
    Py_DECREF(g);
  }
  for (PyObject* v : values) Py_DECREF(v);
  Py_XDECREF(indices);
  Py_XDECREF(joint);
  Py_XDECREF(rules);
  Py_XDECREF(saves);
  return out;
}

namespace {

// apply_rules(node, grads, needed): `needed` is a bool per edge, or None for all.
PyObject* apply_rules_py(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 3 || !PyObject_TypeCheck(args[0], g_op_node) || !PyList_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "apply_rules(node, grads: list, needed)");
    return nullptr;
  }
  return apply_rules(args[0], args[1], args[2]);
}

PyMethodDef functions[] = {{"apply_rules", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(apply_rules_py)), METH_FASTCALL,
                            "Gradients for a node's edges."},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

void bind_rules(nb::module_& m) {
  g_str_rules = PyUnicode_InternFromString("rules");
  g_str_joint = PyUnicode_InternFromString("joint");
  g_str_saves = PyUnicode_InternFromString("saves");
  g_str_indices = PyUnicode_InternFromString("indices");
  g_str_adding = PyUnicode_InternFromString("adding");
  g_str_raise_freed = PyUnicode_InternFromString("_raise_freed");
  PyModule_AddFunctions(m.ptr(), functions);
}

}  // namespace rl::py
