#include "arena/arena_set.h"

#include <algorithm>
#include <bit>
#include <utility>

namespace hugepool::internal {
namespace {

constexpr uint64_t kWaitStepNs = 50'000'000;

std::vector<NodeIndex> NodesOf(const Placement& placement, const Topology& topology) {
  if (placement.policy != Placement::Policy::kNode) return topology.usable_nodes();
  return {*topology.FindNode(placement.node_id)};
}

size_t RoundUp(size_t bytes, size_t unit_bytes) { return (bytes + unit_bytes - 1) / unit_bytes * unit_bytes; }

// "2 MiB", "1 GiB".
std::string PageText(size_t page_bytes) { return page_bytes == kHugePageBytes ? "2 MiB" : "1 GiB"; }

bool IsStrict(const Placement& placement) {
  return placement.policy == Placement::Policy::kNode || placement.policy == Placement::Policy::kLocalStrict;
}

}  // namespace

std::unique_ptr<ArenaSet> ArenaSet::Create(const PoolOptions& options, OsMemory& os, const Topology& topology,
                                           MetadataMemory& metadata, Error* error) {
  const std::vector<NodeIndex> nodes = NodesOf(options.placement, topology);
  std::unique_ptr<ArenaSet> set(new ArenaSet(os, options));
  if (!set->ReserveWindows(options, nodes.size(), error)) return nullptr;
  if (!set->BuildArenas(options, topology, nodes, metadata, error)) return nullptr;
  if (!set->HugePagesSuffice(options, error)) return nullptr;
  if (!set->PopulateAtStart(options, error)) return nullptr;
  return set;
}

ArenaSet::~ArenaSet() {
  if (reservation_ != nullptr) (void)os_.Unmap(reservation_, reservation_bytes_);
}

bool ArenaSet::ReserveWindows(const PoolOptions& options, size_t window_count, Error* error) {
  const bool both_halves = options.huge_pages == HugePages::kPreferred;
  const size_t min_window_bytes = 2 * page_bytes_;
  size_t window_bytes = std::max(min_window_bytes, 2 * std::bit_ceil(options.capacity_bytes));
  const size_t wanted_bytes = window_bytes * window_count;
  int refused = 0;
  // Halved while all windows together still hold the capacity.
  for (; (both_halves ? window_bytes : window_bytes / 2) * window_count >= options.capacity_bytes &&
         window_bytes >= min_window_bytes;
       window_bytes /= 2) {
    reservation_bytes_ = window_bytes * window_count + page_bytes_;
    refused = os_.Reserve(reservation_bytes_, &reservation_);
    if (refused != 0) continue;
    window_bytes_ = window_bytes;
    max_capacity_bytes_ = std::max(options.capacity_bytes, window_bytes / 2);
    base_ = reinterpret_cast<char*>(RoundUp(reinterpret_cast<uintptr_t>(reservation_), page_bytes_));
    return true;
  }
  *error = Error{.code = ErrorCode::kNoAddressSpace,
                 .operation = "mmap(PROT_NONE)",
                 .errno_value = refused,
                 .bytes = wanted_bytes,
                 .message = "address space for " + std::to_string(window_count) +
                            " node window(s) was refused, down to the smallest that holds the capacity of " +
                            FormatBytes(options.capacity_bytes),
                 .mend = "Raise RLIMIT_AS (ulimit -v unlimited), or lower capacity_bytes."};
  return false;
}

bool ArenaSet::BuildArenas(const PoolOptions& options, const Topology& topology, const std::vector<NodeIndex>& nodes,
                           MetadataMemory& metadata, Error* error) {
  const unsigned window_shift = static_cast<unsigned>(std::countr_zero(window_bytes_));
  const size_t slots_per_window = window_bytes_ >> kSlotShift;
  auto* tags = metadata.MapArray<std::atomic<SlotTag>>(nodes.size() * slots_per_window, -1, error);
  if (tags == nullptr) return false;
  auto* run_slot_counts = metadata.MapArray<std::atomic<uint32_t>>(nodes.size() * slots_per_window, -1, error);
  if (run_slot_counts == nullptr) return false;
  map_ = std::make_unique<AddressMap>(base_, window_shift, nodes.size(), tags, run_slot_counts);
  for (size_t window = 0; window < nodes.size(); ++window) {
    const TopologyNode& node = topology.node(nodes[window]);
    metadata.PreferNode(tags + window * slots_per_window, slots_per_window * sizeof *tags, node.node_id);
    backings_.push_back(
        std::make_unique<NodeBacking>(os_, NodeBacking::Config{.node_id = node.node_id,
                                                               .node_memory_bytes = node.memory_bytes,
                                                               .window = base_ + window * window_bytes_,
                                                               .window_bytes = window_bytes_,
                                                               .huge_pages = options.huge_pages,
                                                               .page_bytes = page_bytes_,
                                                               .strict = IsStrict(options.placement),
                                                               .only_node = topology.usable_nodes().size() == 1}));
    if (!backings_.back()->Prepare(error)) return false;
    auto* pages = metadata.MapArray<HugePage>(backings_.back()->page_count(), node.node_id, error);
    if (pages == nullptr) return false;
    arenas_.push_back(
        std::make_unique<NodeArena>(*backings_.back(), budget_, *map_, pages, os_,
                                    options.populate_at_start == PopulateAtStart::kAll ? 0 : options.decay_seconds));
  }
  const auto window_of = [&nodes](NodeIndex node) {
    return static_cast<size_t>(std::find(nodes.begin(), nodes.end(), node) - nodes.begin());
  };
  for (const NodeIndex node : nodes) {
    std::vector<size_t>& order = by_distance_.emplace_back();
    for (const NodeIndex other : topology.UsableByDistance(node)) {
      if (window_of(other) < nodes.size()) order.push_back(window_of(other));
    }
  }
  home_of_cpu_ = std::vector<std::atomic<uint32_t>>(std::max(topology.cpu_limit(), os_.CpuIdLimit()));
  for (auto& home : home_of_cpu_) home.store(kUnknownHome, std::memory_order_relaxed);
  for (size_t i = 0; i < topology.node_count(); ++i) {
    const TopologyNode& node = topology.node(ToNodeIndex(i));
    const size_t nearest = window_of(topology.UsableByDistance(ToNodeIndex(i)).front());
    const uint32_t home = nearest < nodes.size() ? static_cast<uint32_t>(nearest) : 0;
    home_of_node_.emplace_back(node.node_id, home);
    for (const int cpu : node.cpus) home_of_cpu_[static_cast<size_t>(cpu)].store(home, std::memory_order_relaxed);
  }
  cache_group_of_cpu_.resize(topology.cpu_limit());
  cache_group_counts_.resize(nodes.size());
  for (size_t index = 0; index < topology.node_count(); ++index) {
    for (const std::vector<int>& cpus : topology.node(ToNodeIndex(index)).cache_groups) {
      const size_t group = cache_group_counts_[HomeOfCpu(cpus.front())]++;
      for (const int cpu : cpus) cache_group_of_cpu_[static_cast<size_t>(cpu)] = group;
    }
  }
  return true;
}

size_t ArenaSet::LookUpHome(int cpu) const {
  const int node_id = os_.NodeOfCurrentCpu(cpu);
  for (const auto& [known_id, home] : home_of_node_) {
    if (known_id != node_id) continue;
    home_of_cpu_[static_cast<size_t>(cpu)].store(home, std::memory_order_relaxed);
    return home;
  }
  return 0;
}

// Waits for a predecessor's pages where told to, and refuses `required` early, with figures, rather than late.
bool ArenaSet::HugePagesSuffice(const PoolOptions& options, Error* error) {
  if (options.huge_pages != HugePages::kRequired && options.huge_pages != HugePages::kPreferred) return true;
  const uint64_t needed_count = options.capacity_bytes / page_bytes_;
  const uint64_t deadline_ns = os_.NowNs() + uint64_t{options.wait_for_huge_pages_seconds} * 1'000'000'000;
  uint64_t free_count = 0;
  while (true) {
    free_count = 0;
    for (const auto& backing : backings_) {
      uint64_t count = 0;
      if (os_.FreeHugePages(backing->node_id(), page_bytes_, &count) != 0)
        return true;  // not told: populating will show
      free_count += count;
    }
    if (free_count >= needed_count) return true;
    if (os_.NowNs() >= deadline_ns) break;
    os_.SleepNs(kWaitStepNs);
  }
  if (options.huge_pages == HugePages::kPreferred) return true;
  const bool one_node = backings_.size() == 1;
  const std::string node = std::to_string(backings_.front()->node_id());
  std::string mend = "Reserve them: hugepool check --need " + (one_node ? "node" + node + "=" : std::string()) +
                     FormatBytes(options.capacity_bytes) + " prints the command.";
  if (page_bytes_ == kGiantPageBytes) {
    const std::string folder = one_node ? "/sys/devices/system/node/node" + node : "/sys/kernel/mm";
    mend = "Reserve them at boot: hugepagesz=1G hugepages=" + std::to_string(needed_count) +
           " on the kernel's command line; or now, where memory is not fragmented: f=" + folder +
           "/hugepages/hugepages-1048576kB/nr_hugepages; echo $(($(cat $f) + " +
           std::to_string(needed_count - free_count) + ")) | sudo tee $f";
  }
  *error = Error{.code = ErrorCode::kNoHugePages,
                 .operation = "Pool::Create",
                 .node_id = one_node ? backings_.front()->node_id() : -1,
                 .bytes = options.capacity_bytes,
                 .message = "huge_pages = required needs " + std::to_string(needed_count) + " free pages of " +
                            PageText(page_bytes_) + " on " +
                            (one_node ? "node " + node : std::to_string(backings_.size()) + " nodes") + "; " +
                            std::to_string(free_count) + " are free",
                 .mend = std::move(mend)};
  return false;
}

bool ArenaSet::PopulateAtStart(const PoolOptions& options, Error* error) {
  if (options.populate_at_start == PopulateAtStart::kNone) return true;
  const size_t page_count = options.capacity_bytes / page_bytes_;
  const size_t share = page_count / arenas_.size();
  for (size_t window = 0; window < arenas_.size(); ++window) {
    arenas_[window]->PopulateAhead((share + (window < page_count % arenas_.size() ? 1 : 0)) * page_bytes_);
  }
  // What one node could not give, the others may.
  const auto left_bytes = [this] { return budget_.capacity_bytes() - budget_.committed_bytes(); };
  for (const auto& arena : arenas_) arena->PopulateAhead(left_bytes());
  if (left_bytes() == 0) return true;
  *error =
      Error{.code = options.huge_pages == HugePages::kRequired ? ErrorCode::kNoHugePages : ErrorCode::kNoMemory,
            .operation = "Pool::Create",
            .bytes = left_bytes(),
            .message = "populate_at_start = all: " + std::to_string(budget_.committed_bytes() / page_bytes_) + " of " +
                       std::to_string(page_count) + " pages of " + PageText(page_bytes_) + " could be populated",
            .mend = "Lower capacity_bytes, free memory on these nodes, or reserve huge pages: hugepool check --need " +
                    FormatBytes(options.capacity_bytes) + " prints the command."};
  return false;
}

// True when empty pages of other windows were given back because the budget had no room for needed_bytes.
bool ArenaSet::TrimOthers(size_t window, size_t needed_bytes) {
  const size_t capacity_bytes = budget_.capacity_bytes();
  if (needed_bytes > capacity_bytes) return false;
  const size_t target_bytes = capacity_bytes - needed_bytes;
  const size_t before_bytes = budget_.committed_bytes();
  for (size_t other = 0; other < arenas_.size() && budget_.committed_bytes() > target_bytes; ++other) {
    if (other != window) arenas_[other]->Trim(target_bytes);
  }
  return budget_.committed_bytes() < before_bytes;
}

void* ArenaSet::AllocateSlab(size_t window, size_t slot_count, SlotTag tag) {
  void* slab = arenas_[window]->AllocateSlab(slot_count, tag);
  if (slab == nullptr && TrimOthers(window, page_bytes_)) slab = arenas_[window]->AllocateSlab(slot_count, tag);
  return slab;
}

void* ArenaSet::AllocateRun(size_t window, size_t slot_count) {
  void* run = arenas_[window]->AllocateRun(slot_count);
  if (run == nullptr && TrimOthers(window, RoundUp(slot_count * kSlotBytes, page_bytes_)))
    run = arenas_[window]->AllocateRun(slot_count);
  return run;
}

size_t ArenaSet::draining_bytes() {
  size_t bytes = 0;
  for (const auto& arena : arenas_) bytes += arena->draining_bytes();
  return bytes;
}

void ArenaSet::Trim(size_t target_bytes) {
  for (const auto& arena : arenas_) arena->Trim(target_bytes);
}

}  // namespace hugepool::internal
