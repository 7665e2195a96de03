// Pools that learn size classes: every block is as large as asked for whatever the classes do meanwhile, the books agree, what
// was learned is seen, and it takes less than without.
#include <gtest/gtest.h>

#include <atomic>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"
#include "pool/learned_classes.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

// Less would save less than a class costs.
constexpr uint64_t kLiveBytes = 256 * kMiB;

PoolOptions Options(bool learns) {
  PoolOptions options;
  options.capacity_bytes = 4 * kLiveBytes;
  options.huge_pages = HugePages::kOff;
  options.learn_size_classes = learns;
  options.decay_seconds = 1;
  return options;
}

std::shared_ptr<Pool> MakeLearning(const PoolOptions& options) {
  Error error;
  auto pool = Pool::Create(options, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

TEST(LearnedClasses, NothingIsLearnedUnlessAskedFor) {
  const auto pool = MakeLearning(Options(false));
  ReplacedBlocks blocks(pool, Seed());
  blocks.Run(4097, 4352, kLiveBytes, kLiveBytes);
  EXPECT_EQ(pool->Stats().learned_class_count, 0u);
  void* const block = pool->Allocate(4100);
  EXPECT_EQ(pool->UsableSize(block), 4352u);
  pool->Deallocate(block);
}

// Half of what one size would be rounded up by, in each cache mode.
class LearnedIn : public ::testing::TestWithParam<CpuCacheMode> {};
TEST_P(LearnedIn, OneSizeTakesWhatItAsksForAndRetiresWhenItIsGone) {
  PoolOptions options = Options(true);
  options.cpu_cache = GetParam();
  const auto pool = MakeLearning(options);
  ReplacedBlocks blocks(pool, Seed());
  blocks.Run(8200, 8200, kLiveBytes, kLiveBytes);
  EXPECT_EQ(pool->Stats().learned_class_count, 1u);
  void* const block = pool->Allocate(8200);
  EXPECT_EQ(pool->UsableSize(block), 8320u) << "a quarter of the step from 8,192 to 8,704";
  EXPECT_EQ(Complaint(*pool), "");
  // Up and down: what is replaced one by one never leaves the caches, and teaches nothing.
  for (int i = 0; i < 8; ++i) {
    blocks.Run(4096, 4096, kLiveBytes / 2, 2 * kLiveBytes);
    blocks.Run(4096, 4096, kLiveBytes, 2 * kLiveBytes);
  }
  EXPECT_EQ(pool->Stats().learned_class_count, 0u);
  // A block of a retired class is freed as any other, by either call, and is not handed out again.
  pool->Deallocate(block, 8200);
  void* const next = pool->Allocate(8200);
  EXPECT_EQ(pool->UsableSize(next), 8704u);
  pool->Deallocate(next);
  EXPECT_EQ(Complaint(*pool), "");
  for (const ClassStats& one : pool->Stats().classes) {
    if (one.object_bytes == 8320) {
      EXPECT_EQ(one.cached_count, 0u);
    }
  }
}
// What it served before is replaced bit by bit, and the last of it is not to lie in caches, a slab each, for ever.
TEST_P(LearnedIn, AClassThatNobodyAsksForAnyMoreLeavesTheCaches) {
  PoolOptions options = Options(true);
  options.cpu_cache = GetParam();
  const auto pool = MakeLearning(options);
  ReplacedBlocks blocks(pool, Seed());
  blocks.Run(8200, 8200, kLiveBytes, 20 * kLiveBytes);
  const auto fixed_class = [&] {
    for (const ClassStats& one : pool->Stats().classes) {
      if (one.object_bytes == 8704) return one;
    }
    return ClassStats{};
  };
  EXPECT_EQ(fixed_class().cached_count, 0u) << "of " << fixed_class().used_count << " out of slabs";
  // Whoever asks for it again finds it cached again.
  std::vector<void*> again(100);
  for (int i = 0; i < 2; ++i) {
    for (void*& block : again) block = pool->Allocate(8700);
    for (void* const block : again) pool->Deallocate(block);
  }
  EXPECT_EQ(fixed_class().cached_count != 0, pool->Stats().cache_mode != "off");
  EXPECT_EQ(Complaint(*pool), "");
}
INSTANTIATE_TEST_SUITE_P(Modes, LearnedIn,
                         ::testing::Values(CpuCacheMode::kAuto, CpuCacheMode::kLocked, CpuCacheMode::kOff),
                         [](const auto& test) { return std::string(ToString(test.param)); });

TEST(LearnedClasses, BatchesTeachTooAndSlabCachesKeepTheirClass) {
  const auto pool = MakeLearning(Options(true));
  const auto before = SlabCache::Create(pool, 8200, nullptr);
  ASSERT_TRUE(before);
  std::vector<void*> blocks(kLiveBytes / 8320);
  ASSERT_EQ(pool->AllocateBatch(8200, blocks.data(), blocks.size()), blocks.size());
  // One call is one sample; what follows is many.
  pool->DeallocateBatch(blocks.data(), blocks.size());
  for (size_t first = 0; first + 100 <= blocks.size(); first += 100) {
    ASSERT_EQ(pool->AllocateBatch(8200, blocks.data() + first, 100), 100u);
  }
  EXPECT_EQ(pool->Stats().learned_class_count, 1u);
  const auto after = SlabCache::Create(pool, 8200, nullptr);
  ASSERT_TRUE(after);
  EXPECT_EQ(before->footprint_bytes(), 8704u);
  EXPECT_EQ(after->footprint_bytes(), 8704u);
  SlabCache cache = *before;
  void* const object = cache.Allocate();
  EXPECT_EQ(pool->UsableSize(object), 8704u);
  cache.Deallocate(object);
  pool->DeallocateBatch(blocks.data(), blocks.size() / 100 * 100);
  EXPECT_EQ(Complaint(*pool), "");
}

TEST(LearnedClasses, ASpreadTakesLessThanWithoutAfterItsSizesShifted) {
  const auto share = [](bool learns) {
    const auto pool = MakeLearning(Options(learns));
    ReplacedBlocks blocks(pool, Seed());
    blocks.Run(8200, 8320, kLiveBytes, 2 * kLiveBytes);
    blocks.Run(5130, 5184, kLiveBytes, 30 * kLiveBytes);
    EXPECT_EQ(Complaint(*pool), "");
    // Of the last blocks of the old sizes some lie in caches, where nothing moves any more, and hold slabs: how many is chance.
    (void)pool->Trim(0);
    return blocks.Share();
  };
  const double without = share(false);
  const double with = share(true);
  WriteFigures("learned_classes", {{"footprint_to_payload", with}, {"footprint_to_payload_without", without}});
  // Rounding up takes 0.042 without.
  EXPECT_LT(with, without - 0.02);
  EXPECT_LT(with, 1.03);
}

// Threads allocate, hand over and free while the sizes shift, so that classes come and go under them; each block is stamped
// over the whole size that was asked for.
TEST(LearnedClasses, ThreadsNeverGetLessThanTheyAskForWhileClassesComeAndGo) {
  constexpr size_t kThreadCount = 4;
  constexpr size_t kBlocksPerThread = kLiveBytes / kThreadCount / 5000;
  constexpr int kShiftCount = 8;
  PoolOptions options = Options(true);
  options.cache_bytes_per_cpu = 256 << 10;
  const auto pool = MakeLearning(options);
  struct Block {
    char* address = nullptr;
    size_t bytes = 0;
    uint64_t id = 0;
  };
  std::vector<std::vector<Block>> hands(kThreadCount, std::vector<Block>(kBlocksPerThread));
  std::atomic<uint64_t> most_learned{0};
  const uint64_t seed = Seed();
  const auto free_one = [&](Block& block) {
    if (block.address == nullptr) return;
    EXPECT_TRUE(HasStamp(block.address, block.bytes, block.id));
    if (block.id % 2 == 0) {
      pool->Deallocate(block.address);
    } else {
      pool->Deallocate(block.address, block.bytes);
    }
    block.address = nullptr;
  };
  for (int shift = 0; shift < kShiftCount; ++shift) {
    std::vector<std::thread> threads;
    for (size_t t = 0; t < kThreadCount; ++t) {
      threads.emplace_back([&, t, shift] {
        // Each round frees what another thread allocated in the round before.
        std::vector<Block>& mine = hands[(t + static_cast<size_t>(shift)) % kThreadCount];
        std::mt19937_64 random(seed + static_cast<uint64_t>(shift) * kThreadCount + t);
        const size_t least = 2049 + static_cast<size_t>(shift % 8) * 777;
        for (size_t i = 0; i < 3 * kBlocksPerThread; ++i) {
          Block& block = mine[random() % mine.size()];
          free_one(block);
          block.bytes = least + random() % 60;
          block.id = (random() | 1) << 24 | (random() & 1);
          block.address = static_cast<char*>(pool->Allocate(block.bytes));
          ASSERT_NE(block.address, nullptr);
          ASSERT_GE(pool->UsableSize(block.address), block.bytes);
          Stamp(block.address, block.bytes, block.id);
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    most_learned = std::max(most_learned.load(), pool->Stats().learned_class_count);
    ASSERT_EQ(Complaint(*pool), "");
  }
  EXPECT_GT(most_learned, 0u);
  for (std::vector<Block>& hand : hands) {
    for (Block& block : hand) free_one(block);
  }
  EXPECT_EQ(pool->Stats().allocated_bytes, 0u);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(Complaint(*pool), "");
}

}  // namespace
}  // namespace hugepool::testing
