#include "bench/results.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>

#include "bench/latency_histogram.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;

double MedianOf(std::vector<double> values) { return SpreadOf(std::move(values)).median; }

// One number of each round.
std::vector<double> OfRounds(const RowResult& row, const char* name) {
  std::vector<double> values;
  for (const json& round : row.rounds) values.push_back(round.at(name).get<double>());
  return values;
}

// Sum over the rounds.
uint64_t TotalOf(const RowResult& row, const char* name) {
  uint64_t total = 0;
  for (const json& round : row.rounds) total += round.at(name).get<uint64_t>();
  return total;
}

// Largest distance from the median, as a share of it, over the samples of all rounds that have the field.
std::optional<double> FlatnessOf(const RowResult& row, const char* name) {
  std::vector<double> values;
  for (const json& round : row.rounds) {
    for (const json& sample : round.at("samples")) {
      if (sample.contains(name)) values.push_back(sample.at(name).get<double>());
    }
  }
  if (values.empty()) return std::nullopt;
  const Spread spread = SpreadOf(std::move(values));
  if (spread.median <= 0) return std::nullopt;
  return std::max(spread.most - spread.median, spread.median - spread.least) / spread.median;
}

// Median over the rounds of the row's speed by the baseline's in the same round: what slows the machine for a minute
// meets both.
double RatioTo(const RowResult& baseline, const RowResult& row) {
  const std::vector<double> own = OfRounds(row, "operations_per_second");
  const std::vector<double> base = OfRounds(baseline, "operations_per_second");
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(own.size(), base.size()); ++i) ratios.push_back(own[i] / std::max(base[i], 1e-9));
  return MedianOf(std::move(ratios));
}

std::vector<double> CurveOf(const RowResult& row) {
  std::vector<double> curve;
  for (size_t i = 0; i < std::size(kCurveShares); ++i) {
    std::vector<double> values;
    for (const json& round : row.rounds) values.push_back(round.at("latency_curve_ns").at(i));
    curve.push_back(MedianOf(std::move(values)));
  }
  return curve;
}

constexpr double kLeastPayloadBytes = 0x1p20;

void SummarizeFootprint(RowResult* row) {
  std::vector<double> pool, process;
  for (const json& round : row->rounds) {
    const json& memory = round.at("memory");
    const double filled_bytes = memory.at("filled_payload_bytes");
    if (filled_bytes >= kLeastPayloadBytes) process.push_back(memory.at("process_bytes").get<double>() / filled_bytes);
    if (!memory.contains("pool_bytes")) continue;
    // Blocks that malloc served in the pool's place are no payload of the pool.
    const double payload_bytes =
        memory.at("payload_bytes").get<double>() - memory.at("fallback_live_bytes").get<double>();
    if (payload_bytes >= kLeastPayloadBytes) pool.push_back(memory.at("pool_bytes").get<double>() / payload_bytes);
    row->fallback_count = memory.at("fallback_count");
  }
  if (!process.empty()) row->process_footprint = MedianOf(process);
  if (!pool.empty()) row->pool_footprint = MedianOf(pool);
  row->process_flatness = FlatnessOf(*row, "process_bytes").value_or(0);
  row->pool_flatness = FlatnessOf(*row, "pool_bytes");
}

std::string Thousands(double value) { return fmt::format("{:.1f} k", value / 1000); }
std::string Duration(double value_ns) {
  return value_ns >= 1e6 ? fmt::format("{:.2f} ms", value_ns / 1e6) : fmt::format("{:.2f} µs", value_ns / 1e3);
}
std::string Whole(double value) { return fmt::format("{:.0f}", value); }
std::string ThreeDigits(double value) { return fmt::format("{:.3f}", value); }
std::string PercentText(double value) { return fmt::format("{:.2f} %", value * 100); }

json ToJson(const Spread& spread) { return {{"median", spread.median}, {"min", spread.least}, {"max", spread.most}}; }

}  // namespace

Spread SpreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

const char* ToString(RowStatus status) {
  switch (status) {
    case RowStatus::kOk: return "ok";
    case RowStatus::kSkipped: return "skipped";
    case RowStatus::kFailed: return "failed";
  }
  return "?";
}

