// PoolModel: no block is lost or doubled, a seed gives the same figures, and they agree with the formulas where they must.
#include "bench/numa_model/pool_model.h"

#include <gtest/gtest.h>

#include <string>

#include "bench/numa_model/paper.h"

namespace hugepool::bench {
namespace {

Load SmallLoad(size_t node_count) {
  Load load;
  load.node_count = node_count;
  load.cpus_per_node = 16;
  load.l3_cpus = 4;
  load.lookups_per_second = 2e6;
  load.hit_ratio = 0.9;
  load.remote_share = static_cast<double>(node_count - 1) / static_cast<double>(node_count);
  load.misses_per_cpu = 2000;
  return load;
}

// Every lock is held equally long, whoever had it before: nothing but the lock takes time.
Costs LockOnly(double stay_ns) {
  Costs costs;
  for (const CostField& field : kCostFields) costs.*field.value = 0;
  costs.lines_at_once = 1;
  costs.lock_ns = stay_ns;
  return costs;
}

struct Case {
  const char* name;
  size_t node_count;
  size_t object_bytes;
  Design design;
  LockKind kind;
};

class PoolModelOf : public ::testing::TestWithParam<Case> {};

TEST_P(PoolModelOf, LosesAndDoublesNoBlockAndRepeatsItself) {
  Load load = SmallLoad(GetParam().node_count);
  load.object_bytes = GetParam().object_bytes;
  PoolModel model(load, GetParam().design, GetParam().kind, Costs());
  const PoolFigures figures = model.Run();
  EXPECT_EQ(model.Check(), "");
  EXPECT_GT(figures.allocation_count, load.cpu_count() * load.misses_per_cpu / 4);

  PoolModel again(load, GetParam().design, GetParam().kind, Costs());
  const PoolFigures same = again.Run();
  EXPECT_EQ(figures.allocation_count, same.allocation_count);
  EXPECT_EQ(figures.crossed_lines, same.crossed_lines);
  EXPECT_EQ(figures.depots.all.acquired_count, same.depots.all.acquired_count);
  EXPECT_DOUBLE_EQ(figures.depots.all.waited_ns, same.depots.all.waited_ns);
  EXPECT_DOUBLE_EQ(figures.pool_ns, same.pool_ns);

  load.seed = 2;
  PoolModel other(load, GetParam().design, GetParam().kind, Costs());
  EXPECT_NE(other.Run().allocation_count, figures.allocation_count);
}

INSTANTIATE_TEST_SUITE_P(
    Machines, PoolModelOf,
    ::testing::Values(Case{"OneNode", 1, 4096, {.depot_cpus = 16}, LockKind::kMutex},
                      Case{"TwoNodes", 2, 4096, {.depot_cpus = 16}, LockKind::kQueue},
                      Case{"EightNodes", 8, 4096, {.depot_cpus = 16}, LockKind::kMutex},
                      Case{"ADepotForEachGroup", 4, 4096, {.depot_cpus = 4}, LockKind::kMutex},
                      Case{"Unbatched", 4, 4096, {.depot_cpus = 16, .batched = false}, LockKind::kMutex},
                      Case{"OneLock", 4, 4096, {.depot_cpus = 16, .one_lock = true}, LockKind::kMutex},
                      Case{"SmallBlocks", 4, 64, {.depot_cpus = 16}, LockKind::kMutex},
                      Case{"LargeBlocks", 4, 262144, {.depot_cpus = 16}, LockKind::kMutex}),
    [](const auto& one) { return std::string(one.param.name); });

// Small blocks, so that every batch is full and no budget is short; depots of 1,024 blocks; a lock that is held for 5 µs,
// so that there is something to wait for. Use within 5 % of what the formula says, the mean wait within 15 %: the visits
// of a CPU come at more regular times than at random, and a depot may be empty.
TEST(PoolModel, WaitsForADepotAsTheFormulaSays) {
  Load load = SmallLoad(2);
  load.cpus_per_node = 64;
  load.object_bytes = 1024;
  load.cache_bytes = size_t{8} << 20;
  load.misses_per_cpu = 10000;
  const Design design{.depot_cpus = 64};
  for (const double stay_ns : {1000.0, 2500.0}) {
    const Costs costs = LockOnly(stay_ns);
    PoolModel model(load, design, LockKind::kQueue, costs);
    const PoolFigures figures = model.Run();
    const Estimate paper = DepotOnPaper(load, design, costs);
    EXPECT_GT(paper.use, 0.15);
    EXPECT_LT(paper.use, 0.6);
    EXPECT_NEAR(paper.wait_ns, paper.use * stay_ns / (2 * (1 - paper.use)), 1e-6) << "equal stays are M/D/1";
    EXPECT_NEAR(figures.depots.mean_use, paper.use, 0.05 * paper.use);
    EXPECT_NEAR(figures.depots.all.MeanWaitNs(), paper.wait_ns, 0.15 * paper.wait_ns);
  }
}

TEST(PoolModel, WithoutBatchesLocksAreAskedForMoreOftenAndWaitedForLonger) {
  const Load load = SmallLoad(4);
  PoolModel batched(load, {.depot_cpus = 16}, LockKind::kQueue, Costs());
  PoolModel unbatched(load, {.depot_cpus = 16, .batched = false}, LockKind::kQueue, Costs());
  const PoolFigures with = batched.Run();
  const PoolFigures without = unbatched.Run();
  EXPECT_GT(without.LocksPerThousand(), 10 * with.LocksPerThousand());
  EXPECT_GT(without.depots.all.MeanWaitNs(), 2 * with.depots.all.MeanWaitNs());
  EXPECT_GT(without.crossed_lines, 2 * with.crossed_lines);
  EXPECT_EQ(without.outbox_bytes, 0u);
}

TEST(PoolModel, OneLockForAllIsUsedMoreThanOneForEachNode) {
  const Load load = SmallLoad(4);
  PoolModel each(load, {.depot_cpus = 16}, LockKind::kQueue, Costs());
  PoolModel one(load, {.depot_cpus = 16, .one_lock = true}, LockKind::kQueue, Costs());
  const PoolFigures of_each = each.Run();
  const PoolFigures of_one = one.Run();
  EXPECT_GT(of_one.depots.mean_use, 3 * of_each.depots.mean_use);
  EXPECT_GT(of_one.depots.all.MeanWaitNs(), of_each.depots.all.MeanWaitNs());
}

// A cache of its own on each node: magazines alone do it.
TEST(PoolModel, WithoutRemoteFreesHardlyAnythingLeavesTheMagazines) {
  Load load = SmallLoad(4);
  load.remote_share = 0;
  PoolModel model(load, {.depot_cpus = 16}, LockKind::kMutex, Costs());
  const PoolFigures figures = model.Run();
  EXPECT_EQ(figures.crossed_pointers, 0u);
  EXPECT_EQ(figures.crossed_lines, 0u);
  EXPECT_EQ(figures.outbox_bytes, 0u);
  EXPECT_LT(figures.LocksPerThousand(), 1);
}

// Everything that is freed away from home crosses once, in a depot or in the slabs, but for what still waits in an outbox.
TEST(PoolModel, PointersCrossAsOftenAsBlocksAreFreedAwayFromHome) {
  for (const size_t node_count : {2, 8}) {
    const Load load = SmallLoad(node_count);
    PoolModel model(load, {.depot_cpus = 16}, LockKind::kMutex, Costs());
    const PoolFigures figures = model.Run();
    const double crossed =
        static_cast<double>(figures.crossed_pointers) / static_cast<double>(figures.allocation_count);
    EXPECT_NEAR(crossed, load.remote_share, 0.03) << node_count << " nodes";
  }
}

TEST(PoolModel, NewSlabsAreMadeWhereNothingIsFree) {
  Load load = SmallLoad(2);
  load.free_per_cpu = 0;
  load.hit_ratio = 0;
  load.misses_per_cpu = 20000;
  Costs costs;
  costs.new_slab_ns = 1000;
  PoolModel model(load, {.depot_cpus = 16}, LockKind::kMutex, costs);
  const PoolFigures figures = model.Run();
  EXPECT_EQ(model.Check(), "");
  EXPECT_GT(figures.new_slab_count, 0u);
}

// Outboxes within the CPUs' budgets, depots within theirs.
TEST(PoolModel, WhatIsHeldBackStaysWithinTheBudgets) {
  const Load load = SmallLoad(8);
  PoolModel model(load, {.depot_cpus = 16}, LockKind::kMutex, Costs());
  const PoolFigures figures = model.Run();
  EXPECT_GT(figures.outbox_bytes, 0u);
  EXPECT_LE(figures.outbox_bytes + figures.magazine_bytes, load.cpu_count() * load.cache_bytes);
  EXPECT_LE(figures.depot_bytes, load.node_count * load.cache_bytes);
}

}  // namespace
}  // namespace hugepool::bench
