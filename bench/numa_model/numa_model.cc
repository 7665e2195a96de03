// numa_model: what locks and lines between nodes would cost the pool on machines that are not here.
#include <fmt/format.h>

#include <cstdio>
#include <vector>

#include "bench/numa_model/measure.h"
#include "bench/numa_model/model_options.h"
#include "bench/numa_model/model_report.h"

namespace hugepool::bench {
namespace {

PoolFigures Simulate(const Load& load, const Design& design, LockKind kind, const Costs& costs, std::string* wrong) {
  PoolModel model(load, design, kind, costs);
  PoolFigures figures = model.Run();
  if (wrong->empty()) *wrong = model.Check();
  return figures;
}

int Main(int argc, char** argv) {
  const ParsedModelOptions parsed = ParseModelOptions(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  const ModelOptions& options = *parsed.options;
  if (options.measure) {
    std::string text;
    const std::string problem = FormatMeasured(&text);
    if (!problem.empty()) {
      fmt::print(stderr, "numa_model: --measure: {}\n", problem);
      return kModelExitFailed;
    }
    fmt::print("{}", text);
    return kModelExitOk;
  }
  if (!options.json_path.empty()) {
    const std::string problem = WriteModelJson({}, options);
    if (!problem.empty()) {
      fmt::print(stderr, "numa_model: {}\n", problem);
      return kModelExitBadInput;
    }
  }
  std::vector<ModelRow> rows;
  for (const double rate : options.lookup_rates) {
    for (const size_t node_count : options.node_counts) {
      for (const NamedDesign& named : options.designs) {
        ModelRow row;
        row.design = named.name;
        row.load = options.LoadOf(node_count, rate);
        row.paper = DepotOnPaper(row.load, named.design, options.costs);
        row.queue = Simulate(row.load, named.design, LockKind::kQueue, options.costs, &row.wrong);
        row.mutex = Simulate(row.load, named.design, LockKind::kMutex, options.costs, &row.wrong);
        rows.push_back(std::move(row));
      }
    }
  }
  fmt::print("{}", FormatModelTable(rows, options));
  const std::string problem = options.json_path.empty() ? "" : WriteModelJson(rows, options);
  if (!problem.empty()) fmt::print(stderr, "numa_model: {}\n", problem);
  bool failed = !problem.empty();
  for (const ModelRow& row : rows) {
    if (row.wrong.empty()) continue;
    fmt::print(stderr, "numa_model: {} nodes, {}: {}\n", row.load.node_count, row.design, row.wrong);
    failed = true;
  }
  return failed ? kModelExitFailed : kModelExitOk;
}

}  // namespace
}  // namespace hugepool::bench

int main(int argc, char** argv) { return hugepool::bench::Main(argc, argv); }
