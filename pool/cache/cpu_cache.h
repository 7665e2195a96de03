// CpuCache: free blocks at hand for each CPU, in front of the slabs: what moves between magazines, outboxes, depots and
// slabs, when, and within which budget.
//
// Shape      CpuRegions holds the magazines and outboxes. A magazine that runs empty is filled by a batch of the target
//            window: what this CPU's outbox for it holds, and the depots (that of the CPUs which share its last-level cache
//            first), else the slabs; else (where the placement allows) of the next window. It is open for blocks of the
//            window that filled it; those of all others go to their outboxes. A magazine or outbox that is full gives a
//            batch to a depot of its window; what the depots have no room for goes to the window's pile, where a class finds it
//            again and which is sorted into the slabs as soon as another class wants memory; small objects at once.
// Units      objects; bytes of class size
// Owner      the PoolCore
// Threads    any; depots and bins guard themselves, no lock is held while another is asked for
// Invariant  capacities of a CPU's magazines and outboxes, in bytes, + its spare bytes = the budget; a budget moves to the
//            classes that miss, from those that did not since the hand last passed
// Errors     Allocate returns nullptr when node, neighbours (where allowed) and every cache are exhausted
// Cost       a hit, by the fast path in hugepool/internal/percpu.h, no lock; a free into an outbox a call more, no lock; a
//            batch one or two
// Source     Bonwick & Adams, Magazines and Vmem, USENIX 2001; the moving budget: a clock hand, as in page replacement
#ifndef HUGEPOOL_CACHE_CPU_CACHE_H_
#define HUGEPOOL_CACHE_CPU_CACHE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "arena/placement_policy.h"
#include "cache/cpu_regions.h"
#include "cache/depot_set.h"
#include "cache/pile.h"
#include "hugepool/internal/percpu.h"
#include "slab/slab_set.h"

namespace hugepool::internal {

// What moves between a magazine and a depot or the slabs at a time, at most.
inline constexpr size_t kBatchMaxCount = 64;
// A magazine's first room, or for one object; each time that it misses it gets half of what it has, a batch at most, so
// that a hundred classes that miss now and then share a budget which a dozen whole batches would fill.
inline constexpr size_t kFirstRoomBytes = size_t{8} << 10;
// What others have is taken by one in so many misses: where nothing is spare any more, everybody misses now and then, and
// room would go round and round.
inline constexpr uint32_t kMissesPerSteal = 8;

class CpuCache {
 public:
  // decay_seconds: what lay on a pile through a whole such period is sorted; 0: never.
  static std::unique_ptr<CpuCache> Create(CpuCacheMode mode, SlabSet& slabs, PlacementPolicy& placement,
                                          size_t budget_bytes, uint32_t decay_seconds, MetadataMemory& metadata,
                                          Error* error);

  // Which objects will do: of the class only, or also of a larger one that lends (SlabSet::AllocateOrBorrow).
  enum class From : uint8_t { kClass, kLarger };
  // Adds to *fetched_count how many objects left depots or slabs for it.
  void* Allocate(SizeClass size_class, From from, size_t* fetched_count);
  void* Allocate(SizeClass size_class) {
    size_t ignored = 0;
    return Allocate(size_class, From::kClass, &ignored);
  }
  void Deallocate(void* object, SizeClass size_class);
  // Up to count objects of one class into or out of the caller's hands; Allocate returns how many.
  size_t AllocateBatch(SizeClass size_class, From from, void** objects, size_t count, size_t* fetched_count);
  void DeallocateBatch(SizeClass size_class, void* const* objects, size_t count);

