// Topology::Discover on this machine, and on made-up ones that hwloc reads by HWLOC_FSROOT.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>

#include "pool/topology/made_up_machine.h"
#include "topology/system_files.h"
#include "topology/topology.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::hugepool::testing::MadeUpNode;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kGiB = uint64_t{1} << 30;

// An environment variable for the time of a test.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

void AddCpus(const MadeUpMachine& machine, int cpu_count) {
  const std::string folder = "/sys/devices/system/cpu/";
  for (const char* file : {"online", "possible", "present"}) {
    machine.Write(folder + file, "0-" + std::to_string(cpu_count - 1) + "\n");
  }
  for (int cpu = 0; cpu < cpu_count; ++cpu) {
    const std::string topology = folder + "cpu" + std::to_string(cpu) + "/topology/";
    machine.Write(topology + "core_id", std::to_string(cpu) + "\n");
    machine.Write(topology + "physical_package_id", "0\n");
    char mask[16];
    std::snprintf(mask, sizeof(mask), "%x\n", 1u << cpu);
    machine.Write(topology + "thread_siblings", mask);
    machine.Write(topology + "core_cpus", mask);
  }
}

std::optional<Topology> DiscoverAt(const MadeUpMachine& machine, Error* error) {
  const Variable root("HWLOC_FSROOT", machine.root());
  const Variable vouched("HWLOC_THISSYSTEM", "1");
  return Topology::Discover(error);
}

TEST(TopologyDiscover, FindsThisMachine) {
  Error error;
  const auto topology = Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  ASSERT_GE(topology->usable_nodes().size(), 1u);
  // Every usable node is in Mems_allowed_list, and all of the machine's memory is found.
  const SystemFiles files;
  const auto allowed = ParseIdList(files.Field("/proc/self/status", "Mems_allowed_list").value_or(""), kMaxNodeId);
  ASSERT_TRUE(allowed);
  for (const NodeIndex index : topology->usable_nodes()) {
    EXPECT_THAT(*allowed, ::testing::Contains(topology->node(index).node_id));
  }
  uint64_t memory_bytes = 0;
  for (size_t index = 0; index < topology->node_count(); ++index) {
    memory_bytes += topology->node(ToNodeIndex(index)).memory_bytes;
  }
  if (topology->node_count() == 1) {
    EXPECT_GE(memory_bytes, *files.KilobyteField("/proc/meminfo", "MemTotal", nullptr));
  }
  const int cpu = sched_getcpu();
  ASSERT_GE(cpu, 0);
  EXPECT_LT(static_cast<size_t>(cpu), topology->cpu_limit());
}

// What hwloc says and what the kernel says, node by node: one node here, four in the NUMA guest.
TEST(TopologyDiscover, AgreesWithTheKernelsFiles) {
  const SystemFiles files;
  const std::string folder = "/sys/devices/system/node";
  const auto numbers = files.NumberedFolders(folder, "node", "");
  if (numbers.empty()) GTEST_SKIP() << "this kernel has no NUMA support: " << folder << " shows no node";
  Error error;
  const auto topology = Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  ASSERT_EQ(topology->node_count(), numbers.size());
  const auto with_memory = files.IdList(folder + "/has_memory", kMaxNodeId, &error);
  ASSERT_TRUE(with_memory) << error.ToString();
  for (size_t index = 0; index < numbers.size(); ++index) {
    const NodeIndex from = ToNodeIndex(index);
    const TopologyNode& node = topology->node(from);
    const std::string path = MadeUpMachine::NodePath(node.node_id);
    ASSERT_EQ(static_cast<uint64_t>(node.node_id), numbers[index]);
    EXPECT_EQ(node.cpus, files.IdList(path + "/cpulist", kMaxCpuId, &error)) << path;
    EXPECT_EQ(node.memory_bytes != 0, std::binary_search(with_memory->begin(), with_memory->end(), node.node_id))
        << path;
    const auto distances = files.Counts(path + "/distance", UINT32_MAX, &error);
    ASSERT_TRUE(distances && distances->size() == numbers.size()) << path << error.ToString();
    for (size_t to = 0; to < numbers.size(); ++to) {
      EXPECT_EQ(topology->distance(from, ToNodeIndex(to)), (*distances)[to]) << path << " to " << to;
    }
  }
}

