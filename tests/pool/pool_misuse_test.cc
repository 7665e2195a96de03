// Misuse: a report that names what happened, and the end of the process. Each pool is made inside of the dying process,
// since a forked child's pool serves nothing.
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <vector>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

// Runs on a pool of 16 MiB named "victim".
void OnPool(size_t cache_bytes_per_cpu, const std::function<void(Pool&)>& misuse) {
  SimulatedOs os(EachNode(16, 1024 * kMiB));
  PoolOptions options;
  options.capacity_bytes = 16 * kMiB;
  options.cache_bytes_per_cpu = cache_bytes_per_cpu;
  options.name = "victim";
  misuse(*MakePool(options, os, OneNode()));
}

constexpr size_t kNoCache = 0;
constexpr size_t kCache = size_t{1} << 20;

TEST(PoolMisuseDeathTest, ADoubleFreeIsFoundAtTheSlabs) {
  EXPECT_DEATH(
      OnPool(kNoCache,
             [](Pool& pool) {
               (void)pool.Allocate(100);
               void* const block = pool.Allocate(100);
               pool.Deallocate(block);
               pool.Deallocate(block);
             }),
      "hugepool: double free: 0x[0-9a-f]+, an object of 112 bytes .slab 0x[0-9a-f]+, node 0., is free already");
}

TEST(PoolMisuseDeathTest, ADoubleFreeInTheCacheIsFoundWhenItDrains) {
  EXPECT_DEATH(OnPool(kCache,
                      [](Pool& pool) {
                        void* const block = pool.Allocate(100);
                        pool.Deallocate(block);
                        pool.Deallocate(block);
                        pool.Trim(0);
                      }),
               "hugepool: double free: .*112 bytes");
}

TEST(PoolMisuseDeathTest, ADoubleFreeOfALargeBlockIsFoundAtOnce) {
  const auto twice = [](bool sized) {
    OnPool(kCache, [sized](Pool& pool) {
      void* const block = pool.Allocate(kMiB);
      pool.Deallocate(block);
      sized ? pool.Deallocate(block, kMiB) : pool.Deallocate(block);
    });
  };
  EXPECT_DEATH(twice(false), "hugepool: double free or foreign pointer: .* pool 'victim' .node 0.");
  EXPECT_DEATH(twice(true), "hugepool: double free or foreign pointer: .* pool 'victim' .node 0.");
}

TEST(PoolMisuseDeathTest, AForeignPointerIsFoundAtOnce) {
  EXPECT_DEATH(OnPool(kCache,
                      [](Pool& pool) {
                        const std::unique_ptr<char[]> foreign(new char[64]);
                        pool.Deallocate(foreign.get());
                      }),
               "hugepool: foreign pointer freed: 0x[0-9a-f]+ is not in pool 'victim'");
  EXPECT_DEATH(
      OnPool(kCache, [](Pool& pool) { OnPool(kCache, [&pool](Pool& other) { other.Deallocate(pool.Allocate(64)); }); }),
      "hugepool: foreign pointer freed");
}

TEST(PoolMisuseDeathTest, AnAddressOfThePoolWithoutABlockIsFoundAtOnce) {
  EXPECT_DEATH(OnPool(kCache,
                      [](Pool& pool) {
                        char* const block = static_cast<char*>(pool.Allocate(kMiB));
                        pool.Deallocate(block + 8 * kMiB);
                      }),
               "hugepool: double free or foreign pointer");
}

TEST(PoolMisuseDeathTest, AnInteriorPointerIsFound) {
  EXPECT_DEATH(OnPool(kCache, [](Pool& pool) { pool.Deallocate(static_cast<char*>(pool.Allocate(kMiB)) + 64); }),
               "hugepool: interior pointer freed: .*pool 'victim'");
  EXPECT_DEATH(
      OnPool(kCache,
             [](Pool& pool) { pool.Deallocate(static_cast<char*>(pool.Allocate(kMiB)) + internal::kSlotBytes); }),
      "hugepool: interior pointer freed: .*pool 'victim'");
  EXPECT_DEATH(OnPool(kNoCache, [](Pool& pool) { pool.Deallocate(static_cast<char*>(pool.Allocate(100)) + 16); }),
               "hugepool: interior pointer freed: .* is 16 bytes into an object of 112 bytes");
  // Behind the last object of a slab there is no block either.
  EXPECT_DEATH(OnPool(kNoCache,
                      [](Pool& pool) {
                        char* const block = static_cast<char*>(pool.Allocate(112));
                        pool.Deallocate(block + internal::kSlotBytes / 112 * 112);
                      }),
               "hugepool: interior pointer freed");
}

TEST(PoolMisuseDeathTest, AWrongSizeIsFoundAtOnce) {
  EXPECT_DEATH(
      OnPool(kCache, [](Pool& pool) { pool.Deallocate(pool.Allocate(100), 113); }),
      "hugepool: wrong size freed: 0x[0-9a-f]+ is a block of 112 bytes of pool 'victim' .node 0., freed as 113");
  EXPECT_DEATH(OnPool(kCache, [](Pool& pool) { pool.Deallocate(pool.Allocate(kMiB), kMiB + 1); }),
               "hugepool: wrong size freed");
}

TEST(PoolMisuse, AnySizeUpToTheUsableOneIsRight) {
  OnPool(kCache, [](Pool& pool) {
    for (const size_t bytes : {size_t{0}, size_t{1}, size_t{100}, size_t{112}})
      pool.Deallocate(pool.Allocate(100), bytes);
    pool.Deallocate(pool.Allocate(kMiB + 1), kMiB + internal::kSlotBytes);
    EXPECT_EQ(Complaint(pool), "");
  });
}

}  // namespace
}  // namespace hugepool::testing
