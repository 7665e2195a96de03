// Promise 1: a strict placement never returns memory of another node, and every departure of the others is counted. The
// kernel is asked, not the pool; and with binding taken away, the asking must find the pages that went astray.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "hugepool/pool.h"
#include "numa_guest/cgroup.h"
#include "numa_guest/child.h"
#include "numa_guest/filling.h"
#include "numa_guest/machine.h"
#include "numa_guest/page_census.h"
#include "os/os_memory.h"
#include "pool/pool_core.h"
#include "topology/topology.h"

namespace hugepool::guest {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kFillBytes = size_t{64} << 20;
// On lower rungs the guest, which has no hardware behind it, takes a second for each 16 MiB.
constexpr size_t kSmallFillBytes = size_t{16} << 20;

PoolOptions OptionsFor(Placement placement, HugePages huge_pages, size_t capacity_bytes) {
  PoolOptions options;
  options.placement = placement;
  options.huge_pages = huge_pages;
  options.capacity_bytes = capacity_bytes;
  return options;
}

const NodeStats& StatsOf(const PoolStats& stats, int node_id) {
  const auto found = std::find_if(stats.nodes.begin(), stats.nodes.end(),
                                  [node_id](const NodeStats& node) { return node.node_id == node_id; });
  if (found == stats.nodes.end()) throw std::runtime_error("no statistics of node " + std::to_string(node_id));
  return *found;
}

size_t FillBytesOf(HugePages huge_pages) { return huge_pages == HugePages::kRequired ? kFillBytes : kSmallFillBytes; }

// 64 MiB of mixed sizes (16 MiB on lower rungs) with this placement lie on that node, all of them.
void ExpectAllOn(int node_id, Placement placement, HugePages huge_pages) {
  SCOPED_TRACE(ToString(placement) + ", huge_pages = " + ToString(huge_pages) + ", expected on " +
               std::to_string(node_id));
  const bool required = huge_pages == HugePages::kRequired;
  const size_t capacity_bytes = required ? FreeHugePages(node_id) * kHugePage : 2 * kFillBytes;
  const auto pool = CreateOrFail(OptionsFor(placement, huge_pages, capacity_bytes));
  ASSERT_NE(pool, nullptr);
  Filling filling(pool);
  ASSERT_TRUE(filling.AddMixed(FillBytesOf(huge_pages) - 6 * kHugePage)) << pool->Stats().ToText();
  ASSERT_TRUE(filling.AddEqual(3 * kHugePage / 2 + 1, 6 * kHugePage)) << pool->Stats().ToText();
  EXPECT_TRUE(AllPagesOn(node_id, filling.blocks()));
  if (required) {
    EXPECT_TRUE(AllPagesHugetlb(filling.blocks()));
  }
  for (const Block& block : filling.blocks()) ASSERT_EQ(pool->NodeOf(block.address), node_id);
  Error error;
  const std::optional<PlacementReport> report = pool->VerifyPlacement(&error);
  ASSERT_TRUE(report.has_value()) << error.ToString();
  EXPECT_EQ(report->MisplacedCount(), 0u);
  EXPECT_TRUE(filling.Intact());
}

void ExpectNodePlacementKept(HugePages huge_pages) {
  PinToNode(ThisMachine().CpuNodes().front());
  for (const int node_id : ThisMachine().MemoryNodes()) ExpectAllOn(node_id, Placement::Node(node_id), huge_pages);
}

void ExpectLocalStrictKept(HugePages huge_pages) {
  for (const int node_id : ThisMachine().CpuNodes()) {
    PinToNode(node_id);
    ExpectAllOn(node_id, Placement::LocalStrict(), huge_pages);
  }
}

TEST(Placement, NodeKeepsAllPagesOnEachNodeHugetlb) { ExpectNodePlacementKept(HugePages::kRequired); }
TEST(Placement, NodeKeepsAllPagesOnEachNodeTransparent) { ExpectNodePlacementKept(HugePages::kTransparent); }
TEST(Placement, NodeKeepsAllPagesOnEachNodeSmall) { ExpectNodePlacementKept(HugePages::kOff); }
TEST(Placement, LocalStrictKeepsAllPagesOnTheCpusNodeHugetlb) { ExpectLocalStrictKept(HugePages::kRequired); }
TEST(Placement, LocalStrictKeepsAllPagesOnTheCpusNodeTransparent) { ExpectLocalStrictKept(HugePages::kTransparent); }
TEST(Placement, LocalStrictKeepsAllPagesOnTheCpusNodeSmall) { ExpectLocalStrictKept(HugePages::kOff); }

// An OsMemory that binds nothing; with `lies` it also says that every page lies where it was wanted.
class UnboundMemory : public internal::OsMemory {
 public:
  UnboundMemory(int wanted_node_id, bool lies) : wanted_node_id_(wanted_node_id), lies_(lies) {}
  int BindTo(void*, size_t, int) override { return 0; }
  int PreferNode(void*, size_t, int) override { return 0; }
  int Locate(void* const* addresses, size_t count, int* node_ids) override {
    const int result = OsMemory::Locate(addresses, count, node_ids);
    for (size_t i = 0; lies_ && result == 0 && i < count; ++i) {
      if (node_ids[i] >= 0) node_ids[i] = wanted_node_id_;
    }
    return result;
  }

