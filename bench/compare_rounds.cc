#include "bench/compare_rounds.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <sstream>

#include "bench/bench_process.h"
#include "bench/kv_options.h"

namespace hugepool::bench {
namespace {

class ComparisonRun {
 public:
  ComparisonRun(const CompareOptions& options, const Machine& machine, Signals* signals)
      : options_(options), machine_(machine), signals_(signals) {}

  CompareOutcome All();

 private:
  void SkipRows();
  void ListBenchmarks();
  bool ListOf(const CompareRow& row, std::vector<std::string>* names);
  void RunBenchmark(BenchmarkRuns* benchmark);
  void RunOnce(const std::string& benchmark, unsigned round, RowRuns* runs);
  std::vector<std::string> ArgumentsOf(const CompareRow& row) const;
  std::vector<std::string> EnvironmentOf(const CompareRow& row) const;

  const CompareOptions& options_;
  const Machine& machine_;
  Signals* const signals_;
  std::vector<const CompareRow*> rows_;  // that this machine can run
  CompareOutcome outcome_;
};

// Benchmarks that fill much memory. The kernel hands out its smallest free pieces first: see docs/benchmarks.md.
bool FillsMemory(const std::string& benchmark) {
  static const std::regex filling("^(growth|footprint|replace|batch/100000)/");
  return std::regex_search(benchmark, filling);
}

// For a regular expression that takes this name and no other.
std::string Exactly(const std::string& benchmark) { return "^" + benchmark + "$"; }

std::vector<std::string> ComparisonRun::ArgumentsOf(const CompareRow& row) const {
  std::vector<std::string> arguments = {options_.pool_bench, "--subject=" + row.subject};
  if (!row.huge_pages.empty()) arguments.push_back("--huge_pages=" + row.huge_pages);
  if (row.allocator->collapse) arguments.push_back("--collapse");
  arguments.insert(arguments.end(), options_.pass_along.begin(), options_.pass_along.end());
  return arguments;
}

std::vector<std::string> ComparisonRun::EnvironmentOf(const CompareRow& row) const {
  const AllocatorRow& allocator = *row.allocator;
  return RowEnvironment(allocator, allocator.library.empty() ? "" : FindLibrary(allocator, options_.peer_dirs));
}

void ComparisonRun::SkipRows() {
  for (const CompareRow* row : options_.rows) {
    const std::string reason = SkipReason(*row->allocator, options_.peer_dirs, machine_.thp);
    if (reason.empty()) {
      rows_.push_back(row);
      continue;
    }
    outcome_.skipped.push_back({row, reason});
    fmt::print(stderr, "{}: skipped: {}\n", row->name, reason);
  }
}

// False: it would not tell; the refusal says why.
bool ComparisonRun::ListOf(const CompareRow& row, std::vector<std::string>* names) {
  std::vector<std::string> arguments = ArgumentsOf(row);
  arguments.insert(arguments.end(), {"--benchmark_list_tests", "--benchmark_filter=" + options_.filter});
  const ProcessOutcome listed =
      RunBenchProcess(arguments, RowEnvironment(*FindAllocator(kBaseline), ""), options_.timeout_seconds, signals_);
  outcome_.interrupted = listed.interrupted;
  if (!listed.problem.empty() || listed.exit_code != 0) {
    outcome_.refusal = listed.problem.empty() ? listed.error : listed.problem;
    while (!outcome_.refusal.empty() && outcome_.refusal.back() == '\n') outcome_.refusal.pop_back();
    return false;
  }
  std::istringstream lines(listed.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.find('/') != std::string::npos && line.find(' ') == std::string::npos) names->push_back(line);
  }
  return true;
}

// The benchmarks of all rows; what only some have stands behind what it follows there.
void ComparisonRun::ListBenchmarks() {
  std::map<std::string, std::vector<std::string>> by_subject;
  std::vector<BenchmarkRuns>& benchmarks = outcome_.benchmarks;
  for (const CompareRow* row : rows_) {
    auto [place, is_new] = by_subject.try_emplace(row->subject);
    if (is_new && !ListOf(*row, &place->second)) return;
    auto next = benchmarks.begin();
    for (const std::string& name : place->second) {
      if (!row->Takes(name)) continue;
      auto at = std::find_if(benchmarks.begin(), benchmarks.end(),
                             [&](const BenchmarkRuns& benchmark) { return benchmark.name == name; });
      if (at == benchmarks.end()) at = benchmarks.insert(next, {name, {}});
      at->rows.push_back({.row = row, .reason = "", .runs = {}});
      next = at + 1;
    }
  }
  if (outcome_.benchmarks.empty() && !rows_.empty()) {
    outcome_.refusal = fmt::format(
        "--filter={}: matches no benchmark of these rows. {} --subject=malloc --benchmark_list_tests names them",
        options_.filter, options_.pool_bench);
  }
}

void ComparisonRun::RunOnce(const std::string& benchmark, unsigned round, RowRuns* runs) {
  std::vector<std::string> arguments = ArgumentsOf(*runs->row);
  arguments.insert(arguments.end(), {"--benchmark_filter=" + Exactly(benchmark), "--benchmark_format=json",
                                     fmt::format("--benchmark_min_time={}", options_.min_time_seconds)});
  if (machine_.can_compact && FillsMemory(benchmark)) CompactMemory();
  const ProcessOutcome process =
      RunBenchProcess(arguments, EnvironmentOf(*runs->row), options_.timeout_seconds, signals_);
  outcome_.interrupted = process.interrupted;
  if (outcome_.interrupted) return;
  BenchRun run = ReadBenchRun(process, benchmark);
  if (run.problem.empty()) {
    runs->runs.push_back(std::move(run));
    return;
  }
  runs->status = RowStatus::kFailed;
  runs->reason = fmt::format("round {}: {}", round + 1, run.problem);
  fmt::print(stderr, "  {}: failed: {}\n", runs->row->name, runs->reason);
}

void ComparisonRun::RunBenchmark(BenchmarkRuns* benchmark) {
  const unsigned round_count = options_.RoundsOf(benchmark->name);
  for (unsigned round = 0; round < round_count; ++round) {
    for (size_t i = 0; i < benchmark->rows.size(); ++i) {
      RowRuns& runs = benchmark->rows[(i + round) % benchmark->rows.size()];
      if (runs.status == RowStatus::kOk) RunOnce(benchmark->name, round, &runs);
      if (outcome_.interrupted) return;
    }
  }
}

CompareOutcome ComparisonRun::All() {
  SkipRows();
  ListBenchmarks();
  if (!outcome_.refusal.empty() || outcome_.interrupted) return std::move(outcome_);
  for (size_t i = 0; i < outcome_.benchmarks.size(); ++i) {
    BenchmarkRuns& benchmark = outcome_.benchmarks[i];
    fmt::print(stderr, "{}/{} {}: {} rows, {} rounds\n", i + 1, outcome_.benchmarks.size(), benchmark.Title(),
               benchmark.rows.size(), options_.RoundsOf(benchmark.name));
    RunBenchmark(&benchmark);
    if (!outcome_.interrupted) continue;
    outcome_.benchmarks.resize(i);  // no summary of half a benchmark
    break;
  }
  return std::move(outcome_);
}

}  // namespace

bool CompareOutcome::AnyFailed() const {
  for (const BenchmarkRuns& benchmark : benchmarks) {
    for (const RowRuns& runs : benchmark.rows) {
      if (runs.status == RowStatus::kFailed) return true;
    }
  }
  return false;
}

CompareOutcome RunComparison(const CompareOptions& options, const Machine& machine, Signals* signals) {
  return ComparisonRun(options, machine, signals).All();
}

}  // namespace hugepool::bench
