// ArenaSet: the windows and arenas of all nodes of one pool; which node a CPU's memory comes from, and where it comes
// from when that node is full.
//
// Shape      one PROT_NONE reservation, cut into equal windows, one per node that the placement may use; a window's
//            number is dense, the kernel's node id stands beside it
// Units      bytes; slots are 64 KiB
// Owner      the PoolCore; gives all address space back when destroyed (not in a forked child, where it is not mapped)
// Threads    constant after Create but for the arenas, which guard themselves
// Invariant  a run allocated from window w lies in window w; committed bytes of all windows ≤ capacity_bytes
// Errors     Create fills an Error and leaves nothing mapped
// Cost       Create: some system calls per node, plus the pages populated at start
#ifndef HUGEPOOL_ARENA_ARENA_SET_H_
#define HUGEPOOL_ARENA_ARENA_SET_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "arena/address_map.h"
#include "arena/commit_budget.h"
#include "arena/metadata_memory.h"
#include "arena/node_arena.h"
#include "arena/node_backing.h"
#include "hugepool/error.h"
#include "hugepool/pool_options.h"
#include "os/os_memory.h"
#include "topology/topology.h"

namespace hugepool::internal {

class ArenaSet {
 public:
  static std::unique_ptr<ArenaSet> Create(const PoolOptions& options, OsMemory& os, const Topology& topology,
                                          MetadataMemory& metadata, Error* error);
  ~ArenaSet();

  size_t window_count() const { return arenas_.size(); }
  size_t slots_per_window() const { return map_->slots_per_window(); }
  int NodeIdOf(size_t window) const { return backings_[window]->node_id(); }
  // The window from which a CPU is served first. A CPU that was offline at Create is looked up when it first asks.
  size_t HomeOfCpu(int cpu) const {
    const size_t index = static_cast<size_t>(cpu);
    if (index >= home_of_cpu_.size()) return 0;
    const uint32_t home = home_of_cpu_[index].load(std::memory_order_relaxed);
    return home != kUnknownHome ? home : LookUpHome(cpu);
  }
  // The CPUs whose home is a window fall into groups that share a last-level cache: 0 … CacheGroupCount(window) - 1, none
  // where no CPU is at home. CacheGroupOfCpu is the number in the CPU's own home; 0 for a CPU that nobody knows.
  size_t CacheGroupCount(size_t window) const { return cache_group_counts_[window]; }
  size_t CacheGroupOfCpu(int cpu) const {
    const size_t index = static_cast<size_t>(cpu);
    return index < cache_group_of_cpu_.size() ? cache_group_of_cpu_[index] : 0;
  }
  // Every window, nearest to `window` first, itself at the front.
  const std::vector<size_t>& ByDistance(size_t window) const { return by_distance_[window]; }

  // From this window or not at all; empty pages of the others are given back when only the budget stands in the way.
  void* AllocateSlab(size_t window, size_t slot_count, SlotTag tag);
  void* AllocateRun(size_t window, size_t slot_count);
  void Free(void* run, size_t slot_count) { arenas_[map_->WindowOf(run)]->Free(run, slot_count); }

  // Of a slot of the window.
  SlotTag Tag(size_t window, size_t slot) const { return map_->Tag(window * slots_per_window() + slot); }
  // Another tag for the slots of a slab.
  void Mark(size_t window, size_t slot, size_t slot_count, SlotTag tag) {
    map_->MarkSlab(window * slots_per_window() + slot, slot_count, tag);
  }

  // What stands behind a run.
  Backing BackingOf(const void* run) { return arenas_[map_->WindowOf(run)]->BackingOf(run); }

  void Trim(size_t target_bytes);
  // Of all nodes: pages that stood empty for decay_seconds.
  void GiveBackIdle() {
    for (const auto& arena : arenas_) arena->GiveBackIdle();
  }
  // Of all nodes: what is marked to be emptied, and not empty yet.
  size_t draining_bytes();

  // The child of a fork: the windows' pages are not mapped there. Their addresses stay held to the end
  // (os/fork_hold.h), since blocks of the parent may still be freed.
  void Abandon() { reservation_ = nullptr; }

  const AddressMap& map() const { return *map_; }
  const CommitBudget& budget() const { return budget_; }
  // The most that the windows have room for, at least what Create was told.
  size_t max_capacity_bytes() const { return max_capacity_bytes_; }
  void SetCapacity(size_t bytes) { budget_.SetCapacity(bytes); }
  NodeArena& arena(size_t window) { return *arenas_[window]; }
  char* WindowAddress(size_t window) const { return backings_[window]->AddressOf(ToPageIndex(0)); }
  size_t window_bytes() const { return window_bytes_; }
  OsMemory& os() const { return os_; }

 private:
  static constexpr uint32_t kUnknownHome = UINT32_MAX;

  ArenaSet(OsMemory& os, const PoolOptions& options)
      : os_(os), budget_(options.capacity_bytes), page_bytes_(options.page_bytes) {}

  bool ReserveWindows(const PoolOptions& options, size_t window_count, Error* error);
  bool BuildArenas(const PoolOptions& options, const Topology& topology, const std::vector<NodeIndex>& nodes,
                   MetadataMemory& metadata, Error* error);
  bool HugePagesSuffice(const PoolOptions& options, Error* error);
  bool PopulateAtStart(const PoolOptions& options, Error* error);
  size_t LookUpHome(int cpu) const;
  bool TrimOthers(size_t window, size_t needed_bytes);

  OsMemory& os_;
  CommitBudget budget_;
  const size_t page_bytes_;  // of hugetlb; windows start on a multiple of it
  void* reservation_ = nullptr;
  size_t reservation_bytes_ = 0;
  char* base_ = nullptr;
  size_t window_bytes_ = 0;
  size_t max_capacity_bytes_ = 0;
  std::unique_ptr<AddressMap> map_;
  std::vector<std::unique_ptr<NodeBacking>> backings_;  // by window
  std::vector<std::unique_ptr<NodeArena>> arenas_;      // by window
  std::vector<std::vector<size_t>> by_distance_;
  std::vector<std::pair<int, uint32_t>> home_of_node_;  // by the kernel's id: the window for the CPUs of that node
  // By CPU id. Relaxed: whoever looks one up finds the same.
  mutable std::vector<std::atomic<uint32_t>> home_of_cpu_;
  std::vector<size_t> cache_group_of_cpu_;
  std::vector<size_t> cache_group_counts_;  // by window
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_ARENA_SET_H_
