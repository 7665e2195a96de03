// SizeClass: the sizes into which slabs are cut.
//
// Shape      multiples of 16 B to 128 B; 8 classes per doubling to 1 KiB; 16 per doubling, all multiples of a cache
//            line, to 32 KiB; then 2 MiB / k rounded down to a cache line, for such k that the step stays ≤ 1/8, to
//            256 KiB. Larger blocks are runs.
// Units      bytes
// Threads    constants
// Invariant  a class wastes ≤ 1/8 of a block above 128 B, ≤ 1/16 from 1 KiB to 32 KiB; a slab wastes ≤ 1/256 at its
//            tail where any length up to 2 MiB does, else as little as any does
// Cost       class of a size: one table look-up to 32 KiB; above, one and a step or two
#ifndef HUGEPOOL_SLAB_SIZE_CLASSES_H_
#define HUGEPOOL_SLAB_SIZE_CLASSES_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "arena/address_map.h"
#include "hugepool/types.h"

namespace hugepool::internal {

enum class SizeClass : uint8_t {};
constexpr size_t ToSize(SizeClass size_class) { return static_cast<size_t>(size_class); }
constexpr SizeClass ToSizeClass(size_t index) { return static_cast<SizeClass>(index); }
constexpr SlotTag TagOf(SizeClass size_class) { return static_cast<SlotTag>(ToSize(size_class) + 1); }
constexpr SizeClass ClassOfTag(SlotTag tag) { return ToSizeClass(tag - size_t{1}); }

inline constexpr size_t kMaxSlabBytes = size_t{256} << 10;
inline constexpr size_t kMaxTableBytes = size_t{32} << 10;
inline constexpr size_t kMaxObjectsPerSlab = kSlotBytes / kMinAlignmentBytes;

struct SizeClassInfo {
  uint32_t object_bytes = 0;
  uint16_t object_count = 0;  // per slab
  uint8_t slab_order = 0;     // a slab is 2^slab_order slots
  uint64_t reciprocal = 0;  // offset × reciprocal >> kReciprocalShift = offset / object_bytes for offsets below 2 MiB

