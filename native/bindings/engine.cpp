// The backward sweep.
//
// Nodes are taken from a heap, highest number first. A node's number is larger than that of every node before it, so when
// it comes up, everything that contributes to its gradient has already run: no counting pass, no recursion, graphs of any
// depth. What is rare (hooks, retained gradients, accumulation that is more than taking over a fresh gradient, anomaly
// checks) is done by functions of autograd/engine.py.
#include <queue>
#include <unordered_map>

#include "../core/recorder.h"
#include "capture.h"
#include "tensor.h"

namespace rl::py {
namespace {

PyObject *g_run_hooks, *g_run_post_hooks, *g_retain, *g_accumulate, *g_fit, *g_check_apply;   // g_check_apply: null unless on
PyObject *g_str_apply, *g_str_release, *g_str_take;
PyTypeObject* g_held_type;                   // what stands for saved values that are computed again (autograd/held.py)

struct Sweep {
  struct Entry {
    long long seq;
    PyObject* node;
    bool operator<(const Entry& o) const { return seq < o.seq; }
  };

  std::priority_queue<Entry> heap;
  std::unordered_map<PyObject*, PyObject*> pending;          // node -> list with a gradient (or None) per output
  bool retain_graph;
  PyObject *wanted, *needed_nodes, *captured;                // None unless gradients of given inputs are asked for

  ~Sweep() {
    for (auto& [node, grads] : pending) {
      Py_DECREF(node);
      Py_DECREF(grads);
    }
  }

  // Adds g (stolen) to what has arrived for an output of a node.
  bool send(PyObject* node, Py_ssize_t nr, PyObject* g) {
    auto [at, fresh] = pending.try_emplace(node, nullptr);
    if (fresh) {
      Py_ssize_t n = as_node(node)->num_outputs;
      at->second = PyList_New(n);
      for (Py_ssize_t k = 0; k < n; ++k) PyList_SET_ITEM(at->second, k, Py_NewRef(Py_None));
      Py_INCREF(node);
      heap.push({as_node(node)->seq, node});
    }
    PyObject* have = PyList_GET_ITEM(at->second, nr);
    if (have != Py_None) {
      // A sparse gradient is added to a dense one, not the other way round.
      bool swap = Py_TYPE(have) != g_tensor_type && is_tensor(have) && !as_tensor(have)->array;
      PyObject* sum = swap ? PyNumber_Add(g, have) : PyNumber_Add(have, g);
      Py_DECREF(g);
      if (!sum) return false;
      g = sum;
    }
    PyList_SetItem(at->second, nr, g);
    return true;
  }

  bool call_into(PyObject* fn, PyObject* a, PyObject* b) {
    PyObject* args[2] = {a, b};
    PyObject* r = PyObject_Vectorcall(fn, args, 2, nullptr);
    Py_XDECREF(r);
    return r != nullptr;
  }

  // Whether nobody else holds this gradient or its memory: it may be written.
  static bool owned(PyObject* g) {
    const auto* t = as_tensor(g);
    if (Py_TYPE(g) != g_tensor_type || Py_REFCNT(g) != 1 || t->requires_grad || is_set(t->base)) return false;
    if (Py_REFCNT(t->array) != 1) return false;
    const Array& a = *array_of(t->array);
    return storage_references(a.storage) == 1 && a.contiguous();
  }

  // Adds a node's gradient to what has arrived for its input, if its op knows how to without a gradient of the input's size, and
  // that belongs to this sweep: 1 done, 0 not, -1 with an exception set. x[:, t] of each step in a loop would else make zeros of
  // x's size for every t.
  int add_in_place(PyObject* node, PyObject* grads) {
    if (Py_TYPE(node) != g_op_node || g_grad_enabled || g_check_apply || is_set(as_node(node)->post_hooks)) return 0;
    PyObject *edges = as_node(node)->edges, *g = PyList_GET_ITEM(grads, 0);
    if (as_node(node)->num_outputs != 1 || Py_TYPE(g) != g_tensor_type) return 0;
    if (!PyList_CheckExact(edges) || PyList_GET_SIZE(edges) != 1) return 0;
    PyObject* edge = PyList_GET_ITEM(edges, 0);
    if (edge == Py_None) return 0;
    auto at = pending.find(PyTuple_GET_ITEM(edge, 0));
    if (at == pending.end()) return 0;
    PyObject* total = PyList_GET_ITEM(at->second, PyLong_AsSsize_t(PyTuple_GET_ITEM(edge, 1)));
    if (total == Py_None || !owned(total)) return 0;
    if (array_of(as_tensor(total)->array)->dtype != array_of(as_tensor(g)->array)->dtype) return 0;
    return add_gradient(node, total, g);
  }

  // A leaf's first gradient is taken over as it is if nobody else holds it or its memory.
  bool accumulate(Node* node, PyObject* grads) {
    PyObject* g = PyList_GET_ITEM(grads, 0);
    if (g == Py_None) return true;
    if (g_capture) g_capture->note_gradient(node->variable);
    Tensor* leaf = as_tensor(node->variable);
    if (!is_set(leaf->grad) && !is_set(leaf->hooks) && owned(g)) {
      Py_XSETREF(leaf->grad, Py_NewRef(g));
      return true;
    }
    return call_into(g_accumulate, node->variable, g);
  }

