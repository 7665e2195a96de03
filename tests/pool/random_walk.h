// RandomWalk: threads that allocate, stamp, hand over and free blocks of any size at random, and a model of what is
// live, against which the pool is checked whenever all threads stand still.
//
// Shape      one Walker per thread, with blocks of its own and a mailbox into which others put blocks
// Units      an operation is one Allocate or one Deallocate
// Threads    Run starts and joins its own
// Invariant  no two live blocks overlap; every block keeps its stamp; the pool's counts are the model's
// Errors     the first thing that is wrong stops the walk and stands in WalkResult::wrong
#ifndef HUGEPOOL_TESTS_POOL_RANDOM_WALK_H_
#define HUGEPOOL_TESTS_POOL_RANDOM_WALK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "hugepool/pool.h"

namespace hugepool::testing {

struct WalkPlan {
  uint64_t seed = 1;
  uint64_t operation_count = 1'000'000;
  size_t thread_count = 4;
  size_t live_limit_bytes = size_t{2} << 30;    // as requested, over all threads
  size_t max_block_bytes = size_t{8} << 20;     // sizes are log-uniform from 1
  uint64_t operations_between_checks = 20'000;  // all threads together
  // Called by each walker before every Allocate (to pick a CPU), and after it with what it got: "" or what is wrong.
  std::function<void(uint64_t random)> before_allocate = nullptr;
  std::function<std::string(void* block, size_t bytes)> after_allocate = nullptr;
};

struct WalkResult {
  std::string wrong;  // empty: nothing
  uint64_t operation_count = 0;
  uint64_t allocation_count = 0;
  uint64_t refusal_count = 0;  // Allocate returned nullptr
  uint64_t handed_over_count = 0;
  uint64_t check_count = 0;
  uint64_t peak_live_bytes = 0;
  uint64_t peak_block_count = 0;
  double seconds = 0;
};

// Walks, frees everything at the end and checks that every byte came back: Trim(0) leaves nothing committed.
WalkResult RandomWalk(Pool& pool, const WalkPlan& plan);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_RANDOM_WALK_H_
