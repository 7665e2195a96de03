#include "slab/drain_plan.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

struct Unit {
  DrainedUnit drained;
  size_t unit_slot_count = 0;
  uint64_t used_bytes = 0;
  size_t FreeSlotCount() const { return unit_slot_count - drained.slot_count; }
};

std::vector<Unit> UnitsOf(std::vector<SlabUse>& uses, const std::function<size_t(uint32_t slot)>& unit_slot_count) {
  std::sort(uses.begin(), uses.end(), [](const SlabUse& left, const SlabUse& right) { return left.slot < right.slot; });
  std::vector<Unit> units;
  size_t end = 0;  // of the last unit
  for (const SlabUse& use : uses) {
    if (use.slot >= end) {
      const size_t slot_count = unit_slot_count(use.slot);
      units.emplace_back().unit_slot_count = slot_count;
      end = use.slot - use.slot % slot_count + slot_count;
    }
    Unit& unit = units.back();
    unit.drained.slabs.push_back(&use);
    unit.drained.slot_count += use.slot_count;
    unit.used_bytes += uint64_t{use.used_count} * use.object_bytes;
  }
  return units;
}

// Room in the slabs and slots that stay.
class Room {
 public:
  Room(const std::vector<Unit>& units, const std::array<uint64_t, kMaxClassCount>& kept_free_counts) {
    for (const Unit& unit : units) {
      free_slot_count_ += unit.FreeSlotCount();
      for (const SlabUse* const use : unit.drained.slabs) {
        free_counts_[ToSize(use->size_class)] += use->object_count - use->used_count;
      }
    }
    for (size_t i = 0; i < kMaxClassCount; ++i) {
      const int64_t kept_count = static_cast<int64_t>(std::min<uint64_t>(kept_free_counts[i], INT64_MAX));
      free_counts_[i] = std::max<int64_t>(free_counts_[i] - kept_count, 0);
    }
  }

  // Without this unit; false, and nothing is changed: what lives in it would find no room.
  bool Remove(const Unit& unit) {
    const Room before = *this;
    for (const SlabUse* const use : unit.drained.slabs) free_counts_[ToSize(use->size_class)] -= use->object_count;
    bool fits = free_slot_count_ >= unit.FreeSlotCount();
    if (fits) free_slot_count_ -= unit.FreeSlotCount();
    for (size_t i = 0; i < unit.drained.slabs.size() && fits; ++i) fits = MakeRoom(*unit.drained.slabs[i]);
    if (!fits) *this = before;
    return fits;
  }

 private:
  // Where a class lacks objects: a new slab like this one in free slots.
  bool MakeRoom(const SlabUse& like) {
    int64_t& free_count = free_counts_[ToSize(like.size_class)];
    while (free_count < 0) {
      if (free_slot_count_ < like.slot_count) return false;
      free_slot_count_ -= like.slot_count;
      free_count += like.object_count;
    }
    return true;
  }

  std::array<int64_t, kMaxClassCount> free_counts_{};
  size_t free_slot_count_ = 0;
};

}  // namespace

std::vector<DrainedUnit> PlanDraining(std::vector<SlabUse>& uses,
                                      const std::function<size_t(uint32_t slot)>& unit_slot_count,
                                      const std::array<uint64_t, kMaxClassCount>& kept_free_counts,
                                      size_t wanted_bytes) {
  std::vector<Unit> units = UnitsOf(uses, unit_slot_count);
  Room room(units, kept_free_counts);
  std::sort(units.begin(), units.end(), [](const Unit& left, const Unit& right) {
    return left.used_bytes * right.unit_slot_count < right.used_bytes * left.unit_slot_count;
  });
  std::vector<DrainedUnit> plan;
  size_t planned_bytes = 0;
  for (Unit& unit : units) {
    if (planned_bytes >= wanted_bytes) break;
    const bool stays = std::any_of(unit.drained.slabs.begin(), unit.drained.slabs.end(), [&](const SlabUse* use) {
      return kept_free_counts[ToSize(use->size_class)] == kNotDrained;
    });
    if (stays || !room.Remove(unit)) continue;
    planned_bytes += unit.unit_slot_count * kSlotBytes;
    plan.push_back(std::move(unit.drained));
  }
  return plan;
}

}  // namespace hugepool::internal