  // Takes what this node's gradients were wanted for; says which edges still lead to something wanted.
  // Returns false with no exception set if the sweep stops at this node.
  bool capture(PyObject* node, PyObject* grads, PyObject** needed) {
    *needed = Py_NewRef(Py_None);
    if (wanted == Py_None) return true;
    if (PyObject* at = PyDict_GetItem(wanted, node)) {       // {output number: [positions]}
      PyObject *nr, *positions;
      Py_ssize_t pos = 0;
      while (PyDict_Next(at, &pos, &nr, &positions)) {
        PyObject* g = PyList_GET_ITEM(grads, PyLong_AsSsize_t(nr));
        for (Py_ssize_t k = 0; k < PyList_GET_SIZE(positions); ++k)
          PyList_SetItem(captured, PyLong_AsSsize_t(PyList_GET_ITEM(positions, k)), Py_NewRef(g));
      }
    }
    if (Py_TYPE(node) == g_accumulate_grad) return false;
    PyObject* edges = PySequence_Fast(as_node(node)->edges, "edges");
    Py_ssize_t n = PySequence_Fast_GET_SIZE(edges);
    Py_SETREF(*needed, PyList_New(n));
    bool any = false;
    for (Py_ssize_t k = 0; k < n; ++k) {
      PyObject* edge = PySequence_Fast_GET_ITEM(edges, k);
      bool leads = edge != Py_None && PySet_Contains(needed_nodes, PyTuple_GET_ITEM(edge, 0)) == 1;
      any |= leads;
      PyList_SET_ITEM(*needed, k, Py_NewRef(leads ? Py_True : Py_False));
    }
    Py_DECREF(edges);
    return any;
  }

  PyObject* apply(PyObject* node, PyObject* grads, PyObject* needed) {
    if (g_check_apply) {
      PyObject* args[3] = {node, grads, needed};
      return PyObject_Vectorcall(g_check_apply, args, 3, nullptr);
    }
    if (Py_TYPE(node) != g_op_node) return PyObject_CallMethodObjArgs(node, g_str_apply, grads, needed, nullptr);
    PyObject* results = apply_rules(node, grads, needed);
    PyObject* meta = as_node(node)->input_meta;
    if (!results || !is_set(meta)) return results;
    PyObject *slot, *shape_dtype;
    Py_ssize_t pos = 0;
    while (PyDict_Next(meta, &pos, &slot, &shape_dtype)) {   // broadcast inputs: sum back to their shape
      Py_ssize_t k = PyLong_AsSsize_t(slot);
      PyObject* g = PyList_GET_ITEM(results, k);
      if (g == Py_None) continue;
      PyObject* fitted = PyObject_CallFunctionObjArgs(g_fit, g, PyTuple_GET_ITEM(shape_dtype, 0), PyTuple_GET_ITEM(shape_dtype, 1), nullptr);
      if (!fitted) {
        Py_DECREF(results);
        return nullptr;
      }
      PyList_SetItem(results, k, fitted);
    }
    return results;
  }

  bool release(PyObject* node) {
    if (retain_graph) return true;
    auto* n = as_node(node);
    n->used = 1;
    if (Py_TYPE(node) == g_op_node) {        // one that keeps no tensors can be swept again, as in PyTorch
      if (n->holds && n->saved && n->saved != g_empty_tuple && n->saved != g_freed) Py_SETREF(n->saved, Py_NewRef(g_freed));
      return true;
    }
    PyObject* r = PyObject_CallMethodNoArgs(node, g_str_release);
    Py_XDECREF(r);
    return r != nullptr;
  }

  bool distribute(PyObject* node, PyObject* results) {
    PyObject* edges = PySequence_Fast(as_node(node)->edges, "edges");
    PyObject* values = PySequence_Fast(results, "a node must return a sequence of gradients");
    bool ok = edges && values;
    Py_ssize_t n = ok ? PySequence_Fast_GET_SIZE(edges) : 0;
    if (ok && PySequence_Fast_GET_SIZE(values) < n) {
      PyErr_Format(PyExc_RuntimeError, "a node returned %zd gradients for %zd inputs", PySequence_Fast_GET_SIZE(values), n);
      ok = false;
    }
    for (Py_ssize_t k = 0; ok && k < n; ++k) {
      PyObject *edge = PySequence_Fast_GET_ITEM(edges, k), *g = PySequence_Fast_GET_ITEM(values, k);
      if (g == Py_None || edge == Py_None) continue;
      PyObject* target = PyTuple_GET_ITEM(edge, 0);
      if (needed_nodes != Py_None && PySet_Contains(needed_nodes, target) != 1) continue;
      Py_INCREF(g);
      // Let go of the list's own reference, so that a fresh gradient has one owner.
      if (PyList_CheckExact(values)) PyList_SetItem(values, k, Py_NewRef(Py_None));
      ok = send(target, PyLong_AsSsize_t(PyTuple_GET_ITEM(edge, 1)), g);
    }
    Py_XDECREF(values);
    Py_XDECREF(edges);
    return ok;
  }

