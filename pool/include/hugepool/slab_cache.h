// SlabCache: blocks of one size from a Pool, with the size class looked up once.
//
// Units      bytes
// Alignment  as Pool: 16 B, a cache line from 1 KiB, or what was asked for (power of two up to 4 KiB)
// Owner      shares the Pool; the handle is a value and may be copied
// Threads    any thread
// Errors     Create fills an Error; Allocate returns nullptr
// Source     Bonwick, The Slab Allocator, USENIX 1994
#ifndef HUGEPOOL_SLAB_CACHE_H_
#define HUGEPOOL_SLAB_CACHE_H_

#include <cstddef>
#include <memory>
#include <optional>

#include "hugepool/error.h"
#include "hugepool/export.h"
#include "hugepool/pool.h"

namespace hugepool {

class HUGEPOOL_EXPORT SlabCache {
 public:
  // object_bytes: 1 to 256 KiB (kMaxSlabBytes: larger objects take whole runs; use Pool for them).
  static std::optional<SlabCache> Create(std::shared_ptr<Pool> pool, size_t object_bytes, Error* error,
                                         size_t alignment_bytes = kMinAlignmentBytes);

  void* Allocate() noexcept;
  // Blocks of this cache or of its pool with the same class; nullptr is allowed.
  void Deallocate(void* object) noexcept;

  size_t object_bytes() const noexcept { return object_bytes_; }
  // What one object takes, rounding included.
  size_t footprint_bytes() const noexcept { return footprint_bytes_; }
  Pool& pool() const noexcept { return *pool_; }

 private:
  SlabCache() = default;

  std::shared_ptr<Pool> pool_;
  size_t object_bytes_ = 0;
  size_t footprint_bytes_ = 0;
  unsigned size_class_ = 0;
};

}  // namespace hugepool

#endif  // HUGEPOOL_SLAB_CACHE_H_
