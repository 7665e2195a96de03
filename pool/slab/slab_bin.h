// SlabBin: the slabs of one node and one size class.
//
// Shape      two lists: slabs with used and free objects, and slabs without used ones; full slabs stand in neither.
//            A few slabs without used objects are kept, the others are given back to the arena. The first few slabs are
//            short, and those of a bin that holds much are whole huge pages.
// Units      objects; slots of the window
// Owner      the SlabSet
// Threads    any; guarded by mutex_ (rank kSlabBin), which is dropped before the arena is asked
// Invariant  sum over slabs of used_count = used_count(); a slab is listed exactly when it has a free object
// Errors     Allocate returns fewer than asked for; a double free or an address inside an object ends the process
// Cost       O(1) per object; a new slab costs what NodeArena::AllocateSlab does
// Source     Bonwick, The Slab Allocator, USENIX 1994
#ifndef HUGEPOOL_SLAB_SLAB_BIN_H_
#define HUGEPOOL_SLAB_SLAB_BIN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "arena/arena_set.h"
#include "hugepool/pool_stats.h"
#include "os/mutex.h"
#include "slab/slab.h"

namespace hugepool::internal {

class SlabBin {
 public:
  // What a bin needs to know of its window; the arrays have one entry per slot of it.
  struct Window {
    ArenaSet* arenas = nullptr;
    size_t number = 0;
    Slab* slabs = nullptr;
    ExternalRow* rows = nullptr;
    uint8_t* slots_to_first = nullptr;  // from the first slot of the slab that covers this one
  };

  // infos: of the class, outliving the bin.
  SlabBin(const Window& window, SizeClass size_class, const SizeClassInfos& infos);

  // Up to `count` objects into `objects`; fewer when slabs and arena are exhausted, after at most one new slab.
  size_t Allocate(void** objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  // Objects of this window and class only.
  void Free(void* const* objects, size_t count) HUGEPOOL_EXCLUDES(mutex_);
  // Gives slabs without used objects back to the arena. True: some were.
  bool ReleaseEmpty() HUGEPOOL_EXCLUDES(mutex_);

  size_t used_count() HUGEPOOL_EXCLUDES(mutex_);
  size_t slab_bytes() HUGEPOOL_EXCLUDES(mutex_);
  size_t slab_count() HUGEPOOL_EXCLUDES(mutex_);
  // Its slabs, their bytes by backing, and the used objects; the rest of *stats is not touched.
  void AddStats(ClassStats* stats) HUGEPOOL_EXCLUDES(mutex_);
  // Adds the slots of its slabs to *slot_count.
  bool Check(size_t* slot_count, std::string* why) HUGEPOOL_EXCLUDES(mutex_);

 private:
  size_t TakeListed(void** objects, size_t count) HUGEPOOL_REQUIRES(mutex_);
  void Put(void* object, uint32_t first) HUGEPOOL_REQUIRES(mutex_);
  uint32_t& HeadFor(const Slab& slab) HUGEPOOL_REQUIRES(mutex_);
  // Both before and after its used_count changes a slab stands in the list that HeadFor names, or, when full, in none.
  void Link(uint32_t slot) HUGEPOOL_REQUIRES(mutex_);
  void Unlink(uint32_t slot) HUGEPOOL_REQUIRES(mutex_);
  // A slab without used objects, out of the books; kNoSlab when there are no more than `keep`.
  uint32_t TakeEmptySlab(size_t keep) HUGEPOOL_REQUIRES(mutex_);
  char* AddressOf(uint32_t slot) const;
  const SizeClassInfo& InfoOfKind(SlabKind kind) const { return infos_[static_cast<size_t>(kind)]; }
  const SizeClassInfo& InfoOfSlab(const Slab& slab) const { return InfoOfKind(slab.kind); }
  SlabKind NextKind() const HUGEPOOL_REQUIRES(mutex_);
  size_t KeptEmptyCount() const HUGEPOOL_REQUIRES(mutex_);
  size_t SlotCount() const HUGEPOOL_REQUIRES(mutex_);
  uint32_t FirstSlotOf(const void* object) const;
  void AddSlab(void* run, SlabKind kind, Backing backing) HUGEPOOL_REQUIRES(mutex_);
  void GiveBack(uint32_t slot);

  const Window window_;
  const SizeClass size_class_;
  const SizeClassInfos& infos_;
  Mutex mutex_{LockRank::kSlabBin};
  uint32_t partial_head_ HUGEPOOL_GUARDED_BY(mutex_) = kNoSlab;
  uint32_t empty_head_ HUGEPOOL_GUARDED_BY(mutex_) = kNoSlab;
  size_t used_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  size_t slab_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  std::array<size_t, kBackingCount> slot_counts_ HUGEPOOL_GUARDED_BY(mutex_){};  // of all its slabs, by Backing
  size_t empty_slab_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SLAB_BIN_H_
