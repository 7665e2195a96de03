// One pool wherever RocksDB takes an allocator: block caches with filters and indexes in them, blob caches, a compressed second tier,
// column families, databases side by side. Values right, nothing on malloc, everything back at the end.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/secondary_cache.h>
#include <rocksdb/table.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

using ::rocksdb::ColumnFamilyHandle;
using ::rocksdb::DB;
using ::rocksdb::Status;

constexpr size_t kMiB = size_t{1} << 20;
constexpr int kRecordCount = 40000;

std::string KeyOf(int record) { return "key" + std::to_string(record); }

class Everywhere : public ::testing::TestWithParam<CacheKind> {
 protected:
  Everywhere() {
    rocksdb::AllocatorOptions options;
    options.capacity_bytes = 512 * kMiB;
    options.huge_pages = HugePages::kOff;
    allocator_ = rocksdb::NewMemoryAllocator(options, nullptr);
    EXPECT_NE(allocator_, nullptr);
    pool_ = rocksdb::PoolOf(*allocator_);
  }
  ~Everywhere() override {
    EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, 0u);
    EXPECT_EQ(pool_->Stats().allocated_count, 0u) << "something was not given back";
    std::string why;
    EXPECT_TRUE(pool_->CheckInvariants(&why)) << why;
  }

  std::shared_ptr<::rocksdb::Cache> Cache(size_t bytes) { return MakeCache(GetParam(), bytes, allocator_); }

  static ::rocksdb::Options OptionsWith(const ::rocksdb::BlockBasedTableOptions& table) {
    ::rocksdb::Options options;
    options.create_if_missing = true;
    options.compression = ::rocksdb::kNoCompression;
    options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
    return options;
  }
  std::unique_ptr<DB> Open(const ::rocksdb::Options& options, const std::string& name) {
    DB* db = nullptr;
    const Status status = DB::Open(options, folder_ + "/" + name, &db);
    EXPECT_TRUE(status.ok()) << status.ToString();
    return std::unique_ptr<DB>(db);
  }
  // Compresses to about a half.
  static std::string ValueOf(int record, size_t bytes) {
    std::string value(bytes, 'x');
    unsigned word = static_cast<unsigned>(record) * 2654435761U + 1;
    for (size_t i = 0; i < bytes / 2; ++i) value[i] = static_cast<char>(word = word * 1664525U + 1013904223U);
    return value;
  }
  static void Write(DB& db, ColumnFamilyHandle* family, int record_count, size_t value_bytes) {
    ::rocksdb::WriteOptions options;
    options.disableWAL = true;
    for (int record = 0; record < record_count; ++record) {
      ASSERT_TRUE(db.Put(options, family, KeyOf(record), ValueOf(record, value_bytes)).ok());
    }
    ASSERT_TRUE(db.Flush(::rocksdb::FlushOptions(), family).ok());
  }
  static void ReadAll(DB& db, ColumnFamilyHandle* family, int record_count, size_t value_bytes) {
    std::string value;
    for (int record = 0; record < record_count; ++record) {
      const Status status = db.Get(::rocksdb::ReadOptions(), family, KeyOf(record), &value);
      ASSERT_TRUE(status.ok()) << KeyOf(record) << ": " << status.ToString();
      ASSERT_EQ(value, ValueOf(record, value_bytes)) << KeyOf(record);
    }
  }
  uint64_t AllocatedBytes() const { return pool_->Stats().allocated_bytes; }

  const ScratchDir scratch_;
  const std::string& folder_ = scratch_.path();
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator_;
  std::shared_ptr<Pool> pool_;
};

// Few and large: a filter of 40,000 keys is 50 KB, one of a million 1.2 MB.
TEST_P(Everywhere, FiltersAndIndexesLieInThePoolToo) {
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = Cache(256 * kMiB);  // of 64 shards, each of which has room for the filter
  table.filter_policy.reset(::rocksdb::NewBloomFilterPolicy(10));
  table.cache_index_and_filter_blocks = true;
  ::rocksdb::Options options = OptionsWith(table);
  options.write_buffer_size = 256 * kMiB;
  const auto db = Open(options, "filters");
  constexpr int kManyRecords = 1'000'000;
  Write(*db, db->DefaultColumnFamily(), kManyRecords, 16);
  EXPECT_GT(AllocatedBytes(), kMiB)
      << "the filter and the index, which RocksDB reads when it opens the file it has written";
  const uint64_t before = AllocatedBytes();
  std::string value;
  ASSERT_TRUE(db->Get(::rocksdb::ReadOptions(), KeyOf(5) + "x", &value).IsNotFound());
  EXPECT_EQ(AllocatedBytes(), before) << "the filter says no, so no block was read";
  for (int record = 0; record < kManyRecords; record += 997) {
    ASSERT_TRUE(db->Get(::rocksdb::ReadOptions(), KeyOf(record), &value).ok());
    ASSERT_EQ(value, ValueOf(record, 16));
  }
}

