// kv_bench: a real RocksDB, worked on through block caches on different allocators.
#include <fmt/format.h>
#include <hugepool/types.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "bench/database.h"
#include "bench/kv_options.h"
#include "bench/machine.h"
#include "bench/report.h"
#include "bench/rounds.h"
#include "bench/signals.h"
#include "bench/size_trace.h"
#include "bench/table.h"
#include "bench/worker.h"

namespace hugepool::bench {
namespace {

int Refuse(const std::string& problem) {
  fmt::print(stderr, "kv_bench: {}\n", problem);
  return kExitBadInput;
}

// Shells' way to say that a signal ended a program.
int ExitCodeOf(int signal_number) {
  fmt::print(stderr, "kv_bench: interrupted; all workers are ended\n");
  return 128 + signal_number;
}

// An hour of rounds must not end at a path that cannot be written.
std::string CheckWritable(const std::string& option, const std::string& path) {
  return path.empty() ? "" : WriteFile(option, path, "");
}

int Main(int argc, char** argv) {
  Signals signals;
  ParsedOptions parsed = ParseKvOptions(argc, argv);
  if (!parsed.options) return parsed.exit_code;
  KvOptions& options = *parsed.options;
  std::string problem;
  if (options.is_replay()) {
    const auto trace = ReadSizeTrace(options.replay_path, &problem);
    if (!trace) return Refuse(problem);
    options.replay_live_bytes = trace->most_live_bytes;
    options.replay_live_count = trace->most_live_count;
    if (!options.print_huge_pages_needed) fmt::print("{}\n", FormatSizes(*trace));
  }
  if (options.print_huge_pages_needed) {
    fmt::print("{}\n", options.PoolCapacityBytes() / kHugePageBytes);
    return kExitOk;
  }
  for (const auto& [option, path] :
       {std::pair{"--json", options.json_path}, {"--csv", options.csv_path}, {"--html", options.html_path}}) {
    problem = CheckWritable(option, path);
    if (!problem.empty()) return Refuse(problem);
  }

  const auto database = options.is_replay() ? std::optional(DatabaseFacts())
                                            : PrepareDatabase(
                                                  options.db, options.shape, options.named_shape_options,
                                                  [&] { return signals.Arrived() != 0; }, &problem);
  if (signals.Arrived() != 0) return ExitCodeOf(signals.Arrived());
  if (!database) return Refuse(problem);
  options.shape = database->shape;
  if (!options.is_replay()) problem = options.Conflict();
  if (!problem.empty()) return Refuse(problem);

  const Machine machine = ReadMachine();
  RunOutcome outcome = RunRounds(options, *database, machine, &signals);
  if (outcome.interrupted) return ExitCodeOf(signals.Arrived());
  if (!outcome.refusal.empty()) return Refuse(outcome.refusal);

  fmt::print("{}", FormatTable(outcome.rows, options, machine));
  const auto document = MakeDocument(outcome.rows, options, *database, machine);
  if (!options.json_path.empty()) problem = WriteFile("--json", options.json_path, document.dump(1) + "\n");
  if (!problem.empty()) return Refuse(problem);
  if (!options.csv_path.empty()) problem = WriteFile("--csv", options.csv_path, FormatCsv(outcome.rows));
  if (!problem.empty()) return Refuse(problem);
  if (!options.html_path.empty()) problem = WriteFile("--html", options.html_path, MakePage(document));
  if (!problem.empty()) return Refuse(problem);
  const bool failed = std::any_of(outcome.rows.begin(), outcome.rows.end(),
                                  [](const RowResult& row) { return row.status == RowStatus::kFailed; });
  return failed ? kExitRunFailed : kExitOk;
}

}  // namespace
}  // namespace hugepool::bench

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--worker") return hugepool::bench::WorkerMain();
  return hugepool::bench::Main(argc, argv);
}
