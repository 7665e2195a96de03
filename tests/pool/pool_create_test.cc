// Pool::Create: what each choice of huge pages gets, populating at start, waiting for a predecessor's pages.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <functional>

#include "hugepool/pool.h"
#include "pool/four_nodes.h"

namespace hugepool::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kSecondNs = 1'000'000'000;

PoolOptions Options(size_t capacity_bytes, HugePages huge_pages, Placement placement = Placement::Local()) {
  PoolOptions options;
  options.capacity_bytes = capacity_bytes;
  options.huge_pages = huge_pages;
  options.placement = placement;
  return options;
}

// Allocates until nullptr; returns the bytes.
uint64_t Fill(Pool& pool) {
  uint64_t bytes = 0;
  while (pool.Allocate(kMiB) != nullptr) bytes += kMiB;
  return bytes;
}

class PoolCreate : public ::testing::Test {
 protected:
  ~PoolCreate() override { EXPECT_THAT(os_.complaints(), IsEmpty()); }
  SimulatedOs os_{EachNode(8, 1024 * kMiB)};
  Error error_;
};

TEST_F(PoolCreate, RequiredUsesHugetlbAndNothingElse) {
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kRequired), os_, OneNode());
  EXPECT_EQ(Fill(*pool), 16 * kMiB);
  EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), 16 * kMiB);
  EXPECT_EQ(os_.small_bytes(0), 1024 * kMiB);
}

TEST_F(PoolCreate, RequiredReturnsNullptrWhereARivalTookThePages) {
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kRequired), os_, OneNode());
  os_.SetFreeHugePages(0, 3);
  EXPECT_EQ(Fill(*pool), 6 * kMiB);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.failed_count, 1u);
  EXPECT_GE(stats.nodes[0].refused_count[static_cast<size_t>(Backing::kHugetlb)], 1u);
  EXPECT_EQ(stats.DegradedBytes(), 0u);
  EXPECT_EQ(os_.small_bytes(0), 1024 * kMiB);
}

TEST_F(PoolCreate, RequiredIsRefusedWithTheFigures) {
  EXPECT_EQ(
      internal::CreatePool(Options(64 * kMiB, HugePages::kRequired, Placement::Node(4)), os_, FourNodes(), &error_),
      nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoHugePages);
  EXPECT_EQ(error_.node_id, 4);
  EXPECT_THAT(error_.message, HasSubstr("needs 32 free pages of 2 MiB on node 4; 8 are free"));
  EXPECT_EQ(error_.mend, "Reserve them: hugepool check --need node4=64M prints the command.");
  EXPECT_EQ(internal::CreatePool(Options(128 * kMiB, HugePages::kRequired), os_, FourNodes(), &error_), nullptr);
  EXPECT_EQ(error_.node_id, -1);
  EXPECT_THAT(error_.message, HasSubstr("needs 64 free pages of 2 MiB on 4 nodes; 32 are free"));
  EXPECT_EQ(error_.mend, "Reserve them: hugepool check --need 128M prints the command.");
  EXPECT_EQ(os_.mapping_count(), 0u);
}

TEST_F(PoolCreate, PreferredStepsDownRungByRungAndCounts) {
  os_.SetFreeHugePages(0, 2);
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kPreferred), os_, OneNode());
  for (int i = 0; i < 5; ++i) ASSERT_NE(pool->Allocate(2 * kMiB), nullptr);
  os_.RefuseCollapse(ENOMEM);
  for (int i = 0; i < 3; ++i) ASSERT_NE(pool->Allocate(2 * kMiB), nullptr);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 4 * kMiB);
  EXPECT_EQ(stats.CommittedBytes(Backing::kTransparentHuge), 6 * kMiB);
  EXPECT_EQ(stats.CommittedBytes(Backing::kSmall), 6 * kMiB);
  EXPECT_EQ(stats.DegradedBytes(), 12 * kMiB);
  EXPECT_GE(stats.nodes[0].refused_count[static_cast<size_t>(Backing::kHugetlb)], 1u);
  EXPECT_EQ(stats.nodes[0].refused_count[static_cast<size_t>(Backing::kTransparentHuge)], 3u);
  EXPECT_EQ(os_.free_huge_page_count(0), 0u);
}

TEST_F(PoolCreate, TransparentLeavesHugetlbToOthers) {
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kTransparent), os_, OneNode());
  EXPECT_EQ(Fill(*pool), 16 * kMiB);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kTransparentHuge), 16 * kMiB);
  EXPECT_EQ(stats.DegradedBytes(), 0u);
  EXPECT_EQ(os_.free_huge_page_count(0), 8u);
  EXPECT_EQ(os_.call_count(Call::kMapHugetlb), 0u);
}

