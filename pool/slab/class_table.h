// ClassTable: the size classes of one pool: those that every pool has, and the exact ones that were added to it.
//
// Shape      infos by class id; for every size up to 32 KiB, in steps of 16 B, where the magazine of its class lies (for
//            the fast path); a list of the added ones above
// Units      bytes
// Owner      the SlabSet
// Threads    any; Add is guarded by mutex_ (rank kClassTable). A table entry is stored with release after the infos of
//            its class, and read with acquire (or, by the fast path, only to find an empty magazine)
// Invariant  For(bytes) names the smallest class of at least `bytes`, added ones included; a class never changes
// Errors     Add returns nothing when all ids are taken
// Cost       For: one look-up to 32 KiB, above it a few steps. Add: linear in the sizes it takes over.
#ifndef HUGEPOOL_SLAB_CLASS_TABLE_H_
#define HUGEPOOL_SLAB_CLASS_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "hugepool/internal/percpu.h"
#include "os/mutex.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

// Most classes that may be added.
inline constexpr size_t kAddedClassLimit = 32;
static_assert(kClassCount + kAddedClassLimit <= kMaxClassCount);

class ClassTable {
 public:
  ClassTable();

  const SizeClassInfo& Info(SizeClass size_class, SlabKind kind = SlabKind::kNormal) const {
    return infos_[ToSize(size_class)][static_cast<size_t>(kind)];
  }
  const SizeClassInfos& infos(SizeClass size_class) const { return infos_[ToSize(size_class)]; }
  size_t ObjectBytes(SizeClass size_class) const { return Info(size_class).object_bytes; }

  // The smallest class of at least `bytes` (1 to kMaxSlabBytes) whose objects all start on a multiple of
  // alignment_bytes (a power of two up to 4 KiB).
  SizeClass For(size_t bytes) const;
  SizeClass For(size_t bytes, size_t alignment_bytes) const;

  // A class of `bytes` (1 to kMaxSlabBytes) rounded up to 16 B, from 1 KiB to a cache line; the one that is there if
  // one has that size.
  std::optional<SizeClass> Add(size_t bytes) HUGEPOOL_EXCLUDES(mutex_);

  // Ids below are in use.
  size_t class_count() const { return class_count_.load(std::memory_order_acquire); }
  // By (bytes + 15) / 16, to kMaxTableBytes.
  const uint16_t* lines() const { return reinterpret_cast<const uint16_t*>(lines_.data()); }

 private:
  std::array<SizeClassInfos, kMaxClassCount> infos_;
  std::array<std::atomic<uint16_t>, kMaxTableBytes / kTableStepBytes + 1> lines_;
  std::atomic<size_t> class_count_{kClassCount};  // release after the infos
  Mutex mutex_{LockRank::kClassTable};
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_CLASS_TABLE_H_