  // Every cached block back to its slab, and up to so many of each pile. Who finds another thread at it waits. True: there were
  // some, or it waited.
  bool Drain(size_t most_piled_count = SIZE_MAX);
  // What one call sorts of a pile for others, where it need not have all of it: some hundred microseconds.
  static constexpr size_t kSortedAtOnceCount = 8192;
  // Up to most_count objects of each pile go to their slabs, since memory is wanted. True: there were some. Cost: a read for
  // each window; some twenty nanoseconds for each object.
  bool SortPiles(size_t most_count);
  // All that lay on a pile through a whole decay_seconds.
  void SortIdlePiles();
  // What lies on piles is counted as used by the slabs; here it is told apart, as memory that is there for others.
  void SetPilesApart(LiveMemory* live) const;
  // The class has a handle (SlabCache), whose frees do not look at tags: they would put blocks that drain into magazines,
  // from where they would be handed out again.
  void NoteHandle(SizeClass size_class);
  // How many free objects of each class are kept from draining: what caches that were drained will take again, and a part
  // of what is used; or, where nobody asked for it, only as many as go up and down by chance, and of classes with a
  // handle all.
  enum class Kept : uint8_t { kCaches, kChance };
  // Makes the emptiest memory drain, wanted_bytes of it (SlabSet::StartDraining), but for what is to be kept. Of
  // classes with a handle all frees take the slow path from then on, which looks where they belong, until nothing of the
  // class drains any more, or so many were freed that what still drains will hardly ever be.
  size_t StartDraining(size_t wanted_bytes, Kept kept);

  // Takes the room of retired and dormant classes from their magazines, and the blocks in them home. A thread that had not
  // seen yet what a class is may put a few there once more, which the next call finds. Cost: as Drain, if there are any.
  void CloseUnused();
  // For who is starved: what the caches of all CPUs hold back, and slabs without a used object, may be all that is left.
  // Calls attempt() after each time that they are emptied until it returns true. Others take what comes free meanwhile,
  // so as long as something does it is worth another look, up to a limit.
  template <typename Attempt>
  void EmptyAndRetry(Attempt attempt);

  // Free objects here: in magazines, outboxes and depots; in magazines and outboxes only; on piles.
  uint64_t cached_bytes() const;
  uint64_t magazine_bytes() const;
  uint64_t piled_bytes() const;
  // All of them.
  uint64_t free_count() const;
  // Room for objects of a class in the magazines of all CPUs.
  uint64_t capacity_count(SizeClass size_class) const;
  // Free objects here by class, added to counts[kMaxClassCount]: those whose home is the window.
  void AddFreeOf(size_t window, uint64_t* counts) const;
  // What CPUs of other nodes handed over to this window's; the rest of *stats is not touched.
  void AddStats(size_t window, NodeStats* stats) const;
  CpuCacheMode mode() const { return regions_ == nullptr ? CpuCacheMode::kOff : regions_->mode(); }

  // For a free block of a window for which this CPU's magazine is not open: into the outbox, by one sequence as the fast
  // path's. Constant while the pool lives.
  struct OutboxView {
    void** objects = nullptr;  // of CPU 0's outbox for window 0 of tag 0; zeros in another mode
    size_t row_size = 0;       // pointers to those for the next window
    uint64_t least_distance = 0;
    RseqOffsets rseq;

    // window: the object's. False, and nothing is done: another mode, an outbox that is full, closed or was
    // never opened (so for a tag that is no class's), a forked child. Deallocate knows what then.
    bool Push(void* object, size_t window, uint64_t tag) const {
      return PercpuPush<false>(ObjectsOf(objects + window * row_size, tag), least_distance, rseq, object);
    }
  };
  // view: filled by FillView.
  OutboxView Outboxes(const PercpuView& view) const;
  // What the fast path needs of the caches; the rest of the view is not touched.
  bool FillView(PercpuView* view, Error* error) const;

 private:
  // Batches that CPUs of other nodes gave back, and the blocks in them. Relaxed: counts, they publish nothing.
  struct HandOvers {
    std::atomic<uint64_t> count{0};
    std::atomic<uint64_t> block_count{0};
  };

  CpuCache(SlabSet& slabs, PlacementPolicy& placement, size_t budget_bytes)
      : slabs_(slabs), placement_(placement), budget_bytes_(budget_bytes) {}

