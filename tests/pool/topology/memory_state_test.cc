// MemoryState: what is read from a machine, made up or real.
#include "topology/memory_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hugepool/types.h"
#include "pool/topology/made_up_machine.h"

namespace hugepool::internal {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Optional;
using ::testing::SizeIs;

constexpr uint64_t kGiB = uint64_t{1} << 30;

void BuildTwoNodes(const MadeUpMachine& machine) {
  machine.Build({{.node_id = 0,
                  .cpus = "0-1",
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 40 * kGiB,
                  .total_count = 100,
                  .free_count = 60,
                  .distances = "10 21"},
                 {.node_id = 1,
                  .cpus = "2-3",
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 20 * kGiB,
                  .total_count = 200,
                  .free_count = 7,
                  .distances = "21 10"}},
                70 * kGiB, 5);
}

TEST(MemoryState, ReadsNodesAndPageCounts) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.WriteCounts("/sys/devices/system/node/node1/hugepages/hugepages-1048576kB/", 2, 1);
  machine.WriteCounts("/sys/kernel/mm/hugepages/hugepages-1048576kB/", 2, 1);
  machine.Write("/sys/devices/system/node/node1/meminfo",
                "Node 1 MemTotal: 1000 kB\nNode 1 MemFree: 100 kB\nNode 1 Active(file): 20 kB\n"
                "Node 1 Inactive(file): 30 kB\nNode 1 SReclaimable: 4 kB\n");
  Error error;
  const auto state = ReadMemoryState(machine.root(), &error);
  ASSERT_TRUE(state) << error.ToString();
  EXPECT_TRUE(state->numa);
  EXPECT_EQ(state->total_bytes, 128 * kGiB);
  EXPECT_EQ(state->available_bytes, 70 * kGiB);
  ASSERT_THAT(state->nodes, SizeIs(2));
  const NodeMemory& node = state->nodes[1];
  EXPECT_THAT(node.cpus, ElementsAre(2, 3));
  EXPECT_THAT(node.distances, ElementsAre(21u, 10u));
  EXPECT_EQ(node.available_bytes(), 154u * 1024);
  ASSERT_THAT(node.huge_pages, SizeIs(2));
  EXPECT_EQ(FindPageSize(node.huge_pages, kHugePageBytes)->free_count, 7u);
  EXPECT_EQ(FindPageSize(node.huge_pages, kGiB)->total_bytes(), 2 * kGiB);
  EXPECT_EQ(FindPageSize(node.huge_pages, 4096), nullptr);
  ASSERT_THAT(state->huge_pages, SizeIs(2));
  EXPECT_EQ(state->huge_pages[0].free_count, 67u);
  EXPECT_EQ(state->huge_pages[0].reserved_count, 5u);
  EXPECT_EQ(state->transparent.enabled, "madvise");
  EXPECT_EQ(state->transparent.shmem_enabled, "never");
  EXPECT_EQ(state->transparent.huge_size_enabled, "");
  EXPECT_EQ(state->transparent.page_bytes, kHugePageBytes);
  EXPECT_THAT(state->vmemmap_optimized, Optional(false));
  EXPECT_EQ(state->locked_limit_bytes, 8u << 20);
  EXPECT_EQ(state->address_space_limit_bytes, std::nullopt);
  EXPECT_EQ(state->allowed_nodes, std::nullopt);
  EXPECT_THAT(state->remarks, IsEmpty());
}

TEST(MemoryState, AnswersForThisMachine) {
  Error error;
  const auto state = ReadMemoryState("/", &error);
  ASSERT_TRUE(state) << error.ToString();
  EXPECT_GT(state->total_bytes, 64u << 20);
  EXPECT_LE(state->available_bytes, state->total_bytes);
  ASSERT_GE(state->nodes.size(), 1u);
  EXPECT_TRUE(state->allowed_nodes.has_value());
  size_t cpu_count = 0;
  for (const NodeMemory& node : state->nodes) cpu_count += node.cpus.size();
  EXPECT_GE(cpu_count, 1u);
}

