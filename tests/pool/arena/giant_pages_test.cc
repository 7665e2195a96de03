// NodeArena and ArenaSet on giant pages: one page of 1 GiB is 512 huge pages that come and go together.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iterator>
#include <map>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "pool/arena/arenas.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Arenas;
using ::hugepool::testing::Call;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::FourNodes;
using ::hugepool::testing::HasStamp;
using ::hugepool::testing::kGiB;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::OneNode;
using ::hugepool::testing::SimulatedOs;
using ::hugepool::testing::Stamp;
using ::testing::IsEmpty;

constexpr size_t kSlotsPerGiantPage = kGiantPageBytes / kSlotBytes;
constexpr uint64_t kSmallBytes = 2 * kGiB;

std::vector<SimulatedOs::NodeMemory> GiantPagesEach(uint64_t count) {
  auto nodes = EachNode(64, kSmallBytes);
  for (auto& node : nodes) node.giant_page_count = count;
  return nodes;
}

PoolOptions Options(size_t capacity_bytes, HugePages huge_pages = HugePages::kPreferred) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = huge_pages;
  options.page_bytes = kGiantPageBytes;
  return options;
}

class GiantPages : public ::testing::Test {
 protected:
  ~GiantPages() override {
    if (arenas_ != nullptr) {
      EXPECT_EQ(arenas_->Complaint(), "");
    }
    EXPECT_THAT(os_.complaints(), IsEmpty());
  }

  NodeArena& Make(const PoolOptions& options) {
    arenas_ = std::make_unique<Arenas>(os_, options, OneNode());
    return arenas_->set->arena(0);
  }
  uint64_t Committed() const { return arenas_->set->budget().committed_bytes(); }

  SimulatedOs os_{GiantPagesEach(4)};
  std::unique_ptr<Arenas> arenas_;
};

TEST_F(GiantPages, OneServes512HugePagesAndNoneIsKeptAhead) {
  NodeArena& arena = Make(Options(4 * kGiB));
  char* const first = static_cast<char*>(arena.AllocateRun(1));
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % kGiantPageBytes, 0u);
  EXPECT_EQ(Committed(), kGiB);
  EXPECT_TRUE(os_.IsPresent(first, kGiB));
  for (size_t i = 1; i < kSlotsPerGiantPage; ++i) ASSERT_NE(arena.AllocateRun(1), nullptr);
  EXPECT_EQ(Committed(), kGiB);
  EXPECT_EQ(os_.free_giant_page_count(0), 3u);
  EXPECT_EQ(os_.free_huge_page_count(0), 64u) << "pages of 2 MiB are somebody else's";
  ASSERT_NE(arena.AllocateRun(1), nullptr);
  EXPECT_EQ(Committed(), 2 * kGiB);
  EXPECT_EQ(arenas_->Stats(0).committed_bytes[0], 2 * kGiB);
  EXPECT_EQ(arenas_->Stats(0).used_bytes, kGiB + kHugePageBytes);
}

TEST_F(GiantPages, WindowsStartOnAMultipleOfThem) {
  const Arenas arenas(os_, Options(kGiB), FourNodes());
  EXPECT_EQ(arenas.set->window_bytes(), 2 * kGiB);
  for (size_t window = 0; window < 4; ++window) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(arenas.set->WindowAddress(window)) % kGiantPageBytes, 0u);
  }
}

TEST_F(GiantPages, OneIsGivenBackOnlyWhenAllOfItIsEmpty) {
  NodeArena& arena = Make(Options(2 * kGiB));
  std::vector<void*> pages;
  for (size_t i = 0; i < 512; ++i) pages.push_back(arena.AllocateRun(kSlotsPerHugePage));
  EXPECT_EQ(Committed(), kGiB);
  for (size_t i = 0; i < 511; ++i) {
    arena.Free(pages[i], kSlotsPerHugePage);
    arena.Trim(0);
    ASSERT_EQ(Committed(), kGiB) << "given back with a run in it";
  }
  EXPECT_TRUE(os_.IsPresent(pages[511], kHugePageBytes));
  arena.Free(pages[511], kSlotsPerHugePage);
  EXPECT_EQ(Committed(), kGiB) << "kept until somebody asks for it";
  arena.Trim(0);
  EXPECT_EQ(Committed(), 0u);
  EXPECT_EQ(os_.free_giant_page_count(0), 4u);
  EXPECT_EQ(os_.present_page_count(), 0u);
}