 private:
  const int wanted_node_id_;
  const bool lies_;
};

std::shared_ptr<Pool> CreateUnbound(UnboundMemory& os, const PoolOptions& options) {
  Error error;
  const std::optional<internal::Topology> topology = internal::Topology::Discover(&error);
  if (!topology) {
    ADD_FAILURE() << error.ToString();
    return nullptr;
  }
  std::shared_ptr<Pool> pool = internal::CreatePool(options, os, *topology, &error);
  if (pool == nullptr) ADD_FAILURE() << error.ToString();
  return pool;
}

// The negative control of all tests above: without binding, and with the pool's own look at its pages blinded, the same
// check must find every page in the wrong place.
TEST(Placement, CheckFailsWhenBindingIsSkipped) {
  const std::vector<int> cpu_nodes = ThisMachine().CpuNodes();
  PinToNode(cpu_nodes[0]);
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kTransparent, HugePages::kOff}) {
    SCOPED_TRACE(ToString(huge_pages));
    UnboundMemory os(cpu_nodes[1], /*lies=*/true);
    const auto pool = CreateUnbound(os, OptionsFor(Placement::Node(cpu_nodes[1]), huge_pages, 80 * kHugePage));
    ASSERT_NE(pool, nullptr);
    Filling filling(pool);
    ASSERT_TRUE(filling.AddMixed(FillBytesOf(huge_pages)));
    EXPECT_FALSE(AllPagesOn(cpu_nodes[1], filling.blocks()));
    // All of them by numa_maps: move_pages of Linux 6.1 leaves out unbound pages that NUMA balancing is looking at.
    EXPECT_GE(CountByNumaMaps(filling.blocks()).BytesOn(cpu_nodes[0]), filling.bytes());
    EXPECT_EQ(CountByNumaMaps(filling.blocks()).BytesOn(cpu_nodes[1]), 0u);
    EXPECT_EQ(CountByMovePages(filling.blocks()).BytesOn(cpu_nodes[1]), 0u);
  }
}

// The same without the lie: the pool sees it by itself, and hands nothing out.
TEST(Placement, MisplacedPagesAreNeverHandedOut) {
  const std::vector<int> cpu_nodes = ThisMachine().CpuNodes();
  PinToNode(cpu_nodes[0]);
  for (const HugePages huge_pages : {HugePages::kRequired, HugePages::kTransparent, HugePages::kOff}) {
    SCOPED_TRACE(ToString(huge_pages));
    UnboundMemory os(cpu_nodes[1], /*lies=*/false);
    const auto pool = CreateUnbound(os, OptionsFor(Placement::Node(cpu_nodes[1]), huge_pages, kFillBytes));
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(pool->Allocate(4096), nullptr);
    const PoolStats stats = pool->Stats();
    EXPECT_GT(StatsOf(stats, cpu_nodes[1]).misplaced_count, 0u);
    EXPECT_EQ(stats.committed_bytes, 0u);
    EXPECT_EQ(stats.failed_count, 1u);
  }
}

