// PmrSubject: the standard library's pool resources, on its new_delete_resource.
//
// Owner      the subject owns the resource
// Threads    unsynchronized: one; synchronized: any, and a block may be freed by another thread
#ifndef HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_PMR_SUBJECT_H_
#define HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_PMR_SUBJECT_H_

#include <memory_resource>
#include <new>
#include <optional>
#include <string>
#include <type_traits>

#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

template <typename Resource>
class PmrSubject {
 public:
  static constexpr bool kThreads = std::is_same_v<Resource, std::pmr::synchronized_pool_resource>;
  static constexpr bool kAcrossThreads = kThreads;
  static constexpr bool kAnySize = true;
  static constexpr bool kGrows = true;

  class Handle {
   public:
    explicit Handle(Resource* resource) : resource_(resource) {}
    void* Allocate(size_t bytes) {
      try {
        return resource_->allocate(bytes);
      } catch (const std::bad_alloc&) {
        return nullptr;
      }
    }
    void Deallocate(void* block, size_t bytes) { resource_->deallocate(block, bytes); }

   private:
    Resource* resource_;
  };

  PmrSubject(const SubjectOptions&, std::string*) {}
  std::optional<Handle> MakeHandle(const BlockDemand&, std::string*) { return Handle(&resource_); }
  const Pool* pool() const { return nullptr; }

 private:
  Resource resource_;
};

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_SUBJECTS_PMR_SUBJECT_H_
