// Made-up machines: what Topology::Make accepts, what it refuses and how it orders nodes.
#include "topology/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

namespace hugepool::internal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kGiB = uint64_t{1} << 30;

std::vector<int> Ids(const Topology& topology, const std::vector<NodeIndex>& nodes) {
  std::vector<int> ids;
  for (const NodeIndex node : nodes) ids.push_back(topology.node(node).node_id);
  return ids;
}

std::vector<TopologyNode> TwoNodes() {
  return {{.node_id = 0, .cpus = {0, 1}, .memory_bytes = kGiB}, {.node_id = 1, .cpus = {2, 3}, .memory_bytes = kGiB}};
}

TEST(TopologyMake, OrdersNodesByKernelIdTogetherWithTheirDistances) {
  Error error;
  const auto topology = Topology::Make(
      {{.node_id = 7, .cpus = {5, 4}, .memory_bytes = kGiB}, {.node_id = 2, .cpus = {0}, .memory_bytes = 2 * kGiB}},
      {{10, 31}, {21, 10}}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_EQ(topology->node(ToNodeIndex(0)).node_id, 2);
  EXPECT_EQ(topology->node(ToNodeIndex(1)).node_id, 7);
  EXPECT_THAT(topology->node(ToNodeIndex(1)).cpus, ElementsAre(4, 5));
  EXPECT_EQ(topology->distance(ToNodeIndex(0), ToNodeIndex(1)), 21u);
  EXPECT_EQ(topology->distance(ToNodeIndex(1), ToNodeIndex(0)), 31u);
  EXPECT_EQ(topology->FindNode(7), ToNodeIndex(1));
  EXPECT_EQ(topology->FindNode(3), std::nullopt);
  EXPECT_EQ(topology->FindNode(-1), std::nullopt);
  EXPECT_EQ(topology->UsableNodeIds(), "2, 7");
}

TEST(TopologyMake, MemoryOnlyCpuOnlyAndDisallowedNodesAreOrdinary) {
  Error error;
  // 0: CPUs and memory; 2: memory only; 5: CPUs only; 9: outside of the cpuset.
  const auto topology =
      Topology::Make({{.node_id = 0, .cpus = {0, 1}, .memory_bytes = kGiB},
                      {.node_id = 2, .memory_bytes = kGiB},
                      {.node_id = 5, .cpus = {2, 3}},
                      {.node_id = 9, .cpus = {8}, .memory_bytes = kGiB, .allowed = false}},
                     {{10, 21, 31, 12}, {21, 10, 17, 12}, {31, 17, 10, 12}, {12, 12, 12, 10}}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_THAT(Ids(*topology, topology->usable_nodes()), ElementsAre(0, 2));
  EXPECT_EQ(topology->HomeOfCpu(0), ToNodeIndex(0));
  EXPECT_EQ(topology->HomeOfCpu(3), ToNodeIndex(1)) << "the CPU-only node's nearest memory is node 2";
  EXPECT_EQ(topology->HomeOfCpu(8), ToNodeIndex(0)) << "ties go to the lower kernel id";
  EXPECT_EQ(topology->HomeOfCpu(5), ToNodeIndex(0)) << "a CPU in a gap of the ids";
  EXPECT_EQ(topology->HomeOfCpu(100000), ToNodeIndex(0)) << "a CPU that came later";
  EXPECT_EQ(topology->cpu_limit(), 9u);
  EXPECT_THAT(Ids(*topology, topology->UsableByDistance(ToNodeIndex(2))), ElementsAre(2, 0));
}

TEST(TopologyMake, ANodeIsNearestToItselfWhateverTheFirmwareSays) {
  Error error;
  const auto topology = Topology::Make(TwoNodes(), {{40, 10}, {10, 40}}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_THAT(Ids(*topology, topology->UsableByDistance(ToNodeIndex(0))), ElementsAre(0, 1));
  EXPECT_THAT(Ids(*topology, topology->UsableByDistance(ToNodeIndex(1))), ElementsAre(1, 0));
}

TEST(TopologyMake, DistancesLeftOutAre10And20) {
  Error error;
  const auto topology = Topology::Make(TwoNodes(), {}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_EQ(topology->distance(ToNodeIndex(1), ToNodeIndex(1)), 10u);
  EXPECT_EQ(topology->distance(ToNodeIndex(1), ToNodeIndex(0)), 20u);
}

std::vector<std::vector<int>> CacheGroups(const Topology& topology, size_t index) {
  return topology.node(ToNodeIndex(index)).cache_groups;
}

TEST(TopologyMake, CpusOfANodeWithoutAnyLastLevelCacheAreOneGroup) {
  Error error;
  const auto topology = Topology::Make(
      {{.node_id = 0, .cpus = {5, 0, 1}, .memory_bytes = kGiB}, {.node_id = 1, .memory_bytes = kGiB}}, {}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_THAT(CacheGroups(*topology, 0), ElementsAre(ElementsAre(0, 1, 5)));
  EXPECT_THAT(CacheGroups(*topology, 1), IsEmpty()) << "a memory-only node";
}

TEST(TopologyMake, ACacheGroupNeverSpansNodesAndHasEachCpuOnce) {
  const std::vector<std::vector<int>> caches = {{9, 2, 3}, {0, 1, 2}, {77}, {}, {3, 0}};
  Error error;
  const auto topology =
      Topology::Make({{.node_id = 3, .cpus = {8, 9, 40}, .memory_bytes = kGiB, .cache_groups = caches},
                      {.node_id = 0, .cpus = {0, 1, 2, 3}, .memory_bytes = kGiB, .cache_groups = caches}},
                     {}, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_THAT(CacheGroups(*topology, 0), ElementsAre(ElementsAre(0, 1), ElementsAre(2, 3)));
  EXPECT_THAT(CacheGroups(*topology, 1), ElementsAre(ElementsAre(8, 40), ElementsAre(9)))
      << "8 and 40: those that no cache names";
}

struct BadMachine {
  const char* name;
  std::vector<TopologyNode> nodes;
  std::vector<std::vector<uint32_t>> distances;
  const char* value;    // that the message names
  const char* allowed;  // likewise
};

class TopologyMakeRefuses : public ::testing::TestWithParam<BadMachine> {};

TEST_P(TopologyMakeRefuses, NamingTheValueWhatIsAllowedAndTheMend) {
  Error error;
  EXPECT_FALSE(Topology::Make(GetParam().nodes, GetParam().distances, &error));
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.operation, "Topology::Make");
  EXPECT_THAT(error.message, HasSubstr(GetParam().value));
  EXPECT_THAT(error.message, HasSubstr(GetParam().allowed));
  EXPECT_FALSE(error.mend.empty());
  EXPECT_FALSE(Topology::Make(GetParam().nodes, GetParam().distances, nullptr)) << "an Error is not needed";
}

INSTANTIATE_TEST_SUITE_P(
    BadMachines, TopologyMakeRefuses,
    ::testing::Values(
        BadMachine{"NoNode", {}, {}, "none", "memory"},
        BadMachine{"NoMemory", {{.node_id = 3, .cpus = {0}}}, {}, "3 (0 MiB, allowed)", "memory"},
        BadMachine{
            "NotAllowed", {{.node_id = 3, .memory_bytes = kGiB, .allowed = false}}, {}, "not allowed", "may use"},
        BadMachine{"NegativeId", {{.node_id = -4, .memory_bytes = kGiB}}, {}, "-4", "0 to 1023"},
        BadMachine{"HugeId", {{.node_id = 1024, .memory_bytes = kGiB}}, {}, "1024", "0 to 1023"},
        BadMachine{"NodeTwice",
                   {{.node_id = 1, .memory_bytes = kGiB}, {.node_id = 1, .memory_bytes = kGiB}},
                   {},
                   "node 1",
                   "once"},
        BadMachine{"CpuOnTwoNodes",
                   {{.node_id = 0, .cpus = {1}, .memory_bytes = kGiB}, {.node_id = 1, .cpus = {2, 1}}},
                   {},
                   "CPU 1",
                   "once"},
        BadMachine{"CpuTwice", {{.node_id = 0, .cpus = {6, 6}, .memory_bytes = kGiB}}, {}, "CPU 6", "once"},
        BadMachine{"NegativeCpu", {{.node_id = 0, .cpus = {-1}, .memory_bytes = kGiB}}, {}, "CPU -1", "0 to 65535"},
        BadMachine{"HugeCpu", {{.node_id = 0, .cpus = {65536}, .memory_bytes = kGiB}}, {}, "CPU 65536", "0 to 65535"},
        BadMachine{"TooFewRows", TwoNodes(), {{10, 20}}, "1 rows", "2 rows of 2"},
        BadMachine{"TooManyRows", TwoNodes(), {{10, 20}, {20, 10}, {1, 1}}, "3 rows", "2 rows of 2"},
        BadMachine{"ShortRow", TwoNodes(), {{10, 20}, {20}}, "row 1", "2 rows of 2"}),
    [](const auto& parameter) { return parameter.param.name; });

// Invariants of the header, over 500 random machines.
TEST(TopologyMake, EachUsableNodeIsInTheOrderOnceAndEachCpuInOneCacheGroup) {
  std::mt19937 random(20240611);
  for (int round = 0; round < 500; ++round) {
    const size_t node_count = 1 + random() % 12;
    std::set<int> ids;
    while (ids.size() < node_count) ids.insert(static_cast<int>(random() % 1024));
    std::vector<TopologyNode> nodes;
    int cpu = 0;
    for (const int node_id : ids) {
      TopologyNode node{.node_id = node_id, .memory_bytes = random() % 3 * kGiB, .allowed = random() % 4 != 0};
      for (size_t count = random() % 3; count > 0; --count) node.cpus.push_back(cpu++);
      for (size_t count = random() % 4; count > 0; --count) {
        std::vector<int>& group = node.cache_groups.emplace_back();
        for (size_t size = random() % 4; size > 0; --size) group.push_back(static_cast<int>(random() % 30));
      }
      nodes.push_back(node);
    }
    TopologyNode& sure = nodes[random() % node_count];  // at least one is usable
    sure.memory_bytes = kGiB;
    sure.allowed = true;
    std::shuffle(nodes.begin(), nodes.end(), random);
    std::vector<std::vector<uint32_t>> distances(node_count, std::vector<uint32_t>(node_count));
    for (auto& row : distances) {
      for (uint32_t& distance : row) distance = 10 + random() % 5;
    }
    Error error;
    const auto topology = Topology::Make(nodes, distances, &error);
    ASSERT_TRUE(topology) << error.ToString();
    for (size_t index = 0; index < node_count; ++index) {
      const NodeIndex from = ToNodeIndex(index);
      const std::vector<NodeIndex>& order = topology->UsableByDistance(from);
      std::vector<NodeIndex> sorted = order;
      std::sort(sorted.begin(), sorted.end());
      ASSERT_EQ(sorted, topology->usable_nodes());
      if (topology->node(from).usable()) {
        ASSERT_EQ(order.front(), from);
      }
      std::vector<int> grouped;
      for (const std::vector<int>& group : topology->node(from).cache_groups) {
        ASSERT_FALSE(group.empty());
        ASSERT_TRUE(std::is_sorted(group.begin(), group.end()));
        grouped.insert(grouped.end(), group.begin(), group.end());
      }
      std::sort(grouped.begin(), grouped.end());
      ASSERT_EQ(grouped, topology->node(from).cpus);
      for (size_t at = topology->node(from).usable() ? 2 : 1; at < order.size(); ++at) {
        const auto before = std::pair(topology->distance(from, order[at - 1]), order[at - 1]);
        ASSERT_LT(before, std::pair(topology->distance(from, order[at]), order[at]));
      }
      for (const int own : topology->node(from).cpus) ASSERT_EQ(topology->HomeOfCpu(own), order.front());
    }
  }
}

}  // namespace
}  // namespace hugepool::internal
