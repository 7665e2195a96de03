// PlanDraining: what may be emptied, and what may not.
#include "slab/drain_plan.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "pool/soak.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Seed;

constexpr SizeClass kSmall = ToSizeClass(3);
constexpr SizeClass kLarge = ToSizeClass(90);

SlabUse Use(SizeClass size_class, uint32_t slot, uint16_t slot_count, uint16_t object_count, uint16_t used_count) {
  return {.size_class = size_class,
          .slot = slot,
          .slot_count = slot_count,
          .object_count = object_count,
          .used_count = used_count,
          .object_bytes = static_cast<uint32_t>(slot_count * kSlotBytes / object_count)};
}

std::vector<uint32_t> PlannedUnits(std::vector<SlabUse> uses, size_t wanted_bytes,
                                   const std::array<uint64_t, kMaxClassCount>& kept_free_counts = {}) {
  std::vector<uint32_t> pages;
  const auto one_page = [](uint32_t) { return kSlotsPerHugePage; };
  for (const DrainedUnit& unit : PlanDraining(uses, one_page, kept_free_counts, wanted_bytes)) {
    size_t slot_count = 0;
    for (const SlabUse* const use : unit.slabs) slot_count += use->slot_count;
    EXPECT_EQ(slot_count, unit.slot_count);
    pages.push_back(unit.slabs.front()->slot / kSlotsPerHugePage);
  }
  return pages;
}

TEST(DrainPlan, TheEmptiestComeFirst) {
  const std::vector<SlabUse> uses = {Use(kLarge, 0, 32, 100, 50), Use(kLarge, 32, 32, 100, 10),
                                     Use(kLarge, 64, 32, 100, 20), Use(kLarge, 96, 32, 100, 20)};
  EXPECT_EQ(PlannedUnits(uses, 1), (std::vector<uint32_t>{1}));
  EXPECT_EQ(PlannedUnits(uses, 2 * kHugePageBytes).size(), 2u);
  EXPECT_TRUE(PlannedUnits(uses, 0).empty());
}

TEST(DrainPlan, WhatStaysHasRoomForWhatLives) {
  // 100 live: one page holds them, to the last object.
  const std::vector<SlabUse> uses = {Use(kLarge, 0, 32, 100, 50), Use(kLarge, 32, 32, 100, 30),
                                     Use(kLarge, 64, 32, 100, 20)};
  EXPECT_EQ(PlannedUnits(uses, SIZE_MAX).size(), 2u);
  std::array<uint64_t, kMaxClassCount> kept{};
  kept[ToSize(kLarge)] = 1;
  EXPECT_EQ(PlannedUnits(uses, SIZE_MAX, kept).size(), 1u);
}

TEST(DrainPlan, FreeSlotsElsewhereAreRoomForNewSlabs) {
  // A full slab alone in its page, and a page with free slots for one like it.
  EXPECT_EQ(PlannedUnits({Use(kSmall, 0, 2, 100, 100), Use(kLarge, 32, 30, 100, 100)}, SIZE_MAX),
            (std::vector<uint32_t>{0}));
  EXPECT_TRUE(PlannedUnits({Use(kSmall, 0, 2, 100, 100), Use(kLarge, 32, 31, 100, 100)}, SIZE_MAX).empty());
}

TEST(DrainPlan, AUnitGoesWithAllItsSlabsOrNotAtAll) {
  // The small class of the first page has no room elsewhere.
  const std::vector<SlabUse> uses = {Use(kSmall, 0, 16, 100, 100), Use(kLarge, 16, 16, 50, 1),
                                     Use(kLarge, 32, 32, 100, 90)};
  EXPECT_EQ(PlannedUnits(uses, SIZE_MAX), (std::vector<uint32_t>{}));
}

TEST(DrainPlan, NoUnitWithASlabOfAClassThatIsNotDrained) {
  const std::vector<SlabUse> uses = {Use(kSmall, 0, 16, 100, 1), Use(kLarge, 16, 16, 50, 1),
                                     Use(kLarge, 32, 32, 100, 50), Use(kSmall, 64, 32, 200, 20)};
  EXPECT_EQ(PlannedUnits(uses, kHugePageBytes), (std::vector<uint32_t>{0}));
  std::array<uint64_t, kMaxClassCount> kept{};
  kept[ToSize(kSmall)] = kNotDrained;
  EXPECT_TRUE(PlannedUnits(uses, kHugePageBytes, kept).empty()) << "and what else lies there stays, too";
}

TEST(DrainPlan, RandomPlansNeverTakeMoreThanThereIsRoomFor) {
  std::mt19937_64 random(Seed());
  for (int round = 0; round < 200; ++round) {
    std::vector<SlabUse> uses;
    for (uint32_t slot = 0; slot < 64 * kSlotsPerHugePage;) {
      const uint16_t slot_count = static_cast<uint16_t>(1U << random() % 6);
      slot = (slot + slot_count - 1) / slot_count * slot_count;
      const uint16_t object_count = static_cast<uint16_t>(8 * slot_count);
      if (random() % 3 != 0) {
        uses.push_back(Use(ToSizeClass(random() % 5), slot, slot_count, object_count,
                           static_cast<uint16_t>(random() % (object_count + 1U))));
      }
      slot += slot_count;
    }
    std::vector<SlabUse> planned = uses;
    const auto one_page = [](uint32_t) { return kSlotsPerHugePage; };
    std::set<uint32_t> gone;
    for (const DrainedUnit& unit : PlanDraining(planned, one_page, {}, SIZE_MAX)) {
      for (const SlabUse* const use : unit.slabs) gone.insert(use->slot);
    }
    // Eight objects a slot in every class: free slots are room for eight of any.
    size_t live_objects = 0;
    size_t free_objects = 0;
    std::set<uint32_t> kept_pages;
    size_t kept_slots = 0;
    for (const SlabUse& use : uses) {
      if (gone.contains(use.slot)) {
        live_objects += use.used_count;
      } else {
        free_objects += use.object_count - use.used_count;
        kept_pages.insert(use.slot / kSlotsPerHugePage);
        kept_slots += use.slot_count;
      }
    }
    free_objects += (kept_pages.size() * kSlotsPerHugePage - kept_slots) * 8;
    EXPECT_LE(live_objects, free_objects) << "round " << round;
  }
}

}  // namespace
}  // namespace hugepool::internal
