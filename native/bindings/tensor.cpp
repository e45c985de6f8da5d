// TensorBase: a tensor's fields with their defaults, so that making a Tensor costs one allocation.
#include "tensor.h"

namespace rl::py {

PyTypeObject *g_tensor_base = nullptr, *g_tensor_type = nullptr;
thread_local bool g_grad_enabled = true, g_inference = false;

namespace {

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
    {"_view_limit", T_BYTE, offsetof(Tensor, view_limit), 0, nullptr},
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

}  // namespace

PyObject* make_tensor(PyTypeObject* type, PyObject* array) {
  PyObject* self = type->tp_alloc(type, 0);
  if (!self) {
    Py_DECREF(array);
    return nullptr;
  }
  as_tensor(self)->array = array;
  as_tensor(self)->is_inference = g_inference;
  return self;
}

namespace {

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
  if (!g_tensor_base) throw nb::python_error();
  g_tensor_type = g_tensor_base;
  m.attr("TensorBase") = nb::borrow(reinterpret_cast<PyObject*>(g_tensor_base));
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
  bind_nodes(m);
  bind_ops(m);
  bind_rules(m);
  bind_engine(m);
}

}  // namespace rl::py