// What the kernel's own files say about the cache of level 3 of a CPU: those CPUs; empty: nothing.
std::vector<int> KernelsCacheGroup(const SystemFiles& files, int cpu) {
  const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache";
  for (const uint64_t number : files.NumberedFolders(folder, "index", "")) {
    const std::string cache = folder + "/index" + std::to_string(number);
    if (files.Text(cache + "/level") != "3") continue;
    return files.IdList(cache + "/shared_cpu_list", kMaxCpuId, nullptr).value_or(std::vector<int>{});
  }
  return {};
}

TEST(TopologyDiscover, AgreesWithTheKernelsFilesOnCachesThatCpusShare) {
  const SystemFiles files;
  Error error;
  const auto topology = Topology::Discover(&error);
  ASSERT_TRUE(topology) << error.ToString();
  size_t cache_count = 0;
  for (size_t index = 0; index < topology->node_count(); ++index) {
    const TopologyNode& node = topology->node(ToNodeIndex(index));
    for (const std::vector<int>& group : node.cache_groups) {
      for (const int cpu : group) {
        const std::vector<int> sharing = KernelsCacheGroup(files, cpu);
        std::vector<int> of_node;
        std::set_intersection(sharing.begin(), sharing.end(), node.cpus.begin(), node.cpus.end(),
                              std::back_inserter(of_node));
        if (of_node.empty()) continue;
        EXPECT_EQ(of_node, group) << "CPU " << cpu;
        ++cache_count;
      }
    }
  }
  if (cache_count == 0) GTEST_SKIP() << "the kernel names no cache of level 3 on this machine";
}

TEST(TopologyDiscover, SparseIdsMemoryOnlyAndCpuOnlyNodes) {
  const MadeUpMachine machine;
  machine.Build({{.node_id = 0, .cpus = "0-1", .memory_bytes = 16 * kGiB, .distances = "10 21 31"},
                 {.node_id = 2, .memory_bytes = 32 * kGiB, .distances = "21 10 17"},
                 {.node_id = 5, .cpus = "2-3", .distances = "31 17 10"}},
                48 * kGiB);
  AddCpus(machine, 4);
  machine.Allow("0-3", "0,2");
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  ASSERT_TRUE(topology) << error.ToString();
  ASSERT_EQ(topology->node_count(), 3u);
  EXPECT_THAT(topology->node(ToNodeIndex(0)).cpus, ElementsAre(0, 1));
  EXPECT_THAT(topology->node(ToNodeIndex(1)).cpus, IsEmpty()) << "hwloc would say 2-3, the nearest CPUs";
  EXPECT_THAT(topology->node(ToNodeIndex(2)).cpus, ElementsAre(2, 3));
  EXPECT_EQ(topology->node(ToNodeIndex(1)).memory_bytes, 32 * kGiB);
  EXPECT_EQ(topology->distance(ToNodeIndex(0), ToNodeIndex(2)), 31u);
  EXPECT_EQ(topology->distance(ToNodeIndex(2), ToNodeIndex(1)), 17u);
  EXPECT_EQ(topology->UsableNodeIds(), "0, 2");
  EXPECT_EQ(topology->HomeOfCpu(2), ToNodeIndex(1));
}

using Groups = std::vector<std::vector<int>>;

