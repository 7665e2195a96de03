// AddressMap: the window, slot and tag of every address, and nothing of any other.
#include "arena/address_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace hugepool::internal {
namespace {

TEST(AddressMap, AnswersFromTheAddressAlone) {
  constexpr unsigned kWindowShift = 22;
  constexpr size_t kSlotCount = 3 * ((size_t{1} << kWindowShift) / kSlotBytes);
  std::vector<std::atomic<SlotTag>> tags(kSlotCount);
  std::vector<std::atomic<uint32_t>> lengths(kSlotCount);
  char* const base = reinterpret_cast<char*>(uintptr_t{1} << 40);
  AddressMap map(base, kWindowShift, 3, tags.data(), lengths.data());
  EXPECT_FALSE(map.Contains(nullptr));
  EXPECT_FALSE(map.Contains(base - 1));
  EXPECT_TRUE(map.Contains(base));
  EXPECT_TRUE(map.Contains(base + (size_t{3} << kWindowShift) - 1));
  EXPECT_FALSE(map.Contains(base + (size_t{3} << kWindowShift)));
  EXPECT_FALSE(map.Contains(reinterpret_cast<char*>(UINTPTR_MAX)));
  for (size_t slot = 0; slot < kSlotCount; ++slot) {
    char* const address = base + slot * kSlotBytes;
    EXPECT_EQ(map.AddressOfSlot(slot), address);
    EXPECT_EQ(map.SlotOf(address + kSlotBytes - 1), slot);
    EXPECT_EQ(map.OffsetInSlot(address + 77), 77u);
    EXPECT_EQ(map.WindowOf(address), slot / 64);
    EXPECT_EQ(map.Tag(slot), kFree);
  }
}

TEST(AddressMap, RunsHaveAHeadAndABodyAndSlabsOneTag) {
  std::vector<std::atomic<SlotTag>> tags(64);
  std::vector<std::atomic<uint32_t>> lengths(64);
  AddressMap map(nullptr, 22, 1, tags.data(), lengths.data());
  map.MarkRun(3, 5);
  map.MarkSlab(8, 2, 17);
  EXPECT_EQ(map.Tag(2), kFree);
  EXPECT_EQ(map.Tag(3), kRunHead);
  EXPECT_EQ(map.RunSlotCount(3), 5u);
  for (size_t slot = 4; slot < 8; ++slot) EXPECT_EQ(map.Tag(slot), kRunBody);
  EXPECT_EQ(map.Tag(8), 17);
  EXPECT_EQ(map.Tag(9), 17);
  EXPECT_EQ(map.Tag(10), kFree);
  map.MarkFree(3, 5);
  map.MarkFree(8, 2);
  for (size_t slot = 0; slot < 64; ++slot) EXPECT_EQ(map.Tag(slot), kFree);
}

}  // namespace
}  // namespace hugepool::internal
