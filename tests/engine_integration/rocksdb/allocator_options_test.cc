// A HugepoolAllocator by text: what is written is what the pool gets, what is read back makes the same again, and what cannot
// be is refused with a Status that names it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/convenience.h>
#include <rocksdb/utilities/object_registry.h>

#include <string>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {
namespace {

using ::rocksdb::MemoryAllocator;
using ::rocksdb::Status;
using ::testing::AllOf;
using ::testing::HasSubstr;

class AllocatorByText : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { ASSERT_EQ(rocksdb::RegisterHugepool(*::rocksdb::ObjectLibrary::Default(), ""), 1); }
  AllocatorByText() { config_.ignore_unsupported_options = false; }

  Status Create(const std::string& text) { return MemoryAllocator::CreateFromString(config_, text, &allocator_); }
  std::string Option(const std::string& name) {
    std::string value;
    const Status status = allocator_->GetOption(config_, name, &value);
    return status.ok() ? value : status.ToString();
  }

  ::rocksdb::ConfigOptions config_;
  std::shared_ptr<MemoryAllocator> allocator_;
};

TEST_F(AllocatorByText, EveryOptionReachesThePool) {
  const Status status = Create(
      "id=HugepoolAllocator; capacity=64M; huge_pages=off; placement=local_strict; populate_at_start=all; "
      "wait_for_huge_pages_seconds=3; decay_seconds=4; cpu_cache=locked; cache_bytes_per_cpu=512K; "
      "learn_size_classes=off; name=blocks; block_bytes=4112:20000; watch_interval_seconds=9");
  ASSERT_TRUE(status.ok()) << status.ToString();
  const auto pool = rocksdb::PoolOf(*allocator_);
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(pool->options().ToString(),
            "capacity=64M; huge_pages=off; page=2M; placement=local_strict; populate_at_start=all; "
            "wait_for_huge_pages_seconds=3; decay_seconds=4; cpu_cache=locked; cache_bytes_per_cpu=512K; "
            "learn_size_classes=off; name=blocks");
  for (const auto& [bytes, class_bytes] : {std::pair{4112, 4160}, {20000, 20032}}) {
    void* const block = allocator_->Allocate(static_cast<size_t>(bytes));
    EXPECT_EQ(pool->UsableSize(block), static_cast<size_t>(class_bytes)) << "rounded up to a cache line only";
    allocator_->Deallocate(block);
  }
  // Each by its own name, and all of them by RocksDB's typed look.
  EXPECT_EQ(Option("capacity"), "64M");
  EXPECT_EQ(Option("placement"), "local_strict");
  EXPECT_EQ(Option("block_bytes"), "4112:20000");
  EXPECT_EQ(Option("watch_interval_seconds"), "9");
  EXPECT_EQ(Option("stats_file"), "");
  const auto* const options = allocator_->GetOptions<rocksdb::AllocatorOptions>();
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->cache_bytes_per_cpu, size_t{512} << 10);
  EXPECT_EQ(options->block_bytes, (std::vector<size_t>{4112, 20000}));
}

TEST_F(AllocatorByText, SizesAreLearnedUnlessToldOtherwise) {
  ASSERT_TRUE(Create("id=HugepoolAllocator; capacity=8M; huge_pages=off").ok());
  EXPECT_TRUE(rocksdb::PoolOf(*allocator_)->options().learn_size_classes);
  EXPECT_TRUE(rocksdb::AllocatorOptions().learn_size_classes);
}

TEST_F(AllocatorByText, ItsTextMakesTheSameAgain) {
  ASSERT_TRUE(Create("id=HugepoolAllocator; capacity=8M; huge_pages=off; block_bytes=4112; name=a, b").ok());
  const std::string text = allocator_->ToString(config_);
  std::shared_ptr<MemoryAllocator> again;
  ASSERT_TRUE(MemoryAllocator::CreateFromString(config_, text, &again).ok());
  EXPECT_EQ(again, allocator_) << "while it lives, its text means the object itself";
  ASSERT_TRUE(MemoryAllocator::CreateFromString(::rocksdb::ConfigOptions(), text, &again).ok());
  EXPECT_NE(again, allocator_) << "in another registry it does not";

  // Another process, or a later one, makes one with the same options.
  std::string options;
  ASSERT_TRUE(allocator_->GetOptionString(config_, &options).ok());
  ASSERT_TRUE(MemoryAllocator::CreateFromString(config_, "id=HugepoolAllocator;" + options, &again).ok()) << options;
  EXPECT_NE(again, allocator_);
  EXPECT_EQ(rocksdb::PoolOf(*again)->options().ToString(), rocksdb::PoolOf(*allocator_)->options().ToString());
  std::string block_bytes;
  ASSERT_TRUE(again->GetOption(config_, "block_bytes", &block_bytes).ok());
  EXPECT_EQ(block_bytes, "4112");
  allocator_.reset();
  again.reset();
  const Status status = Create(text);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_EQ(Option("name"), "a, b");
}

// RocksDB's registry shares what it finds by a name: two caches that ask for pools of their own must get two.
TEST_F(AllocatorByText, TwoWhoAskGetTwo) {
  std::shared_ptr<MemoryAllocator> other;
  ASSERT_TRUE(Create("id=HugepoolAllocator; capacity=8M; huge_pages=off").ok());
  ASSERT_TRUE(
      MemoryAllocator::CreateFromString(config_, "id=HugepoolAllocator; capacity=16M; huge_pages=off", &other).ok());
  EXPECT_NE(rocksdb::PoolOf(*allocator_), rocksdb::PoolOf(*other));
  EXPECT_EQ(rocksdb::PoolOf(*other)->options().capacity_bytes, size_t{16} << 20);
}

