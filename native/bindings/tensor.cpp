// The two hot objects of the Python layer, as native types.
//
// TensorBase holds a tensor's fields with their defaults, so that making a Tensor costs one allocation.
// OpCall is a callable op: it takes the arrays out of its tensor arguments, runs the op's Python forward
// on them and wraps the result; only if a gradient is needed does it call back (Op.record) to make a
// node. What a node is, and every rule, stays in Python.

#include "python.h"

#include <structmember.h>

namespace rl::py {
namespace {

struct Tensor {
  PyObject_HEAD
  PyObject* array;
  PyObject* node;                            // the op that made it; None for a leaf
  PyObject* grad;
  PyObject* base;                            // for a view: the tensor it is a view of
  PyObject* hooks;
  PyObject* accumulator;                     // weak reference to a leaf's AccumulateGrad node
  PyObject* dict;
  PyObject* weakrefs;
  int output_nr;
  unsigned view_version;                     // storage version when `node` of a view was last right
  char requires_grad;
  char retains_grad;
  char is_inference;
  char no_grad_view;                         // a view made under no_grad: in-place writes may not record
};

PyTypeObject* g_tensor_base = nullptr;
PyTypeObject* g_tensor_type = nullptr;       // rushlight.Tensor, what ops return
bool g_grad_enabled = true;
bool g_inference = false;

int tensor_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* t = reinterpret_cast<Tensor*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(t->node);
  Py_VISIT(t->grad);
  Py_VISIT(t->base);
  Py_VISIT(t->hooks);
  Py_VISIT(t->dict);
  return 0;
}

int tensor_clear(PyObject* self) {
  auto* t = reinterpret_cast<Tensor*>(self);
  Py_CLEAR(t->node);
  Py_CLEAR(t->grad);
  Py_CLEAR(t->base);
  Py_CLEAR(t->hooks);
  Py_CLEAR(t->accumulator);
  Py_CLEAR(t->dict);
  return 0;
}

void tensor_dealloc(PyObject* self) {
  auto* t = reinterpret_cast<Tensor*>(self);
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, tensor_dealloc)
  if (t->weakrefs) PyObject_ClearWeakRefs(self);
  tensor_clear(self);
  Py_CLEAR(t->array);
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

PyMemberDef tensor_members[] = {
    {"_a", T_OBJECT, offsetof(Tensor, array), 0, nullptr},
    {"_node", T_OBJECT, offsetof(Tensor, node), 0, nullptr},
    {"_grad", T_OBJECT, offsetof(Tensor, grad), 0, nullptr},
    {"_base", T_OBJECT, offsetof(Tensor, base), 0, nullptr},
    {"_hooks", T_OBJECT, offsetof(Tensor, hooks), 0, nullptr},
    {"_accumulator", T_OBJECT, offsetof(Tensor, accumulator), 0, nullptr},
    {"_output_nr", T_INT, offsetof(Tensor, output_nr), 0, nullptr},
    {"_view_version", T_UINT, offsetof(Tensor, view_version), 0, nullptr},
    {"_requires_grad", T_BOOL, offsetof(Tensor, requires_grad), 0, nullptr},
    {"_retains_grad", T_BOOL, offsetof(Tensor, retains_grad), 0, nullptr},
    {"_is_inference", T_BOOL, offsetof(Tensor, is_inference), 0, nullptr},
    {"_no_grad_view", T_BOOL, offsetof(Tensor, no_grad_view), 0, nullptr},
    {"__dictoffset__", T_PYSSIZET, offsetof(Tensor, dict), READONLY, nullptr},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Tensor, weakrefs), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef tensor_getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                               {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot tensor_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(tensor_traverse)},
                              {Py_tp_clear, reinterpret_cast<void*>(tensor_clear)},
                              {Py_tp_dealloc, reinterpret_cast<void*>(tensor_dealloc)},
                              {Py_tp_members, tensor_members},
                              {Py_tp_getset, tensor_getset},
                              {0, nullptr}};

PyType_Spec tensor_spec = {"rushlight._native.TensorBase", sizeof(Tensor), 0,
                           Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, tensor_slots};

inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == g_tensor_type || PyType_IsSubtype(Py_TYPE(o), g_tensor_base);
}

// Steals the array.
PyObject* make_tensor(PyTypeObject* type, PyObject* array) {
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) {
    Py_DECREF(array);
    return nullptr;
  }
  reinterpret_cast<Tensor*>(self)->array = array;
  reinterpret_cast<Tensor*>(self)->is_inference = g_inference;
  return self;
}

// ---- OpCall -----------------------------------------------------------------------------------------------

