// ModelOptions: what numa_model was asked to do, checked.
//
// Threads    a value; no sharing
// Errors     ParseModelOptions prints what is wrong (option, value, what is allowed, an example) and says how to exit
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_MODEL_OPTIONS_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_MODEL_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "bench/numa_model/pool_model.h"

namespace hugepool::bench {

inline constexpr int kModelExitOk = 0;
inline constexpr int kModelExitFailed = 1;
inline constexpr int kModelExitBadInput = 2;

struct NamedDesign {
  std::string name;
  Design design;
};

struct ModelOptions {
  bool measure = false;
  std::vector<size_t> node_counts;
  std::vector<double> lookup_rates;
  bool shared_cache = true;  // remote_share follows from the number of nodes
  Load load;                 // the rest; node_count and lookups_per_second are of one row each
  std::vector<NamedDesign> designs;
  Costs costs;
  std::string json_path;
  std::string command;  // as typed, for the report

  Load LoadOf(size_t node_count, double lookup_rate) const;
};

struct ParsedModelOptions {
  std::optional<ModelOptions> options;  // nothing: leave with exit_code
  int exit_code = kModelExitOk;
};
ParsedModelOptions ParseModelOptions(int argc, char** argv);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_MODEL_OPTIONS_H_
