// MixedStress: everything that an engine does to its caches, at once, on one pool: two databases that read, write, delete, scan, flush and
// compact; caches that grow and shrink; entries thrown out under pinned iterators; blocks that stay pinned while their database closes.
//
// Shape      more threads than CPUs; each value holds its key, its version and a pattern of both. A model knows each record's
//            version: a record's lock is held over a write and its entry in the model, and shared over a read and its comparison
// Owner      removes its directory at the end
// Threads    Run starts its own
// Errors     Run returns "" or the first thing that was wrong
#ifndef HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_MIXED_STRESS_H_
#define HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_MIXED_STRESS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "engine_integration/rocksdb/real_database.h"

namespace hugepool::testing {

struct StressFigures {
  std::map<std::string, double> operation_counts;  // by kind; none of them 0 at the end of a run
  uint64_t verified_count = 0;
  // Of the pool, means over the first and the second half of the run without its first eighth: the cache's sizes come round
  // many times in each.
  double first_half_bytes = 0;
  double second_half_bytes = 0;
};

// For `seconds` on a pool of the backing. Afterwards every block is back, and the pool's books are right.
std::string RunMixedStress(CacheKind kind, HugePages huge_pages, double seconds, uint64_t seed, StressFigures* figures);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_ENGINE_INTEGRATION_ROCKSDB_MIXED_STRESS_H_
