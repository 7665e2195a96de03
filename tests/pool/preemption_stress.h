// PreemptionStress: a real pool under more threads than CPUs, signals, moves between CPUs, drains and forks.
//
// Shape      each thread has blocks of its own and swaps some with others through shared cells, so that blocks are freed
//            where they were not allocated; every block carries its owner's mark at both ends, compared before it is
//            freed
// Units      operations are calls of Allocate or Deallocate
// Threads    one runs it; it makes its own, and disturbs them until enough operations and enough aborts are counted
// Errors     wrong: the first thing that was not as it must be; "" when all is well
#ifndef HUGEPOOL_TESTS_POOL_PREEMPTION_STRESS_H_
#define HUGEPOOL_TESTS_POOL_PREEMPTION_STRESS_H_

#include <cstdint>
#include <string>

#include "hugepool/types.h"

namespace hugepool::testing {

struct PreemptionPlan {
  CpuCacheMode mode = CpuCacheMode::kAuto;
  uint64_t seed = 1;
  uint64_t operation_count = 0;
  uint64_t abort_count = 0;  // in rseq mode it goes on until so many sequences were started anew
  double at_least_seconds = 0;
  double give_up_after_seconds = 600;
};

struct PreemptionResult {
  std::string wrong;
  uint64_t operation_count = 0;
  uint64_t abort_count = 0;
  uint64_t signal_count = 0;
  uint64_t move_count = 0;  // to another CPU
  uint64_t fork_count = 0;
  uint64_t trim_count = 0;
  double seconds = 0;
};

PreemptionResult PreemptionStress(const PreemptionPlan& plan);

}  // namespace hugepool::testing

#endif  // HUGEPOOL_TESTS_POOL_PREEMPTION_STRESS_H_
