// NodeArena: the memory of one node: huge pages, and runs of 64 KiB slots inside them.
//
// Shape      a PageTable (books) over a NodeBacking (memory); runs of up to 32 slots lie inside one page, longer ones
//            on contiguous pages, the last of which may be shared. Memory comes and goes by unit: a page, or the 512
//            of a giant page.
// Units      slots are 64 KiB, pages 2 MiB; a unit is named by its first page
// Owner      the ArenaSet
// Threads    any; the books are guarded by mutex_ (rank kNodeArena), which is never held over a system call. One thread
//            at a time populates a giant page; who needs one meanwhile waits and looks again, with no lock held
// Invariant  every run is marked in the AddressMap from before its address is returned until it is freed
// Errors     nullptr when neither the node nor the budget gives a page
// Cost       O(1) while a populated page has room; else a population. Runs beyond a page walk the pages.
#ifndef HUGEPOOL_ARENA_NODE_ARENA_H_
#define HUGEPOOL_ARENA_NODE_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "arena/address_map.h"
#include "arena/commit_budget.h"
#include "arena/node_backing.h"
#include "arena/page_table.h"
#include "hugepool/pool_stats.h"
#include "os/mutex.h"

namespace hugepool::internal {

class NodeArena {
 public:
  // pages: backing.page_count() zeroed entries that outlive the arena. decay_seconds: 0 is never.
  NodeArena(NodeBacking& backing, CommitBudget& budget, AddressMap& map, HugePage* pages, OsMemory& os,
            uint32_t decay_seconds);

  // A run of 1 to 32 slots of one huge page, which all carry `tag` (a slab's class).
  void* AllocateSlab(size_t slot_count, SlotTag tag) HUGEPOOL_EXCLUDES(mutex_);
  // The same in a unit that holds a run already, or nullptr.
  void* AllocateSlabInUse(size_t slot_count, SlotTag tag) HUGEPOOL_EXCLUDES(mutex_);
  // The same on the top rung only: lower ones are to empty.
  void* AllocateSlabInHole(size_t slot_count, SlotTag tag) HUGEPOOL_EXCLUDES(mutex_);
  // A run of any length, tagged as head and body.
  void* AllocateRun(size_t slot_count) HUGEPOOL_EXCLUDES(mutex_);
  // Frees a slab or a run. Pages that become empty go back to the system at once where they lie on a lower rung or
  // were draining. As many as stood empty for all of decay_seconds go too, some with each call of this and AllocateSlab.
  void Free(void* run, size_t slot_count) HUGEPOOL_EXCLUDES(mutex_);
  // All of those that stood empty for decay_seconds.
  void GiveBackIdle() HUGEPOOL_EXCLUDES(mutex_);

  // Populates empty pages of so many bytes or a unit more, or as many as there are.
  void PopulateAhead(size_t bytes) HUGEPOOL_EXCLUDES(mutex_);
  // The unit of an address drains from now on: nothing more is allocated from it, as long as other memory is to be had.
  // False: so many of its slots, at least one, are not what is taken of it.
  bool StartDraining(const void* address, size_t taken_slot_count) HUGEPOOL_EXCLUDES(mutex_);
  void StopDraining(const void* address) HUGEPOOL_EXCLUDES(mutex_);
  // Bytes of a unit at that address.
  size_t UnitBytes(const void* address) const { return backing_.UnitBytes(backing_.RegionAt(PageOf(address))); }
  // Gives empty pages back until the whole budget has at most target_bytes committed.
  void Trim(size_t target_bytes) HUGEPOOL_EXCLUDES(mutex_);

  // Pages lie on a lower rung, and the top one may be had: they had better empty. A hint, without the lock.
  bool MayClimb() { return degraded_count_.load(std::memory_order_relaxed) != 0 && backing_.TopMayBeHad(); }

  // What stands behind an address of a run.
  Backing BackingOf(const void* address) HUGEPOOL_EXCLUDES(mutex_);
  // Of the units that StartDraining marked and that are not given back yet.
  size_t draining_bytes() HUGEPOOL_EXCLUDES(mutex_);
  void AddStats(NodeStats* stats) HUGEPOOL_EXCLUDES(mutex_);
  bool Check(std::string* why) HUGEPOOL_EXCLUDES(mutex_);
  // Calls visit(address, backing) for each present unit.
  template <typename Visit>
  void ForEachUnit(Visit visit) HUGEPOOL_EXCLUDES(mutex_);

  NodeBacking& backing() { return backing_; }

 private:
  void* TakeInUse(size_t slot_count, SlotTag tag, Backing lowest_rung) HUGEPOOL_EXCLUDES(mutex_);
  void* TakeInside(size_t slot_count, SlotTag tag);
  PageIndex PageOf(const void* address) const {
    return ToPageIndex((map_.SlotOf(address) - first_slot_) / kSlotsPerHugePage);
  }
  bool StopDrainingAll();
  std::optional<size_t> TakePopulated(size_t slot_count, SlotTag tag, bool* last_empty);
  std::optional<size_t> TakeFresh(size_t slot_count, SlotTag tag, Region region);
  void* AllocateSpan(size_t slot_count, Region region);
  bool PopulateSpan(const Span& span);
  void NotePopulated(PageIndex unit, const PopulatedPage& populated) HUGEPOOL_REQUIRES(mutex_);
  PageIndex PopulateOne(Region region);
  PageIndex Grow();
  bool GrowsInTurns(Region region) const { return backing_.UnitBytes(region) != kHugePageBytes; }
  void KeepOneAhead();
  void FinishSpan(const Span& span, bool keep);
  void Mark(size_t slot_in_window, size_t slot_count, SlotTag tag);
  bool GiveBackOne(Backing highest);
  size_t NextIdleCount() HUGEPOOL_REQUIRES(mutex_);

  NodeBacking& backing_;
  CommitBudget& budget_;
  AddressMap& map_;
  const size_t first_slot_;  // of the window, in the AddressMap
  Mutex mutex_{LockRank::kNodeArena};
  PageTable pages_ HUGEPOOL_GUARDED_BY(mutex_);
  uint64_t unverified_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  OsMemory& os_;
  const uint64_t decay_ns_;
  uint64_t period_start_ns_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  size_t least_empty_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;  // pages, since the period began
  size_t idle_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;         // units that were empty all of the period before
  std::atomic<size_t> degraded_count_{
      0};  // pages present on a lower rung; written under mutex_, read without, relaxed, as a hint
  std::atomic<bool> ahead_busy_{false};  // one thread at a time populates ahead; a hint, orders nothing
  std::atomic<int> growth_turn_{0};      // 1: a thread populates a giant page
};

template <typename Visit>
void NodeArena::ForEachUnit(Visit visit) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < pages_.page_count(); i += pages_.UnitPageCount(ToPageIndex(i))) {
    if (i == pages_.hugetlb_border() && i < pages_.fallback_border()) i = pages_.fallback_border();
    if (i >= pages_.page_count()) break;
    const HugePage& page = pages_.page(ToPageIndex(i));
    if (page.present) visit(backing_.AddressOf(ToPageIndex(i)), page.backing);
  }
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_NODE_ARENA_H_
