// Results: what the rounds of each row came to.
//
// Units      bytes, nanoseconds, operations per second; ratios are plain numbers
// Threads    values
// Invariant  a row that ran has one entry in `rounds` per round; one that did not has a reason
#ifndef HUGEPOOL_BENCH_RESULTS_H_
#define HUGEPOOL_BENCH_RESULTS_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/allocator_catalog.h"

namespace hugepool::bench {

struct Spread {
  double median = 0;
  double least = 0;
  double most = 0;
};
// Of at least one value.
Spread SpreadOf(std::vector<double> values);

enum class RowStatus : uint8_t { kOk, kSkipped, kFailed };
const char* ToString(RowStatus status);

struct RowResult {
  const AllocatorRow* row = nullptr;
  unsigned wave = 0;  // from 1; 0 for a row that was not tried
  RowStatus status = RowStatus::kOk;
  std::string reason;  // of a skip or failure
  std::string loaded;  // path of the library that serves malloc, by maps
  double fill_seconds = 0;
  double warm_up_seconds = 0;
  bool is_steady = false;              // when the warm-up ended
  std::vector<nlohmann::json> rounds;  // the worker's replies, as they came

  // Filled by Summarize.
  Spread operations_per_second;
  Spread p50_ns, p99_ns, p999_ns;
  std::optional<double> ratio;  // to the baseline of the same wave: median of the rounds' ratios
  // The fastest peer of the same wave and setting (AllocatorRow::is_on_huge_pages), by its median, and the ratio to it.
  std::string best_peer;
  std::optional<double> ratio_to_peer;
  double paced_writes_per_second = 0;    // median
  std::vector<double> latency_curve_ns;  // at kCurveShares, each the median of the rounds
  std::optional<double> hit_ratio;       // nothing where no block was looked for
  double blocks_per_gib = 0;             // live blocks, as the wrapper counts, for each GiB of cache capacity
  // ÷ payload, median of the rounds. Nothing where the payload was below 1 MiB: what was cached lies outside of the
  // allocator hook (RocksDB's MultiGet reads past it).
  std::optional<double> pool_footprint;
  std::optional<double> process_footprint;
  // Largest distance of any sample from the median of all, as a share of it.
  std::optional<double> pool_flatness;
  double process_flatness = 0;
  uint64_t verified_count = 0;
  uint64_t fallback_count = 0;

  const nlohmann::json& LastMemory() const { return rounds.back().at("memory"); }
  std::string Title() const;  // name, and the wave where a name appears in several
  bool in_several_waves = false;
};

// Fills the computed fields of every row that ran.
void Summarize(uint64_t cache_bytes, std::vector<RowResult>* rows);

// One measure of the table.
struct Column {
  const char* key;
  const char* title;
  bool more_is_better;
  std::optional<double> (*value)(const RowResult& row);
  std::string (*text)(double value);
};
const std::vector<Column>& Columns();

// The columns in which a peer's best is ahead of hugepool's best: "p99 (jemalloc-thp 1.9 µs, hugepool-thp 2.1 µs)".
struct PeerLead {
  const Column* column;
  const RowResult* peer;
  const RowResult* own;
};
// with_speeds: false for rounds at a given rate, where every speed is that rate.
std::vector<PeerLead> PeerLeads(const std::vector<RowResult>& rows, bool with_speeds);

nlohmann::ordered_json ToJson(const RowResult& row);

// One line for each round of each row that ran, under a line with the names.
std::string FormatCsv(const std::vector<RowResult>& rows);

}  // namespace hugepool::bench

#endif  // HUGEPOOL_BENCH_RESULTS_H_
