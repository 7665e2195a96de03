// DepotSet: who finds what whom has left, one limit for all groups, and what it costs in memory.
#include "cache/depot_set.h"

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
#include "pool/four_nodes.h"
#include "pool/simulated_os.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Call;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::SimulatedOs;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr size_t kObjectBytes = 1024;
constexpr SizeClass kClass = ToSizeClass(7);

struct Set {
  explicit Set(size_t group_count, size_t limit_bytes = kMiB) : os(EachNode(4, kMiB)), metadata(os) {
    Error error;
    depots = DepotSet::Create(group_count, limit_bytes, 0, metadata, &error);
    EXPECT_NE(depots, nullptr) << error.ToString();
  }

  // Objects are numbers; nobody looks behind them.
  size_t Put(size_t group, std::vector<uintptr_t> numbers, SizeClass size_class = kClass) {
    std::vector<void*> objects;
    for (const uintptr_t number : numbers) objects.push_back(reinterpret_cast<void*>(number));
    return depots->Put(group, size_class, kObjectBytes, objects.data(), objects.size());
  }
  std::vector<uintptr_t> Take(size_t group, size_t count, SizeClass size_class = kClass) {
    std::vector<void*> objects(count);
    objects.resize(depots->Take(group, size_class, kObjectBytes, objects.data(), count));
    std::vector<uintptr_t> numbers;
    for (void* object : objects) numbers.push_back(reinterpret_cast<uintptr_t>(object));
    return numbers;
  }

  SimulatedOs os;
  MetadataMemory metadata;
  std::unique_ptr<DepotSet> depots;
};

TEST(DepotSet, AGroupFindsWhatItHasLeftBeforeWhatOthersHave) {
  Set set(3);
  EXPECT_EQ(set.Put(0, {10, 11, 12}), 3u);
  EXPECT_EQ(set.Put(2, {20, 21, 22}), 3u);
  EXPECT_EQ(set.depots->count(kClass), 6u);
  EXPECT_THAT(set.Take(0, 2), ElementsAre(11, 12)) << "the newest";
  EXPECT_THAT(set.Take(2, 2), ElementsAre(21, 22));
  EXPECT_THAT(set.Take(0, 9), ElementsAre(10)) << "one depot at a time";
  EXPECT_THAT(set.Take(0, 9), ElementsAre(20)) << "nothing of its own: another's";
  EXPECT_THAT(set.Take(0, 9), IsEmpty());
  EXPECT_EQ(set.depots->count(kClass), 0u);
}

TEST(DepotSet, WhatOneGroupHasLeftEveryGroupFinds) {
  for (size_t from = 0; from < 16; ++from) {
    Set set(16);
    for (size_t to = 0; to < 16; ++to) {
      ASSERT_EQ(set.Put(from, {100 + to}), 1u);
      EXPECT_THAT(set.Take(to, 1), ElementsAre(100 + to)) << from << " to " << to;
    }
  }
}

TEST(DepotSet, GroupsBeyondTheDepotsShareThemAndFindTheirOwn) {
  for (const size_t group_count : {0, 1, 2, 16, 200}) {
    Set set(group_count);
    const size_t depot_count = std::clamp<size_t>(group_count, 1, DepotSet::kMaxDepotCount);
    const size_t far = 3 * depot_count;
    ASSERT_EQ(set.Put(far + depot_count - 1, {2}), 1u);
    ASSERT_EQ(set.Put(far, {1}), 1u);
    EXPECT_THAT(set.Take(far, 1), ElementsAre(1));
    EXPECT_THAT(set.Take(depot_count - 1, 1), ElementsAre(2));
  }
}

TEST(DepotSet, TheLimitIsOneForAllGroupsAndOneGroupMayUseAllOfIt) {
  Set set(4, 100 * kObjectBytes + kObjectBytes / 2);
  EXPECT_EQ(set.Put(3, std::vector<uintptr_t>(98, 1)), 98u);
  EXPECT_EQ(set.Put(0, std::vector<uintptr_t>(30, 2)), 2u) << "as many as fit";
  for (size_t group = 0; group < 4; ++group) EXPECT_EQ(set.Put(group, {3}), 0u);
  EXPECT_EQ(set.Take(1, 30).size() + set.Take(2, 30).size(), 60u) << "room again";
  EXPECT_EQ(set.Put(1, std::vector<uintptr_t>(200, 4)), 60u);
  EXPECT_EQ(set.depots->count(kClass), 100u);
}

TEST(DepotSet, WhatAShelfHasNoRoomForIsNotPaid) {
  Set set(2, 2000 * kObjectBytes);
  EXPECT_EQ(set.Put(0, std::vector<uintptr_t>(1500, 1)), Depot::kShelfMaxCount);
  EXPECT_EQ(set.Put(0, std::vector<uintptr_t>(10, 1)), 0u);
  EXPECT_EQ(set.Put(0, std::vector<uintptr_t>(10, 1), ToSizeClass(8)), 10u) << "a shelf per class";
  EXPECT_EQ(set.Put(1, std::vector<uintptr_t>(1500, 2)), 2000 - 10 - Depot::kShelfMaxCount);
  EXPECT_EQ(set.Put(1, {3}), 0u);
}