struct OpCall {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject* forward;                         // arrays in, array or tuple of arrays out
  PyObject* record;                          // bound Op.record(args, attrs, out, mask)
  PyObject* definition;                      // the Op; attribute access falls through to it
  char view;
};

constexpr int kMaxArgs = 64;

// A view whose base was written in place takes its history from the base anew (Tensor._refresh_view).
int refresh_view(Tensor* t) {
  if (!t->base || t->base == Py_None) return 0;
  auto* base = reinterpret_cast<Tensor*>(t->base);
  if (!base->requires_grad || t->view_version == array_of(t->array)->storage->version) return 0;
  PyObject* r = PyObject_CallMethod(reinterpret_cast<PyObject*>(t), "_refresh_view", nullptr);
  if (!r) return -1;
  Py_DECREF(r);
  return 0;
}

PyObject* wrap_output(PyObject* array, Tensor* view_of) {
  PyObject* out = make_tensor(g_tensor_type, array);
  if (out && view_of) {
    auto* t = reinterpret_cast<Tensor*>(out);
    PyObject* root = view_of->base && view_of->base != Py_None ? view_of->base : reinterpret_cast<PyObject*>(view_of);
    Py_INCREF(root);
    t->base = root;
    t->view_version = array_of(array)->storage->version;
    t->no_grad_view = view_of->no_grad_view || !g_grad_enabled;
  }
  return out;
}

PyObject* op_call(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  auto* op = reinterpret_cast<OpCall*>(callable);
  Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
  Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  PyObject* small[kMaxArgs];
  std::vector<PyObject*> large;
  PyObject** arrays = small;
  if (nargs + nkw > kMaxArgs) {
    large.resize(static_cast<size_t>(nargs + nkw));
    arrays = large.data();
  }
  bool any = false;
  for (Py_ssize_t k = 0; k < nargs; ++k) {
    PyObject* o = args[k];
    if (is_tensor(o)) {
      auto* t = reinterpret_cast<Tensor*>(o);
      if (g_grad_enabled) {
        if (t->base && refresh_view(t) < 0) return nullptr;
        any |= t->requires_grad;
      }
      arrays[k] = t->array;
    } else {
      arrays[k] = o;
    }
  }
  for (Py_ssize_t k = 0; k < nkw; ++k) arrays[nargs + k] = args[nargs + k];
  PyObject* out = PyObject_Vectorcall(op->forward, arrays, static_cast<size_t>(nargs), kwnames);
  if (!out) return nullptr;

  Tensor* view_of = op->view ? reinterpret_cast<Tensor*>(args[0]) : nullptr;
  if (is_array(out)) {
    out = wrap_output(out, view_of);
  } else if (PyTuple_CheckExact(out)) {
    Py_ssize_t n = PyTuple_GET_SIZE(out);
    PyObject* wrapped = PyTuple_New(n);
    for (Py_ssize_t k = 0; wrapped && k < n; ++k) {
      PyObject* item = PyTuple_GET_ITEM(out, k);
      Py_INCREF(item);
      PyTuple_SET_ITEM(wrapped, k, is_array(item) ? wrap_output(item, view_of) : item);
    }
    Py_DECREF(out);
    out = wrapped;
  }
  if (!any || !out) return out;

  PyObject* arg_tuple = PyTuple_New(nargs);
  PyObject* mask = PyTuple_New(nargs);       // which arguments need a gradient
  PyObject* attrs = nkw ? PyDict_New() : Py_NewRef(Py_None);
  if (arg_tuple && mask && attrs) {
    for (Py_ssize_t k = 0; k < nargs; ++k) {
      PyTuple_SET_ITEM(arg_tuple, k, Py_NewRef(args[k]));
      bool need = is_tensor(args[k]) && reinterpret_cast<Tensor*>(args[k])->requires_grad;
      PyTuple_SET_ITEM(mask, k, Py_NewRef(need ? Py_True : Py_False));
    }
    for (Py_ssize_t k = 0; k < nkw; ++k)
      if (PyDict_SetItem(attrs, PyTuple_GET_ITEM(kwnames, k), args[nargs + k]) < 0) Py_CLEAR(out);
    if (out) {
      PyObject* record_args[4] = {arg_tuple, attrs, out, mask};
      PyObject* r = PyObject_Vectorcall(op->record, record_args, 4, nullptr);
      if (!r) Py_CLEAR(out);
      Py_XDECREF(r);
    }
  } else {
    Py_CLEAR(out);
  }
  Py_XDECREF(arg_tuple);
  Py_XDECREF(mask);
  Py_XDECREF(attrs);
  return out;
}

