// What RocksDB's own tests ask of an allocator, in every mode of ours: its memory_allocator_test, what block_fetcher_test counts,
// and compressed_secondary_cache_test where it takes an allocator.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/perf_context.h>
#include <rocksdb/secondary_cache.h>
#include <rocksdb/utilities/object_registry.h>

#include <cstring>
#include <memory>
#include <string>

#include "engine_integration/rocksdb/allocator_mode.h"
#include "engine_integration/rocksdb/real_database.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

using ::rocksdb::MemoryAllocator;
using ::rocksdb::Status;

constexpr size_t kMiB = size_t{1} << 20;

class AllocatorContract : public InEveryMode {
 protected:
  AllocatorContract() : InEveryMode(16 * kMiB) {}
};

TEST_P(AllocatorContract, ServesAndFreesABlock) {
  void* const block = allocator_->Allocate(1024);
  ASSERT_NE(block, nullptr);
  EXPECT_TRUE(pool_->Owns(block));
  EXPECT_GE(allocator_->UsableSize(block, 1024), 1024u);
  std::memset(block, 0x5a, allocator_->UsableSize(block, 1024));
  allocator_->Deallocate(block);
  EXPECT_EQ(pool_->Stats().allocated_count, 0u);
}

// The text of an allocator leads back to the very object, and its options make another like it.
TEST_P(AllocatorContract, TextLeadsBackToTheObject) {
  ::rocksdb::ConfigOptions config;
  config.registry = ::rocksdb::ObjectRegistry::NewInstance();
  config.registry->AddLibrary("hugepool", rocksdb::RegisterHugepool, "");
  config.ignore_unknown_options = false;
  config.ignore_unsupported_options = false;
  const std::string text = "id=HugepoolAllocator; " + static_cast<const PoolOptions&>(options_).ToString();
  std::shared_ptr<MemoryAllocator> made, found, other;
  Status status = MemoryAllocator::CreateFromString(config, text, &made);
  ASSERT_TRUE(status.ok()) << text << ": " << status.ToString();
  ASSERT_NE(made, nullptr);
  EXPECT_EQ(rocksdb::PoolOf(*made)->options().ToString(), pool_->options().ToString());
  status = MemoryAllocator::CreateFromString(config, made->ToString(config), &found);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(found, made);
  ASSERT_TRUE(MemoryAllocator::CreateFromString(config, text, &other).ok());
  EXPECT_NE(other, made);
}

// 200 keys come back through a cache of 1 MB, in which nothing is before and their blocks are afterwards.
TEST_P(AllocatorContract, SmallDatabaseFillsItsCache) {
  RealDatabase database(200);
  ASSERT_EQ(database.Create(), "");
  const auto cache = MakeCache(cache_kind(), kMiB, allocator_);
  ASSERT_EQ(database.Open(cache), "");
  const size_t usage_before = cache->GetUsage();
  const uint64_t allocated_bytes_before = pool_->Stats().allocated_bytes;
  EXPECT_LT(allocated_bytes_before, 4096u) << "the index of one file";
  ASSERT_EQ(database.ReadInOrder(0, 200), "");
  EXPECT_GE(cache->GetUsage(), usage_before + 200 * 400);
  EXPECT_GE(pool_->Stats().allocated_bytes, allocated_bytes_before + 200 * 400);
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, 0u);
}

// No block is copied into a second one on its way, and a hit asks for none.
TEST_P(AllocatorContract, OneAllocationForEachBlockThatIsRead) {
  RealDatabase database(4000);
  ASSERT_EQ(database.Create(), "");
  const auto cache = MakeCache(cache_kind(), 8 * kMiB, allocator_);
  ASSERT_EQ(database.Open(cache), "");
  ::rocksdb::SetPerfLevel(::rocksdb::PerfLevel::kEnableCount);
  ::rocksdb::get_perf_context()->Reset();
  const uint64_t before = *rocksdb::AllocationCount(*allocator_);
  ASSERT_EQ(database.ReadInOrder(0, 4000), "");
  const uint64_t read_count = ::rocksdb::get_perf_context()->block_read_count;
  EXPECT_GE(read_count, 4000u * 400 / 4096);
  EXPECT_EQ(*rocksdb::AllocationCount(*allocator_), before + read_count);
  ASSERT_EQ(database.ReadInOrder(0, 4000), "");
  ::rocksdb::SetPerfLevel(::rocksdb::PerfLevel::kDisable);
  EXPECT_EQ(*rocksdb::AllocationCount(*allocator_), before + read_count);
}

INSTANTIATE_TEST_SUITE_P(Modes, AllocatorContract, ::testing::ValuesIn(EveryMode()), NameOfMode);

// The second tier by its own interface. What it holds are copies in blocks of the allocator, compressed or not, whole or in chunks.
class SecondTierContract : public InEveryMode {
 protected:
  SecondTierContract() : InEveryMode(16 * kMiB) {}

  // Half of it compresses.
  static std::string ValueOf(uint64_t number, size_t bytes) {
    std::string value(bytes, 'x');
    Stamp(value.data(), bytes / 2, number);
    return value;
  }
  std::shared_ptr<::rocksdb::SecondaryCache> MakeTier(size_t capacity_bytes, ::rocksdb::CompressionType compression,
                                                      bool in_chunks) {
    ::rocksdb::CompressedSecondaryCacheOptions options;
    options.capacity = capacity_bytes;
    options.num_shard_bits = 0;
    options.compression_type = compression;
    options.enable_custom_split_merge = in_chunks;
    options.memory_allocator = allocator_;
    return ::rocksdb::NewCompressedSecondaryCache(options);
  }

