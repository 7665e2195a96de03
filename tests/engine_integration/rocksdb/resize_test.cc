// An LRU cache that is halved while it is read: what it gives up comes back to the system as its blocks are replaced.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>

#include <atomic>
#include <chrono>
#include <map>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "engine_integration/rocksdb/real_database.h"
#include "pool/soak.h"

namespace hugepool::testing {
namespace {

constexpr size_t kMiB = size_t{1} << 20;
constexpr int kRecordCount = 300'000;  // 120 MB
constexpr size_t kCacheBytes = 96 * kMiB;

// Counts the bytes that RocksDB asked for and holds, outside of the pool.
class PayloadCounter final : public ::rocksdb::MemoryAllocator {
 public:
  explicit PayloadCounter(std::shared_ptr<::rocksdb::MemoryAllocator> inner) : inner_(std::move(inner)) {}
  const char* Name() const override { return "PayloadCounter"; }
  void* Allocate(size_t bytes) override {
    void* const block = inner_->Allocate(bytes);
    const std::lock_guard lock(mutex_);
    sizes_[block] = bytes;
    live_bytes_ += bytes;
    all_bytes_ += bytes;
    return block;
  }
  void Deallocate(void* block) override {
    {
      const std::lock_guard lock(mutex_);
      const auto size = sizes_.find(block);
      live_bytes_ -= size->second;
      sizes_.erase(size);
    }
    inner_->Deallocate(block);
  }
  size_t UsableSize(void* block, size_t bytes) const override { return inner_->UsableSize(block, bytes); }

  uint64_t live_bytes() const { return live_bytes_; }
  uint64_t all_bytes() const { return all_bytes_; }

 private:
  const std::shared_ptr<::rocksdb::MemoryAllocator> inner_;
  std::mutex mutex_;
  std::unordered_map<void*, size_t> sizes_;  // guarded by mutex_
  std::atomic<uint64_t> live_bytes_{0};
  std::atomic<uint64_t> all_bytes_{0};
};

TEST(Resize, AHalvedCacheGivesItsMemoryBackAsItIsReadOn) {
  rocksdb::AllocatorOptions options;
  options.huge_pages = HugePages::kTransparent;
  options.capacity_bytes = rocksdb::CapacityFor(kCacheBytes, options);
  options.decay_seconds = 1;
  options.watch_interval_seconds = 1;
  options.cache_bytes_per_cpu = 512 << 10;
  const auto inner = rocksdb::NewMemoryAllocator(options, nullptr);
  ASSERT_NE(inner, nullptr);
  const auto counter = std::make_shared<PayloadCounter>(inner);
  const auto pool = rocksdb::PoolOf(*inner);
  RealDatabase database(kRecordCount);
  ASSERT_EQ(database.Create(), "");
  const auto cache = MakeCache(CacheKind::kLru, kCacheBytes, counter);
  ASSERT_EQ(database.Open(cache), "");
  ASSERT_EQ(database.ReadAtRandom(2, 2 * kRecordCount), "");
  ASSERT_GT(counter->live_bytes(), kCacheBytes * 9 / 10);
  const auto share = [&] {
    return static_cast<double>(pool->Stats().committed_bytes) / static_cast<double>(counter->live_bytes());
  };
  std::map<std::string, double> figures{{"committed_to_payload_full", share()}};

  // Somebody else reads all the while.
  std::atomic<bool> done{false};
  std::string problem;
  std::thread reader([&] {
    for (unsigned other_seed = 1000; !done && problem.empty(); ++other_seed) {
      problem = database.ReadAtRandom(1, 1, other_seed);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  cache->SetCapacity(kCacheBytes / 2);
  figures["committed_to_payload_halved"] = share();
  const uint64_t before = counter->all_bytes();
  int record = 0;
  // In order, so that nothing is read twice while it is cached, as if the database were far larger. A turnover takes 2 s, twice what is waited before memory counts as not needed; of a large cache it takes a minute.
  for (int turnover = 1; turnover <= 5; ++turnover) {
    const Stopwatch stopwatch;
    for (int part = 1; part <= 20; ++part) {
      const uint64_t wanted_bytes = kCacheBytes / 2 * static_cast<uint64_t>((turnover - 1) * 20 + part) / 20;
      for (; counter->all_bytes() - before < wanted_bytes; record = (record + 1000) % kRecordCount) {
        ASSERT_EQ(database.ReadInOrder(record, 1000), "");
      }
      while (stopwatch.Seconds() < part * 0.1) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    figures["committed_to_payload_after_" + std::to_string(turnover)] = share();
  }
  done = true;
  reader.join();
  EXPECT_EQ(problem, "");
  WriteFigures("halved_cache", figures);
  EXPECT_GT(figures["committed_to_payload_halved"], 1.7) << "there was nothing to give back";
  EXPECT_LE(figures["committed_to_payload_after_5"], 1.25);
  EXPECT_EQ(rocksdb::Fallback(*inner)->count, 0u);
  database.Close();
}

}  // namespace
}  // namespace hugepool::testing