int op_init(PyObject* self, PyObject* args, PyObject*) {
  auto* op = reinterpret_cast<OpCall*>(self);
  PyObject *forward, *record, *definition;
  int view;
  if (!PyArg_ParseTuple(args, "OOOp", &forward, &record, &definition, &view)) return -1;
  op->forward = Py_NewRef(forward);
  op->record = Py_NewRef(record);
  op->definition = Py_NewRef(definition);
  op->view = static_cast<char>(view);
  op->vectorcall = op_call;
  return 0;
}

PyObject* op_getattro(PyObject* self, PyObject* name) {
  PyObject* found = PyObject_GenericGetAttr(self, name);
  if (found || !PyErr_ExceptionMatches(PyExc_AttributeError)) return found;
  PyErr_Clear();
  return PyObject_GetAttr(reinterpret_cast<OpCall*>(self)->definition, name);
}

// As a class attribute an op is a method: Tensor.relu = _relu.
PyObject* op_descr_get(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

int op_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* op = reinterpret_cast<OpCall*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(op->forward);
  Py_VISIT(op->record);
  Py_VISIT(op->definition);
  return 0;
}

int op_clear(PyObject* self) {
  auto* op = reinterpret_cast<OpCall*>(self);
  Py_CLEAR(op->forward);
  Py_CLEAR(op->record);
  Py_CLEAR(op->definition);
  return 0;
}

void op_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  op_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef op_members[] = {
    {"forward", T_OBJECT, offsetof(OpCall, forward), READONLY, nullptr},
    {"definition", T_OBJECT, offsetof(OpCall, definition), READONLY, nullptr},
    {"is_view", T_BOOL, offsetof(OpCall, view), READONLY, nullptr},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(OpCall, vectorcall), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyType_Slot op_slots[] = {{Py_tp_init, reinterpret_cast<void*>(op_init)},
                          {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
                          {Py_tp_getattro, reinterpret_cast<void*>(op_getattro)},
                          {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                          {Py_tp_descr_get, reinterpret_cast<void*>(op_descr_get)},
                          {Py_tp_traverse, reinterpret_cast<void*>(op_traverse)},
                          {Py_tp_clear, reinterpret_cast<void*>(op_clear)},
                          {Py_tp_dealloc, reinterpret_cast<void*>(op_dealloc)},
                          {Py_tp_members, op_members},
                          {0, nullptr}};

PyType_Spec op_spec = {"rushlight._native.OpCall", sizeof(OpCall), 0,
                       Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR, op_slots};

PyObject* wrap(PyObject*, PyObject* array) {
  return make_tensor(g_tensor_type, Py_NewRef(array));
}

PyObject* wrap_as(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 2 || !PyType_Check(args[0])) {
    PyErr_SetString(PyExc_TypeError, "wrap_as(type, array)");
    return nullptr;
  }
  return make_tensor(reinterpret_cast<PyTypeObject*>(args[0]), Py_NewRef(args[1]));
}

PyObject* grad_enabled(PyObject*, PyObject*) { return Py_NewRef(g_grad_enabled ? Py_True : Py_False); }

PyObject* set_grad(PyObject*, PyObject* on) {
  bool before = g_grad_enabled;
  int truth = PyObject_IsTrue(on);
  if (truth < 0) return nullptr;
  g_grad_enabled = truth;
  return Py_NewRef(before ? Py_True : Py_False);
}

PyMethodDef functions[] = {
    {"wrap", wrap, METH_O, "Tensor around an Array, with no history."},
    {"wrap_as", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(wrap_as)), METH_FASTCALL, "The same, of a given Tensor subclass."},
    {"is_grad_enabled", grad_enabled, METH_NOARGS, "Whether ops record nodes."},
    {"set_grad_enabled", set_grad, METH_O, "Sets it; returns what it was."},
    {nullptr, nullptr, 0, nullptr}};

}  // namespace

void bind_tensor(nb::module_& m) {
  g_tensor_base = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&tensor_spec));
  g_tensor_type = g_tensor_base;
  PyObject* op_type = PyType_FromSpec(&op_spec);
  if (!g_tensor_base || !op_type) throw nb::python_error();
  m.attr("TensorBase") = nb::borrow(reinterpret_cast<PyObject*>(g_tensor_base));
  m.attr("OpCall") = nb::steal(op_type);
  PyModule_AddFunctions(m.ptr(), functions);
  m.def("set_tensor_type", [](nb::handle type) {
    g_tensor_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr());
  });
  m.def("is_inference_enabled", [] { return g_inference; });
  m.def("set_inference", [](bool on) {
    bool before = g_inference;
    g_inference = on;
    return before;
  });
}

}  // namespace rl::py
