#include "rocksdb_adapter/pool_allocator.h"

#include <malloc.h>
#include <rocksdb/utilities/object_registry.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace hugepool::rocksdb {

void* PoolAllocator::Allocate(size_t bytes) {
  void* block = pool_->Allocate(bytes);
  if (block != nullptr && pool_->Owns(block)) [[likely]]
    return block;
  // A pool inherited over fork hands out malloc's blocks: those are fall-back as well, and take the same way back.
  if (block == nullptr) block = std::malloc(std::max<size_t>(bytes, 1));
  if (block == nullptr) return nullptr;
  fallback_count_.fetch_add(1, std::memory_order_relaxed);
  fallback_bytes_.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
  return block;
}

void PoolAllocator::Deallocate(void* block) {
  if (block == nullptr) return;
  if (pool_->Owns(block)) [[likely]] {
    pool_->Deallocate(block);
    return;
  }
  returned_count_.fetch_add(1, std::memory_order_relaxed);
  returned_bytes_.fetch_add(malloc_usable_size(block), std::memory_order_relaxed);
  std::free(block);
}

// The cache charges what this returns: the true share of memory keeps its budget honest.
size_t PoolAllocator::UsableSize(void* block, size_t) const {
  return pool_->Owns(block) ? pool_->UsableSize(block) : malloc_usable_size(block);
}

FallbackStats PoolAllocator::Fallback() const {
  // Returned is read first: a block counted as returned was counted as served before.
  const uint64_t returned_count = returned_count_.load(std::memory_order_relaxed);
  const uint64_t returned_bytes = returned_bytes_.load(std::memory_order_relaxed);
  FallbackStats stats;
  stats.count = fallback_count_.load(std::memory_order_relaxed);
  stats.bytes = fallback_bytes_.load(std::memory_order_relaxed);
  stats.live_count = stats.count - std::min(stats.count, returned_count);
  stats.live_bytes = stats.bytes - std::min(stats.bytes, returned_bytes);
  return stats;
}

std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(std::shared_ptr<Pool> pool) {
  if (pool == nullptr) return nullptr;
  std::shared_ptr<::rocksdb::MemoryAllocator> allocator = std::make_shared<PoolAllocator>(std::move(pool));
  // The registry keeps a weak reference. A refusal only means that ToString() does not lead back to the object.
  ::rocksdb::ObjectRegistry::Default()->SetManagedObject(allocator).PermitUncheckedError();
  return allocator;
}

std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(const PoolOptions& options, Error* error) {
  return NewMemoryAllocator(Pool::Create(options, error));
}

std::optional<FallbackStats> Fallback(const ::rocksdb::MemoryAllocator& allocator) {
  const PoolAllocator* own = allocator.CheckedCast<PoolAllocator>();
  if (own == nullptr) return std::nullopt;
  return own->Fallback();
}

std::shared_ptr<Pool> PoolOf(const ::rocksdb::MemoryAllocator& allocator) {
  const PoolAllocator* own = allocator.CheckedCast<PoolAllocator>();
  return own == nullptr ? nullptr : own->pool();
}

}  // namespace hugepool::rocksdb
