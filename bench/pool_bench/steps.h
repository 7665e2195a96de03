// Steps: the measured loop itself, around one step of any of the loops.
//
// Units      seconds
// Threads    each thread runs its own steps; all start together
// Errors     the first step that meets trouble ends the benchmark with its reason
// Invariant  the time is that from the common start until the last thread has done its last step. Google Benchmark's own
//            real time is the mean of the threads' times, which flatters where threads take turns on too few CPUs
#ifndef HUGEPOOL_BENCH_POOL_BENCH_STEPS_H_
#define HUGEPOOL_BENCH_POOL_BENCH_STEPS_H_

#include <benchmark/benchmark.h>

#include <chrono>

#include "bench/pool_bench/failure.h"

namespace hugepool::bench {

// One step for each iteration. False: trouble, and the benchmark failed. To be registered with UseManualTime.
template <typename Step>
bool RunSteps(benchmark::State& state, Step step) {
  using Clock = std::chrono::steady_clock;
  auto each = state.begin();  // waits until all threads are here
  const auto end = state.end();
  const auto start = Clock::now();
  for (; each != end; ++each) {  // at the end waits again
    const Trouble trouble = step();
    if (trouble != Trouble::kNone) [[unlikely]] {
      Fail(state, ToString(trouble));
      return false;
    }
  }
  state.SetIterationTime(std::chrono::duration<double>(Clock::now() - start).count());
  return true;
}

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_STEPS_H_