TEST_F(GiantPages, AnEmptyOneIsBrokenIntoOnlyWhenTheOthersAreFull) {
  NodeArena& arena = Make(Options(2 * kGiB));
  std::vector<void*> pages;
  for (size_t i = 0; i < 2 * 512; ++i) pages.push_back(arena.AllocateRun(kSlotsPerHugePage));
  EXPECT_EQ(Committed(), 2 * kGiB);
  for (const size_t kept : {size_t{5}, size_t{700}}) {
    for (size_t i = 0; i < pages.size(); ++i) {
      if (i != kept) arena.Free(pages[i], kSlotsPerHugePage);
    }
    // 510 of them fit beside the one that stayed, so that the other giant page is still empty.
    for (size_t i = 0; i < pages.size(); ++i) {
      if (i != kept) pages[i] = i < 511 ? arena.AllocateRun(kSlotsPerHugePage) : nullptr;
    }
    arena.Trim(0);
    EXPECT_EQ(Committed(), kGiB);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (i != kept && pages[i] == nullptr) pages[i] = arena.AllocateRun(kSlotsPerHugePage);
      ASSERT_NE(pages[i], nullptr) << i;
    }
    EXPECT_EQ(Committed(), 2 * kGiB);
  }
}

TEST_F(GiantPages, LongRunsLieAcrossThem) {
  NodeArena& arena = Make(Options(4 * kGiB, HugePages::kRequired));
  void* const small = arena.AllocateRun(1);
  // One and a half giant pages and a tail; the first of them is in use already.
  const size_t slot_count = kSlotsPerGiantPage + kSlotsPerGiantPage / 2 + 5;
  char* const run = static_cast<char*>(arena.AllocateRun(slot_count));
  ASSERT_NE(run, nullptr);
  EXPECT_TRUE(os_.IsPresent(run, slot_count * kSlotBytes));
  EXPECT_EQ(Committed(), 2 * kGiB) << "it starts in the page that is there";
  // What is left of its last giant page is anybody's.
  EXPECT_NE(arena.AllocateRun(3 * kSlotsPerHugePage), nullptr);
  EXPECT_NE(arena.AllocateRun(kSlotsPerHugePage - 5), nullptr);
  EXPECT_EQ(Committed(), 2 * kGiB);
  arena.Free(run, slot_count);
  arena.Free(small, 1);
  EXPECT_EQ(arenas_->Complaint(), "");
  arena.Trim(0);
  EXPECT_EQ(Committed(), kGiB);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(GiantPages, ARunTakesTheWholeCapacity) {
  NodeArena& arena = Make(Options(4 * kGiB, HugePages::kRequired));
  char* const run = static_cast<char*>(arena.AllocateRun(4 * kSlotsPerGiantPage));
  ASSERT_NE(run, nullptr);
  EXPECT_TRUE(os_.IsPresent(run, 4 * kGiB));
  EXPECT_EQ(arena.AllocateRun(1), nullptr);
  arena.Free(run, 4 * kSlotsPerGiantPage);
  arena.Trim(kGiB);
  EXPECT_EQ(Committed(), kGiB);
}

TEST_F(GiantPages, EmptyOnesMoveWholeBeforeALargeRunIsRefused) {
  // Three of capacity; the middle one stays in use, so two empty ones lie apart.
  NodeArena& arena = Make(Options(3 * kGiB, HugePages::kRequired));
  std::vector<void*> halves;
  for (size_t i = 0; i < 6; ++i) halves.push_back(arena.AllocateRun(kSlotsPerGiantPage / 2));
  for (void* half : halves) ASSERT_NE(half, nullptr);
  EXPECT_EQ(arena.AllocateRun(1), nullptr);
  for (const size_t i : {0, 1, 4, 5}) arena.Free(halves[i], kSlotsPerGiantPage / 2);
  Stamp(halves[2], kMiB, 3);
  char* const run = static_cast<char*>(arena.AllocateRun(2 * kSlotsPerGiantPage));
  ASSERT_NE(run, nullptr);
  EXPECT_TRUE(os_.IsPresent(run, 2 * kGiB));
  EXPECT_EQ(Committed(), 3 * kGiB);
  EXPECT_TRUE(HasStamp(halves[2], kMiB, 3));
  EXPECT_EQ(arena.AllocateRun(1), nullptr);
}

TEST_F(GiantPages, ARefusedLargeRunLeavesEverythingAsItWas) {
  NodeArena& arena = Make(Options(4 * kGiB, HugePages::kRequired));
  os_.SetFreeGiantPages(0, 2);
  void* const small = arena.AllocateRun(1);
  Stamp(small, kSlotBytes, 5);
  EXPECT_EQ(arena.AllocateRun(3 * kSlotsPerGiantPage), nullptr);
  EXPECT_EQ(arenas_->Complaint(), "");
  EXPECT_TRUE(HasStamp(small, kSlotBytes, 5));
  EXPECT_EQ(Committed(), os_.present_page_count() * kGiantPageBytes);
  EXPECT_NE(arena.AllocateRun(kSlotsPerGiantPage), nullptr);
  arena.Free(small, 1);
  arena.Trim(0);
}

TEST_F(GiantPages, TheLadderGoesDownInSmallStepsAndUpAgain) {
  NodeArena& arena = Make(Options(3 * kGiB));
  os_.SetFreeGiantPages(0, 0);
  os_.RefuseCollapse(ENOMEM);
  void* const small = arena.AllocateRun(1);
  os_.RefuseCollapse(0);
  void* const transparent = arena.AllocateRun(kSlotsPerHugePage);
  void* const span = arena.AllocateRun(3 * kSlotsPerHugePage);
  ASSERT_NE(small, nullptr);
  ASSERT_NE(transparent, nullptr);
  ASSERT_NE(span, nullptr);
  NodeStats stats = arenas_->Stats(0);
  EXPECT_EQ(stats.committed_bytes[static_cast<size_t>(Backing::kHugetlb)], 0u);
  EXPECT_EQ(stats.committed_bytes[static_cast<size_t>(Backing::kTransparentHuge)], 4 * kHugePageBytes);
  EXPECT_EQ(stats.committed_bytes[static_cast<size_t>(Backing::kSmall)], kHugePageBytes);
  EXPECT_EQ(stats.degraded_bytes, 5 * kHugePageBytes);
  EXPECT_GE(stats.refused_count[static_cast<size_t>(Backing::kHugetlb)], 1u);
  EXPECT_EQ(stats.refused_count[static_cast<size_t>(Backing::kTransparentHuge)], 1u);
  os_.SetFreeGiantPages(0, 3);
  os_.AdvanceNs(10'000'000);
  void* const giant = arena.AllocateRun(kSlotsPerHugePage);
  ASSERT_NE(giant, nullptr);
  EXPECT_EQ(arenas_->Stats(0).committed_bytes[static_cast<size_t>(Backing::kHugetlb)], kGiB);
  arena.Free(small, 1);
  arena.Free(transparent, kSlotsPerHugePage);
  arena.Free(span, 3 * kSlotsPerHugePage);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 0u);
  EXPECT_EQ(os_.small_bytes(0), kSmallBytes);
}

