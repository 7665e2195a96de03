// LiveMemory: what the slabs of a pool hold at one moment, for those who judge whether it lies well.
//
// Units      objects; bytes
// Threads    a value
#ifndef HUGEPOOL_SLAB_LIVE_MEMORY_H_
#define HUGEPOOL_SLAB_LIVE_MEMORY_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "slab/size_classes.h"

namespace hugepool::internal {

struct LiveMemory {
  std::array<uint64_t, kMaxClassCount> counts{};  // objects by class, over all nodes
  size_t node_count = 0;                          // nodes with any
  uint64_t used_bytes = 0;                        // of those objects
  uint64_t other_bytes = 0;                       // runs, empty pages, what is free where slabs drain
  uint64_t committed_bytes = 0;
  uint64_t capacity_bytes = 0;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_LIVE_MEMORY_H_
