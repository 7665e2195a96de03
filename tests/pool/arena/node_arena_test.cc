// NodeArena: runs inside pages, spans over pages, pages kept ahead, pages moved, pages given back.
#include "arena/node_arena.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "pool/arena/arenas.h"
#include "pool/stamp.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Arenas;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::HasStamp;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::OneNode;
using ::hugepool::testing::SimulatedOs;
using ::hugepool::testing::Stamp;
using ::testing::IsEmpty;

PoolOptions Options(size_t capacity_bytes, HugePages huge_pages = HugePages::kPreferred) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = huge_pages;
  return options;
}

class NodeArenaTest : public ::testing::Test {
 protected:
  ~NodeArenaTest() override { EXPECT_THAT(os_.complaints(), IsEmpty()); }

  NodeArena& Make(const PoolOptions& options) {
    arenas_ = std::make_unique<Arenas>(os_, options, OneNode());
    return arenas_->set->arena(0);
  }
  uint64_t Committed() const { return arenas_->set->budget().committed_bytes(); }

  SimulatedOs os_{EachNode(64, 1024 * kMiB)};
  std::unique_ptr<Arenas> arenas_;
};

TEST_F(NodeArenaTest, OnePageIsKeptAhead) {
  NodeArena& arena = Make(Options(16 * kMiB));
  void* const run = arena.AllocateRun(1);
  ASSERT_NE(run, nullptr);
  const NodeStats stats = arenas_->Stats(0);
  EXPECT_EQ(stats.used_bytes, 2 * kMiB);
  EXPECT_EQ(stats.empty_bytes, 2 * kMiB);
  arena.Free(run, 1);
  EXPECT_EQ(arenas_->Complaint(), "");
}

