// OpCall: a callable op. It takes the arrays out of its tensor arguments, runs the op's Python forward on them and
// wraps the result; if a gradient is needed it makes a node, keeping what the op's Plan names (autograd/op.py).
#include <algorithm>

#include "../core/recorder.h"
#include "capture.h"
#include "tensor.h"

namespace rl::py {
namespace {

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

// All outputs, or the one that `key` numbers.
PyObject* saved_outputs(PyObject* const* outs, Py_ssize_t n, PyObject* key) {
  if (key != Py_None) outs += PyLong_AsSsize_t(key), n = 1;
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
    case kOut: return saved_outputs(outs, nouts, key);
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

bool same_shape(const Array& a, const Array& b) { return a.ndim == b.ndim && std::equal(a.shape, a.shape + a.ndim, b.shape); }

bool same_meta(const Array& a, const Array& b) { return a.dtype == b.dtype && same_shape(a, b); }

PyObject *g_str_plan, *g_str_indices, *g_str_saves, *g_str_record_trace;

// Nodes with saved tensors are noted in a list while a graph is made whose values will be computed again (autograd/held.py). The
// second time there are `wanted` of them, the last one of the op `last`: then g_stop_type is raised.
struct Noted {
  PyObject* nodes = nullptr;                 // list, or null
  Py_ssize_t wanted = -1;                    // -1: no end
  PyObject* last = nullptr;                  // None if it is not of an op
};
thread_local Noted t_noted;
PyObject* g_stop_type;

bool stop_noted() {
  if (!t_noted.nodes || t_noted.wanted < 0 || PyList_GET_SIZE(t_noted.nodes) < t_noted.wanted) return false;
  PyErr_SetNone(g_stop_type);
  return true;
}

bool is_one_tensor(PyObject* const* items, Py_ssize_t n) {
  for (Py_ssize_t k = 0; k < n; ++k)
    if (is_tensor(items[k])) return true;
  return false;
}

// Whether what a plan saves includes a tensor, and whether an output (which outs == null stands for).
bool saves_tensor(PyObject* saves, PyObject* const* args, Py_ssize_t nargs, PyObject* const* outs, Py_ssize_t nouts, bool* output) {
  bool any = false;
  for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(saves); ++k) {
    PyObject *item = PyTuple_GET_ITEM(saves, k), *key = PyTuple_GET_ITEM(item, 1);
    switch (PyLong_AsLong(PyTuple_GET_ITEM(item, 0))) {
      case kArg: {
        const Py_ssize_t i = PyLong_AsSsize_t(key);
        any |= i < nargs && is_tensor(args[i]);
        break;
      }
      case kArgs: {
        const Py_ssize_t from = PyLong_AsSsize_t(key);
        any |= from < nargs && is_one_tensor(args + from, nargs - from);
        break;
      }
      case kOut:
        *output = true;
        any |= is_one_tensor(outs, nouts);
        break;
      default: break;
    }
  }
  return any;
}

// A number, a text, None, a dtype, or a tuple of them: it has no memory of arrays, and an op cannot write into it.
bool is_plain(PyObject* o) {
  if (PyTuple_CheckExact(o)) {
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(o); ++k)
      if (!is_plain(PyTuple_GET_ITEM(o, k))) return false;
    return true;
  }
  for (PyObject* dtype : g_dtypes)
    if (o == dtype) return true;
  return o == Py_None || PyLong_Check(o) || PyFloat_Check(o) || PyUnicode_Check(o);
}

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
    bool holds = false;
    for (Py_ssize_t k = 0; ok && k < m; ++k) {
      PyObject* item = PyTuple_GET_ITEM(saves, k);
      PyObject* value = save_one(PyLong_AsLong(PyTuple_GET_ITEM(item, 0)), PyTuple_GET_ITEM(item, 1), args, nargs, kwnames,
                                 kwargs, outs, nouts, mask);
      ok &= value != nullptr;
      PyList_SET_ITEM(saved, k, value);
      const long kind = PyLong_AsLong(PyTuple_GET_ITEM(item, 0));
      holds |= kind == kArg || kind == kArgs || kind == kOut || (kind == kAttr && value && !is_plain(value));
    }
    PyObject* node = ok ? node_new(g_op_node, nullptr, nullptr) : nullptr;   // numbered after its inputs
    if (node) {
      auto* fields = reinterpret_cast<Node*>(node);
      fields->num_outputs = static_cast<int>(nouts);
      fields->edges = edges;
      fields->saved = saved;
      fields->holds = holds;
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
      bool output = false;
      if (node && t_noted.nodes && saves_tensor(saves, args, nargs, outs, nouts, &output) && PyList_Append(t_noted.nodes, node) < 0)
        Py_CLEAR(node);
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

// The last node of a graph that is made again: if it saves no output, nobody needs the op's result. True if it was made so, and
// the stop raised. Not where the op may write into an argument, as it does with statistics (see normalization.py): all of them
// have to be tensors that require a gradient, or no tensors.
bool note_last(OpCall* op, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (PyList_GET_SIZE(t_noted.nodes) + 1 != t_noted.wanted || op->definition != t_noted.last) return false;
  const Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  PyObject* mask = PyTuple_New(nargs);
  bool alone = true;
  for (Py_ssize_t k = 0; k < nargs + nkw; ++k) {
    const bool need = k < nargs && is_tensor(args[k]) && reinterpret_cast<Tensor*>(args[k])->requires_grad;
    if (k < nargs) PyTuple_SET_ITEM(mask, k, Py_NewRef(need ? Py_True : Py_False));
    alone &= need || is_plain(args[k]);
  }
  PyObject* plan = PyDict_GetItemWithError(op->plans, mask);
  Py_DECREF(mask);
  PyObject* saves = plan ? PyObject_GetAttr(plan, g_str_saves) : nullptr;
  bool output = false;
  alone &= saves && saves_tensor(saves, args, nargs, nullptr, 0, &output) && !output;
  Py_XDECREF(saves);
  if (!alone) return false;
  PyObject* node = record_node(op, args, nargs, kwnames, args + nargs, nullptr, 0);
  if (!node) return true;
  Py_DECREF(node);
  return stop_noted();
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

PyObject* wrap_output(PyObject* array, Tensor* view_of, bool one_of_several = false) {
  // An op's own writes into its fresh output are not in-place writes: nobody else has seen it.
  Storage* storage = array_of(array)->storage;
  if (Py_REFCNT(array) == 1 && storage_references(storage) == 1) storage->version = 0;
  PyObject* out = make_tensor(g_tensor_type, array);
  if (out && view_of) {
    auto* t = reinterpret_cast<Tensor*>(out);
    PyObject* root = view_of->base && view_of->base != Py_None ? view_of->base : reinterpret_cast<PyObject*>(view_of);
    Py_INCREF(root);
    t->base = root;
    t->view_version = array_of(array)->storage->version;
    t->view_limit = !g_grad_enabled ? 1 : one_of_several ? 2 : view_of->view_limit;
  }
  return out;
}

// A tensor without an array is sparse: the op's definition knows what to do, or says that it cannot.
PyObject* call_sparse(OpCall* op, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  PyObject* method = PyObject_GetAttrString(op->definition, "call_sparse");
  if (!method) return nullptr;
  PyObject* out = PyObject_Vectorcall(method, args, static_cast<size_t>(nargs), kwnames);
  Py_DECREF(method);
  return out;
}

bool is_float_tensor(PyObject* o) {
  return is_tensor(o) && is_floating(array_of(reinterpret_cast<Tensor*>(o)->array)->dtype);
}

PyObject* op_call_plain(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
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
      if (g_capture) g_capture->note(o);
      auto* t = reinterpret_cast<Tensor*>(o);
      if (!t->array) return call_sparse(op, args, nargs, kwnames);
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
  if (t_noted.nodes && t_noted.wanted >= 0 && (stop_noted() || (any && note_last(op, args, nargs, kwnames)))) return nullptr;
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
      PyTuple_SET_ITEM(wrapped, k, is_array(item) ? wrap_output(item, view_of, true) : item);
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
  if (t_noted.nodes && stop_noted()) Py_CLEAR(out);
  return out;
}

// note_nodes(nodes, wanted, last): where nodes are noted from now on; returns where they were before.
PyObject* note_nodes(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 3 || !(args[0] == Py_None || PyList_CheckExact(args[0]))) {
    PyErr_SetString(PyExc_TypeError, "note_nodes(nodes: list or None, wanted: int, last)");
    return nullptr;
  }
  const Py_ssize_t wanted = PyLong_AsSsize_t(args[1]);
  if (wanted == -1 && PyErr_Occurred()) return nullptr;
  PyObject* before = Py_BuildValue("(NnN)", t_noted.nodes ? t_noted.nodes : Py_NewRef(Py_None), t_noted.wanted,
                                   t_noted.last ? t_noted.last : Py_NewRef(Py_None));
  t_noted = {args[0] == Py_None ? nullptr : Py_NewRef(args[0]), wanted, Py_NewRef(args[2])};
  return before;
}

// note_node(node): a node that is no op's.
PyObject* note_node(PyObject*, PyObject* node) {
  if (t_noted.nodes && PyList_Append(t_noted.nodes, node) < 0) return nullptr;
  if (stop_noted()) return nullptr;
  Py_RETURN_NONE;
}

PyObject* g_tracer = nullptr;                // tracer(op, args, attrs, out) after every call, while a graph is exported

bool trace(OpCall* op, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames, PyObject* out) {
  PyObject* arg_tuple = PyTuple_New(nargs);
  for (Py_ssize_t k = 0; k < nargs; ++k) PyTuple_SET_ITEM(arg_tuple, k, Py_NewRef(args[k]));
  PyObject* attrs = PyDict_New();
  for (Py_ssize_t k = 0; kwnames && k < PyTuple_GET_SIZE(kwnames); ++k)
    PyDict_SetItem(attrs, PyTuple_GET_ITEM(kwnames, k), args[nargs + k]);
  PyObject* tracer = Py_NewRef(g_tracer);
  PyObject* r = PyObject_CallFunctionObjArgs(tracer, op->definition, arg_tuple, attrs, out, nullptr);
  Py_DECREF(tracer);
  Py_DECREF(arg_tuple);
  Py_DECREF(attrs);
  Py_XDECREF(r);
  return r != nullptr;
}

PyObject* op_call(PyObject* callable, PyObject* const* args, size_t nargsf, PyObject* kwnames) {
  PyObject* out = op_call_plain(callable, args, nargsf, kwnames);
  if (g_tracer && out && !trace(reinterpret_cast<OpCall*>(callable), args, PyVectorcall_NARGS(nargsf), kwnames, out)) Py_CLEAR(out);
  return out;
}

// ---- writing in place ----------------------------------------------------------------------------------------------------

PyObject *g_inplace_full, *g_copy_into, *g_str_into;

bool in_a_graph(PyObject* o) {
  const Tensor* t = as_tensor(o);
  return t->requires_grad || (is_set(t->base) && as_tensor(t->base)->requires_grad);
}

// apply_inplace(opcall, self, *args, into=None, **attrs) of autograd/inplace.py where nobody watches: no graph, recording, export or
// sparse tensor. True if it has been done (or, with an exception set, tried).
bool write_directly(PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (g_capture || g_tracer || nargs < 2 || nargs > kMaxArgs - 2 || !is_tensor(args[1])) return false;
  const auto* op = reinterpret_cast<OpCall*>(args[0]);
  const Tensor* self = as_tensor(args[1]);
  if (self->is_inference && !g_inference) return false;
  PyObject* call[kMaxArgs + 8];                // into(out, self, ...) or forward(self, ...)
  for (Py_ssize_t k = 1; k < nargs; ++k) {
    call[k] = args[k];
    if (!is_tensor(args[k])) continue;
    if (!as_tensor(args[k])->array || (g_grad_enabled && in_a_graph(args[k]))) return false;
    call[k] = as_tensor(args[k])->array;
  }
  call[0] = self->array;
  PyObject* into = nullptr;
  const Py_ssize_t nkw = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
  if (nkw > 8) return false;
  for (Py_ssize_t k = 0; k < nkw; ++k) {
    if (PyTuple_GET_ITEM(kwnames, k) == g_str_into) into = args[nargs + k];
    call[nargs + k] = args[nargs + k];
  }
  const auto n = static_cast<size_t>(nargs);
  if (is_set(into)) {
    PyObject* r = PyObject_Vectorcall(into, call, n, nullptr);
    Py_XDECREF(r);
    return true;
  }
  if (into) return false;
  PyObject* result = PyObject_Vectorcall(op->forward, call + 1, n - 1, kwnames);
  if (!result) return true;
  const bool fits = is_array(result) && same_shape(*array_of(result), *array_of(self->array));
  if (fits) {
    PyObject* copy[2] = {self->array, result};
    PyObject* r = PyObject_Vectorcall(g_copy_into, copy, 2, nullptr);
    Py_XDECREF(r);
  }
  Py_DECREF(result);
  return fits;
}

PyObject* apply_inplace(PyObject*, PyObject* const* args, Py_ssize_t nargs, PyObject* kwnames) {
  if (write_directly(args, nargs, kwnames)) return PyErr_Occurred() ? nullptr : Py_NewRef(args[1]);
  return PyObject_Vectorcall(g_inplace_full, args, static_cast<size_t>(nargs), kwnames);
}

PyMethodDef inplace_def = {"apply_inplace", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(apply_inplace)),
                           METH_FASTCALL | METH_KEYWORDS, "self <- op(self, *args): see rushlight.autograd.inplace."};

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

}  // namespace

