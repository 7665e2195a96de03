// Arenas: an ArenaSet on a SimulatedOs, for the tests of the arena, slab and cache floors.
#ifndef HUGEPOOL_TESTS_POOL_ARENA_ARENAS_H_
#define HUGEPOOL_TESTS_POOL_ARENA_ARENAS_H_

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "arena/arena_set.h"
#include "arena/metadata_memory.h"
#include "pool/four_nodes.h"
#include "pool/simulated_os.h"

namespace hugepool::testing {

struct Arenas {
  Arenas(SimulatedOs& os, const PoolOptions& options, const internal::Topology& topology) : metadata(os) {
    Error error;
    set = internal::ArenaSet::Create(options, os, topology, metadata, &error);
    EXPECT_NE(set, nullptr) << error.ToString();
  }

  // "" when the books of every node are right.
  std::string Complaint() const {
    std::string why;
    for (size_t window = 0; window < set->window_count(); ++window) {
      if (!set->arena(window).Check(&why)) return why;
    }
    return {};
  }

  NodeStats Stats(size_t window) const {
    NodeStats stats;
    set->arena(window).AddStats(&stats);
    return stats;
  }

  internal::MetadataMemory metadata;
  std::unique_ptr<internal::ArenaSet> set;
};

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_ARENA_ARENAS_H_
