#include "slab/class_table.h"

#include <algorithm>

namespace hugepool::internal {
namespace {

constexpr size_t Rounded(size_t bytes) {
  const size_t step = bytes >= kCacheLineFromBytes ? kCacheLineBytes : kMinAlignmentBytes;
  return (bytes + step - 1) / step * step;
}

}  // namespace

ClassTable::ClassTable() {
  std::copy(kSizeClasses.begin(), kSizeClasses.end(), infos_.begin());
  for (size_t entry = 0; entry < tags_.size(); ++entry) {
    const size_t bytes = std::max<size_t>(entry * kTableStepBytes, 1);
    tags_[entry].store(TagOf(ClassFor(bytes)), std::memory_order_relaxed);
  }
}

SizeClass ClassTable::For(size_t bytes) const {
  if (bytes <= kMaxTableBytes) {
    return ClassOfTag(tags_[TableEntryOf(bytes)].load(std::memory_order_acquire));
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

SizeClass ClassTable::FixedFor(size_t bytes, size_t alignment_bytes) const {
  SizeClass best = ClassFor(bytes, alignment_bytes);
  for (size_t i = kClassCount; i < class_count(); ++i) {
    const size_t object_bytes = ObjectBytes(ToSizeClass(i));
    const bool fits = object_bytes >= bytes && object_bytes % alignment_bytes == 0;
    if (fits && object_bytes < ObjectBytes(best) && IsFixed(ToSizeClass(i))) best = ToSizeClass(i);
  }
  return best;
}

std::optional<SizeClass> ClassTable::Find(size_t object_bytes) const {
  for (size_t i = 0; i < class_count(); ++i) {
    if (ObjectBytes(ToSizeClass(i)) == object_bytes) return ToSizeClass(i);
  }
  return std::nullopt;
}

SizeClass ClassTable::Append(size_t object_bytes) {
  const size_t index = class_count();
  infos_[index] = MakeInfos(object_bytes);
  class_count_.store(index + 1, std::memory_order_release);
  return ToSizeClass(index);
}

// For each size the smallest class of at least that size that is not retired.
void ClassTable::FillTags() {
  std::array<SlotTag, kTableEntryCount> exact{};  // by size; 0: there is none
  for (size_t i = 0; i < class_count(); ++i) {
    const SizeClass size_class = ToSizeClass(i);
    if (ObjectBytes(size_class) > kMaxTableBytes || IsRetired(size_class)) continue;
    exact[TableEntryOf(ObjectBytes(size_class))] = TagOf(size_class);
  }
  static_assert(kTableStepBytes <= kMinAlignmentBytes, "two classes would share an entry");
  // The last size of the table is that of a class which every pool has.
  SlotTag tag = kFree;
  for (size_t entry = exact.size(); entry-- != 0;) {
    if (exact[entry] != kFree) tag = exact[entry];
    if (tags_[entry].load(std::memory_order_relaxed) != tag) tags_[entry].store(tag, std::memory_order_release);
  }
}

std::optional<SizeClass> ClassTable::Add(size_t bytes) {
  const size_t object_bytes = Rounded(bytes);
  MutexLock lock(mutex_);
  std::optional<SizeClass> size_class = Find(object_bytes);
  if (size_class && IsFixed(*size_class)) return size_class;
  if (added_count_ == kAddedClassLimit) return std::nullopt;
  ++added_count_;
  if (!size_class) size_class = Append(object_bytes);
  uses_[ToSize(*size_class)].store(Use::kFixed, std::memory_order_relaxed);
  FillTags();
  return size_class;
}

void ClassTable::SetLearned(std::span<const size_t> sizes) {
  MutexLock lock(mutex_);
  for (size_t i = kClassCount; i < class_count(); ++i) {
    if (IsLearned(ToSizeClass(i))) uses_[i].store(Use::kRetired, std::memory_order_relaxed);
  }
  for (const size_t bytes : sizes) {
    std::optional<SizeClass> size_class = Find(Rounded(bytes));
    if (!size_class && learned_size_count_ < kLearnedSizeLimit) {
      size_class = Append(Rounded(bytes));
      ++learned_size_count_;
    } else if (!size_class || IsFixed(*size_class)) {
      continue;
    }
    uses_[ToSize(*size_class)].store(Use::kLearned, std::memory_order_relaxed);
  }
  FillTags();
}

size_t ClassTable::learned_count() const {
  size_t count = 0;
  for (size_t i = kClassCount; i < class_count(); ++i) count += IsLearned(ToSizeClass(i)) ? 1 : 0;
  return count;
}

}  // namespace hugepool::internal
