// MadeUpMachine: a folder with the proc/ and sys/ files of a machine that does not exist, for everything that reads
// under an injectable root, and for hwloc by HWLOC_FSROOT.
//
// Owner      the folder goes with the object
// Units      sizes in bytes; pages are of 2 MiB unless said otherwise
#ifndef HUGEPOOL_TESTS_POOL_TOPOLOGY_MADE_UP_MACHINE_H_
#define HUGEPOOL_TESTS_POOL_TOPOLOGY_MADE_UP_MACHINE_H_

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hugepool::testing {

struct MadeUpNode {
  int node_id = 0;
  std::string cpus = {};  // "0-3"; empty for a memory-only node
  uint64_t memory_bytes = 0;
  uint64_t free_bytes = 0;
  uint64_t total_count = 0;
  uint64_t free_count = 0;
  std::string distances = {};  // "10 21"; empty: no such file
};

class MadeUpMachine {
 public:
  MadeUpMachine() {
    std::string name = (std::filesystem::temp_directory_path() / "hugepool_machine_XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no folder for a made-up machine: " + name);
    root_ = name;
  }
  ~MadeUpMachine() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  MadeUpMachine(const MadeUpMachine&) = delete;
  MadeUpMachine& operator=(const MadeUpMachine&) = delete;

  const std::string& root() const { return root_; }

  void Write(const std::string& path, std::string_view text) const {
    const std::filesystem::path full = root_ + path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full, std::ios::binary) << text;
  }
  void Remove(const std::string& path) const { std::filesystem::remove_all(root_ + path); }

  static std::string NodePath(int node_id) { return "/sys/devices/system/node/node" + std::to_string(node_id); }
  static std::string CountsPath(const std::string& folder) { return folder + "/hugepages/hugepages-2048kB/"; }

  // The files of a NUMA machine with these nodes; available: MemAvailable; promised: resv_hugepages.
  void Build(const std::vector<MadeUpNode>& nodes, uint64_t available_bytes, uint64_t promised_count = 0) const {
    uint64_t total_bytes = 0;
    uint64_t total_count = 0;
    uint64_t free_count = 0;
    std::string online;
    for (const MadeUpNode& node : nodes) {
      const std::string folder = NodePath(node.node_id);
      Write(folder + "/cpulist", node.cpus + "\n");
      Write(folder + "/cpumap", Mask(node.cpus) + "\n");
      if (!node.distances.empty()) Write(folder + "/distance", node.distances + "\n");
      const std::string line = "Node " + std::to_string(node.node_id) + " ";
      Write(folder + "/meminfo", line + "MemTotal:       " + Kilobytes(node.memory_bytes) + line + "MemFree:        " +
                                     Kilobytes(node.free_bytes) + line + "Active(file):   " + Kilobytes(0) + line +
                                     "Inactive(file): " + Kilobytes(0) + line + "SReclaimable:   " + Kilobytes(0));
      WriteCounts(CountsPath(folder), node.total_count, node.free_count);
      total_bytes += node.memory_bytes;
      total_count += node.total_count;
      free_count += node.free_count;
      online += (online.empty() ? "" : ",") + std::to_string(node.node_id);
    }
    Write("/sys/devices/system/node/online", online + "\n");
    BuildMachineFiles(total_bytes, available_bytes, total_count, free_count, promised_count);
  }

  // What stands outside of the nodes: enough for a kernel without NUMA.
  void BuildMachineFiles(uint64_t total_bytes, uint64_t available_bytes, uint64_t total_count, uint64_t free_count,
                         uint64_t promised_count) const {
    Write("/proc/meminfo", "MemTotal:       " + Kilobytes(total_bytes) + "MemFree:        " +
                               Kilobytes(available_bytes) + "MemAvailable:   " + Kilobytes(available_bytes));
    const std::string counts = CountsPath("/sys/kernel/mm");
    WriteCounts(counts, total_count, free_count);
    Write(counts + "resv_hugepages", std::to_string(promised_count) + "\n");
    Write(counts + "nr_overcommit_hugepages", "0\n");
    const std::string transparent = "/sys/kernel/mm/transparent_hugepage/";
    Write(transparent + "enabled", "always [madvise] never\n");
    Write(transparent + "defrag", "always defer defer+madvise [madvise] never\n");
    Write(transparent + "shmem_enabled", "always within_size advise [never] deny force\n");
    Write(transparent + "hpage_pmd_size", "2097152\n");
    Write("/proc/sys/vm/hugetlb_optimize_vmemmap", "0\n");
    Write("/proc/self/limits",
          "Limit                     Soft Limit           Hard Limit           Units     \n"
          "Max locked memory         8388608              8388608              bytes     \n"
          "Max address space         unlimited            unlimited            bytes     \n");
  }

  // In a folder from CountsPath, or of another page size.
  void WriteCounts(const std::string& folder, uint64_t total_count, uint64_t free_count) const {
    Write(folder + "nr_hugepages", std::to_string(total_count) + "\n");
    Write(folder + "free_hugepages", std::to_string(free_count) + "\n");
    Write(folder + "surplus_hugepages", "0\n");
  }

  // A last-level cache that these online CPUs share.
  void AddCache(const std::vector<int>& cpus) const {
    std::string list;
    for (const int cpu : cpus) list += (list.empty() ? "" : ",") + std::to_string(cpu);
    for (const int cpu : cpus) {
      const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index3/";
      Write(folder + "level", "3\n");
      Write(folder + "type", "Unified\n");
      Write(folder + "size", "32768K\n");
      Write(folder + "shared_cpu_map", Mask(list) + "\n");
    }
  }

  void Allow(const std::string& cpus, const std::string& nodes) const {
    Write("/proc/self/status", "Name:\ttest\nCpus_allowed_list:\t" + cpus + "\nMems_allowed_list:\t" + nodes + "\n");
  }

  // The process in a cgroup of version 2 at `path`, seen below /sys/fs/cgroup.
  void PutIntoCgroup(const std::string& path) const {
    Write("/proc/self/cgroup", "0::" + path + "\n");
    Write("/proc/self/mountinfo",
          "23 1 0:20 / /sys rw - sysfs sysfs rw\n31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n");
  }

 private:
  static std::string Kilobytes(uint64_t bytes) { return std::to_string(bytes / 1024) + " kB\n"; }

  // "0-1,5" as the hexadecimal mask that hwloc reads; CPUs below 64.
  static std::string Mask(const std::string& cpus) {
    uint64_t mask = 0;
    for (size_t at = 0; at < cpus.size();) {
      size_t length = 0;
      const int first = std::stoi(cpus.substr(at), &length);
      at += length;
      int last = first;
      if (at < cpus.size() && cpus[at] == '-') {
        last = std::stoi(cpus.substr(at + 1), &length);
        at += length + 1;
      }
      for (int cpu = first; cpu <= last && cpu < 64; ++cpu) mask |= uint64_t{1} << cpu;
      ++at;  // the comma
    }
    char text[20];
    std::snprintf(text, sizeof(text), "%08x,%08x", static_cast<unsigned>(mask >> 32), static_cast<unsigned>(mask));
    return text;
  }

  std::string root_;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_TOPOLOGY_MADE_UP_MACHINE_H_
