// NodeBase: the fields of a node, its number, and the AccumulateGrad node of a leaf.
#include "tensor.h"

namespace rl::py {

PyTypeObject *g_op_node = nullptr, *g_accumulate_grad = nullptr;
PyObject *g_empty_tuple = nullptr, *g_freed = nullptr;
bool g_anomaly = false;

namespace {

long long g_seq = 0;

#define RL_NODE_FIELDS(do) \
  do(edges) do(saved) do(tensor_hooks) do(pre_hooks) do(post_hooks) do(retain) do(trace) do(op) do(plan) do(input_meta) do(variable) do(dict)

int node_traverse(PyObject* self, visitproc visit, void* arg) {
  auto* n = reinterpret_cast<Node*>(self);
  Py_VISIT(Py_TYPE(self));
#define RL_VISIT(f) Py_VISIT(n->f);
  RL_NODE_FIELDS(RL_VISIT)
  return 0;
}

int node_clear(PyObject* self) {
  auto* n = reinterpret_cast<Node*>(self);
#define RL_CLEAR(f) Py_CLEAR(n->f);
  RL_NODE_FIELDS(RL_CLEAR)
  return 0;
}

void node_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  Py_TRASHCAN_BEGIN(self, node_dealloc)
  if (reinterpret_cast<Node*>(self)->weakrefs) PyObject_ClearWeakRefs(self);
  node_clear(self);
  type->tp_free(self);
  Py_DECREF(type);
  Py_TRASHCAN_END
}

}  // namespace

PyObject* node_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self) {
    auto* n = reinterpret_cast<Node*>(self);
    n->seq = g_seq++;
    n->num_outputs = 1;
  }
  return self;
}

namespace {

PyMemberDef node_members[] = {{"seq", T_LONGLONG, offsetof(Node, seq), 0, nullptr},
                              {"num_outputs", T_INT, offsetof(Node, num_outputs), 0, nullptr},
                              {"used", T_BOOL, offsetof(Node, used), READONLY, nullptr},
                              {"edges", T_OBJECT, offsetof(Node, edges), 0, nullptr},
                              {"saved", T_OBJECT, offsetof(Node, saved), 0, nullptr},
                              {"tensor_hooks", T_OBJECT, offsetof(Node, tensor_hooks), 0, nullptr},
                              {"pre_hooks", T_OBJECT, offsetof(Node, pre_hooks), 0, nullptr},
                              {"post_hooks", T_OBJECT, offsetof(Node, post_hooks), 0, nullptr},
                              {"retain", T_OBJECT, offsetof(Node, retain), 0, nullptr},
                              {"trace", T_OBJECT, offsetof(Node, trace), 0, nullptr},
                              {"op", T_OBJECT, offsetof(Node, op), 0, nullptr},
                              {"plan", T_OBJECT, offsetof(Node, plan), 0, nullptr},
                              {"input_meta", T_OBJECT, offsetof(Node, input_meta), 0, nullptr},
                              {"variable", T_OBJECT, offsetof(Node, variable), 0, nullptr},
                              {"__dictoffset__", T_PYSSIZET, offsetof(Node, dict), READONLY, nullptr},
                              {"__weaklistoffset__", T_PYSSIZET, offsetof(Node, weakrefs), READONLY, nullptr},
                              {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef node_getset[] = {{"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, nullptr, nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot node_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(node_traverse)},
                            {Py_tp_clear, reinterpret_cast<void*>(node_clear)},
                            {Py_tp_dealloc, reinterpret_cast<void*>(node_dealloc)},
                            {Py_tp_new, reinterpret_cast<void*>(node_new)},
                            {Py_tp_members, node_members},
                            {Py_tp_getset, node_getset},
                            {0, nullptr}};

PyType_Spec node_spec = {"rushlight._native.NodeBase", sizeof(Node), 0,
                         Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC, node_slots};

// The AccumulateGrad node of a leaf (new reference): one at a time, kept alive by the graphs that use it.
PyObject* accumulator_of(Tensor* t) {
  if (is_set(t->accumulator)) {
    PyObject* alive = PyWeakref_GetObject(t->accumulator);
    if (alive && alive != Py_None) return Py_NewRef(alive);
  }
  PyObject* node = node_new(g_accumulate_grad, nullptr, nullptr);
  if (!node) return nullptr;
  auto* n = reinterpret_cast<Node*>(node);
  n->edges = Py_NewRef(g_empty_tuple);
  n->saved = Py_NewRef(g_empty_tuple);
  n->variable = Py_NewRef(reinterpret_cast<PyObject*>(t));
  PyObject* ref = PyWeakref_NewRef(node, nullptr);
  if (!ref) {
    Py_DECREF(node);
    return nullptr;
  }
  Py_XSETREF(t->accumulator, ref);
  return node;
}

}  // namespace

PyObject* edge_to(Tensor* t) {
  PyObject* node = is_set(t->node) ? Py_NewRef(t->node) : accumulator_of(t);
  if (!node) return nullptr;
  PyObject* edge = PyTuple_New(2);
  PyTuple_SET_ITEM(edge, 0, node);
  PyTuple_SET_ITEM(edge, 1, PyLong_FromLong(is_set(t->node) ? t->output_nr : 0));
  return edge;
}

namespace {

PyObject* accumulator_py(PyObject*, PyObject* t) { return accumulator_of(reinterpret_cast<Tensor*>(t)); }

PyMethodDef functions[] = {{"accumulator", accumulator_py, METH_O, "The AccumulateGrad node of a leaf."},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

void bind_nodes(nb::module_& m) {
  PyObject* node_type = PyType_FromSpec(&node_spec);
  if (!node_type) throw nb::python_error();
  m.attr("NodeBase") = nb::steal(node_type);
  g_empty_tuple = PyTuple_New(0);
  g_freed = PyUnicode_FromString("freed");
  m.attr("FREED") = nb::borrow(g_freed);
  PyModule_AddFunctions(m.ptr(), functions);
  m.def("set_node_types", [](nb::handle op_node, nb::handle accumulate_grad) {
    g_op_node = reinterpret_cast<PyTypeObject*>(op_node.inc_ref().ptr());
    g_accumulate_grad = reinterpret_cast<PyTypeObject*>(accumulate_grad.inc_ref().ptr());
  });
  m.def("set_anomaly", [](bool on) { g_anomaly = on; });
}

}  // namespace rl::py
