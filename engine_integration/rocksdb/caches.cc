// Caches on pools of their own: NewLRUCache, NewHyperClockCache, CapacityFor.
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "hugepool/rocksdb.h"

namespace hugepool::rocksdb {
namespace {

constexpr size_t kInFlightBytes = size_t{64} << 20;

std::shared_ptr<::rocksdb::Cache> Refuse(std::string message, std::string mend, Error* error) {
  if (error != nullptr) {
    *error = Error{};
    error->code = ErrorCode::kInvalidArgument;
    error->operation = "hugepool::rocksdb::NewCache";
    error->message = std::move(message);
    error->mend = std::move(mend);
  }
  return nullptr;
}

template <typename CacheOptions, typename Make>
std::shared_ptr<::rocksdb::Cache> NewCache(CacheOptions& cache, AllocatorOptions allocator, Error* error, Make make) {
  if (cache.memory_allocator != nullptr) {
    return Refuse(std::string("cache.memory_allocator is set already, to ") + cache.memory_allocator->Name(),
                  "Leave it empty, or make the cache by RocksDB's own call.", error);
  }
  if (allocator.capacity_bytes == 0) allocator.capacity_bytes = CapacityFor(cache.capacity, allocator);
  cache.memory_allocator = NewMemoryAllocator(allocator, error);
  if (cache.memory_allocator == nullptr) return nullptr;
  std::shared_ptr<::rocksdb::Cache> made = make();
  if (made != nullptr) return made;
  return Refuse("RocksDB refuses the cache's options (num_shard_bits = " + std::to_string(cache.num_shard_bits) + ")",
                "Allowed: num_shard_bits up to 19, ratios from 0 to 1 and not above 1 together; see rocksdb/cache.h.",
                error);
}

}  // namespace

size_t CapacityFor(size_t cache_bytes, const PoolOptions& options) {
  const size_t cached_bytes = 2 * static_cast<size_t>(get_nprocs_conf()) * options.cache_bytes_per_cpu;
  const size_t more_bytes = cache_bytes / 16 + cached_bytes + kInFlightBytes;
  // What is more than any machine has is refused by Pool::Create.
  if (cache_bytes > SIZE_MAX - more_bytes) return SIZE_MAX;
  return std::max(cache_bytes + more_bytes, options.page_bytes);
}

std::shared_ptr<::rocksdb::Cache> NewLRUCache(::rocksdb::LRUCacheOptions cache, const AllocatorOptions& allocator,
                                              Error* error) {
  return NewCache(cache, allocator, error, [&] { return ::rocksdb::NewLRUCache(cache); });
}

std::shared_ptr<::rocksdb::Cache> NewHyperClockCache(::rocksdb::HyperClockCacheOptions cache,
                                                     const AllocatorOptions& allocator, Error* error) {
  return NewCache(cache, allocator, error, [&] { return cache.MakeSharedCache(); });
}

}  // namespace hugepool::rocksdb
