// What RocksDB's own cache_test asserts of its caches, with blocks of our allocator as the values, in every mode: what a cache
// charges is what its blocks take, who is pinned keeps his bytes, and every block goes back once.
//
// By the Cache class of RocksDB 7.8; later releases spell its calls differently.
#include <gtest/gtest.h>
#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine_integration/rocksdb/allocator_mode.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

using ::rocksdb::Cache;
using ::rocksdb::Slice;
using ::rocksdb::Status;

constexpr size_t kMiB = size_t{1} << 20;
constexpr size_t kPoolBytes = 16 * kMiB;
constexpr size_t kBlockBytes = 4096;
constexpr size_t kCacheBytes = 256 * kBlockBytes;

class CacheContract : public InEveryMode {
 protected:
  using Returned = std::pair<uint64_t, uint64_t>;  // key, number

  CacheContract() : InEveryMode(kPoolBytes) {
    options_.block_bytes = {kBlockBytes};  // so that a block takes the same from the first on
  }
  void SetUp() override {
    InEveryMode::SetUp();
    if (allocator_ != nullptr) cache_ = MakeCache(kCacheBytes);
  }

  // One shard and nothing charged but the blocks, so that the figures can be exact.
  std::shared_ptr<Cache> MakeCache(size_t capacity_bytes) {
    if (cache_kind() == CacheKind::kHyperClock) {
      return ::rocksdb::HyperClockCacheOptions(capacity_bytes, kBlockBytes / 2, 0, false, allocator_,
                                               ::rocksdb::kDontChargeCacheMetadata)
          .MakeSharedCache();
    }
    ::rocksdb::LRUCacheOptions options(capacity_bytes, 0, false, 0.0, allocator_);
    options.metadata_charge_policy = ::rocksdb::kDontChargeCacheMetadata;
    return ::rocksdb::NewLRUCache(options);
  }

  // What stands at the head of a block; a stamp of its number fills the rest.
  struct Head {
    CacheContract* test;
    uint64_t number;
    size_t bytes;
  };
  static bool IsWhole(const void* block) {
    const auto* const head = static_cast<const Head*>(block);
    return HasStamp(static_cast<const char*>(block) + sizeof(Head), head->bytes - sizeof(Head), head->number);
  }
  static uint64_t NumberOf(const void* block) { return static_cast<const Head*>(block)->number; }

  void* MakeBlock(uint64_t number, size_t bytes = kBlockBytes) {
    void* const block = allocator_->Allocate(bytes);
    *static_cast<Head*>(block) = {this, number, bytes};
    Stamp(static_cast<char*>(block) + sizeof(Head), bytes - sizeof(Head), number);
    return block;
  }
  size_t Charge(void* block) const { return allocator_->UsableSize(block, static_cast<Head*>(block)->bytes); }
  size_t BlockCharge() {
    void* const block = MakeBlock(0);
    const size_t charge = Charge(block);
    allocator_->Deallocate(block);
    return charge;
  }
  void FreeBlock(void* block) {
    EXPECT_TRUE(IsWhole(block)) << "block " << NumberOf(block) << " changed";
    allocator_->Deallocate(block);
  }
  // The caches' deleter.
  static void Return(const Slice& key, void* block) {
    CacheContract& test = *static_cast<Head*>(block)->test;
    const uint64_t number = NumberOf(block);
    test.FreeBlock(block);
    test.returned_.emplace_back(NumberOf(key), number);
    if (test.erased_on_return_ == 0) return;
    const uint64_t other = std::exchange(test.erased_on_return_, 0);
    test.Erase(other);
  }

  // HyperClock's keys are of 16 bytes.
  static std::string KeyOf(uint64_t key) {
    std::string text(16, '\0');
    std::memcpy(text.data(), &key, sizeof key);
    return text;
  }
  static uint64_t NumberOf(const Slice& key) {
    uint64_t number = 0;
    std::memcpy(&number, key.data(), sizeof number);
    return number;
  }

