// MetadataMemory: the pool's own books: zeroed memory beside the blocks, never inside them.
//
// Shape      one mapping per array, 4 KiB pages, touched (and so paid for) only where the pool grows
// Units      bytes
// Owner      the PoolCore; everything is unmapped when it is destroyed
// Threads    Map while one thread builds the pool; ResidentBytes from any thread afterwards
// Errors     Map returns nullptr and fills *error
#ifndef HUGEPOOL_ARENA_METADATA_MEMORY_H_
#define HUGEPOOL_ARENA_METADATA_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hugepool/error.h"
#include "os/os_memory.h"

namespace hugepool::internal {

class MetadataMemory {
 public:
  explicit MetadataMemory(OsMemory& os) : os_(os) {}
  ~MetadataMemory();
  MetadataMemory(const MetadataMemory&) = delete;
  MetadataMemory& operator=(const MetadataMemory&) = delete;

  // Zeroed; on the node where possible (node_id ≥ 0).
  void* Map(size_t bytes, int node_id, Error* error);

  template <typename T>
  T* MapArray(size_t count, int node_id, Error* error) {
    return static_cast<T*>(Map(count * sizeof(T), node_id, error));
  }

  // Places a part of an array on a node; parts smaller than a page stay where they are.
  void PreferNode(void* address, size_t bytes, int node_id);

  // What the kernel holds resident of it (mincore). Cost: one system call per mapping, one byte per page.
  uint64_t ResidentBytes() const;
  uint64_t refused_bind_count() const { return refused_bind_count_; }

 private:
  struct Mapping {
    void* address;
    size_t bytes;
  };

  OsMemory& os_;
  std::vector<Mapping> mappings_;
  uint64_t refused_bind_count_ = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_ARENA_METADATA_MEMORY_H_
