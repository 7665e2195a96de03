// BenchProcess: one run of pool_bench in a process of its own, and what its output says.
//
// Shape      standard output is Google Benchmark's JSON; standard error is kept for what went wrong
// Owner      RunBenchProcess starts the process and waits for its end; the kernel ends it, too, when the caller dies
// Threads    one caller
// Errors     every way to end badly (exit code, signal, time-out, output that is no JSON, an error inside of it) is a reason
#ifndef HUGEPOOL_BENCH_BENCH_PROCESS_H_
#define HUGEPOOL_BENCH_BENCH_PROCESS_H_

#include <map>
#include <string>
#include <vector>

#include "bench/signals.h"

namespace hugepool::bench {

struct ProcessOutcome {
  bool interrupted = false;
  int exit_code = -1;
  std::string problem;  // "" where it left by itself, whatever the exit code
  std::string output;
  std::string error;
};

// arguments[0] is the program's path; environment: all its variables.
ProcessOutcome RunBenchProcess(const std::vector<std::string>& arguments, const std::vector<std::string>& environment,
                               double timeout_seconds, Signals* signals);

struct BenchRun {
  std::string problem;                    // not empty: the rest is
  std::map<std::string, double> figures;  // by Google Benchmark's names: items_per_second, counters
  std::string malloc;                     // the library that served it, by maps
};

// Of a process that was to run the one benchmark.
BenchRun ReadBenchRun(const ProcessOutcome& outcome, const std::string& benchmark);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_BENCH_PROCESS_H_
