// MemoryState: what the kernel says, at one moment, about the memory of a machine and about what this process may use
// of it. Figures only: what follows from them is decided elsewhere.
//
// Shape      nodes ascending by kernel id; huge pages ascending by page size, the same way per node and for the
//            machine
// Units      *_bytes are bytes, *_count are pages of the size that stands beside them
// Threads    a value; no sharing
// Errors     ReadMemoryState returns nothing and fills *error where a file that counts memory is missing (meminfo) or
//            damaged; it names the file and what it says. What is only good to know and cannot be read stays empty,
//            and `remarks` says why
// Cost       a few file reads per node, page size and cgroup level: about a millisecond
#ifndef HUGEPOOL_TOPOLOGY_MEMORY_STATE_H_
#define HUGEPOOL_TOPOLOGY_MEMORY_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hugepool/error.h"

namespace hugepool::internal {

// Hugetlb pages of one size, on one node or on the whole machine.
struct HugePageCounts {
  uint64_t page_bytes = 0;
  uint64_t total_count = 0;    // nr_hugepages: surplus included
  uint64_t free_count = 0;     // promised pages (reserved_count) included
  uint64_t surplus_count = 0;  // beyond nr_hugepages by overcommit, or left over when it was lowered
  // The machine's only; 0 in a node's counts, since the kernel keeps no books of promises by node.
  uint64_t reserved_count = 0;    // free pages promised to mappings that have not touched them
  uint64_t overcommit_count = 0;  // how many surplus pages the kernel may add when asked

  uint64_t free_bytes() const { return free_count * page_bytes; }
  uint64_t total_bytes() const { return total_count * page_bytes; }
};

struct NodeMemory {
  int node_id = -1;
  std::vector<int> cpus = {};            // online CPUs, ascending; empty for a memory-only node
  std::vector<uint64_t> distances = {};  // to the nodes in their order; empty where the kernel does not say
  uint64_t total_bytes = 0;              // 0 for a CPU-only node
  uint64_t free_bytes = 0;
  uint64_t reclaimable_bytes = 0;  // clean file pages and slabs that the kernel can drop: an estimate
  std::vector<HugePageCounts> huge_pages = {};

  uint64_t available_bytes() const { return free_bytes + reclaimable_bytes; }
};

// The chosen words of /sys/kernel/mm/transparent_hugepage; empty where the kernel does not say.
struct TransparentHugePages {
  std::string enabled;            // always, madvise, never
  std::string defrag;             // always, defer, defer+madvise, madvise, never
  std::string shmem_enabled;      // always, within_size, advise, never, deny, force
  std::string huge_size_enabled;  // of the 2 MiB size alone: always, inherit, madvise, never
  uint64_t page_bytes = 0;        // hpage_pmd_size
};

// One limit that a cgroup (version 2) at or above this process puts on its hugetlb pages. Version 1 is not read.
struct HugetlbLimit {
  std::string file = {};  // "/sys/fs/cgroup/db.slice/hugetlb.2MB.max"
  uint64_t page_bytes = 0;
  bool on_reservation = false;  // rsvd.max: counts promises, so mmap fails; max: counts pages, so a touch fails
  uint64_t max_bytes = 0;
  uint64_t current_bytes = 0;

  uint64_t left_bytes() const { return max_bytes > current_bytes ? max_bytes - current_bytes : 0; }
};

struct MemoryState {
  uint64_t total_bytes = 0;
  uint64_t available_bytes = 0;  // MemAvailable
  bool numa = false;             // false: the kernel knows no nodes, and `nodes` holds one made from the machine's
  std::vector<NodeMemory> nodes;
  std::vector<HugePageCounts> huge_pages;  // empty: the kernel has no hugetlb
  TransparentHugePages transparent;
  std::optional<bool> vmemmap_optimized;  // hugetlb_optimize_vmemmap (HVO): less metadata per page, slower to free

  // This process. Empty where the kernel does not say: then everything is allowed.
  std::optional<std::vector<int>> allowed_nodes;
  std::optional<std::vector<int>> allowed_cpus;
  std::vector<HugetlbLimit> hugetlb_limits;           // every one that is not "max", from the process upwards
  std::optional<uint64_t> locked_limit_bytes;         // RLIMIT_MEMLOCK; empty: unlimited or unknown
  std::optional<uint64_t> address_space_limit_bytes;  // RLIMIT_AS; empty: unlimited or unknown

  std::vector<std::string> remarks;  // what could not be read though it is there, one sentence each

  bool Allows(const NodeMemory& node) const;
  const NodeMemory* FindNode(int node_id) const;
};

// The counts of one page size, or nullptr where there are none.
const HugePageCounts* FindPageSize(const std::vector<HugePageCounts>& counts, uint64_t page_bytes);

// root: a folder with proc/ and sys/ in it; "/" is this machine.
std::optional<MemoryState> ReadMemoryState(const std::string& root, Error* error);

}  // namespace hugepool::internal

#endif  // HUGEPOOL_TOPOLOGY_MEMORY_STATE_H_
