// Pool and SlabCache: sizes, alignment, what is known of a block from its pointer alone, bounds, Trim.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"
#include "pool/stamp.h"
#include "slab/size_classes.h"

namespace hugepool::testing {
namespace {

using ::testing::IsEmpty;

class PoolBlocks : public ::testing::Test {
 protected:
  ~PoolBlocks() override {
    if (pool_ != nullptr) {
      EXPECT_EQ(Complaint(*pool_), "");
    }
    pool_.reset();
    EXPECT_EQ(os_.mapping_count(), 0u);
    EXPECT_EQ(os_.present_page_count(), 0u);
    EXPECT_THAT(os_.complaints(), IsEmpty());
  }

  Pool& Make(size_t capacity_bytes, size_t cache_bytes_per_cpu = size_t{2} << 20) {
    PoolOptions options;
    options.capacity_bytes = capacity_bytes;
    options.cache_bytes_per_cpu = cache_bytes_per_cpu;
    pool_ = MakePool(options, os_, OneNode());
    return *pool_;
  }

  SimulatedOs os_{EachNode(200, 2 * kGiB)};
  std::shared_ptr<Pool> pool_;
};

// Where many larger blocks are free, smaller ones lie in them, unless that would break what was asked for.
TEST_F(PoolBlocks, ABlockOfAnotherClassServesOnlyWhoDoesNotMind) {
  Pool& pool = Make(256 * kMiB);
  std::vector<void*> larger(4000);
  ASSERT_EQ(pool.AllocateBatch(4352, larger.data(), larger.size()), larger.size());
  for (size_t i = 0; i < larger.size(); i += 2) pool.Deallocate(larger[i]);
  (void)pool.Trim(SIZE_MAX);  // the caches are empty
  void* const lent = pool.Allocate(4096);
  EXPECT_EQ(pool.UsableSize(lent), 4352u);
  EXPECT_EQ(Complaint(pool), "");
  void* const aligned = pool.Allocate(4096, 4096);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(aligned) % 4096, 0u);
  EXPECT_EQ(pool.UsableSize(aligned), 4096u);
  auto cache = SlabCache::Create(pool_, 3840, nullptr);
  ASSERT_TRUE(cache);
  for (void* const block : {cache->Allocate(), pool.Allocate(3840)}) {
    EXPECT_EQ(pool.UsableSize(block), 3840u) << "a handle's frees do not look of which class a block is";
    cache->Deallocate(block);
  }
  pool.Deallocate(lent, 4096);
  pool.Deallocate(aligned);
  for (size_t i = 1; i < larger.size(); i += 2) pool.Deallocate(larger[i]);
  EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
}

TEST_F(PoolBlocks, EveryClassBoundaryGetsEnoughAndAligned) {
  Pool& pool = Make(256 * kMiB);
  std::vector<size_t> sizes{0, 1, 15, 16, 17, 1023, 1024, 1025};
  for (const internal::SizeClassInfos& infos : internal::kSizeClasses) {
    const internal::SizeClassInfo& info = infos[static_cast<size_t>(internal::SlabKind::kNormal)];
    for (const size_t bytes : {info.object_bytes - 1, info.object_bytes, info.object_bytes + 1}) sizes.push_back(bytes);
  }
  for (size_t mib = 1; mib <= 9; ++mib) {
    for (const size_t bytes : {mib * kMiB - 1, mib * kMiB, mib * kMiB + 1}) sizes.push_back(bytes);
  }
  uint64_t id = 1;
  for (const size_t bytes : sizes) {
    char* const block = static_cast<char*>(pool.Allocate(bytes));
    ASSERT_NE(block, nullptr) << bytes;
    const size_t usable_bytes = pool.UsableSize(block);
    EXPECT_GE(usable_bytes, std::max<size_t>(bytes, 1));
    if (bytes > 128 && bytes <= internal::kMaxSlabBytes) {
      EXPECT_LE(usable_bytes, bytes + usable_bytes / 8);
    }
    if (bytes > internal::kMaxSlabBytes) {
      EXPECT_LT(usable_bytes, bytes + internal::kSlotBytes);
    }
    EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % (bytes >= kCacheLineFromBytes ? 64 : 16), 0u) << bytes;
    EXPECT_TRUE(pool.Owns(block));
    EXPECT_EQ(pool.NodeOf(block), 0);
    EXPECT_TRUE(os_.IsPresent(block, usable_bytes));
    Stamp(block, usable_bytes, id << 24);
    EXPECT_TRUE(HasStamp(block, usable_bytes, id++ << 24));
    pool.Deallocate(block, bytes);
  }
}

