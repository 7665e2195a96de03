// BenchOptions: what pool_bench was asked to do, beside Google Benchmark's own flags; checked.
//
// Units      bytes
// Threads    a value; no sharing
// Errors     ParseBenchOptions prints what is wrong (option, value, what is allowed, an example) and says how to exit
#ifndef HUGEPOOL_BENCH_POOL_BENCH_BENCH_OPTIONS_H_
#define HUGEPOOL_BENCH_POOL_BENCH_BENCH_OPTIONS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/pool_bench/subject.h"

namespace hugepool::bench {

inline constexpr int kBenchExitOk = 0;
inline constexpr int kBenchExitFailed = 1;
inline constexpr int kBenchExitBadInput = 2;

struct BenchOptions {
  std::string subject;
  std::string huge_pages = "best";
  uint64_t capacity_bytes = uint64_t{1280} << 20;
  uint64_t live_bytes = uint64_t{1} << 30;    // replace, footprint; and the most that batches may keep alive
  uint64_t growth_bytes = uint64_t{4} << 30;  // growth
  double turnovers = 50;                      // footprint
  std::vector<int> thread_counts;             // ascending, each once
  bool collapse = false;

  // What a pool gets in this process; `best` looks at how many reserved pages are free now.
  SubjectOptions PoolOf(uint64_t pool_bytes) const;
  // Growing needs room for the blocks, for slabs and for pages kept ahead.
  uint64_t GrowthCapacityBytes() const { return growth_bytes + growth_bytes / 16 + (uint64_t{64} << 20); }
};

// 1, 2, as many as there are CPUs, and four times that.
std::vector<int> DefaultThreadCounts(unsigned cpu_count);

struct ParsedBenchOptions {
  std::optional<BenchOptions> options;  // nothing: leave with exit_code
  int exit_code = kBenchExitOk;
};
ParsedBenchOptions ParseBenchOptions(int argc, char** argv);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_POOL_BENCH_BENCH_OPTIONS_H_
