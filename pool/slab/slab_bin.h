// SlabBin: the slabs of one node and one size class.
//
// Shape      lists of slabs by how much of them is used; objects come from the fullest that has some. Up to 32 KiB a few
//            slabs without used objects are kept, the others are given back to the arena. The first few slabs are short. Slabs that
//            drain stand in lists of their own: nothing is taken
//            from them as long as another slab has room, and they are given back as soon as they are empty.
// Units      objects; slots of the window
// Owner      the SlabSet
// Threads    any; guarded by mutex_ (rank kSlabBin), which is dropped before the arena is asked
// Invariant  sum over slabs of used_count = used_count(); every slab stands in the list that ListFor names
//            a slab drains ⇔ its slots are tagged kDraining
// Errors     Allocate returns fewer than asked for; a double free or an address inside an object ends the process
// Cost       O(1) per object; a new slab costs what NodeArena::AllocateSlab does
// Source     Bonwick, The Slab Allocator, USENIX 1994
#ifndef HUGEPOOL_SLAB_SLAB_BIN_H_
#define HUGEPOOL_SLAB_SLAB_BIN_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "arena/arena_set.h"
#include "hugepool/pool_stats.h"
#include "os/mutex.h"
#include "slab/slab.h"

namespace hugepool::internal {

// One slab, as far as it matters for what may be drained.
struct SlabUse {
  SizeClass size_class{};
  uint32_t slot = 0;  // its first, in the window
  uint16_t slot_count = 0;
  uint16_t object_count = 0;
  uint16_t used_count = 0;
  uint32_t object_bytes = 0;
};

class SlabBin {
 public:
  // What a bin needs to know of its window; the arrays have one entry per slot of it.
  struct Window {
    ArenaSet* arenas = nullptr;
    size_t number = 0;
    Slab* slabs = nullptr;
    ExternalRow* rows = nullptr;
    uint8_t* slots_to_first = nullptr;           // from the first slot of the slab that covers this one
    std::atomic<size_t>* moved_bytes = nullptr;  // that left the bins of all windows or came back; added in steps

    uint32_t FirstSlotOf(const void* object) const;
    const Slab& SlabOf(const void* object) const { return slabs[FirstSlotOf(object)]; }
  };

  // infos: of the class, outliving the bin.
  SlabBin(const Window& window, SizeClass size_class, const SizeClassInfos& infos);

