#include "slab/slab_set.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

// An object may be borrowed that is larger than the wanted one by at most this part; for a class that was learned to save
// what rounding up takes, by less.
constexpr size_t kBorrowPart = 4;
constexpr size_t kBorrowPartOfLearned = 32;
// Slabs that may come while a plan is made, and are in it.
constexpr size_t kMoreSlabsSinceThen = 64;

}  // namespace

std::unique_ptr<SlabSet> SlabSet::Create(ArenaSet& arenas, MetadataMemory& metadata, Error* error) {
  std::unique_ptr<SlabSet> set(new SlabSet(arenas));
  for (size_t window = 0; window < arenas.window_count(); ++window) {
    SlabBin::Window shared{.arenas = &arenas, .number = window, .moved_bytes = &set->moved_bytes_};
    shared.slabs = metadata.MapArray<Slab>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.slabs == nullptr) return nullptr;
    shared.rows = metadata.MapArray<ExternalRow>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.rows == nullptr) return nullptr;
    shared.slots_to_first = metadata.MapArray<uint8_t>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.slots_to_first == nullptr) return nullptr;
    set->windows_.push_back(shared);
    for (size_t i = 0; i < kMaxClassCount; ++i) {
      set->bins_.push_back(std::make_unique<SlabBin>(shared, ToSizeClass(i), set->classes_.infos(ToSizeClass(i))));
    }
  }
  return set;
}

SizeClass SlabSet::ClassOf(const void* block) const {
  const AddressMap& map = arenas_.map();
  const SlotTag tag = map.Tag(map.SlotOf(block));
  return tag == kDraining ? windows_[map.WindowOf(block)].SlabOf(block).size_class : ClassOfTag(tag);
}

void SlabSet::FreeDraining(void* block) {
  const size_t window = arenas_.map().WindowOf(block);
  bin(window, windows_[window].SlabOf(block).size_class).Free(&block, 1);
}

size_t SlabSet::AllocateOrBorrow(size_t window, SizeClass size_class, void** objects, size_t count) {
  const size_t taken = bin(window, size_class).AllocateListed(objects, count);
  if (taken != 0 || count == 0) return taken;
  const size_t wanted_bytes = classes_.ObjectBytes(size_class);
  const size_t part = classes_.IsLearned(size_class) ? kBorrowPartOfLearned : kBorrowPart;
  const size_t most_bytes = std::min(wanted_bytes + wanted_bytes / part, kMaxSlabBytes);
  for (size_t bytes = wanted_bytes; bytes < most_bytes;) {
    const SizeClass lender = classes_.For(bytes + 1);
    bytes = classes_.ObjectBytes(lender);
    if (bytes > most_bytes) break;
    SlabBin& lending = bin(window, lender);
    if (!lending.Lends()) continue;
    if (!bin(window, size_class).CountBorrowed()) break;
    if (lending.AllocateListed(objects, 1) != 0) return 1;
  }
  return bin(window, size_class).Allocate(objects, count);
}

bool SlabSet::ReleaseEmpty() {
  bool released = false;
  for (const auto& bin : bins_) released |= bin->ReleaseEmpty();
  return released;
}

size_t SlabSet::StartDraining(size_t wanted_bytes, const std::array<uint64_t, kMaxClassCount>& kept_free_counts) {
  size_t draining_bytes = 0;
  for (size_t window = 0; window < arenas_.window_count() && draining_bytes < wanted_bytes; ++window) {
    draining_bytes += StartDrainingIn(window, wanted_bytes - draining_bytes, kept_free_counts);
  }
  return draining_bytes;
}

