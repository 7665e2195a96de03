// A full node costs at most twice what it costs with room: instructions of a pair, counted one by one, with the memory of
// real nodes. (pool_full_node_test does the same with made-up ones, in more mixtures.)
#include <gtest/gtest.h>

#include <optional>

#include "hugepool/pool.h"
#include "numa_guest/filling.h"
#include "numa_guest/machine.h"
#include "pool/block_churn.h"
#include "pool/instruction_count.h"

namespace hugepool::guest {
namespace {

using ::hugepool::testing::BlockChurn;
using ::hugepool::testing::Counted;
using ::hugepool::testing::CountInstructions;

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kLiveCount = 10'000;

struct Cost {
  double eight = 0;  // instructions a pair
  double churn = 0;
};

// Of the live blocks, home_count lie on the CPU's node; then it has not a page more, and the others lie elsewhere.
std::optional<Cost> CostWith(CpuCacheMode mode, size_t home_count) {
  const int home = ThisMachine().CpuNodes().front();
  const size_t pair_count = mode == CpuCacheMode::kRseq ? 400 : 24;
  SetHugePages(home, 64);
  PinToNode(home);
  const auto counts = CountInstructions([&](const Counted& counted) {
    PoolOptions options;
    options.capacity_bytes = 96 * kHugePage;
    options.huge_pages = HugePages::kRequired;
    options.cpu_cache = mode;
    const auto pool = CreateOrFail(options);
    ASSERT_NE(pool, nullptr);
    BlockChurn churn(*pool);
    churn.Grow(home_count);
    std::vector<void*> rest;  // of the home node, never freed
    if (home_count < kLiveCount) {
      SetHugePages(home, TotalHugePages(home) - FreeHugePages(home));
      do {
        rest.push_back(pool->Allocate(BlockChurn::kBlockBytes));
      } while (pool->NodeOf(rest.back()) == home);
    }
    churn.Grow(kLiveCount - home_count);
    ASSERT_EQ(churn.CountOn(home), home_count);
    counted([&] { churn.TakeEightAndGiveThemBack(pair_count); });
    churn.Choose(4 * kLiveCount);
    churn.Replace();
    churn.Choose(pair_count);
    counted([&] { churn.Replace(); });
    uint64_t departure_count = 0;
    for (const NodeStats& node : pool->Stats().nodes) departure_count += node.departure_count;
    EXPECT_GE(departure_count, kLiveCount - home_count);
    EXPECT_EQ(departure_count > 0, home_count < kLiveCount);
    for (void* block : rest) pool->Deallocate(block);
  });
  if (!counts || counts->size() != 2) return std::nullopt;
  return Cost{static_cast<double>((*counts)[0]) / static_cast<double>(pair_count),
              static_cast<double>((*counts)[1]) / static_cast<double>(pair_count)};
}

class FullNode : public ::testing::TestWithParam<CpuCacheMode> {};

TEST_P(FullNode, APairCostsAtMostTwiceWhatItCostsWithRoom) {
  const std::optional<Cost> with_room = CostWith(GetParam(), kLiveCount);
  ASSERT_TRUE(with_room);
  std::printf("with room: %.1f instructions a pair in eights, %.1f in a churn\n", with_room->eight, with_room->churn);
  ASSERT_GT(with_room->churn, 10.0);
  for (const size_t home_count : {size_t{0}, kLiveCount / 2}) {
    const std::optional<Cost> full = CostWith(GetParam(), home_count);
    ASSERT_TRUE(full);
    std::printf("full, %zu of %zu at home: %.1f and %.1f\n", home_count, kLiveCount, full->eight, full->churn);
    EXPECT_LE(full->eight, 2 * with_room->eight) << home_count << " blocks at home";
    EXPECT_LE(full->churn, 2 * with_room->churn) << home_count << " blocks at home";
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, FullNode, ::testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked),
                         [](const auto& mode) { return std::string(hugepool::ToString(mode.param)); });

}  // namespace
}  // namespace hugepool::guest
