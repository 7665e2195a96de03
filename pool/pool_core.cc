#include "pool/pool_core.h"

#include <malloc.h>
#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

#include "cache/percpu_counts.h"
#include "os/report.h"
#include "pool/placement_report.h"

namespace hugepool::internal {
namespace {

constexpr size_t kMaxCacheBytesPerCpu = size_t{1} << 30;
constexpr uint32_t kMaxSeconds = 3600;
constexpr size_t kMaxNameLength = 64;
// Looks at how the slabs lie, for each time that as much as is used left them or came back, and bytes between two at least.
constexpr uint64_t kLooksPerTurnover = 32;
constexpr uint64_t kMinLookBytes = uint64_t{8} << 20;

bool Refuse(Error* error, std::string message, std::string mend) {
  *error = Error{.code = ErrorCode::kInvalidArgument,
                 .operation = "Pool::Create",
                 .message = std::move(message),
                 .mend = std::move(mend)};
  return false;
}

bool Validate(const PoolOptions& options, const Topology& topology, Error* error) {
  uint64_t memory_bytes = 0;
  const bool one_node = options.placement.policy == Placement::Policy::kNode;
  if (one_node) {
    const auto node = topology.FindNode(options.placement.node_id);
    if (!node || !topology.node(*node).usable()) {
      return Refuse(error,
                    "placement = node(" + std::to_string(options.placement.node_id) +
                        ") is no node whose memory this process may use",
                    "Usable nodes: " + topology.UsableNodeIds() + ".");
    }
    memory_bytes = topology.node(*node).memory_bytes;
  } else {
    for (const NodeIndex node : topology.usable_nodes()) memory_bytes += topology.node(node).memory_bytes;
  }
  if (options.page_bytes != kHugePageBytes && options.page_bytes != kGiantPageBytes) {
    return Refuse(error, "page_bytes = " + std::to_string(options.page_bytes) + " is no size of a pool's pages",
                  "Allowed: " + FormatBytes(kHugePageBytes) + ", " + FormatBytes(kGiantPageBytes) + ".");
  }
  const bool hugetlb = options.huge_pages == HugePages::kRequired || options.huge_pages == HugePages::kPreferred;
  if (options.page_bytes != kHugePageBytes && !hugetlb) {
    return Refuse(error,
                  "page_bytes = 1G has no meaning with huge_pages = " + std::string(ToString(options.huge_pages)) +
                      ", which leaves reserved pages to others",
                  "Allowed with it: huge_pages = required, preferred.");
  }
  if (options.capacity_bytes < options.page_bytes || options.capacity_bytes > memory_bytes) {
    return Refuse(error,
                  "capacity_bytes = " + std::to_string(options.capacity_bytes) + " is out of range" +
                      (options.page_bytes == kHugePageBytes ? "" : " for page_bytes = 1G"),
                  "Allowed: " + FormatBytes(options.page_bytes) + " to " + std::to_string(memory_bytes) +
                      " (the memory of " +
                      (one_node ? "node " + std::to_string(options.placement.node_id) : "the usable nodes") + ").");
  }
  if (options.cache_bytes_per_cpu > kMaxCacheBytesPerCpu) {
    return Refuse(error, "cache_bytes_per_cpu = " + std::to_string(options.cache_bytes_per_cpu) + " is out of range",
                  "Allowed: 0 (no caching) to 1G.");
  }
  const std::pair<const char*, uint32_t> all_seconds[] = {
      {"wait_for_huge_pages_seconds", options.wait_for_huge_pages_seconds}, {"decay_seconds", options.decay_seconds}};
  for (const auto& [name, seconds] : all_seconds) {
    if (seconds <= kMaxSeconds) continue;
    return Refuse(error, std::string(name) + " = " + std::to_string(seconds) + " is out of range",
                  "Allowed: 0 to 3600.");
  }
  if (options.name.size() > kMaxNameLength) {
    return Refuse(error, "name has " + std::to_string(options.name.size()) + " characters", "Allowed: at most 64.");
  }
  constexpr std::string_view kSpace = " \t\r\n";
  if (!options.name.empty() &&
      (options.name.find(';') != std::string::npos || kSpace.find(options.name.front()) != std::string_view::npos ||
       kSpace.find(options.name.back()) != std::string_view::npos)) {
    return Refuse(error, "name = '" + options.name + "' could not be read back from PoolOptions::ToString",
                  "Allowed: no ';', and no space at either end.");
  }
  return true;
}

size_t WholePages(size_t bytes, size_t page_bytes) { return (bytes + page_bytes - 1) / page_bytes * page_bytes; }

PoolOptions Rounded(PoolOptions options) {
  options.capacity_bytes = WholePages(options.capacity_bytes, options.page_bytes);
  return options;
}

}  // namespace

std::unique_ptr<PoolCore> PoolCore::Create(const PoolOptions& options, OsMemory& os, const Topology& topology,
                                           Error* error) {
  if (!Validate(options, topology, error)) return nullptr;
  std::unique_ptr<PoolCore> core(new PoolCore(Rounded(options), os));
  if (!core->Build(topology, error)) return nullptr;
  return core;
}

bool PoolCore::Build(const Topology& topology, Error* error) {
  constexpr size_t kPageBytes = 4096;
  alive_ = metadata_.MapArray<std::atomic<uint32_t>>(kPageBytes / sizeof *alive_, -1, error);
  if (alive_ == nullptr) return false;
  alive_->store(1, std::memory_order_relaxed);
  const int refused = os_.Advise(alive_, kPageBytes, MADV_WIPEONFORK);
  if (refused != 0) {
    *error = Error{.code = ErrorCode::kSystem,
                   .operation = "madvise(MADV_WIPEONFORK)",
                   .errno_value = refused,
                   .bytes = kPageBytes,
                   .message = "a forked child could not be told from its parent",
                   .mend = "Allow madvise in the seccomp profile."};
    return false;
  }
  arenas_ = ArenaSet::Create(options_, os_, topology, metadata_, error);
  if (arenas_ == nullptr) return false;
  placement_ = std::make_unique<PlacementPolicy>(options_.placement, *arenas_);
  slabs_ = SlabSet::Create(*arenas_, metadata_, error);
  if (slabs_ == nullptr) return false;
  if (options_.learn_size_classes) learner_ = std::make_unique<SizeLearner>(slabs_->classes());
  cache_ = CpuCache::Create(options_.cpu_cache, *slabs_, *placement_, options_.cache_bytes_per_cpu,
                            options_.decay_seconds, metadata_, error);
  if (cache_ == nullptr) return false;
  view_.tags_address = reinterpret_cast<uint64_t>(arenas_->map().tags()) -
                       (reinterpret_cast<uint64_t>(arenas_->WindowAddress(0)) >> kSlotShift);
  view_.class_tags = slabs_->classes().tags();
  if (!cache_->FillView(&view_, error)) return false;
  outboxes_ = cache_->Outboxes(view_);
  return true;
}

PoolCore::~PoolCore() {
  if (alive_ != nullptr && arenas_ != nullptr && InChild()) arenas_->Abandon();
}

void* PoolCore::Allocate(size_t bytes, size_t alignment_bytes) {
  if (!std::has_single_bit(alignment_bytes) || alignment_bytes > kMaxAlignmentBytes) {
    failed_count_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  if (InChild()) return AllocateInChild(bytes, alignment_bytes);
  const size_t wanted_bytes = std::max<size_t>(bytes, 1);
  void* block = nullptr;
  if (wanted_bytes > kMaxSlabBytes) {
    block = AllocateRun(wanted_bytes);
  } else {
    const ClassTable& classes = slabs_->classes();
    size_t fetched_count = 0;
    // A block of another class may be aligned to less.
    const bool any = alignment_bytes <= kMinAlignmentBytes;
    block = cache_->Allocate(any ? classes.For(wanted_bytes) : classes.For(wanted_bytes, alignment_bytes),
                             any ? CpuCache::From::kLarger : CpuCache::From::kClass, &fetched_count);
    // What must be aligned to more than a cache line does not choose by size alone.
    if (alignment_bytes <= kCacheLineBytes) NoteFetched(wanted_bytes, fetched_count);
  }
  if (block == nullptr) failed_count_.fetch_add(1, std::memory_order_relaxed);
  return block;
}

void* PoolCore::AllocateClass(SizeClass size_class) {
  if (InChild()) {
    // The alignment that the class has by itself, for whatever a SlabCache asked for is part of it.
    const size_t object_bytes = slabs_->classes().ObjectBytes(size_class);
    return AllocateInChild(object_bytes, std::min(object_bytes & -object_bytes, kMaxAlignmentBytes));
  }
  void* const block = cache_->Allocate(size_class);
  if (block == nullptr) failed_count_.fetch_add(1, std::memory_order_relaxed);
  return block;
}

size_t PoolCore::AllocateBatch(size_t bytes, void** blocks, size_t count) {
  if (!InChild() && bytes <= kMaxSlabBytes) {
    const size_t wanted_bytes = std::max<size_t>(bytes, 1);
    size_t fetched_count = 0;
    const size_t taken =
        TakeBatch(slabs_->classes().For(wanted_bytes), CpuCache::From::kLarger, blocks, count, &fetched_count);
    NoteFetched(wanted_bytes, fetched_count);
    return taken;
  }
  for (size_t i = 0; i < count; ++i) {
    blocks[i] = Allocate(bytes, 1);
    if (blocks[i] == nullptr) return i;
  }
  return count;
}

size_t PoolCore::AllocateClassBatch(SizeClass size_class, void** blocks, size_t count) {
  size_t taken = 0;
  if (InChild()) {
    while (taken < count && (blocks[taken] = AllocateClass(size_class)) != nullptr) ++taken;
    return taken;
  }
  size_t fetched_count = 0;
  return TakeBatch(size_class, CpuCache::From::kClass, blocks, count, &fetched_count);
}

size_t PoolCore::TakeBatch(SizeClass size_class, CpuCache::From from, void** blocks, size_t count,
                           size_t* fetched_count) {
  const size_t taken = cache_->AllocateBatch(size_class, from, blocks, count, fetched_count);
  if (taken < count) failed_count_.fetch_add(1, std::memory_order_relaxed);
  return taken;
}

// Blocks that left the slabs are a sample of what is asked for; now and then they make it time to look whether the classes
// fit, and whether slabs hold more free room than chance explains. One thread at a time; others go on. No lock is held.
void PoolCore::NoteFetched(size_t bytes, size_t fetched_count) {
  if (fetched_count == 0) return;
  LookIfDue(learner_ != nullptr && learner_->Sample(bytes, fetched_count));
}

void PoolCore::LookIfDue(bool plan, bool look) {
  look |= slabs_->moved_bytes() >= look_bytes_.load(std::memory_order_relaxed);
  // Acquire, with the release below: one look sees what the one before left.
  if ((!plan && !look) || looking_.exchange(true, std::memory_order_acquire)) return;
  LiveMemory live{.other_bytes = run_bytes_.load(std::memory_order_relaxed),
                  .committed_bytes = arenas_->budget().committed_bytes(),
                  .capacity_bytes = arenas_->budget().capacity_bytes()};
  slabs_->CountLive(&live);
  cache_->SetPilesApart(&live);
  if (plan) {
    learner_->Plan(live);
    cache_->CloseUnused();
  }
  if (look) {
    slabs_->ResetMoved();
    look_bytes_.store(std::max(kMinLookBytes, live.used_bytes / kLooksPerTurnover), std::memory_order_relaxed);
    DrainHoles(live);
  }
  looking_.store(false, std::memory_order_release);
}

void PoolCore::DrainHoles(const LiveMemory& live) {
  // Whoever wants all pages to be there, or none to go, is not asked.
  if (options_.decay_seconds == 0 || options_.populate_at_start == PopulateAtStart::kAll) return;
  const uint64_t hole_bytes = hole_watch_.Look(live, os_.NowNs());
  if (hole_bytes < options_.page_bytes) return;
  try {
    const size_t draining_bytes = cache_->StartDraining(hole_bytes, CpuCache::Kept::kChance);
    if (draining_bytes != 0) (void)cache_->Drain(CpuCache::kSortedAtOnceCount);
    hole_watch_.NoteDraining(draining_bytes);
  } catch (const std::bad_alloc&) {
    // No memory for the list: what is free stays where it is.
  }
}

void* PoolCore::AllocateRun(size_t bytes) {
  if (bytes > arenas_->budget().capacity_bytes()) return nullptr;
  const size_t slot_count = (bytes + kSlotBytes - 1) / kSlotBytes;
  (void)cache_->SortPiles(CpuCache::kSortedAtOnceCount);
  const size_t target = placement_->Target(os_.CurrentCpu());
  const auto attempt = [&] {
    void* found = arenas_->AllocateRun(target, slot_count);
    if (found == nullptr && cache_->SortPiles(SIZE_MAX)) found = arenas_->AllocateRun(target, slot_count);
    if (found != nullptr) return found;
    placement_->Depart(target, [&](size_t window) -> PlacementPolicy::Given {
      found = arenas_->AllocateRun(window, slot_count);
      if (found == nullptr) return {};
      return {.count = 1, .bytes = slot_count * kSlotBytes};
    });
    return found;
  };
  void* run = attempt();
  if (run == nullptr) cache_->EmptyAndRetry([&] { return (run = attempt()) != nullptr; });
  if (run != nullptr) {
    run_bytes_.fetch_add(slot_count * kSlotBytes, std::memory_order_relaxed);
    run_count_.fetch_add(1, std::memory_order_relaxed);
  }
  return run;
}

void PoolCore::Deallocate(void* block) noexcept {
  // What most come for: a block of another class than the thread's last one, or of another node.
  const AddressMap& map = arenas_->map();
  if (map.Contains(block)) {
    const SlotTag tag = map.Tag(map.SlotOf(block));
    if (tag != last_freed_tag && IsClass(tag)) {
      last_freed_tag = tag;
      if (PercpuPush<false>(ObjectsOf(view_.objects, tag), view_.least_distance, view_.rseq, block)) return;
    }
    if (outboxes_.Push(block, map.WindowOf(block), tag)) return;
  }
  DeallocateOther(block);
}

void PoolCore::DeallocateOther(void* block) {
  const AddressMap& map = arenas_->map();
  if (block == nullptr) return;
  if (InChild()) return DeallocateInChild(block);
  if (!map.Contains(block)) Die("foreign pointer freed", "%p is not in pool '%s'", block, options_.name.c_str());
  const size_t slot = map.SlotOf(block);
  const SlotTag tag = map.Tag(slot);
  if (IsClass(tag) || tag == kDraining) {
    if (tag == kDraining) {
      slabs_->FreeDraining(block);
    } else {
      cache_->Deallocate(block, ClassOfTag(tag));
    }
    return LookIfDue(false);
  }
  if (tag != kRunHead || map.OffsetInSlot(block) != 0) {
    Die(tag == kFree ? "double free or foreign pointer" : "interior pointer freed",
        "%p starts no block of pool '%s' (node %d)", block, options_.name.c_str(), NodeOf(block));
  }
  const size_t slot_count = map.RunSlotCount(slot);
  run_bytes_.fetch_sub(slot_count * kSlotBytes, std::memory_order_relaxed);
  run_count_.fetch_sub(1, std::memory_order_relaxed);
  arenas_->Free(block, slot_count);
}

void PoolCore::DeallocateBatch(void* const* blocks, size_t count) {
  if (InChild()) {
    for (size_t i = 0; i < count; ++i) Deallocate(blocks[i]);
    return;
  }
  const AddressMap& map = arenas_->map();
  const auto tag_of = [&map](const void* block) { return map.Contains(block) ? map.Tag(map.SlotOf(block)) : kFree; };
  for (size_t first = 0; first < count;) {
    const SlotTag tag = tag_of(blocks[first]);
    if (!IsClass(tag)) {
      Deallocate(blocks[first++]);
      continue;
    }
    size_t last = first + 1;
    while (last < count && tag_of(blocks[last]) == tag) ++last;
    cache_->DeallocateBatch(ClassOfTag(tag), blocks + first, last - first);
    first = last;
  }
}

void PoolCore::Deallocate(void* block, size_t bytes) {
  // Where no block starts there is no size to compare: the call below says what is wrong.
  const size_t usable_bytes = block == nullptr || InChild() ? 0 : UsableSize(block);
  if (usable_bytes != 0 && bytes > usable_bytes) {
    Die("wrong size freed", "%p is a block of %zu bytes of pool '%s' (node %d), freed as %zu bytes", block,
        usable_bytes, options_.name.c_str(), NodeOf(block), bytes);
  }
  Deallocate(block);
}

size_t PoolCore::AddSizeClass(size_t bytes, Error* error) {
  const auto refuse = [error](ErrorCode code, std::string message, std::string mend) {
    *error =
        Error{.code = code, .operation = "Pool::AddSizeClass", .message = std::move(message), .mend = std::move(mend)};
    return size_t{0};
  };
  if (bytes == 0 || bytes > kMaxSlabBytes) {
    return refuse(ErrorCode::kInvalidArgument, "bytes = " + std::to_string(bytes) + " is out of range",
                  "Allowed: 1 to " + FormatBytes(kMaxSlabBytes) + "; larger blocks take runs of 64 KiB.");
  }
  // A child is served by malloc, and takes no lock that a thread of its parent may have held.
  if (InChild()) return slabs_->classes().ObjectBytes(slabs_->classes().For(bytes));
  const std::optional<SizeClass> size_class = slabs_->classes().Add(bytes);
  if (!size_class) {
    return refuse(ErrorCode::kInvalidArgument,
                  "this pool has " + std::to_string(kAddedClassLimit) + " added size classes already; " +
                      std::to_string(bytes) + " bytes would be one more",
                  "Add fewer, or round sizes that lie close together up to one of them.");
  }
  return slabs_->classes().ObjectBytes(*size_class);
}

// In a child the windows are not mapped: whatever it allocates comes from malloc, and goes back there.
void* PoolCore::AllocateInChild(size_t bytes, size_t alignment_bytes) {
  child_allocate_count_.fetch_add(1, std::memory_order_relaxed);
  const size_t natural = bytes >= kCacheLineFromBytes ? kCacheLineBytes : kMinAlignmentBytes;
  void* block = nullptr;
  return posix_memalign(&block, std::max(alignment_bytes, natural), std::max<size_t>(bytes, 1)) == 0 ? block : nullptr;
}

void PoolCore::DeallocateInChild(void* block) {
  if (Owns(block)) {
    child_deallocate_count_.fetch_add(1, std::memory_order_relaxed);
  } else {
    std::free(block);
  }
}

size_t PoolCore::UsableSize(const void* block) const {
  const AddressMap& map = arenas_->map();
  if (!map.Contains(block)) {
    return block != nullptr && InChild() ? malloc_usable_size(const_cast<void*>(block)) : 0;
  }
  const size_t slot = map.SlotOf(block);
  const SlotTag tag = map.Tag(slot);
  if (IsSlab(tag)) return slabs_->classes().ObjectBytes(slabs_->ClassOf(block));
  return tag == kRunHead ? map.RunSlotCount(slot) * kSlotBytes : 0;
}

int PoolCore::NodeOf(const void* block) const {
  const AddressMap& map = arenas_->map();
  return map.Contains(block) ? arenas_->NodeIdOf(map.WindowOf(block)) : -1;
}

size_t PoolCore::Trim(size_t target_bytes) {
  if (InChild()) return 0;
  if (arenas_->budget().committed_bytes() > target_bytes) {
    const auto give_back = [&] {
      cache_->Drain();
      slabs_->ReleaseEmpty();
      arenas_->Trim(target_bytes);
    };
    give_back();
    // What no page is empty for is made to empty: marked first, so that the second drain finds all that caches hold of it.
    // What an earlier trim marked counts as given back: else each trim to one target would mark as much again.
    const size_t committed_bytes = arenas_->budget().committed_bytes();
    const size_t enough_bytes = target_bytes + arenas_->draining_bytes();
    if (committed_bytes > enough_bytes) {
      (void)cache_->StartDraining(committed_bytes - enough_bytes, CpuCache::Kept::kCaches);
      give_back();
    }
  }
  return arenas_->budget().committed_bytes();
}

void PoolCore::Tend() {
  if (InChild()) return;
  cache_->SortIdlePiles();
  LookIfDue(false, true);
  arenas_->GiveBackIdle();
}

void PoolCore::RelievePressure(size_t step_bytes, size_t keep_bytes) {
  if (InChild()) return;
  const size_t before_bytes = arenas_->budget().committed_bytes();
  // The last page given back may be a whole one below the target.
  const size_t lowest_bytes = keep_bytes == 0 ? 0 : keep_bytes + options_.page_bytes - 1;
  const size_t after_bytes = Trim(std::max(before_bytes - std::min(before_bytes, step_bytes), lowest_bytes));
  pressure_event_count_.fetch_add(1, std::memory_order_relaxed);
  pressure_trimmed_bytes_.fetch_add(before_bytes - std::min(before_bytes, after_bytes), std::memory_order_relaxed);
}

bool PoolCore::SetCapacity(size_t bytes, Error* error) {
  const size_t page_bytes = options_.page_bytes;
  const size_t most_bytes = arenas_->max_capacity_bytes() / page_bytes * page_bytes;
  if (bytes < page_bytes || bytes > most_bytes) {
    *error = Error{.code = ErrorCode::kInvalidArgument,
                   .operation = "Pool::SetCapacity",
                   .bytes = bytes,
                   .message = "bytes = " + std::to_string(bytes) + " is out of range",
                   .mend = "Allowed: " + FormatBytes(page_bytes) + " to " + FormatBytes(most_bytes) +
                           ", for which this pool has address space; a pool that may grow further is created with the "
                           "larger capacity_bytes and set to the smaller one."};
    return false;
  }
  if (InChild()) return true;
  const size_t capacity_bytes = WholePages(bytes, page_bytes);
  arenas_->SetCapacity(capacity_bytes);
  (void)Trim(capacity_bytes);
  return true;
}

PoolStats PoolCore::Stats() {
  PoolStats stats;
  stats.name = options_.name;
  stats.backing = ToString(options_.huge_pages);
  stats.placement = ToString(options_.placement);
  stats.page_bytes = options_.page_bytes;
  stats.cache_mode = ToString(cache_->mode());
  stats.aborted_sequence_count = PercpuAbortCount();
  stats.capacity_bytes = arenas_->budget().capacity_bytes();
  stats.child_allocate_count = child_allocate_count_.load(std::memory_order_relaxed);
  stats.child_deallocate_count = child_deallocate_count_.load(std::memory_order_relaxed);
  stats.failed_count = failed_count_.load(std::memory_order_relaxed);
  stats.pressure_event_count = pressure_event_count_.load(std::memory_order_relaxed);
  stats.pressure_trimmed_bytes = pressure_trimmed_bytes_.load(std::memory_order_relaxed);
  if (InChild()) return stats;
  stats.metadata_bytes = metadata_.ResidentBytes();
  stats.refused_bind_count = metadata_.refused_bind_count();
  stats.cached_bytes = cache_->cached_bytes();
  stats.piled_bytes = cache_->piled_bytes();
  stats.learned_class_count = slabs_->classes().learned_count();
  uint64_t left_slabs_bytes = 0;
  uint64_t left_slabs_count = 0;
  slabs_->AddUsed(&left_slabs_bytes, &left_slabs_count);
  stats.allocated_bytes = left_slabs_bytes - std::min(left_slabs_bytes, stats.cached_bytes + stats.piled_bytes) +
                          run_bytes_.load(std::memory_order_relaxed);
  stats.allocated_count =
      left_slabs_count - std::min(left_slabs_count, cache_->free_count()) + run_count_.load(std::memory_order_relaxed);
  AddClassStats(&stats);
  for (size_t window = 0; window < arenas_->window_count(); ++window) {
    NodeArena& arena = arenas_->arena(window);
    NodeStats& node = stats.nodes.emplace_back();
    arena.AddStats(&node);
    placement_->AddStats(window, &node);
    cache_->AddStats(window, &node);
    for (const uint64_t bytes : node.committed_bytes) stats.committed_bytes += bytes;
    stats.refused_bind_count += arena.backing().refused_bind_count();
    stats.refused_locate_count += arena.backing().refused_locate_count();
    stats.refused_give_back_count += arena.backing().refused_give_back_count();
  }
  return stats;
}

// Classes that have a slab somewhere, by node and size.
void PoolCore::AddClassStats(PoolStats* stats) {
  const ClassTable& classes = slabs_->classes();
  std::vector<SizeClass> by_size;
  for (size_t i = 0; i < classes.class_count(); ++i) by_size.push_back(ToSizeClass(i));
  std::sort(by_size.begin(), by_size.end(), [&classes](SizeClass left, SizeClass right) {
    return classes.ObjectBytes(left) < classes.ObjectBytes(right);
  });
  for (size_t window = 0; window < arenas_->window_count(); ++window) {
    std::array<uint64_t, kMaxClassCount> cached_counts{};
    cache_->AddFreeOf(window, cached_counts.data());
    for (const SizeClass size_class : by_size) {
      SlabBin& bin = slabs_->bin(window, size_class);
      ClassStats one;
      bin.AddStats(&one);
      if (one.slab_count == 0) continue;
      one.node_id = arenas_->NodeIdOf(window);
      one.object_bytes = classes.ObjectBytes(size_class);
      one.cached_count = std::min(cached_counts[ToSize(size_class)], one.used_count);
      stats->classes.push_back(one);
    }
  }
}

std::optional<PlacementReport> PoolCore::VerifyPlacement(Error* error) {
  if (InChild()) {
    *error = Error{.code = ErrorCode::kInvalidArgument,
                   .operation = "Pool::VerifyPlacement",
                   .message = "this process is a forked child: the pool's pages are its parent's",
                   .mend = "Ask in the process that created the pool."};
    return std::nullopt;
  }
  return AskKernel(*arenas_, error);
}

bool PoolCore::CheckInvariants(std::string* why) {
  if (InChild()) return true;
  if (!slabs_->Check(why)) return false;
  uint64_t committed_bytes = 0;
  for (size_t window = 0; window < arenas_->window_count(); ++window) {
    if (!arenas_->arena(window).Check(why)) return false;
    NodeStats node;
    arenas_->arena(window).AddStats(&node);
    for (const uint64_t bytes : node.committed_bytes) committed_bytes += bytes;
  }
  if (committed_bytes != arenas_->budget().committed_bytes()) {
    *why = "pages of all nodes are " + std::to_string(committed_bytes) + " bytes, the budget says " +
           std::to_string(arenas_->budget().committed_bytes());
    return false;
  }
  return true;
}

}  // namespace hugepool::internal
