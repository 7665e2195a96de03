// ModelReport: the rows of numa_model as aligned text, and as JSON.
//
// Threads    functions, no state
// Errors     WriteModelJson returns "" or what went wrong, with the path
#ifndef HUGEPOOL_BENCH_NUMA_MODEL_MODEL_REPORT_H_
#define HUGEPOOL_BENCH_NUMA_MODEL_MODEL_REPORT_H_

#include <string>
#include <vector>

#include "bench/numa_model/model_options.h"
#include "bench/numa_model/paper.h"
#include "bench/numa_model/pool_model.h"

namespace hugepool::bench {

// One machine, rate and design: by formulas, with locks that serve in turn, and with mutexes as they are.
struct ModelRow {
  std::string design;
  Load load;
  Estimate paper;
  PoolFigures queue;
  PoolFigures mutex;
  std::string wrong;  // "" when no block was lost or doubled
};

// What is used most: its name, and the rate of a CPU at which it would be in use all the time.
struct Bottleneck {
  const char* name;
  double lookups_per_second;
};
Bottleneck BottleneckOf(const ModelRow& row);

std::string FormatModelTable(const std::vector<ModelRow>& rows, const ModelOptions& options);
std::string WriteModelJson(const std::vector<ModelRow>& rows, const ModelOptions& options);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_NUMA_MODEL_MODEL_REPORT_H_