PyMethodDef note_functions[] = {{"note_nodes", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(note_nodes)), METH_FASTCALL,
                                 "Where nodes with saved tensors are noted; returns where they were before."},
                                {"note_node", note_node, METH_O, "Notes a node."},
                                {nullptr, nullptr, 0, nullptr}};

void bind_ops(nb::module_& m) {
  PyModule_AddFunctions(m.ptr(), note_functions);
  m.def("set_stop_type", [](nb::handle type) { g_stop_type = type.inc_ref().ptr(); });
  PyObject* op_type = PyType_FromSpec(&op_spec);
  if (!op_type) throw nb::python_error();
  m.attr("OpCall") = nb::steal(op_type);
  m.def("set_tracer", [](nb::handle fn) {                    // called after every op, or None
    Py_XSETREF(g_tracer, fn.is_none() ? nullptr : fn.inc_ref().ptr());
  }, nb::arg().none());
  m.def("get_tracer", [] { return g_tracer ? nb::borrow(g_tracer) : nb::none(); });
  m.attr("apply_inplace") = nb::steal(PyCFunction_New(&inplace_def, nullptr));
  m.def("set_inplace", [](nb::handle full, nb::handle copy_into) {   // what does all of it, and the kernel for results
    Py_XSETREF(g_inplace_full, full.inc_ref().ptr());
    Py_XSETREF(g_copy_into, copy_into.inc_ref().ptr());
  });
  g_str_into = PyUnicode_InternFromString("into");
  g_str_plan = PyUnicode_InternFromString("plan");
  g_str_indices = PyUnicode_InternFromString("indices");
  g_str_saves = PyUnicode_InternFromString("saves");
  g_str_record_trace = PyUnicode_InternFromString("remember_trace");
}

}  // namespace rl::py
