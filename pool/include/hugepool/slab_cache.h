// SlabCache: blocks of one size from a Pool, with the size class looked up once.
//
// Units      bytes
// Alignment  as Pool: 16 B, a cache line from 1 KiB, or what was asked for (power of two up to 4 KiB)
// Owner      shares the Pool; the handle is a value and may be copied. A copy that is local to a hot function is fastest:
//            what the calls need of it stays in registers
// Threads    any thread
// Errors     Create fills an Error; Allocate returns nullptr
// Source     Bonwick, The Slab Allocator, USENIX 1994
#ifndef HUGEPOOL_SLAB_CACHE_H_
#define HUGEPOOL_SLAB_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/internal/percpu.h"
#include "hugepool/pool.h"

namespace hugepool {

class HUGEPOOL_EXPORT SlabCache {
 public:
  // object_bytes: 1 to 256 KiB (kMaxSlabBytes: larger objects take whole runs; use Pool for them).
  static std::optional<SlabCache> Create(std::shared_ptr<Pool> pool, size_t object_bytes, Error* error,
                                         size_t alignment_bytes = kMinAlignmentBytes);

  // nullptr where the pool's Allocate would return it. Cost: 11 instructions, inlined, while this CPU's cache has one.
  void* Allocate() noexcept {
    void* const object = internal::PercpuPop<true>(objects_of_cpu_0_, rseq_);
    if (object != nullptr) [[likely]]
      return object;
    return AllocateSlow(pool_.get(), size_class_);
  }
  // Blocks of this cache, or of its pool where UsableSize is footprint_bytes(); nullptr is allowed. Cost: 15 instructions, inlined,
  // while this CPU's cache has room.
  void Deallocate(void* object) noexcept {
    if (internal::PercpuPush<true>(objects_of_cpu_0_, least_distance_, rseq_, object)) [[likely]]
      return;
    DeallocateSlow(pool_.get(), object);
  }

  // As Pool::AllocateBatch and Pool::DeallocateBatch.
  size_t AllocateBatch(void** objects, size_t count) noexcept;
  void DeallocateBatch(void* const* objects, size_t count) noexcept { pool_->DeallocateBatch(objects, count); }

  size_t object_bytes() const noexcept { return object_bytes_; }
  // What one object takes, rounding included.
  size_t footprint_bytes() const noexcept { return footprint_bytes_; }
  Pool& pool() const noexcept { return *pool_; }

 private:
  SlabCache() = default;
  // No members: a copy of the handle that is local to a function then stays in registers.
  static void* AllocateSlow(Pool* pool, unsigned size_class) noexcept;
  static void DeallocateSlow(Pool* pool, void* object) noexcept;

  // Of the pool's PercpuView.
  void** objects_of_cpu_0_ = nullptr;
  uint64_t least_distance_ = 0;
  internal::RseqOffsets rseq_;
  std::shared_ptr<Pool> pool_;
  size_t object_bytes_ = 0;
  size_t footprint_bytes_ = 0;
  unsigned size_class_ = 0;
};

}  // namespace hugepool

#endif  // HUGEPOOL_SLAB_CACHE_H_