TEST_F(GiantPages, TheBudgetIsNeverExceeded) {
  NodeArena& arena = Make(Options(2 * kGiB));
  os_.SetFreeGiantPages(0, 0);
  ASSERT_NE(arena.AllocateRun(1), nullptr);
  os_.SetFreeGiantPages(0, 4);
  os_.AdvanceNs(10'000'000);
  size_t page_count = 0;
  while (arena.AllocateRun(kSlotsPerHugePage) != nullptr) {
    ++page_count;
    ASSERT_LE(Committed(), 2 * kGiB);
  }
  // One page of 2 MiB was taken already: there is room for one giant page, and 511 of the rung below.
  EXPECT_EQ(page_count, 1023u);
  EXPECT_EQ(os_.free_giant_page_count(0), 3u);
  EXPECT_EQ(Committed(), 2 * kGiB);
}

TEST_F(GiantPages, AMisplacedOneIsGivenBackWhole) {
  NodeArena& arena = Make(Options(2 * kGiB, HugePages::kRequired));
  os_.MisplaceTo(7);
  EXPECT_EQ(arena.AllocateRun(1), nullptr);
  EXPECT_EQ(arenas_->Stats(0).misplaced_count, 1u);
  EXPECT_EQ(os_.present_page_count(), 0u);
  EXPECT_EQ(os_.free_giant_page_count(7), 4u);
  EXPECT_EQ(Committed(), 0u);
}

