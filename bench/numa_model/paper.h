// Paper: what formulas say of the locks of the depots, without a simulation.
//
// Shape      a lock with visitors that come at random and stay for known times, served in turn (M/G/1; M/D/1 where all
//            stay equally long): the mean wait is the sum over kinds of rate × stay² ÷ (2 (1 − use))
// Units      nanoseconds
// Threads    functions, no state
// Source     A. Khintchine 1932, F. Pollaczek 1930; L. Kleinrock, Queueing Systems, vol. 1, 1975
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_PAPER_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_PAPER_H_

#include <vector>

#include "bench/numa_model/pool_model.h"

namespace hugepool::bench {

struct Visits {
  double per_ns = 0;
  double stay_ns = 0;
};

struct Estimate {
  double use = 0;      // from 1 on: more visits than the lock can serve
  double wait_ns = 0;  // infinite then
};

Estimate QueueAt(const std::vector<Visits>& kinds);

// Of one depot's lock. Takes that every batch is full, no depot runs empty or full, and every line is where the previous
// visitor has left it.
Estimate DepotOnPaper(const Load& load, const Design& design, const Costs& costs);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_PAPER_H_
