// From the workers' replies to medians, ratios and footprints.
#include "bench/results.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>

#include "bench/latency_histogram.h"

namespace hugepool::bench {
namespace {

using nlohmann::json;

json Round(double operations_per_second, double p50_ns, double process_bytes, double pool_bytes) {
  constexpr uint64_t kMB = 1'000'000;
  process_bytes *= kMB;
  pool_bytes *= kMB;
  json memory = {{"payload_bytes", 1000 * kMB},
                 {"filled_payload_bytes", 800 * kMB},
                 {"block_count", 50},
                 {"cache_usage_bytes", 1000 * kMB},
                 {"process_bytes", process_bytes}};
  json sample = {{"seconds", 1}, {"process_bytes", process_bytes}, {"payload_bytes", 1000 * kMB}};
  if (pool_bytes > 0) {
    memory.update({{"pool_bytes", pool_bytes}, {"fallback_live_bytes", 100 * kMB}, {"fallback_count", 3}});
    sample["pool_bytes"] = pool_bytes;
  }
  return {{"operations_per_second", operations_per_second},
          {"p50_ns", p50_ns},
          {"p99_ns", 2 * p50_ns},
          {"p999_ns", 3 * p50_ns},
          {"latency_curve_ns", std::vector<double>(std::size(kCurveShares), 4 * p50_ns)},
          {"paced_writes_per_second", 7},
          {"verified_count", 10},
          {"hit_count", 30},
          {"miss_count", 10},
          {"samples", {sample}},
          {"memory", memory}};
}

RowResult Row(const char* name, unsigned wave, std::vector<json> rounds) {
  RowResult row;
  row.row = FindAllocator(name);
  row.wave = wave;
  row.rounds = std::move(rounds);
  return row;
}

TEST(Results, SpreadsOfOddAndEvenCounts) {
  EXPECT_EQ(SpreadOf({3, 1, 2}).median, 2);
  EXPECT_EQ(SpreadOf({4, 1, 2, 3}).median, 2.5);
  EXPECT_EQ(SpreadOf({4, 1, 2, 3}).least, 1);
  EXPECT_EQ(SpreadOf({4, 1, 2, 3}).most, 4);
  EXPECT_EQ(SpreadOf({7}).median, 7);
}

TEST(Results, FootprintsHitsAndFlatness) {
  std::vector<RowResult> rows = {Row("hugepool-thp", 1, {Round(100, 10, 880, 945), Round(100, 10, 900, 990)})};
  Summarize(uint64_t{1} << 29, &rows);
  EXPECT_DOUBLE_EQ(*rows[0].process_footprint, (880.0 + 900.0) / 2 / 800);
  // Blocks that malloc served are no payload of the pool: 1000 - 100.
  EXPECT_DOUBLE_EQ(*rows[0].pool_footprint, (945.0 + 990.0) / 2 / 900);
  EXPECT_DOUBLE_EQ(rows[0].hit_ratio.value_or(0), 0.75);
  EXPECT_DOUBLE_EQ(rows[0].blocks_per_gib, 100);
  EXPECT_NEAR(rows[0].process_flatness, 10.0 / 890, 1e-12);
  EXPECT_NEAR(*rows[0].pool_flatness, 22.5 / 967.5, 1e-12);
  EXPECT_EQ(rows[0].verified_count, 20u);
  EXPECT_EQ(rows[0].fallback_count, 3u);
  EXPECT_FALSE(rows[0].ratio.has_value()) << "no baseline ran";
}

TEST(Results, RatioIsTheMedianOfTheRoundsRatiosInsideTheWave) {
  // The machine slows down to a third; the ratio does not.
  std::vector<RowResult> rows = {Row("malloc", 1, {Round(300, 10, 1, 0), Round(100, 10, 1, 0), Round(200, 10, 1, 0)}),
                                 Row("jemalloc", 1, {Round(360, 10, 1, 0), Round(120, 10, 1, 0), Round(250, 10, 1, 0)}),
                                 Row("malloc", 2, {Round(50, 10, 1, 0)}), Row("mimalloc", 2, {Round(55, 10, 1, 0)})};
  Summarize(1 << 20, &rows);
  EXPECT_DOUBLE_EQ(*rows[0].ratio, 1);
  EXPECT_DOUBLE_EQ(*rows[1].ratio, 1.2);
  EXPECT_DOUBLE_EQ(*rows[3].ratio, 1.1);
  EXPECT_EQ(rows[0].Title(), "malloc (wave 1)");
  EXPECT_EQ(rows[1].Title(), "jemalloc");
}

// What glibc does on 4 KiB pages is no measure for a pool on huge ones, and the other way round.
TEST(Results, RatioToTheBestPeerStaysInsideWaveAndSetting) {
  std::vector<RowResult> rows = {
      Row("malloc", 1, {Round(100, 10, 900, 0)}),           Row("jemalloc", 1, {Round(110, 10, 900, 0)}),
      Row("jemalloc-thp", 1, {Round(200, 10, 900, 0)}),     Row("tbb-huge", 1, {Round(150, 10, 900, 0)}),
      Row("hugepool-small", 1, {Round(121, 10, 900, 950)}), Row("hugepool-thp", 1, {Round(220, 10, 900, 950)}),
      Row("hugepool-thp", 2, {Round(900, 10, 900, 950)})};
  Summarize(1 << 20, &rows);
  EXPECT_EQ(rows[4].best_peer, "jemalloc");
  EXPECT_DOUBLE_EQ(*rows[4].ratio_to_peer, 1.1);
  EXPECT_EQ(rows[5].best_peer, "jemalloc-thp");
  EXPECT_DOUBLE_EQ(*rows[5].ratio_to_peer, 1.1);
  EXPECT_DOUBLE_EQ(*rows[3].ratio_to_peer, 0.75) << "peers, too, are told how far behind they are";
  EXPECT_FALSE(rows[6].ratio_to_peer.has_value()) << "no peer ran in its wave";
}

// MultiGet of RocksDB 7.8 reads past the allocator hook: a footprint for each byte of nothing is no figure.
TEST(Results, NoFootprintWithoutPayload) {
  json round = Round(100, 10, 900, 950);
  round["memory"]["payload_bytes"] = round["memory"]["filled_payload_bytes"] = 5000;
  round["memory"]["fallback_live_bytes"] = 0;
  std::vector<RowResult> rows = {Row("hugepool-thp", 1, {round})};
  Summarize(1 << 20, &rows);
  EXPECT_FALSE(rows[0].pool_footprint.has_value());
  EXPECT_FALSE(rows[0].process_footprint.has_value());
}

TEST(Results, CsvHasALineForEachRound) {
  std::vector<RowResult> rows = {Row("malloc", 1, {Round(100, 10, 900, 0), Round(120, 10, 900, 0)}),
                                 Row("hugepool-thp", 1, {Round(130, 10, 900, 950), Round(140, 10, 900, 950)}),
                                 Row("mimalloc", 1, {})};
  rows[2].status = RowStatus::kSkipped;
  const std::string csv = FormatCsv(rows);
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "allocator,wave,round,operations_per_second,p50_ns,p99_ns,p999_ns,hit_count,miss_count,verified_count,"
            "paced_writes_per_second,payload_bytes,block_count,cache_usage_bytes,process_bytes,pool_bytes");
  EXPECT_NE(csv.find("\nmalloc,1,2,120.0,10.0,20.0,30.0,30,10,10,7,1000000000,50,1000000000,900000000.0,\n"),
            std::string::npos)
      << csv;
  EXPECT_NE(csv.find("\nhugepool-thp,1,1,130.0,"), std::string::npos) << csv;
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 5);
}