TEST_F(GiantPages, WhatTheKernelDoesNotTellIsUnverifiedWhole) {
  NodeArena& arena = Make(Options(2 * kGiB));
  os_.FailFrom(Call::kLocate, 0, EPERM);
  void* const run = arena.AllocateRun(1);
  EXPECT_EQ(arenas_->Stats(0).unverified_bytes, kGiB);
  arena.Free(run, 1);
  arena.Trim(0);
  EXPECT_EQ(arenas_->Stats(0).unverified_bytes, 0u);
}

TEST_F(GiantPages, WhatCannotBeGivenBackIsUsedAgain) {
  NodeArena& arena = Make(Options(2 * kGiB));
  void* const run = arena.AllocateRun(1);
  arena.Free(run, 1);
  os_.FailFrom(Call::kGiveBack, 0, EINVAL);
  arena.Trim(0);
  EXPECT_EQ(Committed(), kGiB);
  EXPECT_EQ(arenas_->Complaint(), "");
  EXPECT_NE(arena.AllocateRun(500 * kSlotsPerHugePage), nullptr);
  EXPECT_EQ(Committed(), kGiB);
}

TEST_F(GiantPages, AnotherWindowTakesThePlaceOfAnEmptyOne) {
  const Arenas arenas(os_, Options(kGiB), FourNodes());
  ArenaSet& set = *arenas.set;
  void* const run = set.AllocateRun(0, 1);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(set.AllocateRun(1, 1), nullptr) << "the budget is exhausted";
  set.Free(run, 1);
  EXPECT_NE(set.AllocateSlab(1, 1, 9), nullptr);
  EXPECT_EQ(os_.free_giant_page_count(0), 4u);
  EXPECT_EQ(os_.free_giant_page_count(1), 3u);
  EXPECT_EQ(arenas.Complaint(), "");
}

TEST_F(GiantPages, VisitsAskAboutEachOnce) {
  NodeArena& arena = Make(Options(3 * kGiB));
  (void)arena.AllocateRun(2 * kSlotsPerGiantPage);
  os_.SetFreeGiantPages(0, 0);
  (void)arena.AllocateRun(1);
  std::vector<Backing> units;
  arena.ForEachUnit([&](char* unit, Backing backing) {
    EXPECT_GE(os_.NodeOf(unit), 0);
    units.push_back(backing);
  });
  EXPECT_THAT(units, ::testing::ElementsAre(Backing::kHugetlb, Backing::kHugetlb, Backing::kTransparentHuge));
}