TEST(Placement, ExhaustedNodeReturnsNullUnderNode) {
  PinToNode(ThisMachine().CpuNodes().front());
  for (const int node_id : ThisMachine().MemoryNodes()) {
    SCOPED_TRACE(node_id);
    SetHugePages(node_id, 8);
    auto options = OptionsFor(Placement::Node(node_id), HugePages::kRequired, 8 * kHugePage);
    const auto pool = CreateOrFail(options);
    ASSERT_NE(pool, nullptr);
    Filling filling(pool);
    EXPECT_FALSE(filling.AddEqual(size_t{256} << 10, 9 * kHugePage));
    EXPECT_GE(filling.bytes(), 7 * kHugePage);
    EXPECT_TRUE(AllPagesOn(node_id, filling.blocks()));
    EXPECT_TRUE(filling.Intact());
    EXPECT_EQ(StatsOf(pool->Stats(), node_id).departure_count, 0u);
  }
}

TEST(Placement, ExhaustedNodeReturnsNullUnderLocalStrict) {
  for (const int node_id : ThisMachine().CpuNodes()) {
    SCOPED_TRACE(node_id);
    PinToNode(node_id);
    SetHugePages(node_id, 8);
    const auto pool = CreateOrFail(OptionsFor(Placement::LocalStrict(), HugePages::kRequired, 80 * kHugePage));
    ASSERT_NE(pool, nullptr);
    Filling filling(pool);
    EXPECT_FALSE(filling.AddEqual(size_t{256} << 10, 9 * kHugePage));
    EXPECT_GE(filling.bytes(), 7 * kHugePage);
    EXPECT_TRUE(AllPagesOn(node_id, filling.blocks()));
    EXPECT_GT(StatsOf(pool->Stats(), node_id).refused_count[static_cast<size_t>(Backing::kHugetlb)], 0u);
    EXPECT_EQ(StatsOf(pool->Stats(), node_id).departure_count, 0u);
  }
}

// MPOL_BIND on a node without memory wakes the OOM killer instead of failing: a strict pool stops before.
TEST(Placement, NodeWithoutMemoryReturnsNullAndNobodyIsKilled) {
  PinToNode(ThisMachine().CpuNodes().front());
  const int node_id = ThisMachine().MemoryNodes().back();
  SetHugePages(node_id, 280);
  for (const HugePages huge_pages : {HugePages::kOff, HugePages::kTransparent}) {
    SCOPED_TRACE(ToString(huge_pages));
    const auto pool = CreateOrFail(OptionsFor(Placement::Node(node_id), huge_pages, 320 * kHugePage));
    ASSERT_NE(pool, nullptr);
    Filling filling(pool);
    EXPECT_FALSE(filling.AddEqual(size_t{256} << 10, 320 * kHugePage));
    EXPECT_GT(filling.bytes(), 8 * kHugePage);
    EXPECT_TRUE(AllPagesOn(node_id, filling.blocks()));
    EXPECT_TRUE(filling.Intact());
    EXPECT_GT(StatsOf(pool->Stats(), node_id).refused_count[static_cast<size_t>(Backing::kSmall)], 0u);
  }
}

TEST(Placement, ExhaustedNodeGoesToTheNearestUnderLocalAndIsCounted) {
  for (const int node_id : ThisMachine().CpuNodes()) {
    SCOPED_TRACE(node_id);
    PinToNode(node_id);
    SetHugePagesEverywhere(8);
    const auto pool = CreateOrFail(OptionsFor(Placement::Local(), HugePages::kRequired, 32 * kHugePage));
    ASSERT_NE(pool, nullptr);
    // Each node is filled to its last page before the next one by distance is touched.
    std::vector<int> reached;
    Filling filling(pool);
    while (filling.Add(size_t{256} << 10)) {
      const int from = pool->NodeOf(filling.blocks().back().address);
      if (std::find(reached.begin(), reached.end(), from) == reached.end()) reached.push_back(from);
    }
    EXPECT_EQ(reached, ThisMachine().MemoryByDistance(node_id));
    EXPECT_GE(filling.bytes(), 30 * kHugePage);
    size_t elsewhere_bytes = 0;
    size_t elsewhere_count = 0;
    for (const int holder : ThisMachine().MemoryNodes()) {
      std::vector<Block> blocks;
      for (const Block& block : filling.blocks()) {
        if (pool->NodeOf(block.address) == holder) blocks.push_back(block);
      }
      EXPECT_TRUE(AllPagesOn(holder, blocks));
      elsewhere_count += holder == node_id ? 0 : blocks.size();
      elsewhere_bytes += holder == node_id ? 0 : blocks.size() * (size_t{256} << 10);
    }
    const PoolStats stats = pool->Stats();
    EXPECT_GT(elsewhere_count, 0u);
    EXPECT_EQ(StatsOf(stats, node_id).departure_count, elsewhere_count);
    EXPECT_EQ(StatsOf(stats, node_id).departed_bytes, elsewhere_bytes);
  }
}

