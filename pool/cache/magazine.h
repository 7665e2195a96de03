// Magazine: free objects of one class in one CPU's hands, last in, first out. An Outbox holds those whose home is
// elsewhere.
//
// Shape      an array of pointers; the objects are not touched
// Units      objects
// Owner      one shard of the CpuCache, under its lock
// Invariant  count ≤ capacity; [0, count) are distinct free objects
// Source     Bonwick & Adams, Magazines and Vmem, USENIX 2001
#ifndef HUGEPOOL_CACHE_MAGAZINE_H_
#define HUGEPOOL_CACHE_MAGAZINE_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace hugepool::internal {

inline constexpr size_t kMagazineMaxCount = 64;
// What moves between a cache and the slabs at a time.
inline constexpr size_t kBatchMaxCount = kMagazineMaxCount / 2;

struct Magazine {
  void** objects = nullptr;
  uint16_t count = 0;
  uint16_t capacity = 0;

  bool Full() const { return count == capacity; }
  void* Pop() { return objects[--count]; }
  void Push(void* object) { objects[count++] = object; }
  // Moves the oldest `wanted` objects out; the newest stay, being the likeliest in the CPU's cache.
  size_t TakeOldest(void** out, size_t wanted) {
    const size_t taken = std::min<size_t>(wanted, count);
    std::copy_n(objects, taken, out);
    std::copy(objects + taken, objects + count, objects);
    count = static_cast<uint16_t>(count - taken);
    return taken;
  }
};

struct Outbox {
  std::array<void*, kBatchMaxCount> objects;
  size_t count = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_CACHE_MAGAZINE_H_
