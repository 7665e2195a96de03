// A user's program: an LRU cache on a pool, through RocksDB's own interface.
#include <rocksdb/cache.h>

#include <cstdio>
#include <memory>

#include "hugepool/rocksdb.h"

int main() {
  hugepool::Error error;
  rocksdb::LRUCacheOptions cache_options;
  cache_options.capacity = size_t{32} << 20;
  const auto cache = hugepool::rocksdb::NewLRUCache(cache_options, hugepool::rocksdb::AllocatorOptions(), &error);
  if (!cache) return std::fprintf(stderr, "%s\n", error.ToString().c_str()), 1;
  if (cache->memory_allocator() == nullptr) return 1;

  const std::shared_ptr<hugepool::Pool> pool = hugepool::rocksdb::PoolOf(*cache->memory_allocator());
  if (!pool) return 1;
  void* block = cache->memory_allocator()->Allocate(3746);
  const bool from_pool = pool->Owns(block) && pool->Stats().allocated_count == 1;
  cache->memory_allocator()->Deallocate(block);
  std::printf("%s: a block of 3,746 B %s\n", cache->memory_allocator()->Name(),
              from_pool ? "came from the pool" : "did not come from the pool");
  return from_pool ? 0 : 1;
}
