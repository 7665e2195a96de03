// Blocks that are freed on another node than their own come home in batches, and are handed out there again: placement
// stays what it was, by the kernel's word, and an idle home node loses nothing.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "cache/cpu_cache.h"
#include "hugepool/pool.h"
#include "numa_guest/filling.h"
#include "numa_guest/machine.h"
#include "numa_guest/page_census.h"
#include "numa_guest/worker.h"

namespace hugepool::guest {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kBlockBytes = 1000;  // of a class whose batches are as large as any
constexpr size_t kRoundCount = 20;
constexpr size_t kBlockCount = 20'000;

class RemoteFree : public testing::TestWithParam<CpuCacheMode> {
 protected:
  std::shared_ptr<Pool> Make() {
    PoolOptions options;
    options.placement = Placement::Local();
    options.huge_pages = HugePages::kRequired;
    options.capacity_bytes = 100 * kHugePage;
    options.cpu_cache = GetParam();
    return CreateOrFail(options);
  }
  static const NodeStats& StatsOf(const PoolStats& stats, int node_id) {
    for (const NodeStats& node : stats.nodes) {
      if (node.node_id == node_id) return node;
    }
    throw std::runtime_error("no statistics of that node");
  }
  static uint64_t CommittedBytes(const Pool& pool, int node_id) {
    const PoolStats stats = pool.Stats();
    const NodeStats& node = StatsOf(stats, node_id);
    return node.used_bytes + node.empty_bytes;
  }
  // As far as whole batches go, which are what is left in outboxes at the end.
  static void ExpectBatches(const NodeStats& home, uint64_t freed_count) {
    EXPECT_GE(home.handed_over_block_count, freed_count - 2 * internal::kBatchMaxCount);
    EXPECT_LE(home.handed_over_block_count, freed_count);
    EXPECT_GE(home.handed_over_block_count, home.hand_over_count * internal::kBatchMaxCount / 2);
  }

  static void ExpectPlaced(const Pool& pool) {
    Error error;
    const std::optional<PlacementReport> report = pool.VerifyPlacement(&error);
    ASSERT_TRUE(report) << error.ToString();
    EXPECT_EQ(report->MisplacedCount(), 0u);
  }

