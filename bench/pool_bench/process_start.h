// ProcessStart: growth and footprint measure a process that has not allocated before; this says whether it still is one.
//
// Threads    any thread
#ifndef HUGEPOOL_BENCH_POOL_BENCH_PROCESS_START_H_
#define HUGEPOOL_BENCH_POOL_BENCH_PROCESS_START_H_

#include <atomic>

namespace hugepool::bench {

// Every benchmark calls it once for each call of its function. True for the first of the process.
inline bool IsFirstInProcess() {
  static std::atomic<bool> used = false;  // relaxed: no data comes with it
  return !used.exchange(true, std::memory_order_relaxed);
}

inline constexpr const char* kNotFirst =
    "measures a process that has not allocated before: name it alone in --benchmark_filter, without repetitions";

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_PROCESS_START_H_