TEST(DepotSet, OfADepotOnlyItsShelvesAndWhatEverHeldPointersIsResident) {
  constexpr size_t kPageBytes = 4096;
  Set set(16);
  const uint64_t empty_bytes = set.metadata.ResidentBytes();
  EXPECT_LE(empty_bytes, 16 * (kMaxClassCount * 64 + 2 * kPageBytes));
  EXPECT_GE(set.os.mapped_bytes(), 16 * kMaxClassCount * Depot::kShelfMaxCount * sizeof(void*));
  for (size_t group = 0; group < 16; ++group) ASSERT_EQ(set.Put(group, std::vector<uintptr_t>(64, 1)), 64u);
  EXPECT_LE(set.metadata.ResidentBytes(), empty_bytes + 16 * 2 * kPageBytes);
}

TEST(DepotSet, ADepotThatCannotBeMappedIsAnError) {
  SimulatedOs os(EachNode(4, kMiB));
  MetadataMemory metadata(os);
  os.FailOnce(Call::kMapSmall, 2, ENOMEM);
  Error error;
  EXPECT_EQ(DepotSet::Create(4, kMiB, 0, metadata, &error), nullptr);
  EXPECT_EQ(error.errno_value, ENOMEM);
  EXPECT_NE(DepotSet::Create(4, kMiB, 0, metadata, &error), nullptr);
}

TEST(DepotSet, ThreadsOfAllGroupsNeitherLoseNorDoubleAnything) {
  constexpr size_t kThreadCount = 4;
  constexpr size_t kCountPerThread = 200;
  Set set(3, 500 * kObjectBytes);
  std::vector<std::vector<uintptr_t>> held(kThreadCount);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < kThreadCount; ++t) {
    for (size_t i = 0; i < kCountPerThread; ++i) held[t].push_back(1 + t * kCountPerThread + i);
    threads.emplace_back([&set, &mine = held[t], t] {
      std::mt19937 random(static_cast<unsigned>(t));
      for (size_t i = 0; i < 5000; ++i) {
        const size_t count = random() % 40;
        if (random() % 2 == 0) {
          const std::vector<uintptr_t> taken = set.Take(t, count);
          mine.insert(mine.end(), taken.begin(), taken.end());
        } else {
          const std::vector<uintptr_t> left(mine.end() - static_cast<ptrdiff_t>(std::min(count, mine.size())),
                                            mine.end());
          const size_t put = set.Put(t, left);
          mine.erase(mine.end() - static_cast<ptrdiff_t>(left.size()), mine.end());
          mine.insert(mine.end(), left.begin() + static_cast<ptrdiff_t>(put), left.end());
        }
        ASSERT_LE(set.depots->count(kClass), kThreadCount * kCountPerThread);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_LE(set.depots->count(kClass), 500u);
  std::vector<uintptr_t> all;
  for (const std::vector<uintptr_t>& mine : held) all.insert(all.end(), mine.begin(), mine.end());
  for (std::vector<uintptr_t> taken = set.Take(0, 100); !taken.empty(); taken = set.Take(0, 100)) {
    all.insert(all.end(), taken.begin(), taken.end());
  }
  std::sort(all.begin(), all.end());
  ASSERT_EQ(all.size(), kThreadCount * kCountPerThread);
  for (size_t i = 0; i < all.size(); ++i) ASSERT_EQ(all[i], i + 1);
  EXPECT_EQ(set.Put(0, std::vector<uintptr_t>(600, 1)), 500u) << "the whole limit is there again";
}

TEST(DepotSet, WhatNobodyUsesMakesWayForWhatIsUsed) {
  constexpr SizeClass kOld = ToSizeClass(20);
  constexpr SizeClass kNew = ToSizeClass(30);
  Set set(2, 4 * kObjectBytes);
  const ClassTable classes;
  ASSERT_EQ(set.Put(0, {1, 2}, kOld), 2u);
  ASSERT_EQ(set.Put(1, {3, 4}, kOld), 2u);
  std::set<uintptr_t> made_way;
  for (size_t i = 0; i < 8 * DepotSet::kFullPerLook; ++i) {
    (void)set.Put(0, {100}, kNew);
    SizeClass idle_class{};
    std::array<void*, 8> idle;
    const size_t count = set.depots->TakeIdle(classes, &idle_class, idle.data(), idle.size());
    if (i < 2 * DepotSet::kFullPerLook) {
      EXPECT_EQ(count, 0u) << "it was used lately";
    }
    if (count != 0) {
      EXPECT_EQ(idle_class, kOld);
    }
    for (size_t k = 0; k < count; ++k) made_way.insert(reinterpret_cast<uintptr_t>(idle[k]));
  }
  EXPECT_EQ(made_way, (std::set<uintptr_t>{1, 2, 3, 4}));
  EXPECT_EQ(set.depots->count(kOld), 0u);
  EXPECT_GT(set.depots->count(kNew), 0u);
}

}  // namespace
}  // namespace hugepool::internal
