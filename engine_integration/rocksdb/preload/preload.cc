// The calls of RocksDB that a program makes to get a block cache or an allocator, in front of RocksDB's own: a cache without an
// allocator gets one on a pool. Nothing else of the program changes.
//
// Use        LD_PRELOAD=libhugepool_rocksdb_preload.so; docs/rocksdb.md says what its variables do
// Errors     where no pool can be had the cache is made as the program asked, and standard error says why
#include <rocksdb/cache.h>
#include <rocksdb/memory_allocator.h>

#include <utility>

#include "preload/serving.h"

#define HUGEPOOL_INTERPOSED __attribute__((visibility("default")))

namespace ROCKSDB_NAMESPACE {

using hugepool::preload::Serving;

HUGEPOOL_INTERPOSED std::shared_ptr<Cache> NewLRUCache(const LRUCacheOptions& asked) {
  using Real = std::shared_ptr<Cache> (*)(const LRUCacheOptions&);
  const auto real = Serving::RealCall<Real>("_ZN7rocksdb11NewLRUCacheERKNS_15LRUCacheOptionsE");
  if (asked.memory_allocator != nullptr) return real(asked);
  LRUCacheOptions options = asked;
  options.memory_allocator = Serving::Get().AllocatorFor(asked.capacity);
  return real(options);
}

// RocksDB's own does not come by the call above.
HUGEPOOL_INTERPOSED std::shared_ptr<Cache> NewLRUCache(size_t capacity, int num_shard_bits, bool strict_capacity_limit,
                                                       double high_pri_pool_ratio,
                                                       std::shared_ptr<MemoryAllocator> memory_allocator,
                                                       bool use_adaptive_mutex,
                                                       CacheMetadataChargePolicy metadata_charge_policy,
                                                       double low_pri_pool_ratio) {
  return NewLRUCache(LRUCacheOptions(capacity, num_shard_bits, strict_capacity_limit, high_pri_pool_ratio,
                                     std::move(memory_allocator), use_adaptive_mutex, metadata_charge_policy,
                                     low_pri_pool_ratio));
}

HUGEPOOL_INTERPOSED std::shared_ptr<Cache> HyperClockCacheOptions::MakeSharedCache() const {
  using Real = std::shared_ptr<Cache> (*)(const HyperClockCacheOptions*);
  const auto real = Serving::RealCall<Real>("_ZNK7rocksdb22HyperClockCacheOptions15MakeSharedCacheEv");
  if (memory_allocator != nullptr) return real(this);
  HyperClockCacheOptions options = *this;
  options.memory_allocator = Serving::Get().AllocatorFor(capacity);
  return real(&options);
}

// Who asks for jemalloc's allocator gets ours, where options name its capacity: here no cache says how large it is to be.
HUGEPOOL_INTERPOSED Status NewJemallocNodumpAllocator(JemallocAllocatorOptions& options,
                                                      std::shared_ptr<MemoryAllocator>* allocator) {
  using Real = Status (*)(JemallocAllocatorOptions&, std::shared_ptr<MemoryAllocator>*);
  if (auto own = Serving::Get().AllocatorFor(0)) {
    *allocator = std::move(own);
    return Status::OK();
  }
  return Serving::RealCall<Real>(
      "_ZN7rocksdb26NewJemallocNodumpAllocatorERNS_24JemallocAllocatorOptionsEPSt10shared_ptrINS_15MemoryAllocatorEE")(
      options, allocator);
}

}  // namespace ROCKSDB_NAMESPACE
