// DepotSet: the depots of one window, one per group of CPUs that share a last-level cache, and what they may hold together.
//
// Shape      group g uses depot g modulo the number of depots. Each node numbers its groups from 0, so this is one depot per
//            group of the window's own node. Groups of other nodes (their outboxes; every CPU under interleave) fall upon
//            the same depots without a counter that all would write: side by side, and each always upon the same one, so
//            that a group finds again what it has put.
// Units      objects; bytes of class size
// Owner      the CpuCache: one per window
// Threads    any; the depots guard themselves, and no two are locked together
// Invariant  every object's home is the window; the bytes in all depots + spare_bytes_ = the limit. The limit is one for all
//            groups: of a sixteenth each, a group that has much to leave would use little, and one batch of large blocks
//            would not fit. Classes that nobody puts or takes any more make way (TakeIdle)
// Errors     Create returns nullptr and fills *error; Put takes as many as fit, Take gives as many as one depot has
// Cost       one lock a batch, and a change of the one count that all groups share. Take reads a count per empty depot.
// Source     the clock hand of page replacement: Corbató, A Paging Experiment with the Multics System, 1968
#ifndef HUGEPOOL_CACHE_DEPOT_SET_H_
#define HUGEPOOL_CACHE_DEPOT_SET_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/metadata_memory.h"
#include "cache/depot.h"
#include "hugepool/error.h"
#include "slab/class_table.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

class DepotSet {
 public:
  // More groups than that share depots: each depot costs memory, and a look at it when the others are empty. (The machines
  // of today have up to 16 last-level caches on a node; a virtual one may claim one per CPU.)
  static constexpr size_t kMaxDepotCount = 16;
  // A look at all classes takes longer than a batch.
  static constexpr uint32_t kFullPerLook = 16;

  // group_count 0: nobody's home; one depot.
  static std::unique_ptr<DepotSet> Create(size_t group_count, size_t limit_bytes, int node_id, MetadataMemory& metadata,
                                          Error* error);

  // Into the depot of the group.
  size_t Put(size_t group, SizeClass size_class, size_t object_bytes, void* const* objects, size_t count);
  // From the depot of the group, and where that has none from the next one that has some: what an idle group has left is
  // used before slabs are cut, and the lock of the slabs, which is next, all groups share anyway.
  size_t Take(size_t group, SizeClass size_class, size_t object_bytes, void** objects, size_t count);

  // Room for those that are in use, for who found none: up to `count` objects of a class that was not put or taken since the
  // clock hand passed it last; *size_class tells which. 0: the hand went round and found none, or it is not its turn, which
  // comes once in kFullPerLook calls for each depot.
  size_t TakeIdle(const ClassTable& classes, SizeClass* size_class, void** objects, size_t count);

  // In all depots.
  uint64_t count(SizeClass size_class) const;

 private:
  explicit DepotSet(size_t limit_bytes) : spare_bytes_(static_cast<int64_t>(limit_bytes)) {}
  Depot& DepotOf(size_t group) { return *depots_[group % depots_.size()]; }
  void NoteUse(SizeClass size_class) {
    std::atomic<bool>& used = used_lately_[ToSize(size_class)];
    if (!used.load(std::memory_order_relaxed)) used.store(true, std::memory_order_relaxed);
  }

  std::vector<Depot*> depots_;  // constant after Create
  // Relaxed: hints.
  std::array<std::atomic<bool>, kMaxClassCount> used_lately_{};  // put or taken since the hand passed
  std::atomic<size_t> hand_{0};
  std::atomic<uint32_t> full_count_{0};  // calls of TakeIdle
  // Relaxed: a count; may be below 0 for a moment. A line of its own, since each batch writes it.
  alignas(64) std::atomic<int64_t> spare_bytes_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_DEPOT_SET_H_