TEST_F(PoolCreate, OffUsesSmallPages) {
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kOff), os_, OneNode());
  EXPECT_EQ(Fill(*pool), 16 * kMiB);
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kSmall), 16 * kMiB);
  EXPECT_EQ(stats.DegradedBytes(), 0u);
  EXPECT_EQ(os_.free_huge_page_count(0), 8u);
}

TEST_F(PoolCreate, PopulateAllSharesThePagesOutOverTheNodes) {
  PoolOptions options = Options(22 * kMiB, HugePages::kPreferred);
  options.populate_at_start = PopulateAtStart::kAll;
  const auto pool = MakePool(options, os_, FourNodes());
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.committed_bytes, 22 * kMiB);
  for (const NodeStats& node : stats.nodes) {
    EXPECT_EQ(node.empty_bytes, (node.node_id == 7 ? 2 : 3) * kHugePageBytes) << "node " << node.node_id;
  }
  const uint64_t populated = os_.call_count(Call::kPopulate);
  EXPECT_NE(pool->Allocate(kMiB), nullptr);
  EXPECT_EQ(os_.call_count(Call::kPopulate), populated);
}

TEST_F(PoolCreate, PopulateAllTakesFromOthersWhatANodeCannotGive) {
  os_.SetFreeHugePages(1, 1);
  PoolOptions options = Options(32 * kMiB, HugePages::kRequired);
  options.populate_at_start = PopulateAtStart::kAll;
  const auto pool = MakePool(options, os_, FourNodes());
  const PoolStats stats = pool->Stats();
  EXPECT_EQ(stats.CommittedBytes(Backing::kHugetlb), 32 * kMiB);
  EXPECT_EQ(StatsOf(stats, 1).empty_bytes, kHugePageBytes);
}

TEST_F(PoolCreate, PopulateAllSaysHowManyPagesWereLacking) {
  PoolOptions options = Options(64 * kMiB, HugePages::kOff, Placement::Node(1));
  options.populate_at_start = PopulateAtStart::kAll;
  os_.SetSmallBytes(1, 64 * kMiB + 10 * kMiB);  // 64 MiB are left to everybody else
  EXPECT_EQ(internal::CreatePool(options, os_, FourNodes(), &error_), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoMemory);
  EXPECT_THAT(error_.message, HasSubstr("5 of 32 pages of 2 MiB could be populated"));
  EXPECT_THAT(error_.mend, HasSubstr("Lower capacity_bytes"));
  EXPECT_EQ(os_.mapping_count(), 0u);
  EXPECT_EQ(os_.small_bytes(1), 74 * kMiB);
}

TEST_F(PoolCreate, WaitsUntilAPredecessorsPagesAreFree) {
  os_.SetFreeHugePages(0, 1);
  const uint64_t start_ns = os_.NowNs();
  os_.OnSleep([this, start_ns](uint64_t now_ns) {
    if (now_ns >= start_ns + 3 * kSecondNs) os_.SetFreeHugePages(0, 8);
  });
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kPreferred}) {
    PoolOptions options = Options(16 * kMiB, huge_pages);
    options.wait_for_huge_pages_seconds = 10;
    options.populate_at_start = PopulateAtStart::kAll;
    const auto pool = MakePool(options, os_, OneNode());
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), 16 * kMiB);
    EXPECT_GE(os_.NowNs(), start_ns + 3 * kSecondNs);
    EXPECT_LE(os_.NowNs(), start_ns + 4 * kSecondNs) << "it waited longer than it had to";
  }
}

TEST_F(PoolCreate, GoesOnOrFailsWhenThePagesNeverComeFree) {
  os_.SetFreeHugePages(0, 1);
  PoolOptions options = Options(16 * kMiB, HugePages::kPreferred);
  options.wait_for_huge_pages_seconds = 5;
  const uint64_t start_ns = os_.NowNs();
  const auto pool = MakePool(options, os_, OneNode());
  EXPECT_GE(os_.NowNs(), start_ns + 5 * kSecondNs);
  EXPECT_LE(os_.NowNs(), start_ns + 6 * kSecondNs);
  EXPECT_EQ(Fill(*pool), 16 * kMiB);
  EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), 2 * kMiB);
  options.huge_pages = HugePages::kRequired;
  EXPECT_EQ(internal::CreatePool(options, os_, OneNode(), &error_), nullptr);
  EXPECT_EQ(error_.code, ErrorCode::kNoHugePages);
  EXPECT_THAT(error_.message, HasSubstr("needs 8 free pages of 2 MiB on node 0; 0 are free"));
  EXPECT_GE(os_.NowNs(), start_ns + 10 * kSecondNs);
}

