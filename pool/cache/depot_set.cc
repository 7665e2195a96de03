#include "cache/depot_set.h"

#include <algorithm>

namespace hugepool::internal {

std::unique_ptr<DepotSet> DepotSet::Create(size_t group_count, size_t limit_bytes, int node_id,
                                           MetadataMemory& metadata, Error* error) {
  std::unique_ptr<DepotSet> set(new DepotSet(limit_bytes));
  for (size_t i = 0; i < std::clamp<size_t>(group_count, 1, kMaxDepotCount); ++i) {
    Depot* const depot = Depot::Create(node_id, metadata, error);
    if (depot == nullptr) return nullptr;
    set->depots_.push_back(depot);
  }
  return set;
}

size_t DepotSet::Put(size_t group, SizeClass size_class, size_t object_bytes, void* const* objects, size_t count) {
  NoteUse(size_class);
  // Full: a read, so that the line is not passed around for nothing.
  if (spare_bytes_.load(std::memory_order_relaxed) < static_cast<int64_t>(object_bytes)) return 0;
  const int64_t wanted_bytes = static_cast<int64_t>(count * object_bytes);
  // Paid first, so that all depots together never hold more than the limit.
  const int64_t before_bytes = spare_bytes_.fetch_sub(wanted_bytes, std::memory_order_relaxed);
  const size_t paid =
      before_bytes >= wanted_bytes ? count : static_cast<size_t>(std::max<int64_t>(before_bytes, 0)) / object_bytes;
  const size_t put = paid == 0 ? 0 : DepotOf(group).Put(size_class, objects, paid);
  if (put < count) {
    spare_bytes_.fetch_add(static_cast<int64_t>((count - put) * object_bytes), std::memory_order_relaxed);
  }
  return put;
}

size_t DepotSet::Take(size_t group, SizeClass size_class, size_t object_bytes, void** objects, size_t count) {
  for (size_t i = 0; i < depots_.size(); ++i) {
    const size_t taken = DepotOf(group + i).Take(size_class, objects, count);
    if (taken == 0) continue;
    NoteUse(size_class);
    spare_bytes_.fetch_add(static_cast<int64_t>(taken * object_bytes), std::memory_order_relaxed);
    return taken;
  }
  return 0;
}

size_t DepotSet::TakeIdle(const ClassTable& classes, SizeClass* size_class, void** objects, size_t count) {
  const uint32_t full_count = full_count_.load(std::memory_order_relaxed);
  full_count_.store(full_count + 1, std::memory_order_relaxed);
  if (full_count % (kFullPerLook * depots_.size()) != 0) return 0;
  const size_t from = hand_.load(std::memory_order_relaxed);
  for (size_t i = 0; i < kMaxClassCount; ++i) {
    const size_t number = (from + i) % kMaxClassCount;
    *size_class = ToSizeClass(number);
    if (this->count(*size_class) == 0) continue;
    if (used_lately_[number].exchange(false, std::memory_order_relaxed)) continue;
    hand_.store(number, std::memory_order_relaxed);  // it may have more
    for (Depot* const depot : depots_) {
      const size_t taken = depot->Take(*size_class, objects, count);
      if (taken == 0) continue;
      spare_bytes_.fetch_add(static_cast<int64_t>(taken * classes.ObjectBytes(*size_class)), std::memory_order_relaxed);
      return taken;
    }
  }
  return 0;
}

uint64_t DepotSet::count(SizeClass size_class) const {
  uint64_t count = 0;
  for (const Depot* const depot : depots_) count += depot->count(size_class);
  return count;
}

}  // namespace hugepool::internal
