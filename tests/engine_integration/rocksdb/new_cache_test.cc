// Caches in one line: allocator, cache and charge belong together, and what the cache charges is what its blocks take.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>

#include <deque>
#include <random>
#include <utility>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

rocksdb::AllocatorOptions SmallPages() {
  rocksdb::AllocatorOptions options;
  options.huge_pages = HugePages::kOff;
  return options;
}

std::shared_ptr<::rocksdb::Cache> MakeOwn(CacheKind kind, size_t capacity_bytes,
                                          const rocksdb::AllocatorOptions& allocator, Error* error) {
  if (kind == CacheKind::kHyperClock) {
    return rocksdb::NewHyperClockCache(::rocksdb::HyperClockCacheOptions(capacity_bytes, 4096), allocator, error);
  }
  ::rocksdb::LRUCacheOptions options;
  options.capacity = capacity_bytes;
  return rocksdb::NewLRUCache(options, allocator, error);
}

class OwnCache : public ::testing::TestWithParam<CacheKind> {};

TEST_P(OwnCache, ServesADatabaseWithinItsCapacity) {
  Error error;
  constexpr size_t kCacheBytes = 8 * kMiB;
  const auto cache = MakeOwn(GetParam(), kCacheBytes, SmallPages(), &error);
  ASSERT_NE(cache, nullptr) << error.ToString();
  RealDatabase database(30000);  // 12 MB of blocks
  ASSERT_EQ(database.Create(), "");
  ASSERT_EQ(database.Open(cache), "");
  ASSERT_EQ(database.ReadAtRandom(2, 20000), "");
  const auto pool = rocksdb::PoolOf(*cache->memory_allocator());
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(pool->options().capacity_bytes, pool->Stats().capacity_bytes);
  EXPECT_GE(pool->options().capacity_bytes, rocksdb::CapacityFor(kCacheBytes, SmallPages()));
  EXPECT_EQ(rocksdb::Fallback(*cache->memory_allocator())->count, 0u);
  // The charge: every block by what it takes of the pool, and its handle.
  EXPECT_LE(pool->Stats().allocated_bytes, cache->GetUsage());
  EXPECT_LE(cache->GetUsage(), kCacheBytes);
  EXPECT_GT(pool->Stats().allocated_bytes, kCacheBytes / 2);
}

TEST_P(OwnCache, TakesTheCapacityThatItIsGiven) {
  rocksdb::AllocatorOptions options = SmallPages();
  options.capacity_bytes = 32 * kMiB;
  options.name = "given";
  const auto cache = MakeOwn(GetParam(), 8 * kMiB, options, nullptr);
  ASSERT_NE(cache, nullptr);
  EXPECT_EQ(rocksdb::PoolOf(*cache->memory_allocator())->options().capacity_bytes, 32 * kMiB);
  EXPECT_EQ(rocksdb::PoolOf(*cache->memory_allocator())->options().name, "given");
}

TEST_P(OwnCache, RefusedPoolsGiveNoCache) {
  rocksdb::AllocatorOptions options = SmallPages();
  options.block_bytes = {size_t{1} << 30};
  Error error;
  EXPECT_EQ(MakeOwn(GetParam(), 8 * kMiB, options, &error), nullptr);
  EXPECT_THAT(error.ToString(), HasSubstr("bytes = 1073741824"));
  EXPECT_EQ(MakeOwn(GetParam(), 8 * kMiB, options, nullptr), nullptr);
}

INSTANTIATE_TEST_SUITE_P(Kinds, OwnCache, ::testing::Values(CacheKind::kLru, CacheKind::kHyperClock),
                         [](const auto& kind) { return kind.param == CacheKind::kLru ? "lru" : "hyper_clock"; });

TEST(OwnCaches, AnAllocatorThatIsThereAlreadyIsRefused) {
  ::rocksdb::LRUCacheOptions options;
  options.capacity = 8 * kMiB;
  rocksdb::AllocatorOptions allocator = SmallPages();
  allocator.capacity_bytes = 16 * kMiB;
  options.memory_allocator = rocksdb::NewMemoryAllocator(allocator, nullptr);
  Error error;
  EXPECT_EQ(rocksdb::NewLRUCache(options, allocator, &error), nullptr);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.message, HasSubstr("HugepoolAllocator"));
}

