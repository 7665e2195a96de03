// CompareOptions: what bench_compare was asked to do, checked.
//
// Units      seconds
// Threads    a value; no sharing
// Errors     ParseCompareOptions prints what is wrong (option, value, what is allowed, an example) and says how to exit
#ifndef HUGEPOOL_BENCH_COMPARE_OPTIONS_H_
#define HUGEPOOL_BENCH_COMPARE_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "bench/compare_row.h"

namespace hugepool::bench {

struct CompareOptions {
  std::string pool_bench;  // path of the program
  std::vector<const CompareRow*> rows;
  std::string filter = ".";  // of benchmarks
  unsigned round_count = 5;
  unsigned long_round_count = 3;  // of growth and footprint
  double min_time_seconds = 0.3;
  double timeout_seconds = 600;
  std::vector<std::string> peer_dirs;   // where to look for peers' libraries; empty: the usual ones
  std::vector<std::string> pass_along;  // options of pool_bench: sizes and threads
  std::string json_path;
  std::string html_path;
  std::string svg_path;
  std::string command;  // as typed, for the report

  // Growth and footprint take as long as they take, and sway little.
  unsigned RoundsOf(const std::string& benchmark) const;
};

struct ParsedCompareOptions {
  std::optional<CompareOptions> options;  // nothing: leave with exit_code
  int exit_code = 0;
};
ParsedCompareOptions ParseCompareOptions(int argc, char** argv);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_COMPARE_OPTIONS_H_