TEST(Placement, InterleaveSpreadsEvenly) {
  PinToNode(ThisMachine().CpuNodes().front());
  const auto pool = CreateOrFail(OptionsFor(Placement::Interleave(), HugePages::kRequired, 4 * kFillBytes));
  ASSERT_NE(pool, nullptr);
  Filling filling(pool);
  ASSERT_TRUE(filling.AddEqual(4096, 2 * kFillBytes)) << pool->Stats().ToText();
  const PageCensus census = CountByMovePages(filling.blocks());
  const uint64_t fair_bytes = census.TotalBytes() / 4;
  for (const int node_id : ThisMachine().MemoryNodes()) {
    EXPECT_NEAR(static_cast<double>(census.BytesOn(node_id)), static_cast<double>(fair_bytes), 0.02 * fair_bytes)
        << census.ToString();
    EXPECT_EQ(StatsOf(pool->Stats(), node_id).departure_count, 0u);
  }
}

TEST(Placement, InterleaveSkipsAFullNodeAndCountsIt) {
  PinToNode(ThisMachine().CpuNodes().front());
  const int short_node = ThisMachine().MemoryNodes().back();
  SetHugePages(short_node, 4);
  const auto pool = CreateOrFail(OptionsFor(Placement::Interleave(), HugePages::kRequired, 4 * kFillBytes));
  ASSERT_NE(pool, nullptr);
  Filling filling(pool);
  ASSERT_TRUE(filling.AddEqual(4096, 2 * kFillBytes)) << pool->Stats().ToText();
  EXPECT_LE(CountByMovePages(filling.blocks()).BytesOn(short_node), 4 * kHugePage);
  EXPECT_GT(StatsOf(pool->Stats(), short_node).departure_count, 0u);
}

TEST(Placement, CpusetRestrictsThePool) {
  const std::vector<int> cpu_nodes = ThisMachine().CpuNodes();
  const std::vector<int> memory_nodes = ThisMachine().MemoryNodes();
  // One node with CPUs and one without; the two others are shut.
  const int closed_node = cpu_nodes[0];
  const std::vector<int> open_nodes = {cpu_nodes[1], memory_nodes.back()};
  const Cgroup group("cpuset");
  group.Set("cpuset.mems", std::to_string(open_nodes[0]) + "," + std::to_string(open_nodes[1]));
  const int status = RunInChild([&] {
    group.Enter();
    PinToNode(closed_node);  // a CPU whose own memory may not be used
    const auto pool = CreateOrFail(OptionsFor(Placement::Local(), HugePages::kRequired, 140 * kHugePage));
    ASSERT_NE(pool, nullptr);
    EXPECT_EQ(pool->Stats().nodes.size(), 2u);
    Filling filling(pool);
    EXPECT_TRUE(filling.AddMixed(2 * kFillBytes)) << pool->Stats().ToText();
    EXPECT_TRUE(AllPagesOn(open_nodes, filling.blocks()));

    for (const int node_id : open_nodes) ExpectAllOn(node_id, Placement::Node(node_id), HugePages::kTransparent);

    Error error;
    const auto refused = Pool::Create(OptionsFor(Placement::Node(closed_node), HugePages::kOff, kFillBytes), &error);
    EXPECT_EQ(refused, nullptr);
    EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
    const std::string allowed = std::to_string(open_nodes[0]) + ", " + std::to_string(open_nodes[1]);
    EXPECT_NE(error.ToString().find(allowed), std::string::npos) << error.ToString();
    EXPECT_FALSE(error.mend.empty());
  });
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace hugepool::guest
