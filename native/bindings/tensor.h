// The Python objects behind Tensor, Node and OpCall: their layout, and what the binding files share.
#pragma once

#include "python.h"

#include <structmember.h>

namespace rl::py {

struct Tensor {
  PyObject_HEAD
  PyObject* array;                           // null for a sparse tensor
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
  char view_limit;                           // of in-place writes: 1 a view made under no_grad, 2 one of several views
};

struct Node {
  PyObject_HEAD
  long long seq;                             // above every node this one depends on
  int num_outputs;
  char holds, used;                          // whether `saved` keeps memory alive; whether a sweep has let go of it
  PyObject *edges, *saved;
  PyObject *tensor_hooks, *pre_hooks, *post_hooks, *retain, *trace;   // None unless used
  PyObject *op, *plan, *input_meta;          // of nodes made by ops
  PyObject *variable;                        // of AccumulateGrad
  PyObject *dict, *weakrefs;
};

extern PyTypeObject *g_tensor_base, *g_tensor_type;           // TensorBase; rushlight.Tensor, what ops return
extern PyTypeObject *g_op_node, *g_accumulate_grad;           // autograd.op.OpNode, autograd.node.AccumulateGrad
extern PyObject *g_empty_tuple, *g_freed;                     // g_freed: what `saved` becomes once memory is given back
extern bool g_anomaly;
// Modes of this thread, as in PyTorch: no_grad in one does not stop another from training.
extern thread_local bool g_grad_enabled, g_inference;
extern thread_local int g_autocast;          // dtype of autocast (autograd/autocast.py), -1 outside of it

inline bool is_set(PyObject* o) { return o && o != Py_None; }
inline bool is_tensor(PyObject* o) {
  return Py_TYPE(o) == g_tensor_type || PyType_IsSubtype(Py_TYPE(o), g_tensor_base);
}
inline Tensor* as_tensor(PyObject* o) { return reinterpret_cast<Tensor*>(o); }
inline Node* as_node(PyObject* o) { return reinterpret_cast<Node*>(o); }

PyObject* make_tensor(PyTypeObject* type, PyObject* array);   // steals the array
PyObject* node_new(PyTypeObject* type, PyObject*, PyObject*); // numbered above every node made before
PyObject* edge_to(Tensor* t);                                 // (node, output number) for a tensor that requires a gradient

// The numbers of autograd/op.py: what a rule asks a node to keep.
enum Save { kArg, kOut, kShape, kDtype, kLayout, kAttr, kNeeds, kArgs };

// A list with the gradient for each edge of a node made by an op; null with an exception set.
PyObject* apply_rules(PyObject* node, PyObject* grads, PyObject* needed);
// Adds the gradient of a node's input to `total`, where its op says how (`adds`): 1 done, 0 it does not say, -1 with an exception set.
int add_gradient(PyObject* node, PyObject* total, PyObject* g);

void bind_nodes(nb::module_& m);
void bind_ops(nb::module_& m);
void bind_rules(nb::module_& m);
void bind_engine(nb::module_& m);

}  // namespace rl::py
