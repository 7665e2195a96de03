#include "cache/depot.h"

#include <algorithm>

namespace hugepool::internal {

std::unique_ptr<Depot> Depot::Create(size_t limit_bytes, int node_id, MetadataMemory& metadata, Error* error) {
  void** const objects = metadata.MapArray<void*>(kMaxClassCount * kShelfMaxCount, node_id, error);
  if (objects == nullptr) return nullptr;
  return std::unique_ptr<Depot>(new Depot(limit_bytes, objects));
}

size_t Depot::Take(SizeClass size_class, size_t object_bytes, void** objects, size_t count) {
  Shelf& shelf = shelves_[ToSize(size_class)];
  if (shelf.count.load(std::memory_order_relaxed) == 0) return 0;
  size_t taken = 0;
  {
    MutexLock lock(shelf.mutex);
    const size_t held = shelf.count.load(std::memory_order_relaxed);
    taken = std::min(count, held);
    std::copy_n(ObjectsOf(size_class) + held - taken, taken, objects);
    shelf.count.store(static_cast<uint32_t>(held - taken), std::memory_order_relaxed);
  }
  spare_bytes_.fetch_add(static_cast<int64_t>(taken * object_bytes), std::memory_order_relaxed);
  return taken;
}

size_t Depot::Put(SizeClass size_class, size_t object_bytes, void* const* objects, size_t count) {
  const int64_t wanted_bytes = static_cast<int64_t>(count * object_bytes);
  // Paid first, so that all shelves together never hold more than the limit.
  const int64_t before_bytes = spare_bytes_.fetch_sub(wanted_bytes, std::memory_order_relaxed);
  const size_t paid =
      before_bytes >= wanted_bytes ? count : static_cast<size_t>(std::max<int64_t>(before_bytes, 0)) / object_bytes;
  size_t put = 0;
  if (paid != 0) {
    Shelf& shelf = shelves_[ToSize(size_class)];
    MutexLock lock(shelf.mutex);
    const size_t held = shelf.count.load(std::memory_order_relaxed);
    put = std::min(paid, kShelfMaxCount - held);
    std::copy_n(objects, put, ObjectsOf(size_class) + held);
    shelf.count.store(static_cast<uint32_t>(held + put), std::memory_order_relaxed);
  }
  spare_bytes_.fetch_add(static_cast<int64_t>((count - put) * object_bytes), std::memory_order_relaxed);
  return put;
}

}  // namespace hugepool::internal