TEST_F(PoolBlocks, AlignmentUpToOnePageIsKept) {
  Pool& pool = Make(64 * kMiB);
  for (size_t alignment_bytes = 1; alignment_bytes <= kMaxAlignmentBytes; alignment_bytes *= 2) {
    for (const size_t bytes : {1, 24, 100, 1000, 4097, 33000, 250'000, 300'000, 3'000'000}) {
      std::vector<void*> blocks;
      for (int i = 0; i < 5; ++i) {
        void* const block = pool.Allocate(bytes, alignment_bytes);
        ASSERT_NE(block, nullptr) << bytes << " aligned to " << alignment_bytes;
        EXPECT_EQ(reinterpret_cast<uintptr_t>(block) % alignment_bytes, 0u);
        EXPECT_GE(pool.UsableSize(block), bytes);
        blocks.push_back(block);
      }
      for (void* block : blocks) pool.Deallocate(block, bytes);
    }
  }
}

TEST_F(PoolBlocks, OtherAlignmentsAreRefusedAndCounted) {
  Pool& pool = Make(16 * kMiB);
  for (const size_t alignment_bytes : {size_t{0}, size_t{3}, size_t{48}, size_t{8192}, SIZE_MAX}) {
    EXPECT_EQ(pool.Allocate(64, alignment_bytes), nullptr) << alignment_bytes;
  }
  EXPECT_EQ(pool.Stats().failed_count, 5u);
}

TEST_F(PoolBlocks, SizesBeyondTheCapacityAreRefusedAndCounted) {
  Pool& pool = Make(16 * kMiB);
  for (const size_t bytes : {16 * kMiB + 1, kGiB, SIZE_MAX - 1, SIZE_MAX}) EXPECT_EQ(pool.Allocate(bytes), nullptr);
  EXPECT_EQ(pool.Stats().failed_count, 4u);
  void* const all = pool.Allocate(16 * kMiB);
  ASSERT_NE(all, nullptr);
  EXPECT_EQ(pool.Allocate(1), nullptr);
  pool.Deallocate(all);
  EXPECT_NE(pool.Allocate(1), nullptr);
}

TEST_F(PoolBlocks, NothingIsKnownOfForeignPointers) {
  Pool& pool = Make(16 * kMiB);
  int local = 0;
  for (const void* foreign : {static_cast<const void*>(nullptr), static_cast<const void*>(&local)}) {
    EXPECT_EQ(pool.UsableSize(foreign), 0u);
    EXPECT_EQ(pool.NodeOf(foreign), -1);
    EXPECT_FALSE(pool.Owns(foreign));
  }
  pool.Deallocate(nullptr);
  pool.Deallocate(nullptr, 7);
}

TEST_F(PoolBlocks, TheCapacityBoundsWhatIsCommittedAndIsReached) {
  Pool& pool = Make(32 * kMiB);
  for (const size_t bytes : {size_t{64}, size_t{4096}, size_t{100'000}, 1 * kMiB}) {
    std::vector<void*> blocks;
    while (void* block = pool.Allocate(bytes)) blocks.push_back(block);
    const PoolStats stats = pool.Stats();
    EXPECT_EQ(stats.committed_bytes, 32 * kMiB);
    EXPECT_LE(os_.present_page_count(), 16u);
    EXPECT_EQ(stats.allocated_count, blocks.size());
    EXPECT_GE(stats.allocated_bytes, 31 * kMiB) << bytes;
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), blocks.size());
    for (void* block : blocks) pool.Deallocate(block);
    ASSERT_EQ(Complaint(pool), "");
  }
}

