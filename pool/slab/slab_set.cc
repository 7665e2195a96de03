#include "slab/slab_set.h"

namespace hugepool::internal {

std::unique_ptr<SlabSet> SlabSet::Create(ArenaSet& arenas, MetadataMemory& metadata, Error* error) {
  std::unique_ptr<SlabSet> set(new SlabSet(arenas));
  for (size_t window = 0; window < arenas.window_count(); ++window) {
    SlabBin::Window shared{.arenas = &arenas, .number = window};
    shared.slabs = metadata.MapArray<Slab>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.slabs == nullptr) return nullptr;
    shared.rows = metadata.MapArray<ExternalRow>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.rows == nullptr) return nullptr;
    shared.slots_to_first = metadata.MapArray<uint8_t>(arenas.slots_per_window(), arenas.NodeIdOf(window), error);
    if (shared.slots_to_first == nullptr) return nullptr;
    for (size_t i = 0; i < kMaxClassCount; ++i) {
      set->bins_.push_back(std::make_unique<SlabBin>(shared, ToSizeClass(i), set->classes_.infos(ToSizeClass(i))));
    }
  }
  return set;
}

bool SlabSet::ReleaseEmpty() {
  bool released = false;
  for (const auto& bin : bins_) released |= bin->ReleaseEmpty();
  return released;
}

void SlabSet::AddUsed(uint64_t* bytes, uint64_t* count) {
  for (size_t i = 0; i < bins_.size(); ++i) {
    const size_t used_count = bins_[i]->used_count();
    *count += used_count;
    if (used_count != 0) *bytes += used_count * classes_.ObjectBytes(ToSizeClass(i % kMaxClassCount));
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
    if (tag != kFree && tag < kFirstRunTag) ++tagged_count;
  }
  if (tagged_count != slab_slot_count) {
    *why = "slots tagged as slabs: " + std::to_string(tagged_count) +
           ", slots of slabs: " + std::to_string(slab_slot_count);
    return false;
  }
  return true;
}

}  // namespace hugepool::internal
