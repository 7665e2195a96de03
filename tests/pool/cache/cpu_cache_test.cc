// CpuCache: bounded per CPU, home blocks only, drained to the last block.
#include "cache/cpu_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "pool/arena/arenas.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Arenas;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::FourNodes;
using ::hugepool::testing::kGiB;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::SimulatedOs;

struct Caches {
  explicit Caches(size_t budget_bytes, Placement placement = Placement::Local(), size_t capacity_bytes = 64 * kMiB,
                  CpuCacheMode mode = CpuCacheMode::kAuto, const Topology& topology = FourNodes())
      : os(EachNode(64, 1024 * kMiB)), arenas(os, Options(placement, capacity_bytes), topology) {
    Error error;
    policy = std::make_unique<PlacementPolicy>(placement, *arenas.set);
    slabs = SlabSet::Create(*arenas.set, arenas.metadata, &error);
    cache = CpuCache::Create(mode, *slabs, *policy, budget_bytes, 10, arenas.metadata, &error);
    EXPECT_NE(cache, nullptr) << error.ToString();
  }

  static PoolOptions Options(Placement placement, size_t capacity_bytes) {
    PoolOptions options;
    options.capacity_bytes = capacity_bytes;
    options.placement = placement;
    return options;
  }
  int NodeOf(void* object) const { return os.NodeOf(object); }
  std::vector<void*> AllocateOn(int cpu, size_t count, SizeClass size_class) {
    SimulatedOs::SetCpu(cpu);
    std::vector<void*> objects;
    while (objects.size() < count) objects.push_back(cache->Allocate(size_class));
    return objects;
  }
  void DeallocateOn(int cpu, const std::vector<void*>& objects, SizeClass size_class) {
    SimulatedOs::SetCpu(cpu);
    for (void* object : objects) cache->Deallocate(object, size_class);
  }
  // In magazines, outboxes, depots and on piles.
  uint64_t free_bytes() const { return cache->cached_bytes() + cache->piled_bytes(); }
  uint64_t depot_bytes() const { return cache->cached_bytes() - cache->magazine_bytes(); }
  uint64_t OutsideSlabs() {
    uint64_t bytes = 0;
    uint64_t count = 0;
    slabs->AddUsed(&bytes, &count);
    return bytes;
  }

  SimulatedOs os;
  Arenas arenas;
  std::unique_ptr<PlacementPolicy> policy;
  std::unique_ptr<SlabSet> slabs;
  std::unique_ptr<CpuCache> cache;
};

constexpr size_t kBudgetBytes = size_t{256} << 10;
// One CPU's magazines and outboxes, and the depots of four nodes.
constexpr size_t kMostBytes = (1 + 4) * kBudgetBytes;

// Every second block of four pages is free.
std::vector<void*> Halve(Caches& caches, SizeClass size_class) {
  std::vector<void*> objects = caches.AllocateOn(0, 4 * kHugePageBytes / 4096, size_class);
  std::vector<void*> freed;
  for (size_t i = 0; i < objects.size(); i += 2) freed.push_back(objects[i]);
  caches.DeallocateOn(0, freed, size_class);
  (void)caches.cache->Drain();
  return objects;
}

TEST(CpuCache, WhatAHandleMayFreeDrainsOnlyWhenAsked) {
  const SizeClass size_class = ClassFor(4096);
  for (const bool has_handle : {false, true}) {
    Caches caches(kBudgetBytes);
    if (has_handle) caches.cache->NoteHandle(size_class);
    (void)Halve(caches, size_class);
    EXPECT_EQ(caches.cache->StartDraining(SIZE_MAX, CpuCache::Kept::kChance) == 0, has_handle);
    EXPECT_EQ(caches.slabs->Drains(size_class), !has_handle);
    (void)caches.cache->StartDraining(SIZE_MAX, CpuCache::Kept::kCaches);
    EXPECT_TRUE(caches.slabs->Drains(size_class));
  }
}