// By node, of 4 nodes of 4 CPUs each that has these last-level caches.
std::vector<Groups> CacheGroupsOfFourNodes(const Groups& caches) {
  const MadeUpMachine machine;
  std::vector<MadeUpNode> nodes;
  for (int node_id = 0; node_id < 4; ++node_id) {
    nodes.push_back({.node_id = node_id,
                     .cpus = std::to_string(4 * node_id) + "-" + std::to_string(4 * node_id + 3),
                     .memory_bytes = 16 * kGiB,
                     .distances = node_id == 0   ? "10 12 12 12"
                                  : node_id == 1 ? "12 10 12 12"
                                  : node_id == 2 ? "12 12 10 12"
                                                 : "12 12 12 10"});
  }
  machine.Build(nodes, 64 * kGiB);
  AddCpus(machine, 16);
  machine.Allow("0-15", "0-3");
  for (const std::vector<int>& cpus : caches) machine.AddCache(cpus);
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  EXPECT_TRUE(topology) << error.ToString();
  std::vector<Groups> groups;
  for (size_t index = 0; topology && index < topology->node_count(); ++index) {
    groups.push_back(topology->node(ToNodeIndex(index)).cache_groups);
  }
  return groups;
}

TEST(TopologyDiscover, ANodesCpusAreOneCacheGroupWithOneLastLevelCacheAndWithNone) {
  const std::vector<Groups> expected = {{{0, 1, 2, 3}}, {{4, 5, 6, 7}}, {{8, 9, 10, 11}}, {{12, 13, 14, 15}}};
  EXPECT_EQ(CacheGroupsOfFourNodes({}), expected);
  EXPECT_EQ(CacheGroupsOfFourNodes({{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}, {12, 13, 14, 15}}), expected);
}

// A socket of eight last-level caches that is cut into four nodes; threads of a core may be numbered far apart.
TEST(TopologyDiscover, EachOfANodesLastLevelCachesIsAGroup) {
  const Groups caches = {{0, 2}, {1, 3}, {4, 6}, {5, 7}, {8, 10}, {9, 11}, {12, 14}, {13, 15}};
  EXPECT_EQ(CacheGroupsOfFourNodes(caches),
            (std::vector<Groups>{{{0, 2}, {1, 3}}, {{4, 6}, {5, 7}}, {{8, 10}, {9, 11}}, {{12, 14}, {13, 15}}}));
}

TEST(TopologyDiscover, ACacheOfTwoNodesIsAGroupOnEach) {
  EXPECT_EQ(CacheGroupsOfFourNodes({{0, 1, 2, 3, 4, 5, 6, 7}, {8, 9, 10, 11, 12, 13, 14, 15}}),
            (std::vector<Groups>{{{0, 1, 2, 3}}, {{4, 5, 6, 7}}, {{8, 9, 10, 11}}, {{12, 13, 14, 15}}}));
}

TEST(TopologyDiscover, CpusOfWhichNoCacheIsKnownAreAGroupBesideTheOthers) {
  EXPECT_EQ(CacheGroupsOfFourNodes({{1, 2}, {4, 5}, {6, 7}}),
            (std::vector<Groups>{{{0, 3}, {1, 2}}, {{4, 5}, {6, 7}}, {{8, 9, 10, 11}}, {{12, 13, 14, 15}}}));
}

TEST(TopologyDiscover, AnOfflineCpuIsInNoCacheGroup) {
  const MadeUpMachine machine;
  machine.Build({{.node_id = 0, .cpus = "0,2-3", .memory_bytes = 16 * kGiB, .distances = "10"}}, 16 * kGiB);
  AddCpus(machine, 4);
  machine.Write("/sys/devices/system/cpu/online", "0,2-3\n");
  machine.Remove("/sys/devices/system/cpu/cpu1/topology");
  machine.Allow("0,2-3", "0");
  machine.AddCache({0, 1});  // as before CPU 1 went
  machine.AddCache({2, 3});
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_THAT(topology->node(ToNodeIndex(0)).cache_groups, ElementsAre(ElementsAre(0), ElementsAre(2, 3)));
}