TEST(Results, PeersThatAreAheadAreNamed) {
  std::vector<RowResult> rows = {
      Row("malloc", 1, {Round(100, 5000, 900, 0)}), Row("jemalloc", 1, {Round(110, 4000, 1000, 0)}),
      Row("hugepool-small", 1, {Round(90, 4500, 880, 945)}), Row("hugepool-thp", 1, {Round(120, 4600, 850, 945)})};
  Summarize(1 << 20, &rows);
  const auto leads = PeerLeads(rows, true);
  ASSERT_EQ(leads.size(), 3u);  // p50, p99, p99.9: not the speed, not the footprint, not what is equal
  EXPECT_STREQ(leads[0].column->key, "p50_ns");
  EXPECT_EQ(leads[0].peer->row->name, "jemalloc");
  EXPECT_EQ(leads[0].own->row->name, "hugepool-small");
}

TEST(Results, AtAGivenRateNobodyIsAheadInSpeed) {
  std::vector<RowResult> rows = {Row("malloc", 1, {Round(110, 5000, 900, 0)}),
                                 Row("hugepool-thp", 1, {Round(100, 4000, 880, 945)})};
  Summarize(1 << 20, &rows);
  EXPECT_EQ(PeerLeads(rows, true).size(), 1u);
  EXPECT_TRUE(PeerLeads(rows, false).empty());
}

TEST(Results, SkippedRowsHaveAReasonAndNoFigures) {
  RowResult row = Row("mimalloc", 1, {});
  row.status = RowStatus::kSkipped;
  row.reason = "not installed";
  std::vector<RowResult> rows = {row};
  Summarize(1 << 20, &rows);
  const auto out = ToJson(rows[0]);
  EXPECT_EQ(out["status"], "skipped");
  EXPECT_EQ(out["reason"], "not installed");
  EXPECT_FALSE(out.contains("operations_per_second"));
  EXPECT_TRUE(PeerLeads(rows, true).empty());
}

}  // namespace
}  // namespace hugepool::bench
