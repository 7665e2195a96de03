// LocalPool: objects of one type for one owner, without synchronisation: for a shard, a strand, an executor.
//
// Shape      a LocalBlockPool of sizeof(T) and alignof(T); local_block_pool.h says how it hands memory out, what it
//            costs, and what a forked child may do with it
// Units      bytes; counts are objects
// Alignment  alignof(T), at most 4 KiB; at least 8 B, a cache line from 1 KiB
// Owner      the handle, which moves and is not copied. Objects still alive when it goes are not destroyed: their memory
//            goes back to the Pool, what they own elsewhere is lost
// Threads    one at a time, any; the owner orders them. Debug builds end the process when two are inside at once. A
//            constructor or destructor of T may use the pool again
// Errors     Create fills an Error; New and Allocate return nullptr where the pool refuses; New passes on what a
//            constructor throws, after the memory went back. Compiles without exceptions too
// Cost       New and Delete: O(1) in any order, about five instructions beside constructor and destructor
#ifndef HUGEPOOL_LOCAL_POOL_H_
#define HUGEPOOL_LOCAL_POOL_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "hugepool/error.h"
#include "hugepool/internal/construct.h"
#include "hugepool/local_block_pool.h"
#include "hugepool/pool.h"
#include "hugepool/types.h"

namespace hugepool {

template <typename T>
class LocalPool {
  static_assert(
      std::is_object_v<T> && !std::is_array_v<T> && std::is_same_v<T, std::remove_cv_t<T>>,
      "LocalPool<T>: T is a class, an enumeration, a number or a pointer, not const; for an array wrap it into "
      "a struct; for plain memory see LocalBlockPool");
  static_assert(std::is_destructible_v<T>, "LocalPool<T>: T needs a destructor that may be called from outside");
  static_assert(alignof(T) <= kMaxAlignmentBytes,
                "LocalPool<T>: T is aligned to more than 4 KiB (kMaxAlignmentBytes), which no pool serves");

 public:
  // sizeof(T) is at most options.max_chunk_bytes (2 MiB unless said otherwise). Fetches nothing yet.
  static std::optional<LocalPool> Create(std::shared_ptr<Pool> pool, Error* error,
                                         const LocalPoolOptions& options = {}) {
    std::optional<LocalBlockPool> blocks =
        LocalBlockPool::Create(std::move(pool), sizeof(T), error, alignof(T), options);
    if (!blocks) {
      if (error != nullptr) error->operation = "LocalPool::Create";
      return std::nullopt;
    }
    return LocalPool(*std::move(blocks));
  }

  // A new T(args...); without arguments it is value-initialized, as by std::make_unique. nullptr: memory was refused,
  // and no constructor ran.
  template <typename... Args>
  [[nodiscard]] T* New(Args&&... args) {
    void* const memory = Allocate();
    if (memory == nullptr) return nullptr;
    return internal::Construct<T>(
        memory, [this](void* unused) { Deallocate(unused); }, std::forward<Args>(args)...);
  }
  // Destroys and frees an object of this pool; nullptr is allowed.
  void Delete(T* object) noexcept {
    if (object == nullptr) return;
    object->~T();
    Deallocate(object);
  }

  // The same without constructor and destructor.
  [[nodiscard]] void* Allocate() noexcept {
    if constexpr (LocalBlockPool::IsBlock(sizeof(T))) {
      return blocks_.AllocateBlock();
    } else {
      return blocks_.AllocateRecord();
    }
  }
  void Deallocate(void* memory) noexcept {
    if constexpr (LocalBlockPool::IsBlock(sizeof(T))) {
      blocks_.DeallocateBlock(memory);
    } else {
      blocks_.DeallocateRecord(memory);
    }
  }

  // The rest as LocalBlockPool.
  void Clear() noexcept { blocks_.Clear(); }
  size_t Trim() noexcept { return blocks_.Trim(); }
  size_t stride_bytes() const noexcept { return blocks_.stride_bytes(); }
  size_t live_count() const noexcept { return blocks_.live_count(); }
  size_t object_count() const noexcept { return blocks_.object_count(); }
  size_t chunk_count() const noexcept { return blocks_.chunk_count(); }
  size_t footprint_bytes() const noexcept { return blocks_.footprint_bytes(); }
  Pool& pool() const noexcept { return blocks_.pool(); }
  bool CheckInvariants(std::string* why) const { return blocks_.CheckInvariants(why); }

 private:
  explicit LocalPool(LocalBlockPool blocks) : blocks_(std::move(blocks)) {}

  LocalBlockPool blocks_;
};

}  // namespace hugepool

#endif  // HUGEPOOL_LOCAL_POOL_H_
