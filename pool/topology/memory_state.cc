#include "topology/memory_state.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "hugepool/types.h"
#include "topology/own_cgroup.h"
#include "topology/system_files.h"

namespace hugepool::internal {
namespace {

constexpr char kNodeFolder[] = "/sys/devices/system/node";
constexpr char kHugePageFolder[] = "/sys/kernel/mm/hugepages";
constexpr char kTransparentFolder[] = "/sys/kernel/mm/transparent_hugepage";
// No machine has more bytes than this; a count that says so is damaged. Products and sums of counts stay far below
// 2^64.
constexpr uint64_t kMaxBytes = uint64_t{1} << 54;

// Reads into *value. A missing file leaves it as it is; false only where the file is damaged.
bool TakeCount(const SystemFiles& files, const std::string& path, uint64_t limit, uint64_t* value, Error* error) {
  Error damage;
  if (const auto count = files.Count(path, limit, &damage)) *value = *count;
  if (damage && error != nullptr) *error = damage;
  return !damage;
}

// The same for a file that every kernel has: missing is damaged.
bool TakeNeededCount(const SystemFiles& files, const std::string& path, uint64_t limit, uint64_t* value, Error* error) {
  Error damage;
  const auto count = files.Count(path, limit, &damage);
  if (!count && !damage) {
    SystemFiles::Damaged(path, "", "", &damage);
    damage.code = ErrorCode::kSystem;
    damage.message = "the file cannot be read";
    damage.mend = "Check its permissions, and that /sys is mounted whole.";
  }
  if (damage && error != nullptr) *error = damage;
  if (count) *value = *count;
  return count.has_value();
}

// Every page size below `folder`. False where a file is damaged.
bool ReadHugePages(const SystemFiles& files, const std::string& folder, std::vector<HugePageCounts>* huge_pages,
                   Error* error) {
  for (const uint64_t kilobytes : files.NumberedFolders(folder, "hugepages-", "kB")) {
    const std::string path = folder + "/hugepages-" + std::to_string(kilobytes) + "kB/";
    if (kilobytes == 0 || kilobytes > kMaxBytes / 1024) {
      SystemFiles::Damaged(path, std::to_string(kilobytes), "a page size in kB that a machine can have", error);
      return false;
    }
    HugePageCounts counts{.page_bytes = kilobytes * 1024};
    const uint64_t limit = kMaxBytes / counts.page_bytes;
    if (!TakeNeededCount(files, path + "nr_hugepages", limit, &counts.total_count, error) ||
        !TakeNeededCount(files, path + "free_hugepages", limit, &counts.free_count, error) ||
        !TakeCount(files, path + "surplus_hugepages", limit, &counts.surplus_count, error) ||
        !TakeCount(files, path + "resv_hugepages", limit, &counts.reserved_count, error)) {
      return false;
    }
    // Without a bound of its own: people write any large number to allow "as many as there are".
    if (!TakeCount(files, path + "nr_overcommit_hugepages", UINT64_MAX, &counts.overcommit_count, error)) return false;
    // Two files, two moments: while somebody changes the reservation, more may look free than there are.
    counts.free_count = std::min(counts.free_count, counts.total_count);
    counts.surplus_count = std::min(counts.surplus_count, counts.total_count);
    huge_pages->push_back(counts);
  }
  return true;
}

// The line must be there: a file cut short would pass for a node without memory.
bool TakeNeededField(const std::string& text, const std::string& path, const std::string& name, uint64_t* value,
                     Error* error) {
  Error damage;
  const auto bytes = SystemFiles::KilobyteFieldOf(text, path, name, &damage);
  if (!bytes && !damage) {
    SystemFiles::Damaged(path, text, "a file with the line '" + name + "'", &damage);
  }
  if (damage && error != nullptr) *error = damage;
  if (bytes) *value = *bytes;
  return bytes.has_value();
}

bool ReadNode(const SystemFiles& files, NodeMemory* node, Error* error) {
  const std::string folder = std::string(kNodeFolder) + "/node" + std::to_string(node->node_id);
  Error damage;
  if (auto cpus = files.IdList(folder + "/cpulist", kMaxCpuId, &damage)) node->cpus = std::move(*cpus);
  if (auto distances = files.Counts(folder + "/distance", UINT32_MAX, &damage)) node->distances = std::move(*distances);
  if (damage) {
    if (error != nullptr) *error = damage;
    return false;
  }
  const std::string path = folder + "/meminfo";
  const std::string text = files.Text(path).value_or("");
  const std::string prefix = "Node " + std::to_string(node->node_id) + " ";
  if (!TakeNeededField(text, path, prefix + "MemTotal", &node->total_bytes, error) ||
      !TakeNeededField(text, path, prefix + "MemFree", &node->free_bytes, error)) {
    return false;
  }
  for (const char* name : {"Active(file)", "Inactive(file)", "SReclaimable"}) {
    const auto bytes = SystemFiles::KilobyteFieldOf(text, path, prefix + name, &damage);
    if (bytes) node->reclaimable_bytes += *bytes;
  }
  if (damage) {
    if (error != nullptr) *error = damage;
    return false;
  }
  return ReadHugePages(files, folder + "/hugepages", &node->huge_pages, error);
}

bool ReadNodes(const SystemFiles& files, MemoryState* state, Error* error) {
  for (const uint64_t number : files.NumberedFolders(kNodeFolder, "node", "")) {
    if (number > static_cast<uint64_t>(kMaxNodeId)) {
      SystemFiles::Damaged(kNodeFolder, "node" + std::to_string(number),
                           "nodes from 0 to " + std::to_string(kMaxNodeId), error);
      return false;
    }
    NodeMemory node{.node_id = static_cast<int>(number)};
    if (!ReadNode(files, &node, error)) return false;
    state->nodes.push_back(std::move(node));
  }
  state->numa = !state->nodes.empty();
  if (!state->numa) {
    NodeMemory whole{.node_id = 0, .total_bytes = state->total_bytes, .free_bytes = state->available_bytes};
    if (const auto cpus = files.IdList("/sys/devices/system/cpu/online", kMaxCpuId, nullptr)) whole.cpus = *cpus;
    whole.huge_pages = state->huge_pages;
    for (HugePageCounts& counts : whole.huge_pages) counts.reserved_count = counts.overcommit_count = 0;
    state->nodes.push_back(std::move(whole));
  }
  for (NodeMemory& node : state->nodes) {
    if (node.distances.empty() || node.distances.size() == state->nodes.size()) continue;
    state->remarks.push_back("Node " + std::to_string(node.node_id) + " states " +
                             std::to_string(node.distances.size()) + " distances, but there are " +
                             std::to_string(state->nodes.size()) + " nodes; they are left out.");
    node.distances.clear();
  }
  // Memory on one node only: the machine's figures are that node's, and they are the better ones (MemAvailable knows
  // what the kernel keeps back; some kernels take a node's memory into use step by step).
  const auto with_memory = [](const NodeMemory& node) { return node.total_bytes != 0; };
  if (std::count_if(state->nodes.begin(), state->nodes.end(), with_memory) == 1) {
    NodeMemory& only = *std::find_if(state->nodes.begin(), state->nodes.end(), with_memory);
    only.total_bytes = std::max(only.total_bytes, state->total_bytes);
    only.free_bytes = state->available_bytes;
    only.reclaimable_bytes = 0;
  }
  return true;
}

// The word in brackets of "always [madvise] never".
std::string ChosenWord(const SystemFiles& files, const std::string& path, std::vector<std::string>* remarks) {
  const auto text = files.Text(path);
  if (!text) return {};
  const size_t open = text->find('[');
  const size_t close = text->find(']', open == std::string::npos ? 0 : open);
  if (open != std::string::npos && close != std::string::npos) {
    const std::string word = text->substr(open + 1, close - open - 1);
    const bool plain = !word.empty() && word.size() <= 32 &&
                       word.find_first_not_of("abcdefghijklmnopqrstuvwxyz_+") == std::string::npos;
    if (plain) return word;
  }
  remarks->push_back(path + " says " + Quoted(*text) + ", in which no word is chosen.");
  return {};
}

void ReadTransparent(const SystemFiles& files, MemoryState* state) {
  const std::string folder = kTransparentFolder;
  TransparentHugePages& transparent = state->transparent;
  transparent.enabled = ChosenWord(files, folder + "/enabled", &state->remarks);
  transparent.defrag = ChosenWord(files, folder + "/defrag", &state->remarks);
  transparent.shmem_enabled = ChosenWord(files, folder + "/shmem_enabled", &state->remarks);
  transparent.huge_size_enabled =
      ChosenWord(files, folder + "/hugepages-" + std::to_string(kHugePageBytes / 1024) + "kB/enabled", &state->remarks);
  Error damage;
  if (!TakeCount(files, folder + "/hpage_pmd_size", kMaxBytes, &transparent.page_bytes, &damage)) {
    state->remarks.push_back(damage.operation + ": " + damage.message + ".");
  }
}

// "Max locked memory  8388608  8388608  bytes": the soft limit. Nothing for "unlimited".
std::optional<uint64_t> ReadLimit(const std::string& limits, std::string_view name, std::vector<std::string>* remarks) {
  const size_t place = limits.find(name);
  if (place == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(limits).substr(place + name.size());
  rest = TrimSpace(rest.substr(0, rest.find('\n')));
  const std::string_view soft = rest.substr(0, rest.find_first_of(" \t"));
  if (soft == "unlimited") return std::nullopt;
  const auto bytes = ParseCount(soft, UINT64_MAX);
  if (!bytes) remarks->push_back("/proc/self/limits says " + Quoted(soft) + " for " + std::string(name) + ".");
  return bytes;
}

void ReadProcess(const SystemFiles& files, MemoryState* state) {
  const auto take_ids = [&](const char* field, int max_id) -> std::optional<std::vector<int>> {
    const auto text = files.Field("/proc/self/status", field);
    if (!text) return std::nullopt;
    auto ids = ParseIdList(*text, max_id);
    if (!ids) state->remarks.push_back("/proc/self/status says " + Quoted(*text) + " for " + field + ".");
    return ids;
  };
  state->allowed_nodes = take_ids("Mems_allowed_list", kMaxNodeId);
  state->allowed_cpus = take_ids("Cpus_allowed_list", kMaxCpuId);
  if (const auto limits = files.Text("/proc/self/limits")) {
    state->locked_limit_bytes = ReadLimit(*limits, "Max locked memory", &state->remarks);
    state->address_space_limit_bytes = ReadLimit(*limits, "Max address space", &state->remarks);
  }
}

// "2MB", "1GB", "64KB": how hugetlb's cgroup files name a page size.
std::string CgroupSizeName(uint64_t page_bytes) {
  if (page_bytes >= uint64_t{1} << 30) return std::to_string(page_bytes >> 30) + "GB";
  if (page_bytes >= uint64_t{1} << 20) return std::to_string(page_bytes >> 20) + "MB";
  return std::to_string(page_bytes >> 10) + "KB";
}

void ReadLimitsOfCgroup(const SystemFiles& files, const std::string& folder, MemoryState* state) {
  for (const HugePageCounts& counts : state->huge_pages) {
    for (const bool on_reservation : {false, true}) {
      const std::string stem =
          folder + "/hugetlb." + CgroupSizeName(counts.page_bytes) + (on_reservation ? ".rsvd." : ".");
      const auto text = files.Text(stem + "max");
      if (!text || *text == "max") continue;
      HugetlbLimit limit{.file = stem + "max", .page_bytes = counts.page_bytes, .on_reservation = on_reservation};
      const auto max_bytes = ParseCount(*text, UINT64_MAX);
      Error damage;
      if (!max_bytes || !TakeCount(files, stem + "current", UINT64_MAX, &limit.current_bytes, &damage)) {
        state->remarks.push_back(damage ? damage.operation + ": " + damage.message + "."
                                        : limit.file + " says " + Quoted(*text) + ", which is no limit.");
        continue;
      }
      limit.max_bytes = *max_bytes;
      state->hugetlb_limits.push_back(std::move(limit));
    }
  }
}

// From this process's cgroup up to the topmost that it can see.
void ReadHugetlbLimits(const SystemFiles& files, MemoryState* state) {
  const auto own = FindOwnCgroup(files);
  if (!own) return;
  std::string_view below = own->below;
  for (;;) {
    ReadLimitsOfCgroup(files, own->mount + std::string(below), state);
    if (below.empty()) break;
    const size_t slash = below.rfind('/');
    below = slash == std::string_view::npos ? std::string_view() : below.substr(0, slash);
  }
}

}  // namespace

bool MemoryState::Allows(const NodeMemory& node) const {
  return !allowed_nodes || std::binary_search(allowed_nodes->begin(), allowed_nodes->end(), node.node_id);
}

const NodeMemory* MemoryState::FindNode(int node_id) const {
  const auto place =
      std::find_if(nodes.begin(), nodes.end(), [node_id](const NodeMemory& node) { return node.node_id == node_id; });
  return place == nodes.end() ? nullptr : &*place;
}

const HugePageCounts* FindPageSize(const std::vector<HugePageCounts>& counts, uint64_t page_bytes) {
  const auto place = std::find_if(counts.begin(), counts.end(),
                                  [page_bytes](const HugePageCounts& entry) { return entry.page_bytes == page_bytes; });
  return place == counts.end() ? nullptr : &*place;
}

std::optional<MemoryState> ReadMemoryState(const std::string& root, Error* error) {
  const SystemFiles files(root);
  MemoryState state;
  const std::string meminfo_path = "/proc/meminfo";
  const auto meminfo = files.Text(meminfo_path);
  if (!meminfo) {
    if (error != nullptr) {
      SystemFiles::Damaged(meminfo_path, "", "", error);
      error->code = ErrorCode::kSystem;
      error->message = "the file cannot be read";
      error->mend = "Mount /proc, or name a root folder that holds proc/ and sys/.";
    }
    return std::nullopt;
  }
  if (!TakeNeededField(*meminfo, meminfo_path, "MemTotal", &state.total_bytes, error) ||
      !TakeNeededField(*meminfo, meminfo_path, "MemAvailable", &state.available_bytes, error)) {
    return std::nullopt;
  }
  state.available_bytes = std::min(state.available_bytes, state.total_bytes);
  if (!ReadHugePages(files, kHugePageFolder, &state.huge_pages, error)) return std::nullopt;
  if (!ReadNodes(files, &state, error)) return std::nullopt;
  ReadTransparent(files, &state);
  ReadProcess(files, &state);
  ReadHugetlbLimits(files, &state);
  if (const auto optimized = files.Count("/proc/sys/vm/hugetlb_optimize_vmemmap", 1, nullptr)) {
    state.vmemmap_optimized = *optimized == 1;
  }
  return state;
}

}  // namespace hugepool::internal