TEST(CpuCache, HandsOutEachBlockOnce) {
  Caches caches(kBudgetBytes);
  std::set<void*> live;
  for (size_t i = 0; i < 1000; ++i) {
    void* const object = caches.cache->Allocate(ClassFor(100));
    ASSERT_NE(object, nullptr);
    ASSERT_TRUE(live.insert(object).second);
  }
  for (void* object : live) caches.cache->Deallocate(object, ClassFor(100));
  EXPECT_LE(caches.cache->cached_bytes(), 2 * kBudgetBytes);
  EXPECT_EQ(caches.OutsideSlabs(), caches.free_bytes());
  EXPECT_TRUE(caches.cache->Drain());
  EXPECT_FALSE(caches.cache->Drain());
  EXPECT_EQ(caches.OutsideSlabs(), 0u);
  EXPECT_EQ(caches.cache->free_count(), 0u);
}

TEST(CpuCache, ACpuHoldsAtMostItsBudgetWhateverIsFreed) {
  Caches caches(kBudgetBytes);
  std::vector<std::pair<void*, SizeClass>> blocks;
  // Many classes, all CPUs' blocks, all freed on one CPU.
  for (int cpu = 0; cpu < 4; ++cpu) {
    SimulatedOs::SetCpu(cpu);
    for (size_t bytes = 16; bytes <= kMaxSlabBytes; bytes += bytes / 2) {
      for (int i = 0; i < 20; ++i) {
        void* const object = caches.cache->Allocate(ClassFor(bytes));
        if (object != nullptr) blocks.emplace_back(object, ClassFor(bytes));
      }
    }
  }
  caches.cache->Drain();
  SimulatedOs::SetCpu(2);
  for (const auto& [object, size_class] : blocks) {
    caches.cache->Deallocate(object, size_class);
    ASSERT_LE(caches.cache->magazine_bytes(), kBudgetBytes);
    ASSERT_LE(caches.cache->cached_bytes(), kMostBytes);
  }
  EXPECT_GT(caches.cache->cached_bytes(), 0u);
  EXPECT_EQ(caches.OutsideSlabs(), caches.free_bytes());
}

TEST(CpuCache, ACpuHoldsAtMostItsBudgetWhateverIsAllocated) {
  Caches caches(kBudgetBytes);
  // Each first block of a class brings a batch with it; all batches together are several budgets.
  for (const SizeClassInfos& infos : kSizeClasses) {
    const SizeClassInfo& info = infos[static_cast<size_t>(SlabKind::kNormal)];
    if (info.object_bytes > kBudgetBytes / 16) break;
    ASSERT_NE(caches.cache->Allocate(ClassFor(info.object_bytes)), nullptr);
    ASSERT_LE(caches.cache->magazine_bytes(), kBudgetBytes);
    ASSERT_LE(caches.cache->cached_bytes(), kMostBytes);
  }
  EXPECT_GT(caches.cache->cached_bytes(), kBudgetBytes / 2);
}

TEST(CpuCache, AMissTakesABatchAndStaysInTheBudget) {
  Caches caches(kBudgetBytes);
  for (size_t bytes = 16; bytes <= kMaxSlabBytes; bytes *= 2) {
    ASSERT_NE(caches.cache->Allocate(ClassFor(bytes)), nullptr);
    ASSERT_LE(caches.cache->magazine_bytes(), kBudgetBytes);
    ASSERT_LE(caches.cache->cached_bytes(), kMostBytes);
  }
  EXPECT_GT(caches.cache->free_count(), 0u);
}

TEST(CpuCache, OnlyHomeBlocksAreServedUnderLocal) {
  Caches caches(kBudgetBytes);
  std::vector<void*> foreign;
  SimulatedOs::SetCpu(2);  // node 1
  for (size_t i = 0; i < 40; ++i) foreign.push_back(caches.cache->Allocate(ClassFor(64)));
  SimulatedOs::SetCpu(0);  // node 0 frees them, and must not get them back
  for (void* object : foreign) {
    ASSERT_EQ(caches.NodeOf(object), 1);
    caches.cache->Deallocate(object, ClassFor(64));
  }
  for (size_t i = 0; i < 200; ++i) EXPECT_EQ(caches.NodeOf(caches.cache->Allocate(ClassFor(64))), 0);
}

