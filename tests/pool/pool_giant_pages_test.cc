// Pools on pages of 1 GiB, on made-up machines: creating, growing, the ladder, shrinking, fork, and what is reported.
// What the real kernel does with them: giant_page_kernel_test.cc.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <vector>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"
#include "pool/random_walk.h"
#include "pool/soak.h"
#include "pool/stamp.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr size_t kHugetlb = static_cast<size_t>(Backing::kHugetlb);

std::vector<SimulatedOs::NodeMemory> GiantPagesEach(uint64_t count, uint64_t small_bytes = 1024 * kMiB) {
  auto nodes = EachNode(8, small_bytes);
  for (auto& node : nodes) node.giant_page_count = count;
  return nodes;
}

PoolOptions Options(size_t capacity_bytes, HugePages huge_pages, Placement placement = Placement::Local()) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = huge_pages;
  options.page_bytes = kGiantPageBytes;
  options.placement = placement;
  return options;
}

class PoolGiantPages : public ::testing::Test {
 protected:
  ~PoolGiantPages() override { EXPECT_THAT(os_.complaints(), IsEmpty()); }
  SimulatedOs os_{GiantPagesEach(2)};
  Error error_;
};

TEST_F(PoolGiantPages, TheCapacityIsWholePages) {
  const auto pool = MakePool(Options(kGiB + 1, HugePages::kPreferred), os_, OneNode());
  EXPECT_EQ(pool->options().capacity_bytes, 2 * kGiB);
  EXPECT_EQ(pool->Stats().capacity_bytes, 2 * kGiB);
  EXPECT_EQ(internal::CreatePool(Options(kGiB - 1, HugePages::kPreferred), os_, OneNode(), &error_), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_.message, "capacity_bytes = 1073741823 is out of range for page_bytes = 1G");
  EXPECT_THAT(error_.mend, HasSubstr("Allowed: 1G to 8589934592"));
}

TEST_F(PoolGiantPages, StatisticsAndTheirTextNameThePageSize) {
  const auto pool = MakePool(Options(kGiB, HugePages::kRequired), os_, OneNode());
  EXPECT_EQ(pool->Stats().page_bytes, kGiantPageBytes);
  EXPECT_THAT(pool->Stats().ToText(), HasSubstr("huge_pages=required page=1G placement=local"));
}

TEST_F(PoolGiantPages, RequiredUsesThemAndNothingElse) {
  const auto pool = MakePool(Options(2 * kGiB, HugePages::kRequired), os_, OneNode());
  void* const block = pool->Allocate(100);
  EXPECT_TRUE(os_.IsPresent(block, 100));
  PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), kGiB) << "one, and none ahead";
  EXPECT_EQ(os_.free_giant_page_count(0), 1u);
  uint64_t bytes = 0;
  while (pool->Allocate(kMiB) != nullptr) bytes += kMiB;
  EXPECT_GE(bytes, 2 * kGiB - 2 * kHugePageBytes);
  stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 2 * kGiB);
  EXPECT_EQ(stats.DegradedBytes(), 0u);
  EXPECT_EQ(os_.free_huge_page_count(0), 8u);
  EXPECT_EQ(os_.small_bytes(0), 1024 * kMiB);
  EXPECT_EQ(Complaint(*pool), "");
}

TEST_F(PoolGiantPages, RequiredIsRefusedWithTheFigures) {
  EXPECT_EQ(
      internal::CreatePool(Options(3 * kGiB, HugePages::kRequired, Placement::Node(4)), os_, FourNodes(), &error_),
      nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoHugePages);
  EXPECT_EQ(error_.node_id, 4);
  EXPECT_THAT(error_.message, HasSubstr("needs 3 free pages of 1 GiB on node 4; 2 are free"));
  EXPECT_EQ(error_.mend,
            "Reserve them at boot: hugepagesz=1G hugepages=3 on the kernel's command line; or now, where memory is not "
            "fragmented: f=/sys/devices/system/node/node4/hugepages/hugepages-1048576kB/nr_hugepages; echo $(($(cat "
            "$f) + 1)) | sudo tee $f");
  EXPECT_EQ(internal::CreatePool(Options(12 * kGiB, HugePages::kRequired), os_, FourNodes(), &error_), nullptr);
  EXPECT_EQ(error_.node_id, -1);
  EXPECT_THAT(error_.message, HasSubstr("needs 12 free pages of 1 GiB on 4 nodes; 8 are free"));
  EXPECT_THAT(error_.mend,
              HasSubstr("f=/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages; echo $(($(cat $f) + 4))"));
  EXPECT_EQ(os_.mapping_count(), 0u);
}

