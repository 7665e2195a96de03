// When there is not enough: a pool that is full, a cache that may not grow, huge pages that somebody else takes. Reads go on, what was
// served otherwise is counted, every value is right, and where there is room again it is used again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>
#include <rocksdb/db.h>

#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "engine_integration/rocksdb/allocator_mode.h"
#include "engine_integration/rocksdb/real_database.h"
#include "numa_guest/rival.h"

namespace hugepool::testing {
namespace {

using ::rocksdb::ReadOptions;
using ::rocksdb::Status;
using ::testing::HasSubstr;

constexpr size_t kMiB = size_t{1} << 20;

// Every record by iterator, and every one by MultiGet.
void ReadEveryWay(RealDatabase& database) {
  int record = 0;
  const std::unique_ptr<::rocksdb::Iterator> iterator(database.db().NewIterator(ReadOptions()));
  for (iterator->SeekToFirst(); iterator->Valid(); iterator->Next(), ++record) {
    ASSERT_EQ(iterator->key().ToString(), RealDatabase::KeyOf(record));
    ASSERT_EQ(iterator->value().ToString(), RealDatabase::ValueOf(record));
  }
  ASSERT_TRUE(iterator->status().ok()) << iterator->status().ToString();
  ASSERT_EQ(record, database.record_count());
  constexpr int kBatch = 50;
  for (int first = 0; first + kBatch <= record; first += kBatch) {
    std::vector<std::string> keys;
    for (int i = 0; i < kBatch; ++i) keys.push_back(RealDatabase::KeyOf((first + 977 * i) % record));
    std::vector<std::string> values;
    const std::vector<Status> statuses =
        database.db().MultiGet(ReadOptions(), std::vector<::rocksdb::Slice>(keys.begin(), keys.end()), &values);
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_TRUE(statuses[i].ok()) << statuses[i].ToString();
      ASSERT_EQ(values[i], RealDatabase::ValueOf((first + 977 * static_cast<int>(i)) % record));
    }
  }
}

class FullPool : public InEveryMode {
 protected:
  FullPool() : InEveryMode(kPoolBytes) {}
  static constexpr size_t kPoolBytes = 4 * kMiB;
  RealDatabase database_{20'000};  // 8 MB of blocks
};

TEST_P(FullPool, ReadsAndWritesGoOnCountedUntilThereIsRoom) {
  ASSERT_EQ(database_.Create(), "");
  const auto cache = MakeCache(cache_kind(), 12 * kMiB, allocator_);  // wants more than the pool has
  ASSERT_EQ(database_.Open(cache), "");
  ASSERT_EQ(database_.ReadAtRandom(4, 10'000), "");
  ReadEveryWay(database_);
  const rocksdb::FallbackStats full = *rocksdb::Fallback(*allocator_);
  EXPECT_GT(full.live_count, 500u);
  EXPECT_GT(full.live_bytes, 2 * kMiB);
  EXPECT_LE(full.live_count, full.count);
  EXPECT_LE(full.count, *rocksdb::AllocationCount(*allocator_));
  const PoolStats stats = pool_->Stats();
  EXPECT_GT(stats.allocated_bytes, kPoolBytes / 100 * 80) << "malloc served what the pool could have";
  EXPECT_LE(stats.committed_bytes, kPoolBytes);
  EXPECT_GE(stats.allocated_bytes + full.live_bytes, 7 * kMiB) << "most of the database is cached";

  // Files are written, read, merged.
  ::rocksdb::WriteOptions no_log;
  no_log.disableWAL = true;
  for (int record = 0; record < database_.record_count(); record += 3) {
    const Status status = database_.db().Put(no_log, RealDatabase::KeyOf(record), RealDatabase::ValueOf(record));
    ASSERT_TRUE(status.ok()) << status.ToString();
  }
  ASSERT_TRUE(database_.db().Flush(::rocksdb::FlushOptions()).ok());
  ASSERT_TRUE(database_.db().CompactRange(::rocksdb::CompactRangeOptions(), nullptr, nullptr).ok());
  ReadEveryWay(database_);

  // A cache that fits is served by the pool again. A CPU's cache may hold back what another asks for at that moment, so that of many
  // some are malloc's still.
  cache->SetCapacity(kMiB);
  cache->EraseUnRefEntries();
  EXPECT_LE(rocksdb::Fallback(*allocator_)->live_count, 2u) << "indexes of files";
  const uint64_t fallback_before = rocksdb::Fallback(*allocator_)->count;
  const uint64_t before = *rocksdb::AllocationCount(*allocator_);
  ASSERT_EQ(database_.ReadAtRandom(4, 2'000), "");
  ReadEveryWay(database_);
  const uint64_t count = *rocksdb::AllocationCount(*allocator_) - before;
  EXPECT_GT(count, 5'000u);
  EXPECT_LE(rocksdb::Fallback(*allocator_)->count - fallback_before,
            GetParam().cpu_cache == CpuCacheMode::kOff ? 0 : count / 100);
}

INSTANTIATE_TEST_SUITE_P(Modes, FullPool, ::testing::ValuesIn(EveryMode()), NameOfMode);

class StrictCache : public InEveryMode {
 protected:
  StrictCache() : InEveryMode(16 * kMiB) {
    options_.block_bytes = {4096};  // so that a block takes the same from the first on
  }

  struct Outcome {
    size_t pinned_count = 0;  // blocks that iterators hold when the cache is full
    std::set<std::string> refusals;
  };

  // Iterators pin one block each until the cache is full of them, and a hundred more try.
  void FillByIterators(const std::shared_ptr<::rocksdb::Cache>& cache, Outcome* outcome) {
    cache->SetStrictCapacityLimit(true);
    ASSERT_EQ(database_.Open(cache), "");
    const uint64_t index_count = pool_->Stats().allocated_count;
    const size_t pinned_before = cache->GetPinnedUsage();  // RocksDB's statistics of the cache
    constexpr int kStep = 20;                              // two blocks further
    std::vector<std::unique_ptr<::rocksdb::Iterator>> iterators;
    std::vector<int> pinned, refused;
    for (int record = 0; record < database_.record_count() && refused.size() < 100; record += kStep) {
      std::unique_ptr<::rocksdb::Iterator> iterator(database_.db().NewIterator(ReadOptions()));
      iterator->Seek(RealDatabase::KeyOf(record));
      if (iterator->status().ok()) {
        ASSERT_TRUE(iterator->Valid());
        pinned.push_back(record);
        iterators.push_back(std::move(iterator));
      } else {
        ASSERT_TRUE(iterator->status().IsMemoryLimit()) << iterator->status().ToString();
        outcome->refusals.insert(iterator->status().ToString());
        refused.push_back(record);
      }
    }
    ASSERT_EQ(refused.size(), 100u);
    outcome->pinned_count = pinned.size();

    // What is cached is read, what is not is refused, alone and in one batch.
    std::vector<std::string> keys, values;
    std::string value;
    for (size_t i = 0; i < 20; ++i) {
      const int cached = pinned[i * pinned.size() / 20], other = refused[i];
      const Status status = database_.db().Get(ReadOptions(), RealDatabase::KeyOf(cached), &value);
      ASSERT_TRUE(status.ok()) << status.ToString();
      ASSERT_EQ(value, RealDatabase::ValueOf(cached));
      ASSERT_TRUE(database_.db().Get(ReadOptions(), RealDatabase::KeyOf(other), &value).IsMemoryLimit());
      keys.push_back(RealDatabase::KeyOf(cached));
      keys.push_back(RealDatabase::KeyOf(other));
    }
    const std::vector<Status> statuses =
        database_.db().MultiGet(ReadOptions(), std::vector<::rocksdb::Slice>(keys.begin(), keys.end()), &values);
    for (size_t i = 0; i < keys.size(); ++i) {
      ASSERT_TRUE(i % 2 == 0 ? statuses[i].ok() : statuses[i].IsMemoryLimit()) << i << statuses[i].ToString();
    }
    if (cache->memory_allocator() == allocator_.get()) {
      EXPECT_EQ(pool_->Stats().allocated_count, index_count + pinned.size()) << "what was refused was not given back";
    }

    // Half of the room is enough for any read, and those who stayed have their blocks as they were.
    iterators.resize(iterators.size() / 2);
    ASSERT_EQ(database_.ReadInOrder(0, database_.record_count()), "");
    for (size_t i = 0; i < iterators.size(); ++i) {
      ASSERT_EQ(iterators[i]->value().ToString(), RealDatabase::ValueOf(pinned[i]));
    }
    iterators.clear();
    ASSERT_EQ(database_.ReadAtRandom(1, 2000), "");
    cache->EraseUnRefEntries();
    EXPECT_EQ(cache->GetPinnedUsage(), pinned_before);
    EXPECT_EQ(pool_->Stats().allocated_count, index_count);
    database_.Close();
  }

  RealDatabase database_{16'000};  // 6.5 MB of blocks
};

TEST_P(StrictCache, RefusesAsOnMallocAndLosesNothing) {
  constexpr size_t kCacheBytes = 2 * kMiB;
  ASSERT_EQ(database_.Create(), "");
  Outcome on_malloc, on_pool;
  FillByIterators(MakeCache(cache_kind(), kCacheBytes, nullptr), &on_malloc);
  if (HasFatalFailure()) return;
  FillByIterators(MakeCache(cache_kind(), kCacheBytes, allocator_), &on_pool);
  EXPECT_EQ(on_pool.refusals, on_malloc.refusals);
  // 512 blocks less what the cache takes for itself, and shards that are full before others.
  EXPECT_GT(on_malloc.pinned_count, 300u);
  // Least under AddressSanitizer, whose malloc says that a block takes what was asked for.
  EXPECT_GE(on_pool.pinned_count * 100, on_malloc.pinned_count * 97);
  EXPECT_LE(on_pool.pinned_count * 100, on_malloc.pinned_count * 102);
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, StrictCache, ::testing::ValuesIn(EveryMode()), NameOfMode);

// The cache is half full when a rival takes all huge pages that are free.
class VanishingPages : public InEveryMode {
 protected:
  VanishingPages() : InEveryMode(64 * kMiB) {
    options_.watch_interval_seconds = 1;
    options_.on_warning = [this](const std::string& warning) {
      const std::lock_guard lock(mutex_);
      warnings_.push_back(warning);
    };
  }
  ~VanishingPages() override { allocator_.reset(); }  // its thread warns here

  std::vector<std::string> Warnings() {
    const std::lock_guard lock(mutex_);
    return warnings_;
  }
  uint64_t HugetlbBytes() const { return pool_->Stats().CommittedBytes(Backing::kHugetlb); }

  guest::Rival rival_;  // a process, made before the pool
  std::mutex mutex_;
  std::vector<std::string> warnings_;  // guarded by mutex_
  RealDatabase database_{60'000};      // 24 MB of blocks
};

TEST_P(VanishingPages, HalfGrownCacheGoesOnOnTheNextRungAndComesBack) {
  constexpr size_t kHalfBytes = 12 * kMiB;
  const int half_count = database_.record_count() / 2;
  const bool required = options_.huge_pages == HugePages::kRequired;
  ASSERT_EQ(database_.Create(), "");
  const auto cache = MakeCache(cache_kind(), 48 * kMiB, allocator_);
  ASSERT_EQ(database_.Open(cache), "");
  ASSERT_EQ(database_.ReadInOrder(0, half_count), "");
  const uint64_t half_grown_bytes = HugetlbBytes();
  EXPECT_GE(half_grown_bytes, kHalfBytes);
  EXPECT_EQ(half_grown_bytes, pool_->Stats().committed_bytes);
  EXPECT_TRUE(Warnings().empty());

  rival_.TakeAll(0);
  if (WhyNoHugetlb(1).empty()) GTEST_SKIP() << "the rival could not take all of the machine's huge pages";
  ASSERT_EQ(database_.ReadInOrder(half_count, half_count), "");
  ASSERT_EQ(database_.ReadAtRandom(4, 20'000), "");
  ReadEveryWay(database_);
  const PoolStats degraded = pool_->Stats();
  const rocksdb::FallbackStats fallback = *rocksdb::Fallback(*allocator_);
  EXPECT_EQ(HugetlbBytes(), half_grown_bytes) << "what was there stays";
  const uint64_t lower_bytes =
      degraded.CommittedBytes(Backing::kTransparentHuge) + degraded.CommittedBytes(Backing::kSmall);
  EXPECT_EQ(degraded.DegradedBytes(), lower_bytes);
  EXPECT_GE(required ? fallback.live_bytes : lower_bytes, kHalfBytes - 4 * kMiB);
  EXPECT_EQ(required ? lower_bytes : fallback.count, 0u);
  Error error;
  const auto report = pool_->VerifyPlacement(&error);
  ASSERT_TRUE(report.has_value()) << error.ToString();
  EXPECT_EQ(report->hugetlb_bytes, half_grown_bytes);
  EXPECT_EQ(report->transparent_bytes + report->small_bytes, lower_bytes);
  for (int i = 0; i < 3000 && Warnings().empty(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  ASSERT_FALSE(Warnings().empty()) << "nothing in 30 s";
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // another look falls into it
  EXPECT_EQ(Warnings().size(), 1u) << "one for the episode";
  EXPECT_THAT(Warnings()[0],
              HasSubstr(required ? "lie on malloc's memory" : "lie on a lower rung than huge_pages=preferred"));

  // The rival goes: what the cache then takes lies on huge pages again.
  rival_.GiveAllBack();
  cache->EraseUnRefEntries();
  (void)pool_->Trim(0);
  const uint64_t count_before = rocksdb::Fallback(*allocator_)->count;
  ASSERT_EQ(database_.ReadInOrder(0, database_.record_count()), "");
  EXPECT_EQ(pool_->Stats().DegradedBytes(), 0u);
  EXPECT_EQ(rocksdb::Fallback(*allocator_)->count, count_before);
  EXPECT_GE(HugetlbBytes(), 2 * kHalfBytes);
  database_.Close();
}

INSTANTIATE_TEST_SUITE_P(
    Modes, VanishingPages,
    ::testing::Values(AllocatorMode{HugePages::kRequired, CpuCacheMode::kAuto, CacheKind::kLru},
                      AllocatorMode{HugePages::kPreferred, CpuCacheMode::kAuto, CacheKind::kLru},
                      AllocatorMode{HugePages::kRequired, CpuCacheMode::kAuto, CacheKind::kHyperClock},
                      AllocatorMode{HugePages::kPreferred, CpuCacheMode::kAuto, CacheKind::kHyperClock}),
    NameOfMode);

}  // namespace
}  // namespace hugepool::testing