TEST(MemoryState, TheOnlyNodeWithMemoryHasTheMachinesFigures) {
  const MadeUpMachine machine;
  machine.Build({{.node_id = 0, .cpus = "0-1", .memory_bytes = 16 * kGiB, .free_bytes = 2 * kGiB, .distances = "10 20"},
                 {.node_id = 4, .cpus = "2-3", .distances = "20 10"}},
                12 * kGiB);
  machine.Write("/proc/meminfo", "MemTotal: 25165824 kB\nMemAvailable: 20971520 kB\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->nodes[0].total_bytes, 24 * kGiB) << "a kernel that takes memory into use step by step";
  EXPECT_EQ(state->nodes[0].available_bytes(), 20 * kGiB);
  EXPECT_EQ(state->nodes[1].total_bytes, 0u);
}

TEST(MemoryState, AKernelWithoutNumaHasOneNode) {
  const MadeUpMachine machine;
  machine.BuildMachineFiles(16 * kGiB, 10 * kGiB, 30, 20, 4);
  machine.Write("/sys/devices/system/cpu/online", "0-2\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_FALSE(state->numa);
  ASSERT_THAT(state->nodes, SizeIs(1));
  EXPECT_THAT(state->nodes[0].cpus, ElementsAre(0, 1, 2));
  EXPECT_EQ(state->nodes[0].huge_pages[0].free_count, 20u);
  EXPECT_EQ(state->nodes[0].huge_pages[0].reserved_count, 0u) << "promises are the machine's";
}

TEST(MemoryState, AKernelWithoutHugetlbHasNoPageSizes) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.Remove("/sys/kernel/mm/hugepages");
  machine.Remove("/sys/devices/system/node/node0/hugepages");
  machine.Remove("/sys/devices/system/node/node1/hugepages");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_THAT(state->huge_pages, IsEmpty());
}

TEST(MemoryState, WhatTheProcessMayUse) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.Allow("2-3", "1");
  machine.Write("/proc/self/limits",
                "Max locked memory   65536  65536  bytes\nMax address space  1073741824 unlimited bytes\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_THAT(state->allowed_nodes, Optional(ElementsAre(1)));
  EXPECT_THAT(state->allowed_cpus, Optional(ElementsAre(2, 3)));
  EXPECT_FALSE(state->Allows(state->nodes[0]));
  EXPECT_TRUE(state->Allows(state->nodes[1]));
  EXPECT_EQ(state->locked_limit_bytes, 65536u);
  EXPECT_EQ(state->address_space_limit_bytes, kGiB);
}

TEST(MemoryState, HugetlbLimitsFromTheProcessUpToTheRoot) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.PutIntoCgroup("/db.slice/rocks.service");
  const std::string top = "/sys/fs/cgroup/db.slice";
  machine.Write(top + "/hugetlb.2MB.max", "8589934592\n");
  machine.Write(top + "/hugetlb.2MB.current", "1073741824\n");
  machine.Write(top + "/rocks.service/hugetlb.2MB.max", "max\n");
  machine.Write(top + "/rocks.service/hugetlb.2MB.rsvd.max", "4194304\n");
  machine.Write(top + "/rocks.service/hugetlb.2MB.rsvd.current", "6291456\n");
  machine.Write(top + "/rocks.service/hugetlb.1GB.max", "0\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  ASSERT_THAT(state->hugetlb_limits, SizeIs(2)) << "1 GiB pages are not there, so their limit does not matter";
  EXPECT_EQ(state->hugetlb_limits[0].file, top + "/rocks.service/hugetlb.2MB.rsvd.max");
  EXPECT_TRUE(state->hugetlb_limits[0].on_reservation);
  EXPECT_EQ(state->hugetlb_limits[0].left_bytes(), 0u) << "lowered below what is in use";
  EXPECT_EQ(state->hugetlb_limits[1].file, top + "/hugetlb.2MB.max");
  EXPECT_EQ(state->hugetlb_limits[1].left_bytes(), 7 * kGiB);
}

TEST(MemoryState, ACgroupNamespaceAndAPathWithSpaces) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.Write("/proc/self/cgroup", "3:cpuset:/\n0::/docker/abc/inner\n");
  machine.Write("/proc/self/mountinfo",
                "31 23 0:28 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
                "32 23 0:29 /docker/abc /cg\\040two rw,nosuid shared:3 - cgroup2 cgroup2 rw\n");
  machine.Write("/cg two/inner/hugetlb.2MB.max", "2097152\n");
  machine.Write("/cg two/hugetlb.2MB.max", "4194304\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  ASSERT_THAT(state->hugetlb_limits, SizeIs(2));
  EXPECT_EQ(state->hugetlb_limits[0].file, "/cg two/inner/hugetlb.2MB.max");
  EXPECT_EQ(state->hugetlb_limits[1].max_bytes, 4194304u);
}

TEST(MemoryState, AnUnreadableLimitIsRemarkedUpon) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.PutIntoCgroup("/");
  machine.Write("/sys/fs/cgroup/hugetlb.2MB.max", "lots\n");
  machine.Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise never\n");
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_THAT(state->hugetlb_limits, IsEmpty());
  EXPECT_THAT(state->remarks,
              ElementsAre(HasSubstr("transparent_hugepage/enabled"), HasSubstr("hugetlb.2MB.max says 'lots'")));
}