// Returns the bytes of what drains now.
size_t SlabSet::StartDrainingIn(size_t window, size_t wanted_bytes,
                                const std::array<uint64_t, kMaxClassCount>& kept_free_counts) {
  std::vector<SlabUse> uses;
  size_t slab_count = 0;
  for (size_t i = 0; i < kMaxClassCount; ++i) slab_count += bin(window, ToSizeClass(i)).slab_count();
  // Touched here, not under the bins' locks.
  uses.resize(slab_count + kMoreSlabsSinceThen);
  uses.clear();
  for (size_t i = 0; i < kMaxClassCount; ++i) bin(window, ToSizeClass(i)).AddUse(&uses);
  NodeArena& arena = arenas_.arena(window);
  const auto address_of = [&](uint32_t slot) { return arenas_.WindowAddress(window) + (size_t{slot} << kSlotShift); };
  const auto unit_bytes = [&](uint32_t slot) { return arena.UnitBytes(address_of(slot)); };
  const auto unit_slot_count = [&](uint32_t slot) { return unit_bytes(slot) / kSlotBytes; };
  size_t draining_bytes = 0;
  for (const DrainedUnit& unit : PlanDraining(uses, unit_slot_count, kept_free_counts, wanted_bytes)) {
    const uint32_t first = unit.slabs.front()->slot;
    // The unit first: from then on no other slab starts there. It refuses where something else lies there too.
    if (!arena.StartDraining(address_of(first), unit.slot_count)) continue;
    for (const SlabUse* const use : unit.slabs) {
      bin(window, use->size_class).StartDraining(use->slot);
      if (use->used_count == 0) bin(window, use->size_class).ReleaseDrained();
    }
    draining_bytes += unit_bytes(first);
  }
  return draining_bytes;
}

bool SlabSet::Drains(SizeClass size_class) const {
  for (size_t window = 0; window < arenas_.window_count(); ++window) {
    if (bins_[window * kMaxClassCount + ToSize(size_class)]->draining_slot_count() != 0) return true;
  }
  return false;
}

size_t SlabSet::UsedCount(SizeClass size_class) {
  size_t count = 0;
  for (size_t window = 0; window < arenas_.window_count(); ++window) count += bin(window, size_class).used_count();
  return count;
}

void SlabSet::AddUsed(uint64_t* bytes, uint64_t* count) {
  for (size_t i = 0; i < bins_.size(); ++i) {
    const size_t used_count = bins_[i]->used_count();
    *count += used_count;
    if (used_count != 0) *bytes += used_count * classes_.ObjectBytes(ToSizeClass(i % kMaxClassCount));
  }
}

void SlabSet::CountLive(LiveMemory* live) {
  for (size_t window = 0; window < arenas_.window_count(); ++window) {
    uint64_t count = 0;
    uint64_t draining_slot_count = 0;
    uint64_t draining_used_bytes = 0;
    for (size_t i = 0; i < classes_.class_count(); ++i) {
      SlabBin& one = bin(window, ToSizeClass(i));
      const size_t used_count = one.used_count();
      live->counts[i] += used_count;
      live->used_bytes += used_count * classes_.ObjectBytes(ToSizeClass(i));
      draining_used_bytes += one.draining_used_count() * classes_.ObjectBytes(ToSizeClass(i));
      draining_slot_count += one.draining_slot_count();
      count += used_count;
    }
    // A unit that drains is on its way whole, also what is free in it. (Where one of its slabs was taken back it is none
    // any more, and its other slabs drain alone.)
    NodeStats node;
    arenas_.arena(window).AddStats(&node);
    const uint64_t draining_bytes = std::max(draining_slot_count * kSlotBytes, node.draining_bytes);
    live->other_bytes += node.empty_bytes + draining_bytes - std::min(draining_bytes, draining_used_bytes);
    if (count != 0) ++live->node_count;
  }
}

bool SlabSet::Check(std::string* why) {
  size_t slab_slot_count = 0;
  for (const auto& bin : bins_) {
    if (!bin->Check(&slab_slot_count, why)) return false;
  }
  size_t tagged_count = 0;
  const AddressMap& map = arenas_.map();
  for (size_t slot = 0; slot < arenas_.window_count() * arenas_.slots_per_window(); ++slot) {
    const SlotTag tag = map.Tag(slot);
    if (IsSlab(tag)) ++tagged_count;
  }
  if (tagged_count != slab_slot_count) {
    *why = "slots tagged as slabs: " + std::to_string(tagged_count) +
           ", slots of slabs: " + std::to_string(slab_slot_count);
    return false;
  }
  return true;
}

}  // namespace hugepool::internal