  Status Insert(uint64_t key, uint64_t number, size_t bytes = kBlockBytes, Cache::Handle** handle = nullptr) {
    void* const block = MakeBlock(number, bytes);
    return cache_->Insert(KeyOf(key), block, Charge(block), &Return, handle);
  }
  Cache::Handle* InsertPinned(uint64_t key, uint64_t number) {
    Cache::Handle* handle = nullptr;
    EXPECT_TRUE(Insert(key, number, kBlockBytes, &handle).ok());
    EXPECT_NE(handle, nullptr);
    return handle;
  }
  // The number under the key, its block checked; -1 where it is not cached.
  int64_t Lookup(uint64_t key) {
    Cache::Handle* const handle = cache_->Lookup(KeyOf(key));
    if (handle == nullptr) return -1;
    void* const block = cache_->Value(handle);
    EXPECT_TRUE(IsWhole(block)) << "block of key " << key << " changed";
    const uint64_t number = NumberOf(block);
    cache_->Release(handle);
    return static_cast<int64_t>(number);
  }
  void Erase(uint64_t key) { cache_->Erase(KeyOf(key)); }
  void Overload(uint64_t first_key = 1'000'000) {
    for (uint64_t key = first_key; key < first_key + 4 * kCacheBytes / kBlockBytes; ++key) {
      ASSERT_TRUE(Insert(key, key).ok());
    }
  }
  uint64_t AllocatedCount() const { return pool_->Stats().allocated_count; }

  std::vector<Returned> returned_;
  uint64_t erased_on_return_ = 0;  // a key; 0: none
  std::shared_ptr<Cache> cache_;
};

TEST_P(CacheContract, UsageIsTheSumOfWhatBlocksTake) {
  EXPECT_EQ(cache_->GetUsage(), 0u);
  uint64_t charged_bytes = 0;
  for (uint64_t key = 1; key <= 100; ++key) {
    const uint64_t taken_before = pool_->Stats().allocated_bytes;
    ASSERT_TRUE(Insert(key, key).ok());
    const uint64_t taken_bytes = pool_->Stats().allocated_bytes - taken_before;
    charged_bytes += std::max<uint64_t>(kBlockBytes, taken_bytes - taken_bytes / 128);
    ASSERT_EQ(cache_->GetUsage(), charged_bytes);
  }
  cache_->EraseUnRefEntries();
  EXPECT_EQ(cache_->GetUsage(), 0u);
  EXPECT_EQ(AllocatedCount(), 0u);
  Overload();
  EXPECT_LE(cache_->GetUsage(), kCacheBytes);
  EXPECT_GT(cache_->GetUsage(), kCacheBytes / 100 * 95);
  EXPECT_LE(pool_->Stats().allocated_bytes, kCacheBytes / 100 * 102);
}

TEST_P(CacheContract, PinnedBlocksOutliveEverything) {
  std::vector<std::pair<Cache::Handle*, uint64_t>> pinned;
  size_t pinned_bytes = 0;
  for (uint64_t key = 1; key <= 60; ++key) {
    Cache::Handle* const handle = InsertPinned(key, 7 * key);
    pinned_bytes += cache_->GetCharge(handle);
    ASSERT_EQ(cache_->GetPinnedUsage(), pinned_bytes);
    if (key % 2 == 0) {
      pinned_bytes -= cache_->GetCharge(handle);
      EXPECT_FALSE(cache_->Release(handle));
    } else {
      pinned.emplace_back(handle, 7 * key);
    }
    if (key % 3 == 0) {  // pinned (again) by a look, and once more by Ref
      Cache::Handle* const found = cache_->Lookup(KeyOf(key));
      ASSERT_NE(found, nullptr);
      if (key % 2 == 0) pinned_bytes += cache_->GetCharge(found);
      ASSERT_TRUE(cache_->Ref(found));
      pinned.emplace_back(found, 7 * key);
      pinned.emplace_back(found, 7 * key);
    }
    ASSERT_EQ(cache_->GetPinnedUsage(), pinned_bytes);
  }
  Overload();
  EXPECT_EQ(cache_->GetPinnedUsage(), pinned_bytes);
  cache_->EraseUnRefEntries();
  EXPECT_EQ(cache_->GetPinnedUsage(), pinned_bytes);
  EXPECT_EQ(cache_->GetUsage(), pinned_bytes);
  EXPECT_EQ(AllocatedCount(), 40u) << "30 odd keys, 10 even ones in threes";
  for (const auto& [handle, number] : pinned) {
    EXPECT_TRUE(IsWhole(cache_->Value(handle)));
    EXPECT_EQ(NumberOf(cache_->Value(handle)), number);
    cache_->Release(handle);
  }
  EXPECT_EQ(cache_->GetPinnedUsage(), 0u);
  cache_->EraseUnRefEntries();
  EXPECT_EQ(cache_->GetUsage(), 0u);
}