// On any slot, so that odd lengths leave no gaps: three of them fill a page to its last slot.
TEST_F(NodeArenaTest, RunsOfOddLengthsShareAPage) {
  NodeArena& arena = Make(Options(16 * kMiB));
  for (const size_t slot_count : {9, 12, 11}) ASSERT_NE(arena.AllocateRun(slot_count), nullptr);
  EXPECT_EQ(arenas_->Stats(0).used_bytes, 2 * kMiB);
  ASSERT_NE(arena.AllocateSlab(1, 9), nullptr);
  EXPECT_EQ(arenas_->Stats(0).used_bytes, 4 * kMiB);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, LongRunsAreContiguousAndShareTheirTailPage) {
  NodeArena& arena = Make(Options(32 * kMiB));
  // Five and a half pages, and then a run that fits into the other half of the sixth.
  char* const run = static_cast<char*>(arena.AllocateRun(5 * kSlotsPerHugePage + 16));
  ASSERT_NE(run, nullptr);
  EXPECT_TRUE(os_.IsPresent(run, 11 * kMiB));
  Stamp(run, 11 * kMiB, 1);
  EXPECT_EQ(Committed(), 12 * kMiB);
  char* const half = static_cast<char*>(arena.AllocateRun(16));
  EXPECT_EQ(half, run + 11 * kMiB);
  EXPECT_EQ(arenas_->set->map().RunSlotCount(arenas_->set->map().SlotOf(run)), 5u * 32 + 16);
  // The tail stays while the half of it is in use, and the other way round.
  arena.Free(run, 5 * kSlotsPerHugePage + 16);
  arena.Trim(0);
  EXPECT_EQ(Committed(), 2 * kMiB);
  EXPECT_TRUE(os_.IsPresent(half, kMiB));
  arena.Free(half, 16);
  arena.Trim(0);
  EXPECT_EQ(Committed(), 0u);
  EXPECT_EQ(os_.present_page_count(), 0u);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, ALongRunEndsInAPageThatIsInUse) {
  NodeArena& arena = Make(Options(32 * kMiB));
  char* const page = static_cast<char*>(arena.AllocateRun(32));
  char* const low = static_cast<char*>(arena.AllocateRun(16));
  char* const high = static_cast<char*>(arena.AllocateRun(16));
  ASSERT_EQ(high, low + kMiB);
  Stamp(high, kMiB, 3);
  arena.Free(page, 32);
  arena.Free(low, 16);
  const uint64_t committed_bytes = Committed();
  EXPECT_EQ(arena.AllocateRun(32 + 16), page);
  EXPECT_EQ(Committed(), committed_bytes);
  Stamp(page, 3 * kMiB, 4);
  EXPECT_TRUE(HasStamp(high, kMiB, 3));
  arena.Free(high, 16);
  EXPECT_TRUE(HasStamp(page, 3 * kMiB, 4));
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, EmptyPagesMoveBeforeALargeRunIsRefused) {
  // Nine pages of capacity, addresses for sixteen. With eight huge pages the node is what stands in the way, with more
  // of them it is the capacity.
  for (const auto& [huge_page_count, page_count] : {std::pair<uint64_t, size_t>{8, 8}, {64, 9}}) {
    os_.SetFreeHugePages(0, 9);
    NodeArena& arena = Make(Options(18 * kMiB, HugePages::kRequired));
    os_.SetFreeHugePages(0, huge_page_count);
    std::vector<void*> pages;
    for (size_t i = 0; i < page_count; ++i) pages.push_back(arena.AllocateRun(32));
    for (void* page : pages) ASSERT_NE(page, nullptr);
    EXPECT_EQ(arena.AllocateRun(32), nullptr);
    // Every second page is free, nowhere two neighbours.
    std::sort(pages.begin(), pages.end());
    for (size_t i = 0; i < page_count; i += 2) arena.Free(pages[i], 32);
    for (size_t i = 1; i < page_count; i += 2) Stamp(pages[i], kHugePageBytes, i << 21);
    const size_t large_page_count = (page_count + 1) / 2;
    void* const large = arena.AllocateRun(large_page_count * 32);
    ASSERT_NE(large, nullptr) << huge_page_count;
    EXPECT_TRUE(os_.IsPresent(large, large_page_count * kHugePageBytes));
    Stamp(large, large_page_count * kHugePageBytes, 99 << 21);
    EXPECT_EQ(Committed(), page_count * kHugePageBytes);
    EXPECT_EQ(arena.AllocateRun(1), nullptr);
    for (size_t i = 1; i < page_count; i += 2) EXPECT_TRUE(HasStamp(pages[i], kHugePageBytes, i << 21)) << i;
    EXPECT_EQ(arenas_->Complaint(), "");
    arenas_.reset();
  }
}

TEST_F(NodeArenaTest, ARefusedLargeRunLeavesEverythingAsItWas) {
  NodeArena& arena = Make(Options(16 * kMiB, HugePages::kRequired));
  os_.SetFreeHugePages(0, 3);
  void* const small = arena.AllocateRun(1);
  Stamp(small, kSlotBytes, 5);
  EXPECT_EQ(arena.AllocateRun(3 * kSlotsPerHugePage), nullptr);
  EXPECT_EQ(arenas_->Complaint(), "");
  EXPECT_TRUE(HasStamp(small, kSlotBytes, 5));
  EXPECT_EQ(Committed(), os_.present_page_count() * kHugePageBytes);
  EXPECT_NE(arena.AllocateRun(2 * kSlotsPerHugePage), nullptr);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, LowerRungsDrainAsTheyEmpty) {
  NodeArena& arena = Make(Options(32 * kMiB));
  os_.SetFreeHugePages(0, 0);
  void* const slab = arena.AllocateSlab(4, 9);
  void* const span = arena.AllocateRun(3 * kSlotsPerHugePage);
  ASSERT_NE(slab, nullptr);
  ASSERT_NE(span, nullptr);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 8 * kMiB);
  arena.Free(slab, 4);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 6 * kMiB);
  arena.Free(span, 3 * kSlotsPerHugePage);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 0u);
  EXPECT_EQ(os_.present_page_count(), 0u);
  // Huge pages are back: the next run lies on one.
  os_.SetFreeHugePages(0, 10);
  os_.AdvanceNs(10'000'000);
  ASSERT_NE(arena.AllocateRun(1), nullptr);
  EXPECT_EQ(arenas_->Stats(0).degraded_bytes, 0u);
}