  // Twice: the first time leaves only a mark.
  static Status Insert(::rocksdb::SecondaryCache& tier, const std::string& key, std::string value) {
    const Status marked = tier.Insert(key, &value, &kHelper);
    return marked.ok() ? tier.Insert(key, &value, &kHelper) : marked;
  }
  // "" where it is not.
  static std::string Lookup(::rocksdb::SecondaryCache& tier, const std::string& key, bool advise_erase) {
    bool stays = false;
    const auto found = tier.Lookup(key, Create, /*wait=*/true, advise_erase, stays);
    if (found == nullptr) return "";
    const std::unique_ptr<std::string> value(static_cast<std::string*>(found->Value()));
    return *value;
  }

  static size_t SizeOf(void* value) { return static_cast<std::string*>(value)->size(); }
  static Status Save(void* value, size_t offset, size_t bytes, void* out) {
    std::memcpy(out, static_cast<std::string*>(value)->data() + offset, bytes);
    return Status::OK();
  }
  static Status RefuseToSave(void*, size_t, size_t, void*) { return Status::NotSupported(); }
  static void Delete(const ::rocksdb::Slice&, void* value) { delete static_cast<std::string*>(value); }
  static Status Create(const void* bytes, size_t byte_count, void** value, size_t* charge) {
    *value = new std::string(static_cast<const char*>(bytes), byte_count);
    *charge = byte_count;
    return Status::OK();
  }
  static Status RefuseToCreate(const void*, size_t, void**, size_t*) { return Status::NotSupported(); }
  static inline const ::rocksdb::Cache::CacheItemHelper kHelper{SizeOf, Save, Delete};
};

TEST_P(SecondTierContract, ValuesComeBackAsTheyWere) {
  for (const auto compression : {::rocksdb::kNoCompression, ::rocksdb::kLZ4Compression}) {
    for (const bool in_chunks : {false, true}) {
      const auto tier = MakeTier(8 * kMiB, compression, in_chunks);
      const uint64_t before = *rocksdb::AllocationCount(*allocator_);
      for (const size_t bytes : {size_t{1}, size_t{500}, size_t{4096}, size_t{16384}, size_t{100'000}, kMiB}) {
        const std::string key = std::to_string(bytes);
        const std::string value = ValueOf(bytes, bytes);
        EXPECT_EQ(Lookup(*tier, key, false), "");
        ASSERT_TRUE(Insert(*tier, key, value).ok()) << bytes;
        // RocksDB's chunks are malloc's; only what it makes them from is the allocator's.
        EXPECT_EQ(pool_->Stats().allocated_count, in_chunks ? 0u : 1u);
        ASSERT_EQ(Lookup(*tier, key, false), value) << bytes;
        ASSERT_EQ(Lookup(*tier, key, true), value) << bytes;
        EXPECT_EQ(Lookup(*tier, key, false), "") << "advised to forget " << bytes;
      }
      EXPECT_GE(*rocksdb::AllocationCount(*allocator_), before + 6);
      EXPECT_EQ(pool_->Stats().allocated_count, 0u) << "what was forgotten";
    }
  }
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, 0u);
}

TEST_P(SecondTierContract, EvictsToStayWithinItsCapacity) {
  constexpr size_t kTierBytes = 64 << 10;
  const auto tier = MakeTier(kTierBytes, ::rocksdb::kNoCompression, false);
  for (uint64_t number = 0; number < 100; ++number) {
    ASSERT_TRUE(Insert(*tier, std::to_string(number), ValueOf(number, 4096)).ok());
    ASSERT_LE(pool_->Stats().allocated_bytes, kTierBytes);
  }
  EXPECT_GT(pool_->Stats().allocated_bytes, kTierBytes / 2);
  EXPECT_EQ(Lookup(*tier, "0", false), "");
  EXPECT_EQ(Lookup(*tier, "99", false), ValueOf(99, 4096));
}

TEST_P(SecondTierContract, WhatCannotBeSavedOrMadeLeavesNothing) {
  for (const auto compression : {::rocksdb::kNoCompression, ::rocksdb::kLZ4Compression}) {
    const auto tier = MakeTier(kMiB, compression, false);
    std::string value = ValueOf(1, 4096);
    const ::rocksdb::Cache::CacheItemHelper refusing{SizeOf, RefuseToSave, Delete};
    ASSERT_TRUE(tier->Insert("a", &value, &refusing).ok()) << "a mark only";
    EXPECT_FALSE(tier->Insert("a", &value, &refusing).ok());
    EXPECT_EQ(pool_->Stats().allocated_count, 0u);
    ASSERT_TRUE(Insert(*tier, "b", value).ok());
    bool stays = false;
    EXPECT_EQ(tier->Lookup("b", RefuseToCreate, true, /*advise_erase=*/true, stays), nullptr);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, SecondTierContract, ::testing::ValuesIn(EveryMode({CacheKind::kLru})), NameOfMode);

}  // namespace
}  // namespace hugepool::testing