  static constexpr unsigned kReciprocalShift = 44;
  constexpr size_t slot_count() const { return size_t{1} << slab_order; }
  constexpr size_t IndexOf(size_t offset) const { return offset * reciprocal >> kReciprocalShift; }
};

namespace size_class_detail {

// Above 32 KiB a slab is one huge page cut into so many objects.
inline constexpr auto kDivisors =
    std::to_array<size_t>({60, 54, 49, 44, 40, 36, 32, 29, 26, 24, 22, 20, 18, 16, 15, 14, 13, 12, 11, 10, 9, 8});
static_assert(kHugePageBytes / kDivisors.back() == kMaxSlabBytes);
inline constexpr size_t kTableCount = 8 + 3 * 8 + 5 * 16;  // classes to 32 KiB
inline constexpr size_t kCount = kTableCount + kDivisors.size();
static_assert(kCount < kFirstRunTag, "a tag byte holds 1 + class");

constexpr size_t DivisorBytes(size_t divisor) { return kHugePageBytes / divisor / kCacheLineBytes * kCacheLineBytes; }

constexpr SizeClassInfo MakeInfo(size_t object_bytes, size_t order) {
  SizeClassInfo info;
  info.object_bytes = static_cast<uint32_t>(object_bytes);
  info.slab_order = static_cast<uint8_t>(order);
  info.object_count = static_cast<uint16_t>(std::min((kSlotBytes << order) / object_bytes, kMaxObjectsPerSlab));
  info.reciprocal = ((uint64_t{1} << SizeClassInfo::kReciprocalShift) + object_bytes - 1) / object_bytes;
  return info;
}

// The shortest slab whose tail wastes at most 1/waste_limit of it, else the one whose tail wastes least.
constexpr SizeClassInfo MakeInfoWithin(size_t object_bytes, size_t waste_limit) {
  size_t best_order = 0;
  size_t best_waste_per_2mib = kHugePageBytes;
  for (size_t order = 0; order <= 5; ++order) {
    const size_t slab_bytes = kSlotBytes << order;
    const size_t count = std::min(slab_bytes / object_bytes, kMaxObjectsPerSlab);
    if (count == 0) continue;
    const size_t waste_per_2mib = (slab_bytes - count * object_bytes) << (5 - order);
    if (waste_per_2mib < best_waste_per_2mib) {
      best_waste_per_2mib = waste_per_2mib;
      best_order = order;
    }
    if (waste_per_2mib <= kHugePageBytes / waste_limit) break;
  }
  return MakeInfo(object_bytes, best_order);
}

constexpr std::array<SizeClassInfo, kCount> MakeClasses(size_t waste_limit) {
  std::array<SizeClassInfo, kCount> classes{};
  size_t next = 0;
  for (size_t bytes = 16; bytes <= 128; bytes += 16) classes[next++] = MakeInfoWithin(bytes, waste_limit);
  for (size_t octave = 128; octave < 1024; octave *= 2) {
    for (size_t step = 1; step <= 8; ++step) classes[next++] = MakeInfoWithin(octave + octave / 8 * step, waste_limit);
  }
  for (size_t octave = 1024; octave < kMaxTableBytes; octave *= 2) {
    for (size_t step = 1; step <= 16; ++step)
      classes[next++] = MakeInfoWithin(octave + octave / 16 * step, waste_limit);
  }
  for (const size_t divisor : kDivisors) classes[next++] = MakeInfoWithin(DivisorBytes(divisor), waste_limit);
  return classes;
}

}  // namespace size_class_detail

inline constexpr size_t kClassCount = size_class_detail::kCount;
inline constexpr std::array<SizeClassInfo, kClassCount> kSizeClasses = size_class_detail::MakeClasses(256);
// The same classes on the slabs that a bin starts with: few objects, so that a class of which little is used holds
// little.
inline constexpr std::array<SizeClassInfo, kClassCount> kShortSlabClasses = size_class_detail::MakeClasses(8);

constexpr const SizeClassInfo& InfoOf(SizeClass size_class) { return kSizeClasses[ToSize(size_class)]; }
constexpr const SizeClassInfo& ShortSlabInfoOf(SizeClass size_class) { return kShortSlabClasses[ToSize(size_class)]; }

namespace size_class_detail {

// Entry i: the smallest class of at least i × kUnit bytes.
template <size_t kUnit, size_t kMaxBytes>
constexpr auto MakeTable() {
  std::array<uint8_t, kMaxBytes / kUnit + 1> table{};
  size_t size_class = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    while (kSizeClasses[size_class].object_bytes < i * kUnit) ++size_class;
    table[i] = static_cast<uint8_t>(size_class);
  }
  return table;
}
inline constexpr auto kSmallTable = MakeTable<16, 1024>();
inline constexpr auto kMediumTable = MakeTable<64, kMaxTableBytes>();
inline constexpr auto kLargeTable = MakeTable<4096, kMaxSlabBytes>();

}  // namespace size_class_detail

// The smallest class of at least `bytes`; bytes from 1 to kMaxSlabBytes.
constexpr SizeClass ClassFor(size_t bytes) {
  using namespace size_class_detail;
  if (bytes <= 1024) return ToSizeClass(kSmallTable[(bytes + 15) / 16]);
  if (bytes <= kMaxTableBytes) return ToSizeClass(kMediumTable[(bytes + 63) / 64]);
  // The table knows the class of the size rounded down to 4 KiB; the next ones are at most a few steps away.
  size_t size_class = kLargeTable[bytes / 4096];
  while (kSizeClasses[size_class].object_bytes < bytes) ++size_class;
  return ToSizeClass(size_class);
}

// The same with every block aligned to a power of two up to 4 KiB: the smallest class that is a multiple of it.
constexpr SizeClass ClassFor(size_t bytes, size_t alignment_bytes) {
  SizeClass size_class = ClassFor(std::max(bytes, alignment_bytes));
  while (InfoOf(size_class).object_bytes % alignment_bytes != 0) size_class = ToSizeClass(ToSize(size_class) + 1);
  return size_class;
}

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SIZE_CLASSES_H_
