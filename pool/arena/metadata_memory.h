// MetadataMemory: the pool's own books: zeroed memory beside the blocks, never inside them.
//
// Shape      one mapping per array, 4 KiB pages, touched (and so paid for) only where the pool grows
// Units      bytes
// Owner      the PoolCore; everything is unmapped when it is destroyed
// Threads    any; the list is guarded by mutex_ (rank kMetadata), no system call is made under it
// Errors     Map returns nullptr and fills *error
#ifndef HUGEPOOL_ARENA_METADATA_MEMORY_H_
#define HUGEPOOL_ARENA_METADATA_MEMORY_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hugepool/error.h"
#include "os/mutex.h"
#include "os/os_memory.h"

namespace hugepool::internal {

class MetadataMemory {
 public:
  explicit MetadataMemory(OsMemory& os) : os_(os) {}
  ~MetadataMemory();
  MetadataMemory(const MetadataMemory&) = delete;
  MetadataMemory& operator=(const MetadataMemory&) = delete;

  // Zeroed; on the node where possible (node_id ≥ 0).
  void* Map(size_t bytes, int node_id, Error* error) HUGEPOOL_EXCLUDES(mutex_);

  // Address space that reads as zeros and costs nothing until a part of it is opened for writing, on a node where
  // possible (node_id ≥ 0). Open: 0, or the errno of the refused call.
  void* Reserve(size_t bytes, Error* error) HUGEPOOL_EXCLUDES(mutex_);
  int Open(void* address, size_t bytes, int node_id) HUGEPOOL_EXCLUDES(mutex_);

  template <typename T>
  T* MapArray(size_t count, int node_id, Error* error) {
    return static_cast<T*>(Map(count * sizeof(T), node_id, error));
  }

  // Places a part of an array on a node; parts smaller than a page stay where they are.
  void PreferNode(void* address, size_t bytes, int node_id);

  // What the kernel holds resident of it (mincore). Cost: one system call per mapping, one byte per page.
  uint64_t ResidentBytes() const HUGEPOOL_EXCLUDES(mutex_);
  uint64_t refused_bind_count() const { return refused_bind_count_.load(std::memory_order_relaxed); }

 private:
  struct Mapping {
    void* address;
    size_t bytes;
    bool counted;   // what may be resident: all of it but for reservations, whose opened parts are listed themselves
    bool unmapped;  // at the end: all but parts of reservations
  };
  void* Refused(int refused, size_t bytes, int node_id, Error* error) const;

  OsMemory& os_;
  mutable Mutex mutex_{LockRank::kMetadata};
  std::vector<Mapping> mappings_ HUGEPOOL_GUARDED_BY(mutex_);
  std::atomic<uint64_t> refused_bind_count_{0};  // relaxed: a counter
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_METADATA_MEMORY_H_
