#include "hugepool/slab_cache.h"

#include <bit>

#include "pool/pool_core.h"

namespace hugepool {

std::optional<SlabCache> SlabCache::Create(std::shared_ptr<Pool> pool, size_t object_bytes, Error* error,
                                           size_t alignment_bytes) {
  const auto refuse = [error](std::string message, std::string mend) {
    if (error != nullptr) {
      *error = Error{.code = ErrorCode::kInvalidArgument,
                     .operation = "SlabCache::Create",
                     .message = std::move(message),
                     .mend = std::move(mend)};
    }
    return std::nullopt;
  };
  if (pool == nullptr) return refuse("pool is null", "Create the Pool first.");
  if (object_bytes == 0 || object_bytes > internal::kMaxSlabBytes) {
    return refuse(
        "object_bytes = " + std::to_string(object_bytes) + " is out of range",
        "Allowed: 1 to " + FormatBytes(internal::kMaxSlabBytes) + "; larger blocks come from Pool::Allocate.");
  }
  if (!std::has_single_bit(alignment_bytes) || alignment_bytes > kMaxAlignmentBytes) {
    return refuse("alignment_bytes = " + std::to_string(alignment_bytes) + " is out of range",
                  "Allowed: powers of two from 1 to 4096.");
  }
  const internal::SizeClass size_class = pool->core_->classes().FixedFor(object_bytes, alignment_bytes);
  pool->core_->NoteHandle(size_class);
  SlabCache cache;
  const internal::PercpuView& view = pool->core_->view();
  cache.objects_of_cpu_0_ = internal::ObjectsOf(view.objects, internal::TagOf(size_class));
  cache.least_distance_ = view.least_distance;
  cache.rseq_ = view.rseq;
  cache.pool_ = std::move(pool);
  cache.object_bytes_ = object_bytes;
  cache.footprint_bytes_ = cache.pool_->core_->classes().ObjectBytes(size_class);
  cache.size_class_ = static_cast<unsigned>(internal::ToSize(size_class));
  return cache;
}

void* SlabCache::AllocateSlow(Pool* pool, unsigned size_class) noexcept {
  return pool->core_->AllocateClass(internal::ToSizeClass(size_class));
}
void SlabCache::DeallocateSlow(Pool* pool, void* object) noexcept { pool->core_->Deallocate(object); }
size_t SlabCache::AllocateBatch(void** objects, size_t count) noexcept {
  return pool_->core_->AllocateClassBatch(internal::ToSizeClass(size_class_), objects, count);
}

}  // namespace hugepool
