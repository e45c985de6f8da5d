// Recordings and programs as Python objects, and the call of a compiled step: match, run, wrap.
#include "../core/program.h"

#include <nanobind/stl/string.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "capture.h"
#include "guards.h"

namespace rl::py {

Capture* g_capture = nullptr;

Capture::~Capture() {
  forget();
  settle();
  for (auto& [leaf, grad] : gradients) {
    Py_DECREF(leaf);
    Py_DECREF(grad);
  }
  Py_XDECREF(locate);
}

void Capture::forget() {
  std::vector<PyObject*> held;
  held.swap(tensors);
  for (PyObject* t : held) Py_DECREF(t);
}

void Capture::note(PyObject* tensor) {
  if (active_recorder() != &recorder) return;                // another thread's op
  Tensor* t = as_tensor(tensor);
  if (is_set(t->base)) t = as_tensor(tensor = t->base);
  if (!t->array || array_of(t->array)->storage->born == recorder.id) return;
  if (!seen.insert(tensor).second) return;
  tensors.push_back(Py_NewRef(tensor));
}

void Capture::alias(PyObject* tensor, PyObject* source) {
  if (active_recorder() != &recorder) return;
  note(source);
  if (array_of(as_tensor(tensor)->array)->storage->born != recorder.id && seen.insert(tensor).second)
    aliases.push_back(Py_NewRef(tensor));
}

bool Capture::own(PyObject* tensor) const {
  Tensor* t = as_tensor(tensor);
  if (t->array && array_of(t->array)->storage->born == recorder.id) return true;
  return std::find(aliases.begin(), aliases.end(), tensor) != aliases.end();
}

void Capture::settle() {
  auto last = std::stable_partition(gradients.begin(), gradients.end(), [&](auto& g) { return !own(g.first); });
  std::vector<std::pair<PyObject*, PyObject*>> dropped(last, gradients.end());
  gradients.erase(last, gradients.end());
  std::vector<PyObject*> held;
  held.swap(aliases);
  for (PyObject* t : held) Py_DECREF(t);
  for (auto& [leaf, grad] : dropped) {
    Py_DECREF(leaf);
    Py_DECREF(grad);
  }
}

void Capture::note_gradient(PyObject* leaf) {
  if (active_recorder() != &recorder) return;
  note(leaf);
  if (is_set(as_tensor(leaf)->hooks)) refuse("a hook ran in the backward pass");
  if (!seen_leaves.insert(leaf).second) return;
  PyObject* grad = is_set(as_tensor(leaf)->grad) ? as_tensor(leaf)->grad : Py_None;
  gradients.emplace_back(Py_NewRef(leaf), Py_NewRef(grad));
}

namespace {

// ---- a compiled step -----------------------------------------------------------------------------------------------------

struct Parameter {                           // of the compiled function
  bool tensor;
  PyObject* value;                           // of what is no tensor, or is a tensor that may not be another one
  Array like;                                // geometry of a tensor
  int alias;                                 // the earlier argument whose memory it shares, or -1
};

struct CompiledStep {
  Program program;
  Guards guards, options;                    // options: of optimizers, whose change is passed on to the program
  std::vector<Parameter> parameters;
  std::vector<std::pair<PyObject*, PyObject*>> gradients;     // what a leaf's .grad is afterwards
  std::vector<bool> cleared_gradients;       // whether it is None until then
  std::vector<PyObject*> nodes;              // grad_fn of each result, or null
  PyObject* on_options = nullptr;            // called when an option has changed; true if the program can go on
  bool grad_mode;
  int autocast;
  DType default_type;
  int64_t runs = 0;
  bool cleared = false;

  CompiledStep(const Recorder& r, const std::vector<Array>& args, const std::vector<Array>& results,
               const std::vector<const Storage*>& kept)
      : program(r, args, results, kept), grad_mode(g_grad_enabled), autocast(g_autocast), default_type(default_dtype()) {}
  ~CompiledStep() { clear(); }

