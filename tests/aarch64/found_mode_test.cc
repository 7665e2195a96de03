// A user's program on the shared library: the sequences are inlined here, and what they name lies there.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <set>

#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"

namespace hugepool {
namespace {

PoolOptions SmallPool() {
  PoolOptions options;
  options.capacity_bytes = size_t{32} << 20;
  options.huge_pages = HugePages::kOff;
  return options;
}

// Else every other test here might have passed by way of the locks.
TEST(FoundMode, AutoComesToWhatThisMachineWasPromisedToHave) {
  const char* const promised = std::getenv("HUGEPOOL_PROMISED_MODE");
  if (promised == nullptr) GTEST_SKIP() << "HUGEPOOL_PROMISED_MODE does not say which mode is right here";
  Error error;
  const auto pool = Pool::Create(SmallPool(), &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  EXPECT_EQ(pool->Stats().cache_mode, promised);
}

TEST(FoundMode, BlocksAreDistinctAndComeBack) {
  Error error;
  const auto pool = Pool::Create(SmallPool(), &error);
  ASSERT_NE(pool, nullptr) << error.ToString();
  auto cache = SlabCache::Create(pool, 416, &error);
  ASSERT_TRUE(cache) << error.ToString();
  for (int round = 0; round < 100; ++round) {
    std::array<void*, 300> blocks;  // more than a magazine holds
    for (size_t i = 0; i < blocks.size(); ++i) {
      blocks[i] = i % 2 == 0 ? cache->Allocate() : pool->Allocate(416);
      ASSERT_NE(blocks[i], nullptr);
      std::memset(blocks[i], static_cast<int>(i), 416);
    }
    EXPECT_EQ(std::set<void*>(blocks.begin(), blocks.end()).size(), blocks.size());
    for (size_t i = 0; i < blocks.size(); ++i) {
      EXPECT_EQ(*static_cast<unsigned char*>(blocks[i]), static_cast<unsigned char>(i));
      if (i % 3 == 0) {
        cache->Deallocate(blocks[i]);
      } else if (i % 3 == 1) {
        pool->Deallocate(blocks[i]);
      } else {
        pool->Deallocate(blocks[i], 416);
      }
    }
  }
  EXPECT_EQ(pool->Stats().allocated_bytes, 0u);
}

}  // namespace
}  // namespace hugepool
