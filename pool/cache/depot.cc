#include "cache/depot.h"

#include <algorithm>
#include <new>

namespace hugepool::internal {

Depot* Depot::Create(int node_id, MetadataMemory& metadata, Error* error) {
  void* const memory = metadata.Map(sizeof(Depot), node_id, error);
  return memory == nullptr ? nullptr : new (memory) Depot;
}

size_t Depot::Take(SizeClass size_class, void** objects, size_t count) {
  Shelf& shelf = shelves_[ToSize(size_class)];
  if (shelf.count.load(std::memory_order_relaxed) == 0) return 0;
  MutexLock lock(shelf.mutex);
  const size_t held = shelf.count.load(std::memory_order_relaxed);
  const size_t taken = std::min(count, held);
  std::copy_n(ObjectsOf(size_class) + held - taken, taken, objects);
  shelf.count.store(static_cast<uint32_t>(held - taken), std::memory_order_relaxed);
  return taken;
}

size_t Depot::Put(SizeClass size_class, void* const* objects, size_t count) {
  Shelf& shelf = shelves_[ToSize(size_class)];
  MutexLock lock(shelf.mutex);
  const size_t held = shelf.count.load(std::memory_order_relaxed);
  const size_t put = std::min(count, kShelfMaxCount - held);
  std::copy_n(objects, put, ObjectsOf(size_class) + held);
  shelf.count.store(static_cast<uint32_t>(held + put), std::memory_order_relaxed);
  return put;
}

}  // namespace hugepool::internal
