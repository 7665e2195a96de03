// Measure: the costs of the model that one machine can show, with the pool's own code.
//
// Shape      locks, copies and slabs: the pool's Mutex and SlabBin on one thread; lines and wake-ups: two threads on two CPUs.
//            Each figure is the median of many samples.
// Threads    starts one, and ends it
// Errors     returns what is missing, "" when nothing is
// Cost       about two seconds and 300 MiB of memory
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_MEASURE_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_MEASURE_H_

#include <string>

#include "bench/numa_model/costs.h"

namespace hugepool::bench {

// Sets what is measured, and leaves the rest.
std::string Measure(Costs* costs);

// The same as options of numa_model, and what was meant by each.
std::string FormatMeasured(std::string* text);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_MEASURE_H_
