#include "bench/compare_report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>

#include "bench/report.h"

namespace hugepool::bench {

extern const char kComparePage[];

namespace {

constexpr int kDocumentFormat = 1;

}  // namespace

nlohmann::ordered_json MakeCompareDocument(const CompareOutcome& outcome, const CompareOptions& options,
                                           const Machine& machine) {
  nlohmann::ordered_json document = {{"format", kDocumentFormat},
                                     {"command", options.command},
                                     {"written", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)))},
                                     {"machine", machine.ToJson()},
                                     {"options",
                                      {{"rounds", options.round_count},
                                       {"long_rounds", options.long_round_count},
                                       {"min_time_seconds", options.min_time_seconds},
                                       {"filter", options.filter},
                                       {"pool_bench_options", options.pass_along}}}};
  document["rows"] = nlohmann::ordered_json::array();
  for (const CompareRow* row : options.rows) {
    std::string reason;
    for (const SkippedRow& skipped : outcome.skipped) {
      if (skipped.row == row) reason = skipped.reason;
    }
    document["rows"].push_back({{"name", row->name},
                                {"description", row->description},
                                {"kind", ToString(row->kind)},
                                {"one_thread", row->one_thread},
                                {"subject", row->subject},
                                {"settings", row->allocator->Settings()},
                                {"status", ToString(reason.empty() ? RowStatus::kOk : RowStatus::kSkipped)},
                                {"reason", reason}});
  }
  document["benchmarks"] = nlohmann::ordered_json::array();
  for (const BenchmarkRuns& benchmark : outcome.benchmarks) document["benchmarks"].push_back(ToJson(benchmark));
  return document;
}

std::string MakeComparePage(const nlohmann::ordered_json& document) { return FillPage(kComparePage, document); }

}  // namespace hugepool::bench
