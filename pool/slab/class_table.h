// ClassTable: the size classes of one pool: those that every pool has, the exact ones that a user added, and those that
// were learned from the sizes asked for.
//
// Shape      infos by class id; for every size up to 32 KiB, in steps of 16 B, the tag of its class (for
//            the fast path); a list of the added ones above. A learned class that is wanted no more is retired: no size
//            leads to it, its blocks are freed as ever, and it is revived when its size is wanted again.
// Units      bytes
// Owner      the SlabSet
// Threads    any; Add and SetLearned are guarded by mutex_ (rank kClassTable). A table entry is stored with release after
//            the infos of its class, and read with acquire (or, by the fast path, only to find an empty magazine)
// Invariant  For(bytes) names the smallest class of at least `bytes` that is not retired. An id belongs to one size as long
//            as the pool lives. So it does no harm that a thread may read an entry and be stopped for as long as it likes
//            before it pops that class's magazine (no fence reaches a value in a register): it finds blocks of the size
//            that it has read, retired or not, or none. The price: so many sizes can be learned in the life of a pool
//            as there are ids.
// Errors     Add returns nothing when a user has added as many as may be; SetLearned leaves out what has no id left
// Cost       For: one look-up to 32 KiB, above it a few steps. Add, SetLearned: microseconds, linear in the table.
#ifndef HUGEPOOL_SLAB_CLASS_TABLE_H_
#define HUGEPOOL_SLAB_CLASS_TABLE_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "hugepool/internal/percpu.h"
#include "os/mutex.h"
#include "slab/size_classes.h"

namespace hugepool::internal {

// Most classes that a user may add; sizes that may be learned in the life of a pool; of those, most at a time.
inline constexpr size_t kAddedClassLimit = 32;
inline constexpr size_t kLearnedSizeLimit = kMaxClassCount - kClassCount - kAddedClassLimit;
inline constexpr size_t kLearnedClassLimit = 32;
static_assert(kLearnedSizeLimit >= 2 * kLearnedClassLimit);

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
  // The same among those that never retire, for who keeps the class.
  SizeClass FixedFor(size_t bytes, size_t alignment_bytes) const;

  // A class of `bytes` (1 to kMaxSlabBytes) rounded up to 16 B, from 1 KiB to a cache line; the one that is there if
  // one has that size, which never retires from now on.
  std::optional<SizeClass> Add(size_t bytes) HUGEPOOL_EXCLUDES(mutex_);

  // The learned classes from now on: of these sizes, at most kLearnedClassLimit, at most kMaxTableBytes each, and
  // rounded as by Add; the others retire. A size that a fixed class has needs none; one that is new when all ids are taken
  // gets none.
  void SetLearned(std::span<const size_t> sizes) HUGEPOOL_EXCLUDES(mutex_);
  // Relaxed: who goes by an old answer caches a few blocks in vain (CpuCache::CloseUnused).
  bool IsRetired(SizeClass size_class) const { return UseOf(size_class) == Use::kRetired; }
  bool IsFixed(SizeClass size_class) const { return UseOf(size_class) == Use::kFixed; }
  bool IsLearned(SizeClass size_class) const { return UseOf(size_class) == Use::kLearned; }
  size_t learned_count() const;
  // Learned classes have replaced it (SizeLearner): caches keep none of its blocks, until one is fetched for somebody. All
  // relaxed: a matter of cost.
  bool IsDormant(SizeClass size_class) const { return dormant_[ToSize(size_class)].load(std::memory_order_relaxed); }
  void SetDormant(SizeClass size_class) { dormant_[ToSize(size_class)].store(true, std::memory_order_relaxed); }
  // A block of it left depots or slabs. Mostly that is known, and a read is cheaper.
  void NoteFetched(SizeClass size_class) {
    const size_t i = ToSize(size_class);
    if (!fetched_[i].load(std::memory_order_relaxed)) fetched_[i].store(true, std::memory_order_relaxed);
    if (IsDormant(size_class)) dormant_[i].store(false, std::memory_order_relaxed);
  }
  // Whether one did since the last call.
  bool TakeFetched(SizeClass size_class) {
    return fetched_[ToSize(size_class)].exchange(false, std::memory_order_relaxed);
  }

  // Ids below are in use.
  size_t class_count() const { return class_count_.load(std::memory_order_acquire); }
  // By TableEntryOf, to kMaxTableBytes.
  const SlotTag* tags() const { return reinterpret_cast<const SlotTag*>(tags_.data()); }

 private:
  // Fixed: every pool's, or a user's.
  enum class Use : uint8_t { kFixed, kLearned, kRetired };

  Use UseOf(SizeClass size_class) const { return uses_[ToSize(size_class)].load(std::memory_order_relaxed); }
  std::optional<SizeClass> Find(size_t object_bytes) const HUGEPOOL_REQUIRES(mutex_);
  SizeClass Append(size_t object_bytes) HUGEPOOL_REQUIRES(mutex_);
  void FillTags() HUGEPOOL_REQUIRES(mutex_);

  std::array<SizeClassInfos, kMaxClassCount> infos_;
  std::array<std::atomic<Use>, kMaxClassCount> uses_{};  // relaxed: a hint; written under mutex_
  std::array<std::atomic<bool>, kMaxClassCount> dormant_{};
  std::array<std::atomic<bool>, kMaxClassCount> fetched_{};
  std::array<std::atomic<SlotTag>, kTableEntryCount> tags_;
  std::atomic<size_t> class_count_{kClassCount};  // release after the infos
  Mutex mutex_{LockRank::kClassTable};
  size_t added_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;
  size_t learned_size_count_ HUGEPOOL_GUARDED_BY(mutex_) = 0;  // retired ones included
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_CLASS_TABLE_H_
