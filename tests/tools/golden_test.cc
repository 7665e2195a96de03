// Whole reports of made-up machines, in text and JSON, against the files in golden/. HUGEPOOL_WRITE_GOLDEN=1 in the
// environment writes them anew; read the difference before keeping it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <functional>
#include <sstream>

#include "hugepool/version.h"
#include "pool/topology/made_up_machine.h"
#include "tools/command_line.h"

namespace hugepool::tools {
namespace {

using ::hugepool::testing::MadeUpMachine;
using ::hugepool::testing::MadeUpNode;

constexpr uint64_t kGiB = uint64_t{1} << 30;

struct Scene {
  const char* name;
  std::function<void(const MadeUpMachine&)> build;
  std::vector<std::string> options;
  int exit_code;
};

// GoogleTest would print the bytes of the struct.
void PrintTo(const Scene& scene, std::ostream* out) { *out << scene.name; }

void OneNode(const MadeUpMachine& machine) {
  machine.Build({{.node_id = 0,
                  .cpus = "0-15",
                  .memory_bytes = 64 * kGiB,
                  .free_bytes = 40 * kGiB,
                  .total_count = 4096,
                  .free_count = 4000,
                  .distances = "10"}},
                48 * kGiB, 12);
  machine.Allow("0-15", "0");
}

void EightNodes(const MadeUpMachine& machine) {
  std::vector<MadeUpNode> nodes;
  for (int node_id = 0; node_id < 8; ++node_id) {
    std::string distances;
    for (int to = 0; to < 8; ++to) distances += to == node_id ? "10 " : (to / 4 == node_id / 4 ? "16 " : "32 ");
    nodes.push_back({.node_id = node_id,
                     .cpus = std::to_string(32 * node_id) + "-" + std::to_string(32 * node_id + 31),
                     .memory_bytes = 512 * kGiB,
                     .free_bytes = 500 * kGiB,
                     .total_count = node_id == 2 ? uint64_t{20000} : 0,
                     .free_count = node_id == 2 ? uint64_t{20000} : 0,
                     .distances = distances});
  }
  machine.Build(nodes, 3990 * kGiB);
  for (int node_id = 0; node_id < 8; ++node_id) {
    machine.WriteCounts(MadeUpMachine::NodePath(node_id) + "/hugepages/hugepages-1048576kB/", 4, 1);
  }
  machine.WriteCounts("/sys/kernel/mm/hugepages/hugepages-1048576kB/", 32, 8);
  machine.Allow("0-255", "0-7");
}

// Two sockets, two CXL expanders without CPUs, and a socket without memory; ids with gaps.
void SparseNodes(const MadeUpMachine& machine) {
  machine.Build(
      {{.node_id = 0, .cpus = "0-7", .memory_bytes = 64 * kGiB, .free_bytes = 20 * kGiB, .distances = "10 21 14 24 31"},
       {.node_id = 1,
        .cpus = "8-15",
        .memory_bytes = 64 * kGiB,
        .free_bytes = 30 * kGiB,
        .distances = "21 10 24 14 31"},
       {.node_id = 4, .memory_bytes = 256 * kGiB, .free_bytes = 250 * kGiB, .distances = "14 24 10 34 31"},
       {.node_id = 6, .memory_bytes = 256 * kGiB, .free_bytes = 250 * kGiB, .distances = "24 14 34 10 31"},
       {.node_id = 9, .cpus = "16-17,20", .distances = "31 31 31 31 10"}},
      540 * kGiB);
  machine.Allow("0-20", "0-1,4,6");
}

void Container(const MadeUpMachine& machine) {
  machine.Build({{.node_id = 0,
                  .cpus = "0-7",
                  .memory_bytes = 96 * kGiB,
                  .free_bytes = 60 * kGiB,
                  .total_count = 8192,
                  .free_count = 8192,
                  .distances = "10 21"},
                 {.node_id = 1,
                  .cpus = "8-15",
                  .memory_bytes = 96 * kGiB,
                  .free_bytes = 60 * kGiB,
                  .total_count = 1024,
                  .free_count = 600,
                  .distances = "21 10"}},
                110 * kGiB);
  machine.Allow("8-11", "1");
  machine.PutIntoCgroup("/kubepods.slice/pod7");
  const std::string folder = "/sys/fs/cgroup/kubepods.slice/pod7/";
  machine.Write(folder + "hugetlb.2MB.max", "2147483648\n");
  machine.Write(folder + "hugetlb.2MB.current", "536870912\n");
  machine.Write(folder + "hugetlb.2MB.rsvd.max", "max\n");
  machine.Write("/sys/kernel/mm/transparent_hugepage/enabled", "always madvise [never]\n");
}

void WithoutNuma(const MadeUpMachine& machine) {
  machine.BuildMachineFiles(8 * kGiB, 7 * kGiB, 0, 0, 0);
  machine.Write("/sys/devices/system/cpu/online", "0-1\n");
}

class Golden : public ::testing::TestWithParam<Scene> {};

std::string ReportOf(const MadeUpMachine& machine, const Scene& scene, bool json) {
  std::vector<std::string> arguments = {"check", "--root", machine.root()};
  arguments.insert(arguments.end(), scene.options.begin(), scene.options.end());
  if (json) arguments.push_back("--json");
  std::ostringstream out;
  std::ostringstream err;
  EXPECT_EQ(static_cast<int>(RunCommandLine("hugepool", arguments, out, err)), scene.exit_code);
  EXPECT_EQ(err.str(), "");
  std::string text = out.str();
  const std::string version = std::string("\"version\": \"") + HUGEPOOL_VERSION_STRING + "\"";
  if (const size_t at = text.find(version); at != std::string::npos) {
    text.replace(at, version.size(), "\"version\": \"VERSION\"");
  }
  return text;
}

TEST_P(Golden, ReportIsAsKept) {
  const MadeUpMachine machine;
  GetParam().build(machine);
  for (const bool json : {false, true}) {
    const std::string text = ReportOf(machine, GetParam(), json);
    const std::string path = std::string(HUGEPOOL_GOLDEN_FOLDER) + "/" + GetParam().name + (json ? ".json" : ".txt");
    if (std::getenv("HUGEPOOL_WRITE_GOLDEN") != nullptr) std::ofstream(path, std::ios::binary) << text;
    std::ifstream file(path, std::ios::binary);
    ASSERT_TRUE(file) << path << " is missing";
    const std::string kept{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(text, kept) << path;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Machines, Golden,
    ::testing::Values(Scene{"one_node", OneNode, {}, 0}, Scene{"one_node_fits", OneNode, {"--need", "4G"}, 0},
                      Scene{"eight_nodes_reserve", EightNodes, {"--need", "1T"}, 1},
                      Scene{"eight_nodes_never", EightNodes, {"--need", "100T"}, 3},
                      Scene{"sparse_nodes_reserve", SparseNodes, {"--need", "100G"}, 1},
                      Scene{"sparse_nodes_by_node", SparseNodes, {"--need", "node6=3G,node0=1000M"}, 1},
                      Scene{"sparse_nodes_not_now", SparseNodes, {"--need", "node0=30G"}, 3},
                      Scene{"container", Container, {"--need", "2G"}, 1},
                      Scene{"without_numa", WithoutNuma, {"--need", "2G"}, 1}),
    [](const auto& parameter) { return std::string(parameter.param.name); });

}  // namespace
}  // namespace hugepool::tools