TEST(TopologyDiscover, EightNodesOf512GiB) {
  const MadeUpMachine machine;
  std::vector<MadeUpNode> nodes;
  for (int node_id = 0; node_id < 8; ++node_id) {
    std::string distances;
    for (int to = 0; to < 8; ++to) distances += to == node_id ? "10 " : (to / 4 == node_id / 4 ? "16 " : "32 ");
    nodes.push_back({.node_id = node_id,
                     .cpus = std::to_string(2 * node_id) + "-" + std::to_string(2 * node_id + 1),
                     .memory_bytes = 512 * kGiB,
                     .distances = distances});
  }
  machine.Build(nodes, 4096 * kGiB);
  AddCpus(machine, 16);
  machine.Allow("0-15", "0-7");
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  ASSERT_TRUE(topology) << error.ToString();
  ASSERT_EQ(topology->usable_nodes().size(), 8u);
  EXPECT_EQ(topology->node(ToNodeIndex(7)).memory_bytes, 512 * kGiB);
  EXPECT_EQ(topology->HomeOfCpu(11), ToNodeIndex(5));
  EXPECT_THAT(topology->UsableByDistance(ToNodeIndex(5)),
              ElementsAre(ToNodeIndex(5), ToNodeIndex(4), ToNodeIndex(6), ToNodeIndex(7), ToNodeIndex(0),
                          ToNodeIndex(1), ToNodeIndex(2), ToNodeIndex(3)));
}

TEST(TopologyDiscover, AContainersCpusetIsHonored) {
  const MadeUpMachine machine;
  machine.Build({{.node_id = 0, .cpus = "0-1", .memory_bytes = 16 * kGiB, .distances = "10 21"},
                 {.node_id = 1, .cpus = "2-3", .memory_bytes = 16 * kGiB, .distances = "21 10"}},
                32 * kGiB);
  AddCpus(machine, 4);
  machine.Allow("2-3", "1");
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  ASSERT_TRUE(topology) << error.ToString();
  EXPECT_EQ(topology->node_count(), 2u) << "nodes outside of the cpuset are still there";
  EXPECT_EQ(topology->UsableNodeIds(), "1");
  EXPECT_EQ(topology->HomeOfCpu(0), ToNodeIndex(1));
}

TEST(TopologyDiscover, NoUsableNodeIsAClearError) {
  const MadeUpMachine machine;
  machine.Build({{.node_id = 0, .cpus = "0-1", .memory_bytes = 16 * kGiB, .distances = "10"}}, 16 * kGiB);
  AddCpus(machine, 2);
  machine.Allow("0-1", "3");
  Error error;
  EXPECT_FALSE(DiscoverAt(machine, &error));
  EXPECT_THAT(error.message, HasSubstr("0 (16384 MiB, not allowed)"));
  EXPECT_THAT(error.mend, HasSubstr("cpuset"));
}

TEST(TopologyDiscover, AKernelWithoutNumaHasOneNodeWithAllMemoryAndCpus) {
  const MadeUpMachine machine;
  machine.BuildMachineFiles(16 * kGiB, 15 * kGiB, 0, 0, 0);
  AddCpus(machine, 3);
  machine.Allow("0-2", "0");
  Error error;
  const auto topology = DiscoverAt(machine, &error);
  ASSERT_TRUE(topology) << error.ToString();
  ASSERT_EQ(topology->node_count(), 1u);
  EXPECT_EQ(topology->node(ToNodeIndex(0)).node_id, 0);
  EXPECT_EQ(topology->node(ToNodeIndex(0)).memory_bytes, 16 * kGiB);
  EXPECT_THAT(topology->node(ToNodeIndex(0)).cpus, ElementsAre(0, 1, 2));
}

TEST(TopologyDiscover, AnotherMachinesDescriptionIsRefused) {
  const Variable synthetic("HWLOC_SYNTHETIC", "node:2 pu:2");
  Error error;
  EXPECT_FALSE(Topology::Discover(&error));
  EXPECT_THAT(error.message, HasSubstr("HWLOC_SYNTHETIC"));
  EXPECT_THAT(error.mend, HasSubstr("HWLOC_THISSYSTEM=1"));
}

}  // namespace
}  // namespace hugepool::internal
