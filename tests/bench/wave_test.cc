// Which workers run beside each other.
#include "bench/wave.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hugepool::bench {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;

std::vector<const AllocatorRow*> AllRows() {
  std::vector<const AllocatorRow*> rows;
  for (const AllocatorRow& row : AllocatorCatalog()) rows.push_back(&row);
  return rows;
}

MemoryNeed NeedOf(uint64_t available_bytes, uint64_t free_huge_pages) {
  return {.live_bytes = 2 * kGiB,
          .pool_bytes = 2 * kGiB,
          .file_bytes = 2 * kGiB,
          .available_bytes = available_bytes,
          .free_huge_pages = free_huge_pages};
}

TEST(Wave, EverythingRunsTogetherWhereItFits) {
  const auto waves = PlanWaves(AllRows(), NeedOf(1024 * kGiB, 1 << 20));
  ASSERT_EQ(waves.size(), 1u);
  EXPECT_EQ(waves[0], AllRows());
}

TEST(Wave, EachRowOnceEachWaveWithItsBaselineAndWithinMemory) {
  const MemoryNeed need = NeedOf(20 * kGiB, 2048);
  const auto waves = PlanWaves(AllRows(), need);
  EXPECT_GT(waves.size(), 1u);
  std::vector<const AllocatorRow*> seen;
  for (const auto& wave : waves) {
    ASSERT_GE(wave.size(), 2u);
    EXPECT_EQ(wave[0]->name, kBaseline);
    uint64_t bytes = 0;
    for (const AllocatorRow* row : wave) bytes += WorkerBytes(*row, need);
    EXPECT_LE(bytes, need.available_bytes);
    seen.insert(seen.end(), wave.begin() + 1, wave.end());
  }
  EXPECT_EQ(seen.size(), AllRows().size() - 1);
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(std::unique(seen.begin(), seen.end()), seen.end());
}

TEST(Wave, TwoPoolsOnReservedPagesTakeTurns) {
  const std::vector<const AllocatorRow*> rows = {FindAllocator("malloc"), FindAllocator("hugepool-hugetlb"),
                                                 FindAllocator("hugepool-hugetlb+jemalloc-thp")};
  EXPECT_EQ(PlanWaves(rows, NeedOf(1024 * kGiB, 2048)).size(), 1u);
  EXPECT_EQ(PlanWaves(rows, NeedOf(1024 * kGiB, 1024)).size(), 2u);
  // Too few even for one: no time is spent on a wave of its own.
  EXPECT_EQ(PlanWaves(rows, NeedOf(1024 * kGiB, 1023)).size(), 1u);
}

TEST(Wave, WithoutABaselineNoneIsAdded) {
  const std::vector<const AllocatorRow*> rows = {FindAllocator("jemalloc"), FindAllocator("mimalloc")};
  const auto waves = PlanWaves(rows, NeedOf(1024 * kGiB, 0));
  ASSERT_EQ(waves.size(), 1u);
  EXPECT_EQ(waves[0], rows);
  EXPECT_TRUE(PlanWaves({}, NeedOf(kGiB, 0)).empty());
}

}  // namespace
}  // namespace hugepool::bench