// An LRU cache takes the later block, HyperClock stays with the earlier; the other one goes back, once.
TEST_P(CacheContract, OneBlockOfAKeyStays) {
  const bool later = cache_kind() == CacheKind::kLru;
  EXPECT_EQ(Lookup(100), -1);
  ASSERT_TRUE(Insert(100, 101).ok());
  ASSERT_TRUE(Insert(200, 201).ok());
  EXPECT_EQ(Lookup(100), 101);
  ASSERT_TRUE(Insert(100, 102).ok());
  EXPECT_EQ(Lookup(100), later ? 102 : 101);
  EXPECT_EQ(Lookup(200), 201);
  EXPECT_EQ(Lookup(300), -1);
  EXPECT_EQ(returned_, (std::vector<Returned>{{100, later ? 101 : 102}}));
  EXPECT_EQ(AllocatedCount(), 2u);
}

TEST_P(CacheContract, ErasedBlocksGoBackOnce) {
  Erase(200);
  EXPECT_TRUE(returned_.empty());
  ASSERT_TRUE(Insert(100, 101).ok());
  ASSERT_TRUE(Insert(200, 201).ok());
  for (int i = 0; i < 2; ++i) {
    Erase(100);
    EXPECT_EQ(Lookup(100), -1);
    EXPECT_EQ(Lookup(200), 201);
    EXPECT_EQ(returned_, (std::vector<Returned>{{100, 101}}));
    EXPECT_EQ(AllocatedCount(), 1u);
  }
}

TEST_P(CacheContract, ErasedWhileHeldStaysUntilItIsLetGo) {
  Cache::Handle* const first = InsertPinned(100, 101);
  Cache::Handle* const second = cache_->Lookup(KeyOf(100));
  Erase(100);
  EXPECT_EQ(Lookup(100), -1);
  Overload();
  EXPECT_TRUE(IsWhole(cache_->Value(first)));
  returned_.clear();
  EXPECT_FALSE(cache_->Release(second));
  EXPECT_EQ(Lookup(100), -1);
  EXPECT_TRUE(returned_.empty());
  cache_->Release(first);
  cache_->EraseUnRefEntries();
  EXPECT_EQ(std::count(returned_.begin(), returned_.end(), Returned(100, 101)), 1);
  EXPECT_EQ(AllocatedCount(), 0u);
}

TEST_P(CacheContract, LetGoAndErasedOrNot) {
  EXPECT_FALSE(cache_->Release(InsertPinned(1, 1)));
  EXPECT_TRUE(returned_.empty());
  EXPECT_TRUE(cache_->Release(InsertPinned(2, 2), /*erase_if_last_ref=*/true));
  EXPECT_EQ(returned_, (std::vector<Returned>{{2, 2}}));
  EXPECT_EQ(AllocatedCount(), 1u);
}

TEST_P(CacheContract, WhatIsReadOftenStays) {
  ASSERT_TRUE(Insert(100, 101).ok());
  ASSERT_TRUE(Insert(200, 201).ok());
  for (uint64_t key = 1000; key < 1000 + 4 * kCacheBytes / kBlockBytes; ++key) {
    ASSERT_TRUE(Insert(key, key).ok());
    ASSERT_EQ(Lookup(100), 101);
  }
  EXPECT_EQ(Lookup(200), -1);
}

