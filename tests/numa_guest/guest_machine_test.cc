// The guest is the machine that the other guest tests take it for, and its kernel does what the pool is built upon.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <set>

#include "numa_guest/cgroup.h"
#include "numa_guest/child.h"
#include "numa_guest/machine.h"
#include "numa_guest/page_census.h"
#include "numa_guest/rival.h"

namespace hugepool::guest {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

TEST(GuestMachine, HasTwoNodesWithCpusAndTwoWithMemoryOnly) {
  ASSERT_EQ(ThisMachine().nodes.size(), 4u);
  EXPECT_EQ(ThisMachine().MemoryNodes().size(), 4u);
  EXPECT_EQ(ThisMachine().CpuNodes().size(), 2u);
  for (const int node_id : ThisMachine().CpuNodes()) EXPECT_EQ(ThisMachine().Node(node_id).cpus.size(), 2u);
}

TEST(GuestMachine, EachCpuNodeHasOneNearNodeWhichIsMemoryOnly) {
  std::set<int> near_nodes;
  for (const int node_id : ThisMachine().CpuNodes()) {
    const MachineNode& node = ThisMachine().Node(node_id);
    const std::vector<int> order = ThisMachine().MemoryByDistance(node_id);
    EXPECT_EQ(order[0], node_id);
    EXPECT_EQ(node.distances.at(order[0]), 10u);
    EXPECT_EQ(node.distances.at(order[1]), 21u);
    EXPECT_EQ(node.distances.at(order[2]), 31u);
    EXPECT_EQ(node.distances.at(order[3]), 31u);
    EXPECT_TRUE(ThisMachine().Node(order[1]).cpus.empty());
    near_nodes.insert(order[1]);
  }
  EXPECT_EQ(near_nodes.size(), 2u);
}

TEST(GuestMachine, ReservesADifferentCountOnEachNode) {
  std::set<uint64_t> counts;
  for (const int node_id : ThisMachine().MemoryNodes()) {
    EXPECT_EQ(FreeHugePages(node_id), TotalHugePages(node_id));
    EXPECT_GE(FreeHugePages(node_id), 80u);
    counts.insert(FreeHugePages(node_id));
  }
  EXPECT_EQ(counts.size(), 4u);
}

TEST(GuestMachine, BindingToAShortNodeSucceedsAndPopulatingIsRefused) {
  for (const int node_id : ThisMachine().MemoryNodes()) {
    SetHugePages(node_id, 3);
    int refused_errno = 0;
    void* address = nullptr;
    EXPECT_EQ(TakeHugePages(node_id, 5, &refused_errno, &address), 3u);
    EXPECT_EQ(refused_errno, EFAULT);
    const std::vector<Block> blocks = {{address, 3 * kHugePage}};
    EXPECT_TRUE(AllPagesOn(node_id, blocks));
    EXPECT_TRUE(AllPagesHugetlb(blocks));
    munmap(address, 5 * kHugePage);
  }
}

TEST(GuestMachine, TouchingAShortNodeIsSigbus) {
  const int node_id = ThisMachine().MemoryNodes().back();
  SetHugePages(node_id, 1);
  const int status = RunInChild([node_id] {
    int refused_errno = 0;
    void* address = nullptr;
    ASSERT_EQ(TakeHugePages(node_id, 2, &refused_errno, &address), 1u);
    static_cast<volatile char*>(address)[kHugePage] = 1;
  });
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
}

// The checker sees through a mapping that is bound to nothing: it is the ground of the negative controls.
TEST(GuestMachine, CensusSeesPagesOnAnotherNode) {
  const std::vector<int> cpu_nodes = ThisMachine().CpuNodes();
  PinToNode(cpu_nodes[0]);
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE | MAP_HUGETLB;
  void* address = mmap(nullptr, 4 * kHugePage, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  ASSERT_NE(address, MAP_FAILED);
  const std::vector<Block> blocks = {{address, 4 * kHugePage}};
  EXPECT_TRUE(AllPagesOn(cpu_nodes[0], blocks));
  EXPECT_FALSE(AllPagesOn(cpu_nodes[1], blocks));
  EXPECT_EQ(CountByMovePages(blocks).BytesOn(cpu_nodes[0]), 4 * kHugePage);
  EXPECT_EQ(CountByNumaMaps(blocks).BytesOn(cpu_nodes[0]), 4 * kHugePage);
  munmap(address, 4 * kHugePage);
}

TEST(GuestMachine, RivalTakesAndGivesBack) {
  const int node_id = ThisMachine().MemoryNodes().front();
  const uint64_t before = FreeHugePages(node_id);
  Rival rival;
  EXPECT_EQ(rival.Take(node_id, 5), 5u);
  EXPECT_EQ(FreeHugePages(node_id), before - 5);
  EXPECT_EQ(rival.TakeAll(node_id), before - 5);
  EXPECT_EQ(FreeHugePages(node_id), 0u);
  rival.GiveAllBack();
  EXPECT_EQ(FreeHugePages(node_id), before);
}

TEST(GuestMachine, CgroupLimitsHugePages) {
  for (const char* limit : {"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max"}) {
    SCOPED_TRACE(limit);
    const Cgroup group("limited");
    group.Set(limit, std::to_string(4 * kHugePage));
    const int status = RunInChild([&group] {
      group.Enter();
      int refused_errno = 0;
      void* address = nullptr;
      EXPECT_EQ(TakeHugePages(ThisMachine().MemoryNodes().front(), 6, &refused_errno, &address), 4u);
      EXPECT_EQ(refused_errno, EFAULT);
    });
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace hugepool::guest
