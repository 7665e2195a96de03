// hugepool::rocksdb: RocksDB's block cache on a Pool.
//
//   hugepool::Error error;
//   ::rocksdb::LRUCacheOptions lru;
//   lru.capacity = size_t{8} << 30;
//   table_options.block_cache = hugepool::rocksdb::NewLRUCache(lru, hugepool::rocksdb::AllocatorOptions(), &error);
//
// or the allocator by itself, for LRU and HyperClock caches, blob caches and compressed secondary caches alike. RocksDB takes
// from it the data, index, filter and dictionary blocks; cache handles, memtables and read-ahead buffers stay with the
// process's malloc.
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

#include <rocksdb/cache.h>
#include <rocksdb/memory_allocator.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"
#include "hugepool/pool_options.h"

namespace ROCKSDB_NAMESPACE {
class Logger;
class ObjectLibrary;
}  // namespace ROCKSDB_NAMESPACE

namespace hugepool::rocksdb {

// A pool's options, with two defaults of their own, and what only an engine's blocks need.
struct AllocatorOptions : PoolOptions {
  AllocatorOptions() {
    capacity_bytes = 0;         // not said: NewLRUCache and NewHyperClockCache find it, every other call refuses it
    learn_size_classes = true;  // an engine's blocks have few sizes, and the pool's own classes round them up
  }

  // Sizes that the engine is known to ask for: each gets an exact class from the start (Pool::AddSizeClass), where
  // learning begins after some megabytes. 1 B to 256 KiB, at most 32 of them.
  std::vector<size_t> block_bytes;

  // Statistics of the pool and of what malloc served in its place, for a scraper (hugepool/pool_watch.h). Empty: none.
  std::string stats_file;
  // Between two looks at the pool by a thread of the allocator's, which does what is due there (hugepool/pool_watch.h). 1 to 3,600.
  uint32_t watch_interval_seconds = 5;

  // Records the sizes and lifetimes of all blocks into this file (hugepool/allocation_trace.h), up to 1 GiB of it: about
  // 3 B a call. It costs a lock and a hash look-up for each call, so it is for measuring, not for production. Empty: nothing.
  std::string record_sizes;

  // In code only. One line with the options when the allocator is made, and a warning at the beginning of each episode: pages on a
  // lower rung than asked for, blocks of another node, blocks of malloc's, a file that cannot be written. From a thread of the
  // writer's; a logger outlives the allocator by being shared.
  std::shared_ptr<::rocksdb::Logger> info_log;
  std::function<void(const std::string& warning)> on_warning;

  static const char* kName() { return "HugepoolAllocatorOptions"; }
};

// nullptr and *error (when not null) filled when Pool::Create or Pool::AddSizeClass refuses. While it lives, the allocator is
// a managed object of RocksDB's default registry: MemoryAllocator::CreateFromString finds it again from its ToString().
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(const AllocatorOptions& options,
                                                                               Error* error);
// The same on a pool that is there. nullptr when `pool` is. Several allocators may share one pool.
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::MemoryAllocator> NewMemoryAllocator(std::shared_ptr<Pool> pool);

// A cache on a pool of its own: what it charges is what its blocks take of the pool (UsableSize, within 1/160: the rounding up
// to cache lines is not charged), and its handles too, as `cache` says by default. allocator.capacity_bytes = 0: CapacityFor(cache.capacity, allocator).
// nullptr and *error (when not null) filled as by NewMemoryAllocator, where `cache` names an allocator already, and where RocksDB
// refuses `cache`.
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::Cache> NewLRUCache(::rocksdb::LRUCacheOptions cache,
                                                              const AllocatorOptions& allocator, Error* error);
HUGEPOOL_EXPORT std::shared_ptr<::rocksdb::Cache> NewHyperClockCache(::rocksdb::HyperClockCacheOptions cache,
                                                                     const AllocatorOptions& allocator, Error* error);

// A pool's capacity for caches of cache_bytes in all: their blocks, 1/16 for slabs and pages that are partly empty, twice what the caches
// of all CPUs may hold back, and 64 MiB for blocks that are read and in no cache yet. It is a bound: what is not needed is not
// taken. At least options.page_bytes.
HUGEPOOL_EXPORT size_t CapacityFor(size_t cache_bytes, const PoolOptions& options);

// By text, in RocksDB's manner:
//   MemoryAllocator::CreateFromString(config, "id=HugepoolAllocator; capacity=8G; block_bytes=4160:16448", &allocator)
// Names and values are those of PoolOptions::Parse, and of AllocatorOptions, block_bytes with ':' between the sizes. What is wrong comes back as
// a Status that names the option, the value and what is allowed. GetOptions<AllocatorOptions>() reads them, GetOption and
// GetOptionString write them; once the allocator is made they are fixed.
//
// RegisterHugepool makes CreateFromString find the id in a library: in *ObjectLibrary::Default() for all of the process. It has
// the form that RocksDB's plugins have: the number of factories added is returned, the second argument is ignored.
HUGEPOOL_EXPORT int RegisterHugepool(::rocksdb::ObjectLibrary& library, const std::string& argument);

// Blocks that malloc served in the pool's place. Bytes by malloc_usable_size.
// Invariant  live_count ≤ count, live_bytes ≤ bytes
struct FallbackStats {
  uint64_t count = 0;  // since the allocator was made
  uint64_t bytes = 0;
  uint64_t live_count = 0;  // not yet deallocated
  uint64_t live_bytes = 0;
};

// All three look through wrappers that name their inner allocator (Customizable::Inner), and find nothing in an allocator
// that is none of this library.
HUGEPOOL_EXPORT std::optional<uint64_t> AllocationCount(const ::rocksdb::MemoryAllocator& allocator);
HUGEPOOL_EXPORT std::optional<FallbackStats> Fallback(const ::rocksdb::MemoryAllocator& allocator);
HUGEPOOL_EXPORT std::shared_ptr<Pool> PoolOf(const ::rocksdb::MemoryAllocator& allocator);

}  // namespace hugepool::rocksdb

#endif  // HUGEPOOL_ROCKSDB_H_