  bool visit(PyObject* node, PyObject* grads) {
    auto* n = as_node(node);
    bool leaf = Py_TYPE(node) == g_accumulate_grad;
    if (is_set(n->tensor_hooks) || is_set(n->pre_hooks) || (leaf && is_set(as_tensor(n->variable)->hooks))) {
      if (g_capture && active_recorder() == &g_capture->recorder) g_capture->refuse("a hook ran in the backward pass");
      if (!call_into(g_run_hooks, node, grads)) return false;
    }
    if (is_set(n->retain) && wanted == Py_None && !call_into(g_retain, node, grads)) return false;
    PyObject* needed;
    bool go_on = capture(node, grads, &needed);
    bool ok = !PyErr_Occurred();
    if (go_on && ok) {
      PyObject* held = n->saved && Py_TYPE(n->saved) == g_held_type ? Py_NewRef(n->saved) : nullptr;
      if (held) {
        PyObject* values = PyObject_CallMethodNoArgs(held, g_str_take);
        if (values) Py_XSETREF(n->saved, values);
        ok = values != nullptr;
      }
      if (!ok) {
      } else if (leaf && !g_check_apply && !is_set(n->post_hooks)) {
        ok = accumulate(n, grads);
      } else if (const int added = add_in_place(node, grads)) {
        ok = added > 0 && release(node);
      } else {
        PyObject* results = apply(node, grads, needed);
        if (results && is_set(n->post_hooks)) {
          PyObject* args[3] = {node, results, grads};
          Py_SETREF(results, PyObject_Vectorcall(g_run_post_hooks, args, 3, nullptr));
        }
        ok = results && release(node) && distribute(node, results);
        Py_XDECREF(results);
      }
      if (held && n->saved != g_freed) Py_XSETREF(n->saved, Py_NewRef(held));
      Py_XDECREF(held);
    }
    Py_DECREF(needed);
    return ok;
  }

  bool run() {
    while (!heap.empty()) {
      PyObject* node = heap.top().node;
      heap.pop();
      auto at = pending.find(node);
      PyObject* grads = at->second;
      pending.erase(at);
      bool ok = visit(node, grads);
      Py_DECREF(grads);
      Py_DECREF(node);
      if (!ok) return false;
    }
    return true;
  }
};

// sweep(edges, grads, retain_graph, wanted, needed_nodes, captured)
PyObject* sweep(PyObject*, PyObject* const* args, Py_ssize_t nargs) {
  if (nargs != 6 || !PyList_Check(args[0]) || !PyList_Check(args[1])) {
    PyErr_SetString(PyExc_TypeError, "sweep(edges: list, grads: list, retain_graph, wanted, needed_nodes, captured)");
    return nullptr;
  }
  Sweep s;
  s.retain_graph = args[2] == Py_True;
  s.wanted = args[3];
  s.needed_nodes = args[4];
  s.captured = args[5];
  for (Py_ssize_t k = 0; k < PyList_GET_SIZE(args[0]); ++k) {
    PyObject* edge = PyList_GET_ITEM(args[0], k);
    if (!s.send(PyTuple_GET_ITEM(edge, 0), PyLong_AsSsize_t(PyTuple_GET_ITEM(edge, 1)), Py_NewRef(PyList_GET_ITEM(args[1], k))))
      return nullptr;
  }
  if (!s.run()) return nullptr;
  Py_RETURN_NONE;
}

PyMethodDef functions[] = {{"sweep", reinterpret_cast<PyCFunction>(reinterpret_cast<void*>(sweep)), METH_FASTCALL, "The backward sweep."},
                           {nullptr, nullptr, 0, nullptr}};

}  // namespace

void bind_engine(nb::module_& m) {
  PyModule_AddFunctions(m.ptr(), functions);
  g_str_apply = PyUnicode_InternFromString("apply");
  g_str_release = PyUnicode_InternFromString("release");
  m.def("set_engine", [](nb::handle run_hooks, nb::handle run_post_hooks, nb::handle retain, nb::handle accumulate, nb::handle fit) {
    g_run_hooks = run_hooks.inc_ref().ptr();
    g_run_post_hooks = run_post_hooks.inc_ref().ptr();
    g_retain = retain.inc_ref().ptr();
    g_accumulate = accumulate.inc_ref().ptr();
    g_fit = fit.inc_ref().ptr();
  });
  g_str_take = PyUnicode_InternFromString("take");
  m.def("set_held_type", [](nb::handle type) { g_held_type = reinterpret_cast<PyTypeObject*>(type.inc_ref().ptr()); });
  m.def("set_anomaly_check", [](nb::handle fn) {             // fn(node, grads, needed) in place of node.apply, or None
    Py_XSETREF(g_check_apply, fn.is_none() ? nullptr : fn.inc_ref().ptr());
  }, nb::arg().none());
}

}  // namespace rl::py
