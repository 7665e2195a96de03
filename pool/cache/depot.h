// Depot: where the CPUs that share a cache exchange free blocks of one node, a batch at a time.
//
// Shape      a shelf per class: a stack of pointers, and a lock of its own
// Units      objects; bytes of class size
// Owner      the CpuCache: one per window and cache group
// Threads    any; each shelf is guarded by its mutex (rank kDepot), held for the copying of one batch
// Invariant  every object's home is the depot's window; the bytes on all shelves + spare_bytes_ = the limit
// Errors     Put takes as many as fit, Take gives as many as there are
// Cost       one lock and one copy of the pointers a batch
// Source     Bonwick & Adams, Magazines and Vmem, USENIX 2001
#ifndef HUGEPOOL_CACHE_DEPOT_H_
#define HUGEPOOL_CACHE_DEPOT_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "arena/metadata_memory.h"
#include "cache/cpu_regions.h"
#include "hugepool/error.h"
#include "os/mutex.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

class Depot {
 public:
  static constexpr size_t kShelfMaxCount = 1024;

  static std::unique_ptr<Depot> Create(size_t limit_bytes, int node_id, MetadataMemory& metadata, Error* error);

  // The newest ones, for they are the likeliest in a CPU's cache.
  size_t Take(SizeClass size_class, size_t object_bytes, void** objects, size_t count);
  size_t Put(SizeClass size_class, size_t object_bytes, void* const* objects, size_t count);

  uint64_t count(SizeClass size_class) const {
    return shelves_[ToSize(size_class)].count.load(std::memory_order_relaxed);
  }

 private:
  struct alignas(64) Shelf {
    Mutex mutex{LockRank::kDepot};
    // Written under mutex; read without it, relaxed, as a hint that there is nothing, and by statistics.
    std::atomic<uint32_t> count{0};
  };

  Depot(size_t limit_bytes, void** objects) : spare_bytes_(static_cast<int64_t>(limit_bytes)), objects_(objects) {}
  void** ObjectsOf(SizeClass size_class) { return objects_ + ToSize(size_class) * kShelfMaxCount; }

  std::atomic<int64_t> spare_bytes_;  // relaxed: a count; may be below 0 for a moment
  void** const objects_;              // kShelfMaxCount per class, each part guarded by its shelf's mutex
  std::array<Shelf, kMaxClassCount> shelves_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_DEPOT_H_
