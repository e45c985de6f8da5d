// Guards of a compiled step.
#pragma once

#include <cstring>
#include <vector>

#include "tensor.h"

namespace rl::py {
namespace {

// What must still be as it was when a step was recorded. Kinds and their (object, key, expected):
//   item      object[key] of a dict is expected, or an equal number or string
//   element   object[key] of another sequence                           length   len(object) == expected
//   bytes     the memory of a NumPy array                               (a copy of it)
//   cell      the content of a closure's cell                           array    a tensor's memory is the same
//   attribute  getattr(object, key), of a class
//   grad      a tensor's .grad is expected (None: it has none)          needs    a tensor's requires_grad
enum GuardKind { kItem, kAttribute, kLength, kCell, kArray, kGrad, kNeedsGrad, kElement, kBytes };

struct Guard {
  int kind;
  PyObject *object, *key, *expected;
};

bool plain(PyObject* o) {
  return o == Py_None || PyLong_Check(o) || PyFloat_CheckExact(o) || PyUnicode_CheckExact(o);
}

bool same(PyObject* now, PyObject* expected) {
  if (now == expected) return true;
  if (!now || Py_TYPE(now) != Py_TYPE(expected)) return false;
  if (PyTuple_CheckExact(now)) {
    if (PyTuple_GET_SIZE(now) != PyTuple_GET_SIZE(expected)) return false;
    for (Py_ssize_t k = 0; k < PyTuple_GET_SIZE(now); ++k)
      if (!same(PyTuple_GET_ITEM(now, k), PyTuple_GET_ITEM(expected, k))) return false;
    return true;
  }
  if (!plain(now)) return false;
  if (PyFloat_CheckExact(now)) {             // 0.0 is not -0.0, and nan is nan
    const double a = PyFloat_AS_DOUBLE(now), b = PyFloat_AS_DOUBLE(expected);
    return !std::memcmp(&a, &b, sizeof a);
  }
  int equal = PyObject_RichCompareBool(now, expected, Py_EQ);
  if (equal < 0) PyErr_Clear();
  return equal == 1;
}

bool same_bytes(PyObject* object, PyObject* expected) {
  Py_buffer view;
  if (PyObject_GetBuffer(object, &view, PyBUF_ANY_CONTIGUOUS)) {
    PyErr_Clear();
    return false;
  }
  const bool ok = view.len == PyBytes_GET_SIZE(expected) &&
                  !std::memcmp(view.buf, PyBytes_AS_STRING(expected), static_cast<size_t>(view.len));
  PyBuffer_Release(&view);
  return ok;
}

bool holds(const Guard& g) {
  switch (g.kind) {
    case kItem: {
      PyObject* now = PyDict_GetItemWithError(g.object, g.key);
      if (!now) PyErr_Clear();
      return same(now, g.expected);
    }
    case kAttribute: {
      PyObject* now = PyObject_GetAttr(g.object, g.key);
      if (!now) PyErr_Clear();
      bool ok = same(now, g.expected);
      Py_XDECREF(now);
      return ok;
    }
    case kLength: {
      Py_ssize_t n = PyObject_Size(g.object);
      if (n < 0) PyErr_Clear();
      return n == PyLong_AsSsize_t(g.expected);
    }
    case kElement: {
      PyObject* now = PySequence_GetItem(g.object, PyLong_AsSsize_t(g.key));
      if (!now) PyErr_Clear();
      bool ok = same(now, g.expected);
      Py_XDECREF(now);
      return ok;
    }
    case kBytes: return same_bytes(g.object, g.expected);
    case kCell: return same(PyCell_GET(g.object), g.expected);
    case kArray: return as_tensor(g.object)->array == g.expected;
    case kGrad: {
      PyObject* grad = as_tensor(g.object)->grad;
      return g.expected == Py_None ? !is_set(grad) : grad == g.expected;
    }
    default: return (as_tensor(g.object)->requires_grad != 0) == (g.expected == Py_True);
  }
}

struct Guards {
  std::vector<Guard> list;

  Guards() = default;
  Guards(const Guards&) = delete;
  ~Guards() { clear(); }
  void clear() {
    std::vector<Guard> gone;
    gone.swap(list);
    for (Guard& g : gone) {
      Py_DECREF(g.object);
      Py_DECREF(g.key);
      Py_DECREF(g.expected);
    }
  }
  int visit(visitproc visit, void* arg) const {
    for (const Guard& g : list) {
      Py_VISIT(g.object);
      Py_VISIT(g.key);
      Py_VISIT(g.expected);
    }
    return 0;
  }
  void fill(nb::list from) {
    for (nb::handle h : from) {
      PyObject* t = h.ptr();
      list.push_back({static_cast<int>(PyLong_AsLong(PyTuple_GET_ITEM(t, 0))), Py_NewRef(PyTuple_GET_ITEM(t, 1)),
                      Py_NewRef(PyTuple_GET_ITEM(t, 2)), Py_NewRef(PyTuple_GET_ITEM(t, 3))});
    }
  }
  Py_ssize_t failed() const {                // the first that does not hold; -1 if all do
    for (size_t i = 0; i < list.size(); ++i)
      if (!holds(list[i])) return static_cast<Py_ssize_t>(i);
    return -1;
  }
};

}  // namespace
}  // namespace rl::py
