// Placement on four made-up nodes: strict is strict, local departs to the nearest and counts, interleave is even.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <map>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

using ::testing::IsEmpty;

constexpr std::array<size_t, 6> kSizes = {16, 1000, 20'000, 200'000, 700'000, 5'000'000};

class PoolPlacement : public ::testing::Test {
 protected:
  ~PoolPlacement() override {
    if (pool_ != nullptr) {
      EXPECT_EQ(Complaint(*pool_), "");
    }
    EXPECT_THAT(os_.complaints(), IsEmpty());
  }

  Pool& Make(Placement placement, size_t capacity_bytes = 256 * kMiB, HugePages huge_pages = HugePages::kPreferred,
             CpuCacheMode cpu_cache = CpuCacheMode::kAuto) {
    PoolOptions options;
    options.cpu_cache = cpu_cache;
    options.capacity_bytes = capacity_bytes;
    options.placement = placement;
    options.huge_pages = huge_pages;
    pool_ = MakePool(options, os_, FourNodes());
    return *pool_;
  }

  // The block lies on the node that both the pool and the machine name.
  int NodeOf(const void* block) {
    const int node_id = pool_->NodeOf(block);
    EXPECT_EQ(os_.NodeOf(block), node_id);
    return node_id;
  }

  // Nothing left on the node, for good.
  void Exhaust(int node_id) {
    os_.SetFreeHugePages(node_id, 0);
    os_.SetSmallBytes(node_id, 0);
  }

  SimulatedOs os_{EachNode(64, 1024 * kMiB)};
  std::shared_ptr<Pool> pool_;
};

TEST_F(PoolPlacement, NodeServesFromThatNodeOnEveryCpu) {
  for (const int node_id : {0, 1, 4, 7}) {
    Pool& pool = Make(Placement::Node(node_id));
    for (int cpu = 0; cpu < 4; ++cpu) {
      SimulatedOs::SetCpu(cpu);
      for (const size_t bytes : kSizes) EXPECT_EQ(NodeOf(pool.Allocate(bytes)), node_id);
    }
    ASSERT_EQ(pool.Stats().nodes.size(), 1u);
  }
}

TEST_F(PoolPlacement, LocalServesFromTheNodeOfTheCpu) {
  for (const Placement placement : {Placement::Local(), Placement::LocalStrict()}) {
    Pool& pool = Make(placement);
    for (int cpu = 0; cpu < 4; ++cpu) {
      SimulatedOs::SetCpu(cpu);
      for (const size_t bytes : kSizes) EXPECT_EQ(NodeOf(pool.Allocate(bytes)), cpu / 2);
    }
    for (const NodeStats& node : pool.Stats().nodes) EXPECT_EQ(node.departure_count, 0u);
  }
}

// The larger class lends where the smaller one has no slab: what departs is the larger block.
TEST_F(PoolPlacement, ABorrowedBlockThatDepartsCountsWhatItTakes) {
  Pool& pool = Make(Placement::Local(), 256 * kMiB, HugePages::kPreferred, CpuCacheMode::kOff);
  SimulatedOs::SetCpu(2);
  std::vector<void*> lenders;
  for (int i = 0; i < 1000; ++i) lenders.push_back(pool.Allocate(9216));
  for (size_t i = 0; i < lenders.size(); i += 2) pool.Deallocate(lenders[i]);
  Exhaust(0);
  SimulatedOs::SetCpu(0);
  void* const block = pool.Allocate(8300);
  ASSERT_EQ(NodeOf(block), 1);
  EXPECT_EQ(pool.UsableSize(block), 9216u);
  EXPECT_EQ(StatsOf(pool.Stats(), 0).departure_count, 1u);
  EXPECT_EQ(StatsOf(pool.Stats(), 0).departed_bytes, 9216u);
}

TEST_F(PoolPlacement, StrictReturnsNothingRatherThanAnotherNodesMemory) {
  for (const Placement placement : {Placement::LocalStrict(), Placement::Node(1)}) {
    os_.SetFreeHugePages(1, 2);
    os_.SetSmallBytes(1, 0);
    Pool& pool = Make(placement);
    SimulatedOs::SetCpu(2);
    for (const size_t bytes : kSizes) {
      for (int i = 0; i < 40; ++i) {
        void* const block = pool.Allocate(bytes);
        if (block != nullptr) {
          EXPECT_EQ(NodeOf(block), 1);
        }
      }
    }
    EXPECT_EQ(pool.Allocate(3 * kMiB), nullptr);
    const PoolStats stats = pool.Stats();
    EXPECT_GT(stats.failed_count, 0u);
    for (const NodeStats& node : stats.nodes) EXPECT_EQ(node.departure_count, 0u);
    EXPECT_EQ(StatsOf(stats, 1).used_bytes, 4 * kMiB);
    pool_.reset();
  }
}

TEST_F(PoolPlacement, StrictHoldsEvenWhereBindingIsRefused) {
  os_.FailFrom(Call::kBindTo, 0, EPERM);
  os_.SetFirstTouchNode(0);
  for (const Placement placement : {Placement::LocalStrict(), Placement::Node(1)}) {
    Pool& pool = Make(placement);
    SimulatedOs::SetCpu(2);
    for (const size_t bytes : kSizes) EXPECT_EQ(pool.Allocate(bytes), nullptr);
    const NodeStats node = StatsOf(pool.Stats(), 1);
    EXPECT_GT(node.misplaced_count, 0u);
    EXPECT_EQ(os_.present_page_count(), 0u) << "misplaced pages are given back";
    // Where the kernel happens to take the right node, it is used.
    os_.SetFirstTouchNode(1);
    os_.AdvanceNs(10'000'000);
    for (const size_t bytes : kSizes) EXPECT_EQ(NodeOf(pool.Allocate(bytes)), 1);
    os_.SetFirstTouchNode(0);
    pool_.reset();
  }
}

TEST_F(PoolPlacement, LocalDepartsToTheNearestNodeAndCounts) {
  // From node 1 the order is 1, 0 (21), 7 (21), 4 (31). Without caches a departure is one block, handed out.
  Pool& pool = Make(Placement::Local(), 256 * kMiB, HugePages::kPreferred, CpuCacheMode::kOff);
  SimulatedOs::SetCpu(3);
  uint64_t departures = 0;
  uint64_t departed_bytes = 0;
  const std::vector<int> order{1, 0, 7, 4};
  for (size_t step = 0; step < order.size(); ++step) {
    for (const size_t bytes : kSizes) {
      void* const block = pool.Allocate(bytes);
      ASSERT_NE(block, nullptr);
      EXPECT_EQ(NodeOf(block), order[step]);
      departures += step == 0 ? 0 : 1;
      departed_bytes += step == 0 ? 0 : pool.UsableSize(block);
    }
    Exhaust(order[step]);
    // What the pool holds there already is used up first.
    while (void* block = pool.Allocate(16)) {
      if (pool.NodeOf(block) != order[step]) {
        departures += pool.NodeOf(block) == 1 ? 0 : 1;
        departed_bytes += pool.NodeOf(block) == 1 ? 0 : pool.UsableSize(block);
        break;
      }
      departures += step == 0 ? 0 : 1;
      departed_bytes += step == 0 ? 0 : pool.UsableSize(block);
    }
    // Larger holes than 16 B are left in the slabs of other classes: fill them too.
    for (const size_t bytes : kSizes) {
      while (true) {
        void* const block = pool.Allocate(bytes);
        if (block == nullptr) break;
        const int node_id = pool.NodeOf(block);
        departures += node_id == 1 ? 0 : 1;
        departed_bytes += node_id == 1 ? 0 : pool.UsableSize(block);
        if (node_id != order[step]) break;
      }
    }
  }
  const PoolStats stats = pool.Stats();
  EXPECT_EQ(StatsOf(stats, 1).departure_count, departures);
  EXPECT_EQ(StatsOf(stats, 1).departed_bytes, departed_bytes);
  for (const int node_id : {0, 4, 7}) EXPECT_EQ(StatsOf(stats, node_id).departure_count, 0u);
  EXPECT_EQ(pool.Allocate(9 * kMiB), nullptr) << "every node is exhausted";
}

// With caches a batch departs at once; every block of it is counted, once, and so no block is elsewhere uncounted.
TEST_F(PoolPlacement, ABatchThatDepartsIsCountedBlockByBlock) {
  Pool& pool = Make(Placement::Local());
  SimulatedOs::SetCpu(2);
  Exhaust(1);
  std::vector<void*> blocks;
  for (size_t i = 0; i < 500; ++i) {
    blocks.push_back(pool.Allocate(1000));
    ASSERT_EQ(NodeOf(blocks.back()), 0);
    const PoolStats stats = pool.Stats();
    const NodeStats node = StatsOf(stats, 1);
    ASSERT_EQ(node.departed_bytes, node.departure_count * pool.UsableSize(blocks.back()));
    ASSERT_EQ(node.departed_bytes, stats.allocated_bytes + stats.cached_bytes);
  }
  for (void* block : blocks) pool.Deallocate(block);
}

TEST_F(PoolPlacement, LocalComesHomeWhenThereIsRoomAgainAndTheBatchIsUsedUp) {
  Pool& pool = Make(Placement::Local());
  SimulatedOs::SetCpu(2);
  Exhaust(1);
  void* const away = pool.Allocate(1000);
  EXPECT_EQ(NodeOf(away), 0);
  os_.SetFreeHugePages(1, 10);
  os_.AdvanceNs(10'000'000);
  std::vector<void*> blocks;
  while (blocks.size() < 300 && (blocks.empty() || NodeOf(blocks.back()) != 1)) blocks.push_back(pool.Allocate(1000));
  EXPECT_EQ(NodeOf(blocks.back()), 1);
  EXPECT_LE(blocks.size(), 65u) << "more than a batch";
  // A block of home that comes back closes the spill: what departed goes to its own node.
  pool.Deallocate(blocks.back());
  pool.Deallocate(away);
  for (int i = 0; i < 300; ++i) EXPECT_EQ(NodeOf(pool.Allocate(1000)), 1) << "a departed block was kept at home";
}

TEST_F(PoolPlacement, LocalComesHomeWhenThereIsRoomAgain) {
  Pool& pool = Make(Placement::Local(), 256 * kMiB, HugePages::kPreferred, CpuCacheMode::kOff);
  SimulatedOs::SetCpu(2);
  Exhaust(1);
  void* const away = pool.Allocate(1000);
  EXPECT_EQ(NodeOf(away), 0);
  os_.SetFreeHugePages(1, 10);
  os_.AdvanceNs(10'000'000);
  EXPECT_EQ(NodeOf(pool.Allocate(1000)), 1);
  pool.Deallocate(away);
  EXPECT_EQ(NodeOf(pool.Allocate(1000)), 1) << "a departed block was kept at home";
  EXPECT_EQ(StatsOf(pool.Stats(), 1).departure_count, 1u);
}

TEST_F(PoolPlacement, InterleaveSpreadsEvenly) {
  Pool& pool = Make(Placement::Interleave());
  std::map<int, size_t> runs;
  for (size_t i = 0; i < 100; ++i) ++runs[NodeOf(pool.Allocate(kMiB))];
  for (const int node_id : {0, 1, 4, 7}) EXPECT_EQ(runs[node_id], 25u);
  std::map<int, size_t> blocks;
  for (size_t i = 0; i < 12'800; ++i) ++blocks[NodeOf(pool.Allocate(64))];
  for (const int node_id : {0, 1, 4, 7}) EXPECT_NEAR(static_cast<double>(blocks[node_id]), 3200, 128);
}

TEST_F(PoolPlacement, InterleaveSkipsAFullNodeAndCounts) {
  Pool& pool = Make(Placement::Interleave());
  Exhaust(4);
  std::map<int, size_t> runs;
  for (size_t i = 0; i < 40; ++i) ++runs[NodeOf(pool.Allocate(2 * kMiB))];
  EXPECT_EQ(runs[4], 0u);
  EXPECT_EQ(runs[0] + runs[1] + runs[7], 40u);
  EXPECT_EQ(StatsOf(pool.Stats(), 4).departure_count, 10u);
  EXPECT_EQ(StatsOf(pool.Stats(), 4).departed_bytes, 20 * kMiB);
}

TEST_F(PoolPlacement, HugetlbShortOnOneNodeWhileTheGlobalCountLooksAmple) {
  os_.SetFreeHugePages(1, 1);
  Pool& pool = Make(Placement::Node(1));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(NodeOf(pool.Allocate(2 * kMiB)), 1);
  const PoolStats stats = pool.Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 2 * kMiB);
  EXPECT_EQ(stats.DegradedBytes(), 6 * kMiB);
}

TEST_F(PoolPlacement, VerifyPlacementAsksTheMachine) {
  Pool& pool = Make(Placement::Local());
  SimulatedOs::SetCpu(0);
  (void)pool.Allocate(3 * kMiB);
  SimulatedOs::SetCpu(2);
  (void)pool.Allocate(5 * kMiB);
  Error error;
  const auto report = pool.VerifyPlacement(&error);
  ASSERT_TRUE(report) << error.ToString();
  ASSERT_EQ(report->nodes.size(), 4u);
  EXPECT_EQ(report->nodes[0].page_count, 2u);
  EXPECT_EQ(report->nodes[1].page_count, 3u);
  EXPECT_EQ(report->MisplacedCount(), 0u);
}

TEST_F(PoolPlacement, VerifyPlacementFindsWhatTheBooksDoNotKnow) {
  // Binding is refused, the kernel takes node 0 and says so: used under local, and reported.
  os_.FailFrom(Call::kBindTo, 0, EPERM);
  os_.SetFirstTouchNode(0);
  Pool& pool = Make(Placement::Local());
  SimulatedOs::SetCpu(2);
  ASSERT_NE(pool.Allocate(2 * kMiB), nullptr);
  Error error;
  const auto report = pool.VerifyPlacement(&error);
  ASSERT_TRUE(report) << error.ToString();
  const PoolStats stats = pool.Stats();
  EXPECT_GE(stats.committed_bytes, 2 * kMiB);
  EXPECT_EQ(report->MisplacedCount(), stats.committed_bytes / kHugePageBytes);
  EXPECT_EQ(StatsOf(stats, 1).misplaced_count, stats.committed_bytes / kHugePageBytes);
  EXPECT_EQ(StatsOf(stats, 1).unverified_bytes, stats.committed_bytes);
}

TEST_F(PoolPlacement, OneCapacityIsSharedByAllNodes) {
  Pool& pool = Make(Placement::Local(), 16 * kMiB);
  std::vector<void*> blocks;
  SimulatedOs::SetCpu(0);
  while (void* block = pool.Allocate(kMiB)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), 16u);
  for (void* block : blocks) pool.Deallocate(block);
  // The other node takes the place of the empty pages.
  SimulatedOs::SetCpu(2);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(NodeOf(pool.Allocate(kMiB)), 1);
  EXPECT_LE(pool.Stats().committed_bytes, 16 * kMiB);
}

TEST_F(PoolPlacement, SlabCachesFollowThePlacementOfTheirPool) {
  Make(Placement::LocalStrict());
  auto cache = SlabCache::Create(pool_, 4160, nullptr);
  ASSERT_TRUE(cache);
  for (int cpu = 0; cpu < 4; ++cpu) {
    SimulatedOs::SetCpu(cpu);
    for (int i = 0; i < 50; ++i) EXPECT_EQ(NodeOf(cache->Allocate()), cpu / 2);
  }
}

}  // namespace
}  // namespace hugepool::testing
