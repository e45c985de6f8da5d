// A recording: the kernel calls of one run of a Python function, kept in order.
//
// Note [What a recording may hold]
// A storage that a call reads or writes was either made during the recording (`born`) or before. Of the born ones, some are
// written by recorded calls (the values of the computation) and some only by Python (constants made from numbers). Python code
// that reads a value or draws on something outside cannot be repeated by repeating kernel calls: the recording is then
// refused, with the reason, and whoever asked for it goes on without one.
//
// Note [Memory of a recording]
// Records hold storages, so that each has an identity until the recording is done with, but not their memory: that goes back
// when nobody else holds the storage, as in an ordinary step, so that recording needs no more memory than running. It is kept
// where a program may need it: what Python has written or can see, and small results of constants (fold_constants).
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "kernel.h"

namespace rl {

// One kernel call, kept. Arrays are held by value, so their storages live as long as the record.
struct Record {
  const KernelDef* def;
  int nout;
  std::vector<Array> arrays;                 // outputs, then inputs; no storage where None was passed
  std::vector<Number> numbers;
};

class Recorder {
 public:
  std::vector<Record> records;
  uint32_t id = 0;                           // what storages made during this recording are marked with
  void (*locate)(Recorder*, std::string*) = nullptr;         // appends where in the user's program we are

  void append(const Call& c);
  void refuse(const std::string& why);       // the first reason counts
  const std::string& refusal() const { return refusal_; }
  int64_t held(const Storage* s) const;      // how many references to a storage the records hold
  void replay();                             // the same kernels on the same storages, in the same order
  Recorder() = default;
  Recorder(const Recorder&) = delete;
  ~Recorder() { keep_memory(); }

 private:
  void keep_memory();                        // from here on, records hold memory like everybody else

  std::unordered_map<Storage*, int64_t> held_;
  std::string refusal_;
};

constexpr size_t kFoldLimit = size_t{1} << 20;               // bytes that a result of constants may have to become one

Recorder* active_recorder();                 // this thread's
uint32_t recording_id();                     // its id, or 0
void start_recording(Recorder* r);
void stop_recording();

// References to a storage that are not an active recording's: what "nobody else holds this memory" must ask.
int64_t storage_references(const Storage* s);

// Python is about to look into the memory of `a`. Refuses the active recording if that could be a value of the step. Numbers
// that are only read (`copied`) may be results of constants: those are the same in every run.
void host_access(const Array& a, const char* how, bool copied);

}  // namespace rl
