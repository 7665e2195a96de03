// The inlined fast path means the same wherever a compiler puts it. g++ before 12.4 moved the copy of an asm goto's output
// behind a use of it (GCC bug 113921); the shapes below are those that showed it.
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <thread>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

struct Seen {
  void* first = nullptr;
  void* second = nullptr;
};

// Out of line: what they are called with is what counts.
[[gnu::noinline]] void SeeFirst(Seen* seen, void* block) { seen->first = block; }
[[gnu::noinline]] void SeeSecond(Seen* seen, void* block) { seen->second = block; }

template <typename Source>
[[gnu::noinline]] void TwoNamesForOneBlock(Source& source, bool allocate, void* one, void* other, Seen* seen) {
  if (allocate) {
    other = source.Get();
    one = other;
  }
  SeeFirst(seen, one);
  SeeSecond(seen, other);
}

template <typename Source>
[[gnu::noinline]] void* StoredAndReturned(Source& source, void** stored) {
  void* const block = source.Get();
  if (block == nullptr) return stored;
  *stored = block;
  return block;
}

struct FromPool {
  Pool& pool;
  void* Get() { return pool.Allocate(100); }
};
struct FromSlabCache {
  SlabCache& cache;
  void* Get() { return cache.Allocate(); }
};

template <typename Source>
void Check(Source source) {
  for (int i = 0; i < 200; ++i) {  // on hits and on misses
    int one = 0;
    int other = 0;
    Seen seen;
    TwoNamesForOneBlock(source, true, &one, &other, &seen);
    ASSERT_EQ(seen.first, seen.second);
    ASSERT_NE(seen.first, &one);
    TwoNamesForOneBlock(source, false, &one, &other, &seen);
    ASSERT_EQ(seen.first, &one);
    ASSERT_EQ(seen.second, &other);
    void* stored = nullptr;
    void* const returned = StoredAndReturned(source, &stored);
    ASSERT_EQ(returned, stored);
  }
}

std::shared_ptr<Pool> MakeInlinedPool() {
  PoolOptions options;
  options.capacity_bytes = 8 * kMiB;
  options.huge_pages = HugePages::kOff;
  Error error;
  auto pool = Pool::Create(options, &error);
  EXPECT_NE(pool, nullptr) << error.ToString();
  return pool;
}

TEST(PoolInlined, ABlockIsWhatWasAllocatedWhateverStandsAroundIt) {
  const auto pool = MakeInlinedPool();
  ASSERT_NE(pool, nullptr);
  Error error;
  auto cache = SlabCache::Create(pool, 100, &error);
  ASSERT_TRUE(cache) << error.ToString();
  Check(FromPool{*pool});
  Check(FromSlabCache{*cache});
}

// A magazine that was never opened (that of the class that a new thread freed last: none) is open for no address, not even for 0,
// and no tag is read for one.
TEST(PoolInlined, NullIsFreedWhateverTheThreadFreedLast) {
  const auto pool = MakeInlinedPool();
  ASSERT_NE(pool, nullptr);
  const auto free_null = [&] {
    pool->Deallocate(nullptr);
    pool->Deallocate(nullptr, 100);
    pool->Deallocate(nullptr, 30'000);
  };
  std::thread([&] {
    free_null();
    for (const size_t bytes : {size_t{100}, size_t{5000}, size_t{3} << 20}) {
      pool->Deallocate(pool->Allocate(bytes));
      free_null();
    }
  }).join();
}

}  // namespace
}  // namespace hugepool::testing