TEST_F(NodeArenaTest, AFreePageThatDrainsIsGivenBack) {
  NodeArena& arena = Make(Options(32 * kMiB));
  void* const first = arena.AllocateSlab(8, 9);
  void* const second = arena.AllocateSlab(8, 9);
  EXPECT_FALSE(arena.StartDraining(first, 8)) << "another slab lies there too";
  ASSERT_TRUE(arena.StartDraining(first, 16));
  EXPECT_EQ(arenas_->Stats(0).draining_bytes, 2 * kMiB);
  void* const third = arena.AllocateSlab(8, 9);
  EXPECT_NE(arenas_->set->map().SlotOf(third) / kSlotsPerHugePage,
            arenas_->set->map().SlotOf(first) / kSlotsPerHugePage);
  const uint64_t committed_bytes = Committed();
  arena.Free(first, 8);
  EXPECT_EQ(Committed(), committed_bytes);
  arena.Free(second, 8);
  EXPECT_EQ(Committed(), committed_bytes - 2 * kMiB);
  EXPECT_EQ(arenas_->Stats(0).draining_bytes, 0u);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, ASlabInUsedPagesTakesNoEmptyOneAndNoneThatDrains) {
  NodeArena& arena = Make(Options(32 * kMiB));
  EXPECT_EQ(arena.AllocateSlabInUse(8, 9), nullptr) << "no page is in use";
  void* const first = arena.AllocateSlab(8, 9);
  const auto page_of = [this](const void* slab) { return arenas_->set->map().SlotOf(slab) / kSlotsPerHugePage; };
  const uint64_t committed_bytes = Committed();
  for (int i = 0; i < 3; ++i) {
    void* const next = arena.AllocateSlabInUse(8, 9);
    ASSERT_NE(next, nullptr);
    EXPECT_EQ(page_of(next), page_of(first));
  }
  EXPECT_EQ(arena.AllocateSlabInUse(8, 9), nullptr) << "the page ahead is empty";
  arena.Free(first, 8);
  ASSERT_TRUE(arena.StartDraining(static_cast<char*>(first) + 8 * kSlotBytes, 24));
  EXPECT_EQ(arena.AllocateSlabInUse(8, 9), nullptr);
  EXPECT_EQ(Committed(), committed_bytes);
  EXPECT_EQ(arenas_->Complaint(), "");
}

// Lower rungs are to empty: their holes are for nobody who can have a page of the top rung.
TEST_F(NodeArenaTest, ASlabInAHoleLiesOnTheTopRungOnly) {
  os_.SetFreeHugePages(0, 0);
  NodeArena& arena = Make(Options(32 * kMiB, HugePages::kPreferred));
  void* const degraded = arena.AllocateSlab(8, 9);
  ASSERT_NE(degraded, nullptr);
  ASSERT_NE(arenas_->set->BackingOf(degraded), Backing::kHugetlb);
  EXPECT_EQ(arena.AllocateSlabInHole(8, 9), nullptr);
  EXPECT_NE(arena.AllocateSlabInUse(8, 9), nullptr);
  os_.SetFreeHugePages(0, 8);
  NodeArena& good = Make(Options(32 * kMiB, HugePages::kPreferred));
  ASSERT_NE(good.AllocateSlab(8, 9), nullptr);
  EXPECT_NE(good.AllocateSlabInHole(8, 9), nullptr);
}

TEST_F(NodeArenaTest, NothingIsRefusedBecauseAPageDrains) {
  NodeArena& arena = Make(Options(4 * kMiB));
  void* const slab = arena.AllocateSlab(8, 9);
  ASSERT_NE(arena.AllocateRun(32), nullptr);
  ASSERT_TRUE(arena.StartDraining(slab, 8));
  EXPECT_NE(arena.AllocateSlab(16, 9), nullptr) << "there is no other page";
  EXPECT_EQ(arenas_->Stats(0).draining_bytes, 0u);
  EXPECT_EQ(arenas_->Complaint(), "");
}

