// NodeArena: the memory of one node: huge pages, and runs of 64 KiB slots inside them.
//
// Shape      a PageTable (books) over a NodeBacking (memory); runs of up to 32 slots lie inside one page, longer ones
//            on contiguous pages, the last of which may be shared
// Units      slots are 64 KiB, pages 2 MiB
// Owner      the ArenaSet
// Threads    any; the books are guarded by mutex_ (rank kNodeArena), which is never held over a system call
// Invariant  every run is marked in the AddressMap from before its address is returned until it is freed
// Errors     nullptr when neither the node nor the budget gives a page
// Cost       O(1) while a populated page has room; else a population. Runs beyond a page walk the pages.
#ifndef HUGEPOOL_ARENA_NODE_ARENA_H_
#define HUGEPOOL_ARENA_NODE_ARENA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
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
  // pages: backing.page_count() zeroed entries that outlive the arena.
  NodeArena(NodeBacking& backing, CommitBudget& budget, AddressMap& map, HugePage* pages);

  // A run of 1 to 32 slots whose slots all carry `tag` (a slab's class); a power of two, aligned to itself.
  void* AllocateSlab(size_t slot_count, SlotTag tag) HUGEPOOL_EXCLUDES(mutex_);
  // A run of any length, tagged as head and body.
  void* AllocateRun(size_t slot_count) HUGEPOOL_EXCLUDES(mutex_);
  // Frees a slab or a run. Pages of a lower rung that become empty go back to the system at once.
  void Free(void* run, size_t slot_count) HUGEPOOL_EXCLUDES(mutex_);

  // Populates up to page_count empty pages; returns how many.
  size_t PopulateAhead(size_t page_count) HUGEPOOL_EXCLUDES(mutex_);
  // Gives empty pages back until the whole budget has at most target_bytes committed.
  void Trim(size_t target_bytes) HUGEPOOL_EXCLUDES(mutex_);

  void AddStats(NodeStats* stats) HUGEPOOL_EXCLUDES(mutex_);
  bool Check(std::string* why) HUGEPOOL_EXCLUDES(mutex_);
  // Calls visit(address, backing) for each present page.
  template <typename Visit>
  void ForEachPage(Visit visit) HUGEPOOL_EXCLUDES(mutex_);

  NodeBacking& backing() { return backing_; }

 private:
  void* TakeInside(size_t slot_count, SlotTag tag);
  void* AllocateSpan(size_t slot_count, Region region);
  bool PopulateSpan(const Span& span);
  PageIndex PopulateOne(Region region);
  PageIndex Grow();
  void KeepOneAhead();
  void FinishSpan(const Span& span, bool keep);
  void Mark(size_t slot_in_window, size_t slot_count, SlotTag tag);
  bool GiveBackOne(Backing highest);

  NodeBacking& backing_;
  CommitBudget& budget_;
  AddressMap& map_;
  const size_t first_slot_;  // of the window, in the AddressMap
  Mutex mutex_{LockRank::kNodeArena};
  PageTable pages_ HUGEPOOL_GUARDED_BY(mutex_);
  uint64_t unverified_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  std::atomic<bool> ahead_busy_{false};  // one thread at a time populates ahead; a hint, orders nothing
};

template <typename Visit>
void NodeArena::ForEachPage(Visit visit) {
  MutexLock lock(mutex_);
  for (size_t i = 0; i < pages_.page_count(); ++i) {
    if (i == pages_.hugetlb_border() && i < pages_.fallback_border()) i = pages_.fallback_border();
    if (i >= pages_.page_count()) break;
    const HugePage& page = pages_.page(ToPageIndex(i));
    if (page.state == PageState::kPopulated) visit(backing_.AddressOf(ToPageIndex(i)), page.backing);
  }
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_NODE_ARENA_H_