TEST(CpuCache, AnyNodesBlocksAreServedUnderInterleave) {
  Caches caches(kBudgetBytes, Placement::Interleave());
  std::set<int> nodes;
  for (size_t i = 0; i < 400; ++i) nodes.insert(caches.NodeOf(caches.cache->Allocate(ClassFor(64))));
  EXPECT_EQ(nodes.size(), 4u);
}

TEST(CpuCache, WithoutABudgetNothingIsHeldBack) {
  Caches caches(0);
  EXPECT_EQ(caches.cache->mode(), CpuCacheMode::kOff);
  void* const object = caches.cache->Allocate(ClassFor(64));
  ASSERT_NE(object, nullptr);
  EXPECT_EQ(caches.OutsideSlabs(), 64u);
  caches.cache->Deallocate(object, ClassFor(64));
  EXPECT_EQ(caches.OutsideSlabs(), 0u);
  EXPECT_EQ(caches.cache->cached_bytes(), 0u);
}

TEST(CpuCache, ACpuThatNobodyKnowsIsServedWithoutAMagazine) {
  Caches caches(kBudgetBytes);
  for (const int cpu : {-1, 64, 100'000}) {
    SimulatedOs::SetCpu(cpu);
    void* const object = caches.cache->Allocate(ClassFor(64));
    ASSERT_NE(object, nullptr);
    caches.cache->Deallocate(object, ClassFor(64));
    EXPECT_EQ(caches.cache->magazine_bytes(), 0u);
  }
  caches.cache->Drain();
  EXPECT_EQ(caches.OutsideSlabs(), 0u);
}

TEST(CpuCache, ACpuThatCameLaterGetsAMagazineOfItsOwn) {
  Caches caches(kBudgetBytes);
  SimulatedOs::SetCpu(63);  // unknown to the topology: hotplugged
  void* const object = caches.cache->Allocate(ClassFor(64));
  ASSERT_NE(object, nullptr);
  EXPECT_GT(caches.cache->magazine_bytes(), 0u);
  caches.cache->Deallocate(object, ClassFor(64));
}

// "Never another node's memory" holds for a CPU too that was offline when the pool was created.
TEST(CpuCache, ACpuThatCameLaterIsServedFromItsOwnNode) {
  Caches caches(kBudgetBytes, Placement::LocalStrict());
  SimulatedOs::SetCpu(62, 1);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(caches.NodeOf(caches.cache->Allocate(ClassFor(64))), 1);
  // Looked up once: the answer of a moment in which the thread is moved is no answer.
  SimulatedOs::SetCpu(62, -1);
  EXPECT_EQ(caches.arenas.set->HomeOfCpu(62), 1u);
  EXPECT_EQ(caches.arenas.set->HomeOfCpu(61), 0u);
  SimulatedOs::SetCpu(61, 4);
  EXPECT_EQ(caches.NodeOf(caches.cache->Allocate(ClassFor(64))), 4);
}

TEST(CpuCache, TheBudgetMovesToTheClassesThatMiss) {
  Caches caches(kBudgetBytes);
  const SizeClass first = ClassFor(4096);
  const SizeClass second = ClassFor(1024);
  const auto turn_over = [&caches](SizeClass size_class, size_t count) {
    std::vector<void*> objects;
    for (size_t round = 0; round < 10; ++round) {
      while (objects.size() < count) objects.push_back(caches.cache->Allocate(size_class));
      for (void* object : objects) caches.cache->Deallocate(object, size_class);
      objects.clear();
    }
  };
  turn_over(first, 64);  // as much as the whole budget
  EXPECT_GT(caches.cache->magazine_bytes(), kBudgetBytes / 2);
  turn_over(second, 200);
  // The second class could only grow at the cost of the first.
  EXPECT_GT(caches.cache->capacity_count(second), 100u);
  EXPECT_LT(caches.cache->capacity_count(first), 32u);
  EXPECT_LE(caches.cache->magazine_bytes(), kBudgetBytes);
}

TEST(CpuCache, ABlockFreedElsewhereComesHomeInBatches) {
  Caches caches(kBudgetBytes);
  SimulatedOs::SetCpu(2);  // node 1
  std::vector<void*> objects;
  for (size_t i = 0; i < 500; ++i) objects.push_back(caches.cache->Allocate(ClassFor(64)));
  SimulatedOs::SetCpu(0);
  for (void* object : objects) caches.cache->Deallocate(object, ClassFor(64));
  NodeStats handed_over;
  caches.cache->AddStats(1, &handed_over);
  EXPECT_GE(handed_over.handed_over_block_count, 500 - kBatchMaxCount - 1);
  EXPECT_GE(handed_over.handed_over_block_count, handed_over.hand_over_count * kBatchMaxCount / 2);
  // Handed over but for what an outbox holds: node 1 gets them back without a new slab object.
  const uint64_t outside = caches.OutsideSlabs();
  SimulatedOs::SetCpu(2);
  for (size_t i = 0; i < 400; ++i) EXPECT_EQ(caches.NodeOf(caches.cache->Allocate(ClassFor(64))), 1);
  EXPECT_EQ(caches.OutsideSlabs(), outside);
}

TEST(CpuCache, AFullNodesSpillIsServedFromItsMagazineAndComesHomeAgain) {
  // Node 0 has one page, the others enough.
  Caches caches(kBudgetBytes);
  for (const int node_id : {0}) {
    caches.os.SetFreeHugePages(node_id, 0);
    caches.os.SetSmallBytes(node_id, 0);
  }
  SimulatedOs::SetCpu(0);
  std::vector<void*> away;
  for (size_t i = 0; i < 200; ++i) away.push_back(caches.cache->Allocate(ClassFor(4096)));
  for (void* object : away) ASSERT_NE(caches.NodeOf(object), 0);
  // What was freed is at hand at once, on the same CPU, without another departure.
  NodeStats before;
  caches.policy->AddStats(0, &before);
  for (size_t i = 0; i < 1000; ++i) {
    caches.cache->Deallocate(away.back(), ClassFor(4096));
    away.back() = caches.cache->Allocate(ClassFor(4096));
  }
  NodeStats after;
  caches.policy->AddStats(0, &after);
  EXPECT_EQ(after.departure_count, before.departure_count);
  EXPECT_GE(before.departure_count, 200u);
}

// The magazine is open for one node and the other after the other; what leaves it waits in the outboxes, all of it.
TEST(CpuCache, OnAFullNodeWholeBatchesGoToAndFroWithoutADepot) {
  Caches caches(size_t{2} << 20);
  const SizeClass size_class = ClassFor(4096);
  std::vector<void*> live = caches.AllocateOn(0, 2000, size_class);
  caches.os.SetFreeHugePages(0, 0);
  caches.os.SetSmallBytes(0, 0);
  while (caches.NodeOf(live.back()) == 0) live.push_back(caches.cache->Allocate(size_class));
  const size_t home_count = live.size() - 1;
  while (live.size() < 2 * home_count) live.push_back(caches.cache->Allocate(size_class));
  std::mt19937 random(20260102);
  size_t refill_count = 0;
  const auto churn = [&](size_t pair_count) {
    for (size_t i = 0; i < pair_count; ++i) {
      void*& object = live[random() % live.size()];
      caches.cache->Deallocate(object, size_class);
      size_t fetched_count = 0;
      object = caches.cache->Allocate(size_class, CpuCache::From::kClass, &fetched_count);
      refill_count += fetched_count != 0 ? 1 : 0;
    }
  };
  const auto handed_over_count = [&] {
    uint64_t count = 0;
    for (size_t window = 0; window < 4; ++window) {
      NodeStats stats;
      caches.cache->AddStats(window, &stats);
      count += stats.hand_over_count;
    }
    return count;
  };
  churn(2000);
  // Of what goes to and fro, more than a third is taken for good: the next batch from the other node makes up for it.
  for (size_t i = 0; i < 25; ++i) live.push_back(caches.cache->Allocate(size_class));
  churn(2000);
  refill_count = 0;
  const uint64_t handed_over_before = handed_over_count();
  constexpr size_t kPairCount = 20'000;
  churn(kPairCount);
  EXPECT_EQ(handed_over_count(), handed_over_before);
  // Of two blocks that are freed one comes back into the magazine at once.
  EXPECT_GT(refill_count, 0u);
  EXPECT_LT(refill_count, kPairCount / (2 * kBatchMaxCount - kBatchMaxCount / 4));
}

TEST(CpuCache, WhatOtherCpusHoldBackIsFetchedBeforeAnythingIsRefused) {
  // One huge page in all, of one class: what CPU 0 caches is all that CPU 1 can get.
  Caches caches(size_t{4} << 20, Placement::Node(0), 2 * kMiB);
  SimulatedOs::SetCpu(0);
  std::vector<void*> objects;
  while (void* object = caches.cache->Allocate(ClassFor(kMaxSlabBytes))) objects.push_back(object);
  EXPECT_EQ(objects.size(), 8u);
  caches.cache->Deallocate(objects.back(), ClassFor(kMaxSlabBytes));
  EXPECT_EQ(caches.cache->free_count(), 1u);
  SimulatedOs::SetCpu(1);
  EXPECT_EQ(caches.cache->Allocate(ClassFor(kMaxSlabBytes)), objects.back());
  EXPECT_EQ(caches.cache->Allocate(ClassFor(kMaxSlabBytes)), nullptr);
}

// Two nodes of two last-level caches each. Node 0: CPUs 0, 1 and 2, 3; node 1: CPUs 4, 5 and 6, 7.
Topology TwoNodesOfTwoCaches() {
  Error error;
  auto topology =
      Topology::Make({{.node_id = 0, .cpus = {0, 1, 2, 3}, .memory_bytes = 8 * kGiB, .cache_groups = {{0, 1}, {2, 3}}},
                      {.node_id = 1, .cpus = {4, 5, 6, 7}, .memory_bytes = 8 * kGiB, .cache_groups = {{4, 5}, {6, 7}}}},
                     {}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

class CpuCacheGroups : public ::testing::TestWithParam<Placement> {
 protected:
  // What CPU 0 and CPU 2 may free so that some of it overflows into the depots, which have room for all of that.
  static constexpr size_t kFreedCount = kBudgetBytes / 1024 + 100;
  static constexpr size_t kTakenCount = 64;
  const SizeClass size_class_ = ClassFor(1024);

  Caches caches_{kBudgetBytes, GetParam(), 64 * kMiB, CpuCacheMode::kAuto, TwoNodesOfTwoCaches()};
};

INSTANTIATE_TEST_SUITE_P(Placements, CpuCacheGroups, ::testing::Values(Placement::Local(), Placement::Interleave()),
                         [](const auto& parameter) { return ToString(parameter.param); });

TEST_P(CpuCacheGroups, WhatACpuFreesItsNeighboursAtTheCacheGetFirst) {
  const std::vector<void*> left = caches_.AllocateOn(0, kFreedCount, size_class_);
  const std::vector<void*> right = caches_.AllocateOn(2, kFreedCount, size_class_);
  caches_.cache->Drain();
  caches_.DeallocateOn(0, left, size_class_);
  caches_.DeallocateOn(2, right, size_class_);
  const uint64_t outside_bytes = caches_.OutsideSlabs();
  EXPECT_THAT(caches_.AllocateOn(1, kTakenCount, size_class_), ::testing::IsSubsetOf(left));
  EXPECT_THAT(caches_.AllocateOn(3, kTakenCount, size_class_), ::testing::IsSubsetOf(right));
  EXPECT_EQ(caches_.OutsideSlabs(), outside_bytes) << "the slabs were not asked";
}

TEST_P(CpuCacheGroups, WhatAnIdleCacheGroupHasLeftIsUsedBeforeTheSlabs) {
  const std::vector<void*> left = caches_.AllocateOn(0, kFreedCount, size_class_);
  caches_.cache->Drain();
  caches_.DeallocateOn(0, left, size_class_);
  const uint64_t outside_bytes = caches_.OutsideSlabs();
  EXPECT_THAT(caches_.AllocateOn(2, kTakenCount, size_class_), ::testing::IsSubsetOf(left));
  EXPECT_EQ(caches_.OutsideSlabs(), outside_bytes);
}

TEST(CpuCache, GroupsOfAnotherNodeHandOverToDifferentDepots) {
  Caches caches(kBudgetBytes, Placement::Local(), 64 * kMiB, CpuCacheMode::kAuto, TwoNodesOfTwoCaches());
  const SizeClass size_class = ClassFor(1024);
  const std::vector<void*> by_4 = caches.AllocateOn(0, 100, size_class);
  const std::vector<void*> by_6 = caches.AllocateOn(0, 100, size_class);
  caches.cache->Drain();
  caches.DeallocateOn(4, by_4, size_class);
  caches.DeallocateOn(6, by_6, size_class);
  const uint64_t outside_bytes = caches.OutsideSlabs();
  EXPECT_THAT(caches.AllocateOn(0, 50, size_class), ::testing::IsSubsetOf(by_4));
  EXPECT_THAT(caches.AllocateOn(2, 50, size_class), ::testing::IsSubsetOf(by_6));
  EXPECT_EQ(caches.OutsideSlabs(), outside_bytes);
}

TEST(CpuCache, TheDepotsOfANodeHoldAtMostTheBudgetTogether) {
  Caches caches(kBudgetBytes, Placement::Node(0), 64 * kMiB, CpuCacheMode::kAuto, TwoNodesOfTwoCaches());
  const SizeClass size_class = ClassFor(1024);
  std::vector<void*> objects = caches.AllocateOn(0, 8000, size_class);
  caches.cache->Drain();
  for (size_t i = 0; i < objects.size(); ++i) {
    caches.DeallocateOn(static_cast<int>(i / 1000), {objects[i]}, size_class);
    ASSERT_LE(caches.depot_bytes(), kBudgetBytes);
  }
  EXPECT_GT(caches.depot_bytes(), kBudgetBytes * 9 / 10);
  EXPECT_EQ(caches.OutsideSlabs(), caches.free_bytes());
  EXPECT_TRUE(caches.cache->Drain());
  EXPECT_EQ(caches.cache->cached_bytes(), 0u);
  EXPECT_EQ(caches.OutsideSlabs(), 0u);
}

// The depots are full of one class when another one comes and goes.
TEST(CpuCache, DepotsHoldWhatIsInUse) {
  Caches caches(kBudgetBytes);
  const SizeClass old_class = ClassFor(512);
  const SizeClass new_class = ClassFor(256);
  caches.DeallocateOn(0, caches.AllocateOn(0, 4000, old_class), old_class);
  ASSERT_GT(caches.depot_bytes(), kBudgetBytes * 9 / 10);
  for (int round = 0; round < 20; ++round) {
    caches.DeallocateOn(0, caches.AllocateOn(0, 4000, new_class), new_class);
    ASSERT_LE(caches.depot_bytes(), kBudgetBytes);
  }
  std::array<uint64_t, kMaxClassCount> counts{};
  caches.cache->AddFreeOf(0, counts.data());
  EXPECT_GT(counts[ToSize(new_class)] * 256, kBudgetBytes / 2);
  EXPECT_LT(counts[ToSize(old_class)] * 512, kBudgetBytes / 2);
}

TEST_P(CpuCacheGroups, NothingIsLostOnTheWayThroughTheDepots) {
  std::mt19937 random(20260101);
  const std::array<SizeClass, 3> classes = {ClassFor(64), ClassFor(1024), ClassFor(9000)};
  std::array<std::vector<void*>, 3> live;
  uint64_t live_bytes = 0;
  for (size_t step = 0; step < 20'000; ++step) {
    SimulatedOs::SetCpu(static_cast<int>(random() % 9));  // CPU 8: nobody knows it
    const size_t kind = random() % classes.size();
    const uint64_t object_bytes = caches_.slabs->classes().ObjectBytes(classes[kind]);
    // Up and down in turns, so that the depots fill and empty.
    const bool allocate = random() % 100 < (step / 2000 % 2 == 0 ? 80u : 20u);
    std::array<void*, 40> objects;
    size_t count = 1 + random() % objects.size();
    if (allocate) {
      size_t fetched_count = 0;
      count =
          caches_.cache->AllocateBatch(classes[kind], CpuCache::From::kLarger, objects.data(), count, &fetched_count);
      live[kind].insert(live[kind].end(), objects.begin(), objects.begin() + static_cast<ptrdiff_t>(count));
      live_bytes += count * object_bytes;
    } else {
      count = std::min(count, live[kind].size());
      for (size_t i = 0; i < count; ++i) {
        std::swap(live[kind][random() % live[kind].size()], live[kind].back());
        objects[i] = live[kind].back();
        live[kind].pop_back();
      }
      caches_.cache->DeallocateBatch(classes[kind], objects.data(), count);
      live_bytes -= count * object_bytes;
    }
    if (step % 50 == 0) {
      ASSERT_EQ(caches_.OutsideSlabs(), live_bytes + caches_.free_bytes());
      ASSERT_LE(caches_.depot_bytes(), 2 * kBudgetBytes);
      std::array<uint64_t, kMaxClassCount> by_window{};
      for (size_t window = 0; window < 2; ++window) caches_.cache->AddFreeOf(window, by_window.data());
      uint64_t free_bytes = 0;
      for (const SizeClass one : classes) {
        free_bytes += by_window[ToSize(one)] * caches_.slabs->classes().ObjectBytes(one);
      }
      ASSERT_EQ(free_bytes, caches_.free_bytes());
    }
    if (step % 5000 == 4999) {
      caches_.cache->Drain();
      ASSERT_EQ(caches_.OutsideSlabs(), live_bytes);
    }
  }
  std::set<void*> once;
  for (const std::vector<void*>& objects : live) once.insert(objects.begin(), objects.end());
  EXPECT_EQ(once.size(), live[0].size() + live[1].size() + live[2].size());
  std::string why;
  EXPECT_TRUE(caches_.slabs->Check(&why)) << why;
}

TEST(CpuCache, ThreadsOnOneCpuAndDrainsGetAlong) {
  Caches caches(kBudgetBytes);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&caches, t] {
      SimulatedOs::SetCpu(t / 2 * 2);  // two threads on each of two CPUs
      std::vector<void*> mine;
      for (size_t i = 0; i < 3000; ++i) {
        if (i % 500 == 250) caches.cache->Drain();
        if (i % 3 != 2) {
          mine.push_back(caches.cache->Allocate(ClassFor(64)));
        } else {
          caches.cache->Deallocate(mine.back(), ClassFor(64));
          mine.pop_back();
        }
      }
      for (void* object : mine) caches.cache->Deallocate(object, ClassFor(64));
    });
  }
  for (std::thread& thread : threads) thread.join();
  caches.cache->Drain();
  EXPECT_EQ(caches.OutsideSlabs(), 0u);
  std::string why;
  EXPECT_TRUE(caches.slabs->Check(&why)) << why;
}

}  // namespace
}  // namespace hugepool::internal
