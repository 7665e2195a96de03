// Machine: the nodes of the system that runs the tests, as the kernel's files state them. Nothing here comes from the
// pool's code: what the pool says is checked against it.
//
// Shape      nodes ascend by the kernel's id
// Units      huge pages of 2 MiB; node ids and CPU ids are the kernel's
// Threads    one; node lists are read once
// Errors     a file that cannot be read or written ends the test with its name (std::runtime_error)
#ifndef HUGEPOOL_TESTS_NUMA_GUEST_MACHINE_H_
#define HUGEPOOL_TESTS_NUMA_GUEST_MACHINE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace hugepool::guest {

struct MachineNode {
  int node_id = -1;
  std::vector<int> cpus;
  bool has_memory = false;
  std::map<int, uint32_t> distances;  // by node id
};

struct Machine {
  std::vector<MachineNode> nodes;

  // Ids of the nodes with memory, nearest to `from` first; ties by id.
  std::vector<int> MemoryByDistance(int from) const;
  std::vector<int> MemoryNodes() const;
  std::vector<int> CpuNodes() const;
  const MachineNode& Node(int node_id) const;
};

// Read once, at the first call.
const Machine& ThisMachine();

// The calling thread runs on the first CPU of that node from now on.
void PinToNode(int node_id);

uint64_t FreeHugePages(int node_id);
uint64_t TotalHugePages(int node_id);
// Writes until it reads back as asked: the kernel may miscount while surplus pages come free.
void SetHugePages(int node_id, uint64_t count);
// The same count on every node with memory.
void SetHugePagesEverywhere(uint64_t count);

std::string ReadFile(const std::string& path);
// The errno of the refused write, or 0.
int WriteFile(const std::string& path, const std::string& text);
// "0-2,5" → 0, 1, 2, 5.
std::vector<int> ParseIds(const std::string& text);

}  // namespace hugepool::guest

#endif  // HUGEPOOL_TESTS_NUMA_GUEST_MACHINE_H_