TEST_F(PoolCreate, TransparentAndOffDoNotWait) {
  os_.SetFreeHugePages(0, 0);
  for (const HugePages huge_pages : {HugePages::kTransparent, HugePages::kOff}) {
    PoolOptions options = Options(16 * kMiB, huge_pages);
    options.wait_for_huge_pages_seconds = 3600;
    const uint64_t start_ns = os_.NowNs();
    EXPECT_NE(MakePool(options, os_, OneNode()), nullptr);
    EXPECT_EQ(os_.NowNs(), start_ns);
  }
}

// What a container denies: EPERM by seccomp profiles, ENOSYS by others.
class PoolDenied : public ::testing::TestWithParam<int> {};

TEST_P(PoolDenied, PlacementCallsAreCountedAndWorkedAround) {
  SimulatedOs os(EachNode(8, 1024 * kMiB));
  os.FailFrom(Call::kBindTo, 0, GetParam());
  os.FailFrom(Call::kPreferNode, 0, GetParam());
  os.FailFrom(Call::kLocate, 0, GetParam());
  {
    const auto pool = MakePool(Options(16 * kMiB, HugePages::kPreferred), os, FourNodes());
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(Fill(*pool), 16 * kMiB);
    const PoolStats stats = pool->Stats();
    EXPECT_GE(stats.refused_bind_count, 4u);
    EXPECT_GE(stats.refused_locate_count, 8u);
    uint64_t unverified_bytes = 0;
    for (const NodeStats& node : stats.nodes) unverified_bytes += node.unverified_bytes;
    EXPECT_EQ(unverified_bytes, 16 * kMiB);
    Error error;
    EXPECT_FALSE(pool->VerifyPlacement(&error));
    EXPECT_EQ(error.operation, "move_pages");
    EXPECT_EQ(error.errno_value, GetParam());
    EXPECT_EQ(Complaint(*pool), "");
  }
  EXPECT_EQ(os.mapping_count(), 0u);
}

TEST_P(PoolDenied, AStrictPlacementThatCanBeNeitherBoundNorVerifiedIsRefused) {
  SimulatedOs os(EachNode(8, 1024 * kMiB));
  os.FailFrom(Call::kBindTo, 0, GetParam());
  os.FailFrom(Call::kLocate, 0, GetParam());
  for (const Placement placement : {Placement::LocalStrict(), Placement::Node(1)}) {
    Error error;
    EXPECT_EQ(internal::CreatePool(Options(16 * kMiB, HugePages::kPreferred, placement), os, FourNodes(), &error),
              nullptr);
    EXPECT_EQ(error.operation, "mbind");
    EXPECT_EQ(error.errno_value, GetParam());
    EXPECT_FALSE(error.mend.empty());
    EXPECT_EQ(os.mapping_count(), 0u);
  }
  // A machine of one node has no other memory to return.
  EXPECT_NE(MakePool(Options(16 * kMiB, HugePages::kPreferred, Placement::LocalStrict()), os, OneNode()), nullptr);
}

TEST_P(PoolDenied, FiguresOfTheSystemAreDoneWithout) {
  SimulatedOs os(EachNode(8, 1024 * kMiB));
  os.FailFrom(Call::kFreeHugePages, 0, GetParam());
  os.FailFrom(Call::kMachineAvailableBytes, 0, GetParam());
  const auto pool = MakePool(Options(64 * kMiB, HugePages::kPreferred), os, OneNode());
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(Fill(*pool), 64 * kMiB);
  EXPECT_EQ(pool->Stats().CommittedBytes(Backing::kHugetlb), 16 * kMiB);
  EXPECT_EQ(Complaint(*pool), "");
}

TEST_P(PoolDenied, WithoutHugetlbItFallsBack) {
  SimulatedOs os(EachNode(8, 1024 * kMiB));
  os.FailFrom(Call::kMapHugetlb, 0, GetParam());
  const auto pool = MakePool(Options(16 * kMiB, HugePages::kPreferred), os, OneNode());
  ASSERT_NE(pool, nullptr);
  EXPECT_EQ(Fill(*pool), 16 * kMiB);
  EXPECT_EQ(pool->Stats().DegradedBytes(), 16 * kMiB);
}

std::string ErrnoName(const ::testing::TestParamInfo<int>& info) { return strerrorname_np(info.param); }
INSTANTIATE_TEST_SUITE_P(Errnos, PoolDenied, ::testing::Values(EPERM, ENOSYS), ErrnoName);

}  // namespace
}  // namespace hugepool::testing