TEST(OwnCaches, WhatRocksdbRefusesIsAnError) {
  ::rocksdb::LRUCacheOptions options;
  options.capacity = 8 * kMiB;
  options.num_shard_bits = 20;
  Error error;
  EXPECT_EQ(rocksdb::NewLRUCache(options, SmallPages(), &error), nullptr);
  EXPECT_THAT(error.ToString(), HasSubstr("num_shard_bits = 20"));
}

TEST(OwnCaches, TheCapacityIsFoundForAnyCache) {
  PoolOptions options;
  EXPECT_GT(rocksdb::CapacityFor(size_t{8} << 30, options), size_t{8} << 30);
  EXPECT_LT(rocksdb::CapacityFor(size_t{8} << 30, options), (size_t{8} << 30) / 100 * 125);
  EXPECT_EQ(rocksdb::CapacityFor(SIZE_MAX, options), SIZE_MAX);
  options.page_bytes = kGiantPageBytes;
  EXPECT_EQ(rocksdb::CapacityFor(0, options), kGiantPageBytes);
}

// A cache that overstates what its blocks take wastes its capacity, one that understates takes more memory than it was given.
// Sizes as RocksDB's blocks have them at 4 and 16 KiB, the eldest evicted; a few filters, which every read touches, stay.
class UsableSizes : public ::testing::TestWithParam<std::pair<size_t, size_t>> {};

TEST_P(UsableSizes, AddUpToWhatThePoolTakes) {
  constexpr uint64_t kLiveBytes = 1024 * kMiB;
  constexpr int kFilterCount = 16;
  const auto [least, most] = GetParam();
  rocksdb::AllocatorOptions options = SmallPages();
  options.capacity_bytes = 2 * kLiveBytes;
  const auto allocator = rocksdb::NewMemoryAllocator(options, nullptr);
  ASSERT_NE(allocator, nullptr);
  std::mt19937_64 random(Seed());
  std::deque<std::pair<void*, size_t>> blocks;  // and what it was charged
  std::vector<void*> filters;
  uint64_t usable_bytes = 0;
  const auto allocate = [&](size_t bytes) {
    void* const block = allocator->Allocate(bytes);
    const size_t block_usable_bytes = allocator->UsableSize(block, bytes);
    EXPECT_GE(block_usable_bytes, bytes);
    usable_bytes += block_usable_bytes;
    return std::pair(block, block_usable_bytes);
  };
  for (int i = 0; i < kFilterCount; ++i) filters.push_back(allocate(65536 + random() % (15 * 65536)).first);
  for (uint64_t evicted_bytes = 0; usable_bytes < kLiveBytes || evicted_bytes < 3 * kLiveBytes;) {
    while (usable_bytes >= kLiveBytes) {
      const auto [block, charged_bytes] = blocks.front();
      usable_bytes -= charged_bytes;
      evicted_bytes += charged_bytes;
      allocator->Deallocate(block);
      blocks.pop_front();
    }
    blocks.push_back(allocate(least + random() % (most - least + 1)));
  }
  const PoolStats stats = rocksdb::PoolOf(*allocator)->Stats();
  const double share = static_cast<double>(usable_bytes) / static_cast<double>(stats.FootprintBytes());
  WriteFigures("usable_to_footprint_" + std::to_string(least), {{"usable_to_footprint", share}});
  EXPECT_LE(share, 1.02);
  // Sizes spread evenly over 256 B take several classes, whose slabs are not all full: up to 1.025 of the payload.
  EXPECT_GE(share, least < most ? 0.97 : 0.98) << stats.ToText();
  EXPECT_EQ(rocksdb::Fallback(*allocator)->count, 0u);
  for (const auto& [block, charged_bytes] : blocks) allocator->Deallocate(block);
  for (void* const block : filters) allocator->Deallocate(block);
}

INSTANTIATE_TEST_SUITE_P(Blocks, UsableSizes,
                         ::testing::Values(std::pair{3840, 4095}, std::pair{4096, 4351}, std::pair{16128, 16383},
                                           std::pair{3746, 3746}),
                         [](const auto& sizes) { return std::to_string(sizes.param.first); });

}  // namespace
}  // namespace hugepool::testing
