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
#include "hugepool/internal/percpu.h"
#include "hugepool/types.h"

namespace hugepool::internal {

// Tags 1 … kMaxClassCount are 1 + class.
inline constexpr size_t kMaxClassCount = kDraining - 1;

enum class SizeClass : uint8_t {};
constexpr size_t ToSize(SizeClass size_class) { return static_cast<size_t>(size_class); }
constexpr SizeClass ToSizeClass(size_t index) { return static_cast<SizeClass>(index); }
constexpr SlotTag TagOf(SizeClass size_class) { return static_cast<SlotTag>(ToSize(size_class) + 1); }
constexpr SizeClass ClassOfTag(SlotTag tag) { return ToSizeClass(tag - size_t{1}); }

inline constexpr size_t kMaxSlabBytes = size_t{256} << 10;
inline constexpr size_t kMaxObjectsPerSlab = kSlotBytes / kMinAlignmentBytes;
// A slab holds at least so many where one huge page does: what taking and giving back a slab costs is shared by them.
inline constexpr size_t kMinObjectsPerSlab = 16;

struct SizeClassInfo {
  uint32_t object_bytes = 0;
  uint16_t object_count = 0;  // per slab
  uint8_t slab_order = 0;     // a slab is 2^slab_order slots
  uint64_t reciprocal = 0;  // offset × reciprocal >> kReciprocalShift = offset / object_bytes for offsets below 2 MiB

  static constexpr unsigned kReciprocalShift = 44;
  constexpr size_t slot_count() const { return size_t{1} << slab_order; }
  constexpr size_t IndexOf(size_t offset) const { return offset * reciprocal >> kReciprocalShift; }
};

inline constexpr size_t kMaxSlabOrder = 5;  // one huge page
static_assert(kSlotsPerHugePage == size_t{1} << kMaxSlabOrder);

namespace size_class_detail {

// Above 32 KiB a slab is one huge page cut into so many objects.
inline constexpr auto kDivisors =
    std::to_array<size_t>({60, 54, 49, 44, 40, 36, 32, 29, 26, 24, 22, 20, 18, 16, 15, 14, 13, 12, 11, 10, 9, 8});
static_assert(kHugePageBytes / kDivisors.back() == kMaxSlabBytes);
inline constexpr size_t kTableCount = 8 + 3 * 8 + 5 * 16;  // classes to 32 KiB
inline constexpr size_t kCount = kTableCount + kDivisors.size();
static_assert(kCount <= kMaxClassCount);

constexpr size_t DivisorBytes(size_t divisor) { return kHugePageBytes / divisor / kCacheLineBytes * kCacheLineBytes; }

constexpr SizeClassInfo MakeInfo(size_t object_bytes, size_t order) {
  SizeClassInfo info;
  info.object_bytes = static_cast<uint32_t>(object_bytes);
  info.slab_order = static_cast<uint8_t>(order);
  info.object_count = static_cast<uint16_t>(std::min((kSlotBytes << order) / object_bytes, kMaxObjectsPerSlab));
  info.reciprocal = ((uint64_t{1} << SizeClassInfo::kReciprocalShift) + object_bytes - 1) / object_bytes;
  return info;
}

// The shortest slab of at least min_count objects whose tail wastes at most 1/waste_limit of it, else the one whose tail
// wastes least.
constexpr SizeClassInfo MakeInfoWithin(size_t object_bytes, size_t waste_limit, size_t min_count) {
  size_t best_order = kMaxSlabOrder;
  size_t best_waste_per_2mib = kHugePageBytes;
  for (size_t order = 0; order <= kMaxSlabOrder; ++order) {
    const size_t slab_bytes = kSlotBytes << order;
    const size_t count = std::min(slab_bytes / object_bytes, kMaxObjectsPerSlab);
    if (count < min_count && order != kMaxSlabOrder) continue;
    const size_t waste_per_2mib = (slab_bytes - count * object_bytes) << (kMaxSlabOrder - order);
    if (waste_per_2mib < best_waste_per_2mib) {
      best_waste_per_2mib = waste_per_2mib;
      best_order = order;
    }
    if (waste_per_2mib <= kHugePageBytes / waste_limit) break;
  }
  return MakeInfo(object_bytes, best_order);
}

}  // namespace size_class_detail

// How long a slab is. A bin begins with a few short ones, so that a class of which little is used holds little.
enum class SlabKind : uint8_t { kShort, kNormal };
inline constexpr size_t kSlabKindCount = 2;

// One class, by SlabKind.
using SizeClassInfos = std::array<SizeClassInfo, kSlabKindCount>;

constexpr SizeClassInfos MakeInfos(size_t object_bytes) {
  using namespace size_class_detail;
  return {MakeInfoWithin(object_bytes, 8, 1), MakeInfoWithin(object_bytes, 256, kMinObjectsPerSlab)};
}

namespace size_class_detail {

constexpr std::array<SizeClassInfos, kCount> MakeClasses() {
  std::array<SizeClassInfos, kCount> classes{};
  size_t next = 0;
  for (size_t bytes = 16; bytes <= 128; bytes += 16) classes[next++] = MakeInfos(bytes);
  for (size_t octave = 128; octave < 1024; octave *= 2) {
    for (size_t step = 1; step <= 8; ++step) classes[next++] = MakeInfos(octave + octave / 8 * step);
  }
  for (size_t octave = 1024; octave < kMaxTableBytes; octave *= 2) {
    for (size_t step = 1; step <= 16; ++step) classes[next++] = MakeInfos(octave + octave / 16 * step);
  }
  for (const size_t divisor : kDivisors) classes[next++] = MakeInfos(DivisorBytes(divisor));
  return classes;
}

}  // namespace size_class_detail

// The classes that every pool has; ids from here to kMaxClassCount are those that were added to a pool (ClassTable).
inline constexpr size_t kClassCount = size_class_detail::kCount;
inline constexpr std::array<SizeClassInfos, kClassCount> kSizeClasses = size_class_detail::MakeClasses();

constexpr const SizeClassInfo& InfoOf(SizeClass size_class, SlabKind kind = SlabKind::kNormal) {
  return kSizeClasses[ToSize(size_class)][static_cast<size_t>(kind)];
}
constexpr size_t ObjectBytes(SizeClass size_class) { return InfoOf(size_class).object_bytes; }

namespace size_class_detail {

// Entry i: the smallest class of at least i × kUnit bytes.
template <size_t kUnit, size_t kMaxBytes>
constexpr auto MakeTable() {
  std::array<uint8_t, kMaxBytes / kUnit + 1> table{};
  size_t size_class = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    while (ObjectBytes(ToSizeClass(size_class)) < i * kUnit) ++size_class;
    table[i] = static_cast<uint8_t>(size_class);
  }
  return table;
}
inline constexpr auto kSmallTable = MakeTable<kTableStepBytes, kMaxTableBytes>();
inline constexpr auto kLargeTable = MakeTable<4096, kMaxSlabBytes>();

}  // namespace size_class_detail

// The smallest class of at least `bytes`; bytes from 1 to kMaxSlabBytes.
constexpr SizeClass ClassFor(size_t bytes) {
  using namespace size_class_detail;
  if (bytes <= kMaxTableBytes) return ToSizeClass(kSmallTable[TableEntryOf(bytes)]);
  // The table knows the class of the size rounded down to 4 KiB; the next ones are at most a few steps away.
  size_t size_class = kLargeTable[bytes / 4096];
  while (ObjectBytes(ToSizeClass(size_class)) < bytes) ++size_class;
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
