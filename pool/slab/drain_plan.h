// DrainPlan: which units of memory to empty, so that the blocks that live on fit into the others.
//
// Shape      units are taken by how little of them is used, the emptiest first, as long as the slabs that stay have room
//            for what lives in those that go, or free slots for new slabs; never one that holds anything but slabs
// Units      slots are 64 KiB; a unit is what the arena gives back at once (a huge page, or a giant one)
// Threads    a value, computed from what was seen a moment ago; who carries it out looks again
// Invariant  objects in planned units ≤ free objects of their classes elsewhere, less those kept back, + objects of the
//            new slabs that the free slots elsewhere have room for
// Cost       O(n log n) for n slabs
#ifndef HUGEPOOL_SLAB_DRAIN_PLAN_H_
#define HUGEPOOL_SLAB_DRAIN_PLAN_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "slab/size_classes.h"
#include "slab/slab_bin.h"

namespace hugepool::internal {

// In kept_free_counts: nothing with a slab of the class is planned.
inline constexpr uint64_t kNotDrained = UINT64_MAX;

struct DrainedUnit {
  size_t slot_count = 0;              // of its slabs
  std::vector<const SlabUse*> slabs;  // of the list that was planned with, by slot
};

// uses: the slabs of one window that do not drain; sorted by slot here, and referred to by the plan. unit_slot_count(slot):
// slots of the unit around a slot. kept_free_counts: by class, free objects that are for the caches. The units' bytes
// together reach wanted_bytes, or no further unit can be emptied.
std::vector<DrainedUnit> PlanDraining(std::vector<SlabUse>& uses,
                                      const std::function<size_t(uint32_t slot)>& unit_slot_count,
                                      const std::array<uint64_t, kMaxClassCount>& kept_free_counts,
                                      size_t wanted_bytes);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_DRAIN_PLAN_H_
