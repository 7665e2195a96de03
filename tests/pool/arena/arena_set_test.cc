// ArenaSet: windows, the node of each CPU, the order of the neighbours, and address space that is refused.
#include "arena/arena_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "pool/arena/arenas.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::Arenas;
using ::hugepool::testing::Call;
using ::hugepool::testing::EachNode;
using ::hugepool::testing::FourNodes;
using ::hugepool::testing::kGiB;
using ::hugepool::testing::kMiB;
using ::hugepool::testing::SimulatedOs;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

PoolOptions Options(size_t capacity_bytes, Placement placement = Placement::Local()) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.placement = placement;
  return options;
}

TEST(ArenaSet, EachUsableNodeHasAWindowAndCpusTheirHome) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  const Arenas arenas(os, Options(64 * kMiB), FourNodes());
  ArenaSet& set = *arenas.set;
  ASSERT_EQ(set.window_count(), 4u);
  EXPECT_EQ(set.window_bytes(), 128 * kMiB);
  for (size_t window = 0; window < 4; ++window) EXPECT_EQ(set.map().WindowOf(set.WindowAddress(window)), window);
  EXPECT_EQ(set.NodeIdOf(3), 7);
  EXPECT_EQ(set.HomeOfCpu(1), 0u);
  EXPECT_EQ(set.HomeOfCpu(2), 1u);
  EXPECT_EQ(set.HomeOfCpu(-1), 0u);
  EXPECT_EQ(set.HomeOfCpu(1000), 0u);
  EXPECT_THAT(set.ByDistance(0), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(set.ByDistance(1), ElementsAre(1, 0, 3, 2));
  EXPECT_THAT(set.ByDistance(3), ElementsAre(3, 1, 0, 2));
  EXPECT_THAT(os.complaints(), IsEmpty());
}

Topology NodesWithCaches() {
  Error error;
  auto topology =
      Topology::Make({{.node_id = 0, .cpus = {0, 1, 4, 5}, .memory_bytes = kGiB, .cache_groups = {{0, 4}, {1, 5}}},
                      {.node_id = 1, .cpus = {2, 3}, .memory_bytes = kGiB, .cache_groups = {{2, 3}}},
                      {.node_id = 4, .memory_bytes = kGiB},
                      {.node_id = 7, .cpus = {8, 9}, .cache_groups = {{8}, {9}}}},  // CPUs only, nearest to node 1
                     {{10, 21, 21, 31}, {21, 10, 31, 21}, {21, 31, 10, 31}, {31, 21, 31, 10}}, &error);
  EXPECT_TRUE(topology) << error.ToString();
  return *topology;
}

TEST(ArenaSet, CacheGroupsAreNumberedByTheHomeOfTheirCpus) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  const Arenas arenas(os, Options(64 * kMiB), NodesWithCaches());
  const ArenaSet& set = *arenas.set;
  ASSERT_EQ(set.window_count(), 3u);
  EXPECT_EQ(set.CacheGroupCount(0), 2u);
  EXPECT_EQ(set.CacheGroupCount(1), 3u) << "its own and those of the CPU-only node";
  EXPECT_EQ(set.CacheGroupCount(2), 0u) << "memory only";
  for (const auto& [cpu, group] : {std::pair{0, 0u}, {4, 0u}, {1, 1u}, {5, 1u}, {2, 0u}, {3, 0u}, {8, 1u}, {9, 2u}}) {
    EXPECT_EQ(set.CacheGroupOfCpu(cpu), group) << "CPU " << cpu;
  }
  for (const int unknown : {-1, 6, 10, 100'000}) EXPECT_EQ(set.CacheGroupOfCpu(unknown), 0u);
}

TEST(ArenaSet, OneNodeForAllIsTheHomeOfEveryCacheGroup) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  const Arenas arenas(os, Options(64 * kMiB, Placement::Node(1)), NodesWithCaches());
  ASSERT_EQ(arenas.set->window_count(), 1u);
  EXPECT_EQ(arenas.set->CacheGroupCount(0), 5u);
  EXPECT_EQ(arenas.set->CacheGroupOfCpu(5), 1u);
  EXPECT_EQ(arenas.set->CacheGroupOfCpu(9), 4u);
}

