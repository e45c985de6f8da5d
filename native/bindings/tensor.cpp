// The hot objects of the Python layer, as native types.
//
// TensorBase holds a tensor's fields with their defaults, so that making a Tensor costs one allocation.
// OpCall is a callable op: it takes the arrays out of its tensor arguments, runs the op's Python forward on
// them and wraps the result; if a gradient is needed it makes a node, keeping what the op's Plan names.
// Plans, rules and the engine stay in Python (autograd/op.py).

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

// ---- nodes ----------------------------------------------------------------------------------------------------

struct Node {
  PyObject_HEAD
  long long seq;                             // above every node this one depends on
  int num_outputs;
  PyObject *edges, *saved;
  PyObject *tensor_hooks, *pre_hooks, *post_hooks, *retain, *trace;   // None unless used
  PyObject *op, *plan, *input_meta;          // of nodes made by ops
  PyObject *variable;                        // of AccumulateGrad
  PyObject *dict, *weakrefs;
};

PyTypeObject *g_op_node = nullptr, *g_accumulate_grad = nullptr;
PyObject* g_empty_tuple = nullptr;
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

PyObject* node_new(PyTypeObject* type, PyObject*, PyObject*) {
  PyObject* self = type->tp_alloc(type, 0);
  if (self) {
    auto* n = reinterpret_cast<Node*>(self);
    n->seq = g_seq++;
    n->num_outputs = 1;
  }
  return self;
}

