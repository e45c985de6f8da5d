// A function that autocast casts the tensors of. Outside of autocast it costs a test and leaves no frame, so that warnings point
// at the caller's line; inside, the Python function `cast` of autograd/autocast.py does the work.
#include "tensor.h"

namespace rl::py {
namespace {

struct Casting {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject *function, *cast;                 // cast(*args, **kwargs): with other tensors
  PyObject* dict;                            // __name__, __doc__, …
};

PyObject* casting_call(PyObject* self, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  auto* c = reinterpret_cast<Casting*>(self);
  return PyObject_Vectorcall(g_autocast < 0 ? c->function : c->cast, args, nargsf, kwnames);
}

int casting_init(PyObject* self, PyObject* args, PyObject*) {
  auto* c = reinterpret_cast<Casting*>(self);
  PyObject *function, *cast;
  if (!PyArg_ParseTuple(args, "OO", &function, &cast)) return -1;
  Py_XSETREF(c->function, Py_NewRef(function));
  Py_XSETREF(c->cast, Py_NewRef(cast));
  c->vectorcall = casting_call;
  return 0;
}

// As a class attribute it is a method: Tensor.matmul = matmul.
PyObject* casting_descr_get(PyObject* self, PyObject* instance, PyObject*) {
  if (!instance || instance == Py_None) return Py_NewRef(self);
  return PyMethod_New(self, instance);
}

PyObject* casting_repr(PyObject* self) { return PyObject_Repr(reinterpret_cast<Casting*>(self)->function); }

// Pickled by name, like a function.
PyObject* casting_reduce(PyObject* self, PyObject*) { return PyObject_GetAttrString(self, "__qualname__"); }

int casting_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* c = reinterpret_cast<Casting*>(self);
  Py_VISIT(Py_TYPE(self));
  Py_VISIT(c->function);
  Py_VISIT(c->cast);
  Py_VISIT(c->dict);
  return 0;
}

int casting_clear(PyObject* self) {
  auto* c = reinterpret_cast<Casting*>(self);
  Py_CLEAR(c->function);
  Py_CLEAR(c->cast);
  Py_CLEAR(c->dict);
  return 0;
}

void casting_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  casting_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef casting_members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Casting, vectorcall), READONLY, nullptr},
                                 {"__dictoffset__", T_PYSSIZET, offsetof(Casting, dict), READONLY, nullptr},
                                 {nullptr, 0, 0, 0, nullptr}};

PyMethodDef casting_methods[] = {{"__reduce__", casting_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};

PyGetSetDef casting_getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                                {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot casting_slots[] = {{Py_tp_init, reinterpret_cast<void*>(casting_init)},
                               {Py_tp_new, reinterpret_cast<void*>(PyType_GenericNew)},
                               {Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                               {Py_tp_repr, reinterpret_cast<void*>(casting_repr)},
                               {Py_tp_descr_get, reinterpret_cast<void*>(casting_descr_get)},
                               {Py_tp_traverse, reinterpret_cast<void*>(casting_traverse)},
                               {Py_tp_clear, reinterpret_cast<void*>(casting_clear)},
                               {Py_tp_dealloc, reinterpret_cast<void*>(casting_dealloc)},
                               {Py_tp_members, casting_members},
                               {Py_tp_methods, casting_methods},
                               {Py_tp_getset, casting_getset},
                               {0, nullptr}};

PyType_Spec casting_spec = {"rushlight._native.Casting", sizeof(Casting), 0,
                            Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR,
                            casting_slots};

}  // namespace

thread_local int g_autocast = -1;

void bind_autocast(nb::module_& m) {
  PyObject* type = PyType_FromSpec(&casting_spec);
  if (!type) throw nb::python_error();
  m.attr("Casting") = nb::steal(type);
  m.def("set_autocast", [](int code) { g_autocast = code; });  // a dtype's code; -1: off
}

}  // namespace rl::py