TEST(ArenaSet, RunsLieInTheirWindow) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  const Arenas arenas(os, Options(64 * kMiB), FourNodes());
  for (size_t window = 0; window < 4; ++window) {
    for (const size_t slot_count : {1, 32, 100}) {
      void* const run = arenas.set->AllocateRun(window, slot_count);
      ASSERT_NE(run, nullptr);
      EXPECT_EQ(arenas.set->map().WindowOf(run), window);
      EXPECT_EQ(os.NodeOf(run), arenas.set->NodeIdOf(window));
    }
  }
}

TEST(ArenaSet, AWindowTakesThePlaceOfEmptyPagesOfTheOthers) {
  SimulatedOs os(EachNode(64, 1024 * kMiB));
  const Arenas arenas(os, Options(16 * kMiB), FourNodes());
  ArenaSet& set = *arenas.set;
  void* const run = set.AllocateRun(0, 8 * kSlotsPerHugePage);
  ASSERT_NE(run, nullptr);
  EXPECT_EQ(set.AllocateRun(1, 1), nullptr) << "the budget is exhausted";
  set.Free(run, 8 * kSlotsPerHugePage);
  EXPECT_EQ(set.budget().committed_bytes(), 16 * kMiB) << "empty pages stay";
  EXPECT_NE(set.AllocateRun(1, 8 * kSlotsPerHugePage), nullptr);
  EXPECT_EQ(set.budget().committed_bytes(), 16 * kMiB);
  EXPECT_EQ(arenas.Complaint(), "");
}

TEST(ArenaSet, WindowsAreHalvedWhileAddressSpaceIsShort) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  os.FailOnce(Call::kReserve, 0, ENOMEM);
  const Arenas arenas(os, Options(64 * kMiB), FourNodes());
  EXPECT_EQ(arenas.set->window_bytes(), 64 * kMiB);
}

TEST(ArenaSet, RefusedAddressSpaceIsNamedWithItsMend) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  os.FailFrom(Call::kReserve, 0, ENOMEM);
  MetadataMemory metadata(os);
  Error error;
  EXPECT_EQ(ArenaSet::Create(Options(64 * kMiB), os, FourNodes(), metadata, &error), nullptr);
  EXPECT_EQ(error.code, ErrorCode::kNoAddressSpace);
  EXPECT_EQ(error.errno_value, ENOMEM);
  EXPECT_THAT(error.message, HasSubstr("64M"));
  EXPECT_THAT(error.mend, HasSubstr("RLIMIT_AS"));
  EXPECT_GE(os.call_count(Call::kReserve), 3u);
  EXPECT_EQ(os.mapping_count(), 0u);
}

TEST(ArenaSet, OneNodePlacementReservesOneWindow) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  const Arenas arenas(os, Options(64 * kMiB, Placement::Node(7)), FourNodes());
  EXPECT_EQ(arenas.set->window_count(), 1u);
  EXPECT_EQ(arenas.set->NodeIdOf(0), 7);
  for (int cpu = -1; cpu < 5; ++cpu) EXPECT_EQ(arenas.set->HomeOfCpu(cpu), 0u);
  EXPECT_LE(os.mapped_bytes(), kGiB);
}

TEST(ArenaSet, EverythingIsUnmappedAtTheEnd) {
  SimulatedOs os(EachNode(4, 1024 * kMiB));
  {
    const Arenas arenas(os, Options(64 * kMiB), FourNodes());
    (void)arenas.set->AllocateRun(2, 50);
    EXPECT_GT(os.mapping_count(), 0u);
  }
  EXPECT_EQ(os.mapping_count(), 0u);
  EXPECT_EQ(os.present_page_count(), 0u);
  EXPECT_EQ(os.free_huge_page_count(4), 4u);
  EXPECT_THAT(os.complaints(), IsEmpty());
}

TEST(CommitBudget, PagesArePaidBeforeTheyAreUsed) {
  CommitBudget budget(3);
  EXPECT_TRUE(budget.TryTake(2));
  EXPECT_FALSE(budget.TryTake(2));
  EXPECT_TRUE(budget.TryTake(1));
  EXPECT_FALSE(budget.TryTake(1));
  budget.Return(2);
  EXPECT_EQ(budget.committed_bytes(), 1u);
  EXPECT_TRUE(budget.TryTake(2));
}

}  // namespace
}  // namespace hugepool::internal
