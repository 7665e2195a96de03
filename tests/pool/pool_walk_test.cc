// The random walks of every change: 10^6 operations on real memory, and shorter ones for each placement on four made-up
// nodes. Sanitizers slow everything down by ten and more, and shadow what is touched: there less is live at a time.
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>

#include "pool/four_nodes.h"
#include "pool/random_walk.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

void Report(const std::string& name, const WalkPlan& plan, const WalkResult& result) {
  WriteFigures(name, {{"seed", static_cast<double>(plan.seed)},
                      {"operations", static_cast<double>(result.operation_count)},
                      {"allocations", static_cast<double>(result.allocation_count)},
                      {"refusals", static_cast<double>(result.refusal_count)},
                      {"handed_over", static_cast<double>(result.handed_over_count)},
                      {"checks", static_cast<double>(result.check_count)},
                      {"live_limit_bytes", static_cast<double>(plan.live_limit_bytes)},
                      {"peak_live_bytes", static_cast<double>(result.peak_live_bytes)},
                      {"peak_blocks", static_cast<double>(result.peak_block_count)},
                      {"seconds", result.seconds}});
}

TEST(PoolWalk, AMillionOperationsOnThisMachineAgreeWithTheModel) {
  PoolOptions options;
  options.capacity_bytes = kSanitized ? 512 * kMiB : 2 * kGiB;
  WalkPlan plan;
  plan.seed = Seed();
  plan.operation_count = 1'000'000;
  plan.live_limit_bytes = kSanitized ? 256 * kMiB : 1 * kGiB;
  plan.operations_between_checks = 20'000;
  Error error;
  const auto pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  const WalkResult result = RandomWalk(*pool, plan);
  EXPECT_EQ(result.wrong, "");
  // The capacity is twice what may be live: refusals can only come of address space in pieces.
  EXPECT_LT(result.refusal_count * 50, result.allocation_count);
  EXPECT_GT(result.peak_live_bytes, plan.live_limit_bytes / 4);
  Report("pool_walk", plan, result);
}

TEST(PoolWalk, AgreesWithTheModelWhereTheCapacityIsTight) {
  PoolOptions options;
  options.capacity_bytes = 64 * kMiB;
  options.huge_pages = HugePages::kTransparent;
  WalkPlan plan;
  plan.seed = Seed();
  plan.operation_count = 200'000;
  plan.live_limit_bytes = 128 * kMiB;  // more than the pool has
  plan.operations_between_checks = 5'000;
  Error error;
  const auto pool = Pool::Create(options, &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  const WalkResult result = RandomWalk(*pool, plan);
  EXPECT_EQ(result.wrong, "");
  EXPECT_GT(result.refusal_count, 0u);
  Report("pool_walk_tight", plan, result);
}

class PlacementWalk : public ::testing::TestWithParam<Placement> {};

TEST_P(PlacementWalk, EveryBlockLiesWhereItMustAndDeparturesAreCounted) {
  const Placement placement = GetParam();
  SimulatedOs os(EachNode(12, 72 * kMiB));  // 64 MiB of each node are left to everybody else
  PoolOptions options;
  options.capacity_bytes = 512 * kMiB;
  options.placement = placement;
  // Without caches a departure is one block, handed out: the count can be compared.
  options.cpu_cache = CpuCacheMode::kOff;
  {
    const auto pool = MakePool(options, os, FourNodes());
    WalkPlan plan;
    plan.seed = Seed();
    plan.operation_count = kSanitized ? 40'000 : 100'000;
    plan.live_limit_bytes = 96 * kMiB;
    plan.max_block_bytes = kMiB;
    plan.operations_between_checks = 10'000;
    static thread_local int cpu = 0;
    plan.before_allocate = [&os](uint64_t random) {
      cpu = static_cast<int>(random % 4);
      SimulatedOs::SetCpu(cpu);
      if (random % 64 == 0) os.AdvanceNs(10'000'000);
      // Rivals come and go.
      if (random % 512 == 1) os.RefuseCollapse(random % 1024 == 1 ? ENOMEM : 0);
    };
    std::atomic<uint64_t> departures{0};
    std::atomic<uint64_t> departed_bytes{0};
    plan.after_allocate = [&](void* block, size_t bytes) -> std::string {
      const int node_id = pool->NodeOf(block);
      if (os.NodeOf(block) != node_id) return "the machine says node " + std::to_string(os.NodeOf(block));
      if (!os.IsPresent(block, bytes)) return "not all of it is populated";
      const int home = placement.policy == Placement::Policy::kNode ? placement.node_id : cpu / 2;
      if (node_id == home) return {};
      if (placement.policy == Placement::Policy::kLocalStrict || placement.policy == Placement::Policy::kNode) {
        return "a strict placement returned node " + std::to_string(node_id);
      }
      departures.fetch_add(1, std::memory_order_relaxed);
      departed_bytes.fetch_add(pool->UsableSize(block), std::memory_order_relaxed);
      return {};
    };
    const WalkResult result = RandomWalk(*pool, plan);
    EXPECT_EQ(result.wrong, "");
    uint64_t counted = 0;
    uint64_t counted_bytes = 0;
    for (const NodeStats& node : pool->Stats().nodes) {
      counted += node.departure_count;
      counted_bytes += node.departed_bytes;
      EXPECT_EQ(node.misplaced_count, 0u);
    }
    if (placement.policy == Placement::Policy::kLocal) {
      EXPECT_GT(counted, 0u);
      EXPECT_EQ(counted, departures);
      EXPECT_EQ(counted_bytes, departed_bytes);
    }
    Report("pool_walk_" + ToString(placement), plan, result);
    EXPECT_EQ(os.present_page_count(), 0u);
  }
  EXPECT_EQ(os.mapping_count(), 0u);
  EXPECT_EQ(os.complaints(), std::vector<std::string>());
  for (const int node_id : {0, 1, 4, 7}) {
    EXPECT_EQ(os.free_huge_page_count(node_id), 12u);
    EXPECT_EQ(os.small_bytes(node_id), 72 * kMiB);
  }
}

std::string PlacementName(const ::testing::TestParamInfo<Placement>& info) {
  std::string name = ToString(info.param);
  std::erase_if(name, [](char c) { return c == '(' || c == ')'; });
  return name;
}
INSTANTIATE_TEST_SUITE_P(Placements, PlacementWalk,
                         ::testing::Values(Placement::Local(), Placement::LocalStrict(), Placement::Interleave(),
                                           Placement::Node(4)),
                         PlacementName);

}  // namespace
}  // namespace hugepool::testing