TEST_F(NodeArenaTest, PagesThatStoodEmptyForAllOfTheDecayAreGivenBack) {
  PoolOptions options = Options(64 * kMiB);
  options.decay_seconds = 10;
  NodeArena& arena = Make(options);
  os_.AdvanceNs(20'000'000'000);
  const auto work = [&](uint64_t ns) {
    os_.AdvanceNs(ns);
    arena.Free(arena.AllocateSlab(1, 9), 1);
  };
  void* const kept = arena.AllocateSlab(1, 9);
  std::vector<void*> runs;
  for (int i = 0; i < 12; ++i) runs.push_back(arena.AllocateSlab(32, 9));
  for (void* const run : runs) arena.Free(run, 32);
  work(10'000'000'000);
  EXPECT_EQ(arenas_->Stats(0).empty_bytes, 26 * kMiB) << "they were in use ten seconds ago";
  // Eight of them are used again within the time.
  runs.resize(8);
  work(9'000'000'000);
  for (void*& run : runs) run = arena.AllocateSlab(32, 9);
  for (void* const run : runs) arena.Free(run, 32);
  EXPECT_EQ(arenas_->Stats(0).empty_bytes, 26 * kMiB) << "ten seconds are not over";
  for (int i = 0; i < 8; ++i) work(i == 0 ? 2'000'000'000 : 1'000'000);
  EXPECT_EQ(arenas_->Stats(0).empty_bytes, 18 * kMiB) << "five were not, and one of them is kept ahead";
  work(10'000'000'000);
  for (int i = 0; i < 8; ++i) work(1'000'000);
  EXPECT_EQ(arenas_->Stats(0).empty_bytes, 2 * kMiB);
  EXPECT_EQ(arenas_->Complaint(), "");
  arena.Free(kept, 1);
}

TEST_F(NodeArenaTest, WhatCannotBeGivenBackIsUsedAgain) {
  NodeArena& arena = Make(Options(16 * kMiB));
  void* const run = arena.AllocateRun(32);
  os_.FailFrom(hugepool::testing::Call::kGiveBack, 0, EINVAL);
  arena.Free(run, 32);
  const uint64_t committed_bytes = Committed();
  arena.Trim(0);
  EXPECT_EQ(Committed(), committed_bytes);
  EXPECT_EQ(arenas_->Complaint(), "");
  EXPECT_GE(arena.backing().refused_give_back_count(), 1u);
  EXPECT_NE(arena.AllocateRun(32), nullptr);
  EXPECT_EQ(Committed(), committed_bytes);
}

TEST_F(NodeArenaTest, TheBudgetIsNeverExceeded) {
  NodeArena& arena = Make(Options(8 * kMiB));
  size_t slot_count = 0;
  while (arena.AllocateRun(1) != nullptr) ++slot_count;
  EXPECT_EQ(slot_count, 4u * 32);
  EXPECT_EQ(Committed(), 8 * kMiB);
  EXPECT_EQ(os_.present_page_count(), 4u);
  EXPECT_EQ(arena.AllocateRun(33), nullptr);
}

TEST_F(NodeArenaTest, ThreadsShareItsBooks) {
  NodeArena& arena = Make(Options(64 * kMiB));
  std::vector<std::thread> threads;
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&arena, t] {
      for (size_t i = 0; i < 500; ++i) {
        const size_t slot_count = 1 + (i * 7 + t * 13) % 80;
        void* const run = arena.AllocateRun(slot_count);
        if (run == nullptr) continue;
        Stamp(run, 4096, t);
        EXPECT_TRUE(HasStamp(run, 4096, t));
        arena.Free(run, slot_count);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(arenas_->Complaint(), "");
  EXPECT_EQ(arenas_->Stats(0).used_bytes, 0u);
  arena.Trim(0);
  EXPECT_EQ(Committed(), 0u);
}

}  // namespace
}  // namespace hugepool::internal
