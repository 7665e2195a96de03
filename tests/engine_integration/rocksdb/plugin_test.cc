// In a RocksDB that was built with hugepool as a plugin, options by text find it without a call. source_build_test.sh builds both.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/object_registry.h>

#include <memory>
#include <string>

#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

TEST(Plugin, OptionsByTextFindTheAllocatorWithoutACall) {
  ::rocksdb::ConfigOptions config;
  config.ignore_unsupported_options = false;
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator;
  const ::rocksdb::Status status = ::rocksdb::MemoryAllocator::CreateFromString(
      config, "id=HugepoolAllocator; capacity=64M; huge_pages=off", &allocator);
  ASSERT_TRUE(status.ok()) << status.ToString();
  ASSERT_NE(allocator, nullptr);

  ScratchDir dir;
  ::rocksdb::LRUCacheOptions cache;
  cache.capacity = size_t{1} << 20;
  cache.memory_allocator = allocator;
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = ::rocksdb::NewLRUCache(cache);
  ::rocksdb::Options options;
  options.create_if_missing = true;
  options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
  ::rocksdb::DB* opened = nullptr;
  ASSERT_TRUE(::rocksdb::DB::Open(options, dir / "db", &opened).ok());
  const std::unique_ptr<::rocksdb::DB> db(opened);
  const auto value_of = [](int i) { return std::string(400, static_cast<char>('a' + i % 26)) + std::to_string(i); };
  for (int i = 0; i < 20'000; ++i) ASSERT_TRUE(db->Put({}, std::to_string(i), value_of(i)).ok());
  ASSERT_TRUE(db->Flush({}).ok());
  std::string value;
  for (int i = 0; i < 20'000; ++i) {
    ASSERT_TRUE(db->Get({}, std::to_string(i), &value).ok()) << i;
    ASSERT_EQ(value, value_of(i));
  }
  EXPECT_GT(rocksdb::AllocationCount(*allocator).value_or(0), 1000u);
  EXPECT_EQ(rocksdb::Fallback(*allocator)->count, 0u);
}

}  // namespace
}  // namespace hugepool::testing
