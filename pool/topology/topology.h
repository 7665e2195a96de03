// Topology: the nodes and CPUs of this machine, how far apart they are, which CPUs share a cache, and what this process
// may use.
//
// Shape      nodes in ascending kernel id behind dense NodeIndexes; ids may be sparse, nodes may lack memory or CPUs
// Units      memory_bytes; distances as the firmware states them (10 = local)
// Threads    constant after construction; any thread
// Invariant  usable_count() ≥ 1; UsableByDistance(n) holds every usable node once, nearest first, n itself first if
//            usable; each CPU of a node is in one of the node's cache groups, none of which is empty
// Errors     Discover and Make return nothing and fill *error
// Cost       Discover: milliseconds (hwloc reads sysfs); everything else O(1)
// Source     hwloc says which nodes there are, how big and how far apart, and which CPUs share a last-level cache; the
//            kernel's own files say which CPUs belong to each node (hwloc names the CPUs nearest to a memory-only node as
//            its own) and what this process may use
#ifndef HUGEPOOL_TOPOLOGY_TOPOLOGY_H_
#define HUGEPOOL_TOPOLOGY_TOPOLOGY_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hugepool/error.h"

namespace hugepool::internal {

// Dense index of a node, 0 … node_count() - 1; a type of its own so that it cannot be taken for a kernel node id.
enum class NodeIndex : uint32_t {};
constexpr size_t ToSize(NodeIndex node) { return static_cast<size_t>(node); }
constexpr NodeIndex ToNodeIndex(size_t index) { return static_cast<NodeIndex>(index); }

struct TopologyNode {
  int node_id = -1;            // the kernel's id
  std::vector<int> cpus = {};  // kernel's CPU ids, ascending; empty for a memory-only node
  uint64_t memory_bytes = 0;   // 0 for a CPU-only node
  bool allowed = true;         // in this process's cpuset (Mems_allowed)
  // CPUs of this node that share a last-level cache (L3), ascending, groups by their first CPU.
  std::vector<std::vector<int>> cache_groups = {};
  bool usable() const { return allowed && memory_bytes != 0; }
};

class Topology {
 public:
  // This machine, as this process may use it: every node, those outside of its cpuset marked as not allowed. A kernel
  // without NUMA support has one node, 0. hwloc's environment variables count (HWLOC_FSROOT, HWLOC_XMLFILE,
  // HWLOC_SYNTHETIC), but a description of another machine is refused unless HWLOC_THISSYSTEM=1 vouches for it.
  static std::optional<Topology> Discover(Error* error);

  // A made-up machine. distances is square, in the order of nodes; empty means 10 on the diagonal and 20 elsewhere.
  // cache_groups may be given as they come: CPUs of other nodes are dropped, a CPU stays in the first group that names
  // it, and the CPUs that none names are a group.
  // Refused: no usable node, an id twice or outside of 0 to 1,023, a CPU twice or outside of 0 to 65,535, distances of
  // another size.
  static std::optional<Topology> Make(std::vector<TopologyNode> nodes, std::vector<std::vector<uint32_t>> distances,
                                      Error* error);

  size_t node_count() const { return nodes_.size(); }
  const TopologyNode& node(NodeIndex index) const { return nodes_[ToSize(index)]; }
  uint32_t distance(NodeIndex from, NodeIndex to) const { return distances_[ToSize(from)][ToSize(to)]; }
  std::optional<NodeIndex> FindNode(int node_id) const;

  // Nodes whose memory this process may use, ascending by kernel id.
  const std::vector<NodeIndex>& usable_nodes() const { return usable_nodes_; }
  // The same nodes by distance from `from` (ties by kernel id).
  const std::vector<NodeIndex>& UsableByDistance(NodeIndex from) const { return usable_by_distance_[ToSize(from)]; }

  // The usable node nearest to a CPU. A CPU that the topology does not know (hotplug) gets the first usable node.
  NodeIndex HomeOfCpu(int cpu) const {
    const size_t index = static_cast<size_t>(cpu);
    return index < home_of_cpu_.size() ? home_of_cpu_[index] : usable_nodes_.front();
  }
  // One more than the largest CPU id known.
  size_t cpu_limit() const { return home_of_cpu_.size(); }

  // "0, 1, 4" of the usable nodes: for error messages.
  std::string UsableNodeIds() const;

 private:
  Topology() = default;

  std::vector<TopologyNode> nodes_;
  std::vector<std::vector<uint32_t>> distances_;
  std::vector<NodeIndex> usable_nodes_;
  std::vector<std::vector<NodeIndex>> usable_by_distance_;
  std::vector<NodeIndex> home_of_cpu_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_TOPOLOGY_TOPOLOGY_H_