TEST_F(PoolGiantPages, RequiredIsRefusedWhereThereAreNoSuchPages) {
  // What mmap answers where kernel or CPU do not know the size.
  os_.FailFrom(Call::kMapHugetlb, 0, EINVAL);
  EXPECT_EQ(internal::CreatePool(Options(kGiB, HugePages::kRequired), os_, OneNode(), &error_), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoHugePages);
  EXPECT_EQ(error_.errno_value, EINVAL);
  EXPECT_THAT(error_.message, HasSubstr("reserved pages of 1G cannot be mapped"));
  EXPECT_THAT(error_.mend, HasSubstr("/sys/kernel/mm/hugepages"));
  EXPECT_EQ(os_.mapping_count(), 0u);
  const auto pool = MakePool(Options(kGiB, HugePages::kPreferred), os_, OneNode());
  EXPECT_NE(pool->Allocate(kMiB), nullptr);
  EXPECT_GT(pool->Stats().DegradedBytes(), 0u);
}

TEST_F(PoolGiantPages, PopulateAllSharesThemOutOverTheNodes) {
  PoolOptions options = Options(5 * kGiB, HugePages::kRequired);
  options.populate_at_start = PopulateAtStart::kAll;
  const auto pool = MakePool(options, os_, FourNodes());
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 5 * kGiB);
  for (const NodeStats& node : stats.nodes) EXPECT_EQ(node.empty_bytes, (node.node_id == 0 ? 2 : 1) * kGiB);
}

TEST_F(PoolGiantPages, PopulateAllTakesTheNextRungWhereTheyAreShort) {
  PoolOptions options = Options(3 * kGiB, HugePages::kPreferred);
  options.populate_at_start = PopulateAtStart::kAll;
  os_.SetSmallBytes(0, 2 * kGiB);
  const auto pool = MakePool(options, os_, OneNode());
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 2 * kGiB);
  EXPECT_EQ(stats.CommittedBytes(Backing::kTransparentHuge), kGiB);
  options.huge_pages = HugePages::kRequired;
  os_.FailFrom(Call::kFreeHugePages, 0, ENOENT);  // it cannot look first
  os_.SetFreeGiantPages(0, 1);
  EXPECT_EQ(internal::CreatePool(options, os_, OneNode(), &error_), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoHugePages);
  EXPECT_THAT(error_.message, HasSubstr("1 of 3 pages of 1 GiB could be populated"));
}

TEST_F(PoolGiantPages, WaitsUntilAPredecessorsPagesAreFree) {
  os_.SetFreeGiantPages(0, 0);
  const uint64_t start_ns = os_.NowNs();
  os_.OnSleep([this, start_ns](uint64_t now_ns) {
    if (now_ns >= start_ns + 3 * kSecondNs) os_.SetFreeGiantPages(0, 2);
  });
  PoolOptions options = Options(2 * kGiB, HugePages::kRequired);
  options.wait_for_huge_pages_seconds = 10;
  const auto pool = MakePool(options, os_, OneNode());
  ASSERT_NE(pool, nullptr);
  EXPECT_GE(os_.NowNs(), start_ns + 3 * kSecondNs);
  EXPECT_LE(os_.NowNs(), start_ns + 4 * kSecondNs) << "it waited longer than it had to";
}