std::string RowResult::Title() const {
  return in_several_waves ? fmt::format("{} (wave {})", row->name, wave) : row->name;
}

void Summarize(uint64_t cache_bytes, std::vector<RowResult>* rows) {
  for (RowResult& row : *rows) {
    row.in_several_waves = std::any_of(rows->begin(), rows->end(), [&](const RowResult& other) {
      return other.row == row.row && other.wave != row.wave;
    });
    if (row.status != RowStatus::kOk) continue;
    row.operations_per_second = SpreadOf(OfRounds(row, "operations_per_second"));
    row.p50_ns = SpreadOf(OfRounds(row, "p50_ns"));
    row.p99_ns = SpreadOf(OfRounds(row, "p99_ns"));
    row.p999_ns = SpreadOf(OfRounds(row, "p999_ns"));
    row.verified_count = TotalOf(row, "verified_count");
    const double hits = static_cast<double>(TotalOf(row, "hit_count"));
    const double misses = static_cast<double>(TotalOf(row, "miss_count"));
    if (hits + misses > 0) row.hit_ratio = hits / (hits + misses);
    const double block_count = row.LastMemory().at("block_count");
    row.blocks_per_gib = block_count / (static_cast<double>(cache_bytes) / 0x1p30);
    row.paced_writes_per_second = MedianOf(OfRounds(row, "paced_writes_per_second"));
    row.latency_curve_ns = CurveOf(row);
    SummarizeFootprint(&row);
  }
  for (RowResult& row : *rows) {
    if (row.status != RowStatus::kOk) continue;
    const RowResult* peer = nullptr;
    for (const RowResult& other : *rows) {
      if (other.status != RowStatus::kOk || other.wave != row.wave) continue;
      if (other.row->name == kBaseline) row.ratio = RatioTo(other, row);
      if (other.row->is_hugepool() || other.row->is_on_huge_pages() != row.row->is_on_huge_pages()) continue;
      if (peer == nullptr || other.operations_per_second.median > peer->operations_per_second.median) peer = &other;
    }
    if (peer == nullptr) continue;
    row.best_peer = peer->row->name;
    row.ratio_to_peer = RatioTo(*peer, row);
  }
}

const std::vector<Column>& Columns() {
  static const std::vector<Column> columns = {
      {"operations_per_second", "ops/s", true,
       [](const RowResult& row) -> std::optional<double> { return row.operations_per_second.median; }, Thousands},
      {"ratio", "÷ malloc", true, [](const RowResult& row) { return row.ratio; }, ThreeDigits},
      {"ratio_to_peer", "÷ best peer", true, [](const RowResult& row) { return row.ratio_to_peer; }, ThreeDigits},
      {"p50_ns", "p50", false, [](const RowResult& row) -> std::optional<double> { return row.p50_ns.median; },
       Duration},
      {"p99_ns", "p99", false, [](const RowResult& row) -> std::optional<double> { return row.p99_ns.median; },
       Duration},
      {"p999_ns", "p99.9", false, [](const RowResult& row) -> std::optional<double> { return row.p999_ns.median; },
       Duration},
      {"hit_ratio", "hits", true, [](const RowResult& row) { return row.hit_ratio; }, PercentText},
      {"blocks_per_gib", "blocks/GiB", true,
       [](const RowResult& row) -> std::optional<double> { return row.blocks_per_gib; }, Whole},
      {"pool_footprint", "pool", false, [](const RowResult& row) { return row.pool_footprint; }, ThreeDigits},
      {"process_footprint", "process", false, [](const RowResult& row) { return row.process_footprint; }, ThreeDigits},
  };
  return columns;
}

