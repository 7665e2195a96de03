// AddressMap: what stands at an address of the pool's windows, answered from the address alone.
//
// Shape      one window of address space per node, all equally long, one behind the other from base:
//              base ├ window 0: hugetlb grows up →      ← fall-back grows down ┤ window 1 … ┤
//            each window is cut into huge pages of 2 MiB, each of those into 32 slots of 64 KiB; a tag byte per slot
//            says what the slot holds: nothing, a slab of a class, the head of a run, or the inside of a run
// Units      slots count from the base, over all windows
// Threads    any. Tags are relaxed atomics: who asks for a block's tag was given the block by its owner, and whatever
//            handed the block over also orders the tag's store before the load
// Invariant  a slot's tag is kFree exactly when no run covers it
// Cost       one subtraction, one shift, one load
#ifndef HUGEPOOL_ARENA_ADDRESS_MAP_H_
#define HUGEPOOL_ARENA_ADDRESS_MAP_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "hugepool/types.h"

namespace hugepool::internal {

inline constexpr unsigned kSlotShift = 16;
inline constexpr size_t kSlotBytes = size_t{1} << kSlotShift;
inline constexpr size_t kSlotsPerHugePage = kHugePageBytes / kSlotBytes;

// Tags below kDraining and above kFree are 1 + a size class. kDraining is a slab whose class its header names: no CPU has
// a magazine for that tag, so that every free of such a block misses the fast path.
using SlotTag = uint8_t;
inline constexpr SlotTag kFree = 0;
inline constexpr SlotTag kDraining = 253;
inline constexpr SlotTag kRunHead = 254;
inline constexpr SlotTag kRunBody = 255;
constexpr bool IsClass(SlotTag tag) { return tag != kFree && tag < kDraining; }
constexpr bool IsSlab(SlotTag tag) { return tag != kFree && tag <= kDraining; }

static_assert(sizeof(std::atomic<SlotTag>) == sizeof(SlotTag));

class AddressMap {
 public:
  // tags and run_slot_counts: one zeroed entry per slot, owned by the caller, who outlives this map.
  AddressMap(char* base, unsigned window_shift, size_t window_count, std::atomic<SlotTag>* tags,
             std::atomic<uint32_t>* run_slot_counts)
      : base_(reinterpret_cast<uintptr_t>(base)),
        window_shift_(window_shift),
        total_bytes_(window_count << window_shift),
        tags_(tags),
        run_slot_counts_(run_slot_counts) {}

  bool Contains(const void* address) const { return Offset(address) < total_bytes_; }
  // The rest is defined for contained addresses only.
  size_t WindowOf(const void* address) const { return Offset(address) >> window_shift_; }
  size_t SlotOf(const void* address) const { return Offset(address) >> kSlotShift; }
  size_t OffsetInSlot(const void* address) const { return Offset(address) & (kSlotBytes - 1); }
  char* AddressOfSlot(size_t slot) const { return reinterpret_cast<char*>(base_ + (slot << kSlotShift)); }
  size_t slots_per_window() const { return size_t{1} << (window_shift_ - kSlotShift); }

  // Every tag, for the fast path.
  const SlotTag* tags() const { return reinterpret_cast<const SlotTag*>(tags_); }
  SlotTag Tag(size_t slot) const { return tags_[slot].load(std::memory_order_relaxed); }
  // Length of the run whose head is `slot`.
  size_t RunSlotCount(size_t slot) const { return run_slot_counts_[slot].load(std::memory_order_relaxed); }

  // A slab: every slot of it carries its class. A run: a head and its body.
  void MarkSlab(size_t slot, size_t slot_count, SlotTag tag) { Fill(slot, slot_count, tag); }
  void MarkRun(size_t slot, size_t slot_count) {
    tags_[slot].store(kRunHead, std::memory_order_relaxed);
    Fill(slot + 1, slot_count - 1, kRunBody);
    run_slot_counts_[slot].store(static_cast<uint32_t>(slot_count), std::memory_order_relaxed);
  }
  void MarkFree(size_t slot, size_t slot_count) { Fill(slot, slot_count, kFree); }

 private:
  size_t Offset(const void* address) const { return reinterpret_cast<uintptr_t>(address) - base_; }
  void Fill(size_t slot, size_t slot_count, SlotTag tag) {
    for (size_t i = 0; i < slot_count; ++i) tags_[slot + i].store(tag, std::memory_order_relaxed);
  }

  const uintptr_t base_;
  const unsigned window_shift_;
  const size_t total_bytes_;
  std::atomic<SlotTag>* const tags_;
  std::atomic<uint32_t>* const run_slot_counts_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_ADDRESS_MAP_H_
