// SlabSet: the bins of all nodes and classes, and the way from an address to its bin.
//
// Shape      window_count × kMaxClassCount bins; per window one Slab header and one external row per slot
// Owner      the PoolCore
// Threads    any; the bins guard themselves
// Errors     Create fills an Error; a pointer that is no live block ends the process
// Cost       O(1) from an address to its class, size, node
#ifndef HUGEPOOL_SLAB_SLAB_SET_H_
#define HUGEPOOL_SLAB_SLAB_SET_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arena/arena_set.h"
#include "slab/class_table.h"
#include "slab/drain_plan.h"
#include "slab/live_memory.h"
#include "slab/slab_bin.h"

namespace hugepool::internal {

class SlabSet {
 public:
  static std::unique_ptr<SlabSet> Create(ArenaSet& arenas, MetadataMemory& metadata, Error* error);

  SlabBin& bin(size_t window, SizeClass size_class) { return *bins_[window * kMaxClassCount + ToSize(size_class)]; }
  ArenaSet& arenas() { return arenas_; }
  ClassTable& classes() { return classes_; }

  // The class of a live block.
  SizeClass ClassOf(const void* block) const;
  // Frees a block whose slab drains.
  void FreeDraining(void* block);

  // Gives every empty slab back to the arenas.
  bool ReleaseEmpty();
  // Up to `count` objects of a window and class. Where its slabs have none, but a slightly larger class has many, one of that
  // class: it goes to a user, who frees it as what it is. Else those of a new slab.
  size_t AllocateOrBorrow(size_t window, SizeClass size_class, void** objects, size_t count);
  // Marks the emptiest units of memory, wanted_bytes of them, so that nothing is allocated there while other slabs have
  // room, and frees go past the caches: emptied in time, they are given back. Only as many as the others have room for,
  // less kept_free_counts objects of each class, which the caches will take (kNotDrained: no unit
  // with a slab of such a class). Returns the bytes of what drains anew.
  size_t StartDraining(size_t wanted_bytes, const std::array<uint64_t, kMaxClassCount>& kept_free_counts);
  // Whether slabs of the class drain; a hint, without a lock.
  bool Drains(SizeClass size_class) const;
  // Objects of the class that left the slabs.
  size_t UsedCount(SizeClass size_class);
  // Bytes and objects that left the slabs: in users' hands or in the caches above. Bins without a slab are not asked.
  void AddUsed(uint64_t* bytes, uint64_t* count);
  // What the slabs hold, added to *live.
  void CountLive(LiveMemory* live);
  // Bytes of objects that left the slabs or came back since the last ResetMoved, less what is not told yet: up to 1 MiB of
  // each bin.
  size_t moved_bytes() const { return moved_bytes_.load(std::memory_order_relaxed); }
  void ResetMoved() { moved_bytes_.store(0, std::memory_order_relaxed); }
  bool Check(std::string* why);

 private:
  explicit SlabSet(ArenaSet& arenas) : arenas_(arenas) {}

  size_t StartDrainingIn(size_t window, size_t wanted_bytes,
                         const std::array<uint64_t, kMaxClassCount>& kept_free_counts);

  ArenaSet& arenas_;
  ClassTable classes_;
  std::atomic<size_t> moved_bytes_{0};  // relaxed: a hint
  std::vector<std::unique_ptr<SlabBin>> bins_;
  std::vector<SlabBin::Window> windows_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SLAB_SET_H_
