#include "bench/comparison.h"

#include <fmt/format.h>

#include <algorithm>

namespace hugepool::bench {
namespace {

using nlohmann::json;

std::string PerSecond(double value) {
  return value >= 1e6 ? fmt::format("{:.2f} M/s", value / 1e6) : fmt::format("{:.1f} k/s", value / 1e3);
}
std::string Duration(double value_ns) {
  if (value_ns >= 1e6) return fmt::format("{:.2f} ms", value_ns / 1e6);
  return value_ns >= 1e3 ? fmt::format("{:.2f} µs", value_ns / 1e3) : fmt::format("{:.0f} ns", value_ns);
}
std::string ThreeDigits(double value) { return fmt::format("{:.3f}", value); }

// The measure in each round.
std::vector<double> ValuesOf(const RowRuns& runs, const Measure& measure) {
  std::vector<double> values;
  for (const BenchRun& run : runs.runs) {
    const auto found = run.figures.find(measure.key);
    if (found != run.figures.end()) values.push_back(found->second);
  }
  return values;
}

// Median over the rounds of the row's value by the other's in the same round: what slows the machine for a minute meets
// both. Nothing where the other has a 0.
std::optional<double> RatioTo(const RowRuns& other, const RowRuns& row, const Measure& measure) {
  const std::vector<double> own = ValuesOf(row, measure), base = ValuesOf(other, measure);
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(own.size(), base.size()); ++i) {
    if (base[i] > 0) ratios.push_back(own[i] / base[i]);
  }
  if (ratios.empty()) return std::nullopt;
  return SpreadOf(std::move(ratios)).median;
}

MeasureResult CompareOne(const BenchmarkRuns& benchmark, const Measure& measure) {
  MeasureResult result;
  result.measure = &measure;
  for (const RowRuns& runs : benchmark.rows) {
    std::vector<double> values;
    if (runs.status == RowStatus::kOk) values = ValuesOf(runs, measure);
    if (!values.empty()) result.lines.push_back({&runs, SpreadOf(std::move(values)), {}, {}});
  }
  const RowRuns* malloc = nullptr;
  const Line* best = nullptr;
  const Line* best_one_thread = nullptr;
  const auto improve = [&measure](const Line& line, const Line** best_line) {
    const bool is_ahead =
        *best_line == nullptr || (measure.more_is_better ? line.value.median > (*best_line)->value.median
                                                         : line.value.median < (*best_line)->value.median);
    if (is_ahead) *best_line = &line;
  };
  for (const Line& line : result.lines) {
    const CompareRow& row = *line.runs->row;
    if (row.name == kBaseline) malloc = line.runs;
    if (row.kind != RowKind::kPeer) continue;
    improve(line, &best_one_thread);
    if (!row.one_thread) improve(line, &best);
  }
  if (best != nullptr) result.best_peer = best->runs;
  if (best_one_thread != nullptr) result.best_one_thread_peer = best_one_thread->runs;
  for (Line& line : result.lines) {
    if (malloc != nullptr) line.to_malloc = RatioTo(*malloc, *line.runs, measure);
    const RowRuns* const best_peer = line.runs->row->one_thread ? result.best_one_thread_peer : result.best_peer;
    if (best_peer != nullptr) line.to_best_peer = RatioTo(*best_peer, *line.runs, measure);
  }
  return result;
}

json OrNull(const std::optional<double>& value) { return value ? json(*value) : json(); }
json NameOrNull(const RowRuns* runs) { return runs != nullptr ? json(runs->row->name) : json(); }

nlohmann::ordered_json ToJson(const MeasureResult& result) {
  nlohmann::ordered_json out = {{"key", result.measure->key},
                                {"title", result.measure->title},
                                {"more_is_better", result.measure->more_is_better},
                                {"best_peer", NameOrNull(result.best_peer)},
                                {"best_one_thread_peer", NameOrNull(result.best_one_thread_peer)}};
  out["lines"] = nlohmann::ordered_json::array();
  for (const Line& line : result.lines) {
    out["lines"].push_back({{"row", line.runs->row->name},
                            {"median", line.value.median},
                            {"min", line.value.least},
                            {"max", line.value.most},
                            {"text", result.measure->text(line.value.median)},
                            {"to_malloc", OrNull(line.to_malloc)},
                            {"to_best_peer", OrNull(line.to_best_peer)}});
  }
  return out;
}

void Remove(const std::string& part, std::string* text) {
  const size_t at = text->find(part);
  if (at != std::string::npos) text->erase(at, part.size());
}

}  // namespace

const std::vector<Measure>& Measures() {
  static const std::vector<Measure> measures = {
      {"items_per_second", "operations", true, PerSecond},
      {"allocate_p999_ns", "p99.9 of Allocate", false, Duration},
      {"first_use_p999_ns", "p99.9 of Allocate and first write", false, Duration},
      {"footprint_ratio", "process footprint ÷ payload", false, ThreeDigits},
      {"pool_ratio", "pool footprint ÷ payload", false, ThreeDigits},
  };
  return measures;
}

std::string BenchmarkRuns::Title() const {
  std::string title = name;
  Remove("/iterations:1", &title);
  Remove("/manual_time", &title);
  const std::string mark = "/threads:";
  const size_t at = title.find(mark);
  if (at == std::string::npos) return title;
  const std::string count = title.substr(at + mark.size());
  return title.substr(0, at) + (count == "1" ? "" : fmt::format(", {} threads", count));
}

std::vector<MeasureResult> Compare(const BenchmarkRuns& benchmark) {
  std::vector<MeasureResult> results;
  for (const Measure& measure : Measures()) {
    MeasureResult result = CompareOne(benchmark, measure);
    if (!result.lines.empty()) results.push_back(std::move(result));
  }
  return results;
}

std::string PagesText(const BenchRun& run) {
  const auto hugetlb = run.figures.find("hugetlb_share");
  const auto transparent = run.figures.find("thp_share");
  if (hugetlb == run.figures.end() || transparent == run.figures.end()) return "";
  std::string text;
  const auto add = [&](const char* name, double share) {
    if (share < 0.005) return;
    text += (text.empty() ? "" : ", ") + std::string(name);
    if (share < 0.995) text += fmt::format(" {:.0f} %", share * 100);
  };
  add("hugetlb", hugetlb->second);
  add("THP", transparent->second);
  add("4 KiB", 1 - hugetlb->second - transparent->second);
  return text;
}

nlohmann::ordered_json ToJson(const BenchmarkRuns& benchmark) {
  nlohmann::ordered_json out = {{"name", benchmark.name}, {"title", benchmark.Title()}};
  out["measures"] = nlohmann::ordered_json::array();
  for (const MeasureResult& result : Compare(benchmark)) out["measures"].push_back(ToJson(result));
  out["rows"] = nlohmann::ordered_json::array();
  for (const RowRuns& runs : benchmark.rows) {
    nlohmann::ordered_json row = {{"row", runs.row->name}, {"status", ToString(runs.status)}, {"reason", runs.reason}};
    if (runs.status == RowStatus::kOk && !runs.runs.empty()) {
      row["malloc"] = runs.runs.back().malloc;
      row["pages"] = PagesText(runs.runs.back());
    }
    row["rounds"] = nlohmann::ordered_json::array();
    for (const BenchRun& run : runs.runs) row["rounds"].push_back(run.figures);
    out["rows"].push_back(row);
  }
  return out;
}

}  // namespace hugepool::bench
