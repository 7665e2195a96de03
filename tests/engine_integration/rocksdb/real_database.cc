#include "engine_integration/rocksdb/real_database.h"

#include <rocksdb/options.h>
#include <rocksdb/table.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>
#include <vector>

namespace hugepool::testing {
namespace {

::rocksdb::Options OptionsWith(std::shared_ptr<::rocksdb::Cache> cache) {
  ::rocksdb::BlockBasedTableOptions table;
  table.block_cache = std::move(cache);
  table.no_block_cache = table.block_cache == nullptr;
  ::rocksdb::Options options;
  options.create_if_missing = true;
  options.compression = ::rocksdb::kNoCompression;
  options.table_factory.reset(::rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

}  // namespace

std::shared_ptr<::rocksdb::Cache> MakeCache(CacheKind kind, size_t capacity_bytes,
                                            std::shared_ptr<::rocksdb::MemoryAllocator> allocator) {
  if (kind == CacheKind::kHyperClock) {
    ::rocksdb::HyperClockCacheOptions options(capacity_bytes, 4096);
    options.memory_allocator = std::move(allocator);
    return options.MakeSharedCache();
  }
  ::rocksdb::LRUCacheOptions options;
  options.capacity = capacity_bytes;
  options.memory_allocator = std::move(allocator);
  return ::rocksdb::NewLRUCache(options);
}

RealDatabase::RealDatabase(int record_count) : record_count_(record_count) {}

RealDatabase::~RealDatabase() {
  Close();
  std::error_code ignored;
  if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
}

std::string RealDatabase::KeyOf(int record) {
  char key[32];
  std::snprintf(key, sizeof key, "key%08d", record);
  return key;
}

std::string RealDatabase::ValueOf(int record) {
  std::mt19937_64 words(static_cast<uint64_t>(record));
  std::string value(400, '\0');
  for (char& letter : value) letter = static_cast<char>(words());
  return value;
}

std::string RealDatabase::Create() {
  std::string pattern = (std::filesystem::temp_directory_path() / "hugepool_rocksdb_XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return "mkdtemp failed for " + pattern;
  path_ = pattern;
  const std::string problem = Open(nullptr);
  if (!problem.empty()) return problem;
  ::rocksdb::WriteOptions options;
  options.disableWAL = true;
  for (int record = 0; record < record_count_; ++record) {
    const ::rocksdb::Status status = db_->Put(options, KeyOf(record), ValueOf(record));
    if (!status.ok()) return status.ToString();
  }
  const ::rocksdb::Status status = db_->Flush(::rocksdb::FlushOptions());
  Close();
  return status.ok() ? "" : status.ToString();
}

std::string RealDatabase::Open(std::shared_ptr<::rocksdb::Cache> cache) {
  ::rocksdb::DB* db = nullptr;
  const ::rocksdb::Status status = ::rocksdb::DB::Open(OptionsWith(std::move(cache)), path_, &db);
  db_.reset(db);
  return status.ok() ? "" : status.ToString();
}

std::string RealDatabase::ReadOne(int record, std::string* value) {
  const ::rocksdb::Status status = db_->Get(::rocksdb::ReadOptions(), KeyOf(record), value);
  if (!status.ok()) return KeyOf(record) + ": " + status.ToString();
  return *value == ValueOf(record) ? "" : KeyOf(record) + ": another value than was written";
}

std::string RealDatabase::ReadInOrder(int first_record, int read_count) {
  std::string value;
  std::string problem;
  for (int i = 0; i < read_count && problem.empty(); ++i) problem = ReadOne((first_record + i) % record_count_, &value);
  return problem;
}

std::string RealDatabase::ReadAtRandom(int thread_count, int read_count, unsigned seed) {
  std::vector<std::string> problems(static_cast<size_t>(thread_count));
  std::vector<std::thread> threads;
  for (size_t thread = 0; thread < problems.size(); ++thread) {
    threads.emplace_back([&, thread] {
      std::mt19937 words(seed + static_cast<unsigned>(thread));
      std::string value;
      for (int i = 0; i < read_count && problems[thread].empty(); ++i) {
        const int record = static_cast<int>(words() % static_cast<unsigned>(record_count_));
        problems[thread] = ReadOne(record, &value);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& problem : problems) {
    if (!problem.empty()) return problem;
  }
  return "";
}

std::string WhyNoHugetlb(uint64_t page_count) {
  uint64_t free_count = 0;
  std::ifstream("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages") >> free_count;
  if (free_count >= page_count) return "";
  return "needs " + std::to_string(page_count) + " free huge pages of 2 MiB, " + std::to_string(free_count) + " are";
}

std::string WhyNoThp() {
  std::string modes;
  std::getline(std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled"), modes);
  if (modes.empty() || modes.find("[never]") != std::string::npos) return "transparent huge pages are off here";
  return "";
}

std::string WhyNot(HugePages huge_pages, uint64_t page_count) {
  switch (huge_pages) {
    case HugePages::kRequired:
    case HugePages::kPreferred: return WhyNoHugetlb(page_count);
    case HugePages::kTransparent: return WhyNoThp();
    case HugePages::kOff: return "";
  }
  return "";
}

}  // namespace hugepool::testing
