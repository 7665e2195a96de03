#include "engine_integration/rocksdb/plain_user.h"

#include <hugepool/rocksdb.h>
#include <rocksdb/cache.h>
#if __has_include(<rocksdb/advanced_cache.h>)
#include <rocksdb/advanced_cache.h>  // where Cache itself is from RocksDB 8 on
#endif

namespace hugepool::testing {

bool PlainUserIsServed() {
  rocksdb::AllocatorOptions options;
  options.capacity_bytes = size_t{16} << 20;
  options.huge_pages = HugePages::kOff;
  ::rocksdb::LRUCacheOptions cache_options;
  cache_options.capacity = size_t{8} << 20;
  cache_options.memory_allocator = rocksdb::NewMemoryAllocator(options, nullptr);
  if (cache_options.memory_allocator == nullptr) return false;
  const std::shared_ptr<::rocksdb::Cache> cache = ::rocksdb::NewLRUCache(cache_options);
  void* block = cache->memory_allocator()->Allocate(3746);
  const bool is_served = rocksdb::PoolOf(*cache->memory_allocator())->Owns(block) &&
                         rocksdb::Fallback(*cache->memory_allocator())->count == 0;
  cache->memory_allocator()->Deallocate(block);
  return is_served;
}

}  // namespace hugepool::testing