TEST_P(CacheContract, ABlockLargerThanTheCacheIsTaken) {
  ASSERT_TRUE(Insert(1, 1, 2 * kCacheBytes).ok());
  Overload();
  EXPECT_LE(cache_->GetUsage(), kCacheBytes);
  EXPECT_EQ(std::count(returned_.begin(), returned_.end(), Returned(1, 1)), 1);
}

TEST_P(CacheContract, ADeleterMayEraseAnotherBlock) {
  ASSERT_TRUE(Insert(1, 11).ok());
  ASSERT_TRUE(Insert(2, 12).ok());
  erased_on_return_ = 1;
  Erase(2);
  EXPECT_EQ(Lookup(1), -1);
  EXPECT_EQ(Lookup(2), -1);
  EXPECT_EQ(returned_, (std::vector<Returned>{{2, 12}, {1, 11}}));
}

TEST_P(CacheContract, LightAndHeavyBlocksFillItToItsCapacity) {
  const auto bytes_of = [](uint64_t key) { return key % 2 == 0 ? size_t{1000} : 10 * kBlockBytes; };
  constexpr uint64_t kKeyCount = 400;
  for (uint64_t key = 1; key <= kKeyCount; ++key) ASSERT_TRUE(Insert(key, key, bytes_of(key)).ok());
  size_t cached_bytes = 0;
  for (uint64_t key = 1; key <= kKeyCount; ++key) {
    const int64_t found = Lookup(key);
    if (found < 0) continue;
    EXPECT_EQ(found, static_cast<int64_t>(key));
    cached_bytes += bytes_of(key);
  }
  EXPECT_LE(cached_bytes, kCacheBytes);
  EXPECT_GT(cached_bytes, kCacheBytes / 100 * 80);
  EXPECT_LE(pool_->Stats().allocated_bytes, kCacheBytes / 100 * 102);
}

// HyperClock in 7.8 evicts when the next block comes.
TEST_P(CacheContract, AnotherCapacityIsKept) {
  const size_t charge = BlockCharge();
  std::vector<Cache::Handle*> handles;
  for (uint64_t key = 1; key <= 100; ++key) handles.push_back(InsertPinned(key, key));
  cache_->SetCapacity(2 * kCacheBytes);
  EXPECT_EQ(cache_->GetCapacity(), 2 * kCacheBytes);
  EXPECT_EQ(cache_->GetUsage(), 100 * charge);
  for (size_t i = 0; i < 50; ++i) cache_->Release(handles[i]);
  EXPECT_EQ(cache_->GetUsage(), 100 * charge);
  cache_->SetCapacity(70 * charge);
  if (cache_kind() == CacheKind::kHyperClock) {
    for (uint64_t key = 1001; key <= 1100; ++key) ASSERT_TRUE(Insert(key, key).ok());
  }
  EXPECT_LE(cache_->GetUsage(), 70 * charge);
  EXPECT_EQ(cache_->GetUsage(), AllocatedCount() * charge);
  for (size_t i = 50; i < 100; ++i) {
    EXPECT_EQ(Lookup(i + 1), static_cast<int64_t>(i + 1)) << "pinned";
    cache_->Release(handles[i]);
  }
}

TEST_P(CacheContract, PinnedBlocksMayExceedTheCapacity) {
  std::vector<Cache::Handle*> handles;
  const uint64_t count = kCacheBytes / BlockCharge() + 10;
  for (uint64_t key = 1; key <= count; ++key) handles.push_back(InsertPinned(key, key));
  EXPECT_GT(cache_->GetUsage(), kCacheBytes);
  for (uint64_t key = 1; key <= count; ++key) EXPECT_EQ(Lookup(key), static_cast<int64_t>(key));
  for (Cache::Handle* const handle : handles) cache_->Release(handle);
  Overload();  // HyperClock evicts only now
  EXPECT_LE(cache_->GetUsage(), kCacheBytes);
}

