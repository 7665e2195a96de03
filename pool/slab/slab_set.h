// SlabSet: the bins of all nodes and classes, and the way from an address to its bin.
//
// Shape      window_count × kMaxClassCount bins; per window one Slab header and one external row per slot
// Owner      the PoolCore
// Threads    any; the bins guard themselves
// Errors     Create fills an Error; a pointer that is no live block ends the process
// Cost       O(1) from an address to its class, size, node
#ifndef HUGEPOOL_SLAB_SLAB_SET_H_
#define HUGEPOOL_SLAB_SLAB_SET_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "arena/arena_set.h"
#include "slab/class_table.h"
#include "slab/slab_bin.h"

namespace hugepool::internal {

class SlabSet {
 public:
  static std::unique_ptr<SlabSet> Create(ArenaSet& arenas, MetadataMemory& metadata, Error* error);

  SlabBin& bin(size_t window, SizeClass size_class) { return *bins_[window * kMaxClassCount + ToSize(size_class)]; }
  ArenaSet& arenas() { return arenas_; }
  ClassTable& classes() { return classes_; }

  // Gives every empty slab back to the arenas.
  bool ReleaseEmpty();
  // Bytes and objects that left the slabs: in users' hands or in the caches above. Bins without a slab are not asked.
  void AddUsed(uint64_t* bytes, uint64_t* count);
  bool Check(std::string* why);

 private:
  explicit SlabSet(ArenaSet& arenas) : arenas_(arenas) {}

  ArenaSet& arenas_;
  ClassTable classes_;
  std::vector<std::unique_ptr<SlabBin>> bins_;
};

}  // namespace hugepool::internal

#endif  // HUGEPOOL_SLAB_SLAB_SET_H_
