// rl::Array as a Python type: geometry, views, and the buffer protocol. No arithmetic.
#include <cstring>

#include "../core/denormals.h"
#include "../core/half.h"
#include "../core/memory.h"
#include "../core/recorder.h"
#include "../core/threads.h"
#include "python.h"

namespace rl::py {

PyTypeObject* g_array_type = nullptr;
PyObject* g_dtypes[kNumDTypes] = {};

PyObject* wrap_array(Array&& a) {
  nb::object o = nb::inst_alloc(nb::handle(reinterpret_cast<PyObject*>(g_array_type)));
  new (nb::inst_ptr<Array>(o)) Array(std::move(a));
  nb::inst_mark_ready(o);
  return o.release().ptr();
}

namespace {

nb::object wrapped(Array&& a) { return nb::steal(wrap_array(std::move(a))); }

nb::tuple dims(const int64_t* v, int n) {
  PyObject* t = PyTuple_New(n);
  for (int i = 0; i < n; ++i) PyTuple_SET_ITEM(t, i, PyLong_FromLongLong(v[i]));
  return nb::steal<nb::tuple>(t);
}

struct Sizes {
  int n = 0;
  int64_t v[kMaxDims];
};

Sizes sizes(nb::handle h) {
  Sizes s;
  nb::object fast = nb::steal(PySequence_Fast(h.ptr(), "expected a sequence of ints"));
  if (!fast.is_valid()) throw nb::python_error();
  Py_ssize_t n = PySequence_Fast_GET_SIZE(fast.ptr());
  if (n > kMaxDims)
    throw std::runtime_error("tensors have at most " + std::to_string(kMaxDims) + " dimensions, got " + std::to_string(n));
  for (Py_ssize_t i = 0; i < n; ++i) {
    int64_t x = PyLong_AsLongLong(PySequence_Fast_GET_ITEM(fast.ptr(), i));
    if (x == -1 && PyErr_Occurred()) throw nb::python_error();
    s.v[s.n++] = x;
  }
  return s;
}

void set_shape(Array& a, const Sizes& s) {
  a.ndim = s.n;
  a.numel = 1;
  for (int i = 0; i < s.n; ++i) {
    if (s.v[i] < 0)
      throw std::runtime_error("Trying to create tensor with negative dimension " + std::to_string(s.v[i]));
    a.shape[i] = s.v[i];
    if (s.v[i] && a.numel > (int64_t{1} << 46) / s.v[i]) throw std::bad_alloc();
    a.numel *= s.v[i];
  }
}

// Every element of the view must lie inside its storage.
void check_bounds(const Array& a) {
  if (a.numel == 0) return;
  int64_t low = a.offset, high = a.offset;
  for (int i = 0; i < a.ndim; ++i) {
    int64_t reach = (a.shape[i] - 1) * a.strides[i];
    (reach < 0 ? low : high) += reach;
  }
  if (low < 0 || (high + 1) * item_size(a.dtype) > static_cast<int64_t>(a.storage->nbytes))
    throw std::runtime_error("setStorage: the view reaches outside its storage of " + std::to_string(a.storage->nbytes) + " bytes");
}

nb::object element(const Array& a, int64_t at) {
  switch (a.dtype) {
    case DType::f32: return nb::float_(static_cast<double>(a.ptr<float>()[at]));
    case DType::f64: return nb::float_(a.ptr<double>()[at]);
    case DType::f16: return nb::float_(static_cast<double>(static_cast<float>(a.ptr<float16>()[at])));
    case DType::bf16: return nb::float_(static_cast<double>(to_float(a.ptr<bfloat16>()[at])));
    case DType::i8: return nb::int_(a.ptr<int8_t>()[at]);
    case DType::i16: return nb::int_(a.ptr<int16_t>()[at]);
    case DType::i32: return nb::int_(a.ptr<int32_t>()[at]);
    case DType::i64: return nb::int_(a.ptr<int64_t>()[at]);
    case DType::u8: return nb::int_(a.ptr<uint8_t>()[at]);
    default: return nb::bool_(a.ptr<bool>()[at]);
  }
}

nb::object to_list(const Array& a, int dim, int64_t at) {
  if (dim == a.ndim) return element(a, at);
  nb::list l;
  for (int64_t i = 0; i < a.shape[dim]; ++i) l.append(to_list(a, dim + 1, at + i * a.strides[dim]));
  return l;
}

// Strides that give `s` as a view of `a` without moving an element; false if there are none.
bool view_strides(const Array& a, const Sizes& s, int64_t* out) {
  if (a.numel == 0) {
    Array t;
    set_shape(t, s);
    t.set_contiguous();
    std::memcpy(out, t.strides, sizeof(int64_t) * static_cast<size_t>(s.n));
    return true;
  }
  // Merge a's dimensions into maximal regular chunks and split each chunk into target dimensions.
  int v = s.n - 1;
  int64_t chunk_stride = a.ndim ? a.strides[a.ndim - 1] : 1, t_numel = 1, v_numel = 1;
  if (a.ndim == 0) {
    for (int i = 0; i < s.n; ++i) out[i] = 1;
    return true;
  }
  for (int d = a.ndim - 1; d >= 0; --d) {
    t_numel *= a.shape[d];
    if (d == 0 || (a.shape[d - 1] != 1 && a.strides[d - 1] != t_numel * chunk_stride)) {
      while (v >= 0 && (v_numel < t_numel || s.v[v] == 1)) {
        out[v] = v_numel * chunk_stride;
        v_numel *= s.v[v--];
      }
      if (v_numel != t_numel) return false;
      if (d > 0) {
        chunk_stride = a.strides[d - 1];
        t_numel = v_numel = 1;
      }
    }
  }
  return v == -1;
}

// ---- buffer protocol --------------------------------------------------------------------------------------

const char* buffer_format(DType t) {
  static const char* const f[kNumDTypes] = {"f", "d", "e", nullptr, "b", "h", "i", "q", "B", "?"};
  return f[static_cast<int>(t)];
}

int get_buffer(PyObject* self, Py_buffer* view, int) {
  const Array& a = *array_of(self);
  host_access(a, "a tensor's memory was handed to NumPy or another library", false);
  const char* format = buffer_format(a.dtype);
  if (!format) {
    PyErr_SetString(PyExc_TypeError, "Got unsupported ScalarType BFloat16");
    view->obj = nullptr;
    return -1;
  }
  auto* geometry = new Py_ssize_t[2 * kMaxDims];
  for (int i = 0; i < a.ndim; ++i) {
    geometry[i] = a.shape[i];
    geometry[kMaxDims + i] = a.strides[i] * item_size(a.dtype);
  }
  Py_INCREF(self);
  view->obj = self;
  view->buf = a.data();
  view->len = a.numel * item_size(a.dtype);
  view->itemsize = item_size(a.dtype);
  view->readonly = 0;
  view->ndim = a.ndim;
  view->format = const_cast<char*>(format);
  view->shape = geometry;
  view->strides = geometry + kMaxDims;
  view->suboffsets = nullptr;
  view->internal = geometry;
  return 0;
}

void release_buffer(PyObject*, Py_buffer* view) { delete[] static_cast<Py_ssize_t*>(view->internal); }

PyType_Slot array_slots[] = {{Py_bf_getbuffer, reinterpret_cast<void*>(get_buffer)},
                             {Py_bf_releasebuffer, reinterpret_cast<void*>(release_buffer)},
                             {0, nullptr}};

void release_owner(Storage* s) {
  nb::gil_scoped_acquire gil;
  Py_XDECREF(static_cast<PyObject*>(s->owner));
}

// Memory that `owner` keeps alive.
Storage* borrowed(void* data, size_t nbytes, nb::handle owner) {
  auto* s = new Storage;
  s->data = data;
  s->nbytes = nbytes;
  s->owner = owner.inc_ref().ptr();
  s->release = release_owner;
  s->born = recording_id();
  s->host = true;
  return s;
}

}  // namespace

void bind_array(nb::module_& m) {
  auto cls = nb::class_<Array>(m, "Array", nb::type_slots(array_slots));
  g_array_type = reinterpret_cast<PyTypeObject*>(cls.ptr());
  cls.def_prop_ro("shape", [](const Array& a) { return dims(a.shape, a.ndim); })
      .def_prop_ro("strides", [](const Array& a) { return dims(a.strides, a.ndim); })
      .def_ro("ndim", &Array::ndim)
      .def_ro("numel", &Array::numel)
      .def_ro("offset", &Array::offset)
      .def_ro("untracked", &Array::untracked)
      .def_prop_ro("dtype", [](const Array& a) { return nb::borrow(g_dtypes[static_cast<int>(a.dtype)]); })
      .def_prop_ro("itemsize", [](const Array& a) { return item_size(a.dtype); })
      .def_prop_ro("contiguous", &Array::contiguous)
      .def_prop_ro("data_ptr", [](const Array& a) { return reinterpret_cast<uintptr_t>(a.data()); })
      .def_prop_ro("storage_id", [](const Array& a) { return reinterpret_cast<uintptr_t>(a.storage); })
      .def_prop_ro("storage_nbytes", [](const Array& a) { return a.storage->nbytes; })
      .def_prop_ro("storage_refs", [](const Array& a) { return storage_references(a.storage); })
      .def_prop_ro("version", [](const Array& a) { return a.storage->version; })
      .def("reset_version", [](const Array& a) { a.storage->version = 0; })   // of an array nobody else has seen
      .def("bump_version", [](const Array& a) { a.storage->version++; })
      .def("same_meta", [](const Array& a, const Array& b) {    // shape and dtype
        if (a.dtype != b.dtype || a.ndim != b.ndim) return false;
        for (int i = 0; i < a.ndim; ++i)
          if (a.shape[i] != b.shape[i]) return false;
        return true;
      })
      .def("size", [](const Array& a, int dim) { return a.shape[dim]; })
      .def("alias", [](const Array& a, bool untracked) {
        Array v = a;
        v.untracked = untracked;
        return wrapped(std::move(v));
      }, nb::arg("untracked") = false)
      .def("as_strided", [](const Array& a, nb::handle shape, nb::handle strides, int64_t offset) {
        Array v = a;
        Sizes st = sizes(strides);
        set_shape(v, sizes(shape));
        if (st.n != v.ndim) throw std::runtime_error("mismatch in length of strides and shape");
        for (int i = 0; i < st.n; ++i) v.strides[i] = st.v[i];
        v.offset = offset;
        check_bounds(v);
        return wrapped(std::move(v));
      })
      .def("permute", [](const Array& a, nb::handle order) {
        Array v = a;
        Sizes o = sizes(order);
        for (int i = 0; i < o.n; ++i) {
          v.shape[i] = a.shape[o.v[i]];
          v.strides[i] = a.strides[o.v[i]];
        }
        return wrapped(std::move(v));
      })
      .def("transpose", [](const Array& a, int d0, int d1) {
        Array v = a;
        if (v.ndim == 0) return wrapped(std::move(v));
        std::swap(v.shape[d0], v.shape[d1]);
        std::swap(v.strides[d0], v.strides[d1]);
        return wrapped(std::move(v));
      })
      .def("expand", [](const Array& a, nb::handle shape) {     // the shape is already checked
        Array v = a;
        set_shape(v, sizes(shape));
        for (int i = 0; i < v.ndim; ++i) {
          int j = i - (v.ndim - a.ndim);
          v.strides[i] = (j < 0 || (a.shape[j] == 1 && v.shape[i] != 1)) ? 0 : a.strides[j];
        }
        return wrapped(std::move(v));
      })
      .def("view", [](const Array& a, nb::handle shape) -> nb::object {   // None if it would need a copy
        Array v = a;
        Sizes s = sizes(shape);
        set_shape(v, s);
        if (!view_strides(a, s, v.strides)) return nb::none();
        return wrapped(std::move(v));
      })
      .def("slice", [](const Array& a, int dim, int64_t start, int64_t length, int64_t step) {
        Array v = a;
        v.offset += length > 0 ? start * a.strides[dim] : 0;
        v.shape[dim] = length;
        v.strides[dim] *= step;
        v.numel = 1;
        for (int i = 0; i < v.ndim; ++i) v.numel *= v.shape[i];
        return wrapped(std::move(v));
      })
      .def("select", [](const Array& a, int dim, int64_t index) {
        Array v = a;
        v.offset += index * a.strides[dim];
        for (int i = dim; i + 1 < a.ndim; ++i) {
          v.shape[i] = a.shape[i + 1];
          v.strides[i] = a.strides[i + 1];
        }
        v.ndim--;
        v.numel = 1;
        for (int i = 0; i < v.ndim; ++i) v.numel *= v.shape[i];
        return wrapped(std::move(v));
      })
      .def("unsqueeze", [](const Array& a, int dim) {
        Array v = a;
        if (a.ndim == kMaxDims) throw std::runtime_error("tensors have at most 16 dimensions");
        for (int i = a.ndim; i > dim; --i) {
          v.shape[i] = a.shape[i - 1];
          v.strides[i] = a.strides[i - 1];
        }
        v.strides[dim] = dim < a.ndim ? a.shape[dim] * a.strides[dim] : 1;
        v.shape[dim] = 1;
        v.ndim++;
        return wrapped(std::move(v));
      })
      .def("reinterpret", [](const Array& a, int code) {         // same item size, another type
        Array v = a;
        v.dtype = static_cast<DType>(code);
        return wrapped(std::move(v));
      })
      .def("item", [](const Array& a) {
        host_access(a, "a value was read from a tensor", true);
        return element(a, 0);
      })
      .def("tolist", [](const Array& a) {
        host_access(a, "values were read from a tensor", true);
        return to_list(a, 0, 0);
      });

  m.def("empty", [](nb::handle shape, int code) {
    Array a;
    a.dtype = static_cast<DType>(code);
    set_shape(a, sizes(shape));
    a.set_contiguous();
    a.storage = new_storage(static_cast<size_t>(a.numel) * static_cast<size_t>(item_size(a.dtype)));
    return wrapped(std::move(a));
  });
  // A view of memory that `owner` keeps alive; strides in elements.
  m.def("from_memory", [](uintptr_t data, nb::handle shape, nb::handle strides, int code, nb::handle owner, size_t nbytes) {
    Array a;
    a.dtype = static_cast<DType>(code);
    set_shape(a, sizes(shape));
    Sizes st = sizes(strides);
    for (int i = 0; i < st.n; ++i) a.strides[i] = st.v[i];
    a.storage = borrowed(reinterpret_cast<void*>(data), nbytes, owner);
    return wrapped(std::move(a));
  });
  // The same of a NumPy array, whose elements have this type. Its strides in bytes: a buffer has others where they do not matter.
  m.def("from_numpy", [](nb::handle owner, nb::handle strides, int code) {
    struct Buffer : Py_buffer {
      explicit Buffer(PyObject* o) {
        if (PyObject_GetBuffer(o, this, PyBUF_STRIDED_RO)) throw nb::python_error();
      }
      ~Buffer() { PyBuffer_Release(this); }
    } const view(owner.ptr());
    if (view.ndim > kMaxDims) throw std::runtime_error("tensors have at most 16 dimensions");
    Array a;
    a.dtype = static_cast<DType>(code);
    const auto size = static_cast<Py_ssize_t>(item_size(a.dtype));
    a.ndim = view.ndim;
    a.numel = 1;
    Py_ssize_t reach = size;
    const Sizes step = sizes(strides);
    for (int i = 0; i < view.ndim; ++i) {
      if (step.v[i] < 0)
        throw nb::value_error("At least one stride in the given numpy array is negative, and tensors with negative strides are "
                              "not currently supported. (You can probably work around this by making a copy of your array  "
                              "with array.copy().) ");
      if (step.v[i] % size)
        throw nb::value_error("given numpy array strides not a multiple of the element byte size. Copy the numpy array to "
                              "reallocate the memory.");
      a.shape[i] = view.shape[i];
      a.strides[i] = step.v[i] / size;
      a.numel *= view.shape[i];
      reach += (view.shape[i] - 1) * step.v[i];
    }
    a.storage = borrowed(view.buf, a.numel ? static_cast<size_t>(reach) : 0, owner);
    return wrapped(std::move(a));
  });
  m.def("set_dtypes", [](nb::list list) {
    for (int i = 0; i < kNumDTypes; ++i) g_dtypes[i] = nb::object(list[static_cast<size_t>(i)]).release().ptr();
  });
  m.def("default_dtype", [] { return nb::borrow(g_dtypes[static_cast<int>(default_dtype())]); });
  m.def("set_default_dtype", [](int code) { set_default_dtype(static_cast<DType>(code)); });
  m.def("set_flush_denormal", [](bool on) {                   // false where the CPU has no such mode
    g_flush_denormals = on;
    return FlushDenormals::supported;
  });
  m.def("get_num_threads", get_num_threads);
  m.def("set_num_threads", set_num_threads);
  m.def("empty_cache", empty_cache);
  m.def("memory_stats", [] {
    MemoryStats s = memory_stats();
    nb::dict d;
    d["in_use"] = s.in_use;
    d["peak"] = s.peak;
    d["cached"] = s.cached;
    d["system_allocs"] = s.system_allocs;
    return d;
  });
  m.def("reset_peak_memory_stats", reset_peak_memory_stats);
}

}  // namespace rl::py