TEST(MemoryState, MoreFreeThanThereAreIsARace) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.WriteCounts(MadeUpMachine::CountsPath(MadeUpMachine::NodePath(0)), 10, 60);
  const auto state = ReadMemoryState(machine.root(), nullptr);
  ASSERT_TRUE(state);
  EXPECT_EQ(state->nodes[0].huge_pages[0].free_count, 10u);
}

struct Damage {
  const char* name;
  const char* path;
  const char* content;  // nullptr: the file is taken away
};

class MemoryStateRefuses : public ::testing::TestWithParam<Damage> {};

TEST_P(MemoryStateRefuses, NamingTheFile) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  if (GetParam().content == nullptr) {
    machine.Remove(GetParam().path);
  } else {
    machine.Write(GetParam().path, GetParam().content);
  }
  Error error;
  EXPECT_FALSE(ReadMemoryState(machine.root(), &error));
  EXPECT_EQ(error.operation, std::string("read ") + GetParam().path);
  EXPECT_FALSE(error.message.empty());
  EXPECT_FALSE(error.mend.empty());
  EXPECT_FALSE(ReadMemoryState(machine.root(), nullptr)) << "an Error is not needed";
}

constexpr char kNode1Free[] = "/sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages";
constexpr char kNode1Meminfo[] = "/sys/devices/system/node/node1/meminfo";
INSTANTIATE_TEST_SUITE_P(
    DamagedFiles, MemoryStateRefuses,
    ::testing::Values(Damage{"NoMeminfo", "/proc/meminfo", nullptr},
                      Damage{"CutMeminfo", "/proc/meminfo", "MemTotal: 1234 kB\nMemAv"},
                      Damage{"NegativeMeminfo", "/proc/meminfo", "MemTotal: -1 kB\nMemAvailable: 1 kB\n"},
                      Damage{"HugeMeminfo", "/proc/meminfo", "MemTotal: 99999999999999999999 kB\n"},
                      Damage{"EmptyCount", kNode1Free, ""}, Damage{"NegativeCount", kNode1Free, "-7\n"},
                      Damage{"HugeCount", kNode1Free, "18446744073709551615\n"},
                      Damage{"BinaryCount", kNode1Free, "\x7f\x45LF"}, Damage{"NoCount", kNode1Free, nullptr},
                      Damage{"NoNodeMeminfo", kNode1Meminfo, nullptr},
                      Damage{"CutNodeMeminfo", kNode1Meminfo, "Node 1 MemTot"},
                      Damage{"AnotherNodesMeminfo", kNode1Meminfo, "Node 0 MemTotal: 4 kB\nNode 0 MemFree: 4 kB\n"},
                      Damage{"EndlessCpuList", "/sys/devices/system/node/node0/cpulist", "0-4294967295\n"},
                      Damage{"BinaryDistance", "/sys/devices/system/node/node0/distance", "10 \x01\n"}),
    [](const auto& parameter) { return parameter.param.name; });

TEST(MemoryState, ANodeIdOutOfRangeIsRefused) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.Write("/sys/devices/system/node/node4096/cpulist", "\n");
  Error error;
  EXPECT_FALSE(ReadMemoryState(machine.root(), &error));
  EXPECT_THAT(error.message, HasSubstr("node4096"));
  EXPECT_THAT(error.message, HasSubstr("0 to 1023"));
}

TEST(MemoryState, APageSizeOutOfRangeIsRefused) {
  const MadeUpMachine machine;
  BuildTwoNodes(machine);
  machine.WriteCounts("/sys/kernel/mm/hugepages/hugepages-18446744073709551615kB/", 1, 1);
  Error error;
  EXPECT_FALSE(ReadMemoryState(machine.root(), &error));
  EXPECT_THAT(error.operation, HasSubstr("hugepages-18446744073709551615kB"));
}

}  // namespace
}  // namespace hugepool::internal
