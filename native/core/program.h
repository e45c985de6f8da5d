// A program: a recording made ready to be run again and again, in one call.
//
// Storages that appear in the recording play one of these parts:
//
//     external   made before it (parameters, optimizer state, the generator): used as they are
//     argument   the memory of an argument, another one in each run
//     result     made in it and returned: allocated anew in each run
//     kept       made in it and still held by somebody (a gradient): written again in each run
//     constant   made in it and the same in each run
//     temporary  all others; they share one arena, laid out by when they are first and last used
//
// Note [Programs and order]: passes may drop, merge and delay calls, but never change what a call computes or the order of two
// calls that touch the same storage when one of them writes it.
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "recorder.h"

namespace rl {

enum class Part : uint8_t { external, argument, result, kept, constant, temporary };

struct Draft;

class Program {
 public:
  // `args`: the arguments' arrays; `results`: the arrays to be returned; `kept`: storages that others hold.
  Program(const Recorder& recorded, const std::vector<Array>& args, const std::vector<Array>& results,
          const std::vector<const Storage*>& kept);
  ~Program();
  Program(const Program&) = delete;

  // Before run(): false if it is running already, in another thread.
  bool claim() { return !std::exchange(running_, true); }
  // Results are filled with arrays of fresh memory. Throws what a kernel throws.
  void run(const std::vector<const Array*>& args, std::vector<Array>& results);

  // Uses of memory from before the recording that is neither an argument's nor in `known`, a line each.
  std::vector<std::string> unexplained(const std::unordered_set<const Storage*>& known) const;
  // The first call in which the two recordings differ, as a sentence; empty if there is none.
  std::string difference(const Program& other) const;
  int64_t arena_bytes() const { return static_cast<int64_t>(arena_size_); }
  int64_t size() const { return static_cast<int64_t>(steps_.size()); }
  int64_t recorded() const { return static_cast<int64_t>(marks_.size()); }
  std::vector<std::string> names() const;
  bool running() const { return running_; }
  // Whether it uses this memory always, rather than where an argument brings it: then no argument may bring it, since passes
  // change the order of calls that have no memory in common.
  bool owns(const Storage* s) const { return fixed_.count(s) != 0; }

 private:
  struct Prepared {
    const KernelDef* def;
    int nout, nin, first, first_number, nnum;
  };
  struct Slot {                              // memory that is another one in each run
    const Storage* recorded;
    int64_t offset;                          // of the recorded argument
    size_t nbytes;
    int argument;                            // -1: a result
    bool written;
    std::vector<int> positions;              // in arrays_
  };
  struct Mark {                              // of a recorded call, to compare recordings
    const KernelDef* def;
    uint64_t hash;
  };

  void plan(Draft& d);
  void unbind();
  void count_writes(const std::vector<const Array*>& args);

  std::vector<Prepared> steps_;
  std::vector<Array> arrays_;
  std::vector<const Array*> pointers_;
  std::vector<Number> numbers_;
  std::vector<Slot> slots_;
  std::vector<int64_t> recorded_offsets_;    // of arrays_, before arguments moved them
  struct Result {
    Array array;
    int slot;                                // of its memory; -1: a copy of memory that stays
  };
  std::vector<Result> results_;
  std::vector<Array> constants_;             // kept alive
  std::vector<Storage*> written_;            // outside of the arena: their versions count
  std::unordered_set<const Storage*> fixed_; // external and kept
  struct Temporary {
    std::unique_ptr<Storage> storage;
    size_t at;                               // in the arena
  };
  std::vector<Temporary> temporaries_;
  std::vector<Mark> marks_;
  uint64_t returned_ = 0;
  void* arena_ = nullptr;
  size_t arena_size_ = 0;
  uint32_t recording_ = 0;
  bool running_ = false;
};

}  // namespace rl