std::vector<PeerLead> PeerLeads(const std::vector<RowResult>& rows, bool with_speeds) {
  std::vector<PeerLead> leads;
  const bool has_ratio = std::any_of(rows.begin(), rows.end(), [](const RowResult& row) { return bool{row.ratio}; });
  for (const Column& column : Columns()) {
    // Speeds of different waves are compared by their ratios to malloc only; the other ratio says itself who is ahead.
    const std::string_view key = column.key;
    if (key == "ratio_to_peer" || (key == "operations_per_second" && has_ratio)) continue;
    if (!with_speeds && (key == "operations_per_second" || key == "ratio")) continue;
    const RowResult* best[2] = {nullptr, nullptr};  // of the peers, of hugepool
    for (const RowResult& row : rows) {
      if (row.status != RowStatus::kOk || !column.value(row)) continue;
      const RowResult*& leader = best[row.row->is_hugepool() ? 1 : 0];
      const double value = *column.value(row);
      const bool is_ahead = leader == nullptr ||
                            (column.more_is_better ? value > *column.value(*leader) : value < *column.value(*leader));
      if (is_ahead) leader = &row;
    }
    if (best[0] == nullptr || best[1] == nullptr) continue;
    const double peer = *column.value(*best[0]);
    const double own = *column.value(*best[1]);
    // What reads the same in the table is no lead.
    if (column.text(peer) == column.text(own)) continue;
    if (column.more_is_better ? peer > own : peer < own) leads.push_back({&column, best[0], best[1]});
  }
  return leads;
}

nlohmann::ordered_json ToJson(const RowResult& row) {
  nlohmann::ordered_json out = {{"name", row.row->name},
                                {"title", row.Title()},
                                {"description", row.row->description},
                                {"settings", row.row->Settings()},
                                {"package", row.row->package},
                                {"hugepool", row.row->is_hugepool()},
                                {"wave", row.wave},
                                {"status", ToString(row.status)},
                                {"reason", row.reason}};
  if (row.status != RowStatus::kOk) return out;
  out["loaded"] = row.loaded;
  out["fill_seconds"] = row.fill_seconds;
  out["warm_up_seconds"] = row.warm_up_seconds;
  out["is_steady"] = row.is_steady;
  out["operations_per_second"] = ToJson(row.operations_per_second);
  out["ratio"] = row.ratio ? json(*row.ratio) : json();
  out["best_peer"] = row.best_peer;
  out["ratio_to_peer"] = row.ratio_to_peer ? json(*row.ratio_to_peer) : json();
  out["paced_writes_per_second"] = row.paced_writes_per_second;
  out["latency_curve_ns"] = row.latency_curve_ns;
  out["p50_ns"] = ToJson(row.p50_ns);
  out["p99_ns"] = ToJson(row.p99_ns);
  out["p999_ns"] = ToJson(row.p999_ns);
  out["hit_ratio"] = row.hit_ratio ? json(*row.hit_ratio) : json();
  out["blocks_per_gib"] = row.blocks_per_gib;
  out["pool_footprint"] = row.pool_footprint ? json(*row.pool_footprint) : json();
  out["process_footprint"] = row.process_footprint ? json(*row.process_footprint) : json();
  out["pool_flatness"] = row.pool_flatness ? json(*row.pool_flatness) : json();
  out["process_flatness"] = row.process_flatness;
  out["verified_count"] = row.verified_count;
  out["fallback_count"] = row.fallback_count;
  out["memory"] = row.LastMemory();
  out["rounds"] = row.rounds;
  return out;
}

std::string FormatCsv(const std::vector<RowResult>& rows) {
  // Names as the workers' replies have them.
  static constexpr const char* kOfRound[] = {
      "operations_per_second",  "p50_ns", "p99_ns", "p999_ns", "hit_count", "miss_count", "verified_count",
      "paced_writes_per_second"};
  static constexpr const char* kOfMemory[] = {"payload_bytes", "block_count", "cache_usage_bytes", "process_bytes",
                                              "pool_bytes"};
  std::string text = "allocator,wave,round";
  for (const char* name : kOfRound) text += fmt::format(",{}", name);
  for (const char* name : kOfMemory) text += fmt::format(",{}", name);
  text += "\n";
  for (const RowResult& row : rows) {
    if (row.status != RowStatus::kOk) continue;
    for (size_t i = 0; i < row.rounds.size(); ++i) {
      const json& round = row.rounds[i];
      text += fmt::format("{},{},{}", row.row->name, row.wave, i + 1);
      for (const char* name : kOfRound) text += "," + round.at(name).dump();
      for (const char* name : kOfMemory) {
        const json& memory = round.at("memory");
        text += "," + (memory.contains(name) ? memory.at(name).dump() : "");
      }
      text += "\n";
    }
  }
  return text;
}

}  // namespace hugepool::bench
