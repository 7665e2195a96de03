// The adapter's promises, most without a database: see hugepool/rocksdb.h. What RocksDB asks of any allocator: contract_test.cc.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <malloc.h>
#include <rocksdb/cache.h>

#include <cstring>
#include <thread>
#include <vector>

#include "engine_integration/rocksdb/plain_user.h"
#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

std::shared_ptr<Pool> MakePool(size_t capacity_bytes) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = HugePages::kOff;
  Error error;
  std::shared_ptr<Pool> pool = Pool::Create(options, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

// A user's wrapper that names its inner allocator, as RocksDB's own wrappers do.
class Wrapper final : public ::rocksdb::MemoryAllocator {
 public:
  explicit Wrapper(std::shared_ptr<::rocksdb::MemoryAllocator> inner) : inner_(std::move(inner)) {}
  const char* Name() const override { return "wrapper"; }
  const ::rocksdb::Customizable* Inner() const override { return inner_.get(); }
  void* Allocate(size_t bytes) override { return inner_->Allocate(bytes); }
  void Deallocate(void* block) override { inner_->Deallocate(block); }

 private:
  std::shared_ptr<::rocksdb::MemoryAllocator> inner_;
};

class ForeignAllocator final : public ::rocksdb::MemoryAllocator {
 public:
  const char* Name() const override { return "foreign"; }
  void* Allocate(size_t bytes) override { return std::malloc(bytes); }
  void Deallocate(void* block) override { std::free(block); }
};

TEST(RocksdbAllocator, NoPoolGivesNoAllocator) {
  EXPECT_EQ(rocksdb::NewMemoryAllocator(std::shared_ptr<Pool>()), nullptr);
}

TEST(RocksdbAllocator, RefusedOptionsAreExplained) {
  rocksdb::AllocatorOptions options;  // without a capacity
  Error error;
  EXPECT_EQ(rocksdb::NewMemoryAllocator(options, &error), nullptr);
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_FALSE(error.message.empty());
  EXPECT_EQ(rocksdb::NewMemoryAllocator(options, nullptr), nullptr);
}

TEST(RocksdbAllocator, WorksWithoutExceptionsAndTypeInformation) { EXPECT_TRUE(PlainUserIsServed()); }

// What the cache charges is what a block takes of the pool, and 1/160 less where the request is that much smaller.
TEST(RocksdbAllocator, UsableSizeIsTheTrueFootprintWithinACacheLine) {
  const auto pool = MakePool(64 * kMiB);
  const auto allocator = rocksdb::NewMemoryAllocator(pool);
  for (const size_t bytes : {size_t{1}, size_t{100}, size_t{3746}, size_t{4096}, size_t{16177}, 3 * kMiB}) {
    const uint64_t before = pool->Stats().allocated_bytes;
    void* block = allocator->Allocate(bytes);
    const size_t taken_bytes = pool->Stats().allocated_bytes - before;
    EXPECT_EQ(allocator->UsableSize(block, bytes), std::max(bytes, taken_bytes - taken_bytes / 160)) << bytes;
    EXPECT_EQ(allocator->UsableSize(block, taken_bytes), taken_bytes) << "never more than there is";
    allocator->Deallocate(block);
  }
}

TEST(RocksdbAllocator, FullPoolFallsBackToMallocAndComesBack) {
  const auto pool = MakePool(4 * kMiB);
  const auto allocator = rocksdb::NewMemoryAllocator(pool);
  constexpr size_t kBlockBytes = 4096;
  std::vector<void*> blocks;
  size_t malloc_bytes = 0, malloc_count = 0;
  for (size_t i = 0; i < 2048; ++i) {  // twice the capacity
    void* block = allocator->Allocate(kBlockBytes);
    ASSERT_NE(block, nullptr);
    std::memset(block, static_cast<int>(i), kBlockBytes);
    EXPECT_GE(allocator->UsableSize(block, kBlockBytes), kBlockBytes);
    if (!pool->Owns(block)) {
      ++malloc_count;
      malloc_bytes += malloc_usable_size(block);
      EXPECT_EQ(allocator->UsableSize(block, kBlockBytes), malloc_usable_size(block));
    }
    blocks.push_back(block);
  }
  EXPECT_GE(malloc_count, 1024u);
  EXPECT_LT(malloc_count, 2048u);
  rocksdb::FallbackStats fallback = *rocksdb::Fallback(*allocator);
  EXPECT_EQ(fallback.count, malloc_count);
  EXPECT_EQ(fallback.bytes, malloc_bytes);
  EXPECT_EQ(fallback.live_count, malloc_count);
  EXPECT_EQ(fallback.live_bytes, malloc_bytes);
  for (size_t i = 0; i < blocks.size(); ++i) {
    const unsigned char* bytes = static_cast<unsigned char*>(blocks[i]);
    ASSERT_EQ(bytes[0], static_cast<unsigned char>(i));
    ASSERT_EQ(bytes[kBlockBytes - 1], static_cast<unsigned char>(i));
    allocator->Deallocate(blocks[i]);
  }
  fallback = *rocksdb::Fallback(*allocator);
  EXPECT_EQ(fallback.count, malloc_count);
  EXPECT_EQ(fallback.live_count, 0u);
  EXPECT_EQ(fallback.live_bytes, 0u);
  EXPECT_EQ(pool->Stats().allocated_count, 0u);

  void* block = allocator->Allocate(kBlockBytes);
  EXPECT_TRUE(pool->Owns(block)) << "the pool has room again and has to be asked first";
  allocator->Deallocate(block);
}

TEST(RocksdbAllocator, BlockAboveTheCapacityIsServed) {
  const auto allocator = rocksdb::NewMemoryAllocator(MakePool(4 * kMiB));
  void* block = allocator->Allocate(16 * kMiB);
  ASSERT_NE(block, nullptr);
  std::memset(block, 1, 16 * kMiB);
  EXPECT_EQ(rocksdb::Fallback(*allocator)->live_count, 1u);
  EXPECT_GE(rocksdb::Fallback(*allocator)->live_bytes, 16 * kMiB);
  allocator->Deallocate(block);
  EXPECT_EQ(rocksdb::Fallback(*allocator)->live_count, 0u);
}

TEST(RocksdbAllocator, NothingAndNullAreServed) {
  const auto allocator = rocksdb::NewMemoryAllocator(MakePool(4 * kMiB));
  void* block = allocator->Allocate(0);
  EXPECT_NE(block, nullptr);
  allocator->Deallocate(block);
  allocator->Deallocate(nullptr);
  EXPECT_EQ(rocksdb::Fallback(*allocator)->count, 0u);
}

TEST(RocksdbAllocator, CountsAreExactUnderThreads) {
  const auto pool = MakePool(4 * kMiB);
  const auto allocator = rocksdb::NewMemoryAllocator(pool);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      std::vector<void*> blocks;
      for (int i = 0; i < 3000; ++i) {
        blocks.push_back(allocator->Allocate(3746));
        if (blocks.size() < 1500) continue;
        allocator->Deallocate(blocks.front());
        blocks.erase(blocks.begin());
      }
      for (void* block : blocks) allocator->Deallocate(block);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const rocksdb::FallbackStats fallback = *rocksdb::Fallback(*allocator);
  EXPECT_GT(fallback.count, 0u) << "1,500 blocks of 3,746 B do not fit into 4 MiB, not even those of one thread alone";
  EXPECT_EQ(fallback.live_count, 0u);
  EXPECT_EQ(fallback.live_bytes, 0u);
  EXPECT_EQ(pool->Stats().allocated_count, 0u);
}

TEST(RocksdbAllocator, FoundThroughWrappersAndNotInOthers) {
  const auto pool = MakePool(4 * kMiB);
  const auto allocator = rocksdb::NewMemoryAllocator(pool);
  const Wrapper wrapper(allocator);
  EXPECT_EQ(rocksdb::PoolOf(wrapper), pool);
  EXPECT_TRUE(rocksdb::Fallback(wrapper).has_value());
  const ForeignAllocator foreign;
  EXPECT_EQ(rocksdb::PoolOf(foreign), nullptr);
  EXPECT_FALSE(rocksdb::Fallback(foreign).has_value());
}

TEST(RocksdbAllocator, CacheKeepsAllocatorAndPoolAlive) {
  std::weak_ptr<Pool> watched;
  std::shared_ptr<::rocksdb::Cache> cache;
  RealDatabase database(2000);
  ASSERT_EQ(database.Create(), "");
  {
    const auto pool = MakePool(16 * kMiB);
    watched = pool;
    cache = MakeCache(CacheKind::kLru, 8 * kMiB, rocksdb::NewMemoryAllocator(pool));
  }
  ASSERT_EQ(database.Open(cache), "");
  ASSERT_EQ(database.ReadAtRandom(2, 2000), "");
  ASSERT_NE(watched.lock(), nullptr);
  EXPECT_GT(watched.lock()->Stats().allocated_count, 0u);
  database.Close();
  cache.reset();
  EXPECT_EQ(watched.lock(), nullptr) << "somebody else holds the pool";
}

}  // namespace
}  // namespace hugepool::testing