TEST_F(PoolBlocks, TrimGivesEmptyPagesBackDownToTheTarget) {
  Pool& pool = Make(64 * kMiB);
  std::vector<void*> blocks;
  for (size_t i = 0; i < 20; ++i) blocks.push_back(pool.Allocate(2 * kMiB));
  void* const kept = pool.Allocate(100);
  Stamp(kept, 100, 1);
  for (void* block : blocks) pool.Deallocate(block);
  EXPECT_GE(pool.Stats().committed_bytes, 42 * kMiB);
  EXPECT_EQ(pool.Trim(20 * kMiB), 20 * kMiB);
  EXPECT_EQ(os_.present_page_count(), 10u);
  EXPECT_EQ(pool.Trim(0), 2 * kMiB) << "the page of the live block stays";
  EXPECT_TRUE(HasStamp(kept, 100, 1));
  pool.Deallocate(kept);
  EXPECT_EQ(pool.Trim(0), 0u);
  EXPECT_EQ(os_.free_huge_page_count(0), 200u);
  EXPECT_NE(pool.Allocate(100), nullptr) << "and it grows again";
}

TEST_F(PoolBlocks, AThreadThatOnlyFreesStrandsAtMostTheBudget) {
  constexpr size_t kBudgetBytes = size_t{128} << 10;
  Pool& pool = Make(64 * kMiB, kBudgetBytes);
  std::vector<void*> blocks;
  for (size_t i = 0; i < 5000; ++i) blocks.push_back(pool.Allocate(1000));
  std::thread([&] {
    SimulatedOs::SetCpu(3);
    for (void* block : blocks) pool.Deallocate(block);
  }).join();
  // The freeing CPU's budget, that of the node's depots, and what the allocating CPU fetched ahead.
  EXPECT_LE(pool.Stats().cached_bytes, 3 * kBudgetBytes);
  EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
}

TEST_F(PoolBlocks, ThreadsThatOnlyAllocateAndExitStrandAtMostTheBudget) {
  constexpr size_t kBudgetBytes = size_t{128} << 10;
  Pool& pool = Make(64 * kMiB, kBudgetBytes);
  for (int i = 0; i < 40; ++i) {
    std::thread([&pool, i] {
      SimulatedOs::SetCpu(i % 4);
      for (size_t bytes = 16; bytes < 100'000; bytes += bytes / 3) (void)pool.Allocate(bytes);
    }).join();
    ASSERT_LE(pool.Stats().cached_bytes, (4 + 1) * kBudgetBytes);
  }
}

TEST_F(PoolBlocks, ALowerCapacityIsReachedAsPagesEmptyAndNobodyWaits) {
  Pool& pool = Make(64 * kMiB);
  std::vector<void*> blocks;
  while (void* block = pool.Allocate(kMiB)) blocks.push_back(block);
  ASSERT_EQ(blocks.size(), 64u);
  Error error;
  ASSERT_TRUE(pool.SetCapacity(31 * kMiB, &error)) << error.ToString();
  EXPECT_EQ(pool.Stats().capacity_bytes, 32 * kMiB);
  EXPECT_EQ(pool.Stats().committed_bytes, 64 * kMiB) << "all of it is in use";
  EXPECT_EQ(pool.Allocate(kMiB), nullptr);
  uint64_t committed_bytes = pool.Stats().committed_bytes;
  while (blocks.size() > 16) {
    pool.Deallocate(blocks.back());
    blocks.pop_back();
    const uint64_t now_bytes = pool.Stats().committed_bytes;
    ASSERT_LE(now_bytes, committed_bytes);
    committed_bytes = now_bytes;
  }
  EXPECT_EQ(committed_bytes, 32 * kMiB) << "below the capacity empty pages are kept";
  // And up again.
  ASSERT_TRUE(pool.SetCapacity(64 * kMiB, &error)) << error.ToString();
  while (void* block = pool.Allocate(kMiB)) blocks.push_back(block);
  EXPECT_EQ(blocks.size(), 64u);
  for (void* block : blocks) pool.Deallocate(block);
}

TEST_F(PoolBlocks, ACapacityOutOfRangeIsRefusedByName) {
  Pool& pool = Make(48 * kMiB);
  Error error;
  EXPECT_FALSE(pool.SetCapacity(kMiB, &error));
  EXPECT_THAT(error.ToString(), ::testing::HasSubstr("Allowed: 2M to 64M"));
  EXPECT_FALSE(pool.SetCapacity(65 * kMiB, &error));
  EXPECT_FALSE(pool.SetCapacity(0, nullptr));
  EXPECT_EQ(pool.Stats().capacity_bytes, 48 * kMiB);
  EXPECT_TRUE(pool.SetCapacity(64 * kMiB, &error)) << error.ToString();
  void* const block = pool.Allocate(60 * kMiB);
  EXPECT_NE(block, nullptr) << "more than Create was told";
  pool.Deallocate(block);
}

// Threads allocate and free while the capacity goes up and down.
TEST_F(PoolBlocks, TheCapacityMayChangeWhileThreadsGoOn) {
  Pool& pool = Make(64 * kMiB);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      SimulatedOs::SetCpu(t);
      std::vector<void*> blocks;
      for (size_t i = 0; !stop; ++i) {
        if (void* block = pool.Allocate(1 + i * 977 % 60'000)) blocks.push_back(block);
        if (blocks.size() > 300 || i % 3 == 0) {
          if (!blocks.empty()) pool.Deallocate(blocks.back());
          if (!blocks.empty()) blocks.pop_back();
        }
      }
      for (void* block : blocks) pool.Deallocate(block);
    });
  }
  for (size_t i = 0; i < 300; ++i) EXPECT_TRUE(pool.SetCapacity((2 + i * 7 % 60) * kMiB, nullptr));
  EXPECT_TRUE(pool.SetCapacity(16 * kMiB, nullptr));
  stop = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
  EXPECT_LE(pool.Trim(16 * kMiB), 16 * kMiB);
}

