// HoleWatch: holes are seen where they are more than chance, and nobody grows into them; after that they get time.
#include "slab/hole_watch.h"

#include <gtest/gtest.h>

namespace hugepool::internal {
namespace {

constexpr uint64_t kPeakNs = 1000;
constexpr uint64_t kNowNs = 5000;
constexpr uint64_t kMiB = uint64_t{1} << 20;

LiveMemory Live(uint64_t used_bytes, uint64_t other_bytes, uint64_t committed_bytes) {
  return {.used_bytes = used_bytes, .other_bytes = other_bytes, .committed_bytes = committed_bytes};
}

TEST(HoleWatch, SaysWhatIsCommittedAndNotUsed) {
  HoleWatch watch(kPeakNs);
  (void)watch.Look(Live(500 * kMiB, 100 * kMiB, 700 * kMiB), kNowNs);
  EXPECT_EQ(watch.Look(Live(500 * kMiB, 100 * kMiB, 700 * kMiB), kNowNs), 100 * kMiB);
}

TEST(HoleWatch, AFewThousandthsAreNone) {
  HoleWatch watch(kPeakNs);
  (void)watch.Look(Live(1000 * kMiB, 0, 1007 * kMiB), kNowNs);
  EXPECT_EQ(watch.Look(Live(1000 * kMiB, 0, 1007 * kMiB), kNowNs), 0u);
  EXPECT_NE(watch.Look(Live(1000 * kMiB, 0, 1009 * kMiB), kNowNs), 0u);
  EXPECT_EQ(watch.Look(Live(0, 0, 4 * kMiB), kNowNs), 0u) << "the page ahead, and one that is being filled";
}

TEST(HoleWatch, WhatGrowsIntoThemIsLeftAlone) {
  HoleWatch watch(kPeakNs);
  for (uint64_t used_bytes = 100 * kMiB; used_bytes < 900 * kMiB; used_bytes += used_bytes / 512) {
    ASSERT_EQ(watch.Look(Live(used_bytes, 0, 1000 * kMiB), kNowNs), 0u) << used_bytes;
  }
  EXPECT_NE(watch.Look(Live(890 * kMiB, 0, 1000 * kMiB), kNowNs), 0u) << "no more";
}

TEST(HoleWatch, WhatDrainsGetsTimeAndWhatCannotGetsMore) {
  HoleWatch watch(kPeakNs);
  const auto looks_until_seen = [&watch] {
    int count = 0;
    while (watch.Look(Live(500 * kMiB, 0, 700 * kMiB), kNowNs) == 0) ++count;
    return count;
  };
  (void)watch.Look(Live(500 * kMiB, 0, 700 * kMiB), kNowNs);
  EXPECT_EQ(looks_until_seen(), 0);
  watch.NoteDraining(100 * kMiB);
  EXPECT_EQ(looks_until_seen(), 4);
  watch.NoteDraining(0);
  EXPECT_EQ(looks_until_seen(), 16);
}

TEST(HoleWatch, WhatWasUsedLatelyIsExpectedAgain) {
  HoleWatch watch(kPeakNs);
  uint64_t now_ns = 10 * kPeakNs;
  (void)watch.Look(Live(1000 * kMiB, 0, 1000 * kMiB), now_ns);
  // Freed and allocated again and again: no holes, however long that goes on.
  for (int i = 0; i < 10; ++i) {
    now_ns += kPeakNs / 2;
    EXPECT_EQ(watch.Look(Live(10 * kMiB, 0, 1000 * kMiB), now_ns), 0u) << i;
    now_ns += kPeakNs / 2;
    EXPECT_EQ(watch.Look(Live(1000 * kMiB, 0, 1000 * kMiB), now_ns), 0u) << i;
  }
  // Freed for good.
  EXPECT_EQ(watch.Look(Live(10 * kMiB, 0, 1000 * kMiB), now_ns + kPeakNs), 0u);
  EXPECT_EQ(watch.Look(Live(10 * kMiB, 0, 1000 * kMiB), now_ns + 2 * kPeakNs), 990 * kMiB);
}

}  // namespace
}  // namespace hugepool::internal
