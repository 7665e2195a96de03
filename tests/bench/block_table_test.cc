// The counting table against a model, and from several threads.
#include "bench/block_table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <thread>
#include <vector>

namespace hugepool::bench {
namespace {

const void* Address(uint64_t n) { return reinterpret_cast<const void*>(n); }

TEST(BlockTable, FollowsAModelThroughGrowthAndDeletion) {
  BlockTable table(1);  // has to grow
  std::map<uint64_t, size_t> model;
  std::mt19937_64 words(7);
  uint64_t payload_bytes = 0;
  for (int step = 0; step < 200000; ++step) {
    // Neighbors collide in the table more often than not.
    const uint64_t address = 4096 + words() % 40000 * 16;
    const auto at = model.find(address);
    if (at == model.end()) {
      const size_t bytes = words() % 10000;
      model[address] = bytes;
      payload_bytes += bytes;
      table.Insert(Address(address), bytes);
    } else {
      ASSERT_EQ(table.Erase(Address(address)), at->second);
      payload_bytes -= at->second;
      model.erase(at);
    }
    if (step % 1000 == 0) {
      ASSERT_EQ(table.payload_bytes(), payload_bytes);
      ASSERT_EQ(table.block_count(), model.size());
    }
  }
  std::map<uint64_t, size_t> seen;
  table.ForEachBlock([&](uintptr_t address) { seen[address] = model[address]; });
  EXPECT_EQ(seen, model);
  for (const auto& [address, bytes] : model) ASSERT_EQ(table.Erase(Address(address)), bytes);
  EXPECT_EQ(table.payload_bytes(), 0u);
  EXPECT_EQ(table.block_count(), 0u);
}

TEST(BlockTable, KeepsItsSizeWhileTheExpectedBlocksFit) {
  BlockTable table(100000);
  const uint64_t before = table.table_bytes();
  for (uint64_t i = 1; i <= 100000; ++i) table.Insert(Address(i * 4160), 1);
  EXPECT_EQ(table.table_bytes(), before);
  EXPECT_EQ(table.payload_bytes(), 100000u);
}

TEST(BlockTable, CountsExactlyUnderThreads) {
  BlockTable table(1000);
  std::vector<std::thread> threads;
  for (uint64_t thread = 1; thread <= 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (uint64_t i = 0; i < 20000; ++i) table.Insert(Address(thread << 40 | i << 4), thread);
      for (uint64_t i = 0; i < 10000; ++i) table.Erase(Address(thread << 40 | i << 4));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(table.block_count(), 40000u);
  EXPECT_EQ(table.payload_bytes(), 10000u * (1 + 2 + 3 + 4));
}

using BlockTableDeathTest = ::testing::Test;

TEST(BlockTableDeathTest, MistakesOfAnAllocatorEndTheProcess) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  BlockTable table(10);
  table.Insert(Address(4096), 1);
  EXPECT_DEATH(table.Insert(Address(4096), 1), "block that is in use");
  EXPECT_DEATH(table.Erase(Address(8192)), "not in use");
}

}  // namespace
}  // namespace hugepool::bench
