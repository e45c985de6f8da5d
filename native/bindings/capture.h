// What a recording sees of the Python side: tensors it used, leaves whose gradients it made, and where it was refused.
#pragma once

#include <unordered_set>
#include <vector>

#include "../core/recorder.h"
#include "tensor.h"

namespace rl::py {

struct Capture {
  Recorder recorder;
  PyObject* locate = nullptr;                // () -> str: the user's line that is running
  std::vector<PyObject*> tensors;            // made before the recording and given to an op
  std::vector<std::pair<PyObject*, PyObject*>> gradients;     // leaf, and its `.grad` when the first gradient reached it
  std::vector<PyObject*> aliases;            // made by the function of tensors from before: the same relation in every run
  std::unordered_set<PyObject*> seen, seen_leaves;

  ~Capture();
  void forget();                             // the tensors
  void note(PyObject* tensor);
  void alias(PyObject* tensor, PyObject* source);            // `tensor` was made just now, of `source`, and shares its memory
  void note_gradient(PyObject* leaf);
  bool own(PyObject* tensor) const;          // made by the function, or an alias that it made
  void settle();                             // it has returned: lets go of the tensors that are its own
  void refuse(const char* why) { recorder.refuse(why); }
};

extern Capture* g_capture;                   // null unless something is being recorded; guarded by the GIL

}  // namespace rl::py