// A block that is refused stays his who wanted it cached; whoever asks for no handle sees it go at once.
TEST_P(CacheContract, AStrictCapacityRefusesWhatIsPinnedBeyondIt) {
  std::vector<Cache::Handle*> handles;
  const uint64_t count = kCacheBytes / BlockCharge();
  cache_->SetStrictCapacityLimit(true);
  for (uint64_t key = 1; key <= count; ++key) handles.push_back(InsertPinned(key, key));
  const size_t usage = cache_->GetUsage();
  void* const extra = MakeBlock(9999);
  Cache::Handle* handle = nullptr;
  const Status status = cache_->Insert(KeyOf(9999), extra, Charge(extra), &Return, &handle);
  EXPECT_TRUE(status.IsMemoryLimit()) << status.ToString();
  EXPECT_EQ(handle, nullptr);
  EXPECT_TRUE(returned_.empty());
  if (cache_kind() == CacheKind::kLru) {
    EXPECT_TRUE(cache_->Insert(KeyOf(9999), extra, Charge(extra), &Return).ok());
    EXPECT_EQ(returned_, (std::vector<Returned>{{9999, 9999}}));
  } else {
    FreeBlock(extra);
  }
  EXPECT_EQ(cache_->GetUsage(), usage);
  EXPECT_EQ(Lookup(9999), -1);
  EXPECT_EQ(AllocatedCount(), count);
  cache_->Release(handles.back());
  handles.back() = InsertPinned(10'000, 10'000);  // there is room again
  for (Cache::Handle* const pinned : handles) cache_->Release(pinned);
}

// Every block that is there before and after is seen once, with its charge and its deleter, whatever comes in meanwhile.
TEST_P(CacheContract, AWalkOverAllEntriesSeesEachBlockOnce) {
  constexpr uint64_t kStayingCount = 50;
  for (uint64_t key = 1; key <= kStayingCount; ++key) ASSERT_TRUE(Insert(key, 1000 + key).ok());
  std::map<uint64_t, int> seen;
  int wrong_count = 0;
  std::atomic<bool> started{false};
  std::thread walker([&] {
    Cache::ApplyToAllEntriesOptions options;
    options.average_entries_per_lock = 2;
    const auto see = [&](const Slice& key, void* block, size_t charge, Cache::DeleterFn deleter) {
      started = true;
      if (NumberOf(key) > kStayingCount) return;
      ++seen[NumberOf(key)];
      if (!IsWhole(block) || NumberOf(block) != 1000 + NumberOf(key) || charge != Charge(block) || deleter != &Return) {
        ++wrong_count;
      }
    };
    cache_->ApplyToAllEntries(see, options);
  });
  while (!started) std::this_thread::yield();
  for (uint64_t key = 1001; key <= 1100; ++key) EXPECT_TRUE(Insert(key, key).ok());
  walker.join();
  EXPECT_EQ(seen.size(), kStayingCount);
  EXPECT_TRUE(std::all_of(seen.begin(), seen.end(), [](const auto& key) { return key.second == 1; }));
  EXPECT_EQ(wrong_count, 0);
  EXPECT_TRUE(returned_.empty());
}

// The cache goes, its blocks go back; also where somebody asks for the allocator through it.
TEST_P(CacheContract, ACacheThatEndsGivesEveryBlockBack) {
  EXPECT_EQ(cache_->memory_allocator(), allocator_.get());
  Overload();
  const uint64_t cached_count = AllocatedCount();
  EXPECT_GT(cached_count, kCacheBytes / kBlockBytes / 2);
  returned_.clear();
  cache_.reset();
  EXPECT_EQ(returned_.size(), cached_count);
  EXPECT_EQ(AllocatedCount(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Modes, CacheContract, ::testing::ValuesIn(EveryMode()), NameOfMode);

}  // namespace
}  // namespace hugepool::testing
