// PlacementPolicy: which window an allocation goes to first, which ones after it, and the count of those that went
// elsewhere.
//
// Units      windows are the ArenaSet's dense numbers
// Threads    any; counters are relaxed, they publish nothing
// Invariant  a strict placement never names a second window
// Cost       O(1)
#ifndef HUGEPOOL_ARENA_PLACEMENT_POLICY_H_
#define HUGEPOOL_ARENA_PLACEMENT_POLICY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "arena/arena_set.h"
#include "hugepool/pool_stats.h"
#include "hugepool/types.h"

namespace hugepool::internal {

class PlacementPolicy {
 public:
  PlacementPolicy(const Placement& placement, const ArenaSet& arenas)
      : arenas_(arenas), policy_(placement.policy), departures_(arenas.window_count()) {}

  // The window that the CPU's next batch should come from.
  size_t Target(int cpu) {
    if (policy_ == Placement::Policy::kInterleave) {
      return next_window_.fetch_add(1, std::memory_order_relaxed) % arenas_.window_count();
    }
    return arenas_.HomeOfCpu(cpu);
  }
  // Whether a CPU's cache takes free blocks of any window, or only of its home.
  bool CachesAnyWindow() const { return policy_ == Placement::Policy::kInterleave; }
  bool MayDepart() const {
    return (policy_ == Placement::Policy::kLocal || policy_ == Placement::Policy::kInterleave) &&
           arenas_.window_count() > 1;
  }

  // Blocks, and the bytes that they take.
  struct Given {
    size_t count = 0;
    size_t bytes = 0;
  };
  // Calls allocate(window) for every other window, nearest first, until one gives some; counts the departures.
  template <typename Allocate>
  void Depart(size_t target, Allocate allocate) {
    if (!MayDepart()) return;
    for (const size_t window : arenas_.ByDistance(target)) {
      const Given given = window == target ? Given() : allocate(window);
      if (given.count == 0) continue;
      departures_[target].count.fetch_add(given.count, std::memory_order_relaxed);
      departures_[target].bytes.fetch_add(given.bytes, std::memory_order_relaxed);
      return;
    }
  }

  void AddStats(size_t window, NodeStats* stats) const {
    stats->departure_count = departures_[window].count.load(std::memory_order_relaxed);
    stats->departed_bytes = departures_[window].bytes.load(std::memory_order_relaxed);
  }

 private:
  struct Departures {
    std::atomic<uint64_t> count{0};
    std::atomic<uint64_t> bytes{0};
  };

  const ArenaSet& arenas_;
  const Placement::Policy policy_;
  std::atomic<size_t> next_window_{0};
  std::vector<Departures> departures_;  // by target window
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_PLACEMENT_POLICY_H_