// Runs from 64 KiB to 1.5 GiB come and go, rivals too; the books, the budget and the machine agree at every step.
TEST_F(GiantPages, ARandomWalkAgreesWithTheMachine) {
  const uint64_t seed = ::hugepool::testing::Seed();
  std::mt19937_64 random(seed);
  const auto below = [&random](uint64_t limit) { return random() % limit; };
  NodeArena& arena = Make(Options(4 * kGiB));
  std::map<char*, size_t> runs;  // first address → slots
  uint64_t rival_count = 0;
  uint64_t degraded_steps = 0;
  uint64_t refusal_count = 0;
  uint64_t large_count = 0;
  for (size_t step = 0; step < (::hugepool::testing::kSanitized ? 4'000 : 20'000); ++step) {
    const uint64_t choice = below(64);
    if (choice == 0) {
      arena.Trim(below(4 * kGiB));
    } else if (choice < 4) {
      const uint64_t all = os_.free_giant_page_count(0) + rival_count;
      rival_count = below(all + 1);
      os_.SetFreeGiantPages(0, all - rival_count);
      os_.RefuseCollapse(below(4) == 0 ? ENOMEM : 0);
      os_.AdvanceNs(10'000'000);
    } else if (runs.empty() || below(16) < (step / 500 % 2 == 0 ? 9 : 7)) {
      const size_t slot_count = 1 + below(uint64_t{3} << below(14));
      char* const run = static_cast<char*>(arena.AllocateRun(slot_count));
      if (run == nullptr) {
        ++refusal_count;
      } else {
        large_count += slot_count > kSlotsPerGiantPage ? 1 : 0;
        ASSERT_TRUE(os_.IsPresent(run, slot_count * kSlotBytes)) << "step " << step;
        const auto next = runs.lower_bound(run);
        ASSERT_TRUE(next == runs.end() || run + slot_count * kSlotBytes <= next->first) << "step " << step;
        ASSERT_TRUE(next == runs.begin() || std::prev(next)->first + std::prev(next)->second * kSlotBytes <= run);
        Stamp(run, 64, reinterpret_cast<uintptr_t>(run));
        runs.emplace(run, slot_count);
      }
    } else {
      const auto any = std::next(runs.begin(), static_cast<ptrdiff_t>(below(runs.size())));
      ASSERT_TRUE(HasStamp(any->first, 64, reinterpret_cast<uintptr_t>(any->first))) << "step " << step;
      arena.Free(any->first, any->second);
      runs.erase(any);
    }
    const uint64_t giant_count = 4 - rival_count - os_.free_giant_page_count(0);
    ASSERT_EQ(Committed(), giant_count * kGiB + kSmallBytes - os_.small_bytes(0)) << "step " << step;
    ASSERT_LE(Committed(), 4 * kGiB);
    degraded_steps += os_.small_bytes(0) != kSmallBytes ? 1 : 0;
    if (step % 50 == 0) {
      ASSERT_EQ(arenas_->Complaint(), "") << "step " << step;
    }
  }
  EXPECT_GT(degraded_steps, 0u);
  EXPECT_GT(refusal_count, 0u);
  EXPECT_GT(large_count, 0u);
  for (const auto& [run, slot_count] : runs) arena.Free(run, slot_count);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 0u);
  arena.Trim(0);
  EXPECT_EQ(Committed(), 0u);
  EXPECT_EQ(os_.present_page_count(), 0u);
}

// A machine that takes its time for each page, as a real one does for 1 GiB.
class SlowOs : public SimulatedOs {
 public:
  using SimulatedOs::SimulatedOs;
  int Populate(void* address, size_t bytes) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return SimulatedOs::Populate(address, bytes);
  }
};

TEST(GiantPagesInTurns, ThreadsThatStartTogetherShareOne) {
  SlowOs os(GiantPagesEach(4));
  const Arenas arenas(os, Options(4 * kGiB, HugePages::kRequired), OneNode());
  constexpr int kThreadCount = 8;
  std::atomic<int> started{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreadCount; ++t) {
    threads.emplace_back([&arenas, &started, t] {
      ++started;
      while (started != kThreadCount) std::this_thread::yield();
      EXPECT_NE(arenas.set->arena(0).AllocateRun(t % 2 == 0 ? 1 : 100), nullptr);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arenas.set->budget().committed_bytes(), kGiB);
  EXPECT_EQ(arenas.Complaint(), "");
}

TEST(GiantPagesInTurns, NobodyIsRefusedWhileTheLastOneIsOnItsWay) {
  SlowOs os(GiantPagesEach(1));
  const Arenas arenas(os, Options(kGiB, HugePages::kRequired), OneNode());
  std::atomic<int> served{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&arenas, &served] {
      for (int i = 0; i < 100; ++i) served += arenas.set->arena(0).AllocateRun(1) != nullptr ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(served, 400);
}

TEST(GiantPagesInTurns, ThreadsShareTheBooks) {
  SimulatedOs os(GiantPagesEach(3));
  const Arenas arenas(os, Options(3 * kGiB, HugePages::kRequired), OneNode());
  NodeArena& arena = arenas.set->arena(0);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&arena, t] {
      for (size_t i = 0; i < 500; ++i) {
        const size_t slot_count = i % 10 == 0 ? kSlotsPerGiantPage / 2 + i : 1 + (i * 7 + t * 13) % 80;
        void* const run = arena.AllocateRun(slot_count);
        if (i % 50 == 0) arena.Trim(0);
        if (run == nullptr) continue;
        Stamp(run, 4096, t);
        EXPECT_TRUE(HasStamp(run, 4096, t));
        arena.Free(run, slot_count);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arenas.Complaint(), "");
  EXPECT_EQ(arenas.Stats(0).used_bytes, 0u);
  arena.Trim(0);
  EXPECT_EQ(arenas.set->budget().committed_bytes(), 0u);
  EXPECT_EQ(os.free_giant_page_count(0), 3u);
}

}  // namespace
}  // namespace hugepool::internal