  bool Caches(SizeClass size_class) const { return regions_ != nullptr && !IsUnused(size_class); }
  // Blocks of it are not to be kept here.
  bool IsUnused(SizeClass size_class) const {
    const ClassTable& classes = slabs_.classes();
    return classes.IsRetired(size_class) || classes.IsDormant(size_class);
  }
  size_t BytesOf(SizeClass size_class) const { return slabs_.classes().ObjectBytes(size_class); }
  uint64_t Bytes(const std::array<uint64_t, kMaxClassCount>& counts) const;
  size_t BatchCount(SizeClass size_class) const;
  size_t RefillCount(int cpu, SizeClass size_class);
  CpuRegions::Region* RegionOf(int cpu, size_t row);
  // visit(window, objects, count): neighbours that share a window, together.
  template <typename Visit>
  void ForEachWindow(void* const* objects, size_t count, Visit visit) const;
  // Whether a magazine may be open for another window than its CPU's home.
  bool Spills() const { return placement_.MayDepart() && !placement_.CachesAnyWindow(); }
  void* Refill(int cpu, SizeClass size_class, From from, size_t* fetched_count);
  size_t Fetch(int cpu, size_t target, SizeClass size_class, From from, void** objects, size_t count);
  size_t FetchFrom(int cpu, size_t window, SizeClass size_class, From from, void** objects, size_t count);
  size_t FetchFromSlabs(size_t window, SizeClass size_class, From from, void** objects, size_t count);
  // Magazines of a class with a handle while slabs of it drain. All relaxed: what they decide is a matter of cost.
  struct Guarded {
    std::atomic<bool> has_handle{false};
    std::atomic<bool> closed{false};     // no free takes the fast path
    std::atomic<int64_t> frees_left{0};  // until it opens again anyhow
  };
  bool IsClosed(SizeClass size_class) const {
    return guarded_[ToSize(size_class)].closed.load(std::memory_order_relaxed);
  }
  void CloseForHandles();
  void SetWindows(SizeClass size_class, bool closed);
  void CountClosedFrees(SizeClass size_class, size_t count);

  void OpenFor(int cpu, SizeClass size_class, size_t window);
  size_t RowFor(int cpu, size_t window, SizeClass size_class);
  bool Grow(int cpu, size_t row, SizeClass size_class);
  static bool IsTurnToSteal(CpuRegions::Cpu& state);
  static int64_t TakeSpare(CpuRegions::Cpu& state, size_t object_bytes, size_t wanted);
  int64_t Steal(int cpu, size_t row, size_t tag, int64_t needed_bytes);
  bool IsOn(int cpu) const { return slabs_.arenas().os().CurrentCpu() == cpu; }
  void ReturnExcess(int cpu, size_t row, SizeClass size_class, const Magazine& magazine);
  uint64_t TakenBytes() const;
  uint64_t EndOf(size_t window) const;
  size_t WindowOfRow(int cpu, size_t row) const;
  void AddMagazines(uint64_t* counts) const;
  void AddDepots(uint64_t* counts) const;
  void AddPiles(uint64_t* counts) const;
  void Return(int cpu, SizeClass size_class, void* const* objects, size_t count);
  void Surplus(SizeClass size_class, void* const* objects, size_t count);
  size_t PutInDepot(size_t window, size_t group, SizeClass size_class, void* const* objects, size_t count);
  size_t PutOnPile(size_t window, SizeClass size_class, void* const* objects, size_t count);
  void SortIdle(size_t window);
  size_t SortPileOf(size_t window, SizeClass size_class, size_t most_count);
  bool SortPile(size_t window, size_t most_count);

  SlabSet& slabs_;
  PlacementPolicy& placement_;
  const size_t budget_bytes_;
  std::unique_ptr<CpuRegions> regions_;  // nullptr: off
  // Who sets it drains, with no lock held. Acquire and release: one drain sees what the one before left.
  std::atomic<bool> drain_owned_{false};
  std::vector<std::unique_ptr<DepotSet>> depots_;  // by window
  std::vector<std::unique_ptr<Pile>> piles_;       // by window
  std::vector<HandOvers> hand_overs_;              // by window
  std::array<Guarded, kMaxClassCount> guarded_;
};

template <typename Attempt>
void CpuCache::EmptyAndRetry(Attempt attempt) {
  constexpr int kMaxAttemptCount = 8;
  bool moved = true;
  for (int i = 0; moved && i < kMaxAttemptCount; ++i) {
    moved = Drain();
    moved |= slabs_.ReleaseEmpty();
    if (attempt()) return;
  }
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_CPU_CACHE_H_
