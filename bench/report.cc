#include "bench/report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <fstream>

#include "bench/latency_histogram.h"

namespace hugepool::bench {

extern const char kReportPage[];
extern const char kChartJs[];

namespace {

constexpr int kDocumentFormat = 2;

// Puts `value` in place of the one `mark`.
void Replace(const std::string& mark, const std::string& value, std::string* page) {
  const size_t at = page->find(mark);
  if (at != std::string::npos) page->replace(at, mark.size(), value);
}

// JSON inside of a script element must not close it.
std::string ForScript(std::string text) {
  for (size_t at = text.find("</"); at != std::string::npos; at = text.find("</", at + 3)) text.replace(at, 2, "<\\/");
  return text;
}

}  // namespace

nlohmann::ordered_json MakeDocument(const std::vector<RowResult>& rows, const KvOptions& options,
                                    const DatabaseFacts& database, const Machine& machine) {
  nlohmann::ordered_json document = {{"format", kDocumentFormat},
                                     {"command", options.command},
                                     {"written", fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)))},
                                     {"machine", machine.ToJson()},
                                     {"options",
                                      {{"workload", options.workload->name},
                                       {"description", options.workload->description},
                                       {"cache_type", ToString(options.cache_type)},
                                       {"cache_text", options.cache_text},
                                       {"cache_bytes", options.CacheBytes()},
                                       {"pool_capacity_bytes", options.PoolCapacityBytes()},
                                       {"threads", options.thread_count},
                                       {"rounds", options.round_count},
                                       {"seconds", options.seconds},
                                       {"turnovers", options.turnovers},
                                       {"warmup_most_seconds", options.warmup_most_seconds},
                                       {"rate", options.rate},
                                       {"write_rate", options.write_rate}}},
                                     {"database",
                                      {{"records", database.shape.record_count},
                                       {"value_bytes", database.shape.value_bytes},
                                       {"block_bytes", database.shape.block_bytes},
                                       {"seed", database.shape.seed},
                                       {"compression", database.shape.compression},
                                       {"block_count", database.block_count},
                                       {"file_bytes", database.file_bytes}}}};
  if (options.is_replay()) {
    document["database"] = nullptr;
    document["replay"] = {{"file", options.replay_path},
                          {"most_live_bytes", options.replay_live_bytes},
                          {"most_live_count", options.replay_live_count}};
  }
  document["curve_shares"] = kCurveShares;
  document["rows"] = nlohmann::ordered_json::array();
  for (const RowResult& row : rows) document["rows"].push_back(ToJson(row));
  document["columns"] = nlohmann::ordered_json::array();
  for (const Column& column : Columns()) {
    document["columns"].push_back(
        {{"key", column.key}, {"title", column.title}, {"more_is_better", column.more_is_better}});
  }
  document["peer_leads"] = nlohmann::ordered_json::array();
  for (const PeerLead& lead : PeerLeads(rows, options.rate == 0)) {
    document["peer_leads"].push_back({{"column", lead.column->key},
                                      {"title", lead.column->title},
                                      {"peer", lead.peer->Title()},
                                      {"peer_value", *lead.column->value(*lead.peer)},
                                      {"peer_text", lead.column->text(*lead.column->value(*lead.peer))},
                                      {"hugepool", lead.own->Title()},
                                      {"hugepool_value", *lead.column->value(*lead.own)},
                                      {"hugepool_text", lead.column->text(*lead.column->value(*lead.own))}});
  }
  return document;
}

std::string FillPage(std::string page, const nlohmann::ordered_json& document) {
  Replace("{{chart_js}}", kChartJs, &page);
  Replace("{{document}}", ForScript(document.dump()), &page);
  return page;
}

std::string MakePage(const nlohmann::ordered_json& document) { return FillPage(kReportPage, document); }

std::string WriteFile(const std::string& option, const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::trunc);
  file << text;
  file.close();
  if (file.good()) return "";
  return fmt::format("{}={}: cannot be written ({}). Name a file in a directory that exists and has room", option, path,
                     std::strerror(errno));
}

}  // namespace hugepool::bench
