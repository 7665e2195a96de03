// CpuCache: what it holds, counted: magazines and outboxes, depots, piles.
#include <algorithm>
#include <array>
#include <atomic>
#include <numeric>

#include "cache/cpu_cache.h"

namespace hugepool::internal {

void CpuCache::AddMagazines(uint64_t* counts) const {
  if (regions_ == nullptr) return;
  regions_->ForEachRegion([counts](size_t, size_t, const CpuRegions::Region& region) {
    region.tags.ForEach([&](size_t tag) {
      counts[ToSize(ClassOfTag(static_cast<SlotTag>(tag)))] += CpuRegions::Count(region.magazines[tag]);
    });
  });
}

void CpuCache::AddDepots(uint64_t* counts) const {
  for (const auto& depot : depots_) {
    for (size_t i = 0; i < kMaxClassCount; ++i) counts[i] += depot->count(ToSizeClass(i));
  }
}

void CpuCache::AddPiles(uint64_t* counts) const {
  for (const auto& pile : piles_) {
    for (size_t i = 0; i < kMaxClassCount; ++i) counts[i] += pile->count(ToSizeClass(i));
  }
}

void CpuCache::AddFreeOf(size_t window, uint64_t* counts) const {
  if (regions_ == nullptr) return;
  const AddressMap& map = slabs_.arenas().map();
  std::array<void*, kMagazineMaxCount> objects;
  regions_->ForEachRegion([&](size_t cpu, size_t, const CpuRegions::Region& region) {
    region.tags.ForEach([&](size_t tag) {
      const size_t count = regions_->Peek(cpu, region, tag, objects.data());
      counts[ToSize(ClassOfTag(static_cast<SlotTag>(tag)))] += static_cast<uint64_t>(
          std::count_if(objects.begin(), objects.begin() + static_cast<ptrdiff_t>(count),
                        [&](const void* object) { return map.Contains(object) && map.WindowOf(object) == window; }));
    });
  });
  for (size_t i = 0; i < kMaxClassCount; ++i) {
    counts[i] += depots_[window]->count(ToSizeClass(i)) + piles_[window]->count(ToSizeClass(i));
  }
}

void CpuCache::AddStats(size_t window, NodeStats* stats) const {
  if (hand_overs_.empty()) return;
  stats->hand_over_count = hand_overs_[window].count.load(std::memory_order_relaxed);
  stats->handed_over_block_count = hand_overs_[window].block_count.load(std::memory_order_relaxed);
}

uint64_t CpuCache::free_count() const {
  std::array<uint64_t, kMaxClassCount> counts{};
  AddMagazines(counts.data());
  AddDepots(counts.data());
  AddPiles(counts.data());
  return std::accumulate(counts.begin(), counts.end(), uint64_t{0});
}

uint64_t CpuCache::Bytes(const std::array<uint64_t, kMaxClassCount>& counts) const {
  uint64_t bytes = 0;
  for (size_t i = 0; i < slabs_.classes().class_count(); ++i) bytes += counts[i] * BytesOf(ToSizeClass(i));
  return bytes;
}

uint64_t CpuCache::cached_bytes() const {
  std::array<uint64_t, kMaxClassCount> counts{};
  AddMagazines(counts.data());
  AddDepots(counts.data());
  return Bytes(counts);
}

uint64_t CpuCache::piled_bytes() const {
  std::array<uint64_t, kMaxClassCount> counts{};
  AddPiles(counts.data());
  return Bytes(counts);
}

uint64_t CpuCache::magazine_bytes() const {
  std::array<uint64_t, kMaxClassCount> counts{};
  AddMagazines(counts.data());
  return Bytes(counts);
}

uint64_t CpuCache::capacity_count(SizeClass size_class) const {
  uint64_t count = 0;
  if (regions_ == nullptr) return count;
  regions_->ForEachRegion([&](size_t, size_t, const CpuRegions::Region& region) {
    if (region.tags.Has(TagOf(size_class))) count += CpuRegions::Capacity(region.magazines[TagOf(size_class)]);
  });
  return count;
}

void CpuCache::SetPilesApart(LiveMemory* live) const {
  std::array<uint64_t, kMaxClassCount> counts{};
  AddPiles(counts.data());
  for (size_t i = 0; i < slabs_.classes().class_count(); ++i) live->counts[i] -= std::min(live->counts[i], counts[i]);
  const uint64_t bytes = std::min(live->used_bytes, Bytes(counts));
  live->used_bytes -= bytes;
  live->other_bytes += bytes;
}

}  // namespace hugepool::internal
