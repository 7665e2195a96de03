// Pile: gives back what it was given, newest first, from chunk to chunk; who wants memory sorts it; and it is nobody's loss.
#include "cache/pile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "arena/metadata_memory.h"
#include "hugepool/pool.h"
#include "pool/four_nodes.h"
#include "pool/simulated_os.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Call;
using ::hugepool::testing::Complaint;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::FourNodes;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::MakePool;
using ::hugepool::testing::OneNode;
using ::hugepool::testing::SimulatedOs;

constexpr SizeClass kClass = ToSizeClass(50);
constexpr uint64_t kDecayNs = 10'000'000'000;

struct Heap {
  explicit Heap(uint64_t decay_ns = kDecayNs)
      : os(EachNode(4, 8 * kMiB)), metadata(os), pile(0, decay_ns, os, metadata) {}

  // Objects are numbers from `first` on; nobody looks behind them.
  size_t Put(uintptr_t first, size_t count, SizeClass size_class = kClass) {
    std::vector<void*> objects;
    for (uintptr_t i = 0; i < count; ++i) objects.push_back(reinterpret_cast<void*>(first + i));
    return pile.Put(size_class, objects.data(), count);
  }
  std::vector<uintptr_t> Take(size_t count, SizeClass size_class = kClass) {
    std::vector<void*> objects(count);
    objects.resize(pile.Take(size_class, objects.data(), count));
    std::vector<uintptr_t> numbers;
    for (void* object : objects) numbers.push_back(reinterpret_cast<uintptr_t>(object));
    return numbers;
  }
  // All that are idle; returns how many.
  size_t TakeIdle() {
    size_t count = 0;
    SizeClass size_class{};
    std::array<void*, 7> objects;
    while (const size_t taken = pile.TakeIdle(&size_class, objects.data(), objects.size())) {
      EXPECT_EQ(size_class, kClass);
      count += taken;
    }
    return count;
  }

  SimulatedOs os;
  MetadataMemory metadata;
  Pile pile;
};

TEST(Pile, GivesTheNewestBackFromChunkToChunk) {
  Heap heap;
  std::vector<uintptr_t> model;
  std::mt19937 random(20261127);
  uintptr_t next = 1;
  for (int step = 0; step < 20'000; ++step) {
    const size_t count = 1 + random() % 64;
    if (random() % 100 < (step / 2000 % 2 == 0 ? 70u : 30u)) {
      ASSERT_EQ(heap.Put(next, count), count);
      for (size_t i = 0; i < count; ++i) model.push_back(next++);
    } else {
      std::vector<uintptr_t> taken = heap.Take(count);
      const size_t expected = std::min(count, model.size());
      ASSERT_EQ(taken.size(), expected);
      // A batch of the newest, in any order.
      std::sort(taken.begin(), taken.end());
      ASSERT_EQ(taken, std::vector<uintptr_t>(model.end() - static_cast<ptrdiff_t>(expected), model.end()));
      model.resize(model.size() - expected);
    }
    ASSERT_EQ(heap.pile.count(kClass), model.size());
    ASSERT_EQ(heap.pile.IsEmpty(), model.empty());
  }
}

TEST(Pile, ClassesLieApart) {
  Heap heap;
  const SizeClass other = ToSizeClass(51);
  ASSERT_EQ(heap.Put(100, 3), 3u);
  ASSERT_EQ(heap.Put(200, 2, other), 2u);
  EXPECT_EQ(heap.Take(10, other).size(), 2u);
  EXPECT_TRUE(heap.Take(10, other).empty());
  EXPECT_EQ(heap.Take(10).size(), 3u);
  EXPECT_TRUE(heap.pile.IsEmpty());
}