PyMemberDef node_members[] = {{"seq", T_LONGLONG, offsetof(Node, seq), 0, nullptr},
                              {"num_outputs", T_INT, offsetof(Node, num_outputs), 0, nullptr},
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

bool is_set(PyObject* o) { return o && o != Py_None; }

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

// (node, output number) for a tensor that requires a gradient; steals nothing.
PyObject* edge_to(Tensor* t) {
  PyObject* node = is_set(t->node) ? Py_NewRef(t->node) : accumulator_of(t);
  if (!node) return nullptr;
  PyObject* edge = PyTuple_New(2);
  PyTuple_SET_ITEM(edge, 0, node);
  PyTuple_SET_ITEM(edge, 1, PyLong_FromLong(is_set(t->node) ? t->output_nr : 0));
  return edge;
}

PyObject* accumulator_py(PyObject*, PyObject* t) { return accumulator_of(reinterpret_cast<Tensor*>(t)); }

// ---- OpCall -----------------------------------------------------------------------------------------------

struct OpCall {
  PyObject_HEAD
  vectorcallfunc vectorcall;
  PyObject* forward;                         // arrays in, array or tuple of arrays out
  PyObject* plans;                           // {mask: Plan}; a missing one is made by definition.plan(mask)
  PyObject* definition;                      // the Op; attribute access falls through to it
  char view;
  char differentiable;
  char broadcasts;
};

constexpr int kMaxArgs = 64;

// What a rule asks a node to keep (op.py has the same numbers).
enum Save { kArg, kOut, kShape, kDtype, kLayout, kAttr, kNeeds, kArgs };

PyObject* pair(PyObject* first, PyObject* second) {          // steals both
  PyObject* t = PyTuple_New(2);
  PyTuple_SET_ITEM(t, 0, first);
  PyTuple_SET_ITEM(t, 1, second);
  return t;
}

PyObject* shape_tuple(const Array& a) {
  PyObject* t = PyTuple_New(a.ndim);
  for (int i = 0; i < a.ndim; ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(a.shape[i]));
  return t;
}

PyObject* versioned(PyObject* o) {                           // (tensor, version), or the thing itself
  if (!is_tensor(o)) return Py_NewRef(o);
  return pair(Py_NewRef(o), PyLong_FromUnsignedLong(array_of(reinterpret_cast<Tensor*>(o)->array)->storage->version));
}

PyObject* saved_outputs(PyObject* const* outs, Py_ssize_t n) {
  PyObject* list = PyList_New(n);
  for (Py_ssize_t k = 0; k < n; ++k) {
    PyObject* item = Py_NewRef(outs[k]);
    if (is_tensor(outs[k])) {                // the array: a node must not keep alive what keeps it alive
      PyObject* a = reinterpret_cast<Tensor*>(outs[k])->array;
      Py_SETREF(item, pair(Py_NewRef(a), PyLong_FromUnsignedLong(array_of(a)->storage->version)));
    }
    PyList_SET_ITEM(list, k, item);
  }
  return list;
}

PyObject* save_one(long kind, PyObject* key, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames,
                   PyObject* const* kwargs, PyObject* const* outs, Py_ssize_t nouts, PyObject* mask) {
  PyObject* arg = nullptr;
  if (kind == kArg || kind == kShape || kind == kDtype || kind == kLayout) {
    Py_ssize_t i = PyLong_AsSsize_t(key);
    arg = i < nargs ? args[i] : Py_None;
  }
  const Array* a = arg && is_tensor(arg) ? array_of(reinterpret_cast<Tensor*>(arg)->array) : nullptr;
  switch (kind) {
    case kArg: return versioned(arg);
    case kOut: return saved_outputs(outs, nouts);
    case kShape: return a ? shape_tuple(*a) : Py_NewRef(g_empty_tuple);
    case kDtype: return a ? Py_NewRef(g_dtypes[static_cast<int>(a->dtype)]) : Py_NewRef(Py_None);
    case kLayout: {
      if (!a) return Py_NewRef(Py_None);
      PyObject* strides = PyTuple_New(a->ndim);
      for (int i = 0; i < a->ndim; ++i) PyTuple_SET_ITEM(strides, i, PyLong_FromLongLong(a->strides[i]));
      return pair(strides, PyLong_FromLongLong(a->offset));
    }
    case kAttr: {
      Py_ssize_t n = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
      for (Py_ssize_t k = 0; k < n; ++k)
        if (PyTuple_GET_ITEM(kwnames, k) == key || PyUnicode_Compare(PyTuple_GET_ITEM(kwnames, k), key) == 0)
          return Py_NewRef(kwargs[k]);
      PyErr_Format(PyExc_TypeError, "an op was called without its argument %R", key);
      return nullptr;
    }
    case kNeeds: return Py_NewRef(mask);
    default: {                               // the arguments from `key` on
      Py_ssize_t from = PyLong_AsSsize_t(key);
      PyObject* list = PyList_New(nargs > from ? nargs - from : 0);
      for (Py_ssize_t k = from; k < nargs; ++k) PyList_SET_ITEM(list, k - from, versioned(args[k]));
      return list;
    }
  }
}

bool same_meta(const Array& a, const Array& b) {
  if (a.dtype != b.dtype || a.ndim != b.ndim) return false;
  for (int i = 0; i < a.ndim; ++i)
    if (a.shape[i] != b.shape[i]) return false;
  return true;
}

PyObject *g_str_plan, *g_str_indices, *g_str_saves, *g_str_record_trace;
bool g_anomaly = false;

// The node of one recorded call (new reference): edges, saved values, and the shapes of broadcast inputs.
PyObject* record_node(OpCall* op, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject* const* kwargs,
                      PyObject* const* outs, Py_ssize_t nouts) {
  PyObject* mask = PyTuple_New(nargs);       // which arguments need a gradient
  for (Py_ssize_t k = 0; k < nargs; ++k) {
    bool need = is_tensor(args[k]) && reinterpret_cast<Tensor*>(args[k])->requires_grad;
    PyTuple_SET_ITEM(mask, k, Py_NewRef(need ? Py_True : Py_False));
  }
  PyObject* plan = PyDict_GetItemWithError(op->plans, mask);
  Py_XINCREF(plan);
  if (!plan && !PyErr_Occurred()) plan = PyObject_CallMethodOneArg(op->definition, g_str_plan, mask);
  PyObject* indices = plan ? PyObject_GetAttr(plan, g_str_indices) : nullptr;   // tuple
  PyObject* saves = indices ? PyObject_GetAttr(plan, g_str_saves) : nullptr;    // tuple of (kind, key)
  PyObject* result = nullptr;
  if (saves) {
    Py_ssize_t n = PyTuple_GET_SIZE(indices), m = PyTuple_GET_SIZE(saves);
    bool ok = true;
    PyObject* edges = PyList_New(n);
    for (Py_ssize_t k = 0; k < n; ++k) {
      PyObject* e = edge_to(reinterpret_cast<Tensor*>(args[PyLong_AsSsize_t(PyTuple_GET_ITEM(indices, k))]));
      ok &= e != nullptr;
      PyList_SET_ITEM(edges, k, e);
    }
    PyObject* saved = m ? PyList_New(m) : Py_NewRef(g_empty_tuple);
    for (Py_ssize_t k = 0; ok && k < m; ++k) {
      PyObject* item = PyTuple_GET_ITEM(saves, k);
      PyObject* value = save_one(PyLong_AsLong(PyTuple_GET_ITEM(item, 0)), PyTuple_GET_ITEM(item, 1), args, nargs, kwnames,
                                 kwargs, outs, nouts, mask);
      ok &= value != nullptr;
      PyList_SET_ITEM(saved, k, value);
    }
    PyObject* node = ok ? node_new(g_op_node, nullptr, nullptr) : nullptr;   // numbered after its inputs
    if (node) {
      auto* fields = reinterpret_cast<Node*>(node);
      fields->num_outputs = static_cast<int>(nouts);
      fields->edges = edges;
      fields->saved = saved;
      fields->op = Py_NewRef(op->definition);
      fields->plan = Py_NewRef(plan);
      if (op->broadcasts && nouts > 0 && is_tensor(outs[0])) {
        const Array& out = *array_of(reinterpret_cast<Tensor*>(outs[0])->array);
        for (Py_ssize_t k = 0; k < n; ++k) {
          const Array& a = *array_of(reinterpret_cast<Tensor*>(args[PyLong_AsSsize_t(PyTuple_GET_ITEM(indices, k))])->array);
          if (same_meta(a, out)) continue;
          if (!fields->input_meta) fields->input_meta = PyDict_New();
          PyObject* slot = PyLong_FromSsize_t(k);
          PyObject* meta = pair(shape_tuple(a), Py_NewRef(g_dtypes[static_cast<int>(a.dtype)]));
          PyDict_SetItem(fields->input_meta, slot, meta);
          Py_DECREF(slot);
          Py_DECREF(meta);
        }
      }
      if (g_anomaly) {
        PyObject* r = PyObject_CallMethodNoArgs(node, g_str_record_trace);
        if (!r) Py_CLEAR(node);
        Py_XDECREF(r);
      }
      result = node;
    } else {
      Py_DECREF(edges);
      Py_DECREF(saved);
    }
  }
  Py_XDECREF(saves);
  Py_XDECREF(indices);
  Py_XDECREF(plan);
  Py_DECREF(mask);
  return result;
}

// ---- running a node's rules ---------------------------------------------------------------------------------

PyObject* g_freed = nullptr;                 // what `saved` becomes once a node's memory is given back
PyObject *g_str_rules, *g_str_joint, *g_str_raise_freed;

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

PyObject* unpack_saved(PyObject* node, long kind, PyObject* item) {
  if (kind == kArg) return unpack_input(node, item);
  if (kind == kOut) {
    Py_ssize_t n = PyList_GET_SIZE(item);
    if (n == 1) return unpack_output(node, PyList_GET_ITEM(item, 0), 0);
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

PyObject* call_rule(PyObject* entry, PyObject* g, PyObject* const* values) {
  PyObject* slots = PyTuple_GET_ITEM(entry, 1);
  PyObject* names = PyTuple_GET_ITEM(entry, 2);
  Py_ssize_t n = PyTuple_GET_SIZE(slots);
  std::vector<PyObject*> args(static_cast<size_t>(n) + 1);
  args[0] = g;
  for (Py_ssize_t k = 0; k < n; ++k) args[static_cast<size_t>(k) + 1] = values[PyLong_AsSsize_t(PyTuple_GET_ITEM(slots, k))];
  bool keyword = names != Py_None;
  Py_ssize_t positional = n + 1 - (keyword ? PyTuple_GET_SIZE(names) : 0);
  return PyObject_Vectorcall(PyTuple_GET_ITEM(entry, 0), args.data(), static_cast<size_t>(positional), keyword ? names : nullptr);
}

// apply_rules(node, grads, needed): a list with the gradient for each edge. `needed`: a bool per edge, or None for all.
PyObject* apply_rules(PyObject*, PyObject* const* call, Py_ssize_t ncall) {
  if (ncall != 3 || !PyObject_TypeCheck(call[0], g_op_node) || !PyList_Check(call[1])) {
    PyErr_SetString(PyExc_TypeError, "apply_rules(node, grads: list, needed)");
    return nullptr;
  }
  auto* node = reinterpret_cast<Node*>(call[0]);
  if (node->saved == g_freed) return PyObject_CallMethodNoArgs(call[0], g_str_raise_freed);
  PyObject* saves = PyObject_GetAttr(node->plan, g_str_saves);
  PyObject* rules = saves ? PyObject_GetAttr(node->plan, g_str_rules) : nullptr;
  PyObject* joint = rules ? PyObject_GetAttr(node->plan, g_str_joint) : nullptr;
  PyObject* indices = joint ? PyObject_GetAttr(node->plan, g_str_indices) : nullptr;
  PyObject* out = nullptr;
  std::vector<PyObject*> values;
  bool ok = indices != nullptr;
  Py_ssize_t m = ok ? PyTuple_GET_SIZE(saves) : 0;
  for (Py_ssize_t k = 0; ok && k < m; ++k) {
    PyObject* v = unpack_saved(call[0], PyLong_AsLong(PyTuple_GET_ITEM(PyTuple_GET_ITEM(saves, k), 0)), PyList_GET_ITEM(node->saved, k));
    ok = v != nullptr;
    if (v) values.push_back(v);
  }
  PyObject* g = ok ? (node->num_outputs == 1 ? Py_NewRef(PyList_GET_ITEM(call[1], 0)) : PyList_AsTuple(call[1])) : nullptr;
  if (g) {
    Py_ssize_t n = PyTuple_GET_SIZE(indices);
    out = PyList_New(n);
    if (joint == Py_True) {
      PyObject* result = call_rule(PyTuple_GET_ITEM(rules, 0), g, values.data());
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
        bool skip = entry == Py_None || (call[2] != Py_None && PyList_GET_ITEM(call[2], k) == Py_False);
        PyObject* item = skip ? Py_NewRef(Py_None) : call_rule(entry, g, values.data());
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

// OpCall.node(args, attrs, outs): the node alone, for in-place ops.
PyObject* op_node(PyObject* self, PyObject* const* a, Py_ssize_t n) {
  if (n != 3 || !PyTuple_Check(a[0]) || !PyDict_Check(a[1]) || !PyTuple_Check(a[2])) {
    PyErr_SetString(PyExc_TypeError, "node(args: tuple, attrs: dict, outs: tuple)");
    return nullptr;
  }
  PyObject *names = PyTuple_New(PyDict_GET_SIZE(a[1])), *key, *value;
  std::vector<PyObject*> values;
  Py_ssize_t pos = 0;
  while (PyDict_Next(a[1], &pos, &key, &value)) {
    PyTuple_SET_ITEM(names, static_cast<Py_ssize_t>(values.size()), Py_NewRef(key));
    values.push_back(value);
  }
  PyObject* node = record_node(reinterpret_cast<OpCall*>(self), &PyTuple_GET_ITEM(a[0], 0), PyTuple_GET_SIZE(a[0]), names,
                               values.data(), &PyTuple_GET_ITEM(a[2], 0), PyTuple_GET_SIZE(a[2]));
  Py_DECREF(names);
  return node;
}

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
  // An op's own writes into its fresh output are not in-place writes: nobody else has seen it.
  Storage* storage = array_of(array)->storage;
  if (Py_REFCNT(array) == 1 && storage->refs.load(std::memory_order_relaxed) == 1) storage->version = 0;
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

bool is_float_tensor(PyObject* o) {
  return is_tensor(o) && is_floating(array_of(reinterpret_cast<Tensor*>(o)->array)->dtype);
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
  if (!any || !out || !op->differentiable) return out;

  bool many = PyTuple_CheckExact(out);
  PyObject* const* outs = many ? &PyTuple_GET_ITEM(out, 0) : &out;
  Py_ssize_t nouts = many ? PyTuple_GET_SIZE(out) : 1;
  bool floats = false;
  for (Py_ssize_t k = 0; k < nouts; ++k) floats |= is_float_tensor(outs[k]);
  if (!floats) return out;
  PyObject* node = record_node(op, args, nargs, kwnames, args + nargs, outs, nouts);
  if (!node) {
    Py_DECREF(out);
    return nullptr;
  }
  for (Py_ssize_t k = 0; k < nouts; ++k) {
    if (!is_float_tensor(outs[k])) continue;
    auto* t = reinterpret_cast<Tensor*>(outs[k]);
    Py_XSETREF(t->node, Py_NewRef(node));
    t->output_nr = static_cast<int>(k);
    t->requires_grad = 1;
  }
  Py_DECREF(node);
  return out;
}

int op_init(PyObject* self, PyObject* args, PyObject*) {
  auto* op = reinterpret_cast<OpCall*>(self);
  PyObject *forward, *plans, *definition;
  int view, differentiable, broadcasts;
  if (!PyArg_ParseTuple(args, "OO!Oppp", &forward, &PyDict_Type, &plans, &definition, &view, &differentiable, &broadcasts)) return -1;
  op->forward = Py_NewRef(forward);
  op->plans = Py_NewRef(plans);
  op->definition = Py_NewRef(definition);
  op->view = static_cast<char>(view);
  op->differentiable = static_cast<char>(differentiable);
  op->broadcasts = static_cast<char>(broadcasts);
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
  Py_VISIT(op->plans);
  Py_VISIT(op->definition);
  return 0;
}

int op_clear(PyObject* self) {
  auto* op = reinterpret_cast<OpCall*>(self);
  Py_CLEAR(op->forward);
  Py_CLEAR(op->plans);
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

PyMethodDef op_methods[] = {{"node", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(op_node)), METH_FASTCALL,
                             "The node that a call with these arguments and outputs would record."},
                            {nullptr, nullptr, 0, nullptr}};

PyType_Slot op_slots[] = {{Py_tp_methods, op_methods},
{Py_tp_init, reinterpret_cast<void*>(op_init)},
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
    {"apply_rules", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(apply_rules)), METH_FASTCALL, "Gradients for a node's edges."},
    {"accumulator", accumulator_py, METH_O, "The AccumulateGrad node of a leaf."},
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
  PyObject* node_type = PyType_FromSpec(&node_spec);
  if (!node_type) throw nb::python_error();
  m.attr("NodeBase") = nb::steal(node_type);
  g_empty_tuple = PyTuple_New(0);
  g_str_plan = PyUnicode_InternFromString("plan");
  g_str_indices = PyUnicode_InternFromString("indices");
  g_str_saves = PyUnicode_InternFromString("saves");
  g_str_record_trace = PyUnicode_InternFromString("remember_trace");
  g_str_rules = PyUnicode_InternFromString("rules");
  g_str_joint = PyUnicode_InternFromString("joint");
  g_str_raise_freed = PyUnicode_InternFromString("_raise_freed");
  g_freed = PyUnicode_FromString("freed");
  m.attr("FREED") = nb::borrow(g_freed);
  m.def("set_node_types", [](nb::handle op_node, nb::handle accumulate_grad) {
    g_op_node = reinterpret_cast<PyTypeObject*>(op_node.inc_ref().ptr());
    g_accumulate_grad = reinterpret_cast<PyTypeObject*>(accumulate_grad.inc_ref().ptr());
  });
  m.def("set_anomaly", [](bool on) { g_anomaly = on; });
  m.def("is_inference_enabled", [] { return g_inference; });
  m.def("set_inference", [](bool on) {
    bool before = g_inference;
    g_inference = on;
    return before;
  });
}

}  // namespace rl::py