TEST_F(PoolGiantPages, FallsBackInSmallStepsAndClimbsUpAgain) {
  os_.SetFreeGiantPages(0, 0);
  const auto pool = MakePool(Options(2 * kGiB, HugePages::kPreferred), os_, OneNode());
  std::vector<void*> blocks;
  for (int i = 0; i < 10; ++i) blocks.push_back(pool->Allocate(2 * kMiB));
  PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kTransparentHuge), 20 * kMiB);
  EXPECT_EQ(stats.DegradedBytes(), 20 * kMiB);
  EXPECT_GE(stats.nodes[0].refused_count[kHugetlb], 1u);
  os_.SetFreeGiantPages(0, 2);
  os_.AdvanceNs(10'000'000);
  blocks.push_back(pool->Allocate(2 * kMiB));
  EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), kGiB);
  EXPECT_EQ(Complaint(*pool), "");
  for (void* block : blocks) pool->Deallocate(block);
  stats = pool->Stats();
  EXPECT_EQ(stats.DegradedBytes(), 0u);
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), kGiB);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(os_.free_giant_page_count(0), 2u);
}

TEST_F(PoolGiantPages, TrimGivesBackOnlyWhatIsEmptyWhole) {
  const auto pool = MakePool(Options(2 * kGiB, HugePages::kRequired), os_, OneNode());
  void* const small = pool->Allocate(1000);
  void* const large = pool->Allocate(kGiB);
  ASSERT_NE(large, nullptr);
  EXPECT_EQ(pool->Stats().committed_bytes, 2 * kGiB);
  pool->Deallocate(large, kGiB);
  EXPECT_EQ(pool->Trim(0), kGiB);
  EXPECT_TRUE(os_.IsPresent(small, 1000));
  pool->Deallocate(small);
  EXPECT_EQ(pool->Trim(0), 0u);
  EXPECT_EQ(os_.free_giant_page_count(0), 2u);
}

TEST_F(PoolGiantPages, StrictReturnsNothingRatherThanAMisplacedOne) {
  const auto pool = MakePool(Options(kGiB, HugePages::kRequired, Placement::Node(1)), os_, FourNodes());
  os_.MisplaceTo(0);
  EXPECT_EQ(pool->Allocate(1000), nullptr);
  EXPECT_GE(StatsOf(pool->Stats(), 1).misplaced_count, 1u);
  EXPECT_EQ(os_.present_page_count(), 0u);
  os_.MisplaceTo(-1);
  os_.AdvanceNs(10'000'000);
  EXPECT_EQ(os_.NodeOf(pool->Allocate(1000)), 1);
}

TEST_F(PoolGiantPages, VerifyPlacementCountsEachOnce) {
  const auto pool = MakePool(Options(4 * kGiB, HugePages::kRequired), os_, FourNodes());
  SimulatedOs::SetCpu(0);
  (void)pool->Allocate(kGiB + 1);
  SimulatedOs::SetCpu(2);
  (void)pool->Allocate(1);
  const auto report = pool->VerifyPlacement(&error_);
  ASSERT_TRUE(report) << error_.ToString();
  EXPECT_EQ(report->nodes[0].page_count, 2u);
  EXPECT_EQ(report->nodes[1].page_count, 1u);
  EXPECT_EQ(report->MisplacedCount(), 0u);
}

