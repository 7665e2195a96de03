// Depot: where CPUs leave free blocks for each other, a batch at a time.
//
// Shape      a shelf per class: a stack of pointers, and a lock of its own
// Units      objects
// Owner      a DepotSet; lies in metadata memory, of which only what is in use is resident: the shelves, and of the 2 MiB
//            of pointers the pages that ever held some
// Threads    any; each shelf is guarded by its mutex (rank kDepot), held for the copying of one batch
// Invariant  a shelf holds at most kShelfMaxCount
// Errors     Create returns nullptr and fills *error; Put takes as many as fit, Take gives as many as there are
// Cost       one lock and one copy of the pointers a batch; Take from an empty shelf one read
// Source     Bonwick & Adams, Magazines and Vmem, USENIX 2001
#ifndef HUGEPOOL_CACHE_DEPOT_H_
#define HUGEPOOL_CACHE_DEPOT_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "arena/metadata_memory.h"
#include "hugepool/error.h"
#include "os/mutex.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

class Depot {
 public:
  static constexpr size_t kShelfMaxCount = 1024;

  // Unmapped with all metadata; nothing is to be destroyed.
  static Depot* Create(int node_id, MetadataMemory& metadata, Error* error);

  // The newest ones, for they are the likeliest in a CPU's cache.
  size_t Take(SizeClass size_class, void** objects, size_t count);
  size_t Put(SizeClass size_class, void* const* objects, size_t count);

  uint64_t count(SizeClass size_class) const {
    return shelves_[ToSize(size_class)].count.load(std::memory_order_relaxed);
  }

 private:
  struct alignas(64) Shelf {
    Mutex mutex{LockRank::kDepot};
    // Written under mutex; read without it, relaxed, as a hint that there is nothing, and by statistics.
    std::atomic<uint32_t> count{0};
  };

  Depot() {}  // leaves objects_ as it is: zeros that nobody has touched
  void** ObjectsOf(SizeClass size_class) { return objects_.data() + ToSize(size_class) * kShelfMaxCount; }

  std::array<Shelf, kMaxClassCount> shelves_;
  std::array<void*, kMaxClassCount * kShelfMaxCount> objects_;  // each part guarded by its shelf's mutex
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_DEPOT_H_
