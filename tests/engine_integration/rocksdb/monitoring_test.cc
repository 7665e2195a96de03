// What an operator sees of an allocator: a file for a scraper, RocksDB's LOG, and a warning for each episode.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/env.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "engine_integration/rocksdb/real_database.h"
#include "scratch_dir.h"

namespace hugepool::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr size_t kMiB = size_t{1} << 20;

class Monitoring : public ::testing::Test {
 protected:
  Monitoring() {
    options_.capacity_bytes = 4 * kMiB;
    options_.huge_pages = HugePages::kOff;
    options_.name = "cache \"one\"";
    options_.watch_interval_seconds = 1;
    options_.on_warning = [this](const std::string& warning) {
      const std::lock_guard lock(mutex_);
      warnings_.push_back(warning);
    };
  }

  void Make() {
    Error error;
    allocator_ = rocksdb::NewMemoryAllocator(options_, &error);
    ASSERT_NE(allocator_, nullptr) << error.ToString();
  }
  std::vector<std::string> Warnings() {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  // The writer looks each second; the test's limit of time ends this where nothing comes.
  void WaitForWarnings(size_t count) {
    while (Warnings().size() < count) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }

  const ScratchDir scratch_;
  const std::string& folder_ = scratch_.path();
  rocksdb::AllocatorOptions options_;
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator_;
  std::mutex mutex_;
  std::vector<std::string> warnings_;  // guarded by mutex_
};

TEST_F(Monitoring, TheFileHasThePoolAndWhatMallocServed) {
  options_.stats_file = folder_ + "/cache.prom";
  Make();
  void* const small = allocator_->Allocate(4096);
  void* const large = allocator_->Allocate(16 * kMiB);  // more than the pool has
  WaitForWarnings(1);
  EXPECT_THAT(Warnings()[0], AllOf(HasSubstr("1 blocks of RocksDB, 16 MiB, lie on malloc's memory"),
                                   HasSubstr("Raise capacity (now 4M)")));
  allocator_->Deallocate(large);
  allocator_->Deallocate(small);
  allocator_.reset();
  const std::string text = FileText(options_.stats_file);
  EXPECT_THAT(text, AllOf(HasSubstr("hugepool_capacity_bytes{pool=\"cache \\\"one\\\"\"} 4194304\n"),
                          HasSubstr("# TYPE hugepool_rocksdb_fallback_blocks_total counter\n"),
                          HasSubstr("hugepool_rocksdb_fallback_blocks_total{pool=\"cache \\\"one\\\"\"} 1\n"),
                          HasSubstr("hugepool_rocksdb_fallback_live_blocks{pool=\"cache \\\"one\\\"\"} 0\n")));
  EXPECT_EQ(Warnings().size(), 1u);
}

// The logger of the database itself, made before it is opened.
TEST_F(Monitoring, RocksdbsLogHasTheOptionsAndTheWarnings) {
  RealDatabase database(20000);
  ASSERT_EQ(database.Create(), "");
  ::rocksdb::Options database_options;
  ASSERT_TRUE(::rocksdb::CreateLoggerFromOptions(folder_, database_options, &options_.info_log).ok());
  options_.on_warning = nullptr;
  Make();
  const auto cache = MakeCache(CacheKind::kLru, 64 * kMiB, allocator_);
  ASSERT_EQ(database.Open(cache), "");
  ASSERT_EQ(database.ReadAtRandom(2, 20000), "");  // 8 MB of blocks and a pool of 4
  const auto log = [&] { return FileText(folder_ + "/LOG"); };
  EXPECT_THAT(log(), AllOf(HasSubstr("HugepoolAllocator: {id=HugepoolAllocator@"), HasSubstr("capacity=4M;")));
  while (log().find("lie on malloc's memory") == std::string::npos) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    options_.info_log->Flush();
  }
  EXPECT_THAT(log(), Not(HasSubstr("Raise capacity (now 0)")));
  database.Close();
}

// What a database says of its cache without anybody's help.
TEST_F(Monitoring, TheDatabasesOwnLogNamesTheAllocator) {
  Make();
  RealDatabase database(100);
  ASSERT_EQ(database.Create(), "");
  ASSERT_EQ(database.Open(MakeCache(CacheKind::kLru, kMiB, allocator_)), "");
  EXPECT_THAT(FileText(database.path() + "/LOG"), HasSubstr("memory_allocator : HugepoolAllocator"));
}

TEST_F(Monitoring, AFileThatCannotBeWrittenGivesNoAllocator) {
  options_.stats_file = folder_ + "/not_there/cache.prom";
  Error error;
  EXPECT_EQ(rocksdb::NewMemoryAllocator(options_, &error), nullptr);
  EXPECT_THAT(error.ToString(), HasSubstr("/not_there/cache.prom"));
}

}  // namespace
}  // namespace hugepool::testing
