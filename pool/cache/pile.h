// Pile: free blocks of one node that its depots have no room for and that are not sorted into their slabs yet.
//
// Shape      per class a stack of chunks, each an array of pointers; chunks come from metadata memory and stay with the pile.
//            Sorting a block costs some twenty nanoseconds and is for others: for a class that lacks a slab, for a page
//            that may go. So whoever needs a slab, a run or memory back sorts of the pile first (CpuCache::SortPile), and
//            until then the class itself takes its blocks back as they came. What lay there through a whole period of
//            decay_seconds is idle, and is sorted too.
// Units      objects
// Owner      the CpuCache: one per window
// Threads    any; each stack is guarded by its mutex (rank kDepot), the spare chunks by another; no two are held together
// Invariant  only objects of at least kLeastObjectBytes, so that the pointers are less than a hundredth of what they name
// Errors     Put takes fewer where the system has no memory for another chunk
// Cost       one lock and one copy of the pointers a batch; no block is touched
#ifndef HUGEPOOL_CACHE_PILE_H_
#define HUGEPOOL_CACHE_PILE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "arena/metadata_memory.h"
#include "os/mutex.h"
#include "os/os_memory.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

class Pile {
 public:
  static constexpr size_t kLeastObjectBytes = 1024;

  // decay_ns 0: nothing is ever idle.
  Pile(int node_id, uint64_t decay_ns, OsMemory& os, MetadataMemory& metadata)
      : node_id_(node_id), decay_ns_(decay_ns), os_(os), metadata_(metadata) {}

  size_t Put(SizeClass size_class, void* const* objects, size_t count);
  // The newest ones.
  size_t Take(SizeClass size_class, void** objects, size_t count);
  // Whether any are idle; looks anew once in decay_ns.
  bool HasIdle();
  // Up to `count` of them, of one class.
  size_t TakeIdle(SizeClass* size_class, void** objects, size_t count);

  uint64_t count(SizeClass size_class) const {
    return stacks_[ToSize(size_class)].count.load(std::memory_order_relaxed);
  }
  // True only where nothing lies here, but for what another thread is about to put or to sort.
  bool IsEmpty() const { return total_count_.load(std::memory_order_relaxed) == 0; }

 private:
  // A page of metadata memory.
  struct Chunk {
    static constexpr size_t kMaxCount = 510;
    Chunk* below;
    size_t count;
    std::array<void*, kMaxCount> objects;
  };
  static_assert(sizeof(Chunk) == 4096);
  static constexpr size_t kChunksPerMapping = 64;

  struct alignas(64) Stack {
    Mutex mutex{LockRank::kDepot};
    Chunk* top HUGEPOOL_GUARDED_BY(mutex) = nullptr;
    uint64_t least_count HUGEPOOL_GUARDED_BY(mutex) = 0;  // since the period began
    std::atomic<uint64_t> idle_count{0};                  // written under mutex, as is
    std::atomic<uint64_t> count{0};                       // this one; read without it, relaxed, as hints
  };

  size_t TakeLocked(Stack& stack, void** objects, size_t count, Chunk** emptied) HUGEPOOL_REQUIRES(stack.mutex);
  // Without an object; nullptr: no memory.
  Chunk* TakeSpareChunk() HUGEPOOL_EXCLUDES(spare_mutex_);
  void PutSpareChunks(Chunk* first) HUGEPOOL_EXCLUDES(spare_mutex_);

  const int node_id_;
  const uint64_t decay_ns_;
  OsMemory& os_;
  MetadataMemory& metadata_;
  std::array<Stack, kMaxClassCount> stacks_;
  // Relaxed: hints. total_count_ is never less than what lies here.
  std::atomic<uint64_t> total_count_{0};
  std::atomic<uint64_t> period_start_ns_{0};
  std::atomic<bool> has_idle_{false};
  Mutex spare_mutex_{LockRank::kDepot};
  Chunk* spare_ HUGEPOOL_GUARDED_BY(spare_mutex_) = nullptr;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_PILE_H_
