// Storage, element types and the strided view that every kernel works on.
//
// An Array is a plain value: a counted reference to a Storage plus shape, strides and offset. Kernels
// only read Arrays; reference counting and allocation live in the core library (memory.cpp), so nothing
// in this header pulls code into the files that are compiled for one instruction set.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace rl {

constexpr int kMaxDims = 16;

// The order is part of the Python side's contract (rushlight/_dtypes.py).
enum class DType : uint8_t { f32, f64, f16, bf16, i8, i16, i32, i64, u8, b8 };
constexpr int kNumDTypes = 10;

constexpr int kItemSize[kNumDTypes] = {4, 8, 2, 2, 1, 2, 4, 8, 1, 1};

inline int item_size(DType t) { return kItemSize[static_cast<int>(t)]; }
inline bool is_half(DType t) { return t == DType::f16 || t == DType::bf16; }
inline bool is_floating(DType t) { return static_cast<int>(t) <= static_cast<int>(DType::bf16); }
inline bool is_integral(DType t) { return !is_floating(t) && t != DType::b8; }

// PyTorch's names, as they appear in its error messages ("not implemented for 'Long'").
inline const char* scalar_name(DType t) {
  static const char* const names[kNumDTypes] = {"Float", "Double", "Half", "BFloat16", "Char",
                                                "Short", "Int",    "Long", "Byte",     "Bool"};
  return names[static_cast<int>(t)];
}

struct Storage {
  void* data = nullptr;
  size_t nbytes = 0;
  std::atomic<int64_t> refs{1};
  uint32_t version = 0;                      // bumped by every in-place write
  uint32_t born = 0;                         // the recording it was made in (recorder.h), 0 outside of one
  std::atomic<int64_t> recorded{0};          // how many of refs are that recording's: Note [Memory of a recording]
  bool computed = false;                     // a call of that recording wrote more than constants into it
  bool host = false;                         // its memory has been handed to Python, which may write it
  void (*release)(Storage*) = nullptr;       // frees data; owner says whose it is
  void* owner = nullptr;
};

// Implemented in the core library only.
Storage* new_storage(size_t nbytes);         // from the caching allocator, 64-byte aligned, uninitialised
void own_memory(Storage*);                   // the same memory, for a storage that has none
void free_storage(Storage*);
void storage_unheld(Storage*, int64_t left); // nobody holds it but a recording, `left` times

struct Array {
  Storage* storage = nullptr;
  int64_t offset = 0;                        // in elements
  int64_t numel = 1;
  int32_t ndim = 0;
  DType dtype = DType::f32;
  bool wrapped_number = false;               // a Python number: lowest priority in type promotion
  bool untracked = false;                    // reached through .data: writes do not count as in-place
  int64_t shape[kMaxDims];
  int64_t strides[kMaxDims];                 // in elements

  Array() = default;
  Array(const Array& o) { copy_from(o); }
  Array(Array&& o) noexcept {
    copy_meta(o);
    storage = o.storage;
    o.storage = nullptr;
  }
  Array& operator=(const Array& o) {
    if (this != &o) {
      drop();
      copy_from(o);
    }
    return *this;
  }
  Array& operator=(Array&& o) noexcept {
    if (this != &o) {
      drop();
      copy_meta(o);
      storage = o.storage;
      o.storage = nullptr;
    }
    return *this;
  }
  ~Array() { drop(); }

  void* data() const {
    return static_cast<char*>(storage->data) + offset * item_size(dtype);
  }
  template <class T>
  T* ptr() const {
    return static_cast<T*>(storage->data) + offset;
  }
  bool contiguous() const {
    int64_t expect = 1;
    for (int i = ndim - 1; i >= 0; --i) {
      if (shape[i] == 1) continue;
      if (strides[i] != expect) return numel == 0;
      expect *= shape[i];
    }
    return true;
  }
  // Shape must be set; fills strides and numel for a fresh row-major array.
  void set_contiguous() {
    numel = 1;
    for (int i = ndim - 1; i >= 0; --i) {
      strides[i] = numel > 0 ? numel : 1;
      numel *= shape[i];
    }
  }
  void drop() {
    if (storage) {
      const int64_t recorded = storage->recorded.load(std::memory_order_relaxed);
      const int64_t left = storage->refs.fetch_sub(1, std::memory_order_acq_rel) - 1;
      if (left == recorded) storage_unheld(storage, left);
    }
    storage = nullptr;
  }

 private:
  void copy_meta(const Array& o) {
    offset = o.offset;
    numel = o.numel;
    ndim = o.ndim;
    dtype = o.dtype;
    wrapped_number = o.wrapped_number;
    untracked = o.untracked;
    for (int i = 0; i < o.ndim; ++i) {
      shape[i] = o.shape[i];
      strides[i] = o.strides[i];
    }
  }
  void copy_from(const Array& o) {
    copy_meta(o);
    storage = o.storage;
    if (storage) storage->refs.fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace rl
