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
  std::unordered_set<PyObject*> seen, seen_leaves;

  ~Capture();
  void forget();                             // the tensors
  void note(PyObject* tensor);
  void note_gradient(PyObject* leaf);
  void refuse(const char* why) { recorder.refuse(why); }
};

extern Capture* g_capture;                   // null unless something is being recorded; guarded by the GIL

}  // namespace rl::py