  void clear() {
    cleared = true;
    guards.clear();
    options.clear();
    std::vector<PyObject*> gone;
    for (Parameter& p : parameters) gone.push_back(std::exchange(p.value, nullptr));
    for (auto& [leaf, grad] : gradients) gone.push_back(leaf), gone.push_back(grad);
    gradients.clear();
    for (PyObject*& n : nodes) gone.push_back(std::exchange(n, nullptr));
    gone.push_back(std::exchange(on_options, nullptr));
    for (PyObject* o : gone) Py_XDECREF(o);
  }

  int visit(visitproc visit, void* arg) const {
    for (const Parameter& p : parameters) Py_VISIT(p.value);
    for (auto& [leaf, grad] : gradients) {
      Py_VISIT(leaf);
      Py_VISIT(grad);
    }
    for (PyObject* n : nodes) Py_VISIT(n);
    Py_VISIT(on_options);
    if (int r = guards.visit(visit, arg)) return r;
    return options.visit(visit, arg);
  }

  bool match(PyObject* args) const {
    if (cleared || program.running()) return false;          // running: in another thread
    if (grad_mode != g_grad_enabled || autocast != g_autocast || default_type != default_dtype()) return false;
    if (g_inference || g_anomaly || g_capture) return false;
    if (PyTuple_GET_SIZE(args) != static_cast<Py_ssize_t>(parameters.size())) return false;
    for (size_t k = 0; k < parameters.size(); ++k) {
      const Parameter& p = parameters[k];
      PyObject* o = PyTuple_GET_ITEM(args, static_cast<Py_ssize_t>(k));
      if (p.value) {
        if (!same(o, p.value)) return false;
        continue;
      }
      if (!is_tensor(o) || as_tensor(o)->requires_grad) return false;
      const Array& a = *array_of(as_tensor(o)->array);
      if (a.dtype != p.like.dtype || a.ndim != p.like.ndim) return false;
      for (int i = 0; i < a.ndim; ++i)
        if (a.shape[i] != p.like.shape[i] || a.strides[i] != p.like.strides[i]) return false;
      if (program.owns(a.storage)) return false;
      int alias = -1;
      for (size_t j = 0; j < k && alias < 0; ++j) {
        PyObject* other = PyTuple_GET_ITEM(args, static_cast<Py_ssize_t>(j));
        if (!parameters[j].value && array_of(as_tensor(other)->array)->storage == a.storage) alias = static_cast<int>(j);
      }
      if (alias != p.alias) return false;
      if (alias >= 0) {
        const Array& b = *array_of(as_tensor(PyTuple_GET_ITEM(args, alias))->array);
        if (a.offset - b.offset != p.like.offset - parameters[static_cast<size_t>(alias)].like.offset) return false;
      }
    }
    return true;
  }
};

int step_traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(Py_TYPE(self));
  return nb::inst_ready(self) ? nb::inst_ptr<CompiledStep>(self)->visit(visit, arg) : 0;
}

int step_clear(PyObject* self) {
  if (nb::inst_ready(self)) nb::inst_ptr<CompiledStep>(self)->clear();
  return 0;
}

PyType_Slot step_slots[] = {{Py_tp_traverse, reinterpret_cast<void*>(step_traverse)},
                            {Py_tp_clear, reinterpret_cast<void*>(step_clear)},
                            {0, nullptr}};

PyObject* g_miss;                            // what a call returns whose arguments or guards do not fit

nb::object call_step(CompiledStep& s, nb::args args) {
  if (!s.match(args.ptr()) || s.guards.failed() >= 0) return nb::borrow(g_miss);
  if (s.options.failed() >= 0) {
    nb::object go = nb::steal(PyObject_CallNoArgs(s.on_options));
    if (!go.is_valid()) throw nb::python_error();
    if (go.ptr() != Py_True) return nb::borrow(g_miss);
    for (Guard& g : s.options.list)
      if (PyObject* now = PyDict_GetItem(g.object, g.key)) Py_SETREF(g.expected, Py_NewRef(now));
  }
  std::vector<const Array*> arrays;
  for (size_t k = 0; k < s.parameters.size(); ++k) {
    const Parameter& p = s.parameters[k];
    arrays.push_back(p.tensor ? array_of(as_tensor(PyTuple_GET_ITEM(args.ptr(), static_cast<Py_ssize_t>(k)))->array) : nullptr);
  }
  if (!s.program.claim()) return nb::borrow(g_miss);
  std::vector<Array> results;
  try {
    nb::gil_scoped_release release;
    s.program.run(arrays, results);
  } catch (...) {                            // most likely in the forward pass, before there were gradients
    for (size_t k = 0; k < s.gradients.size(); ++k)
      if (s.cleared_gradients[k]) Py_CLEAR(as_tensor(s.gradients[k].first)->grad);
    throw;
  }
  ++s.runs;
  for (auto& [leaf, grad] : s.gradients)
    if (as_tensor(leaf)->grad != grad) Py_XSETREF(as_tensor(leaf)->grad, Py_NewRef(grad));
  PyObject* out = PyTuple_New(static_cast<Py_ssize_t>(results.size()));
  for (size_t k = 0; k < results.size(); ++k) {
    PyObject* t = make_tensor(g_tensor_type, wrap_array(std::move(results[k])));
    if (PyObject* node = s.nodes[k]) {
      Py_XSETREF(as_tensor(t)->node, Py_NewRef(node));
      as_tensor(t)->requires_grad = 1;
    }
    PyTuple_SET_ITEM(out, static_cast<Py_ssize_t>(k), t);
  }
  return nb::steal(out);
}

std::vector<Array> arrays_in(nb::handle list) {
  std::vector<Array> out;
  for (nb::handle h : list) out.push_back(*array_of(h.ptr()));
  return out;
}

// References to a storage from distinct Array objects of a list: what Python is known to hold.
int64_t known_references(const Storage* s, nb::list known) {
  std::unordered_set<PyObject*> seen;
  int64_t n = 0;
  for (nb::handle h : known)
    if (array_of(h.ptr())->storage == s && seen.insert(h.ptr()).second) ++n;
  return n;
}

nb::object describe(const Recorder& r) {
  nb::list lines;
  for (const Record& rec : r.records) {
    nb::list arrays, numbers;
    for (const Array& a : rec.arrays) {
      if (a.storage) arrays.append(nb::steal(wrap_array(Array(a))));
      else arrays.append(nb::none());
    }
    for (const Number& n : rec.numbers) {
      if (n.is_float) numbers.append(nb::float_(n.f));
      else numbers.append(nb::int_(n.i));
    }
    lines.append(nb::make_tuple(nb::str(rec.def->name), rec.nout, nb::tuple(arrays), nb::tuple(numbers)));
  }
  return nb::object(std::move(lines));
}

void locate(Recorder* recorder, std::string* text) {
  if (!g_capture || &g_capture->recorder != recorder || !g_capture->locate) return;
  nb::gil_scoped_acquire gil;
  PyObject *type, *value, *trace;
  PyErr_Fetch(&type, &value, &trace);
  if (PyObject* where = PyObject_CallNoArgs(g_capture->locate)) {
    if (const char* s = PyUnicode_AsUTF8(where)) *text += s;
    Py_DECREF(where);
  }
  PyErr_Clear();
  PyErr_Restore(type, value, trace);
}

}  // namespace

