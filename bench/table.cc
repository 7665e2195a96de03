#include "bench/table.h"

#include <fmt/format.h>
#include <hugepool/pool_options.h>

#include <algorithm>
#include <string_view>

#include "bench/text_table.h"

namespace hugepool::bench {
namespace {

std::string PercentOf(double share) { return fmt::format("{:.2f} %", share * 100); }

bool IsLed(const std::vector<PeerLead>& leads, const Column& column) {
  return std::any_of(leads.begin(), leads.end(), [&](const PeerLead& lead) { return lead.column == &column; });
}

std::string Measures(const std::vector<RowResult>& rows, const std::vector<PeerLead>& leads) {
  Cells head = {"allocator"};
  for (const Column& column : Columns()) {
    head.push_back(column.title + std::string(IsLed(leads, column) ? "*" : ""));
    if (std::string_view(column.key) == "operations_per_second") head.push_back("min–max");
  }
  std::vector<Cells> lines = {head};
  for (const RowResult& row : rows) {
    if (row.status != RowStatus::kOk) continue;
    Cells line = {row.Title()};
    for (const Column& column : Columns()) {
      const auto value = column.value(row);
      line.push_back(value ? column.text(*value) : "–");
      if (std::string_view(column.key) == "operations_per_second") {
        line.push_back(fmt::format("{:.1f}–{:.1f}", row.operations_per_second.least / 1000,
                                   row.operations_per_second.most / 1000));
      }
    }
    lines.push_back(line);
  }
  return Align(lines, head.size());
}

std::string Pages(const std::vector<RowResult>& rows) {
  std::vector<Cells> lines = {{"allocator", "verified values", "warm-up", "fall-backs", "sway pool", "sway process",
                               "pages behind the blocks", "of the pool", "malloc by maps"}};
  for (const RowResult& row : rows) {
    if (row.status != RowStatus::kOk) continue;
    const nlohmann::json& memory = row.LastMemory();
    lines.push_back({row.Title(), fmt::format("{}", row.verified_count),
                     fmt::format("{:.1f} s{}", row.warm_up_seconds, row.is_steady ? "" : "!"),
                     row.row->is_hugepool() ? fmt::format("{}", row.fallback_count) : "–",
                     row.pool_flatness ? PercentOf(*row.pool_flatness) : "–", PercentOf(row.process_flatness),
                     FormatPages(memory.at("pages_behind_blocks")),
                     memory.contains("pages_of_pool") ? FormatPages(memory.at("pages_of_pool")) : "–",
                     row.loaded.substr(row.loaded.rfind('/') + 1)});
  }
  return Align(lines, 6);
}

}  // namespace

std::string FormatPages(const nlohmann::json& pages) {
  const double hugetlb = pages.at("hugetlb_bytes");
  const double transparent = pages.at("transparent_bytes");
  const double small = pages.at("small_bytes");
  const double total = hugetlb + transparent + small;
  if (total <= 0) return "none";
  std::string text;
  const auto add = [&](const char* name, double bytes) {
    if (bytes > 0) text += fmt::format("{}{} {:.1f} %", text.empty() ? "" : ", ", name, bytes / total * 100);
  };
  add("hugetlb", hugetlb);
  add("THP", transparent);
  add("4 KiB", small);
  return text;
}

namespace {

std::string Heading(const KvOptions& options) {
  if (options.is_replay()) {
    return fmt::format(
        "replay of {}: at most {} in {} blocks live; {} rounds of {} s; latency of an allocation by itself\n\n",
        options.replay_path, FormatBytes(options.replay_live_bytes >> 10 << 10), options.replay_live_count,
        options.round_count, options.seconds);
  }
  return fmt::format(
      "{} records of {} + {} B, {} B blocks, {}, {} cache of {} ({}), {} threads, {} rounds of {} s\n{}: {}{}\n\n",
      options.shape.record_count, 16, options.shape.value_bytes, options.shape.block_bytes, options.shape.compression,
      ToString(options.cache_type), FormatBytes(options.CacheBytes() >> 20 << 20), options.cache_text,
      options.thread_count, options.round_count, options.seconds, options.workload->name, options.workload->description,
      options.rate > 0 ? fmt::format("; {} operations a second, each from its moment on", options.rate) : "");
}

}  // namespace

std::string FormatTable(const std::vector<RowResult>& rows, const KvOptions& options, const Machine& machine) {
  const auto leads = PeerLeads(rows, options.rate == 0);
  std::string text = Heading(options);
  text += Measures(rows, leads) + "\n" + Pages(rows) + "\n";
  text +=
      "ops/s: median of the rounds. ÷ malloc, ÷ best peer (of those on 4 KiB pages, or of those on huge ones): median "
      "of\n"
      "the ratios inside each round. pool, process: footprint ÷ payload (bytes requested and live). sway: farthest "
      "sample\n"
      "from the median footprint. warm-up: until steady, ! where it was not. Pages: by smaps, while the clients "
      "operate.\n";
  for (const RowResult& row : rows) {
    if (row.status != RowStatus::kOk) text += fmt::format("{} {}: {}\n", ToString(row.status), row.Title(), row.reason);
    if (row.status != RowStatus::kOk || !options.workload->paced_writer) continue;
    text += fmt::format("{}: {:.0f} updates/s beside the reads\n", row.Title(), row.paced_writes_per_second);
  }
  for (const RowResult& row : rows) {
    if (row.status == RowStatus::kOk && options.rate > 0 && row.operations_per_second.median < 0.98 * options.rate) {
      text += fmt::format("! {} did {:.0f} of {} operations a second: its latencies grow with the length of a round\n",
                          row.Title(), row.operations_per_second.median, options.rate);
    }
  }
  for (const PeerLead& lead : leads) {
    text += fmt::format("* a peer is ahead in {}: {} {}, hugepool's best is {} {}\n", lead.column->title,
                        lead.peer->Title(), lead.column->text(*lead.column->value(*lead.peer)), lead.own->Title(),
                        lead.column->text(*lead.column->value(*lead.own)));
  }
  text += "machine: " + machine.ToText() + "\n";
  return text;
}

}  // namespace hugepool::bench
