// Failure: a loop that found something wrong ends its benchmark with the reason, and the process with exit code 1.
//
// Threads    any thread
#ifndef HUGEPOOL_BENCH_POOL_BENCH_FAILURE_H_
#define HUGEPOOL_BENCH_POOL_BENCH_FAILURE_H_

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace hugepool::bench {

// What a step of a loop can meet.
enum class Trouble : uint8_t {
  kNone,
  kRefused,  // Allocate returned nullptr
  kChanged,  // a live block does not hold what was written into it
};
const char* ToString(Trouble trouble);

// The caller leaves its loop after it.
void Fail(benchmark::State& state, const std::string& reason);

// Whether any benchmark of this process failed.
bool AnyFailed();

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_FAILURE_H_
