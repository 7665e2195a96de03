#include "slab/class_table.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

constexpr size_t EntryOf(size_t bytes) { return (bytes + kTableStepBytes - 1) / kTableStepBytes; }
constexpr uint16_t LinesOf(SizeClass size_class) { return static_cast<uint16_t>(TagOf(size_class) * kMagazineLines); }

}  // namespace

static_assert(sizeof(std::atomic<uint16_t>) == sizeof(uint16_t));

ClassTable::ClassTable() {
  std::copy(kSizeClasses.begin(), kSizeClasses.end(), infos_.begin());
  for (size_t entry = 0; entry < lines_.size(); ++entry) {
    const size_t bytes = std::max<size_t>(entry * kTableStepBytes, 1);
    lines_[entry].store(LinesOf(ClassFor(bytes)), std::memory_order_relaxed);
  }
}

SizeClass ClassTable::For(size_t bytes) const {
  if (bytes <= kMaxTableBytes) {
    const size_t lines = lines_[EntryOf(bytes)].load(std::memory_order_acquire);
    return ClassOfTag(static_cast<SlotTag>(lines / kMagazineLines));
  }
  SizeClass best = ClassFor(bytes);
  for (size_t i = kClassCount; i < class_count(); ++i) {
    const size_t object_bytes = ObjectBytes(ToSizeClass(i));
    if (object_bytes >= bytes && object_bytes < ObjectBytes(best)) best = ToSizeClass(i);
  }
  return best;
}

SizeClass ClassTable::For(size_t bytes, size_t alignment_bytes) const {
  const SizeClass size_class = For(std::max(bytes, alignment_bytes));
  return ObjectBytes(size_class) % alignment_bytes == 0 ? size_class : ClassFor(bytes, alignment_bytes);
}

std::optional<SizeClass> ClassTable::Add(size_t bytes) {
  const size_t step = bytes >= kCacheLineFromBytes ? kCacheLineBytes : kMinAlignmentBytes;
  const size_t object_bytes = (bytes + step - 1) / step * step;
  MutexLock lock(mutex_);
  const SizeClass present = For(object_bytes);
  if (ObjectBytes(present) == object_bytes) return present;
  const size_t index = class_count();
  if (index == kClassCount + kAddedClassLimit) return std::nullopt;
  infos_[index] = MakeInfos(object_bytes);
  class_count_.store(index + 1, std::memory_order_release);
  // It takes over the sizes down to the next smaller class.
  for (size_t entry = std::min(EntryOf(object_bytes), lines_.size() - 1); entry != 0; --entry) {
    const size_t lines = lines_[entry].load(std::memory_order_relaxed);
    if (ObjectBytes(ClassOfTag(static_cast<SlotTag>(lines / kMagazineLines))) < object_bytes) break;
    lines_[entry].store(LinesOf(ToSizeClass(index)), std::memory_order_release);
  }
  return ToSizeClass(index);
}

}  // namespace hugepool::internal
