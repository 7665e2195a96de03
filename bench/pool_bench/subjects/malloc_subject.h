// MallocSubject: malloc and free of this process: glibc's, or those of a peer that was preloaded.
//
// Threads    any; a block may be freed by another thread
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_MALLOC_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_MALLOC_SUBJECT_H_

#include <cstdlib>
#include <optional>
#include <string>

#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

struct MallocSubject {
  static constexpr bool kThreads = true;
  static constexpr bool kAcrossThreads = true;
  static constexpr bool kAnySize = true;
  static constexpr bool kGrows = true;

  struct Handle {
    void* Allocate(size_t bytes) { return std::malloc(bytes); }
    void Deallocate(void* block, size_t) { std::free(block); }
  };

  MallocSubject(const SubjectOptions&, std::string*) {}
  std::optional<Handle> MakeHandle(const BlockDemand&, std::string*) { return Handle(); }
  const Pool* pool() const { return nullptr; }
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_MALLOC_SUBJECT_H_
