// A full node costs at most twice what a node with room costs: instructions of a pair, counted one by one, whatever share
// of the live blocks had to go elsewhere.
#include <gtest/gtest.h>
#include <sched.h>

#include <optional>

#include "pool/block_churn.h"
#include "pool/four_nodes.h"
#include "pool/instruction_count.h"

namespace hugepool::testing {
namespace {

constexpr size_t kLiveCount = 10'000;
constexpr size_t kWarmCount = 4 * kLiveCount;

// Made-up memory under the CPU that really runs the thread, where sequences work.
class RealCpus : public SimulatedOs {
 public:
  using SimulatedOs::SimulatedOs;
  int HasRseq() const override { return OsMemory::HasRseq(); }
  size_t CpuIdLimit() const override { return OsMemory::CpuIdLimit(); }
  int CurrentCpu() const override { return OsMemory::CurrentCpu(); }
};

// Node 0 has every CPU, node 1 has memory only.
internal::Topology AllCpusOnOneOfTwoNodes() {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) cpus.push_back(cpu);
  Error error;
  auto topology = internal::Topology::Make(
      {{.node_id = 0, .cpus = cpus, .memory_bytes = 8 * kGiB}, {.node_id = 1, .memory_bytes = 8 * kGiB}},
      {{10, 20}, {20, 10}}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

void StayOnThisCpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<size_t>(sched_getcpu()), &cpus);
  ASSERT_EQ(sched_setaffinity(0, sizeof cpus, &cpus), 0);
}

struct Cost {
  double eight = 0;  // instructions a pair
  double churn = 0;
};

// Of the live blocks, `home_count` lie on node 0; then it is full, to the last block, and the others lie on node 1.
std::optional<Cost> CostWith(CpuCacheMode mode, size_t home_count) {
  // Eights never leave a magazine; of a churn several refills are to be counted, each of which lasts for some 130 pairs.
  constexpr size_t kEightPairCount = 80;
  const size_t pair_count = mode == CpuCacheMode::kRseq ? 1000 : 80;
  const auto counts = CountInstructions([&](const Counted& counted) {
    StayOnThisCpu();
    RealCpus os({{0, 64, 0}, {1, 64, 0}});
    PoolOptions options;
    options.capacity_bytes = 256 * kMiB;
    options.huge_pages = HugePages::kRequired;
    options.cpu_cache = mode;
    os.SetFreeHugePages(0, 128);
    const auto pool = MakePool(options, os, AllCpusOnOneOfTwoNodes());
    ASSERT_NE(pool, nullptr);
    BlockChurn churn(*pool);
    churn.Grow(home_count);
    os.SetFreeHugePages(0, home_count == kLiveCount ? 1 : 0);
    std::vector<void*> rest;  // of node 0, never freed
    while (home_count < kLiveCount && (rest.empty() || pool->NodeOf(rest.back()) == 0)) {
      rest.push_back(pool->Allocate(BlockChurn::kBlockBytes));
    }
    churn.Grow(kLiveCount - home_count);
    ASSERT_EQ(churn.CountOn(0), home_count);
    churn.TakeEightAndGiveThemBack(800);
    counted([&] { churn.TakeEightAndGiveThemBack(kEightPairCount); });
    churn.Choose(kWarmCount);
    churn.Replace();
    churn.Choose(pair_count);
    counted([&] { churn.Replace(); });
    const NodeStats node = StatsOf(pool->Stats(), 0);
    EXPECT_EQ(node.departure_count > 0, home_count < kLiveCount);
    // What circulates between the caches aside, the shares are as they were.
    EXPECT_NEAR(static_cast<double>(churn.CountOn(0)), static_cast<double>(home_count), kLiveCount / 20);
    EXPECT_EQ(Complaint(*pool), "");
  });
  if (!counts) return std::nullopt;
  if (counts->size() != 2) return Cost{};
  return Cost{static_cast<double>((*counts)[0]) / static_cast<double>(kEightPairCount),
              static_cast<double>((*counts)[1]) / static_cast<double>(pair_count)};
}

class PoolFullNode : public ::testing::TestWithParam<CpuCacheMode> {};

TEST_P(PoolFullNode, APairCostsAtMostTwiceWhatItCostsAtHome) {
  if (GetParam() == CpuCacheMode::kRseq && internal::SystemMemory().HasRseq() != 0) GTEST_SKIP() << "no sequences here";
  const std::optional<Cost> home = CostWith(GetParam(), kLiveCount);
  if (!home) GTEST_SKIP() << "ptrace is refused here";
  ASSERT_GT(home->churn, 10.0);
  std::printf("home: %.1f instructions a pair in eights, %.1f in a churn\n", home->eight, home->churn);
  for (const size_t home_count : {size_t{0}, kLiveCount / 2, kLiveCount * 9 / 10}) {
    const std::optional<Cost> full = CostWith(GetParam(), home_count);
    ASSERT_TRUE(full);
    std::printf("full, %zu of %zu at home: %.1f and %.1f\n", home_count, kLiveCount, full->eight, full->churn);
    EXPECT_LE(full->eight, 2 * home->eight) << home_count << " blocks at home";
    EXPECT_LE(full->churn, 2 * home->churn) << home_count << " blocks at home";
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, PoolFullNode, ::testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked),
                         [](const auto& mode) { return std::string(hugepool::ToString(mode.param)); });

}  // namespace
}  // namespace hugepool::testing