TEST_P(Everywhere, BlobsLieInThePool) {
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = Cache(8 * kMiB);
  ::rocksdb::Options options = OptionsWith(table);
  options.enable_blob_files = true;
  options.min_blob_size = 1000;
  options.blob_cache = Cache(16 * kMiB);
  const auto db = Open(options, "blobs");
  Write(*db, db->DefaultColumnFamily(), 4000, 10'000);
  ReadAll(*db, db->DefaultColumnFamily(), 4000, 10'000);  // 40 MB
  EXPECT_GT(AllocatedBytes(), 8 * kMiB);
  EXPECT_GT(options.blob_cache->GetUsage(), 8 * kMiB);
}

// What the first tier evicts is compressed into the second, and comes back. RocksDB 7.8.3 has none below HyperClock caches.
class SecondTier : public Everywhere {};
TEST_P(SecondTier, LiesInThePoolToo) {
  ::rocksdb::CompressedSecondaryCacheOptions second;
  second.capacity = 16 * kMiB;
  second.memory_allocator = rocksdb::NewMemoryAllocator(pool_);  // counts for itself
  ::rocksdb::LRUCacheOptions first;
  first.capacity = 2 * kMiB;
  first.memory_allocator = allocator_;
  first.secondary_cache = ::rocksdb::NewCompressedSecondaryCache(second);
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = ::rocksdb::NewLRUCache(first);
  const auto db = Open(OptionsWith(table), "two_tiers");
  Write(*db, db->DefaultColumnFamily(), kRecordCount, 400);  // 17 MB
  // At random among 6 MB, so that a block is evicted more than once: the first time leaves only a mark.
  std::mt19937 random(1);
  std::string value;
  for (int i = 0; i < 200'000; ++i) {
    const int record = static_cast<int>(random() % 15'000);
    ASSERT_TRUE(db->Get(::rocksdb::ReadOptions(), KeyOf(record), &value).ok());
    ASSERT_EQ(value, ValueOf(record, 400));
  }
  EXPECT_GT(*rocksdb::AllocationCount(*second.memory_allocator), 10'000u);
  EXPECT_EQ(rocksdb::Fallback(*second.memory_allocator)->count, 0u);
}

// With LZ4 and large blocks each miss takes a buffer for the compressed block too.
TEST_P(Everywhere, CompressedBlocksAreReadThroughThePool) {
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = Cache(4 * kMiB);
  table.block_size = 64 << 10;
  ::rocksdb::Options options = OptionsWith(table);
  options.compression = ::rocksdb::kLZ4Compression;
  const auto db = Open(options, "lz4");
  Write(*db, db->DefaultColumnFamily(), kRecordCount, 400);
  const uint64_t before = *rocksdb::AllocationCount(*allocator_);
  ReadAll(*db, db->DefaultColumnFamily(), kRecordCount, 400);
  EXPECT_GT(*rocksdb::AllocationCount(*allocator_), before + 200);
}

TEST_P(Everywhere, ManyFamiliesAndTwoDatabasesShareOnePool) {
  const auto shared = Cache(8 * kMiB);
  std::vector<std::unique_ptr<DB>> databases;
  for (const char* name : {"one", "other"}) {
    ::rocksdb::BlockBasedTableOptions table;
    table.block_cache = shared;
    databases.push_back(Open(OptionsWith(table), name));
    DB& db = *databases.back();
    std::vector<ColumnFamilyHandle*> families;
    for (int i = 0; i < 4; ++i) {
      table.block_cache = i == 0 ? shared : Cache(2 * kMiB);
      ColumnFamilyHandle* family = nullptr;
      ASSERT_TRUE(db.CreateColumnFamily(OptionsWith(table), "family" + std::to_string(i), &family).ok());
      families.push_back(family);
      Write(db, family, 10000, 400);
    }
    for (ColumnFamilyHandle* const family : families) {
      ReadAll(db, family, 10000, 400);
      ASSERT_TRUE(db.DestroyColumnFamilyHandle(family).ok());
    }
  }
  EXPECT_GT(AllocatedBytes(), 8 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(Kinds, SecondTier, ::testing::Values(CacheKind::kLru), [](const auto&) { return "lru"; });
INSTANTIATE_TEST_SUITE_P(Kinds, Everywhere, ::testing::Values(CacheKind::kLru, CacheKind::kHyperClock),
                         [](const auto& kind) { return kind.param == CacheKind::kLru ? "lru" : "hyper_clock"; });

}  // namespace
}  // namespace hugepool::testing
