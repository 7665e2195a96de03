// RealDatabase: a small RocksDB on disk, and reads of it through a cache on any allocator.
//
// Shape      records "key%08d" → 400 bytes made from the number; no write-ahead log, no compression, 4 KiB blocks
// Owner      removes its directory at the end
// Threads    ReadAll starts its own
// Errors     every function returns "" or what went wrong
#ifndef HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_REAL_DATABASE_H_
#define HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_REAL_DATABASE_H_

#include <hugepool/pool.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#if __has_include(<rocksdb/advanced_cache.h>)
#include <rocksdb/advanced_cache.h>  // where Cache itself is from RocksDB 8 on
#endif

#include <memory>
#include <string>

namespace hugepool::testing {

enum class CacheKind { kLru, kHyperClock };

std::shared_ptr<::rocksdb::Cache> MakeCache(CacheKind kind, size_t capacity_bytes,
                                            std::shared_ptr<::rocksdb::MemoryAllocator> allocator);

class RealDatabase {
 public:
  explicit RealDatabase(int record_count);
  ~RealDatabase();
  RealDatabase(const RealDatabase&) = delete;
  RealDatabase& operator=(const RealDatabase&) = delete;

  std::string Create();  // makes the directory and writes all records
  std::string Open(std::shared_ptr<::rocksdb::Cache> cache);
  void Close() { db_.reset(); }
  const std::string& path() const { return path_; }
  ::rocksdb::DB& db() { return *db_; }
  int record_count() const { return record_count_; }
  static std::string KeyOf(int record);
  static std::string ValueOf(int record);
  // Reads read_count records at random on each thread and compares every value; other ones for another seed.
  std::string ReadAtRandom(int thread_count, int read_count, unsigned seed = 0);
  // Reads read_count records one after the other, from this one on and around the end.
  std::string ReadInOrder(int first_record, int read_count);

 private:
  std::string ReadOne(int record, std::string* value);

  const int record_count_;
  std::string path_;
  std::unique_ptr<::rocksdb::DB> db_;
};

// Why hugetlb cannot be tested now ("" when it can): fewer than page_count free 2 MiB pages.
std::string WhyNoHugetlb(uint64_t page_count);
// Why transparent huge pages cannot: they are off.
std::string WhyNoThp();
// The same by what the options ask for; "" for 4 KiB pages.
std::string WhyNot(HugePages huge_pages, uint64_t page_count);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_REAL_DATABASE_H_