  const int home_ = ThisMachine().CpuNodes()[0];
  const int away_ = ThisMachine().CpuNodes()[1];
  const int home_cpu_ = ThisMachine().Node(home_).cpus[0];
  const int away_cpu_ = ThisMachine().Node(away_).cpus[0];
};

TEST_P(RemoteFree, BlocksComeHomeInBatchesAndPlacementIsKept) {
  const auto pool = Make();
  ASSERT_NE(pool, nullptr);
  ASSERT_EQ(pool->Stats().cache_mode, ToString(GetParam()));
  uint64_t committed_bytes = 0;
  std::vector<Block> blocks;
  for (size_t round = 0; round < kRoundCount; ++round) {
    OnCpu(home_cpu_, [&] {
      for (size_t i = 0; i < kBlockCount; ++i) blocks.push_back({pool->Allocate(kBlockBytes), kBlockBytes});
    });
    for (const Block& block : blocks) ASSERT_EQ(pool->NodeOf(block.address), home_);
    if (round == 0 || round + 1 == kRoundCount) {
      EXPECT_TRUE(AllPagesOn(home_, blocks));
      EXPECT_TRUE(AllPagesHugetlb(blocks));
    }
    if (round == 1) committed_bytes = CommittedBytes(*pool, home_);
    OnCpu(away_cpu_, [&] {
      for (const Block& block : blocks) pool->Deallocate(block.address);
    });
    blocks.clear();
  }
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(CommittedBytes(*pool, home_), committed_bytes) << "the home node was not given its own blocks back";
  for (const NodeStats& node : stats.nodes) {
    EXPECT_EQ(node.departure_count, 0u);
    EXPECT_EQ(node.misplaced_count, 0u);
    EXPECT_EQ(node.hand_over_count > 0, node.node_id == home_);
  }
  ExpectBatches(StatsOf(stats, home_), kRoundCount * kBlockCount);
  ExpectPlaced(*pool);
  std::string why;
  EXPECT_TRUE(pool->CheckInvariants(&why)) << why;
}

// Both at once, each on its node, with a bounded heap of blocks between them.
TEST_P(RemoteFree, AProducerAndAConsumerOnTwoNodes) {
  constexpr size_t kPassedCount = 200'000;
  const auto pool = Make();
  ASSERT_NE(pool, nullptr);
  std::mutex mutex;
  std::vector<void*> passed;  // guarded by mutex
  std::atomic<bool> misplaced{false};
  std::thread consumer([&] {
    PinToCpu(away_cpu_);
    std::vector<void*> mine;
    for (size_t freed_count = 0; freed_count < kPassedCount; freed_count += mine.size()) {
      mine.clear();
      {
        const std::lock_guard lock(mutex);
        mine.swap(passed);
      }
      if (mine.empty()) std::this_thread::yield();
      for (void* block : mine) pool->Deallocate(block);
    }
  });
  OnCpu(home_cpu_, [&] {
    for (size_t i = 0; i < kPassedCount;) {
      std::vector<void*> some;
      for (size_t end = i + 100; i < end; ++i) {
        some.push_back(pool->Allocate(kBlockBytes));
        if (pool->NodeOf(some.back()) != home_) misplaced = true;
      }
      while (true) {
        const std::lock_guard lock(mutex);
        if (passed.size() > 10'000) continue;
        passed.insert(passed.end(), some.begin(), some.end());
        break;
      }
    }
  });
  consumer.join();
  EXPECT_FALSE(misplaced);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(StatsOf(stats, home_).departure_count, 0u);
  // In locked mode a turn that somebody else has is a block that goes on at once.
  if (GetParam() == CpuCacheMode::kRseq) ExpectBatches(StatsOf(stats, home_), kPassedCount);
  EXPECT_LE(CommittedBytes(*pool, home_), 24 * kHugePage) << "some 20,000 blocks of 1 KiB were live at most";
  ExpectPlaced(*pool);
}

TEST_P(RemoteFree, AnIdleHomeLosesNothing) {
  const auto pool = Make();
  ASSERT_NE(pool, nullptr);
  std::vector<void*> blocks;
  OnCpu(home_cpu_, [&] {
    for (size_t i = 0; i < 2 * kBlockCount; ++i) blocks.push_back(pool->Allocate(kBlockBytes));
  });
  OnCpu(away_cpu_, [&] {
    for (void* block : blocks) pool->Deallocate(block);
  });
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.allocated_bytes, 0u);
  // Two CPUs' caches and the depot of one node.
  EXPECT_LE(stats.cached_bytes, 3 * pool->options().cache_bytes_per_cpu);
  EXPECT_GT(stats.cached_bytes, 0u);
  // What the depot had no room for is home's: another size gets those pages before the pool grows.
  const uint64_t committed_bytes = CommittedBytes(*pool, home_);
  constexpr size_t kOtherBytes = 3 * kBlockBytes;
  blocks.clear();
  OnCpu(home_cpu_, [&] {
    for (uint64_t bytes = 0; bytes < committed_bytes * 3 / 4; bytes += kOtherBytes) {
      blocks.push_back(pool->Allocate(kOtherBytes));
      EXPECT_EQ(pool->NodeOf(blocks.back()), home_);
    }
  });
  EXPECT_LE(CommittedBytes(*pool, home_), committed_bytes + kHugePage) << "and a page ahead";
  for (void* const block : blocks) pool->Deallocate(block);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(pool->Stats().cached_bytes, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, RemoteFree, testing::Values(CpuCacheMode::kRseq, CpuCacheMode::kLocked),
                         [](const auto& mode) { return std::string(hugepool::ToString(mode.param)); });

}  // namespace
}  // namespace hugepool::guest