void bind_programs(nb::module_& m) {
  nb::class_<Capture>(m, "Recorder")
      .def(nb::init<>())
      .def("start", [](Capture& c, nb::handle where) {
        if (g_capture) throw std::runtime_error("something is being recorded already");
        c.locate = where.is_none() ? nullptr : where.inc_ref().ptr();
        c.recorder.locate = locate;
        start_recording(&c.recorder);
        g_capture = &c;
      }, nb::arg("locate") = nb::none())
      .def("stop", [](Capture&) {
        stop_recording();
        g_capture = nullptr;
      })
      .def("replay", [](Capture& c) {
        nb::gil_scoped_release release;
        c.recorder.replay();
      })
      .def("note", [](Capture& c, nb::handle tensor) { c.note(tensor.ptr()); })
      .def("alias", [](Capture& c, nb::handle tensor, nb::handle source) { c.alias(tensor.ptr(), source.ptr()); })
      .def("forget", [](Capture& c) { c.forget(); })         // the tensors that were seen
      .def("own", [](const Capture& c, nb::handle tensor) { return c.own(tensor.ptr()); })
      .def("settle", [](Capture& c) { c.settle(); })
      .def("refuse", [](Capture& c, const char* why) { c.refuse(why); })
      .def_prop_ro("refusal", [](const Capture& c) { return c.recorder.refusal(); })
      .def_prop_ro("tensors", [](const Capture& c) {
        nb::list out;
        for (PyObject* t : c.tensors) out.append(nb::borrow(t));
        return out;
      })
      .def_prop_ro("gradients", [](const Capture& c) {         // [(leaf, .grad before)]
        nb::list out;
        for (auto& [leaf, grad] : c.gradients) out.append(nb::make_tuple(nb::borrow(leaf), nb::borrow(grad)));
        return out;
      })
      .def("made", [](const Capture& c, nb::handle array) { return array_of(array.ptr())->storage->born == c.recorder.id; })
      // Storages made in the recording that somebody holds who is not in `known`: [description]
      .def("strays", [](const Capture& c, nb::list known, nb::list backward) {
        nb::list out;
        std::unordered_set<const Storage*> done;
        for (const Record& r : c.recorder.records)
          for (const Array& a : r.arrays) {
            const Storage* s = a.storage;
            if (!s || s->born != c.recorder.id || !done.insert(s).second) continue;
            int64_t held = c.recorder.held(s);
            for (nb::handle h : backward) held += nb::cast<const Capture&>(h).recorder.held(s);
            if (s->refs.load() - held > known_references(s, known)) {
              std::string text = std::string("made by ") + r.def->name + ", shape [";
              for (int i = 0; i < a.ndim; ++i) text += (i ? ", " : "") + std::to_string(a.shape[i]);
              out.append(nb::str((text + "]").c_str()));
            }
          }
        return out;
      }, nb::arg("known"), nb::arg("backward"))
      // An array for each storage that another recording made and this one uses.
      .def("borrowed", [](const Capture& c, const Capture& from) {
        nb::list out;
        std::unordered_set<const Storage*> done;
        for (const Record& r : c.recorder.records)
          for (const Array& a : r.arrays)
            if (a.storage && a.storage->born == from.recorder.id && done.insert(a.storage).second)
              out.append(nb::steal(wrap_array(Array(a))));
        return out;
      })
      .def("__len__", [](const Capture& c) { return c.recorder.records.size(); })
      .def("describe", [](const Capture& c) { return describe(c.recorder); });

  g_miss = PyObject_CallNoArgs(reinterpret_cast<PyObject*>(&PyBaseObject_Type));
  m.attr("MISS") = nb::borrow(g_miss);
  m.attr("GUARD_ITEM") = int(kItem);
  m.attr("GUARD_ATTRIBUTE") = int(kAttribute);
  m.attr("GUARD_LENGTH") = int(kLength);
  m.attr("GUARD_CELL") = int(kCell);
  m.attr("GUARD_ARRAY") = int(kArray);
  m.attr("GUARD_GRAD") = int(kGrad);
  m.attr("GUARD_NEEDS_GRAD") = int(kNeedsGrad);
  m.attr("GUARD_ELEMENT") = int(kElement);
  m.attr("GUARD_BYTES") = int(kBytes);
  nb::class_<CompiledStep>(m, "CompiledStep", nb::type_slots(step_slots))
      // recorder; args: per parameter a tensor that may be another one next time, or (value,); results: tensors; kept: arrays
      .def("__init__", [](CompiledStep* self, const Capture& c, nb::list args, nb::list results, nb::list kept) {
        std::vector<Array> arg_arrays;
        for (nb::handle h : args) {
          Array none;
          none.storage = nullptr;
          arg_arrays.push_back(is_tensor(h.ptr()) ? *array_of(as_tensor(h.ptr())->array) : none);
        }
        std::vector<Array> result_arrays;
        for (nb::handle h : results) result_arrays.push_back(*array_of(as_tensor(h.ptr())->array));
        std::vector<const Storage*> kept_storages;
        for (nb::handle h : kept) kept_storages.push_back(array_of(h.ptr())->storage);
        new (self) CompiledStep(c.recorder, arg_arrays, result_arrays, kept_storages);
        for (size_t k = 0; k < arg_arrays.size(); ++k) {
          PyObject* o = args[k].ptr();
          Parameter p{is_tensor(o), nullptr, {}, -1};
          if (p.tensor) {
            p.like = arg_arrays[k];
            p.like.drop();
            for (size_t j = 0; j < k && p.alias < 0; ++j)
              if (arg_arrays[j].storage && arg_arrays[j].storage == arg_arrays[k].storage) p.alias = static_cast<int>(j);
          } else {
            p.value = Py_NewRef(PyTuple_GET_ITEM(o, 0));
          }
          self->parameters.push_back(std::move(p));
        }
        self->nodes.assign(result_arrays.size(), nullptr);
      })
      .def("set_guards", [](CompiledStep& s, nb::list guards) { s.guards.fill(guards); })
      .def("set_options", [](CompiledStep& s, nb::list guards, nb::handle changed) {
        s.options.fill(guards);
        s.on_options = changed.inc_ref().ptr();
      })
      .def("set_gradients", [](CompiledStep& s, nb::list pairs) {
        for (nb::handle h : pairs) {
          s.gradients.emplace_back(Py_NewRef(PyTuple_GET_ITEM(h.ptr(), 0)), Py_NewRef(PyTuple_GET_ITEM(h.ptr(), 1)));
          s.cleared_gradients.push_back(PyTuple_GET_ITEM(h.ptr(), 2) == Py_True);
        }
      })
      .def("set_node", [](CompiledStep& s, size_t k, nb::handle node) { s.nodes.at(k) = node.inc_ref().ptr(); })
      .def("call", call_step)
      .def("matches", [](const CompiledStep& s, nb::args args) { return s.match(args.ptr()); })
      .def("failed_guard", [](const CompiledStep& s) { return s.guards.failed(); })
      .def("difference", [](const CompiledStep& s, const CompiledStep& other) { return s.program.difference(other.program); })
      // Storages from before the recording that are none of these arrays': how they are used.
      .def("unexplained", [](const CompiledStep& s, nb::list arrays) {
        std::unordered_set<const Storage*> known;
        for (nb::handle h : arrays) known.insert(array_of(h.ptr())->storage);
        nb::list out;
        for (const std::string& text : s.program.unexplained(known)) out.append(nb::str(text.c_str()));
        return out;
      })
      .def_ro("runs", &CompiledStep::runs)
      .def_prop_ro("running", [](const CompiledStep& s) { return s.program.running(); })
      .def("owns", [](const CompiledStep& s, nb::handle array) { return s.program.owns(array_of(array.ptr())->storage); })
      .def_prop_ro("arena_bytes", [](const CompiledStep& s) { return s.program.arena_bytes(); })
      .def_prop_ro("recorded", [](const CompiledStep& s) { return s.program.recorded(); })
      .def_prop_ro("kernels", [](const CompiledStep& s) {
        nb::list out;
        for (const std::string& n : s.program.names()) out.append(nb::str(n.c_str()));
        return out;
      });
}

}  // namespace rl::py