TEST_F(AllocatorByText, WhatIsWrongIsNamedWithWhatIsAllowed) {
  const struct {
    const char* options;
    const char* value;
    const char* allowed;
  } table[] = {
      {"huge_pages=off", "capacity_bytes = 0", "Allowed: 2M to"},
      {"capcity=8M", "capcity", "Allowed: capacity, huge_pages, page,"},
      {"capcity=8M", "capcity", "name, block_bytes, record_sizes, stats_file, watch_interval_seconds."},
      {"capacity=8X", "capacity: '8X'", "K, M, G, T"},
      {"capacity=8M; huge_pages=yes", "huge_pages = 'yes'", "required, preferred, transparent, off"},
      {"capacity=8M; placement=node(999)", "999", "nodes"},
      {"capacity=8M; block_bytes=4112:x", "block_bytes: 'x'", "whole number"},
      {"capacity=8M; block_bytes=4112:", "block_bytes: ''", "whole number"},
      {"capacity=8M; block_bytes=:4112", "block_bytes: ''", "whole number"},
      {"capacity=8M; block_bytes=1M", "bytes = 1048576", "1 to 256K"},
      {"capacity=8M; watch_interval_seconds=soon", "watch_interval_seconds: 'soon'", "1 to 3600"},
      {"capacity=8M; huge_pages=off; stats_file=/x; watch_interval_seconds=0", "interval_seconds = 0", "1 to 3600"},
      {"capacity=8M; huge_pages=off; stats_file=/not/there", "/not/there", "may write"},
  };
  for (const auto& [options, value, allowed] : table) {
    const Status status = Create(std::string("id=HugepoolAllocator; ") + options);
    EXPECT_FALSE(status.ok()) << options;
    EXPECT_THAT(status.ToString(), AllOf(HasSubstr(value), HasSubstr(allowed))) << options;
    EXPECT_EQ(allocator_, nullptr) << options;
  }
}

// A machine without pages is no mistake in the text, and no reason to go on without an allocator.
TEST_F(AllocatorByText, WhatTheMachineRefusesIsAnErrorToo) {
  config_.ignore_unsupported_options = true;
  const Status status = Create("id=HugepoolAllocator; capacity=8G; huge_pages=required");
  EXPECT_TRUE(status.IsMemoryLimit()) << status.ToString();
  EXPECT_EQ(allocator_, nullptr);
}

TEST_F(AllocatorByText, OnceMadeItIsFixed) {
  ASSERT_TRUE(Create("id=HugepoolAllocator; capacity=8M; huge_pages=off").ok());
  for (const Status& status : {allocator_->ConfigureFromString(config_, "capacity=16M"),
                               allocator_->ConfigureOption(config_, "capacity", "16M")}) {
    EXPECT_TRUE(status.IsInvalidArgument());
    EXPECT_THAT(status.ToString(), AllOf(HasSubstr("capacity"), HasSubstr("SetCapacity")));
  }
  EXPECT_EQ(Option("capacity"), "8M");
  EXPECT_EQ(rocksdb::PoolOf(*allocator_)->Stats().capacity_bytes, size_t{8} << 20);
}

// RocksDB's registry hands out objects that nobody has prepared.
TEST_F(AllocatorByText, WithoutAPoolMallocServes) {
  ASSERT_TRUE(config_.registry->NewSharedObject<MemoryAllocator>("HugepoolAllocator", &allocator_).ok());
  EXPECT_EQ(rocksdb::PoolOf(*allocator_), nullptr);
  void* const block = allocator_->Allocate(1000);
  ASSERT_NE(block, nullptr);
  EXPECT_GE(allocator_->UsableSize(block, 1000), 1000u);
  allocator_->Deallocate(block);
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, 1u);
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->live_count, 0u);
}

// Made in code, it says of itself what it would say made by text.
TEST_F(AllocatorByText, AnAllocatorOfAPoolShowsThePoolsOptions) {
  PoolOptions options;
  options.capacity_bytes = size_t{8} << 20;
  options.huge_pages = HugePages::kOff;
  allocator_ = rocksdb::NewMemoryAllocator(Pool::Create(options, nullptr));
  ASSERT_NE(allocator_, nullptr);
  EXPECT_EQ(Option("capacity"), "8M");
  EXPECT_EQ(Option("learn_size_classes"), "off");
  EXPECT_EQ(Option("block_bytes"), "");
}

TEST_F(AllocatorByText, WithoutRegistrationTheIdIsNotKnown) {
  ::rocksdb::ConfigOptions config;
  config.ignore_unsupported_options = false;
  config.registry = std::make_shared<::rocksdb::ObjectRegistry>(std::make_shared<::rocksdb::ObjectLibrary>("alone"));
  const char* const text = "id=HugepoolAllocator; capacity=8M; huge_pages=off";
  EXPECT_TRUE(MemoryAllocator::CreateFromString(config, text, &allocator_).IsNotSupported());
  config.registry->AddLibrary("hugepool", rocksdb::RegisterHugepool, "");
  const Status status = MemoryAllocator::CreateFromString(config, text, &allocator_);
  ASSERT_TRUE(status.ok()) << status.ToString();
  EXPECT_NE(rocksdb::PoolOf(*allocator_), nullptr);
}

}  // namespace
}  // namespace hugepool::testing
