// Comparison: what the rounds of all rows came to, benchmark by benchmark.
//
// Shape      a benchmark has measures (operations a second, a quantile, a footprint); a measure has a line for each row
// Units      as the measure says; ratios are plain numbers: above 1 is more of the measure, whatever is better
// Threads    values
// Invariant  a line that is ok has a value of each round; one that is not has a reason
#ifndef HUGEPOOL_BENCH_COMPARISON_H_
#define HUGEPOOL_BENCH_COMPARISON_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/bench_process.h"
#include "bench/compare_row.h"
#include "bench/results.h"

namespace hugepool::bench {

struct Measure {
  const char* key;  // Google Benchmark's name of it
  const char* title;
  bool more_is_better;
  std::string (*text)(double value);
};
const std::vector<Measure>& Measures();

// One row in one benchmark, as it ran.
struct RowRuns {
  const CompareRow* row = nullptr;
  RowStatus status = RowStatus::kOk;
  std::string reason;          // of a skip or failure
  std::vector<BenchRun> runs;  // by round
};

struct BenchmarkRuns {
  std::string name;  // as Google Benchmark has it
  std::vector<RowRuns> rows;

  std::string Title() const;  // without what is the same for all
};

// One row in one measure of one benchmark.
struct Line {
  const RowRuns* runs = nullptr;
  Spread value;
  std::optional<double> to_malloc;     // median of the rounds' ratios
  std::optional<double> to_best_peer;  // the same
};

struct MeasureResult {
  const Measure* measure = nullptr;
  std::vector<Line> lines;  // rows that have it, in their order
  // By its median; nullptr where no peer ran. Rows for one thread have their own, of all peers: what synchronizes nothing
  // is no measure for what does.
  const RowRuns* best_peer = nullptr;
  const RowRuns* best_one_thread_peer = nullptr;
};

// Every measure that any row of the benchmark has. Lines point into the argument.
std::vector<MeasureResult> Compare(const BenchmarkRuns& benchmark);

// What stands behind a pool's pages: "hugetlb", "THP", "4 KiB", with shares where mixed; "" where the run does not say.
std::string PagesText(const BenchRun& run);

nlohmann::ordered_json ToJson(const BenchmarkRuns& benchmark);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARISON_H_
