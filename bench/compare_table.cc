#include "bench/compare_table.h"

#include <fmt/format.h>

#include <string_view>

#include "bench/text_table.h"

namespace hugepool::bench {
namespace {

std::string RatioText(const std::optional<double>& ratio) { return ratio ? fmt::format("{:.3f}", *ratio) : "–"; }

bool IsRate(const Measure& measure) { return std::string_view(measure.key) == "items_per_second"; }

std::string FormatMeasure(const std::string& title, const MeasureResult& result) {
  const Measure& measure = *result.measure;
  Cells head = {"row", "median", "min", "max", "÷ malloc", "÷ best peer", "rounds"};
  if (IsRate(measure)) head.insert(head.begin() + 2, "ns each");
  const size_t left_from = head.size();
  head.insert(head.end(), {"", "pages"});
  std::vector<Cells> lines = {head};
  for (const Line& line : result.lines) {
    Cells cells = {line.runs->row->name,
                   measure.text(line.value.median),
                   measure.text(line.value.least),
                   measure.text(line.value.most),
                   RatioText(line.to_malloc),
                   RatioText(line.to_best_peer),
                   fmt::format("{}", line.runs->runs.size())};
    if (IsRate(measure)) {
      const double each_ns = 1e9 / line.value.median;
      cells.insert(cells.begin() + 2, fmt::format("{:.{}f}", each_ns, each_ns < 100 ? 2 : 0));
    }
    cells.push_back(line.runs == result.best_peer              ? "best peer"
                    : line.runs == result.best_one_thread_peer ? "best for one thread"
                    : line.runs->row->kind == RowKind::kLimit  ? "limit"
                    : line.runs->row->one_thread               ? "one thread"
                                                               : "");
    cells.push_back(PagesText(line.runs->runs.back()));
    lines.push_back(cells);
  }
  return fmt::format("{}: {} ({} is better)\n{}\n", title, measure.title, measure.more_is_better ? "more" : "less",
                     Align(lines, left_from));
}

}  // namespace

std::string FormatComparison(const CompareOutcome& outcome, const Machine& machine) {
  std::string text;
  for (const BenchmarkRuns& benchmark : outcome.benchmarks) {
    for (const MeasureResult& result : Compare(benchmark)) text += FormatMeasure(benchmark.Title(), result);
    for (const RowRuns& runs : benchmark.rows) {
      if (runs.status == RowStatus::kFailed) {
        text += fmt::format("failed {} in {}: {}\n\n", runs.row->name, benchmark.Title(), runs.reason);
      }
    }
  }
  text += "Medians of the rounds; ratios are medians of the ratios inside each round.\n";
  for (const SkippedRow& skipped : outcome.skipped) {
    text += fmt::format("skipped {}: {}\n", skipped.row->name, skipped.reason);
  }
  return text + "machine: " + machine.ToText() + "\n";
}

}  // namespace hugepool::bench
