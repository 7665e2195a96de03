// bench_compare: pool_bench for every allocator, one process for each row, benchmark and round, put side by side.
#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "bench/compare_options.h"
#include "bench/compare_plot.h"
#include "bench/compare_report.h"
#include "bench/compare_rounds.h"
#include "bench/compare_table.h"
#include "bench/kv_options.h"
#include "bench/machine.h"
#include "bench/report.h"
#include "bench/signals.h"

namespace hugepool::bench {
namespace {

int Refuse(const std::string& problem) {
  fmt::print(stderr, "bench_compare: {}\n", problem);
  return kExitBadInput;
}

int Main(int argc, char** argv) {
  Signals signals;
  const ParsedCompareOptions parsed = ParseCompareOptions(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  const CompareOptions& options = *parsed.options;
  const std::pair<const char*, const std::string&> paths[] = {
      {"--json", options.json_path}, {"--html", options.html_path}, {"--svg", options.svg_path}};
  // An hour of rounds must not end at a path that cannot be written.
  for (const auto& [option, path] : paths) {
    const std::string problem = path.empty() ? "" : WriteFile(option, path, "");
    if (!problem.empty()) return Refuse(problem);
  }

  const Machine machine = ReadMachine();
  const CompareOutcome outcome = RunComparison(options, machine, &signals);
  if (!outcome.refusal.empty() && !outcome.interrupted) return Refuse(outcome.refusal);

  // What was done before an interruption took its time too: it is written like a whole run.
  fmt::print("{}", FormatComparison(outcome, machine));
  const auto document = MakeCompareDocument(outcome, options, machine);
  const std::string texts[] = {document.dump(1) + "\n", MakeComparePage(document), DrawComparison(outcome, machine)};
  for (size_t i = 0; i < std::size(paths); ++i) {
    const std::string problem = paths[i].second.empty() ? "" : WriteFile(paths[i].first, paths[i].second, texts[i]);
    if (!problem.empty()) return Refuse(problem);
  }
  if (outcome.interrupted) {
    fmt::print(stderr, "bench_compare: interrupted; no process is left, benchmarks not done are missing\n");
    return 128 + signals.Arrived();
  }
  return outcome.AnyFailed() ? kExitRunFailed : kExitOk;
}

}  // namespace
}  // namespace hugepool::bench

int main(int argc, char** argv) { return hugepool::bench::Main(argc, argv); }