TEST_F(PoolGiantPages, AForkedChildHasTheBooksAndNotThePages) {
  const auto pool = MakePool(Options(kGiB, HugePages::kRequired), os_, OneNode());
  char* const block = static_cast<char*>(pool->Allocate(1000));
  Stamp(block, 1000, 1);
  const pid_t child = fork();
  if (child == 0) {
    void* const mine = pool->Allocate(3 * kMiB);
    if (mine == nullptr || pool->Owns(mine) || pool->UsableSize(block) != 1024) _exit(1);
    pool->Deallocate(mine);
    pool->Deallocate(block);
    _exit(pool->Stats().child_deallocate_count == 1 && pool->Trim(0) == 0 ? 0 : 2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_TRUE(HasStamp(block, 1000, 1));
  pool->Deallocate(block);
  EXPECT_EQ(Complaint(*pool), "");
}

// Rounds on one pool, empty between them: the giant pages are there, are a rival's, or come free meanwhile.
TEST(PoolGiantPagesWalk, EveryBlockLiesWhereItMustWhateverRivalsHold) {
  constexpr uint64_t kSmallBytes = 96 * kMiB;  // 64 MiB of each node are left to everybody else
  constexpr std::array<int, 4> kNodes = {0, 1, 4, 7};
  SimulatedOs os(GiantPagesEach(0, kSmallBytes));
  {
    PoolOptions options = Options(3 * kGiB, HugePages::kPreferred);
    options.cpu_cache = CpuCacheMode::kOff;  // a departure is one block, handed out
    const auto pool = MakePool(options, os, FourNodes());
    const uint64_t seed = Seed();
    uint64_t departure_count = 0;
    for (uint64_t round = 0; round < 6; ++round) {
      const bool come_free = round >= 4;
      const uint64_t giant_count = round % 2;  // on each node, at the start
      for (const int node_id : kNodes) os.SetFreeGiantPages(node_id, giant_count);
      os.AdvanceNs(10'000'000);
      // The rival's pages come free for good in the middle of the last rounds: what is allocated next lies on them.
      std::atomic<uint64_t> allocation_count{0};
      WalkPlan plan;
      plan.seed = seed + round;
      plan.operation_count = kSanitized ? 5'000 : 10'000;
      plan.live_limit_bytes = 64 * kMiB;
      plan.max_block_bytes = 4 * kMiB;
      plan.operations_between_checks = 5'000;
      static thread_local int cpu = 0;
      plan.before_allocate = [&](uint64_t random) {
        cpu = static_cast<int>(random % 4);
        SimulatedOs::SetCpu(cpu);
        if (random % 64 == 0) os.AdvanceNs(10'000'000);
        if (random % 1024 == 1) (void)pool->Trim(random % (3 * kGiB));
        if (come_free && ++allocation_count == plan.operation_count / 4) {
          for (const int node_id : kNodes) os.SetFreeGiantPages(node_id, os.free_giant_page_count(node_id) + 1);
        }
      };
      std::atomic<uint64_t> departures{0};
      plan.after_allocate = [&](void* block, size_t bytes) -> std::string {
        const int node_id = pool->NodeOf(block);
        if (os.NodeOf(block) != node_id) return "the machine says node " + std::to_string(os.NodeOf(block));
        if (!os.IsPresent(block, bytes)) return "not all of it is populated";
        if (node_id != cpu / 2) departures.fetch_add(1, std::memory_order_relaxed);
        return {};
      };
      const uint64_t populate_count = os.call_count(Call::kPopulate);
      const WalkResult result = RandomWalk(*pool, plan);
      ASSERT_EQ(result.wrong, "") << "round " << round;
      departure_count += departures;
      uint64_t counted = 0;
      for (const NodeStats& node : pool->Stats().nodes) counted += node.departure_count;
      ASSERT_EQ(counted, departure_count) << "round " << round;
      if (giant_count == 0) {
        EXPECT_GT(os.call_count(Call::kPopulate) - populate_count, 20u) << "it hardly ever fell back";
      } else {
        EXPECT_EQ(departures, 0u) << "round " << round;
      }
      EXPECT_EQ(os.present_page_count(), 0u);
      for (const int node_id : kNodes) {
        EXPECT_EQ(os.free_giant_page_count(node_id), giant_count + (come_free ? 1 : 0));
        EXPECT_EQ(os.small_bytes(node_id), kSmallBytes);
      }
    }
    EXPECT_GT(departure_count, 0u);
  }
  EXPECT_EQ(os.mapping_count(), 0u);
  EXPECT_EQ(os.complaints(), std::vector<std::string>());
}

}  // namespace
}  // namespace hugepool::testing
