#include "topology/topology.h"

#include <hwloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <utility>

#include "topology/system_files.h"

namespace hugepool::internal {
namespace {

constexpr uint32_t kLocalDistance = 10;
constexpr uint32_t kRemoteDistance = 20;
constexpr char kNodeFolder[] = "/sys/devices/system/node";

using Distances = std::vector<std::vector<uint32_t>>;

std::nullopt_t Refuse(Error* error, ErrorCode code, const char* operation, std::string message, std::string mend) {
  if (error != nullptr) {
    *error = Error{};
    error->code = code;
    error->operation = operation;
    error->message = std::move(message);
    error->mend = std::move(mend);
  }
  return std::nullopt;
}

std::nullopt_t RefuseMake(Error* error, std::string message, std::string mend) {
  return Refuse(error, ErrorCode::kInvalidArgument, "Topology::Make", std::move(message), std::move(mend));
}

Distances DefaultDistances(size_t node_count) {
  Distances distances(node_count, std::vector<uint32_t>(node_count, kRemoteDistance));
  for (size_t node = 0; node < node_count; ++node) distances[node][node] = kLocalDistance;
  return distances;
}

struct Unload {
  void operator()(hwloc_topology_t loaded) const { hwloc_topology_destroy(loaded); }
};
using Hwloc = std::unique_ptr<hwloc_topology, Unload>;

Hwloc LoadHwloc(Error* error) {
  constexpr char kOperation[] = "hwloc_topology_load";
  constexpr char kMend[] = "Mount /sys and /proc, and check what `lstopo` (package hwloc) says.";
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) {
    Refuse(error, ErrorCode::kSystem, kOperation, "hwloc could not start", kMend);
    return nullptr;
  }
  Hwloc loaded(raw);
  hwloc_topology_set_flags(raw, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  // Nodes, CPUs and last-level caches are all that is asked for: packages and devices would only cost time. Groups stay:
  // without them hwloc cannot say that a node is near to a part of the CPUs.
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  hwloc_topology_set_type_filter(raw, HWLOC_OBJ_L3CACHE, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_type_filter(raw, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE);
  // The x86 component would move the calling thread over every CPU in turn to read what is not needed here.
  hwloc_topology_set_components(raw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  errno = 0;
  if (hwloc_topology_load(raw) != 0) {
    Refuse(error, ErrorCode::kSystem, kOperation, "hwloc could not read this machine", kMend);
    if (error != nullptr) error->errno_value = errno;
    return nullptr;
  }
  if (!hwloc_topology_is_thissystem(raw)) {
    Refuse(error, ErrorCode::kInvalidArgument, kOperation,
           "hwloc describes another machine, because HWLOC_XMLFILE, HWLOC_SYNTHETIC or HWLOC_FSROOT is set",
           "Unset them, or set HWLOC_THISSYSTEM=1 if they describe this machine.");
    return nullptr;
  }
  return loaded;
}

std::vector<int> CpusOf(hwloc_const_cpuset_t cpuset) {
  std::vector<int> cpus;
  // An infinite set (hwloc's "all") is cut at the largest id that a kernel can have.
  for (int cpu = hwloc_bitmap_first(cpuset); cpu >= 0 && cpu <= kMaxCpuId; cpu = hwloc_bitmap_next(cpuset, cpu)) {
    cpus.push_back(cpu);
  }
  return cpus;
}

// The nodes that hwloc knows, ascending by id, with hwloc's idea of their CPUs.
std::vector<TopologyNode> HwlocNodes(hwloc_topology_t loaded) {
  std::vector<TopologyNode> nodes;
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(loaded, HWLOC_OBJ_NUMANODE, object)) != nullptr;) {
    TopologyNode node;
    node.node_id = object->os_index == HWLOC_UNKNOWN_INDEX ? 0 : static_cast<int>(object->os_index);
    node.memory_bytes = object->attr->numanode.local_memory;
    node.allowed = hwloc_bitmap_isset(hwloc_topology_get_allowed_nodeset(loaded), object->os_index) != 0;
    node.cpus = CpusOf(object->cpuset);
    nodes.push_back(std::move(node));
  }
  std::sort(nodes.begin(), nodes.end(),
            [](const TopologyNode& left, const TopologyNode& right) { return left.node_id < right.node_id; });
  return nodes;
}

// First node with at least this id, in nodes that ascend.
template <typename Nodes>
auto LowerBound(Nodes& nodes, int node_id) {
  return std::lower_bound(nodes.begin(), nodes.end(), node_id,
                          [](const TopologyNode& node, int id) { return node.node_id < id; });
}

// nodes.size() when the id is not among them.
size_t IndexOf(const std::vector<TopologyNode>& nodes, int node_id) {
  const auto place = LowerBound(nodes, node_id);
  if (place == nodes.end() || place->node_id != node_id) return nodes.size();
  return static_cast<size_t>(place - nodes.begin());
}

// Adds the nodes that the kernel knows and hwloc leaves out, and puts the kernel's word for their CPUs in place of
// hwloc's. A CPU that hwloc alone names (no cpulist to read) stays with the first node that has it.
void TakeKernelsCpus(const SystemFiles& files, std::vector<TopologyNode>* nodes) {
  for (const uint64_t number : files.NumberedFolders(kNodeFolder, "node", "")) {
    if (number > static_cast<uint64_t>(kMaxNodeId)) continue;
    const int node_id = static_cast<int>(number);
    const auto place = LowerBound(*nodes, node_id);
    if (place == nodes->end() || place->node_id != node_id) nodes->insert(place, TopologyNode{.node_id = node_id});
  }
  for (TopologyNode& node : *nodes) {
    const std::string path = std::string(kNodeFolder) + "/node" + std::to_string(node.node_id) + "/cpulist";
    if (auto cpus = files.IdList(path, kMaxCpuId, nullptr)) node.cpus = std::move(*cpus);
  }
  std::vector<bool> taken;
  for (TopologyNode& node : *nodes) {
    std::erase_if(node.cpus, [&taken](int cpu) {
      const auto index = static_cast<size_t>(cpu);
      if (index >= taken.size()) taken.resize(index + 1);
      const bool twice = taken[index];
      taken[index] = true;
      return twice;
    });
  }
}

// The caches as hwloc sees them, to every node that has one of their CPUs; Make cuts them to the node's.
void TakeCacheGroups(hwloc_topology_t loaded, std::vector<TopologyNode>* nodes) {
  for (hwloc_obj_t object = nullptr;
       (object = hwloc_get_next_obj_by_type(loaded, HWLOC_OBJ_L3CACHE, object)) != nullptr;) {
    const std::vector<int> cpus = CpusOf(object->cpuset);
    for (TopologyNode& node : *nodes) {
      const bool shared = std::any_of(node.cpus.begin(), node.cpus.end(),
                                      [&cpus](int cpu) { return std::binary_search(cpus.begin(), cpus.end(), cpu); });
      if (shared) node.cache_groups.push_back(cpus);
    }
  }
}

// hwloc looks at the cgroup's files, which a container may hide; the process's own status always tells.
void TakeAllowedNodes(const SystemFiles& files, std::vector<TopologyNode>* nodes) {
  const auto value = files.Field("/proc/self/status", "Mems_allowed_list");
  const auto allowed = value ? ParseIdList(*value, kMaxNodeId) : std::nullopt;
  if (!allowed) return;
  for (TopologyNode& node : *nodes) {
    node.allowed = node.allowed && std::binary_search(allowed->begin(), allowed->end(), node.node_id);
  }
}

// A machine with memory on one node only: all memory is there. hwloc says 0 where the kernel has no NUMA support, and
// less than the machine has where the kernel takes its memory into use step by step.
void TakeWholeMemory(const SystemFiles& files, std::vector<TopologyNode>* nodes) {
  TopologyNode* only = nodes->size() == 1 ? &nodes->front() : nullptr;
  for (TopologyNode& node : *nodes) {
    if (node.memory_bytes == 0) continue;
    if (only != nullptr && only != &node) return;
    only = &node;
  }
  if (only == nullptr) return;
  uint64_t whole_bytes = 0;
  if (const auto total_bytes = files.KilobyteField("/proc/meminfo", "MemTotal", nullptr)) {
    whole_bytes = *total_bytes;
  } else {
    const long page_count = sysconf(_SC_PHYS_PAGES);
    const long page_bytes = sysconf(_SC_PAGESIZE);
    if (page_count > 0 && page_bytes > 0) {
      whole_bytes = static_cast<uint64_t>(page_count) * static_cast<uint64_t>(page_bytes);
    }
  }
  only->memory_bytes = std::max(only->memory_bytes, whole_bytes);
}

// hwloc's distances where it has them; the kernel's own file for the rows of nodes that hwloc leaves out.
Distances HwlocDistances(hwloc_topology_t loaded, const SystemFiles& files, const std::vector<TopologyNode>& nodes) {
  Distances distances = DefaultDistances(nodes.size());
  for (size_t row = 0; row < nodes.size(); ++row) {
    const std::string path = std::string(kNodeFolder) + "/node" + std::to_string(nodes[row].node_id) + "/distance";
    const auto columns = files.Counts(path, UINT32_MAX, nullptr);
    if (!columns || columns->size() != nodes.size()) continue;
    for (size_t column = 0; column < nodes.size(); ++column) {
      distances[row][column] = static_cast<uint32_t>((*columns)[column]);
    }
  }
  unsigned matrix_count = 1;
  hwloc_distances_s* matrix = nullptr;
  if (hwloc_distances_get_by_name(loaded, "NUMALatency", &matrix_count, &matrix, 0) != 0) return distances;
  if (matrix_count == 0 || matrix == nullptr) return distances;
  for (unsigned row = 0; row < matrix->nbobjs; ++row) {
    for (unsigned column = 0; column < matrix->nbobjs; ++column) {
      if (matrix->objs[row] == nullptr || matrix->objs[column] == nullptr) continue;
      const size_t from = IndexOf(nodes, static_cast<int>(matrix->objs[row]->os_index));
      const size_t to = IndexOf(nodes, static_cast<int>(matrix->objs[column]->os_index));
      if (from == nodes.size() || to == nodes.size()) continue;
      const uint64_t value = matrix->values[size_t{row} * matrix->nbobjs + column];
      distances[from][to] = static_cast<uint32_t>(std::min<uint64_t>(value, UINT32_MAX));
    }
  }
  hwloc_distances_release(loaded, matrix);
  return distances;
}

bool CheckIds(const std::vector<TopologyNode>& nodes, Error* error) {
  std::vector<int> node_ids;
  std::vector<std::pair<int, int>> cpus;  // CPU, node
  for (const TopologyNode& node : nodes) {
    if (node.node_id < 0 || node.node_id > kMaxNodeId) {
      RefuseMake(error, "node " + std::to_string(node.node_id) + " is outside of 0 to " + std::to_string(kMaxNodeId),
                 "Use the kernel's node ids.");
      return false;
    }
    node_ids.push_back(node.node_id);
    for (const int cpu : node.cpus) {
      if (cpu < 0 || cpu > kMaxCpuId) {
        RefuseMake(error,
                   "CPU " + std::to_string(cpu) + " of node " + std::to_string(node.node_id) + " is outside of 0 to " +
                       std::to_string(kMaxCpuId),
                   "Use the kernel's CPU ids.");
        return false;
      }
      cpus.emplace_back(cpu, node.node_id);
    }
  }
  std::sort(node_ids.begin(), node_ids.end());
  const auto twice = std::adjacent_find(node_ids.begin(), node_ids.end());
  if (twice != node_ids.end()) {
    RefuseMake(error, "node " + std::to_string(*twice) + " is given twice; each id may stand once",
               "Remove one of them.");
    return false;
  }
  std::sort(cpus.begin(), cpus.end());
  const auto shared = std::adjacent_find(cpus.begin(), cpus.end(),
                                         [](const auto& left, const auto& right) { return left.first == right.first; });
  if (shared != cpus.end()) {
    RefuseMake(error,
               "CPU " + std::to_string(shared->first) + " is given to node " + std::to_string(shared->second) +
                   " and to node " + std::to_string((shared + 1)->second) + "; each CPU may stand once",
               "Give each CPU to one node.");
    return false;
  }
  return true;
}

bool CheckDistances(const Distances& distances, size_t node_count, Error* error) {
  const std::string square = std::to_string(node_count) + " rows of " + std::to_string(node_count);
  constexpr char kMend[] = "Give one row and one column per node, or none at all.";
  if (distances.size() != node_count) {
    RefuseMake(error, "distances has " + std::to_string(distances.size()) + " rows; allowed are " + square, kMend);
    return false;
  }
  for (size_t row = 0; row < distances.size(); ++row) {
    if (distances[row].size() == node_count) continue;
    RefuseMake(error,
               "row " + std::to_string(row) + " of distances has " + std::to_string(distances[row].size()) +
                   " values; allowed are " + square,
               kMend);
    return false;
  }
  return true;
}

// Each CPU of the node in one group: the first that names it, else that of the CPUs which none names.
void CompleteCacheGroups(TopologyNode* node) {
  std::vector<int> left = node->cpus;  // ascending
  std::vector<std::vector<int>> groups;
  node->cache_groups.push_back(node->cpus);
  for (const std::vector<int>& given : node->cache_groups) {
    std::vector<int> group;
    for (const int cpu : given) {
      const auto place = std::lower_bound(left.begin(), left.end(), cpu);
      if (place == left.end() || *place != cpu) continue;
      group.push_back(cpu);
      left.erase(place);
    }
    std::sort(group.begin(), group.end());
    if (!group.empty()) groups.push_back(std::move(group));
  }
  std::sort(groups.begin(), groups.end());
  node->cache_groups = std::move(groups);
}

std::string IdsOf(const std::vector<TopologyNode>& nodes) {
  std::string text;
  for (const TopologyNode& node : nodes) {
    text += (text.empty() ? "" : ", ") + std::to_string(node.node_id) + " (" + std::to_string(node.memory_bytes >> 20) +
            " MiB, " + (node.allowed ? "allowed" : "not allowed") + ")";
  }
  return text.empty() ? "none" : text;
}

}  // namespace

std::optional<Topology> Topology::Discover(Error* error) {
  const Hwloc loaded = LoadHwloc(error);
  if (loaded == nullptr) return std::nullopt;
  const char* const root = std::getenv("HWLOC_FSROOT");
  const SystemFiles files(root == nullptr ? "/" : root);
  std::vector<TopologyNode> nodes = HwlocNodes(loaded.get());
  TakeKernelsCpus(files, &nodes);
  TakeCacheGroups(loaded.get(), &nodes);
  TakeAllowedNodes(files, &nodes);
  TakeWholeMemory(files, &nodes);
  Distances distances = HwlocDistances(loaded.get(), files, nodes);
  return Make(std::move(nodes), std::move(distances), error);
}

std::optional<Topology> Topology::Make(std::vector<TopologyNode> nodes, Distances distances, Error* error) {
  const size_t node_count = nodes.size();
  if (!CheckIds(nodes, error)) return std::nullopt;
  if (distances.empty()) distances = DefaultDistances(node_count);
  if (!CheckDistances(distances, node_count, error)) return std::nullopt;
  if (std::none_of(nodes.begin(), nodes.end(), [](const TopologyNode& node) { return node.usable(); })) {
    return RefuseMake(error, "no node has memory that this process may use; nodes: " + IdsOf(nodes),
                      "Widen the cpuset of this process (Mems_allowed_list in /proc/self/status).");
  }

  Topology topology;
  std::vector<size_t> order(node_count);
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&nodes](size_t left, size_t right) { return nodes[left].node_id < nodes[right].node_id; });
  for (const size_t from : order) {
    std::vector<uint32_t> row;
    for (const size_t to : order) row.push_back(distances[from][to]);
    topology.distances_.push_back(std::move(row));
    std::sort(nodes[from].cpus.begin(), nodes[from].cpus.end());
    CompleteCacheGroups(&nodes[from]);
    topology.nodes_.push_back(std::move(nodes[from]));
  }
  for (size_t index = 0; index < node_count; ++index) {
    if (topology.nodes_[index].usable()) topology.usable_nodes_.push_back(ToNodeIndex(index));
  }
  size_t cpu_limit = 0;
  for (size_t index = 0; index < node_count; ++index) {
    const NodeIndex from = ToNodeIndex(index);
    std::vector<NodeIndex> nearest = topology.usable_nodes_;
    // Stable over ascending ids, so ties go by kernel id; a node is nearest to itself whatever the firmware says.
    std::stable_sort(nearest.begin(), nearest.end(), [&topology, from](NodeIndex left, NodeIndex right) {
      if ((left == from) != (right == from)) return left == from;
      return topology.distance(from, left) < topology.distance(from, right);
    });
    topology.usable_by_distance_.push_back(std::move(nearest));
    const std::vector<int>& cpus = topology.nodes_[index].cpus;
    if (!cpus.empty()) cpu_limit = std::max(cpu_limit, static_cast<size_t>(cpus.back()) + 1);
  }
  topology.home_of_cpu_.assign(cpu_limit, topology.usable_nodes_.front());
  for (size_t index = 0; index < node_count; ++index) {
    for (const int cpu : topology.nodes_[index].cpus) {
      topology.home_of_cpu_[static_cast<size_t>(cpu)] = topology.usable_by_distance_[index].front();
    }
  }
  return topology;
}

std::optional<NodeIndex> Topology::FindNode(int node_id) const {
  const size_t index = IndexOf(nodes_, node_id);
  if (index == nodes_.size()) return std::nullopt;
  return ToNodeIndex(index);
}

std::string Topology::UsableNodeIds() const {
  std::string text;
  for (const NodeIndex index : usable_nodes_) {
    text += (text.empty() ? "" : ", ") + std::to_string(node(index).node_id);
  }
  return text;
}

}  // namespace hugepool::internal