TEST_F(PoolBlocks, AnAddedSizeClassTakesWhatItSaysAndNoMore) {
  Pool& pool = Make(64 * kMiB);
  void* const before = pool.Allocate(4200);
  EXPECT_EQ(pool.UsableSize(before), 4352u);
  Error error;
  EXPECT_EQ(pool.AddSizeClass(4200, &error), 4224u) << error.ToString();
  EXPECT_EQ(pool.AddSizeClass(4200, &error), 4224u);
  std::vector<void*> blocks;
  for (int i = 0; i < 500; ++i) {
    blocks.push_back(pool.Allocate(4200));
    ASSERT_EQ(pool.UsableSize(blocks.back()), 4224u);
    std::memset(blocks.back(), i, 4224);
  }
  // Freed by what was asked for, whichever class it came from.
  pool.Deallocate(before, 4200);
  for (void* block : blocks) pool.Deallocate(block, 4200);
  EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
  pool.Trim(0);
  EXPECT_EQ(pool.Stats().committed_bytes, 0u);
}

TEST_F(PoolBlocks, TooManyAddedSizeClassesAndBadOnesAreRefusedByName) {
  Pool& pool = Make(64 * kMiB);
  Error error;
  EXPECT_EQ(pool.AddSizeClass(0, &error), 0u);
  EXPECT_THAT(error.ToString(), ::testing::HasSubstr("bytes = 0"));
  EXPECT_EQ(pool.AddSizeClass(kMiB, &error), 0u);
  EXPECT_THAT(error.ToString(), ::testing::HasSubstr("1 to 256K"));
  size_t bytes = 5000;
  while (bytes < 20'000 && pool.AddSizeClass(bytes, &error) != 0) bytes += 65;
  EXPECT_THAT(error.ToString(), ::testing::HasSubstr("32 added size classes already"));
  EXPECT_EQ(pool.AddSizeClass(1, nullptr), 16u) << "a size that is there is no addition";
}

// Each form of batch, against the single calls.
TEST_F(PoolBlocks, BatchesHandOutDistinctBlocksAndTakeAnyMixtureBack) {
  Pool& pool = Make(64 * kMiB);
  std::vector<void*> blocks;
  for (const size_t bytes : {1, 64, 4160, 40'000, 300'000}) {
    std::vector<void*> batch(60);
    ASSERT_EQ(pool.AllocateBatch(bytes, batch.data(), batch.size()), batch.size());
    for (void* block : batch) {
      ASSERT_GE(pool.UsableSize(block), bytes);
      std::memset(block, 1, bytes);
    }
    blocks.insert(blocks.end(), batch.begin(), batch.end());
  }
  blocks.push_back(nullptr);
  std::sort(blocks.begin(), blocks.end());
  EXPECT_EQ(std::adjacent_find(blocks.begin(), blocks.end()), blocks.end());
  std::mt19937 random(1);
  std::shuffle(blocks.begin(), blocks.end(), random);
  pool.DeallocateBatch(blocks.data(), blocks.size());
  EXPECT_EQ(pool.Stats().allocated_bytes, 0u);
  // As many as there are, and no more: with nothing in the caches, which would lie in the middle of some pages.
  (void)pool.Trim(0);
  std::vector<void*> all(100);
  const size_t got = pool.AllocateBatch(kMiB, all.data(), all.size());
  EXPECT_EQ(got, 64u);
  EXPECT_EQ(pool.Stats().failed_count, 1u);
  pool.DeallocateBatch(all.data(), got);
}

TEST_F(PoolBlocks, StatisticsAddUp) {
  Pool& pool = Make(64 * kMiB);
  std::vector<void*> blocks;
  for (size_t bytes = 1; bytes < 4 * kMiB; bytes *= 3) blocks.push_back(pool.Allocate(bytes));
  uint64_t usable_bytes = 0;
  for (void* block : blocks) usable_bytes += pool.UsableSize(block);
  const PoolStats stats = pool.Stats();
  EXPECT_EQ(stats.allocated_bytes, usable_bytes);
  EXPECT_EQ(stats.allocated_count, blocks.size());
  EXPECT_EQ(stats.committed_bytes, os_.present_page_count() * kHugePageBytes);
  ASSERT_EQ(stats.nodes.size(), 1u);
  EXPECT_EQ(stats.nodes[0].used_bytes + stats.nodes[0].empty_bytes, stats.committed_bytes);
  EXPECT_GT(stats.metadata_bytes, 0u);
  uint64_t slab_bytes = 0;
  uint64_t used_bytes = 0;
  uint64_t cached_bytes = 0;
  for (const ClassStats& one : stats.classes) {
    EXPECT_EQ(one.node_id, stats.nodes[0].node_id);
    EXPECT_GE(one.slab_bytes, one.used_count * one.object_bytes);
    EXPECT_EQ(one.slab_bytes_by_backing[0], one.slab_bytes) << "all on hugetlb";
    slab_bytes += one.slab_bytes;
    used_bytes += (one.used_count - one.cached_count) * one.object_bytes;
    cached_bytes += one.cached_count * one.object_bytes;
  }
  EXPECT_EQ(cached_bytes, stats.cached_bytes);
  const size_t run_bytes = stats.allocated_bytes - used_bytes;
  EXPECT_GT(run_bytes, 0u);
  EXPECT_LE(slab_bytes + run_bytes, stats.nodes[0].used_bytes);
  EXPECT_EQ(stats.FootprintBytes(), stats.committed_bytes + stats.metadata_bytes);
  EXPECT_THAT(stats.ToText(), ::testing::HasSubstr("huge_pages=preferred page=2M placement=local cache=locked"));
}

TEST_F(PoolBlocks, SlabCacheServesOneSizeOfItsPool) {
  Make(16 * kMiB);
  Error error;
  for (const size_t alignment_bytes : {16, 256, 4096}) {
    auto cache = SlabCache::Create(pool_, 200, &error, alignment_bytes);
    ASSERT_TRUE(cache) << error.ToString();
    EXPECT_EQ(cache->object_bytes(), 200u);
    EXPECT_EQ(&cache->pool(), pool_.get());
    std::set<void*> objects;
    for (size_t i = 0; i < 300; ++i) {
      void* const object = cache->Allocate();
      ASSERT_NE(object, nullptr);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(object) % alignment_bytes, 0u);
      EXPECT_EQ(pool_->UsableSize(object), cache->footprint_bytes());
      ASSERT_TRUE(objects.insert(object).second);
    }
    for (void* object : objects) cache->Deallocate(object);
    cache->Deallocate(nullptr);
  }
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
}

TEST_F(PoolBlocks, SlabCacheKeepsItsPoolAlive) {
  Make(16 * kMiB);
  auto cache = SlabCache::Create(pool_, 64, nullptr);
  ASSERT_TRUE(cache);
  pool_.reset();
  void* const object = cache->Allocate();
  ASSERT_NE(object, nullptr);
  Stamp(object, 64, 1);
  cache->Deallocate(object);
}

}  // namespace
}  // namespace hugepool::testing
