// Ballast: what counts as scattered, and that it is held within the limit and given back.
#include "bench/ballast.h"

#include <gtest/gtest.h>

#include "bench/process_memory.h"

namespace hugepool::bench {
namespace {

TEST(Ballast, ScatteredIsWhatLiesInPiecesBelow64KiB) {
  EXPECT_EQ(ScatteredBytes(""), 0u);
  EXPECT_EQ(ScatteredBytes("Node 0, zone   Normal      0      0      0      0   9999   9999"), 0u);
  EXPECT_EQ(ScatteredBytes("Node 0, zone    DMA32      3      0      1      0      7      8\n"
                           "Node 1, zone   Normal      0      2      0      5   4242      0\n"),
            (3 + 4) * 4096u + (2 * 2 + 5 * 8) * 4096u);
  EXPECT_EQ(ScatteredBytes("no such line\nNode 0, zone Normal 1"), 4096u);
}

TEST(Ballast, HoldsNoMoreThanItsLimitAndGivesItBack) {
  const uint64_t before_bytes = ReadFootprintBytes();
  constexpr uint64_t kLimitBytes = uint64_t{8} << 20;
  {
    Ballast ballast(kLimitBytes);
    for (int i = 0; i < 3; ++i) {
      ballast.Take();
      EXPECT_LE(ballast.held_bytes(), kLimitBytes);
    }
    EXPECT_GE(ReadFootprintBytes(), before_bytes + ballast.held_bytes() / 2);
    if (ballast.held_bytes() < kLimitBytes / 2) GTEST_SKIP() << "this machine has no scattered pages";
  }
  EXPECT_LT(ReadFootprintBytes(), before_bytes + kLimitBytes / 2);
}

}  // namespace
}  // namespace hugepool::bench
