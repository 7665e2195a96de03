// CpuCache: free blocks kept at hand for each CPU, in front of the slabs.
//
// Shape      a shard per CPU: a magazine per class, an outbox per other node. A miss fetches a batch from the slabs
//            of the target node, an overflow takes a batch back; both without the shard's lock, since they may sleep.
// Units      objects; bytes of class size
// Owner      the PoolCore
// Threads    any; each shard is guarded by its own lock (rank kCpuCache), which is only tried: whoever does not get
//            it at once goes past the cache to the slabs, so nobody waits for a preempted holder
// Invariant  a shard holds at most the budget; a magazine holds blocks of the CPU's home node only (of any under
//            interleave)
// Errors     Allocate returns nullptr when node, neighbours (where allowed) and every cache are exhausted
// Cost       one uncontended lock; a batch moves under one lock of its slab bin
// Source     Bonwick & Adams, Magazines and Vmem, USENIX 2001
#ifndef HUGEPOOL_CACHE_CPU_CACHE_H_
#define HUGEPOOL_CACHE_CPU_CACHE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/placement_policy.h"
#include "cache/magazine.h"
#include "os/mutex.h"
#include "slab/slab_set.h"

namespace hugepool::internal {

class CpuCache {
 public:
  static std::unique_ptr<CpuCache> Create(SlabSet& slabs, PlacementPolicy& placement, size_t budget_bytes,
                                          MetadataMemory& metadata, Error* error);

  void* Allocate(SizeClass size_class);
  void Deallocate(void* object, SizeClass size_class);

  // Every cached block back to its slab. True: there were some.
  bool Drain();

  uint64_t cached_bytes();
  uint64_t cached_count();
  bool enabled() const { return budget_bytes_ != 0; }

 private:
  struct alignas(64) Shard {
    Mutex mutex{LockRank::kCpuCache};
    size_t cached_bytes HUGEPOOL_GUARDED_BY(mutex) = 0;
    size_t cached_count HUGEPOOL_GUARDED_BY(mutex) = 0;
    size_t victim HUGEPOOL_GUARDED_BY(mutex) = 0;  // the class from which the next overflow of the budget is taken
    std::array<Magazine, kClassCount> magazines HUGEPOOL_GUARDED_BY(mutex);
    std::vector<Outbox> outboxes HUGEPOOL_GUARDED_BY(mutex);  // by window
  };
  static constexpr size_t kVictimMaxCount = kMagazineMaxCount;
  // Blocks on their way from a cache to the slabs, gathered under the lock and moved without it.
  struct Batch {
    // Room for the victims of a tight budget, then half a magazine or an outbox, then one object.
    std::array<void*, kVictimMaxCount + kBatchMaxCount + 1> objects;
    size_t count = 0;
  };

  CpuCache(SlabSet& slabs, PlacementPolicy& placement, size_t budget_bytes)
      : slabs_(slabs), placement_(placement), budget_bytes_(budget_bytes) {}

  Shard* ShardOf(int cpu) {
    return static_cast<size_t>(cpu) < shards_.size() ? shards_[static_cast<size_t>(cpu)].get() : nullptr;
  }
  void* Refill(int cpu, SizeClass size_class);
  size_t AllocateFromSlabs(size_t target, SizeClass size_class, void** objects, size_t count);
  void Keep(Shard& shard, SizeClass size_class, void** objects, size_t count, Batch* overflow)
      HUGEPOOL_REQUIRES(shard.mutex);
  void TakeOutbox(Shard& shard, size_t window, Batch* batch) HUGEPOOL_REQUIRES(shard.mutex);
  void TakeVictims(Shard& shard, size_t needed_bytes, Batch* batch) HUGEPOOL_REQUIRES(shard.mutex);
  void Return(const Batch& batch);

  SlabSet& slabs_;
  PlacementPolicy& placement_;
  const size_t budget_bytes_;
  std::vector<std::unique_ptr<Shard>> shards_;  // by CPU id
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_CPU_CACHE_H_