  // Up to `count` objects into `objects`; fewer when slabs and arena are exhausted, after at most one new slab.
  size_t Allocate(void** objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  // The same of the slabs that it has and that do not drain.
  size_t AllocateListed(void** objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  // An object of another bin is to be used in place of one of this bin, whose slabs have none. False: as many as are used
  // were borrowed one after the other, while none came back and no slab was added, so that another slab pays: what is
  // borrowed goes back to the lender when it is freed, never into this class's caches.
  bool CountBorrowed() HUGEPOOL_EXCLUDES(mutex_);
  // Whether it has so many free objects there that others may have some; a hint, without the lock.
  bool Lends() const {
    return free_count_.load(std::memory_order_relaxed) > kept_count_.load(std::memory_order_relaxed);
  }
  // Objects of this window and class only.
  void Free(void* const* objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  // Gives slabs without used objects back to the arena. True: some were.
  bool ReleaseEmpty() HUGEPOOL_EXCLUDES(mutex_);
  // The same of slabs that drain only.
  void ReleaseDrained() HUGEPOOL_EXCLUDES(mutex_);

  // Adds its slabs that do not drain, as many as *uses has capacity for.
  void AddUse(std::vector<SlabUse>* uses) HUGEPOOL_EXCLUDES(mutex_);
  // The slab of this class that starts at the slot drains from now on. Without effect where none does, or it drains
  // already. The slot lies in a page that drains: no slab of another class can start there meanwhile.
  void StartDraining(uint32_t slot) HUGEPOOL_EXCLUDES(mutex_);

  size_t used_count() HUGEPOOL_EXCLUDES(mutex_);
  // Those of them whose slabs drain.
  size_t draining_used_count() HUGEPOOL_EXCLUDES(mutex_);
  // Of slabs that drain; a hint, without the lock.
  size_t draining_slot_count() const { return draining_slot_count_.load(std::memory_order_relaxed); }
  size_t slab_bytes() HUGEPOOL_EXCLUDES(mutex_);
  size_t slab_count() HUGEPOOL_EXCLUDES(mutex_);
  // Its slabs, their bytes by backing, and the used objects; the rest of *stats is not touched.
  void AddStats(ClassStats* stats) HUGEPOOL_EXCLUDES(mutex_);
  // Adds the slots of its slabs to *slot_count.
  bool Check(size_t* slot_count, std::string* why) HUGEPOOL_EXCLUDES(mutex_);

 private:
  // Where a slab stands: by eighths of it that are used, from few to many; the last ones drain.
  static constexpr uint8_t kEmptyList = 0;
  static constexpr uint8_t kFirstPartialList = 1;
  static constexpr uint8_t kLastPartialList = 8;
  static constexpr uint8_t kFullList = 9;
  static constexpr uint8_t kDrainedList = 10;   // without a used object
  static constexpr uint8_t kDrainingList = 11;  // with used and free ones
  static constexpr uint8_t kDrainingFullList = 12;
  static constexpr size_t kListCount = 13;

  size_t TakeListed(void** objects, size_t count) HUGEPOOL_REQUIRES(mutex_);
  void CountMoved(size_t count) HUGEPOOL_REQUIRES(mutex_);
  size_t TakeBack(void** objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  void Put(void* object, uint32_t first) HUGEPOOL_REQUIRES(mutex_);
  static bool Drains(const Slab& slab) { return slab.list >= kDrainedList; }
  uint8_t ListFor(const Slab& slab, bool drains) const;
  void Link(uint32_t slot, uint8_t list) HUGEPOOL_REQUIRES(mutex_);
  void Unlink(uint32_t slot) HUGEPOOL_REQUIRES(mutex_);
  // After its used_count changed.
  void Settle(uint32_t slot) HUGEPOOL_REQUIRES(mutex_);
  void SetDraining(uint32_t slot, bool drains) HUGEPOOL_REQUIRES(mutex_);
  void AddFree(int64_t count) HUGEPOOL_REQUIRES(mutex_);
  void CountDraining(const Slab& slab, bool drains) HUGEPOOL_REQUIRES(mutex_);
  // The fullest slab with a free object that does not drain.
  uint32_t FullestSlab() const HUGEPOOL_REQUIRES(mutex_);
  // A slab without used objects, out of the books: one that drained, or, where there are more than `keep`, another.
  uint32_t TakeEmptySlab(size_t keep) HUGEPOOL_REQUIRES(mutex_);
  char* AddressOf(uint32_t slot) const;
  const SizeClassInfo& InfoOfKind(SlabKind kind) const { return infos_[static_cast<size_t>(kind)]; }
  const SizeClassInfo& InfoOfSlab(const Slab& slab) const { return InfoOfKind(slab.kind); }
  size_t KeptEmptyCount() const HUGEPOOL_REQUIRES(mutex_);
  size_t SlotCount() const HUGEPOOL_REQUIRES(mutex_);
  void AddSlab(void* run, SlabKind kind, Backing backing) HUGEPOOL_REQUIRES(mutex_);
  void GiveBack(uint32_t slot);

  const Window window_;
  const SizeClass size_class_;
  const SizeClassInfos& infos_;
  Mutex mutex_{LockRank::kSlabBin};
  std::array<uint32_t, kListCount> heads_ HUGEPOOL_GUARDED_BY(mutex_);
  size_t used_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  size_t slab_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  size_t moved_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;     // objects that left or came, not added to *moved_bytes yet
  size_t borrowed_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;  // of other bins: see CountBorrowed
  size_t draining_used_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;                   // used objects of slabs that drain
  std::array<size_t, kBackingCount> slot_counts_ HUGEPOOL_GUARDED_BY(mutex_){};  // of all its slabs, by Backing
  size_t empty_slab_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  std::atomic<size_t> draining_slot_count_{0};  // written under mutex_
  std::atomic<size_t> kept_count_{SIZE_MAX};    // free objects that are not lent; written under mutex_
  std::atomic<size_t> free_count_{0};           // objects of slabs that do not drain; written under mutex_
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SLAB_BIN_H_