TEST(Pile, TakesFewerWhereTheSystemHasNoMemoryForPointers) {
  Heap heap;
  heap.os.FailFrom(Call::kMapSmall, 0, ENOMEM);
  EXPECT_EQ(heap.Put(1, 64), 0u);
  EXPECT_TRUE(heap.pile.IsEmpty());
  heap.os.FailFrom(Call::kMapSmall, UINT64_MAX, 0);
  EXPECT_EQ(heap.Put(1, 64), 64u);
  // What it has mapped it goes on using.
  heap.os.FailFrom(Call::kMapSmall, 0, ENOMEM);
  size_t put = 64;
  while (const size_t more = heap.Put(1, 64)) put += more;
  EXPECT_EQ(put, 64u * 510);
  EXPECT_EQ(heap.Take(64).size(), 64u);
}

TEST(Pile, UsesItsChunksAgain) {
  Heap heap;
  ASSERT_EQ(heap.Put(1, 20'000), 20'000u);
  const size_t mapping_count = heap.os.mapping_count();
  for (int round = 0; round < 100; ++round) {
    ASSERT_EQ(heap.Take(20'000).size(), 20'000u);
    ASSERT_EQ(heap.Put(1, 20'000, ToSizeClass(60 + round % 3)), 20'000u);
    ASSERT_EQ(heap.Take(20'000, ToSizeClass(60 + round % 3)).size(), 20'000u);
    ASSERT_EQ(heap.Put(1, 20'000), 20'000u);
  }
  EXPECT_EQ(heap.os.mapping_count(), mapping_count);
}

TEST(Pile, WhatLiesThereThroughAPeriodIsIdle) {
  Heap heap;
  heap.Put(1, 100);
  heap.os.AdvanceNs(kDecayNs);
  EXPECT_FALSE(heap.pile.HasIdle()) << "a period begins";
  heap.Put(101, 10);
  heap.Take(30);
  heap.Put(201, 50);
  heap.os.AdvanceNs(kDecayNs - 1);
  EXPECT_FALSE(heap.pile.HasIdle());
  heap.os.AdvanceNs(1);
  EXPECT_TRUE(heap.pile.HasIdle());
  EXPECT_EQ(heap.TakeIdle(), 80u) << "the least that lay there meanwhile";
  EXPECT_FALSE(heap.pile.HasIdle());
  EXPECT_EQ(heap.pile.count(kClass), 50u);
  // Now all of it lies still.
  heap.os.AdvanceNs(kDecayNs);
  EXPECT_TRUE(heap.pile.HasIdle());
  heap.Take(20);
  EXPECT_EQ(heap.TakeIdle(), 30u) << "no more than there is";
  EXPECT_TRUE(heap.pile.IsEmpty());
  Heap for_ever(0);
  for (int i = 0; i < 3; ++i) {
    for_ever.Put(1, 1);
    for_ever.os.AdvanceNs(1000 * kDecayNs);
    EXPECT_FALSE(for_ever.pile.HasIdle());
  }
}

TEST(Pile, LosesAndDoublesNothingBetweenThreads) {
  constexpr size_t kThreadCount = 4;
  constexpr size_t kEach = 2000;
  Heap heap;
  std::array<std::vector<void*>, kThreadCount> hands;
  for (size_t t = 0; t < kThreadCount; ++t) {
    for (size_t i = 0; i < kEach; ++i) hands[t].push_back(reinterpret_cast<void*>(1 + t * kEach + i));
  }
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreadCount; ++t) {
    threads.emplace_back([&, t] {
      std::minstd_rand random(static_cast<unsigned>(t + 1));
      std::vector<void*>& mine = hands[t];
      for (int step = 0; step < 20'000; ++step) {
        std::array<void*, 64> objects;
        const size_t count = 1 + random() % objects.size();
        if (random() % 2 == 0) {
          const size_t taken = heap.pile.Take(kClass, objects.data(), count);
          mine.insert(mine.end(), objects.begin(), objects.begin() + static_cast<ptrdiff_t>(taken));
        } else if (mine.size() >= count) {
          ASSERT_EQ(heap.pile.Put(kClass, mine.data() + mine.size() - count, count), count);
          mine.resize(mine.size() - count);
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::multiset<void*> all;
  for (const std::vector<void*>& mine : hands) all.insert(mine.begin(), mine.end());
  std::vector<void*> left(heap.pile.count(kClass));
  ASSERT_EQ(heap.pile.Take(kClass, left.data(), left.size()), left.size());
  all.insert(left.begin(), left.end());
  EXPECT_EQ(all.size(), kThreadCount * kEach);
  EXPECT_EQ(std::set<void*>(all.begin(), all.end()).size(), kThreadCount * kEach);
  EXPECT_TRUE(heap.pile.IsEmpty());
}

// In a pool: what is on the pile is there for whoever wants memory -------------------------------------------------------

class PiledPool : public ::testing::Test {
 protected:
  ~PiledPool() override { EXPECT_EQ(Complaint(*pool_), ""); }

  static PoolOptions Options() {
    PoolOptions options;
    options.capacity_bytes = 64 * kMiB;
    options.cache_bytes_per_cpu = 256 << 10;
    return options;
  }
  // So many blocks of a size, taken and freed; most of them lie on the pile then.
  void Heap(size_t bytes, size_t count) {
    std::vector<void*> blocks(count);
    for (void*& block : blocks) ASSERT_NE(block = pool_->Allocate(bytes), nullptr);
    std::shuffle(blocks.begin(), blocks.end(), std::mt19937(1));
    for (void* const block : blocks) pool_->Deallocate(block);
    const PoolStats stats = pool_->Stats();
    ASSERT_EQ(stats.allocated_bytes, 0u);
    ASSERT_LE(stats.cached_bytes, 2 * options_.cache_bytes_per_cpu);
  }

  SimulatedOs os_{EachNode(64, 1024 * kMiB)};
  const PoolOptions options_ = Options();
  std::shared_ptr<Pool> pool_ = MakePool(options_, os_, OneNode());
};

TEST_F(PiledPool, TheClassItselfTakesItsBlocksBack) {
  constexpr size_t kCount = 8000;
  Heap(4096, kCount);
  const uint64_t committed_bytes = pool_->Stats().committed_bytes;
  EXPECT_GT(pool_->Stats().piled_bytes, committed_bytes / 2);
  std::set<void*> blocks;
  while (blocks.size() < kCount) {
    void* const block = pool_->Allocate(4096);
    ASSERT_NE(block, nullptr);
    ASSERT_TRUE(blocks.insert(block).second);
  }
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
  EXPECT_EQ(pool_->Stats().committed_bytes, committed_bytes);
  for (void* const block : blocks) pool_->Deallocate(block);
}

TEST_F(PiledPool, AnotherClassGetsTheMemoryBeforeThePoolGrows) {
  Heap(4096, 8000);
  const uint64_t committed_bytes = pool_->Stats().committed_bytes;
  std::vector<void*> blocks;
  for (size_t bytes = 0; bytes + 9000 < committed_bytes * 3 / 4; bytes += 9216) blocks.push_back(pool_->Allocate(9000));
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
  EXPECT_LE(pool_->Stats().committed_bytes, committed_bytes);
  for (void* const block : blocks) pool_->Deallocate(block);
}

TEST_F(PiledPool, ARunGetsTheMemoryBeforeThePoolGrows) {
  Heap(4096, 8000);
  const uint64_t committed_bytes = pool_->Stats().committed_bytes;
  void* const run = pool_->Allocate(8 * kMiB);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
  EXPECT_LE(pool_->Stats().committed_bytes, committed_bytes + 4 * kHugePageBytes)
      << "a run of contiguous pages may need some more";
  pool_->Deallocate(run);
}

TEST_F(PiledPool, TrimAndALowerCapacityHaveItBack) {
  Heap(4096, 8000);
  EXPECT_GT(pool_->Stats().piled_bytes, 0u);
  EXPECT_EQ(pool_->Trim(0), 0u);
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
  Heap(4096, 8000);
  Error error;
  ASSERT_TRUE(pool_->SetCapacity(4 * kMiB, &error)) << error.ToString();
  EXPECT_LE(pool_->Stats().committed_bytes, 4 * kMiB);
}

TEST_F(PiledPool, WhatIsFreedWhileThePoolIsLargerThanItMayBeGoesBackAtOnce) {
  std::vector<void*> blocks;
  for (size_t i = 0; i < 8000; ++i) blocks.push_back(pool_->Allocate(4096));
  Error error;
  ASSERT_TRUE(pool_->SetCapacity(4 * kMiB, &error)) << error.ToString();
  EXPECT_GT(pool_->Stats().committed_bytes, 30 * kMiB);
  for (void* const block : blocks) pool_->Deallocate(block);
  EXPECT_LE(pool_->Stats().committed_bytes, 6 * kMiB) << "what caches hold may lie in one page more";
}

TEST_F(PiledPool, WhatNobodyTakesForAWhileIsSorted) {
  Heap(4096, 8000);
  EXPECT_GT(pool_->Stats().piled_bytes, 0u);
  // A few come and go, enough that caches overflow; no class lacks a slab.
  constexpr size_t kFew = 200;
  for (int period = 0; period < 3; ++period) {
    os_.AdvanceNs(uint64_t{options_.decay_seconds} * 1'000'000'000);
    std::vector<void*> few;
    for (size_t i = 0; i < kFew; ++i) few.push_back(pool_->Allocate(4096));
    for (void* const block : few) pool_->Deallocate(block);
  }
  EXPECT_LE(pool_->Stats().piled_bytes, kFew * 4096);
}

TEST_F(PiledPool, ALargePileIsSortedBitByBit) {
  constexpr size_t kCount = 30'000;
  Heap(1024, kCount);
  const uint64_t piled_bytes = pool_->Stats().piled_bytes;
  void* const block = pool_->Allocate(9000);
  EXPECT_GE(pool_->Stats().piled_bytes, piled_bytes - 8192 * 1024);
  EXPECT_LT(pool_->Stats().piled_bytes, piled_bytes - 8000 * 1024);
  pool_->Deallocate(block);
}

TEST_F(PiledPool, WhatIsFreedOnALowerRungLeavesItWhenThereIsRoomAbove) {
  os_.SetFreeHugePages(0, 0);
  Heap(4096, 8000);
  EXPECT_GT(pool_->Stats().piled_bytes, 0u) << "the next page would be no better";
  EXPECT_GT(pool_->Stats().DegradedBytes(), 30 * kMiB);
  os_.SetFreeHugePages(0, 64);
  os_.AdvanceNs(10'000'000);
  Heap(4096, 8000);
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
}

// There never will be a reserved page: what is free of them is for others.
TEST(PiledPools, WhereReservedPagesCannotBeHadBlocksArePiledAllTheSame) {
  SimulatedOs os(EachNode(64, 1024 * kMiB));
  os.FailFrom(Call::kMapHugetlb, 0, ENOMEM);
  PoolOptions options;
  options.capacity_bytes = 64 * kMiB;
  options.cache_bytes_per_cpu = 256 << 10;
  const auto pool = MakePool(options, os, OneNode());
  std::vector<void*> blocks(8000);
  for (void*& block : blocks) ASSERT_NE(block = pool->Allocate(4096), nullptr);
  for (void* const block : blocks) pool->Deallocate(block);
  EXPECT_GT(pool->Stats().DegradedBytes(), 30 * kMiB);
  EXPECT_GT(pool->Stats().piled_bytes, 20 * kMiB);
}

// Freed in this order no page is empty before all of the pile is sorted. What stays in depots and magazines, the first and the last
// ones, lies in a few pages.
void ShuffleMost(std::vector<void*>* blocks) {
  std::shuffle(blocks->begin() + 1000, blocks->end() - 1000, std::mt19937(1));
}

// The capacity is one for all nodes.
TEST(PiledPools, AnotherNodesPileGivesWayBeforeANodeDeparts) {
  SimulatedOs os(EachNode(64, 1024 * kMiB));
  PoolOptions options;
  options.capacity_bytes = 32 * kMiB;
  options.cache_bytes_per_cpu = 256 << 10;
  const auto pool = MakePool(options, os, FourNodes());
  SimulatedOs::SetCpu(2);
  std::vector<void*> blocks(29'000);
  for (void*& block : blocks) ASSERT_NE(block = pool->Allocate(1024), nullptr);
  ShuffleMost(&blocks);
  for (void* const block : blocks) pool->Deallocate(block);
  ASSERT_GT(pool->Stats().piled_bytes, 20 * kMiB);
  SimulatedOs::SetCpu(0);
  for (size_t i = 0; i < 2000; ++i) ASSERT_EQ(os.NodeOf(blocks[i] = pool->Allocate(9000)), 0) << i;
  for (const NodeStats& node : pool->Stats().nodes) EXPECT_EQ(node.departure_count, 0u);
  for (size_t i = 0; i < 2000; ++i) pool->Deallocate(blocks[i]);
  EXPECT_EQ(Complaint(*pool), "");
}

// The node is full, and what it has lies on its pile.
TEST(PiledPools, ANodesOwnPileGivesWayBeforeItDeparts) {
  SimulatedOs os(EachNode(16, 0));
  PoolOptions options;
  options.capacity_bytes = 256 * kMiB;
  options.cache_bytes_per_cpu = 256 << 10;
  for (const size_t bytes : {size_t{9000}, 8 * kMiB}) {
    const auto pool = MakePool(options, os, FourNodes());
    SimulatedOs::SetCpu(0);
    std::vector<void*> blocks(29'000);
    for (void*& block : blocks) ASSERT_NE(block = pool->Allocate(1024), nullptr);
    ShuffleMost(&blocks);
    for (void* const block : blocks) pool->Deallocate(block);
    blocks.clear();
    for (size_t sum = 0; sum + bytes <= 16 * kMiB; sum += bytes) {
      blocks.push_back(pool->Allocate(bytes));
      ASSERT_EQ(os.NodeOf(blocks.back()), 0) << sum;
    }
    for (const NodeStats& node : pool->Stats().nodes) EXPECT_EQ(node.departure_count, 0u);
    for (void* const block : blocks) pool->Deallocate(block);
    EXPECT_EQ(Complaint(*pool), "");
  }
}

// Records are sorted at once: their pointers would take an eighth of what they name.
TEST_F(PiledPool, SmallBlocksAreNotPiled) {
  Heap(512, 50'000);
  EXPECT_EQ(pool_->Stats().piled_bytes, 0u);
}

// The pool is made in the process that ends: in a forked child it would be its parent's.
TEST(PileDeathTest, ADoubleFreeIsFoundWhenThePileIsSorted) {
  const auto free_twice = [] {
    SimulatedOs os(EachNode(64, 1024 * kMiB));
    PoolOptions options;
    options.capacity_bytes = 64 * kMiB;
    options.cache_bytes_per_cpu = 256 << 10;
    const auto pool = MakePool(options, os, OneNode());
    std::vector<void*> blocks;
    for (size_t i = 0; i < 4000; ++i) blocks.push_back(pool->Allocate(4096));
    for (void* const block : blocks) pool->Deallocate(block);
    pool->Deallocate(blocks[0]);
    (void)pool->Trim(0);
  };
  EXPECT_DEATH(free_twice(), "hugepool.*double free");
}

}  // namespace
}  // namespace hugepool::internal
