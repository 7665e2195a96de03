// ObjectCache: objects of one type from a Pool, constructed and destroyed in place.
//
// Shape      a SlabCache of sizeof(T) and alignof(T); nothing of an object is touched but by its own constructor and
//            destructor
// Units      bytes; sizeof(T) at most kMaxObjectBytes (256 KiB)
// Alignment  alignof(T), at most 4 KiB; never less than 16 B, a cache line from 1 KiB
// Owner      shares the Pool; the handle is a value and may be copied. Objects belong to the pool: any copy deletes them
// Threads    any thread; an object may be deleted by another thread than the one that made it
// Errors     Create fills an Error; New returns nullptr where memory is refused, and passes on what a constructor throws,
//            after the block went back. Compiles without exceptions too
// Cost       that of SlabCache, and of the constructor
// Source     Bonwick, The Slab Allocator, USENIX 1994 (without its constructed state between uses)
#ifndef HUGEPOOL_OBJECT_CACHE_H_
#define HUGEPOOL_OBJECT_CACHE_H_

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

#include "hugepool/error.h"
#include "hugepool/internal/construct.h"
#include "hugepool/pool.h"
#include "hugepool/slab_cache.h"
#include "hugepool/types.h"

namespace hugepool {

template <typename T>
class ObjectCache {
  static_assert(std::is_object_v<T> && !std::is_array_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
                "ObjectCache<T>: T is a class, an enumeration, a number or a pointer, not const; for an array wrap it "
                "into a struct");
  static_assert(std::is_destructible_v<T>, "ObjectCache<T>: T needs a destructor that may be called from outside");
  static_assert(sizeof(T) <= kMaxObjectBytes,
                "ObjectCache<T>: T is larger than 256 KiB (kMaxObjectBytes); make it in a block of Pool::Allocate");
  static_assert(alignof(T) <= kMaxAlignmentBytes,
                "ObjectCache<T>: T is aligned to more than 4 KiB (kMaxAlignmentBytes), which no pool serves");

 public:
  // Destroys the object and frees it to its pool, which must live as long as the object does.
  class Deleter {
   public:
    Deleter() = default;
    void operator()(T* object) const noexcept {
      object->~T();
      pool_->Deallocate(object, sizeof(T));
    }

   private:
    friend class ObjectCache;
    explicit Deleter(Pool* pool) : pool_(pool) {}

    Pool* pool_ = nullptr;
  };
  // Two pointers wide. It holds no share of the Pool: a reference count per object would cost more than the object.
  using UniquePtr = std::unique_ptr<T, Deleter>;

  // Returns nothing and fills *error (when not null) where `pool` is null.
  static std::optional<ObjectCache> Create(std::shared_ptr<Pool> pool, Error* error) {
    std::optional<SlabCache> blocks =
        SlabCache::Create(std::move(pool), sizeof(T), error, std::max(alignof(T), kMinAlignmentBytes));
    if (!blocks) {
      if (error != nullptr) error->operation = "ObjectCache::Create";
      return std::nullopt;
    }
    return ObjectCache(*std::move(blocks));
  }

  // A new T(args...); without arguments it is value-initialized, as by std::make_unique. nullptr: memory was refused,
  // and no constructor ran. What the constructor throws passes on.
  template <typename... Args>
  [[nodiscard]] T* New(Args&&... args) {
    void* const block = blocks_.Allocate();
    if (block == nullptr) return nullptr;
    return internal::Construct<T>(
        block, [this](void* unused) { blocks_.Deallocate(unused); }, std::forward<Args>(args)...);
  }

  // Destroys and frees an object of this cache, or of another one of the same type and pool; nullptr is allowed.
  void Delete(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    blocks_.Deallocate(object);
  }

  // New, held by a pointer that deletes; empty where memory was refused.
  template <typename... Args>
  [[nodiscard]] UniquePtr MakeUnique(Args&&... args) {
    return UniquePtr(New(std::forward<Args>(args)...), Deleter(&blocks_.pool()));
  }

  // What one object takes, rounding included.
  size_t footprint_bytes() const noexcept { return blocks_.footprint_bytes(); }
  Pool& pool() const noexcept { return blocks_.pool(); }

 private:
  explicit ObjectCache(SlabCache blocks) : blocks_(std::move(blocks)) {}

  SlabCache blocks_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_OBJECT_CACHE_H_
