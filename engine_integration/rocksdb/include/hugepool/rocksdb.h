// hugepool::rocksdb: RocksDB's block cache on a Pool.
//
//   hugepool::Error error;
//   ::rocksdb::LRUCacheOptions cache;
//   cache.capacity = size_t{8} << 30;
//   cache.memory_allocator = hugepool::rocksdb::NewMemoryAllocator(hugepool::PoolOptions{...}, &error);
//
// The same allocator serves LRU and HyperClock caches, and blob caches. RocksDB takes from it the data, index, filter
// and dictionary blocks; cache handles, memtables and read-ahead buffers stay with the process's malloc.
//
// Units      bytes
// Owner      a cache keeps its allocator, and the allocator its pool, by shared_ptr: every other handle may go first
// Threads    every call from any thread
// Errors     Allocate never throws and returns nullptr only when malloc does: what the pool refuses (full, too large,
//            no page of the demanded kind) is served by malloc and counted. Each call asks the pool first.
// fork       in a child the inherited allocator serves by malloc (counted as fall-back there); Deallocate of a
//            parent's pool block is a no-op
// Cost       as Pool, plus one address compare
#ifndef HUGEPOOL_ROCKSDB_H_
#define HUGEPOOL_ROCKSDB_H_

#include <rocksdb/memory_allocator.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"
#include "hugepool/pool_options.h"

namespace hugepool::rocksdb {

// nullptr when `pool` is. Several allocators may share one pool. While it lives, the allocator is a managed object of
// RocksDB's default registry: MemoryAllocator::CreateFromString finds it again from its ToString() when
// ConfigOptions::registry is ObjectRegistry::Default().
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(std::shared_ptr<Pool> pool);

// The same on a pool of its own; nullptr and *error (when not null) filled when Pool::Create refuses the options.
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(const PoolOptions& options,
                                                                               Error* error);

// Blocks that malloc served in the pool's place. Bytes by malloc_usable_size.
// Invariant  live_count ≤ count, live_bytes ≤ bytes
struct FallbackStats {
  uint64_t count = 0;  // since the allocator was made
  uint64_t bytes = 0;
  uint64_t live_count = 0;  // not yet deallocated
  uint64_t live_bytes = 0;
};

// Both look through wrappers that name their inner allocator (Customizable::Inner), and find nothing in an allocator
// that NewMemoryAllocator did not make.
HUGEPOOL_EXPORT std::optional<FallbackStats> Fallback(const ::rocksdb::MemoryAllocator& allocator);
HUGEPOOL_EXPORT std::shared_ptr<Pool> PoolOf(const ::rocksdb::MemoryAllocator& allocator);

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ROCKSDB_H_
