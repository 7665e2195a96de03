// CompareRounds: the run itself. For each benchmark, round by round, every row runs once in a process of its own, in an
// order that rotates, so that drift of the machine meets every row alike.
//
// Threads    one caller
// Errors     a run that fails makes its row a failed one in that benchmark, and the others go on; a row that this machine
//            cannot run becomes a skipped row with its reason
#ifndef HUGEPOOL_BENCH_COMPARE_ROUNDS_H_
#define HUGEPOOL_BENCH_COMPARE_ROUNDS_H_

#include <string>
#include <vector>

#include "bench/compare_options.h"
#include "bench/comparison.h"
#include "bench/machine.h"
#include "bench/signals.h"

namespace hugepool::bench {

struct SkippedRow {
  const CompareRow* row;
  std::string reason;
};

struct CompareOutcome {
  std::vector<BenchmarkRuns> benchmarks;
  std::vector<SkippedRow> skipped;  // on this machine, in every benchmark
  bool interrupted = false;         // benchmarks holds those that were done
  std::string refusal;              // not empty: nothing ran

  bool AnyFailed() const;
};

CompareOutcome RunComparison(const CompareOptions& options, const Machine& machine, Signals* signals);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_ROUNDS_H_
